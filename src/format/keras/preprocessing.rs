//! Layers that prepare data.

use super::{
    axes::Axes,
    compose::{Composer, Wire, flat, scalar, without_batch},
    fields::Fields,
    spec::Weights,
};
use crate::{Binary, Error, LayerKind, Result, Tensor, layer::Encoding};

/// A layer's class with its options.
#[derive(Debug, PartialEq)]
pub(super) enum Preprocessing {
    /// `scale · x + offset`, broadcast.
    Rescaling { scale: Tensor, offset: Tensor },
    /// Moments of each position of some axes: given, or learnt and kept as weights.
    Normalization { axes: Axes, given: Option<(Tensor, Tensor)>, invert: bool },
    /// Whole numbers as vectors.
    CategoryEncoding { tokens: usize, mode: Encoding },
    /// The bin that a number falls in, as a vector where there is a mode.
    Discretization { boundaries: Tensor, mode: Option<Encoding> },
}

/// `binary` is what Keras called `multi_hot` before 2.6.
const MODES: [(&str, Option<Encoding>); 5] = [
    ("int", None),
    ("one_hot", Some(Encoding::OneHot)),
    ("multi_hot", Some(Encoding::MultiHot)),
    ("binary", Some(Encoding::MultiHot)),
    ("count", Some(Encoding::Count)),
];

/// What Keras keeps a standard deviation from falling below.
const SMALLEST_DEVIATION: f32 = 1e-7;

impl Preprocessing {
    /// `None` where the class is none of these.
    pub(super) fn read(class: &str, config: &mut Fields) -> Result<Option<Self>> {
        // Sparse tensors hold the same values.
        config.skip(&["sparse"]);
        Ok(Some(match class {
            "Rescaling" => {
                let scale = config.tensor("scale")?;
                let offset = config.tensor("offset")?.map_or_else(|| scalar(0.0), Ok)?;
                Self::Rescaling { scale: config.required("scale", scale)?, offset }
            }
            "Normalization" => {
                // Null is no axis, and what is not there the last.
                let missing = if config.has("axis") { Axes::none() } else { Axes::last() };
                let axes = config.axes("axis")?.unwrap_or(missing);
                let given = match (config.tensor("mean")?, config.tensor("variance")?) {
                    (Some(mean), Some(variance)) => Some((mean, variance)),
                    (None, None) => None,
                    _ => return Err(Error::format("Normalization has one of 'mean' and 'variance' alone")),
                };
                Self::Normalization { axes, given, invert: config.flag("invert")?.unwrap_or(false) }
            }
            "CategoryEncoding" => {
                let tokens = config.count("num_tokens")?.or(config.count("max_tokens")?);
                let tokens = config.required("num_tokens", tokens)?;
                let mode = config.choice("output_mode", &MODES)?.unwrap_or(Some(Encoding::MultiHot));
                let mode = mode.ok_or_else(|| Error::format("CategoryEncoding: 'output_mode' is 'int'"))?;
                Self::CategoryEncoding { tokens, mode }
            }
            "Discretization" => discretization(config)?,
            _ => return Ok(None),
        }))
    }

    pub(super) fn weight_names(&self) -> Vec<&'static str> {
        match self {
            Self::Normalization { given: None, .. } => vec!["mean", "variance", "count"],
            _ => Vec::new(),
        }
    }

    pub(super) fn weight_shape(&self, name: &str, input: &Wire) -> Result<Option<Vec<usize>>> {
        match self {
            // How many values the moments are those of.
            _ if name == "count" => Ok(None),
            Self::Normalization { axes, .. } => kept(axes, input).map(|(_, lengths)| Some(lengths)),
            _ => Ok(None),
        }
    }

    pub(super) fn expand(&self, composer: &mut Composer, input: Wire, mut weights: Weights) -> Result<Wire> {
        match self {
            Self::Rescaling { scale, offset } => rescaled(composer, input, scale.clone(), offset.clone()),
            Self::Normalization { axes, given, invert } => {
                let (axes, lengths) = kept(axes, &input)?;
                let (mean, variance) = match given {
                    Some((mean, variance)) => (spread(mean, &lengths)?, spread(variance, &lengths)?),
                    None => (weights.take("mean")?, weights.take("variance")?),
                };
                let (mean, variance) = (flat(mean)?, flat(variance)?);
                let kind = match invert {
                    true => LayerKind::Rescaling { scale: deviation(variance)?, offset: mean },
                    false => LayerKind::Normalization { mean, variance },
                };
                if axes.is_empty() {
                    return composer.apply(kind, &[&input]);
                }
                let (value, moved) = composer.move_last(input, &axes)?;
                let value = composer.apply(kind, &[&value])?;
                composer.back(value, moved)
            }
            Self::CategoryEncoding { tokens, mode } => encoded(composer, input, *tokens, *mode),
            Self::Discretization { boundaries, mode } => {
                let kind = LayerKind::Discretization { boundaries: boundaries.clone() };
                let bins = composer.apply(kind, &[&input])?;
                match mode {
                    Some(mode) => encoded(composer, bins, boundaries.data().len() + 1, *mode),
                    None => Ok(bins),
                }
            }
        }
    }
}

fn discretization(config: &mut Fields) -> Result<Preprocessing> {
    let boundaries = config.tensor("bin_boundaries")?;
    let mode = config.choice("output_mode", &MODES)?.unwrap_or(None);
    config.skip(&["num_bins", "epsilon"]);
    let Some(boundaries) = boundaries else {
        return Err(Error::unsupported(
            "the bins of this Discretization are not in the architecture, as Keras 2 keeps those it learnt; save the \
             model with Discretization(bin_boundaries=layer.bin_boundaries)",
        ));
    };
    let boundaries = flat(boundaries)?;
    if !boundaries.data().is_sorted() {
        return Err(Error::format("Discretization: 'bin_boundaries' are not in ascending order"));
    }
    Ok(Preprocessing::Discretization { boundaries, mode })
}

/// The axes whose positions have moments of their own, in order, and their lengths.
fn kept(axes: &Axes, input: &Wire) -> Result<(Vec<usize>, Vec<usize>)> {
    let axes = axes.ascending(input.shape.len())?;
    let lengths = axes.iter().filter_map(|&axis| input.shape.get(axis).copied()).collect();
    Ok((axes, lengths))
}

/// A value for each position of the kept axes, from one that is broadcast to them.
fn spread(given: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let given = without_batch(given.clone(), lengths.len())?;
    if given.data().len() == 1 {
        return Ok(given);
    }
    if given.shape() != lengths {
        return Err(Error::unsupported(format!(
            "moments of shape {:?} for axes of lengths {lengths:?}",
            given.shape()
        )));
    }
    Ok(given)
}

fn deviation(variance: Tensor) -> Result<Tensor> {
    let shape = variance.shape().to_vec();
    let deviation = |variance: f32| variance.sqrt().max(SMALLEST_DEVIATION);
    Tensor::new(shape, variance.into_data().into_iter().map(deviation).collect())
}

/// `scale · x + offset`: as one layer where they are numbers or vectors.
fn rescaled(composer: &mut Composer, input: Wire, scale: Tensor, offset: Tensor) -> Result<Wire> {
    let rank = input.shape.len();
    let (scale, offset) = (without_batch(scale, rank)?, without_batch(offset, rank)?);
    let is_row = |tensor: &Tensor| tensor.data().len() == 1 || tensor.shape().len() == 1;
    if is_row(&scale) && is_row(&offset) {
        return composer.rescale(scale, offset, &input);
    }
    let scale = composer.constant(scale)?;
    let offset = composer.constant(offset)?;
    let value = composer.apply(LayerKind::Combine(Binary::Multiply), &[&input, &scale])?;
    composer.apply(LayerKind::Combine(Binary::Add), &[&value, &offset])
}

fn encoded(composer: &mut Composer, input: Wire, tokens: usize, mode: Encoding) -> Result<Wire> {
    // With more axes Keras counts along the first, and calls its result by another shape than it has.
    if mode != Encoding::OneHot && input.shape.len() != 1 {
        return Err(Error::unsupported(format!(
            "encodes how often numbers occur in an input with {} axes besides the batch; one is supported",
            input.shape.len()
        )));
    }
    composer.apply(LayerKind::CategoryEncoding { tokens, mode }, &[&input])
}
