//! What a layer computes, as the architecture describes it: its weights and the shapes of its inputs are yet to come.

use super::{
    KerasVersion, activation,
    axes::Axes,
    compose::{Composer, Wire},
    fields::Fields,
    merging::Merge,
    normalization::Norm,
    operation::Operation,
    preprocessing::Preprocessing,
    shaping::Shaping,
};
use crate::format::json::Value;
use crate::{Activation, Error, LayerKind, Result, Rowwise, Tensor, layer::Noise};

/// A layer's class with its options.
#[derive(Debug, PartialEq)]
pub(super) enum Spec {
    /// An input of a model.
    Input(Shape),
    /// What is the same layer here, whatever it is called on.
    Kind(LayerKind),
    /// Its kernel's first axis is known when its input is.
    Dense { units: usize, use_bias: bool, activation: Activation },
    /// Zeros are masked, or not.
    Embedding { rows: usize, width: usize, mask_zero: bool },
    /// Axes of a sample along which there is one slope.
    PRelu { shared_axes: Vec<usize> },
    /// Along some axes.
    Softmax { axes: Axes },
    /// The same values in another shape.
    Shaping(Shaping),
    /// Values moved and scaled to a mean and a variance.
    Norm(Norm),
    /// What prepares data.
    Preprocessing(Preprocessing),
    /// What joins several inputs.
    Merge(Merge),
    /// A function of Keras 3's, called like a layer.
    Operation(Operation),
}

/// Shape of a sample, as far as the architecture tells: of some models not even how many axes there are.
pub(super) type Shape = Option<Vec<Option<usize>>>;

/// What a layer does with the mask that `Embedding(mask_zero=True)` gives its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Masking {
    /// Hands it on.
    Passes,
    /// Loses it.
    Drops,
    /// Computes something else because of it.
    Uses,
    /// Starts one.
    Makes,
}

/// A layer's weights by name.
pub(super) struct Weights(pub(super) Vec<(&'static str, Tensor)>);

impl Weights {
    pub(super) fn optional(&mut self, name: &str) -> Option<Tensor> {
        let index = self.0.iter().position(|(own, _)| *own == name)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Tensor> {
        self.optional(name).ok_or_else(|| Error::format(format!("the layer has no weights '{name}'")))
    }
}

/// Reads a layer's options. `shape` is what it says of the model's input.
pub(super) fn read(class: &str, config: &mut Fields, version: KerasVersion, shape: Shape) -> Result<Spec> {
    match class {
        "InputLayer" => input(config, shape),
        "Dense" => dense(config, version),
        "Embedding" => embedding(config),
        "PReLU" => prelu(config),
        "Softmax" => {
            // Tells how a mask is applied, and a mask is refused.
            config.skip(&["robust_masking"]);
            Ok(Spec::Softmax { axes: config.axes("axis")?.unwrap_or_else(Axes::last) })
        }
        "Identity" => Ok(Spec::Kind(LayerKind::Activation(Activation::LINEAR))),
        "Dropout" | "SpatialDropout1D" => {
            config.skip(&["noise_shape"]);
            dropout(config).map(|rate| Spec::Kind(LayerKind::Dropout { rate }))
        }
        _ => {
            if let Some(noise) = noise(class, config)? {
                return Ok(Spec::Kind(LayerKind::Noise(noise)));
            }
            if let Some(activation) = activation::by_layer(class, config, version)? {
                return Ok(Spec::Kind(LayerKind::Activation(activation)));
            }
            if let Some(norm) = Norm::read(class, config, version)? {
                return Ok(Spec::Norm(norm));
            }
            if let Some(merge) = Merge::read(class, config, version)? {
                return Ok(Spec::Merge(merge));
            }
            if let Some(shaping) = Shaping::read(class, config)? {
                return Ok(Spec::Shaping(shaping));
            }
            if let Some(preprocessing) = Preprocessing::read(class, config)? {
                return Ok(Spec::Preprocessing(preprocessing));
            }
            // TensorFlow's functions called like layers tell which one.
            let function = config.take("function");
            let function = function.as_ref().and_then(Value::as_str).map(|name| format!(" ({name})"));
            let function = function.unwrap_or_default();
            Err(Error::unsupported(format!(
                "{class} layers{function} are not supported; nearside runs dense networks: Dense, activations, \
                 normalizations, merges, Embedding, reshaping and preprocessing of numbers"
            )))
        }
    }
}

fn input(config: &mut Fields, shape: Shape) -> Result<Spec> {
    for option in ["sparse", "ragged"] {
        config.refuse(option, "such inputs are not supported")?;
    }
    // An input that may be left out; nearside asks for it.
    config.skip(&["optional"]);
    config.required("batch_shape", shape).map(|shape| Spec::Input(Some(shape)))
}

fn dense(config: &mut Fields, version: KerasVersion) -> Result<Spec> {
    // Keras 1 calls them output_dim and bias.
    let units = config.count("units")?.or(config.count("output_dim")?);
    let units = config.required("units", units)?;
    let use_bias = config.flag("use_bias")?.or(config.flag("bias")?).unwrap_or(true);
    let activation = activation::read(config.take("activation"), version)?;
    refuse_quantization(config)?;
    // The kernel's shape says the same.
    config.skip(&["input_dim", "input_length"]);
    if units == 0 {
        return Err(Error::format("Dense: 'units' is 0"));
    }
    Ok(Spec::Dense { units, use_bias, activation })
}

fn refuse_quantization(config: &mut Fields) -> Result<()> {
    match config.take("quantization_config") {
        None => Ok(()),
        Some(_) => Err(Error::unsupported("the weights are quantized; save the model before quantizing it")),
    }
}

fn embedding(config: &mut Fields) -> Result<Spec> {
    let (rows, width) = (config.count("input_dim")?, config.count("output_dim")?);
    let (rows, width) = (config.required("input_dim", rows)?, config.required("output_dim", width)?);
    let mask_zero = config.flag("mask_zero")?.unwrap_or(false);
    refuse_quantization(config)?;
    // Keras 1's dropout of whole rows, which acts in training alone.
    config.skip(&["input_length", "dropout"]);
    Ok(Spec::Embedding { rows, width, mask_zero })
}

fn prelu(config: &mut Fields) -> Result<Spec> {
    let mut shared_axes = Vec::new();
    for axis in config.sizes("shared_axes")?.unwrap_or_default() {
        let axis = axis.checked_sub(1).ok_or_else(|| Error::format("PReLU: 'shared_axes' has the batch"))?;
        shared_axes.push(axis);
    }
    Ok(Spec::PRelu { shared_axes })
}

fn dropout(config: &mut Fields) -> Result<f32> {
    // Keras 1 calls it p.
    let rate = config.number("rate")?.or(config.number("p")?);
    config.skip(&["seed"]);
    match config.required("rate", rate)? {
        rate if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err(Error::format("the rate of a dropout lies between 0 and 1")),
    }
}

fn noise(class: &str, config: &mut Fields) -> Result<Option<Noise>> {
    Ok(Some(match class {
        "GaussianNoise" => {
            // Keras 1 calls it sigma.
            let stddev = config.number("stddev")?.or(config.number("sigma")?);
            config.skip(&["seed"]);
            Noise::Gaussian { stddev: config.required("stddev", stddev)? }
        }
        "GaussianDropout" => Noise::GaussianDropout { rate: dropout(config)? },
        "AlphaDropout" => {
            config.skip(&["noise_shape"]);
            Noise::AlphaDropout { rate: dropout(config)? }
        }
        "ActivityRegularization" => Noise::ActivityRegularization {
            l1: config.number("l1")?.unwrap_or(0.0),
            l2: config.number("l2")?.unwrap_or(0.0),
        },
        _ => return Ok(None),
    }))
}

impl Spec {
    /// What the weights are called, in the order of the file.
    pub(super) fn weight_names(&self) -> Vec<&'static str> {
        let optional = |names: &[(&'static str, bool)]| {
            names.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
        };
        match self {
            Self::Dense { use_bias, .. } => optional(&[("kernel", true), ("bias", *use_bias)]),
            Self::Embedding { .. } => vec!["embeddings"],
            Self::PRelu { .. } => vec!["alpha"],
            Self::Norm(norm) => optional(&norm.weight_names()),
            Self::Preprocessing(preprocessing) => preprocessing.weight_names(),
            _ => Vec::new(),
        }
    }

    /// Shape of one of the weights; `None` for what a prediction needs not.
    pub(super) fn weight_shape(&self, name: &str, inputs: &[Wire]) -> Result<Option<Vec<usize>>> {
        let input = one(inputs)?;
        Ok(Some(match self {
            Self::Dense { units, .. } if name == "bias" => vec![*units],
            Self::Dense { units, .. } => match input.shape.last() {
                Some(&features) => vec![features, *units],
                None => return Err(Error::shape("Dense takes an input with an axis besides the batch")),
            },
            Self::Embedding { rows, width, .. } => vec![*rows, *width],
            Self::PRelu { shared_axes } => {
                let lengths = input.shape.iter().enumerate();
                lengths.map(|(axis, &length)| if shared_axes.contains(&axis) { 1 } else { length }).collect()
            }
            Self::Norm(norm) => norm.weight_shape(input)?,
            Self::Preprocessing(preprocessing) => return preprocessing.weight_shape(name, input),
            _ => return Ok(None),
        }))
    }

    /// The layers that compute it.
    pub(super) fn expand(
        &self,
        composer: &mut Composer,
        inputs: Vec<Wire>,
        mut weights: Weights,
    ) -> Result<Wire> {
        match self {
            Self::Merge(merge) => return merge.expand(composer, inputs),
            Self::Kind(kind) => return composer.apply(kind.clone(), &inputs.iter().collect::<Vec<_>>()),
            _ => {}
        }
        let input = one(&inputs)?.clone();
        let kind = match self {
            Self::Dense { activation, .. } => LayerKind::Dense {
                kernel: weights.take("kernel")?,
                bias: weights.optional("bias"),
                activation: *activation,
            },
            Self::Embedding { .. } => LayerKind::Embedding { table: weights.take("embeddings")? },
            Self::PRelu { .. } => LayerKind::PRelu { alpha: weights.take("alpha")? },
            Self::Softmax { axes } => {
                let axes = axes.of_sample(input.shape.len())?;
                let (value, moved) = composer.move_last(input, &axes)?;
                let value = composer.rowwise(Rowwise::Softmax, &value)?;
                return composer.back(value, moved);
            }
            Self::Shaping(shaping) => return shaping.expand(composer, input),
            Self::Norm(norm) => return norm.expand(composer, input, weights),
            Self::Preprocessing(preprocessing) => return preprocessing.expand(composer, input, weights),
            Self::Input(_) | Self::Kind(_) | Self::Merge(_) | Self::Operation(_) => {
                return Err(Error::format("an input layer is called on something"));
            }
        };
        composer.apply(kind, &[&input])
    }

    /// What becomes of a mask.
    pub(super) fn masking(&self) -> Masking {
        match self {
            Self::Embedding { mask_zero: true, .. } => Masking::Makes,
            Self::Softmax { .. } => Masking::Uses,
            Self::Norm(norm) => norm.masking(),
            Self::Merge(merge) => merge.masking(),
            Self::Shaping(shaping) => shaping.masking(),
            Self::Embedding { .. } | Self::Preprocessing(_) | Self::Operation(_) => Masking::Drops,
            _ => Masking::Passes,
        }
    }
}

/// The only input.
pub(super) fn one(inputs: &[Wire]) -> Result<&Wire> {
    match inputs {
        [input] => Ok(input),
        inputs => Err(Error::format(format!("takes one input, {} given", inputs.len()))),
    }
}
