//! From steps to tasks: functions get the numbers that the shaders know them by.

use super::{Binding, NONE, Place, Program, Shader, Task, weights::Buffer};
use crate::{Binary, Dtype, Elementwise, Kernel, Model, Plan, Port, Rowwise, Source, Step};
use bytemuck::Zeroable;

impl Program {
    /// The program of a model's plan, whose dense layers keep their weights in a type if it can hold them, and what its
    /// buffers hold.
    pub fn of(plan: &Plan, model: &Model, dtype: Dtype) -> (Self, Vec<Buffer>) {
        let mut lowering = Lowering { plan, dtype, buffers: vec![] };
        let tasks = plan
            .steps
            .iter()
            .zip(plan.inputs.len()..)
            .map(|(step, name)| lowering.task(step, name))
            .collect();
        let place = |port: &Port| Place {
            slot: port.slot as u32,
            width: port.width() as u32,
            limited: u32::from(!port.limits.is_empty()),
        };
        let layers = plan.steps.iter().map(|step| &model.layers[step.layer].name);
        let program = Self {
            inputs: plan.inputs.iter().map(place).collect(),
            outputs: plan.outputs.iter().map(place).collect(),
            limits: plan.inputs.iter().flat_map(|port| &port.limits).copied().collect(),
            slots: plan.slots.iter().map(|&width| width as u32).collect(),
            // What has no number is beyond what any GPU binds.
            buffers: lowering
                .buffers
                .iter()
                .map(|buffer| u32::try_from(buffer.size(plan)).unwrap_or(u32::MAX))
                .collect(),
            tasks,
            names: plan.inputs.iter().map(|port| &port.name).chain(layers).cloned().collect(),
        };
        (program, lowering.buffers)
    }
}

struct Lowering<'a> {
    plan: &'a Plan,
    dtype: Dtype,
    buffers: Vec<Buffer>,
}

impl Lowering<'_> {
    /// The binding of a buffer, of which there is one.
    fn own(&mut self, wanted: Buffer) -> Binding {
        let index = self.buffers.iter().position(|buffer| *buffer == wanted).unwrap_or_else(|| {
            self.buffers.push(wanted);
            self.buffers.len() - 1
        });
        (self.plan.slots.len() + index) as Binding
    }

    fn source(&mut self, source: Source) -> Binding {
        match source {
            Source::Slot(slot) => slot as Binding,
            Source::Weights(weights) => self.own(Buffer::Values { weights }),
        }
    }

    fn task(&mut self, step: &Step, name: usize) -> Task {
        let mut task = Task {
            shader: shader(&step.kernel) as u32,
            layer: name as u32,
            input: self.source(step.input),
            output: step.output as u32,
            further: [step.second.map_or(NONE, |second| self.source(second)), NONE, NONE],
            rows: step.rows as u32,
            input_width: step.input_width as u32,
            output_width: step.output_width as u32,
            input_stride: stride(step.input, step.input_width),
            ..Task::zeroed()
        };
        match step.kernel {
            Kernel::Dense { kernel, bias, activation } => {
                let (units, inputs) = (step.output_width, step.input_width);
                let dtype = self.dtype.for_weights(self.plan.weights[kernel].data());
                task.dtype = dtype as u32;
                task.bias = u32::from(bias.is_some());
                set_activation(&mut task, activation);
                task.further[0] = self.own(Buffer::Kernel { weights: kernel, inputs, units, dtype });
                task.further[1] = bias.map_or(NONE, |weights| self.own(Buffer::Values { weights }));
                if dtype == Dtype::Int8 {
                    task.further[2] = self.own(Buffer::Scales { weights: kernel, units });
                }
            }
            Kernel::Activate(activation) => set_activation(&mut task, activation),
            Kernel::Rowwise(function) => {
                task.function = number(function);
                task.epsilon = function.epsilon().unwrap_or(0.0);
            }
            Kernel::Combine { op, second_width, activation } => {
                set_activation(&mut task, activation);
                task.function = Binary::NAMED.iter().position(|(_, named)| *named == op).unwrap_or(0) as u32;
                task.extra = second_width as u32;
                task.second_stride = step.second.map_or(0, |second| stride(second, second_width));
            }
            Kernel::Select { table } => task.further[0] = self.own(Buffer::Positions { table }),
            Kernel::Place { offset } => task.extra = offset as u32,
            Kernel::Lookup { table } => task.further[0] = self.own(Buffer::Values { weights: table }),
            Kernel::MatMul { rows } => task.extra = rows as u32,
        }
        task
    }
}

/// Values between one sample's and the next one's.
fn stride(source: Source, width: usize) -> u32 {
    if matches!(source, Source::Slot(_)) { width as u32 } else { 0 }
}

fn set_activation(task: &mut Task, function: Elementwise) {
    task.activation = code(function);
    task.parameters = function.parameters();
}

/// The shader of a kernel.
fn shader(kernel: &Kernel) -> Shader {
    match kernel {
        Kernel::Dense { .. } => Shader::Dense,
        Kernel::Activate(_) => Shader::Activate,
        Kernel::Rowwise(Rowwise::Softmax) => Shader::Softmax,
        Kernel::Rowwise(Rowwise::LogSoftmax) => Shader::LogSoftmax,
        Kernel::Rowwise(Rowwise::Sparsemax) => Shader::Sparsemax,
        Kernel::Rowwise(Rowwise::Glu) => Shader::Glu,
        Kernel::Rowwise(function) if function.epsilon().is_some() => Shader::Normalize,
        Kernel::Rowwise(_) => Shader::Reduce,
        Kernel::Combine { .. } => Shader::Combine,
        Kernel::Select { .. } => Shader::Select,
        Kernel::Place { .. } => Shader::Place,
        Kernel::Lookup { .. } => Shader::Lookup,
        Kernel::MatMul { .. } => Shader::MatMul,
    }
}

/// The number of a function in reduce.wgsl or normalize.wgsl.
fn number(function: Rowwise) -> u32 {
    match function {
        Rowwise::Mean | Rowwise::RmsNormalize { .. } => 1,
        Rowwise::Max | Rowwise::UnitNormalize { .. } => 2,
        Rowwise::Min => 3,
        Rowwise::Product => 4,
        Rowwise::ArgMax => 5,
        _ => 0,
    }
}

/// The number of a function in activation.wgsl.
pub(crate) fn code(function: Elementwise) -> u32 {
    match function {
        Elementwise::Linear => 0,
        Elementwise::Relu { .. } => 1,
        Elementwise::Elu { .. } => 2,
        Elementwise::Celu { .. } => 3,
        Elementwise::Selu => 4,
        Elementwise::Gelu => 5,
        Elementwise::GeluTanh => 6,
        Elementwise::Sigmoid => 7,
        Elementwise::HardSigmoid { .. } => 8,
        Elementwise::Silu => 9,
        Elementwise::HardSilu => 10,
        Elementwise::Tanh => 11,
        Elementwise::HardTanh => 12,
        Elementwise::TanhShrink => 13,
        Elementwise::HardShrink { .. } => 14,
        Elementwise::SoftShrink { .. } => 15,
        Elementwise::Threshold { .. } => 16,
        Elementwise::Softplus => 17,
        Elementwise::Squareplus { .. } => 18,
        Elementwise::Softsign => 19,
        Elementwise::LogSigmoid => 20,
        Elementwise::Mish => 21,
        Elementwise::SparsePlus => 22,
        Elementwise::SparseSigmoid => 23,
        Elementwise::Exponential => 24,
        Elementwise::Clip { .. } => 25,
        Elementwise::Absolute => 26,
        Elementwise::Negative => 27,
        Elementwise::Log => 28,
        Elementwise::SquareRoot => 29,
        Elementwise::Reciprocal => 30,
        Elementwise::Sign => 31,
        Elementwise::Floor => 32,
        Elementwise::Ceiling => 33,
        Elementwise::Round => 34,
        Elementwise::Truncate => 35,
        Elementwise::Erf => 36,
        Elementwise::Not => 37,
        Elementwise::IsNan => 38,
    }
}
