//! What the targets share: the bounds that reading any file must keep.

use nearside::Result;
use peak_alloc::PeakAlloc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What reading may allocate besides a multiple of the file: tables of fixed size, a decompressor's windows.
const ALLOWANCE: usize = 64 << 20;
/// How often the file's own size may be allocated: read, inflated, as f32 and written.
const FACTOR: usize = 4;

/// Reads files of `size` bytes in all. libFuzzer catches panics and what takes too long.
///
/// # Panics
/// When more is allocated than the file's size warrants.
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
    static LARGEST: AtomicUsize = AtomicUsize::new(1 << 20);
    let largest = LARGEST.load(Ordering::Relaxed);
    if peak > largest + largest / 4 {
        LARGEST.store(peak, Ordering::Relaxed);
        eprintln!("peak: {} KB for a file of {size} bytes", peak / 1024);
    }
}
