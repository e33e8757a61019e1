//! Operators that choose and join parts of tensors.

use super::{Call, arithmetic::as_batched, index};
use crate::{
    Binary, Error, LayerKind, Result,
    format::onnx::{
        graph::{Graph, across_batch, normalized},
        value::{Batch, Data, Kind, Value},
    },
    tensor::element_count,
};

pub(super) fn concat(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let axis =
        call.attributes.int("axis")?.ok_or_else(|| Error::format("the attribute 'axis' is missing"))?;
    let values = call.all_inputs()?;
    let batch = values.iter().find(|value| value.batch != Batch::None).map(|value| value.batch);
    let Some(batch) = batch else {
        let first = values.first().ok_or_else(|| Error::format("joins no tensors"))?;
        let axis = graph.axis(first, axis)?;
        return graph.concatenate(&values, axis);
    };
    let mut joined = Vec::with_capacity(values.len());
    for value in &values {
        joined.push(match (value.batch, graph.shape(value)) {
            // In a file for batches of one sample, a constant may be its part.
            (Batch::None, [1, rest @ ..]) if graph.single => {
                let rest = rest.to_vec();
                let sample = graph.reshape(value, &rest)?;
                as_batched(graph, &sample, Batch::First)?
            }
            (own, _) if own == batch => value.clone(),
            _ => return Err(across_batch()),
        });
    }
    let first = joined.first().ok_or_else(across_batch)?;
    let axis = graph.axis(first, axis)?;
    graph.concatenate(&joined, axis)
}

/// The positions `start`, `start + step` … before `end`, by ONNX's rules for negative ones and ones out of range.
fn positions(length: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>> {
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

pub(super) fn slice(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let needed = |name: &str| Error::format(format!("'{name}' is missing"));
    // Attributes before version 10, inputs since.
    let starts = call.ints("starts", 1)?.ok_or_else(|| needed("starts"))?;
    let ends = call.ints("ends", 2)?.ok_or_else(|| needed("ends"))?;
    let axes = call.ints("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.ints("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Error::format("starts, ends, axes and steps are not equally many"));
    }
    let mut result = value;
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        // What takes the whole of an axis leaves the batch as it is, too.
        if start == 0 && end >= i64::from(i32::MAX) && step == 1 {
            normalized(axis, graph.rank(&result))?;
            continue;
        }
        let axis = graph.axis(&result, axis)?;
        let length = graph.shape(&result).get(axis).copied().unwrap_or(0);
        graph.spend(length)?;
        result = graph.gather(&result, axis, positions(length, start, end, step)?)?;
    }
    Ok(result)
}

pub(super) fn split(call: &mut Call, graph: &mut Graph) -> Result<Vec<Value>> {
    let value = call.input(0)?;
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    let axis = graph.axis(&value, axis)?;
    let length = graph.shape(&value).get(axis).copied().unwrap_or(0);
    let count = call.attributes.int("num_outputs")?;
    let parts: Vec<usize> = match call.ints("split", 1)? {
        Some(parts) => {
            let parts: Option<_> = parts.iter().map(|&part| usize::try_from(part).ok()).collect();
            parts.ok_or_else(|| Error::shape("a negative length"))?
        }
        None => {
            let count = count.map_or(Some(call.wanted.len()), |count| usize::try_from(count).ok());
            let count = count.filter(|&count| (1..=length).contains(&count));
            let count = count.ok_or_else(|| Error::shape(format!("an axis of length {length} split")))?;
            // Equal parts; the last may be shorter.
            let part = length.div_ceil(count);
            (0..count).map(|i| part.min(length.saturating_sub(i * part))).collect()
        }
    };
    let mut outputs = Vec::new();
    let mut start = 0usize;
    for part in parts {
        let end = start.checked_add(part).filter(|&end| end <= length);
        let end = end.ok_or_else(|| Error::shape("parts beyond the end of the axis"))?;
        graph.spend(part)?;
        outputs.push(graph.gather(&value, axis, (start..end).collect())?);
        start = end;
    }
    if start != length {
        return Err(Error::shape("parts that leave some of the axis over"));
    }
    Ok(outputs)
}

/// Known positions of any tensor, or computed rows of a known table.
pub(super) fn gather(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (value, indices) = (call.input(0)?, call.input(1)?);
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    if indices.known().is_none() {
        return look_up(graph, &value, axis, &indices);
    }
    let axis = graph.axis(&value, axis)?;
    gathered(graph, &value, axis, &indices)
}

/// Known positions of the sample's axis, which is replaced by the axes of `indices`.
pub(super) fn gathered(graph: &mut Graph, value: &Value, axis: usize, indices: &Value) -> Result<Value> {
    let length = graph.shape(value).get(axis).copied().unwrap_or(0);
    let ints = indices.ints("the indices")?;
    let positions: Vec<usize> = ints.iter().map(|&index| normalized(index, length)).collect::<Result<_>>()?;
    graph.spend(positions.len())?;
    let result = graph.gather(value, axis, positions)?;
    let mut shape = graph.shape(&result).to_vec();
    if axis < shape.len() {
        shape.splice(axis..=axis, graph.shape(indices).to_vec());
    }
    graph.reshape(&result, &shape)
}

fn look_up(graph: &mut Graph, table: &Value, axis: i64, indices: &Value) -> Result<Value> {
    let rows = match (table.known(), normalized(axis, graph.rank(table))?) {
        (Some(table), 0) => table.clone(),
        (Some(_), _) => return Err(Error::unsupported("looks up columns; nearside looks up rows")),
        (None, _) => {
            return Err(Error::unsupported("positions that are computed, of a tensor that is computed"));
        }
    };
    let Some((&count, row)) = rows.shape.split_first() else {
        return Err(Error::shape("looks up rows of a number"));
    };
    let indices = &index::source(graph, indices, count)?;
    if row.is_empty() {
        return super::ml::named(graph, indices, &rows.data);
    }
    let matrix = graph.reshape(table, &[count, element_count(row)?])?;
    let found = graph.apply(LayerKind::Embedding { table: matrix.tensor("the table")? }, indices)?;
    let mut shape = graph.shape(&found).to_vec();
    shape.pop();
    shape.extend(row);
    Ok(graph.reshape(&found, &shape)?.of_kind(table.kind))
}

/// `values[1]` at the index, `values[0]` elsewhere, along a new axis.
pub(super) fn one_hot(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (indices, depth, values) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let axis = call.attributes.int("axis")?.unwrap_or(-1);
    let depth = usize::try_from(depth.number("the depth")? as i64).unwrap_or(0);
    let &[off, on] = values.tensor("the values")?.data() else {
        return Err(Error::format("'values' are not two"));
    };
    graph.spend(depth)?;
    let classes: Vec<i64> = (0..depth as i64).collect();
    let from_end: Vec<i64> = classes.iter().map(|class| class - depth as i64).collect();
    let hit = equal_to(graph, &indices, classes)?;
    let hit_from_end = equal_to(graph, &indices, from_end)?;
    let hit = graph.binary(Binary::Or, &hit, &hit_from_end)?;
    let hot = graph.rescaled(&hit.of_kind(Kind::Float), on - off, off)?.of_kind(values.kind);
    let rank = graph.rank(&hot);
    match normalized(axis, rank)? {
        axis if axis + 1 == rank => Ok(hot),
        axis => {
            let axis = graph.axis(&hot, axis as i64)?;
            graph.axis_back(&hot, axis)
        }
    }
}

/// Along a new last axis, whether each value equals these.
pub(super) fn equal_to(graph: &mut Graph, value: &Value, candidates: Vec<i64>) -> Result<Value> {
    let candidates = Value::constant(vec![candidates.len()], Data::Ints(candidates));
    equals(graph, value, &candidates)
}

/// Along a new last axis, whether each value equals those of a list.
pub(super) fn equals(graph: &mut Graph, value: &Value, candidates: &Value) -> Result<Value> {
    let shape = [graph.shape(value), &[1]].concat();
    let column = graph.reshape(value, &shape)?;
    Ok(graph.binary(Binary::Equal, &column, candidates)?.of_kind(Kind::Bool))
}
