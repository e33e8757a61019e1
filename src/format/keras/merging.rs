//! Layers that join several inputs.

use super::{
    KerasVersion,
    axes::Axes,
    compose::{Composer, Wire},
    fields::Fields,
    spec::Masking,
};
use crate::format::json::Value as Json;
use crate::{Binary, Error, LayerKind, Result, Rowwise, tensor::element_count};

/// A layer's class with its options.
#[derive(Debug, PartialEq)]
pub(super) enum Merge {
    /// Wire by value.
    Combine(Binary),
    /// Their mean.
    Average,
    /// One after the other.
    Concatenate { axis: Axes },
    /// The product of two, summed over an axis of each; `normalize` is what keeps their norms from 0 before.
    Dot { axes: [Axes; 2], normalize: Option<f32> },
}

impl Merge {
    /// `None` where the class is none of these.
    pub(super) fn read(class: &str, config: &mut Fields, version: KerasVersion) -> Result<Option<Self>> {
        Ok(Some(match class {
            "Add" => Self::Combine(Binary::Add),
            "Subtract" => Self::Combine(Binary::Subtract),
            "Multiply" => Self::Combine(Binary::Multiply),
            "Maximum" => Self::Combine(Binary::Maximum),
            "Minimum" => Self::Combine(Binary::Minimum),
            "Average" => Self::Average,
            "Concatenate" => Self::Concatenate { axis: config.axes("axis")?.unwrap_or_else(Axes::last) },
            "Dot" => {
                let axes = config.take("axes");
                // The same epsilons as in UnitNormalization and in `keras.utils.normalize`.
                let epsilon = if version < KerasVersion::THREE { 1e-12 } else { 1e-14 };
                let normalize = config.flag("normalize")?.unwrap_or(false).then_some(epsilon);
                Self::Dot { axes: dot_axes(config.required("axes", axes)?)?, normalize }
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn expand(&self, composer: &mut Composer, inputs: Vec<Wire>) -> Result<Wire> {
        let all: Vec<&Wire> = inputs.iter().collect();
        match self {
            Self::Combine(op) if !op.takes_many() && all.len() != 2 => Err(two(&all)),
            Self::Combine(op) => composer.apply(LayerKind::Combine(*op), &all),
            Self::Average => composer.apply(LayerKind::Average, &all),
            Self::Concatenate { axis } => {
                let rank = all.first().map_or(0, |first| first.shape.len());
                composer.apply(LayerKind::Concatenate { axis: axis.one_of_sample(rank)? }, &all)
            }
            Self::Dot { axes: [a, b], normalize } => match inputs.as_slice() {
                [x, y] => dot(composer, [(x, a), (y, b)], *normalize),
                _ => Err(two(&all)),
            },
        }
    }

    pub(super) fn masking(&self) -> Masking {
        match self {
            // Keras 3 leaves masked values out of maxima and minima.
            Self::Combine(Binary::Maximum | Binary::Minimum) => Masking::Uses,
            Self::Dot { .. } => Masking::Drops,
            _ => Masking::Passes,
        }
    }
}

fn two(inputs: &[&Wire]) -> Error {
    Error::format(format!("takes two inputs, {} given", inputs.len()))
}

/// One axis for both inputs, or one for each.
fn dot_axes(axes: Json) -> Result<[Axes; 2]> {
    let each = match &axes {
        Json::Array(axes) => axes.iter().map(Axes::read).collect::<Option<Vec<_>>>(),
        axis => Axes::read(axis).map(|axis| vec![axis.clone(), axis]),
    };
    let axes = each.and_then(|axes| <[Axes; 2]>::try_from(axes).ok());
    axes.ok_or_else(|| Error::format("Dot: 'axes' is neither an axis nor two of them"))
}

/// Both inputs as matrices, so that it is a product of matrices.
fn dot(composer: &mut Composer, [x, y]: [(&Wire, &Axes); 2], normalize: Option<f32>) -> Result<Wire> {
    let mut left = Vec::new();
    let mut matrix = |(value, axis): (&Wire, &Axes)| {
        let axis = axis.one_of_sample(value.shape.len())?;
        let (mut value, _) = composer.move_last(value.clone(), &[axis])?;
        if let Some(epsilon) = normalize {
            value = composer.rowwise(Rowwise::UnitNormalize { epsilon }, &value)?;
        }
        let Some((&length, others)) = value.shape.split_last() else {
            return Err(Error::shape("Dot takes inputs with an axis besides the batch"));
        };
        let rows = element_count(others)?;
        left.extend(others);
        composer.reshape(value, vec![rows, length])
    };
    let (x, y) = (matrix(x)?, matrix(y)?);
    let y = composer.permute(y, vec![1, 0])?;
    let product = composer.apply(LayerKind::MatMul, &[&x, &y])?;
    // The product of two vectors is a vector of one.
    let shape = if left.is_empty() { vec![1] } else { left };
    composer.reshape(product, shape)
}
