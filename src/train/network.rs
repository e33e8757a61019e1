//! The forward pass that keeps its values, and the way back. Each rule of the latter is the derivative of the kernel that
//! the former ran: the gradient of what a step wrote becomes gradients of what it read.

use super::{
    prepare::{Filling, Moments, Prepared, last_axis, original_name},
    random::Random,
};
use crate::{
    Elementwise, Error, Kernel, Plan, Result, Source, Step,
    cpu::{Reader, pack::pack},
    tensor::zeroed,
};
use nearside_kernels::{
    Dtype, PackedDense, Scratch,
    train::{GradientScratch, Wanted, sum_of_squares},
};

/// A model's values and gradients for a batch of samples.
pub(super) struct Network {
    pub plan: Plan,
    /// Names of the layers that steps are of.
    names: Vec<String>,
    pub parameters: Vec<Parameter>,
    /// For each of the plan's weights, the parameter it is.
    pub parameter_of: Vec<Option<usize>>,
    /// The weights of dense layers, by the plan's weights.
    pub dense: Vec<Option<PackedDense>>,
    /// What fills each of the plan's inputs.
    pub inputs: Vec<Filling>,
    moments: Vec<MomentsAt>,
    /// By slots.
    pub values: Vec<Vec<f32>>,
    pub gradients: Vec<Vec<f32>>,
    /// Slots whose gradient something depends on.
    pub needed: Vec<bool>,
    pub capacity: usize,
    scratch: Scratch,
    gradient_scratch: GradientScratch,
}

/// A weight of the model.
pub(super) struct Parameter {
    /// The layer, in the model, and its weight's name.
    pub layer: usize,
    pub weight: &'static str,
    pub place: Place,
    /// Whether updates change it.
    pub updated: bool,
    /// Factors of what it adds to the loss.
    pub penalty: [f32; 2],
    /// In the order of its values, if anything needs it.
    pub gradient: Vec<f32>,
    /// Whether the gradient holds nothing of the present batch yet: what is to be there takes its place.
    fresh: bool,
    /// Whether it may hold values that are not finite.
    pub suspect: bool,
    /// What the optimizer remembers.
    pub slots: Vec<Vec<f32>>,
}

/// Where a parameter's values lie: as the plan's weights of that index, or packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    Weights(usize),
    /// With the kernel of that index.
    Kernel(usize),
    Bias(usize),
}

/// A batch normalisation, at the step that subtracts its mean.
struct MomentsAt {
    step: usize,
    slot: usize,
    /// Parameters.
    mean: usize,
    deviation: usize,
    epsilon: f32,
    momentum: f32,
    /// Mean and variance as predictions use them.
    moving: [Vec<f32>; 2],
    layer: usize,
}

impl Network {
    /// Of a prepared model and its plan.
    pub fn new(prepared: Prepared, original: &crate::Model) -> Result<Self> {
        let plan = Plan::for_training(&prepared.model)?;
        let mut network = Self {
            names: prepared.model.layers.iter().map(|layer| original_name(&layer.name).to_string()).collect(),
            parameter_of: vec![None; plan.weights.len()],
            dense: plan.weights.iter().map(|_| None).collect(),
            parameters: vec![],
            inputs: prepared.inputs,
            moments: vec![],
            values: vec![vec![]; plan.slots.len()],
            gradients: vec![vec![]; plan.slots.len()],
            needed: vec![false; plan.slots.len()],
            capacity: 0,
            scratch: Scratch::default(),
            gradient_scratch: GradientScratch::default(),
            plan,
        };
        network.name_each_once();
        network.pack()?;
        for origin in prepared.parameters {
            let Some(index) = network.plan.weights.iter().position(|weights| weights.is(&origin.values))
            else {
                continue; // of a layer that no output depends on
            };
            let layer = &original.layers[origin.layer];
            let penalty = layer.penalties.iter().find(|penalty| penalty.weight == origin.weight);
            network.parameter_of[index] = Some(network.parameters.len());
            network.parameters.push(Parameter {
                layer: origin.layer,
                weight: origin.weight,
                place: network.place(index),
                updated: layer.trainable && !origin.weight.starts_with("moving"),
                penalty: penalty.map_or([0.0; 2], |penalty| [penalty.l1, penalty.l2]),
                gradient: vec![],
                fresh: true,
                suspect: false,
                slots: vec![],
            });
        }
        for moments in prepared.moments {
            network.add_moments(moments, original)?;
        }
        network.free_packed();
        network.mark_needed(false);
        Ok(network)
    }

    /// The first of the weights that share their values stands for all: of layers that are called several times.
    fn name_each_once(&mut self) {
        let weights = &self.plan.weights;
        let first = |index: usize| weights.iter().position(|own| own.is(&weights[index])).unwrap_or(index);
        for step in &mut self.plan.steps {
            match &mut step.kernel {
                Kernel::Dense { kernel, bias, .. } => {
                    *kernel = first(*kernel);
                    bias.iter_mut().for_each(|bias| *bias = first(*bias));
                }
                Kernel::Lookup { table } => *table = first(*table),
                _ => {}
            }
        }
    }

    fn pack(&mut self) -> Result<()> {
        for step in &self.plan.steps {
            let Kernel::Dense { kernel, bias, .. } = step.kernel else { continue };
            if self.dense[kernel].is_some() {
                continue;
            }
            let (weights, biases) =
                (self.plan.weights[kernel].data(), bias.map(|bias| self.plan.weights[bias].data()));
            let packed = pack(weights, biases, step.input_width, step.output_width, Dtype::F32);
            self.dense[kernel] =
                Some(packed.map_err(|_| Error::memory("no memory for the packed weights"))?.dense);
        }
        Ok(())
    }

    /// Where the values of the plan's weights are.
    fn place(&self, index: usize) -> Place {
        for step in &self.plan.steps {
            match step.kernel {
                Kernel::Dense { kernel, .. } if kernel == index => return Place::Kernel(index),
                Kernel::Dense { kernel, bias: Some(bias), .. } if bias == index => {
                    return Place::Bias(kernel);
                }
                _ => {}
            }
        }
        Place::Weights(index)
    }

    /// The plan's own copies of what was packed.
    fn free_packed(&mut self) {
        for parameter in &self.parameters {
            if let Place::Kernel(index) = parameter.place {
                self.plan.weights[index] = Default::default();
            }
        }
    }

    fn add_moments(&mut self, moments: Moments, original: &crate::Model) -> Result<()> {
        let find = |values: &crate::Tensor| self.plan.weights.iter().position(|weights| weights.is(values));
        let (Some(mean), Some(deviation)) = (find(&moments.mean), find(&moments.deviation)) else {
            return Ok(());
        };
        let steps = self.plan.steps.iter().enumerate();
        let mut calls = steps.filter(|(_, step)| step.second == Some(Source::Weights(mean)));
        let layer = &original.layers[moments.layer];
        let (Some((step, at)), None) = (calls.next(), calls.next()) else {
            let message = "a batch normalisation that is called several times is not trained; freeze it (trainable: false)";
            return Err(Error::unsupported(message).layer(&layer.name));
        };
        let Source::Slot(slot) = at.input else { return Ok(()) };
        let moving = match &layer.kind {
            crate::LayerKind::BatchNormalization { mean, variance, .. } => {
                [mean.data().to_vec(), variance.data().to_vec()]
            }
            _ => return Ok(()),
        };
        let parameter = |index: usize| self.parameter_of[index];
        let (Some(mean), Some(deviation)) = (parameter(mean), parameter(deviation)) else { return Ok(()) };
        let Moments { epsilon, momentum, layer, .. } = moments;
        self.moments.push(MomentsAt { step, slot, mean, deviation, epsilon, momentum, moving, layer });
        Ok(())
    }

    /// Finds what needs gradients: with `inputs`, those of the samples as well.
    pub fn mark_needed(&mut self, inputs: bool) {
        self.needed.fill(false);
        if inputs {
            self.plan.inputs.iter().zip(&self.inputs).for_each(|(port, filling)| {
                self.needed[port.slot] = *filling == Filling::Samples && port.limits.is_empty();
            });
        }
        for parameter in &mut self.parameters {
            parameter.gradient.clear();
        }
        let of_moments: Vec<usize> = self.moments.iter().flat_map(|at| [at.mean, at.deviation]).collect();
        for index in 0..self.parameters.len() {
            if self.parameters[index].updated || of_moments.contains(&index) {
                let length = self.values_of(index).len();
                self.parameters[index].gradient.resize(length, 0.0);
            }
        }
        for step in &self.plan.steps {
            let of = |source: Source| match source {
                Source::Slot(slot) => self.needed[slot],
                Source::Weights(index) => self.wants(Some(index)),
            };
            let own = match step.kernel {
                Kernel::Dense { kernel, bias, .. } => self.wants(Some(kernel)) || self.wants(bias),
                Kernel::Lookup { table } => self.wants(Some(table)),
                _ => false,
            };
            let needed = own || (of(step.input) && passes(&step.kernel)) || step.second.is_some_and(of);
            self.needed[step.output] |= needed;
        }
        // What was found for another purpose.
        self.capacity = 0;
    }

    /// Whether the gradient of these weights is wanted.
    fn wants(&self, weights: Option<usize>) -> bool {
        let parameter = weights.and_then(|index| self.parameter_of[index]);
        parameter.is_some_and(|parameter| !self.parameters[parameter].gradient.is_empty())
    }

    /// Makes room for so many samples.
    pub fn reserve(&mut self, samples: usize) -> Result<()> {
        if samples <= self.capacity {
            return Ok(());
        }
        self.capacity = 0;
        for (slot, &width) in self.plan.slots.iter().enumerate() {
            self.values[slot] = vec![];
            self.gradients[slot] = vec![];
            self.values[slot] = zeroed(width * samples)?;
            self.gradients[slot] = zeroed(if self.needed[slot] { width * samples } else { 0 })?;
        }
        self.capacity = samples;
        Ok(())
    }

    /// A parameter's values, in the order of its gradient.
    pub fn values_of(&mut self, parameter: usize) -> &mut [f32] {
        match self.parameters[parameter].place {
            Place::Weights(index) => self.plan.weights[index].data_mut(),
            Place::Kernel(index) => self.dense[index].as_mut().map_or(&mut [], |dense| {
                let [kernel, _] = dense.floats_mut();
                kernel
            }),
            Place::Bias(index) => self.dense[index].as_mut().map_or(&mut [], |dense| {
                let [_, bias] = dense.floats_mut();
                bias
            }),
        }
    }

    /// Runs the plan on samples that were written to the inputs' slots. In training, what is random is drawn, and batch
    /// normalisations take and remember the batch's moments.
    pub fn forward(&mut self, samples: usize, training: Option<&mut Random>) {
        let train = training.is_some();
        self.fill(samples, training);
        self.set_moments();
        for index in 0..self.plan.steps.len() {
            if train {
                self.take_moments(index, samples);
            }
            let step = &self.plan.steps[index];
            let mut output = std::mem::take(&mut self.values[step.output]);
            let width = step.rows * step.output_width * samples;
            match (step.kernel, step.input) {
                (Kernel::Dense { kernel, .. }, Source::Slot(slot)) => {
                    let input = &self.values[slot][..samples * step.rows * step.input_width];
                    if let Some(dense) = &self.dense[kernel] {
                        let units = 0..step.output_width;
                        dense.run(input, &mut output[..width], units, Elementwise::Linear, &mut self.scratch);
                    }
                }
                _ => {
                    let reader = Reader { plan: &self.plan, slots: &self.values, samples };
                    reader.run(step, None, 0..0, &mut output, &mut self.scratch);
                }
            }
            self.values[step.output] = output;
        }
    }

    /// Fills the inputs that are not the caller's.
    pub fn fill(&mut self, samples: usize, mut training: Option<&mut Random>) {
        for (index, (port, filling)) in self.plan.inputs.iter().zip(&self.inputs).enumerate() {
            let mut values = std::mem::take(&mut self.values[port.slot]);
            let length = (self.plan.slots[port.slot] * samples).min(values.len());
            let part = &mut values[..length];
            match (*filling, training.as_deref_mut()) {
                (Filling::Samples, _) => {}
                (Filling::Dropout { rate }, Some(random)) => random.mask(part, rate, 1.0 / (1.0 - rate)),
                (Filling::AlphaScale { rate }, Some(random)) => {
                    random.mask(part, rate, Filling::alpha(rate)[0])
                }
                (Filling::AlphaOffset { rate }, Some(_)) => {
                    let [_, kept, dropped] = Filling::alpha(rate);
                    let scales = &self.values[self.plan.inputs[index - 1].slot];
                    let offset = |scale: &f32| if *scale == 0.0 { dropped } else { kept };
                    part.iter_mut().zip(scales).for_each(|(value, scale)| *value = offset(scale));
                }
                (Filling::Normal { mean, stddev }, Some(random)) => random.normal(part, mean, stddev),
                (Filling::Dropout { .. } | Filling::AlphaScale { .. }, None) => part.fill(1.0),
                (Filling::AlphaOffset { .. }, None) => part.fill(0.0),
                (Filling::Normal { mean, .. }, None) => part.fill(mean),
            }
            self.values[port.slot] = values;
        }
    }

    /// Sets the constants of batch normalisations to what predictions use.
    fn set_moments(&mut self) {
        for index in 0..self.moments.len() {
            let MomentsAt { mean, deviation, epsilon, .. } = self.moments[index];
            let [means, variances] = self.moments[index].moving.clone();
            self.values_of(mean).copy_from_slice(&means);
            let deviations = self.values_of(deviation).iter_mut().zip(&variances);
            deviations.for_each(|(deviation, v)| *deviation = (v + epsilon).sqrt());
        }
    }

    /// Sets the constants of a batch normalisation that begins with this step to the batch's moments.
    fn take_moments(&mut self, step: usize, samples: usize) {
        let Some(index) = self.moments.iter().position(|at| at.step == step) else { return };
        let MomentsAt { slot, mean, deviation, epsilon, momentum, .. } = self.moments[index];
        let width = self.values_of(mean).len();
        let values = &self.values[slot][..samples * self.plan.slots[slot]];
        let rows = (values.len() / width.max(1)) as f64;
        let (mut sums, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
        for row in values.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        sums.iter_mut().for_each(|sum| *sum /= rows);
        for row in values.chunks_exact(width) {
            for ((square, mean), &x) in squares.iter_mut().zip(&sums).zip(row) {
                *square += (f64::from(x) - mean).powi(2);
            }
        }
        let share = 1.0 - f64::from(momentum);
        let moving = &mut self.moments[index].moving;
        for i in 0..width {
            let variance = squares[i] / rows;
            for (moving, new) in moving.iter_mut().zip([sums[i], variance]) {
                moving[i] += ((new - f64::from(moving[i])) * share) as f32;
            }
            squares[i] = variance;
        }
        self.values_of(mean).iter_mut().zip(&sums).for_each(|(own, new)| *own = *new as f32);
        let deviations = self.values_of(deviation).iter_mut().zip(&squares);
        deviations.for_each(|(own, variance)| *own = (variance + f64::from(epsilon)).sqrt() as f32);
    }

    /// The moments that predictions use, with the layer they are of.
    pub fn moving(&self) -> impl Iterator<Item = (usize, &[Vec<f32>; 2])> {
        self.moments.iter().map(|at| (at.layer, &at.moving))
    }

    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self, samples: usize) {
        for (slot, gradient) in self.gradients.iter_mut().enumerate() {
            let length = (samples * self.plan.slots[slot]).min(gradient.len());
            gradient[..length].fill(0.0);
        }
        for parameter in &mut self.parameters {
            parameter.fresh = !matches!(parameter.place, Place::Weights(_));
            parameter.suspect = !parameter.fresh;
            if !parameter.fresh {
                parameter.gradient.fill(0.0);
            }
        }
    }

    /// Runs the plan's derivatives backwards, as the values were computed, from the gradients of outputs that were added to those of their slots.
    pub fn backward(&mut self, samples: usize, training: bool) {
        for index in (0..self.plan.steps.len()).rev() {
            let step = self.plan.steps[index].clone();
            if self.needed[step.output] {
                let gradient = std::mem::take(&mut self.gradients[step.output]);
                self.step_back(&step, &gradient[..samples * self.plan.slots[step.output]], samples);
                self.gradients[step.output] = gradient;
            }
            if training {
                self.moments_back(index, samples);
            }
        }
    }

    fn step_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Step { rows, input_width, output_width, .. } = *step;
        match step.kernel {
            Kernel::Dense { kernel, bias, .. } => return self.dense_back(step, kernel, bias, dy, samples),
            Kernel::Combine { .. } => return self.combine_back(step, dy, samples),
            Kernel::MatMul { .. } => return self.product_back(step, dy, samples),
            Kernel::Lookup { table } => {
                let Some(parameter) = self.parameter_of[table].filter(|_| self.wants(Some(table))) else {
                    return;
                };
                let Source::Slot(slot) = step.input else { return };
                let gradient = &mut self.parameters[parameter].gradient;
                for (dy, &index) in dy.chunks_exact(output_width).zip(&self.values[slot][..samples * rows]) {
                    let place = &mut gradient[index as usize * output_width..][..output_width];
                    place.iter_mut().zip(dy).for_each(|(gradient, dy)| *gradient += dy);
                }
                return;
            }
            _ => {}
        }
        let Source::Slot(slot) = step.input else { return };
        if !self.needed[slot] {
            return;
        }
        let mut gradient = std::mem::take(&mut self.gradients[slot]);
        let dx = &mut gradient[..samples * rows * input_width];
        let x = &self.values[slot][..dx.len()];
        let y = &self.values[step.output][..dy.len()];
        match step.kernel {
            Kernel::Activate(function) => function.backward(x, y, dy, dx),
            Kernel::Rowwise(function) => {
                let outputs = y.chunks_exact(output_width).zip(dy.chunks_exact(output_width));
                let inputs = x.chunks_exact(input_width).zip(dx.chunks_exact_mut(input_width));
                inputs.zip(outputs).for_each(|((x, dx), (y, dy))| function.backward(x, y, dy, dx));
            }
            Kernel::Select { table } => {
                let table = &self.plan.tables[table];
                for (dx, dy) in dx.chunks_exact_mut(input_width).zip(dy.chunks_exact(output_width)) {
                    table.iter().zip(dy).for_each(|(&position, dy)| dx[position as usize] += dy);
                }
            }
            Kernel::Place { offset } => {
                for (dx, dy) in dx.chunks_exact_mut(input_width).zip(dy.chunks_exact(output_width)) {
                    dx.iter_mut().zip(&dy[offset..]).for_each(|(dx, dy)| *dx += dy);
                }
            }
            _ => {}
        }
        self.gradients[slot] = gradient;
    }

    fn dense_back(&mut self, step: &Step, kernel: usize, bias: Option<usize>, dy: &[f32], samples: usize) {
        let (Source::Slot(slot), Some(dense)) = (step.input, &self.dense[kernel]) else { return };
        let input = &self.values[slot][..samples * step.rows * step.input_width];
        let mut of_input = std::mem::take(&mut self.gradients[slot]);
        let dx = self.needed[slot].then(|| &mut of_input[..input.len()]);
        let parameter = |index: Option<usize>| index.and_then(|index| self.parameter_of[index]);
        let mut take = |parameter: Option<usize>| {
            parameter.map_or(vec![], |parameter| std::mem::take(&mut self.parameters[parameter].gradient))
        };
        let (kernel, bias) = (parameter(Some(kernel)), parameter(bias));
        let (mut of_kernel, mut of_bias) = (take(kernel), take(bias));
        let first = [kernel, bias].into_iter().flatten().all(|parameter| self.parameters[parameter].fresh);
        // No sum of products is larger than this.
        let size = |values: &[f32]| sum_of_squares(values).sqrt();
        let finite =
            size(input) * size(dy) < f64::from(f32::MAX) && size(dy) * dy.len() as f64 <= f64::from(f32::MAX);
        let wanted = |gradient| Some(gradient).filter(|gradient: &&mut Vec<f32>| !gradient.is_empty());
        let wanted = Wanted {
            kernel: wanted(&mut of_kernel).map(Vec::as_mut_slice),
            bias: wanted(&mut of_bias).map(Vec::as_mut_slice),
            dx,
            first,
        };
        dense.gradients(input, dy, wanted, &mut self.gradient_scratch);
        for (parameter, gradient) in [(kernel, of_kernel), (bias, of_bias)] {
            if let Some(parameter) = parameter {
                let parameter = &mut self.parameters[parameter];
                parameter.gradient = gradient;
                parameter.fresh = false;
                parameter.suspect |= !finite;
            }
        }
        self.gradients[slot] = of_input;
    }

    fn combine_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Kernel::Combine { op, second_width, .. } = step.kernel else { return };
        let widths = [step.input_width, second_width];
        let sources = [step.input, step.second.unwrap_or(step.input)];
        for which in 0..2 {
            let mut gradient = match sources[which] {
                Source::Slot(slot) if self.needed[slot] => std::mem::take(&mut self.gradients[slot]),
                Source::Weights(index) if self.wants(Some(index)) => match self.parameter_of[index] {
                    Some(parameter) => std::mem::take(&mut self.parameters[parameter].gradient),
                    None => continue,
                },
                _ => continue,
            };
            let reader = Reader { plan: &self.plan, slots: &self.values, samples };
            let [a, b] = [0, 1].map(|i| reader.values(sources[i], widths[i]));
            let y = &self.values[step.output][..dy.len()];
            let each = |values: usize, source| if matches!(source, Source::Slot(_)) { values } else { 0 };
            for sample in 0..samples {
                let [from_a, from_b] = [0, 1].map(|i| sample * each(widths[i], sources[i]));
                let start = sample * each(widths[which], sources[which]);
                let (a, b) = (&a[from_a..][..widths[0]], &b[from_b..][..widths[1]]);
                let target = &mut gradient[start..][..widths[which]];
                let outputs = sample * step.output_width..(sample + 1) * step.output_width;
                let (mut i, mut j) = (0, 0);
                for (y, dy) in y[outputs.clone()].iter().zip(&dy[outputs]) {
                    target[if which == 0 { i } else { j }] += dy * op.derivatives(a[i], b[j], *y)[which];
                    i = if i + 1 == widths[0] { 0 } else { i + 1 };
                    j = if j + 1 == widths[1] { 0 } else { j + 1 };
                }
            }
            match sources[which] {
                Source::Slot(slot) => self.gradients[slot] = gradient,
                Source::Weights(index) => {
                    if let Some(parameter) = self.parameter_of[index] {
                        self.parameters[parameter].gradient = gradient;
                    }
                }
            }
        }
    }

    /// Of y = a · b: `da = dy · bᵀ`, `db = aᵀ · dy`.
    fn product_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Kernel::MatMul { rows: m } = step.kernel else { return };
        let (k, n) = (step.input_width, step.output_width);
        let matrices = step.rows / m;
        let sources = [step.input, step.second.unwrap_or(step.input)];
        let widths = [step.rows * k, matrices * k * n];
        for which in 0..2 {
            let Source::Slot(slot) = sources[which] else { continue };
            if !self.needed[slot] {
                continue;
            }
            let mut gradient = std::mem::take(&mut self.gradients[slot]);
            let reader = Reader { plan: &self.plan, slots: &self.values, samples };
            let other = reader.values(sources[1 - which], widths[1 - which]);
            for product in 0..samples * matrices {
                let dy = &dy[product * m * n..][..m * n];
                // A constant operand has its matrices once.
                let start = product * [k * n, m * k][which] % other.len();
                let other = &other[start..][..[k * n, m * k][which]];
                let target = &mut gradient[product * [m * k, k * n][which]..][..[m * k, k * n][which]];
                for row in 0..m {
                    for inner in 0..k {
                        for column in 0..n {
                            let dy = dy[row * n + column];
                            if which == 0 {
                                target[row * k + inner] += dy * other[inner * n + column];
                            } else {
                                target[inner * n + column] += dy * other[row * k + inner];
                            }
                        }
                    }
                }
            }
            self.gradients[slot] = gradient;
        }
    }

    /// The gradient that goes through the moments of a batch normalisation: that of the mean is spread over the rows,
    /// that of the deviation in proportion to each value's distance from the mean.
    fn moments_back(&mut self, step: usize, samples: usize) {
        let Some(at) = self.moments.iter().find(|at| at.step == step) else { return };
        let MomentsAt { slot, mean, deviation, .. } = *at;
        if !self.needed[slot] {
            return;
        }
        let (means, deviations) = (self.values_of(mean).to_vec(), self.values_of(deviation).to_vec());
        let length = samples * self.plan.slots[slot];
        let rows = (length / means.len().max(1)) as f32;
        let [by_mean, by_deviation] = [mean, deviation].map(|index| &self.parameters[index].gradient);
        let gradient = self.gradients[slot][..length].chunks_exact_mut(means.len());
        for (dx, x) in gradient.zip(self.values[slot].chunks_exact(means.len())) {
            for i in 0..means.len() {
                dx[i] += (by_mean[i] + by_deviation[i] * (x[i] - means[i]) / deviations[i]) / rows;
            }
        }
    }

    /// The name of the layer, in the model, that a step is of.
    pub fn layer_name(&self, layer: usize) -> Option<&str> {
        self.names.get(layer).map(String::as_str)
    }

    /// Values a row of an output.
    pub fn last_axis_of(&self, output: usize) -> usize {
        last_axis(&self.plan.outputs[output].shape)
    }
}

/// Whether gradients go through: whole numbers that name rows have none.
fn passes(kernel: &Kernel) -> bool {
    !matches!(kernel, Kernel::Lookup { .. })
}
