//! What a file is, from its content.

use super::{HDF5_SIGNATURE, container, json::Value, onnx, safetensors, tfjs::ModelJson};
use crate::{Error, Result};

/// What a file holds that can be a part of a model.
#[derive(Debug)]
pub(super) enum Content {
    /// safetensors with nearside's architecture.
    Container,
    /// safetensors without one.
    Safetensors,
    /// HDF5, as Keras's `model.save('model.h5')` writes it.
    Hdf5,
    /// A zip archive, as Keras 3's `model.save('model.keras')` writes it.
    Archive,
    /// ONNX.
    Onnx,
    /// TensorFlow.js's `model.json`, parsed.
    Tfjs(ModelJson),
    /// An architecture without weights: Keras's `model.to_json()`, or a list of PyTorch's modules.
    Architecture,
}

impl Content {
    /// The name that the option `format` has for it.
    pub(super) fn format(&self) -> &'static str {
        match self {
            Self::Container | Self::Safetensors => "safetensors",
            Self::Hdf5 => "h5",
            Self::Archive => "keras",
            Self::Onnx => "onnx",
            Self::Tfjs(_) => "tfjs",
            Self::Architecture => "an architecture",
        }
    }
}

const ZIP: &[u8] = b"PK\x03\x04";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds out what a file is.
///
/// # Errors
/// `Unsupported` for the files of other tools, with what to export instead; `Format` for anything else, with the first
/// bytes.
pub(super) fn content(bytes: &[u8]) -> Result<Content> {
    // What is obviously none is known without this module.
    super::detect(bytes)?;
    if bytes.starts_with(ZIP) {
        return archive(bytes);
    }
    if is_hdf5(bytes) {
        return Ok(Content::Hdf5);
    }
    if safetensors::header_start(bytes).is_some() {
        let container = container::is_container(bytes);
        return Ok(if container { Content::Container } else { Content::Safetensors });
    }
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"{") {
        return json(text);
    }
    if let Some(message) = foreign(bytes) {
        return Err(Error::unsupported(message).offset(0));
    }
    if is_saved_model(bytes) {
        return Err(Error::unsupported(
            "this is a TensorFlow SavedModel; load it in Python and save it with model.save('model.keras')",
        ));
    }
    if onnx::is_onnx(bytes) {
        return Ok(Content::Onnx);
    }
    let mut start = String::new();
    bytes.iter().take(8).for_each(|byte| start.push_str(&format!(" {byte:02x}")));
    Err(Error::format(format!(
        "not a model file: it starts with{start}; a Keras file (model.save('model.h5') or 'model.keras'), ONNX, \
         TensorFlow.js's model.json or safetensors is needed"
    ))
    .offset(0))
}

/// The superblock may follow a user block of 512, 1024, 2048 … bytes.
fn is_hdf5(bytes: &[u8]) -> bool {
    let user_blocks = std::iter::once(0).chain((9..usize::BITS).map(|power| 1usize << power));
    let mut starts = user_blocks.map_while(|start| bytes.get(start..));
    starts.any(|rest| rest.starts_with(HDF5_SIGNATURE))
}

/// A zip archive by its first member's name, which follows a header of 30 bytes (APPNOTE.TXT, 4.3.7), and the names
/// that its directory, the last part, repeats.
fn archive(bytes: &[u8]) -> Result<Content> {
    let [start, end] =
        [bytes.get(..1024).unwrap_or(bytes), bytes.last_chunk::<65536>().map_or(bytes, |end| end)];
    if [start, end].iter().any(|part| contains(part, b"data.pkl")) {
        return Err(Error::unsupported(TORCH));
    }
    let length = bytes.get(26..).and_then(|rest| rest.first_chunk());
    let length = length.map_or(0, |length| usize::from(u16::from_le_bytes(*length)));
    let name = bytes.get(30..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    if name.ends_with(b".npy") {
        return Err(Error::unsupported(NUMPY));
    }
    Ok(Content::Archive)
}

/// Protobuf as ONNX is: version 1, and a `MetaGraphDef`, whose first field is a message. ONNX has a name in its place.
fn is_saved_model(bytes: &[u8]) -> bool {
    let graph = bytes.strip_prefix(b"\x08\x01\x12").unwrap_or_default();
    graph.iter().skip_while(|byte| **byte >= 0x80).nth(1) == Some(&0x0a)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn json(text: &[u8]) -> Result<Content> {
    let value = Value::parse(text, "the file").map_err(|error| error.offset(0))?;
    let Value::Object(fields) = &value else { return Err(no_model()) };
    let has = |name: &str| fields.fields().iter().any(|(field, _)| field == name);
    if has("modelTopology") || has("weightsManifest") {
        return ModelJson::new(value).map(Content::Tfjs);
    }
    match has("class_name") || has("layers") {
        true => Ok(Content::Architecture),
        false => Err(no_model()),
    }
}

fn no_model() -> Error {
    Error::format(
        "this is JSON, but neither TensorFlow.js's model.json nor an architecture, as Keras's model.to_json() gives it",
    )
    .offset(0)
}

const TORCH: &str = "this is what torch.save writes: a Python program, which nearside does not run; save the weights \
                     with safetensors.torch.save_file(model.state_dict(), 'model.safetensors'), or the model with \
                     torch.onnx.export(model, x, 'model.onnx')";
const PICKLE: &str = "this is a Python pickle, as joblib.dump writes it: a program, which nearside does not run; \
                      export a scikit-learn model to ONNX with skl2onnx.to_onnx(model, x)";
const NUMPY: &str = "this is a NumPy file: arrays without an architecture; save the whole model, in Keras with \
                     model.save('model.keras')";
const TFLITE: &str = "this is a TensorFlow Lite model; save the Keras model that it was converted from with \
                      model.save('model.keras')";
const COMPRESSED: &str = "this file is compressed as a whole; unpack it first";

/// Formats of other tools that begin like this from the first number on.
static FOREIGN: [(usize, &[u8], &str); 13] = [
    // The magic number of files before PyTorch 1.6.
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", TORCH),
    (0, b"\x80\x02", PICKLE),
    (0, b"\x80\x03", PICKLE),
    (0, b"\x80\x04", PICKLE),
    (0, b"\x80\x05", PICKLE),
    (0, b"\x93NUMPY", NUMPY),
    (4, b"TFL3", TFLITE),
    (0, b"\x1f\x8b", COMPRESSED),
    (0, b"BZh", COMPRESSED),
    (0, b"\xfd7zXZ", COMPRESSED),
    // zlib, as joblib.dump(compress=…) writes.
    (0, b"\x78\x01", PICKLE),
    (0, b"\x78\x9c", PICKLE),
    (0, b"\x78\xda", PICKLE),
];

fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let is = |at: usize, signature: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(signature));
    FOREIGN.iter().find(|(at, signature, _)| is(*at, signature)).map(|(.., message)| *message)
}
