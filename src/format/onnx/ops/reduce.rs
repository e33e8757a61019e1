//! Reductions of axes, and where the largest value is.

use crate::{
    Binary, Elementwise, LayerKind, Rowwise, Tensor,
    format::onnx::{
        graph::Graph,
        value::{Kind, Outcome, Source, Value},
    },
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
    pub fn along(graph: &mut Graph, value: Value, axes: &[usize]) -> Outcome<Self> {
        let shape = graph.shape(value).to_vec();
        let (mut order, mut moved) = (Vec::with_capacity(shape.len()), Vec::new());
        for axis in 0..shape.len() {
            if axes.contains(&axis) { &mut moved } else { &mut order }.push(axis);
        }
        let kept = order.len();
        order.append(&mut moved);
        let turned = graph.permute(value, &order)?;
        let mut flat = graph.shape(turned).to_vec();
        let row = graph.count(flat.get(kept..).unwrap_or_default())?;
        flat.truncate(kept);
        flat.push(row);
        let value = graph.reshape(turned, &flat)?;
        Ok(Self { value, order, shape, kept })
    }

    /// The result of a function that leaves one value a row, with those axes of length 1 or without them.
    pub fn reduced(&self, graph: &mut Graph, result: Value, keep: bool) -> Outcome {
        let gone = self.order.get(self.kept..).unwrap_or_default();
        let mut shape = Vec::with_capacity(self.shape.len());
        for (axis, &length) in self.shape.iter().enumerate() {
            match gone.contains(&axis) {
                false => shape.push(length),
                true if keep => shape.push(1),
                true => {}
            }
        }
        graph.reshape(result, &shape)
    }

    /// The result of a function that leaves rows as long as they were, in the order of before.
    pub fn restored(&self, graph: &mut Graph, result: Value) -> Outcome {
        let (mut turned, mut back) = (Vec::new(), vec![0; self.order.len()]);
        for (position, &axis) in self.order.iter().enumerate() {
            turned.extend(self.shape.get(axis));
            if let Some(place) = back.get_mut(axis) {
                *place = position;
            }
        }
        let result = graph.reshape(result, &turned)?;
        graph.permute(result, &back)
    }

    /// The mean of each row, and that of the squares of what is left without it.
    pub fn moments(&self, graph: &mut Graph) -> Outcome<[Value; 2]> {
        let mean = graph.rowwise(self.value, Rowwise::Mean)?;
        let centered = graph.binary(Binary::Subtract, self.value, mean)?;
        let squares = graph.binary(Binary::Multiply, centered, centered)?;
        Ok([mean, graph.rowwise(squares, Rowwise::Mean)?])
    }
}

pub(super) fn run(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let keep = graph.int_or("keepdims", 1) != 0;
    let nothing = graph.flag("noop_with_empty_axes");
    let axes = graph.ints_of("axes", 1)?.unwrap_or_default();
    let op = graph.call.op;
    let before = match op {
        "ReduceL1" => graph.unary(value, Elementwise::Absolute)?,
        "ReduceL2" | "ReduceSumSquare" => graph.binary(Binary::Multiply, value, value)?,
        _ => value,
    };
    let function = match op {
        "ReduceMean" => Rowwise::Mean,
        "ReduceMax" => Rowwise::Max,
        "ReduceMin" => Rowwise::Min,
        "ReduceProd" => Rowwise::Product,
        _ => Rowwise::Sum,
    };
    let result = if axes.is_empty() && nothing {
        if op == "ReduceLogSumExp" {
            return Ok(value);
        }
        before
    } else {
        let rows = rows_of(graph, before, &axes)?;
        let result = if op == "ReduceLogSumExp" {
            log_sum_exp(graph, rows.value)?
        } else {
            match exceeded(graph, rows.value).filter(|_| function == Rowwise::Sum) {
                Some((layer, boundaries)) => {
                    let x = graph.like(before, Source::Layer(layer));
                    graph.apply(LayerKind::Discretization { boundaries }, x)?
                }
                None => graph.rowwise(rows.value, function)?,
            }
        };
        rows.reduced(graph, result, keep)?
    };
    match op {
        "ReduceL2" => graph.unary(result, Elementwise::SquareRoot),
        "ReduceLogSum" => graph.unary(result, Elementwise::Log),
        _ => Ok(result),
    }
}

/// What is compared with boundaries of which a sum counts how many it exceeds: that is a discretization, and what it
/// gives may be an index.
fn exceeded(graph: &Graph, rows: Value) -> Option<(usize, Tensor)> {
    let Source::Layer(layer) = graph.source(rows) else { return None };
    let (LayerKind::Combine(Binary::GreaterEqual), &[column, boundaries]) = graph.layers.get(layer)? else {
        return None;
    };
    let (LayerKind::Constant { value }, _) = graph.layers.get(boundaries)? else { return None };
    let (LayerKind::Reshape { shape }, &[x]) = graph.layers.get(column)? else { return None };
    let sorted = value.data().windows(2).all(|pair| pair.first() <= pair.last());
    let fits = shape.split_last() == Some((&1, graph.layers.shape(x))) && value.shape().len() == 1;
    (sorted && fits).then(|| (x, value.clone()))
}

/// Rows along ONNX's axes: all where there are none.
fn rows_of(graph: &mut Graph, value: Value, axes: &[i64]) -> Outcome<Rows> {
    let axes = if axes.is_empty() { &graph.all_axes(value) } else { axes };
    let axes = graph.axes(value, axes)?;
    Rows::along(graph, value, &axes)
}

/// The largest value is taken out first, so that nothing overflows.
fn log_sum_exp(graph: &mut Graph, rows: Value) -> Outcome {
    let max = graph.rowwise(rows, Rowwise::Max)?;
    let below = graph.binary(Binary::Subtract, rows, max)?;
    let exponentials = graph.unary(below, Elementwise::Exponential)?;
    let sum = graph.rowwise(exponentials, Rowwise::Sum)?;
    let log = graph.unary(sum, Elementwise::Log)?;
    graph.binary(Binary::Add, log, max)
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg(graph: &mut Graph) -> Outcome {
    let mut value = graph.input(0)?;
    let keep = graph.int_or("keepdims", 1) != 0;
    let last = graph.flag("select_last_index");
    let axis = graph.int_or("axis", 0);
    let axis = graph.axis(value, axis)?;
    if graph.call.op == "ArgMin" {
        value = graph.unary(value, Elementwise::Negative)?;
    }
    let rows = Rows::along(graph, value, &[axis])?;
    let mut index = rows.value;
    if last {
        // The first one from the other end.
        let width = graph.width(index);
        graph.spend(width)?;
        let row_axis = graph.shape(index).len().saturating_sub(1);
        index = graph.gather(index, row_axis, (0..width).rev().collect())?;
        index = graph.rowwise(index, Rowwise::ArgMax)?;
        index = graph.of_kind(index, Kind::Float);
        index = graph.rescaled(index, -1.0, width.saturating_sub(1) as f32)?;
    } else {
        index = graph.rowwise(index, Rowwise::ArgMax)?;
    }
    let index = rows.reduced(graph, index, keep)?;
    Ok(graph.of_kind(index, Kind::Int))
}
