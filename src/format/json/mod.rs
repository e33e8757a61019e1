//! JSON as plain data. What is missing, of another type or not understood is an error that names it.
//!
//! The parser is the platform's own in a browser, where it costs no byte of the download, and serde_json elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "web.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod platform;

#[cfg(feature = "formats")]
mod walk;

use crate::{Error, Result};

/// Lists and objects in one another beyond which a text is refused: recursion must end somewhere.
const MAX_DEPTH: usize = 128;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(String),
    /// `[…]`
    Array(Vec<Value>),
    /// `{…}`
    Object(Object),
}

impl Value {
    /// Parses a text; `what` names it in errors.
    ///
    /// # Errors
    /// `Format`, with the parser's own words.
    pub fn parse(text: &[u8], what: &str) -> Result<Self> {
        let parsed =
            std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_string()).and_then(platform::parse);
        parsed.map_err(|reason| Error::format(format!("{what} is not JSON: {reason}")))
    }

    /// The value as text.
    pub fn to_text(&self) -> String {
        platform::to_text(self)
    }

    /// The value for JavaScript. Fields that are null are left out.
    #[cfg(target_arch = "wasm32")]
    pub fn to_js(&self) -> wasm_bindgen::JsValue {
        platform::to_js(self)
    }

    /// A list of sizes.
    pub fn sizes(sizes: &[usize]) -> Self {
        Self::Array(sizes.iter().map(|&size| Self::from(size)).collect())
    }

    /// An object of these fields.
    pub fn object<const N: usize>(mut fields: [(&str, Self); N]) -> Self {
        Self::object_of(&mut fields)
    }

    /// An object of these fields, whose values are taken out: one function for lists of every length.
    pub fn object_of(fields: &mut [(&str, Self)]) -> Self {
        let mut object = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            object.push((name.to_string(), std::mem::replace(value, Self::Null)));
        }
        Self::Object(Object(object))
    }

    /// The string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if it is whole and exact.
    pub fn as_i64(&self) -> Option<i64> {
        let number = self.as_f64()?;
        (number == number.trunc() && number.abs() < LARGEST_WHOLE).then_some(number as i64)
    }

    fn as_size(&self) -> Option<usize> {
        usize::try_from(self.as_i64()?).ok()
    }
}

/// From here on, numbers leave whole ones out: 2⁵³.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

impl PartialEq<str> for Value {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<Vec<(String, Value)>> for Object {
    fn from(fields: Vec<(String, Value)>) -> Self {
        Self(fields)
    }
}

impl From<&[Value]> for Value {
    fn from(items: &[Value]) -> Self {
        Self::Array(items.to_vec())
    }
}

impl From<usize> for Value {
    fn from(size: usize) -> Self {
        Self::Number(size as f64)
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self::Number(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_string())
    }
}

/// A JSON object whose fields are taken one by one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Value)>);

impl FromIterator<(String, Value)> for Object {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Object {
    /// The value as an object; `what` names it in errors.
    ///
    /// # Errors
    /// `Format` for any other type, as all methods here.
    pub fn new(value: Value, what: &str) -> Result<Self> {
        match value {
            Value::Object(object) => Ok(object),
            _ => Err(Error::format(format!("{what} is not a JSON object"))),
        }
    }

    /// The field, which must be there.
    pub fn take(&mut self, name: &str) -> Result<Value> {
        self.take_optional(name).ok_or_else(|| Error::format(format!("the field '{name}' is missing")))
    }

    /// The field, if it is there.
    pub fn take_optional(&mut self, name: &str) -> Option<Value> {
        // From the end, so that the last of two equal names counts, as parsers have it.
        let index = self.0.iter().rposition(|(field, _)| field == name)?;
        Some(self.0.remove(index).1)
    }

    /// Adds a field.
    #[cfg(feature = "train")]
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.push((name.to_string(), value));
    }

    /// Whether the field is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// A field that is a string.
    pub fn string(&mut self, name: &str) -> Result<String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(name, "a string")),
        }
    }

    /// A field that is a list of strings.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>> {
        let list = self.list(name)?;
        let mut texts = Vec::with_capacity(list.len());
        for value in list {
            match value {
                Value::String(text) => texts.push(text),
                _ => return Err(wrong(name, "a list of strings")),
            }
        }
        Ok(texts)
    }

    /// A field that is true or false.
    pub fn boolean(&mut self, name: &str) -> Result<bool> {
        match self.take(name)? {
            Value::Bool(is) => Ok(is),
            _ => Err(wrong(name, "true or false")),
        }
    }

    /// A field that is a number.
    pub fn number(&mut self, name: &str) -> Result<f32> {
        match self.take(name)? {
            Value::Number(number) => Ok(number as f32),
            _ => Err(wrong(name, "a number")),
        }
    }

    /// A field that is a size or an index.
    pub fn size(&mut self, name: &str) -> Result<usize> {
        self.take(name)?.as_size().ok_or_else(|| wrong(name, "a whole number"))
    }

    /// A field that is a list of sizes or indices.
    pub fn sizes(&mut self, name: &str) -> Result<Vec<usize>> {
        let sizes = self.list(name)?.iter().map(Value::as_size).collect::<Option<_>>();
        sizes.ok_or_else(|| wrong(name, "a list of whole numbers"))
    }

    /// A field that is a list.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name)? {
            Value::Array(list) => Ok(list),
            _ => Err(wrong(name, "a list")),
        }
    }

    /// All fields.
    pub fn fields(&self) -> &[(String, Value)] {
        &self.0
    }

    /// What is left.
    pub fn into_fields(self) -> Vec<(String, Value)> {
        self.0
    }

    /// Refuses an object of which anything is left.
    pub fn finish(self) -> Result<()> {
        match self.0.first() {
            Some((name, _)) => Err(Error::format(format!("the field '{name}' is not understood"))),
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, needed: &str) -> Error {
    Error::format(format!("the field '{name}' is not {needed}"))
}
