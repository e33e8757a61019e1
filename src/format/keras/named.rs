//! Weights that other formats keep by name: `LAYER/kernel`, with `:0` behind in Keras 2, and behind the names of the
//! models the layer is part of in Keras 3. Those that TensorFlow.js's converter takes from `.keras` archives have the
//! [archive's paths](super::saved).

use super::{
    architecture::{Architecture, LayerWeights},
    layer::Content,
    network::Network,
    saved::{CONTAINERS, snake_case},
};
use crate::{Error, Result, format::table, model::sorted};

/// A layer's name may have the names of so many models in front, less one.
const DEPTHS: usize = 5;

/// The names in a file, taken layer by layer.
pub(super) struct Names {
    /// `None` for those that were taken.
    names: Vec<Option<String>>,
    /// What the layers could be called, in order, each with its place: weight i without the first d parts of its name
    /// has `i · DEPTHS + d`.
    layers: Vec<(String, usize)>,
    /// For a file with the paths of an archive, those of the layers, by index.
    archive: Option<Vec<String>>,
}

impl Names {
    pub(super) fn new(names: Vec<String>, architecture: &Architecture) -> Self {
        let mut layers = Vec::new();
        for name in &names {
            let mut layer = Some(split(name).0);
            for _ in 0..DEPTHS {
                layers.push(layer.unwrap_or_default().to_string());
                layer = layer.and_then(|layer| Some(layer.split_once('/')?.1));
            }
        }
        let layers = sorted(&mut layers.iter());
        let is_path = |name: &String, container: &str| {
            name.strip_prefix(container).is_some_and(|rest| rest.starts_with('/'))
                && split(name).0.ends_with("/vars")
        };
        let container =
            CONTAINERS.into_iter().find(|container| names.iter().any(|name| is_path(name, container)));
        let archive = container.map(|container| {
            let mut paths = vec![String::new(); architecture.layers().len()];
            archive_paths(&architecture.network, container, "", &mut table::Names::default(), &mut paths);
            paths
        });
        Self { names: names.into_iter().map(Some).collect(), layers, archive }
    }

    /// The names of a layer's first weights.
    pub(super) fn take(&mut self, layer: &LayerWeights, needed: usize) -> Result<Vec<String>> {
        let found = match &self.archive {
            Some(paths) => {
                let path = paths.get(layer.index).cloned().unwrap_or_default();
                let numbers: Vec<String> = (0..layer.names.len()).map(|index| index.to_string()).collect();
                self.called(&path, &numbers.iter().map(String::as_str).collect::<Vec<_>>())?
            }
            None => {
                // Keras 2 does not name the models.
                let found = self.called(&layer.name(), &layer.names)?;
                match layer.path.last().filter(|_| found.iter().all(Option::is_none)) {
                    Some(own) => self.called(own, &layer.names)?,
                    None => found,
                }
            }
        };
        let mut names = Vec::with_capacity(needed);
        for (name, weight) in found.into_iter().zip(&layer.names).take(needed) {
            let Some(name) = name else {
                let message = format!("the file has no weights '{weight}' of this layer");
                return Err(Error::format(message));
            };
            names.push(name);
        }
        Ok(names)
    }

    /// The names of the weights of the layer that is called so, for each of the `weights` it can have.
    fn called(&mut self, layer: &str, weights: &[&str]) -> Result<Vec<Option<String>>> {
        let start = self.layers.partition_point(|(name, _)| name.as_str() < layer);
        let places =
            self.layers.get(start..).unwrap_or_default().iter().take_while(|(name, _)| name == layer);
        // The layer itself rather than one of the same name in a model.
        let depth = places.clone().map(|(_, place)| place % DEPTHS).min();
        let mut found = vec![None; weights.len()];
        let mut path = None;
        for (_, place) in places.filter(|(_, place)| Some(place % DEPTHS) == depth) {
            let Some(name) = self.names.get_mut(place / DEPTHS).and_then(Option::take) else { continue };
            let (layer, weight) = split(&name);
            if path.get_or_insert(layer.to_string()) != layer {
                return Err(Error::format("the file has weights of two layers of this name").tensor(name));
            }
            let slot = weights.iter().position(|known| *known == weight);
            let Some(slot) = slot.and_then(|slot| found.get_mut(slot)) else {
                return Err(Error::format("the layer has no weights of this name").tensor(name));
            };
            if let Some(other) = slot.replace(name) {
                return Err(Error::format("the file has these weights twice").tensor(other));
            }
        }
        Ok(found)
    }

    /// Fails if any name is left.
    pub(super) fn finish(self) -> Result<()> {
        let is_archive = self.archive.is_some();
        // The state of training, and of the random numbers that only training draws.
        let of_training = |name: &String| {
            let mut parts = name.split('/');
            is_archive && (parts.next() == Some("optimizer") || parts.any(|part| part == "seed_generator"))
        };
        match self.names.into_iter().flatten().find(|name| !of_training(name)) {
            Some(name) => Err(Error::format("the architecture has no such weight").tensor(name)),
            None => Ok(()),
        }
    }
}

/// The layer's name, and the weight's.
fn split(name: &str) -> (&str, &str) {
    name.strip_suffix(":0").unwrap_or(name).rsplit_once('/').unwrap_or(("", name))
}

/// Where an archive has the weights of each layer: the first one of a class in its class's name, the next ones with a
/// number behind it.
fn archive_paths(
    network: &Network,
    container: &str,
    place: &str,
    seen: &mut table::Names,
    paths: &mut [String],
) {
    // Of each class, which are few, how many there were.
    let mut counts: Vec<(String, usize)> = Vec::new();
    for entry in &network.entries {
        let is_new = entry.shared.as_ref().is_none_or(|id| seen.insert(id.clone(), ()).is_none());
        if !is_new || entry.is_operation() || entry.is_input() {
            continue;
        }
        let class = snake_case(&entry.class);
        let folder = match counts.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => {
                *count += 1;
                format!("{class}_{count}")
            }
            None => {
                counts.push((class.clone(), 0));
                class
            }
        };
        let path = format!("{place}{container}/{folder}/");
        match &entry.content {
            Content::Model(inner) => archive_paths(inner, container, &path, seen, paths),
            Content::Layer(_, index) => {
                if let Some(own) = paths.get_mut(*index) {
                    *own = path + "vars";
                }
            }
        }
    }
}
