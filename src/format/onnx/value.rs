//! What the reader knows of a tensor: its values, or the layer that computes them.

use crate::{Error, Result, Tensor, tensor::reserve};
use std::rc::Rc;

/// A tensor of the graph.
///
/// A model leaves the batch axis out, ONNX does not: `shape` and axes of layers and constants here are those of a
/// sample, and [`Batch`] tells how the axes of ONNX map to them.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub source: Source,
    pub kind: Kind,
    pub batch: Batch,
}

/// Where a tensor's values come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Constant(Rc<Constant>),
    /// Index of a layer, and of its only call.
    Layer(usize),
}

/// What a tensor's values are. Layers compute floats, whatever they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
    Text,
}

/// Where ONNX's tensor has the batch axis that its sample leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A tensor whose values are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Row-major values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Floats(Vec<f32>),
    /// Also truth values.
    Ints(Vec<i64>),
    /// Whole numbers of which at least one depends on the batch size.
    Sizes(Vec<Size>),
    Texts(Vec<String>),
}

/// A whole number, times the batch size or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub number: i64,
    pub of_batch: bool,
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
}

impl Value {
    pub fn constant(shape: Vec<usize>, data: Data) -> Self {
        let kind = match &data {
            Data::Floats(_) => Kind::Float,
            Data::Ints(_) | Data::Sizes(_) => Kind::Int,
            Data::Texts(_) => Kind::Text,
        };
        Self { source: Source::Constant(Rc::new(Constant { shape, data })), kind, batch: Batch::None }
    }

    /// A list of floats.
    pub fn floats(values: Vec<f32>) -> Self {
        Self::constant(vec![values.len()], Data::Floats(values))
    }

    /// One float, without axes.
    pub fn scalar(value: f32) -> Self {
        Self::constant(vec![], Data::Floats(vec![value]))
    }

    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub fn with_batch(self, batch: Batch) -> Self {
        Self { batch, ..self }
    }

    /// The values, if they are known.
    pub fn known(&self) -> Option<&Constant> {
        match &self.source {
            Source::Constant(constant) => Some(constant),
            Source::Layer(_) => None,
        }
    }

    /// The values, which must be known.
    pub fn required(&self, what: &str) -> Result<&Constant> {
        self.known().ok_or_else(|| {
            Error::unsupported(format!("{what} depends on the model's input; nearside needs it in the file"))
        })
    }

    /// Known whole numbers that do not depend on the batch size.
    pub fn ints(&self, what: &str) -> Result<&[i64]> {
        match &self.required(what)?.data {
            Data::Ints(ints) => Ok(ints),
            Data::Sizes(_) => Err(Error::unsupported(format!("{what} depends on the batch size"))),
            _ => Err(Error::format(format!("{what} is not whole numbers"))),
        }
    }

    /// Known whole numbers.
    pub fn sizes(&self, what: &str) -> Result<Vec<Size>> {
        let sizes = self.required(what)?.data.sizes();
        sizes.ok_or_else(|| Error::format(format!("{what} is not whole numbers")))
    }

    /// One known whole number.
    pub fn int(&self, what: &str) -> Result<i64> {
        match self.ints(what)? {
            [int] => Ok(*int),
            _ => Err(Error::format(format!("{what} is not one whole number"))),
        }
    }

    /// One known number.
    pub fn number(&self, what: &str) -> Result<f32> {
        let data = &self.required(what)?.data;
        match data.len() {
            1 => Ok(data.floats()?.first().copied().unwrap_or_default()),
            _ => Err(Error::format(format!("{what} is not one number"))),
        }
    }

    /// The known values as floats.
    pub fn tensor(&self, what: &str) -> Result<Tensor> {
        self.required(what)?.tensor()
    }
}

impl Constant {
    /// The values as floats.
    pub fn tensor(&self) -> Result<Tensor> {
        Tensor::new(self.shape.clone(), self.data.floats()?)
    }
}

impl Data {
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
            Self::Floats(values) => Self::Floats(each(values, positions)),
            Self::Ints(values) => Self::Ints(each(values, positions)),
            Self::Sizes(values) => Self::of_sizes(each(values, positions)),
            Self::Texts(values) => Self::Texts(each(values, positions)),
        }
    }

    /// The values and those of others behind them.
    pub fn join(all: &[&Self]) -> Result<Self> {
        let mixed = || Error::format("joins values of different types");
        if all.iter().all(|data| matches!(data, Self::Floats(_))) {
            let floats: Result<Vec<_>> = all.iter().map(|data| data.floats()).collect();
            return Ok(Self::Floats(floats?.concat()));
        }
        if all.iter().all(|data| matches!(data, Self::Texts(_))) {
            let texts = |data: &&Self| match data {
                Self::Texts(texts) => texts.clone(),
                _ => Vec::new(),
            };
            return Ok(Self::Texts(all.iter().flat_map(texts).collect()));
        }
        let sizes: Option<Vec<_>> = all.iter().map(|data| data.sizes()).collect();
        Ok(Self::of_sizes(sizes.ok_or_else(mixed)?.concat()))
    }

    /// As floats, which must hold whole numbers exactly.
    pub fn floats(&self) -> Result<Vec<f32>> {
        match self {
            Self::Floats(values) => {
                let mut floats = reserve(values.len())?;
                floats.extend_from_slice(values);
                Ok(floats)
            }
            Self::Ints(values) => values.iter().map(|&int| exact(int)).collect(),
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

    pub fn of_sizes(sizes: Vec<Size>) -> Self {
        if sizes.iter().any(|size| size.of_batch) {
            return Self::Sizes(sizes);
        }
        Self::Ints(sizes.iter().map(|size| size.number).collect())
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
