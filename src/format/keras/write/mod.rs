//! Writes Keras's files: `.h5` as Keras 3's `legacy_h5_format.py` lays it out, in words that Keras 2 also knows, and
//! `.keras` as `saving_lib.py` does. Links to both: [`keras`](super).

mod compiled;
mod config;
mod graph;
mod hdf5;
mod layer;
mod zip;

use super::saved::snake_case;
use crate::{Dtype, Error, Model, Result, format::json::Value};
use compiled::Variables;
use config::Dialect;
use graph::{Graph, valid_name};
use hdf5::{Attribute, Data, Group};

/// The Keras that these formats are of: some names have another meaning in Keras 2.
const KERAS_VERSION: &str = "3.15.1";
/// The longest list that Keras keeps in one attribute, in bytes.
const MAX_LIST: usize = 64_512;

/// Writes an `.h5` file, as `model.save('model.h5')` does.
///
/// # Errors
/// `Unsupported` for int8, and for layers that Keras has not; `Value` for parameters that its files cannot hold.
pub fn write_h5(model: &Model, dtype: Dtype) -> Result<Vec<u8>> {
    let graph = graph(model, dtype, Dialect::Legacy)?;
    let config = config::config(&valid_name(&model.name), &graph, Dialect::Legacy).to_text();
    let is_chain = graph.is_chain();
    let training = compiled::config(model, Dialect::Legacy)?;
    let variables = compiled::variables(model, &graph)?;
    let mut weights = Group::default();
    // Keras leaves the input out of a chain.
    let layers = graph.layers.into_iter().skip(usize::from(is_chain));
    let mut names = Vec::new();
    for layer in layers {
        let mut group = Group::default();
        let paths = layer.weights.iter().map(|stored| format!("{}/{}", layer.name, stored.weight)).collect();
        group.attributes.extend(list("weight_names", paths));
        if !layer.weights.is_empty() {
            let datasets =
                layer.weights.into_iter().map(|stored| (stored.weight.to_string(), Data::Floats(stored)));
            let inner = Group { datasets: datasets.collect(), ..Group::default() };
            group.groups.push((layer.name.clone(), inner));
        }
        weights.groups.push((layer.name.clone(), group));
        names.push(layer.name);
    }
    weights.attributes = list("layer_names", names);
    weights.attributes.extend(versions());
    let mut root = Group::default();
    root.attributes.extend(versions());
    root.attributes.push(("model_config".to_string(), Attribute::Text(config)));
    root.attributes.extend(training.map(|config| ("training_config".to_string(), Attribute::Text(config))));
    root.groups.push(("model_weights".to_string(), weights));
    root.groups.extend(variables.map(|Variables { optimizer, datasets }| {
        let paths = datasets.iter().map(|(name, _)| format!("{optimizer}/{name}")).collect();
        let group = (optimizer, Group { datasets, ..Group::default() });
        let attributes = list("weight_names", paths);
        ("optimizer_weights".to_string(), Group { attributes, groups: vec![group], ..Group::default() })
    }));
    hdf5::write(&root)
}

/// Writes a `.keras` archive, as `model.save('model.keras')` does.
///
/// # Errors
/// As [`write_h5`].
pub fn write_keras(model: &Model, dtype: Dtype) -> Result<Vec<u8>> {
    let graph = graph(model, dtype, Dialect::Keras3)?;
    let name = valid_name(&model.name);
    let mut config = config::config(&name, &graph, Dialect::Keras3).to_text();
    if let Some(compiled) = compiled::config(model, Dialect::Keras3)? {
        // Into the object, as the text that it has to be.
        config.pop();
        config = format!("{config},\"compile_config\":{compiled}}}");
    }
    let variables = compiled::variables(model, &graph)?;
    let metadata = Value::object([("keras_version", KERAS_VERSION.into())]).to_text();
    let is_chain = graph.is_chain();
    let mut layers = Group::default();
    let mut classes: Vec<&str> = Vec::new();
    for layer in graph.layers.into_iter().skip(usize::from(is_chain)) {
        // Numbered by class, whatever the layers' names.
        let count = classes.iter().filter(|&&class| class == layer.class).count();
        let number = if count == 0 { String::new() } else { format!("_{count}") };
        classes.push(layer.class);
        let path = snake_case(layer.class) + &number;
        let weights = layer.weights.into_iter().map(Data::Floats).collect();
        layers.groups.push((path, vars(&layer.name, weights)));
    }
    let mut root = vars(&name, vec![]);
    root.groups.push(("layers".to_string(), layers));
    root.groups.extend(variables.map(|Variables { optimizer, datasets }| {
        let variables = datasets.into_iter().map(|(_, data)| data).collect();
        ("optimizer".to_string(), vars(&optimizer, variables))
    }));
    let weights = hdf5::write(&root)?;
    zip::write(&[
        ("metadata.json", metadata.as_bytes()),
        ("config.json", config.as_bytes()),
        ("model.weights.h5", &weights),
    ])
}

/// What Keras keeps of a layer, a model or an optimizer: `vars`, which says its name.
fn vars<'a>(name: &str, variables: Vec<Data<'a>>) -> Group<'a> {
    let attributes = vec![("name".to_string(), Attribute::Text(name.to_string()))];
    let datasets = variables.into_iter().enumerate().map(|(index, data)| (index.to_string(), data)).collect();
    let vars = Group { attributes, datasets, ..Group::default() };
    Group { groups: vec![("vars".to_string(), vars)], ..Group::default() }
}

fn graph(model: &Model, dtype: Dtype, dialect: Dialect) -> Result<Graph<'_>> {
    if dtype == Dtype::Int8 {
        return Err(Error::unsupported(
            "Keras's files hold no int8 weights; save as 'onnx' or 'safetensors', or with the dtype 'f16'",
        ));
    }
    Graph::of(model, dtype, dialect)
}

fn versions() -> [(String, Attribute); 2] {
    [("keras_version", KERAS_VERSION), ("backend", "tensorflow")]
        .map(|(name, value)| (name.to_string(), Attribute::Text(value.to_string())))
}

/// A list in one attribute, or in several, numbered ones where it is too long for one.
fn list(name: &str, texts: Vec<String>) -> Vec<(String, Attribute)> {
    let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
    if texts.len().saturating_mul(width) <= MAX_LIST {
        return vec![(name.to_string(), Attribute::Texts(texts))];
    }
    let chunks = texts.chunks((MAX_LIST / width).max(1)).enumerate();
    chunks.map(|(index, chunk)| (format!("{name}{index}"), Attribute::Texts(chunk.to_vec()))).collect()
}
