//! Weights that other formats keep by name: `LAYER/kernel`, with `:0` behind in Keras 2, and behind the names of the
//! models the layer is part of in Keras 3.

use crate::{Error, Result, model::sorted};

/// A layer's name may have the names of so many models in front, less one.
const DEPTHS: usize = 5;

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
    /// The names that the layers could have, in order, each with its place: of weight i without the first d parts it is
    /// `i · DEPTHS + d`.
    layers: Vec<(String, usize)>,
}

impl Names {
    pub(super) fn new(names: Vec<String>) -> Self {
        let mut layers = Vec::new();
        for name in &names {
            let mut layer = Some(split(name).0);
            for _ in 0..DEPTHS {
                layers.push(layer.unwrap_or_default().to_string());
                layer = layer.and_then(|layer| Some(layer.split_once('/')?.1));
            }
        }
        let layers = sorted(layers.iter());
        Self { names: names.into_iter().map(Some).collect(), layers }
    }

    /// The names of a layer's weights, of which there must be so many, in Keras's order.
    pub(super) fn take(&mut self, layer: &str, count: usize) -> Result<Vec<String>> {
        let start = self.layers.partition_point(|(name, _)| name.as_str() < layer);
        let places =
            self.layers.get(start..).unwrap_or_default().iter().take_while(|(name, _)| name == layer);
        // The layer itself rather than one of the same name in a model.
        let depth = places.clone().map(|(_, place)| place % DEPTHS).min();
        let mut found = [const { None }; ORDER.len()];
        let mut path = None;
        for (_, place) in places.filter(|(_, place)| Some(place % DEPTHS) == depth) {
            let Some(name) = self.names.get_mut(place / DEPTHS).and_then(Option::take) else { continue };
            let (layer, weight) = split(&name);
            if path.get_or_insert(layer.to_string()) != layer {
                return Err(Error::format("the file has weights of two layers of this name").tensor(name));
            }
            let rank = ORDER.iter().position(|known| *known == weight);
            let Some(rank) = rank.and_then(|rank| found.get_mut(rank)) else {
                return Err(Error::format("no layer has weights of this name").tensor(name));
            };
            if let Some(other) = rank.replace(name) {
                return Err(Error::format("the file has these weights twice").tensor(other));
            }
        }
        let found: Vec<String> = found.into_iter().flatten().collect();
        if found.len() != count {
            let there = found.len();
            let message = format!("the file has {there} weights of this layer, {count} are needed");
            return Err(Error::format(message));
        }
        Ok(found)
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
