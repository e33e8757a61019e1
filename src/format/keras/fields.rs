//! JSON objects of which every key has to be understood.

use super::axes::Axes;
use crate::format::json::{Object, Value};
use crate::{Error, Result, Tensor};

/// An object whose keys are taken one by one; what is left at the end was not understood.
pub(super) struct Fields {
    map: Object,
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

    /// The value of a key; `None` where it is absent or null. Tuples are lists.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        match self.map.take_optional(key)? {
            Value::Null => None,
            value => untupled(value),
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| value.as_str().map(str::to_string))
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn count(&mut self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a whole number", size)
    }

    /// A whole number that may be negative.
    pub(super) fn integer(&mut self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// A length, or a list of them.
    pub(super) fn sizes(&mut self, key: &str) -> Result<Option<Vec<usize>>> {
        self.typed(key, "a list of whole numbers", |value| match value {
            Value::Array(items) => items.iter().map(size).collect(),
            value => size(value).map(|size| vec![size]),
        })
    }

    /// A list of lengths, `None` for each −1.
    pub(super) fn sizes_or_rest(&mut self, key: &str) -> Result<Option<Vec<Option<usize>>>> {
        let length = |value: &Value| match value.as_i64() {
            Some(-1) => Some(None),
            _ => size(value).map(Some),
        };
        self.typed(key, "a list of whole numbers", |value| value.as_array()?.iter().map(length).collect())
    }

    /// A number that stays finite as an `f32`.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a number", finite)
    }

    /// An axis, or a list of them.
    pub(super) fn axes(&mut self, key: &str) -> Result<Option<Axes>> {
        self.typed(key, "an axis or a list of axes", Axes::read)
    }

    /// A number, or numbers in lists of lists.
    pub(super) fn tensor(&mut self, key: &str) -> Result<Option<Tensor>> {
        self.typed(key, "a number or a list of numbers", tensor)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, known: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        for (name, choice) in known {
            if *name == text {
                return Ok(Some(*choice));
            }
        }
        Err(Error::unsupported(format!("{}: '{key}' is '{text}', which is not known", self.what)))
    }

    /// Fails where the key's value is true: `why` says what that would be.
    pub(super) fn refuse(&mut self, key: &str, why: &str) -> Result<()> {
        match self.flag(key)? {
            Some(true) => Err(Error::unsupported(format!("{}: '{key}' is true: {why}", self.what))),
            _ => Ok(()),
        }
    }

    /// The value of a key that stays to be taken.
    pub(super) fn peek(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Whether the key is there, be it null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn typed<T>(&mut self, key: &str, needed: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match read(&value) {
            Some(typed) => Ok(Some(typed)),
            None => Err(self.wrong(key, needed, &value)),
        }
    }

    /// Apart from what depends on the type, as the next one.
    #[inline(never)]
    fn wrong(&self, key: &str, needed: &str, value: &Value) -> Error {
        Error::format(format!("{}: '{key}' is {}, {needed} is needed", self.what, brief(value)))
    }

    #[inline(never)]
    fn missing(&self, key: &str) -> Error {
        Error::format(format!("{}: '{key}' is missing", self.what))
    }

    /// A key without which the object means nothing.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        match value {
            Some(value) => Ok(value),
            None => Err(self.missing(key)),
        }
    }

    /// Passes over keys that cannot change a prediction.
    pub(super) fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.take_optional(key);
        }
    }

    /// Passes over how weights are made and held in training, and over penalties that are not known: nothing of it is left
    /// in a prediction.
    pub(super) fn skip_training(&mut self) {
        const ENDINGS: [&str; 3] = ["_initializer", "_regularizer", "_constraint"];
        self.map.fields_mut().retain(|(key, _)| !ENDINGS.iter().any(|ending| key.ends_with(ending)));
        // Keras 1's name of the kernel's initializer, and weights given when the layer was made.
        self.skip(&["init", "weights"]);
    }

    /// Passes over a key that is known to do nothing without a value.
    pub(super) fn skip_null(&mut self, key: &str) {
        if self.map.get(key).is_some_and(Value::is_null) {
            self.map.take_optional(key);
        }
    }

    /// Fails on the first key that nobody took.
    pub(super) fn done(self) -> Result<()> {
        match self.map.fields().first() {
            None => Ok(()),
            Some((key, value)) => Err(Error::unsupported(format!(
                "{} has the option '{key}' = {}, which nearside does not know",
                self.what,
                brief(value)
            ))),
        }
    }
}

/// A tuple as a list: {"class_name": "__tuple__", "config": {"value": […]}}
pub(super) fn untupled(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut map) if map.get("class_name").is_some_and(|class| class == "__tuple__") => {
            map.get_mut("config")?.get_mut("value").map(Value::take)
        }
        value => Some(value),
    }
}

fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn finite(value: &Value) -> Option<f32> {
    Some(value.as_f64()? as f32).filter(|number| number.is_finite())
}

/// A number, lists of lists of numbers, or the object that Keras wraps an array in. Recurses as deep as the JSON does,
/// which its parser bounds.
pub(super) fn tensor(value: &Value) -> Option<Tensor> {
    match value {
        Value::Array(items) => {
            let mut parts = items.iter().map(tensor);
            let (mut shape, mut data) = (vec![items.len()], Vec::new());
            if let Some(first) = parts.next() {
                let first = first?;
                shape.extend(first.shape());
                data.extend(first.into_data());
            }
            for part in parts {
                let part = part?;
                if shape.get(1..) != Some(part.shape()) {
                    return None;
                }
                data.extend(part.into_data());
            }
            Tensor::new(shape, data).ok()
        }
        // {"class_name": "__numpy__" or "__tensor__", "config": {"value": …, "dtype": …}}
        Value::Object(map) if map.get("class_name").and_then(Value::as_str).is_some_and(is_array) => {
            tensor(map.get("config")?.get("value")?)
        }
        value => Tensor::new(Vec::new(), vec![finite(value)?]).ok(),
    }
}

pub(super) fn is_array(class: &str) -> bool {
    matches!(class, "__numpy__" | "__tensor__")
}

/// A value for a message, cut where it gets long.
pub(super) fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Object(map) => format!("an object with {} keys", map.fields().len()),
        Value::Array(items) if items.len() > 8 => format!("a list of {}", items.len()),
        other => other.to_text(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
