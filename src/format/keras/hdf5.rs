//! HDF5, as far as Keras uses it: groups, string attributes, float datasets.
//!
//! The bytes are hostile until proven otherwise. The library is given them through a source that counts what it reads,
//! so that structures which refer to each other in circles or fan out end in an error after a bounded time; and no
//! dataset is read before its declared size is known to be there.

use super::{
    float::{Float, Whole},
    superblock,
};
use crate::{Error, Result, Tensor, format::table::Table, tensor::element_count};
use hdf5_pure::{AttrValue, ChunkIndex, File, FormatError, Layout};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub(super) use hdf5_pure::{Dataset, Group};

/// An open file.
pub(super) struct Hdf5 {
    file: File,
    /// Stored bytes that no tensor has claimed yet.
    unclaimed: u64,
    length: u64,
}

/// The attributes of a group.
pub(super) struct Attributes {
    values: HashMap<String, AttrValue>,
    /// Names of those that the library found but could not decode.
    unreadable: Vec<String>,
    place: String,
}

/// The file's bytes, and how many more of them may be read.
struct Metered {
    bytes: Arc<[u8]>,
    left: AtomicU64,
}

/// What one read costs besides its bytes: about the time of copying as many.
const READ_COST: u64 = 64;

/// deflate's best ratio (RFC 1951: 258 bytes from two bits); no filter that Keras users meet does better on weights.
const LARGEST_RATIO: u64 = 1032;

impl hdf5_pure::Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::result::Result<(), FormatError> {
        let cost = READ_COST + buffer.len() as u64;
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost))
            .is_err()
        {
            return Err(FormatError::Source("its structures lead to each other without end".to_string()));
        }
        let start = usize::try_from(offset).ok();
        let stored = start.and_then(|start| self.bytes.get(start..start.checked_add(buffer.len())?));
        let available = self.bytes.len();
        let stored = stored.ok_or(FormatError::UnexpectedEof {
            expected: start.unwrap_or(usize::MAX).saturating_add(buffer.len()),
            available,
        })?;
        buffer.copy_from_slice(stored);
        Ok(())
    }
}

impl Hdf5 {
    pub(super) fn open(bytes: &[u8]) -> Result<Self> {
        let length = bytes.len() as u64;
        superblock::check_length(bytes)?;
        // Sound files of the tests need at most 4.1 times their length: indices and headers are read again for each
        // name that is looked up in them. The constant is for small files with names that nest.
        let allowed = length.saturating_mul(16).saturating_add(8 << 20);
        let source = Metered { bytes: bytes.into(), left: AtomicU64::new(allowed) };
        let file = File::from_source(source).map_err(broken)?;
        Ok(Self { file, unclaimed: length, length })
    }

    pub(super) fn root(&self) -> Group {
        self.file.root()
    }

    /// A group below another; `place` is its path for messages.
    pub(super) fn group(&self, parent: &Group, path: &str, place: &str) -> Result<Group> {
        parent.group(path).map_err(|error| broken(error).tensor(place))
    }

    /// [`group`](Self::group), where there is one.
    pub(super) fn optional_group(&self, parent: &Group, path: &str, place: &str) -> Result<Option<Group>> {
        match parent.group(path) {
            Ok(group) => Ok(Some(group)),
            Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => Ok(None),
            Err(error) => Err(broken(error).tensor(place)),
        }
    }

    /// All groups right below another.
    pub(super) fn groups(&self, parent: &Group, place: &str) -> Result<Table<Group>> {
        let mut groups = Table::default();
        for (name, group) in parent.iter_groups().map_err(|error| broken(error).tensor(place))? {
            groups.insert(name, group);
        }
        Ok(groups)
    }

    /// All datasets right below a group.
    pub(super) fn datasets(&self, group: &Group, place: &str) -> Result<Table<Dataset>> {
        let mut datasets = Table::default();
        for (name, dataset) in group.iter_datasets().map_err(|error| broken(error).tensor(place))? {
            datasets.insert(name, dataset);
        }
        Ok(datasets)
    }

    /// How many datasets are right below a group.
    pub(super) fn dataset_count(&self, group: &Group, place: &str) -> Result<usize> {
        group.datasets().map(|names| names.len()).map_err(|error| broken(error).tensor(place))
    }

    pub(super) fn attributes(&self, group: &Group, place: &str) -> Result<Attributes> {
        let read = || {
            let values = group.attrs()?;
            let unreadable = group.attr_datatypes()?.into_keys().filter(|name| !values.contains_key(name));
            Ok((unreadable.collect(), values))
        };
        let (unreadable, values) = read().map_err(|error| within(place, broken(error)))?;
        Ok(Attributes { values, unreadable, place: place.to_string() })
    }

    /// A dataset of floats, which must have exactly this shape; `place` is its path in the file.
    pub(super) fn tensor(
        &mut self,
        group: &Group,
        path: &str,
        place: &str,
        shape: &[usize],
    ) -> Result<Tensor> {
        let dataset = group.dataset(path).map_err(|error| broken(error).tensor(place))?;
        self.tensor_of(&dataset, place, shape)
    }

    /// [`tensor`](Self::tensor) of a dataset that was found already.
    pub(super) fn tensor_of(&mut self, dataset: &Dataset, place: &str, shape: &[usize]) -> Result<Tensor> {
        let mut read = || {
            let float = Float::of(&dataset.datatype().map_err(broken)?)?;
            let bytes = self.bytes(dataset, shape, float.size())?;
            Tensor::new(shape.to_vec(), float.decode(&bytes)?)
        };
        read().map_err(|error| error.tensor(place))
    }

    /// A dataset that is one whole number.
    pub(super) fn count_of(&mut self, dataset: &Dataset, place: &str) -> Result<u64> {
        let mut read = || {
            let whole = Whole::of(&dataset.datatype().map_err(broken)?)?;
            let bytes = self.bytes(dataset, &[], whole.size())?;
            whole.decode(&bytes)
        };
        read().map_err(|error: Error| error.tensor(place))
    }

    /// The values of a dataset, which must have exactly this shape.
    fn bytes(&mut self, dataset: &Dataset, shape: &[usize], size: usize) -> Result<Vec<u8>> {
        let stored = dataset.shape().map_err(broken)?;
        if !stored.iter().copied().eq(shape.iter().map(|&axis| axis as u64)) {
            return Err(Error::shape(format!(
                "the file has shape {stored:?}, the architecture needs {shape:?}"
            )));
        }
        let expected = element_count(shape)?.checked_mul(size);
        let expected =
            expected.ok_or_else(|| Error::shape(format!("shape {shape:?} exceeds the address space")))?;
        self.claim(dataset, &stored, expected as u64, size as u64)?;
        let bytes = dataset.read_raw().map_err(broken)?;
        // The library answers some requests with fewer bytes and no error.
        if bytes.len() != expected {
            return Err(Error::format(format!("{} bytes are stored, {expected} are needed", bytes.len())));
        }
        Ok(bytes)
    }

    /// Fails unless the file can hold `expected` bytes of this dataset besides those already read: a declared size is
    /// believed only then.
    fn claim(&mut self, dataset: &Dataset, shape: &[u64], expected: u64, element: u64) -> Result<()> {
        let missing = || Error::format("the file does not hold this tensor's values");
        let stored = match dataset.layout().map_err(broken)? {
            Layout::Compact { size } if size == expected => expected,
            Layout::Contiguous { address: Some(address), size } if size == expected => {
                if address.checked_add(size).is_none_or(|end| end > self.length) {
                    return Err(missing().offset(address));
                }
                expected
            }
            Layout::Chunked { chunk_shape, index } => {
                check_chunking(index, &dataset.filters())?;
                let stored = self.chunked(dataset, shape, &chunk_shape, expected, element)?;
                let ratio = if dataset.filters().is_empty() { 1 } else { LARGEST_RATIO };
                if stored.saturating_mul(ratio) < expected {
                    return Err(missing());
                }
                stored
            }
            Layout::Virtual => return Err(Error::unsupported("the values are in another file")),
            // Never written, which reads as zeros; or of another size than its shape says.
            _ => return Err(missing()),
        };
        self.unclaimed = self.unclaimed.checked_sub(stored).ok_or_else(missing)?;
        Ok(())
    }

    /// Bytes that a dataset's chunks take up in the file. Fails unless every chunk is there, within the file, and all
    /// of them together hold about as much as the dataset.
    fn chunked(
        &self,
        dataset: &Dataset,
        shape: &[u64],
        chunk: &[u64],
        expected: u64,
        element: u64,
    ) -> Result<u64> {
        // Chunks may reach beyond each axis, but by less than one chunk.
        const SPARE: u64 = 16 << 20;
        let most = expected.saturating_mul(1 << chunk.len().min(8)).saturating_add(SPARE);
        let mut count = 1u64;
        let mut size = element;
        for (&axis, &edge) in shape.iter().zip(chunk) {
            count =
                axis.checked_next_multiple_of(edge).map_or(u64::MAX, |end| count.saturating_mul(end / edge));
            size = size.saturating_mul(edge);
        }
        // Each chunk has an address of at least two bytes in the file.
        if chunk.len() != shape.len() || count > self.length / 2 || count.saturating_mul(size) > most {
            return Err(Error::format(format!("chunks of shape {chunk:?} do not fit the shape {shape:?}")));
        }
        let chunks = dataset.chunks().map_err(broken)?;
        let mut taken = vec![false; count as usize];
        let mut stored = 0u64;
        for part in &chunks {
            // The library reserves the declared size of a chunk before it looks whether the file has as many bytes.
            if part.address.checked_add(part.storage_size).is_none_or(|end| end > self.length) {
                return Err(Error::format("a chunk reaches beyond the file").offset(part.address));
            }
            stored = stored.saturating_add(part.storage_size);
            // The library would place it at whatever its corner wraps to.
            let mut corner = part.offset.iter().zip(shape.iter().zip(chunk));
            let place = corner.try_fold(0, |place: u64, (&at, (&axis, &edge))| {
                let is_corner = at < axis && at.checked_rem(edge) == Some(0);
                is_corner.then(|| place.saturating_mul(axis.div_ceil(edge)).saturating_add(at / edge))
            });
            let Some(place) = place else {
                let message = format!("a chunk lies at {:?}, outside the shape {shape:?}", part.offset);
                return Err(Error::format(message).offset(part.address));
            };
            if let Some(taken) = usize::try_from(place).ok().and_then(|place| taken.get_mut(place)) {
                *taken = true;
            }
        }
        // A chunk that is missing would read as zeros; of two at one place, either could be meant.
        let places = taken.iter().filter(|taken| **taken).count();
        if places as u64 != count || chunks.len() as u64 != count {
            let message = format!("{} chunks at {places} of {count} places", chunks.len());
            return Err(Error::format(message));
        }
        Ok(stored)
    }
}

impl Attributes {
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name)? {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.wrong(name, "a string")),
        }
    }

    /// A list of strings, which Keras splits into NAME0, NAME1 … when it exceeds 64 KB.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Some(value) = self.get(name)? {
            return self.strings(name, value).map(Some);
        }
        let mut list = None;
        for part in 0.. {
            let name = format!("{name}{part}");
            let Some(value) = self.get(&name)? else { break };
            list.get_or_insert_with(Vec::new).extend(self.strings(&name, value)?);
        }
        Ok(list)
    }

    fn strings(&self, name: &str, value: &AttrValue) -> Result<Vec<String>> {
        // h5py writes an empty list as float64.
        let none = value.to_f64s().is_some_and(|values| values.is_empty());
        match value.as_strings() {
            Some(strings) => Ok(strings.to_vec()),
            None if none => Ok(Vec::new()),
            None => Err(self.wrong(name, "a list of strings")),
        }
    }

    fn get(&self, name: &str) -> Result<Option<&AttrValue>> {
        if self.unreadable.iter().any(|unreadable| unreadable == name) {
            return Err(self.wrong(name, "a string"));
        }
        Ok(self.values.get(name))
    }

    fn wrong(&self, name: &str, needed: &str) -> Error {
        let error = Error::format(format!("the attribute '{name}' is damaged: {needed} is needed"));
        within(&self.place, error)
    }
}

/// Accepts the chunk indices and filters whose readers were found to bound what they do by what is in the file. The
/// others belong to datasets that can grow and to lossy compression, which Keras writes neither of.
fn check_chunking(index: ChunkIndex, filters: &[u16]) -> Result<()> {
    const DEFLATE_SHUFFLE_FLETCHER_LZF: [u16; 4] = [1, 2, 3, 32000];
    use ChunkIndex::{BTreeV1, FixedArray, Implicit, SingleChunk};
    if !matches!(index, BTreeV1 | FixedArray | Implicit | SingleChunk) {
        return Err(Error::unsupported(format!(
            "its chunks are indexed by {index}; rewrite the file with a fixed shape: h5repack -l CONTI"
        )));
    }
    match filters.iter().find(|filter| !DEFLATE_SHUFFLE_FLETCHER_LZF.contains(filter)) {
        None => Ok(()),
        Some(filter) => Err(Error::unsupported(format!(
            "compressed by HDF5 filter {filter}; rewrite the file without: h5repack -f NONE"
        ))),
    }
}

/// Names the group in which something is wrong, unless it is the root.
fn within(place: &str, error: Error) -> Error {
    match place {
        "/" => error,
        place => error.tensor(place),
    }
}

/// A failure of the library in this crate's terms.
fn broken(error: hdf5_pure::Error) -> Error {
    use hdf5_pure::Error as E;
    match &error {
        E::Format(FormatError::PathNotFound(path)) => Error::format(format!("the file has no '{path}'")),
        E::Format(
            FormatError::UnsupportedFilter(_)
            | FormatError::UnsupportedVirtualLayout
            | FormatError::UnsupportedExternalStorage
            | FormatError::UnsupportedFilteredHeapObject,
        ) => Error::unsupported(error.to_string()),
        E::Format(FormatError::UnexpectedEof { available, .. }) => {
            Error::format(format!("the file is damaged: {error}")).offset(*available as u64)
        }
        E::FileMarkedInUse(_) => {
            Error::format("the program that wrote the file did not close it; save the model again")
        }
        _ => Error::format(format!("the file is damaged: {error}")),
    }
}
