//! A model as it is trained: an ordinary model again, in which what only acts in training is written out in the layers
//! that there are anyway. Dropout is a product with an input of random numbers; a batch normalisation takes its moments
//! from constants, which the trainer sets before.

use crate::{
    Activation, Binary, Error, Layer, LayerKind, Model, Node, Result, Rowwise, Tensor, layer::Noise,
    tensor::element_count,
};

/// The model and what its parts are for.
pub(super) struct Prepared {
    pub model: Model,
    /// For each of the model's inputs, what fills it.
    pub inputs: Vec<Filling>,
    /// Weights that are trained or kept up to date.
    pub parameters: Vec<Origin>,
    /// Batch normalisations that take the moments of the batch.
    pub moments: Vec<Moments>,
    /// What outputs behind the model's own add to the loss.
    pub activity: Vec<[f32; 2]>,
}

/// What fills an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Filling {
    /// The caller.
    Samples,
    /// 1 / (1 − rate), or 0 at that rate: 1 in an evaluation.
    Dropout { rate: f32 },
    /// Normal numbers: the mean in an evaluation.
    Normal { mean: f32, stddev: f32 },
    /// The factors of alpha dropout: 1 in an evaluation.
    AlphaScale { rate: f32 },
    /// What it adds, where the input before has 0 and where it has not: nothing in an evaluation.
    AlphaOffset { rate: f32 },
}

impl Filling {
    /// Of alpha dropout: the factor of what is kept, and what is added to it and to what is dropped. SELU's limit takes
    /// the place of the latter, and mean and variance stay (Klambauer et al. 2017).
    pub fn alpha(rate: f32) -> [f32; 3] {
        const LIMIT: f32 = -1.673_263_2 * 1.050_701;
        let scale = ((1.0 - rate) * (1.0 + rate * LIMIT * LIMIT)).sqrt().recip();
        let offset = -scale * LIMIT * rate;
        [scale, offset, scale * LIMIT + offset]
    }
}

/// Where a tensor of the prepared model is from.
pub(super) struct Origin {
    /// The layer, in the original model.
    pub layer: usize,
    /// Its weight.
    pub weight: &'static str,
    /// The values, which the prepared model shares.
    pub values: Tensor,
}

/// A batch normalisation in training.
pub(super) struct Moments {
    /// The layer, in the original model.
    pub layer: usize,
    /// Constants of the prepared model.
    pub mean: Tensor,
    pub deviation: Tensor,
    pub epsilon: f32,
    pub momentum: f32,
}

/// What a [`Penalty`](crate::layer::Penalty) names that is on the layer's output.
const OUTPUT: &str = "activity";

pub(super) fn prepare(model: &Model) -> Result<Prepared> {
    let shapes = model.shapes()?;
    let mut rewriting = Rewriting {
        prepared: Prepared {
            model: Model {
                name: model.name.clone(),
                layers: vec![],
                nodes: vec![],
                outputs: vec![],
                batched: model.batched,
                compiled: None,
            },
            inputs: vec![],
            parameters: vec![],
            moments: vec![],
            activity: vec![],
        },
        of_layer: model.layers.iter().map(|_| None).collect(),
    };
    let (mut of_node, mut activity) = (Vec::with_capacity(model.nodes.len()), vec![]);
    for (index, node) in model.nodes.iter().enumerate() {
        let layer = &model.layers[node.layer];
        let inputs: Vec<usize> = node.inputs.iter().map(|&input| of_node[input]).collect();
        let node = match &layer.kind {
            LayerKind::Noise(Noise::ActivityRegularization { l1, l2 }) => {
                activity.push(inputs[0]);
                rewriting.prepared.activity.push([*l1, *l2]);
                inputs[0]
            }
            _ => rewriting
                .node(node.layer, layer, inputs, &shapes[index])
                .map_err(|error| error.layer(&layer.name))?,
        };
        for penalty in layer.penalties.iter().filter(|penalty| penalty.weight == OUTPUT) {
            activity.push(node);
            rewriting.prepared.activity.push([penalty.l1, penalty.l2]);
        }
        of_node.push(node);
    }
    let outputs = model.outputs.iter().map(|&output| of_node[output]).chain(activity);
    rewriting.prepared.model.outputs = outputs.collect();
    Ok(rewriting.prepared)
}

struct Rewriting {
    prepared: Prepared,
    /// For each layer of the original model that was called before, what stands for it: its own layer, or the nodes of
    /// its constants.
    of_layer: Vec<Option<Vec<usize>>>,
}

impl Rewriting {
    /// The node that stands for a call of a layer.
    fn node(&mut self, index: usize, layer: &Layer, inputs: Vec<usize>, shape: &[usize]) -> Result<usize> {
        let noise = |mean, stddev| Filling::Normal { mean, stddev };
        Ok(match &layer.kind {
            LayerKind::Input { .. } => {
                self.prepared.inputs.push(Filling::Samples);
                self.call(layer.kind.clone(), &layer.name, inputs)
            }
            LayerKind::Dense { kernel, bias, activation } => {
                let own = match &self.of_layer[index] {
                    Some(own) => own[0],
                    None => {
                        let kernel = self.parameter(index, "kernel", kernel);
                        let bias = bias.as_ref().map(|bias| self.parameter(index, "bias", bias));
                        let kind = LayerKind::Dense { kernel, bias, activation: Activation::LINEAR };
                        let own = self.layer(kind, &layer.name);
                        self.of_layer[index] = Some(vec![own]);
                        own
                    }
                };
                let product = self.call_of(own, inputs);
                match *activation {
                    Activation::LINEAR => product,
                    activation => self.call(LayerKind::Activation(activation), &layer.name, vec![product]),
                }
            }
            LayerKind::Embedding { table } => {
                let own = match &self.of_layer[index] {
                    Some(own) => own[0],
                    None => {
                        let table = self.parameter(index, "embeddings", table);
                        let own = self.layer(LayerKind::Embedding { table }, &layer.name);
                        self.of_layer[index] = Some(vec![own]);
                        own
                    }
                };
                self.call_of(own, inputs)
            }
            LayerKind::PRelu { alpha } => {
                let own: Vec<usize> = alpha.shape().iter().copied().skip_while(|&axis| axis == 1).collect();
                if !shape.ends_with(&own) {
                    let message = format!(
                        "its alpha of shape {:?} is shared along an axis in the middle, which nearside does not train",
                        alpha.shape()
                    );
                    return Err(Error::unsupported(message));
                }
                let constants = self.constants(index, &[("alpha", Some(alpha))]);
                self.join(Binary::PRelu, &layer.name, inputs[0], constants[0])
            }
            LayerKind::LayerNormalization { gamma, beta, epsilon } => {
                let function = Rowwise::Standardize { epsilon: *epsilon };
                let kind = LayerKind::Activation(Activation::Rowwise(function));
                let value = self.call(kind, &layer.name, inputs);
                let weights = [("gamma", gamma.as_ref()), ("beta", beta.as_ref())];
                let constants = self.constants(index, &weights);
                self.scale_and_shift(&layer.name, value, &weights, &constants)
            }
            LayerKind::BatchNormalization { gamma, beta, mean, variance, epsilon, momentum } => {
                let first = self.of_layer[index].is_none();
                let weights = [("gamma", gamma.as_ref()), ("beta", beta.as_ref())];
                let deviation = variance.data().iter().map(|v| (v + epsilon).sqrt()).collect();
                let deviation = Tensor::new(variance.shape().to_vec(), deviation)?;
                let all = [
                    ("moving_mean", Some(mean)),
                    ("moving_variance", Some(&deviation)),
                    weights[0],
                    weights[1],
                ];
                let constants = self.constants(index, &all);
                let own = self.prepared.parameters.len();
                if first && layer.trainable {
                    let value = |name| {
                        let found =
                            self.prepared.parameters[..own].iter().rfind(|origin| origin.weight == name);
                        found.map(|origin| origin.values.clone()).unwrap_or_default()
                    };
                    let (mean, deviation) = (value("moving_mean"), value("moving_variance"));
                    let (epsilon, momentum) = (*epsilon, *momentum);
                    self.prepared.moments.push(Moments { layer: index, mean, deviation, epsilon, momentum });
                }
                let centred = self.join(Binary::Subtract, &layer.name, inputs[0], constants[0]);
                let value = self.join(Binary::Divide, &layer.name, centred, constants[1]);
                self.scale_and_shift(&layer.name, value, &weights, &constants[2..])
            }
            // What is learnt has a value for each place. Keras's own Rescaling is frozen by its reader.
            LayerKind::Rescaling { scale, offset } if layer.trainable && scale.data().len() > 1 => {
                let offset = Some(offset)
                    .filter(|offset| offset.data().iter().any(|&x| x != 0.0) || offset.data().len() > 1);
                let weights = [("scale", Some(scale)), ("offset", offset)];
                let constants = self.constants(index, &weights);
                self.scale_and_shift(&layer.name, inputs[0], &weights, &constants)
            }
            LayerKind::Dropout { rate } => self.disturb(
                Binary::Multiply,
                &layer.name,
                inputs[0],
                shape,
                Filling::Dropout { rate: *rate },
            ),
            LayerKind::Noise(Noise::Gaussian { stddev }) => {
                self.disturb(Binary::Add, &layer.name, inputs[0], shape, noise(0.0, *stddev))
            }
            LayerKind::Noise(Noise::GaussianDropout { rate }) => {
                let stddev = (rate / (1.0 - rate)).sqrt();
                self.disturb(Binary::Multiply, &layer.name, inputs[0], shape, noise(1.0, stddev))
            }
            LayerKind::Noise(Noise::AlphaDropout { rate }) => {
                let kept = self.disturb(
                    Binary::Multiply,
                    &layer.name,
                    inputs[0],
                    shape,
                    Filling::AlphaScale { rate: *rate },
                );
                self.disturb(Binary::Add, &layer.name, kept, shape, Filling::AlphaOffset { rate: *rate })
            }
            kind => self.call(kind.clone(), &layer.name, inputs),
        })
    }

    /// A value joined with one that is filled in.
    fn disturb(&mut self, op: Binary, name: &str, input: usize, shape: &[usize], filling: Filling) -> usize {
        self.prepared.inputs.push(filling);
        let random = self.call(LayerKind::Input { shape: shape.to_vec() }, name, vec![]);
        self.join(op, name, input, random)
    }

    fn scale_and_shift(
        &mut self,
        name: &str,
        mut value: usize,
        weights: &[(&'static str, Option<&Tensor>); 2],
        constants: &[usize],
    ) -> usize {
        let given =
            weights.iter().zip([Binary::Multiply, Binary::Add]).filter(|((_, weights), _)| weights.is_some());
        for ((_, op), &constant) in given.zip(constants) {
            value = self.join(op, name, value, constant);
        }
        value
    }

    /// The nodes of a layer's weights that are constants: one for each, however often the layer is called.
    fn constants(&mut self, index: usize, weights: &[(&'static str, Option<&Tensor>)]) -> Vec<usize> {
        if let Some(nodes) = &self.of_layer[index] {
            return nodes.clone();
        }
        let mut nodes = vec![];
        for (weight, values) in weights {
            if let Some(values) = values {
                let value = self.parameter(index, weight, values);
                nodes.push(self.call(LayerKind::Constant { value }, weight, vec![]));
            }
        }
        self.of_layer[index] = Some(nodes.clone());
        nodes
    }

    /// A copy of a weight of its own, by which it is found again.
    fn parameter(&mut self, layer: usize, weight: &'static str, values: &Tensor) -> Tensor {
        let values = Tensor::new(values.shape().to_vec(), values.data().to_vec()).unwrap_or_default();
        self.prepared.parameters.push(Origin { layer, weight, values: values.clone() });
        values
    }

    fn join(&mut self, op: Binary, name: &str, a: usize, b: usize) -> usize {
        self.call(LayerKind::Combine(op), name, vec![a, b])
    }

    fn call(&mut self, kind: LayerKind, name: &str, inputs: Vec<usize>) -> usize {
        let layer = self.layer(kind, name);
        self.call_of(layer, inputs)
    }

    fn call_of(&mut self, layer: usize, inputs: Vec<usize>) -> usize {
        self.prepared.model.nodes.push(Node { layer, inputs });
        self.prepared.model.nodes.len() - 1
    }

    /// A layer whose name tells the original one's: names must differ.
    fn layer(&mut self, kind: LayerKind, name: &str) -> usize {
        let number = self.prepared.model.layers.len();
        self.prepared.model.layers.push(Layer::new(format!("{name}#{number}"), kind));
        number
    }
}

/// The name of the original layer.
pub(super) fn original_name(name: &str) -> &str {
    name.rsplit_once('#').map_or(name, |(name, _)| name)
}

/// Values a row of the last axis.
pub(super) fn last_axis(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1).max(1)
}

/// The numbers of inputs and outputs by which weights are drawn, as Keras counts them.
pub(super) fn fans(shape: &[usize]) -> Result<[usize; 2]> {
    match shape {
        [] => Ok([1, 1]),
        [one] => Ok([*one, *one]),
        [rest @ .., inputs, outputs] => {
            let field = element_count(rest)?;
            Ok([field * inputs, field * outputs])
        }
    }
}
