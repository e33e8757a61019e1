//! Shapes, and operators that change them.

use super::{Call, arithmetic::as_batched};
use crate::{
    Error, LayerKind, Result,
    format::onnx::{
        graph::{Graph, across_batch, normalized},
        tensor::MAX_RANK,
        value::{Batch, Data, Kind, Size, Value},
    },
    tensor::{element_count, reserve},
};

/// The shape in ONNX's axes.
fn sizes(graph: &Graph, value: &Value) -> Vec<Size> {
    let own = graph.shape(value);
    let known = |lengths: &[usize]| lengths.iter().map(|&length| Size::known(length as i64)).collect();
    let behind = |first: Size, rest: &[usize]| {
        let rest: Vec<Size> = known(rest);
        [&[first][..], &rest].concat()
    };
    match (value.batch, own) {
        (Batch::None, own) => known(own),
        (Batch::First, own) => behind(Size::batch(1), own),
        (Batch::Merged, [first, rest @ ..]) => behind(Size::batch(*first as i64), rest),
        (Batch::Merged | Batch::Second, _) => vec![Size::known(1), Size::batch(1)],
    }
}

/// The values in another shape, in ONNX's axes and with its −1 and 0.
pub(super) fn reshaped(
    graph: &mut Graph,
    value: &Value,
    wanted: &[Size],
    zero_is_zero: bool,
) -> Result<Value> {
    let old = sizes(graph, value);
    let mut wanted = wanted.to_vec();
    if !zero_is_zero {
        for (axis, size) in wanted.iter_mut().enumerate().filter(|(_, size)| **size == Size::known(0)) {
            let kept = old.get(axis).copied();
            *size = kept.ok_or_else(|| Error::shape(format!("keeps axis {axis} of {} axes", old.len())))?;
        }
    }
    let batched = value.batch != Batch::None;
    // A sample's lengths: the factor of the batch size, then the rest.
    let mut lengths = Vec::with_capacity(wanted.len());
    for (axis, size) in wanted.iter().enumerate() {
        let single = graph.single && size.number == 1;
        if batched && axis == 0 {
            let factor = if size.of_batch || single || size.number == -1 { size.number } else { 0 };
            lengths.push(usize::try_from(factor).ok().filter(|&factor| factor > 0));
            if factor == 0 {
                return Err(across_batch());
            }
        } else if size.of_batch {
            return Err(across_batch());
        } else {
            match (size.number, usize::try_from(size.number)) {
                (-1, _) => lengths.push(None),
                (_, Ok(length)) => lengths.push(Some(length)),
                _ => return Err(Error::shape("a negative length")),
            }
        }
    }
    if batched && lengths.is_empty() {
        return Err(across_batch());
    }
    let count = element_count(graph.shape(value))?;
    let known: Vec<usize> = lengths.iter().flatten().copied().collect();
    let open = lengths.len() - known.len();
    let rest = count.checked_div(element_count(&known)?).unwrap_or(0);
    let shape: Vec<usize> = lengths.iter().map(|length| length.unwrap_or(rest)).collect();
    if batched && open < 2 && element_count(&shape)? != count {
        // It would take values of other samples.
        return Err(across_batch());
    }
    if open > 1 || element_count(&shape)? != count {
        return Err(Error::shape(format!("{:?} cannot be reshaped to {known:?}", graph.shape(value))));
    }
    match (batched, shape.split_first()) {
        (true, Some((1, rest))) => Ok(graph.reshape(value, rest)?.with_batch(Batch::First)),
        (true, _) => Ok(graph.reshape(value, &shape)?.with_batch(Batch::Merged)),
        (false, _) => graph.reshape(value, &shape),
    }
}

pub(super) fn reshape(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let zero_is_zero = call.attributes.flag("allowzero")?;
    let wanted = call.input(1)?.sizes("the shape")?;
    reshaped(graph, &value, &wanted, zero_is_zero)
}

/// Two axes: the lengths before `axis` multiplied, and those from it on.
pub(super) fn flatten(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let rank = graph.rank(&value);
    let axis = call.attributes.int("axis")?.unwrap_or(1);
    // The axis may be the rank itself.
    let axis = if axis == rank as i64 { rank } else { normalized(axis, rank)? };
    if value.batch == Batch::First && axis == 1 && graph.shape(&value).len() > 1 && value.known().is_none() {
        return graph.apply(LayerKind::Flatten, &value);
    }
    let wanted = match axis {
        0 => [Size::known(1), Size::known(-1)],
        _ => {
            let front = sizes(graph, &value).iter().take(axis).try_fold(Size::known(1), |product, size| {
                let number = product.number.checked_mul(size.number)?;
                Some(Size { number, of_batch: product.of_batch || size.of_batch })
            });
            [front.ok_or_else(across_batch)?, Size::known(-1)]
        }
    };
    reshaped(graph, &value, &wanted, true)
}

pub(super) fn squeeze(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let shape = graph.shape(&value).to_vec();
    let Some(axes) = call.ints("axes", 1)? else {
        if graph.single && value.batch != Batch::None {
            return Err(across_batch());
        }
        let kept: Vec<usize> = shape.iter().copied().filter(|&length| length != 1).collect();
        return graph.reshape(&value, &kept);
    };
    if value.batch == Batch::Second && axes == [0] {
        return Ok(value.with_batch(Batch::First));
    }
    let axes: Vec<usize> = axes.iter().map(|&axis| graph.axis(&value, axis)).collect::<Result<_>>()?;
    if let Some(axis) = axes.iter().find(|&&axis| shape.get(axis) != Some(&1)) {
        return Err(Error::shape(format!("axis {axis} of {shape:?} is not of length 1")));
    }
    let kept: Vec<usize> = shape
        .iter()
        .enumerate()
        .filter(|(axis, _)| !axes.contains(axis))
        .map(|(_, &length)| length)
        .collect();
    graph.reshape(&value, &kept)
}

pub(super) fn unsqueeze(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let axes = call.ints("axes", 1)?.ok_or_else(|| Error::format("no axes are given"))?;
    let mut old = sizes(graph, &value).into_iter();
    let rank = old.len() + axes.len();
    if rank > MAX_RANK {
        return Err(Error::shape("more than 32 axes"));
    }
    let axes: Vec<usize> = axes.iter().map(|&axis| normalized(axis, rank)).collect::<Result<_>>()?;
    let mut wanted = Vec::new();
    for axis in 0..rank {
        wanted.push(if axes.contains(&axis) { Some(Size::known(1)) } else { old.next() });
    }
    let wanted: Option<Vec<Size>> = wanted.into_iter().collect();
    let wanted = wanted.filter(|_| old.next().is_none());
    let wanted = wanted.ok_or_else(|| Error::format("an axis is given twice"))?;
    if axes.contains(&0) && value.batch != Batch::None {
        return Err(across_batch());
    }
    reshaped(graph, &value, &wanted, true)
}

pub(super) fn transpose(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let rank = graph.rank(&value);
    let axes = call.attributes.ints("perm")?;
    let axes = axes.unwrap_or_else(|| (0..rank as i64).rev().collect());
    if axes.len() != rank {
        return Err(Error::shape(format!("an order of {} axes for {rank}", axes.len())));
    }
    match (value.batch, axes.as_slice()) {
        (Batch::None, _) => {}
        (Batch::Second, [1, 0]) => {
            return Ok(graph.reshape(&value, &[1])?.with_batch(Batch::First));
        }
        (_, [0, ..]) => {}
        _ => return Err(across_batch()),
    }
    let skipped = usize::from(value.batch != Batch::None);
    let rest = axes.iter().skip(skipped).map(|&axis| graph.axis(&value, axis));
    let merged = (value.batch == Batch::Merged).then_some(Ok(0));
    let axes: Vec<usize> = merged.into_iter().chain(rest).collect::<Result<_>>()?;
    graph.permute(&value, &axes)
}

/// Broadcasts to a shape.
pub(super) fn expand(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let wanted = call.input(1)?.sizes("the shape")?;
    let rank = graph.rank(&value);
    let [first, rest @ ..] = wanted.as_slice() else { return Ok(value) };
    let lengths = |sizes: &[Size]| -> Result<Vec<usize>> {
        let length = |size: &Size| usize::try_from(size.number).ok().filter(|_| !size.of_batch);
        sizes.iter().map(length).collect::<Option<_>>().ok_or_else(across_batch)
    };
    if value.batch == Batch::None && first.of_batch {
        // The same for every sample of a batch: nothing may lie in front of its axis.
        let own = graph.shape(&value).to_vec();
        let inner = match own.as_slice() {
            [1, inner @ ..] if rank == wanted.len() => inner,
            own if rank < wanted.len() => own,
            _ => return Err(across_batch()),
        };
        let (inner, one) = (graph.reshape(&value, inner)?, first.number == 1);
        let shape =
            if one { lengths(rest)? } else { [&[first.number as usize][..], &lengths(rest)?].concat() };
        let expanded = graph.expand(&inner, &shape)?;
        return as_batched(graph, &expanded, if one { Batch::First } else { Batch::Merged });
    }
    let own = graph.shape(&value).to_vec();
    let target = match value.batch {
        Batch::None => lengths(&wanted)?,
        _ if wanted.len() > rank => return Err(across_batch()),
        // The batch axis is not among those given, or stays as it is.
        Batch::First if wanted.len() < rank => lengths(&wanted)?,
        Batch::First if *first == Size::batch(1) || *first == Size::known(1) => lengths(rest)?,
        _ => return Err(across_batch()),
    };
    let shape = crate::layer::broadcast(&own, &target);
    let shape = shape.ok_or_else(|| Error::shape(format!("{own:?} cannot be expanded to {target:?}")))?;
    graph.expand(&value, &shape)
}

/// Repeats whole axes.
pub(super) fn tile(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let repeats = call.input(1)?.ints("the repeats")?.to_vec();
    if repeats.len() != graph.rank(&value) {
        return Err(Error::shape("as many repeats as axes are needed"));
    }
    let mut result = value;
    for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        let axis = graph.axis(&result, axis as i64)?;
        let length = graph.shape(&result).get(axis).copied().unwrap_or(1);
        let total = usize::try_from(count).ok().and_then(|count| length.checked_mul(count));
        let total = total.ok_or_else(|| Error::shape("a negative repeat, or too many"))?;
        graph.spend(total)?;
        result = graph.gather(&result, axis, (0..total).map(|i| i % length.max(1)).collect())?;
    }
    Ok(result)
}

/// The shape as a tensor.
pub(super) fn shape(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let sizes = sizes(graph, &value);
    let rank = sizes.len() as i64;
    let bound =
        |bound: i64| if bound < 0 { bound.saturating_add(rank) } else { bound }.clamp(0, rank) as usize;
    let start = bound(call.attributes.int("start")?.unwrap_or(0));
    let end = bound(call.attributes.int("end")?.unwrap_or(rank));
    let part = sizes.get(start..end).unwrap_or_default();
    Ok(Value::constant(vec![part.len()], Data::of_sizes(part.to_vec())))
}

/// The number of values.
pub(super) fn size(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let number = element_count(graph.shape(&value))? as i64;
    let size = Size { number, of_batch: value.batch != Batch::None };
    Ok(Value::constant(vec![], Data::of_sizes(vec![size])))
}

pub(super) fn constant_of_shape(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.attributes.tensor("value")?.unwrap_or_else(|| Value::floats(vec![0.0]));
    let wanted = call.input(0)?.sizes("the shape")?;
    let (first, rest) = match wanted.split_first() {
        Some((first, rest)) if first.of_batch => (Some(*first), rest),
        _ => (None, wanted.as_slice()),
    };
    let mut shape = Vec::with_capacity(wanted.len());
    for size in rest {
        let length = usize::try_from(size.number).ok().filter(|_| !size.of_batch);
        shape.push(length.ok_or_else(across_batch)?);
    }
    let batch = match first {
        None => Batch::None,
        Some(Size { number: 1, .. }) => Batch::First,
        Some(Size { number, .. }) => {
            shape.insert(0, usize::try_from(number).map_err(|_| Error::shape("a negative length"))?);
            Batch::Merged
        }
    };
    let count = element_count(&shape)?;
    graph.spend(count)?;
    let constant = value.required("the value")?;
    let data = constant.data.pick(&vec![0; count]);
    let filled = Value::constant(shape, data).of_kind(value.kind);
    as_batched(graph, &filled, batch)
}

/// Numbers from the first input to below the second, by the third.
pub(super) fn range(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    call.attributes.int("stash_type")?;
    let [start, limit, delta] = [call.input(0)?, call.input(1)?, call.input(2)?];
    if start.kind == Kind::Int {
        let (start, limit, delta) =
            (start.int("the start")?, limit.int("the limit")?, delta.int("the step")?);
        let length = limit.checked_sub(start).and_then(|span| {
            let rounded = span.checked_add(delta.checked_sub(delta.signum())?)?;
            usize::try_from(rounded.checked_div(delta)?.max(0)).ok()
        });
        let length = length.ok_or_else(|| Error::shape("a range without an end"))?;
        graph.spend(length)?;
        let number = |i: usize| start.wrapping_add((i as i64).wrapping_mul(delta));
        return Ok(Value::constant(vec![length], Data::Ints((0..length).map(number).collect())));
    }
    let [start, limit, delta] =
        [start.number("the start")?, limit.number("the limit")?, delta.number("the step")?];
    let length = ((limit - start) / delta).ceil().max(0.0);
    if !length.is_finite() {
        return Err(Error::shape("a range without an end"));
    }
    let length = length as usize;
    graph.spend(length)?;
    let mut floats = reserve(length)?;
    floats.extend((0..length).map(|i| start + i as f32 * delta));
    Ok(Value::floats(floats))
}
