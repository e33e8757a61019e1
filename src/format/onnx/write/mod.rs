//! Writes ONNX: operators of version 17, which every runtime of the last years knows, over batches of any size.

mod function;
mod graph;
mod layer;
mod message;

use crate::{Dtype, Error, Layer, LayerKind, Model, Node, Result, format::stored::Stored};
use graph::{FLOAT, Graph, INT64, ML_DOMAIN, STRING, int, ints, texts};
use message::Message;

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
    weights: Vec<Vec<(&'static str, String)>>,
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
        weights: vec![vec![]; model.layers.len()],
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
            return Ok(stored.first().map_or(String::new(), |stored| self.graph.weights(stored)));
        }
        let result = self.layer(index, node, layer)?;
        // What leaves a value as it is needs no operator.
        if node.inputs.iter().any(|&input| self.results[input] == result) {
            return Ok(result);
        }
        let name = self.graph.names.claim(name(layer));
        Ok(self.graph.called(&result, name))
    }

    /// The whole file, `ModelProto`.
    fn finish(mut self) -> Result<Vec<u8>> {
        let model = self.model;
        let mut graph = Message::default();
        graph.text(2, if model.name.is_empty() { "model" } else { &model.name });
        for node in model.input_nodes() {
            let dtype = if self.names_rows(node) { INT64 } else { FLOAT };
            graph.message(11, &value(&self.results[node], &tensor(dtype, &self.shape(node))));
        }
        let mut given: Vec<String> = Vec::new();
        for &node in &model.outputs {
            let layer = &model.layers[model.nodes[node].layer];
            let (name, kind) = self.output(node, layer, &given).map_err(|error| error.layer(&layer.name))?;
            graph.message(12, &value(&name, &kind));
            given.push(name);
        }
        let uses_ml = self.graph.finish(&mut graph);
        let mut file = Message::default();
        file.int(1, IR_VERSION);
        file.text(2, "nearside");
        file.text(3, env!("CARGO_PKG_VERSION"));
        file.message(8, &operators("", OPSET));
        if uses_ml {
            file.message(8, &operators(ML_DOMAIN, ML_OPSET));
        }
        file.message(7, &graph);
        Ok(file.into_bytes())
    }

    /// An output, under the name of its layer where nothing else has it: no value may be two outputs, or an input and
    /// an output.
    fn output(&mut self, node: usize, layer: &Layer, given: &[String]) -> Result<(String, Message)> {
        self.graph.layer = name(layer).to_string();
        let mut result = self.results[node].clone();
        if self.model.batched && !self.has_batch[node] {
            result = self.expanded(node);
        }
        let mut kind = tensor(FLOAT, &self.shape(node));
        if let LayerKind::Classes { names, columns } = &layer.kind {
            (result, kind) = self.classes(node, &result, names, *columns)?;
        }
        let is_input = matches!(layer.kind, LayerKind::Input { .. });
        if result == name(layer) && !is_input && !given.contains(&result) {
            return Ok((result, kind));
        }
        let name = self.graph.names.claim(name(layer));
        match layer.kind {
            // A sequence of maps cannot be copied.
            LayerKind::Classes { .. } => _ = self.graph.called(&result, name.clone()),
            _ => self.graph.copied(&result, name.clone()),
        }
        Ok((name, kind))
    }

    /// The names of what a node's result stands for.
    fn classes(
        &mut self,
        node: usize,
        x: &str,
        names: &[String],
        columns: bool,
    ) -> Result<(String, Message)> {
        if !columns {
            let index = self.graph.with("Cast", &[x], vec![int("to", INT64)]);
            let keys: Vec<i64> = (0..names.len() as i64).collect();
            let attributes = vec![ints("keys_int64s", &keys), texts("values_strings", names)];
            let labels = self.graph.with("LabelEncoder", &[&index], attributes);
            return Ok((labels, tensor(STRING, &self.shape(node))));
        }
        if self.shapes[node].len() != 1 || !self.model.batched {
            return Err(Error::unsupported("ONNX names the classes of vectors only; save as 'safetensors'"));
        }
        let maps = self.graph.with("ZipMap", &[x], vec![texts("classlabels_strings", names)]);
        // `TypeProto` of a sequence of maps from texts to numbers.
        let mut map = Message::default();
        map.int(1, STRING);
        map.message(2, &tensor(FLOAT, &Message::default()));
        let kind = within(4, &within(1, &within(5, &map)));
        Ok((maps, kind))
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
        let mut shape = Message::default();
        if self.model.batched {
            let mut batch = Message::default();
            batch.text(2, BATCH);
            shape.message(1, &batch);
        }
        for &length in &self.shapes[node] {
            let mut axis = Message::default();
            axis.int(1, length as i64);
            shape.message(1, &axis);
        }
        shape
    }
}

/// A message of one other.
fn within(field: u8, message: &Message) -> Message {
    let mut outer = Message::default();
    outer.message(field, message);
    outer
}

/// `TypeProto` of a tensor.
fn tensor(dtype: i64, shape: &Message) -> Message {
    let mut tensor = Message::default();
    tensor.int(1, dtype);
    tensor.message(2, shape);
    within(1, &tensor)
}

/// `ValueInfoProto`
fn value(name: &str, kind: &Message) -> Message {
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, kind);
    value
}

/// `OperatorSetIdProto`
fn operators(domain: &str, version: i64) -> Message {
    let mut operators = Message::default();
    operators.text(1, domain);
    operators.int(2, version);
    operators
}
