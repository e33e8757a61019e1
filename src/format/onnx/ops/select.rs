//! Operators that choose and join parts of tensors.

use super::{index, ml::named};
use crate::{
    Binary, Error, LayerKind,
    format::onnx::{
        graph::Graph,
        value::{Batch, Data, Kind, Outcome, Value},
    },
};

pub(super) fn concat(graph: &mut Graph) -> Outcome {
    let Some(axis) = graph.int_attribute("axis") else {
        return Err(graph.fail(Error::format("the attribute 'axis' is missing")));
    };
    let mut values = graph.all_inputs()?;
    let batch = values.iter().fold(Batch::None, |batch, &value| batch.or(graph.batch(value)));
    for value in &mut values {
        match (graph.batch(*value), graph.shape(*value)) {
            (own, _) if own == batch => {}
            // In a file for batches of one sample, a constant may be its part.
            (Batch::None, [1, ..]) if graph.single => {
                let sample = graph.without_axis(*value, 0)?;
                *value = graph.as_batched(sample, Batch::First)?;
            }
            _ => return Err(graph.across_batch()),
        }
    }
    let axis = match values.first() {
        Some(&first) => graph.axis(first, axis)?,
        None => 0,
    };
    graph.concatenate(&values, axis)
}

/// The positions `start`, `start + step` … before `end`, by ONNX's rules for negative ones and ones out of range.
fn positions(length: usize, start: i64, end: i64, step: i64) -> crate::Result<Vec<usize>> {
    let length = i64::try_from(length).map_err(|_| Error::shape("an axis too long"))?;
    let from_end = |bound: i64| if bound < 0 { bound.saturating_add(length) } else { bound };
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let (start, end) = (from_end(start).clamp(low.max(0), high.max(0)), from_end(end).clamp(low, high));
    let mut positions = Vec::new();
    let mut position = start;
    while (step > 0 && position < end) || (step < 0 && position > end) {
        positions.push(usize::try_from(position).map_err(|_| Error::shape("a position before the first"))?);
        position = position.saturating_add(step);
    }
    if step == 0 { Err(Error::format("a slice of step 0")) } else { Ok(positions) }
}

pub(super) fn slice(graph: &mut Graph) -> Outcome {
    let mut result = graph.input(0)?;
    // Attributes before version 10, inputs since.
    let [starts, ends, axes, steps] = [("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4)]
        .map(|(name, input)| graph.ints_of(name, input));
    let (starts, ends, axes, steps) = (starts?, ends?, axes?, steps?);
    let (Some(starts), Some(ends)) = (&starts, &ends) else {
        let name = if starts.is_none() { "starts" } else { "ends" };
        return Err(graph.fail(Error::format(format!("'{name}' is missing"))));
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(graph.fail(Error::format("starts, ends, axes and steps are not equally many")));
    }
    for (((&start, &end), &axis), &step) in starts.iter().zip(ends).zip(&axes).zip(&steps) {
        // What takes the whole of an axis leaves the batch as it is, too.
        if start == 0 && end >= i64::from(i32::MAX) && step == 1 {
            graph.normalized(axis, graph.rank(result))?;
            continue;
        }
        let axis = graph.axis(result, axis)?;
        let length = graph.length(result, axis);
        graph.spend(length)?;
        let positions = graph.keep(positions(length, start, end, step))?;
        result = graph.gather(result, axis, positions)?;
    }
    Ok(result)
}

pub(super) fn split(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let axis = graph.int_or("axis", 0);
    let axis = graph.axis(value, axis)?;
    let length = graph.length(value, axis);
    let wanted = graph.call.wanted.len();
    let count = graph.int_or("num_outputs", wanted as i64);
    let count = usize::try_from(count).unwrap_or(0);
    let parts = match graph.ints_of("split", 1)? {
        Some(parts) => parts,
        None if (1..=length.min(wanted)).contains(&count) => {
            // Equal parts; the last may be shorter.
            let part = length.div_ceil(count);
            (0..count).map(|i| part.min(length.saturating_sub(i * part)) as i64).collect()
        }
        None => return Err(graph.fail(Error::shape(format!("an axis of length {length} split")))),
    };
    let mut outputs = Vec::new();
    let mut start = 0usize;
    for part in parts {
        let Ok(part) = usize::try_from(part) else {
            return Err(graph.fail(Error::shape("a negative length")));
        };
        let Some(end) = start.checked_add(part).filter(|&end| end <= length) else {
            return Err(graph.fail(Error::shape("parts beyond the end of the axis")));
        };
        graph.spend(part)?;
        outputs.push(graph.gather(value, axis, (start..end).collect())?);
        start = end;
    }
    if start != length {
        return Err(graph.fail(Error::shape("parts that leave some of the axis over")));
    }
    let mut outputs = outputs.into_iter();
    let first = outputs.next();
    graph.call.more.extend(outputs);
    first.ok_or_else(|| graph.fail(Error::shape("no parts")))
}

/// Known positions of any tensor, or computed rows of a known table.
pub(super) fn gather(graph: &mut Graph) -> Outcome {
    let (value, indices) = (graph.input(0)?, graph.input(1)?);
    let axis = graph.int_or("axis", 0);
    if !graph.is_known(indices) {
        return look_up(graph, value, axis, indices);
    }
    let axis = graph.axis(value, axis)?;
    gathered(graph, value, axis, indices)
}

/// Known positions of the sample's axis, which is replaced by the axes of `indices`.
pub(super) fn gathered(graph: &mut Graph, value: Value, axis: usize, indices: Value) -> Outcome {
    let length = graph.length(value, axis);
    let mut positions = Vec::new();
    for &index in graph.ints(indices, "the indices")? {
        positions.push(graph.normalized(index, length)?);
    }
    graph.spend(positions.len())?;
    let result = graph.gather(value, axis, positions)?;
    let lengths = graph.shape(indices).to_vec();
    graph.with_axes(result, axis, &lengths)
}

fn look_up(graph: &mut Graph, table: Value, axis: i64, indices: Value) -> Outcome {
    let axis = graph.normalized(axis, graph.rank(table))?;
    let Some(known) = graph.known(table) else {
        return Err(graph.unsupported("positions that are computed, of a tensor that is computed"));
    };
    if axis != 0 {
        return Err(graph.unsupported("looks up columns; nearside looks up rows"));
    }
    let Some((&count, row)) = known.shape.split_first() else {
        return Err(graph.fail(Error::shape("looks up rows of a number")));
    };
    let (row, values) = (row.to_vec(), known.data.clone());
    let indices = index::source(graph, indices, count)?;
    if row.is_empty() {
        return named(graph, indices, values);
    }
    let width = graph.count(&row)?;
    let matrix = graph.reshape(table, &[count, width])?;
    let weights = graph.tensor(matrix, "the table")?;
    let found = graph.apply(LayerKind::Embedding { table: weights }, indices)?;
    let last = graph.shape(found).len().saturating_sub(1);
    let found = graph.with_axes(found, last, &row)?;
    Ok(graph.of_kind(found, graph.kind(table)))
}

/// `values[1]` at the index, `values[0]` elsewhere, along a new axis.
pub(super) fn one_hot(graph: &mut Graph) -> Outcome {
    let (indices, depth, values) = (graph.input(0)?, graph.input(1)?, graph.input(2)?);
    let axis = graph.int_or("axis", -1);
    let depth = usize::try_from(graph.number(depth, "the depth")? as i64).unwrap_or(0);
    let &[off, on] = graph.tensor(values, "the values")?.data() else {
        return Err(graph.fail(Error::format("'values' are not two")));
    };
    graph.spend(depth)?;
    let depth = depth as i64;
    let hit = equal_to(graph, indices, (0..depth).collect())?;
    let hit_from_end = equal_to(graph, indices, (-depth..0).collect())?;
    let hit = graph.binary(Binary::Or, hit, hit_from_end)?;
    let hit = graph.of_kind(hit, Kind::Float);
    let hot = graph.rescaled(hit, on - off, off)?;
    let hot = graph.of_kind(hot, graph.kind(values));
    let rank = graph.rank(hot);
    let axis = graph.normalized(axis, rank)?;
    if axis + 1 == rank {
        return Ok(hot);
    }
    let axis = graph.axis(hot, axis as i64)?;
    let last = graph.shape(hot).len().saturating_sub(1);
    graph.move_axis(hot, last, axis)
}

/// Along a new last axis, whether each value equals these.
pub(super) fn equal_to(graph: &mut Graph, value: Value, candidates: Vec<i64>) -> Outcome {
    let candidates = graph.list(Data::Ints(candidates));
    graph.equals(value, candidates)
}
