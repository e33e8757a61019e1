//! `model_config`: the model's layers and their wiring, as JSON.

use super::{
    KerasVersion,
    fields::{Fields, brief},
    graph,
    layer::{self, Entry, Spec},
};
use crate::{Error, Layer, LayerKind, Model, Node, Result, Tensor};
use serde_json::Value;

/// A model that lacks its weights.
#[derive(Debug, PartialEq)]
pub(super) struct Architecture {
    name: String,
    /// Each with its name.
    layers: Vec<(String, Spec)>,
    nodes: Vec<Node>,
    outputs: Vec<usize>,
}

/// Parses a model's configuration.
pub(super) fn read(config: &str, version: KerasVersion) -> Result<Architecture> {
    let value: Value = serde_json::from_str(config)
        .map_err(|error| Error::format(format!("'model_config' is not readable JSON: {error}")))?;
    let mut fields = Fields::new(value, "model_config")?;
    let class = layer::class(&mut fields)?;
    let config = fields.take("config");
    let config = fields.required("config", config)?;
    // Which Keras wrote it is known from the file's own attributes.
    fields.skip(&["keras_version", "backend"]);
    fields.done()?;
    match class.as_str() {
        "Sequential" => sequential(config, version),
        // "Model" up to TensorFlow 2.2.
        "Functional" | "Model" => functional(config, version),
        _ => Err(Error::unsupported(format!(
            "the model is a {class}; nearside reads Sequential and functional models, rebuild it as one of them"
        ))),
    }
}

/// A chain. Keras 1, and 2 up to 2.2.2, wrote the list of layers alone.
fn sequential(config: Value, version: KerasVersion) -> Result<Architecture> {
    let (name, layers, build_shape) = match config {
        Value::Array(_) => (None, config, None),
        config => {
            let mut config = Fields::new(config, "Sequential")?;
            let layers = config.take("layers");
            let layers = config.required("layers", layers)?;
            let (name, build_shape) = (config.text("name")?, config.take("build_input_shape"));
            layer::skip_common(&mut config)?;
            config.done()?;
            (name, layers, build_shape)
        }
    };
    let mut entries = read_entries(layers, version)?;
    let Some(first) = entries.first_mut() else {
        return Err(Error::format("the model has no layers"));
    };
    if !matches!(first.spec, Spec::Plain(LayerKind::Input { .. })) {
        // `batch_input_shape` of the first layer, in files without InputLayer; `build_input_shape` of a model that
        // learnt its shape from its first batch.
        let shape = match first.sample_shape.take() {
            None => build_shape.map(layer::sample_shape).transpose()?,
            known => known,
        };
        let shape = shape.ok_or_else(|| {
            Error::unsupported(
                "the file does not tell the model's input shape; call the model once before saving it, or start it \
                 with keras.Input(shape)",
            )
        })?;
        let (name, spec) = (format!("{}_input", first.name), Spec::Plain(LayerKind::Input { shape }));
        entries.insert(0, Entry { name, spec, sample_shape: None, calls: None });
    }
    let node = |layer: usize| Node { layer, inputs: layer.checked_sub(1).into_iter().collect() };
    Ok(Architecture {
        name: name.unwrap_or_else(|| "sequential".to_string()),
        nodes: (0..entries.len()).map(node).collect(),
        outputs: vec![entries.len() - 1],
        layers: entries.into_iter().map(|entry| (entry.name, entry.spec)).collect(),
    })
}

fn functional(config: Value, version: KerasVersion) -> Result<Architecture> {
    let mut config = Fields::new(config, "the model")?;
    let name = config.text("name")?;
    let (layers, inputs, outputs) =
        (config.take("layers"), config.take("input_layers"), config.take("output_layers"));
    let layers = config.required("layers", layers)?;
    let inputs = config.required("input_layers", inputs)?;
    let outputs = config.required("output_layers", outputs)?;
    layer::skip_common(&mut config)?;
    config.done()?;
    let mut entries = read_entries(layers, version)?;
    let (nodes, outputs) = graph::wire(&mut entries, inputs, outputs)?;
    Ok(Architecture {
        name: name.unwrap_or_else(|| "model".to_string()),
        layers: entries.into_iter().map(|entry| (entry.name, entry.spec)).collect(),
        nodes,
        outputs,
    })
}

fn read_entries(layers: Value, version: KerasVersion) -> Result<Vec<Entry>> {
    match layers {
        Value::Array(layers) => layers.into_iter().map(|layer| Entry::read(layer, version)).collect(),
        other => Err(Error::format(format!("'layers' is {}, a list is needed", brief(&other)))),
    }
}

impl Architecture {
    /// Gives every layer its weights. `weights` is asked for those of a layer by name, with the shapes they must have:
    /// the kernel's, then the bias's.
    pub(super) fn build(
        self,
        mut weights: impl FnMut(&str, &[Vec<usize>]) -> Result<Vec<Tensor>>,
    ) -> Result<Model> {
        let mut kinds: Vec<Option<LayerKind>> = vec![None; self.layers.len()];
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Option<Vec<&[usize]>> =
                node.inputs.iter().map(|&input| shapes.get(input).map(Vec::as_slice)).collect();
            let (Some(inputs), Some((name, spec)), Some(kind)) =
                (inputs, self.layers.get(node.layer), kinds.get_mut(node.layer))
            else {
                return Err(Error::format("a node has no layer or no input"));
            };
            // A layer that is called twice has its weights already.
            let kind = match kind {
                Some(kind) => kind,
                None => kind.insert(spec.with_weights(name, &inputs, &mut weights)?),
            };
            shapes.push(kind.output_shape(&inputs).map_err(|error| error.layer(name))?);
        }
        let layers = self.layers.into_iter().zip(kinds).map(|((name, _), kind)| match kind {
            Some(kind) => Ok(Layer { name, kind }),
            None => Err(Error::format("no node calls this layer").layer(name)),
        });
        let layers = layers.collect::<Result<_>>()?;
        let model =
            Model { name: self.name, layers, nodes: self.nodes, outputs: self.outputs, batched: true };
        model.shapes()?;
        Ok(model)
    }
}

impl Spec {
    fn with_weights(
        &self,
        name: &str,
        inputs: &[&[usize]],
        weights: &mut impl FnMut(&str, &[Vec<usize>]) -> Result<Vec<Tensor>>,
    ) -> Result<LayerKind> {
        let (units, use_bias, activation) = match *self {
            Self::Plain(ref kind) => return Ok(kind.clone()),
            Self::Dense { units, use_bias, activation } => (units, use_bias, activation),
        };
        let &[&[.., features]] = inputs else {
            let given = inputs.len();
            return Err(Error::format(format!(
                "Dense takes one input with an axis besides the batch, {given} given"
            ))
            .layer(name));
        };
        let mut shapes = vec![vec![features, units]];
        shapes.extend(use_bias.then(|| vec![units]));
        let mut tensors = weights(name, &shapes).map_err(|error| error.layer(name))?.into_iter();
        let (Some(kernel), bias) = (tensors.next(), tensors.next()) else {
            return Err(Error::format("the layer has no kernel").layer(name));
        };
        Ok(LayerKind::Dense { kernel, bias, activation })
    }
}
