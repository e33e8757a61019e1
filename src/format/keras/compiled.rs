//! What a model was compiled with: `training_config` of `.h5` files, `compile_config` of archives.
//!
//! Losses, their weights and metrics are one for all outputs, a list with one for each, or a dictionary by the outputs'
//! names.

use super::{
    KerasVersion,
    fields::{Fields, brief, untupled},
    layer,
    state::Layout,
};
use crate::{
    Compiled, Error, Result,
    compile::{Loss, Optimizer},
    format::json::{Object, Value},
};

/// What there is for each output of a model.
struct Outputs {
    names: Vec<String>,
    version: KerasVersion,
}

/// What a model whose outputs have these names was compiled with, and how its optimizer lists its variables; `None` where
/// it was not compiled.
///
/// # Errors
/// `Unsupported` for optimizers and losses that nearside does not have, `Format` for what is no configuration.
pub(super) fn read(
    config: Value,
    names: Vec<String>,
    version: KerasVersion,
) -> Result<Option<(Compiled, Layout)>> {
    if matches!(&config, Value::Object(map) if map.fields().is_empty()) || config.is_null() {
        return Ok(None);
    }
    let outputs = Outputs { names, version };
    let mut fields = Fields::new(config, "what the model was compiled with")?;
    let optimizer = fields.take("optimizer").or(fields.take("optimizer_config"));
    let (optimizer, layout) = optimizer_of(fields.required("optimizer", optimizer)?, version)?;
    let losses = outputs.losses(fields.take("loss"))?;
    let loss_weights = outputs.loss_weights(fields.take("loss_weights"))?;
    let mut metrics = outputs.metrics(fields.take("metrics"))?;
    let weighted = outputs.metrics(fields.take("weighted_metrics"))?;
    metrics.iter_mut().zip(weighted).for_each(|(all, weighted)| all.extend(weighted));
    // How TensorFlow goes about it, and what the caller gives again: the weights of samples.
    fields.skip(&["run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"]);
    fields.skip(&["sample_weight_mode", "pss_evaluation_shards", "from_serialized"]);
    fields.done()?;
    let compiled = Compiled { optimizer, losses, loss_weights, metrics, state: None };
    Ok(Some((compiled, layout)))
}

fn optimizer_of(value: Value, version: KerasVersion) -> Result<(Optimizer, Layout)> {
    let mut value = plain(value)?;
    let layout = match value.get("config").and_then(|config| config.get("decay")) {
        _ if version >= KerasVersion::THREE => Layout::Keras3,
        Some(_) => Layout::BySlot,
        None => Layout::Keras2,
    };
    if version < KerasVersion::THREE
        && let Some(Value::String(class)) = value.get_mut("class_name")
        && let Some(own) = class.strip_prefix("Custom>")
    {
        // Keras 2 registers its own optimizers as if a user had.
        *class = own.to_string();
    }
    Ok((Optimizer::from_value(value)?, layout))
}

/// A class without what Keras 3 says about its place, a function as its name.
fn plain(value: Value) -> Result<Value> {
    if !matches!(value, Value::Object(_)) {
        return Ok(value);
    }
    let mut fields = Fields::new(value, "a class")?;
    let class = layer::class(&mut fields)?;
    match (class.name.as_str(), fields.take("config")) {
        ("function", Some(Value::String(name))) => Ok(Value::String(name)),
        (name, config) => {
            let config = config.unwrap_or(Value::Object(Object::default()));
            Ok(Value::object([("class_name", name.into()), ("config", config)]))
        }
    }
}

impl Outputs {
    fn losses(&self, value: Option<Value>) -> Result<Vec<Loss>> {
        let mut losses = Vec::with_capacity(self.names.len());
        for (loss, name) in self.each(value, "losses")?.into_iter().zip(&self.names) {
            let Some(loss) = loss else {
                return Err(Error::unsupported(format!("the output '{name}' has no loss")));
            };
            losses.push(Loss::from_value(plain(loss)?)?);
        }
        Ok(losses)
    }

    fn loss_weights(&self, value: Option<Value>) -> Result<Vec<f64>> {
        let number = |value: Option<Value>| match value {
            None => Ok(1.0),
            Some(value) => value.as_f64().ok_or_else(|| {
                Error::format(format!("'loss_weights' has {}, a number is needed", brief(&value)))
            }),
        };
        self.each(value, "loss weights")?.into_iter().map(number).collect()
    }

    fn metrics(&self, value: Option<Value>) -> Result<Vec<Vec<Value>>> {
        let nested = |items: &[Value]| items.iter().any(|item| matches!(item, Value::Array(_)));
        match value {
            // Keras 2 takes a plain list for every output, Keras 3 for the only one.
            Some(Value::Array(items))
                if self.names.len() == 1 || self.version < KerasVersion::THREE && !nested(&items) =>
            {
                let metrics = self.listed(Value::Array(items))?;
                Ok(vec![metrics; self.names.len()])
            }
            value => {
                let each = self.each(value, "metrics")?.into_iter();
                each.map(|value| value.map_or(Ok(Vec::new()), |value| self.listed(value))).collect()
            }
        }
    }

    /// A value for each output; `None` for null.
    fn each(&self, value: Option<Value>, what: &str) -> Result<Vec<Option<Value>>> {
        let count = self.names.len();
        match value {
            None => Ok(vec![None; count]),
            Some(Value::Array(items)) if items.len() == count => {
                let present = |item: Value| if item.is_null() { None } else { untupled(item) };
                Ok(items.into_iter().map(present).collect())
            }
            Some(Value::Array(items)) => {
                let given = items.len();
                Err(Error::format(format!("{given} {what} for a model of {count} outputs")))
            }
            Some(Value::Object(map)) if !map.contains_key("class_name") => self.by_name(map, what),
            Some(one) => Ok(vec![Some(one); count]),
        }
    }

    fn by_name(&self, map: Object, what: &str) -> Result<Vec<Option<Value>>> {
        let mut found = vec![None; self.names.len()];
        for (key, value) in map.into_fields() {
            let place = self.names.iter().position(|name| *name == key);
            let Some(found) = place.and_then(|place| found.get_mut(place)) else {
                let names = self.names.join("', '");
                return Err(Error::format(format!("{what} for '{key}'; the outputs are '{names}'")));
            };
            *found = if value.is_null() { None } else { untupled(value) };
        }
        Ok(found)
    }

    /// One metric, or those of a list. Recurses as deep as the JSON does, which its parser bounds.
    fn listed(&self, value: Value) -> Result<Vec<Value>> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => {
                let lists = items.into_iter().map(|item| self.listed(item)).collect::<Result<Vec<_>>>()?;
                Ok(lists.concat())
            }
            value => Ok(vec![self.as_given(plain(value)?)]),
        }
    }

    /// A metric by the name that it was given by, where Keras 2 wrote what it made of it: a function under that name,
    /// behind that of the output if there are several.
    fn as_given(&self, metric: Value) -> Value {
        const SHORT: [&str; 4] = ["accuracy", "acc", "crossentropy", "ce"];
        if metric.get("class_name").and_then(Value::as_str) != Some("MeanMetricWrapper") {
            return metric;
        }
        let text = |key| metric.get("config").and_then(|config| config.get(key)).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let own = self.names.iter().find_map(|output| name.strip_prefix(output.as_str())?.strip_prefix('_'));
        let short = [name, own.unwrap_or_default()].into_iter().find(|name| SHORT.contains(name));
        let given = short.or(text("fn")).map(Value::from);
        given.unwrap_or(metric)
    }
}
