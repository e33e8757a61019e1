//! Training on a GPU: a whole step without leaving it. The samples go up, and what the loss and the metrics are of comes down
//! while the next steps are computed already.

mod places;
mod tasks;

use super::{
    Trainer,
    check::{LOSS_NOT_FINITE, NOT_FINITE, samples_not_finite},
    prepare::Filling,
};
use crate::{
    Error, ErrorKind, Result,
    gpu::{
        GpuContext,
        train::{Answer, Device, Machine},
    },
};
use places::{Places, supported};
use std::{collections::VecDeque, rc::Rc};
use tasks::tasks;

/// Steps that are submitted before the loss of the first of them is waited for.
const IN_FLIGHT: usize = 3;

/// Steps after which the weights are read back at the latest: what a lost device costs at most.
const KEPT_EVERY: u64 = 500;

/// A model in training on a GPU.
///
/// It is made of a [`Trainer`], which goes on to draw what is random and to compute losses and metrics. The trainer's weights
/// are those that were [kept](Self::keep) last.
pub struct GpuTrainer {
    trainer: Trainer,
    places: Places,
    machine: Machine,
    device: Device,
    in_flight: VecDeque<InFlight>,
    /// Steps made when the weights were read back.
    kept: u64,
    /// Why it does not go on.
    failed: Option<Error>,
}

/// A step that was submitted.
struct InFlight {
    answer: Answer,
    samples: usize,
    /// Steps made before it.
    iterations: u64,
    targets: Vec<Vec<f32>>,
    sample_weights: Vec<f32>,
    /// What of it was not finite before it began.
    wrong: Option<Error>,
}

impl GpuTrainer {
    /// Takes a model's weights to the GPU, and compiles the kernels.
    ///
    /// # Errors
    /// `Unsupported` for layers, losses and options that only the CPU trains, `Memory`, `Device`.
    pub async fn new(context: Rc<GpuContext>, trainer: Trainer) -> Result<Self> {
        supported(&trainer)?;
        let (places, device) = (Places::new(&trainer), Device::of(&context));
        let machine =
            Machine::new(context, places.rooms.clone(), &tasks(&trainer, &places, device, 1)).await?;
        let kept = trainer.iterations;
        let mut own =
            Self { trainer, places, machine, device, in_flight: VecDeque::new(), kept, failed: None };
        own.upload_weights()?;
        Ok(own)
    }

    /// The trainer, to write batches, to set the learning rate and to see the results. To evaluate on it, or to get the
    /// model, [`keep`](Self::keep) the weights first.
    pub fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// The trainer with the weights that were kept last, to go on without the GPU.
    pub fn into_trainer(self) -> Trainer {
        self.trainer
    }

    fn upload_weights(&mut self) -> Result<()> {
        for index in 0..self.places.parameters.len() {
            let packed = self.trainer.network.values_of(index).to_vec();
            let (trainer, own) = (&self.trainer, &self.places.parameters[index]);
            let (place, shape) =
                (trainer.network.parameters[index].place, trainer.shape(&trainer.network.parameters[index]));
            self.machine.write(own.weights, trainer.unpacked(place, packed, &shape)?.data());
            for (&slot, values) in own.slots.iter().zip(&trainer.network.parameters[index].slots) {
                self.machine.write(slot, trainer.unpacked(place, values.clone(), &shape)?.data());
            }
        }
        Ok(())
    }

    /// Submits a step on the batch that was written to the trainer, which may be written anew then. Where that makes too many
    /// in flight, it waits for the loss of the oldest and returns it.
    ///
    /// # Errors
    /// As [`Trainer::step`], of this step or of one before; the weights are as they were before that step. `Device` where the
    /// device was lost: the trainer's are those that were kept last. After these, every step fails.
    pub async fn step(&mut self, samples: usize) -> Result<Option<f64>> {
        if let Err(error) = self.submit(samples).await {
            // A batch that does not fit may be put right.
            return Err(if error.kind() == ErrorKind::Device { self.fail(error) } else { error });
        }
        if self.trainer.iterations - self.kept >= KEPT_EVERY {
            self.keep().await?;
        }
        if self.in_flight.len() > IN_FLIGHT { self.loss().await } else { Ok(None) }
    }

    /// The loss of the oldest step in flight; none where there is none.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn loss(&mut self) -> Result<Option<f64>> {
        let Some(step) = self.in_flight.pop_front() else { return Ok(None) };
        let iterations = step.iterations;
        match self.complete(step).await {
            Ok(loss) => Ok(Some(loss)),
            Err(error) => {
                // Neither this step nor one behind it has changed anything.
                self.trainer.iterations = iterations;
                Err(self.fail(error))
            }
        }
    }

    /// The losses of all steps in flight; keeps the weights then.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn finish(&mut self) -> Result<Vec<f64>> {
        let mut losses = vec![];
        while let Some(loss) = self.loss().await? {
            losses.push(loss);
        }
        self.keep().await?;
        Ok(losses)
    }

    /// Ends the training.
    fn fail(&mut self, error: Error) -> Error {
        self.in_flight.clear();
        if error.kind() != ErrorKind::Device {
            return self.failed.get_or_insert(error).clone();
        }
        self.trainer.iterations = self.kept;
        let error = match self.machine.lost() {
            Some(reason) => Error::device(format!(
                "the GPU was lost in training: {reason}; what was kept after {} steps is left, to go on with on the CPU",
                self.kept
            )),
            None => error,
        };
        self.failed.get_or_insert(error).clone()
    }

    async fn submit(&mut self, samples: usize) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.trainer.check(samples)?;
        let tasks = tasks(&self.trainer, &self.places, self.device, samples);
        self.machine.reserve(self.trainer.network.capacity, &tasks).await?;
        let trainer = &mut self.trainer;
        trainer.network.fill(samples, Some(&mut trainer.random));
        let network = &trainer.network;
        for port in &network.plan.inputs {
            self.machine
                .write(self.places.values[port.slot], &network.values[port.slot][..samples * port.width()]);
        }
        let parts = trainer.targets.iter().zip(&trainer.outputs);
        let targets: Vec<Vec<f32>> =
            parts.map(|(target, output)| target[..samples * output.target_width].to_vec()).collect();
        for (&place, target) in self.places.targets.iter().zip(&targets) {
            self.machine.write(place, target);
        }
        let sample_weights = trainer.sample_weights[..samples].to_vec();
        self.machine.write(self.places.sample_weights, &sample_weights);
        let answer = self.machine.submit(&tasks, &self.reads(samples))?;
        let (iterations, wrong) = (self.trainer.iterations, self.wrong(samples));
        self.in_flight.push_back(InFlight { answer, samples, iterations, targets, sample_weights, wrong });
        self.trainer.iterations += 1;
        Ok(())
    }

    /// What a step copies to where it can be read: the report, and what losses and metrics are of.
    fn reads(&self, samples: usize) -> Vec<(usize, usize)> {
        let report = self.places.report_words(&self.trainer.network);
        let values = self.slots_read().into_iter();
        let values = values.map(|(slot, width)| (self.places.values[slot], samples * width));
        std::iter::once((self.places.report, report)).chain(values).collect()
    }

    /// The slots of what losses and metrics are of, with their widths.
    fn slots_read(&self) -> Vec<(usize, usize)> {
        let mut slots = vec![];
        for (output, port) in self.trainer.outputs.iter().zip(&self.trainer.network.plan.outputs) {
            let metrics = Some(port.slot).filter(|_| !output.metrics.is_empty());
            for slot in [Some(output.logits.unwrap_or(port.slot)), metrics].into_iter().flatten() {
                if slots.iter().all(|(own, _)| *own != slot) {
                    slots.push((slot, port.width()));
                }
            }
        }
        slots
    }

    /// The error of samples that are not finite.
    fn wrong(&self, samples: usize) -> Option<Error> {
        let network = &self.trainer.network;
        let mut ports = network.plan.inputs.iter().zip(&network.inputs);
        let wrong = ports.find(|(port, filling)| {
            let values = &network.values[port.slot][..samples * port.width()];
            **filling == Filling::Samples && !values.iter().all(|value| value.is_finite())
        });
        wrong.map(|(port, _)| samples_not_finite(port))
    }

    /// The loss of a step that was submitted.
    async fn complete(&mut self, step: InFlight) -> Result<f64> {
        let words = self.places.report_words(&self.trainer.network);
        let values = self.machine.read(step.answer).await?;
        let (report, mut rest) = values.split_at(words);
        for (slot, width) in self.slots_read() {
            let (own, others) = rest.split_at(step.samples * width);
            self.trainer.network.values[slot][..own.len()].copy_from_slice(own);
            rest = others;
        }
        let stopped = report[0].to_bits() != 0;
        if let Some(error) = step.wrong.filter(|_| stopped) {
            return Err(error);
        }
        if let Some(output) = (0..self.trainer.outputs.len())
            .find(|&output| report[self.places.word_of_output(output)].to_bits() != 0)
        {
            return Err(Error::value(NOT_FINITE).layer(self.trainer.output_name(output)));
        }
        // The batch behind may be written already.
        let targets = std::mem::replace(&mut self.trainer.targets, step.targets);
        let weights = std::mem::replace(&mut self.trainer.sample_weights, step.sample_weights);
        let loss = self.trainer.losses(step.samples, false) + self.penalties(report);
        self.trainer.targets = targets;
        self.trainer.sample_weights = weights;
        if !loss.is_finite() {
            return Err(Error::value(LOSS_NOT_FINITE));
        }
        if stopped {
            let not_finite = |index: &usize| report[self.places.word_of_parameter(*index)].to_bits() != 0;
            let parameter = (0..self.places.parameters.len()).find(not_finite).unwrap_or(0);
            return Err(self.trainer.gradient_not_finite(&self.trainer.network.parameters[parameter]));
        }
        self.trainer.gather(loss, step.samples);
        Ok(loss)
    }

    /// What the weights add to the loss.
    fn penalties(&self, report: &[f32]) -> f64 {
        let network = &self.trainer.network;
        let of = |(place, parameter): (usize, usize)| {
            let [l1, l2] = network.parameters[parameter].penalty.map(f64::from);
            l1 * f64::from(report[place]) + l2 * f64::from(report[place + 1])
        };
        self.places.penalised(network).into_iter().map(of).sum()
    }

    /// Reads the weights and what the optimizer remembers back to the trainer, as they are after all steps that were
    /// submitted. To be called at least at the end of every epoch: what came after is lost with a device.
    ///
    /// # Errors
    /// `Device` where the device was lost; the trainer's weights stay as they were.
    pub async fn keep(&mut self) -> Result<()> {
        let answer = self.machine.submit(&[], &self.kept_places().collect::<Vec<_>>());
        let values = match answer {
            Ok(answer) => self.machine.read(answer).await,
            Err(error) => Err(error),
        };
        let values = values.map_err(|error| self.fail(error))?;
        let mut rest = &values[..];
        for index in 0..self.places.parameters.len() {
            let own = &self.places.parameters[index];
            let mut next = || {
                let (first, others) = rest.split_at(own.count);
                rest = others;
                self.trainer.packed(index, first)
            };
            let (weights, slots) = (next(), own.slots.iter().map(|_| next()).collect());
            self.trainer.network.values_of(index).copy_from_slice(&weights);
            self.trainer.network.parameters[index].slots = slots;
        }
        self.kept = self.trainer.iterations;
        Ok(())
    }

    /// The buffers of weights and of what the optimizer remembers, in the parameters' order, each with its length.
    fn kept_places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.places.parameters.iter().flat_map(|own| {
            std::iter::once(own.weights).chain(own.slots.iter().copied()).map(|place| (place, own.count))
        })
    }
}
