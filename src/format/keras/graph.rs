//! Who calls whom in a functional model.
//!
//! A call is a node of its layer, and a tensor is `[layer, node, index]`: `inbound_nodes` lists a layer's calls, each
//! with the tensors it is given. Keras 1 and 2 write `[["dense", 0, 0, {kwargs}]]`, Keras 3
//! `{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}}], "kwargs": {}}`.

use super::{
    fields::{Fields, brief},
    layer::{Entry, Spec},
};
use crate::{Error, LayerKind, Node, Result};
use serde_json::Value;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

/// A call of a layer, as the file has it.
struct Call {
    layer: usize,
    inputs: Vec<Reference>,
}

/// The result of a layer's call.
struct Reference {
    layer: String,
    call: usize,
}

/// The calls in an order of evaluation, the inputs first and in the model's order, and those that are the outputs.
pub(super) fn wire(entries: &mut [Entry], inputs: Value, outputs: Value) -> Result<(Vec<Node>, Vec<usize>)> {
    let mut calls = Vec::new();
    // Index of a layer's first call; the others follow it.
    let mut first_call = HashMap::new();
    for (layer, entry) in entries.iter_mut().enumerate() {
        let first = calls.len();
        let listed = entry.calls.take();
        read_calls(layer, entry, listed, &mut calls).map_err(|error| error.layer(&entry.name))?;
        if first_call.insert(entry.name.clone(), (first, calls.len() - first)).is_some() {
            return Err(Error::format("two layers have this name").layer(&entry.name));
        }
    }
    let find = |reference: &Reference| match first_call.get(&reference.layer) {
        Some(&(first, count)) if reference.call < count => Ok(first + reference.call),
        Some(_) => Err(Error::format(format!("node {} is missing", reference.call)).layer(&reference.layer)),
        None => Err(Error::format(format!("the layer '{}' is missing", reference.layer))),
    };
    let mut edges: Vec<Vec<usize>> = Vec::with_capacity(calls.len());
    for call in &calls {
        let sources: Result<_> = call.inputs.iter().map(find).collect();
        edges.push(sources.map_err(|error| match entries.get(call.layer) {
            Some(entry) => error.layer(&entry.name),
            None => error,
        })?);
    }
    let ends = |value: Value| -> Result<Vec<usize>> { references(value)?.iter().map(find).collect() };
    let (inputs, outputs) = (ends(inputs)?, ends(outputs)?);
    check_inputs(entries, &calls, &inputs)?;
    let order = order(&edges, &inputs)?;
    let mut place = vec![0; calls.len()];
    for (index, &call) in order.iter().enumerate() {
        place[call] = index;
    }
    let renumbered = |calls: &[usize]| calls.iter().map(|&call| place[call]).collect();
    let nodes = order.iter().map(|&call| Node { layer: calls[call].layer, inputs: renumbered(&edges[call]) });
    Ok((nodes.collect(), renumbered(&outputs)))
}

/// The calls of one layer. An input layer has one, which is not listed.
fn read_calls(layer: usize, entry: &Entry, listed: Option<Value>, calls: &mut Vec<Call>) -> Result<()> {
    let listed = match listed {
        Some(Value::Array(listed)) => listed,
        None => Vec::new(),
        Some(other) => {
            return Err(Error::format(format!("'inbound_nodes' is {}, not a list", brief(&other))));
        }
    };
    match (is_input(entry), listed.is_empty()) {
        (true, true) => calls.push(Call { layer, inputs: Vec::new() }),
        (true, false) => return Err(Error::format("an input layer is called on something")),
        (false, true) => return Err(Error::format("no node calls this layer")),
        (false, false) => {}
    }
    for node in listed {
        calls.push(Call { layer, inputs: call(node)? });
    }
    Ok(())
}

fn is_input(entry: &Entry) -> bool {
    matches!(entry.spec, Spec::Plain(LayerKind::Input { .. }))
}

/// What a layer is called on.
fn call(node: Value) -> Result<Vec<Reference>> {
    if !node.is_object() {
        return references(node);
    }
    let mut fields = Fields::new(node, "a node")?;
    let args = fields.take("args");
    let args = fields.required("args", args)?;
    let kwargs = fields.take("kwargs");
    fields.done()?;
    kwargs.map_or(Ok(()), check_options)?;
    references(args)
}

/// All tensors in a structure of lists and dictionaries, in the order Keras flattens it: dictionaries by key.
fn references(value: Value) -> Result<Vec<Reference>> {
    let mut found = Vec::new();
    collect(value, &mut found)?;
    Ok(found)
}

/// Recurses as deep as the JSON does, which its parser bounds.
fn collect(value: Value, found: &mut Vec<Reference>) -> Result<()> {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_string) => found.push(reference(items)?),
        Value::Array(items) => items.into_iter().try_for_each(|item| collect(item, found))?,
        Value::Object(mut map) if map.get("class_name").is_some_and(|class| class == "__keras_tensor__") => {
            match map.get_mut("config").and_then(|config| config.get_mut("keras_history")).map(Value::take) {
                Some(Value::Array(items)) => found.push(reference(items)?),
                _ => return Err(Error::format("a tensor without 'keras_history'")),
            }
        }
        // serde_json keeps keys sorted, as Keras flattens them. A class is something other than a dictionary.
        Value::Object(map) if !map.contains_key("class_name") => {
            map.into_iter().try_for_each(|(_, item)| collect(item, found))?;
        }
        other => {
            return Err(Error::unsupported(format!(
                "called on {}, which is no layer's result",
                brief(&other)
            )));
        }
    }
    Ok(())
}

/// `[layer, node, tensor]`, in Keras 1 and 2 with the call's options behind.
fn reference(items: Vec<Value>) -> Result<Reference> {
    let text = || brief(&Value::from(items.clone()));
    let parts = (items.first(), items.get(1), items.get(2));
    let (Some(Value::String(layer)), Some(call), Some(tensor)) = parts else {
        return Err(Error::format(format!("{} is not [layer, node, tensor]", text())));
    };
    let call = call.as_u64().and_then(|call| usize::try_from(call).ok());
    let (Some(call), Some(0), 3..=4) = (call, tensor.as_u64(), items.len()) else {
        return Err(Error::format(format!("{} is no result of a layer with one result", text())));
    };
    if let Some(options) = items.get(3) {
        check_options(options.clone())?;
    }
    Ok(Reference { layer: layer.clone(), call })
}

/// Accepts a call's keyword arguments if they leave a prediction as it is.
fn check_options(options: Value) -> Result<()> {
    let mut options = Fields::new(options, "the call")?;
    if options.flag("training")? == Some(true) {
        return Err(Error::unsupported(
            "called with training=True, so that it works as in training also when predicting; rebuild the model \
             without it",
        ));
    }
    // Softmax and others have it, and no value here.
    options.skip_null("mask");
    options.done()
}

/// Fails unless the model's inputs are its input layers, each once.
fn check_inputs(entries: &[Entry], calls: &[Call], inputs: &[usize]) -> Result<()> {
    let mut listed = vec![false; calls.len()];
    for &input in inputs {
        if std::mem::replace(&mut listed[input], true) {
            return Err(Error::format("an input is listed twice").layer(&entries[calls[input].layer].name));
        }
    }
    let wrong = calls.iter().zip(&listed).find(|(call, listed)| is_input(&entries[call.layer]) != **listed);
    match wrong {
        None => Ok(()),
        Some((call, true)) => Err(Error::format("'input_layers' names it, but it is no InputLayer")
            .layer(&entries[call.layer].name)),
        Some((call, false)) => {
            Err(Error::format("'input_layers' does not name this input").layer(&entries[call.layer].name))
        }
    }
}

/// An order in which every call follows those it takes its inputs from: the inputs, then Kahn's algorithm (1962), the
/// earliest in the file first.
fn order(edges: &[Vec<usize>], inputs: &[usize]) -> Result<Vec<usize>> {
    let mut users = vec![Vec::new(); edges.len()];
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    for (call, sources) in edges.iter().enumerate() {
        sources.iter().for_each(|&source| users[source].push(call));
    }
    let mut order = Vec::with_capacity(edges.len());
    let mut is_input = vec![false; edges.len()];
    inputs.iter().for_each(|&input| is_input[input] = true);
    let is_ready = |&call: &usize| edges[call].is_empty() && !is_input[call];
    let mut ready: BinaryHeap<_> = (0..edges.len()).filter(is_ready).map(Reverse).collect();
    let mut next_input = inputs.iter();
    while let Some(call) = next_input.next().copied().or_else(|| ready.pop().map(|Reverse(call)| call)) {
        order.push(call);
        for &user in &users[call] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    match order.len() == edges.len() {
        true => Ok(order),
        false => Err(Error::format("the layers form a cycle")),
    }
}
