//! Axes as Keras counts them: the batch is 0, and negative ones count from the end.

use crate::format::json::Value;
use crate::{Error, Result};

/// One axis or several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axes(Vec<i64>);

impl Axes {
    /// The last axis.
    pub(super) fn last() -> Self {
        Self(vec![-1])
    }

    /// No axis.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Array(axes) => axes.iter().map(Value::as_i64).collect::<Option<_>>().map(Self),
            axis => axis.as_i64().map(|axis| Self(vec![axis])),
        }
    }

    /// Those of a sample, as Keras 3 orders them before it makes weights: negative ones first.
    pub(super) fn of_sample_sorted(&self, rank: usize) -> Result<Vec<usize>> {
        // Of which none is out of these bounds, or there twice.
        self.of_sample(rank)?;
        let most = rank as i64 + 1;
        Self((-most..most).filter(|axis| self.0.contains(axis)).collect()).of_sample(rank)
    }

    /// The axes of a sample in ascending order.
    pub(super) fn ascending(&self, rank: usize) -> Result<Vec<usize>> {
        let axes = self.of_sample(rank)?;
        Ok((0..rank).filter(|axis| axes.contains(axis)).collect())
    }

    /// The axes of a sample with so many axes, 0 the one behind the batch, in the same order.
    pub(super) fn of_sample(&self, rank: usize) -> Result<Vec<usize>> {
        let mut found = Vec::with_capacity(self.0.len());
        for &axis in &self.0 {
            // The batch is an axis, too.
            let from_start = if axis < 0 { axis.checked_add_unsigned(rank as u64 + 1) } else { Some(axis) };
            let axis_of_batch = from_start.and_then(|axis| usize::try_from(axis).ok());
            let sample = match axis_of_batch {
                Some(0) => {
                    return Err(Error::unsupported(format!(
                        "axis {axis} is the batch: samples would depend on each other"
                    )));
                }
                Some(axis) if axis <= rank => axis - 1,
                _ => return Err(Error::shape(format!("axis {axis} of an input with {} axes", rank + 1))),
            };
            if found.contains(&sample) {
                return Err(Error::format(format!("axis {axis} is listed twice")));
            }
            found.push(sample);
        }
        Ok(found)
    }

    /// The only axis, of a sample with so many.
    pub(super) fn one_of_sample(&self, rank: usize) -> Result<usize> {
        match self.of_sample(rank)?.as_slice() {
            &[axis] => Ok(axis),
            axes => Err(Error::unsupported(format!("{} axes, where one is needed", axes.len()))),
        }
    }
}
