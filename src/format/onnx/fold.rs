//! Computes with constants, so that a model's layers are only what depends on its input.

use super::value::{Constant, Data, Size};
use crate::{Binary, Elementwise, Error, Result, Rowwise, layer::broadcast, tensor::element_count};

/// Positions, row-major, of the values of a tensor of this shape that lie `steps` apart along its axes.
pub(super) fn positions(shape: &[usize], steps: &[usize]) -> Result<Vec<usize>> {
    // Where an axis has no length, the others may have any.
    if element_count(shape)? == 0 {
        return Ok(Vec::new());
    }
    let mut positions = vec![0usize];
    for (&length, &step) in shape.iter().zip(steps) {
        let mut next = crate::tensor::reserve(positions.len().saturating_mul(length))?;
        for &start in &positions {
            // Positions of values that exist, so no sum overflows.
            next.extend((0..length).map(|i| start.wrapping_add(i.wrapping_mul(step))));
        }
        positions = next;
    }
    Ok(positions)
}

/// How far apart the values of a tensor lie along each axis.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        let step =
            strides.get(axis).zip(shape.get(axis)).map_or(0, |(step, length)| step.wrapping_mul(*length));
        if let Some(stride) = strides.get_mut(axis - 1) {
            *stride = step;
        }
    }
    strides
}

impl Constant {
    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        let old = strides(&self.shape);
        let shape = chosen(&self.shape, axes)?;
        let data = self.data.pick(&positions(&shape, &chosen(&old, axes)?)?);
        Ok(Self { shape, data })
    }

    /// Chosen positions of an axis.
    pub fn gather(&self, axis: usize, indices: &[usize]) -> Result<Self> {
        let Some(&length) = self.shape.get(axis) else {
            return Err(Error::shape(format!("{:?} has no axis {axis}", self.shape)));
        };
        if let Some(index) = indices.iter().find(|&&index| index >= length) {
            return Err(Error::shape(format!("position {index} of an axis of length {length}")));
        }
        let mut shape = self.shape.clone();
        if self.data.len() == 0 {
            shape[axis] = indices.len();
            return Ok(Self { shape, data: self.data.clone() });
        }
        let step = strides(&shape).get(axis).copied().unwrap_or(1);
        let rows = positions(&shape[..axis], &strides(&self.shape)[..axis])?;
        let inner = positions(&shape[axis + 1..], &strides(&self.shape)[axis + 1..])?;
        let mut all =
            crate::tensor::reserve(rows.len().saturating_mul(indices.len()).saturating_mul(inner.len()))?;
        for row in &rows {
            for index in indices {
                all.extend(inner.iter().map(|i| row + index * step + i));
            }
        }
        shape[axis] = indices.len();
        Ok(Self { shape, data: self.data.pick(&all) })
    }

    /// The same values along new axes in front, and along those of length 1.
    pub fn expand(&self, shape: &[usize]) -> Result<Self> {
        if broadcast(&self.shape, shape).as_deref() != Some(shape) {
            return Err(Error::shape(format!("{:?} cannot be expanded to {shape:?}", self.shape)));
        }
        let mut steps = vec![0; shape.len() - self.shape.len()];
        let own = self.shape.iter().zip(strides(&self.shape));
        steps.extend(own.map(|(&length, step)| if length == 1 { 0 } else { step }));
        Ok(Self { shape: shape.to_vec(), data: self.data.pick(&positions(shape, &steps)?) })
    }

    /// Tensors of one rank, one after the other along an axis.
    pub fn concatenate(all: &[&Self], axis: usize) -> Result<Self> {
        let parts: Vec<&Data> = all.iter().map(|part| &part.data).collect();
        let data = Data::join(&parts)?;
        // Rows are runs of values that stay together.
        let run = |part: &&Self| element_count(part.shape.get(axis..).unwrap_or_default());
        let runs: Vec<usize> = all.iter().map(run).collect::<Result<_>>()?;
        let mut shape = all.first().map(|first| first.shape.clone()).unwrap_or_default();
        let fits = |part: &&Self| {
            let same = part.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
            same && part.shape.len() == shape.len() && axis < shape.len()
        };
        if !all.iter().all(fits) {
            return Err(Error::shape(format!("shapes that cannot be joined along axis {axis}")));
        }
        let rows = if data.len() == 0 { 0 } else { element_count(&shape[..axis])? };
        let mut order = crate::tensor::reserve(data.len())?;
        for row in 0..rows {
            let mut start = 0;
            for (part, run) in all.iter().zip(&runs) {
                order.extend((row * run..(row + 1) * run).map(|i| start + i));
                start += part.data.len();
            }
        }
        shape[axis] = all.iter().map(|part| part.shape[axis]).sum();
        Ok(Self { shape, data: data.pick(&order) })
    }

    pub fn unary(&self, function: Elementwise) -> Result<Self> {
        let data = match &self.data {
            Data::Floats(values) => Data::Floats(values.iter().map(|&x| function.value(x)).collect()),
            Data::Ints(values) => {
                let int = |&x: &i64| match function {
                    Elementwise::Linear | Elementwise::Truncate => Some(x),
                    Elementwise::Negative => x.checked_neg(),
                    Elementwise::Absolute => x.checked_abs(),
                    Elementwise::Sign => Some(x.signum()),
                    Elementwise::Not => Some((x == 0).into()),
                    _ => None,
                };
                let ints: Option<_> = values.iter().map(int).collect();
                Data::Ints(ints.ok_or_else(|| Error::unsupported("computes with constant whole numbers"))?)
            }
            other => Data::Floats(other.floats()?),
        };
        Ok(Self { shape: self.shape.clone(), data })
    }

    /// A function of each row; the axis stays, as with the layer.
    pub fn rowwise(&self, function: Rowwise) -> Result<Self> {
        let Some((&width, outer)) = self.shape.split_last() else {
            return Err(Error::shape(format!("{} needs an axis", function.name())));
        };
        if width == 0 {
            return self.without_values(function, outer);
        }
        let new_width = function.output_width(width).unwrap_or(0);
        let shape = [outer, &[new_width]].concat();
        let join = match function {
            Rowwise::Sum => Binary::Add,
            Rowwise::Product => Binary::Multiply,
            Rowwise::Max => Binary::Maximum,
            Rowwise::Min => Binary::Minimum,
            _ => Binary::Equal,
        };
        if let (Some(sizes), true) = (self.data.sizes(), join != Binary::Equal) {
            let total = |row: &[Size]| {
                let (first, rest) = row.split_first()?;
                rest.iter().try_fold(*first, |sum, size| integer(join, sum, *size))
            };
            let rows: Option<Vec<Size>> = sizes.chunks(width).map(total).collect();
            return Ok(Self { shape, data: Data::of_sizes(rows.ok_or_else(of_batch)?) });
        }
        let floats = self.data.floats()?;
        let mut out = crate::tensor::reserve(element_count(&shape)?)?;
        for row in floats.chunks(width) {
            let start = out.len();
            out.resize(start + new_width, 0.0);
            function.apply(row, out.get_mut(start..).unwrap_or_default());
        }
        Ok(Self { shape, data: Data::Floats(out) })
    }

    /// The sum or product of no values, of one row alone: what TensorFlow makes of the shape of a number.
    fn without_values(&self, function: Rowwise, outer: &[usize]) -> Result<Self> {
        let neutral = match function {
            Rowwise::Sum => 0.0,
            Rowwise::Product => 1.0,
            _ => return Err(Error::shape(format!("the {} of no values", function.name()))),
        };
        if element_count(outer)? != 1 {
            return Err(Error::unsupported("reduces a tensor without values"));
        }
        let data = match self.data.sizes() {
            Some(_) => Data::Ints(vec![neutral as i64]),
            None => Data::Floats(vec![neutral]),
        };
        Ok(Self { shape: [outer, &[1]].concat(), data })
    }

    /// A function of two constants; of whole numbers as ONNX defines it for those.
    pub fn binary(function: Binary, a: &Self, b: &Self) -> Result<Self> {
        let shape = broadcast(&a.shape, &b.shape);
        let shape = shape.ok_or_else(|| {
            Error::shape(format!("shapes {:?} and {:?} do not go together", a.shape, b.shape))
        })?;
        let (a, b) = (a.expand(&shape)?.data, b.expand(&shape)?.data);
        let data = match (a.sizes(), b.sizes()) {
            (Some(a), Some(b)) => {
                let results: Option<Vec<Size>> =
                    a.iter().zip(&b).map(|(a, b)| integer(function, *a, *b)).collect();
                Data::of_sizes(results.ok_or_else(of_batch)?)
            }
            _ => {
                let (a, b) = (a.floats()?, b.floats()?);
                Data::Floats(a.iter().zip(&b).map(|(&a, &b)| function.value(a, b)).collect())
            }
        };
        Ok(Self { shape, data })
    }
}

fn of_batch() -> Error {
    Error::unsupported("computes with the batch size, or beyond 64 bits")
}

/// Those of the values, one for each axis.
fn chosen(values: &[usize], axes: &[usize]) -> Result<Vec<usize>> {
    let chosen: Option<_> = axes.iter().map(|&axis| values.get(axis).copied()).collect();
    chosen.ok_or_else(|| Error::shape(format!("{axes:?} are no axes of {} axes", values.len())))
}

/// A function of two whole numbers, if it has a value whatever the batch size (which is at least 1).
fn integer(function: Binary, a: Size, b: Size) -> Option<Size> {
    let of_batch = a.of_batch || b.of_batch;
    let truth = |is: bool| Some(Size::known(is.into()));
    let (p, q) = (a.number != 0, b.number != 0);
    if of_batch {
        // The batch size is unknown, but a multiple of it is no number below 1.
        let sure = a.of_batch != b.of_batch && {
            let (multiple, number) = if a.of_batch { (a.number, b.number) } else { (b.number, a.number) };
            multiple > 0 && number < 1
        };
        return match function {
            Binary::Multiply if a.of_batch != b.of_batch => {
                Some(Size::batch(a.number.checked_mul(b.number)?))
            }
            Binary::Divide if a.of_batch && a.number.checked_rem(b.number)? == 0 => {
                Some(Size { number: a.number.checked_div(b.number)?, of_batch: !b.of_batch })
            }
            Binary::Add if a.of_batch && b.of_batch => Some(Size::batch(a.number.checked_add(b.number)?)),
            Binary::Equal if a == b => truth(true),
            Binary::Equal if sure => truth(false),
            Binary::Maximum if sure => Some(if a.of_batch { a } else { b }),
            Binary::Maximum | Binary::Minimum if a == b => Some(a),
            _ => None,
        };
    }
    let (a, b) = (a.number, b.number);
    let number = match function {
        Binary::Add => a.checked_add(b)?,
        Binary::Subtract => a.checked_sub(b)?,
        Binary::Multiply => a.checked_mul(b)?,
        Binary::Divide => a.checked_div(b)?,
        Binary::Power => a.checked_pow(u32::try_from(b).ok()?)?,
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::Less => return truth(a < b),
        Binary::LessEqual => return truth(a <= b),
        Binary::Greater => return truth(a > b),
        Binary::GreaterEqual => return truth(a >= b),
        Binary::Equal => return truth(a == b),
        Binary::And => return truth(p && q),
        Binary::Or => return truth(p || q),
        Binary::Xor => return truth(p != q),
        Binary::PRelu | Binary::Where | Binary::WhereNot => return None,
    };
    Some(Size::known(number))
}
