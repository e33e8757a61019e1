//! Constant tensors as the file has them, typed or raw, inside or beside it.

use super::{
    proto::{self, decode},
    value::{Data, Kind, Value},
};
use crate::{
    Error, Result,
    format::Files,
    tensor::{element_count, reserve},
};
use prost::bytes::Bytes;

/// More axes than any tensor has; a bound for those of a hostile file.
pub(super) const MAX_RANK: usize = 32;

/// ONNX's element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Reads a tensor, with its data from `files` where it lies outside.
pub(super) fn read(bytes: &Bytes, files: &Files) -> Result<Value> {
    let tensor: proto::Tensor = decode(bytes, "a tensor")?;
    let name = tensor.name.clone();
    value(tensor, files).map_err(|error| if name.is_empty() { error } else { error.tensor(name) })
}

fn value(tensor: proto::Tensor, files: &Files) -> Result<Value> {
    let data_type = DataType::of(tensor.data_type.into())?;
    if tensor.segment.is_some() {
        return Err(Error::unsupported("a part of a tensor; save the model with whole tensors"));
    }
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&length| usize::try_from(length).ok()).collect();
    let shape = shape.filter(|shape| shape.len() <= MAX_RANK);
    let shape = shape.ok_or_else(|| Error::format("dims are no lengths of at most 32 axes"))?;
    let count = element_count(&shape)?;
    let data = match (tensor.data_location, &tensor.raw_data) {
        (1, None) => raw(external(&tensor.external_data, files)?, data_type, count)?,
        (0, Some(bytes)) => raw(bytes, data_type, count)?,
        (0, None) => typed(&tensor, data_type)?,
        _ => return Err(Error::format("the place of its data is given twice, or is not one")),
    };
    if data.len() != count {
        let message = format!("shape {shape:?} needs {count} values, {} are there", data.len());
        return Err(Error::format(message));
    }
    Ok(Value::constant(shape, data).of_kind(data_type.kind))
}

fn typed(tensor: &proto::Tensor, data_type: DataType) -> Result<Data> {
    let bits = |value: &i32| u16::try_from(*value).map_err(|_| Error::format("a 16-bit number is larger"));
    let widened = |values: &[i32]| values.iter().map(|&value| i64::from(value)).collect();
    Ok(match (data_type.name, data_type.kind) {
        ("float", _) => Data::Floats(tensor.float_data.clone()),
        ("double", _) => Data::Floats(tensor.double_data.iter().map(|&value| value as f32).collect()),
        (_, Kind::Float) => {
            let half = |bits: u16| small_float(bits, data_type);
            let values = tensor.int32_data.iter().map(|value| bits(value).map(half));
            Data::Floats(values.collect::<Result<_>>()?)
        }
        ("int64", _) => Data::Ints(tensor.int64_data.clone()),
        ("uint32" | "uint64", _) => {
            let int = |&value| i64::try_from(value).map_err(|_| too_large());
            Data::Ints(tensor.uint64_data.iter().map(int).collect::<Result<_>>()?)
        }
        (_, Kind::Int | Kind::Bool) => Data::Ints(widened(&tensor.int32_data)),
        (_, Kind::Text) => Data::Texts(tensor.string_data.iter().map(text).collect::<Result<_>>()?),
    })
}

/// A string of the file.
pub(super) fn text(bytes: &Bytes) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::format("a string is not UTF-8"))
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
    if data_type.kind != Kind::Float {
        let mut ints = reserve(count)?;
        for bytes in bytes.chunks_exact(width) {
            let bits = bytes.iter().rev().fold(0, |bits: u64, &byte| bits << 8 | u64::from(byte));
            let unused = 64 - 8 * width as u32;
            match data_type.signed {
                true => ints.push((bits << unused) as i64 >> unused),
                false => ints.push(i64::try_from(bits).map_err(|_| too_large())?),
            }
        }
        return Ok(Data::Ints(ints));
    }
    let mut floats = reserve(count)?;
    match width {
        2 => floats.extend(
            bytes.as_chunks().0.iter().map(|&bytes| small_float(u16::from_le_bytes(bytes), data_type)),
        ),
        4 => floats.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
        _ => floats.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32)),
    }
    Ok(Data::Floats(floats))
}

/// The bytes that an entry in another file names: `location`, `offset` (0 by default) and `length` (the rest).
fn external<'a>(entries: &[proto::Entry], files: &Files<'a>) -> Result<&'a [u8]> {
    let location = location(entries)?;
    let mut bounds = [None, None];
    for entry in entries {
        let bound = match entry.key.as_str() {
            "offset" => &mut bounds[0],
            "length" => &mut bounds[1],
            // A check sum may be given, of the whole file; lengths are checked anyway.
            "location" | "checksum" => continue,
            key => return Err(Error::unsupported(format!("external data with '{key}'"))),
        };
        let number = entry.value.parse::<usize>();
        *bound = Some(number.map_err(|_| Error::format(format!("external data: '{}'", entry.value)))?);
    }
    let file = find(files, location).ok_or_else(|| {
        Error::format(format!(
            "its data is in the file '{location}', which is missing; give it beside the model"
        ))
    })?;
    let [offset, length] = bounds;
    let rest = file.get(offset.unwrap_or(0)..);
    let bytes = rest.and_then(|rest| rest.get(..length.unwrap_or(rest.len())));
    bytes.ok_or_else(|| {
        Error::format(format!("its data lies beyond the end of '{location}', which has {} bytes", file.len()))
    })
}

/// The file of that path, or else the only one of that name in whatever folder.
fn find<'a>(files: &Files<'a>, location: &str) -> Option<&'a [u8]> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
    if let Some((_, bytes)) = files.iter().find(|(path, _)| *path == location) {
        return Some(bytes);
    }
    let mut named = files.iter().filter(|(path, _)| name(path) == name(location));
    named.next().filter(|_| named.next().is_none()).map(|(_, bytes)| *bytes)
}

/// The path of the file that external data lies in: below the model's folder, or it is refused.
pub(super) fn location(entries: &[proto::Entry]) -> Result<&str> {
    let entry = entries.iter().find(|entry| entry.key == "location");
    let path = entry.map(|entry| entry.value.as_str());
    let path = path.ok_or_else(|| Error::format("external data without a location"))?;
    let below = path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !below || path.contains(['\\', ':', '\0', '?', '#', '%']) {
        return Err(Error::format(format!(
            "external data in '{path}', which is no plain path below the model's folder"
        )));
    }
    Ok(path)
}
