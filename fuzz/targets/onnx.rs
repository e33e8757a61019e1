//! ONNX files, with data beside them: the first of several files is the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::onnx;
use nearside_fuzz::{bounded, check, split};

fuzz_target!(|input: &[u8]| {
    let files = split(input);
    // One file by itself needs no name.
    let bytes = files.first().map_or(input, |(_, bytes)| bytes);
    bounded(input.len(), || onnx::companions(bytes));
    check(input.len(), || onnx::read(bytes, &files));
});
