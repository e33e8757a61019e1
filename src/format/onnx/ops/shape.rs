//! Shapes, and operators that change them.

use crate::{
    Error, LayerKind,
    format::onnx::{
        graph::Graph,
        tensor::MAX_RANK,
        value::{Batch, Data, Failed, Kind, Outcome, Size, Value},
    },
    layer::broadcast,
    tensor::reserve,
};

/// The shape in ONNX's axes.
fn sizes(graph: &Graph, value: Value) -> Vec<Size> {
    let batch = graph.batch(value);
    let mut sizes = Vec::with_capacity(MAX_RANK);
    match batch {
        Batch::First => sizes.push(Size::batch(1)),
        Batch::Second => sizes.extend([Size::known(1), Size::batch(1)]),
        Batch::None | Batch::Merged => {}
    }
    for &length in graph.shape(value) {
        let of_batch = batch == Batch::Merged && sizes.is_empty();
        sizes.push(Size { number: length as i64, of_batch });
    }
    sizes
}

/// The lengths, none of which depends on the batch size.
fn lengths(graph: &Graph, sizes: &[Size]) -> Outcome<Vec<usize>> {
    let mut lengths = Vec::with_capacity(sizes.len());
    for size in sizes {
        lengths.push(size.length().ok_or_else(|| graph.across_batch())?);
    }
    Ok(lengths)
}

/// The values in another shape, in ONNX's axes and with its −1.
fn reshaped(graph: &mut Graph, value: Value, wanted: &[Size]) -> Outcome {
    let batched = graph.batch(value) != Batch::None;
    // A sample's lengths: the factor of the batch size, then the rest.
    let (mut shape, mut open) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (axis, &Size { number, of_batch }) in wanted.iter().enumerate() {
        let of_sample = batched && axis == 0;
        let sound = match of_sample {
            true => number != 0 && (of_batch || number == -1 || (graph.single && number == 1)),
            false => !of_batch,
        };
        if !sound {
            return Err(graph.across_batch());
        }
        match usize::try_from(number) {
            Ok(length) => shape.push(length),
            Err(_) if number == -1 => {
                open.push(axis);
                shape.push(1);
            }
            Err(_) if of_sample => return Err(graph.across_batch()),
            Err(_) => return Err(graph.fail(Error::shape("a negative length"))),
        }
    }
    if batched && shape.is_empty() {
        return Err(graph.across_batch());
    }
    let count = graph.count(graph.shape(value))?;
    let rest = count.checked_div(graph.count(&shape)?).unwrap_or(0);
    for &axis in &open {
        if let Some(length) = shape.get_mut(axis) {
            *length = rest;
        }
    }
    if open.len() > 1 || graph.count(&shape)? != count {
        if batched && open.len() < 2 {
            // It would take values of other samples.
            return Err(graph.across_batch());
        }
        let message = format!("{:?} cannot be reshaped to {shape:?}", graph.shape(value));
        return Err(graph.fail(Error::shape(message)));
    }
    if !batched {
        return graph.reshape(value, &shape);
    }
    let (batch, shape) = match &*shape {
        [1, rest @ ..] => (Batch::First, rest),
        all => (Batch::Merged, all),
    };
    let result = graph.reshape(value, shape)?;
    Ok(graph.with_batch(result, batch))
}

pub(super) fn reshape(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let zero_is_zero = graph.flag("allowzero");
    let shape = graph.input(1)?;
    let mut wanted = graph.sizes(shape, "the shape")?;
    let old = sizes(graph, value);
    for (axis, size) in wanted.iter_mut().enumerate() {
        if *size == Size::known(0) && !zero_is_zero {
            let Some(kept) = old.get(axis) else {
                let message = format!("keeps axis {axis} of {} axes", old.len());
                return Err(graph.fail(Error::shape(message)));
            };
            *size = *kept;
        }
    }
    reshaped(graph, value, &wanted)
}

/// Two axes: the lengths before `axis` multiplied, and those from it on.
pub(super) fn flatten(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let rank = graph.rank(value);
    let axis = graph.int_or("axis", 1);
    // The axis may be the rank itself.
    let axis = if axis == rank as i64 { rank } else { graph.normalized(axis, rank)? };
    if graph.batch(value) == Batch::First
        && axis == 1
        && graph.shape(value).len() > 1
        && !graph.is_known(value)
    {
        return graph.apply(LayerKind::Flatten, value);
    }
    let mut front = Size::known(1);
    for size in sizes(graph, value).iter().take(axis) {
        let Some(number) = front.number.checked_mul(size.number) else {
            return Err(graph.across_batch());
        };
        front = Size { number, of_batch: front.of_batch || size.of_batch };
    }
    reshaped(graph, value, &[front, Size::known(-1)])
}

pub(super) fn squeeze(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let shape = graph.shape(value).to_vec();
    let batch = graph.batch(value);
    let axes = graph.ints_of("axes", 1)?;
    let mut gone = Vec::new();
    if let Some(axes) = axes {
        if batch == Batch::Second && axes == [0] {
            return Ok(graph.with_batch(value, Batch::First));
        }
        gone = graph.axes(value, &axes)?;
        if let Some(axis) = gone.iter().find(|&&axis| shape.get(axis) != Some(&1)) {
            return Err(graph.fail(Error::shape(format!("axis {axis} of {shape:?} is not of length 1"))));
        }
    } else {
        if graph.single && batch != Batch::None {
            return Err(graph.across_batch());
        }
        gone.extend((0..shape.len()).filter(|&axis| shape.get(axis) == Some(&1)));
    }
    let mut kept = Vec::with_capacity(shape.len());
    for (axis, &length) in shape.iter().enumerate() {
        if !gone.contains(&axis) {
            kept.push(length);
        }
    }
    graph.reshape(value, &kept)
}

pub(super) fn unsqueeze(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let Some(axes) = graph.ints_of("axes", 1)? else {
        return Err(graph.fail(Error::format("no axes are given")));
    };
    let mut wanted = sizes(graph, value);
    let rank = wanted.len() + axes.len();
    if rank > MAX_RANK {
        return Err(graph.fail(Error::shape("more than 32 axes")));
    }
    let mut places = [false; MAX_RANK];
    for &axis in &axes {
        let place = places.get_mut(graph.normalized(axis, rank)?);
        if place.is_none_or(|place| std::mem::replace(place, true)) {
            return Err(graph.fail(Error::format("an axis is given twice")));
        }
    }
    if places[0] && graph.batch(value) != Batch::None {
        return Err(graph.across_batch());
    }
    for (axis, _) in places.iter().enumerate().filter(|(_, is_new)| **is_new) {
        wanted.insert(axis.min(wanted.len()), Size::known(1));
    }
    reshaped(graph, value, &wanted)
}

pub(super) fn transpose(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let rank = graph.rank(value);
    let mut axes = graph.int_list("perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
    if axes.len() != rank {
        return Err(graph.fail(Error::shape(format!("an order of {} axes for {rank}", axes.len()))));
    }
    match (graph.batch(value), &*axes) {
        (Batch::None, _) => {}
        (Batch::Second, [1, 0]) => {
            let result = graph.reshape(value, &[1])?;
            return Ok(graph.with_batch(result, Batch::First));
        }
        (Batch::Merged, [0, ..]) => {
            // The first axis stays, and is the sample's too.
            axes.remove(0);
            let mut own = graph.axes(value, &axes)?;
            own.insert(0, 0);
            return graph.permute(value, &own);
        }
        (_, [0, ..]) => _ = axes.remove(0),
        _ => return Err(graph.across_batch()),
    }
    let axes = graph.axes(value, &axes)?;
    graph.permute(value, &axes)
}

/// Broadcasts to a shape.
pub(super) fn expand(graph: &mut Graph) -> Outcome {
    let (value, shape) = (graph.input(0)?, graph.input(1)?);
    let wanted = graph.sizes(shape, "the shape")?;
    let rank = graph.rank(value);
    let [first, rest @ ..] = &*wanted else { return Ok(value) };
    let own = graph.shape(value).to_vec();
    let batch = graph.batch(value);
    if batch == Batch::None && first.of_batch {
        // The same for every sample of a batch: nothing may lie in front of its axis.
        let inner = match &*own {
            [1, inner @ ..] if rank == wanted.len() => inner,
            own if rank < wanted.len() => own,
            _ => return Err(graph.across_batch()),
        };
        let inner = graph.reshape(value, inner)?;
        let mut shape = lengths(graph, rest)?;
        let mut batch = Batch::First;
        if first.number != 1 {
            shape.insert(0, first.number as usize);
            batch = Batch::Merged;
        }
        let expanded = graph.expand(inner, &shape)?;
        return graph.as_batched(expanded, batch);
    }
    // The batch axis is not among those given, or stays as it is.
    let target = match batch {
        Batch::None => &wanted,
        Batch::First if wanted.len() < rank => &wanted,
        Batch::First if wanted.len() == rank && first.number == 1 => rest,
        _ => return Err(graph.across_batch()),
    };
    let target = lengths(graph, target)?;
    let Some(shape) = broadcast(&own, &target) else {
        return Err(graph.fail(Error::shape(format!("{own:?} cannot be expanded to {target:?}"))));
    };
    graph.expand(value, &shape)
}

/// Repeats whole axes.
pub(super) fn tile(graph: &mut Graph) -> Outcome {
    let (value, repeats) = (graph.input(0)?, graph.input(1)?);
    let repeats = graph.ints(repeats, "the repeats")?.to_vec();
    if repeats.len() != graph.rank(value) {
        return Err(graph.fail(Error::shape("as many repeats as axes are needed")));
    }
    let mut result = value;
    for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
        let axis = graph.axis(result, axis as i64)?;
        let length = graph.length(result, axis);
        let total = usize::try_from(count).ok().and_then(|count| length.checked_mul(count));
        let Some(total) = total else {
            return Err(graph.fail(Error::shape("a negative repeat, or too many")));
        };
        graph.spend(total)?;
        result = graph.gather(result, axis, (0..total).map(|i| i % length.max(1)).collect())?;
    }
    Ok(result)
}

/// The shape as a tensor.
pub(super) fn shape(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let sizes = sizes(graph, value);
    let rank = sizes.len() as i64;
    let bounds = [graph.int_or("start", 0), graph.int_or("end", rank)].map(|bound| {
        let bound = if bound < 0 { bound.saturating_add(rank) } else { bound };
        bound.clamp(0, rank) as usize
    });
    let part = sizes.get(bounds[0]..bounds[1]).unwrap_or_default();
    Ok(graph.list(Data::of_sizes(part.to_vec())))
}

/// The number of values.
pub(super) fn size(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let number = graph.count(graph.shape(value))? as i64;
    let size = Size { number, of_batch: graph.batch(value) != Batch::None };
    Ok(graph.constant(vec![], Data::of_sizes(vec![size])))
}

pub(super) fn constant_of_shape(graph: &mut Graph) -> Outcome {
    let value = graph.tensor_attribute("value").unwrap_or_else(|| graph.scalar(0.0));
    let shape = graph.input(0)?;
    let wanted = graph.sizes(shape, "the shape")?;
    let (mut rest, mut batch) = (&*wanted, Batch::None);
    if let [first, others @ ..] = rest
        && first.of_batch
    {
        (rest, batch) = (others, Batch::First);
    }
    let mut shape = lengths(graph, rest)?;
    if let (Batch::First, Some(&Size { number, .. })) = (batch, wanted.first())
        && number != 1
    {
        let Ok(length) = usize::try_from(number) else {
            return Err(graph.fail(Error::shape("a negative length")));
        };
        shape.insert(0, length);
        batch = Batch::Merged;
    }
    let count = graph.count(&shape)?;
    graph.spend(count)?;
    let data = graph.required(value, "the value")?.data.pick(&vec![0; count]);
    let filled = graph.constant(shape, data);
    let filled = graph.of_kind(filled, graph.kind(value));
    graph.as_batched(filled, batch)
}

/// Numbers from the first input to below the second, by the third.
pub(super) fn range(graph: &mut Graph) -> Outcome {
    graph.int_attribute("stash_type");
    let [start, limit, delta] = [graph.input(0)?, graph.input(1)?, graph.input(2)?];
    if graph.kind(start) == Kind::Int {
        let start = graph.int(start, "the start")?;
        let (limit, delta) = (graph.int(limit, "the limit")?, graph.int(delta, "the step")?);
        let length = limit.checked_sub(start).and_then(|span| {
            let rounded = span.checked_add(delta.checked_sub(delta.signum())?)?;
            usize::try_from(rounded.checked_div(delta)?.max(0)).ok()
        });
        let Some(length) = length else { return Err(endless(graph)) };
        graph.spend(length)?;
        let number = |i: usize| start.wrapping_add((i as i64).wrapping_mul(delta));
        return Ok(graph.list(Data::Ints((0..length).map(number).collect())));
    }
    let start = graph.number(start, "the start")?;
    let (limit, delta) = (graph.number(limit, "the limit")?, graph.number(delta, "the step")?);
    let length = ((limit - start) / delta).ceil().max(0.0);
    if !length.is_finite() {
        return Err(endless(graph));
    }
    let length = length as usize;
    graph.spend(length)?;
    let mut floats = graph.keep(reserve(length))?;
    floats.extend((0..length).map(|i| start + i as f32 * delta));
    Ok(graph.list(Data::of_floats(floats)))
}

fn endless(graph: &Graph) -> Failed {
    graph.fail(Error::shape("a range without an end"))
}
