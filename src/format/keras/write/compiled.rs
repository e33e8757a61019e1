//! What a model is compiled with, and what its optimizer remembers, as Keras 3 writes both.

use super::{config::Dialect, graph::Graph, hdf5::Data};
use crate::{
    Compiled, Error, Model, Result, Tensor,
    compile::{Loss, Optimizer, OptimizerState, Rule, Schedule, Slot},
    format::{
        json::Value,
        keras::{
            architecture::is_learnt,
            state::{Layout, order},
        },
        stored::{Stored, Values},
        table::Table,
    },
};
use std::borrow::Cow;

/// Options of optimizers that are off, which Keras 2 takes for mistakes.
const NOT_IN_KERAS_2: [&str; 5] = [
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
];

/// `training_config`, or `compile_config`, as text; `None` for a model that is not compiled.
///
/// # Errors
/// `Value` for numbers that JSON does not have, and where there is not a loss for each output.
pub fn config(model: &Model, dialect: Dialect) -> Result<Option<String>> {
    let Some(compiled) = &model.compiled else { return Ok(None) };
    let Compiled { optimizer, losses, loss_weights, metrics, .. } = &**compiled;
    let outputs = model.outputs.len();
    if [losses.len(), loss_weights.len(), metrics.len()] != [outputs; 3] {
        let message = format!("the model has {outputs} outputs, and is compiled for another number of them");
        return Err(Error::value(message));
    }
    let of_outputs = |mut values: Vec<Value>| match outputs {
        1 => values.remove(0),
        _ => Value::Array(values),
    };
    let losses = losses.iter().map(|loss| loss_value(*loss, dialect)).collect();
    let weights = match loss_weights.iter().all(|&weight| weight == 1.0) {
        true => Value::Null,
        false => Value::Array(loss_weights.iter().map(|&weight| weight.into()).collect()),
    };
    let placed = |metric: &Value| placed(metric.clone(), "keras.metrics", dialect);
    let lists = metrics.iter().map(|metrics| Value::Array(metrics.iter().map(placed).collect()));
    let metrics = match metrics.iter().all(Vec::is_empty) {
        true => Value::Null,
        false => of_outputs(lists.collect()),
    };
    let optimizer_field = if dialect == Dialect::Legacy { "optimizer_config" } else { "optimizer" };
    let fields = [
        ("loss", text(&of_outputs(losses), false)?),
        ("loss_weights", text(&weights, true)?),
        ("metrics", text(&metrics, false)?),
        ("weighted_metrics", "null".to_string()),
        (optimizer_field, text(&optimizer_value(optimizer, dialect), true)?),
    ];
    Ok(Some(object(fields.into_iter().map(|(name, text)| (name, Ok(text))))?))
}

/// By its name alone where that says everything.
fn loss_value(loss: Loss, dialect: Dialect) -> Value {
    match Loss::from_value(loss.name().into()) {
        Ok(same) if same == loss => loss.name().into(),
        _ => placed(loss.to_value(), "keras.losses", dialect),
    }
}

fn optimizer_value(optimizer: &Optimizer, dialect: Dialect) -> Value {
    let mut value = placed(optimizer.to_value(), "keras.optimizers", dialect);
    if let Some(Value::Object(config)) = value.get_mut("config") {
        if dialect == Dialect::Legacy {
            let fields = config.fields_mut();
            fields.retain(|(name, value)| !value.is_null() && !NOT_IN_KERAS_2.contains(&name.as_str()));
        }
        if let Some(rate) = config.get_mut("learning_rate") {
            // The one class whose place Keras 3 gives in both dialects.
            *rate = placed(rate.take(), "keras.optimizers.schedules", Dialect::Keras3);
        }
    }
    value
}

/// A class with the place where Keras 3 finds it; anything else as it is.
fn placed(mut value: Value, module: &str, dialect: Dialect) -> Value {
    if let (Value::Object(fields), Dialect::Keras3) = (&mut value, dialect)
        && !fields.contains_key("module")
    {
        let place = [("module", module.into()), ("registered_name", Value::Null)];
        fields.fields_mut().extend(place.map(|(name, value)| (name.to_string(), value)));
    }
    value
}

/// JSON with its nulls, as Keras looks for some of them, and with a point in every number where they are to be floats:
/// Keras refuses a momentum or a learning rate that is a whole number.
fn text(value: &Value, floats: bool) -> Result<String> {
    match value {
        Value::Object(fields) => {
            object(fields.fields().iter().map(|(name, value)| (name.as_str(), text(value, floats))))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| text(item, floats)).collect::<Result<Vec<_>>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        Value::Number(number) if !number.is_finite() => {
            Err(Error::value("the model is compiled with a number that is infinite or none"))
        }
        Value::Number(_) if floats => {
            let digits = value.to_text();
            Ok(if digits.contains(['.', 'e']) { digits } else { digits + ".0" })
        }
        value => Ok(value.to_text()),
    }
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, Result<String>)>) -> Result<String> {
    let mut members = Vec::new();
    for (name, text) in fields {
        members.push(format!("{}:{}", Value::from(name).to_text(), text?));
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// The variables of an optimizer.
pub struct Variables<'a> {
    /// The optimizer's name.
    pub optimizer: String,
    /// By their names, in Keras's order.
    pub datasets: Vec<(String, Data<'a>)>,
}

/// What the optimizer remembers; `None` where it has made no step.
///
/// # Errors
/// `Shape` for what is remembered of a weight in another shape.
pub fn variables<'a>(model: &'a Model, graph: &Graph) -> Result<Option<Variables<'a>>> {
    let Some(Compiled { optimizer, state: Some(state), .. }) = model.compiled.as_deref() else {
        return Ok(None);
    };
    let mut datasets = vec![("iteration".to_string(), Data::Count(state.iterations))];
    if let Schedule::Constant(rate) = optimizer.learning_rate {
        let rate = Tensor::new(Vec::new(), vec![rate as f32])?;
        datasets.push(("learning_rate".to_string(), floats(Cow::Owned(rate))));
    }
    let weights = weights(graph);
    let slots = by_name(state);
    for (slot, weight) in order(optimizer.rule, Layout::Keras3, weights.len()) {
        let Weight { layer, origin, name, shape } = &weights[weight];
        let kept = slots.get(&format!("{slot}/{origin}/{name}"));
        let value = match kept {
            Some(kept) if kept.shape() == *shape => Cow::Borrowed(*kept),
            Some(kept) => {
                Cow::Owned(reshaped(kept, shape).map_err(|error| error.layer(*origin).tensor(*name))?)
            }
            None => Cow::Owned(initial(optimizer.rule, shape)?),
        };
        datasets.push((format!("{layer}_{name}_{slot}"), floats(value)));
    }
    Ok(Some(Variables { optimizer: optimizer.rule.class_name().to_ascii_lowercase(), datasets }))
}

/// A weight that Keras trains.
struct Weight<'a> {
    /// Name of Keras's layer.
    layer: &'a str,
    /// Name of the model's layer.
    origin: &'a str,
    name: &'static str,
    shape: &'a [usize],
}

fn weights<'a>(graph: &'a Graph) -> Vec<Weight<'a>> {
    let mut weights = Vec::new();
    for layer in graph.layers.iter().filter(|layer| layer.is_trained()) {
        for Stored { weight: name, tensor, .. } in
            layer.weights.iter().filter(|stored| is_learnt(stored.weight))
        {
            weights.push(Weight { layer: &layer.name, origin: layer.origin, name, shape: tensor.shape() });
        }
    }
    weights
}

/// What is remembered, by `SLOT/LAYER/WEIGHT`. Of what Keras keeps in its configuration, a scale for one, it remembers
/// nothing.
fn by_name(state: &OptimizerState) -> Table<&Tensor> {
    let mut slots = Table::default();
    for Slot { name, layer, weight, value } in &state.slots {
        slots.insert(format!("{name}/{layer}/{weight}"), value);
    }
    slots
}

fn reshaped(value: &Tensor, shape: &[usize]) -> Result<Tensor> {
    Tensor::new(shape.to_vec(), value.data().to_vec())
}

/// What Keras begins with, for a weight that was not trained before.
fn initial(rule: Rule, shape: &[usize]) -> Result<Tensor> {
    let value = match rule {
        Rule::Adagrad { initial_accumulator, .. } => initial_accumulator as f32,
        _ => 0.0,
    };
    Tensor::new(shape.to_vec(), vec![value; shape.iter().product()])
}

fn floats(tensor: Cow<Tensor>) -> Data {
    Data::Floats(Stored { layer: "", weight: "", tensor, values: Values::F32 })
}
