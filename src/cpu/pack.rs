//! Weights in the order in which the kernels read them, and in the type in which they are kept.

use nearside_kernels::{Dtype, PANEL, PackedDense, Weights};
use std::collections::TryReserveError;

/// A packed kernel, and how far it is from what it was: the root of the mean square of the differences, in proportion to
/// that of the weights. For inputs without a pattern it is the outputs' error as well.
pub struct Packed {
    pub dense: PackedDense,
    pub error: f64,
}

/// Packs a kernel of shape (inputs, units), row-major, and its bias. Weights that the type cannot hold, those that are not
/// finite or for F16 beyond 65504, make it F32.
///
/// # Errors
/// When the packed copy cannot be allocated.
pub fn pack(
    kernel: &[f32],
    bias: Option<&[f32]>,
    inputs: usize,
    units: usize,
    dtype: Dtype,
) -> Result<Packed, TryReserveError> {
    let dtype = dtype.for_weights(kernel);
    let panels = units.div_ceil(PANEL);
    let mut weights = match dtype {
        Dtype::F32 => Weights::F32(reserve(panels * inputs)?),
        Dtype::F16 => Weights::F16(reserve(panels * inputs)?),
        Dtype::Int8 => Weights::Int8(reserve(panels * inputs.div_ceil(2))?, reserve(panels)?),
    };
    let mut differences = 0.0;
    let mut difference = |was: f32, is: f32| differences += (f64::from(was) - f64::from(is)).powi(2);
    for panel in 0..panels {
        let row = |input: usize| row(kernel.get(input * units..(input + 1) * units), panel);
        match &mut weights {
            Weights::F32(rows) => {
                for input in 0..inputs {
                    rows.push(bytemuck::cast(row(input)));
                }
            }
            Weights::F16(halves) => {
                for input in 0..inputs {
                    let half = row(input).map(|w| {
                        let half = half::f16::from_f32(w);
                        difference(w, half.to_f32());
                        half.to_bits().cast_signed()
                    });
                    halves.push(bytemuck::cast(half));
                }
            }
            Weights::Int8(pairs, scales) => {
                let mut scale = [0.0f32; PANEL];
                for input in 0..inputs {
                    scale.iter_mut().zip(row(input)).for_each(|(scale, w)| *scale = scale.max(w.abs()));
                }
                let scale = scale.map(|largest| largest / 127.0);
                for input in (0..inputs).step_by(2) {
                    let mut pair = [[0i8; 2]; PANEL];
                    for (place, input) in [input, input + 1].into_iter().enumerate() {
                        for ((pair, w), scale) in pair.iter_mut().zip(row(input)).zip(scale) {
                            // A unit of zeros has the factor 0, and 0/0 is NaN, which becomes 0.
                            pair[place] = (w / scale).round_ties_even() as i8;
                            difference(w, f32::from(pair[place]) * scale);
                        }
                    }
                    pairs.push(bytemuck::cast(pair));
                }
                scales.push(bytemuck::cast(scale));
            }
        }
    }
    let bias = (0..panels).map(|panel| bytemuck::cast(row(bias, panel))).collect();
    let size = || kernel.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
    // Where nothing differs the size may be 0.
    let error = if differences > 0.0 { (differences / size()).sqrt() } else { 0.0 };
    Ok(Packed { dense: PackedDense { weights, bias, inputs, units }, error })
}

fn reserve<T>(len: usize) -> Result<Vec<T>, TryReserveError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len)?;
    Ok(list)
}

/// The values of one panel in a row, zeros beyond its end; all zeros where there is no row.
fn row(row: Option<&[f32]>, panel: usize) -> [f32; PANEL] {
    let mut values = [0.0; PANEL];
    if let Some(rest) = row.and_then(|row| row.get(panel * PANEL..)) {
        let width = rest.len().min(PANEL);
        values[..width].copy_from_slice(&rest[..width]);
    }
    values
}
