//! Training: forward, loss, back-propagation, update.
//!
//! ```text
//! Model ── prepare ──► Model with all of training in it ──► Plan ──► Network: values and gradients
//!                                                                       │  loss, optimizer, metrics
//!                                                                    Trainer ──► Model
//! ```

#[cfg(feature = "gpu")]
mod gpu;
mod initializer;
mod loss;
mod metrics;
mod network;
mod optimizer;
mod prepare;
mod random;

use crate::{
    Compiled, Elementwise, Error, Kernel, Loss, Model, Port, Result, Rowwise, Source, Tensor,
    compile::{OptimizerState, Schedule, Slot},
    format::json::Value,
    program::{check_count, check_limits},
};
#[cfg(feature = "gpu")]
pub use gpu::GpuTrainer;
pub use initializer::build;
use loss::Batch;
use metrics::Metric;
use nearside_kernels::train::{penalise, sum_of_squares};
use network::{Network, Place};
use prepare::{Filling, original_name, prepare};
use random::Random;

/// A model in training.
///
/// A step reads a batch of samples, their targets and perhaps their weights from where
/// [`reserve`](Self::reserve) has made room for them.
pub struct Trainer {
    /// As it was given; its weights are the network's.
    model: Model,
    compiled: Compiled,
    network: Network,
    outputs: Vec<Output>,
    /// Factors of the penalties on values, one for each output behind the model's own.
    activity: Vec<[f32; 2]>,
    random: Random,
    iterations: u64,
    /// The sum of the losses, each times its samples, and of how many samples.
    sums: [f64; 2],
    /// Samples × values of each output.
    targets: Vec<Vec<f32>>,
    sample_weights: Vec<f32>,
}

/// The derivatives of the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradient {
    /// The layer's name.
    pub layer: String,
    /// Its weight; none for an input of the model.
    pub weight: Option<&'static str>,
    /// Of the weight's shape, or samples × that of a sample.
    pub value: Tensor,
}

/// An output and what is made of it.
struct Output {
    loss: Loss,
    weight: f64,
    /// The slot of the logits that the output is the softmax or sigmoid of, if the loss takes both together.
    logits: Option<usize>,
    /// Values of a target a sample.
    target_width: usize,
    metrics: Vec<Metric>,
    /// The sum of its losses, and of how many samples.
    sums: [f64; 2],
}

impl Trainer {
    /// Makes a model ready, which says how it is to be trained.
    ///
    /// # Errors
    /// As [`Model::shapes`]; `Value` for a model that is not compiled or has nothing to train, `Unsupported` for layers
    /// that are not trained, `Memory`.
    pub fn new(model: Model, seed: u64) -> Result<Self> {
        let mut model = model;
        let compiled = model
            .compiled
            .take()
            .ok_or_else(|| Error::value("the model is not compiled: give a loss and an optimizer"))?;
        let outputs = model.outputs.len();
        if compiled.losses.len() != outputs
            || compiled.loss_weights.len() != outputs
            || compiled.metrics.len() != outputs
        {
            let message = format!("{} losses given, the model has {outputs} outputs", compiled.losses.len());
            return Err(Error::value(message));
        }
        let mut prepared = prepare(&model)?;
        let activity = std::mem::take(&mut prepared.activity);
        let mut network = Network::new(prepared, &model)?;
        if !network.parameters.iter().any(|parameter| parameter.updated) {
            return Err(Error::value(
                "the model has no weights to train: all its layers are frozen, or have none",
            ));
        }
        let outputs =
            (0..outputs).map(|index| output(&network, &compiled, index)).collect::<Result<Vec<_>>>()?;
        optimizer::start(&mut network, &compiled.optimizer);
        let mut trainer = Self {
            iterations: compiled.state.as_ref().map_or(0, |state| state.iterations),
            model,
            compiled: *compiled,
            network,
            targets: outputs.iter().map(|_| vec![]).collect(),
            outputs,
            activity,
            random: Random::new(seed),
            sums: [0.0; 2],
            sample_weights: vec![],
        };
        trainer.restore()?;
        Ok(trainer)
    }

    /// Takes over what the optimizer remembers.
    fn restore(&mut self) -> Result<()> {
        let Some(state) = self.compiled.state.take() else { return Ok(()) };
        let names = self.compiled.optimizer.rule.slots();
        for slot in state.slots {
            let wrong = |message: &str| Err(Error::format(message).layer(&slot.layer).tensor(&slot.weight));
            let own = |index: &usize| {
                let parameter = &self.network.parameters[*index];
                self.model.layers[parameter.layer].name == slot.layer && parameter.weight == slot.weight
            };
            let Some(index) = (0..self.network.parameters.len()).find(own) else {
                return wrong("the optimizer remembers a weight that the model has not");
            };
            let Some(place) = names.iter().position(|name| *name == slot.name) else {
                return wrong("the optimizer has no such value to remember");
            };
            if !self.network.parameters[index].updated {
                continue; // was trained once, and is frozen now
            }
            let values = self.packed(index, slot.value.data());
            let slots = &mut self.network.parameters[index].slots;
            match slots.get_mut(place) {
                Some(own) if own.len() == values.len() => *own = values,
                _ => return wrong("what the optimizer remembers is of another shape than the weight"),
            }
        }
        Ok(())
    }

    /// The model's inputs: index in the plan, name, values a sample.
    fn ports(&self) -> impl Iterator<Item = usize> + '_ {
        let fillings = self.network.inputs.iter().enumerate();
        fillings.filter(|(_, filling)| **filling == Filling::Samples).map(|(index, _)| index)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.ports().count()
    }

    /// For each output, the values of a target a sample.
    pub fn target_widths(&self) -> Vec<usize> {
        self.outputs.iter().map(|output| output.target_width).collect()
    }

    /// Makes room for batches of up to so many samples.
    ///
    /// # Errors
    /// `Memory` when there is none left.
    pub fn reserve(&mut self, samples: usize) -> Result<()> {
        self.network.reserve(samples)?;
        for (target, output) in self.targets.iter_mut().zip(&self.outputs) {
            target.resize(samples * output.target_width, 0.0);
        }
        self.sample_weights.resize(samples, 1.0);
        Ok(())
    }

    /// The addresses of what is to be written: inputs, targets and the samples' weights.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn addresses(&mut self) -> Vec<usize> {
        let mut addresses = vec![];
        addresses.extend((0..self.inputs()).map(|index| self.input(index).as_ptr() as usize));
        addresses.extend(self.targets.iter().map(|target| target.as_ptr() as usize));
        addresses.push(self.sample_weights.as_ptr() as usize);
        addresses
    }

    /// Where the samples of an input are to be written.
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        let port = self.ports().nth(index).map(|port| self.network.plan.inputs[port].slot);
        port.map_or(&mut [], |slot| &mut self.network.values[slot])
    }

    /// Where the targets of an output are to be written.
    pub fn target(&mut self, index: usize) -> &mut [f32] {
        &mut self.targets[index]
    }

    /// Where the samples' weights are to be written, where there are any.
    pub fn sample_weights(&mut self) -> &mut [f32] {
        &mut self.sample_weights
    }

    /// Writes a batch where it is read: each input's and each output's values, and a weight for each sample or none.
    ///
    /// # Errors
    /// `Shape` for inputs and targets of other lengths than the model's; `Memory`.
    pub fn write(&mut self, inputs: &[&[f32]], targets: &[&[f32]], weights: Option<&[f32]>) -> Result<usize> {
        check_count(self.inputs(), inputs.len())?;
        if targets.len() != self.outputs.len() {
            let message =
                format!("{} targets given, the model has {} outputs", targets.len(), self.outputs.len());
            return Err(Error::shape(message));
        }
        let first = self.ports().next().map_or(0, |port| self.network.plan.inputs[port].width());
        let samples = inputs.first().map_or(0, |input| input.len() / first.max(1));
        if samples == 0 {
            return Err(Error::shape("the batch is empty; give at least one sample"));
        }
        for (port, input) in self.ports().zip(inputs) {
            let (name, width) =
                (original_name(&self.network.plan.inputs[port].name), self.network.plan.inputs[port].width());
            if input.len() != width * samples {
                let message = format!("{} values given, {samples} samples of {width} needed", input.len());
                return Err(Error::shape(message).tensor(name));
            }
        }
        for (index, target) in targets.iter().enumerate() {
            let width = self.outputs[index].target_width;
            if target.len() != width * samples {
                let message =
                    format!("{} values given as target, {samples} samples of {width} needed", target.len());
                return Err(Error::shape(message).tensor(self.output_name(index)));
            }
        }
        if let Some(weights) = weights.filter(|weights| weights.len() != samples) {
            return Err(Error::shape(format!(
                "{} sample weights given for {samples} samples",
                weights.len()
            )));
        }
        self.reserve(samples)?;
        for (index, input) in inputs.iter().enumerate() {
            self.input(index)[..input.len()].copy_from_slice(input);
        }
        for (index, target) in targets.iter().enumerate() {
            self.target(index)[..target.len()].copy_from_slice(target);
        }
        match weights {
            Some(weights) => self.sample_weights[..samples].copy_from_slice(weights),
            None => self.sample_weights[..samples].fill(1.0),
        }
        Ok(samples)
    }

    /// A step of training on a batch: its loss, before the update. Where it fails the weights are as they were.
    ///
    /// # Errors
    /// `Value` for inputs or labels outside their range, and where a value, the loss or a gradient is not finite, naming
    /// the first layer where it is so.
    pub fn step(&mut self, samples: usize) -> Result<f64> {
        let loss = self.gradients(samples, true)?;
        let rate = self.learning_rate() as f32;
        optimizer::apply(&mut self.network, &self.compiled.optimizer, rate, self.iterations);
        self.iterations += 1;
        self.gather(loss, samples);
        Ok(loss)
    }

    /// The loss of a batch and the gradients of the weights.
    fn gradients(&mut self, samples: usize, training: bool) -> Result<f64> {
        self.check(samples)?;
        self.network.forward(samples, Some(&mut self.random).filter(|_| training));
        self.network.clear_gradients(samples);
        let loss = self.losses(samples, true) + self.penalties(samples, true);
        if !loss.is_finite() {
            return Err(self.blame(samples));
        }
        self.network.backward(samples, training);
        self.penalise_weights();
        let finite = |parameter: &network::Parameter| {
            !parameter.updated || !parameter.suspect || sum_of_squares(&parameter.gradient).is_finite()
        };
        if let Some(parameter) = self.network.parameters.iter().find(|parameter| !finite(parameter)) {
            return Err(self.gradient_not_finite(parameter));
        }
        Ok(loss)
    }

    /// The error of a gradient by this parameter that is not finite.
    fn gradient_not_finite(&self, parameter: &network::Parameter) -> Error {
        let name = &self.model.layers[parameter.layer].name;
        let message = "the gradient is not finite; a lower learning rate or clipping (clipnorm) may help";
        Error::value(message).layer(name).tensor(parameter.weight)
    }

    /// From now on, [`differentiate`](Self::differentiate) gives the gradients of the inputs as well. To be called before
    /// a batch is written.
    pub fn want_input_gradients(&mut self) {
        self.network.mark_needed(true);
    }

    /// The loss of a batch without a step, as in training or as in an evaluation, and its gradients: by the weights, and by
    /// the inputs if they are wanted.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn differentiate(&mut self, samples: usize, training: bool) -> Result<(f64, Vec<Gradient>)> {
        let loss = self.gradients(samples, training)?;
        let mut gradients = vec![];
        for parameter in self.network.parameters.iter().filter(|parameter| parameter.updated) {
            let layer = &self.model.layers[parameter.layer];
            let shape = self.shape(parameter);
            let value = self.unpacked(parameter.place, parameter.gradient.clone(), &shape)?;
            gradients.push(Gradient { layer: layer.name.clone(), weight: Some(parameter.weight), value });
        }
        for port in self.ports() {
            let port = &self.network.plan.inputs[port];
            let gradient = &self.network.gradients[port.slot];
            if gradient.is_empty() {
                continue;
            }
            let shape = [&[samples], &port.shape[..]].concat();
            let value = Tensor::new(shape, gradient[..samples * port.width()].to_vec())?;
            gradients.push(Gradient { layer: original_name(&port.name).to_string(), weight: None, value });
        }
        Ok((loss, gradients))
    }

    /// The loss of a batch as a prediction has it, which is added to the metrics.
    ///
    /// # Errors
    /// `Value` as [`step`](Self::step), but not for losses.
    pub fn evaluate(&mut self, samples: usize) -> Result<f64> {
        self.check(samples)?;
        self.network.forward(samples, None);
        let loss = self.losses(samples, false) + self.penalties(samples, false);
        self.gather(loss, samples);
        Ok(loss)
    }

    fn gather(&mut self, loss: f64, samples: usize) {
        self.sums[0] += loss * samples as f64;
        self.sums[1] += samples as f64;
    }

    /// What the metrics have gathered, by name; the mean loss first.
    pub fn results(&self) -> Vec<(String, Value)> {
        let several = self.outputs.len() > 1;
        let mean = |output: &Output| output.sums[0] / output.sums[1].max(1.0);
        let total = self.sums[0] / self.sums[1].max(1.0);
        let mut results = vec![("loss".to_string(), Value::from(total))];
        for (index, output) in self.outputs.iter().enumerate() {
            let name = self.output_name(index);
            if several {
                results.push((format!("{name}_loss"), mean(output).into()));
            }
            for metric in &output.metrics {
                let own = if several { format!("{name}_{}", metric.name) } else { metric.name.clone() };
                results.push((own, metric.result()));
            }
        }
        results
    }

    /// Forgets what the metrics have gathered.
    pub fn reset(&mut self) {
        self.sums = [0.0; 2];
        for output in &mut self.outputs {
            output.sums = [0.0; 2];
            output.metrics.iter_mut().for_each(Metric::reset);
        }
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.compiled.optimizer.learning_rate.at(self.iterations)
    }

    /// Sets a constant learning rate.
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.compiled.optimizer.learning_rate = Schedule::Constant(rate);
    }

    /// Another order of so many samples.
    pub fn shuffle(&mut self, indices: &mut [u32]) {
        self.random.shuffle(indices);
    }

    /// The model as it is now, with what its optimizer remembers.
    ///
    /// # Errors
    /// None that a sound model has.
    pub fn model(&mut self) -> Result<Model> {
        let mut model = self.model.clone();
        let mut state = OptimizerState { iterations: self.iterations, slots: vec![] };
        let names = self.compiled.optimizer.rule.slots();
        for index in 0..self.network.parameters.len() {
            let values = self.network.values_of(index).to_vec();
            let parameter = &self.network.parameters[index];
            let (layer, weight) = (&mut model.layers[parameter.layer], parameter.weight);
            // The constants of batch normalisations are those of the last batch.
            let Some(own) = layer.kind.weight_mut(weight).filter(|_| !weight.starts_with("moving")) else {
                continue;
            };
            let shape = own.shape().to_vec();
            *own = self.unpacked(parameter.place, values, &shape)?;
            for (name, slot) in names.iter().zip(&parameter.slots) {
                let value = self.unpacked(parameter.place, slot.clone(), &shape)?;
                let (name, layer, weight) = (name.to_string(), layer.name.clone(), weight.to_string());
                state.slots.push(Slot { name, layer, weight, value });
            }
        }
        for (layer, [mean, variance]) in self.network.moving() {
            for (weight, values) in [("moving_mean", mean), ("moving_variance", variance)] {
                if let Some(own) = model.layers[layer].kind.weight_mut(weight) {
                    *own = Tensor::new(own.shape().to_vec(), values.clone())?;
                }
            }
        }
        model.compiled = Some(Box::new(Compiled { state: Some(state), ..self.compiled.clone() }));
        Ok(model)
    }

    /// The shape that the model has a parameter in.
    fn shape(&self, parameter: &network::Parameter) -> Vec<usize> {
        let weights = self.model.layers[parameter.layer].kind.weights();
        let own = weights.iter().find(|(name, _)| *name == parameter.weight);
        own.map_or(vec![], |(_, weights)| weights.shape().to_vec())
    }

    /// Values in the order in which a parameter's lie.
    fn packed(&self, parameter: usize, values: &[f32]) -> Vec<f32> {
        let dense = |index: usize| self.network.dense[index].as_ref();
        match self.network.parameters[parameter].place {
            Place::Weights(_) => values.to_vec(),
            Place::Kernel(index) => dense(index).map_or(vec![], |dense| dense.repack(values)),
            Place::Bias(index) => {
                let mut padded = values.to_vec();
                let units = dense(index)
                    .map_or(0, |dense| 4 * dense.bias.len() * dense.bias.first().map_or(0, |row| row.len()));
                padded.resize(units, 0.0);
                padded
            }
        }
    }

    fn unpacked(&self, place: Place, mut values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        match place {
            Place::Weights(_) => {}
            Place::Kernel(index) => {
                values = self.network.dense[index].as_ref().map_or(vec![], |dense| dense.unpack(&values));
            }
            Place::Bias(_) => values.truncate(shape.iter().product()),
        }
        Tensor::new(shape.to_vec(), values)
    }

    fn output_name(&self, index: usize) -> &str {
        original_name(&self.network.plan.outputs[index].name)
    }

    /// Refuses indices and labels outside their range.
    fn check(&self, samples: usize) -> Result<()> {
        if samples == 0 || samples > self.network.capacity {
            return Err(Error::shape("the batch is empty, or larger than what was reserved"));
        }
        for port in self.ports() {
            let port = &self.network.plan.inputs[port];
            let values = &self.network.values[port.slot][..samples * port.width()];
            check_limits(original_name(&port.name), &port.limits, values)?;
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if !matches!(output.loss, Loss::SparseCategoricalCrossentropy { .. }) {
                continue;
            }
            let classes = self.network.last_axis_of(index);
            let labels = &self.targets[index][..samples * output.target_width];
            let wrong = |label: f32| !(label >= 0.0 && label < classes as f32 && label.trunc() == label);
            if let Some(at) = labels.iter().position(|&label| wrong(label)) {
                let (sample, most) = (at / output.target_width, classes - 1);
                let label = labels[at];
                // Whole numbers only: how floats are written is a tenth of the module.
                let told = if label.trunc() == label {
                    format!("label {}", label as i64)
                } else {
                    "the label".into()
                };
                let message = format!(
                    "{told} of sample {sample} is no whole number from 0 to {most}: the output has {classes} classes"
                );
                return Err(Error::value(message).tensor(self.output_name(index)));
            }
        }
        Ok(())
    }

    /// The weighted sum of the outputs' losses; their gradients are added where they are wanted. The outputs' metrics
    /// see the predictions.
    fn losses(&mut self, samples: usize, gradients: bool) -> f64 {
        let weights = &self.sample_weights[..samples];
        let weights = weights.iter().any(|&weight| weight != 1.0).then_some(weights);
        let mut total = 0.0;
        for (index, output) in self.outputs.iter_mut().enumerate() {
            let port = &self.network.plan.outputs[index];
            let length = samples * port.width();
            let slot = output.logits.unwrap_or(port.slot);
            let last = prepare::last_axis(&port.shape);
            let batch = |slot: usize, logits: bool| Batch {
                predicted: &self.network.values[slot][..length],
                target: &self.targets[index][..samples * output.target_width],
                last,
                weights,
                samples,
                logits,
            };
            let mut gradient = std::mem::take(&mut self.network.gradients[slot]);
            let wanted = Some(&mut gradient[..]).filter(|gradient| gradients && !gradient.is_empty());
            let wanted = wanted.map(|gradient| &mut gradient[..length]);
            let mean = loss::loss(output.loss, &batch(slot, output.logits.is_some()), output.weight, wanted);
            output.metrics.iter_mut().for_each(|metric| metric.update(&batch(port.slot, false)));
            self.network.gradients[slot] = gradient;
            output.sums[0] += mean * samples as f64;
            output.sums[1] += samples as f64;
            total += output.weight * mean;
        }
        total
    }

    /// Adds the gradients of what weights add to the loss.
    fn penalise_weights(&mut self) {
        for index in 0..self.network.parameters.len() {
            let parameter = &mut self.network.parameters[index];
            let [l1, l2] = parameter.penalty;
            if parameter.penalty == [0.0; 2] || !parameter.updated {
                continue;
            }
            let mut gradient = std::mem::take(&mut parameter.gradient);
            penalise(&mut gradient, self.network.values_of(index), l1, l2);
            self.network.parameters[index].gradient = gradient;
        }
    }

    /// What weights and values add to the loss; the gradients of the latter are added where they are wanted.
    fn penalties(&mut self, samples: usize, gradients: bool) -> f64 {
        let size = |values: &[f32], [l1, l2]: [f32; 2]| {
            let absolute = if l1 == 0.0 { 0.0 } else { values.iter().map(|w| f64::from(w.abs())).sum() };
            let squares = if l2 == 0.0 { 0.0 } else { sum_of_squares(values) };
            f64::from(l1) * absolute + f64::from(l2) * squares
        };
        let mut total = 0.0;
        for index in 0..self.network.parameters.len() {
            let parameter = &self.network.parameters[index];
            let penalty = parameter.penalty;
            if penalty == [0.0; 2] || !parameter.updated {
                continue;
            }
            total += size(self.network.values_of(index), penalty);
        }
        let own = self.outputs.len();
        for (port, penalty) in self.network.plan.outputs[own..].iter().zip(&self.activity) {
            let length = samples * port.width();
            let values = &self.network.values[port.slot][..length];
            // Of a sample.
            let penalty = penalty.map(|factor| factor / samples as f32);
            total += size(values, penalty);
            if gradients && !self.network.gradients[port.slot].is_empty() {
                penalise(&mut self.network.gradients[port.slot][..length], values, penalty[0], penalty[1]);
            }
        }
        total
    }

    /// The error of a loss that is not finite: it names the first layer whose values are not.
    fn blame(&self, samples: usize) -> Error {
        let finite = |slot: usize| {
            let values = &self.network.values[slot];
            let length = (samples * self.network.plan.slots[slot]).min(values.len());
            values[..length].iter().all(|value| value.is_finite())
        };
        let plan = &self.network.plan;
        if let Some(port) = plan.inputs.iter().find(|port| !finite(port.slot)) {
            return samples_not_finite(port);
        }
        if let Some(step) = plan.steps.iter().find(|step| !finite(step.output)) {
            let Some(node) = self.network.layer_name(step.layer) else { return Error::value(NOT_FINITE) };
            return Error::value(NOT_FINITE).layer(node);
        }
        Error::value(LOSS_NOT_FINITE)
    }
}

/// The error of samples that are not finite.
fn samples_not_finite(port: &Port) -> Error {
    Error::value("the samples hold values that are not finite").tensor(original_name(&port.name))
}

const LOSS_NOT_FINITE: &str =
    "the loss is not finite, though all predictions are: look at the targets and the sample weights";

const NOT_FINITE: &str =
    "its values are not finite; a lower learning rate, clipping (clipnorm) or standardised inputs may help";

fn output(network: &Network, compiled: &Compiled, index: usize) -> Result<Output> {
    let port = &network.plan.outputs[index];
    let (loss, last) = (compiled.losses[index], network.last_axis_of(index));
    let metrics = compiled.metrics[index].iter().map(|metric| Metric::new(metric, loss, last));
    Ok(Output {
        loss,
        weight: compiled.loss_weights[index],
        logits: logits(network, port.slot, loss, last),
        target_width: loss.target_width(port.width(), last),
        metrics: metrics.collect::<Result<_>>()?,
        sums: [0.0; 2],
    })
}

/// The slot of the logits, where the output is their softmax or sigmoid and the loss is a crossentropy: as Keras does, it
/// takes the logits then, which is exact at any size of them. Keras does not ask whether the function is the one that the
/// loss undoes, and so neither is it asked here.
fn logits(network: &Network, slot: usize, loss: Loss, last: usize) -> Option<usize> {
    let step = network.plan.steps.iter().rfind(|step| step.output == slot)?;
    let Source::Slot(input) = step.input else { return None };
    let crossentropy = matches!(
        loss,
        Loss::BinaryCrossentropy { .. }
            | Loss::CategoricalCrossentropy { .. }
            | Loss::SparseCategoricalCrossentropy { .. }
    );
    let undone = match step.kernel {
        Kernel::Rowwise(Rowwise::Softmax) => step.input_width == last,
        Kernel::Activate(Elementwise::Sigmoid) => true,
        _ => false,
    };
    (crossentropy && undone).then_some(input)
}
