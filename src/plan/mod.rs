//! A model compiled to steps over buffer slots: what every executor interprets.
//!
//! Three passes: `lower` turns layers into operations on values and weights, where what computes nothing disappears;
//! `fold` moves what it can into the matrix product before or behind it; `slots` gives the values that are left
//! their buffers.

mod fold;
mod lower;
mod slots;

use crate::{Binary, Elementwise, Model, Result, Rowwise, Tensor};

/// The steps of one forward pass, and the weights they read.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where each of the model's inputs goes.
    pub inputs: Vec<Port>,
    /// Where each of the model's outputs is found afterwards.
    pub outputs: Vec<Port>,
    /// As [`Model::batched`].
    pub batched: bool,
    /// Values a sample of each slot, the buffers that steps read and write.
    pub slots: Vec<usize>,
    /// What steps read besides slots: the model's own weights, or new ones that layers were folded into.
    pub weights: Vec<Tensor>,
    /// Positions that [`Kernel::Select`] reads.
    pub tables: Vec<Vec<u32>>,
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
    /// For inputs that are indices: for each value of a sample, the number that it must be a whole number below, or 0
    /// where any number will do. Empty where it is so for all.
    pub limits: Vec<u32>,
    /// For outputs that are classes.
    pub classes: Option<Classes>,
}

/// What an output's values stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// A name each.
    pub names: Vec<String>,
    /// Whether the last axis has a column for each class; else the values are indices of `names`.
    pub columns: bool,
}

impl Port {
    /// Values a sample.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One kernel call, and what it joins. A sample's rows lie one behind the other, and a batch's samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The layer that asked for it, in [`Model::layers`]: names the step in errors.
    pub layer: usize,
    /// What to compute.
    pub kernel: Kernel,
    /// What is read.
    pub input: Source,
    /// What is read besides, by kernels of two operands.
    pub second: Option<Source>,
    /// Slot written.
    pub output: usize,
    /// Rows a sample: the product of all axes but the last.
    pub rows: usize,
    /// Values a row read.
    pub input_width: usize,
    /// Values a row written.
    pub output_width: usize,
}

/// Where values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A slot: every sample has its own.
    Slot(usize),
    /// One of [`Plan::weights`]: the same for every sample.
    Weights(usize),
}

/// What a step computes. Weights and tables are indices into the plan's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// `activation(x · kernel + bias)`
    Dense {
        /// (input_width, output_width)
        kernel: usize,
        /// (output_width)
        bias: Option<usize>,
        /// Fused into the product.
        activation: Elementwise,
    },
    /// An elementwise activation by itself.
    Activate(Elementwise),
    /// An activation over whole rows.
    Rowwise(Rowwise),
    /// `activation(op(a, b))` of a sample's values, one row a sample. An operand of fewer values than the result repeats.
    Combine {
        /// The function.
        op: Binary,
        /// Values a sample of `second`; `input_width` has those of `input`.
        second_width: usize,
        /// Fused.
        activation: Elementwise,
    },
    /// The sample's values at the table's positions, one row a sample.
    Select {
        /// As many positions as values written.
        table: usize,
    },
    /// The input's rows as a part of the output's wider ones: several such steps concatenate.
    Place {
        /// Where in an output's row the input's begins.
        offset: usize,
    },
    /// A row of the table for each value.
    Lookup {
        /// (rows, output_width)
        table: usize,
    },
    /// The matrix product of two operands.
    MatMul {
        /// Rows of the first operand's matrices.
        rows: usize,
    },
}

impl Plan {
    /// Compiles a model's forward pass.
    ///
    /// # Errors
    /// As [`Model::shapes`]; `Unsupported` for indices that only the model itself knows, which could lie outside their
    /// table.
    pub fn compile(model: &Model) -> Result<Self> {
        let mut graph = lower::lower(model)?;
        fold::fold(&mut graph);
        Ok(slots::assign(model, graph, true))
    }

    /// As [`compile`](Self::compile), but nothing is folded, for the weights to be the model's own, and every value stays
    /// in its slot: training asks for them again.
    #[cfg(feature = "train")]
    pub(crate) fn for_training(model: &Model) -> Result<Self> {
        Ok(slots::assign(model, lower::lower(model)?, false))
    }

    /// Whether small changes of the inputs are small changes of the outputs: no function jumps.
    pub fn is_continuous(&self) -> bool {
        self.steps.iter().all(|step| step.kernel.is_continuous())
    }

    /// A table of the steps, for people: what folding has made of the layers, with a note on each.
    pub fn summary(&self, model: &Model, notes: &[String]) -> String {
        let mut rows = vec![["Step".into(), "Kernel".into(), "Sample".into(), "Slot".into()]];
        for (step, note) in self.steps.iter().zip(notes) {
            let [x, y] = [step.input_width, step.output_width].map(|width| step.rows * width);
            let name = model.layers.get(step.layer).map_or(String::new(), |layer| layer.name.clone());
            rows.push([name, step.kernel.name() + note, format!("{x} → {y}"), step.output.to_string()]);
        }
        format!("Plan of {} steps\n{}", self.steps.len(), crate::model::table(&rows))
    }
}

impl Step {
    /// Floating-point operations for so many samples, where a multiplication and an addition count as two and any other
    /// function as one a value.
    pub fn flop(&self, samples: usize) -> f64 {
        let rows = samples as f64 * self.rows as f64;
        let each = match self.kernel {
            Kernel::Dense { .. } | Kernel::MatMul { .. } => 2.0 * self.input_width as f64,
            Kernel::Select { .. } | Kernel::Place { .. } | Kernel::Lookup { .. } => 0.0,
            _ => 1.0,
        };
        rows * each * self.output_width as f64
    }

    /// Bytes that must be read and written for so many samples: inputs, outputs and weights, each once.
    pub fn bytes(&self, plan: &Plan, samples: usize) -> f64 {
        let weights = |index: usize| plan.weights[index].data().len() as f64;
        let rows = samples as f64 * self.rows as f64;
        let own = match self.kernel {
            Kernel::Dense { kernel, bias, .. } => weights(kernel) + bias.map_or(0.0, weights),
            _ => 0.0,
        };
        4.0 * (rows * (self.input_width + self.output_width) as f64 + own)
    }
}

impl Kernel {
    /// Whether small changes of what it reads are small changes of what it writes.
    fn is_continuous(&self) -> bool {
        match *self {
            Self::Dense { activation, .. } | Self::Activate(activation) => activation.is_continuous(),
            Self::Combine { op, activation, .. } => op.is_continuous() && activation.is_continuous(),
            Self::Rowwise(function) => function != Rowwise::ArgMax,
            Self::Lookup { .. } => false,
            Self::Select { .. } | Self::Place { .. } | Self::MatMul { .. } => true,
        }
    }

    /// Its name, with that of the activation fused into it.
    pub fn name(&self) -> String {
        let (name, activation) = match *self {
            Self::Dense { activation, .. } => ("dense", activation),
            Self::Activate(function) => (function.name(), Elementwise::Linear),
            Self::Rowwise(function) => (function.name(), Elementwise::Linear),
            Self::Combine { op, activation, .. } => (op.type_name(), activation),
            Self::Select { .. } => ("select", Elementwise::Linear),
            Self::Place { .. } => ("place", Elementwise::Linear),
            Self::Lookup { .. } => ("lookup", Elementwise::Linear),
            Self::MatMul { .. } => ("matmul", Elementwise::Linear),
        };
        match activation {
            Elementwise::Linear => name.to_string(),
            activation => format!("{name} ({})", activation.name()),
        }
    }
}

/// Operations on values, before they have buffers.
struct Graph {
    /// In order of evaluation.
    operations: Vec<Operation>,
    /// Values a sample of each value.
    widths: Vec<usize>,
    inputs: Vec<Port>,
    /// The value of each input.
    input_values: Vec<usize>,
    outputs: Vec<Port>,
    output_values: Vec<usize>,
    weights: Vec<Tensor>,
    tables: Vec<Vec<u32>>,
}

/// A step whose buffers are yet to be found.
#[derive(Clone)]
struct Operation {
    layer: usize,
    kernel: Kernel,
    input: Operand,
    second: Option<Operand>,
    /// The value computed.
    output: usize,
    /// The value that this one is a part of, and that other parts are already in.
    extends: Option<usize>,
    rows: usize,
    input_width: usize,
    output_width: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Operand {
    Value(usize),
    Weights(usize),
}

impl Operand {
    fn value(self) -> Option<usize> {
        match self {
            Self::Value(value) => Some(value),
            Self::Weights(_) => None,
        }
    }
}

impl Operation {
    fn operands(&self) -> impl Iterator<Item = Operand> {
        [Some(self.input), self.second].into_iter().flatten()
    }

    /// The values read, that extended among them.
    fn reads(&self) -> impl Iterator<Item = usize> {
        self.operands().filter_map(Operand::value).chain(self.extends)
    }
}

impl Graph {
    /// How often each value is read, by operations and by the caller.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.widths.len()];
        let read =
            self.operations.iter().flat_map(Operation::reads).chain(self.output_values.iter().copied());
        read.for_each(|value| uses[value] += 1);
        uses
    }

    fn add_weights(&mut self, weights: Tensor) -> usize {
        self.weights.push(weights);
        self.weights.len() - 1
    }
}
