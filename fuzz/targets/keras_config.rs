//! Keras's files of weights with the architecture that the user gives: two files, the second the architecture.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::keras;
use nearside_fuzz::{check, split};

fuzz_target!(|input: &[u8]| {
    let files = split(input);
    let Some((_, bytes)) = files.first() else { return };
    let config = files.get(1).and_then(|(_, text)| std::str::from_utf8(text).ok());
    check(input.len(), || keras::read_h5(bytes, config));
});
