//! The bytes of a program's buffers, little-endian as GPUs and WebAssembly have them.

use crate::{Dtype, Plan};
use std::borrow::Cow;

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// Weights as they are.
    Values {
        /// Which of the plan's.
        weights: usize,
    },
    /// A dense layer's kernel, row by row (inputs × units), in rows of a multiple of four units: those added are zeros.
    Kernel {
        /// Which of the plan's weights.
        weights: usize,
        /// Rows.
        inputs: usize,
        /// Values a row, those added left out.
        units: usize,
        /// Four bytes a weight, two, or one.
        dtype: Dtype,
    },
    /// For 8-bit weights, the factor of each unit, and zeros behind them.
    Scales {
        /// Which of the plan's weights.
        weights: usize,
        /// How many factors.
        units: usize,
    },
    /// One of the plan's tables.
    Positions {
        /// Which.
        table: usize,
    },
}

impl Buffer {
    /// Bytes.
    pub fn size(self, plan: &Plan) -> usize {
        match self {
            Self::Values { weights } => 4 * plan.weights[weights].data().len(),
            Self::Kernel { inputs, units, dtype, .. } => {
                let each = match dtype {
                    Dtype::F32 => 4,
                    Dtype::F16 => 2,
                    Dtype::Int8 => 1,
                };
                inputs * units.next_multiple_of(4) * each
            }
            Self::Scales { units, .. } => 4 * units.next_multiple_of(4),
            Self::Positions { table } => 4 * plan.tables[table].len(),
        }
    }

    /// The bytes: the plan's own where they are as the GPU reads them.
    pub fn bytes(self, plan: &Plan) -> Cow<'_, [u8]> {
        match self {
            Self::Values { weights } => bytemuck::cast_slice(plan.weights[weights].data()).into(),
            Self::Kernel { weights, units, dtype, .. } => {
                let kernel = plan.weights[weights].data();
                match dtype {
                    Dtype::F32 if units % 4 == 0 => bytemuck::cast_slice(kernel).into(),
                    Dtype::F32 => padded(kernel, units, |_, weight| weight.to_bits().to_le_bytes()),
                    Dtype::F16 => {
                        padded(kernel, units, |_, weight| half::f16::from_f32(weight).to_bits().to_le_bytes())
                    }
                    Dtype::Int8 => {
                        let scales = scales(kernel, units);
                        // A unit of zeros has the factor 0, and 0/0 is NaN, which becomes 0.
                        padded(kernel, units, |unit, weight| {
                            ((weight / scales[unit]).round_ties_even() as i8).to_le_bytes()
                        })
                    }
                }
            }
            Self::Scales { weights, units } => {
                let mut scales = scales(plan.weights[weights].data(), units);
                scales.resize(units.next_multiple_of(4), 0.0);
                bytemuck::cast_slice(&scales).to_vec().into()
            }
            Self::Positions { table } => bytemuck::cast_slice(&plan.tables[table]).into(),
        }
    }
}

/// Each unit's largest weight over the largest whole number: as the CPU's.
fn scales(kernel: &[f32], units: usize) -> Vec<f32> {
    let mut scales = vec![0.0f32; units];
    for row in kernel.chunks_exact(units) {
        scales.iter_mut().zip(row).for_each(|(scale, weight)| *scale = scale.max(weight.abs()));
    }
    scales.iter().map(|largest| largest / 127.0).collect()
}

/// Every weight's bytes, and zeros that fill each row up to a multiple of four.
fn padded<const N: usize>(
    kernel: &[f32],
    units: usize,
    bytes: impl Fn(usize, f32) -> [u8; N],
) -> Cow<'static, [u8]> {
    let width = units.next_multiple_of(4) * N;
    let mut all = vec![0; kernel.len() / units * width];
    for (row, place) in kernel.chunks_exact(units).zip(all.chunks_exact_mut(width)) {
        for (unit, (&weight, place)) in row.iter().zip(place.chunks_exact_mut(N)).enumerate() {
            place.copy_from_slice(&bytes(unit, weight));
        }
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Layer, LayerKind, Model, Tensor};

    /// The bytes of a kernel of these rows.
    fn kernel(rows: &[&[f32]], dtype: Dtype) -> Vec<u8> {
        let (inputs, units) = (rows.len(), rows[0].len());
        let kernel = Tensor::new(vec![inputs, units], rows.concat()).unwrap();
        let dense = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
        let layers =
            vec![Layer::new("x", LayerKind::Input { shape: vec![inputs] }), Layer::new("dense", dense)];
        let plan = Plan::compile(&Model::sequential("m", layers).unwrap()).unwrap();
        let buffer = Buffer::Kernel { weights: 0, inputs, units, dtype };
        let bytes = buffer.bytes(&plan).into_owned();
        assert_eq!(bytes.len(), buffer.size(&plan));
        bytes
    }

    #[test]
    fn rows_are_filled_up_with_zeros() {
        let bytes = kernel(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]], Dtype::F32);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes), [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
    }

    #[test]
    fn halves_are_in_order() {
        let bytes = kernel(&[&[1.0, -2.0, 0.5, 65504.0]], Dtype::F16);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, u16>(&bytes), [0x3c00, 0xc000, 0x3800, 0x7bff]);
    }

    #[test]
    fn a_units_largest_weight_is_127() {
        let bytes = kernel(&[&[1.0, 0.0, -3.0], &[-0.5, 0.0, 1.5]], Dtype::Int8);
        assert_eq!(
            bytes.iter().map(|&byte| byte as i8).collect::<Vec<_>>(),
            [127, 0, -127, 0, -64, 0, 64, 0]
        );
    }

    #[test]
    fn weights_that_a_type_cannot_hold_are_kept_as_they_are() {
        assert_eq!(Dtype::F16.for_weights(&[7e4]), Dtype::F32);
        assert_eq!(Dtype::Int8.for_weights(&[7e4]), Dtype::Int8);
        assert_eq!(Dtype::Int8.for_weights(&[f32::NAN]), Dtype::F32);
    }
}
