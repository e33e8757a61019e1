//! Keras's HDF5 files of whole models.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::keras;
use nearside_fuzz::check;

fuzz_target!(|bytes: &[u8]| check(bytes.len(), || keras::read_h5(bytes, None)));
