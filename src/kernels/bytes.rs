//! Copies between bytes and floats, and buffers of zeros. They are here to be compiled for speed: models are copied
//! before any browser has optimised a function, and a loop over megabytes that is compiled for size takes milliseconds.

use std::collections::TryReserveError;

/// So many zeros.
///
/// # Errors
/// When they cannot be allocated.
#[inline(never)]
pub fn zeroed_bytes(len: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(len)?;
    zeros.resize(len, 0);
    Ok(zeros)
}

/// So many zeros.
///
/// # Errors
/// When they cannot be allocated.
#[inline(never)]
pub fn zeroed_floats(len: usize) -> Result<Vec<f32>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(len)?;
    zeros.resize(len, 0.0);
    Ok(zeros)
}

/// Appends floats that are stored in little-endian order.
#[inline(never)]
pub fn extend_from_le_bytes(floats: &mut Vec<f32>, bytes: &[u8]) {
    floats.extend(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
}

/// Appends floats in little-endian order.
#[inline(never)]
pub fn append_le_bytes(bytes: &mut Vec<u8>, floats: &[f32]) {
    let start = bytes.len();
    bytes.resize(start + 4 * floats.len(), 0);
    let room = bytes[start..].as_chunks_mut().0;
    room.iter_mut().zip(floats).for_each(|(bytes, float)| *bytes = float.to_le_bytes());
}
