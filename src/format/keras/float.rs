//! Numbers as HDF5 stores them.

use crate::{Error, Result};
use hdf5_pure::{Datatype, DatatypeByteOrder, FloatingPointLayout};

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
