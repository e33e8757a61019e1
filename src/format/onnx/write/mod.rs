//! Writes ONNX: operators of version 17, which every runtime of the last years knows, over batches of any size.

mod function;
mod graph;
mod layer;
mod message;

use crate::{
    Error, Layer, LayerKind, Model, Node, Result,
    format::{container::Dtype, stored::Stored},
};
use graph::{FLOAT, Graph, INT64, ML_DOMAIN, STRING, int, ints, texts};
use message::Message;
use std::collections::BTreeMap;

/// Versions of the format, of the operators, and of those for classical machine learning.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const ML_OPSET: i64 = 3;
/// What the batch's length is called.
const BATCH: &str = "N";

/// A model on its way into a file.
struct Writer<'a> {
    model: &'a Model,
    dtype: Dtype,
    /// Of a sample at each node.
    shapes: Vec<Vec<usize>>,
    graph: Graph,
    /// The value that each node so far gives; none for those that no output needs.
    results: Vec<String>,
    /// Whether a node's result has the batch axis, which constants have not.
    has_batch: Vec<bool>,
    /// The values of each layer's weights.
    weights: BTreeMap<usize, Vec<(&'static str, String)>>,
}

/// Writes a model.
///
/// # Errors
/// `Unsupported` for what ONNX has no words for, `Value` for weights that the type cannot hold, as [`Model::shapes`].
pub fn write(model: &Model, dtype: Dtype) -> Result<Vec<u8>> {
    let mut writer = Writer {
        model,
        dtype,
        shapes: model.shapes()?,
        graph: Graph::default(),
        results: vec![],
        has_batch: vec![],
        weights: BTreeMap::new(),
    };
    model.layers.iter().for_each(|layer| writer.graph.names.reserve(name(layer)));
    for (index, needed) in needed(model).into_iter().enumerate() {
        writer.node(index, needed)?;
    }
    writer.finish()
}

/// The layer's name; the empty one would mean that there is no value.
fn name(layer: &Layer) -> &str {
    if layer.name.is_empty() { "layer" } else { &layer.name }
}

/// For each node, whether it is an input or an output needs it.
fn needed(model: &Model) -> Vec<bool> {
    let mut needed = vec![false; model.nodes.len()];
    model.input_nodes().chain(model.outputs.iter().copied()).for_each(|index| needed[index] = true);
    for (index, node) in model.nodes.iter().enumerate().rev() {
        if needed[index] {
            node.inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    needed
}

impl Writer<'_> {
    fn node(&mut self, index: usize, needed: bool) -> Result<()> {
        let node = &self.model.nodes[index];
        let layer = &self.model.layers[node.layer];
        let is_input = matches!(layer.kind, LayerKind::Input { .. });
        let has_batch = is_input || node.inputs.iter().any(|&input| self.has_batch[input]);
        self.has_batch.push(has_batch && self.model.batched);
        self.graph.layer = name(layer).to_string();
        let result = if needed { self.result(index, layer) } else { Ok(String::new()) };
        self.results.push(result.map_err(|error| error.layer(&layer.name))?);
        Ok(())
    }

    fn result(&mut self, index: usize, layer: &Layer) -> Result<String> {
        let node = &self.model.nodes[index];
        if let LayerKind::Input { .. } = layer.kind {
            return Ok(self.graph.names.claim(name(layer)));
        }
        if let LayerKind::Constant { .. } = layer.kind {
            let stored = Stored::of_layer(layer, Dtype::F32)?;
            return Ok(stored.iter().map(|stored| self.graph.weights(stored)).collect());
        }
        let result = self.layer(index, node, layer)?;
        // What leaves a value as it is needs no operator.
        if node.inputs.iter().any(|&input| self.results[input] == result) {
            return Ok(result);
        }
        let name = self.graph.names.claim(name(layer));
        Ok(self.graph.called(result, name))
    }

    /// The whole file, `ModelProto`.
    fn finish(mut self) -> Result<Vec<u8>> {
        let model = self.model;
        let inputs: Vec<Message> =
            model.input_nodes().map(|node| Message::default().message(11, &self.value(node))).collect();
        let mut outputs: Vec<Message> = Vec::new();
        let mut given: Vec<String> = Vec::new();
        for &node in &model.outputs {
            let layer = &model.layers[model.nodes[node].layer];
            let info = self.output(node, layer, &mut given).map_err(|error| error.layer(&layer.name))?;
            outputs.push(Message::default().message(12, &info));
        }
        let (graph, uses_ml) = self.graph.finish();
        let title = if model.name.is_empty() { "model" } else { &model.name };
        let graph = graph.bytes(2, title).all(inputs).all(outputs);
        let mut file = Message::default()
            .int(1, IR_VERSION)
            .bytes(2, "nearside")
            .bytes(3, env!("CARGO_PKG_VERSION"))
            .message(8, &Message::default().bytes(1, "").int(2, OPSET));
        if uses_ml {
            file = file.message(8, &Message::default().bytes(1, ML_DOMAIN).int(2, ML_OPSET));
        }
        Ok(file.message(7, &graph).into_bytes())
    }

    /// An output, under the name of its layer: no value may be two outputs, or an input and an output.
    fn output(&mut self, node: usize, layer: &Layer, given: &mut Vec<String>) -> Result<Message> {
        self.graph.layer = name(layer).to_string();
        let mut result = self.results[node].clone();
        if self.model.batched && !self.has_batch[node] {
            result = self.expanded(node);
        }
        let kind = match &layer.kind {
            LayerKind::Classes { names, columns: true } => {
                if self.shapes[node].len() != 1 || !self.model.batched {
                    let message = "ONNX names the classes of vectors only; save as 'safetensors'";
                    return Err(Error::unsupported(message));
                }
                result = self.graph.with("ZipMap", &[&result], vec![texts("classlabels_strings", names)]);
                let number = tensor(FLOAT, &Message::default());
                let map = Message::default().int(1, STRING).message(2, &number);
                let list = Message::default().message(1, &Message::default().message(5, &map));
                Message::default().message(4, &list)
            }
            LayerKind::Classes { names, columns: false } => {
                let index = self.graph.with("Cast", &[&result], vec![int("to", INT64)]);
                let keys = ints("keys_int64s", 0..names.len() as i64);
                result =
                    self.graph.with("LabelEncoder", &[&index], vec![keys, texts("values_strings", names)]);
                tensor(STRING, &self.shape(node))
            }
            _ => tensor(FLOAT, &self.shape(node)),
        };
        if result != name(layer) || given.contains(&result) || matches!(layer.kind, LayerKind::Input { .. }) {
            let name = self.graph.names.claim(name(layer));
            result = self.graph.called(result, name);
        }
        given.push(result.clone());
        Ok(Message::default().bytes(1, &result).message(2, &kind))
    }

    /// `ValueInfoProto` of an input.
    fn value(&self, node: usize) -> Message {
        let dtype = if self.names_rows(node) { INT64 } else { FLOAT };
        Message::default().bytes(1, &self.results[node]).message(2, &tensor(dtype, &self.shape(node)))
    }

    /// Whether a node is an input whose values serve as indices alone, so that they are whole numbers in the file too.
    fn names_rows(&self, input: usize) -> bool {
        let nodes = &self.model.nodes;
        let kind = |node: &Node| &self.model.layers[node.layer].kind;
        let mut users = nodes.iter().filter(|node| node.inputs.contains(&input)).peekable();
        let is_input = matches!(kind(&nodes[input]), LayerKind::Input { .. });
        is_input
            && users.peek().is_some()
            && !self.model.outputs.contains(&input)
            && users.all(|node| {
                matches!(kind(node), LayerKind::Embedding { .. } | LayerKind::CategoryEncoding { .. })
            })
    }

    /// `TensorShapeProto`: an open axis has a name, all others a length.
    fn shape(&self, node: usize) -> Message {
        let batch = self.model.batched.then(|| Message::default().bytes(2, BATCH));
        let axes = self.shapes[node].iter().map(|&axis| Message::default().int(1, axis as i64));
        let dimensions = batch.into_iter().chain(axes);
        Message::default().all(dimensions.map(|dimension| Message::default().message(1, &dimension)))
    }
}

/// `TypeProto` of a tensor; an empty shape means that of a single value.
fn tensor(dtype: i64, shape: &Message) -> Message {
    Message::default().message(1, &Message::default().int(1, dtype).message(2, shape))
}
