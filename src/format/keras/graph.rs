//! Who calls whom in a functional model.
//!
//! A call is a node of its layer, and a tensor is `[layer, node, index]`: `inbound_nodes` lists a layer's calls, each
//! with the tensors it is given. Keras 1 and 2 write `[["dense", 0, 0, {kwargs}]]`, Keras 3
//! `{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0]}}], "kwargs": {}}`.
//!
//! A model that is called has a node 0 of its own in Keras 1 and 2, which is not listed: its first call is node 1. In
//! Keras 3 that is so in `output_layers` alone, and for functional models alone.

use super::{
    KerasVersion,
    fields::{Fields, brief},
    layer::{Content, Entry},
    network::Network,
    order,
};
use crate::{
    Error, Result,
    format::{json::Value, table::Table},
    model::sorted,
};

/// A call of a layer or of a model.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    /// Index of its entry.
    pub(super) layer: usize,
    pub(super) arguments: Vec<Argument>,
    /// The keys of the arguments, where they are told apart by keys.
    pub(super) keys: Vec<String>,
    /// Whether it is given a mask, too.
    pub(super) masked: bool,
}

/// What a call is given.
#[derive(Debug, PartialEq)]
pub(super) enum Argument {
    Value(Reference),
    /// What is no layer's result; only operations take it.
    Constant(Value),
}

/// A result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) call: usize,
    pub(super) output: usize,
}

/// The calls of a model.
pub(super) struct Wiring {
    /// In an order of evaluation, the inputs first.
    pub(super) calls: Vec<Call>,
    pub(super) inputs: usize,
    pub(super) outputs: Vec<Reference>,
}

impl Call {
    pub(super) fn on_values(layer: usize, values: Vec<Reference>) -> Self {
        let arguments = values.into_iter().map(Argument::Value).collect();
        Self { layer, arguments, keys: Vec::new(), masked: false }
    }
}

/// A tensor as the file spells it.
struct Named {
    layer: String,
    node: usize,
    output: usize,
}

/// A call as the file has it.
#[derive(Default)]
struct Listed {
    layer: usize,
    arguments: Vec<Item>,
    keys: Vec<String>,
    masked: bool,
}

enum Item {
    Tensor(Named),
    Constant(Value),
}

/// The calls of one entry.
#[derive(Clone, Copy)]
struct Nodes {
    /// Index of the entry.
    layer: usize,
    /// Index of its first call; the others follow it.
    first: usize,
    count: usize,
    /// The lowest node that something refers to: in a call, and as an output.
    lowest: [usize; 2],
}

/// Where a tensor is referred to.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Call,
    Output,
}

pub(super) fn wire(
    entries: &mut [Entry],
    inputs: Value,
    outputs: Value,
    version: KerasVersion,
) -> Result<Wiring> {
    let mut listed = Vec::new();
    let mut nodes = Table::default();
    for (layer, entry) in entries.iter_mut().enumerate() {
        let first = listed.len();
        let calls = entry.calls.take();
        read_calls(layer, entry, calls, &mut listed).map_err(|error| error.layer(&entry.name))?;
        let count = listed.len() - first;
        nodes.insert(entry.name.clone(), Nodes { layer, first, count, lowest: [usize::MAX; 2] });
    }
    let (inputs, outputs) = (references(inputs)?, references(outputs)?);
    let called = listed.iter().flat_map(|call| &call.arguments).filter_map(Item::tensor);
    for (place, tensor) in
        called.map(|tensor| (Place::Call, tensor)).chain(outputs.iter().map(|tensor| (Place::Output, tensor)))
    {
        if let Some(lowest) = nodes.get_mut(&tensor.layer).and_then(|n| n.lowest.get_mut(place as usize)) {
            *lowest = tensor.node.min(*lowest);
        }
    }
    let names = Names { entries, nodes, version };
    let mut calls = Vec::with_capacity(listed.len());
    for Listed { layer, arguments, keys, masked } in listed {
        let mut resolved = Vec::with_capacity(arguments.len());
        for item in arguments {
            resolved.push(match item {
                Item::Tensor(tensor) => {
                    let found = names.find(&tensor, Place::Call);
                    Argument::Value(found.map_err(|error| names.at(layer, error))?)
                }
                Item::Constant(value) => Argument::Constant(value),
            });
        }
        calls.push(Call { layer, arguments: resolved, keys, masked });
    }
    let find = |tensors: Vec<Named>, place| -> Result<Vec<Reference>> {
        tensors.iter().map(|tensor| names.find(tensor, place)).collect()
    };
    let outputs = find(outputs, Place::Output)?;
    let inputs: Vec<usize> = find(inputs, Place::Call)?.iter().map(|input| input.call).collect();
    check_inputs(entries, &calls, &inputs)?;
    order::in_order(entries, calls, &inputs, outputs)
}

/// The entries by name.
struct Names<'a> {
    entries: &'a [Entry],
    nodes: Table<Nodes>,
    version: KerasVersion,
}

impl Names<'_> {
    /// Where a tensor comes from.
    fn find(&self, tensor: &Named, place: Place) -> Result<Reference> {
        let found =
            self.nodes.get(&tensor.layer).and_then(|nodes| Some((nodes, self.entries.get(nodes.layer)?)));
        let Some((nodes, entry)) = found else {
            return Err(Error::format(format!("the layer '{}' is missing", tensor.layer)));
        };
        let call = tensor.node.checked_sub(self.unlisted(nodes, entry, place));
        let Some(call) = call.filter(|&call| call < nodes.count) else {
            return Err(Error::format(format!("node {} is missing", tensor.node)).layer(&tensor.layer));
        };
        let results = entry.outputs();
        if tensor.output >= results {
            return Err(Error::format(format!(
                "result {} of '{}' is asked for, which has {}",
                tensor.output,
                entry.name,
                if results == 1 { "one result".to_string() } else { format!("{results} results") }
            )));
        }
        Ok(Reference { call: nodes.first + call, output: tensor.output })
    }

    /// How many nodes are not listed: one of a model that nothing refers to by its node 0, where Keras may count so.
    fn unlisted(&self, nodes: &Nodes, entry: &Entry, place: Place) -> usize {
        let [in_calls, as_output] = nodes.lowest;
        let lowest = match &entry.content {
            Content::Layer(..) => 0,
            Content::Model(_) if self.version < KerasVersion::THREE => in_calls.min(as_output),
            Content::Model(_) if place == Place::Output && Network::is_functional(&entry.class) => as_output,
            Content::Model(_) => 0,
        };
        lowest.min(1)
    }

    fn at(&self, layer: usize, error: Error) -> Error {
        match self.entries.get(layer) {
            Some(entry) => error.layer(&entry.name),
            None => error,
        }
    }
}

/// The calls of one layer. An input layer has one, which is not listed.
fn read_calls(layer: usize, entry: &Entry, calls: Option<Value>, listed: &mut Vec<Listed>) -> Result<()> {
    let calls = match calls {
        Some(Value::Array(calls)) => calls,
        None => Vec::new(),
        Some(other) => {
            return Err(Error::format(format!("'inbound_nodes' is {}, not a list", brief(&other))));
        }
    };
    match (entry.is_input(), calls.is_empty()) {
        (true, true) => listed.push(Listed { layer, ..Listed::default() }),
        (true, false) => return Err(Error::format("an input layer is called on something")),
        (false, true) => return Err(Error::format("no node calls this layer")),
        (false, false) => {}
    }
    for node in calls {
        let mut call = Listed { layer, ..Listed::default() };
        read_call(node, &mut call)?;
        let constant = call.arguments.iter().find_map(|item| match item {
            Item::Constant(value) => Some(value),
            Item::Tensor(_) => None,
        });
        if let Some(value) = constant.filter(|_| !entry.is_operation()) {
            return Err(no_tensor(value));
        }
        listed.push(call);
    }
    Ok(())
}

/// What a layer is called on.
fn read_call(node: Value, call: &mut Listed) -> Result<()> {
    let args = match node {
        Value::Object(map) if map.contains_key("args") => {
            let mut fields = Fields::new(Value::Object(map), "a node")?;
            let args = fields.take("args");
            let kwargs = fields.take("kwargs");
            let args = fields.required("args", args)?;
            fields.done()?;
            call.masked |= kwargs.map_or(Ok(false), read_options)?;
            args
        }
        node => node,
    };
    match args {
        // Each argument by itself, because what has no tensor in it is a constant as a whole.
        Value::Array(items) if !is_reference(&items) => {
            items.into_iter().try_for_each(|item| collect(item, call))
        }
        args => collect(args, call),
    }
}

/// All tensors in a structure of lists and dictionaries, in the order Keras flattens it: dictionaries by key. Recurses
/// as deep as the JSON does, which its parser bounds.
fn collect(value: Value, call: &mut Listed) -> Result<()> {
    match value {
        value if !has_tensor(&value) => call.arguments.push(Item::Constant(value)),
        Value::Array(items) if is_reference(&items) => {
            if let Some(options) = items.get(3) {
                call.masked |= read_options(options.clone())?;
            }
            call.arguments.push(Item::Tensor(reference(&items)?));
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| collect(item, call))?,
        Value::Object(map) if map.contains_key("class_name") => {
            let history = map.get("config").and_then(|config| config.get("keras_history"));
            match history.and_then(Value::as_array) {
                Some(items) => call.arguments.push(Item::Tensor(reference(items)?)),
                None => return Err(Error::format("a tensor without 'keras_history'")),
            }
        }
        // Keras flattens dictionaries in the order of their keys.
        Value::Object(map) => {
            let mut fields = map.into_fields();
            for (key, place) in sorted(&mut fields.iter().map(|(key, _)| key)) {
                call.keys.push(key);
                collect(fields[place].1.take(), call)?;
            }
        }
        other => return Err(no_tensor(&other)),
    }
    Ok(())
}

/// Tensors alone, as inputs and outputs of a model are listed.
fn references(value: Value) -> Result<Vec<Named>> {
    let mut call = Listed::default();
    read_call(value, &mut call)?;
    let mut tensors = Vec::with_capacity(call.arguments.len());
    for item in call.arguments {
        match item {
            Item::Tensor(tensor) => tensors.push(tensor),
            Item::Constant(value) => return Err(no_tensor(&value)),
        }
    }
    Ok(tensors)
}

fn no_tensor(value: &Value) -> Error {
    Error::unsupported(format!("called on {}, which is no layer's result", brief(value)))
}

impl Item {
    fn tensor(&self) -> Option<&Named> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            Self::Constant(_) => None,
        }
    }
}

fn is_reference(items: &[Value]) -> bool {
    items.first().is_some_and(Value::is_string)
}

fn has_tensor(value: &Value) -> bool {
    match value {
        Value::Array(items) => is_reference(items) || items.iter().any(has_tensor),
        Value::Object(map) => match map.get("class_name") {
            Some(class) => class == "__keras_tensor__",
            None => map.fields().iter().any(|(_, value)| has_tensor(value)),
        },
        _ => false,
    }
}

/// `[layer, node, tensor]`, in Keras 1 and 2 with the call's options behind.
fn reference(items: &[Value]) -> Result<Named> {
    let index = |at: usize| items.get(at)?.as_u64().and_then(|index| usize::try_from(index).ok());
    match (items.first(), index(1), index(2), items.len()) {
        (Some(Value::String(layer)), Some(node), Some(output), 3..=4) => {
            Ok(Named { layer: layer.clone(), node, output })
        }
        _ => {
            let text = brief(&Value::from(items));
            Err(Error::format(format!("{text} is not [layer, node, tensor]")))
        }
    }
}

/// Accepts a call's keyword arguments if they leave a prediction as it is; whether a mask is among them.
fn read_options(options: Value) -> Result<bool> {
    let mut options = Fields::new(options, "the call")?;
    if options.flag("training")? == Some(true) {
        return Err(Error::unsupported(
            "called with training=True, so that it works as in training also when predicting; rebuild the model \
             without it",
        ));
    }
    let mask = options.take("mask");
    options.done()?;
    Ok(mask.is_some())
}

/// Fails unless the model's inputs are its input layers, each once.
fn check_inputs(entries: &[Entry], calls: &[Call], inputs: &[usize]) -> Result<()> {
    let mut listed = vec![false; calls.len()];
    for &input in inputs {
        let (Some(call), Some(listed)) = (calls.get(input), listed.get_mut(input)) else { continue };
        if std::mem::replace(listed, true) {
            return Err(at(entries, call, Error::format("an input is listed twice")));
        }
    }
    for (call, listed) in calls.iter().zip(listed) {
        let is_input = entries.get(call.layer).is_some_and(Entry::is_input);
        if is_input != listed {
            return Err(at(
                entries,
                call,
                Error::format(match listed {
                    true => "'input_layers' names it, but it is no InputLayer",
                    false => "'input_layers' does not name this input",
                }),
            ));
        }
    }
    Ok(())
}

fn at(entries: &[Entry], call: &Call, error: Error) -> Error {
    match entries.get(call.layer) {
        Some(entry) => error.layer(&entry.name),
        None => error,
    }
}
