//! nearside's own file: safetensors whose metadata holds the architecture as JSON under the key `nearside`.
//!
//! ```json
//! { "version": 1, "name": "mlp", "outputs": [1],
//!   "layers": [ { "name": "x", "type": "input", "shape": [784] },
//!               { "name": "d", "type": "dense", "bias": true, "activation": { "name": "relu" } } ],
//!   "nodes":  [ { "layer": 0, "inputs": [] }, { "layer": 1, "inputs": [0] } ] }
//! ```
//!
//! A layer's weights are the f32 tensors `LAYER/kernel` and `LAYER/bias`, so any safetensors reader can use them.

use super::{json::Object, safetensors};
use crate::{Activation, Error, Layer, LayerKind, Model, Node, Result};
use serde_json::{Map, Value, json};

const KEY: &str = "nearside";
const VERSION: usize = 1;

/// Whether these bytes look like safetensors: the length of a header, then JSON.
pub fn is_container(bytes: &[u8]) -> bool {
    safetensors::header_length(bytes).is_ok() && bytes.get(8) == Some(&b'{')
}

/// Reads a container.
///
/// # Errors
/// `Format` for damaged bytes or an architecture that is not one, `Unsupported` for one of a later version, `Shape`
/// for weights that do not fit it.
pub fn read(bytes: &[u8]) -> Result<Model> {
    let mut file = safetensors::File::read(bytes)?;
    let Some(Value::String(text)) = file.metadata.remove(KEY) else {
        return Err(Error::unsupported(
            "this safetensors file holds weights without an architecture; use one that nearside saved with \
             model.save('safetensors')",
        ));
    };
    let architecture = serde_json::from_slice(text.as_bytes())
        .map_err(|error| Error::format(format!("the architecture is not JSON: {error}")).offset(8))?;
    let model = model(architecture, &mut file).map_err(|error| error.offset(8))?;
    if let Some(name) = file.untaken() {
        return Err(Error::format("no layer has this tensor").tensor(name).offset(8));
    }
    model.shapes()?;
    Ok(model)
}

fn model(architecture: Value, file: &mut safetensors::File) -> Result<Model> {
    let mut fields = Object::new(architecture, "the architecture")?;
    let version = fields.size("version")?;
    if version != VERSION {
        return Err(Error::unsupported(format!(
            "the architecture has version {version}, this nearside reads version {VERSION}; update nearside"
        )));
    }
    let layers = fields.list("layers")?.into_iter().map(|value| layer(value, file)).collect::<Result<_>>()?;
    let nodes = fields.list("nodes")?.into_iter().map(node).collect::<Result<_>>()?;
    let model = Model { name: fields.string("name")?, layers, nodes, outputs: fields.sizes("outputs")? };
    fields.finish()?;
    Ok(model)
}

fn layer(value: Value, file: &mut safetensors::File) -> Result<Layer> {
    let mut fields = Object::new(value, "a layer")?;
    let name = fields.string("name")?;
    let kind = kind(&name, fields, file).map_err(|error| error.layer(&name))?;
    Ok(Layer { name, kind })
}

fn kind(name: &str, mut fields: Object, file: &mut safetensors::File) -> Result<LayerKind> {
    let type_name = fields.string("type")?;
    let kind = match type_name.as_str() {
        "input" => LayerKind::Input { shape: fields.sizes("shape")? },
        "dense" => LayerKind::Dense {
            kernel: file.take(&format!("{name}/kernel"))?,
            bias: if fields.boolean("bias")? { Some(file.take(&format!("{name}/bias"))?) } else { None },
            activation: activation(fields.take("activation")?)?,
        },
        "activation" => LayerKind::Activation(activation(fields.take("activation")?)?),
        "flatten" => LayerKind::Flatten,
        "dropout" => LayerKind::Dropout { rate: fields.number("rate")? },
        _ => return Err(Error::unsupported(format!("layers of type '{type_name}' are not supported"))),
    };
    fields.finish()?;
    Ok(kind)
}

fn node(value: Value) -> Result<Node> {
    let mut fields = Object::new(value, "a node")?;
    let node = Node { layer: fields.size("layer")?, inputs: fields.sizes("inputs")? };
    fields.finish()?;
    Ok(node)
}

/// Reads an activation: its name, and its parameters where they differ from Keras's defaults.
fn activation(value: Value) -> Result<Activation> {
    let mut fields = Object::new(value, "the activation")?;
    let name = fields.string("name")?;
    let mut activation = Activation::from_name(&name)
        .ok_or_else(|| Error::unsupported(format!("the activation '{name}' is not supported")))?;
    for (parameter, value) in fields.into_fields() {
        let known = match (&mut activation, value.as_f64()) {
            (Activation::Elementwise(function), Some(value)) => {
                function.set_parameter(&parameter, value as f32)
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

/// Writes a container.
///
/// # Errors
/// As [`Model::shapes`]: a model that could not be read again is not written.
pub fn write(model: &Model) -> Result<Vec<u8>> {
    model.shapes()?;
    let nodes = model.nodes.iter().map(|node| json!({ "layer": node.layer, "inputs": node.inputs }));
    let architecture = json!({
        "version": VERSION,
        "name": model.name,
        "layers": model.layers.iter().map(layer_fields).collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
        "outputs": model.outputs,
    });
    let mut tensors = Vec::new();
    for Layer { name, kind } in &model.layers {
        if let LayerKind::Dense { kernel, bias, .. } = kind {
            tensors.push((format!("{name}/kernel"), kernel));
            tensors.extend(bias.as_ref().map(|bias| (format!("{name}/bias"), bias)));
        }
    }
    Ok(safetensors::write((KEY, safetensors::to_text(&architecture)), &tensors))
}

fn layer_fields(Layer { name, kind }: &Layer) -> Value {
    match kind {
        LayerKind::Input { shape } => json!({ "name": name, "type": "input", "shape": shape }),
        LayerKind::Dense { bias, activation, .. } => json!({
            "name": name, "type": "dense", "bias": bias.is_some(), "activation": activation_fields(*activation),
        }),
        LayerKind::Activation(activation) => {
            json!({ "name": name, "type": "activation", "activation": activation_fields(*activation) })
        }
        LayerKind::Flatten => json!({ "name": name, "type": "flatten" }),
        LayerKind::Dropout { rate } => json!({ "name": name, "type": "dropout", "rate": rate }),
    }
}

fn activation_fields(activation: Activation) -> Value {
    let mut fields = Map::new();
    fields.insert("name".into(), activation.name().into());
    if let Activation::Elementwise(function) = activation {
        for (name, value) in function.named_parameters() {
            fields.insert(name.into(), value.into());
        }
    }
    Value::Object(fields)
}
