//! What the targets share: the bounds that reading any file must keep, and inputs that are several files.

#[path = "../../tests/damage/hdf5.rs"]
pub mod hdf5;
#[path = "../../tests/damage/zip.rs"]
pub mod zip;

use nearside::{Model, Plan, Result, format::container};
use peak_alloc::PeakAlloc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many times the file's size may be allocated at once: its bytes inflated, as f32, and as the layers take them.
const FACTOR: usize = 4;
/// What may be allocated besides: tables and windows of fixed sizes.
const ALLOWANCE: usize = 64 << 20;

/// Reads a model from files of `size` bytes in all, and does with it what a page does: it can be written as a container,
/// read again as the same, and planned.
///
/// # Panics
/// As [`bounded`], and when the model does not survive.
pub fn check(size: usize, read: impl FnOnce() -> Result<Model>) {
    let Some(model) = bounded(size, read) else { return };
    let written = container::write(&model).expect("what was read can be written");
    let again = container::read(&written).expect("what was written can be read");
    assert_eq!(container::write(&again).expect("a second time"), written);
    bounded(written.len(), || Plan::compile(&again));
}

/// Reads files of `size` bytes in all. libFuzzer catches panics and what takes too long.
///
/// # Panics
/// When more is allocated than the size warrants.
pub fn bounded<T>(size: usize, read: impl FnOnce() -> Result<T>) -> Option<T> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = read();
    let peak = MEMORY.peak_usage() - before;
    assert!(peak <= FACTOR * size + ALLOWANCE, "{peak} bytes allocated for a file of {size}");
    report(peak, size);
    result.ok()
}

/// Prints a peak that is larger than any before by a quarter.
fn report(peak: usize, size: usize) {
    static LARGEST: AtomicUsize = AtomicUsize::new(0);
    let largest = LARGEST.load(Ordering::Relaxed);
    if peak > largest + largest / 4 {
        LARGEST.store(peak, Ordering::Relaxed);
        eprintln!("peak: {} KB for a file of {size} bytes", peak.div_ceil(1024));
    }
}

/// What stands before each file of an input that is several: this, the name, a line's end.
const MARK: &[u8] = b"\n==> ";

/// Takes an input apart that is several files.
pub fn split(input: &[u8]) -> Vec<(&str, &[u8])> {
    let mut files = Vec::new();
    let mut rest = input;
    while let Some(start) = find(rest, MARK) {
        rest = &rest[start + MARK.len()..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else { break };
        let name = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        rest = &rest[end + 1..];
        files.push((name, &rest[..find(rest, MARK).unwrap_or(rest.len())]));
    }
    files
}

/// Makes one input of several files.
pub fn join(files: &[(&str, &[u8])]) -> Vec<u8> {
    files.iter().flat_map(|(name, bytes)| [MARK, name.as_bytes(), b"\n", bytes].concat()).collect()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
