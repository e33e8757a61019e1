//! The attributes of a node, taken one by one: what is left at the end was not understood.

use super::{
    proto::{self, decode},
    tensor,
    value::{Data, Value},
};
use crate::{Error, Result, format::Files};
use prost::bytes::Bytes;

/// A node's attributes that are not taken yet.
pub(super) struct Attributes<'a> {
    left: Vec<proto::Attribute>,
    files: &'a Files<'a>,
}

// `AttributeProto.AttributeType`
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const FLOATS: i32 = 6;
const INTS: i32 = 7;
const STRINGS: i32 = 8;

impl<'a> Attributes<'a> {
    pub fn read(encoded: &[Bytes], files: &'a Files<'a>) -> Result<Self> {
        // Each is looked for among all.
        if encoded.len() > 64 {
            return Err(Error::unsupported("more than 64 attributes"));
        }
        let mut left: Vec<proto::Attribute> = Vec::with_capacity(encoded.len());
        for bytes in encoded {
            let attribute: proto::Attribute = decode(bytes, "an attribute")?;
            if left.iter().any(|other| other.name == attribute.name) {
                return Err(Error::format(format!("the attribute '{}' is given twice", attribute.name)));
            }
            left.push(attribute);
        }
        Ok(Self { left, files })
    }

    fn take(&mut self, name: &str, kind: i32) -> Result<Option<proto::Attribute>> {
        let Some(index) = self.left.iter().position(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        let attribute = self.left.swap_remove(index);
        if attribute.kind != kind || !attribute.ref_attr_name.is_empty() {
            return Err(Error::format(format!("the attribute '{name}' is of another type")));
        }
        Ok(Some(attribute))
    }

    pub fn int(&mut self, name: &str) -> Result<Option<i64>> {
        Ok(self.take(name, INT)?.map(|attribute| attribute.i))
    }

    /// 1 for true, 0 for false and where it is missing.
    pub fn flag(&mut self, name: &str) -> Result<bool> {
        match self.int(name)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(Error::format(format!("the attribute '{name}' is {other}, not 0 or 1"))),
        }
    }

    /// Any number, NaN included.
    pub fn any_float(&mut self, name: &str, default: f32) -> Result<f32> {
        Ok(self.take(name, FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    pub fn float(&mut self, name: &str, default: f32) -> Result<f32> {
        let float = self.any_float(name, default)?;
        match float.is_finite() {
            true => Ok(float),
            false => Err(Error::unsupported(format!("the attribute '{name}' is not a finite number"))),
        }
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.take(name, STRING)?.map(|attribute| tensor::text(&attribute.s)).transpose()
    }

    pub fn ints(&mut self, name: &str) -> Result<Option<Vec<i64>>> {
        Ok(self.take(name, INTS)?.map(|attribute| attribute.ints))
    }

    pub fn floats(&mut self, name: &str) -> Result<Option<Vec<f32>>> {
        Ok(self.take(name, FLOATS)?.map(|attribute| attribute.floats))
    }

    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let texts = |attribute: proto::Attribute| attribute.strings.iter().map(tensor::text).collect();
        self.take(name, STRINGS)?.map(texts).transpose()
    }

    pub fn tensor(&mut self, name: &str) -> Result<Option<Value>> {
        self.take(name, TENSOR)?.map(|attribute| tensor::read(&attribute.t, self.files)).transpose()
    }

    /// The one value of a `Constant`, in whichever attribute it is.
    pub fn constant(&mut self) -> Result<Value> {
        if let Some(tensor) = self.tensor("value")? {
            return Ok(tensor);
        }
        if let Some(attribute) = self.take("value_float", FLOAT)? {
            return Ok(Value::scalar(attribute.f));
        }
        if let Some(int) = self.int("value_int")? {
            return Ok(Value::constant(vec![], Data::Ints(vec![int])));
        }
        if let Some(text) = self.text("value_string")? {
            return Ok(Value::constant(vec![], Data::Texts(vec![text])));
        }
        let data = if let Some(floats) = self.floats("value_floats")? {
            Data::Floats(floats)
        } else if let Some(ints) = self.ints("value_ints")? {
            Data::Ints(ints)
        } else if let Some(texts) = self.texts("value_strings")? {
            Data::Texts(texts)
        } else {
            return Err(Error::unsupported("a constant without a dense value"));
        };
        Ok(Value::constant(vec![data.len()], data))
    }

    /// A setting that may have this one value alone.
    pub fn only(&mut self, name: &str, value: i64) -> Result<()> {
        match self.int(name)? {
            Some(other) if other != value => Err(Error::unsupported(format!(
                "the attribute '{name}' is {other}; nearside supports {value}"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses what is left.
    pub fn finish(&self) -> Result<()> {
        match self.left.first() {
            Some(attribute) => {
                Err(Error::unsupported(format!("the attribute '{}' is not supported", attribute.name)))
            }
            None => Ok(()),
        }
    }
}
