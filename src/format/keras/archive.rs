//! Zip archives, as far as Keras uses them: members by name, stored or deflated.
//!
//! The format is PKWARE's APPNOTE (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>). The bytes are
//! hostile until proven otherwise: the directory decides what there is, and each member that is read has to be of just
//! the size and the checksum that it declares.

use crate::{
    Error, Result,
    format::{crc32::crc32, table::Table},
    tensor::reserve,
};
use miniz_oxide::inflate::{TINFLStatus, decompress_slice_iter_to_slice};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};
use std::borrow::Cow;

/// How much a member may grow, and what it may grow to however small it was. Weights hardly shrink, and an architecture
/// is small.
const LARGEST_RATIO: u64 = 20;
const LARGEST_ANYWAY: u64 = 1 << 20;

/// An open archive.
pub(super) struct Archive<'a> {
    zip: ZipSliceArchive<&'a [u8]>,
    members: Table<Member>,
}

struct Member {
    place: ZipArchiveEntryWayfinder,
    offset: u64,
    method: CompressionMethod,
    crc: u32,
    size: u64,
    encrypted: bool,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let end = bytes.len() as u64;
        let zip = ZipArchive::from_slice(bytes).map_err(|_| damaged().offset(end))?;
        let mut members = Table::default();
        let mut count = 0u64;
        let mut entries = zip.entries();
        while let Some(entry) = entries.next_entry().map_err(|_| damaged().offset(end))? {
            count += 1;
            let path = entry.file_path();
            let name = std::str::from_utf8(path.as_bytes())
                .map_err(|_| Error::format("a member of the archive has a name that is not UTF-8"))?;
            let member = Member {
                place: entry.wayfinder(),
                offset: entry.local_header_offset(),
                method: entry.compression_method(),
                crc: entry.crc32(),
                size: entry.uncompressed_size_hint(),
                encrypted: entry.flags().is_encrypted(),
            };
            if members.insert(name.to_string(), member).is_some() {
                return Err(Error::format(format!("the archive has two members '{name}'")));
            }
        }
        if count != zip.entries_hint() {
            let declared = zip.entries_hint();
            return Err(Error::format(format!("the archive declares {declared} members and lists {count}"))
                .offset(end));
        }
        Ok(Self { zip, members })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains(name)
    }

    /// A member's bytes; `None` if there is no member of this name.
    pub(super) fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>> {
        let Some(member) = self.members.get(name) else { return Ok(None) };
        self.bytes(name, member).map(Some).map_err(|error| error.tensor(name).offset(member.offset))
    }

    fn bytes(&self, name: &str, member: &Member) -> Result<Cow<'_, [u8]>> {
        if member.encrypted {
            return Err(Error::unsupported("this member of the archive is encrypted"));
        }
        let entry = self.zip.get_entry(member.place).map_err(|_| damaged())?;
        if entry.local_header().file_path().as_bytes() != name.as_bytes() {
            return Err(Error::format("the member has another name than the directory gives it"));
        }
        let stored = entry.data();
        let bytes = match member.method {
            CompressionMethod::STORE => Cow::Borrowed(stored),
            CompressionMethod::DEFLATE => Cow::Owned(inflated(stored, member.size)?),
            _ => {
                return Err(Error::unsupported(
                    "this member of the archive is neither stored nor deflated; pack it again with zip",
                ));
            }
        };
        if bytes.len() as u64 != member.size {
            let (there, declared) = (bytes.len(), member.size);
            return Err(Error::format(format!("{there} bytes are in the archive, {declared} are declared")));
        }
        if crc32(&bytes) != member.crc {
            return Err(Error::format("the checksum does not fit: the archive is damaged"));
        }
        Ok(bytes)
    }
}

/// Inflates what has to become `size` bytes.
fn inflated(stored: &[u8], size: u64) -> Result<Vec<u8>> {
    let most = LARGEST_ANYWAY.max((stored.len() as u64).saturating_mul(LARGEST_RATIO));
    let limit = usize::try_from(size).ok().filter(|_| size <= most);
    let limit = limit.ok_or_else(|| {
        Error::format(format!(
            "{} bytes are to become {size}, far more than weights do; pack the archive again without compression",
            stored.len()
        ))
    })?;
    let mut bytes = reserve(limit)?;
    bytes.resize(limit, 0);
    match decompress_slice_iter_to_slice(&mut bytes, std::iter::once(stored), false, true) {
        Ok(written) => {
            bytes.truncate(written);
            Ok(bytes)
        }
        Err(TINFLStatus::HasMoreOutput) => {
            Err(Error::format(format!("more bytes are in the archive than the {size} that are declared")))
        }
        Err(_) => Err(Error::format("the compressed bytes are damaged")),
    }
}

fn damaged() -> Error {
    Error::format("the zip archive is damaged or truncated")
}
