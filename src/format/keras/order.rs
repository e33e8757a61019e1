//! The calls of a functional model in an order of evaluation.

use super::{
    graph::{Argument, Call, Reference, Wiring},
    layer::Entry,
};
use crate::{Error, Result};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Puts every call behind those it takes its inputs from: the inputs first, in the model's order. Operations whose
/// results nobody uses are left out: Keras records how it makes a mask also where it is only handed on.
pub(super) fn in_order(
    entries: &[Entry],
    calls: Vec<Call>,
    inputs: &[usize],
    mut outputs: Vec<Reference>,
) -> Result<Wiring> {
    let edges: Vec<Vec<usize>> =
        calls.iter().map(|call| values(call).map(|value| value.call).collect()).collect();
    let used = used(entries, &calls, &edges, &outputs);
    let order = order(&edges, inputs);
    let order: Vec<usize> = order.into_iter().filter(|&call| used.get(call) == Some(&true)).collect();
    if order.len() != used.iter().filter(|used| **used).count() {
        return Err(cycle());
    }
    let mut place: Vec<Option<usize>> = vec![None; calls.len()];
    for (index, &call) in order.iter().enumerate() {
        if let Some(place) = place.get_mut(call) {
            *place = Some(index);
        }
    }
    let moved = |value: &mut Reference| -> Result<()> {
        value.call = place.get(value.call).copied().flatten().ok_or_else(cycle)?;
        Ok(())
    };
    let mut left: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(order.len());
    for call in order {
        let mut call = left.get_mut(call).and_then(Option::take).ok_or_else(cycle)?;
        for argument in &mut call.arguments {
            if let Argument::Value(value) = argument {
                moved(value)?;
            }
        }
        ordered.push(call);
    }
    outputs.iter_mut().try_for_each(moved)?;
    Ok(Wiring { calls: ordered, inputs: inputs.len(), outputs })
}

fn cycle() -> Error {
    Error::format("the layers form a cycle")
}

fn values(call: &Call) -> impl Iterator<Item = &Reference> {
    call.arguments.iter().filter_map(|argument| match argument {
        Argument::Value(value) => Some(value),
        Argument::Constant(_) => None,
    })
}

/// The calls that are needed: of all layers, which may have weights, and what they and the outputs are made from.
fn used(entries: &[Entry], calls: &[Call], edges: &[Vec<usize>], outputs: &[Reference]) -> Vec<bool> {
    let mut used = vec![false; calls.len()];
    let mut reached: Vec<usize> = outputs.iter().map(|output| output.call).collect();
    let is_layer = |call: &Call| entries.get(call.layer).is_some_and(|entry| !entry.is_operation());
    reached.extend(calls.iter().enumerate().filter(|(_, call)| is_layer(call)).map(|(index, _)| index));
    while let Some(call) = reached.pop() {
        if used.get_mut(call).is_some_and(|used| !std::mem::replace(used, true)) {
            reached.extend(edges.get(call).into_iter().flatten());
        }
    }
    used
}

/// The inputs, then by Kahn's algorithm (1962), the earliest in the file first. Calls in circles are missing.
fn order(edges: &[Vec<usize>], inputs: &[usize]) -> Vec<usize> {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    for (call, sources) in edges.iter().enumerate() {
        for &source in sources {
            if let Some(users) = users.get_mut(source) {
                users.push(call);
            }
        }
    }
    // Operations on constants alone are ready at once; the inputs are taken from their own list.
    let mut idle: Vec<bool> = edges.iter().map(Vec::is_empty).collect();
    for &input in inputs {
        if let Some(idle) = idle.get_mut(input) {
            *idle = false;
        }
    }
    let idle = idle.iter().enumerate().filter(|(_, idle)| **idle);
    let mut ready: BinaryHeap<_> = idle.map(|(call, _)| Reverse(call)).collect();
    let mut next_input = inputs.iter();
    let mut order = Vec::with_capacity(edges.len());
    while let Some(call) = next_input.next().copied().or_else(|| ready.pop().map(|Reverse(call)| call)) {
        order.push(call);
        for &user in users.get(call).into_iter().flatten() {
            if let Some(waiting) = waiting.get_mut(user) {
                *waiting = waiting.saturating_sub(1);
                if *waiting == 0 {
                    ready.push(Reverse(user));
                }
            }
        }
    }
    order
}
