//! TensorFlow.js's layers models: a `model.json` and the files it names. What an input is made of is found out, as for a
//! folder that a user drops.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format;
use nearside_fuzz::{bounded, check, split};

fuzz_target!(|input: &[u8]| {
    let files = split(input);
    bounded(input.len(), || format::companions(&files));
    check(input.len(), || format::read_files(&files, None));
});
