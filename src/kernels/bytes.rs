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

/// Floats as they are stored in little-endian order.
#[inline(never)]
pub fn to_le_bytes(floats: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * floats.len()];
    bytes.as_chunks_mut().0.iter_mut().zip(floats).for_each(|(bytes, float)| *bytes = float.to_le_bytes());
    bytes
}
