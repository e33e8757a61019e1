//! nearside's own files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::container;
use nearside_fuzz::check;

fuzz_target!(|bytes: &[u8]| check(bytes.len(), || container::read(bytes)));
