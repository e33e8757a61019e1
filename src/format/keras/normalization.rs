//! Layers that bring values to a mean and a variance: those of training, or those of the sample itself.

use super::{
    KerasVersion,
    axes::Axes,
    compose::{Composer, Wire, flat, scalar},
    fields::Fields,
    spec::{Masking, Weights},
};
use crate::{
    Activation, Binary, Elementwise, Error, LayerKind, Result, Rowwise, Tensor, tensor::element_count,
};

/// A layer's class with its options.
#[derive(Debug, PartialEq)]
pub(super) struct Norm {
    method: Method,
    axes: Axes,
    epsilon: f32,
    /// Whether it has weights `beta`, and `gamma`.
    center: bool,
    scale: bool,
    version: KerasVersion,
}

#[derive(Debug, PartialEq)]
enum Method {
    /// Moments of training.
    Batch { momentum: f32 },
    /// Moments of the sample's axes.
    Layer,
    /// `LayerNormalization(rms_scaling=True)`, which despite its name divides by √(variance + epsilon).
    LayerScale,
    /// The mean of the squares.
    Rms,
    /// The sum of the squares.
    Unit,
    /// Moments of so many groups of channels, of each channel where it is `None`.
    Group { groups: Option<usize> },
}

impl Norm {
    /// `None` where the class is none of these.
    pub(super) fn read(class: &str, config: &mut Fields, version: KerasVersion) -> Result<Option<Self>> {
        let mut epsilon = 1e-3;
        let method = match class {
            "BatchNormalization" => {
                config.refuse("renorm", "batch renormalization is not supported")?;
                // Keras 1: 0 is what the others know, 1 and 2 take the moments of the sample and of the batch.
                if config.count("mode")?.is_some_and(|mode| mode != 0) {
                    return Err(Error::unsupported("BatchNormalization with a mode other than 0"));
                }
                // Only used in training, `synchronized` and `virtual_batch_size` to collect the moments.
                config.skip(&["renorm_clipping", "renorm_momentum", "synchronized", "virtual_batch_size"]);
                Method::Batch { momentum: config.number("momentum")?.unwrap_or(0.99) }
            }
            "LayerNormalization" => match config.flag("rms_scaling")? {
                Some(true) => Method::LayerScale,
                _ => Method::Layer,
            },
            "RMSNormalization" => {
                epsilon = 1e-6;
                Method::Rms
            }
            "UnitNormalization" => {
                // Keras 3 keeps the norm from falling below 1e-12, Keras 2 its square.
                epsilon = if version < KerasVersion::THREE { 1e-12 } else { 1e-24 };
                Method::Unit
            }
            "GroupNormalization" => {
                let groups = config.integer("groups")?.unwrap_or(32);
                Method::Group { groups: usize::try_from(groups).ok() }
            }
            _ => return Ok(None),
        };
        let has_both = !matches!(method, Method::Rms | Method::Unit);
        let mut switch = |key| Ok(if has_both { config.flag(key)?.unwrap_or(true) } else { false });
        let (center, scale) = (switch("center")?, switch("scale")?);
        let axes = config.axes("axis")?.unwrap_or_else(Axes::last);
        if !matches!(method, Method::Unit) {
            epsilon = config.number("epsilon")?.unwrap_or(epsilon);
        }
        Ok(Some(Self { method, axes, epsilon, center, scale, version }))
    }

    /// Those it may have, and whether it has them.
    pub(super) fn weight_names(&self) -> [(&'static str, bool); 5] {
        let batch = matches!(self.method, Method::Batch { .. });
        let scaled = self.scale || matches!(self.method, Method::LayerScale);
        let moved = self.center && !matches!(self.method, Method::LayerScale);
        [
            ("gamma", scaled),
            ("beta", moved),
            ("scale", matches!(self.method, Method::Rms)),
            ("moving_mean", batch),
            ("moving_variance", batch),
        ]
    }

    /// Shape of each weight.
    pub(super) fn weight_shape(&self, input: &Wire) -> Result<Vec<usize>> {
        let rank = input.shape.len();
        let axes = match self.version < KerasVersion::THREE {
            true => self.axes.of_sample(rank)?,
            false => self.axes.of_sample_sorted(rank)?,
        };
        Ok(axes.iter().filter_map(|&axis| input.shape.get(axis).copied()).collect())
    }

    pub(super) fn expand(&self, composer: &mut Composer, input: Wire, mut weights: Weights) -> Result<Wire> {
        let rank = input.shape.len();
        if let Method::Group { groups } = self.method {
            return self.grouped(composer, input, groups, weights);
        }
        // Keras reads the weights' values in the order of the axes, whatever the order of their lengths.
        let axes = self.axes.ascending(rank)?;
        if axes.is_empty() || axes.len() > 1 && matches!(self.method, Method::Batch { .. }) {
            return Err(Error::unsupported(format!("normalizes along {} axes", axes.len())));
        }
        if matches!(self.method, Method::Rms) && axes.last() != Some(&(rank - 1)) {
            return Err(Error::unsupported("RMSNormalization along other axes than the last ones"));
        }
        let (value, moved) = composer.move_last(input, &axes)?;
        let mut weight = |name| weights.optional(name).map(flat).transpose();
        let (gamma, beta) = (weight("gamma")?, weight("beta")?);
        let epsilon = self.epsilon;
        let value = match self.method {
            Method::Batch { momentum } => {
                let (mean, variance) = (weights.take("moving_mean")?, weights.take("moving_variance")?);
                let kind = LayerKind::BatchNormalization { gamma, beta, mean, variance, epsilon, momentum };
                composer.apply(kind, &[&value])?
            }
            Method::LayerScale => scaled(composer, &value, epsilon, gamma)?,
            Method::Rms => {
                let value = composer.rowwise(Rowwise::RmsNormalize { epsilon }, &value)?;
                composer.rescale(flat(weights.take("scale")?)?, scalar(0.0)?, &value)?
            }
            Method::Unit => composer.rowwise(Rowwise::UnitNormalize { epsilon }, &value)?,
            Method::Layer | Method::Group { .. } => {
                composer.apply(LayerKind::LayerNormalization { gamma, beta, epsilon }, &[&value])?
            }
        };
        composer.back(value, moved)
    }

    /// Groups of channels as rows, which are brought to mean 0 and variance 1; then each channel is scaled and moved.
    fn grouped(
        &self,
        composer: &mut Composer,
        input: Wire,
        groups: Option<usize>,
        mut weights: Weights,
    ) -> Result<Wire> {
        let channel = self.axes.one_of_sample(input.shape.len())?;
        let channels = input.shape.get(channel).copied().unwrap_or(0);
        let groups = groups.unwrap_or(channels);
        let width = channels.checked_div(groups).filter(|width| width.saturating_mul(groups) == channels);
        let Some(width) = width else {
            return Err(Error::shape(format!("{channels} channels in {groups} groups")));
        };
        let (value, moved) = composer.move_last(input, &[channel])?;
        let shape = value.shape.clone();
        let places = element_count(&shape)?.checked_div(channels).unwrap_or(0);
        let (grouped, axes): (_, &[usize]) = match places {
            1 => (vec![groups, width], &[1]),
            places => (vec![places, groups, width], &[0, 2]),
        };
        let value = composer.reshape(value, grouped)?;
        let (value, regrouped) = composer.move_last(value, axes)?;
        let value = composer.rowwise(Rowwise::Standardize { epsilon: self.epsilon }, &value)?;
        let value = composer.back(value, regrouped)?;
        let mut value = composer.reshape(value, shape)?;
        let (gamma, beta) = (weights.optional("gamma"), weights.optional("beta"));
        if gamma.is_some() || beta.is_some() {
            let (gamma, beta) =
                (gamma.map_or_else(|| scalar(1.0), Ok)?, beta.map_or_else(|| scalar(0.0), Ok)?);
            value = composer.rescale(gamma, beta, &value)?;
        }
        composer.back(value, moved)
    }

    pub(super) fn masking(&self) -> Masking {
        match self.method {
            Method::Group { .. } if self.version < KerasVersion::THREE => Masking::Uses,
            Method::Rms => Masking::Drops,
            _ => Masking::Passes,
        }
    }
}

/// `gamma · x / √(variance + epsilon)`: the variance is that around the mean, and x keeps its own.
fn scaled(composer: &mut Composer, value: &Wire, epsilon: f32, gamma: Option<Tensor>) -> Result<Wire> {
    let mean = composer.rowwise(Rowwise::Mean, value)?;
    let distance = composer.apply(LayerKind::Combine(Binary::Subtract), &[value, &mean])?;
    let square = composer.apply(LayerKind::Combine(Binary::Multiply), &[&distance, &distance])?;
    let variance = composer.rowwise(Rowwise::Mean, &square)?;
    let variance = composer.rescale(scalar(1.0)?, scalar(epsilon)?, &variance)?;
    let root = LayerKind::Activation(Activation::Elementwise(Elementwise::SquareRoot));
    let root = composer.apply(root, &[&variance])?;
    let value = composer.apply(LayerKind::Combine(Binary::Divide), &[value, &root])?;
    match gamma {
        Some(gamma) => composer.rescale(gamma, scalar(0.0)?, &value),
        None => Ok(value),
    }
}
