//! The matrix product with bias and activation, on packed weights.
//!
//! Weights lie in *panels* of a few vectors of units: for every input one row of the panel. A *tile* is what a few rows
//! of the input make with one panel; its sums stay in registers while the inputs pass. Tiles of many rows load less for
//! each product, as long as all fit the registers.

use crate::{
    Dtype, Elementwise,
    small::{Halves, Pair, quantize, sums, widen_halves, widen_pair},
    vector::{multiply_add, select},
};
use wide::f32x4;

/// Vectors a panel. With a fused multiply-add, tiles of 3 rows × 3 vectors take 9 sums, 3 weights and one value of
/// the 16 registers of x86-64: 51 GFLOP/s where the unit's peak is 51. Without one, a product takes a register of its
/// own, and 4 rows × 2 vectors are the fastest: 40 where the peak is 41.
pub(crate) const VECTORS: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 2 };
/// Rows of a tile.
const ROWS: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 4 };
/// Units a panel.
pub const PANEL: usize = 4 * VECTORS;
/// Inputs that pass a panel at a time when there are several tiles: 98 KB of the panel, which stay in the second-level
/// cache while all rows pass. Blocks for the first level, 512 inputs, are 7 % slower: the sums are stored more often.
const DEPTH: usize = 2048;

/// One input's weights of a panel: [`PANEL`] floats.
pub type Row = [f32x4; VECTORS];

/// Weights of one dense layer as the kernel reads them.
pub struct PackedDense {
    /// Panels, one behind the other.
    pub weights: Weights,
    /// A panel's biases each.
    pub bias: Vec<Row>,
    /// Values a row read.
    pub inputs: usize,
    /// Values a row written.
    pub units: usize,
}

/// Panels of weights: for every input a row of the panel, the last panel filled up with zeros.
pub enum Weights {
    /// Floats.
    F32(Vec<Row>),
    /// 16-bit floats.
    F16(Vec<Halves>),
    /// Of two inputs each, the last filled up with zeros, and the factors of each panel's units.
    Int8(Vec<Pair>, Vec<Row>),
}

/// What a product needs besides, kept from one to the next.
#[derive(Default)]
pub struct Scratch {
    /// Weights of a panel as floats.
    weights: Vec<Row>,
    /// Rows of inputs as whole numbers.
    inputs: Vec<[i16; 2]>,
}

/// Rows up to which small weights are multiplied as they are: for more, a panel is widened once for all of them.
const FEW: usize = 4;
/// Inputs whose weights are widened at a time for few rows: they stay in the first-level cache.
const WIDENED: usize = 256;

impl PackedDense {
    /// How the weights are kept.
    pub fn dtype(&self) -> Dtype {
        match self.weights {
            Weights::F32(_) => Dtype::F32,
            Weights::F16(_) => Dtype::F16,
            Weights::Int8(..) => Dtype::Int8,
        }
    }

    /// `output = activation(input · kernel + bias)`, any number of rows.
    pub fn run(&self, input: &[f32], output: &mut [f32], activation: Elementwise, scratch: &mut Scratch) {
        if self.inputs == 0 {
            return;
        }
        let rows = input.len() / self.inputs;
        let done = rows <= FEW && self.multiply_whole(input, output, &mut scratch.inputs);
        if !done {
            self.multiply(input, output, activation == Elementwise::RELU, &mut scratch.weights);
            if activation == Elementwise::RELU {
                return;
            }
        }
        activation.apply(output);
    }

    /// The product and its bias, and `relu` of it.
    fn multiply(&self, input: &[f32], output: &mut [f32], relu: bool, widened: &mut Vec<Row>) {
        let rows = input.len() / self.inputs;
        let depth = match self.weights {
            // A single tile reads each weight once, and so all of a panel at a time.
            Weights::F32(_) if rows <= ROWS => self.inputs,
            Weights::F16(_) | Weights::Int8(..) if rows <= FEW => WIDENED,
            _ => DEPTH,
        };
        for start in (0..self.inputs).step_by(depth) {
            let depth = depth.min(self.inputs - start);
            let last = start + depth == self.inputs;
            for (index, bias) in self.bias.iter().enumerate() {
                let mut tiles = Tiles {
                    input,
                    inputs: self.inputs,
                    start,
                    weights: self.panel(index, start, depth, widened),
                    first: (start == 0).then_some(bias),
                    relu: last && relu,
                    output: &mut *output,
                    units: self.units,
                    unit: index * PANEL,
                };
                tiles.run(rows);
            }
        }
    }

    /// Weights of a panel from an even input on, as floats.
    fn panel<'a>(&'a self, panel: usize, start: usize, depth: usize, widened: &'a mut Vec<Row>) -> &'a [Row] {
        widened.clear();
        match &self.weights {
            Weights::F32(panels) => return &panels[panel * self.inputs + start..][..depth],
            Weights::F16(halves) => {
                widened.extend(halves[panel * self.inputs + start..][..depth].iter().map(widen_halves));
            }
            Weights::Int8(pairs, scales) => {
                let pairs = &pairs[panel * self.inputs.div_ceil(2) + start / 2..][..depth.div_ceil(2)];
                widened.extend(pairs.iter().flat_map(|pair| widen_pair(pair, &scales[panel])));
            }
        }
        &widened[..depth]
    }

    /// The product of whole numbers, where weights and inputs can be such: false, and nothing of use done, where they
    /// cannot.
    fn multiply_whole(&self, input: &[f32], output: &mut [f32], whole: &mut Vec<[i16; 2]>) -> bool {
        let Weights::Int8(pairs, scales) = &self.weights else { return false };
        let length = self.inputs.div_ceil(2);
        for (row, output) in input.chunks_exact(self.inputs).zip(output.chunks_exact_mut(self.units)) {
            let Some(scale) = quantize(row, whole) else { return false };
            for (panel, output) in output.chunks_mut(PANEL).enumerate() {
                let sums = sums(whole, &pairs[panel * length..][..length]);
                let values: Row = std::array::from_fn(|i| {
                    let scale = scales[panel][i] * f32x4::splat(scale);
                    multiply_add(f32x4::from_i32x4(sums[i]), scale, self.bias[panel][i])
                });
                let values: [f32; PANEL] = bytemuck::cast(values);
                output.copy_from_slice(&values[..output.len()]);
            }
        }
        true
    }
}

/// All tiles of one panel and some of its inputs.
struct Tiles<'a> {
    input: &'a [f32],
    inputs: usize,
    /// The first input.
    start: usize,
    /// A row for each input from there on.
    weights: &'a [Row],
    /// What the sums begin with, where they do not go on from the output.
    first: Option<&'a Row>,
    /// Whether the sums are done, and their activation is this one.
    relu: bool,
    output: &'a mut [f32],
    units: usize,
    /// The panel's first unit.
    unit: usize,
}

impl Tiles<'_> {
    fn run(&mut self, rows: usize) {
        let mut row = 0;
        while rows - row >= ROWS {
            self.tile::<ROWS, 1>(row);
            row += ROWS;
        }
        // A row has fewer sums than the multiplier could work on at once: it takes four inputs at a time.
        while rows > row {
            self.tile::<1, 4>(row);
            row += 1;
        }
    }

    /// One tile, `AT_ONCE` inputs at a time, each with its own sums.
    #[inline(always)]
    fn tile<const ROWS: usize, const AT_ONCE: usize>(&mut self, row: usize) {
        let width = PANEL.min(self.units - self.unit);
        let x: [&[f32]; ROWS] = std::array::from_fn(|i| {
            &self.input[(row + i) * self.inputs + self.start..][..self.weights.len()]
        });
        let mut sums = [[[f32x4::ZERO; VECTORS]; ROWS]; AT_ONCE];
        for (i, sums) in sums[0].iter_mut().enumerate() {
            *sums = match self.first {
                Some(bias) => *bias,
                None => load(&self.output[(row + i) * self.units + self.unit..][..width]),
            };
        }
        products(&x, self.weights, &mut sums);
        for i in 0..ROWS {
            let mut total = sums[0][i];
            for sums in &sums[1..] {
                total.iter_mut().zip(&sums[i]).for_each(|(total, sum)| *total += *sum);
            }
            if self.relu {
                total = total.map(|y| select(y.simd_lt(f32x4::ZERO), f32x4::ZERO, y));
            }
            let out = &mut self.output[(row + i) * self.units + self.unit..][..width];
            if let Ok(out) = <&mut [f32; PANEL]>::try_from(&mut *out) {
                *out = bytemuck::cast(total);
            } else {
                let values: [f32; PANEL] = bytemuck::cast(total);
                out.copy_from_slice(&values[..width]);
            }
        }
    }
}

/// Adds the products of each of the rows with the weights. A row has as many values as there are rows of weights.
#[inline(always)]
fn products<const ROWS: usize, const AT_ONCE: usize>(
    x: &[&[f32]; ROWS],
    weights: &[Row],
    sums: &mut [[Row; ROWS]; AT_ONCE],
) {
    let depth = weights.len();
    assert!(x.iter().all(|x| x.len() == depth));
    let mut local = *sums; // in registers
    let mut x: [*const f32; ROWS] = x.map(<[f32]>::as_ptr);
    let mut weights = weights.as_ptr();
    // SAFETY: what is read are `depth` values of each row and as many rows of weights, which the assertion and the
    // slice's length say are there. Pointers, because the checks of indices cost a third of the speed.
    unsafe {
        for _ in 0..depth / AT_ONCE {
            for (at, sums) in local.iter_mut().enumerate() {
                add(x.map(|x| *x.add(at)), &*weights.add(at), sums);
            }
            weights = weights.add(AT_ONCE);
            x = x.map(|x| x.add(AT_ONCE));
        }
        for at in 0..depth % AT_ONCE {
            add(x.map(|x| *x.add(at)), &*weights.add(at), &mut local[0]);
        }
    }
    *sums = local;
}

#[inline(always)]
fn add<const ROWS: usize>(x: [f32; ROWS], weights: &Row, sums: &mut [Row; ROWS]) {
    for (sums, x) in sums.iter_mut().zip(x) {
        let x = f32x4::splat(x);
        for (sum, &weights) in sums.iter_mut().zip(weights) {
            *sum = multiply_add(x, weights, *sum);
        }
    }
}

/// A panel's values, zeros where there are fewer.
fn load(row: &[f32]) -> Row {
    let mut values = [0.0; PANEL];
    values[..row.len()].copy_from_slice(row);
    bytemuck::cast(values)
}
