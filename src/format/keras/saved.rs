//! Weights in the layout of Keras 3 (`model.weights.h5` in a `.keras` archive, `model.save_weights('x.weights.h5')`),
//! which TensorFlow's Keras 2 has had from 2.12 on.
//!
//! It is defined by Keras's `saving_lib.py`
//! (<https://github.com/keras-team/keras/blob/master/keras/src/saving/saving_lib.py>):
//!
//! ```text
//! /layers/dense/vars/0, 1 …          the weights of the first Dense layer in the model's list of layers
//! /layers/dense_1/vars/0, 1 …        those of the second one
//! /layers/functional/layers/dense …  those of the first one in a nested model
//! /_layer_checkpoint_dependencies/…  instead of /layers, in Keras 2.12 to 2.14
//! /vars                              variables of the model itself, of which there are none
//! /optimizer/vars/0, 1 …             the optimizer's state, see [`state`](super::state)
//! /metrics, …                        skipped
//! ```
//!
//! Versions differ in how they count layers that are listed twice. All agree that the first layer of a class has the
//! lowest number, so that is what is followed.

use super::{
    architecture::{Architecture, LayerWeights},
    hdf5::{Group, Hdf5},
    layer::{Content, Entry},
    network::Network,
};
use crate::{
    Error, Result, Tensor,
    format::table::{Names, Table},
    model::sorted,
};

/// Groups that hold a group for each layer of a model.
pub(super) const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// Where the weights of each layer are, by the layer's index: a group and its path.
pub(super) struct SavedWeights {
    found: Vec<Option<(Group, String)>>,
}

/// Whether the file has this layout.
pub(super) fn is_saved(file: &Hdf5) -> bool {
    CONTAINERS.iter().any(|name| file.root().group(name).is_ok())
}

impl SavedWeights {
    pub(super) fn open(file: &Hdf5, architecture: &Architecture) -> Result<Self> {
        let mut search = Search {
            file,
            listed: architecture.layers(),
            found: architecture.layers().iter().map(|_| None).collect(),
            seen: Names::default(),
        };
        search.network(&architecture.network, &file.root(), "")?;
        Ok(Self { found: search.found })
    }

    /// A layer's weights, which must be of exactly these shapes.
    pub(super) fn take(
        &mut self,
        file: &mut Hdf5,
        layer: &LayerWeights,
        shapes: &[Vec<usize>],
    ) -> Result<Vec<Tensor>> {
        let found = self.found.get(layer.index).and_then(Option::as_ref);
        let (group, place) = found.ok_or_else(|| Error::format("the file has no weights of this layer"))?;
        let mut tensors = Vec::with_capacity(shapes.len());
        for (index, shape) in shapes.iter().enumerate() {
            let name = index.to_string();
            tensors.push(file.tensor(group, &name, &format!("{place}/{name}"), shape)?);
        }
        Ok(tensors)
    }
}

struct Search<'a> {
    file: &'a Hdf5,
    listed: &'a [LayerWeights],
    found: Vec<Option<(Group, String)>>,
    /// What several entries have in common whose weights are in the file once.
    seen: Names,
}

impl Search<'_> {
    /// Finds the weights of a model whose group this is.
    fn network(&mut self, network: &Network, group: &Group, place: &str) -> Result<()> {
        let mut found = None;
        for name in CONTAINERS {
            if found.is_none()
                && let Ok(container) = group.group(name)
            {
                found = Some((container, format!("{place}{name}")));
            }
        }
        let Some((container, place)) = found else {
            return Err(Error::format(format!("the file has no group '{place}layers'")));
        };
        let mut groups = self.by_class(&container, &place)?;
        // In the order in which Keras visits them: what is listed again has its weights where it came first.
        for entry in &network.entries {
            let is_new = entry.shared.as_ref().is_none_or(|id| self.seen.insert(id.clone(), ()).is_none());
            // Operations are no layers to Keras, and inputs have no weights.
            if is_new && !entry.is_operation() && !entry.is_input() {
                let class = snake_case(&entry.class);
                let group = groups.get_mut(&class).and_then(Vec::pop);
                self.entry(entry, group, &format!("{place}/{class}"))
                    .map_err(|error| error.layer(&entry.name))?;
            }
        }
        let mut rest = groups.iter().filter(|(class, _)| *class != "input_layer");
        match rest.find_map(|(_, groups)| groups.last()) {
            None => Ok(()),
            Some((path, _)) => Err(Error::format("the architecture has no such layer").tensor(path)),
        }
    }

    /// The groups of a model's layers by class, each with its path, the highest number first.
    fn by_class(&self, container: &Group, place: &str) -> Result<Table<Vec<(String, Group)>>> {
        let groups = self.file.groups(container, place)?;
        let groups: Vec<(&str, &Group)> = groups.iter().collect();
        let mut keys = Vec::with_capacity(groups.len());
        for (name, _) in &groups {
            keys.push(match name.rsplit_once('_').map(|(class, number)| (class, number.parse::<u64>())) {
                Some((class, Ok(number))) => format!("{number:020}{class}"),
                _ => format!("{:020}{name}", 0),
            });
        }
        let mut classes: Table<Vec<(String, Group)>> = Table::default();
        for (key, index) in sorted(&mut keys.iter()).iter().rev() {
            let (Some((name, group)), Some(class)) = (groups.get(*index), key.get(20..)) else { continue };
            let found = (format!("{place}/{name}"), (*group).clone());
            match classes.get_mut(class) {
                Some(groups) => groups.push(found),
                None => drop(classes.insert(class.to_string(), vec![found])),
            }
        }
        Ok(classes)
    }

    /// Gives an entry its group.
    fn entry(&mut self, entry: &Entry, group: Option<(String, Group)>, class: &str) -> Result<()> {
        let Some((path, group)) = group else {
            return Err(Error::format("the file has fewer layers of this class").tensor(class));
        };
        match &entry.content {
            Content::Model(inner) => self.network(inner, &group, &format!("{path}/")),
            Content::Layer(_, index) => self.layer(*index, &group, &format!("{path}/vars")),
        }
    }

    fn layer(&mut self, index: usize, group: &Group, place: &str) -> Result<()> {
        let needed = self.listed.get(index).map_or(0, |layer| layer.names.len());
        let Ok(vars) = group.group("vars") else {
            return match needed {
                0 => Ok(()),
                _ => Err(Error::format("the file has no weights of this layer").tensor(place)),
            };
        };
        let there = self.file.dataset_count(&vars, place)?;
        if there != needed {
            return Err(Error::format(format!(
                "the file has {there} weights of this layer, {needed} are needed"
            ))
            .tensor(place));
        }
        if let Some(found) = self.found.get_mut(index) {
            *found = Some((vars, place.to_string()));
        }
        Ok(())
    }
}

/// A class as Keras spells it in paths: `LayerNormalization` is `layer_normalization`, `PReLU` is `p_re_lu`.
pub(super) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|letter| letter.is_alphanumeric()).collect();
    let mut spelled = String::with_capacity(class.len() + 4);
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| letters.get(before));
        let lower = |letter: Option<&char>| letter.is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && before.is_some() && (lower(before) || lower(letters.get(index + 1)))
        {
            spelled.push('_');
        }
        spelled.extend(letter.to_lowercase());
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_are_spelled_as_keras_spells_them() {
        // What keras.src.utils.naming.to_snake_case makes of them.
        for (class, spelled) in [
            ("Dense", "dense"),
            ("LayerNormalization", "layer_normalization"),
            ("RMSNormalization", "rms_normalization"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("SpatialDropout1D", "spatial_dropout1d"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ] {
            assert_eq!(snake_case(class), spelled);
        }
    }
}
