//! Models as the architecture describes them: chains and graphs of layers, some of which are models themselves.

use super::{
    KerasVersion,
    fields::{Fields, brief},
    graph::{self, Call, Reference},
    layer::{Content, Entry, sample_shape, skip_common},
    spec::{Shape, Spec},
};
use crate::format::{json::Value, table::Names};
use crate::{Error, Result, model::sorted};

/// A model that lacks its weights.
#[derive(Debug, PartialEq)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) trainable: bool,
    /// In the file's order.
    pub(super) entries: Vec<Entry>,
    /// In an order of evaluation, those of the input layers first, in the model's order.
    pub(super) calls: Vec<Call>,
    /// How many inputs there are.
    pub(super) inputs: usize,
    pub(super) outputs: Vec<Reference>,
    /// Their keys, in a model that gives a dictionary.
    output_keys: Vec<String>,
    /// Whether inputs are told apart by keys, not by their order.
    pub(super) keyed: bool,
}

impl Network {
    pub(super) fn is_class(class: &str) -> bool {
        matches!(class, "Sequential") || Self::is_functional(class)
    }

    /// Keras called them Model up to TensorFlow 2.2.
    pub(super) fn is_functional(class: &str) -> bool {
        matches!(class, "Functional" | "Model")
    }

    /// Reads a configuration. Recurses as deep as the JSON does, which its parser bounds.
    pub(super) fn read(class: &str, config: Value, version: KerasVersion) -> Result<Self> {
        match Self::is_functional(class) {
            true => functional(config, version),
            false => sequential(config, version),
        }
    }

    /// What tells the outputs apart: their keys, or the names of their layers.
    pub(super) fn output_names(&self) -> Vec<String> {
        if self.output_keys.len() == self.outputs.len() {
            return self.output_keys.clone();
        }
        let entry = |output: &Reference| self.entries.get(self.calls.get(output.call)?.layer);
        let name = |output| entry(output).map_or(String::new(), |entry| entry.name.clone());
        self.outputs.iter().map(name).collect()
    }

    /// The shape that the first input declares.
    fn declared_shape(&self) -> Shape {
        let call = self.calls.first()?;
        match &self.entries.get(call.layer)?.content {
            Content::Layer(Spec::Input(shape, _), _) => shape.clone(),
            _ => None,
        }
    }
}

/// A chain. Keras 1, and 2 up to 2.2.2, wrote the list of layers alone.
fn sequential(config: Value, version: KerasVersion) -> Result<Network> {
    let (name, trainable, layers, build_shape) = match config {
        Value::Array(_) => (None, true, config, None),
        config => {
            let mut config = Fields::new(config, "Sequential")?;
            let layers = config.take("layers");
            let layers = config.required("layers", layers)?;
            let (name, build_shape) = (config.text("name")?, config.take("build_input_shape"));
            let trainable = config.flag("trainable")?.unwrap_or(true);
            skip_common(&mut config, false)?;
            config.done()?;
            (name, trainable, layers, build_shape)
        }
    };
    let mut entries = read_entries(layers, version)?;
    let Some(first) = entries.first_mut() else {
        return Err(Error::format("the model has no layers"));
    };
    if !first.is_input() {
        // `batch_input_shape` of the first layer, in files without InputLayer; that of a model that comes first;
        // `build_input_shape` of a model that learnt its shape from its first batch.
        let declared = match &first.content {
            Content::Model(network) => network.declared_shape(),
            Content::Layer(..) => None,
        };
        let shape = match first.sample_shape.take().or(declared) {
            None => build_shape.map(sample_shape).transpose()?,
            known => known,
        };
        let input = Entry::input(format!("{}_input", first.name), shape);
        entries.insert(0, input);
    }
    let mut calls: Vec<Call> = Vec::with_capacity(entries.len());
    for (layer, entry) in entries.iter().enumerate() {
        if layer > 0 && entry.is_input() {
            return Err(Error::format("an input layer behind the first layer").layer(&entry.name));
        }
        let previous = layer.checked_sub(1).map(|call| Reference { call, output: 0 });
        calls.push(Call::on_values(layer, previous.into_iter().collect()));
        if layer + 1 < entries.len() && entry.outputs() != 1 {
            return Err(Error::format("several results inside a Sequential model").layer(&entry.name));
        }
    }
    let last = entries.len() - 1;
    let results = entries.last().map_or(0, Entry::outputs);
    Ok(Network {
        name: name.unwrap_or_else(|| "sequential".to_string()),
        trainable,
        calls,
        inputs: 1,
        outputs: (0..results).map(|output| Reference { call: last, output }).collect(),
        output_keys: Vec::new(),
        entries,
        keyed: false,
    })
}

fn functional(config: Value, version: KerasVersion) -> Result<Network> {
    let mut config = Fields::new(config, "the model")?;
    let (name, trainable) = (config.text("name")?, config.flag("trainable")?.unwrap_or(true));
    let (layers, inputs, outputs) =
        (config.take("layers"), config.take("input_layers"), config.take("output_layers"));
    let layers = config.required("layers", layers)?;
    let inputs = config.required("input_layers", inputs)?;
    let outputs = config.required("output_layers", outputs)?;
    skip_common(&mut config, false)?;
    config.done()?;
    let mut entries = read_entries(layers, version)?;
    let keyed = matches!(inputs, Value::Object(_));
    let output_keys = match &outputs {
        Value::Object(map) => sorted(&mut map.fields().iter().map(|(key, _)| key)),
        _ => Vec::new(),
    };
    let output_keys = output_keys.into_iter().map(|(key, _)| key).collect();
    let wiring = graph::wire(&mut entries, inputs, outputs, version)?;
    let (calls, inputs, outputs) = (wiring.calls, wiring.inputs, wiring.outputs);
    let name = name.unwrap_or_else(|| "model".to_string());
    Ok(Network { name, trainable, entries, calls, inputs, outputs, output_keys, keyed })
}

fn read_entries(layers: Value, version: KerasVersion) -> Result<Vec<Entry>> {
    let Value::Array(layers) = layers else {
        return Err(Error::format(format!("'layers' is {}, a list is needed", brief(&layers))));
    };
    let mut entries = Vec::with_capacity(layers.len());
    for layer in layers {
        entries.push(Entry::read(layer, version)?);
    }
    let mut names = Names::default();
    for entry in &entries {
        if names.insert(entry.name.clone(), ()).is_some() {
            return Err(Error::format("two layers have this name").layer(&entry.name));
        }
    }
    Ok(entries)
}
