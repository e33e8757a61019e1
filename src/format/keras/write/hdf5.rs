//! Writes HDF5 files of groups, texts as attributes, and datasets of floats or of one whole number, which is all that
//! Keras needs.
//!
//! The layout is the oldest of the [HDF5 File Format Specification
//! 3.0](https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html) (superblock 0, object headers 1,
//! contiguous data), but that a group keeps its links as messages, as it may from HDF5 1.8 on. Written here because
//! hdf5-pure's writer, which also edits and compresses, would add 42 KB to the browser's download.

use crate::{
    Error, Result,
    format::stored::{Stored, Values},
};

/// What is in a group, by name.
#[derive(Default)]
pub struct Group<'a> {
    pub attributes: Vec<(String, Attribute)>,
    pub groups: Vec<(String, Group<'a>)>,
    pub datasets: Vec<(String, Data<'a>)>,
}

/// The values of a dataset.
pub enum Data<'a> {
    Floats(Stored<'a>),
    Count(u64),
}

/// A text, or a list of them.
pub enum Attribute {
    Text(String),
    Texts(Vec<String>),
}

/// An address where nothing is, 8 bytes of ones.
const UNDEFINED: [u8; 8] = [0xff; 8];
const SUPERBLOCK_LENGTH: usize = 96;
/// The longest text kept in its attribute: a message holds less than 64 KB.
const MAX_INLINE: usize = 64_000;

/// The most axes, `H5S_MAX_RANK`.
const MAX_RANK: usize = 32;

/// A file with this root.
///
/// # Errors
/// `Unsupported` for names and lists longer than the format can hold.
pub fn write(root: &Group) -> Result<Vec<u8>> {
    let mut writer = Writer { file: vec![0; SUPERBLOCK_LENGTH] };
    let root = writer.group(root)?;
    let superblock = superblock(root, writer.file.len());
    writer.file[..SUPERBLOCK_LENGTH].copy_from_slice(&superblock);
    Ok(writer.file)
}

/// II.A, version 0.
fn superblock(root: u64, end: usize) -> Vec<u8> {
    let mut bytes = b"\x89HDF\r\n\x1a\n".to_vec();
    // Versions of this and three other structures, and the sizes of addresses and lengths.
    bytes.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    // The nodes of B-trees that the file has not, and flags.
    bytes.extend([4, 0, 16, 0, 0, 0, 0, 0]);
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(UNDEFINED);
    bytes.extend((end as u64).to_le_bytes());
    bytes.extend(UNDEFINED);
    // The root's entry, III.C.
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(root.to_le_bytes());
    bytes.resize(SUPERBLOCK_LENGTH, 0);
    bytes
}

/// Header messages, IV.A.2: type and content.
type Messages = Vec<(u16, Vec<u8>)>;

struct Writer {
    file: Vec<u8>,
}

impl Writer {
    /// Writes a group behind its members, and gives its address.
    fn group(&mut self, group: &Group) -> Result<u64> {
        let mut link_info = vec![0, 0];
        link_info.extend(UNDEFINED);
        link_info.extend(UNDEFINED);
        let mut messages: Messages = vec![(0x02, link_info), (0x0a, vec![0, 0])];
        for (name, dataset) in &group.datasets {
            messages.push((0x06, link(name, self.dataset(dataset)?)?));
        }
        for (name, group) in &group.groups {
            messages.push((0x06, link(name, self.group(group)?)?));
        }
        for (name, attribute) in &group.attributes {
            messages.push((0x0c, self.attribute(name, attribute)?));
        }
        self.header(&messages)
    }

    fn dataset(&mut self, data: &Data) -> Result<u64> {
        self.align();
        let start = self.file.len();
        let (shape, datatype) = match data {
            Data::Floats(stored) => (stored.tensor.shape(), self.floats(stored)?.to_vec()),
            Data::Count(count) => {
                self.file.extend(count.to_le_bytes());
                // Signed; all 64 bits.
                (&[][..], vec![0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0])
            }
        };
        let size = self.file.len() - start;
        let address = if size == 0 { UNDEFINED } else { (start as u64).to_le_bytes() };
        let mut layout = vec![3, 1];
        layout.extend(address);
        layout.extend((size as u64).to_le_bytes());
        self.header(&[
            (0x01, dataspace(shape)),
            (0x03, datatype),
            // Version 2: space is taken when written, and there is no fill value.
            (0x05, vec![2, 2, 2, 0]),
            (0x08, layout),
        ])
    }

    /// Writes the values, and gives their type.
    fn floats(&mut self, stored: &Stored) -> Result<[u8; 20]> {
        let tensor = &stored.tensor;
        if tensor.shape().len() > MAX_RANK {
            let message = "a weight has more than the 32 axes that HDF5 allows; use 'safetensors'";
            return Err(Error::unsupported(message).tensor(stored.weight));
        }
        match &stored.values {
            Values::F32 => {
                tensor.data().iter().for_each(|value| self.file.extend_from_slice(&value.to_le_bytes()));
                // Sign at bit 31; all 32 bits; exponent and mantissa: where, how long; bias.
                Ok([0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0])
            }
            Values::F16(bytes) => {
                self.file.extend(bytes);
                Ok([0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0])
            }
            Values::Int8 { .. } => Err(Error::unsupported("int8 weights have no place in a Keras file")),
        }
    }

    /// IV.A.2.m, version 1.
    fn attribute(&mut self, name: &str, attribute: &Attribute) -> Result<Vec<u8>> {
        let (datatype, dataspace, data) = match attribute {
            Attribute::Text(text) if text.len() > MAX_INLINE => {
                // A string of variable length, which is a sequence of bytes in a heap.
                let mut datatype = vec![0x19, 1, 1, 0, 16, 0, 0, 0];
                datatype.extend([0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0]);
                let mut data = u32::try_from(text.len()).map_err(|_| too_long(name))?.to_le_bytes().to_vec();
                data.extend(self.heap(text).to_le_bytes());
                data.extend(1u32.to_le_bytes());
                (datatype, dataspace(&[]), data)
            }
            Attribute::Text(text) => {
                let mut data = text.clone().into_bytes();
                data.resize(text.len().max(1), 0);
                (string(text.len()), dataspace(&[]), data)
            }
            Attribute::Texts(texts) => {
                let width = texts.iter().map(String::len).max().unwrap_or(0).max(1);
                let mut data = Vec::new();
                for (index, text) in texts.iter().enumerate() {
                    data.extend(text.bytes());
                    data.resize((index + 1) * width, 0);
                }
                (string(width), dataspace(&[texts.len()]), data)
            }
        };
        let mut message = vec![1, 0];
        message.extend(length(name.len() + 1, name)?);
        message.extend(length(datatype.len(), name)?);
        message.extend(length(dataspace.len(), name)?);
        let mut name = name.as_bytes().to_vec();
        name.push(0);
        for part in [name, datatype, dataspace] {
            message.extend(part);
            message.resize(message.len().next_multiple_of(8), 0);
        }
        message.extend(data);
        Ok(message)
    }

    /// A global heap collection, III.E, of one text; gives its address.
    fn heap(&mut self, text: &str) -> u64 {
        self.align();
        let start = self.file.len();
        self.file.extend(b"GCOL\x01\0\0\0");
        let size = (16 + 16 + text.len()).next_multiple_of(8) as u64;
        self.file.extend(size.to_le_bytes());
        // Its number and the references to it.
        self.file.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        self.file.extend((text.len() as u64).to_le_bytes());
        self.file.extend(text.bytes());
        self.align();
        start as u64
    }

    /// An object header, IV.A.1.a; gives its address.
    fn header(&mut self, messages: &[(u16, Vec<u8>)]) -> Result<u64> {
        self.align();
        let start = self.file.len();
        let count = u16::try_from(messages.len()).map_err(|_| {
            Error::unsupported("a Keras file holds no more than 65,000 layers; use 'safetensors'")
        })?;
        self.file.extend([1, 0]);
        self.file.extend(count.to_le_bytes());
        self.file.extend(1u32.to_le_bytes());
        let size: usize = messages.iter().map(|(_, content)| 8 + content.len().next_multiple_of(8)).sum();
        self.file.extend(u32::try_from(size).map_err(|_| too_long("a group"))?.to_le_bytes());
        self.file.extend([0; 4]);
        for (kind, content) in messages {
            self.file.extend(kind.to_le_bytes());
            self.file.extend(length(content.len().next_multiple_of(8), "a group's member or attribute")?);
            self.file.extend([0; 4]);
            self.file.extend(content);
            self.align();
        }
        Ok(start as u64)
    }

    fn align(&mut self) {
        self.file.resize(self.file.len().next_multiple_of(8), 0);
    }
}

/// IV.A.2.g, version 1: the length of the name in two bytes, the name in UTF-8, what it leads to.
fn link(name: &str, address: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![1, 0x11, 1];
    bytes.extend(length(name.len(), name)?);
    bytes.extend(name.bytes());
    bytes.extend(address.to_le_bytes());
    Ok(bytes)
}

/// IV.A.2.b, version 1: the length of each axis; a single value where there is none.
fn dataspace(shape: &[usize]) -> Vec<u8> {
    let mut bytes = vec![1, shape.len() as u8, 0, 0, 0, 0, 0, 0];
    shape.iter().for_each(|&axis| bytes.extend((axis as u64).to_le_bytes()));
    bytes
}

/// IV.A.2.d: a string of so many bytes, UTF-8, filled up with zeros.
fn string(width: usize) -> Vec<u8> {
    let mut bytes = vec![0x13, 0x11, 0, 0];
    bytes.extend((width.max(1) as u32).to_le_bytes());
    bytes
}

/// A length where the format has two bytes for one.
fn length(length: usize, what: &str) -> Result<[u8; 2]> {
    u16::try_from(length).map(u16::to_le_bytes).map_err(|_| too_long(what))
}

fn too_long(what: &str) -> Error {
    let start: String = what.chars().take(40).collect();
    Error::unsupported(format!("'{start}' is longer than a Keras file can hold; use 'safetensors'"))
}
