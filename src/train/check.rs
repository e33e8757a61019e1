//! What is refused, and what is told where a number is not finite.

use super::{Trainer, network::Parameter, prepare::original_name};
use crate::{Error, Loss, Port, Result, program::check_limits};

impl Trainer {
    /// Refuses indices and labels outside their range.
    pub(super) fn check(&self, samples: usize) -> Result<()> {
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

    /// The error of a loss that is not finite: it names the first layer whose values are not.
    pub(super) fn blame(&self, samples: usize) -> Error {
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

    /// The error of a gradient by this parameter that is not finite.
    pub(super) fn gradient_not_finite(&self, parameter: &Parameter) -> Error {
        let name = &self.model.layers[parameter.layer].name;
        let message = "the gradient is not finite; a lower learning rate or clipping (clipnorm) may help";
        Error::value(message).layer(name).tensor(parameter.weight)
    }
}

/// The error of samples that are not finite.
pub(super) fn samples_not_finite(port: &Port) -> Error {
    Error::value("the samples hold values that are not finite").tensor(original_name(&port.name))
}

pub(super) const LOSS_NOT_FINITE: &str =
    "the loss is not finite, though all predictions are: look at the targets and the sample weights";

pub(super) const NOT_FINITE: &str =
    "its values are not finite; a lower learning rate, clipping (clipnorm) or standardised inputs may help";
