//! Keras's HDF5 files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::keras;
use nearside_fuzz::bounded;

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes.len(), || keras::read_h5(bytes));
});
