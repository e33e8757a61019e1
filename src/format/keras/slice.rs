//! `x[:, 1:3]`, which Keras 3 records as a layer of a functional model.

use super::{
    compose::{Composer, Wire},
    fields::brief,
};
use crate::{Error, LayerKind, Result, format::json::Value as Json};

/// Positions of an axis that a slice is taken from: what it takes in memory is not bounded by the file.
const MOST_POSITIONS: i64 = 1 << 20;

/// `x[:, 1:3]`, `x[:, -1]`: the batch whole, and slices or positions of the other axes.
pub(super) fn get_item(composer: &mut Composer, input: Wire, items: &Json) -> Result<Wire> {
    let unsupported =
        || Error::unsupported(format!("x[{}] is not supported, only slices and positions", brief(items)));
    let items = match items {
        Json::Array(items) => items.as_slice(),
        item => std::slice::from_ref(item),
    };
    let Some((batch, items)) = items.split_first() else { return Err(unsupported()) };
    let bounds = slice(batch).ok_or_else(unsupported)?;
    if bounds != [None; 3] {
        return Err(Error::unsupported("selects samples of the batch"));
    }
    let (mut value, mut left) = (input, Vec::new());
    for axis in 0..value.shape.len().max(items.len()) {
        let Some(&length) = value.shape.get(axis) else {
            return Err(Error::shape(format!("selects along axis {}", axis + 1)));
        };
        let indices = match items.get(axis) {
            None => {
                left.push(length);
                continue;
            }
            Some(at @ Json::Number(_)) => {
                let at = at.as_i64().and_then(|at| from_end(at, length));
                vec![at.ok_or_else(unsupported)?]
            }
            Some(item) => {
                let indices = slice(item).and_then(|bounds| selected(bounds, length));
                let indices = indices.ok_or_else(unsupported)?;
                left.push(indices.len());
                indices
            }
        };
        if !indices.iter().copied().eq(0..length) {
            value = composer.apply(LayerKind::Gather { axis, indices }, &[&value])?;
        }
    }
    composer.reshape(value, left)
}

/// `{"class_name": "__slice__", "config": {"start": …, "stop": …, "step": …}}`
fn slice(item: &Json) -> Option<[Option<i64>; 3]> {
    if item.get("class_name")? != "__slice__" {
        return None;
    }
    let bound = |key| match item.get("config")?.get(key)? {
        Json::Null => Some(None),
        number => number.as_i64().map(Some),
    };
    Some([bound("start")?, bound("stop")?, bound("step")?])
}

/// The positions that a slice selects, as in Python; `None` for none, and for more than there may be.
fn selected([start, stop, step]: [Option<i64>; 3], length: usize) -> Option<Vec<usize>> {
    let step = step.unwrap_or(1);
    let end = i64::try_from(length).ok().filter(|&end| end <= MOST_POSITIONS)?;
    let bound = |bound: Option<i64>, default: i64| {
        let bound = bound.map_or(default, |bound| if bound < 0 { bound.saturating_add(end) } else { bound });
        // Behind the last one, and backwards before the first.
        if step > 0 { bound.clamp(0, end) } else { bound.clamp(-1, end - 1) }
    };
    let default = if step > 0 { (0, end) } else { (end - 1, -1 - end) };
    let (mut at, stop) = (bound(start, default.0), bound(stop, default.1));
    let mut indices = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        indices.push(usize::try_from(at).ok()?);
        at = at.checked_add(step)?;
    }
    Some(indices).filter(|indices| !indices.is_empty())
}

fn from_end(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add_unsigned(length as u64)? } else { at };
    usize::try_from(at).ok().filter(|&at| at < length)
}
