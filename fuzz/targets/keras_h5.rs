//! Keras's HDF5 files of whole models. Their checksums are mended, so that mutations reach what is behind them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nearside::format::keras;
use nearside_fuzz::{check, hdf5};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    hdf5::repair(&mut bytes);
    check(bytes.len(), || keras::read_h5(&bytes, None));
});
