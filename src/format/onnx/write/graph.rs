//! A graph in the making: nodes, and the tensors they are given.

use super::message::Message;
use crate::format::{
    container::f32_bytes,
    names::Names,
    stored::{Stored, Values},
};

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

struct Constant {
    name: String,
    dtype: i64,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// What is known of the file so far.
#[derive(Default)]
pub struct Graph {
    pub names: Names,
    nodes: Vec<Node>,
    initializers: Vec<Message>,
    /// What constants hold, so that each is there once.
    constants: Vec<Constant>,
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

    /// The value under the name given: by renaming the result of the last node if it is that, else by another node.
    pub fn called(&mut self, value: &str, name: String) -> String {
        match self.nodes.last_mut() {
            Some(node) if node.outputs == [value] => node.outputs = vec![name.clone()],
            _ => self.copied(value, name.clone()),
        }
        name
    }

    /// A node that gives a value again under the name given.
    pub fn copied(&mut self, value: &str, name: String) {
        self.nodes.push(Node {
            op: "Identity",
            inputs: vec![value.to_string()],
            outputs: vec![name],
            attributes: vec![],
        });
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
        self.constant(&name, FLOAT, &[values.len()], &f32_bytes(values))
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) -> String {
        self.constant("constant", INT64, &[], &value.to_le_bytes())
    }

    /// A list of whole numbers.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.constant("constant", INT64, &[values.len()], &bytes)
    }

    fn constant(&mut self, name: &str, dtype: i64, shape: &[usize], bytes: &[u8]) -> String {
        let is_it = |known: &&Constant| known.dtype == dtype && known.shape == shape && known.bytes == bytes;
        if let Some(known) = self.constants.iter().find(is_it) {
            return known.name.clone();
        }
        let name = self.names.unique(name);
        self.initializer(&name, dtype, shape, bytes);
        self.constants.push(Constant {
            name: name.clone(),
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        });
        name
    }

    /// A layer's weights as floats, whatever they are kept as.
    pub fn weights(&mut self, Stored { layer, weight, tensor, values }: &Stored) -> String {
        let name = self.names.unique(&format!("{layer}/{weight}"));
        let shape = tensor.shape();
        let (dtype, bytes) = match values {
            Values::F32 => {
                self.initializer(&name, FLOAT, shape, &f32_bytes(tensor.data()));
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
                self.initializer(&factors, FLOAT, &[scale.len()], &f32_bytes(scale));
                let axis = vec![int("axis", shape.len() as i64 - 1)];
                self.with("DequantizeLinear", &[&kept, &factors], axis)
            }
            _ => self.with("Cast", &[&kept], vec![int("to", FLOAT)]),
        };
        self.called(&result, name)
    }

    fn initializer(&mut self, name: &str, dtype: i64, shape: &[usize], bytes: &[u8]) {
        // `TensorProto`
        let mut tensor = Message::default();
        for &axis in shape {
            tensor.int(1, axis as i64);
        }
        tensor.int(2, dtype);
        tensor.text(8, name);
        tensor.bytes(9, bytes);
        self.initializers.push(tensor);
    }

    /// Adds the nodes and tensors to a `GraphProto`; says whether a node is of the domain `ai.onnx.ml`.
    pub fn finish(self, graph: &mut Message) -> bool {
        let mut uses_ml = false;
        for Node { op, inputs, outputs, attributes } in &self.nodes {
            // `NodeProto`
            let mut node = Message::default();
            inputs.iter().for_each(|input| node.text(1, input));
            outputs.iter().for_each(|output| node.text(2, output));
            node.text(3, outputs.first().map_or("", String::as_str));
            node.text(4, op);
            attributes.iter().for_each(|attribute| node.message(5, attribute));
            if ML.contains(op) {
                node.text(7, ML_DOMAIN);
                uses_ml = true;
            }
            graph.message(1, &node);
        }
        self.initializers.iter().for_each(|tensor| graph.message(5, tensor));
        uses_ml
    }
}

pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// `AttributeProto`, with the number of its type.
fn attribute(name: &str, kind: i64) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    attribute.int(20, kind);
    attribute
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> Message {
    let mut attribute = attribute(name, 1);
    attribute.float(2, value);
    attribute
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> Message {
    let mut attribute = attribute(name, 2);
    attribute.int(3, value);
    attribute
}

/// An attribute that is a list of whole numbers.
pub fn ints(name: &str, values: &[i64]) -> Message {
    let mut attribute = attribute(name, 7);
    values.iter().for_each(|&value| attribute.int(8, value));
    attribute
}

/// An attribute that is a list of texts.
pub fn texts(name: &str, values: &[String]) -> Message {
    let mut attribute = attribute(name, 8);
    values.iter().for_each(|value| attribute.text(9, value));
    attribute
}
