//! What a model is made of: layers as plain data, with their weights.

use crate::{Activation, Binary, Error, Result, Tensor, tensor::element_count};

/// A named layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Unique name.
    pub name: String,
    /// What it computes, with its weights.
    pub kind: LayerKind,
    /// Whether training changes its weights.
    pub trainable: bool,
    /// What its weights add to the loss in training.
    pub penalties: Vec<Penalty>,
}

/// A sum over a weight's values that is added to the loss: `l1 · Σ|w| + l2 · Σw²`.
#[derive(Debug, Clone, PartialEq)]
pub struct Penalty {
    /// The weight's name, as in [`LayerKind::weights`]; or `activity` for the layer's output, whose sum counts by sample.
    pub weight: String,
    /// Factor of the absolute values.
    pub l1: f32,
    /// Factor of the squares.
    pub l2: f32,
}

/// What a layer computes. Shapes and axes are those of one sample: the batch axis is left out everywhere, and axis 0
/// is the one behind it.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// An input of the model.
    Input {
        /// Shape of a sample.
        shape: Vec<usize>,
    },
    /// The same value for every sample; takes no input.
    Constant {
        /// Shape of a sample.
        value: Tensor,
    },
    /// `activation(x · kernel + bias)` over the last axis.
    Dense {
        /// (inputs, units)
        kernel: Tensor,
        /// (units)
        bias: Option<Tensor>,
        /// Applied to the result.
        activation: Activation,
    },
    /// An activation by itself. Those over a row take the last axis.
    Activation(Activation),
    /// x where it is not negative, `alpha · x` elsewhere.
    PRelu {
        /// Broadcast to a sample's shape.
        alpha: Tensor,
    },
    /// All axes into one.
    Flatten,
    /// The same values, row-major, in another shape.
    Reshape {
        /// Shape of a sample.
        shape: Vec<usize>,
    },
    /// Axes in another order.
    Permute {
        /// For each axis of the result, the axis it was.
        axes: Vec<usize>,
    },
    /// Nothing, when predicting: one of the layers that only act in training.
    Dropout {
        /// Share of the values dropped in training.
        rate: f32,
    },
    /// Nothing, when predicting.
    Noise(Noise),
    /// All inputs joined value by value from the left, shapes broadcast as in NumPy.
    Combine(Binary),
    /// The mean of all inputs, shapes broadcast as in NumPy.
    Average,
    /// The inputs one after the other along an axis.
    Concatenate {
        /// 0 is the first axis behind the batch.
        axis: usize,
    },
    /// Chosen positions of an axis: slices, selections, repetitions.
    Gather {
        /// 0 is the first axis behind the batch.
        axis: usize,
        /// For each position of the result, the position it was.
        indices: Vec<usize>,
    },
    /// The matrix product of two inputs, (…, m, k) × (…, k, n), with equal axes in front.
    MatMul,
    /// `gamma · (x − mean) / √(variance + epsilon) + beta` over the last axis, with the moments of training.
    BatchNormalization {
        /// (last axis), 1 where there is none.
        gamma: Option<Tensor>,
        /// (last axis), 0 where there is none.
        beta: Option<Tensor>,
        /// (last axis)
        mean: Tensor,
        /// (last axis)
        variance: Tensor,
        /// Added to the variance.
        epsilon: f32,
        /// Share of the old moments that a training step keeps.
        momentum: f32,
    },
    /// `gamma · (x − m) / √(v + epsilon) + beta`, m and v the moments of each row, the last axis.
    LayerNormalization {
        /// (last axis), 1 where there is none.
        gamma: Option<Tensor>,
        /// (last axis), 0 where there is none.
        beta: Option<Tensor>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `scale · x + offset`.
    Rescaling {
        /// One value, or (last axis).
        scale: Tensor,
        /// One value, or (last axis).
        offset: Tensor,
    },
    /// `(x − mean) / max(√variance, 1e-7)`, as Keras computes it.
    Normalization {
        /// One value, or (last axis).
        mean: Tensor,
        /// One value, or (last axis).
        variance: Tensor,
    },
    /// The rows of a table that the values name: whole numbers below its length. Appends the table's last axis.
    Embedding {
        /// (rows, width)
        table: Tensor,
    },
    /// Whole numbers below `tokens` as vectors of zeros and ones.
    CategoryEncoding {
        /// Length of the vectors.
        tokens: usize,
        /// How.
        mode: Encoding,
    },
    /// For each value, the number of boundaries that do not exceed it.
    Discretization {
        /// In ascending order.
        boundaries: Tensor,
    },
    /// Nothing to the values; names what they stand for.
    Classes {
        /// A name each.
        names: Vec<String>,
        /// Whether the last axis has a column for each class; else the values are indices of `names`.
        columns: bool,
    },
}

/// What disturbs a training, and leaves a prediction alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// Adds normal noise.
    Gaussian {
        /// Its standard deviation.
        stddev: f32,
    },
    /// Multiplies by normal noise around 1.
    GaussianDropout {
        /// As that of dropout of the same variance.
        rate: f32,
    },
    /// Dropout that keeps mean and variance.
    AlphaDropout {
        /// Share of the values dropped.
        rate: f32,
    },
    /// Adds to the loss.
    ActivityRegularization {
        /// Factor of the absolute values.
        l1: f32,
        /// Factor of the squares.
        l2: f32,
    },
}

/// How [`LayerKind::CategoryEncoding`] writes numbers as vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A vector for each number, along a new last axis; one that is already of length 1 is replaced.
    OneHot,
    /// A vector for all numbers of the last axis, 1 for those that occur.
    MultiHot,
    /// A vector for all numbers of the last axis, how often each occurs.
    Count,
}

impl Layer {
    /// A layer of that name, which training changes.
    pub fn new(name: impl Into<String>, kind: LayerKind) -> Self {
        Self { name: name.into(), kind, trainable: true, penalties: vec![] }
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> usize {
        self.kind.weights().iter().map(|(_, weights)| weights.data().len()).sum()
    }
}

impl LayerKind {
    /// The layer's class name in Keras, or the operator's in ONNX where Keras has none.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Input { .. } => "InputLayer",
            Self::Constant { .. } => "Constant",
            Self::Dense { .. } => "Dense",
            Self::Activation(_) => "Activation",
            Self::PRelu { .. } => "PReLU",
            Self::Flatten => "Flatten",
            Self::Reshape { .. } => "Reshape",
            Self::Permute { .. } => "Permute",
            Self::Dropout { .. } => "Dropout",
            Self::Noise(Noise::Gaussian { .. }) => "GaussianNoise",
            Self::Noise(Noise::GaussianDropout { .. }) => "GaussianDropout",
            Self::Noise(Noise::AlphaDropout { .. }) => "AlphaDropout",
            Self::Noise(Noise::ActivityRegularization { .. }) => "ActivityRegularization",
            Self::Combine(op) => op.type_name(),
            Self::Average => "Average",
            Self::Concatenate { .. } => "Concatenate",
            Self::Gather { .. } => "Gather",
            Self::MatMul => "MatMul",
            Self::BatchNormalization { .. } => "BatchNormalization",
            Self::LayerNormalization { .. } => "LayerNormalization",
            Self::Rescaling { .. } => "Rescaling",
            Self::Normalization { .. } => "Normalization",
            Self::Embedding { .. } => "Embedding",
            Self::CategoryEncoding { .. } => "CategoryEncoding",
            Self::Discretization { .. } => "Discretization",
            Self::Classes { .. } => "Classes",
        }
    }

    /// The layer's weights with their names in Keras, in Keras's order.
    pub fn weights(&self) -> Vec<(&'static str, &Tensor)> {
        let all: [(&'static str, Option<&Tensor>); 4] = match self {
            Self::Dense { kernel, bias, .. } => {
                [("kernel", Some(kernel)), ("bias", bias.as_ref()), ("", None), ("", None)]
            }
            Self::BatchNormalization { gamma, beta, mean, variance, .. } => [
                ("gamma", gamma.as_ref()),
                ("beta", beta.as_ref()),
                ("moving_mean", Some(mean)),
                ("moving_variance", Some(variance)),
            ],
            Self::LayerNormalization { gamma, beta, .. } => {
                [("gamma", gamma.as_ref()), ("beta", beta.as_ref()), ("", None), ("", None)]
            }
            Self::Rescaling { scale, offset } => {
                [("scale", Some(scale)), ("offset", Some(offset)), ("", None), ("", None)]
            }
            Self::Normalization { mean, variance } => {
                [("mean", Some(mean)), ("variance", Some(variance)), ("", None), ("", None)]
            }
            other => {
                let single = match other {
                    Self::Constant { value } => ("value", value),
                    Self::PRelu { alpha } => ("alpha", alpha),
                    Self::Embedding { table } => ("embeddings", table),
                    Self::Discretization { boundaries } => ("boundaries", boundaries),
                    _ => return Vec::new(),
                };
                [(single.0, Some(single.1)), ("", None), ("", None), ("", None)]
            }
        };
        all.into_iter().filter_map(|(name, weights)| Some((name, weights?))).collect()
    }

    /// A weight by its name, to be changed.
    #[cfg(feature = "train")]
    pub(crate) fn weight_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        match (self, name) {
            (Self::Dense { kernel, .. }, "kernel") => Some(kernel),
            (Self::Dense { bias, .. }, "bias") => bias.as_mut(),
            (Self::BatchNormalization { gamma, .. } | Self::LayerNormalization { gamma, .. }, "gamma") => {
                gamma.as_mut()
            }
            (Self::BatchNormalization { beta, .. } | Self::LayerNormalization { beta, .. }, "beta") => {
                beta.as_mut()
            }
            (Self::BatchNormalization { mean, .. }, "moving_mean") => Some(mean),
            (Self::BatchNormalization { variance, .. }, "moving_variance") => Some(variance),
            (Self::PRelu { alpha }, "alpha") => Some(alpha),
            (Self::Embedding { table }, "embeddings") => Some(table),
            (Self::Rescaling { scale, .. }, "scale") => Some(scale),
            (Self::Rescaling { offset, .. }, "offset") => Some(offset),
            _ => None,
        }
    }

    /// The activation, if the layer has one that does anything.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::Dense { activation, .. } | Self::Activation(activation) => {
                Some(*activation).filter(|activation| *activation != Activation::LINEAR)
            }
            _ => None,
        }
    }

    /// Shape of a sample's result.
    ///
    /// # Errors
    /// `Shape` for inputs the layer cannot take.
    pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
        match self {
            Self::Input { shape } => {
                takes(inputs, 0)?;
                return Ok(shape.clone());
            }
            Self::Constant { value } => {
                takes(inputs, 0)?;
                return Ok(value.shape().to_vec());
            }
            Self::Combine(op) => {
                let most = if op.takes_many() { usize::MAX } else { 2 };
                return broadcast_all(inputs, most);
            }
            Self::Average => return broadcast_all(inputs, usize::MAX),
            Self::Concatenate { axis } => return concatenated(inputs, *axis),
            Self::MatMul => return product(inputs),
            _ => takes(inputs, 1)?,
        }
        let input = inputs[0];
        let mut shape = input.to_vec();
        match self {
            Self::Dense { kernel, bias, activation } => {
                let &[features, units] = kernel.shape() else {
                    let shape = kernel.shape();
                    return Err(Error::shape(format!("kernel has shape {shape:?}, (inputs, units) needed")));
                };
                if shape.last() != Some(&features) {
                    return Err(Error::shape(format!(
                        "the kernel takes {features} values on the last axis, the input has shape {input:?}"
                    )));
                }
                if bias.as_ref().is_some_and(|bias| bias.shape() != [units]) {
                    let shape = bias.as_ref().map(Tensor::shape);
                    return Err(Error::shape(format!("{units} units, and a bias of shape {shape:?}")));
                }
                shape[input.len() - 1] = units;
                return activated(*activation, shape);
            }
            Self::Activation(activation) => return activated(*activation, shape),
            Self::PRelu { alpha } => {
                if broadcast(input, alpha.shape()).as_deref() != Some(input) {
                    return Err(misfit("alpha", alpha, input));
                }
            }
            Self::Flatten => shape = vec![element_count(input)?],
            Self::Reshape { shape: wanted } => {
                if element_count(wanted)? != element_count(input)? {
                    return Err(Error::shape(format!("{input:?} cannot be reshaped to {wanted:?}")));
                }
                shape.clone_from(wanted);
            }
            Self::Permute { axes } => {
                let mut seen = vec![false; input.len()];
                let known =
                    |&axis: &usize| seen.get_mut(axis).is_some_and(|seen| !std::mem::replace(seen, true));
                if axes.len() != input.len() || !axes.iter().all(known) {
                    return Err(Error::shape(format!("{axes:?} is no order of the axes of {input:?}")));
                }
                shape = axes.iter().map(|&axis| input[axis]).collect();
            }
            Self::Gather { axis, indices } => {
                let Some(length) = shape.get_mut(*axis) else {
                    return Err(Error::shape(format!("{input:?} has no axis {axis}")));
                };
                if let Some(index) = indices.iter().find(|&index| index >= length) {
                    return Err(Error::shape(format!("position {index} of an axis of length {length}")));
                }
                *length = indices.len();
            }
            Self::Embedding { table } => {
                let &[_, width] = table.shape() else {
                    let shape = table.shape();
                    return Err(Error::shape(format!("a table of shape {shape:?}, (rows, width) needed")));
                };
                shape.push(width);
            }
            Self::CategoryEncoding { tokens, mode } => {
                if *mode != Encoding::OneHot || shape.last() == Some(&1) {
                    shape.pop();
                }
                shape.push(*tokens);
            }
            Self::Classes { names, columns: true } => {
                if input.last() != Some(&names.len()) {
                    let message = format!("{} classes for the last axis of {input:?}", names.len());
                    return Err(Error::shape(message));
                }
            }
            _ => {
                for (name, weights) in self.weights() {
                    let one = weights.data().len() == 1 && self.takes_one_value();
                    if matches!(self, Self::Discretization { .. }) || one {
                        continue;
                    }
                    if weights.shape().len() != 1 || input.last() != weights.shape().first() {
                        return Err(misfit(name, weights, input));
                    }
                }
            }
        }
        Ok(shape)
    }

    /// Whether a weight may be one value for the whole last axis.
    fn takes_one_value(&self) -> bool {
        matches!(self, Self::Rescaling { .. } | Self::Normalization { .. })
    }
}

/// The shape both broadcast to, by NumPy's rules.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let axis = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (axis(a, i), axis(b, i)) {
            (a, b) if a == b => Some(a),
            (1, other) | (other, 1) => Some(other),
            _ => None,
        })
        .collect()
}

fn broadcast_all(inputs: &[&[usize]], most: usize) -> Result<Vec<usize>> {
    let [first, others @ ..] = inputs else { return Err(wrong_count(inputs, 1)) };
    if inputs.len() > most {
        return Err(wrong_count(inputs, most));
    }
    others.iter().try_fold(first.to_vec(), |shape, other| {
        broadcast(&shape, other)
            .ok_or_else(|| Error::shape(format!("shapes {shape:?} and {other:?} do not go together")))
    })
}

fn concatenated(inputs: &[&[usize]], axis: usize) -> Result<Vec<usize>> {
    let [first, others @ ..] = inputs else { return Err(wrong_count(inputs, 1)) };
    let mut shape = first.to_vec();
    for other in others {
        let same = other.len() == shape.len()
            && other.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        let joined = shape.get(axis).and_then(|length| length.checked_add(*other.get(axis)?));
        let Some(joined) = joined.filter(|_| same) else {
            return Err(Error::shape(format!(
                "shapes {shape:?} and {other:?} cannot be joined along axis {axis}"
            )));
        };
        shape[axis] = joined;
    }
    Ok(shape)
}

fn product(inputs: &[&[usize]]) -> Result<Vec<usize>> {
    takes(inputs, 2)?;
    match (inputs[0], inputs[1]) {
        ([a @ .., m, k], [b @ .., also_k, n]) if a == b && k == also_k => Ok([a, &[*m, *n]].concat()),
        (a, b) => Err(Error::shape(format!("no matrix product of shapes {a:?} and {b:?}"))),
    }
}

fn takes(inputs: &[&[usize]], count: usize) -> Result<()> {
    if inputs.len() == count { Ok(()) } else { Err(wrong_count(inputs, count)) }
}

fn wrong_count(inputs: &[&[usize]], count: usize) -> Error {
    let needed = if count == 1 { "one input".to_string() } else { format!("{count} inputs") };
    Error::format(format!("takes {needed}, {} given", inputs.len()))
}

fn misfit(name: &str, weights: &Tensor, input: &[usize]) -> Error {
    Error::shape(format!("{name} has shape {:?}, the input has {input:?}", weights.shape()))
}

fn activated(activation: Activation, mut shape: Vec<usize>) -> Result<Vec<usize>> {
    let Activation::Rowwise(function) = activation else { return Ok(shape) };
    let name = function.name();
    let Some(last) = shape.last_mut() else {
        return Err(Error::shape(format!("{name} needs an axis besides the batch")));
    };
    *last = function
        .output_width(*last)
        .ok_or_else(|| Error::shape(format!("{name} halves the last axis, which has {last} values")))?;
    Ok(shape)
}
