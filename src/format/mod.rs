//! Model files: found out from their content, never from their name.

pub mod container;
#[cfg(feature = "formats")]
mod crc32;
#[cfg(feature = "formats")]
mod detect;
#[cfg(feature = "formats")]
mod files;
#[doc(hidden)]
pub mod json;
#[cfg(feature = "formats")]
pub mod keras;
#[cfg(feature = "formats")]
mod names;
#[cfg(feature = "formats")]
pub mod onnx;
pub(crate) mod safetensors;
#[cfg(feature = "formats")]
mod stored;
#[cfg(feature = "formats")]
mod table;
#[cfg(feature = "formats")]
pub mod tfjs;
#[cfg(feature = "formats")]
pub mod torch;
#[cfg(feature = "formats")]
mod write;

#[cfg(feature = "formats")]
pub use files::{Options, companions, format_of, read_as, read_files, read_with};

use crate::{Error, Model, Result};
#[cfg(feature = "formats")]
pub use write::{Output, write};

/// The files of a model by name: most have one, others keep their weights in files beside it.
pub type Files<'a> = [(&'a str, &'a [u8])];

/// What the engine tells apart: it reads one format, and all others are for the formats module to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors with an architecture: nearside's own.
    Container,
    /// Anything else.
    Foreign,
}

impl Format {
    /// The format's name for JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Foreign => "foreign",
        }
    }
}

/// Start of an HDF5 superblock (HDF5 File Format Specification 3.0, II.A).
#[cfg(feature = "formats")]
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Finds out what a file is from its first bytes.
///
/// # Errors
/// `Format` when it can be no model.
pub fn detect(start: &[u8]) -> Result<Format> {
    if start.is_empty() {
        return Err(Error::format("the file is empty").offset(0));
    }
    let text = start.trim_ascii_start();
    let is_html = |tag: &&[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if [&b"<!doctype"[..], b"<html", b"<head", b"<!--"].iter().any(is_html) {
        return Err(Error::format("this is a web page, not a model file; check its address").offset(0));
    }
    match container::is_container(start) {
        true => Ok(Format::Container),
        false => Ok(Format::Foreign),
    }
}

/// Reads a model file of any format that this build has.
///
/// # Errors
/// `Format` for damaged bytes, `Unsupported` for what nearside does not implement, `Shape` for weights that do not
/// fit their layers.
#[cfg(feature = "formats")]
pub fn read(bytes: &[u8]) -> Result<Model> {
    read_files(&[("", bytes)], None)
}

/// Reads a container, the only format this build has.
///
/// # Errors
/// As [`container::read`].
#[cfg(not(feature = "formats"))]
pub fn read(bytes: &[u8]) -> Result<Model> {
    match detect(bytes)? {
        Format::Container => container::read(bytes),
        Format::Foreign => Err(Error::unsupported(
            "this build reads nearside's own .safetensors files; others are read with the feature 'formats'",
        )),
    }
}
