//! Reductions of axes, and where the largest value is.

use super::Call;
use crate::{
    Binary, Elementwise, LayerKind, Result, Rowwise, Tensor,
    format::onnx::{
        graph::Graph,
        value::{Kind, Source, Value},
    },
    tensor::element_count,
};

/// A tensor with some axes moved to the end and made one.
pub(super) struct Rows {
    pub value: Value,
    /// The sample's axes that stay, then those that were moved.
    order: Vec<usize>,
    shape: Vec<usize>,
    kept: usize,
}

impl Rows {
    /// Rows along these axes of the sample.
    pub fn along(graph: &mut Graph, value: &Value, axes: &[usize]) -> Result<Self> {
        let shape = graph.shape(value).to_vec();
        let mut order: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let kept = order.len();
        order.extend((0..shape.len()).filter(|axis| axes.contains(axis)));
        let turned = graph.permute(value, &order)?;
        let lengths = graph.shape(&turned).to_vec();
        let (front, row) = lengths.split_at_checked(kept).unwrap_or_default();
        let flat = [front, &[element_count(row)?]].concat();
        let value = graph.reshape(&turned, &flat)?;
        Ok(Self { value, order, shape, kept })
    }

    /// The result of a function that leaves one value a row, with those axes of length 1 or without them.
    pub fn reduced(&self, graph: &mut Graph, result: &Value, keep: bool) -> Result<Value> {
        let gone = self.order.get(self.kept..).unwrap_or_default();
        let lengths = self.shape.iter().enumerate();
        let shape: Vec<usize> = if keep {
            lengths.map(|(axis, &length)| if gone.contains(&axis) { 1 } else { length }).collect()
        } else {
            lengths.filter(|(axis, _)| !gone.contains(axis)).map(|(_, &length)| length).collect()
        };
        graph.reshape(result, &shape)
    }

    /// The result of a function that leaves rows as long as they were, in the order of before.
    pub fn restored(&self, graph: &mut Graph, result: &Value) -> Result<Value> {
        let turned: Vec<usize> =
            self.order.iter().filter_map(|&axis| self.shape.get(axis).copied()).collect();
        let result = graph.reshape(result, &turned)?;
        let mut back = vec![0; self.order.len()];
        for (position, &axis) in self.order.iter().enumerate() {
            if let Some(place) = back.get_mut(axis) {
                *place = position;
            }
        }
        graph.permute(&result, &back)
    }
}

pub(super) fn run(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let keep = call.attributes.int("keepdims")?.unwrap_or(1) != 0;
    let nothing = call.attributes.flag("noop_with_empty_axes")?;
    let axes = call.ints("axes", 1)?.unwrap_or_default();
    let before = match call.op {
        "ReduceL1" => graph.unary(&value, Elementwise::Absolute)?,
        "ReduceL2" | "ReduceSumSquare" => graph.binary(Binary::Multiply, &value, &value)?,
        _ => value.clone(),
    };
    let function = match call.op {
        "ReduceMean" => Rowwise::Mean,
        "ReduceMax" => Rowwise::Max,
        "ReduceMin" => Rowwise::Min,
        "ReduceProd" => Rowwise::Product,
        _ => Rowwise::Sum,
    };
    let result = if axes.is_empty() && nothing {
        if call.op == "ReduceLogSumExp" {
            return Ok(value);
        }
        before
    } else {
        let axes = sample_axes(graph, &before, &axes)?;
        if call.op == "ReduceLogSumExp" {
            return log_sum_exp(graph, &before, &axes, keep);
        }
        let rows = Rows::along(graph, &before, &axes)?;
        let result = match exceeded(graph, &rows.value).filter(|_| function == Rowwise::Sum) {
            Some((layer, boundaries)) => {
                let x = Value { source: Source::Layer(layer), ..before.clone() };
                graph.apply(LayerKind::Discretization { boundaries }, &x)?
            }
            None => graph.rowwise(&rows.value, function)?,
        };
        rows.reduced(graph, &result, keep)?
    };
    match call.op {
        "ReduceL2" => graph.unary(&result, Elementwise::SquareRoot),
        "ReduceLogSum" => graph.unary(&result, Elementwise::Log),
        _ => Ok(result),
    }
}

/// What is compared with boundaries of which a sum counts how many it exceeds: that is a discretization, and what it
/// gives may be an index.
fn exceeded(graph: &Graph, rows: &Value) -> Option<(usize, Tensor)> {
    let Source::Layer(layer) = rows.source else { return None };
    let (LayerKind::Combine(Binary::GreaterEqual), &[column, boundaries]) = graph.call(layer)? else {
        return None;
    };
    let (LayerKind::Constant { value }, _) = graph.call(boundaries)? else { return None };
    let (LayerKind::Reshape { shape }, &[x]) = graph.call(column)? else { return None };
    let sorted = value.data().windows(2).all(|pair| pair.first() <= pair.last());
    let fits = shape.split_last() == Some((&1, graph.layer_shape(x))) && value.shape().len() == 1;
    (sorted && fits).then(|| (x, value.clone()))
}

/// The sample's axes of these: all where there are none.
fn sample_axes(graph: &Graph, value: &Value, axes: &[i64]) -> Result<Vec<usize>> {
    let all: Vec<i64> = (0..graph.rank(value) as i64).collect();
    let axes = if axes.is_empty() { &all[..] } else { axes };
    axes.iter().map(|&axis| graph.axis(value, axis)).collect()
}

/// The largest value is taken out first, so that nothing overflows.
fn log_sum_exp(graph: &mut Graph, value: &Value, axes: &[usize], keep: bool) -> Result<Value> {
    let rows = Rows::along(graph, value, axes)?;
    let max = graph.rowwise(&rows.value, Rowwise::Max)?;
    let below = graph.binary(Binary::Subtract, &rows.value, &max)?;
    let exponentials = graph.unary(&below, Elementwise::Exponential)?;
    let sum = graph.rowwise(&exponentials, Rowwise::Sum)?;
    let log = graph.unary(&sum, Elementwise::Log)?;
    let result = graph.binary(Binary::Add, &log, &max)?;
    rows.reduced(graph, &result, keep)
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let keep = call.attributes.int("keepdims")?.unwrap_or(1) != 0;
    let last = call.attributes.flag("select_last_index")?;
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    let axis = graph.axis(&value, axis)?;
    let value = match call.op {
        "ArgMin" => graph.unary(&value, Elementwise::Negative)?,
        _ => value,
    };
    let mut rows = Rows::along(graph, &value, &[axis])?;
    let width = graph.shape(&rows.value).last().copied().unwrap_or(0);
    if !last {
        let index = graph.rowwise(&rows.value, Rowwise::ArgMax)?;
        return Ok(rows.reduced(graph, &index, keep)?.of_kind(Kind::Int));
    }
    // The first one from the other end.
    let row_axis = graph.shape(&rows.value).len().saturating_sub(1);
    graph.spend(width)?;
    rows.value = graph.gather(&rows.value, row_axis, (0..width).rev().collect())?;
    let from_end = graph.rowwise(&rows.value, Rowwise::ArgMax)?.of_kind(Kind::Float);
    let index = graph.rescaled(&from_end, -1.0, width.saturating_sub(1) as f32)?;
    Ok(rows.reduced(graph, &index, keep)?.of_kind(Kind::Int))
}
