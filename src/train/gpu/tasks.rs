//! A step of training as tasks of the GPU: forward, the gradient of the loss, back, a look at whether all is finite, the
//! updates. For every batch the same kernels over the same buffers; what differs are their numbers.

use super::places::Places;
use crate::{
    Binary, Elementwise, Kernel as StepKernel, Loss, Rowwise, Source, Step,
    compile::{Clip, Rule},
    gpu::train::{Device, Kernel, Numbers, Slope, Start, Task, Update},
    train::{Trainer, optimizer::corrected, prepare::last_axis},
};

pub(super) struct Tasks<'a> {
    trainer: &'a Trainer,
    places: &'a Places,
    device: Device,
    samples: usize,
    tasks: Vec<Task>,
    /// By slots and by parameters: whether the gradient holds something of this batch, to which the next part is added.
    slots_begun: Vec<bool>,
    parameters_begun: Vec<bool>,
}

/// The tasks of a step on so many samples.
pub(super) fn tasks(trainer: &Trainer, places: &Places, device: Device, samples: usize) -> Vec<Task> {
    let network = &trainer.network;
    let mut all = Tasks {
        trainer,
        places,
        device,
        samples,
        tasks: vec![],
        slots_begun: vec![false; network.plan.slots.len()],
        parameters_begun: vec![false; network.parameters.len()],
    };
    network.plan.steps.iter().for_each(|step| all.forward(step));
    (0..trainer.outputs.len()).for_each(|output| all.loss(output));
    network.plan.steps.iter().rev().for_each(|step| all.backward(step));
    all.check();
    all.weight_sizes();
    all.update();
    all.tasks
}

impl Tasks<'_> {
    fn add(&mut self, kernel: Kernel, buffers: &[usize], numbers: &[u32], groups: [u32; 2]) {
        let mut all = Numbers::default();
        all[..numbers.len()].copy_from_slice(numbers);
        self.tasks.push(Task { kernel, buffers: buffers.to_vec(), numbers: all, groups });
    }

    /// The size of a step as step.wgsl has it.
    fn size(&self, step: &Step, extra: u32) -> [u32; 6] {
        let strides = [step.input_width as u32, step.output_width as u32];
        [(self.samples * step.rows) as u32, strides[0], strides[1], extra, strides[0], strides[1]]
    }

    fn forward(&mut self, step: &Step) {
        let Source::Slot(slot) = step.input else { return };
        let (x, y) = (self.places.values[slot], self.places.values[step.output]);
        let rows = self.samples * step.rows;
        let values = self.device.values(rows * step.output_width);
        match step.kernel {
            StepKernel::Dense { kernel, bias, .. } => {
                let (inputs, units) = (step.input_width, step.output_width);
                let mut buffers = vec![x, y, self.places.weights(&self.trainer.network, kernel)];
                buffers.extend(bias.map(|bias| self.places.weights(&self.trainer.network, bias)));
                let start = if bias.is_some() { Start::Bias } else { Start::Zero };
                self.product(start, &buffers, [rows, units, inputs], [inputs, 1], [units, 1]);
            }
            StepKernel::Activate(function) => {
                self.add(Kernel::Activate(function), &[x, y], &self.size(step, 0), values);
            }
            StepKernel::Rowwise(function) => {
                let narrow = self.device.is_narrow(step.input_width);
                let kernel = Kernel::Softmax { log: function == Rowwise::LogSoftmax, narrow };
                self.add(kernel, &[x, y], &self.size(step, 0), self.device.rows(rows, narrow));
            }
            StepKernel::Combine { op, second_width, .. } => {
                let Some(Source::Slot(second)) = step.second else { return };
                let (second, extra) = (self.places.values[second], second_width as u32);
                self.add(Kernel::Combine(op), &[x, y, second], &self.size(step, extra), values);
            }
            _ => {}
        }
    }

    /// A product of so many rows, columns and so much depth, whose operands' rows and columns are so far apart.
    fn product(&mut self, start: Start, buffers: &[usize], size: [usize; 3], a: [usize; 2], b: [usize; 2]) {
        let numbers = [size[0], size[1], size[2], a[0], a[1], b[0], b[1]].map(|number| number as u32);
        self.add(Kernel::Product(start), buffers, &numbers, Device::tiles(size[0], size[1]));
    }

    /// The gradient of an output's loss.
    fn loss(&mut self, index: usize) {
        let output = &self.trainer.outputs[index];
        let port = &self.trainer.network.plan.outputs[index];
        let slot = output.logits.unwrap_or(port.slot);
        let Some(gradient) = self.places.gradients[slot] else { return };
        let Some((slope, parameter)) = Slope::of(output.loss, output.logits.is_some()) else { return };
        let (count, last) = (self.samples * port.width(), last_axis(&port.shape));
        let rows = count / last;
        // A mean over a row's values is a share of each.
        let shares = match slope {
            Slope::Values(_) if output.loss != Loss::KlDivergence => rows * last,
            _ => rows,
        };
        let parameter = match output.loss {
            Loss::Hinge | Loss::SquaredHinge => f32::from(self.is_binary(index)),
            _ => parameter,
        };
        let factor = (output.weight / shares as f64) as f32;
        let begun = std::mem::replace(&mut self.slots_begun[slot], true);
        let each = (rows / self.samples).max(1);
        let numbers = [rows, last, each, usize::from(begun)].map(|number| number as u32);
        let numbers = [&numbers[..], &[factor, parameter].map(f32::to_bits)].concat();
        let places = self.places;
        let buffers = [places.values[slot], gradient, places.targets[index], places.sample_weights];
        let groups = match slope {
            Slope::Values(_) => self.device.values(count),
            Slope::Softmax { .. } => self.device.rows(rows, true),
        };
        self.add(Kernel::Loss(slope), &buffers, &numbers, groups);
    }

    /// Whether all of an output's targets are 0 or 1.
    fn is_binary(&self, output: usize) -> bool {
        let count = self.samples * self.trainer.outputs[output].target_width;
        let targets = &self.trainer.targets[output];
        targets[..count.min(targets.len())].iter().all(|&y| y == 0.0 || y == 1.0)
    }

    fn backward(&mut self, step: &Step) {
        let Some(dy) = self.places.gradients[step.output].filter(|_| self.slots_begun[step.output]) else {
            return; // nothing that is trained depends on it, or no loss does
        };
        let Source::Slot(slot) = step.input else { return };
        match step.kernel {
            StepKernel::Dense { kernel, bias, .. } => self.dense_back(step, slot, kernel, bias, dy),
            StepKernel::Combine { op, .. } => self.combine_back(step, op, dy),
            StepKernel::Activate(function) => self.activate_back(step, slot, function, dy),
            StepKernel::Rowwise(function) => self.softmax_back(step, slot, function, dy),
            _ => {}
        }
    }

    /// The gradient of a slot, if anything needs it, and whether it holds something already.
    fn of_slot(&mut self, slot: usize) -> Option<(usize, bool)> {
        let gradient = self.places.gradients[slot]?;
        Some((gradient, std::mem::replace(&mut self.slots_begun[slot], true)))
    }

    /// The same of one of the plan's weights.
    fn of_weights(&mut self, weights: usize) -> Option<(usize, bool)> {
        let parameter = self.trainer.network.parameter_of[weights]?;
        let gradient = self.places.parameters[parameter].gradient?;
        Some((gradient, std::mem::replace(&mut self.parameters_begun[parameter], true)))
    }

    fn dense_back(&mut self, step: &Step, slot: usize, kernel: usize, bias: Option<usize>, dy: usize) {
        let (rows, inputs, units) = (self.samples * step.rows, step.input_width, step.output_width);
        let start = |begun: bool| if begun { Start::Sum } else { Start::Zero };
        if let Some((gradient, begun)) = self.of_weights(kernel) {
            let buffers = [self.places.values[slot], gradient, dy];
            self.product(start(begun), &buffers, [inputs, units, rows], [1, inputs], [units, 1]);
        }
        if let Some((gradient, begun)) = bias.and_then(|bias| self.of_weights(bias)) {
            let numbers = [rows as u32, units as u32, units as u32, u32::from(begun)];
            self.add(Kernel::ColumnSums, &[dy, gradient], &numbers, self.device.rows(units, true));
        }
        if let Some((dx, begun)) = self.of_slot(slot) {
            let buffers = [dy, dx, self.places.weights(&self.trainer.network, kernel)];
            self.product(start(begun), &buffers, [rows, inputs, units], [units, 1], [1, units]);
        }
    }

    fn activate_back(&mut self, step: &Step, slot: usize, function: Elementwise, dy: usize) {
        let Some((dx, begun)) = self.of_slot(slot) else { return };
        let buffers = [dy, dx, self.places.values[slot], self.places.values[step.output]];
        let groups = self.device.values(self.samples * step.rows * step.output_width);
        self.add(Kernel::ActivateBack(function), &buffers, &self.size(step, begun.into()), groups);
    }

    fn softmax_back(&mut self, step: &Step, slot: usize, function: Rowwise, dy: usize) {
        let Some((dx, begun)) = self.of_slot(slot) else { return };
        let narrow = self.device.is_narrow(step.input_width);
        let kernel = Kernel::SoftmaxBack { log: function == Rowwise::LogSoftmax, narrow };
        let groups = self.device.rows(self.samples * step.rows, narrow);
        let y = self.places.values[step.output];
        self.add(kernel, &[y, dx, dy], &self.size(step, begun.into()), groups);
    }

    fn combine_back(&mut self, step: &Step, op: Binary, dy: usize) {
        let (Source::Slot(a), Some(Source::Slot(b))) = (step.input, step.second) else { return };
        let [x, y] = [a, b].map(|slot| self.places.values[slot]);
        for (which, slot) in [a, b].into_iter().enumerate() {
            let Some((dx, begun)) = self.of_slot(slot) else { continue };
            let groups = self.device.values(self.samples * step.rows * step.output_width);
            let size = self.size(step, begun.into());
            self.add(Kernel::CombineBack(op, which), &[dy, dx, x, y], &size, groups);
        }
    }

    /// Looks at what the losses are of, and at the gradients.
    fn check(&mut self) {
        let report = self.places.report;
        for index in 0..self.trainer.outputs.len() {
            let port = &self.trainer.network.plan.outputs[index];
            let slot = self.trainer.outputs[index].logits.unwrap_or(port.slot);
            let (values, count) = (self.places.values[slot], self.samples * port.width());
            let place = self.places.word_of_output(index) as u32;
            let numbers = [count as u32, place, f32::INFINITY.to_bits()];
            self.add(Kernel::Check, &[values, report], &numbers, self.device.values(count));
        }
        for (index, parameter) in self.places.parameters.iter().enumerate() {
            let Some(gradient) = parameter.gradient else { continue };
            let place = self.places.word_of_parameter(index) as u32;
            let numbers = [parameter.count as u32, place, ROOT_OF_LARGEST.to_bits()];
            self.add(Kernel::Check, &[gradient, report], &numbers, self.device.values(parameter.count));
        }
    }

    /// What penalties add to the loss.
    fn weight_sizes(&mut self) {
        for (place, parameter) in self.places.penalised(&self.trainer.network) {
            let own = &self.places.parameters[parameter];
            let numbers = [own.count as u32, place as u32];
            self.add(Kernel::WeightSize, &[own.weights, self.places.report], &numbers, [1, 1]);
        }
    }

    fn update(&mut self) {
        let optimizer = &self.trainer.compiled.optimizer;
        let rate = self.trainer.learning_rate() as f32;
        let decay = optimizer.weight_decay.map_or(1.0, |decay| 1.0 - decay as f32 * rate);
        let most = match optimizer.clip {
            Some(Clip::Value(most)) => most as f32,
            _ => f32::MAX,
        };
        let (kernel, rate, [p0, p1, p2]) = rule(optimizer.rule, rate, self.trainer.iterations);
        for (index, own) in self.places.parameters.iter().enumerate() {
            let Some(gradient) = own.gradient else { continue };
            let [l1, l2] = self.trainer.network.parameters[index].penalty;
            let numbers = [rate, decay, most, l1, l2, p0, p1, p2].map(f32::to_bits);
            let numbers = [&[own.count as u32], &numbers[..]].concat();
            let buffers = [&[gradient, own.weights, self.places.report], &own.slots[..]].concat();
            self.add(Kernel::Update(kernel), &buffers, &numbers, self.device.values(own.count));
        }
    }
}

/// 2⁶⁴: the square of a larger gradient, which optimizers remember, is not finite. The CPU looks at the squares as well.
const ROOT_OF_LARGEST: f32 = 18_446_744_073_709_551_616.0;

/// The kernel of a rule, the rate of a step, and the rule's parameters as the kernel has them.
fn rule(rule: Rule, rate: f32, step: u64) -> (Update, f32, [f32; 3]) {
    match rule {
        Rule::Sgd { momentum: 0.0, .. } => (Update::Sgd, rate, [0.0; 3]),
        Rule::Sgd { momentum, nesterov } => {
            (Update::Momentum, rate, [momentum as f32, f32::from(nesterov), 0.0])
        }
        Rule::Adam { beta_1, beta_2, epsilon, amsgrad, .. } => {
            let parameters = [1.0 - beta_1, 1.0 - beta_2, epsilon].map(|parameter| parameter as f32);
            (Update::Adam { amsgrad }, corrected(rate, [beta_1, beta_2], step), parameters)
        }
        Rule::RmsProp { rho, epsilon, .. } => {
            (Update::RmsProp, rate, [rho, 1.0 - rho, epsilon].map(|parameter| parameter as f32))
        }
        Rule::Adagrad { epsilon, .. } => (Update::Adagrad, rate, [epsilon as f32, 0.0, 0.0]),
    }
}
