//! Keras's `.h5` files: what `model.save('model.h5')` writes in Keras 1, 2 (standalone and `tf.keras`) and 3.
//!
//! The format is defined by Keras's `legacy_h5_format.py`
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
//! Skipped knowingly, because they cannot change what the model predicts: `training_config`, `optimizer_weights`,
//! `backend`, and attributes that users add.
//!
//! Names are followed from the configuration to the datasets; the file is never walked, because links in a hostile file
//! can lead anywhere.

mod activation;
mod architecture;
mod fields;
mod float;
mod graph;
mod hdf5;
mod layer;
mod named;
mod superblock;
#[cfg(test)]
mod tests;
pub mod write;

use crate::{Error, Model, Result, Tensor};
use hdf5::{Group, Hdf5};
use std::collections::{BTreeSet, HashMap};

/// Major version of the Keras that wrote the file: some names changed their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KerasVersion(u32);

/// Reads an `.h5` file that holds a whole model.
///
/// # Errors
/// `Format` for damaged or truncated bytes and for files that are no Keras model, `Unsupported` for models that
/// nearside does not run and for files that hold weights alone, `Shape` for weights that do not fit their layers.
pub fn read_h5(bytes: &[u8]) -> Result<Model> {
    let mut file = Hdf5::open(bytes)?;
    let root = file.attributes(&file.root(), "/")?;
    let Some(config) = root.text("model_config")? else {
        return Err(without_architecture(&file, root.list("layer_names")?.is_some()));
    };
    let version = KerasVersion::parse(root.text("keras_version")?)?;
    let architecture = architecture::read(config, version)?;
    let mut weights = Weights::open(&file)?;
    let model = architecture.build(|layer, shapes| weights.take(&mut file, layer, shapes))?;
    weights.all_taken(&file)?;
    Ok(model)
}

/// Builds a model from its configuration and from weights that another format keeps by name.
///
/// # Errors
/// As [`read_h5`], and as `take`, which finds a weight by one of the `names`.
pub(super) fn read_named(
    config: &str,
    version: &str,
    names: Vec<String>,
    mut take: impl FnMut(&str) -> Result<Tensor>,
) -> Result<Model> {
    let architecture = architecture::read(config, KerasVersion::parse(Some(version))?)?;
    let mut names = named::Names::new(names);
    let model = architecture.build(|layer, shapes| {
        let tensor = |(name, shape): (String, &Vec<usize>)| {
            let tensor = take(&name)?;
            match tensor.shape() == shape {
                true => Ok(tensor),
                false => {
                    let there = tensor.shape();
                    let message = format!("the file has shape {there:?}, the architecture needs {shape:?}");
                    Err(Error::shape(message).tensor(name))
                }
            }
        };
        names.take(layer, shapes.len())?.into_iter().zip(shapes).map(tensor).collect()
    })?;
    names.finish()?;
    Ok(model)
}

impl KerasVersion {
    /// From `keras_version`, which Keras wrote from 1.1 on.
    fn parse(version: Option<&str>) -> Result<Self> {
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

/// What an HDF5 file without `model_config` is: weights, in Keras 1 and 2's layout (`layer_names` on the root) or in
/// Keras 3's `.weights.h5`, or something else.
fn without_architecture(file: &Hdf5, has_layer_names: bool) -> Error {
    let root = file.root();
    if has_layer_names
        || ["layers", "_layer_checkpoint_dependencies"].iter().any(|name| root.group(name).is_ok())
    {
        return Error::unsupported(
            "this .h5 file holds weights but no architecture; save the whole model with model.save('model.h5')",
        );
    }
    Error::format("this HDF5 file has no attribute 'model_config', so it is no Keras model")
}

/// The group `model_weights`.
struct Weights {
    group: Group,
    /// Its groups, found in one pass: a look-up by name would read the group's whole index for each layer.
    groups: HashMap<String, Group>,
    /// Names in `layer_names` that no layer of the architecture has taken yet.
    left: BTreeSet<String>,
}

const WEIGHTS: &str = "model_weights";

impl Weights {
    fn open(file: &Hdf5) -> Result<Self> {
        let group = file.group(&file.root(), WEIGHTS, WEIGHTS)?;
        let left = file.attributes(&group, WEIGHTS)?.list("layer_names")?;
        let left =
            left.ok_or_else(|| Error::format("the attribute 'layer_names' is missing").tensor(WEIGHTS))?;
        let groups = file.groups(&group, WEIGHTS)?;
        Ok(Self { group, groups, left: left.into_iter().collect() })
    }

    /// A layer's weights, which must be of exactly these shapes.
    fn take(&mut self, file: &mut Hdf5, layer: &str, shapes: &[Vec<usize>]) -> Result<Vec<Tensor>> {
        let place = format!("{WEIGHTS}/{layer}");
        if !self.left.remove(layer) {
            return Err(Error::format("the file has no weights of this layer").tensor(place));
        }
        let (group, names) = self.names(file, layer)?;
        if names.len() != shapes.len() {
            let (there, needed) = (names.len(), shapes.len());
            return Err(Error::format(format!(
                "the file has {there} weights of this layer, {needed} are needed"
            ))
            .tensor(place));
        }
        let tensors = names.iter().zip(shapes);
        tensors.map(|(name, shape)| file.tensor(&group, name, &format!("{place}/{name}"), shape)).collect()
    }

    /// Fails if the file has weights that the architecture does not account for.
    fn all_taken(&mut self, file: &Hdf5) -> Result<()> {
        // Weights of the model itself rather than of a layer; written by Keras ≥ 2.6, and empty in functional models.
        let of_model = "top_level_model_weights".to_string();
        let extra = self.groups.contains_key(&of_model).then_some(of_model);
        for layer in std::mem::take(&mut self.left).into_iter().chain(extra) {
            let (_, names) = self.names(file, &layer)?;
            if let Some(name) = names.first() {
                return Err(Error::format("the architecture has no such weight")
                    .tensor(format!("{WEIGHTS}/{layer}/{name}"))
                    .layer(layer));
            }
        }
        Ok(())
    }

    /// A layer's group and its `weight_names`.
    fn names(&self, file: &Hdf5, layer: &str) -> Result<(Group, Vec<String>)> {
        let place = format!("{WEIGHTS}/{layer}");
        let group = match self.groups.get(layer) {
            Some(group) => group.clone(),
            // Keras 2 allows '/' in a layer's name, which nests its group.
            None => file.group(&self.group, layer, &place)?,
        };
        let names = file.attributes(&group, &place)?.list("weight_names")?;
        match names {
            Some(names) => Ok((group, names)),
            None => Err(Error::format("the attribute 'weight_names' is missing").tensor(place)),
        }
    }
}
