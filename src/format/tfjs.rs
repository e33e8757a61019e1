//! TensorFlow.js layers models: `model.json` and the binary files it lists, as `model.save()` of tfjs-layers and
//! `tensorflowjs_converter` write them.
//!
//! The format is TensorFlow.js's type `ModelJSON`
//! (<https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts>):
//!
//! ```text
//! modelTopology     Keras's configuration, or an object that has it under model_config
//! weightsManifest   groups of { paths, weights }: the files of a group are one sequence of bytes, which they may cut
//!                   anywhere, and the weights follow one another in it
//! ```
//!
//! Skipped knowingly, because they cannot change what the model predicts: who wrote the file, `trainingConfig`,
//! `userDefinedMetadata`, and the optimizer's weights.

use super::{
    json::{Object, Value},
    keras::{self, KerasVersion},
};
use crate::{
    Error, Model, Result, Tensor,
    model::sorted,
    tensor::{element_count, reserve},
};
use std::borrow::Cow;

/// `model.json`, taken apart.
#[derive(Debug)]
pub struct ModelJson {
    topology: Value,
    groups: Vec<Group>,
}

/// Files, and the weights they hold.
#[derive(Debug)]
struct Group {
    paths: Vec<String>,
    weights: Vec<Weight>,
}

#[derive(Debug)]
struct Weight {
    name: String,
    shape: Vec<usize>,
    encoding: Encoding,
    /// Of the optimizer rather than of the model.
    skipped: bool,
}

/// How numbers are stored, little-endian.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Float32,
    Int32,
    Bool,
    Float16,
    /// `scale · q + min`, q of one byte or of two.
    Quantized {
        bytes: usize,
        scale: f64,
        min: f64,
        whole: bool,
    },
}

impl ModelJson {
    /// Takes `model.json` apart.
    ///
    /// # Errors
    /// `Format` for what is missing or of another type, `Unsupported` for a graph model or another type of numbers.
    pub fn new(json: Value) -> Result<Self> {
        let mut fields = Object::new(json, "model.json")?;
        let is_graph =
            matches!(fields.take_optional("format"), Some(Value::String(format)) if format == "graph-model");
        let topology = fields.take("modelTopology")?;
        let has_nodes = matches!(&topology, Value::Object(object) if object.fields().iter().any(|(name, _)| name == "node"));
        if is_graph || has_nodes {
            return Err(Error::unsupported(
                "this is a TensorFlow.js graph model; convert the Keras model it was made from with \
                 tensorflowjs_converter --output_format=tfjs_layers_model, or save it with model.save('model.keras')",
            ));
        }
        let mut groups = Vec::new();
        for group in fields.list("weightsManifest")? {
            groups.push(Group::new(group)?);
        }
        for skipped in ["generatedBy", "convertedBy", "trainingConfig", "userDefinedMetadata"] {
            fields.take_optional(skipped);
        }
        fields.finish()?;
        Ok(Self { topology, groups })
    }

    /// Names of the files that hold the weights.
    pub fn paths(&self) -> Vec<String> {
        self.groups.iter().flat_map(|group| group.paths.iter().cloned()).collect()
    }

    /// The model, whose files `open` finds by name.
    ///
    /// # Errors
    /// `Format` for files that are missing or too short, `Unsupported` for layers that nearside does not run, `Shape`
    /// for weights that do not fit their layers.
    pub fn read<'a>(self, open: impl Fn(&str) -> Result<&'a [u8]>) -> Result<Model> {
        let stored = Stored::new(self.groups, open)?;
        let (config, version) = configuration(self.topology)?;
        let names = stored.weights.iter().filter(|weight| !weight.skipped).map(|weight| weight.name.clone());
        keras::read_named(&config, Some(version), names.collect(), &mut |name| stored.take(name))
    }
}

/// Keras's configuration as text, and the version of the Keras that wrote it.
fn configuration(topology: Value) -> Result<(String, KerasVersion)> {
    let mut fields = Object::new(parsed(topology)?, "modelTopology")?;
    let version = match fields.take_optional("keras_version") {
        Some(Value::String(version)) if !version.starts_with("tfjs") => KerasVersion::parse(Some(&version))?,
        // TensorFlow.js has Keras 2's layers.
        _ => KerasVersion::TWO,
    };
    fields.take_optional("backend");
    match fields.take_optional("model_config") {
        None | Some(Value::Null) => Ok((Value::Object(fields).to_text(), version)),
        Some(config) => {
            fields.take_optional("training_config");
            fields.finish()?;
            Ok((parsed(config)?.to_text(), version))
        }
    }
}

/// JSON, or text that is JSON.
fn parsed(value: Value) -> Result<Value> {
    match value {
        Value::String(text) => Value::parse(text.as_bytes(), "modelTopology"),
        value => Ok(value),
    }
}

impl Group {
    fn new(json: Value) -> Result<Self> {
        let mut fields = Object::new(json, "a group of weightsManifest")?;
        let paths = fields.strings("paths")?;
        let mut weights = Vec::new();
        for weight in fields.list("weights")? {
            weights.push(Weight::new(weight)?);
        }
        fields.finish()?;
        Ok(Self { paths, weights })
    }
}

impl Weight {
    fn new(json: Value) -> Result<Self> {
        let mut fields = Object::new(json, "a weight")?;
        let name = fields.string("name")?;
        let mut read = || -> Result<_> {
            let (shape, dtype) = (fields.sizes("shape")?, fields.string("dtype")?);
            let encoding = match fields.take_optional("quantization") {
                None | Some(Value::Null) => Encoding::plain(&dtype),
                Some(quantization) => Encoding::quantized(&dtype, quantization),
            };
            let group = fields.take_optional("group");
            Ok((shape, encoding?, group == Some(Value::String("optimizer".to_string()))))
        };
        let (shape, encoding, skipped) = read().map_err(|error| error.tensor(&name))?;
        Ok(Self { name, shape, encoding, skipped })
    }
}

impl Encoding {
    fn plain(dtype: &str) -> Result<Self> {
        match dtype {
            "float32" => Ok(Self::Float32),
            "int32" => Ok(Self::Int32),
            "bool" => Ok(Self::Bool),
            _ => Err(Error::unsupported(format!("stored as {dtype}; float32, int32 or bool is needed"))),
        }
    }

    fn quantized(dtype: &str, json: Value) -> Result<Self> {
        let mut fields = Object::new(json, "quantization")?;
        let stored = fields.string("dtype")?;
        let mut number = |name: &str| match fields.take(name)? {
            Value::Number(number) if number.is_finite() => Ok(number),
            _ => Err(Error::format(format!("'{name}' of the quantization is not a number"))),
        };
        match (stored.as_str(), dtype) {
            ("float16", "float32") => Ok(Self::Float16),
            ("uint8" | "uint16", "float32" | "int32") => Ok(Self::Quantized {
                bytes: if stored == "uint8" { 1 } else { 2 },
                scale: number("scale")?,
                min: number("min")?,
                whole: dtype == "int32",
            }),
            _ => Err(Error::unsupported(format!(
                "{dtype} stored as {stored}; float32 as uint8, uint16 or float16 is needed"
            ))),
        }
    }

    /// Bytes of one number.
    fn size(self) -> usize {
        match self {
            Self::Float32 | Self::Int32 => 4,
            Self::Bool => 1,
            Self::Float16 => 2,
            Self::Quantized { bytes, .. } => bytes,
        }
    }

    /// The number that these bytes, as many as its size, are; `None` where it does not fit into an `f32`.
    fn decode(self, bytes: &[u8]) -> Option<f32> {
        let word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let exact = |value: f64| Some(value as f32).filter(|narrow| f64::from(*narrow) == value);
        match self {
            Self::Float32 => Some(f32::from_bits(word)),
            Self::Int32 => exact((word as i32).into()),
            Self::Bool => exact(word.into()),
            Self::Float16 => Some(half::f16::from_bits(word as u16).to_f32()),
            Self::Quantized { scale, min, whole: true, .. } => exact((f64::from(word) * scale + min).round()),
            Self::Quantized { scale, min, .. } => {
                Some((f64::from(word) * scale + min) as f32).filter(|value| value.is_finite())
            }
        }
    }
}

/// The weights in their files.
struct Stored<'a> {
    /// The files of each group, in order.
    groups: Vec<Vec<&'a [u8]>>,
    weights: Vec<Weight>,
    /// For each weight its group, and its first byte in it.
    places: Vec<(usize, usize)>,
    /// Names of the weights in order, each with its index.
    names: Vec<(String, usize)>,
}

impl<'a> Stored<'a> {
    fn new(groups: Vec<Group>, open: impl Fn(&str) -> Result<&'a [u8]>) -> Result<Self> {
        let paths = sorted(&mut groups.iter().flat_map(|group| &group.paths));
        if let Some(path) = twice(&paths) {
            return Err(Error::format(format!("weightsManifest lists the file '{path}' twice")));
        }
        let names = sorted(&mut groups.iter().flat_map(|group| &group.weights).map(|weight| &weight.name));
        if let Some(name) = twice(&names) {
            return Err(Error::format("weightsManifest lists this weight twice").tensor(name));
        }
        let mut stored = Self { groups: Vec::new(), weights: Vec::new(), places: Vec::new(), names };
        for group in groups {
            let files = group.paths.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
            let length = files.iter().map(|file| file.len()).fold(0, usize::saturating_add);
            let mut position = 0usize;
            for weight in group.weights {
                let end = element_count(&weight.shape)
                    .ok()
                    .and_then(|count| count.checked_mul(weight.encoding.size()))
                    .and_then(|bytes| position.checked_add(bytes))
                    .filter(|end| *end <= length);
                let Some(end) = end else {
                    let message = format!(
                        "shape {:?} does not fit into the {} bytes that the files of its group have left",
                        weight.shape,
                        length.saturating_sub(position)
                    );
                    return Err(Error::format(message).tensor(weight.name).offset(position as u64));
                };
                stored.places.push((stored.groups.len(), position));
                stored.weights.push(weight);
                position = end;
            }
            if let Some(path) = group.paths.last().filter(|_| position != length) {
                let message = format!("the last {} bytes of '{path}' belong to no weight", length - position);
                return Err(Error::format(message).offset(position as u64));
            }
            stored.groups.push(files);
        }
        Ok(stored)
    }

    fn take(&self, name: &str) -> Result<Tensor> {
        let found = self.names.binary_search_by(|(own, _)| own.as_str().cmp(name));
        let index = found.ok().and_then(|found| Some(self.names.get(found)?.1));
        let place = index.and_then(|index| {
            let &(group, start) = self.places.get(index)?;
            Some((self.weights.get(index)?, self.groups.get(group)?, start))
        });
        let Some((weight, files, start)) = place else {
            return Err(Error::format("the file lacks this weight").tensor(name));
        };
        let read = || {
            let count = element_count(&weight.shape)?;
            let bytes = range(files, start, count.saturating_mul(weight.encoding.size()))?;
            let mut data = reserve(count)?;
            for number in bytes.chunks_exact(weight.encoding.size()) {
                let value = weight.encoding.decode(number);
                data.push(value.ok_or_else(|| Error::value("holds a number that float32 does not have"))?);
            }
            Tensor::new(weight.shape.clone(), data)
        };
        read().map_err(|error| error.tensor(name))
    }
}

/// A name that stands twice among these, which are in order.
fn twice(names: &[(String, usize)]) -> Option<&str> {
    names.windows(2).find_map(|pair| match pair {
        [(first, _), (second, _)] if first == second => Some(first.as_str()),
        _ => None,
    })
}

/// A range of what the files hold together, which is known to be there.
fn range<'a>(files: &[&'a [u8]], mut start: usize, length: usize) -> Result<Cow<'a, [u8]>> {
    let mut joined = Vec::new();
    for file in files {
        let Some(rest) = file.get(start..) else {
            start = start.saturating_sub(file.len());
            continue;
        };
        start = 0;
        if joined.is_empty() {
            if let Some(whole) = rest.get(..length) {
                return Ok(Cow::Borrowed(whole));
            }
            joined = reserve(length)?;
        }
        joined.extend_from_slice(rest.get(..length.saturating_sub(joined.len())).unwrap_or(rest));
    }
    Ok(Cow::Owned(joined))
}
