//! Weights in the types that files keep them in.

use crate::{Dtype, Error, Layer, LayerKind, Model, Result, Tensor, tensor::reserve};
use std::borrow::Cow;

/// The weights of a layer under one name, ready to be written.
pub struct Stored<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// The name within the layer.
    pub weight: &'static str,
    /// Shape, and values as they were.
    pub tensor: Cow<'a, Tensor>,
    /// The values as they are kept.
    pub values: Values,
}

/// Values as they are kept, little-endian, row-major.
pub enum Values {
    /// As they were.
    F32,
    /// Rounded.
    F16(Vec<u8>),
    /// Divided and rounded.
    Int8 {
        /// The quotients.
        bytes: Vec<u8>,
        /// The divisor of each position of the last axis.
        scale: Vec<f32>,
    },
}

impl<'a> Stored<'a> {
    /// Every weight of a model, in the order of its layers.
    ///
    /// # Errors
    /// `Value` for weights that the type cannot hold.
    pub fn all(model: &'a Model, dtype: Dtype) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for layer in &model.layers {
            all.extend(Self::of_layer(layer, dtype)?);
        }
        Ok(all)
    }

    /// The weights of one layer.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub fn of_layer(layer: &'a Layer, dtype: Dtype) -> Result<Vec<Self>> {
        let weights = layer.kind.weights().into_iter();
        let stored = weights.map(|(weight, tensor)| {
            let values =
                if is_large(&layer.kind, weight) { converted(tensor, dtype) } else { Ok(Values::F32) };
            let values = values.map_err(|error| error.layer(&layer.name).tensor(weight))?;
            Ok(Self { layer: &layer.name, weight, tensor: Cow::Borrowed(tensor), values })
        });
        stored.collect()
    }
}

/// Whether these are the weights that make up a file's size.
fn is_large(kind: &LayerKind, weight: &str) -> bool {
    matches!(kind, LayerKind::Dense { .. } | LayerKind::Embedding { .. }) && weight != "bias"
}

fn converted(tensor: &Tensor, dtype: Dtype) -> Result<Values> {
    match dtype {
        Dtype::F32 => Ok(Values::F32),
        Dtype::F16 => f16(tensor.data()).map(Values::F16),
        Dtype::Int8 => int8(tensor),
    }
}

fn f16(values: &[f32]) -> Result<Vec<u8>> {
    let mut bytes = reserve(values.len().saturating_mul(2))?;
    for &value in values {
        let half = half::f16::from_f32(value);
        if half.is_infinite() && value.is_finite() {
            return Err(Error::value("a weight exceeds 65504, the largest 16-bit float; save as f32"));
        }
        bytes.extend(half.to_le_bytes());
    }
    Ok(bytes)
}

/// Each position of the last axis, which is a unit's weights, by its largest absolute value.
fn int8(tensor: &Tensor) -> Result<Values> {
    let values = tensor.data();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::value(
            "a weight is infinite or not a number, which int8 cannot hold; save as f32",
        ));
    }
    let width = tensor.shape().last().copied().unwrap_or(1).max(1);
    let mut scale = reserve(width)?;
    scale.resize(width, 0.0f32);
    for row in values.chunks_exact(width) {
        scale.iter_mut().zip(row).for_each(|(largest, value)| *largest = largest.max(value.abs()));
    }
    scale.iter_mut().for_each(|largest| *largest /= 127.0);
    let mut bytes = reserve(values.len())?;
    for row in values.chunks_exact(width) {
        // A column of zeros has the scale 0, and 0/0 is NaN, which becomes 0.
        bytes.extend(row.iter().zip(&scale).map(|(value, scale)| (value / scale).round() as i8 as u8));
    }
    Ok(Values::Int8 { bytes, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_is_symmetric_and_has_a_scale_for_each_unit() {
        let tensor = Tensor::new(vec![2, 3], vec![-2.0, 0.0, 1.0, 1.0, 0.0, 0.25]).unwrap();
        let Values::Int8 { bytes, scale } = int8(&tensor).unwrap() else { panic!("not int8") };
        assert_eq!(scale, [2.0 / 127.0, 0.0, 1.0 / 127.0]);
        assert_eq!(bytes.iter().map(|&byte| byte as i8).collect::<Vec<_>>(), [-127, 0, 127, 64, 0, 32]);
    }

    #[test]
    fn weights_that_a_type_cannot_hold_are_refused() {
        assert!(f16(&[65504.0]).is_ok());
        assert!(f16(&[1e6]).is_err());
        let tensor = Tensor::new(vec![1, 1], vec![f32::NAN]).unwrap();
        assert!(int8(&tensor).is_err());
    }
}
