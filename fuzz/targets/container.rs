//! nearside's own files. One that is read can be written, and is then read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::container;
use nearside_fuzz::bounded;

fuzz_target!(|bytes: &[u8]| {
    let Some(model) = bounded(bytes.len(), || container::read(bytes)) else { return };
    let written = container::write(&model).expect("a model that was read can be written");
    container::read(&written).expect("a file that was written can be read");
});
