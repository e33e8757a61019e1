//! Weights in the layout of Keras 1 and 2, which Keras 3 writes to whole-model `.h5` files, too: a group for each layer
//! of the model, with the paths of its weights in an attribute. All weights of a nested model are in its group, in an
//! order that depends on what of it is trained, and that differs between Keras 2 and 3.

use super::{
    KerasVersion,
    architecture::{Architecture, LayerWeights, is_learnt},
    hdf5::{Group, Hdf5},
    layer::{Content, Entry},
};
use crate::{
    Error, Result, Tensor,
    format::table::{Names, Table},
};

/// Where the weights of each layer are.
pub(super) struct LegacyWeights {
    /// By the layer's index.
    found: Vec<Option<Found>>,
}

struct Found {
    group: Group,
    /// Path of the group, for messages.
    place: String,
    /// Path of each weight below it.
    paths: Vec<String>,
}

/// A weight: the layer's index, and the weight's among the layer's.
type Slot = (usize, usize);

/// The group that holds a group for each layer.
struct Groups {
    root: Group,
    /// Path of the group, for messages.
    place: &'static str,
    /// Found in one pass: a look-up by name would read the group's whole index for each layer.
    by_name: Table<Group>,
    /// Names in `layer_names`.
    names: Vec<String>,
}

impl LegacyWeights {
    /// Finds the weights in a group: the file's root, or `model_weights`. In the file of another model, whose layers
    /// have other names, they are told apart by their order, as Keras does it.
    pub(super) fn open(
        file: &Hdf5,
        root: Group,
        place: &'static str,
        architecture: &Architecture,
        of_another: bool,
    ) -> Result<Self> {
        let groups = Groups::open(file, root, place)?;
        let listed = architecture.layers();
        let mut found: Vec<Option<Found>> = listed.iter().map(|_| None).collect();
        let mut wanted = Vec::new();
        for entry in &architecture.network.entries {
            let slots = slots(entry, listed, architecture.version);
            if !slots.is_empty() {
                wanted.push((entry, slots));
            }
        }
        let mut there = Names::default();
        for name in &groups.names {
            there.insert(name.clone(), ());
        }
        let renamed = of_another && wanted.iter().any(|(entry, _)| !there.contains(&entry.name));
        let in_order = if renamed { groups.with_weights(file, wanted.len())? } else { Vec::new() };
        let mut taken = Names::default();
        for (index, (entry, slots)) in wanted.iter().enumerate() {
            let name = in_order.get(index).unwrap_or(&entry.name);
            let place = groups.path(name);
            let mut take = || {
                if !there.contains(name) {
                    return Err(Error::format("the file has no weights of this layer").tensor(&place));
                }
                let (group, paths) = groups.weights(file, name)?;
                if paths.len() != slots.len() {
                    let (there, needed) = (paths.len(), slots.len());
                    return Err(Error::format(format!(
                        "the file has {there} weights of this layer, {needed} are needed"
                    ))
                    .tensor(&place));
                }
                fill(&mut found, listed, slots, &group, &place, paths)
            };
            take().map_err(|error| error.layer(&entry.name))?;
            taken.insert(name.clone(), ());
        }
        groups.check_rest(file, &taken)?;
        Ok(Self { found })
    }

    /// A layer's weights, which must be of exactly these shapes.
    pub(super) fn take(
        &mut self,
        file: &mut Hdf5,
        layer: &LayerWeights,
        shapes: &[Vec<usize>],
    ) -> Result<Vec<Tensor>> {
        let found = self.found.get(layer.index).and_then(Option::as_ref);
        let found = found.ok_or_else(|| Error::format("the file has no weights of this layer"))?;
        let mut tensors = Vec::with_capacity(shapes.len());
        for (path, shape) in found.paths.iter().zip(shapes) {
            tensors.push(file.tensor(&found.group, path, &format!("{}/{path}", found.place), shape)?);
        }
        Ok(tensors)
    }
}

impl Groups {
    fn open(file: &Hdf5, root: Group, place: &'static str) -> Result<Self> {
        let names = file.attributes(&root, place)?.list("layer_names")?;
        let names =
            names.ok_or_else(|| Error::format("the attribute 'layer_names' is missing").tensor(place))?;
        let by_name = file.groups(&root, place)?;
        Ok(Self { root, place, by_name, names })
    }

    fn path(&self, layer: &str) -> String {
        match self.place {
            "/" => layer.to_string(),
            place => format!("{place}/{layer}"),
        }
    }

    /// A layer's group and its `weight_names`.
    fn weights(&self, file: &Hdf5, layer: &str) -> Result<(Group, Vec<String>)> {
        let place = self.path(layer);
        let group = match self.by_name.get(layer) {
            Some(group) => group.clone(),
            // Keras 2 allows '/' in a layer's name, which nests its group.
            None => file.group(&self.root, layer, &place)?,
        };
        let names = file.attributes(&group, &place)?.list("weight_names")?;
        match names {
            Some(names) => Ok((group, names)),
            None => Err(Error::format("the attribute 'weight_names' is missing").tensor(place)),
        }
    }

    /// Names of the layers that have weights, which should be so many.
    fn with_weights(&self, file: &Hdf5, needed: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in &self.names {
            if !self.weights(file, name)?.1.is_empty() {
                names.push(name.clone());
            }
        }
        match names.len() {
            there if there == needed => Ok(names),
            there => Err(Error::format(format!(
                "the file has weights of {there} layers, the architecture {needed}: they are not those of one model"
            ))),
        }
    }

    /// Fails if there are weights that the architecture does not account for.
    fn check_rest(&self, file: &Hdf5, taken: &Names) -> Result<()> {
        // Weights of the model itself rather than of a layer; written by Keras ≥ 2.6, and empty in functional models.
        let of_model = "top_level_model_weights".to_string();
        let extra = self.by_name.contains(&of_model).then_some(&of_model);
        for layer in self.names.iter().filter(|name| !taken.contains(name)).chain(extra) {
            let (_, names) = self.weights(file, layer)?;
            if let Some(name) = names.first() {
                return Err(Error::format("the architecture has no such weight")
                    .tensor(format!("{}/{name}", self.path(layer)))
                    .layer(layer));
            }
        }
        Ok(())
    }
}

/// Tells the layers of an entry where their weights are.
fn fill(
    found: &mut [Option<Found>],
    listed: &[LayerWeights],
    slots: &[Slot],
    group: &Group,
    place: &str,
    paths: Vec<String>,
) -> Result<()> {
    for (&(layer, weight), path) in slots.iter().zip(paths) {
        let (Some(found), Some(listed)) = (found.get_mut(layer), listed.get(layer)) else { continue };
        let needed = listed.names.get(weight).copied().unwrap_or_default();
        if !agrees(needed, &path) {
            let message = format!("the file has '{path}' where '{needed}' is needed");
            return Err(Error::format(message).tensor(place).layer(listed.name()));
        }
        let found = found.get_or_insert_with(|| Found {
            group: group.clone(),
            place: place.to_string(),
            paths: vec![String::new(); listed.names.len()],
        });
        if let Some(slot) = found.paths.get_mut(weight) {
            *slot = path;
        }
    }
    Ok(())
}

/// Whether a weight's path may be that of a weight of this name. Keras 1's paths, and names that TensorFlow made
/// unique, tell nothing.
fn agrees(needed: &str, path: &str) -> bool {
    const NAMES: [&str; 12] = [
        "kernel",
        "bias",
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
        "alpha",
        "embeddings",
        "mean",
        "variance",
        "count",
        "scale",
    ];
    let last = path.rsplit('/').next().unwrap_or(path);
    let last = last.split(':').next().unwrap_or(last);
    last == needed || !NAMES.contains(&last)
}

/// The order in which Keras writes the weights of an entry of the model.
fn slots(entry: &Entry, listed: &[LayerWeights], version: KerasVersion) -> Vec<Slot> {
    if version < KerasVersion::THREE {
        return in_keras_2(entry, listed).concat();
    }
    let mut all = Vec::new();
    in_keras_3(entry, listed, &mut all);
    // Those of a model of which nothing is trained stay in their order.
    let first = all.iter().filter(|(_, trained)| *trained || !entry.trainable);
    let rest = all.iter().filter(|(_, trained)| !*trained && entry.trainable);
    first.chain(rest).map(|(slot, _)| *slot).collect()
}

/// What is trained and what is not, of each part of a model before that of the whole.
fn in_keras_2(entry: &Entry, listed: &[LayerWeights]) -> [Vec<Slot>; 2] {
    let mut both = [Vec::new(), Vec::new()];
    match &entry.content {
        Content::Model(network) => {
            for inner in &network.entries {
                let parts = in_keras_2(inner, listed);
                both.iter_mut().zip(parts).for_each(|(all, part)| all.extend(part));
            }
        }
        Content::Layer(_, index) => {
            for (weight, name) in names(listed, *index) {
                let [trained, fixed] = &mut both;
                if is_learnt(name) { trained } else { fixed }.push((*index, weight));
            }
        }
    }
    if entry.trainable { both } else { [Vec::new(), both.concat()] }
}

/// All weights, layer by layer, and whether they are trained.
fn in_keras_3(entry: &Entry, listed: &[LayerWeights], all: &mut Vec<(Slot, bool)>) {
    match &entry.content {
        Content::Model(network) => network.entries.iter().for_each(|inner| in_keras_3(inner, listed, all)),
        Content::Layer(_, index) => {
            for (weight, name) in names(listed, *index) {
                all.push(((*index, weight), entry.trainable && is_learnt(name)));
            }
        }
    }
}

fn names(listed: &[LayerWeights], index: usize) -> impl Iterator<Item = (usize, &str)> {
    listed.get(index).into_iter().flat_map(|layer| layer.names.iter().copied().enumerate())
}
