//! Computes with constants, so that a model's layers are only what depends on its input.

use super::value::{Constant, Data, Size};
use crate::{
    Binary, Elementwise, Error, Result, Rowwise,
    layer::broadcast,
    tensor::{element_count, reserve},
};

/// The places of an axis that values are taken from.
#[derive(Clone, Copy)]
struct Places<'a> {
    length: usize,
    /// How far apart they are.
    step: usize,
    /// Which they are, if not all in order.
    chosen: Option<&'a [usize]>,
}

/// Positions, row-major, of the values at these places.
fn positions(axes: &[Places]) -> Result<Vec<usize>> {
    // Where an axis has no length, the others may have any.
    if axes.iter().any(|axis| axis.length == 0) {
        return Ok(Vec::new());
    }
    let mut positions = vec![0usize];
    for axis in axes {
        let mut next = reserve(positions.len().saturating_mul(axis.length))?;
        for &start in &positions {
            for i in 0..axis.length {
                let place = axis.chosen.and_then(|chosen| chosen.get(i)).copied().unwrap_or(i);
                // Positions of values that exist, so no sum overflows.
                next.push(start.wrapping_add(place.wrapping_mul(axis.step)));
            }
        }
        positions = next;
    }
    Ok(positions)
}

impl Constant {
    /// The places of all values, axis by axis.
    fn places(&self) -> Vec<Places<'static>> {
        let mut places = Vec::with_capacity(self.shape.len());
        let mut step = 1usize;
        for &length in self.shape.iter().rev() {
            places.push(Places { length, step, chosen: None });
            step = step.wrapping_mul(length);
        }
        places.reverse();
        places
    }

    /// The values at these places.
    fn at(&self, places: &[Places]) -> Result<Self> {
        let shape = places.iter().map(|axis| axis.length).collect();
        Ok(Self::new(shape, self.data.pick(&positions(places)?)))
    }

    pub fn permute(&self, axes: &[usize]) -> Result<Self> {
        let own = self.places();
        let mut places = Vec::with_capacity(own.len());
        for &axis in axes {
            let Some(axis) = own.get(axis) else {
                return Err(Error::shape(format!("{axes:?} are no axes of {} axes", own.len())));
            };
            places.push(*axis);
        }
        self.at(&places)
    }

    /// Chosen positions of an axis.
    pub fn gather(&self, axis: usize, indices: &[usize]) -> Result<Self> {
        let mut places = self.places();
        let Some(place) = places.get_mut(axis) else {
            return Err(Error::shape(format!("{:?} has no axis {axis}", self.shape)));
        };
        if let Some(index) = indices.iter().find(|&&index| index >= place.length) {
            return Err(Error::shape(format!("position {index} of an axis of length {}", place.length)));
        }
        *place = Places { length: indices.len(), chosen: Some(indices), ..*place };
        self.at(&places)
    }

    /// The same values along new axes in front, and along those of length 1.
    pub fn expand(&self, shape: &[usize]) -> Result<Self> {
        if broadcast(&self.shape, shape).as_deref() != Some(shape) {
            return Err(Error::shape(format!("{:?} cannot be expanded to {shape:?}", self.shape)));
        }
        let own = self.places();
        let mut places = Vec::with_capacity(shape.len());
        for (i, &length) in shape.iter().enumerate() {
            let own = (i + own.len()).checked_sub(shape.len()).and_then(|i| own.get(i));
            let step = own.map_or(0, |own| if own.length == 1 { 0 } else { own.step });
            places.push(Places { length, step, chosen: None });
        }
        self.at(&places)
    }

    /// Tensors of one rank, one after the other along an axis.
    pub fn concatenate(all: &[&Self], axis: usize) -> Result<Self> {
        let mut shape = all.first().map(|first| first.shape.clone()).unwrap_or_default();
        let mut parts = Vec::with_capacity(all.len());
        // Rows are runs of values that stay together.
        let mut runs = Vec::with_capacity(all.len());
        for part in all {
            parts.push(&part.data);
            runs.push((element_count(part.shape.get(axis..).unwrap_or_default())?, part.data.len()));
        }
        let data = Data::join(&parts)?;
        let mut length = 0usize;
        for part in all {
            let same = part.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
            match part.shape.get(axis) {
                Some(own) if same && part.shape.len() == shape.len() => length = length.wrapping_add(*own),
                _ => return Err(Error::shape(format!("shapes that cannot be joined along axis {axis}"))),
            }
        }
        let rows = if data.len() == 0 { 0 } else { element_count(shape.get(..axis).unwrap_or_default())? };
        let mut order = reserve(data.len())?;
        for row in 0..rows {
            let mut start = 0;
            for (run, count) in &runs {
                order.extend((row * run..(row + 1) * run).map(|i| start + i));
                start += count;
            }
        }
        if let Some(axis) = shape.get_mut(axis) {
            *axis = length;
        }
        Ok(Self::new(shape, data.pick(&order)))
    }

    pub fn unary(&self, function: Elementwise) -> Result<Self> {
        let data = match &self.data {
            Data::Ints(values) => {
                let mut ints = reserve(values.len())?;
                for &x in values {
                    let int = match function {
                        Elementwise::Linear | Elementwise::Truncate => Some(x),
                        Elementwise::Negative => x.checked_neg(),
                        Elementwise::Absolute => x.checked_abs(),
                        Elementwise::Sign => Some(x.signum()),
                        Elementwise::Not => Some((x == 0).into()),
                        _ => None,
                    };
                    ints.push(int.ok_or_else(|| Error::unsupported("computes with constant whole numbers"))?);
                }
                Data::Ints(ints)
            }
            Data::Floats(values) => Data::of_floats(values.iter().map(|&x| function.value(x)).collect()),
            other => Data::Floats(other.floats()?),
        };
        Ok(Self::new(self.shape.clone(), data))
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
            Rowwise::Sum => Some(Binary::Add),
            Rowwise::Product => Some(Binary::Multiply),
            Rowwise::Max => Some(Binary::Maximum),
            Rowwise::Min => Some(Binary::Minimum),
            _ => None,
        };
        if let (Some(sizes), Some(join)) = (self.data.sizes(), join) {
            let mut totals = Vec::new();
            for row in sizes.chunks(width) {
                totals.push(total(join, row).ok_or_else(of_batch)?);
            }
            return Ok(Self::new(shape, Data::of_sizes(totals)));
        }
        let floats = self.data.floats()?;
        let mut out = reserve(element_count(&shape)?)?;
        for row in floats.chunks(width) {
            let start = out.len();
            out.resize(start + new_width, 0.0);
            function.value(row, out.get_mut(start..).unwrap_or_default());
        }
        Ok(Self::new(shape, Data::of_floats(out)))
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
        let data = match self.data {
            Data::Ints(_) | Data::Sizes(_) => Data::Ints(vec![neutral as i64]),
            _ => Data::of_floats(vec![neutral]),
        };
        Ok(Self::new([outer, &[1]].concat(), data))
    }

    /// A function of two constants; of whole numbers as ONNX defines it for those.
    pub fn binary(function: Binary, a: &Self, b: &Self) -> Result<Self> {
        let Some(shape) = broadcast(&a.shape, &b.shape) else {
            let message = format!("shapes {:?} and {:?} do not go together", a.shape, b.shape);
            return Err(Error::shape(message));
        };
        let (a, b) = (a.expand(&shape)?.data, b.expand(&shape)?.data);
        let data = if let (Some(a), Some(b)) = (a.sizes(), b.sizes()) {
            let mut results = Vec::with_capacity(a.len());
            for (&a, &b) in a.iter().zip(&b) {
                results.push(integer(function, a, b).ok_or_else(of_batch)?);
            }
            Data::of_sizes(results)
        } else {
            let (a, b) = (a.floats()?, b.floats()?);
            Data::of_floats(a.iter().zip(&*b).map(|(&a, &b)| function.value(a, b)).collect())
        };
        Ok(Self::new(shape, data))
    }
}

fn of_batch() -> Error {
    Error::unsupported("computes with the batch size, or beyond 64 bits")
}

/// All numbers of a row joined.
fn total(join: Binary, row: &[Size]) -> Option<Size> {
    let (first, rest) = row.split_first()?;
    let mut total = *first;
    for size in rest {
        total = integer(join, total, *size)?;
    }
    Some(total)
}

/// A function of two whole numbers, if it has a value whatever the batch size (which is at least 1).
fn integer(function: Binary, a: Size, b: Size) -> Option<Size> {
    if a.of_batch || b.of_batch {
        return multiple(function, a, b);
    }
    let (a, b) = (a.number, b.number);
    let truth = match function {
        Binary::Less => a < b,
        Binary::LessEqual => a <= b,
        Binary::Greater => a > b,
        Binary::GreaterEqual => a >= b,
        Binary::Equal => a == b,
        Binary::And => a != 0 && b != 0,
        Binary::Or => a != 0 || b != 0,
        Binary::Xor => (a != 0) != (b != 0),
        _ => {
            return Some(Size::known(match function {
                Binary::Add => a.checked_add(b)?,
                Binary::Subtract => a.checked_sub(b)?,
                Binary::Multiply => a.checked_mul(b)?,
                Binary::Divide => a.checked_div(b)?,
                Binary::Power => a.checked_pow(u32::try_from(b).ok()?)?,
                Binary::Maximum => a.max(b),
                Binary::Minimum => a.min(b),
                _ => return None,
            }));
        }
    };
    Some(Size::known(truth.into()))
}

/// [`integer`] where at least one is a multiple of the batch size.
fn multiple(function: Binary, a: Size, b: Size) -> Option<Size> {
    // The batch size is unknown, but a multiple of it is no number below 1.
    let (factor, number) = if a.of_batch { (a.number, b.number) } else { (b.number, a.number) };
    let sure = a.of_batch != b.of_batch && factor > 0 && number < 1;
    match function {
        Binary::Multiply if a.of_batch != b.of_batch => Some(Size::batch(a.number.checked_mul(b.number)?)),
        Binary::Divide if a.of_batch && a.number.checked_rem(b.number)? == 0 => {
            Some(Size { number: a.number.checked_div(b.number)?, of_batch: !b.of_batch })
        }
        Binary::Add if a.of_batch && b.of_batch => Some(Size::batch(a.number.checked_add(b.number)?)),
        Binary::Equal if a == b => Some(Size::known(1)),
        Binary::Equal if sure => Some(Size::known(0)),
        Binary::Maximum if sure => Some(if a.of_batch { a } else { b }),
        Binary::Maximum | Binary::Minimum if a == b => Some(a),
        _ => None,
    }
}
