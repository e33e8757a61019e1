//! Every shader parses and validates, without a GPU.

#![cfg(not(target_arch = "wasm32"))]

use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::collections::BTreeSet;

#[test]
fn every_kernel_is_valid_wgsl() {
    let sources = nearside::gpu::shader_sources();
    assert!(!sources.is_empty());
    for (files, source) in sources {
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{files:?}: {}", error.emit_to_string(&source)));
        // Core WGSL unpacks 16-bit floats; naga has a word for devices that cannot.
        let capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let validated = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
        validated.unwrap_or_else(|error| panic!("{files:?}: {}", error.emit_to_string(&source)));
        assert_eq!(module.entry_points.len(), 1, "{files:?} must have one entry point");
        assert_eq!(module.entry_points[0].name, "main", "{files:?}");
    }
}

#[test]
fn every_file_belongs_to_a_kernel() {
    let used: BTreeSet<_> =
        nearside::gpu::shader_sources().into_iter().flat_map(|(files, _)| files).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let names =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let present: BTreeSet<_> = names.collect();
    assert_eq!(present.iter().map(String::as_str).collect::<BTreeSet<_>>(), used);
}
