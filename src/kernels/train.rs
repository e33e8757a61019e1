//! The gradients of a matrix product, and the updates of weights. Gradients of weights lie as the packed weights do, so
//! that an update walks over both.

use crate::{
    PackedDense, Weights,
    dense::{LANES, Row, VECTORS, load, products, store},
    vector::multiply_add,
};
use wide::f32x4;

/// What [`PackedDense::gradients`] needs besides, kept from one to the next.
#[derive(Default)]
pub struct GradientScratch {
    /// The outputs' gradients by panels: of each panel a row for each row.
    dy: Vec<Row>,
    /// The inputs' columns, one behind the other.
    x: Vec<f32>,
}

/// The gradients that are wanted.
pub struct Wanted<'a> {
    /// Of the kernel and of the bias, which lie as [`PackedDense::floats_mut`] has them.
    pub kernel: Option<&'a mut [f32]>,
    /// Of the bias.
    pub bias: Option<&'a mut [f32]>,
    /// Of the input: added to what there is.
    pub dx: Option<&'a mut [f32]>,
    /// Whether the first two take the place of what there is, and are not added to it.
    pub first: bool,
}

impl PackedDense {
    /// The weights and biases as floats, in the order in which they lie; of 32 bits only.
    pub fn floats_mut(&mut self) -> [&mut [f32]; 2] {
        let weights = match &mut self.weights {
            Weights::F32(rows) => bytemuck::cast_slice_mut(rows.as_flattened_mut()),
            Weights::F16(_) | Weights::Int8(..) => &mut [],
        };
        [weights, bytemuck::cast_slice_mut(self.bias.as_flattened_mut())]
    }

    /// The gradients of `output = input · kernel + bias` for any number of rows:
    /// `dK = xᵀ · dy`, `db = Σ dy`, `dx = dy · Kᵀ`
    pub fn gradients(&self, input: &[f32], dy: &[f32], wanted: Wanted, scratch: &mut GradientScratch) {
        let Wanted { kernel, bias, dx, first } = wanted;
        let rows = dy.len() / self.units.max(1);
        if rows == 0 || self.inputs == 0 {
            return;
        }
        let panels = self.bias.len();
        scratch.dy.clear();
        for panel in 0..panels {
            let unit = panel * VECTORS * 4;
            let end = (unit + VECTORS * 4).min(self.units);
            scratch.dy.extend(dy.chunks_exact(self.units).map(|row| load(&row[unit..end])));
        }
        if let Some(bias) = bias {
            let bias: &mut [[f32; 4 * VECTORS]] = bias.as_chunks_mut().0;
            for (bias, rows) in bias.iter_mut().zip(scratch.dy.chunks_exact(rows)) {
                let start: Row = if first { [f32x4::ZERO; VECTORS] } else { bytemuck::cast(*bias) };
                let sum = rows.iter().fold(start, |sum, row| std::array::from_fn(|i| sum[i] + row[i]));
                *bias = bytemuck::cast(sum);
            }
        }
        if let Some(kernel) = kernel {
            transpose(input, self.inputs, rows, &mut scratch.x);
            let kernel: &mut [Row] = bytemuck::cast_slice_mut(kernel);
            let whole = self.inputs - self.inputs % LANES;
            // Panel by panel, for the gradients to be written in their order: they are more than the caches hold.
            for (dy, kernel) in scratch.dy.chunks_exact(rows).zip(kernel.chunks_exact_mut(self.inputs)) {
                for at in (0..whole).step_by(LANES) {
                    tile::<LANES>(&scratch.x[at * rows..], dy, &mut kernel[at..], first);
                }
                for at in whole..self.inputs {
                    tile::<1>(&scratch.x[at * rows..], dy, &mut kernel[at..], first);
                }
            }
        }
        let (Some(dx), Weights::F32(weights)) = (dx, &self.weights) else { return };
        let (whole, inputs) = (rows - rows % LANES, self.inputs - self.inputs % LANES);
        for row in (0..whole).step_by(LANES) {
            for first in (0..inputs).step_by(LANES) {
                self.back::<LANES, LANES>(weights, &scratch.dy, rows, row, first, dx);
            }
            for first in inputs..self.inputs {
                self.back::<LANES, 1>(weights, &scratch.dy, rows, row, first, dx);
            }
        }
        for row in whole..rows {
            for first in (0..inputs).step_by(LANES) {
                self.back::<1, LANES>(weights, &scratch.dy, rows, row, first, dx);
            }
            for first in inputs..self.inputs {
                self.back::<1, 1>(weights, &scratch.dy, rows, row, first, dx);
            }
        }
    }

    /// The gradients of a few inputs of a few rows.
    #[inline(never)]
    fn back<const ROWS: usize, const INPUTS: usize>(
        &self,
        weights: &[Row],
        dy: &[Row],
        rows: usize,
        row: usize,
        first: usize,
        dx: &mut [f32],
    ) {
        let mut sums = [[f32x4::ZERO; INPUTS]; ROWS];
        for (dy, weights) in dy.chunks_exact(rows).zip(weights.chunks_exact(self.inputs)) {
            let (dy, weights) = (&dy[row..row + ROWS], &weights[first..first + INPUTS]);
            for vector in 0..VECTORS {
                for (sums, dy) in sums.iter_mut().zip(dy) {
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = multiply_add(dy[vector], weights[vector], *sum);
                    }
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let places = &mut dx[(row + i) * self.inputs + first..][..INPUTS];
            places.iter_mut().zip(sums).for_each(|(dx, sum)| *dx += sum.reduce_add());
        }
    }

    /// The weights, row-major (inputs, units), of values that lie as [`floats_mut`](Self::floats_mut) do.
    pub fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; self.inputs * self.units];
        let packed: &[Row] = bytemuck::cast_slice(packed);
        for (index, row) in packed.iter().enumerate() {
            let (panel, input) = (index / self.inputs, index % self.inputs);
            let unit = panel * VECTORS * 4;
            let end = (unit + VECTORS * 4).min(self.units);
            store(*row, &mut values[input * self.units..][unit..end]);
        }
        values
    }

    /// The values of [`unpack`](Self::unpack), packed.
    pub fn repack(&self, values: &[f32]) -> Vec<f32> {
        let panels = self.bias.len();
        let mut packed = Vec::with_capacity(panels * self.inputs * VECTORS * 4);
        for panel in 0..panels {
            let unit = panel * VECTORS * 4;
            let end = (unit + VECTORS * 4).min(self.units);
            for row in values.chunks_exact(self.units) {
                let row: [f32; 4 * VECTORS] = bytemuck::cast(load(&row[unit..end]));
                packed.extend_from_slice(&row);
            }
        }
        packed
    }
}

/// The gradients of a few inputs' weights: a product again, of the inputs' columns with a panel of the outputs' gradients.
#[inline(never)]
fn tile<const INPUTS: usize>(columns: &[f32], dy: &[Row], kernel: &mut [Row], first: bool) {
    let columns: [&[f32]; INPUTS] = std::array::from_fn(|i| &columns[i * dy.len()..(i + 1) * dy.len()]);
    let kernel = &mut kernel[..INPUTS];
    let mut sums = std::array::from_fn(|i| [if first { [f32x4::ZERO; VECTORS] } else { kernel[i] }]);
    products(columns, [dy], &mut sums);
    kernel.copy_from_slice(sums.as_flattened());
}

/// Rows of so many values as columns, one behind the other.
#[inline(never)]
fn transpose(values: &[f32], width: usize, rows: usize, columns: &mut Vec<f32>) {
    columns.resize(width * rows, 0.0);
    let mut row = 0;
    while row + 4 <= rows {
        let four: [&[f32]; 4] = std::array::from_fn(|i| &values[(row + i) * width..(row + i + 1) * width]);
        let chunks = four.map(|row| row.as_chunks::<4>().0);
        for at in 0..width / 4 {
            let block = f32x4::transpose(chunks.map(|row| f32x4::new(row[at])));
            for (i, column) in block.into_iter().enumerate() {
                columns[(4 * at + i) * rows + row..][..4].copy_from_slice(&column.to_array());
            }
        }
        for at in width - width % 4..width {
            four.iter().enumerate().for_each(|(i, values)| columns[at * rows + row + i] = values[at]);
        }
        row += 4;
    }
    for row in row..rows {
        values[row * width..(row + 1) * width]
            .iter()
            .enumerate()
            .for_each(|(at, x)| columns[at * rows + row] = *x);
    }
}

/// What decays ends at 0 and not in subnormal numbers, with which processors take a hundred times as long: without
/// gradient, a mean is there after 700 steps. What is left out is nothing beside any `epsilon`.
#[inline(always)]
fn flush(x: f32x4) -> f32x4 {
    x & x.abs().simd_ge(f32x4::splat(1e-30))
}

/// A step of Adam (Kingma & Ba 2015), as Keras 3 has it: `rate` is the learning rate times √(1 − β₂ᵗ) / (1 − β₁ᵗ), `beta`
/// are 1 − β₁ and 1 − β₂. With `largest`, the divisor never falls (AMSGrad).
#[inline(never)]
pub fn adam(
    weights: &mut [f32],
    gradient: &[f32],
    [mean, square]: [&mut [f32]; 2],
    largest: Option<&mut [f32]>,
    rate: f32,
    beta: [f32; 2],
    epsilon: f32,
) {
    let update = |[w, g, m, v]: [f32x4; 4], most: Option<f32x4>| {
        let m = flush((g - m) * f32x4::splat(beta[0]) + m);
        let v = flush((g * g - v) * f32x4::splat(beta[1]) + v);
        let most = most.map_or(v, |most| most.max(v));
        let w = w - m * f32x4::splat(rate) / (most.sqrt() + f32x4::splat(epsilon));
        ([w, m, v], most)
    };
    match largest {
        None => each([weights, mean, square], [gradient], |[w, m, v], [g]| update([w, g, m, v], None).0),
        Some(largest) => each([weights, mean, square, largest], [gradient], |[w, m, v, most], [g]| {
            let ([w, m, v], most) = update([w, g, m, v], Some(most));
            [w, m, v, most]
        }),
    }
}

/// A step of gradient descent: with a momentum, which `last` then is of, as Keras 3 has it.
#[inline(never)]
pub fn sgd(weights: &mut [f32], gradient: &[f32], last: Option<(&mut [f32], f32, bool)>, rate: f32) {
    let rate = f32x4::splat(rate);
    match last {
        None => each([weights], [gradient], |[w], [g]| [w - g * rate]),
        Some((last, momentum, nesterov)) => {
            let momentum = f32x4::splat(momentum);
            each([weights, last], [gradient], |[w, m], [g]| {
                let m = flush(m * momentum - g * rate);
                let w = if nesterov { w + (m * momentum - g * rate) } else { w + m };
                [w, m]
            });
        }
    }
}

/// A step of RMSprop (Hinton 2012), as Keras 3 has it: with a momentum, which `last` then is of; with `mean`, centered.
#[inline(never)]
pub fn rmsprop(
    weights: &mut [f32],
    gradient: &[f32],
    square: &mut [f32],
    last: Option<(&mut [f32], f32)>,
    mean: Option<&mut [f32]>,
    rate: f32,
    [rho, epsilon]: [f64; 2],
) {
    let [keep, add] = [rho, 1.0 - rho].map(|share| f32x4::splat(share as f32));
    let (rate, epsilon) = (f32x4::splat(rate), f32x4::splat(epsilon as f32));
    let momentum = f32x4::splat(last.as_ref().map_or(0.0, |(_, momentum)| *momentum));
    let increment = |g: f32x4, v: f32x4, mean: f32x4| rate * g / (v - mean * mean + epsilon).sqrt();
    let square_of = |g: f32x4, v: f32x4| flush(keep * v + add * (g * g));
    match (last, mean) {
        (None, None) => each([weights, square], [gradient], |[w, v], [g]| {
            let v = square_of(g, v);
            [w - increment(g, v, f32x4::ZERO), v]
        }),
        (Some((last, _)), None) => each([weights, square, last], [gradient], |[w, v, last], [g]| {
            let v = square_of(g, v);
            let last = flush(momentum * last + increment(g, v, f32x4::ZERO));
            [w - last, v, last]
        }),
        (None, Some(mean)) => each([weights, square, mean], [gradient], |[w, v, mean], [g]| {
            let (v, mean) = (square_of(g, v), flush(keep * mean + add * g));
            [w - increment(g, v, mean), v, mean]
        }),
        (Some((last, _)), Some(mean)) => {
            each([weights, square, last, mean], [gradient], |[w, v, last, mean], [g]| {
                let (v, mean) = (square_of(g, v), flush(keep * mean + add * g));
                let last = flush(momentum * last + increment(g, v, mean));
                [w - last, v, last, mean]
            });
        }
    }
}

/// A step of Adagrad (Duchi et al. 2011), as Keras 3 has it.
#[inline(never)]
pub fn adagrad(weights: &mut [f32], gradient: &[f32], squares: &mut [f32], rate: f32, epsilon: f32) {
    let (rate, epsilon) = (f32x4::splat(rate), f32x4::splat(epsilon));
    each([weights, squares], [gradient], |[w, sum], [g]| {
        let sum = sum + g * g;
        [w - rate * g / (sum + epsilon).sqrt(), sum]
    });
}

/// `weights · factor`, in place.
pub fn scale(weights: &mut [f32], factor: f32) {
    let factor = f32x4::splat(factor);
    each([weights], [], |[w], []| [w * factor]);
}

/// `gradient += l1 · sign(w) + 2 · l2 · w`
pub fn penalise(gradient: &mut [f32], weights: &[f32], l1: f32, l2: f32) {
    for (gradient, w) in gradient.iter_mut().zip(weights) {
        let sign = if *w == 0.0 { 0.0 } else { w.signum() };
        *gradient += l1 * sign + 2.0 * l2 * w;
    }
}

/// The sum of the squares, in double precision: not finite if any value is not.
#[inline(never)]
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let (blocks, rest) = values.as_chunks::<1024>();
    let square = |values: &[f32]| {
        let (vectors, rest) = values.as_chunks::<4>();
        let sum = vectors.iter().fold(f32x4::ZERO, |sum, &x| {
            let x = f32x4::new(x);
            sum + x * x
        });
        f64::from(sum.reduce_add()) + rest.iter().map(|x| f64::from(x * x)).sum::<f64>()
    };
    blocks.iter().map(|block| square(block)).sum::<f64>() + square(rest)
}

/// Changes slices of one length, value by value, by others of that length.
#[inline(always)]
fn each<const N: usize, const M: usize>(
    mut changed: [&mut [f32]; N],
    read: [&[f32]; M],
    function: impl Fn([f32x4; N], [f32x4; M]) -> [f32x4; N],
) {
    let length = changed[0].len();
    assert!(
        changed.iter().all(|slice| slice.len() == length) && read.iter().all(|slice| slice.len() == length)
    );
    let vectors = length / 4;
    // Before the loop, for the compiler to leave out the checks in it.
    let whole = changed.each_mut().map(|slice| slice.as_chunks_mut::<4>().0);
    let others = read.map(|slice| slice.as_chunks::<4>().0);
    let mut whole = whole.map(|slice| &mut slice[..vectors]);
    let others = others.map(|slice| &slice[..vectors]);
    for at in 0..vectors {
        let old = std::array::from_fn(|i| f32x4::new(whole[i][at]));
        let new = function(old, others.map(|slice| f32x4::new(slice[at])));
        for (slice, new) in whole.iter_mut().zip(new) {
            slice[at] = new.to_array();
        }
    }
    for at in 4 * vectors..length {
        let old = std::array::from_fn(|i| f32x4::splat(changed[i][at]));
        let new = function(old, read.map(|slice| f32x4::splat(slice[at])));
        for (slice, new) in changed.iter_mut().zip(new) {
            slice[at] = new.to_array()[0];
        }
    }
}
