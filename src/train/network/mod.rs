//! A prepared model with its values, weights and gradients: what the passes forward and back share.

mod backward;
mod forward;

use super::prepare::{Filling, Moments, Prepared, last_axis, original_name};
use crate::{Error, Kernel, Plan, Result, Source, cpu::pack::pack, tensor::zeroed};
use nearside_kernels::{Dtype, PackedDense, Scratch, train::GradientScratch};

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
