//! The matrix product with bias and activation, on packed weights.
//!
//! Weights lie in *panels* of a few vectors of units: for every input one row of the panel. A *tile* is what a few rows
//! of the input make with one panel, or a single row with a few panels; its sums stay in registers while the inputs pass.
//! Every sum takes the inputs in their order, so that a sample's outputs do not depend on how many others there are.

use crate::{
    Dtype, Elementwise,
    small::{Halves, Pair, quantize, sums, widen_halves, widen_pair},
    vector::{multiply_add, select},
};
use std::{collections::TryReserveError, ops::Range};
use wide::f32x4;

/// Vectors a panel. With a fused multiply-add, tiles of 3 rows × 3 vectors take 9 sums, 3 weights and one value of
/// the 16 registers of x86-64: 51 GFLOP/s where the unit's peak is 51. Without one, a product takes a register of its
/// own, and 4 rows × 2 vectors are the fastest: 40 where the peak is 41.
pub(crate) const VECTORS: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 2 };
/// Rows of a tile of one panel, and panels of a tile of one row.
pub(crate) const LANES: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 4 };
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

    /// Makes room for what [`run`](Self::run) of up to so many rows needs besides: it allocates nothing then.
    ///
    /// # Errors
    /// When there is no memory left.
    pub fn reserve(&self, rows: usize, scratch: &mut Scratch) -> Result<(), TryReserveError> {
        scratch.weights.clear();
        scratch.inputs.clear();
        if self.dtype() != Dtype::F32 {
            // Of an odd number of inputs, the last pair has one too many.
            scratch.weights.try_reserve(LANES * self.depth(rows).min(self.inputs) + 1)?;
        }
        if self.dtype() == Dtype::Int8 {
            scratch.inputs.try_reserve(self.inputs.div_ceil(2))?;
        }
        Ok(())
    }

    /// The units of one of so many equal shares, which together are all units.
    pub fn share(&self, index: usize, count: usize) -> Range<usize> {
        let unit = |index: usize| (self.bias.len() * index / count * PANEL).min(self.units);
        unit(index)..unit(index + 1)
    }

    /// `output = activation(input · kernel + bias)`, any number of rows; of each only a [`share`](Self::share).
    pub fn run(
        &self,
        input: &[f32],
        output: &mut [f32],
        units: Range<usize>,
        activation: Elementwise,
        scratch: &mut Scratch,
    ) {
        if self.inputs == 0 || units.is_empty() {
            return;
        }
        let rows = input.len() / self.inputs;
        let panels = units.start / PANEL..units.end.div_ceil(PANEL);
        let relu = is_relu(activation);
        if rows <= FEW && self.multiply_whole(input, output, panels.clone(), &mut scratch.inputs) {
            // The activation is left.
        } else {
            self.multiply(input, output, panels, relu, &mut scratch.weights);
            if relu {
                return;
            }
        }
        if units.len() == self.units {
            return activation.apply(output);
        }
        output.chunks_exact_mut(self.units).for_each(|row| activation.apply(&mut row[units.clone()]));
    }

    /// The product and its bias, and `relu` of it.
    fn multiply(
        &self,
        input: &[f32],
        output: &mut [f32],
        panels: Range<usize>,
        relu: bool,
        widened: &mut Vec<Row>,
    ) {
        let rows = input.len() / self.inputs;
        let depth = self.depth(rows);
        for start in (0..self.inputs).step_by(depth) {
            let depth = depth.min(self.inputs - start);
            let last = start + depth == self.inputs;
            for panel in panels.clone().step_by(LANES) {
                let panels = LANES.min(panels.end - panel);
                let (weights, stride) = self.panels(panel, panels, start, depth, widened);
                let mut block = Block {
                    input,
                    inputs: self.inputs,
                    start,
                    depth,
                    panel,
                    panels,
                    weights,
                    stride,
                    bias: (start == 0).then_some(&self.bias[panel..]),
                    relu: last && relu,
                    output: &mut *output,
                    units: self.units,
                };
                block.run(rows);
            }
        }
    }

    /// Inputs that pass a few panels at a time.
    fn depth(&self, rows: usize) -> usize {
        match self.weights {
            // A single tile reads each weight once, and so all of a panel at a time.
            Weights::F32(_) if rows <= LANES => self.inputs,
            Weights::F16(_) | Weights::Int8(..) if rows <= FEW => WIDENED,
            _ => DEPTH,
        }
    }

    /// Weights of some panels from an even input on, as floats, and how far each panel's are from the next's.
    fn panels<'a>(
        &'a self,
        panel: usize,
        panels: usize,
        start: usize,
        depth: usize,
        widened: &'a mut Vec<Row>,
    ) -> (&'a [Row], usize) {
        if let Weights::F32(rows) = &self.weights {
            return (&rows[panel * self.inputs + start..], self.inputs);
        }
        widened.clear();
        for index in 0..panels {
            self.widen(panel + index, start, depth, widened);
            widened.truncate((index + 1) * depth); // of an odd number, the last pair has one too many
        }
        (widened, depth)
    }

    #[inline(never)]
    fn widen(&self, panel: usize, start: usize, depth: usize, widened: &mut Vec<Row>) {
        match &self.weights {
            Weights::F32(_) => {}
            Weights::F16(halves) => {
                widened.extend(halves[panel * self.inputs + start..][..depth].iter().map(widen_halves));
            }
            Weights::Int8(pairs, scales) => {
                let pairs = &pairs[panel * self.inputs.div_ceil(2) + start / 2..][..depth.div_ceil(2)];
                widened.extend(pairs.iter().flat_map(|pair| widen_pair(pair, &scales[panel])));
            }
        }
    }

    /// The product of whole numbers, where weights and inputs can be such: false, and nothing of use done, where they
    /// cannot.
    fn multiply_whole(
        &self,
        input: &[f32],
        output: &mut [f32],
        panels: Range<usize>,
        whole: &mut Vec<[i16; 2]>,
    ) -> bool {
        let Weights::Int8(pairs, scales) = &self.weights else { return false };
        let length = self.inputs.div_ceil(2);
        for (row, output) in input.chunks_exact(self.inputs).zip(output.chunks_exact_mut(self.units)) {
            let Some(scale) = quantize(row, whole) else { return false };
            for panel in panels.clone() {
                let sums = sums(whole, &pairs[panel * length..][..length]);
                let values: Row = std::array::from_fn(|i| {
                    let scale = scales[panel][i] * f32x4::splat(scale);
                    multiply_add(f32x4::from_i32x4(sums[i]), scale, self.bias[panel][i])
                });
                let unit = panel * PANEL;
                store(values, &mut output[unit..][..PANEL.min(self.units - unit)]);
            }
        }
        true
    }
}

/// All tiles of a few panels and some of the inputs.
struct Block<'a> {
    input: &'a [f32],
    inputs: usize,
    /// The first input, and how many.
    start: usize,
    depth: usize,
    /// The first panel, and how many: up to [`LANES`].
    panel: usize,
    panels: usize,
    /// For each panel, `stride` behind the one before, a row for each input.
    weights: &'a [Row],
    stride: usize,
    /// What the panels' sums begin with, where they do not go on from the output.
    bias: Option<&'a [Row]>,
    /// Whether the sums are done, and their activation is this one.
    relu: bool,
    output: &'a mut [f32],
    units: usize,
}

impl Block<'_> {
    fn run(&mut self, rows: usize) {
        let whole = rows - rows % LANES;
        for panel in 0..self.panels {
            for row in (0..whole).step_by(LANES) {
                self.tile::<LANES, 1>(row, panel);
            }
        }
        for row in whole..rows {
            self.tile::<1, LANES>(row, 0);
        }
    }

    /// One tile. Beyond the last panel, it is taken again, and its results are written twice.
    #[inline(never)]
    fn tile<const ROWS: usize, const PANELS: usize>(&mut self, row: usize, panel: usize) {
        let panels: [usize; PANELS] = std::array::from_fn(|i| (panel + i).min(self.panels - 1));
        let x = std::array::from_fn(|i| &self.input[(row + i) * self.inputs + self.start..][..self.depth]);
        let weights = panels.map(|panel| &self.weights[panel * self.stride..][..self.depth]);
        let mut sums: [[Row; PANELS]; ROWS] = std::array::from_fn(|i| {
            panels.map(|panel| match self.bias {
                Some(bias) => bias[panel],
                None => load(self.place(row + i, panel)),
            })
        });
        products(x, weights, &mut sums);
        for (i, sums) in sums.into_iter().enumerate() {
            for (mut sum, panel) in sums.into_iter().zip(panels) {
                if self.relu {
                    sum = sum.map(|y| select(y.simd_lt(f32x4::ZERO), f32x4::ZERO, y));
                }
                store(sum, self.place(row + i, panel));
            }
        }
    }

    /// Where a row's outputs of a panel lie.
    fn place(&mut self, row: usize, panel: usize) -> &mut [f32] {
        let unit = (self.panel + panel) * PANEL;
        &mut self.output[row * self.units + unit..][..PANEL.min(self.units - unit)]
    }
}

/// Adds the products of each of the rows with each of the panels. A row has as many values as there are rows of weights.
#[inline(always)]
pub(crate) fn products<const ROWS: usize, const PANELS: usize>(
    x: [&[f32]; ROWS],
    weights: [&[Row]; PANELS],
    sums: &mut [[Row; PANELS]; ROWS],
) {
    let depth = weights[0].len();
    assert!(x.iter().all(|x| x.len() == depth) && weights.iter().all(|weights| weights.len() == depth));
    let mut local = *sums; // in registers
    let (x, weights) = (x.map(<[f32]>::as_ptr), weights.map(<[Row]>::as_ptr));
    for at in 0..depth {
        // SAFETY: what is read are `depth` values of each row and as many rows of weights of each panel, which the
        // assertion says are there. Pointers, because the checks of indices cost a third of the speed. One input at a
        // time: for two, V8 keeps too little in registers, and is a third slower.
        let (x, weights) = unsafe { (x.map(|x| *x.add(at)), weights.map(|weights| *weights.add(at))) };
        for (sums, x) in local.iter_mut().zip(x) {
            let x = f32x4::splat(x);
            for (sum, weight) in sums.as_flattened_mut().iter_mut().zip(weights.as_flattened()) {
                *sum = multiply_add(x, *weight, *sum);
            }
        }
    }
    *sums = local;
}

/// Whether it is [`Elementwise::RELU`], in less code than the comparison of two of all functions.
fn is_relu(activation: Elementwise) -> bool {
    matches!(activation, Elementwise::Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 })
}

/// Writes as many of a panel's values as there is room for.
#[inline(never)]
pub(crate) fn store(sum: Row, out: &mut [f32]) {
    if let Ok(out) = <&mut [f32; PANEL]>::try_from(&mut *out) {
        *out = bytemuck::cast(sum);
    } else {
        let values: [f32; PANEL] = bytemuck::cast(sum);
        out.copy_from_slice(&values[..out.len()]);
    }
}

/// A panel's values, zeros where there are fewer.
#[inline(never)]
pub(crate) fn load(row: &[f32]) -> Row {
    let mut values = [0.0; PANEL];
    values[..row.len()].copy_from_slice(row);
    bytemuck::cast(values)
}
