//! Numbers as HDF5 stores them.

use crate::{Error, Result};
use hdf5_pure::{Datatype, DatatypeByteOrder, FixedPointLayout, FloatingPointLayout};

/// IEEE 754 numbers in a file.
pub(super) struct Float {
    width: Width,
    big_endian: bool,
}

enum Width {
    Half,
    Single,
    Double,
}

const HALF: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

impl Float {
    /// The numbers that a datatype describes.
    pub(super) fn of(datatype: &Datatype) -> Result<Self> {
        let unsupported =
            || Error::unsupported(format!("stored as {datatype}; float16, float32 or float64 is needed"));
        let &Datatype::FloatingPoint { size, byte_order, layout } = datatype else {
            return Err(unsupported());
        };
        let width = match size {
            2 if layout == HALF => Width::Half,
            4 if layout == FloatingPointLayout::IEEE754_BINARY32 => Width::Single,
            8 if layout == FloatingPointLayout::IEEE754_BINARY64 => Width::Double,
            _ => return Err(unsupported()),
        };
        match byte_order {
            DatatypeByteOrder::LittleEndian => Ok(Self { width, big_endian: false }),
            DatatypeByteOrder::BigEndian => Ok(Self { width, big_endian: true }),
            DatatypeByteOrder::Vax => Err(unsupported()),
        }
    }

    /// Bytes of one number.
    pub(super) fn size(&self) -> usize {
        match self.width {
            Width::Half => 2,
            Width::Single => 4,
            Width::Double => 8,
        }
    }

    /// The numbers as `f32`.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>> {
        match self.width {
            Width::Half => Ok(self.each(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
            Width::Single if !self.big_endian => {
                let mut values = Vec::with_capacity(bytes.len() / 4);
                nearside_kernels::extend_from_le_bytes(&mut values, bytes);
                Ok(values)
            }
            Width::Single => Ok(self.each(bytes, f32::from_le_bytes)),
            Width::Double => {
                let values = self.each(bytes, f64::from_le_bytes);
                let narrow = |value: f64| match value as f32 {
                    narrow if narrow.is_infinite() && value.is_finite() => {
                        Err(Error::value("a weight is beyond float32"))
                    }
                    narrow => Ok(narrow),
                };
                values.into_iter().map(narrow).collect()
            }
        }
    }

    /// Converts every N bytes, given in little-endian order.
    fn each<const N: usize, T>(&self, bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        let ordered = |bytes: &[u8; N]| {
            let mut bytes = *bytes;
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        };
        bytes.as_chunks::<N>().0.iter().map(|bytes| convert(ordered(bytes))).collect()
    }
}

/// A whole number in a file.
pub(super) struct Whole {
    size: usize,
    big_endian: bool,
}

impl Whole {
    /// The number that a datatype describes.
    pub(super) fn of(datatype: &Datatype) -> Result<Self> {
        let unsupported = || Error::unsupported(format!("stored as {datatype}; int32 or int64 is needed"));
        let &Datatype::FixedPoint { size: size @ (4 | 8), byte_order, layout } = datatype else {
            return Err(unsupported());
        };
        let FixedPointLayout { bit_offset, bit_precision, .. } = layout;
        if bit_offset != 0 || u32::from(bit_precision) != 8 * size {
            return Err(unsupported());
        }
        let big_endian = match byte_order {
            DatatypeByteOrder::LittleEndian => false,
            DatatypeByteOrder::BigEndian => true,
            DatatypeByteOrder::Vax => return Err(unsupported()),
        };
        Ok(Self { size: size as usize, big_endian })
    }

    /// Its bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The number, which must not be negative, nor beyond those that JSON keeps.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<u64> {
        let join = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        let number = match self.big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        };
        let is_negative = number >> (8 * self.size - 1) != 0;
        match !is_negative && number < 1 << 53 {
            true => Ok(number),
            false => Err(Error::format("a number that counts is negative, or beyond 2^53")),
        }
    }
}
