//! Normalizations: by the moments of training, by those of a row, and softmax.

use super::{Call, reduce::Rows};
use crate::{
    Binary, Elementwise, Error, LayerKind, Result, Rowwise,
    format::onnx::{graph::Graph, value::Value},
    layer::Encoding,
};

pub(super) fn softmax(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let axis = call.attributes.int("axis")?;
    let rank = graph.shape(&value).len();
    let axes = match call.version {
        // All axes from this one on together.
        ..13 => (graph.axis(&value, axis.unwrap_or(1))?..rank).collect(),
        _ => vec![graph.axis(&value, axis.unwrap_or(-1))?],
    };
    let rows = Rows::along(graph, &value, &axes)?;
    let result = match call.op {
        "Softmax" => graph.rowwise(&rows.value, Rowwise::Softmax)?,
        "LogSoftmax" => graph.rowwise(&rows.value, Rowwise::LogSoftmax)?,
        _ => {
            let tokens = graph.shape(&rows.value).last().copied().unwrap_or(0);
            let index = graph.rowwise(&rows.value, Rowwise::ArgMax)?;
            graph.apply(LayerKind::CategoryEncoding { tokens, mode: Encoding::OneHot }, &index)?
        }
    };
    rows.restored(graph, &result)
}

/// `x / ‖x‖` along an axis.
pub(super) fn lp(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let axis = call.attributes.int("axis")?.unwrap_or(-1);
    let axis = graph.axis(&value, axis)?;
    let rows = Rows::along(graph, &value, &[axis])?;
    let result = match call.attributes.int("p")?.unwrap_or(2) {
        1 => by_sum(graph, &rows.value)?,
        2 => graph.rowwise(&rows.value, Rowwise::UnitNormalize { epsilon: f32::MIN_POSITIVE })?,
        p => return Err(Error::unsupported(format!("the attribute 'p' is {p}"))),
    };
    rows.restored(graph, &result)
}

/// Rows over the sum of their absolute values; rows of zeros stay.
pub(super) fn by_sum(graph: &mut Graph, rows: &Value) -> Result<Value> {
    let absolute = graph.unary(rows, Elementwise::Absolute)?;
    let sum = graph.rowwise(&absolute, Rowwise::Sum)?;
    over(graph, rows, &sum)
}

/// Rows over a number each, those of 0 as they are.
pub(super) fn over(graph: &mut Graph, rows: &Value, norm: &Value) -> Result<Value> {
    let zero = graph.unary(norm, Elementwise::Not)?;
    let divisor = graph.binary(Binary::Add, norm, &zero)?;
    graph.binary(Binary::Divide, rows, &divisor)
}

/// `gamma · (x − mean) / √(variance + epsilon) + beta` for each channel, axis 1.
pub(super) fn batch(call: &mut Call, graph: &mut Graph) -> Result<Vec<Value>> {
    let all = [call.input(0)?, call.input(1)?, call.input(2)?, call.input(3)?, call.input(4)?];
    let [value, gamma, beta, mean, variance] = &all;
    let epsilon = call.attributes.float("epsilon", 1e-5)?;
    let momentum = call.attributes.float("momentum", 0.9)?;
    call.attributes.only("spatial", 1)?;
    if call.version < 14 && call.wanted.len() > 1 {
        // Before there was an attribute for it, more outputs than one told.
        return Err(Error::unsupported("works as in training; export the model for inference"));
    }
    let axis = graph.axis(value, 1)?;
    if call.attributes.flag("training_mode")? {
        return training(graph, &all, axis, epsilon, momentum);
    }
    let turned = graph.axis_last(value, axis)?;
    let known = all.iter().skip(1).all(|value| value.known().is_some());
    let result = if known && turned.known().is_none() {
        let kind = LayerKind::BatchNormalization {
            gamma: Some(gamma.tensor("scale")?),
            beta: Some(beta.tensor("B")?),
            mean: mean.tensor("the mean")?,
            variance: variance.tensor("the variance")?,
            epsilon,
            momentum,
        };
        graph.apply(kind, &turned)?
    } else {
        let centered = graph.binary(Binary::Subtract, &turned, mean)?;
        let widened = graph.binary(Binary::Add, variance, &Value::scalar(epsilon))?;
        let deviation = graph.unary(&widened, Elementwise::SquareRoot)?;
        let standard = graph.binary(Binary::Divide, &centered, &deviation)?;
        scaled(graph, &standard, Some(gamma), Some(beta))?
    };
    Ok(vec![graph.axis_back(&result, axis)?])
}

/// With the moments of the batch itself, and the running ones moved towards them.
fn training(
    graph: &mut Graph,
    all: &[Value; 5],
    axis: usize,
    epsilon: f32,
    momentum: f32,
) -> Result<Vec<Value>> {
    let [value, gamma, beta, old_mean, old_variance] = all;
    let others: Vec<i64> = (0..graph.rank(value) as i64).filter(|&other| other != 1).collect();
    let others: Vec<usize> = others.iter().map(|&other| graph.axis(value, other)).collect::<Result<_>>()?;
    let rows = Rows::along(graph, value, &others)?;
    let mean = graph.rowwise(&rows.value, Rowwise::Mean)?;
    let centered = graph.binary(Binary::Subtract, &rows.value, &mean)?;
    let squares = graph.binary(Binary::Multiply, &centered, &centered)?;
    let variance = graph.rowwise(&squares, Rowwise::Mean)?;
    let standard = graph.rowwise(&rows.value, Rowwise::Standardize { epsilon })?;
    let standard = rows.restored(graph, &standard)?;
    let turned = graph.axis_last(&standard, axis)?;
    let result = scaled(graph, &turned, Some(gamma), Some(beta))?;
    let mut outputs = vec![graph.axis_back(&result, axis)?];
    for (old, new) in [(old_mean, mean), (old_variance, variance)] {
        let shape = graph.shape(old).to_vec();
        let new = graph.reshape(&new, &shape)?;
        let kept = graph.rescaled(old, momentum, 0.0)?;
        let moved = graph.rescaled(&new, 1.0 - momentum, 0.0)?;
        outputs.push(graph.binary(Binary::Add, &kept, &moved)?);
    }
    Ok(outputs)
}

fn scaled(graph: &mut Graph, value: &Value, gamma: Option<&Value>, beta: Option<&Value>) -> Result<Value> {
    let mut result = value.clone();
    if let Some(gamma) = gamma {
        result = graph.binary(Binary::Multiply, &result, gamma)?;
    }
    if let Some(beta) = beta {
        result = graph.binary(Binary::Add, &result, beta)?;
    }
    Ok(result)
}

/// The last axes of the sample that a row normalization takes together.
fn trailing(call: &mut Call, graph: &Graph, value: &Value) -> Result<Vec<usize>> {
    // In which type the moments are computed: f32 here, whatever it is.
    call.attributes.int("stash_type")?;
    let axis = call.attributes.int("axis")?.unwrap_or(-1);
    Ok((graph.axis(value, axis)?..graph.shape(value).len()).collect())
}

pub(super) fn layer(call: &mut Call, graph: &mut Graph) -> Result<Vec<Value>> {
    let (value, gamma, beta) = (call.input(0)?, call.input(1)?, call.optional(2));
    let epsilon = call.attributes.float("epsilon", 1e-5)?;
    let axes = trailing(call, graph, &value)?;
    let rows = Rows::along(graph, &value, &axes)?;
    let width = graph.shape(&rows.value).last().copied().unwrap_or(0);
    let flat = |part: &Value| part.known().is_some_and(|part| part.data.len() == width);
    let known = flat(&gamma) && beta.as_ref().is_none_or(flat);
    let result = if known && rows.value.known().is_none() {
        let vector = |graph: &mut Graph, part: &Value| graph.reshape(part, &[width])?.tensor("the scale");
        let gamma = Some(vector(graph, &gamma)?);
        let beta = beta.map(|beta| vector(graph, &beta)).transpose()?;
        let result = graph.apply(LayerKind::LayerNormalization { gamma, beta, epsilon }, &rows.value)?;
        rows.restored(graph, &result)?
    } else {
        let standard = graph.rowwise(&rows.value, Rowwise::Standardize { epsilon })?;
        let standard = rows.restored(graph, &standard)?;
        scaled(graph, &standard, Some(&gamma), beta.as_ref())?
    };
    let mut outputs = vec![result];
    if call.wants(1) || call.wants(2) {
        let mean = graph.rowwise(&rows.value, Rowwise::Mean)?;
        let centered = graph.binary(Binary::Subtract, &rows.value, &mean)?;
        let squares = graph.binary(Binary::Multiply, &centered, &centered)?;
        let variance = graph.rowwise(&squares, Rowwise::Mean)?;
        let widened = graph.binary(Binary::Add, &variance, &Value::scalar(epsilon))?;
        let deviation = graph.unary(&widened, Elementwise::SquareRoot)?;
        let inverse = graph.unary(&deviation, Elementwise::Reciprocal)?;
        outputs.push(rows.reduced(graph, &mean, true)?);
        outputs.push(rows.reduced(graph, &inverse, true)?);
    }
    Ok(outputs)
}

pub(super) fn rms(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (value, gamma) = (call.input(0)?, call.input(1)?);
    let epsilon = call.attributes.float("epsilon", 1e-5)?;
    let axes = trailing(call, graph, &value)?;
    let rows = Rows::along(graph, &value, &axes)?;
    let standard = graph.rowwise(&rows.value, Rowwise::RmsNormalize { epsilon })?;
    let standard = rows.restored(graph, &standard)?;
    scaled(graph, &standard, Some(&gamma), None)
}
