//! A network as plain data: what readers produce, executors run and writers save.

use crate::{Activation, Error, Result, Tensor, tensor::element_count};
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
}

/// A named layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Unique name.
    pub name: String,
    /// What it computes, with its weights.
    pub kind: LayerKind,
}

/// What a layer computes. Shapes are those of one sample: the batch axis is left out everywhere.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// An input of the model.
    Input {
        /// Shape of a sample.
        shape: Vec<usize>,
    },
    /// `activation(x · kernel + bias)` over the last axis.
    Dense {
        /// (inputs, units)
        kernel: Tensor,
        /// (units)
        bias: Option<Tensor>,
        /// Applied to the result.
        activation: Activation,
    },
    /// An activation by itself.
    Activation(Activation),
    /// All axes into one.
    Flatten,
    /// Nothing, when predicting.
    Dropout {
        /// Share of the values dropped in training.
        rate: f32,
    },
}

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
        };
        model.shapes()?;
        Ok(model)
    }

    /// Shape of a sample at each node. Doing so checks the whole graph.
    ///
    /// # Errors
    /// `Format` for a graph that is not one, `Shape` for layers that do not fit together; both name the layer.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>> {
        // A heap gives them in order, in a tenth of the code of a sort.
        let mut names: BinaryHeap<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
        while let Some(name) = names.pop() {
            if names.peek() == Some(&name) {
                return Err(Error::format("two layers have this name").layer(name));
            }
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
            shapes.push(layer.kind.output_shape(&inputs).map_err(|error| error.layer(&layer.name))?);
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
            let axes: String = shape.iter().map(|axis| format!(", {axis}")).collect();
            rows.push([
                layer.name.clone(),
                kind,
                format!("(batch{axes})"),
                layer.parameter_count().to_string(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
        let mut text = format!("Model '{}'\n", self.name);
        for [name, kind, shape, parameters] in &rows {
            let _ = writeln!(text, "{name:a$}  {kind:b$}  {shape:c$}  {parameters:>d$}");
        }
        let _ = write!(text, "Total parameters: {}", self.parameter_count());
        Ok(text)
    }
}

impl Layer {
    /// A layer of that name.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind }
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> usize {
        match &self.kind {
            LayerKind::Dense { kernel, bias, .. } => {
                kernel.data().len() + bias.as_ref().map_or(0, |bias| bias.data().len())
            }
            _ => 0,
        }
    }
}

impl LayerKind {
    /// The layer's class name in Keras.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "InputLayer",
            Self::Dense { .. } => "Dense",
            Self::Activation(_) => "Activation",
            Self::Flatten => "Flatten",
            Self::Dropout { .. } => "Dropout",
        }
    }

    /// The activation, if the layer has one that does anything.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::Dense { activation, .. } | Self::Activation(activation) => {
                Some(*activation).filter(|activation| *activation != Activation::LINEAR)
            }
            _ => None,
        }
    }

    /// Shape of a sample's result.
    ///
    /// # Errors
    /// `Shape` for inputs the layer cannot take.
    pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
        if let Self::Input { shape } = self {
            if !inputs.is_empty() {
                return Err(Error::format("an input layer takes no input"));
            }
            if element_count(shape)? == 0 {
                return Err(Error::shape(format!("input shape {shape:?} holds no values")));
            }
            return Ok(shape.clone());
        }
        let &[input] = inputs else {
            return Err(Error::format(format!("takes one input, {} given", inputs.len())));
        };
        match self {
            Self::Input { .. } => unreachable!("returned above"),
            Self::Dense { kernel, bias, activation } => {
                let &[features, units] = kernel.shape() else {
                    let shape = kernel.shape();
                    return Err(Error::shape(format!("kernel has shape {shape:?}, (inputs, units) needed")));
                };
                if input.last() != Some(&features) {
                    return Err(Error::shape(format!(
                        "the kernel takes {features} values on the last axis, the input has shape {input:?}"
                    )));
                }
                if units == 0 || bias.as_ref().is_some_and(|bias| bias.shape() != [units]) {
                    let shape = bias.as_ref().map(Tensor::shape);
                    return Err(Error::shape(format!("{units} units, and a bias of shape {shape:?}")));
                }
                let mut shape = input.to_vec();
                shape[input.len() - 1] = units;
                activated_shape(*activation, shape)
            }
            Self::Activation(activation) => activated_shape(*activation, input.to_vec()),
            Self::Flatten => Ok(vec![element_count(input)?]),
            Self::Dropout { .. } => Ok(input.to_vec()),
        }
    }
}

fn activated_shape(activation: Activation, mut shape: Vec<usize>) -> Result<Vec<usize>> {
    let Activation::Rowwise(function) = activation else { return Ok(shape) };
    let name = function.name();
    let Some(last) = shape.last_mut() else {
        return Err(Error::shape(format!("{name} needs an axis besides the batch")));
    };
    *last = function
        .output_width(*last)
        .ok_or_else(|| Error::shape(format!("{name} halves the last axis, which has {last} values")))?;
    Ok(shape)
}
