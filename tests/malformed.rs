//! Damaged and hostile files end in a typed error that says where, within a bounded time: never in a panic, a hang or
//! an allocation of what a file merely claims.

#![cfg(not(target_arch = "wasm32"))]

mod damage;

use damage::Random;
use nearside::{Activation, Error, ErrorKind, Layer, LayerKind, Model, Tensor, format};

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind) -> Error {
    let error = format::read(bytes).expect_err("a malformed file was read");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

/// Every prefix is refused as damaged, with the place where it ends or fails.
#[track_caller]
fn refuses_every_prefix(bytes: &[u8]) {
    format::read(bytes).expect("the whole file is sound");
    for length in 0..bytes.len() {
        let error = refused(&bytes[..length], ErrorKind::Format);
        assert!(error.context().offset.is_some(), "{length} bytes: {error}");
    }
}

fn container() -> Vec<u8> {
    let tensor = |shape: &[usize]| {
        let count = shape.iter().product();
        Tensor::new(shape.to_vec(), (0..count).map(|i| i as f32).collect()).unwrap()
    };
    let activation = Activation::from_name("softmax").unwrap();
    let dense = LayerKind::Dense { kernel: tensor(&[4, 2]), bias: Some(tensor(&[2])), activation };
    let layers =
        vec![Layer::new("x", LayerKind::Input { shape: vec![2, 2] }), Layer::new("flat", LayerKind::Flatten)];
    let layers = layers
        .into_iter()
        .chain([Layer::new("drop", LayerKind::Dropout { rate: 0.5 }), Layer::new("d", dense)]);
    format::container::write(&Model::sequential("small", layers.collect()).unwrap()).unwrap()
}

#[test]
fn what_is_no_model_file_is_named() {
    assert_eq!(refused(b"", ErrorKind::Format).context().offset, Some(0));
    let html = refused(b"\n <!DOCTYPE html><title>404</title>", ErrorKind::Format);
    assert!(html.to_string().contains("web page"), "{html}");
    let zip = refused(b"PK\x03\x04rest", ErrorKind::Format);
    assert!(zip.to_string().contains("zip archive is damaged"), "{zip}");
    let mut random = Random(1);
    for length in 1..512 {
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        bytes[0] = 0x42; // none of the signatures
        assert!(refused(&bytes, ErrorKind::Format).context().offset.is_some());
    }
}

#[test]
fn every_prefix_of_a_container_is_refused() {
    refuses_every_prefix(&container());
}

#[test]
fn damaged_containers_give_a_model_or_an_error() {
    let (sound, mut random) = (container(), Random(2));
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        random.damage(&mut bytes);
        refused += usize::from(format::read(&bytes).is_err());
    }
    assert!(refused > 1000, "only {refused} were refused");
}

#[cfg(feature = "formats")]
mod keras {
    use super::*;

    fn bytes(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Tells a file with superblock version 0, and so no checksum over it, that it is as long as it is.
    fn set_length(bytes: &mut [u8]) {
        let length = bytes.len() as u64;
        if let Some(field) = bytes.get_mut(40..48) {
            field.copy_from_slice(&length.to_le_bytes());
        }
    }

    #[test]
    fn every_prefix_is_refused() {
        for name in ["dress.h5", "dress_latest.h5", "dress_userblock.h5"] {
            refuses_every_prefix(&bytes(name));
        }
    }

    #[test]
    fn truncated_files_say_so() {
        let bytes = bytes("dress.h5");
        let error = refused(&bytes[..20_000], ErrorKind::Format);
        assert_eq!(
            error.to_string(),
            "the file is truncated: its header says 27472 bytes, only 20000 are there (at byte 20000)"
        );
    }

    #[test]
    fn files_cut_behind_a_header_that_agrees_give_a_model_or_an_error() {
        let sound = bytes("dress.h5");
        for length in (48..sound.len()).step_by(7) {
            let mut bytes = sound[..length].to_vec();
            set_length(&mut bytes);
            let _ = format::read(&bytes);
        }
    }

    #[test]
    fn damaged_files_give_a_model_or_an_error() {
        let names = [
            "dress.h5",
            "dress_earliest_gzip.h5",
            "dress_fixed_attrs.h5",
            "dress_latest_gzip.h5",
            "dress_track_order.h5",
            "dress_userblock.h5",
            "dress_v108_chunked.h5",
            "dress_vlen_attrs.h5",
            "branches.h5",
            "keras1.h5",
            "keras2_branches.h5",
            "split_names.h5",
        ];
        let mut random = Random(3);
        for name in names {
            let sound = bytes(name);
            let mut refused = 0;
            for _ in 0..500 {
                let mut bytes = sound.clone();
                random.damage(&mut bytes);
                refused += usize::from(format::read(&bytes).is_err());
            }
            assert!(refused > 0, "{name}: nothing was refused");
        }
    }

    #[test]
    fn unsupported_layers_are_named() {
        let error = refused(&bytes("conv2d.h5"), ErrorKind::Unsupported);
        let message =
            "layer 'conv2d': Conv2D layers are not supported; nearside runs dense networks: Dense, ";
        assert!(error.to_string().starts_with(message), "{error}");
    }

    #[test]
    fn missing_weights_are_named() {
        let error = refused(&bytes("missing_weights.h5"), ErrorKind::Format);
        assert_eq!(error.context().layer.as_deref(), Some("answer"));
        assert_eq!(error.context().tensor.as_deref(), Some("model_weights/answer/small/answer/kernel"));
    }

    #[test]
    fn weights_of_another_shape_are_named() {
        let error = refused(&bytes("wrong_shape.h5"), ErrorKind::Shape);
        assert_eq!(
            error.to_string(),
            "layer 'answer': tensor 'model_weights/answer/small/answer/kernel': the file has shape [3, 5], the \
             architecture needs [3, 2]"
        );
    }

    #[test]
    fn files_with_weights_alone_say_what_to_save() {
        for name in ["weights_only.weights.h5", "keras2_weights_only.h5"] {
            let error = refused(&bytes(name), ErrorKind::Unsupported).to_string();
            assert!(error.contains("no architecture") && error.contains("model.save('model.h5')"), "{error}");
        }
    }

    #[test]
    fn weights_that_are_declared_but_not_stored_are_not_allocated() {
        let error = refused(&bytes("unwritten.h5"), ErrorKind::Format);
        assert_eq!(error.context().tensor.as_deref(), Some("model_weights/hidden/small/hidden/kernel"));
    }

    #[test]
    fn chunks_outside_their_dataset_are_refused() {
        let sound = bytes("dress_v108_chunked.h5");
        let mut refused = 0;
        let leaves = (0..sound.len() - 8).filter(|&at| sound[at..].starts_with(b"TREE\x01\0"));
        for leaf in leaves {
            // The first key follows 24 bytes: the size and mask of a chunk, then its place, u64 an axis.
            let corner = leaf + 24 + 8;
            for place in [1, u64::MAX - 1] {
                let mut bytes = sound.clone();
                bytes[corner..corner + 8].copy_from_slice(&place.to_le_bytes());
                let said = format::read(&bytes).err().map(|error| error.to_string());
                // Those of the optimizer's state are never visited.
                refused += usize::from(said.is_some_and(|said| said.contains("outside the shape")));
            }
        }
        assert!(refused >= 4, "{refused}");
    }

    /// Puts three levels of B-tree nodes above a leaf, each with `CHILDREN` entries that all lead to the same node, and
    /// turns those who point to the leaf to the top: CHILDREN³ visits for a reader that follows them.
    fn fan_out(bytes: &mut Vec<u8>, leaf: usize, key_size: usize) {
        const CHILDREN: u16 = 1000;
        let mut child = leaf;
        for level in 1..=3 {
            let at = bytes.len();
            bytes.extend_from_within(leaf..leaf + 5);
            bytes.push(level);
            bytes.extend(CHILDREN.to_le_bytes());
            bytes.extend([0xff; 16]);
            for _ in 0..CHILDREN {
                bytes.extend(vec![0; key_size]);
                bytes.extend((child as u64).to_le_bytes());
            }
            bytes.extend(vec![0; key_size]);
            child = at;
        }
        let (old, new) = ((leaf as u64).to_le_bytes(), (child as u64).to_le_bytes());
        let end = leaf + 24; // the new nodes keep their pointers
        let places = (8..bytes.len() - 8).filter(|&at| (at < leaf || at > end) && bytes[at..at + 8] == old);
        let first = places.into_iter().next().expect("nothing points to the leaf");
        bytes[first..first + 8].copy_from_slice(&new);
        set_length(bytes);
    }

    #[test]
    fn indices_that_fan_out_end_in_an_error() {
        let sound = bytes("dress_earliest_gzip.h5");
        let is_leaf = |at: &usize, kind: u8| sound[*at..].starts_with(&[b'T', b'R', b'E', b'E', kind, 0]);
        // Groups (kind 0) have keys of one length, chunks (kind 1) of their size, mask and place.
        for (kind, key_size) in [(0, 8), (1, 8 + 3 * 8)] {
            let leaves: Vec<usize> = (0..sound.len() - 8).filter(|at| is_leaf(at, kind)).collect();
            assert!(leaves.len() > 3);
            let mut stopped = 0;
            for leaf in leaves {
                let mut bytes = sound.clone();
                fan_out(&mut bytes, leaf, key_size);
                // Those of the optimizer's state are never visited.
                stopped += usize::from(
                    format::read(&bytes).is_err_and(|error| error.to_string().contains("without end")),
                );
            }
            assert!(stopped > 0, "kind {kind}");
        }
    }
}

/// Models whose weights lie in other files, or whose architecture does.
#[cfg(feature = "formats")]
mod in_several_files {
    use super::*;

    fn bytes(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Damages each of the files many times, with `config` if there is one.
    fn damaged_give_a_model_or_an_error(names: &[&str], config: Option<&str>) {
        let sound: Vec<Vec<u8>> = names.iter().map(|name| bytes(name)).collect();
        fn read(names: &[&str], contents: &[Vec<u8>], config: Option<&str>) -> Result<Model, Error> {
            let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
            let names: Vec<String> = names.iter().map(|name| file(name)).collect();
            let files: Vec<_> =
                names.iter().zip(contents).map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            format::companions(&files)?;
            format::read_files(&files, config)
        }
        read(names, &sound, config).unwrap();
        let mut random = Random(4);
        for index in 0..names.len() {
            let mut refused = 0;
            for _ in 0..1000 {
                let mut contents = sound.clone();
                random.damage(&mut contents[index]);
                refused += usize::from(read(names, &contents, config).is_err());
            }
            assert!(refused > 0, "{}: nothing was refused", names[index]);
        }
    }

    #[test]
    fn tensorflow_js() {
        let shards = ["tfjs/chain/weights-1of4.bin", "tfjs/chain/weights-2of4.bin"];
        let rest = ["tfjs/chain/weights-3of4.bin", "tfjs/chain/weights-4of4.bin"];
        let names = [&["tfjs/chain/model.json"], &shards[..], &rest].concat();
        damaged_give_a_model_or_an_error(&names, None);
        damaged_give_a_model_or_an_error(
            &["tfjs/quantized_uint16/model.json", "tfjs/quantized_uint16/group1-shard1of1.bin"],
            None,
        );
    }

    #[test]
    fn safetensors_of_other_tools() {
        for name in ["sequential", "named", "keras_paths"] {
            let config = String::from_utf8(bytes(&format!("torch/{name}.config.json"))).unwrap();
            damaged_give_a_model_or_an_error(&[&format!("torch/{name}.safetensors")], Some(&config));
            let files = [format!("torch/{name}.safetensors"), format!("torch/{name}.config.json")];
            damaged_give_a_model_or_an_error(&[&files[0], &files[1]], None);
        }
    }

    #[test]
    fn every_prefix_of_weights_without_architecture_is_refused() {
        let sound = bytes("torch/sequential.safetensors");
        for length in 0..sound.len() {
            let error = refused(&sound[..length], ErrorKind::Format);
            assert!(error.context().offset.is_some(), "{length} bytes: {error}");
        }
        refused(&sound, ErrorKind::Unsupported);
    }

    #[test]
    fn names_of_many_parts_end_in_an_error() {
        let deep = "a/".repeat(100_000);
        let many: Vec<String> = (0..5000)
            .map(|i| format!(r#"{{"name": "{i}/{}x", "shape": [0], "dtype": "bool"}}"#, &deep[..200]))
            .collect();
        for weights in
            [format!(r#"{{"name": "{deep}kernel", "shape": [0], "dtype": "bool"}}"#), many.join(",")]
        {
            let json = format!(
                r#"{{"modelTopology": {{"class_name": "Sequential", "config": {{"layers": [{{"class_name": "Dense",
                    "config": {{"name": "a", "units": 3, "batch_input_shape": [null, 2]}}}}]}}}},
                    "weightsManifest": [{{"paths": [], "weights": [{weights}]}}]}}"#
            );
            refused(json.as_bytes(), ErrorKind::Format);
        }
    }
}
