//! Every layer of dense networks that Keras has, models in models, and all the files that Keras puts them in.
#![cfg(all(feature = "formats", not(target_arch = "wasm32")))]

#[cfg(feature = "engine")]
mod recorded;

use nearside::{
    Activation, Binary, Elementwise, Error, ErrorKind, LayerKind, Model, Rowwise, format, layer::Encoding,
};

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(name: &str, config: Option<&str>) -> Result<Model, Error> {
    format::read_files(&[(name, &bytes(name))], config)
}

/// The model in a file, with the architecture that is kept beside one that holds weights alone.
fn model(name: &str) -> Model {
    let config = name.contains("weights").then(|| {
        let beside = name.replace("legacy_weights", "weights").replace(".h5", ".config.json");
        String::from_utf8(bytes(&beside)).unwrap()
    });
    read(name, config.as_deref()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn layer<'a>(model: &'a Model, name: &str) -> &'a LayerKind {
    let found = model.layers.iter().find(|layer| layer.name == name);
    &found.unwrap_or_else(|| panic!("no layer '{name}'")).kind
}

/// The layers that compute a node, from the one whose name is given back to the input.
fn chain(model: &Model, name: &str) -> Vec<&'static str> {
    let mut node = (0..model.nodes.len()).find(|&node| model.node_name(node) == name).unwrap();
    let mut chain = Vec::new();
    while let [source] = model.nodes[node].inputs[..] {
        chain.push(model.layers[model.nodes[node].layer].kind.type_name());
        node = source;
    }
    chain.reverse();
    chain
}

/// Files of Keras's own with what it answered, and the containers that there are of each.
const RECORDED: [(&str, &[&str]); 19] = [
    ("every_layer", &["h5", "keras", "weights.h5"]),
    ("keras2_every_layer", &["h5", "keras", "weights.h5"]),
    ("other_axes", &["h5", "keras"]),
    ("keras2_other_axes", &["h5", "keras"]),
    ("merges", &["h5", "keras"]),
    ("keras2_merges", &["h5", "keras"]),
    ("nested", &["h5", "keras", "weights.h5"]),
    ("nested_frozen", &["h5", "keras"]),
    ("keras2_nested", &["h5", "keras", "weights.h5", "legacy_weights.h5"]),
    ("keras2_nested_frozen", &["h5", "keras"]),
    ("embeddings", &["h5", "keras"]),
    ("keras2_embeddings", &["h5", "keras"]),
    ("operations", &["h5", "keras"]),
    ("dictionaries", &["h5", "keras"]),
    ("across", &["h5", "keras"]),
    ("tf212", &["keras", "weights.h5"]),
    ("layers_misc", &["h5", "keras", "weights.h5"]),
    ("dress", &["h5", "keras", "weights.h5"]),
    ("functional_100_64_10", &["h5", "keras", "weights.h5"]),
];

#[test]
fn one_model_is_the_same_in_every_container() {
    for (name, containers) in RECORDED {
        let first = model(&format!("{name}.{}", containers[0]));
        for container in &containers[1..] {
            // In `.keras` archives a layer that is listed twice is one.
            if name != "across" {
                assert_eq!(model(&format!("{name}.{container}")), first, "{name}.{container}");
            }
        }
    }
    assert_eq!(model("across_deflated.keras"), model("across.keras"));
}

#[test]
fn weights_of_a_model_with_other_names_are_found_by_their_order() {
    let config = String::from_utf8(bytes("keras2_nested.weights.config.json")).unwrap();
    let renamed = ["partly", "frozen", "inner", "unbuilt"]
        .iter()
        .fold(config, |config, name| config.replace(&format!("\"{name}\""), &format!("\"{name}_7\"")));
    let renamed = read("keras2_nested.legacy_weights.h5", Some(&renamed)).unwrap();
    let weights = |model: &Model| {
        model.layers.iter().flat_map(|layer| layer.kind.weights()).map(|(_, w)| w.clone()).collect::<Vec<_>>()
    };
    assert!(renamed.layers.iter().any(|layer| layer.name == "partly_7/partly_dense"));
    assert_eq!(weights(&renamed), weights(&model("keras2_nested.legacy_weights.h5")));
}

#[test]
fn an_architecture_is_read_with_and_without_its_class() {
    let text = String::from_utf8(bytes("nested.weights.config.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let bare = read("nested.weights.h5", Some(&value["config"].to_string())).unwrap();
    assert_eq!(bare, model("nested.weights.h5"));
}

#[test]
fn weights_without_an_architecture_ask_for_it() {
    for name in ["nested.weights.h5", "keras2_nested.legacy_weights.h5"] {
        let error = read(name, None).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("the option 'config'"), "{error}");
    }
    let beside =
        [("w.h5", &bytes("nested.weights.h5")[..]), ("c.json", &bytes("nested.weights.config.json"))];
    assert_eq!(format::read_files(&beside, None).unwrap(), model("nested.weights.h5"));
}

#[test]
fn layers_become_the_kinds_that_compute_them() {
    for name in ["every_layer.h5", "keras2_every_layer.h5"] {
        let model = model(name);
        let count = |kind: fn(&LayerKind) -> bool| model.layers.iter().filter(|l| kind(&l.kind)).count();
        assert_eq!(count(|kind| matches!(kind, LayerKind::BatchNormalization { .. })), 4, "{name}");
        assert_eq!(count(|kind| matches!(kind, LayerKind::Noise(_))), 4, "{name}");
        assert!(matches!(layer(&model, "layer"), LayerKind::LayerNormalization { gamma: Some(_), .. }));
        assert!(matches!(layer(&model, "p_re_lu"), LayerKind::PRelu { alpha } if alpha.shape() == [6]));
        assert_eq!(layer(&model, "repeat"), &LayerKind::Gather { axis: 0, indices: vec![0; 3] });
        let counted = LayerKind::CategoryEncoding { tokens: 4, mode: Encoding::Count };
        assert_eq!(layer(&model, "bins_counted"), &counted);
        assert_eq!(chain(&model, "bins_counted"), ["Discretization", "CategoryEncoding"]);
        assert_eq!(chain(&model, "group"), ["Reshape", "Activation", "Reshape", "Rescaling"]);
    }
    let thresholded = Activation::Elementwise(Elementwise::Threshold { threshold: 0.7, value: 0.0 });
    assert_eq!(layer(&model("keras2_every_layer.h5"), "thresholded"), &LayerKind::Activation(thresholded));
}

#[test]
fn other_axes_are_moved_to_the_end_and_back() {
    let model = model("other_axes.keras");
    assert_eq!(chain(&model, "batch"), ["Permute", "BatchNormalization", "Permute"]);
    assert_eq!(chain(&model, "softmax_two"), ["Permute", "Reshape", "Activation", "Reshape", "Permute"]);
    assert_eq!(chain(&model, "flatten"), ["Permute", "Flatten"]);
    assert_eq!(layer(&model, "softmax"), &LayerKind::Permute { axes: vec![2, 0, 1] });
    let softmax = LayerKind::Activation(Activation::Rowwise(Rowwise::Softmax));
    assert_eq!(layer(&model, "softmax/activation"), &softmax);
}

#[test]
fn unit_norms_are_kept_from_zero_as_each_keras_does() {
    for (name, epsilon) in [("every_layer.h5", 1e-24), ("keras2_every_layer.h5", 1e-12)] {
        let expected = Activation::Rowwise(Rowwise::UnitNormalize { epsilon });
        assert_eq!(layer(&model(name), "unit"), &LayerKind::Activation(expected), "{name}");
    }
}

#[test]
fn nested_models_are_dissolved_and_their_layers_shared() {
    for name in ["nested.keras", "nested.h5", "keras2_nested.keras"] {
        let model = model(name);
        let calls = |name: &str| (0..model.nodes.len()).filter(|&n| model.node_name(n) == name).count();
        assert_eq!(
            (calls("inner/norm"), calls("inner/deep/deep_dense"), calls("frozen/frozen_dense")),
            (3, 3, 3)
        );
        assert_eq!((calls("partly/partly_batch"), calls("unbuilt/late")), (2, 1), "{name}");
        // The inputs of nested models are no layers.
        let inputs: Vec<&str> = model.input_nodes().map(|node| model.node_name(node)).collect();
        assert_eq!(inputs, ["a", "b"], "{name}");
        let outputs: Vec<&str> = model.outputs.iter().map(|&node| model.node_name(node)).collect();
        assert_eq!(outputs, ["one", "two", "three", "four"], "{name}");
    }
}

#[test]
fn a_layer_of_two_models_is_one_layer() {
    let model = model("across.keras");
    let names: Vec<&str> = model.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["a", "common", "between", "inside/after"]);
    assert_eq!(model.nodes.iter().filter(|node| node.layer == 1).count(), 2);
}

#[test]
fn functions_that_keras_records_become_layers() {
    let model = model("operations.keras");
    assert_eq!(layer(&model, "largest_of_x"), &LayerKind::Activation(Activation::LINEAR));
    assert_eq!(layer(&model, "maximum"), &LayerKind::Combine(Binary::Maximum));
    assert!(matches!(layer(&model, "add/constant"), LayerKind::Constant { value } if value.data() == [1.0]));
    assert!(matches!(layer(&model, "matmul"), LayerKind::Dense { bias: None, .. }));
    let backwards = LayerKind::Gather { axis: 1, indices: vec![3, 1] };
    assert!(model.layers.iter().any(|layer| layer.kind == backwards));
}

#[test]
fn a_mask_that_a_layer_uses_is_refused() {
    let error = read("mask_used.keras", None).unwrap_err();
    assert_eq!((error.kind(), error.context().layer.as_deref()), (ErrorKind::Unsupported, Some("maximum")));
    assert!(error.to_string().contains("mask_zero"), "{error}");
}

/// What Keras itself answered, compared with the specification and the engine.
#[cfg(feature = "engine")]
mod predictions {
    use super::*;
    use nearside::backend::Device;

    fn compare(file: &str, npz: &str) {
        for device in [Device::Cpu, Device::Gpu] {
            pollster::block_on(recorded::compare(file, model(file), bytes(npz), device, 1e-5));
        }
    }

    #[test]
    fn equal_kerass_from_every_container() {
        for (name, containers) in RECORDED {
            for container in containers {
                compare(&format!("{name}.{container}"), &format!("{name}.io.npz"));
            }
        }
        compare("activations.keras", "activations.io.npz");
        compare("across_deflated.keras", "across.io.npz");
    }

    #[test]
    fn equal_kerass_from_weights_of_an_older_keras() {
        compare("one_model_many_formats/keras2.weights.h5", "one_model_many_formats/io.npz");
    }
}

#[test]
fn normalisations_learn_what_they_rescale_by_and_preprocessing_does_not() {
    for file in ["every_layer.h5", "every_layer.keras"] {
        let model = model(file);
        let trainable = |name: &str| model.layers.iter().find(|layer| layer.name == name).unwrap().trainable;
        for learnt in ["rms", "group", "layer_scaled"] {
            assert!(trainable(learnt), "{file}: {learnt}");
        }
        for given in ["rescaling", "rescaling_each", "normalization_inverted"] {
            assert!(!trainable(given), "{file}: {given}");
        }
    }
}
