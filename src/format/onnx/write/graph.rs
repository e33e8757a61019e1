//! A graph in the making: nodes, and the tensors they are given.

use super::message::Message;
use crate::format::{
    names::Names,
    stored::{Stored, Values},
};
use std::collections::BTreeMap;

/// Numbers of types in `TensorProto.DataType`.
pub const FLOAT: i64 = 1;
const INT8: i64 = 3;
pub const INT64: i64 = 7;
pub const STRING: i64 = 8;
const FLOAT16: i64 = 10;

/// An operator called on values, which have names.
struct Node {
    op: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
    attributes: Vec<Message>,
}

/// What is known of the file so far.
#[derive(Default)]
pub struct Graph {
    pub names: Names,
    nodes: Vec<Node>,
    initializers: Vec<Message>,
    /// Constants by what they hold, so that each is there once.
    constants: BTreeMap<(i64, Vec<i64>, Vec<u8>), String>,
    /// The layer that the next nodes belong to.
    pub layer: String,
}

/// Operators of the domain `ai.onnx.ml`.
const ML: [&str; 2] = ["LabelEncoder", "ZipMap"];

impl Graph {
    /// The result of an operator without attributes.
    pub fn op(&mut self, op: &'static str, inputs: &[&str]) -> String {
        self.with(op, inputs, vec![])
    }

    /// The result of an operator.
    pub fn with(&mut self, op: &'static str, inputs: &[&str], attributes: Vec<Message>) -> String {
        let output = self.names.unique(&format!("{}/{op}", self.layer));
        self.nodes.push(Node {
            op,
            inputs: inputs.iter().map(ToString::to_string).collect(),
            outputs: vec![output.clone()],
            attributes,
        });
        output
    }

    /// The results of an operator that has two.
    pub fn two(&mut self, op: &'static str, inputs: &[&str], attributes: Vec<Message>) -> [String; 2] {
        let first = self.with(op, inputs, attributes);
        let second = self.names.unique(&first);
        if let Some(node) = self.nodes.last_mut() {
            node.outputs.push(second.clone());
        }
        [first, second]
    }

    /// The value under the name given: by renaming the last node's result if it is that, else by another node.
    pub fn called(&mut self, value: String, name: String) -> String {
        match self.nodes.last_mut() {
            Some(node) if node.outputs == [value.as_str()] => node.outputs = vec![name.clone()],
            _ => self.nodes.push(Node {
                op: "Identity",
                inputs: vec![value],
                outputs: vec![name.clone()],
                attributes: vec![],
            }),
        }
        name
    }

    /// A number.
    pub fn scalar(&mut self, value: f32) -> String {
        self.constant("constant", FLOAT, &[], &value.to_le_bytes())
    }

    /// A parameter of the layer: one number as such, several as a list.
    pub fn parameter(&mut self, name: &str, values: &[f32]) -> String {
        match values {
            [one] => self.scalar(*one),
            _ => self.list(name, values),
        }
    }

    /// A list of numbers.
    pub fn list(&mut self, name: &str, values: &[f32]) -> String {
        let name = format!("{}/{name}", self.layer);
        self.constant(&name, FLOAT, &[values.len()], &float_bytes(values))
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) -> String {
        self.constant("constant", INT64, &[], &value.to_le_bytes())
    }

    /// A list of whole numbers.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant("constant", INT64, &[values.len()], &bytes)
    }

    fn constant(&mut self, name: &str, dtype: i64, shape: &[usize], bytes: &[u8]) -> String {
        let key = (dtype, shape.iter().map(|&axis| axis as i64).collect(), bytes.to_vec());
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.names.unique(name);
        self.initializer(&name, dtype, shape, bytes);
        self.constants.insert(key, name.clone());
        name
    }

    /// A layer's weights as floats, whatever they are kept as.
    pub fn weights(&mut self, Stored { layer, weight, tensor, values }: &Stored) -> String {
        let name = self.names.unique(&format!("{layer}/{weight}"));
        let shape = tensor.shape();
        let (dtype, bytes) = match values {
            Values::F32 => {
                self.initializer(&name, FLOAT, shape, &float_bytes(tensor.data()));
                return name;
            }
            Values::F16(bytes) => (FLOAT16, bytes),
            Values::Int8 { bytes, .. } => (INT8, bytes),
        };
        let kept = self.names.unique(&format!("{name}/{}", if dtype == INT8 { "int8" } else { "f16" }));
        self.initializer(&kept, dtype, shape, bytes);
        let result = match values {
            Values::Int8 { scale, .. } => {
                let factors = self.names.unique(&format!("{name}/scale"));
                self.initializer(&factors, FLOAT, &[scale.len()], &float_bytes(scale));
                let axis = vec![int("axis", shape.len() as i64 - 1)];
                self.with("DequantizeLinear", &[&kept, &factors], axis)
            }
            _ => self.with("Cast", &[&kept], vec![int("to", FLOAT)]),
        };
        self.called(result, name)
    }

    /// `TensorProto`
    fn initializer(&mut self, name: &str, dtype: i64, shape: &[usize], bytes: &[u8]) {
        let dims = shape.iter().map(|&axis| Message::default().int(1, axis as i64));
        self.initializers.push(Message::default().all(dims).int(2, dtype).bytes(8, name).bytes(9, bytes));
    }

    /// The nodes and tensors as fields of `GraphProto`, and whether a node is of the domain `ai.onnx.ml`.
    pub fn finish(self) -> (Message, bool) {
        let uses_ml = self.nodes.iter().any(|node| ML.contains(&node.op));
        let nodes = self.nodes.into_iter().map(|node| {
            // `NodeProto`
            let inputs = node.inputs.iter().map(|input| Message::default().bytes(1, input));
            let outputs = node.outputs.iter().map(|output| Message::default().bytes(2, output));
            let name = node.outputs.first().map_or("", String::as_str);
            let mut message = Message::default().all(inputs).all(outputs).bytes(3, name).bytes(4, node.op);
            message =
                message.all(node.attributes.iter().map(|attribute| Message::default().message(5, attribute)));
            let message = if ML.contains(&node.op) { message.bytes(7, ML_DOMAIN) } else { message };
            Message::default().message(1, &message)
        });
        let fields = Message::default().all(nodes);
        let tensors = self.initializers.iter().map(|tensor| Message::default().message(5, tensor));
        (fields.all(tensors), uses_ml)
    }
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// `AttributeProto`, with the number of its type.
fn attribute(name: &str, kind: i64) -> Message {
    Message::default().bytes(1, name).int(20, kind)
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> Message {
    attribute(name, 1).float(2, value)
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> Message {
    attribute(name, 2).int(3, value)
}

/// An attribute that is a list of whole numbers.
pub fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> Message {
    attribute(name, 7).all(values.into_iter().map(|value| Message::default().int(8, value)))
}

/// An attribute that is a list of texts.
pub fn texts(name: &str, values: &[String]) -> Message {
    attribute(name, 8).all(values.iter().map(|value| Message::default().bytes(9, value)))
}
