//! What the reader knows of a tensor: its values, or the layer that computes them.

use crate::{Error, Result, Tensor, tensor::reserve};
use std::{num::NonZero, sync::Arc};

/// A tensor of the graph: its place in the [`Graph`](super::graph::Graph)'s list, so that operators copy it freely.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Value(pub NonZero<usize>);

/// That an operator cannot be read. Why is in the [`Graph`](super::graph::Graph): so a result is one word.
pub(super) struct Failed;

/// What a part of reading an operator gives, mostly a tensor.
pub(super) type Outcome<T = Value> = std::result::Result<T, Failed>;

/// What is known of a tensor.
///
/// A model leaves the batch axis out, ONNX does not: shapes and axes of layers and constants are those of a sample, and
/// [`Batch`] tells how the axes of ONNX map to them.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub source: Source,
    pub kind: Kind,
    pub batch: Batch,
}

/// Where a tensor's values come from: a place in the graph's list of constants, or of layers.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Constant(usize),
    Layer(usize),
}

/// What a tensor's values are. Layers compute floats, whatever they stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
    Text,
}

/// Where ONNX's tensor has the batch axis that its sample leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Batch {
    /// Nowhere: both have the same axes.
    None,
    /// Axis 0.
    First,
    /// Axis 0, together with the sample's first one, as after a reshape to (−1, k).
    Merged,
    /// Axis 1, behind one of length 1; the sample has no axes. What `ArrayFeatureExtractor` makes of class indices.
    Second,
}

impl Batch {
    /// How many axes ONNX's tensor has more than the sample.
    pub fn extra_axes(self) -> usize {
        match self {
            Self::None | Self::Merged => 0,
            Self::First => 1,
            Self::Second => 2,
        }
    }

    /// This one, or the other where there is none.
    pub fn or(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// A tensor whose values are known.
#[derive(Clone)]
pub(super) struct Constant {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Row-major values.
#[derive(Clone)]
pub(super) enum Data {
    /// Shared with the layers they become weights of.
    Floats(Arc<Vec<f32>>),
    /// Also truth values.
    Ints(Vec<i64>),
    /// Whole numbers of which at least one depends on the batch size.
    Sizes(Vec<Size>),
    Texts(Vec<String>),
}

/// A whole number, times the batch size or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub number: i64,
    pub of_batch: bool,
}

impl Constant {
    pub fn new(shape: Vec<usize>, data: Data) -> Self {
        Self { shape, data }
    }

    /// What its values are, unless they stand for something else.
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::Floats(_) => Kind::Float,
            Data::Ints(_) | Data::Sizes(_) => Kind::Int,
            Data::Texts(_) => Kind::Text,
        }
    }

    /// The values as floats.
    pub fn tensor(&self) -> Result<Tensor> {
        Tensor::shared(self.shape.clone(), self.data.floats()?)
    }

    /// Whole numbers that do not depend on the batch size.
    pub fn ints(&self, what: &str) -> Result<&[i64]> {
        match &self.data {
            Data::Ints(ints) => Ok(ints),
            Data::Sizes(_) => Err(Error::unsupported(format!("{what} depends on the batch size"))),
            _ => Err(Error::format(format!("{what} is not whole numbers"))),
        }
    }

    /// One whole number.
    pub fn int(&self, what: &str) -> Result<i64> {
        match self.ints(what)? {
            [int] => Ok(*int),
            _ => Err(Error::format(format!("{what} is not one whole number"))),
        }
    }

    /// One number.
    pub fn number(&self, what: &str) -> Result<f32> {
        match self.data.len() {
            1 => Ok(self.data.floats()?.first().copied().unwrap_or_default()),
            _ => Err(Error::format(format!("{what} is not one number"))),
        }
    }
}

impl Data {
    pub fn of_floats(floats: Vec<f32>) -> Self {
        Self::Floats(Arc::new(floats))
    }

    pub fn of_sizes(sizes: Vec<Size>) -> Self {
        if sizes.iter().any(|size| size.of_batch) {
            return Self::Sizes(sizes);
        }
        Self::Ints(sizes.iter().map(|size| size.number).collect())
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Ints(values) => values.len(),
            Self::Sizes(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// The values at these positions. There are none for a position that does not exist.
    pub fn pick(&self, positions: &[usize]) -> Self {
        fn each<T: Clone>(values: &[T], positions: &[usize]) -> Vec<T> {
            positions.iter().filter_map(|&position| values.get(position).cloned()).collect()
        }
        match self {
            Self::Floats(values) => Self::of_floats(each(values, positions)),
            Self::Ints(values) => Self::Ints(each(values, positions)),
            Self::Sizes(values) => Self::of_sizes(each(values, positions)),
            Self::Texts(values) => Self::Texts(each(values, positions)),
        }
    }

    /// The values and those of others behind them.
    pub fn join(all: &[&Self]) -> Result<Self> {
        let mixed = || Error::format("joins values of different types");
        match all.first() {
            Some(Self::Floats(_)) => {
                let mut joined = Vec::new();
                for data in all {
                    let Self::Floats(values) = data else { return Err(mixed()) };
                    joined.extend_from_slice(values);
                }
                Ok(Self::of_floats(joined))
            }
            Some(Self::Texts(_)) => {
                let mut joined = Vec::new();
                for data in all {
                    let Self::Texts(values) = data else { return Err(mixed()) };
                    joined.extend_from_slice(values);
                }
                Ok(Self::Texts(joined))
            }
            _ => {
                let mut joined = Vec::new();
                for data in all {
                    joined.append(&mut data.sizes().ok_or_else(mixed)?);
                }
                Ok(Self::of_sizes(joined))
            }
        }
    }

    /// As floats, which must hold whole numbers exactly.
    pub fn floats(&self) -> Result<Arc<Vec<f32>>> {
        match self {
            Self::Floats(values) => Ok(Arc::clone(values)),
            Self::Ints(values) => {
                let mut floats = reserve(values.len())?;
                for &int in values {
                    floats.push(exact(int)?);
                }
                Ok(Arc::new(floats))
            }
            Self::Sizes(_) => Err(Error::unsupported("computes with the batch size")),
            Self::Texts(_) => Err(Error::unsupported("computes with strings")),
        }
    }

    /// As whole numbers.
    pub fn sizes(&self) -> Option<Vec<Size>> {
        match self {
            Self::Ints(values) => Some(values.iter().map(|&number| Size::known(number)).collect()),
            Self::Sizes(values) => Some(values.clone()),
            _ => None,
        }
    }
}

impl Size {
    pub fn known(number: i64) -> Self {
        Self { number, of_batch: false }
    }

    /// The batch size, times a number.
    pub fn batch(number: i64) -> Self {
        Self { number, of_batch: true }
    }

    /// The length that it is, unless that depends on the batch size.
    pub fn length(self) -> Option<usize> {
        usize::try_from(self.number).ok().filter(|_| !self.of_batch)
    }
}

/// A whole number as a float of the same value.
pub(super) fn exact(int: i64) -> Result<f32> {
    let float = int as f32;
    // i64::MAX, where ONNX has it, stands for no limit.
    if float as i64 == int {
        return Ok(float);
    }
    Err(Error::unsupported(format!("nearside computes in f32, which does not hold {int} exactly")))
}
