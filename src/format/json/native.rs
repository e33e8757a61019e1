//! JSON by serde_json.

use super::{MAX_DEPTH, Value};

pub(super) fn parse(text: &str) -> Result<Value, String> {
    let parsed = serde_json::from_str(text).map_err(|error| error.to_string())?;
    from_serde(parsed, MAX_DEPTH).ok_or_else(|| format!("more than {MAX_DEPTH} levels deep"))
}

fn from_serde(value: serde_json::Value, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    Some(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(is) => Value::Bool(is),
        serde_json::Value::Number(number) => Value::Number(number.as_f64()?),
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| from_serde(item, depth)).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(fields) => {
            let field = |(name, value)| Some((name, from_serde(value, depth)?));
            Value::Object(fields.into_iter().map(field).collect::<Option<_>>()?)
        }
    })
}

pub(super) fn to_text(value: &Value) -> String {
    to_serde(value).to_string()
}

fn to_serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(is) => (*is).into(),
        // Whole numbers without a point, as JavaScript writes them.
        Value::Number(number) if *number == number.trunc() && number.abs() < 9.1e15 => {
            (*number as i64).into()
        }
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_serde).collect(),
        Value::Object(fields) => serde_json::Value::Object(
            fields.fields().iter().map(|(name, value)| (name.clone(), to_serde(value))).collect(),
        ),
    }
}
