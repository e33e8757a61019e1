//! Weights that other formats keep by name: `LAYER/kernel`, with `:0` behind in Keras 2, and behind the names of the
//! models the layer is part of in Keras 3.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// How many names of models are looked for in front of a layer's.
const MAX_DEPTH: usize = 4;

/// Names of weights in Keras, in the order in which each layer lists its own.
const ORDER: [&str; 11] = [
    "kernel",
    "gamma",
    "alpha",
    "embeddings",
    "bias",
    "beta",
    "moving_mean",
    "mean",
    "moving_variance",
    "variance",
    "count",
];

/// The names in a file, taken layer by layer.
pub(super) struct Names {
    /// `None` for those that were taken.
    names: Vec<Option<String>>,
    /// For each name that a layer could have, the weights it would have: how many models are in front, and the index.
    places: BTreeMap<String, Vec<(usize, usize)>>,
}

impl Names {
    pub(super) fn new(names: Vec<String>) -> Self {
        let mut places: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let mut layer = split(name).0;
            for depth in 0..=MAX_DEPTH {
                places.entry(layer.to_string()).or_default().push((depth, index));
                match layer.split_once('/') {
                    Some((_, rest)) => layer = rest,
                    None => break,
                }
            }
        }
        Self { names: names.into_iter().map(Some).collect(), places }
    }

    /// The names of a layer's weights, of which there must be so many, in Keras's order.
    pub(super) fn take(&mut self, layer: &str, count: usize) -> Result<Vec<String>> {
        let places = self.places.get(layer).map_or(&[][..], Vec::as_slice);
        // The layer itself rather than one of the same name in a model.
        let depth = places.iter().map(|(depth, _)| *depth).min();
        let own = places.iter().filter(|(own, _)| Some(*own) == depth);
        let mut found = BTreeMap::new();
        let mut path = None;
        for (_, index) in own {
            let Some(name) = self.names.get_mut(*index).and_then(Option::take) else { continue };
            let (layer, weight) = split(&name);
            if path.get_or_insert(layer.to_string()) != layer {
                return Err(Error::format("the file has weights of two layers of this name").tensor(name));
            }
            let Some(rank) = rank(weight) else {
                return Err(Error::format("no layer has weights of this name").tensor(name));
            };
            if let Some(other) = found.insert(rank, name) {
                return Err(Error::format("the file has these weights twice").tensor(other));
            }
        }
        if found.len() != count {
            let there = found.len();
            let message = format!("the file has {there} weights of this layer, {count} are needed");
            return Err(Error::format(message));
        }
        Ok(found.into_values().collect())
    }

    /// Fails if any name is left.
    pub(super) fn finish(self) -> Result<()> {
        match self.names.into_iter().flatten().next() {
            Some(name) => Err(Error::format("the architecture has no such weight").tensor(name)),
            None => Ok(()),
        }
    }
}

/// The layer's name, and the weight's.
fn split(name: &str) -> (&str, &str) {
    name.strip_suffix(":0").unwrap_or(name).rsplit_once('/').unwrap_or(("", name))
}

fn rank(weight: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == weight)
}
