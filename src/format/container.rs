//! nearside's own file: safetensors whose metadata holds the architecture as JSON under the key `nearside`.
//!
//! ```json
//! { "version": 1, "name": "mlp", "batched": true, "outputs": [1],
//!   "layers": [ { "name": "x", "type": "InputLayer", "weights": [], "shape": [784] },
//!               { "name": "d", "type": "Dense", "weights": ["kernel", "bias"], "activation": { "name": "relu" } } ],
//!   "nodes":  [ { "layer": 0, "inputs": [] }, { "layer": 1, "inputs": [0] } ] }
//! ```
//!
//! A layer's weights are the tensors `LAYER/kernel`, `LAYER/bias` and so on, so any safetensors reader can use them:
//! f32, or f16, or int8 with an f32 tensor `LAYER/kernel/scale` that holds a factor for each position of the last axis.

use super::{
    json::{Object, Value},
    safetensors::{self, Source, Written},
};
use crate::{
    Activation, Binary, Compiled, Dtype, Error, Layer, LayerKind, Model, Node, Result, Tensor,
    compile::{Rule, Slot},
    layer::{Encoding, Noise, Penalty},
};
use nearside_kernels::append_le_bytes;

const KEY: &str = "nearside";
const VERSION: usize = 1;
/// What the names of tensors begin with that an optimizer remembers.
const OPTIMIZER: &str = "optimizer";

/// Whether a file is safetensors with an architecture, as far as its first bytes show: of a container whose header is
/// longer than that, they may not.
pub fn is_container(start: &[u8]) -> bool {
    let Some(header) = safetensors::header_start(start) else { return false };
    // A string would have its quotes escaped, and a tensor's value is no string.
    (0..header.len()).any(|at| {
        let key = header.get(at..).and_then(|rest| rest.strip_prefix(b"\"nearside\""));
        let value = key.and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"));
        value.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""))
    })
}

/// Reads a container.
///
/// # Errors
/// `Format` for damaged bytes or an architecture that is not one, `Unsupported` for one of a later version, `Shape`
/// for weights that do not fit it.
pub fn read(bytes: &[u8]) -> Result<Model> {
    Ok(read_from(&bytes, true)?.0)
}

/// [`read`], and the smallest type that the file keeps weights in. What the model is compiled with is passed over unless
/// it is wanted: an optimizer remembers twice as much as there are weights.
///
/// # Errors
/// As [`read`].
pub fn read_from(source: &dyn Source, compiled: bool) -> Result<(Model, Dtype)> {
    let mut file = safetensors::File::read(source)?;
    let Some(Value::String(text)) = file.metadata.take_optional(KEY) else {
        return Err(Error::unsupported(
            "this safetensors file holds weights without an architecture; use a file that nearside saved with \
             model.save('safetensors')",
        ));
    };
    let architecture = Value::parse(text.as_bytes(), "the architecture").map_err(|error| error.offset(8))?;
    let model = model(architecture, &mut file, compiled).map_err(|error| error.offset(8))?;
    let passed = |name: &str| !compiled && name.split('/').next() == Some(OPTIMIZER);
    if let Some((name, _)) = file.left().find(|(name, _)| !passed(name)) {
        return Err(Error::format("no layer has this tensor").tensor(name).offset(8));
    }
    model.shapes()?;
    Ok((model, file.dtype))
}

fn model(architecture: Value, file: &mut safetensors::File, compiled: bool) -> Result<Model> {
    let mut fields = Object::new(architecture, "the architecture")?;
    let version = fields.size("version")?;
    if version != VERSION {
        return Err(Error::unsupported(format!(
            "the architecture has version {version}, this nearside reads version {VERSION}; update nearside"
        )));
    }
    let mut layers = Vec::new();
    for value in fields.list("layers")? {
        layers.push(layer(value, file)?);
    }
    let mut nodes = Vec::new();
    for value in fields.list("nodes")? {
        let mut fields = Object::new(value, "a node")?;
        nodes.push(Node { layer: fields.size("layer")?, inputs: fields.sizes("inputs")? });
        fields.finish()?;
    }
    let (name, outputs, batched) =
        (fields.string("name")?, fields.sizes("outputs")?, fields.boolean("batched")?);
    let compiled = match fields.take_optional("compiled") {
        Some(value) if compiled => Some(Box::new(Compiled::from_value(value, slots(&layers, file)?)?)),
        _ => None,
    };
    fields.finish()?;
    Ok(Model { name, layers, nodes, outputs, batched, compiled })
}

fn layer(value: Value, file: &mut safetensors::File) -> Result<Layer> {
    let mut fields = Object::new(value, "a layer")?;
    let name = fields.string("name")?;
    let trainable = fields.take_optional("trainable") != Some(Value::Bool(false));
    let mut penalties = Vec::new();
    if fields.has("penalties") {
        for value in fields.list("penalties")? {
            let mut fields = Object::new(value, "a penalty")?;
            let weight = fields.string("weight")?;
            penalties.push(Penalty { weight, l1: fields.number("l1")?, l2: fields.number("l2")? });
            fields.finish()?;
        }
    }
    let mut read = || {
        let type_name = fields.string("type")?;
        let mut weights = Weights(Vec::new());
        for weight in fields.strings("weights")? {
            let tensor = file.take(&format!("{name}/{weight}"))?;
            weights.0.push((weight, tensor));
        }
        kind(&type_name, std::mem::take(&mut fields), weights)
    };
    let kind = read().map_err(|error| error.layer(&name))?;
    Ok(Layer { name, kind, trainable, penalties })
}

fn slot_name(Slot { name, layer, weight, .. }: &Slot) -> String {
    format!("{OPTIMIZER}/{name}/{layer}/{weight}")
}

/// What the model's optimizer remembers.
fn slots_of(model: &Model) -> &[Slot] {
    let state = model.compiled.as_ref().and_then(|compiled| compiled.state.as_ref());
    state.map_or(&[], |state| &state.slots)
}

/// What the optimizer remembers: the tensors `optimizer/SLOT/LAYER/WEIGHT`, each of its weight's shape.
fn slots(layers: &[Layer], file: &mut safetensors::File) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for layer in layers {
        for (weight, of) in layer.kind.weights() {
            for name in Rule::SLOTS {
                let key = format!("{OPTIMIZER}/{name}/{}/{weight}", layer.name);
                if !file.has(&key) {
                    continue;
                }
                let value = file.take(&key)?;
                if value.shape() != of.shape() {
                    return Err(Error::shape("it has another shape than its weight").tensor(key));
                }
                let (layer, weight) = (layer.name.clone(), weight.to_string());
                slots.push(Slot { name: name.to_string(), layer, weight, value });
            }
        }
    }
    Ok(slots)
}

/// A layer's weights, taken one by one.
pub(crate) struct Weights(pub Vec<(String, Tensor)>);

impl Weights {
    fn optional(&mut self, name: &str) -> Option<Tensor> {
        let index = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.swap_remove(index).1)
    }

    fn take(&mut self, name: &str) -> Result<Tensor> {
        self.optional(name).ok_or_else(|| Error::format(format!("the layer has no weights '{name}'")))
    }
}

/// A layer of its type, its other fields and its weights, all of which must be understood.
pub(crate) fn kind(type_name: &str, mut fields: Object, mut weights: Weights) -> Result<LayerKind> {
    let kind = match type_name {
        "InputLayer" => LayerKind::Input { shape: fields.sizes("shape")? },
        "Constant" => LayerKind::Constant { value: weights.take("value")? },
        "Dense" => LayerKind::Dense {
            kernel: weights.take("kernel")?,
            bias: weights.optional("bias"),
            activation: activation(fields.take("activation")?)?,
        },
        "Activation" => LayerKind::Activation(activation(fields.take("activation")?)?),
        "PReLU" => LayerKind::PRelu { alpha: weights.take("alpha")? },
        "Flatten" => LayerKind::Flatten,
        "Reshape" => LayerKind::Reshape { shape: fields.sizes("shape")? },
        "Permute" => LayerKind::Permute { axes: fields.sizes("axes")? },
        "Dropout" => LayerKind::Dropout { rate: fields.number("rate")? },
        "GaussianNoise" => LayerKind::Noise(Noise::Gaussian { stddev: fields.number("stddev")? }),
        "GaussianDropout" => LayerKind::Noise(Noise::GaussianDropout { rate: fields.number("rate")? }),
        "AlphaDropout" => LayerKind::Noise(Noise::AlphaDropout { rate: fields.number("rate")? }),
        "ActivityRegularization" => LayerKind::Noise(Noise::ActivityRegularization {
            l1: fields.number("l1")?,
            l2: fields.number("l2")?,
        }),
        "Combine" => {
            let op = fields.string("op")?;
            let named = Binary::NAMED.iter().find(|(name, _)| *name == op);
            let unknown = || Error::unsupported(format!("the function '{op}' is not supported"));
            LayerKind::Combine(named.ok_or_else(unknown)?.1)
        }
        "Average" => LayerKind::Average,
        "Concatenate" => LayerKind::Concatenate { axis: fields.size("axis")? },
        "Gather" => LayerKind::Gather { axis: fields.size("axis")?, indices: fields.sizes("indices")? },
        "MatMul" => LayerKind::MatMul,
        "BatchNormalization" => LayerKind::BatchNormalization {
            gamma: weights.optional("gamma"),
            beta: weights.optional("beta"),
            mean: weights.take("moving_mean")?,
            variance: weights.take("moving_variance")?,
            epsilon: fields.number("epsilon")?,
            momentum: fields.number("momentum")?,
        },
        "LayerNormalization" => LayerKind::LayerNormalization {
            gamma: weights.optional("gamma"),
            beta: weights.optional("beta"),
            epsilon: fields.number("epsilon")?,
        },
        "Rescaling" => {
            LayerKind::Rescaling { scale: weights.take("scale")?, offset: weights.take("offset")? }
        }
        "Normalization" => {
            LayerKind::Normalization { mean: weights.take("mean")?, variance: weights.take("variance")? }
        }
        "Embedding" => LayerKind::Embedding { table: weights.take("embeddings")? },
        "CategoryEncoding" => {
            let mode = fields.string("mode")?;
            let known = ENCODINGS.iter().find(|(name, _)| *name == mode);
            let unknown = || Error::unsupported(format!("the encoding '{mode}' is not supported"));
            LayerKind::CategoryEncoding { tokens: fields.size("tokens")?, mode: known.ok_or_else(unknown)?.1 }
        }
        "Discretization" => LayerKind::Discretization { boundaries: weights.take("boundaries")? },
        "Classes" => {
            LayerKind::Classes { names: fields.strings("names")?, columns: fields.boolean("columns")? }
        }
        _ => return Err(Error::unsupported(format!("layers of type '{type_name}' are not supported"))),
    };
    fields.finish()?;
    match weights.0.first() {
        Some((weight, _)) => Err(Error::format(format!("the layer takes no weights '{weight}'"))),
        None => Ok(kind),
    }
}

const ENCODINGS: [(&str, Encoding); 3] =
    [("one_hot", Encoding::OneHot), ("multi_hot", Encoding::MultiHot), ("count", Encoding::Count)];

/// The encoding's name, Keras's.
pub(crate) fn encoding_name(mode: Encoding) -> &'static str {
    let named = ENCODINGS.iter().find(|(_, named)| *named == mode);
    named.map_or("", |(name, _)| name)
}

/// Reads an activation: its name, and its parameters where they differ from Keras's defaults.
fn activation(value: Value) -> Result<Activation> {
    let mut fields = Object::new(value, "the activation")?;
    let name = fields.string("name")?;
    let mut activation = Activation::from_name(&name)
        .ok_or_else(|| Error::unsupported(format!("the activation '{name}' is not supported")))?;
    for (parameter, value) in fields.into_fields() {
        let known = match (&mut activation, value) {
            (Activation::Elementwise(function), Value::Number(value)) => {
                function.set_parameter(&parameter, value as f32)
            }
            (Activation::Rowwise(function), Value::Number(value)) if parameter == EPSILON => {
                function.set_epsilon(value as f32)
            }
            _ => false,
        };
        if !known {
            let message = format!("the parameter '{parameter}' of the activation '{name}' is not understood");
            return Err(Error::format(message));
        }
    }
    Ok(activation)
}

const EPSILON: &str = "epsilon";

/// The type of that name in JavaScript. In files it is that of the weights that make up their size, the kernels of
/// [`LayerKind::Dense`] and the tables of [`LayerKind::Embedding`]; all others stay as they are: statistics leave the
/// range of 16 bits.
///
/// # Errors
/// `Value` for any other name.
pub fn dtype_from_name(name: &str) -> Result<Dtype> {
    let mut dtypes = [Dtype::F32, Dtype::F16, Dtype::Int8].into_iter();
    dtypes
        .find(|dtype| dtype.name() == name)
        .ok_or_else(|| Error::value(format!("there is no dtype '{name}'; use 'f32', 'f16' or 'int8'")))
}

/// Writes a container.
///
/// # Errors
/// As [`start`].
pub fn write(model: &Model) -> Result<Vec<u8>> {
    let (mut file, tensors) = start(model)?;
    file.reserve_exact(tensors.iter().map(|tensor| 4 * tensor.data().len()).sum());
    tensors.iter().for_each(|tensor| append_le_bytes(&mut file, tensor.data()));
    Ok(file)
}

/// What the container of a model begins with, and the tensors whose values follow, in little-endian order.
///
/// # Errors
/// As [`Model::shapes`]: a model that could not be read again is not written.
pub fn start(model: &Model) -> Result<(Vec<u8>, Vec<&Tensor>)> {
    model.shapes()?;
    let (mut entries, mut tensors) = (Vec::new(), Vec::new());
    let mut write = |name: String, tensor| {
        let bytes = 4 * Tensor::data(tensor).len();
        entries.push(Written { name, dtype: "F32", shape: tensor.shape(), bytes });
        tensors.push(tensor);
    };
    for Layer { name, kind, .. } in &model.layers {
        kind.weights().into_iter().for_each(|(weight, tensor)| write(format!("{name}/{weight}"), tensor));
    }
    for slot in slots_of(model) {
        write(slot_name(slot), &slot.value);
    }
    Ok((safetensors::start((KEY, architecture(model).to_text()), &entries), tensors))
}

/// Writes a container with smaller weights.
///
/// # Errors
/// As [`write()`], and `Value` for weights that the type cannot hold.
#[cfg(feature = "formats")]
pub fn write_as(model: &Model, dtype: Dtype) -> Result<Vec<u8>> {
    use super::stored::{Stored, Values};
    model.shapes()?;
    let stored = Stored::all(model, dtype)?;
    let (mut entries, mut contents) = (Vec::new(), Vec::new());
    // The wider first, so that all are aligned.
    for slot in slots_of(model) {
        let bytes = f32_bytes(slot.value.data());
        entries.push(Written {
            name: slot_name(slot),
            dtype: "F32",
            shape: slot.value.shape(),
            bytes: bytes.len(),
        });
        contents.push(bytes);
    }
    for wanted in ["F32", "F16", "I8"] {
        for Stored { layer, weight, tensor, values } in &stored {
            let name = format!("{layer}/{weight}");
            let (name, shape, bytes) = match (values, wanted) {
                (Values::F32, "F32") => (name, tensor.shape(), f32_bytes(tensor.data())),
                (Values::F16(bytes), "F16") => (name, tensor.shape(), bytes.clone()),
                (Values::Int8 { bytes, .. }, "I8") => (name, tensor.shape(), bytes.clone()),
                (Values::Int8 { scale, .. }, "F32") => {
                    if model.layers.iter().any(|layer| layer.name == name) {
                        let message =
                            "another layer has the name under which the scale of these weights is kept";
                        return Err(Error::unsupported(format!("{message}; save as f16 or f32")).tensor(name));
                    }
                    let last = tensor.shape().len().saturating_sub(1);
                    let shape = tensor.shape().get(last..).unwrap_or_default();
                    (format!("{name}/scale"), shape, f32_bytes(scale))
                }
                _ => continue,
            };
            entries.push(Written { name, dtype: wanted, shape, bytes: bytes.len() });
            contents.push(bytes);
        }
    }
    let mut file = safetensors::start((KEY, architecture(model).to_text()), &entries);
    contents.iter().for_each(|bytes| file.extend_from_slice(bytes));
    Ok(file)
}

/// Floats as files have them.
#[cfg(feature = "formats")]
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    append_le_bytes(&mut bytes, values);
    bytes
}

/// The architecture of a model, without its weights.
pub(super) fn architecture(model: &Model) -> Value {
    let node =
        |node: &Node| Value::object([("layer", node.layer.into()), ("inputs", Value::sizes(&node.inputs))]);
    let mut fields = vec![
        ("version", VERSION.into()),
        ("name", model.name.as_str().into()),
        ("batched", Value::Bool(model.batched)),
        ("layers", Value::Array(model.layers.iter().map(layer_fields).collect())),
        ("nodes", Value::Array(model.nodes.iter().map(node).collect())),
        ("outputs", Value::sizes(&model.outputs)),
    ];
    if let Some(compiled) = &model.compiled {
        fields.push(("compiled", compiled.to_value()));
    }
    Value::object_of(&mut fields)
}

fn layer_fields(Layer { name, kind, trainable, penalties }: &Layer) -> Value {
    let type_name = match kind {
        LayerKind::Combine(_) => "Combine",
        kind => kind.type_name(),
    };
    let weights = kind.weights().into_iter().map(|(name, _)| Value::from(name)).collect();
    let mut fields = vec![
        ("name", Value::from(name.as_str())),
        ("type", type_name.into()),
        ("weights", Value::Array(weights)),
    ];
    if !trainable {
        fields.push(("trainable", Value::Bool(false)));
    }
    if !penalties.is_empty() {
        let penalty = |Penalty { weight, l1, l2 }: &Penalty| {
            Value::object([("weight", weight.as_str().into()), ("l1", (*l1).into()), ("l2", (*l2).into())])
        };
        fields.push(("penalties", Value::Array(penalties.iter().map(penalty).collect())));
    }
    match kind {
        LayerKind::Input { shape } | LayerKind::Reshape { shape } => {
            fields.push(("shape", Value::sizes(shape)))
        }
        LayerKind::Dense { activation, .. } | LayerKind::Activation(activation) => {
            fields.push(("activation", activation_fields(*activation)));
        }
        LayerKind::Permute { axes } => fields.push(("axes", Value::sizes(axes))),
        LayerKind::Dropout { rate }
        | LayerKind::Noise(Noise::GaussianDropout { rate } | Noise::AlphaDropout { rate }) => {
            fields.push(("rate", (*rate).into()));
        }
        LayerKind::Noise(Noise::Gaussian { stddev }) => fields.push(("stddev", (*stddev).into())),
        LayerKind::Noise(Noise::ActivityRegularization { l1, l2 }) => {
            fields.extend([("l1", (*l1).into()), ("l2", (*l2).into())]);
        }
        LayerKind::Combine(op) => {
            let named = Binary::NAMED.iter().find(|(_, named)| named == op);
            fields.push(("op", named.map_or("", |(name, _)| name).into()));
        }
        LayerKind::Concatenate { axis } => fields.push(("axis", (*axis).into())),
        LayerKind::Gather { axis, indices } => {
            fields.extend([("axis", (*axis).into()), ("indices", Value::sizes(indices))]);
        }
        LayerKind::BatchNormalization { epsilon, momentum, .. } => {
            fields.extend([(EPSILON, (*epsilon).into()), ("momentum", (*momentum).into())]);
        }
        LayerKind::LayerNormalization { epsilon, .. } => fields.push((EPSILON, (*epsilon).into())),
        LayerKind::CategoryEncoding { tokens, mode } => {
            fields.extend([("tokens", (*tokens).into()), ("mode", encoding_name(*mode).into())]);
        }
        LayerKind::Classes { names, columns } => {
            let names = names.iter().map(|name| name.as_str().into()).collect();
            fields.extend([("names", Value::Array(names)), ("columns", Value::Bool(*columns))]);
        }
        LayerKind::Constant { .. }
        | LayerKind::PRelu { .. }
        | LayerKind::Flatten
        | LayerKind::Average
        | LayerKind::MatMul
        | LayerKind::Rescaling { .. }
        | LayerKind::Normalization { .. }
        | LayerKind::Embedding { .. }
        | LayerKind::Discretization { .. } => {}
    }
    Value::object_of(&mut fields)
}

fn activation_fields(activation: Activation) -> Value {
    let mut fields = vec![("name".to_string(), Value::from(activation.name()))];
    match activation {
        Activation::Elementwise(function) => {
            let named = function.named_parameters().into_iter();
            fields.extend(named.map(|(name, value)| (name.to_string(), value.into())));
        }
        Activation::Rowwise(function) => {
            fields.extend(function.epsilon().map(|epsilon| (EPSILON.to_string(), epsilon.into())));
        }
    }
    Value::Object(fields.into())
}
