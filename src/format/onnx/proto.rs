//! The messages of <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>, with the fields that matter here.
//!
//! Protocol buffers' encoding (<https://protobuf.dev/programming-guides/encoding/>) is read by hand, as it is written:
//! generated readers of these messages would be 18 KB of the browser's download, and copy what they read. Names and
//! data here are slices of the file. Nested messages that may be many, large or not needed stay bytes until someone
//! asks for them. So the graphs inside an `If` are never read, however deep they are nested, and a file of many tiny
//! messages takes little more memory than itself.

use crate::{Error, Result};

/// A message, read field by field.
pub(super) struct Message<'a> {
    rest: &'a [u8],
    /// What errors call it.
    what: &'static str,
    field: Field<'a>,
}

/// How a field's value is encoded, and the value.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    /// Four bytes, or eight.
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

/// A number of up to ten bytes, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, bytes.get(i + 1..)?));
        }
    }
    None
}

impl<'a> Message<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what, field: Field::Number(0) }
    }

    /// Goes to the next field, which has this number.
    pub fn next(&mut self) -> Result<Option<u64>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match self.step() {
            Some(number) => Ok(Some(number)),
            None => Err(self.damaged("a field is cut off, or is none")),
        }
    }

    fn step(&mut self) -> Option<u64> {
        let (key, rest) = varint(self.rest)?;
        let number = key >> 3;
        let (field, rest) = match key & 7 {
            _ if number == 0 => return None,
            0 => {
                let (value, rest) = varint(rest)?;
                (Field::Number(value), rest)
            }
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Bytes(bytes), rest)
            }
            // Groups are older than ONNX.
            kind => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => return None,
                };
                let (bytes, rest) = rest.split_at_checked(length)?;
                (Field::Fixed(bytes), rest)
            }
        };
        (self.field, self.rest) = (field, rest);
        Some(number)
    }

    fn damaged(&self, how: &str) -> Error {
        Error::format(format!("{} is damaged: {how}", self.what))
    }

    fn mistyped(&self) -> Error {
        self.damaged("a field of another type")
    }

    /// The field's bytes.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        match self.field {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(self.mistyped()),
        }
    }

    /// The field's text.
    pub fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged("a name is not UTF-8"))
    }

    /// The field's number.
    pub fn int(&self) -> Result<i64> {
        match self.field {
            Field::Number(value) => Ok(value as i64),
            _ => Err(self.mistyped()),
        }
    }

    /// The field's float.
    pub fn float(&self) -> Result<f32> {
        match self.field {
            Field::Fixed(&[a, b, c, d]) => Ok(f32::from_le_bytes([a, b, c, d])),
            _ => Err(self.mistyped()),
        }
    }

    /// Adds the field's numbers, one or many, to a list.
    pub fn ints(&self, list: &mut Vec<i64>) -> Result<()> {
        let Field::Bytes(mut rest) = self.field else {
            list.push(self.int()?);
            return Ok(());
        };
        while !rest.is_empty() {
            let Some((value, behind)) = varint(rest) else {
                return Err(self.damaged("a number is cut off"));
            };
            list.push(value as i64);
            rest = behind;
        }
        Ok(())
    }

    /// Adds the field's floats of `width` bytes, one or many, to a list.
    pub fn floats(&self, width: usize, list: &mut Vec<f32>) -> Result<()> {
        match self.field {
            Field::Bytes(bytes) if bytes.len().is_multiple_of(width) => floats(bytes, width, list),
            Field::Fixed(bytes) if bytes.len() == width => floats(bytes, width, list),
            _ => return Err(self.mistyped()),
        }
        Ok(())
    }
}

/// Adds floats of four or eight bytes to a list.
pub(super) fn floats(bytes: &[u8], width: usize, list: &mut Vec<f32>) {
    match width {
        8 => list.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32)),
        _ => nearside_kernels::extend_from_le_bytes(list, bytes),
    }
}

/// `AttributeProto`
#[derive(Default)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub float: f32,
    pub int: i64,
    pub bytes: &'a [u8],
    pub tensor: &'a [u8],
    pub floats: Vec<f32>,
    pub ints: Vec<i64>,
    pub strings: Vec<&'a [u8]>,
    /// Which of the fields counts.
    pub kind: i64,
    /// In a function: the attribute of its call that gives the value.
    pub reference: &'a str,
}

impl<'a> Attribute<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut attribute = Self::default();
        let mut message = Message::new(bytes, "an attribute");
        while let Some(field) = message.next()? {
            match field {
                1 => attribute.name = message.text()?,
                2 => attribute.float = message.float()?,
                3 => attribute.int = message.int()?,
                4 => attribute.bytes = message.bytes()?,
                5 => attribute.tensor = message.bytes()?,
                7 => message.floats(4, &mut attribute.floats)?,
                8 => message.ints(&mut attribute.ints)?,
                9 => attribute.strings.push(message.bytes()?),
                20 => attribute.kind = message.int()?,
                21 => attribute.reference = message.text()?,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

/// `TensorProto`
#[derive(Default)]
pub(super) struct Tensor<'a> {
    pub dims: Vec<i64>,
    pub data_type: i64,
    /// Whether it is a part of a tensor.
    pub is_segment: bool,
    /// Which field has the values, if they are not raw.
    pub field: u64,
    /// Of `float_data` or `double_data`.
    pub floats: Vec<f32>,
    /// Of `int32_data`, `int64_data` or `uint64_data`.
    pub ints: Vec<i64>,
    pub strings: Vec<&'a [u8]>,
    pub name: &'a str,
    pub raw: Option<&'a [u8]>,
    /// `StringStringEntryProto` each.
    pub external: Vec<&'a [u8]>,
    /// 1 for data outside the file.
    pub location: i64,
}

impl<'a> Tensor<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut tensor = Self::default();
        let mut message = Message::new(bytes, "a tensor");
        while let Some(field) = message.next()? {
            if matches!(field, 4..=7 | 10 | 11) {
                tensor.field = field;
            }
            match field {
                1 => message.ints(&mut tensor.dims)?,
                2 => tensor.data_type = message.int()?,
                3 => tensor.is_segment = true,
                4 => message.floats(4, &mut tensor.floats)?,
                5 | 7 | 11 => message.ints(&mut tensor.ints)?,
                6 => tensor.strings.push(message.bytes()?),
                8 => tensor.name = message.text()?,
                9 => tensor.raw = Some(message.bytes()?),
                10 => message.floats(8, &mut tensor.floats)?,
                13 => tensor.external.push(message.bytes()?),
                14 => tensor.location = message.int()?,
                _ => {}
            }
        }
        Ok(tensor)
    }
}

/// A key and a value, of fields 1 and 2: `StringStringEntryProto`, and `OperatorSetIdProto` but for its number.
pub(super) fn entry(bytes: &[u8]) -> Result<(&str, &str)> {
    let mut entry = ("", "");
    let mut message = Message::new(bytes, "an entry");
    while let Some(field) = message.next()? {
        match field {
            1 => entry.0 = message.text()?,
            2 => entry.1 = message.text()?,
            _ => {}
        }
    }
    Ok(entry)
}
