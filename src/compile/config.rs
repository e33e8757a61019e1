//! Keras's JSON: a class and its options, each of which must be understood.

use crate::{
    Error, Result,
    format::json::{Object, Value},
};

/// `{ class_name, config }`, or a name alone. Keras's other fields say where the class is defined.
pub(crate) fn class_of(value: Value, what: &str) -> Result<(String, Object)> {
    match value {
        Value::String(name) => Ok((name, Object::default())),
        value => {
            let mut fields = Object::new(value, what)?;
            let config = match fields.take_optional("config") {
                // A function, whose name is all of its configuration.
                Some(Value::String(name)) => return Ok((name, Object::default())),
                None | Some(Value::Null) => Object::default(),
                Some(config) => Object::new(config, what)?,
            };
            Ok((fields.string("class_name")?, config))
        }
    }
}

pub(super) fn class(name: &str, config: Value) -> Value {
    Value::object([("class_name", name.into()), ("config", config)])
}

pub(super) fn required(config: &mut Object, name: &str) -> Result<f64> {
    optional(config, name)?.ok_or_else(|| Error::format(format!("the field '{name}' is missing")))
}

pub(super) fn number(config: &mut Object, name: &str, default: f64) -> Result<f64> {
    Ok(optional(config, name)?.unwrap_or(default))
}

pub(crate) fn optional(config: &mut Object, name: &str) -> Result<Option<f64>> {
    match config.take_optional(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number)),
        Some(_) => Err(Error::value(format!("'{name}' is not a number"))),
    }
}

pub(super) fn numbers(config: &mut Object, name: &str) -> Result<Vec<f64>> {
    let list = config.list(name)?;
    list.iter()
        .map(Value::as_f64)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::format(format!("the field '{name}' is not a list of numbers")))
}

pub(super) fn flag(config: &mut Object, name: &str) -> Result<bool> {
    match config.take_optional(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is)) => Ok(is),
        Some(_) => Err(Error::value(format!("'{name}' is neither true nor false"))),
    }
}

pub(super) fn positive(name: &str, value: f64) -> Result<f64> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number above 0")))
}

pub(super) fn non_negative(name: &str, value: f64) -> Result<f64> {
    if value >= 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number from 0")))
}

pub(super) fn share(name: &str, value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number from 0 to 1")))
}

pub(super) fn finish(config: Object, class: &str) -> Result<()> {
    match config.fields().first() {
        Some((name, _)) => {
            Err(Error::unsupported(format!("'{class}' has an option '{name}' that is not known")))
        }
        None => Ok(()),
    }
}
