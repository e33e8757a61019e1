//! Saving a model in the formats of others.

use super::{container, keras, onnx};
use crate::{Dtype, Error, Model, Result};

/// The formats that a model can be saved in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// HDF5, as Keras's `model.save('model.h5')` writes it.
    H5,
    /// A zip archive, as Keras 3's `model.save('model.keras')` writes it.
    Keras,
    /// ONNX.
    Onnx,
    /// safetensors with an architecture: nearside's own.
    Safetensors,
}

impl Output {
    /// The format of that name in JavaScript.
    ///
    /// # Errors
    /// `Unsupported` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "h5" => Ok(Self::H5),
            "keras" => Ok(Self::Keras),
            "onnx" => Ok(Self::Onnx),
            "safetensors" => Ok(Self::Safetensors),
            _ => Err(Error::unsupported(format!(
                "the format '{name}' is not written; use 'h5', 'keras', 'onnx' or 'safetensors'"
            ))),
        }
    }
}

/// A file of the model.
///
/// # Errors
/// `Unsupported` for what the format has no words for, with the layer and the formats that have; `Value` for weights
/// that the type cannot hold; as [`Model::shapes`] for a model that is none.
pub fn write(model: &Model, format: Output, dtype: Dtype) -> Result<Vec<u8>> {
    match format {
        Output::H5 => keras::write::write_h5(model, dtype),
        Output::Keras => keras::write::write_keras(model, dtype),
        Output::Onnx => onnx::write::write(model, dtype),
        Output::Safetensors => container::write_as(model, dtype),
    }
}
