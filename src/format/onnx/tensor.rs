//! Constant tensors as the file has them, typed or raw, inside or beside it.

use super::{
    proto::{self, entry, floats},
    value::{Constant, Data, Kind},
};
use crate::{
    Error, Result,
    format::Files,
    tensor::{element_count, reserve},
};

/// More axes than any tensor has; a bound for those of a hostile file.
pub(super) const MAX_RANK: usize = 32;

/// ONNX's element types.
#[derive(Clone, Copy)]
pub(super) struct DataType {
    name: &'static str,
    pub kind: Kind,
    /// Bytes of a value in raw data.
    width: usize,
    signed: bool,
}

/// By their number in `TensorProto.DataType`; those that no dense network needs have no width.
const DATA_TYPES: [DataType; 17] = [
    data_type("an undefined type", Kind::Float, 0, false),
    data_type("float", Kind::Float, 4, true),
    data_type("uint8", Kind::Int, 1, false),
    data_type("int8", Kind::Int, 1, true),
    data_type("uint16", Kind::Int, 2, false),
    data_type("int16", Kind::Int, 2, true),
    data_type("int32", Kind::Int, 4, true),
    data_type("int64", Kind::Int, 8, true),
    data_type("string", Kind::Text, 0, false),
    data_type("bool", Kind::Bool, 1, false),
    data_type("float16", Kind::Float, 2, true),
    data_type("double", Kind::Float, 8, true),
    data_type("uint32", Kind::Int, 4, false),
    data_type("uint64", Kind::Int, 8, false),
    data_type("complex64", Kind::Float, 0, false),
    data_type("complex128", Kind::Float, 0, false),
    // Its bits are not those of float16, which "signed" tells.
    data_type("bfloat16", Kind::Float, 2, false),
];

const fn data_type(name: &'static str, kind: Kind, width: usize, signed: bool) -> DataType {
    DataType { name, kind, width, signed }
}

impl DataType {
    pub fn of(number: i64) -> Result<Self> {
        let known = usize::try_from(number).ok().and_then(|number| DATA_TYPES.get(number));
        match known {
            Some(known) if known.width > 0 || known.kind == Kind::Text => Ok(*known),
            Some(known) => {
                Err(Error::unsupported(format!("values of type {} are not supported", known.name)))
            }
            None => Err(Error::unsupported(format!(
                "values of ONNX's type {number} are not supported; nearside reads floats of 16, 32 and 64 bits, \
                 whole numbers of 8 to 64 bits, bool and string"
            ))),
        }
    }

    /// Whether every whole number that a layer computes fits.
    pub fn is_wide(self) -> bool {
        self.width >= 4
    }
}

/// Reads a tensor, with its data from `files` where it lies outside, and says what its values are.
pub(super) fn read(bytes: &[u8], files: &Files) -> Result<(Constant, Kind)> {
    let tensor = proto::Tensor::read(bytes)?;
    let name = tensor.name;
    constant(tensor, files).map_err(|error| if name.is_empty() { error } else { error.tensor(name) })
}

fn constant(tensor: proto::Tensor, files: &Files) -> Result<(Constant, Kind)> {
    let data_type = DataType::of(tensor.data_type)?;
    if tensor.is_segment {
        return Err(Error::unsupported("a part of a tensor; save the model with whole tensors"));
    }
    let mut shape = Vec::with_capacity(MAX_RANK);
    for &length in &tensor.dims {
        match usize::try_from(length) {
            Ok(length) if shape.len() < MAX_RANK => shape.push(length),
            _ => return Err(Error::format("dims are no lengths of at most 32 axes")),
        }
    }
    let count = element_count(&shape)?;
    let data = match (tensor.location, tensor.raw) {
        (1, None) => raw(external(&tensor.external, files)?, data_type, count)?,
        (0, Some(bytes)) => raw(bytes, data_type, count)?,
        (0, None) => typed(tensor, data_type)?,
        _ => return Err(Error::format("the place of its data is given twice, or is not one")),
    };
    if data.len() != count {
        let message = format!("shape {shape:?} needs {count} values, {} are there", data.len());
        return Err(Error::format(message));
    }
    Ok((Constant::new(shape, data), data_type.kind))
}

/// The values of the field that the type has.
fn typed(mut tensor: proto::Tensor, data_type: DataType) -> Result<Data> {
    let field = match data_type.name {
        "float" => 4,
        "double" => 10,
        "int64" => 7,
        "uint32" | "uint64" => 11,
        "string" => 6,
        _ => 5,
    };
    if tensor.field != field {
        tensor = proto::Tensor::default();
    }
    match field {
        4 | 10 => Ok(Data::of_floats(tensor.floats)),
        6 => texts(&tensor.strings).map(Data::Texts),
        5 if data_type.kind == Kind::Float => {
            let mut floats = reserve(tensor.ints.len())?;
            for &bits in &tensor.ints {
                let bits = u16::try_from(bits);
                let bits = bits.map_err(|_| Error::format("a 16-bit number is larger"))?;
                floats.push(small_float(bits, data_type));
            }
            Ok(Data::of_floats(floats))
        }
        11 if tensor.ints.iter().any(|&int| int < 0) => Err(too_large()),
        _ => Ok(Data::Ints(tensor.ints)),
    }
}

/// A string of the file.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::format("a string is not UTF-8"))
}

/// Strings of the file.
pub(super) fn texts(strings: &[&[u8]]) -> Result<Vec<String>> {
    let mut texts = Vec::with_capacity(strings.len());
    for bytes in strings {
        texts.push(text(bytes)?.to_string());
    }
    Ok(texts)
}

fn too_large() -> Error {
    Error::unsupported("a whole number beyond 63 bits")
}

fn small_float(bits: u16, data_type: DataType) -> f32 {
    if data_type.signed { half::f16::from_bits(bits).to_f32() } else { f32::from_bits(u32::from(bits) << 16) }
}

/// Little-endian values.
fn raw(bytes: &[u8], data_type: DataType, count: usize) -> Result<Data> {
    let width = data_type.width;
    if width == 0 {
        return Err(Error::format("strings as raw data"));
    }
    if count.checked_mul(width) != Some(bytes.len()) {
        let message = format!("{count} values of {width} bytes needed, {} bytes are there", bytes.len());
        return Err(Error::format(message));
    }
    if data_type.kind == Kind::Float {
        let mut list = reserve(count)?;
        match width {
            2 => list.extend(
                bytes.as_chunks().0.iter().map(|&bytes| small_float(u16::from_le_bytes(bytes), data_type)),
            ),
            _ => floats(bytes, width, &mut list),
        }
        return Ok(Data::of_floats(list));
    }
    let mut ints = reserve(count)?;
    for bytes in bytes.chunks_exact(width) {
        let bits = bytes.iter().rev().fold(0, |bits: u64, &byte| bits << 8 | u64::from(byte));
        let unused = 64 - 8 * width as u32;
        match data_type.signed {
            true => ints.push((bits << unused) as i64 >> unused),
            false => ints.push(i64::try_from(bits).map_err(|_| too_large())?),
        }
    }
    Ok(Data::Ints(ints))
}

/// The bytes that an entry in another file names: `location`, `offset` (0 by default) and `length` (the rest).
fn external<'a>(entries: &[&[u8]], files: &Files<'a>) -> Result<&'a [u8]> {
    let location = location(entries)?;
    let (mut offset, mut length) = (None, None);
    for bytes in entries {
        let (key, value) = entry(bytes)?;
        let bound = match key {
            "offset" => &mut offset,
            "length" => &mut length,
            // A check sum may be given, of the whole file; lengths are checked anyway.
            "location" | "checksum" => continue,
            key => return Err(Error::unsupported(format!("external data with '{key}'"))),
        };
        let number = value.parse::<usize>();
        *bound = Some(number.map_err(|_| Error::format(format!("external data: '{value}'")))?);
    }
    let Some(file) = find(files, location) else {
        let message =
            format!("its data is in the file '{location}', which is missing; give it beside the model");
        return Err(Error::format(message));
    };
    let rest = file.get(offset.unwrap_or(0)..);
    let bytes = rest.and_then(|rest| rest.get(..length.unwrap_or(rest.len())));
    bytes.ok_or_else(|| {
        Error::format(format!("its data lies beyond the end of '{location}', which has {} bytes", file.len()))
    })
}

/// The file of that path, or else the only one of that name in whatever folder.
fn find<'a>(files: &Files<'a>, location: &str) -> Option<&'a [u8]> {
    let name = location.rsplit('/').next();
    let mut named = Vec::new();
    for (path, bytes) in files {
        if *path == location {
            return Some(bytes);
        }
        if path.rsplit('/').next() == name {
            named.push(*bytes);
        }
    }
    if let [one] = named[..] { Some(one) } else { None }
}

/// The path of the file that external data lies in: below the model's folder, or it is refused.
pub(super) fn location<'a>(entries: &[&'a [u8]]) -> Result<&'a str> {
    let mut path = None;
    for bytes in entries {
        let (key, value) = entry(bytes)?;
        if key == "location" && path.is_none() {
            path = Some(value);
        }
    }
    let path = path.ok_or_else(|| Error::format("external data without a location"))?;
    let below = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !below || path.contains(['\\', ':', '\0', '?', '#', '%']) {
        let message = format!("external data in '{path}', which is no plain path below the model's folder");
        return Err(Error::format(message));
    }
    Ok(path)
}
