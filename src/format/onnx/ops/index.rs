//! Indices of a table that exporters wrap in arithmetic.

use crate::{
    Activation, LayerKind,
    format::onnx::{
        graph::Graph,
        value::{Constant, Data, Outcome, Source, Value},
    },
};

/// More steps than any exporter makes of an index.
const MAX_STEPS: usize = 32;

/// The value that indices of a table of `rows` rows come from, if all that was done to it leaves each of 0 … `rows` − 1
/// as it is: a cast, or TensorFlow's choice between `i` and, below zero, `i + rows`. An engine can check that value, if
/// it is an input, but not what is computed from it.
pub(super) fn source(graph: &mut Graph, indices: Value, rows: usize) -> Outcome {
    let Source::Layer(index) = graph.source(indices) else { return Ok(indices) };
    let Some((origin, steps)) = steps(graph, index) else { return Ok(indices) };
    graph.spend(rows.saturating_mul(steps.len()))?;
    let identity: Vec<f32> = (0..rows).map(|i| i as f32).collect();
    match unchanged(graph, origin, &steps, &identity) {
        Some(true) => Ok(graph.like(indices, Source::Layer(origin))),
        _ => Ok(indices),
    }
}

/// The one value of the same shape from which a layer is computed value by value, and the layers that do it in order.
fn steps(graph: &Graph, index: usize) -> Option<(usize, Vec<usize>)> {
    let mut origin = None;
    let mut steps = Vec::new();
    let mut open = vec![index];
    while let Some(layer) = open.pop() {
        if steps.contains(&layer) {
            continue;
        }
        let (kind, inputs) = graph.layers.get(layer)?;
        match kind {
            LayerKind::Constant { value } if value.data().len() == 1 => {}
            LayerKind::Activation(Activation::Elementwise(_)) | LayerKind::Combine(_) => {
                open.extend_from_slice(inputs);
            }
            _ if origin.is_none_or(|origin| origin == layer) => {
                origin = Some(layer);
                continue;
            }
            _ => return None,
        }
        // Layers follow those they take their inputs from.
        let place = steps.iter().position(|&step| step > layer).unwrap_or(steps.len());
        steps.insert(place, layer);
        if steps.len() > MAX_STEPS {
            return None;
        }
    }
    let origin = origin?;
    (graph.layers.shape(origin) == graph.layers.shape(index)).then_some((origin, steps))
}

/// Whether the last of these layers gives the values of their origin, if all can be computed.
fn unchanged(graph: &Graph, origin: usize, steps: &[usize], values: &[f32]) -> Option<bool> {
    let identity = Constant::new(vec![values.len()], Data::of_floats(values.to_vec()));
    let mut known = vec![(origin, identity)];
    for &step in steps {
        let (kind, inputs) = graph.layers.get(step)?;
        let value =
            |i: usize| known.iter().find(|(layer, _)| Some(layer) == inputs.get(i)).map(|(_, value)| value);
        let result = match kind {
            LayerKind::Constant { value } => Constant::new(vec![], Data::of_floats(value.data().to_vec())),
            LayerKind::Activation(Activation::Elementwise(function)) => value(0)?.unary(*function).ok()?,
            LayerKind::Combine(function) => {
                let mut joined = value(0)?.clone();
                for i in 1..inputs.len() {
                    joined = Constant::binary(*function, &joined, value(i)?).ok()?;
                }
                joined
            }
            _ => return None,
        };
        known.push((step, result));
    }
    let (_, last) = known.last()?;
    let floats = last.data.floats().ok()?;
    Some(*last.shape == [values.len()] && **floats == *values)
}
