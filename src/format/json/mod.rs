//! JSON as plain data. What is missing, of another type or not understood is an error that names it.
//!
//! The parser is the platform's own in a browser, where it costs no byte of the download, and serde_json elsewhere.

#[cfg_attr(target_arch = "wasm32", path = "web.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod platform;

use crate::{Error, Result};

/// Lists and objects in one another beyond which a text is refused: recursion must end somewhere.
const MAX_DEPTH: usize = 64;

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
    Text(String),
    /// `[…]`
    List(Vec<Value>),
    /// `{…}`, in the text's order.
    Object(Vec<(String, Value)>),
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
        Self::List(sizes.iter().map(|&size| Self::from(size)).collect())
    }

    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    fn as_size(&self) -> Option<usize> {
        match self {
            Self::Number(number) if *number >= 0.0 && *number == number.trunc() && *number < 9.1e15 => {
                usize::try_from(*number as u64).ok()
            }
            _ => None,
        }
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

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

/// A JSON object whose fields are taken one by one.
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// The value as an object; `what` names it in errors.
    ///
    /// # Errors
    /// `Format` for any other type, as all methods here.
    pub fn new(value: Value, what: &str) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
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

    /// A field that is a string.
    pub fn string(&mut self, name: &str) -> Result<String> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            _ => Err(wrong(name, "a string")),
        }
    }

    /// A field that is a list of strings.
    pub fn strings(&mut self, name: &str) -> Result<Vec<String>> {
        let text = |value| match value {
            Value::Text(text) => Ok(text),
            _ => Err(wrong(name, "a list of strings")),
        };
        self.list(name)?.into_iter().map(text).collect()
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
            Value::List(list) => Ok(list),
            _ => Err(wrong(name, "a list")),
        }
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
