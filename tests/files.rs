//! Which format a file has, models in several files, TensorFlow.js's layers models, and safetensors of other tools.
#![cfg(all(feature = "formats", not(target_arch = "wasm32")))]

#[cfg(feature = "engine")]
mod recorded;

use nearside::{Error, ErrorKind, LayerKind, Model, format};

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// The files of a folder, by their names in it.
fn folder(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names.into_iter().map(|file| (file.clone(), bytes(&format!("{name}/{file}")))).collect()
}

type Owned = Vec<(String, Vec<u8>)>;

fn borrowed(files: &Owned) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect()
}

fn read(files: &Owned) -> Model {
    format::read_files(&borrowed(files), None).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(files: &Owned, config: Option<&str>, kind: ErrorKind, message: &str) -> Error {
    let error = format::read_files(&borrowed(files), config).expect_err("was read");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    error
}

fn one(bytes: impl Into<Vec<u8>>) -> Owned {
    vec![(String::new(), bytes.into())]
}

/// A safetensors file of f32 tensors that count up from 1.
fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        (0..shape.iter().product::<usize>()).for_each(|i| data.extend((i as f32 + 1.0).to_le_bytes()));
        let end = data.len();
        header
            .push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", header.join(","));
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &data].concat()
}

mod detection {
    use super::*;

    #[test]
    fn files_of_other_tools_say_what_to_export_instead() {
        let torch = [b"PK\x03\x04".as_slice(), &[0; 22], b"\x10\0\0\0archive/data.pkl"].concat();
        let mut stored = b"PK\x03\x04rest".repeat(20_000);
        stored.extend(b"model/data.pkl PK\x05\x06");
        let npz = [b"PK\x03\x04".as_slice(), &[0; 22], b"\x05\0\0\0a.npy"].concat();
        let foreign: [(&[u8], &str); 13] = [
            (&torch, "safetensors.torch.save_file(model.state_dict()"),
            (&stored, "torch.onnx.export"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "torch.onnx.export"),
            (b"\x80\x04\x95\x10", "skl2onnx.to_onnx"),
            (b"\x78\x9c\x01\x02", "skl2onnx.to_onnx"),
            (b"\x93NUMPY\x01\0", "model.save('model.keras')"),
            (&npz, "model.save('model.keras')"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"\x1f\x8b\x08\0", "unpack"),
            (b"\x08\x01\x12\x80\x01\x0a\x05", "SavedModel"),
            (br#"{"format":"graph-model","modelTopology":{}}"#, "tfjs_layers_model"),
            (br#"{"modelTopology":{"node":[]},"weightsManifest":[]}"#, "tfjs_layers_model"),
            (br#"{"class_name":"Sequential","config":[]}"#, "without weights"),
        ];
        for (bytes, message) in foreign {
            refused(&one(bytes), None, ErrorKind::Unsupported, message);
        }
    }

    #[test]
    fn what_is_no_model_says_so() {
        for (bytes, message) in [
            ("", "empty"),
            ("<!DOCTYPE html>", "web page"),
            ("epochs: 20\n", "it starts with 65 70 6f"),
            (r#"{"name": "package", "version": "1.0"}"#, "neither TensorFlow.js's model.json nor"),
            (r#"{"modelTopology": {"#, "not JSON"),
            ("[1, 2]", "not a model file"),
        ] {
            let error = refused(&one(bytes), None, ErrorKind::Format, message);
            assert_eq!(error.context().offset, Some(0), "{error}");
        }
    }

    #[test]
    fn the_engine_knows_a_container_by_its_architecture() {
        let container = format::container::write(&format::read(&bytes("dress.h5")).unwrap()).unwrap();
        assert_eq!(format::detect(&container), Ok(format::Format::Container));
        let foreign = [
            bytes("dress.h5"),
            bytes("torch/sequential.safetensors"),
            safetensors(&[("nearside", &[1])]),
            safetensors(&[(r#"\"nearside\":\"x"#, &[1])]),
            container[..12].to_vec(),
            b"{}".to_vec(),
            b"x".to_vec(),
        ];
        for bytes in foreign {
            assert_eq!(format::detect(&bytes), Ok(format::Format::Foreign));
        }
        assert!(format::detect(b"").is_err() && format::detect(b" <html>").is_err());
    }

    #[test]
    fn a_container_with_space_in_its_header_is_one() {
        let header = br#"{"__metadata__": {"nearside" : "{}"}}"#;
        let file = [(header.len() as u64).to_le_bytes().as_slice(), header].concat();
        assert_eq!(format::detect(&file), Ok(format::Format::Container));
    }

    #[test]
    fn a_format_asked_for_is_the_only_one_read() {
        let h5 = bytes("dress.h5");
        let files = [("", h5.as_slice())];
        assert!(format::read_as(&files, None, Some("h5")).is_ok());
        for other in ["keras", "onnx", "safetensors", "tfjs"] {
            let error = format::read_as(&files, None, Some(other)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format);
            assert!(error.to_string().contains("this is h5"), "{error}");
        }
        let error = format::read_as(&files, None, Some("hdf5")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("'h5', 'keras', 'onnx', 'safetensors' or 'tfjs'"), "{error}");
    }
}

mod several_files {
    use super::*;

    /// `model.json` of one Dense layer of 2 × 3 weights, in these files.
    fn model_json(paths: &[&str]) -> String {
        format!(
            r#"{{"modelTopology": {{"class_name": "Sequential", "config": {{"name": "m", "layers": [
                {{"class_name": "Dense", "config": {{"name": "d", "units": 3, "use_bias": false,
                  "batch_input_shape": [null, 2]}}}}]}}}},
              "weightsManifest": [{{"paths": {paths:?},
                "weights": [{{"name": "d/kernel", "shape": [2, 3], "dtype": "float32"}}]}}]}}"#
        )
    }

    fn files(given: &[(&str, &[u8])]) -> Owned {
        given.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect()
    }

    #[test]
    fn those_missing_are_named() {
        let json = model_json(&["a.bin", "b.bin"]);
        let some = files(&[("model.json", json.as_bytes()), ("b.bin", &[0; 12])]);
        assert_eq!(format::companions(&borrowed(&some)).unwrap(), ["a.bin"]);
        refused(&some, None, ErrorKind::Format, "'a.bin', which is missing");
        let all = files(&[("model.json", json.as_bytes()), ("b.bin", &[0; 12]), ("a.bin", &[0; 12])]);
        assert_eq!(format::companions(&borrowed(&all)).unwrap(), [""; 0]);
        assert_eq!(read(&all).parameter_count(), 6);
        assert_eq!(format::companions(&[("", &bytes("dress.h5"))]).unwrap(), [""; 0]);
    }

    #[test]
    fn those_beside_the_model_come_before_others_of_the_name() {
        let json = model_json(&["a.bin"]);
        let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let kernel = |files: &Owned| match &read(files).layers[1].kind {
            LayerKind::Dense { kernel, .. } => kernel.data().to_vec(),
            other => panic!("{other:?}"),
        };
        for (model, right, other) in [
            ("net/model.json", "net/a.bin", "a.bin"),
            ("model.json", "a.bin", "net/a.bin"),
            ("net/model.json", "a.bin", "deep/net/b.bin"),
            ("net/model.json", "else/a.bin", "else/b.bin"),
        ] {
            let files = files(&[(other, &[0; 24]), (model, json.as_bytes()), (right, &bytes)]);
            assert_eq!(kernel(&files), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{model} {right} {other}");
        }
        let unclear = files(&[("x/a.bin", &bytes), ("m/model.json", json.as_bytes()), ("y/a.bin", &bytes)]);
        refused(&unclear, None, ErrorKind::Format, "'a.bin', which is missing");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            "/etc/passwd",
            "../a.bin",
            "x/../../a.bin",
            "x/..",
            "\\\\\\\\server\\\\a.bin",
            "x\\\\a.bin",
            "C:a.bin",
            "http://elsewhere/a.bin",
            "data:x",
            "a\\u0000.bin",
            ".\\t./a.bin",
        ] {
            let json = model_json(&["NAME"]).replace("NAME", name);
            let files = files(&[("model.json", json.as_bytes()), ("a.bin", &[0; 24]), ("", &[0; 24])]);
            refused(&files, None, ErrorKind::Format, "does not lie in its folder");
            let error = format::companions(&borrowed(&files)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "{name}: {error}");
        }
    }

    #[test]
    fn names_within_the_folder_are_taken() {
        for name in ["a.bin", "./a.bin", "x/y/a.bin", "a..b.bin", "...", "ä b#?%.bin", "x/c:d.bin"] {
            let json = model_json(&[name]);
            // As the package gives what it has fetched.
            let fetched = files(&[("", json.as_bytes()), (name, &[0; 24]), ("x/a.bin", &[1; 24])]);
            assert_eq!(read(&fetched).parameter_count(), 6, "{name}");
            let files = files(&[
                ("m/model.json", json.as_bytes()),
                (&format!("m/{}", name.trim_start_matches("./")), &[0; 24]),
            ]);
            assert_eq!(read(&files).parameter_count(), 6, "{name}");
        }
    }

    #[test]
    fn more_than_can_be_fetched_are_refused() {
        let names: Vec<String> = (0..4097).map(|i| i.to_string()).collect();
        let json = model_json(&names.iter().map(String::as_str).collect::<Vec<_>>());
        refused(&one(json), None, ErrorKind::Unsupported, "4097 files, 4096 are the most");
    }

    #[test]
    fn exactly_one_is_the_model() {
        let (json, h5) = (model_json(&["a.bin"]), bytes("dress.h5"));
        // Weights that look like a model.
        let weights = [h5.as_slice(), &[0; 24]].concat()[..24].to_vec();
        let good =
            files(&[("a.bin", &weights), ("model.json", json.as_bytes()), ("README", b"x"), ("empty", b"")]);
        assert_eq!(read(&good).parameter_count(), 6);
        let two = files(&[("a.h5", &h5), ("b.h5", &h5)]);
        refused(&two, None, ErrorKind::Format, "'a.h5' and 'b.h5' are both models");
        let none = files(&[("a.txt", b"one"), ("model.json", br#"{"modelTopology""#)]);
        let error = refused(&none, None, ErrorKind::Format, "none of the files is a model").to_string();
        assert!(error.contains("'model.json': the file is not JSON"), "{error}");
        refused(&files(&[]), None, ErrorKind::Format, "none of the files");
        refused(
            &files(&[("a", b"x"), ("m.pkl", b"\x80\x04\x95.")]),
            None,
            ErrorKind::Unsupported,
            "skl2onnx",
        );
    }

    #[test]
    fn onnx_finds_its_data_beside_it() {
        let (model, data) = (bytes("onnx_external/model.onnx"), bytes("onnx_external/data/all weights.bin"));
        let alone = files(&[("model.onnx", &model)]);
        assert_eq!(format::companions(&borrowed(&alone)).unwrap(), ["data/all weights.bin"]);
        refused(&alone, None, ErrorKind::Format, "'data/all weights.bin', which is missing");
        for (name, beside) in [("model.onnx", "data/all weights.bin"), ("x/model.onnx", "all weights.bin")] {
            let both = files(&[(beside, &data), (name, &model)]);
            assert_eq!(format::companions(&borrowed(&both)).unwrap(), [""; 0]);
            assert_eq!(read(&both).parameter_count(), 4 * 6 + 6 + 6 * 2 + 2);
            #[cfg(feature = "engine")]
            compare(beside, read(&both), "onnx_external");
        }
    }

    #[test]
    fn one_may_be_the_architecture() {
        let (weights, config) =
            (bytes("torch/sequential.safetensors"), bytes("torch/sequential.config.json"));
        let text = std::str::from_utf8(&config).unwrap();
        let alone = format::read_files(&[("", &weights)], Some(text)).unwrap();
        let marked = [b"\xef\xbb\xbf".as_slice(), &config].concat();
        for config in [&config, &marked] {
            let beside =
                files(&[("w.safetensors", &weights), ("config.json", config), ("other.json", b"{}")]);
            assert_eq!(read(&beside), alone);
        }
        let two = files(&[("w.safetensors", &weights), ("a.json", &config), ("b.json", &config)]);
        refused(&two, None, ErrorKind::Format, "'a.json' and 'b.json' are both architectures");
        assert_eq!(format::read_files(&borrowed(&two), Some(text)).unwrap(), alone);
        refused(&files(&[("a.json", &config), ("x", b"x")]), None, ErrorKind::Unsupported, "without weights");
    }

    #[test]
    fn an_architecture_that_is_not_needed_is_refused() {
        let container = format::container::write(&format::read(&bytes("dress.h5")).unwrap()).unwrap();
        refused(&one(container), Some("{}"), ErrorKind::Value, "leave out the option 'config'");
        refused(&folder("tfjs/chain"), Some("{}"), ErrorKind::Value, "leave out the option 'config'");
    }
}

mod tfjs {
    use super::*;

    #[test]
    fn shards_may_cut_anywhere() {
        let files = folder("tfjs/chain");
        let model = read(&files);
        assert_eq!(model.name, "chain");
        assert_eq!(model.shapes().unwrap().last(), Some(&vec![3]));
        assert_eq!(model.parameter_count(), 6 * 5 + 5 + 5 * 4 + 4 * 3 + 3);
        let shards: Vec<u8> = files[1..].iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        for size in [1, 3, 5, 64, 1000] {
            let mut cut: Owned = Vec::new();
            for (index, shard) in shards.chunks(size).enumerate() {
                cut.push((format!("s{index}"), shard.to_vec()));
                cut.push((format!("s{index}e"), vec![]));
            }
            let names: Vec<_> = cut.iter().map(|(name, _)| name.clone()).collect();
            let json = text("tfjs/chain/model.json");
            let (start, end) = (json.find("[\"weights-1").unwrap(), json.find("],\"weights\"").unwrap() + 1);
            cut.push(("model.json".into(), format!("{}{names:?}{}", &json[..start], &json[end..]).into()));
            assert_eq!(read(&cut), model, "{size}");
        }
    }

    const KERNEL: &str = "\"shape\":[5,4],\"dtype\":\"float32\"";

    /// `chain` with something else in its `model.json`.
    fn changed(from: &str, to: &str) -> Owned {
        let mut files = folder("tfjs/chain");
        let json = String::from_utf8(files[0].1.clone()).unwrap();
        assert!(json.contains(from), "{from}");
        files[0].1 = json.replacen(from, to, 1).into();
        files
    }

    #[test]
    fn the_topology_may_be_text_or_wrapped() {
        let plain = read(&folder("tfjs/chain"));
        let json = text("tfjs/chain/model.json");
        let start = json.find("{\"class_name\"").unwrap();
        let end = json.find(",\"weightsManifest\"").unwrap();
        let topology = &json[start..end];
        let quoted = format!("{topology:?}");
        for other in [
            quoted.clone(),
            format!(r#"{{"model_config": {topology}, "keras_version": "2.11.0", "training_config": {{}}}}"#),
            format!(r#"{{"model_config": {quoted}, "keras_version": "2.11.0", "backend": "tensorflow"}}"#),
        ] {
            assert_eq!(read(&changed(topology, &other)), plain, "{other}");
        }
        let layers = topology.find("\"layers\":").unwrap() + 9;
        let list = &topology[layers..topology.rfind("},\"keras_version\"").unwrap()];
        let config = &topology
            [topology.find("\"config\":").unwrap() + 9..topology.rfind(",\"keras_version\"").unwrap()];
        let old = read(&changed(config, list));
        assert_eq!((old.name.as_str(), &old.layers), ("sequential", &plain.layers));
    }

    #[test]
    fn weights_may_be_behind_the_model_s_name() {
        let plain = read(&folder("tfjs/chain"));
        let mut files = folder("tfjs/chain");
        let json = String::from_utf8(files[0].1.clone()).unwrap();
        let (start, end) = json.split_at(json.find("weightsManifest").unwrap());
        files[0].1 = (start.to_string() + &end.replace("\"name\":\"", "\"name\":\"outer/chain/")).into();
        assert_eq!(read(&files), plain);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unsupported = |from: &str, to: &str, message: &str| {
            refused(&changed(from, to), None, ErrorKind::Unsupported, message)
        };
        unsupported(KERNEL, &KERNEL.replace("float32", "string"), "stored as string");
        let quantized = |rest: &str| format!("{KERNEL},\"quantization\":{{{rest}}}");
        unsupported(KERNEL, &quantized("\"dtype\":\"int4\""), "float32 stored as int4");
        let format = |from: &str, to: &str, message: &str| {
            refused(&changed(from, to), None, ErrorKind::Format, message)
        };
        format(KERNEL, &quantized("\"dtype\":\"uint8\",\"min\":0"), "'scale' is missing");
        format("\"format\":", "\"licence\":\"x\",\"format\":", "'licence' is not understood");
        format("\"weights-2of4.bin\"", "\"weights-1of4.bin\"", "'weights-1of4.bin' twice");
        format("middle/kernel", "dense_Dense1/kernel", "this weight twice");
        format("middle/kernel", "other/kernel", "no weights 'kernel' of this layer");
        let more = "\"weights\":[{\"name\":\"x/kernel\",\"shape\":[0],\"dtype\":\"bool\"},";
        assert_eq!(
            format("\"weights\":[", more, "no such weight").context().tensor.as_deref(),
            Some("x/kernel")
        );
        refused(
            &changed("\"weightsManifest\":[", "\"weightsManifest\":{},\"x\":["),
            None,
            ErrorKind::Format,
            "a list",
        );
    }

    #[test]
    fn shards_of_another_length_and_shapes_that_lie_are_refused() {
        for (from, to, kind, message) in [
            ("[5,4]", "[5,5]", ErrorKind::Format, "does not fit"),
            ("[5,4]", "[5,3]", ErrorKind::Format, "belong to no weight"),
            ("[5,4]", "[4,5]", ErrorKind::Shape, "the architecture needs [5, 4]"),
            ("[5,4]", "[4294967296,4294967296,4294967296]", ErrorKind::Format, "does not fit"),
            ("[5,4]", "[1000000000]", ErrorKind::Format, "does not fit"),
            ("[5,4]", "[-1]", ErrorKind::Format, "whole numbers"),
        ] {
            refused(&changed(from, to), None, kind, message);
        }
        let mut short = folder("tfjs/chain");
        short[4].1.pop();
        refused(&short, None, ErrorKind::Format, "does not fit");
        short[4].1.extend([0; 5]);
        refused(&short, None, ErrorKind::Format, "the last 4 bytes of 'weights-4of4.bin'");
    }

    #[test]
    fn the_optimizer_s_weights_are_left_alone() {
        let plain = read(&folder("tfjs/chain"));
        let mut files = changed(
            "]}]}",
            ",{\"name\":\"Adam/m\",\"shape\":[2],\"dtype\":\"int32\",\"group\":\"optimizer\"}]}]}",
        );
        files[4].1.extend([7; 8]);
        assert_eq!(read(&files), plain);
    }

    #[test]
    fn whole_numbers_that_float32_lacks_are_refused() {
        let mut files = changed(KERNEL, "\"shape\":[5,4],\"dtype\":\"int32\"");
        // The kernel's first number, behind 6·5 + 5 others: 70 bytes a shard.
        let at = 35 * 4;
        files[1 + at / 70].1[at % 70..at % 70 + 4].copy_from_slice(&(-16_777_217i32).to_le_bytes());
        let error = refused(&files, None, ErrorKind::Value, "float32");
        assert_eq!(error.context().tensor.as_deref(), Some("middle/kernel"));
    }

    #[cfg(feature = "engine")]
    #[test]
    fn predictions_equal_those_of_tensorflow_js_and_keras() {
        for (name, npz) in [
            ("chain", "tfjs/chain"),
            ("mixed", "tfjs/mixed"),
            ("branches", "tfjs/branches"),
            ("quantized_uint8", "tfjs/quantized_uint8"),
            ("quantized_uint16", "tfjs/quantized_uint16"),
            ("quantized_float16", "tfjs/quantized_float16"),
            ("converted_keras2", "keras2_branches"),
            ("converted_keras3", "dress"),
            ("converted_archive", "tfjs/converted_archive"),
        ] {
            compare(name, read(&folder(&format!("tfjs/{name}"))), npz);
        }
    }
}

#[cfg(feature = "engine")]
fn compare(what: &str, model: Model, npz: &str) {
    use nearside::backend::Device;
    let npz = bytes(&format!("{npz}.io.npz"));
    for device in [Device::Cpu, Device::Gpu] {
        pollster::block_on(recorded::compare(what, model.clone(), npz.clone(), device, 1e-5));
    }
}

mod safetensors_of_other_tools {
    use super::*;

    fn with(bytes: Vec<u8>, config: &str) -> Result<Model, Error> {
        format::read_files(&[("", &bytes)], Some(config))
    }

    #[cfg(feature = "engine")]
    #[test]
    fn predictions_equal_those_of_the_formulas_and_of_keras() {
        for name in ["sequential", "prefixed_f16", "prefixed_f64", "named", "keras_paths"] {
            let model = with(
                bytes(&format!("torch/{name}.safetensors")),
                &text(&format!("torch/{name}.config.json")),
            );
            compare(name, model.unwrap_or_else(|error| panic!("{name}: {error}")), &format!("torch/{name}"));
        }
    }

    #[test]
    fn a_linear_weight_is_transposed() {
        let model =
            with(safetensors(&[("0.weight", &[2, 3]), ("0.bias", &[2])]), r#"{"layers": ["Linear"]}"#)
                .unwrap();
        match &model.layers[1].kind {
            LayerKind::Dense { kernel, bias: Some(bias), .. } => {
                assert_eq!(
                    (kernel.shape(), kernel.data()),
                    (&[3, 2][..], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..])
                );
                assert_eq!(bias.data(), [1.0, 2.0]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(model.layers[0].kind, LayerKind::Input { shape: vec![3] });
    }

    /// The error without an architecture spells one that reads the file.
    #[test]
    fn an_architecture_that_is_missing_is_spelt_out() {
        type Tensors<'a> = &'a [(&'a str, &'a [usize])];
        let cases: [(Tensors, &str); 6] = [
            (
                &[("layers.0.weight", &[8, 6]), ("layers.0.bias", &[8]), ("layers.2.weight", &[3, 8])],
                r#"{"input":[6],"layers":["Linear","ReLU","Linear"]}"#,
            ),
            (
                &[
                    ("net.1.weight", &[8, 6]),
                    ("net.4.weight", &[4, 8]),
                    ("net.10.weight", &[3, 4]),
                    ("net.7.weight", &[4, 4]),
                ],
                r#"{"input":[6],"layers":["Flatten","Linear","ReLU","Dropout","Linear","ReLU","Dropout","Linear","ReLU","Dropout","Linear"]}"#,
            ),
            (
                &[("fc1.weight", &[8, 6]), ("fc1.bias", &[8]), ("fc2.weight", &[3, 8])],
                r#"[{"name":"fc1","type":"Linear"},"ReLU",{"name":"fc2","type":"Linear"}]"#,
            ),
            // A list of layers without activations between them.
            (
                &[("m.0.weight", &[8, 6]), ("m.1.weight", &[3, 8])],
                r#"[{"name":"m.0","type":"Linear"},"ReLU",{"name":"m.1","type":"Linear"}]"#,
            ),
            (
                &[
                    ("0.weight", &[8, 6]),
                    ("1.weight", &[8]),
                    ("1.bias", &[8]),
                    ("1.running_mean", &[8]),
                    ("1.running_var", &[8]),
                    ("2.weight", &[1]),
                    ("3.weight", &[8]),
                    ("3.bias", &[8]),
                ],
                r#"["Linear","BatchNorm1d","PReLU","LayerNorm"]"#,
            ),
            (&[("dense/kernel", &[2, 3]), ("dense/bias", &[3])], "give Keras's model.to_json()"),
        ];
        for (tensors, expected) in cases {
            let file = safetensors(tensors);
            let error =
                refused(&one(file.clone()), None, ErrorKind::Unsupported, "weights without an architecture")
                    .to_string();
            let sorted = |text: &str| text.replace(r#""type":"Linear","name":"#, r#""name":"#);
            assert!(sorted(&error).contains(&sorted(expected)), "{error}");
            let (name, shape) = tensors[0];
            assert!(error.contains(&format!("{name} {shape:?}")), "{error}");
            if let Some(start) = error.find('{') {
                let model =
                    with(file, &error[start..]).unwrap_or_else(|error| panic!("{tensors:?}: {error}"));
                assert!(model.parameter_count() > 0);
            }
        }
    }

    #[test]
    fn tensors_that_no_dense_network_has_are_named() {
        let conv = safetensors(&[("0.weight", &[4, 3, 3, 3]), ("0.bias", &[4])]);
        refused(&one(conv), None, ErrorKind::Unsupported, "'0.bias' is of no module that nearside runs");
        let many: Vec<String> = (0..100).map(|i| format!("l{i}.weight")).collect();
        let many: Vec<(&str, &[usize])> = many.iter().map(|name| (name.as_str(), &[1usize, 1][..])).collect();
        refused(&one(safetensors(&many)), None, ErrorKind::Unsupported, "and 88 more");
    }

    #[test]
    fn every_activation_has_its_parameters() {
        use nearside::{Activation, Elementwise, Rowwise};
        let relu =
            |max_value, negative_slope| Elementwise::Relu { max_value, negative_slope, threshold: 0.0 };
        let cases = [
            (r#""ReLU6""#, Activation::Elementwise(relu(Some(6.0), 0.0))),
            (r#""LeakyReLU""#, Activation::Elementwise(relu(None, 0.01))),
            (
                r#"{"type":"LeakyReLU","negative_slope":0.25,"inplace":true}"#,
                Activation::Elementwise(relu(None, 0.25)),
            ),
            (r#"{"type":"CELU","alpha":2}"#, Activation::Elementwise(Elementwise::Celu { alpha: 2.0 })),
            (r#""torch.nn.Hardtanh""#, Activation::Elementwise(Elementwise::Clip { min: -1.0, max: 1.0 })),
            (
                r#"{"type":"Softshrink","lambd":0.1}"#,
                Activation::Elementwise(Elementwise::SoftShrink { threshold: 0.1 }),
            ),
            (
                r#"{"type":"Threshold","threshold":0.1,"value":20}"#,
                Activation::Elementwise(Elementwise::Threshold { threshold: 0.1, value: 20.0 }),
            ),
            (r#""GELU""#, Activation::Elementwise(Elementwise::Gelu)),
            (r#"{"type":"GELU","approximate":"tanh"}"#, Activation::Elementwise(Elementwise::GeluTanh)),
            (r#""Softplus""#, Activation::Elementwise(Elementwise::Softplus)),
            (r#""Identity""#, Activation::LINEAR),
            (r#""Softmax""#, Activation::Rowwise(Rowwise::Softmax)),
            (r#"{"type":"LogSoftmax","dim":-1}"#, Activation::Rowwise(Rowwise::LogSoftmax)),
            (r#"{"type":"GLU","dim":1}"#, Activation::Rowwise(Rowwise::Glu)),
        ];
        for (layer, expected) in cases {
            let config = format!(r#"{{"layers": ["Linear", {layer}]}}"#);
            let model = with(safetensors(&[("0.weight", &[2, 3])]), &config)
                .unwrap_or_else(|error| panic!("{layer}: {error}"));
            assert_eq!(model.layers[2].kind, LayerKind::Activation(expected), "{layer}");
        }
    }

    #[test]
    fn modules_that_are_not_understood_are_named() {
        let refused = |layer: &str, kind, message: &str| {
            let config = format!(r#"{{"layers": ["Linear", {layer}]}}"#);
            let error = with(safetensors(&[("0.weight", &[2, 3])]), &config).expect_err(layer);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(message), "{error}");
        };
        refused(r#""Conv2d""#, ErrorKind::Unsupported, "layer 'Conv2d_1': modules of class 'Conv2d'");
        refused(r#"{"type":"ReLU","alpha":1}"#, ErrorKind::Format, "'alpha' is not understood");
        refused(r#"{"type":"Softplus","beta":2}"#, ErrorKind::Unsupported, "beta 1");
        refused(r#"{"type":"Softmax","dim":0}"#, ErrorKind::Unsupported, "last axis");
        refused(
            r#"{"type":"LeakyReLU","negative_slope":"x"}"#,
            ErrorKind::Format,
            "'negative_slope' is not a number",
        );
        refused(r#"{"type":"Threshold"}"#, ErrorKind::Format, "'threshold' is missing");
        refused(r#"{"type":"Dropout","p":2}"#, ErrorKind::Format, "between 0 and 1");
        refused(r#"{"type":"Flatten","start_dim":0}"#, ErrorKind::Unsupported, "behind the batch");
        refused(r#"{"type":"Unflatten","dim":3,"unflattened_size":[2]}"#, ErrorKind::Shape, "no axis");
        refused(r#"{"type":"Unflatten","dim":1,"unflattened_size":[3]}"#, ErrorKind::Shape, "[3]");
        refused(r#"5"#, ErrorKind::Format, "not a JSON object");
        refused(r#"{"alpha":1}"#, ErrorKind::Format, "'type' is missing");
    }

    #[test]
    fn architectures_that_do_not_fit_the_tensors_are_refused() {
        let file = || safetensors(&[("n.0.weight", &[2, 3]), ("n.2.weight", &[4, 2]), ("n.2.bias", &[4])]);
        let refused = |config: &str, kind, message: &str| {
            let error = with(file(), config).expect_err(config);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(message), "{error}");
        };
        assert!(with(file(), r#"{"layers": ["Linear", "ReLU", "Linear"]}"#).is_ok());
        refused(
            r#"{"layers": ["Linear", "Linear"]}"#,
            ErrorKind::Format,
            "tensor 'n.1.weight': the file lacks this tensor; give",
        );
        refused(
            r#"{"layers": ["Linear", "ReLU"]}"#,
            ErrorKind::Format,
            "tensor 'n.2.bias': no module in 'config'",
        );
        refused(
            r#"{"layers": ["Linear", "ReLU", {"type": "Linear", "bias": false}]}"#,
            ErrorKind::Format,
            "tensor 'n.2.bias': no module",
        );
        refused(
            r#"{"layers": [{"type": "Linear", "in_features": 4}]}"#,
            ErrorKind::Shape,
            "'in_features' is 4, and the file has 3",
        );
        refused(r#"{"input": [4], "layers": ["Linear", "ReLU", "Linear"]}"#, ErrorKind::Shape, "layer 'n.0'");
        refused(
            r#"{"layers": ["Linear", "ReLU", "Linear"], "seed": 1}"#,
            ErrorKind::Format,
            "'seed' is not understood",
        );
        refused(r#"{"layers": ["Embedding"]}"#, ErrorKind::Value, "\"input\": [784]");
        refused(r#"{"layers": 3}"#, ErrorKind::Format, "'layers' is not a list");
        refused("not JSON", ErrorKind::Format, "the option 'config' is not JSON");
        let mixed = safetensors(&[("a.0.weight", &[2, 3]), ("b.0.weight", &[4, 2])]);
        let error = with(mixed, r#"{"layers": ["Linear", "Linear"], "input": [3]}"#).unwrap_err();
        assert!(error.to_string().contains("give each module with weights its own"), "{error}");
    }

    #[test]
    fn tensors_that_do_not_fit_keras_s_architecture_are_named() {
        let config = text("torch/keras_paths.config.json");
        let kernel: (&str, &[usize]) = ("m/dense/kernel", &[4, 5]);
        let file =
            |rest: &[(&str, &[usize])]| safetensors(&[&[kernel, ("m/dense/bias", &[5])], rest].concat());
        let refused = |rest: &[(&str, &[usize])], kind, message: &str| {
            let error = with(file(rest), &config).expect_err(message);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(message), "{error}");
        };
        refused(&[("dense_1/bias", &[3])], ErrorKind::Format, "layer 'dense_1': ");
        let good: [(&str, &[usize]); 2] = [("dense_1/bias:0", &[3]), ("dense_1/kernel:0", &[5, 3])];
        assert!(with(file(&good), &config).is_ok());
        refused(&[good[0], ("dense_1/kernel", &[3, 5])], ErrorKind::Shape, "the architecture needs [5, 3]");
        refused(&[good[0], good[1], ("x/kernel", &[1])], ErrorKind::Format, "tensor 'x/kernel'");
        refused(
            &[good[0], good[1], ("a/dense_1/kernel", &[5, 3])],
            ErrorKind::Format,
            "tensor 'a/dense_1/kernel'",
        );
        refused(
            &[("a/dense_1/bias", &[3]), ("b/dense_1/kernel", &[5, 3])],
            ErrorKind::Format,
            "two layers of this name",
        );
        refused(&[good[0], ("dense_1/gate", &[5, 3])], ErrorKind::Format, "dense_1/gate");
    }
}
