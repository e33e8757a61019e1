//! The framing of a [safetensors](https://github.com/huggingface/safetensors#format) file: the length of a JSON
//! header (u64, little-endian), the header, and the tensors' bytes without a gap.
//!
//! Written here because the engine ships to every page: the crate of that name costs it 20 KB more.

use super::json::{Object, Value};
use crate::{
    Dtype, Error, Result, Tensor,
    model::sorted,
    tensor::{element_count, reserve},
};
use std::{borrow::Cow, cmp::Reverse, collections::BinaryHeap, ops::Range};

/// The largest header read, as in the reference implementation.
const MAX_HEADER: usize = 100_000_000;
const METADATA: &str = "__metadata__";

/// A file's bytes, wherever they are: a page's need not all be copied to be read.
pub trait Source {
    /// Number of bytes.
    fn length(&self) -> usize;
    /// Those of a range within them.
    ///
    /// # Errors
    /// `Memory` where they cannot be copied.
    fn bytes(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>>;
    /// Those of a range as floats in little-endian order.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    fn floats(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let mut floats = reserve(range.len() / 4)?;
        nearside_kernels::extend_from_le_bytes(&mut floats, &self.bytes(range)?);
        Ok(floats)
    }
}

impl Source for &[u8] {
    fn length(&self) -> usize {
        self.len()
    }

    fn bytes(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(self.get(range).unwrap_or_default()))
    }
}

/// A file taken apart; the tensors' bytes stay where they are.
pub struct File<'a> {
    /// Free text under free keys.
    pub metadata: Object,
    /// The smallest type of the tensors that were taken.
    pub dtype: Dtype,
    /// The header's entries in the order of their names, but for those taken.
    entries: Vec<(String, Option<Entry>)>,
    source: &'a dyn Source,
    /// Where the tensors' bytes begin.
    data: usize,
}

impl<'a> File<'a> {
    /// Takes a file apart.
    ///
    /// # Errors
    /// `Format`, with the byte offset: a length that is not there, a header that is not JSON of that form, tensors
    /// that overlap, leave gaps or end before or beyond the file.
    pub fn read(source: &'a dyn Source) -> Result<Self> {
        let there = source.length();
        let length = header_length(&source.bytes(0..there.min(8))?)?;
        let data = 8 + length;
        if data > there {
            let message = format!("the file is truncated: {data} bytes needed, {there} are there");
            return Err(Error::format(message).offset(there as u64));
        }
        let header = Value::parse(&source.bytes(8..data)?, "the header").map_err(|error| error.offset(8))?;
        let end_of_data = there - data;
        let mut header = Object::new(header, "the header")?;
        let metadata = header.take_optional(METADATA).unwrap_or(Value::Object(Object::default()));
        let metadata = Object::new(metadata, METADATA)?;
        let mut fields = header.into_fields();
        let mut entries = Vec::with_capacity(fields.len());
        let mut order = BinaryHeap::new();
        for (name, index) in sorted(&mut fields.iter().map(|(name, _)| name)) {
            let value = std::mem::replace(&mut fields[index].1, Value::Null);
            let entry = Entry::read(value).map_err(|error| error.tensor(&name).offset(8))?;
            order.push(Reverse((entry.start, entry.end, entries.len())));
            entries.push((name, Some(entry)));
        }
        let mut position = 0;
        while let Some(Reverse((start, end, index))) = order.pop() {
            let name = &entries[index].0;
            let offset = data.saturating_add(start) as u64;
            if start != position {
                let message =
                    format!("starts at byte {start} of the data, the one before ends at {position}");
                return Err(Error::format(message).tensor(name).offset(offset));
            }
            if end > end_of_data {
                let message =
                    format!("the file is truncated: byte {end} of the data needed, {end_of_data} are there");
                return Err(Error::format(message).tensor(name).offset(there as u64));
            }
            position = end;
        }
        if position != end_of_data {
            let message = format!("{} bytes follow the last tensor", end_of_data - position);
            return Err(Error::format(message).offset((data + position) as u64));
        }
        Ok(Self { metadata, dtype: Dtype::F32, entries, source, data })
    }

    /// Whether a tensor of that name is left.
    pub fn has(&self, name: &str) -> bool {
        let entry = self.entries.binary_search_by(|(own, _)| own.as_str().cmp(name));
        entry.is_ok_and(|index| self.entries[index].1.is_some())
    }

    /// Takes out a tensor that must be there, as f32 whatever its type. Whole numbers are taken times the tensor
    /// `NAME/scale`, which holds a factor for each position of the last axis.
    ///
    /// # Errors
    /// `Format` when it is not or its bytes do not fit its shape, `Unsupported` for a type that holds no weights.
    pub fn take(&mut self, name: &str) -> Result<Tensor> {
        let entry = self.entries.binary_search_by(|(own, _)| own.as_str().cmp(name));
        let entry = entry.ok().and_then(|index| self.entries[index].1.take());
        let entry = entry.ok_or_else(|| Error::format("the file lacks this tensor").tensor(name))?;
        let Entry { dtype, shape, start, end } = entry;
        let width = match dtype.as_str() {
            "I8" => 1,
            "F16" | "BF16" => 2,
            "F32" => 4,
            "F64" => 8,
            _ => {
                let message = format!("stored as {dtype}; F32, F16, BF16, F64 or I8 with a scale is needed");
                return Err(Error::unsupported(message).tensor(name));
            }
        };
        let count = element_count(&shape)?;
        if count.checked_mul(width) != Some(end - start) {
            let message = format!("shape {shape:?} does not fit its {} bytes", end - start);
            return Err(Error::format(message).tensor(name));
        }
        match width {
            1 => self.dtype = Dtype::Int8,
            2 if self.dtype == Dtype::F32 => self.dtype = Dtype::F16,
            _ => {}
        }
        let range = self.data + start..self.data + end;
        if width == 4 {
            return Tensor::new(shape, self.source.floats(range).map_err(|error| error.tensor(name))?);
        }
        let bytes = self.source.bytes(range).map_err(|error| error.tensor(name))?;
        let mut data = reserve(count).map_err(|error| error.tensor(name))?;
        match width {
            1 => data.extend(bytes.iter().map(|&byte| f32::from(byte as i8))),
            2 if dtype == "F16" => {
                data.extend(bytes.as_chunks().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32()))
            }
            2 => data.extend(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
            ),
            _ => data.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32)),
        }
        if width == 1 {
            let scale = self.take(&format!("{name}/scale"))?;
            if shape.last() != Some(&scale.data().len()) {
                let message = format!("a scale of shape {:?} for a tensor of {shape:?}", scale.shape());
                return Err(Error::format(message).tensor(name));
            }
            data.chunks_exact_mut(scale.data().len().max(1)).for_each(|row| {
                row.iter_mut().zip(scale.data()).for_each(|(value, scale)| *value *= scale);
            });
        }
        Tensor::new(shape, data)
    }

    /// The tensors that were not taken, with their shapes.
    pub fn left(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().filter_map(|entry| Some((entry.0.as_str(), entry.1.as_ref()?.shape.as_slice())))
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

/// The header's text, as far as it is among these first bytes; `None` if they are no safetensors file's.
pub fn header_start(start: &[u8]) -> Option<&[u8]> {
    let length = header_length(start).ok()?;
    let header = start.get(8..).filter(|rest| rest.first() == Some(&b'{'))?;
    Some(header.get(..length).unwrap_or(header))
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

/// What a file begins with, up to its tensors: they follow in the order given, the first of them aligned to 8 bytes.
pub fn start(metadata: (&str, String), tensors: &[Written]) -> Vec<u8> {
    let (key, text) = metadata;
    let mut header = vec![(METADATA.to_string(), Value::object([(key, Value::String(text))]))];
    let mut end = 0;
    for Written { name, dtype, shape, bytes } in tensors {
        let start = end;
        end += bytes;
        let entry = [
            ("dtype", Value::from(*dtype)),
            ("shape", Value::sizes(shape)),
            ("data_offsets", Value::sizes(&[start, end])),
        ];
        header.push((name.clone(), Value::object(entry)));
    }
    let mut header = Value::Object(header.into()).to_text().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend(header);
    start
}

/// A tensor to be written.
pub struct Written<'a> {
    /// Its name.
    pub name: String,
    /// Its type, as files have it.
    pub dtype: &'static str,
    /// Length of each axis.
    pub shape: &'a [usize],
    /// How many its values take.
    pub bytes: usize,
}
