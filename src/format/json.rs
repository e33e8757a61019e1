//! Reading JSON values into plain data: what is missing, of another type or not understood is an error that names it.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// A JSON object whose fields are taken one by one.
pub struct Object(Map<String, Value>);

impl Object {
    /// The value as an object; `what` names it in errors.
    ///
    /// # Errors
    /// `Format` for any other type, as all methods here.
    pub fn new(value: Value, what: &str) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(Error::format(format!("{what} is not a JSON object"))),
        }
    }

    /// The field, which must be there.
    pub fn take(&mut self, name: &str) -> Result<Value> {
        self.0.remove(name).ok_or_else(|| Error::format(format!("the field '{name}' is missing")))
    }

    /// The field, if it is there.
    pub fn take_optional(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A field that is a string.
    pub fn string(&mut self, name: &str) -> Result<String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(name, "a string")),
        }
    }

    /// A field that is true or false.
    pub fn boolean(&mut self, name: &str) -> Result<bool> {
        self.take(name)?.as_bool().ok_or_else(|| wrong(name, "true or false"))
    }

    /// A field that is a number.
    pub fn number(&mut self, name: &str) -> Result<f32> {
        let number = self.take(name)?.as_f64().filter(|number| number.is_finite());
        number.map(|number| number as f32).ok_or_else(|| wrong(name, "a number"))
    }

    /// A field that is a size or an index.
    pub fn size(&mut self, name: &str) -> Result<usize> {
        size(&self.take(name)?).ok_or_else(|| wrong(name, "a whole number"))
    }

    /// A field that is a list of sizes or indices.
    pub fn sizes(&mut self, name: &str) -> Result<Vec<usize>> {
        let sizes = self.list(name)?.iter().map(size).collect::<Option<_>>();
        sizes.ok_or_else(|| wrong(name, "a list of whole numbers"))
    }

    /// A field that is a list.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name)? {
            Value::Array(list) => Ok(list),
            _ => Err(wrong(name, "a list")),
        }
    }

    /// What is left.
    pub fn into_fields(self) -> Map<String, Value> {
        self.0
    }

    /// Refuses an object of which anything is left.
    pub fn finish(self) -> Result<()> {
        match self.0.keys().next() {
            Some(name) => Err(Error::format(format!("the field '{name}' is not understood"))),
            None => Ok(()),
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn wrong(name: &str, needed: &str) -> Error {
    Error::format(format!("the field '{name}' is not {needed}"))
}
