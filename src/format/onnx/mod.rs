//! ONNX files: what PyTorch, Keras, tf2onnx, scikit-learn and others export.
//!
//! The format is defined by <https://github.com/onnx/onnx/blob/main/docs/IR.md> and its protobuf schema,
//! `onnx.proto`; the operators by <https://onnx.ai/onnx/operators/>.
//!
//! A file is read for the layers it is made of: what depends on constants alone is computed at once (shapes above
//! all), nodes that no output needs are passed over, and every other operator becomes one or more layers.
//!
//! ONNX's tensors have the batch axis that a [`Model`] leaves out. A graph is taken for one over batches when the first
//! axis of each input is open or of length 1; `value::Batch` follows that axis through the graph. When something
//! works across it (a transposition, a sum over the batch …) and all lengths are in the file, the graph is read once
//! more as one of a single sample that has all the axes.
//!
//! Skipped knowingly, because they cannot change what the model predicts: documentation and metadata, training
//! information, the types of inner tensors, and where operators are meant to run.

mod call;
mod file;
mod fold;
mod graph;
mod input;
mod layers;
mod operations;
mod ops;
mod proto;
mod read;
mod tensor;
mod value;
pub(super) mod write;

use crate::{Error, Model, Result, format::Files};
use file::File;
use proto::varint;

/// Whether a file that starts so may be ONNX: fields of `ModelProto`, the version of the format first.
pub fn is_onnx(start: &[u8]) -> bool {
    let mut rest = start;
    let mut fields = 0;
    // ir_version is the first field that every writer writes; 1, before ONNX was released, is TensorFlow's SavedModel.
    if !matches!(start, [0x08, 2..=0x7f, ..]) {
        return false;
    }
    while let Some((tag, behind)) = varint(rest) {
        // A model's fields: numbers (wire type 0) and what has a length (2).
        let known =
            matches!(tag, 0x08 | 0x28 | 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42 | 0x72 | 0xa2 | 0xca | 0xd2);
        let Some((value, behind)) = varint(behind).filter(|_| known) else { return false };
        fields += 1;
        let skipped = if tag & 7 == 2 { usize::try_from(value).unwrap_or(usize::MAX) } else { 0 };
        match behind.get(skipped..) {
            Some(behind) if !behind.is_empty() => rest = behind,
            // The start ends within a field, or the file with it.
            _ => break,
        }
    }
    fields > 1
}

/// The files that a model needs beside its own, as paths below its folder: data that is kept outside.
///
/// # Errors
/// `Format` for damaged bytes, and for paths that lead elsewhere.
pub fn companions(bytes: &[u8]) -> Result<Vec<String>> {
    let names = File::open(bytes)?.locations()?;
    Ok(names.iter().map(|(name, ())| name.to_string()).collect())
}

/// Reads a model, with the [`companions`] in `files`.
///
/// # Errors
/// `Format` for damaged bytes and graphs that are none, `Unsupported` for operators, attributes and types that
/// nearside does not run, `Shape` for tensors that do not fit together; all name the node or the tensor.
pub fn read(bytes: &[u8], files: &Files) -> Result<Model> {
    read::model(&mut File::open(bytes)?, files)
}

/// An error with the node's name as its place, and the operator's in front unless it is about a tensor.
fn at(error: Error, op: &str, node: &str) -> Error {
    let error = match error.context().tensor {
        Some(_) => error,
        None => Error::new(error.kind(), format!("{op}: {error}")),
    };
    error.layer(node)
}
