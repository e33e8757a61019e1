//! Indices of a table that exporters wrap in arithmetic.

use crate::{
    Activation, LayerKind, Result,
    format::onnx::{
        graph::Graph,
        value::{Constant, Data, Source, Value},
    },
};
use std::collections::BTreeMap;

/// More steps than any exporter makes of an index.
const MAX_STEPS: usize = 32;

/// The value that indices of a table of `rows` rows come from, if all that was done to it leaves each of 0 … `rows` − 1
/// as it is: a cast, or TensorFlow's choice between `i` and, below zero, `i + rows`. An engine can check that value, if
/// it is an input, but not what is computed from it.
pub(super) fn source(graph: &mut Graph, indices: &Value, rows: usize) -> Result<Value> {
    let Source::Layer(index) = indices.source else { return Ok(indices.clone()) };
    let Some((origin, steps)) = steps(graph, index) else { return Ok(indices.clone()) };
    graph.spend(rows.saturating_mul(steps.len()))?;
    let identity = Constant { shape: vec![rows], data: Data::Floats((0..rows).map(|i| i as f32).collect()) };
    let mut values = BTreeMap::from([(origin, identity.clone())]);
    for step in steps {
        let Some(value) = evaluate(graph, step, &values) else { return Ok(indices.clone()) };
        values.insert(step, value);
    }
    let unchanged = values.get(&index) == Some(&identity);
    Ok(if unchanged { Value { source: Source::Layer(origin), ..indices.clone() } } else { indices.clone() })
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
        let (kind, inputs) = graph.call(layer)?;
        match kind {
            LayerKind::Constant { value } if value.data().len() == 1 => steps.push(layer),
            LayerKind::Activation(Activation::Elementwise(_)) | LayerKind::Combine(_) => {
                steps.push(layer);
                open.extend(inputs);
            }
            _ if origin.is_none_or(|origin| origin == layer) => origin = Some(layer),
            _ => return None,
        }
        if steps.len() > MAX_STEPS {
            return None;
        }
    }
    // Layers follow those they take their inputs from.
    let mut sorted = Vec::with_capacity(steps.len());
    while let Some(next) = steps.iter().copied().min() {
        steps.retain(|&step| step != next);
        sorted.push(next);
    }
    let origin = origin?;
    (graph.layer_shape(origin) == graph.layer_shape(index)).then_some((origin, sorted))
}

fn evaluate(graph: &Graph, step: usize, values: &BTreeMap<usize, Constant>) -> Option<Constant> {
    let (kind, inputs) = graph.call(step)?;
    let mut inputs = inputs.iter().map(|input| values.get(input));
    match kind {
        LayerKind::Constant { value } => {
            Some(Constant { shape: vec![], data: Data::Floats(value.data().to_vec()) })
        }
        LayerKind::Activation(Activation::Elementwise(function)) => inputs.next()??.unary(*function).ok(),
        LayerKind::Combine(function) => {
            let first = inputs.next()??.clone();
            inputs.try_fold(first, |joined, next| Constant::binary(*function, &joined, next?).ok())
        }
        _ => None,
    }
}
