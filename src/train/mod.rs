//! Training: forward, loss, back-propagation, update.
//!
//! ```text
//! Model ── prepare ──► Model with all of training in it ──► Plan ──► Network: values and gradients
//!                                                                       │  loss, optimizer, metrics
//!                                                                    Trainer ──► Model
//! ```

mod check;
#[cfg(feature = "gpu")]
mod gpu;
mod initializer;
mod loss;
mod metrics;
mod network;
mod optimizer;
mod output;
mod prepare;
mod random;
mod state;

use crate::{
    Compiled, Error, Model, Result, Tensor, compile::Schedule, format::json::Value, program::check_count,
};
#[cfg(feature = "gpu")]
pub use gpu::GpuTrainer;
pub use initializer::build;
use metrics::Metric;
use nearside_kernels::train::sum_of_squares;
use network::{Network, Parameter};
use output::Output;
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
            (0..outputs).map(|index| Output::new(&network, &compiled, index)).collect::<Result<Vec<_>>>()?;
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
        let finite = |parameter: &Parameter| {
            !parameter.updated || !parameter.suspect || sum_of_squares(&parameter.gradient).is_finite()
        };
        if let Some(parameter) = self.network.parameters.iter().find(|parameter| !finite(parameter)) {
            return Err(self.gradient_not_finite(parameter));
        }
        Ok(loss)
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

    fn output_name(&self, index: usize) -> &str {
        original_name(&self.network.plan.outputs[index].name)
    }
}
