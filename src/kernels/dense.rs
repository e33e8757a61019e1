//! The matrix product with bias and activation, on packed weights.
//!
//! Weights lie in *panels* of a few vectors of units: for every input one row of the panel. A *tile* is what a few rows
//! of the input make with one panel; its sums stay in registers while the inputs pass. Tiles of many rows load less for
//! each product; how many fit depends on the processor's registers, see [`Registers`].

use crate::{
    Elementwise,
    vector::{multiply_add, select},
};
use std::collections::TryReserveError;
use wide::f32x4;

/// Vectors a panel. With a fused multiply-add, tiles of 3 rows × 3 vectors take 9 sums, 3 weights and one value of
/// the 16 registers of x86-64: 51 GFLOP/s where the unit's peak is 51. Without one, a product takes a register of its
/// own, and 4 rows × 2 vectors are the fastest: 40 where the peak is 41.
pub(crate) const VECTORS: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 2 };
/// Rows of a tile for 16 registers.
const ROWS: usize = if cfg!(target_feature = "relaxed-simd") { 3 } else { 4 };
/// Rows of a tile for 32 registers.
const MANY_ROWS: usize = 8;
/// Units a panel.
pub(crate) const PANEL: usize = 4 * VECTORS;
/// Inputs that pass a panel at a time when there are several tiles: 98 KB of the panel, which stay in the second-level
/// cache while all rows pass. Blocks for the first level, 512 inputs, are 7 % slower: the sums are stored more often.
const DEPTH: usize = 2048;

/// One input's weights of a panel.
pub(crate) type Row = [f32x4; VECTORS];

/// How many vector registers the processor has: x86-64 has 16, ARM has 32. WebAssembly does not tell; a measurement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Registers {
    /// 16, or not known.
    #[default]
    Sixteen,
    /// 32.
    ThirtyTwo,
}

/// Weights of one dense layer as the kernel reads them, the last panel filled up with zeros.
pub struct PackedDense {
    panels: Vec<Row>,
    bias: Vec<Row>,
    inputs: usize,
    units: usize,
}

impl PackedDense {
    /// Packs a kernel of shape (inputs, units), row-major, and its bias.
    ///
    /// # Errors
    /// When the packed copy cannot be allocated.
    pub fn new(
        kernel: &[f32],
        bias: Option<&[f32]>,
        inputs: usize,
        units: usize,
    ) -> Result<Self, TryReserveError> {
        let count = units.div_ceil(PANEL);
        let mut panels = Vec::new();
        panels.try_reserve_exact(count * inputs)?;
        for panel in 0..count {
            panels.extend((0..inputs).map(|input| load(&kernel[input * units..][..units], panel)));
        }
        let none = [f32x4::ZERO; VECTORS];
        let bias = (0..count).map(|panel| bias.map_or(none, |bias| load(bias, panel))).collect();
        Ok(Self { panels, bias, inputs, units })
    }

    /// `output = activation(input · kernel + bias)`, any number of rows.
    pub fn run(&self, input: &[f32], output: &mut [f32], activation: Elementwise, registers: Registers) {
        if self.inputs == 0 {
            return;
        }
        let rows = input.len() / self.inputs;
        let tile_rows = if registers == Registers::ThirtyTwo { MANY_ROWS } else { ROWS };
        // A single tile reads each weight once, and so all of a panel at a time.
        let depth = if rows <= tile_rows { self.inputs } else { DEPTH };
        for start in (0..self.inputs).step_by(depth) {
            let depth = depth.min(self.inputs - start);
            let last = start + depth == self.inputs;
            for (index, (panel, bias)) in self.panels.chunks_exact(self.inputs).zip(&self.bias).enumerate() {
                let mut tiles = Tiles {
                    input,
                    inputs: self.inputs,
                    start,
                    weights: &panel[start..][..depth],
                    first: (start == 0).then_some(bias),
                    relu: last && activation == Elementwise::RELU,
                    output: &mut *output,
                    units: self.units,
                    unit: index * PANEL,
                };
                tiles.run(rows, registers);
            }
        }
        if activation != Elementwise::RELU {
            activation.apply(output);
        }
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
    fn run(&mut self, rows: usize, registers: Registers) {
        let mut row = 0;
        if registers == Registers::ThirtyTwo {
            while rows - row >= MANY_ROWS {
                self.tile::<MANY_ROWS, 1>(row);
                row += MANY_ROWS;
            }
        }
        while rows - row >= ROWS {
            self.tile::<ROWS, 1>(row);
            row += ROWS;
        }
        // Fewer rows have fewer sums than the multiplier could work on at once: these take two or four inputs at a time.
        if rows - row >= 2 {
            self.tile::<2, 2>(row);
            row += 2;
        }
        if rows > row {
            self.tile::<1, 4>(row);
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
                None => load(&self.output[(row + i) * self.units + self.unit..][..width], 0),
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

/// The values of one panel in a row, zeros beyond its end.
pub(crate) fn load(row: &[f32], panel: usize) -> Row {
    let mut values = [0.0; PANEL];
    let rest = &row[panel * PANEL..];
    let width = rest.len().min(PANEL);
    values[..width].copy_from_slice(&rest[..width]);
    bytemuck::cast(values)
}
