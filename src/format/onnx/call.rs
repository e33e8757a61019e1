//! The node that is being read, with what it is given. Inputs and attributes are taken one by one: what is left at the
//! end was not understood.

use super::{
    graph::Graph,
    proto::Attribute,
    tensor,
    value::{Data, Failed, Outcome, Value},
};
use crate::{Error, Result};

/// A node of the graph.
#[derive(Default)]
pub(super) struct Call<'a> {
    /// The operator.
    pub op: &'a str,
    /// Version of its domain.
    pub version: i64,
    /// What is not taken yet; the last that are missing may not be in the list.
    inputs: Vec<Option<Value>>,
    /// Those taken are of the type [`TAKEN`].
    attributes: Vec<Attribute<'a>>,
    /// Which outputs somebody needs.
    pub wanted: Vec<bool>,
    /// Its outputs but for the first.
    pub more: Vec<Value>,
}

// `AttributeProto.AttributeType`
const FLOAT: i64 = 1;
const INT: i64 = 2;
const STRING: i64 = 3;
const TENSOR: i64 = 4;
const FLOATS: i64 = 6;
const INTS: i64 = 7;
const STRINGS: i64 = 8;
const TAKEN: i64 = -1;

impl<'a> Call<'a> {
    pub fn new(op: &'a str, version: i64, inputs: Vec<Option<Value>>, encoded: &[&'a [u8]]) -> Result<Self> {
        // Each is looked for among all.
        if encoded.len() > 64 {
            return Err(Error::unsupported("more than 64 attributes"));
        }
        let mut attributes: Vec<Attribute> = Vec::with_capacity(encoded.len());
        for bytes in encoded {
            let attribute = Attribute::read(bytes)?;
            if attributes.iter().any(|other| other.name == attribute.name) {
                return Err(Error::format(format!("the attribute '{}' is given twice", attribute.name)));
            }
            attributes.push(attribute);
        }
        Ok(Self { op, version, inputs, attributes, ..Self::default() })
    }

    pub fn wants(&self, output: usize) -> bool {
        self.wanted.get(output) == Some(&true)
    }

    /// Refuses what nobody took.
    pub fn finish(&self) -> Result<()> {
        if let Some(attribute) = self.attributes.iter().find(|attribute| attribute.kind != TAKEN) {
            return Err(Error::unsupported(format!("the attribute '{}' is not supported", attribute.name)));
        }
        if let Some(index) = self.inputs.iter().position(Option::is_some) {
            return Err(Error::unsupported(format!("input {index} is not supported")));
        }
        match (self.more.len() + 1..self.wanted.len()).find(|&output| self.wants(output)) {
            Some(output) => Err(Error::unsupported(format!("output {output} is not supported"))),
            None => Ok(()),
        }
    }
}

/// What operators take. Where an attribute is not what it should be, its default is given, and the error is found when
/// the operator is done.
impl<'a> Graph<'a> {
    /// An input that must be there.
    pub fn input(&mut self, index: usize) -> Outcome {
        match self.optional(index) {
            Some(value) => Ok(value),
            None => Err(self.fail(Error::format(format!("input {index} is missing")))),
        }
    }

    /// An input that may be left out.
    pub fn optional(&mut self, index: usize) -> Option<Value> {
        self.call.inputs.get_mut(index)?.take()
    }

    /// All inputs, of an operator that takes any number.
    pub fn all_inputs(&mut self) -> Outcome<Vec<Value>> {
        let mut inputs = Vec::with_capacity(self.call.inputs.len());
        for index in 0..self.call.inputs.len() {
            inputs.push(self.input(index)?);
        }
        Ok(inputs)
    }

    fn take(&mut self, name: &str, kind: i64) -> Option<&mut Attribute<'a>> {
        let is_it = |attribute: &Attribute| attribute.name == name && attribute.kind != TAKEN;
        let index = self.call.attributes.iter().position(is_it)?;
        let attribute = self.call.attributes.get_mut(index)?;
        let given = std::mem::replace(&mut attribute.kind, TAKEN);
        if given != kind || !attribute.reference.is_empty() {
            self.fail(Error::format(format!("the attribute '{name}' is of another type")));
            return None;
        }
        self.call.attributes.get_mut(index)
    }

    /// A whole number.
    pub fn int_attribute(&mut self, name: &str) -> Option<i64> {
        self.take(name, INT).map(|attribute| attribute.int)
    }

    /// A whole number, or the default.
    pub fn int_or(&mut self, name: &str, default: i64) -> i64 {
        self.int_attribute(name).unwrap_or(default)
    }

    /// 1 for true, 0 for false and where it is missing.
    pub fn flag(&mut self, name: &str) -> bool {
        let int = self.int_or(name, 0);
        if !matches!(int, 0 | 1) {
            self.fail(Error::format(format!("the attribute '{name}' is {int}, not 0 or 1")));
        }
        int == 1
    }

    /// A setting that may have this one value alone.
    pub fn only(&mut self, name: &str, value: i64) {
        let int = self.int_or(name, value);
        if int != value {
            self.unsupported(&format!("the attribute '{name}' is {int}; nearside supports {value}"));
        }
    }

    /// Any number, NaN included, or the default.
    pub fn any_float(&mut self, name: &str, default: f32) -> f32 {
        self.take(name, FLOAT).map_or(default, |attribute| attribute.float)
    }

    /// A number.
    pub fn float_attribute(&mut self, name: &str) -> Option<f32> {
        let float = self.take(name, FLOAT)?.float;
        if !float.is_finite() {
            self.unsupported(&format!("the attribute '{name}' is not a finite number"));
        }
        Some(float)
    }

    /// A number, or the default.
    pub fn float(&mut self, name: &str, default: f32) -> f32 {
        self.float_attribute(name).unwrap_or(default)
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Option<&'a str> {
        let bytes = self.take(name, STRING)?.bytes;
        self.keep(tensor::text(bytes)).ok()
    }

    /// A string, or the default.
    pub fn text_or(&mut self, name: &str, default: &'static str) -> &'a str {
        self.text(name).unwrap_or(default)
    }

    /// Refuses what an attribute says.
    pub fn unknown(&self, name: &str, value: &str) -> Failed {
        self.unsupported(&format!("the attribute '{name}' is '{value}'"))
    }

    pub fn int_list(&mut self, name: &str) -> Option<Vec<i64>> {
        self.take(name, INTS).map(|attribute| std::mem::take(&mut attribute.ints))
    }

    pub fn float_list(&mut self, name: &str) -> Option<Vec<f32>> {
        self.take(name, FLOATS).map(|attribute| std::mem::take(&mut attribute.floats))
    }

    pub fn text_list(&mut self, name: &str) -> Option<Vec<String>> {
        let strings = std::mem::take(&mut self.take(name, STRINGS)?.strings);
        self.keep(tensor::texts(&strings)).ok()
    }

    pub fn tensor_attribute(&mut self, name: &str) -> Option<Value> {
        let bytes = self.take(name, TENSOR)?.tensor;
        let read = self.read(bytes);
        self.keep(read).ok()
    }

    /// Whole numbers that older versions have as an attribute, newer ones as an input.
    pub fn ints_of(&mut self, name: &str, input: usize) -> Outcome<Option<Vec<i64>>> {
        if let Some(ints) = self.int_list(name) {
            return Ok(Some(ints));
        }
        match self.optional(input) {
            Some(value) => Ok(Some(self.ints(value, &format!("the input '{name}'"))?.to_vec())),
            None => Ok(None),
        }
    }
}

/// `Constant`: its one value, in whichever attribute it is.
pub(super) fn constant(graph: &mut Graph) -> Outcome {
    if let Some(tensor) = graph.tensor_attribute("value") {
        return Ok(tensor);
    }
    let one = if let Some(float) = graph.take("value_float", FLOAT) {
        Data::of_floats(vec![float.float])
    } else if let Some(int) = graph.int_attribute("value_int") {
        Data::Ints(vec![int])
    } else if let Some(text) = graph.text("value_string") {
        Data::Texts(vec![text.to_string()])
    } else {
        let list = if let Some(floats) = graph.float_list("value_floats") {
            Data::of_floats(floats)
        } else if let Some(ints) = graph.int_list("value_ints") {
            Data::Ints(ints)
        } else if let Some(texts) = graph.text_list("value_strings") {
            Data::Texts(texts)
        } else {
            return Err(graph.unsupported("a constant without a dense value"));
        };
        return Ok(graph.list(list));
    };
    Ok(graph.constant(vec![], one))
}
