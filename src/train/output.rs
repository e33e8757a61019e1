//! What is made of the outputs: losses, their gradients, metrics, and what penalties add.

use super::{
    Trainer,
    loss::{self, Batch},
    metrics::Metric,
    network::Network,
    prepare,
};
use crate::{Compiled, Elementwise, Kernel, Loss, Result, Rowwise, Source};
use nearside_kernels::train::{penalise, sum_of_squares};

/// An output and what is made of it.
pub(super) struct Output {
    pub loss: Loss,
    pub weight: f64,
    /// The slot of the logits that the output is the softmax or sigmoid of, if the loss takes both together.
    pub logits: Option<usize>,
    /// Values of a target a sample.
    pub target_width: usize,
    pub metrics: Vec<Metric>,
    /// The sum of its losses, and of how many samples.
    pub sums: [f64; 2],
}

impl Output {
    pub fn new(network: &Network, compiled: &Compiled, index: usize) -> Result<Self> {
        let port = &network.plan.outputs[index];
        let (loss, last) = (compiled.losses[index], network.last_axis_of(index));
        let metrics = compiled.metrics[index].iter().map(|metric| Metric::new(metric, loss, last));
        Ok(Self {
            loss,
            weight: compiled.loss_weights[index],
            logits: logits(network, port.slot, loss, last),
            target_width: loss.target_width(port.width(), last),
            metrics: metrics.collect::<Result<_>>()?,
            sums: [0.0; 2],
        })
    }
}

impl Trainer {
    /// The weighted sum of the outputs' losses; their gradients are added where they are wanted. The outputs' metrics
    /// see the predictions.
    pub(super) fn losses(&mut self, samples: usize, gradients: bool) -> f64 {
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
    pub(super) fn penalise_weights(&mut self) {
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
    pub(super) fn penalties(&mut self, samples: usize, gradients: bool) -> f64 {
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
