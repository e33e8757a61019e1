//! A model compiled to steps over buffer slots: what every executor interprets.
//!
//! Shapes are resolved here, layers that compute nothing disappear, and an activation that follows a Dense layer is
//! fused into it. Slots are reused once their last reader has run; no step writes a slot that it reads.

use crate::{Activation, Elementwise, LayerKind, Model, Result, Rowwise, tensor::element_count};

/// The steps of one forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where each of the model's inputs goes.
    pub inputs: Vec<Port>,
    /// Where each of the model's outputs is found afterwards.
    pub outputs: Vec<Port>,
    /// Values a sample of each slot, the buffers that steps read and write.
    pub slots: Vec<usize>,
    /// In order of execution.
    pub steps: Vec<Step>,
}

/// A named input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name of the layer.
    pub name: String,
    /// Shape of a sample.
    pub shape: Vec<usize>,
    /// The slot that holds it.
    pub slot: usize,
}

impl Port {
    /// Values a sample.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One kernel call, and the slots it joins.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The layer that asked for it, in [`Model::layers`]: holds the weights, and names the step in errors.
    pub layer: usize,
    /// Slot read.
    pub input: usize,
    /// Slot written.
    pub output: usize,
    /// Rows a sample: the product of all axes but the last.
    pub rows: usize,
    /// Values a row read.
    pub input_width: usize,
    /// Values a row written.
    pub output_width: usize,
    /// What to compute.
    pub kernel: Kernel,
}

/// What a step computes, row by row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// `activation(x · kernel + bias)` with the layer's weights.
    Dense {
        /// Fused into the product.
        activation: Elementwise,
    },
    /// An elementwise activation by itself.
    Activate(Elementwise),
    /// An activation over whole rows.
    Rowwise(Rowwise),
}

impl Plan {
    /// Compiles a model's forward pass.
    ///
    /// # Errors
    /// As [`Model::shapes`].
    pub fn compile(model: &Model) -> Result<Self> {
        let shapes = model.shapes()?;
        let mut compiler = Compiler::new(model);
        for (node, shape) in shapes.iter().enumerate() {
            compiler.node(node, shape)?;
        }
        let port = |compiler: &Compiler, node: usize| Port {
            name: model.node_name(node).to_string(),
            shape: shapes[node].clone(),
            slot: compiler.slot_of[node],
        };
        Ok(Self {
            inputs: model.input_nodes().map(|node| port(&compiler, node)).collect(),
            outputs: model.outputs.iter().map(|&node| port(&compiler, node)).collect(),
            slots: compiler.slots,
            steps: compiler.steps,
        })
    }
}

struct Compiler<'a> {
    model: &'a Model,
    steps: Vec<Step>,
    /// Width of each slot.
    slots: Vec<usize>,
    /// Reads still to come of each slot.
    readers: Vec<usize>,
    /// Slot of each node compiled so far.
    slot_of: Vec<usize>,
    /// Reads of each node's result: by later nodes, and by the caller.
    uses: Vec<usize>,
}

impl<'a> Compiler<'a> {
    fn new(model: &'a Model) -> Self {
        let mut uses = vec![0; model.nodes.len()];
        let read = model.nodes.iter().flat_map(|node| &node.inputs).chain(&model.outputs);
        read.for_each(|&node| uses[node] += 1);
        Self { model, steps: vec![], slots: vec![], readers: vec![], slot_of: vec![], uses }
    }

    fn node(&mut self, node: usize, shape: &[usize]) -> Result<()> {
        let model = self.model;
        let layer = model.nodes[node].layer;
        let slot = match &model.layers[layer].kind {
            LayerKind::Input { .. } => {
                // Written by the caller before the first step runs, so never a slot that a step has used.
                let slot = self.new_slot(element_count(shape)?);
                self.readers[slot] = self.uses[node];
                slot
            }
            LayerKind::Flatten | LayerKind::Dropout { .. } => self.alias(node),
            LayerKind::Activation(activation) => self.activation(node, *activation, shape)?,
            LayerKind::Dense { kernel, activation, .. } => {
                let (fused, rowwise) = match *activation {
                    Activation::Elementwise(function) => (function, None),
                    Activation::Rowwise(function) => (Elementwise::Linear, Some(function)),
                };
                let [inputs, units] = [kernel.shape()[0], kernel.shape()[1]];
                let input = self.slot_of[model.nodes[node].inputs[0]];
                let uses = if rowwise.is_some() { 1 } else { self.uses[node] };
                let rows = element_count(&shape[..shape.len() - 1])?;
                let dense = Kernel::Dense { activation: fused };
                let slot = self.step(dense, layer, input, [rows, inputs, units], uses);
                match rowwise {
                    None => slot,
                    Some(function) => {
                        let width = shape[shape.len() - 1];
                        let kernel = Kernel::Rowwise(function);
                        self.step(kernel, layer, slot, [rows, units, width], self.uses[node])
                    }
                }
            }
        };
        self.slot_of.push(slot);
        Ok(())
    }

    /// A node that only renames or reshapes its input shares the input's slot.
    fn alias(&mut self, node: usize) -> usize {
        let slot = self.slot_of[self.model.nodes[node].inputs[0]];
        self.readers[slot] = self.readers[slot] + self.uses[node] - 1;
        slot
    }

    fn activation(&mut self, node: usize, activation: Activation, shape: &[usize]) -> Result<usize> {
        let layer = self.model.nodes[node].layer;
        let source = self.model.nodes[node].inputs[0];
        let input = self.slot_of[source];
        let function = match activation {
            Activation::LINEAR => return Ok(self.alias(node)),
            Activation::Elementwise(function) => function,
            Activation::Rowwise(function) => {
                let rows = element_count(&shape[..shape.len() - 1])?;
                let width = shape[shape.len() - 1];
                let input_width = if function == Rowwise::Glu { 2 * width } else { width };
                let kernel = Kernel::Rowwise(function);
                return Ok(self.step(kernel, layer, input, [rows, input_width, width], self.uses[node]));
            }
        };
        // The step before computed this node's input, and no one else reads it: fuse.
        if self.readers[input] == 1
            && let Some(Step { output, kernel: Kernel::Dense { activation }, .. }) = self.steps.last_mut()
            && *output == input
            && *activation == Elementwise::Linear
        {
            *activation = function;
            return Ok(self.alias(node));
        }
        let width = element_count(shape)?;
        Ok(self.step(Kernel::Activate(function), layer, input, [1, width, width], self.uses[node]))
    }

    fn step(&mut self, kernel: Kernel, layer: usize, input: usize, size: [usize; 3], uses: usize) -> usize {
        let [rows, input_width, output_width] = size;
        let width = rows * output_width;
        let output = match (0..self.slots.len()).find(|&slot| self.readers[slot] == 0) {
            Some(slot) => {
                self.slots[slot] = self.slots[slot].max(width);
                slot
            }
            None => self.new_slot(width),
        };
        self.readers[output] = uses;
        self.readers[input] -= 1;
        self.steps.push(Step { layer, input, output, rows, input_width, output_width, kernel });
        output
    }

    fn new_slot(&mut self, width: usize) -> usize {
        self.slots.push(width);
        self.readers.push(0);
        self.slots.len() - 1
    }
}
