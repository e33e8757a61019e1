//! Where a model in training lies on the GPU, and whether it can be trained there.

use crate::{
    Elementwise, Error, Kernel, Result, Rowwise, Source, Step,
    compile::{Clip, Rule},
    gpu::train::{Room, Slope, derivatives},
    train::{Trainer, network::Network},
};

/// Indices of buffers.
pub(super) struct Places {
    /// By slots.
    pub values: Vec<usize>,
    /// By slots; of those that something needs.
    pub gradients: Vec<Option<usize>>,
    pub parameters: Vec<OfParameter>,
    /// By outputs.
    pub targets: Vec<usize>,
    pub sample_weights: usize,
    /// What a step tells: a word that says whether anything was not finite, one for each output and each parameter, and two
    /// sums for each parameter that is penalised.
    pub report: usize,
    pub rooms: Vec<Room>,
    outputs: usize,
}

/// A weight of the model.
pub(super) struct OfParameter {
    /// Row-major, as the model has them.
    pub weights: usize,
    /// If it is updated.
    pub gradient: Option<usize>,
    /// What the optimizer remembers.
    pub slots: Vec<usize>,
    pub count: usize,
}

impl Places {
    pub fn new(trainer: &Trainer) -> Self {
        let network = &trainer.network;
        let mut places = Self {
            values: vec![],
            gradients: vec![],
            parameters: vec![],
            targets: vec![],
            sample_weights: 0,
            report: 0,
            rooms: vec![],
            outputs: trainer.outputs.len(),
        };
        for (slot, &width) in network.plan.slots.iter().enumerate() {
            let values = places.add(Room::Samples(width));
            places.values.push(values);
            let gradient = network.needed[slot].then(|| places.add(Room::Samples(width)));
            places.gradients.push(gradient);
        }
        for parameter in &network.parameters {
            let count = trainer.shape(parameter).iter().product();
            let weights = places.add(Room::Values(count));
            let gradient = parameter.updated.then(|| places.add(Room::Values(count)));
            let slots = parameter.slots.iter().map(|_| places.add(Room::Values(count))).collect();
            places.parameters.push(OfParameter { weights, gradient, slots, count });
        }
        for output in &trainer.outputs {
            let target = places.add(Room::Samples(output.target_width));
            places.targets.push(target);
        }
        places.sample_weights = places.add(Room::Samples(1));
        let words = places.report_words(network);
        places.report = places.add(Room::Values(words));
        places
    }

    fn add(&mut self, room: Room) -> usize {
        self.rooms.push(room);
        self.rooms.len() - 1
    }

    /// The buffer of the plan's weights of that index.
    pub fn weights(&self, network: &Network, index: usize) -> usize {
        // `supported` has seen that every weight of a step is a parameter.
        network.parameter_of[index].map_or(0, |parameter| self.parameters[parameter].weights)
    }

    pub fn word_of_output(&self, index: usize) -> usize {
        1 + index
    }

    pub fn word_of_parameter(&self, index: usize) -> usize {
        1 + self.outputs + index
    }

    /// The parameters that are penalised, each with where in the report its sums are.
    pub fn penalised(&self, network: &Network) -> Vec<(usize, usize)> {
        let begin = self.word_of_parameter(self.parameters.len());
        let parameters = network.parameters.iter().enumerate();
        let penalised = parameters.filter(|(_, own)| own.updated && own.penalty != [0.0; 2]);
        (begin..).step_by(2).zip(penalised.map(|(index, _)| index)).collect()
    }

    pub fn report_words(&self, network: &Network) -> usize {
        self.word_of_parameter(self.parameters.len()) + 2 * self.penalised(network).len()
    }
}

/// Refuses what has no kernel.
///
/// # Errors
/// `Unsupported`, naming the layer or the option.
pub(super) fn supported(trainer: &Trainer) -> Result<()> {
    let network = &trainer.network;
    for step in &network.plan.steps {
        if !has_kernels(network, step) {
            let message = format!("'{}' is not trained on a GPU; train it on the CPU", step.kernel.name());
            let error = Error::unsupported(message);
            return Err(match network.layer_name(step.layer) {
                Some(name) => error.layer(name),
                None => error,
            });
        }
    }
    for (index, output) in trainer.outputs.iter().enumerate() {
        if Slope::of(output.loss, output.logits.is_some()).is_none() {
            let message = format!(
                "the loss '{}' of these predictions is not trained on a GPU; train it on the CPU",
                output.loss.name()
            );
            return Err(Error::unsupported(message).layer(trainer.output_name(index)));
        }
    }
    if !trainer.activity.is_empty() {
        return Err(Error::unsupported(
            "penalties on a layer's output (activity_regularizer) are not trained on a GPU; train it on the CPU",
        ));
    }
    let optimizer = &trainer.compiled.optimizer;
    let option = match (optimizer.clip, optimizer.rule) {
        (Some(Clip::Norm(_)), _) => "clipnorm",
        (Some(Clip::GlobalNorm(_)), _) => "global_clipnorm",
        (_, Rule::RmsProp { centered: true, .. }) => "centered",
        (_, Rule::RmsProp { momentum, .. }) if momentum > 0.0 => "momentum of RMSprop",
        _ => return Ok(()),
    };
    Err(Error::unsupported(format!("{option} is not trained on a GPU; train it on the CPU")))
}

fn has_kernels(network: &Network, step: &Step) -> bool {
    let is_slot = |source| matches!(source, Source::Slot(_));
    let is_parameter = |index: usize| network.parameter_of[index].is_some();
    if !is_slot(step.input) {
        return false;
    }
    match step.kernel {
        Kernel::Dense { kernel, bias, activation } => {
            activation == Elementwise::Linear && is_parameter(kernel) && bias.is_none_or(is_parameter)
        }
        Kernel::Activate(_) | Kernel::Rowwise(Rowwise::Softmax | Rowwise::LogSoftmax) => true,
        Kernel::Combine { op, second_width, activation } => {
            activation == Elementwise::Linear
                && derivatives(op).is_some()
                && step.second.is_some_and(is_slot)
                && [step.input_width, second_width] == [step.output_width; 2]
        }
        _ => false,
    }
}
