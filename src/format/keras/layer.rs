//! One layer's entry in the architecture.

use super::{
    KerasVersion, activation,
    fields::{Fields, brief},
};
use crate::{Activation, Error, LayerKind, Result};
use serde_json::Value;

/// A layer as the architecture describes it: its weights are yet to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spec {
    /// A Dense layer, whose kernel's first axis is known when its input is.
    Dense { units: usize, use_bias: bool, activation: Activation },
    /// A layer without weights.
    Plain(LayerKind),
}

/// A layer and what the architecture says about its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) spec: Spec,
    /// Shape of a sample, where the layer declares the model's input (Keras 1 and 2 without InputLayer).
    pub(super) sample_shape: Option<Vec<usize>>,
    /// `inbound_nodes`, in a functional model.
    pub(super) calls: Option<Value>,
}

/// How the weights are made, penalised and held in training, and who may call the layer: nothing of it is left in a
/// prediction. `*_W_*` and `init` are Keras 1's names.
const TRAINING: [&str; 14] = [
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "init",
    "W_regularizer",
    "b_regularizer",
    "W_constraint",
    "b_constraint",
    // The kernel's shape says the same.
    "input_dim",
    "input_length",
];

impl Entry {
    /// Reads `{"class_name": …, "config": {…}, "name": …, "inbound_nodes": […]}`.
    pub(super) fn read(value: Value, version: KerasVersion) -> Result<Self> {
        let mut fields = Fields::new(value, "a layer")?;
        let class = class(&mut fields)?;
        let name = fields.text("name")?;
        let calls = fields.take("inbound_nodes");
        let config = fields.take("config");
        let mut config = Fields::new(fields.required("config", config)?, class.as_str())?;
        let own_name = config.text("name")?;
        let name = fields.required("name", own_name.or(name))?;
        let read = || {
            fields.done()?;
            let (spec, sample_shape) = spec(&class, config, version)?;
            Ok((spec, sample_shape))
        };
        let (spec, sample_shape) = read().map_err(|error: Error| error.layer(&name))?;
        Ok(Self { name, spec, sample_shape, calls })
    }
}

/// Takes an object's class name, and passes over what Keras writes beside every `class_name`.
pub(super) fn class(fields: &mut Fields) -> Result<String> {
    let class = fields.text("class_name")?;
    let class = fields.required("class_name", class)?;
    let registered = fields.text("registered_name")?;
    let module = fields.text("module")?;
    // `PACKAGE>CLASS` is how Keras names what users registered; the class itself may be called like one of Keras's.
    let foreign =
        registered.filter(|name| name.split_once('>').is_some_and(|(package, _)| package != "Keras"));
    let foreign =
        foreign.or(module.filter(|module| !is_keras(module)).map(|module| format!("{module}.{class}")));
    if let Some(name) = foreign {
        return Err(Error::unsupported(format!("{name} is a custom class, which nearside cannot run")));
    }
    fields.skip(&["build_config", "compile_config", "shared_object_id"]);
    Ok(class)
}

fn is_keras(module: &str) -> bool {
    let roots = ["builtins", "keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"];
    roots
        .iter()
        .any(|root| module.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// Takes the options that every layer has, but for its name.
pub(super) fn skip_common(fields: &mut Fields) -> Result<()> {
    check_dtype(fields.take("dtype"))?;
    // Keras 1's name of an input's dtype.
    check_dtype(fields.take("input_dtype"))?;
    fields.skip(&["name", "trainable", "autocast", "batch_size"]);
    Ok(())
}

fn spec(class: &str, mut config: Fields, version: KerasVersion) -> Result<(Spec, Option<Vec<usize>>)> {
    let shape = config.take("batch_shape").or(config.take("batch_input_shape")).map(sample_shape);
    let spec = match class {
        "InputLayer" => Spec::Plain(input(&mut config, shape.clone())?),
        "Dense" => dense(&mut config, version)?,
        "Flatten" => flatten(&mut config)?,
        "Dropout" => dropout(&mut config)?,
        _ => match activation::by_layer(class, &mut config, version)? {
            Some(activation) => Spec::Plain(LayerKind::Activation(activation)),
            None => {
                return Err(Error::unsupported(format!(
                    "{class} layers are not supported; nearside runs dense networks: Dense, Activation, Flatten, \
                     Dropout"
                )));
            }
        },
    };
    skip_common(&mut config)?;
    config.done()?;
    Ok((spec, shape.transpose()?))
}

fn dense(config: &mut Fields, version: KerasVersion) -> Result<Spec> {
    // Keras 1 calls them output_dim and bias.
    let units = config.count("units")?.or(config.count("output_dim")?);
    let units = config.required("units", units)?;
    let use_bias = config.flag("use_bias")?.or(config.flag("bias")?).unwrap_or(true);
    let activation = activation::read(config.take("activation"), version)?;
    if config.take("quantization_config").is_some() {
        return Err(Error::unsupported("the weights are quantized; save the model before quantizing it"));
    }
    config.skip(&TRAINING);
    if units == 0 {
        return Err(Error::format("Dense: 'units' is 0"));
    }
    Ok(Spec::Dense { units, use_bias, activation })
}

fn flatten(config: &mut Fields) -> Result<Spec> {
    match config.text("data_format")?.as_deref() {
        None | Some("channels_last") => Ok(Spec::Plain(LayerKind::Flatten)),
        // It moves the second axis to the end first.
        Some(other) => Err(Error::unsupported(format!(
            "Flatten with data_format '{other}' is not supported; build the model with 'channels_last'"
        ))),
    }
}

fn dropout(config: &mut Fields) -> Result<Spec> {
    // Keras 1 calls it p.
    let rate = config.number("rate")?.or(config.number("p")?);
    let rate = config.required("rate", rate)?;
    config.skip(&["seed", "noise_shape"]);
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::format(format!("Dropout: 'rate' is {rate}, it lies between 0 and 1")));
    }
    Ok(Spec::Plain(LayerKind::Dropout { rate }))
}

fn input(config: &mut Fields, shape: Option<Result<Vec<usize>>>) -> Result<LayerKind> {
    for option in ["sparse", "ragged"] {
        if config.flag(option)? == Some(true) {
            return Err(Error::unsupported(format!("{option} inputs are not supported")));
        }
    }
    // An input that may be left out; nearside asks for it.
    config.skip(&["optional"]);
    let shape = config.required("batch_shape", shape)??;
    Ok(LayerKind::Input { shape })
}

/// The shape of a sample, from that of a batch.
pub(super) fn sample_shape(value: Value) -> Result<Vec<usize>> {
    let text = brief(&value);
    // `tf.keras` wraps tuples: {"class_name": "TensorShape", "items": [null, 4]}.
    let axes = match value {
        Value::Array(axes) => Some(axes),
        Value::Object(mut map) => match map.remove("items") {
            Some(Value::Array(axes)) => Some(axes),
            _ => None,
        },
        _ => None,
    };
    let wrong = || Error::format(format!("the input shape is {text}, a list of lengths is needed"));
    let axes = axes.ok_or_else(wrong)?;
    let (_batch, axes) = axes.split_first().ok_or_else(wrong)?;
    if axes.iter().any(Value::is_null) {
        return Err(Error::unsupported(format!(
            "the input shape {text} leaves an axis besides the batch open; save the model with all others fixed"
        )));
    }
    axes.iter().map(|axis| usize::try_from(axis.as_u64()?).ok()).collect::<Option<_>>().ok_or_else(wrong)
}

/// Accepts what computes in floats: nearside computes in f32, whose results differ by no more than rounding.
pub(super) fn check_dtype(value: Option<Value>) -> Result<()> {
    let name = match value {
        None => return Ok(()),
        Some(Value::String(name)) => name,
        Some(object) => {
            let mut policy = Fields::new(object, "dtype")?;
            let class = class(&mut policy)?;
            let config = policy.take("config");
            let mut config = Fields::new(policy.required("config", config)?, "dtype")?;
            let name = config.text("name")?;
            match (class.as_str(), name) {
                ("DTypePolicy" | "FloatDTypePolicy" | "Policy", Some(name)) => name,
                _ => class,
            }
        }
    };
    match name.as_str() {
        "float16" | "bfloat16" | "float32" | "float64" | "mixed_float16" | "mixed_bfloat16" => Ok(()),
        _ => Err(Error::unsupported(format!("the dtype '{name}' is not supported; use a float type"))),
    }
}
