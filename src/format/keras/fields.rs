//! JSON objects of which every key has to be understood.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// An object whose keys are taken one by one; what is left at the end was not understood.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// What the object describes, for messages.
    what: String,
}

impl Fields {
    pub(super) fn new(value: Value, what: impl Into<String>) -> Result<Self> {
        let what = what.into();
        match value {
            Value::Object(map) => Ok(Self { map, what }),
            other => Err(Error::format(format!("{what} is {}, an object is needed", brief(&other)))),
        }
    }

    /// The value of a key; `None` where it is absent or null.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_string))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn count(&mut self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    /// A number that stays finite as an `f32`.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a number", |value| Some(value.as_f64()? as f32).filter(|number| number.is_finite()))
    }

    fn typed<T>(&mut self, key: &str, needed: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match read(&value) {
            Some(typed) => Ok(Some(typed)),
            None => {
                Err(Error::format(format!("{}: '{key}' is {}, {needed} is needed", self.what, brief(&value))))
            }
        }
    }

    /// A key without which the object means nothing.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::format(format!("{}: '{key}' is missing", self.what)))
    }

    /// Passes over keys that cannot change a prediction.
    pub(super) fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.remove(*key);
        }
    }

    /// Passes over a key that is known to do nothing without a value.
    pub(super) fn skip_null(&mut self, key: &str) {
        if self.map.get(key).is_some_and(Value::is_null) {
            self.map.remove(key);
        }
    }

    /// Fails on the first key that nobody took.
    pub(super) fn done(self) -> Result<()> {
        match self.map.iter().next() {
            None => Ok(()),
            Some((key, value)) => Err(Error::unsupported(format!(
                "{} has the option '{key}' = {}, which nearside does not know",
                self.what,
                brief(value)
            ))),
        }
    }
}

/// A value for a message, cut where it gets long.
pub(super) fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Object(map) => format!("an object with {} keys", map.len()),
        Value::Array(items) if items.len() > 8 => format!("a list of {}", items.len()),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
