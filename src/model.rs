//! A network as plain data: what readers produce, executors run and writers save.

use crate::{Compiled, Error, Layer, LayerKind, Result, tensor::element_count};
use std::{collections::BinaryHeap, fmt::Write};

/// A directed acyclic graph of layer calls.
///
/// A layer may be called by several nodes (shared weights). A node's inputs are earlier nodes, so the order of
/// `nodes` is an order of evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// Every layer once, with its weights; names are unique.
    pub layers: Vec<Layer>,
    /// The calls.
    pub nodes: Vec<Node>,
    /// Nodes whose results are the model's, in order.
    pub outputs: Vec<usize>,
    /// Whether inputs and outputs have a batch axis in front of the shapes given here. Without one the model takes
    /// exactly one sample, whose shape is the whole of the input's.
    pub batched: bool,
    /// How it is trained, where that is known.
    pub compiled: Option<Box<Compiled>>,
}

/// The most axes of a sample: every node has its shape, so that more would take many times a file's size.
pub(crate) const MAX_RANK: usize = 32;

/// One call of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Index in [`Model::layers`].
    pub layer: usize,
    /// Indices in [`Model::nodes`], each before this one.
    pub inputs: Vec<usize>,
}

impl Model {
    /// A chain of layers, the first an [`LayerKind::Input`].
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn sequential(name: impl Into<String>, layers: Vec<Layer>) -> Result<Self> {
        let nodes =
            (0..layers.len()).map(|i| Node { layer: i, inputs: if i == 0 { vec![] } else { vec![i - 1] } });
        let model = Self {
            name: name.into(),
            nodes: nodes.collect(),
            outputs: vec![layers.len().saturating_sub(1)],
            layers,
            batched: true,
            compiled: None,
        };
        model.shapes()?;
        Ok(model)
    }

    /// Shape of a sample at each node. Doing so checks the whole graph.
    ///
    /// # Errors
    /// `Format` for a graph that is not one, `Shape` for layers that do not fit together; both name the layer.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>> {
        let names = sorted(&mut self.layers.iter().map(|layer| &layer.name));
        if let Some(pair) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::format("two layers have this name").layer(&pair[0].0));
        }
        let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let layer = self.layers.get(node.layer).ok_or_else(|| {
                Error::format(format!("node {index} calls layer {} of {}", node.layer, self.layers.len()))
            })?;
            let inputs: Option<Vec<&[usize]>> =
                node.inputs.iter().map(|&input| shapes.get(input).map(Vec::as_slice)).collect();
            let inputs = inputs.ok_or_else(|| {
                Error::format(format!("node {index} takes its input from a later node")).layer(&layer.name)
            })?;
            let shape = layer.kind.output_shape(&inputs).and_then(|shape| match element_count(&shape)? {
                0 => Err(Error::shape(format!("its shape {shape:?} holds no values"))),
                _ if shape.len() > MAX_RANK => {
                    let message = format!("{} axes; {MAX_RANK} are the most", shape.len());
                    Err(Error::unsupported(message))
                }
                _ => Ok(shape),
            });
            shapes.push(shape.map_err(|error| error.layer(&layer.name))?);
        }
        if self.outputs.is_empty() || self.outputs.iter().any(|&output| output >= shapes.len()) {
            return Err(Error::format("the model has no output, or one that no layer computes"));
        }
        if self.input_nodes().next().is_none() {
            return Err(Error::format("the model has no input layer"));
        }
        Ok(shapes)
    }

    /// Nodes that are the model's inputs, in order.
    pub fn input_nodes(&self) -> impl Iterator<Item = usize> + '_ {
        let is_input = |node: &Node| {
            matches!(self.layers.get(node.layer), Some(Layer { kind: LayerKind::Input { .. }, .. }))
        };
        self.nodes.iter().enumerate().filter(move |(_, node)| is_input(node)).map(|(index, _)| index)
    }

    /// Name of the layer a node calls.
    pub fn node_name(&self, node: usize) -> &str {
        &self.layers[self.nodes[node].layer].name
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> usize {
        self.layers.iter().map(Layer::parameter_count).sum()
    }

    /// A table of the layers with their output shapes and parameters, for people.
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn summary(&self) -> Result<String> {
        let shapes = self.shapes()?;
        let mut rows = vec![["Layer".into(), "Type".into(), "Output shape".into(), "Parameters".into()]];
        for (node, shape) in self.nodes.iter().zip(&shapes) {
            let layer = &self.layers[node.layer];
            let mut kind = layer.kind.type_name().to_string();
            if let Some(activation) = layer.kind.activation() {
                let _ = write!(kind, " ({})", activation.name());
            }
            let mut axes = if self.batched { "(batch".to_string() } else { "(".to_string() };
            for (index, axis) in shape.iter().enumerate() {
                let comma = if index > 0 || self.batched { ", " } else { "" };
                let _ = write!(axes, "{comma}{axis}");
            }
            axes.push(')');
            rows.push([layer.name.clone(), kind, axes, layer.parameter_count().to_string()]);
        }
        let (name, total) = (&self.name, self.parameter_count());
        Ok(format!("Model '{name}'\n{}Total parameters: {total}", table(&rows)))
    }
}

/// Rows in columns, the last to the right.
pub(crate) fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [first, second, third, last] in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{first:a$}  {second:b$}  {third:c$}  {last:>d$}");
    }
    text
}

/// Names in order, each with its index. By a heap, in a tenth of the code of a sort.
pub(crate) fn sorted(names: &mut dyn Iterator<Item = &String>) -> Vec<(String, usize)> {
    let mut heap = BinaryHeap::new();
    for name in names {
        heap.push((name.clone(), heap.len()));
    }
    heap.into_sorted_vec()
}
