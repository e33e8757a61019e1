//! Where the weights of Keras's layers went, some of which are several layers here.

use super::regularizer::ACTIVITY;
use crate::{Layer, layer::Penalty};

/// A weight of a layer of Keras's.
pub(super) struct Place {
    /// Its name in Keras.
    pub(super) name: &'static str,
    /// Its shape in Keras.
    pub(super) shape: Vec<usize>,
    /// Index of the model's layer that has it, and its name there.
    pub(super) home: Option<(usize, &'static str)>,
}

impl Place {
    /// Among the layers that one of Keras's became, which begin at this index.
    pub(super) fn find(name: &'static str, shape: Vec<usize>, layers: &[Layer], first: usize) -> Self {
        let is_own = |own: &str| match name {
            // What comes behind a function of rows is a layer of its own.
            "gamma" | "scale" => own == name || own == "scale",
            "beta" => own == name || own == "offset",
            name => own == name,
        };
        let found = layers.iter().enumerate().rev().find_map(|(index, layer)| {
            let (own, _) = layer.kind.weights().into_iter().find(|(own, _)| is_own(own))?;
            Some((first + index, own))
        });
        Self { name, shape, home: found }
    }
}

/// Gives the penalties of one of Keras's layers to the layers that have its weights, and to the one whose output is its
/// own.
pub(super) fn penalise(layers: &mut [Layer], penalties: &[Penalty], places: &[Place], output: Option<usize>) {
    for penalty in penalties {
        let home = match penalty.weight.as_str() {
            ACTIVITY => output.map(|layer| (layer, ACTIVITY)),
            name => places.iter().find(|place| place.name == name).and_then(|place| place.home),
        };
        let Some((layer, weight)) = home else { continue };
        if let Some(layer) = layers.get_mut(layer) {
            layer.penalties.push(Penalty { weight: weight.to_string(), ..penalty.clone() });
        }
    }
}
