//! What to give as `config` for the tensors of a file.

use super::{Shapes, Value, prefix};
use crate::{Error, model};
use std::fmt::Write;

/// Tensors that a message names.
const LISTED: usize = 12;
/// Modules beyond which a message spells no architecture.
const MOST_MODULES: usize = 64;

/// The error for a file without an architecture: its tensors, and an architecture that could be theirs.
pub(super) fn without_architecture(shapes: &Shapes) -> Error {
    let mut message = "this safetensors file holds weights without an architecture: ".to_string();
    let mut separator = "";
    for (name, shape) in sorted(shapes).take(LISTED) {
        let _ = write!(message, "{separator}{name} {shape:?}");
        separator = ", ";
    }
    if shapes.0.len() > LISTED {
        let _ = write!(message, " and {} more", shapes.0.len() - LISTED);
    }
    Error::unsupported(message + &example(shapes))
}

/// What to do, as the end of a message.
pub(super) fn example(shapes: &Shapes) -> String {
    if shapes.names().any(|name| name.ends_with("/kernel")) {
        return "; give Keras's model.to_json() in the option 'config'".to_string();
    }
    match config(shapes) {
        Ok(config) => format!(
            "; give PyTorch's modules in the option 'config', with the activations that your model has in place of \
             ReLU: {}",
            config.to_text()
        ),
        Err(reason) => format!("; {reason}"),
    }
}

/// The modules that have these tensors, with activations between them; else why there is no saying.
fn config(shapes: &Shapes) -> Result<Value, String> {
    let mut modules: Vec<(String, &str)> = Vec::new();
    for (name, _) in sorted(shapes) {
        let path = name.rsplit_once('.').map_or("", |(path, _)| path);
        if modules.last().is_some_and(|(last, _)| last == path) {
            continue;
        }
        if modules.len() == MOST_MODULES {
            return Err(
                "give PyTorch's modules in the option 'config', as {\"layers\": [\"Linear\", \"ReLU\", …]}"
                    .into(),
            );
        }
        let class = class(shapes, path);
        let class = class
            .ok_or_else(|| format!("'{name}' is of no module that nearside runs: it runs dense networks"))?;
        modules.push((path.to_string(), class));
    }
    let (path, class) = modules.first().ok_or("it holds no tensors")?;
    let weight = shapes.get(&format!("{path}.weight")).unwrap_or_default();
    let input = if *class == "Linear" { weight.get(1) } else { weight.first() };
    let input: Vec<usize> = input.copied().into_iter().collect();
    let layers = by_position(&modules, prefix(shapes)).unwrap_or_else(|| by_name(&modules));
    Ok(Value::object([("input", Value::sizes(&input)), ("layers", Value::Array(layers))]))
}

/// The class that has these weights.
fn class(shapes: &Shapes, path: &str) -> Option<&'static str> {
    let shape = |weight: &str| shapes.get(&format!("{path}.{weight}")).map(<[_]>::len);
    match (shape("running_mean"), shape("weight"), shape("bias")) {
        (Some(1), ..) => Some("BatchNorm1d"),
        (None, Some(2), _) => Some("Linear"),
        (None, Some(1), Some(1)) => Some("LayerNorm"),
        (None, Some(1), None) => Some("PReLU"),
        _ => None,
    }
}

/// A list in which every module stands at the position that its name tells; `None` where that leaves no place for
/// activations.
fn by_position(modules: &[(String, &str)], prefix: Option<String>) -> Option<Vec<Value>> {
    let prefix = prefix?;
    let mut layers: Vec<Value> = Vec::new();
    for (path, class) in modules {
        let position = path.strip_prefix(prefix.as_str())?.parse::<usize>().ok()?;
        let between = if layers.is_empty() { ["Flatten", "Identity"] } else { ["ReLU", "Dropout"] };
        let gap = position.checked_sub(layers.len())?;
        layers.extend(between.get(..gap)?.iter().map(|name| Value::from(*name)));
        let linear = Value::from("Linear");
        if *class == "Linear" && layers.last() == Some(&linear) {
            return None;
        }
        layers.push(Value::from(*class));
    }
    Some(layers)
}

fn by_name(modules: &[(String, &str)]) -> Vec<Value> {
    let mut layers = Vec::new();
    for (path, class) in modules {
        if *class == "Linear" && !layers.is_empty() {
            layers.push(Value::from("ReLU"));
        }
        layers.push(Value::object([("type", Value::from(*class)), ("name", Value::from(path.as_str()))]));
    }
    layers
}

/// The tensors with their numbers in ascending order: 2 before 10.
fn sorted(shapes: &Shapes) -> impl Iterator<Item = &(String, Vec<usize>)> {
    let padded = |name: &String| {
        let mut padded = String::new();
        for part in name.split('.') {
            let _ = match part.parse::<u32>() {
                Ok(number) => write!(padded, "{number:010}."),
                Err(_) => write!(padded, "{part}."),
            };
        }
        padded
    };
    let padded: Vec<String> = shapes.names().map(padded).collect();
    model::sorted(&mut padded.iter()).into_iter().filter_map(|(_, index)| shapes.0.get(index))
}
