//! One layer's entry in the architecture.

use super::{
    KerasVersion,
    fields::{Fields, brief},
    network::Network,
    operation::Operation,
    regularizer,
    spec::{self, Shape, Spec},
};
use crate::format::json::Value;
use crate::{Error, Result, layer::Penalty};

/// A layer and what the architecture says about its place.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// As the file spells it.
    pub(super) class: String,
    /// Whether its weights are trained, which decides where a file has them.
    pub(super) trainable: bool,
    /// What its weights add to the loss.
    pub(super) penalties: Vec<Penalty>,
    /// What the entries of one and the same layer have in common.
    pub(super) shared: Option<String>,
    pub(super) content: Content,
    /// Where the layer declares the model's input (Keras 1 and 2 without InputLayer).
    pub(super) sample_shape: Shape,
    /// `inbound_nodes`, in a functional model.
    pub(super) calls: Option<Value>,
}

/// Bytes of a layer's name: those of nested models are repeated for every layer in them.
const LONGEST_NAME: usize = 1024;

/// What an entry stands for.
#[derive(Debug, PartialEq)]
pub(super) enum Content {
    /// A layer, and its index among all layers of all models.
    Layer(Spec, usize),
    /// A model that is called like a layer.
    Model(Network),
}

/// What stands beside every `class_name`.
pub(super) struct Class {
    pub(super) name: String,
    module: Option<String>,
    shared: Option<String>,
}

impl Entry {
    /// Reads `{"class_name": …, "config": {…}, "name": …, "inbound_nodes": […]}`.
    pub(super) fn read(value: Value, version: KerasVersion) -> Result<Self> {
        let mut fields = Fields::new(value, "a layer")?;
        let class = class(&mut fields)?;
        let name = fields.text("name")?;
        let calls = fields.take("inbound_nodes");
        let config = fields.take("config");
        let config = fields.required("config", config)?;
        let own_name = config.get("name").and_then(Value::as_str).map(str::to_string);
        let name = fields.required("name", own_name.or(name))?;
        if name.len() > LONGEST_NAME {
            return Err(Error::unsupported(format!("a layer's name has {} bytes", name.len())));
        }
        let read = || {
            fields.done()?;
            Self::with_config(&class, name.clone(), config, version)
        };
        let entry = read().map_err(|error: Error| error.layer(&name))?;
        Ok(Self { calls, shared: class.shared, class: class.name, ..entry })
    }

    fn with_config(class: &Class, name: String, config: Value, version: KerasVersion) -> Result<Self> {
        let mut entry = Self {
            name,
            class: String::new(),
            trainable: true,
            penalties: Vec::new(),
            shared: None,
            content: Content::Layer(Spec::Input(None, false), 0),
            sample_shape: None,
            calls: None,
        };
        if Network::is_class(&class.name) {
            let network = Network::read(&class.name, config, version)?;
            entry.trainable = network.trainable;
            entry.content = Content::Model(network);
            return Ok(entry);
        }
        let mut config = Fields::new(config, class.name.as_str())?;
        if is_operation(class, &config, version) {
            let operation = Operation::read(&class.name, &mut config)?;
            config.skip(&["name"]);
            if !matches!(operation, Operation::Unknown(_)) {
                config.done()?;
            }
            entry.content = Content::Layer(Spec::Operation(operation), 0);
            return Ok(entry);
        }
        let shape = config.take("batch_shape").or(config.take("batch_input_shape"));
        let shape = shape.map(sample_shape).transpose()?;
        entry.trainable = config.flag("trainable")?.unwrap_or(true);
        // What is not supported is to be told before what is not known.
        let spec = spec::read(&class.name, &mut config, version, shape.clone())?;
        skip_common(&mut config, integers(&spec))?;
        entry.penalties = regularizer::take(&mut config, &spec.weight_names());
        config.skip_training();
        config.done()?;
        entry.content = Content::Layer(spec, 0);
        entry.sample_shape = shape;
        Ok(entry)
    }

    /// The entry of an input that the architecture only implies.
    pub(super) fn input(name: String, shape: Shape) -> Self {
        Self {
            name,
            class: "InputLayer".to_string(),
            trainable: true,
            penalties: Vec::new(),
            shared: None,
            content: Content::Layer(Spec::Input(shape, false), 0),
            sample_shape: None,
            calls: None,
        }
    }

    pub(super) fn is_input(&self) -> bool {
        matches!(self.content, Content::Layer(Spec::Input(..), _))
    }

    pub(super) fn is_operation(&self) -> bool {
        matches!(self.content, Content::Layer(Spec::Operation(_), _))
    }

    /// How many results a call has.
    pub(super) fn outputs(&self) -> usize {
        match &self.content {
            Content::Layer(..) => 1,
            Content::Model(network) => network.outputs.len(),
        }
    }
}

/// Whether this is a function of Keras 3's. Modules are not written to `.h5` files, where operations differ from the
/// layers of the same name in what every layer has.
fn is_operation(class: &Class, config: &Fields, version: KerasVersion) -> bool {
    match &class.module {
        Some(module) => {
            ["keras.src.ops", "keras.src.activations"].iter().any(|root| module.starts_with(root))
        }
        None => {
            version == KerasVersion::THREE
                && class.name != "InputLayer"
                && !["trainable", "dtype"].iter().any(|key| config.has(key))
        }
    }
}

/// Whether the layer's dtype may be one of integers: it takes them or gives them.
fn integers(spec: &Spec) -> bool {
    matches!(spec, Spec::Input(..) | Spec::Preprocessing(_))
}

/// Takes an object's class, and passes over what Keras writes beside every `class_name`.
pub(super) fn class(fields: &mut Fields) -> Result<Class> {
    let name = fields.text("class_name")?;
    let name = fields.required("class_name", name)?;
    let registered = fields.text("registered_name")?;
    let module = fields.text("module")?;
    // `PACKAGE>CLASS` is how Keras names what users registered; the class itself may be called like one of Keras's.
    let foreign =
        registered.filter(|name| name.split_once('>').is_some_and(|(package, _)| package != "Keras"));
    let outside = module.as_ref().filter(|module| !is_keras(module));
    let foreign = foreign.or(outside.map(|module| format!("{module}.{name}")));
    if let Some(name) = foreign {
        return Err(Error::unsupported(format!("{name} is a custom class, which nearside cannot run")));
    }
    let shared = fields.take("shared_object_id").and_then(|id| id.as_u64()).map(|id| id.to_string());
    fields.skip(&["build_config", "compile_config"]);
    Ok(Class { name, module, shared })
}

fn is_keras(module: &str) -> bool {
    let roots = ["builtins", "keras", "tf_keras", "tensorflow.keras", "tensorflow.python.keras"];
    roots
        .iter()
        .any(|root| module.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// Takes the options that every layer has.
pub(super) fn skip_common(fields: &mut Fields, integers: bool) -> Result<()> {
    check_dtype(fields.take("dtype"), integers)?;
    // Keras 1's name of an input's dtype.
    check_dtype(fields.take("input_dtype"), integers)?;
    fields.skip(&["name", "trainable", "autocast", "batch_size"]);
    Ok(())
}

/// The shape of a sample, from that of a batch.
pub(super) fn sample_shape(value: Value) -> Result<Vec<Option<usize>>> {
    let text = brief(&value);
    // `tf.keras` wraps tuples: {"class_name": "TensorShape", "items": [null, 4]}.
    let axes = match value {
        Value::Array(axes) => Some(axes),
        Value::Object(mut map) => match map.take_optional("items") {
            Some(Value::Array(axes)) => Some(axes),
            _ => None,
        },
        _ => None,
    };
    let wrong = || Error::format(format!("the input shape is {text}, a list of lengths is needed"));
    let axes = axes.ok_or_else(wrong)?;
    let (_batch, axes) = axes.split_first().ok_or_else(wrong)?;
    let length = |axis: &Value| match axis {
        Value::Null => Some(None),
        axis => usize::try_from(axis.as_u64()?).ok().map(Some),
    };
    axes.iter().map(length).collect::<Option<_>>().ok_or_else(wrong)
}

/// Accepts what computes in floats: nearside computes in f32, whose results differ by no more than rounding. Integers
/// are exact in f32 up to 2²⁴.
pub(super) fn check_dtype(value: Option<Value>, integers: bool) -> Result<()> {
    let name = match value {
        None => return Ok(()),
        Some(Value::String(name)) => name,
        Some(object) => {
            let mut policy = Fields::new(object, "dtype")?;
            let class = class(&mut policy)?;
            let config = policy.take("config");
            let mut config = Fields::new(policy.required("config", config)?, "dtype")?;
            let name = config.text("name")?;
            match (class.name.as_str(), name) {
                ("DTypePolicy" | "FloatDTypePolicy" | "Policy", Some(name)) => name,
                _ => class.name,
            }
        }
    };
    let floats = ["float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"];
    let is_integer = name.strip_prefix('u').unwrap_or(&name).strip_prefix("int").is_some();
    match floats.contains(&name.as_str()) || integers && (is_integer || name == "bool") {
        true => Ok(()),
        false => Err(Error::unsupported(format!("the dtype '{name}' is not supported; use a float type"))),
    }
}
