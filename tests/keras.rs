//! Keras's `.h5` files give the model that Keras saved, whichever Keras and whichever HDF5 wrote them.
#![cfg(all(feature = "formats", not(target_arch = "wasm32")))]

#[cfg(feature = "engine")]
mod recorded;

use nearside::{Activation, Elementwise, LayerKind, Model, Rowwise, format};

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn model(name: &str) -> Model {
    format::read(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn layer<'a>(model: &'a Model, name: &str) -> &'a LayerKind {
    let found = model.layers.iter().find(|layer| layer.name == name);
    &found.unwrap_or_else(|| panic!("no layer '{name}'")).kind
}

fn layer_names(model: &Model) -> Vec<&str> {
    model.layers.iter().map(|layer| layer.name.as_str()).collect()
}

fn activation(model: &Model, name: &str) -> Activation {
    match layer(model, name) {
        LayerKind::Dense { activation, .. } | LayerKind::Activation(activation) => *activation,
        other => panic!("'{name}' is {other:?}"),
    }
}

fn relu(max_value: Option<f32>, negative_slope: f32, threshold: f32) -> Activation {
    Activation::Elementwise(Elementwise::Relu { max_value, negative_slope, threshold })
}

const DRESSES: [&str; 11] = [
    "dress_big_endian",
    "dress_earliest_gzip",
    "dress_f64",
    "dress_fixed_attrs",
    "dress_latest",
    "dress_latest_gzip",
    "dress_track_order",
    "dress_userblock",
    "dress_v108_chunked",
    "dress_vlen_attrs",
    "dress",
];

#[test]
fn a_sequential_model_of_keras_3_is_read() {
    let model = model("dress.h5");
    assert_eq!(model.name, "dress");
    assert_eq!(layer_names(&model), ["input_layer_2", "dense_3", "dense_4"]);
    assert_eq!(model.layers[0].kind, LayerKind::Input { shape: vec![20] });
    assert_eq!(activation(&model, "dense_3"), Activation::from_name("relu").unwrap());
    assert_eq!(activation(&model, "dense_4"), Activation::Rowwise(Rowwise::Softmax));
    assert_eq!(model.parameter_count(), 20 * 16 + 16 + 16 * 3 + 3);
    assert_eq!(model.shapes().unwrap(), [vec![20], vec![16], vec![3]]);
}

#[test]
fn weights_are_the_same_in_every_hdf5_dress() {
    let plain = model("dress.h5");
    for name in DRESSES {
        assert_eq!(model(&format!("{name}.h5")), plain, "{name}");
    }
}

#[test]
fn float16_weights_are_widened() {
    let (half, single) = (model("dress_f16.h5"), model("dress.h5"));
    let mut compared = 0;
    for (half, single) in half.layers.iter().zip(&single.layers) {
        if let (LayerKind::Dense { kernel: half, .. }, LayerKind::Dense { kernel: single, .. }) =
            (&half.kind, &single.kind)
        {
            // Half the distance of neighbouring float16 numbers.
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= b.abs() * 2f32.powi(-11) + 2f32.powi(-25);
            assert!(half.data().iter().zip(single.data()).all(close));
            compared += half.data().len();
        }
    }
    assert_eq!(compared, 20 * 16 + 16 * 3);
}

#[test]
fn a_functional_model_is_read() {
    let model = model("functional_100_64_10.h5");
    assert_eq!(layer_names(&model), ["feat", "hidden", "probs"]);
    assert_eq!(model.shapes().unwrap(), [vec![100], vec![64], vec![10]]);
    assert_eq!(model.parameter_count(), 100 * 64 + 64 + 64 * 10 + 10);
}

#[test]
fn models_of_keras_2_and_3_have_the_same_shape() {
    for name in ["mnist_784_128_128_10.h5", "one_model_many_formats/keras2.h5"] {
        let model = model(name);
        assert_eq!(model.shapes().unwrap(), [vec![784], vec![128], vec![128], vec![10]], "{name}");
        assert_eq!(model.parameter_count(), 118_282, "{name}");
    }
}

#[test]
fn names_split_over_several_attributes_are_joined() {
    let model = model("split_names.h5");
    assert_eq!(model.layers.len(), 13);
    assert_eq!(model.parameter_count(), (4 * 3 + 3) + 11 * (3 * 3 + 3));
}

#[test]
fn deep_models_with_large_configurations_are_read() {
    let model = model("deep300.h5");
    assert_eq!(model.layers.len(), 301);
    assert_eq!(model.parameter_count(), 300 * (4 * 4 + 4));
}

#[test]
fn every_activation_of_keras_3_has_its_name() {
    let model = model("all_activations.h5");
    let mut seen = 0;
    for layer in &model.layers[1..] {
        let expected = match layer.name.as_str() {
            "object" => relu(None, 0.15, 0.0),
            "elu_object" => Activation::Elementwise(Elementwise::Elu { alpha: 0.6 }),
            name => Activation::from_name(name).unwrap(),
        };
        assert_eq!(activation(&model, &layer.name), expected, "{}", layer.name);
        seen += 1;
    }
    assert_eq!(seen, 33);
    assert_eq!(model.outputs.len(), seen);
}

#[test]
fn hard_sigmoid_is_that_of_the_keras_which_wrote_the_file() {
    let of = |slope| Activation::Elementwise(Elementwise::HardSigmoid { slope, offset: 0.5 });
    assert_eq!(activation(&model("all_activations.h5"), "hard_sigmoid"), of(1.0 / 6.0));
    assert_eq!(activation(&model("keras2_activations.h5"), "hard_sigmoid"), of(0.2));
    assert_eq!(activation(&model("keras2_activation_layers.h5"), "activation"), of(0.2));
    assert_eq!(activation(&model("keras1.h5"), "dense_1"), of(0.2));
}

#[test]
fn activation_layers_keep_their_parameters() {
    for name in ["activation_layers.h5", "keras2_activation_layers.h5"] {
        let model = model(name);
        assert_eq!(activation(&model, "re_lu"), relu(Some(1.5), 0.1, 0.25), "{name}");
        assert_eq!(activation(&model, "re_lu_plain"), relu(None, 0.0, 0.0), "{name}");
        assert_eq!(activation(&model, "leaky_default"), relu(None, 0.3, 0.0), "{name}");
        assert_eq!(activation(&model, "leaky"), relu(None, 0.15, 0.0), "{name}");
        assert_eq!(
            activation(&model, "elu"),
            Activation::Elementwise(Elementwise::Elu { alpha: 0.7 }),
            "{name}"
        );
        assert_eq!(activation(&model, "softmax"), Activation::Rowwise(Rowwise::Softmax), "{name}");
    }
}

#[test]
fn branches_and_shared_layers_keep_their_wiring() {
    for name in ["branches.h5", "keras2_branches.h5"] {
        let model = model(name);
        let names =
            |nodes: &[usize]| nodes.iter().map(|&node| model.node_name(node).to_string()).collect::<Vec<_>>();
        assert_eq!(names(&model.input_nodes().collect::<Vec<_>>()), ["a", "b"], "{name}");
        assert_eq!(names(&model.outputs), ["second", "first"], "{name}");
        // Back from each output to its input.
        let path = |mut node: usize| {
            let mut path = vec![model.node_name(node)];
            while let [source] = model.nodes[node].inputs[..] {
                path.push(model.node_name(source));
                node = source;
            }
            path.join(" ")
        };
        assert_eq!(path(model.outputs[0]), "second drop_b shared b", "{name}");
        assert_eq!(path(model.outputs[1]), "first shared drop flat a", "{name}");
        assert_eq!(layer(&model, "drop"), &LayerKind::Dropout { rate: 0.4 }, "{name}");
        assert_eq!(model.parameter_count(), 6 * 5 + 5 + 5 * 2 + 2 + 5 * 3 + 3, "{name}");
    }
}

#[test]
fn layers_without_bias_have_none() {
    let model = model("no_bias.h5");
    assert_eq!(model.parameter_count(), 4 * 3 + 3 * 2);
    assert!(model.layers[1..].iter().all(|layer| matches!(layer.kind, LayerKind::Dense { bias: None, .. })));
}

#[test]
fn dense_works_on_the_last_axis() {
    let shapes = model("rank3.h5").shapes().unwrap();
    assert_eq!(shapes, [vec![2, 3], vec![2, 4], vec![8], vec![2]]);
}

#[test]
fn a_fixed_batch_is_not_part_of_the_shape() {
    for name in ["deferred.h5", "keras2_deferred.h5"] {
        assert_eq!(model(name).shapes().unwrap(), [vec![4], vec![3], vec![2]], "{name}");
    }
}

#[test]
fn names_with_slashes_are_nested_groups() {
    let model = model("keras2_slash.h5");
    assert_eq!(layer_names(&model)[1..], ["block/hidden", "block/answer"]);
    assert_eq!(model.parameter_count(), 4 * 3 + 3 + 3 * 2 + 2);
}

#[test]
fn keras_1_files_have_an_input_of_their_own() {
    let model = model("keras1.h5");
    assert_eq!(layer_names(&model), ["dense_1_input", "dense_1", "dropout_1", "dense_2"]);
    assert_eq!(model.parameter_count(), 4 * 3 + 3 + 3 * 2);
}

/// What Keras itself answered, compared with the engine.
#[cfg(feature = "engine")]
mod predictions {
    use super::*;
    use nearside::backend::Device;

    fn compare(file: &str, npz: &str, tolerance: f32) {
        for device in [Device::Cpu, Device::Gpu] {
            pollster::block_on(recorded::compare(file, model(file), bytes(npz), device, tolerance));
        }
    }

    #[test]
    fn of_every_dress_equal_kerass() {
        for name in DRESSES {
            compare(&format!("{name}.h5"), "dress.io.npz", 1e-5);
        }
    }

    #[test]
    fn with_float16_weights_are_close_to_kerass() {
        compare("dress_f16.h5", "dress.io.npz", 2e-3);
    }

    #[test]
    fn of_keras_3_equal_kerass() {
        let names = [
            "functional_100_64_10",
            "activations",
            "all_activations",
            "activation_layers",
            "branches",
            "no_bias",
            "rank3",
            "split_names",
            "deferred",
            "deep300",
            "mnist_784_128_128_10",
        ];
        for name in names {
            compare(&format!("{name}.h5"), &format!("{name}.io.npz"), 1e-5);
        }
    }

    #[test]
    fn of_keras_2_and_1_equal_kerass() {
        for name in [
            "keras2_activations",
            "keras2_activation_layers",
            "keras2_branches",
            "keras2_deferred",
            "keras2_slash",
            "keras1",
        ] {
            compare(&format!("{name}.h5"), &format!("{name}.io.npz"), 1e-5);
        }
        compare("one_model_many_formats/keras2.h5", "one_model_many_formats/io.npz", 1e-5);
    }
}
