//! Keras's files: `.h5` of Keras 1, 2 (standalone and `tf.keras`) and 3, `.keras` archives of Keras 2 and 3, and files
//! of weights with the architecture as JSON.
//!
//! What `model.save('model.h5')` writes is defined by Keras's `legacy_h5_format.py`
//! (<https://github.com/keras-team/keras/blob/master/keras/src/legacy/saving/legacy_h5_format.py>, `hdf5_format.py` in
//! Keras 2) on top of the HDF5 File Format Specification 3.0:
//!
//! ```text
//! /                          attributes model_config (JSON), keras_version, backend, training_config
//! /model_weights             attribute layer_names: every layer, or layer_names0, layer_names1 … when they are long
//! /model_weights/LAYER       attribute weight_names: paths below this group, kernel before bias; split likewise
//! /model_weights/LAYER/…     the datasets
//! /optimizer_weights         the optimizer's state
//! ```
//!
//! Keras 1 and 2's files of weights alone are the group `model_weights` as a file. A `.keras` archive is a zip file with
//! `metadata.json` (the version of Keras), `config.json` (the architecture) and `model.weights.h5`, whose layout is that
//! of Keras 3's files of weights.
//!
//! What the model was compiled with is read where it is asked for, `training_config` and `optimizer_weights`; else it is
//! skipped, because it cannot change what the model predicts. So are `backend`, and attributes that users add.
//!
//! Names are followed from the configuration to the datasets; the file is never walked, because links in a hostile file
//! can lead anywhere.

mod activation;
pub(in crate::format) mod architecture;
mod archive;
mod axes;
mod build;
mod compiled;
mod compose;
mod fields;
mod float;
mod given;
mod graph;
mod hdf5;
mod layer;
mod legacy;
mod merging;
mod named;
mod network;
mod normalization;
mod operation;
mod order;
mod place;
mod preprocessing;
mod regularizer;
mod saved;
mod shaping;
mod slice;
mod spec;
mod state;
mod superblock;
#[cfg(test)]
mod tests;
pub(super) mod write;

use crate::{Error, Model, Result, Tensor, format::json::Value};
use architecture::Architecture;
use archive::Archive;
use fields::Fields;
use hdf5::Hdf5;
use legacy::LegacyWeights;
use named::Names;
use place::Place;
use saved::SavedWeights;
use state::{Traced, Variables};

/// Major version of the Keras that wrote the file: some names changed their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::format) struct KerasVersion(u32);

/// Reads an `.h5` file that holds a whole model, or weights alone, for which `config` is the architecture: the text of
/// `model.to_json()`.
///
/// # Errors
/// `Format` for damaged or truncated bytes and for files that are no Keras model, `Unsupported` for models that
/// nearside does not run and for weights without an architecture, `Shape` for weights that do not fit their layers.
pub fn read_h5(bytes: &[u8], config: Option<&str>) -> Result<Model> {
    read_h5_with(bytes, |_| Ok(config), false)
}

/// [`read_h5`] with the architecture that `config` chooses once it is known whether the file has one of its own, which
/// then is taken; `compiled` asks for what the model was compiled with.
pub(super) fn read_h5_with<'a>(
    bytes: &[u8],
    config: impl FnOnce(bool) -> Result<Option<&'a str>>,
    compiled: bool,
) -> Result<Model> {
    let mut file = Hdf5::open(bytes)?;
    let root = file.attributes(&file.root(), "/")?;
    let version = root.text("keras_version")?;
    let own = root.text("model_config")?;
    let config = config(own.is_some())?;
    if let Some(config) = own {
        let architecture = architecture::read(config, Some(KerasVersion::parse(version)?))?;
        let group = file.group(&file.root(), WEIGHTS, WEIGHTS)?;
        let mut weights = LegacyWeights::open(&file, group, WEIGHTS, &architecture, false)?;
        let built = architecture.build_traced(&mut |layer, shapes| weights.take(&mut file, layer, shapes))?;
        let config = if compiled { root.text("training_config")? } else { None };
        let Some(config) = config else { return Ok(built.0) };
        let config = Value::parse(config.as_bytes(), "'training_config'")?;
        let variables = Variables::of_h5(&file)?;
        return with_compiled(built, &architecture, config, &mut file, variables);
    }
    let is_legacy = root.list("layer_names")?.is_some();
    if !is_legacy && !saved::is_saved(&file) {
        return Err(Error::format("this HDF5 file has no attribute 'model_config', so it is no Keras model"));
    }
    let Some(config) = config else {
        return Err(Error::unsupported(
            "this .h5 file holds weights but no architecture; give it as the option 'config', the text of \
             model.to_json(), or save the whole model with model.save('model.h5')",
        ));
    };
    let version = version.map(|version| KerasVersion::parse(Some(version))).transpose()?;
    let architecture = architecture::read(config, version)?;
    if is_legacy {
        let mut weights = LegacyWeights::open(&file, file.root(), "/", &architecture, true)?;
        return architecture.build(&mut |layer, shapes| weights.take(&mut file, layer, shapes));
    }
    Ok(with_saved_weights(&mut file, &architecture)?.0)
}

/// Reads a `.keras` archive, as Keras 3 writes it, and Keras 2 from 2.12 on.
///
/// # Errors
/// As [`read_h5`].
pub fn read_archive(bytes: &[u8]) -> Result<Model> {
    read_archive_with(bytes, false)
}

/// [`read_archive`]; `compiled` asks for what the model was compiled with.
pub(super) fn read_archive_with(bytes: &[u8], compiled: bool) -> Result<Model> {
    const WEIGHTS: &str = "model.weights.h5";
    let archive = Archive::open(bytes)?;
    let Some(config) = archive.read("config.json")? else {
        return Err(Error::format("this zip archive has no member 'config.json', so it is no Keras model"));
    };
    let version = match archive.read("metadata.json")? {
        Some(metadata) => {
            let metadata = Value::parse(&metadata, "metadata.json")?;
            let version = metadata.get("keras_version").and_then(Value::as_str);
            version.map(|version| KerasVersion::parse(Some(version))).transpose()?
        }
        None => None,
    };
    let architecture = architecture::read(text(&config, "config.json")?, version)?;
    match archive.read(WEIGHTS)? {
        Some(weights) => {
            let mut file = Hdf5::open(&weights)?;
            let built = with_saved_weights(&mut file, &architecture)?;
            let config = match compiled {
                true => {
                    Fields::new(Value::parse(&config, "config.json")?, "config.json")?.take("compile_config")
                }
                false => None,
            };
            let Some(config) = config else { return Ok(built.0) };
            let variables = Variables::of_archive(&file)?;
            with_compiled(built, &architecture, config, &mut file, variables)
        }
        None if archive.has("model.weights.npz") || archive.has("model.weights.json") => Err(
            Error::unsupported("the weights are not in one HDF5 file; save with model.save('model.keras')"),
        ),
        None => Err(Error::format(format!("the archive has no member '{WEIGHTS}'"))),
    }
}

/// Builds a model from its architecture and from weights that another format keeps by name.
///
/// # Errors
/// As [`read_h5`], and as `take`, which gives a weight by one of the `names`.
pub(super) fn read_named(
    config: &str,
    version: Option<KerasVersion>,
    names: Vec<String>,
    take: &mut dyn FnMut(&str) -> Result<Tensor>,
) -> Result<Model> {
    let architecture = architecture::read(config, version)?;
    let mut names = Names::new(names, &architecture);
    let model = architecture.build(&mut |layer, shapes| {
        let found = names.take(layer, shapes.len())?;
        let mut tensors = Vec::with_capacity(found.len());
        for (name, shape) in found.iter().zip(shapes) {
            let tensor = take(name)?;
            if tensor.shape() != shape {
                let there = tensor.shape();
                let message = format!("the file has shape {there:?}, the architecture needs {shape:?}");
                return Err(Error::shape(message).tensor(name));
            }
            tensors.push(tensor);
        }
        Ok(tensors)
    })?;
    names.finish()?;
    Ok(model)
}

fn text<'a>(bytes: &'a [u8], member: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| Error::format("is not UTF-8").tensor(member))
}

fn with_saved_weights(file: &mut Hdf5, architecture: &Architecture) -> Result<(Model, Vec<Vec<Place>>)> {
    let mut weights = SavedWeights::open(file, architecture)?;
    architecture.build_traced(&mut |layer, shapes| weights.take(file, layer, shapes))
}

/// The model with what it was compiled with.
fn with_compiled(
    (mut model, places): (Model, Vec<Vec<Place>>),
    architecture: &Architecture,
    config: Value,
    file: &mut Hdf5,
    variables: Option<Variables>,
) -> Result<Model> {
    let names = architecture.network.output_names();
    let Some((mut compiled, layout)) = compiled::read(config, names, architecture.version)? else {
        return Ok(model);
    };
    if let Some(variables) = variables {
        let traced = Traced { architecture, model: &model, places: &places };
        state::read(file, variables, &traced, &mut compiled, layout)?;
    }
    model.compiled = Some(Box::new(compiled));
    Ok(model)
}

/// The group of a whole-model file that has the weights.
const WEIGHTS: &str = "model_weights";

impl KerasVersion {
    /// Keras 2, and TensorFlow.js.
    pub(in crate::format) const TWO: Self = Self(2);
    /// Keras 3.
    pub(in crate::format) const THREE: Self = Self(3);

    /// From `keras_version`, which Keras wrote from 1.1 on.
    pub(in crate::format) fn parse(version: Option<&str>) -> Result<Self> {
        let Some(version) = version else { return Ok(Self(1)) };
        let major = version.split('.').next().and_then(|major| major.parse().ok());
        match major {
            Some(major @ 1..=3) => Ok(Self(major)),
            Some(_) => Err(Error::unsupported(format!(
                "Keras {version} wrote this file; nearside knows Keras 1, 2 and 3: update nearside"
            ))),
            None => Err(Error::format(format!("keras_version is '{version}', which is no version"))),
        }
    }
}
