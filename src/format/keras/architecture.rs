//! `model_config`: a model's layers and their wiring, as JSON. Also what TensorFlow.js keeps under
//! `modelTopology.model_config`, in Keras 2's form.

use super::{
    KerasVersion, build,
    fields::Fields,
    layer::{self, Content, Entry},
    network::Network,
    place::Place,
};
use crate::format::{json::Value, table::Table};
use crate::{Error, Model, Result, Tensor, layer::Penalty};

/// A model that lacks its weights.
#[derive(Debug, PartialEq)]
pub(in crate::format) struct Architecture {
    pub(super) network: Network,
    pub(super) version: KerasVersion,
    layers: Vec<LayerWeights>,
}

/// What a layer's weights are called. Layers without any are listed, too.
#[derive(Debug, PartialEq)]
pub(in crate::format) struct LayerWeights {
    /// Index among all layers, those of nested models in the place of their model.
    pub(in crate::format) index: usize,
    /// Names of the models that it is nested in, the outermost first and without the whole, then its own.
    pub(in crate::format) path: Vec<String>,
    /// Keras's names: `kernel`, `bias` … in the order in which Keras lists the layer's weights.
    pub(in crate::format) names: Vec<&'static str>,
    /// Whether training changes them: neither the layer nor a model that it is nested in is frozen.
    pub(super) trainable: bool,
    /// What they add to the loss, by the names above.
    pub(super) penalties: Vec<Penalty>,
}

impl LayerWeights {
    /// The layer's name in the model that is built.
    pub(in crate::format) fn name(&self) -> String {
        self.path.join("/")
    }

    /// The names of what training changes.
    pub(super) fn trained(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.names.iter().copied().filter(|name| self.trainable && is_learnt(name))
    }
}

/// Whether a weight is learnt by gradient descent, in a layer that is trained.
pub(super) fn is_learnt(name: &str) -> bool {
    !matches!(name, "moving_mean" | "moving_variance" | "mean" | "variance" | "count")
}

/// Gives a layer's weights: as many as there are shapes, in order, of just those shapes. There may be more names than
/// shapes: the last ones are counters, which no prediction needs.
pub(in crate::format) type WeightSource<'a> =
    dyn FnMut(&LayerWeights, &[Vec<usize>]) -> Result<Vec<Tensor>> + 'a;

/// Parses a model's configuration, with the class around it as `model.to_json()` gives it, or without as
/// `model.get_config()` does. `version` is the file's; without one the configuration has to tell.
///
/// # Errors
/// `Format` for a text that is no configuration, `Unsupported` for models that nearside does not run.
pub(in crate::format) fn read(config: &str, version: Option<KerasVersion>) -> Result<Architecture> {
    let value = Value::parse(config.as_bytes(), "'model_config'")?;
    let (class, value, own_version) = unwrapped(value)?;
    let version = match (version, own_version) {
        (Some(version), _) => version,
        (None, Some(version)) => KerasVersion::parse(Some(&version))?,
        (None, None) => spoken(config)?,
    };
    if !Network::is_class(&class) {
        return Err(Error::unsupported(format!(
            "the model is a {class}; nearside reads Sequential and functional models, rebuild it as one of them"
        )));
    }
    let mut network = Network::read(&class, value, version)?;
    check_shared(&network, &mut Table::default())?;
    let mut numbering = Numbering::default();
    let trainable = network.trainable;
    numbering.number(&mut network, trainable);
    Ok(Architecture { network, version, layers: numbering.layers })
}

/// The class, the configuration and the version of Keras, where it tells.
fn unwrapped(value: Value) -> Result<(String, Value, Option<String>)> {
    let bare = match &value {
        // Keras 1's and early Keras 2's Sequential.get_config().
        Value::Array(_) => Some("Sequential"),
        Value::Object(map) if map.contains_key("class_name") || !map.contains_key("layers") => None,
        Value::Object(map) if map.contains_key("input_layers") => Some("Functional"),
        Value::Object(_) => Some("Sequential"),
        _ => None,
    };
    if let Some(class) = bare {
        return Ok((class.to_string(), value, None));
    }
    let mut fields = Fields::new(value, "model_config")?;
    let class = layer::class(&mut fields)?;
    let config = fields.take("config");
    let config = fields.required("config", config)?;
    let version = fields.text("keras_version")?;
    fields.skip(&["backend"]);
    fields.done()?;
    Ok((class.name, config, version))
}

/// Which Keras wrote it, from the word it has for the shape of an input.
fn spoken(config: &str) -> Result<KerasVersion> {
    match (config.contains("\"batch_input_shape\""), config.contains("\"batch_shape\"")) {
        (true, false) => Ok(KerasVersion::TWO),
        (false, true) => Ok(KerasVersion::THREE),
        _ => Err(Error::unsupported(
            "the configuration does not tell which Keras wrote it; give the text of model.to_json()",
        )),
    }
}

/// Fails where two entries say that they are the same layer, and are not.
fn check_shared<'a>(network: &'a Network, seen: &mut Table<&'a Content>) -> Result<()> {
    for entry in &network.entries {
        if let Some(id) = &entry.shared {
            match seen.get(id) {
                Some(first) if *first != &entry.content => {
                    let message = "shares its 'shared_object_id' with another layer";
                    return Err(Error::format(message).layer(&entry.name));
                }
                Some(_) => {}
                None => drop(seen.insert(id.clone(), &entry.content)),
            }
        }
        if let Content::Model(inner) = &entry.content {
            check_shared(inner, seen)?;
        }
    }
    Ok(())
}

/// Numbers the layers. Those that are listed in several models get one number.
#[derive(Default)]
struct Numbering {
    path: Vec<String>,
    shared: Table<usize>,
    layers: Vec<LayerWeights>,
}

impl Numbering {
    /// Those of a model, which is trained or not.
    fn number(&mut self, network: &mut Network, trainable: bool) {
        for Entry { name, trainable: own, shared, penalties, content, .. } in &mut network.entries {
            self.path.push(name.clone());
            let trainable = trainable && *own;
            match content {
                Content::Model(inner) => self.number(inner, trainable),
                Content::Layer(spec, index) => {
                    let penalties = std::mem::take(penalties);
                    *index = self.layer(spec.weight_names(), shared.as_ref(), trainable, penalties);
                }
            }
            self.path.pop();
        }
    }

    fn layer(
        &mut self,
        names: Vec<&'static str>,
        shared: Option<&String>,
        trainable: bool,
        penalties: Vec<Penalty>,
    ) -> usize {
        let index = self.layers.len();
        if let Some(&first) = shared.and_then(|id| self.shared.get(id))
            && let Some(layer) = self.layers.get_mut(first)
        {
            // To freeze a model is to freeze its layers, wherever else they are.
            layer.trainable &= trainable;
            return first;
        }
        self.layers.push(LayerWeights { index, path: self.path.clone(), names, trainable, penalties });
        if let Some(id) = shared {
            self.shared.insert(id.clone(), index);
        }
        index
    }
}

impl Architecture {
    /// All layers, in the file's order.
    pub(in crate::format) fn layers(&self) -> &[LayerWeights] {
        &self.layers
    }

    /// Builds the model. Each layer with weights is asked for once, when its input's shape is known.
    ///
    /// # Errors
    /// Those of `weights`, with the layer's name; `Shape` for layers that do not fit together.
    pub(in crate::format) fn build(&self, weights: &mut WeightSource) -> Result<Model> {
        Ok(build::model(self, weights)?.0)
    }

    /// [`build`](Self::build), and for each layer what has become of its weights.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(super) fn build_traced(&self, weights: &mut WeightSource) -> Result<(Model, Vec<Vec<Place>>)> {
        build::model(self, weights)
    }
}
