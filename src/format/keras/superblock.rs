//! The superblock, as far as it tells how long the file has to be.

use crate::{Error, Result, format::HDF5_SIGNATURE};

/// Fails if the file ends before its superblock says it does (HDF5 File Format Specification 3.0, II.A).
pub(super) fn check_length(bytes: &[u8]) -> Result<()> {
    let there = bytes.len();
    let starts = std::iter::once(0).chain((9..usize::BITS - 1).map(|power| 1usize << power));
    let start = starts
        .take_while(|&start| start < there)
        .find(|&start| bytes.get(start..).is_some_and(|rest| rest.starts_with(HDF5_SIGNATURE)));
    let Some(start) = start else {
        return Err(Error::format("no HDF5 superblock is in the file").offset(0));
    };
    let cut = || {
        Error::format(format!("the file is truncated within its header, after {there} bytes"))
            .offset(there as u64)
    };
    let byte = |at: usize| bytes.get(start + at).copied().ok_or_else(cut);
    let version = byte(8)?;
    // Where the sizes of addresses are, and the base address, which one other precedes the end-of-file address.
    let (size, base_at) = match version {
        0 => (byte(13)?, 24),
        1 => (byte(13)?, 28),
        2 | 3 => (byte(9)?, 12),
        _ => {
            return Err(Error::unsupported(format!("version {version} of the HDF5 superblock is not known"))
                .offset((start + 8) as u64));
        }
    };
    if !matches!(size, 2 | 4 | 8) {
        return Err(Error::format(format!("addresses of {size} bytes")).offset(start as u64));
    }
    let size = usize::from(size);
    let address = |at: usize| {
        let stored = bytes.get(start + at..start + at + size).ok_or_else(cut)?;
        Ok(stored.iter().rev().fold(0u64, |address, &byte| address << 8 | u64::from(byte)))
    };
    let (base, end) = (address(base_at)?, address(base_at + 2 * size)?);
    // The library, like the C one, moves addresses along when something was put before the superblock.
    let declared = end.saturating_sub(base).saturating_add(start as u64);
    if declared > there as u64 {
        return Err(Error::format(format!(
            "the file is truncated: its header says {declared} bytes, only {there} are there"
        ))
        .offset(there as u64));
    }
    Ok(())
}
