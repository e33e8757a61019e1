//! A graph as Keras's configuration.

use super::{
    graph::{Graph, KerasLayer, Reference, with_batch},
    layer::is_merge,
};
use crate::format::json::{Object, Value};

/// In which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Of `.h5` files: Keras 2's, which Keras 3 reads as well.
    Legacy,
    /// Of `.keras` files.
    Keras3,
}

/// The configuration of a model.
pub fn config(name: &str, graph: &Graph, dialect: Dialect) -> Value {
    let layers = graph.layers.iter().map(|layer| layer_config(graph, layer, dialect)).collect();
    let mut config = vec![("name", Value::from(name)), ("layers", Value::Array(layers))];
    let (class, module) = match graph.is_chain() {
        true => ("Sequential", "keras"),
        // The one class that Keras does not name by its public place.
        false => ("Functional", "keras.src.models.functional"),
    };
    if class == "Functional" {
        // A single one stands for itself: in a list, Keras warns of every input that is not in a list.
        let ends = |ends: &[Reference]| match ends {
            [end] => reference(graph, *end),
            _ => Value::Array(ends.iter().map(|&end| reference(graph, end)).collect()),
        };
        config.extend([("input_layers", ends(&graph.inputs)), ("output_layers", ends(&graph.outputs))]);
    }
    object(class, module, config, dialect)
}

fn layer_config(graph: &Graph, layer: &KerasLayer, dialect: Dialect) -> Value {
    let name = Value::from(layer.name.as_str());
    let fields = layer.config.iter().map(|(name, value)| match (*name, dialect) {
        ("batch_shape", Dialect::Legacy) => ("batch_input_shape", value.clone()),
        _ => (*name, value.clone()),
    });
    let mut fields: Vec<_> = std::iter::once(("name", name.clone())).chain(fields).collect();
    if layer.class != "InputLayer" {
        fields.push(("dtype", "float32".into()));
    }
    let mut entry = object(layer.class, "keras.layers", fields, dialect);
    let Value::Object(fields) = &mut entry else { return entry };
    let built_on = layer.calls.first().and_then(|call| call.inputs.first());
    if let (Some(&input), Dialect::Keras3, false) = (built_on, dialect, layer.weights.is_empty()) {
        let shape = Value::object([("input_shape", with_batch(&graph.call(input).shape))]);
        fields.fields_mut().push(("build_config".to_string(), shape));
    }
    if !graph.is_chain() {
        let calls = layer.calls.iter().filter(|call| !call.inputs.is_empty());
        let calls = calls.map(|call| node(graph, &call.inputs, is_merge(layer.class), dialect)).collect();
        fields
            .fields_mut()
            .extend([("name".to_string(), name), ("inbound_nodes".to_string(), Value::Array(calls))]);
    }
    entry
}

/// `{"class_name": …, "config": …}`, in Keras 3 with the place of the class.
fn object(class: &str, module: &str, mut config: Vec<(&str, Value)>, dialect: Dialect) -> Value {
    let mut fields = vec![("class_name", Value::from(class)), ("config", Value::object_of(&mut config))];
    if dialect == Dialect::Keras3 {
        fields.extend([("module", module.into()), ("registered_name", Value::Null)]);
    }
    Value::object_of(&mut fields)
}

/// A call: the tensors that a layer is given.
fn node(graph: &Graph, inputs: &[Reference], is_list: bool, dialect: Dialect) -> Value {
    if dialect == Dialect::Legacy {
        let tensor = |&input: &Reference| match reference(graph, input) {
            Value::Array(mut items) => {
                items.push(Value::Object(Object::default()));
                Value::Array(items)
            }
            other => other,
        };
        return Value::Array(inputs.iter().map(tensor).collect());
    }
    let tensors = inputs.iter().map(|&input| tensor(graph, input)).collect();
    let arguments = if is_list { vec![Value::Array(tensors)] } else { tensors };
    Value::object([("args", Value::Array(arguments)), ("kwargs", Value::Object(Object::default()))])
}

fn tensor(graph: &Graph, input: Reference) -> Value {
    let config = [
        ("shape", with_batch(&graph.call(input).shape)),
        ("dtype", "float32".into()),
        ("keras_history", reference(graph, input)),
    ];
    Value::object([("class_name", "__keras_tensor__".into()), ("config", Value::object(config))])
}

/// `[layer, node, tensor]`
fn reference(graph: &Graph, (layer, call): Reference) -> Value {
    Value::Array(vec![graph.layers[layer].name.as_str().into(), call.into(), 0usize.into()])
}
