//! Model files: found out from their content, never from their name.

pub mod container;
pub(crate) mod json;
#[cfg(feature = "formats")]
pub mod keras;
pub(crate) mod safetensors;

use crate::{Error, Model, Result};

/// The files of a model by name: most have one, others keep their weights in files beside it.
pub type Files<'a> = [(&'a str, &'a [u8])];

/// The formats that can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors with an architecture: nearside's own.
    Container,
    /// HDF5, as Keras's `model.save('model.h5')` writes it.
    Hdf5,
    /// A zip archive, as Keras 3's `model.save('model.keras')` writes it.
    Zip,
    /// A web page, where a model was expected.
    Html,
}

impl Format {
    /// The format's name for JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Hdf5 => "hdf5",
            Self::Zip => "zip",
            Self::Html => "html",
        }
    }
}

/// Start of an HDF5 superblock (HDF5 File Format Specification 3.0, II.A).
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Finds out what a file is.
///
/// # Errors
/// `Format` when it is nothing nearside knows, with the first bytes.
pub fn detect(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::format("the file is empty").offset(0));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Zip);
    }
    // The superblock may follow a user block of 512, 1024, 2048 … bytes.
    let user_blocks = std::iter::once(0).chain((9..usize::BITS).map(|power| 1usize << power));
    if user_blocks
        .take_while(|&start| start < bytes.len())
        .any(|start| bytes[start..].starts_with(HDF5_SIGNATURE))
    {
        return Ok(Format::Hdf5);
    }
    let text = bytes.trim_ascii_start();
    if [&b"<!doctype"[..], b"<html", b"<head", b"<!--"]
        .iter()
        .any(|tag| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
    {
        return Ok(Format::Html);
    }
    if container::is_container(bytes) {
        return Ok(Format::Container);
    }
    let mut start = String::new();
    bytes.iter().take(8).for_each(|byte| start.push_str(&format!(" {byte:02x}")));
    Err(Error::format(format!(
        "not a model file: it starts with{start}; a Keras .h5 file (model.save('model.h5')) or a nearside \
         .safetensors file is needed"
    ))
    .offset(0))
}

/// Reads a model file of any format that this build has.
///
/// # Errors
/// `Format` for damaged bytes, `Unsupported` for what nearside does not implement, `Shape` for weights that do not
/// fit their layers.
pub fn read(bytes: &[u8]) -> Result<Model> {
    match detect(bytes)? {
        Format::Container => container::read(bytes),
        #[cfg(feature = "formats")]
        Format::Hdf5 => keras::read_h5(bytes, None),
        #[cfg(not(feature = "formats"))]
        Format::Hdf5 => {
            Err(Error::unsupported("this build reads no HDF5; build it with the feature 'formats'"))
        }
        #[cfg(feature = "formats")]
        Format::Zip => keras::read_archive(bytes),
        #[cfg(not(feature = "formats"))]
        Format::Zip => {
            Err(Error::unsupported("this build reads no zip archives; build it with the feature 'formats'"))
        }
        Format::Html => Err(Error::format("this is a web page, not a model file; check its address")),
    }
}
