//! The framing of a [safetensors](https://github.com/huggingface/safetensors#format) file: the length of a JSON
//! header (u64, little-endian), the header, and the tensors' bytes without a gap.
//!
//! Written here because the engine ships to every page: the crate of that name costs it 20 KB more.

use super::json::Object;
use crate::{
    Error, Result, Tensor,
    tensor::{element_count, reserve},
};
use serde_json::{Map, Value, json};
use std::{cmp::Reverse, collections::BinaryHeap};

/// The largest header read, as in the reference implementation.
const MAX_HEADER: usize = 100_000_000;
const METADATA: &str = "__metadata__";

/// A file taken apart; the tensors' bytes stay where they are.
pub struct File<'a> {
    /// Free text under free keys.
    pub metadata: Map<String, Value>,
    /// The header's entries of the tensors not taken yet.
    entries: Map<String, Value>,
    data: &'a [u8],
}

impl<'a> File<'a> {
    /// Takes a file apart.
    ///
    /// # Errors
    /// `Format`, with the byte offset: a length that is not there, a header that is not JSON of that form, tensors
    /// that overlap, leave gaps or end before or beyond the file.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let truncated = |needed: usize| {
            let message = format!("the file is truncated: {needed} bytes needed, {} are there", bytes.len());
            Error::format(message).offset(bytes.len() as u64)
        };
        let length = header_length(bytes)?;
        let (header, data) = bytes[8..].split_at_checked(length).ok_or_else(|| truncated(8 + length))?;
        let header: Value = serde_json::from_slice(header)
            .map_err(|error| Error::format(format!("the header is not JSON: {error}")).offset(8))?;
        let mut header = Object::new(header, "the header")?;
        let metadata = match header.take_optional(METADATA) {
            Some(metadata) => Object::new(metadata, METADATA)?.into_fields(),
            None => Map::new(),
        };
        let entries = header.into_fields();
        // A heap gives them in order, in a tenth of the code of a sort.
        let mut order = BinaryHeap::new();
        for (name, entry) in &entries {
            let entry = Entry::read(entry.clone()).map_err(|error| error.tensor(name).offset(8))?;
            order.push(Reverse((entry.start, entry.end, name)));
        }
        let mut position = 0;
        while let Some(Reverse((start, end, name))) = order.pop() {
            let offset = (8 + length).saturating_add(start) as u64;
            if start != position {
                let message =
                    format!("starts at byte {start} of the data, the one before ends at {position}");
                return Err(Error::format(message).tensor(name).offset(offset));
            }
            if end > data.len() {
                let there = data.len();
                let message =
                    format!("the file is truncated: byte {end} of the data needed, {there} are there");
                return Err(Error::format(message).tensor(name).offset(bytes.len() as u64));
            }
            position = end;
        }
        if position != data.len() {
            let message = format!("{} bytes follow the last tensor", data.len() - position);
            return Err(Error::format(message).offset((8 + length + position) as u64));
        }
        Ok(Self { metadata, entries, data })
    }

    /// Takes out a tensor that must be there.
    ///
    /// # Errors
    /// `Format` when it is not or its bytes do not fit its shape, `Unsupported` for another type than F32.
    pub fn take(&mut self, name: &str) -> Result<Tensor> {
        let entry = self.entries.remove(name);
        let entry = entry.ok_or_else(|| Error::format("the file lacks this tensor").tensor(name))?;
        let Entry { dtype, shape, start, end } = Entry::read(entry)?;
        if dtype != "F32" {
            return Err(Error::unsupported(format!("stored as {dtype}; F32 is needed")).tensor(name));
        }
        let (values, rest) = self.data.get(start..end).unwrap_or_default().as_chunks::<4>();
        if !rest.is_empty() || element_count(&shape) != Ok(values.len()) {
            let message = format!("shape {shape:?} does not fit its {} bytes", end - start);
            return Err(Error::format(message).tensor(name));
        }
        let mut data = reserve(values.len()).map_err(|error| error.tensor(name))?;
        data.extend(values.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        Tensor::new(shape, data)
    }

    /// A tensor that was not taken, if there is one.
    pub fn untaken(&self) -> Option<&str> {
        self.entries.keys().next().map(String::as_str)
    }
}

/// Length of the header that the first 8 bytes announce.
///
/// # Errors
/// `Format` when there are fewer bytes, or the header is longer than any reader takes.
pub fn header_length(bytes: &[u8]) -> Result<usize> {
    let length = bytes.first_chunk::<8>().and_then(|bytes| usize::try_from(u64::from_le_bytes(*bytes)).ok());
    length
        .filter(|&length| length <= MAX_HEADER)
        .ok_or_else(|| Error::format("no header of at most 100 MB is announced").offset(0))
}

/// A header's entry.
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    /// First byte in the data.
    start: usize,
    /// Byte after the last.
    end: usize,
}

impl Entry {
    fn read(value: Value) -> Result<Self> {
        let mut entry = Object::new(value, "the entry")?;
        let (dtype, shape) = (entry.string("dtype")?, entry.sizes("shape")?);
        let offsets = entry.sizes("data_offsets")?;
        entry.finish()?;
        match offsets[..] {
            [start, end] if start <= end => Ok(Self { dtype, shape, start, end }),
            _ => Err(Error::format(format!("data_offsets {offsets:?} are not a first and a last byte"))),
        }
    }
}

/// Writes a file: tensors in the order given, aligned to 8 bytes.
pub fn write(metadata: (&str, String), tensors: &[(String, &Tensor)]) -> Vec<u8> {
    let (key, text) = metadata;
    let mut header = Map::new();
    header.insert(METADATA.to_string(), json!({ key: text }));
    let mut end = 0;
    for (name, tensor) in tensors {
        let start = end;
        end += size_of_val(tensor.data());
        let entry = json!({ "dtype": "F32", "shape": tensor.shape(), "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = to_text(&Value::Object(header)).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(tensors.iter().flat_map(|(_, tensor)| tensor.data()).flat_map(|value| value.to_le_bytes()));
    bytes
}

/// JSON text. Writing to bytes keeps a second copy of the serializer, the one for `Display`, out of the engine.
pub fn to_text(value: &Value) -> String {
    let bytes = serde_json::to_vec(value).unwrap_or_default(); // a `Value` has only string keys, so it cannot fail
    String::from_utf8(bytes).unwrap_or_default()
}
