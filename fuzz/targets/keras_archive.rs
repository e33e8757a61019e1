//! Keras's `.keras` archives. Their checksums are mended, so that mutations reach what is behind them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::keras;
use nearside_fuzz::{check, zip};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    zip::repair(&mut bytes);
    check(bytes.len(), || keras::read_archive(&bytes));
});
