//! The matrix product with bias and activation, on packed weights.

use crate::Elementwise;
use std::collections::TryReserveError;
use wide::f32x4;

/// Units a panel: two vectors.
const PANEL: usize = 8;
/// Rows that share one pass over a panel: with two vectors of units they make eight accumulators, which with two
/// weights and one broadcast value fit the 16 vector registers of x86-64.
const ROWS: usize = 4;

/// Weights of one dense layer as the kernel reads them: panels of eight units, each panel one row of eight for every
/// input, the last panel filled up with zeros.
pub struct PackedDense {
    panels: Vec<[f32x4; 2]>,
    bias: Vec<[f32x4; 2]>,
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
        let bias = (0..count).map(|panel| bias.map_or([f32x4::ZERO; 2], |bias| load(bias, panel))).collect();
        Ok(Self { panels, bias, inputs, units })
    }

    /// `output = activation(input · kernel + bias)`, any number of rows.
    pub fn run(&self, input: &[f32], output: &mut [f32], activation: Elementwise) {
        if self.inputs == 0 {
            return;
        }
        // Panels outside, rows inside: a panel stays in the first-level cache while all rows of the block pass it.
        for (index, (panel, bias)) in self.panels.chunks_exact(self.inputs).zip(&self.bias).enumerate() {
            let first = index * PANEL;
            let width = PANEL.min(self.units - first);
            let mut store = |row: usize, sums: [f32x4; 2]| {
                let out = &mut output[row * self.units + first..][..width];
                let sums: [f32; PANEL] = bytemuck::cast(sums);
                out.copy_from_slice(&sums[..width]);
                activation.apply(out);
            };
            let mut blocks = input.chunks_exact(ROWS * self.inputs);
            let mut row = 0;
            for block in &mut blocks {
                for sums in product4(block, panel, *bias) {
                    store(row, sums);
                    row += 1;
                }
            }
            for x in blocks.remainder().chunks_exact(self.inputs) {
                store(row, product1(x, panel, *bias));
                row += 1;
            }
        }
    }
}

/// Four rows times one panel, the bias as the sums' first term.
#[inline(always)]
fn product4(rows: &[f32], panel: &[[f32x4; 2]], bias: [f32x4; 2]) -> [[f32x4; 2]; ROWS] {
    let (ab, cd) = rows.split_at(2 * panel.len());
    let ((a, b), (c, d)) = (ab.split_at(panel.len()), cd.split_at(panel.len()));
    let mut sums = [bias; ROWS];
    // Zipped, so that no index is checked: the checks cost a third of the speed.
    for ((((weights, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        for (sum, &x) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = multiply_add(x, weights, *sum);
        }
    }
    sums
}

/// One row times one panel.
#[inline(always)]
fn product1(row: &[f32], panel: &[[f32x4; 2]], bias: [f32x4; 2]) -> [f32x4; 2] {
    panel.iter().zip(row).fold(bias, |sum, (weights, &x)| multiply_add(x, weights, sum))
}

#[inline(always)]
fn multiply_add(x: f32, weights: &[f32x4; 2], sum: [f32x4; 2]) -> [f32x4; 2] {
    let x = f32x4::splat(x);
    [sum[0] + weights[0] * x, sum[1] + weights[1] * x]
}

/// Eight values of a row from column `panel * 8` on, zeros beyond its end.
fn load(row: &[f32], panel: usize) -> [f32x4; 2] {
    let mut values = [0.0; PANEL];
    let rest = &row[panel * PANEL..];
    let width = rest.len().min(PANEL);
    values[..width].copy_from_slice(&rest[..width]);
    bytemuck::cast(values)
}
