//! Normalizations: by the moments of training, by those of a row, and softmax.

use super::reduce::Rows;
use crate::{
    Binary, Elementwise, LayerKind, Rowwise, Tensor,
    format::onnx::{
        graph::Graph,
        value::{Outcome, Value},
    },
    layer::Encoding,
};

pub(super) fn softmax(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    // Before version 13, all axes from this one on together.
    let together = graph.call.version < 13;
    let axis = graph.int_or("axis", if together { 1 } else { -1 });
    let axis = graph.axis(value, axis)?;
    let rows = rows_from(graph, value, axis, together)?;
    let result = match graph.call.op {
        "Softmax" => graph.rowwise(rows.value, Rowwise::Softmax)?,
        "LogSoftmax" => graph.rowwise(rows.value, Rowwise::LogSoftmax)?,
        _ => {
            let tokens = graph.width(rows.value);
            let index = graph.rowwise(rows.value, Rowwise::ArgMax)?;
            graph.apply(LayerKind::CategoryEncoding { tokens, mode: Encoding::OneHot }, index)?
        }
    };
    rows.restored(graph, result)
}

/// Rows along an axis of the sample, or along all from it on.
fn rows_from(graph: &mut Graph, value: Value, axis: usize, together: bool) -> Outcome<Rows> {
    let end = if together { graph.shape(value).len() } else { axis + 1 };
    let axes: Vec<usize> = (axis..end).collect();
    Rows::along(graph, value, &axes)
}

/// `x / ‖x‖` along an axis.
pub(super) fn lp(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let axis = graph.int_or("axis", -1);
    let axis = graph.axis(value, axis)?;
    let rows = rows_from(graph, value, axis, false)?;
    let result = match graph.int_or("p", 2) {
        1 => by_sum(graph, rows.value)?,
        2 => graph.rowwise(rows.value, Rowwise::UnitNormalize { epsilon: f32::MIN_POSITIVE })?,
        p => return Err(graph.unsupported(&format!("the attribute 'p' is {p}"))),
    };
    rows.restored(graph, result)
}

/// Rows over the sum of their absolute values; rows of zeros stay.
pub(super) fn by_sum(graph: &mut Graph, rows: Value) -> Outcome {
    let absolute = graph.unary(rows, Elementwise::Absolute)?;
    let sum = graph.rowwise(absolute, Rowwise::Sum)?;
    over(graph, rows, sum)
}

/// Rows over a number each, those of 0 as they are.
pub(super) fn over(graph: &mut Graph, rows: Value, norm: Value) -> Outcome {
    let zero = graph.unary(norm, Elementwise::Not)?;
    let divisor = graph.binary(Binary::Add, norm, zero)?;
    graph.binary(Binary::Divide, rows, divisor)
}

/// `√(variance + epsilon)`
fn deviation(graph: &mut Graph, variance: Value, epsilon: f32) -> Outcome {
    let epsilon = graph.scalar(epsilon);
    let widened = graph.binary(Binary::Add, variance, epsilon)?;
    graph.unary(widened, Elementwise::SquareRoot)
}

/// `gamma · (x − mean) / √(variance + epsilon) + beta` for each channel, axis 1.
pub(super) fn batch(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let all @ [gamma, beta, mean, variance] =
        [graph.input(1)?, graph.input(2)?, graph.input(3)?, graph.input(4)?];
    let (epsilon, momentum) = (graph.float("epsilon", 1e-5), graph.float("momentum", 0.9));
    graph.only("spatial", 1);
    if graph.call.version < 14 && graph.call.wanted.len() > 1 {
        // Before there was an attribute for it, more outputs than one told.
        return Err(graph.unsupported("works as in training; export the model for inference"));
    }
    let axis = graph.axis(value, 1)?;
    let last = graph.shape(value).len().saturating_sub(1);
    if !graph.flag("training_mode") {
        let turned = graph.move_axis(value, axis, last)?;
        let result = if all.iter().all(|&part| graph.is_known(part)) && !graph.is_known(turned) {
            let kind = LayerKind::BatchNormalization {
                gamma: Some(graph.tensor(gamma, "scale")?),
                beta: Some(graph.tensor(beta, "B")?),
                mean: graph.tensor(mean, "the mean")?,
                variance: graph.tensor(variance, "the variance")?,
                epsilon,
                momentum,
            };
            graph.apply(kind, turned)?
        } else {
            let centered = graph.binary(Binary::Subtract, turned, mean)?;
            let deviation = deviation(graph, variance, epsilon)?;
            let standard = graph.binary(Binary::Divide, centered, deviation)?;
            graph.scaled(standard, Some(gamma), Some(beta))?
        };
        return graph.move_axis(result, last, axis);
    }
    // With the moments of the batch itself, and the running ones moved towards them.
    let mut others = graph.all_axes(value);
    others.retain(|&other| other != 1);
    let others = graph.axes(value, &others)?;
    let rows = Rows::along(graph, value, &others)?;
    let moments = rows.moments(graph)?;
    let standard = graph.rowwise(rows.value, Rowwise::Standardize { epsilon })?;
    let standard = rows.restored(graph, standard)?;
    let turned = graph.move_axis(standard, axis, last)?;
    let result = graph.scaled(turned, Some(gamma), Some(beta))?;
    let result = graph.move_axis(result, last, axis)?;
    for (old, new) in [mean, variance].into_iter().zip(moments) {
        let shape = graph.shape(old).to_vec();
        let new = graph.reshape(new, &shape)?;
        let kept = graph.rescaled(old, momentum, 0.0)?;
        let moved = graph.rescaled(new, 1.0 - momentum, 0.0)?;
        let mixed = graph.binary(Binary::Add, kept, moved)?;
        graph.call.more.push(mixed);
    }
    Ok(result)
}

/// The last axes of the sample that a row normalization takes together.
fn trailing(graph: &mut Graph, value: Value) -> Outcome<Rows> {
    // In which type the moments are computed: f32 here, whatever it is.
    graph.int_attribute("stash_type");
    let axis = graph.int_or("axis", -1);
    let axis = graph.axis(value, axis)?;
    rows_from(graph, value, axis, true)
}

pub(super) fn layer(graph: &mut Graph) -> Outcome {
    let (value, gamma, beta) = (graph.input(0)?, graph.input(1)?, graph.optional(2));
    let epsilon = graph.float("epsilon", 1e-5);
    let rows = trailing(graph, value)?;
    let width = graph.width(rows.value);
    let flat = |part: Value| graph.known(part).is_some_and(|part| part.data.len() == width);
    let result = if flat(gamma) && beta.is_none_or(flat) && !graph.is_known(rows.value) {
        let gamma = vector(graph, Some(gamma), width)?;
        let beta = vector(graph, beta, width)?;
        let result = graph.apply(LayerKind::LayerNormalization { gamma, beta, epsilon }, rows.value)?;
        rows.restored(graph, result)?
    } else {
        let standard = graph.rowwise(rows.value, Rowwise::Standardize { epsilon })?;
        let standard = rows.restored(graph, standard)?;
        graph.scaled(standard, Some(gamma), beta)?
    };
    if graph.call.wants(1) || graph.call.wants(2) {
        let [mean, variance] = rows.moments(graph)?;
        let deviation = deviation(graph, variance, epsilon)?;
        let inverse = graph.unary(deviation, Elementwise::Reciprocal)?;
        for result in [mean, inverse] {
            let result = rows.reduced(graph, result, true)?;
            graph.call.more.push(result);
        }
    }
    Ok(result)
}

/// A scale or an offset as weights.
fn vector(graph: &mut Graph, part: Option<Value>, width: usize) -> Outcome<Option<Tensor>> {
    let Some(part) = part else { return Ok(None) };
    let part = graph.reshape(part, &[width])?;
    graph.tensor(part, "the scale").map(Some)
}

pub(super) fn rms(graph: &mut Graph) -> Outcome {
    let (value, gamma) = (graph.input(0)?, graph.input(1)?);
    let epsilon = graph.float("epsilon", 1e-5);
    let rows = trailing(graph, value)?;
    let standard = graph.rowwise(rows.value, Rowwise::RmsNormalize { epsilon })?;
    let standard = rows.restored(graph, standard)?;
    graph.scaled(standard, Some(gamma), None)
}
