//! JSON by the browser.

use super::{MAX_DEPTH, Value};
use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};

pub(super) fn parse(text: &str) -> Result<Value, String> {
    let parsed = JSON::parse(text).map_err(|error| {
        let message = Reflect::get(&error, &JsValue::from_str("message"));
        message.ok().and_then(|message| message.as_string()).unwrap_or_default()
    })?;
    from_js(&parsed, MAX_DEPTH).ok_or_else(|| format!("more than {MAX_DEPTH} levels deep"))
}

fn from_js(value: &JsValue, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if let Some(number) = value.as_f64() {
        return Some(Value::Number(number));
    }
    if let Some(text) = value.as_string() {
        return Some(Value::String(text));
    }
    if let Some(is) = value.as_bool() {
        return Some(Value::Bool(is));
    }
    if value.is_null() {
        return Some(Value::Null);
    }
    if Array::is_array(value) {
        let items: &Array = value.unchecked_ref();
        return items.iter().map(|item| from_js(&item, depth)).collect::<Option<_>>().map(Value::Array);
    }
    let entries = Object::entries(value.unchecked_ref());
    let field = |entry: JsValue| {
        let entry: &Array = entry.unchecked_ref();
        Some((entry.get(0).as_string()?, from_js(&entry.get(1), depth)?))
    };
    entries.iter().map(field).collect::<Option<_>>().map(Value::Object)
}

pub(super) fn to_text(value: &Value) -> String {
    // A value of plain data always has a text.
    JSON::stringify(&to_js(value)).map(String::from).unwrap_or_default()
}

pub(super) fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(is) => JsValue::from_bool(*is),
        Value::Number(number) => JsValue::from_f64(*number),
        Value::String(text) => JsValue::from_str(text),
        Value::Array(items) => items.iter().map(to_js).collect::<Array>().into(),
        Value::Object(fields) => {
            let pairs: Array = fields
                .fields()
                .iter()
                .filter(|(_, value)| *value != Value::Null)
                .map(|(name, value)| Array::of2(&JsValue::from_str(name), &to_js(value)))
                .collect();
            // `fromEntries` sets a field called `__proto__` like any other, which an assignment would not.
            Object::from_entries(&pairs).map(JsValue::from).unwrap_or_default()
        }
    }
}
