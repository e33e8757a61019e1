//! Architectures as JSON, without a file around them.

mod compiled;
mod graphs;

use super::{
    KerasVersion,
    architecture::{self, Architecture},
};
use crate::{Activation, Elementwise, Error, ErrorKind, LayerKind, Model, Result, Rowwise, Tensor};

fn read(config: &str) -> Result<Architecture> {
    architecture::read(config, Some(KerasVersion::THREE))
}

/// The model, with weights of zeros.
fn build(config: &str) -> Result<Model> {
    read(config)?.build(&mut |_, shapes| shapes.iter().map(|shape| zeros(shape)).collect())
}

fn zeros(shape: &[usize]) -> Result<Tensor> {
    Tensor::new(shape.to_vec(), vec![0.0; shape.iter().product()])
}

fn sequential(layers: &str) -> String {
    format!(r#"{{"class_name": "Sequential", "config": {{"name": "m", "layers": [{layers}]}}}}"#)
}

/// A chain of an input of four values and this layer.
fn after_input(class: &str, config: &str) -> String {
    let comma = if config.is_empty() { "" } else { ", " };
    sequential(&format!(
        r#"{{"class_name": "InputLayer", "config": {{"name": "x", "batch_shape": [null, 4]}}}},
           {{"class_name": "{class}", "config": {{"name": "y", "trainable": true{comma}{config}}}}}"#
    ))
}

fn functional(layers: &str, inputs: &str, outputs: &str) -> String {
    format!(
        r#"{{"class_name": "Functional", "config": {{"name": "m", "layers": [{layers}],
           "input_layers": {inputs}, "output_layers": {outputs}}}}}"#
    )
}

fn input(name: &str) -> String {
    format!(
        r#"{{"class_name": "InputLayer", "name": "{name}", "inbound_nodes": [],
           "config": {{"name": "{name}", "batch_input_shape": [null, 4]}}}}"#
    )
}

fn called(class: &str, name: &str, config: &str, nodes: &str) -> String {
    format!(
        r#", {{"class_name": "{class}", "name": "{name}", "inbound_nodes": {nodes}, "config": {{"name": "{name}", "trainable": true{config}}}}}"#
    )
}

#[track_caller]
fn refused(config: &str, kind: ErrorKind, message: &str) -> Error {
    let error = build(config).expect_err("an architecture that means something else was read");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    error
}

#[track_caller]
fn activation(class: &str, config: &str) -> Activation {
    let model = build(&after_input(class, config)).unwrap();
    match &model.layers[1].kind {
        LayerKind::Dense { activation, .. } | LayerKind::Activation(activation) => *activation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_that_are_not_known_are_named() {
    let unsupported = |class, config, message| {
        let error = refused(&after_input(class, config), ErrorKind::Unsupported, message);
        assert_eq!(error.context().layer.as_deref(), Some("y"));
    };
    unsupported("Dense", r#""units": 3, "lora_rank": 4"#, "Dense has the option 'lora_rank' = 4");
    unsupported("Dense", r#""units": 3, "kernel_mask": null"#, "'kernel_mask'");
    unsupported("Dense", r#""units": 3, "quantization_config": {"mode": "int8"}"#, "quantized");
    unsupported("Dense", r#""units": 3, "dtype": "int8""#, "'int8'");
    unsupported("Flatten", r#""data_format": "channels_middle""#, "channels_middle");
    unsupported("Softmax", r#""axis": 0"#, "axis 0 is the batch");
    unsupported("Concatenate", r#""axis": -2"#, "axis -2 is the batch");
    unsupported("ReLU", r#""max_values": 6"#, "'max_values'");
    unsupported("Lambda", "", "Lambda layers are not supported");
    unsupported("My>Dense", r#""units": 3"#, "My>Dense layers are not supported");
}

#[test]
fn training_options_are_passed_over() {
    let config = r#""units": 3, "trainable": false, "kernel_initializer": {"class_name": "Zeros", "config": {}},
        "bias_regularizer": null, "kernel_constraint": {"class_name": "NonNeg"}, "quantization_config": null,
        "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"},
        "registered_name": null}"#;
    assert_eq!(build(&after_input("Dense", config)).unwrap().parameter_count(), 4 * 3 + 3);
}

#[test]
fn activations_are_read_in_every_notation() {
    let relu = Activation::from_name("relu").unwrap();
    let of = |activation_config: &str| {
        activation("Dense", &format!(r#""units": 2, "activation": {activation_config}"#))
    };
    assert_eq!(of("null"), Activation::LINEAR);
    assert_eq!(of(r#""relu""#), relu);
    assert_eq!(of(r#"{"class_name": "function", "config": "relu", "module": "builtins"}"#), relu);
    let with_registration = r#"{"module": "keras.activations", "class_name": "function", "config": "relu", "registered_name": "relu"}"#;
    assert_eq!(of(with_registration), relu);
    assert_eq!(of(r#"{"class_name": "Activation", "config": {"activation": "relu"}}"#), relu);
    assert_eq!(
        of(r#"{"class_name": "Softmax", "config": {"axis": [-1]}}"#),
        Activation::Rowwise(Rowwise::Softmax)
    );
    assert_eq!(
        of(r#"{"class_name": "LeakyReLU", "config": {"name": "a", "alpha": 0.25}}"#),
        Activation::Elementwise(Elementwise::Relu { max_value: None, negative_slope: 0.25, threshold: 0.0 })
    );
}

#[test]
fn custom_activations_are_named() {
    let unsupported = |config: &str, message| {
        let config = after_input("Dense", &format!(r#""units": 2, "activation": {config}"#));
        refused(&config, ErrorKind::Unsupported, message);
    };
    unsupported(r#""my_relu""#, "'my_relu'");
    unsupported(r#"{"class_name": "function", "config": "<lambda>"}"#, "'<lambda>'");
    unsupported(r#"{"class_name": "__lambda__", "config": {"value": "4wEA"}}"#, "__lambda__");
    // One that is called like one of Keras's.
    let registered = r#"{"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "mine>relu"}"#;
    unsupported(registered, "mine>relu is a custom class");
    unsupported(
        r#"{"module": "mine.ops", "class_name": "ReLU", "config": {}}"#,
        "mine.ops.ReLU is a custom class",
    );
    unsupported(r#"{"class_name": "PReLU", "config": {}}"#, "'PReLU'");
}

#[test]
fn inputs_that_are_not_dense_floats_are_refused() {
    let input = |config: &str| {
        sequential(&format!(r#"{{"class_name": "InputLayer", "config": {{"name": "x", {config}}}}}"#))
    };
    refused(&input(r#""batch_shape": [null, 4], "ragged": true"#), ErrorKind::Unsupported, "ragged");
    refused(&input(r#""batch_shape": [null, 4], "sparse": true"#), ErrorKind::Unsupported, "sparse");
    refused(&input(r#""batch_shape": [null, 4], "dtype": "string""#), ErrorKind::Unsupported, "string");
    refused(&input(r#""batch_shape": [null, null, 3]"#), ErrorKind::Unsupported, "[null,null,3]");
    refused(&input(r#""batch_shape": [null, -3]"#), ErrorKind::Format, "[null,-3]");
    refused(&input(r#""batch_shape": []"#), ErrorKind::Format, "[]");
    refused(&input(r#""batch_shape": [null, 0]"#), ErrorKind::Shape, "no values");
    refused(&input(r#""name2": 1"#), ErrorKind::Format, "'batch_shape' is missing");
}

#[test]
fn the_input_shape_is_taken_from_wherever_keras_put_it() {
    let dense = |options: &str| {
        format!(
            r#"{{"class_name": "Dense", "config": {{"name": "y", "trainable": true, "units": 2{options}}}}}"#
        )
    };
    let shapes = |config: &str| build(config).unwrap().shapes().unwrap();
    let expected = [vec![4], vec![2]];
    assert_eq!(shapes(&sequential(&dense(r#", "batch_input_shape": [null, 4]"#))), expected);
    let wrapped = r#", "batch_input_shape": {"class_name": "TensorShape", "items": [null, 4]}"#;
    assert_eq!(shapes(&sequential(&dense(wrapped))), expected);
    let list = format!(
        r#"{{"class_name": "Sequential", "config": [{}]}}"#,
        dense(r#", "batch_input_shape": [8, 4]"#)
    );
    assert_eq!(shapes(&list), expected);
    let built = format!(
        r#"{{"class_name": "Sequential", "config": {{"layers": [{}], "build_input_shape": [null, 4]}}}}"#,
        dense("")
    );
    assert_eq!(shapes(&built), expected);
    refused(&sequential(&dense("")), ErrorKind::Unsupported, "keras.Input(shape)");
}

#[test]
fn models_of_other_kinds_are_named() {
    refused(r#"{"class_name": "MyModel", "config": {}}"#, ErrorKind::Unsupported, "MyModel");
    refused(&after_input("Masking", r#""mask_value": 0"#), ErrorKind::Unsupported, "Masking layers");
    refused(&sequential(""), ErrorKind::Format, "no layers");
    refused("{\"class_name\": \"Sequential\", \"config\": NaN}", ErrorKind::Format, "JSON");
    refused(&"[".repeat(100_000), ErrorKind::Format, "JSON");
    refused("7", ErrorKind::Format, "an object is needed");
}

#[test]
fn nodes_are_read_in_the_notations_of_keras_2_and_3() {
    let keras_2 = called("Flatten", "f", "", r#"[[["x", 0, 0, {"mask": null}]]]"#);
    let keras_1 = called("Flatten", "f", "", r#"[[["x", 0, 0]]]"#);
    let keras_3 = called(
        "Flatten",
        "f",
        "",
        r#"[{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}],
             "kwargs": {"training": false}}]"#,
    );
    for layer in [keras_1, keras_2, keras_3] {
        for ends in [["[\"x\", 0, 0]", "[\"f\", 0, 0]"], ["[[\"x\", 0, 0]]", "{\"a\": [\"f\", 0, 0]}"]] {
            let model = build(&functional(&(input("x") + &layer), ends[0], ends[1])).unwrap();
            assert_eq!((model.nodes.len(), &model.outputs[..]), (2, &[1][..]));
        }
    }
}

#[test]
fn inputs_and_outputs_keep_the_models_order() {
    let flat = |name: &str, source: &str| called("Flatten", name, "", &format!(r#"[[["{source}", 0, 0]]]"#));
    // The layers are listed against the order of evaluation.
    let layers = input("b") + &flat("last", "middle") + &flat("middle", "a") + ", " + &input("a");
    let config =
        functional(&layers, r#"{"z": ["b", 0, 0], "c": ["a", 0, 0]}"#, r#"[["last", 0, 0], ["b", 0, 0]]"#);
    let model = build(&config).unwrap();
    let names: Vec<&str> = (0..model.nodes.len()).map(|node| model.node_name(node)).collect();
    assert_eq!(names, ["a", "b", "middle", "last"]);
    assert_eq!(model.outputs, [3, 1]);
}

#[test]
fn a_shared_layer_is_given_its_weights_once() {
    let layers = input("a")
        + ", "
        + &input("b")
        + &called("Dense", "d", r#", "units": 2"#, r#"[[["a", 0, 0]], [["b", 0, 0]]]"#);
    let config = functional(&layers, r#"[["a", 0, 0], ["b", 0, 0]]"#, r#"[["d", 1, 0], ["d", 0, 0]]"#);
    let mut asked = Vec::new();
    let model = read(&config).unwrap().build(&mut |layer, shapes| {
        asked.push((layer.name(), shapes.to_vec()));
        shapes.iter().map(|shape| zeros(shape)).collect()
    });
    assert_eq!(asked, [("d".to_string(), vec![vec![4, 2], vec![2]])]);
    assert_eq!(model.unwrap().outputs, [3, 2]);
}

#[test]
fn layers_that_work_as_in_training_are_refused() {
    let keras_2 = called("Dropout", "d", r#", "rate": 0.5"#, r#"[[["x", 0, 0, {"training": true}]]]"#);
    let keras_3 = called(
        "Dropout",
        "d",
        r#", "rate": 0.5"#,
        r#"[{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}],
             "kwargs": {"training": true}}]"#,
    );
    for layer in [keras_2, keras_3] {
        let config = functional(&(input("x") + &layer), r#"["x", 0, 0]"#, r#"["d", 0, 0]"#);
        let error = refused(&config, ErrorKind::Unsupported, "training=True");
        assert_eq!(error.context().layer.as_deref(), Some("d"));
    }
}

#[test]
fn broken_wiring_names_the_layer() {
    let x = || input("x");
    let flat = |nodes: &str| called("Flatten", "f", "", nodes);
    let broken = |layers: String, inputs: &str, outputs: &str, message: &str| {
        refused(&functional(&layers, inputs, outputs), ErrorKind::Format, message);
    };
    let (from_x, to_f) = (r#"[["x", 0, 0]]"#, r#"[["f", 0, 0]]"#);
    broken(x() + &flat(r#"[[["f", 0, 0]]]"#), from_x, to_f, "cycle");
    broken(x() + &flat(r#"[[["y", 0, 0]]]"#), from_x, to_f, "layer 'f': the layer 'y' is missing");
    broken(x() + &flat(r#"[[["x", 1, 0]]]"#), from_x, to_f, "node 1 is missing");
    broken(x() + &flat(r#"[[["x", 0, 1]]]"#), from_x, to_f, "one result");
    broken(x() + &flat(r#"[[["x", 0]]]"#), from_x, to_f, "[layer, node, tensor]");
    broken(x() + &flat(r#"[[["x", 0, 0], ["x", 0, 0]]]"#), from_x, to_f, "takes one input, 2 given");
    broken(x() + &flat("[[]]"), from_x, to_f, "takes one input, 0 given");
    broken(x() + &flat("[]"), from_x, to_f, "no node calls this layer");
    broken(x() + &flat(r#"[[["x", 0, 0]]]"#), r#"[["x", 0, 0], ["f", 0, 0]]"#, to_f, "no InputLayer");
    broken(x() + &flat(r#"[[["x", 0, 0]]]"#), r#"[["x", 0, 0], ["x", 0, 0]]"#, to_f, "listed twice");
    broken(x() + &flat(r#"[[["x", 0, 0]]]"#), "[]", to_f, "does not name this input");
    broken(x() + &flat(r#"[[["x", 0, 0]]]"#), from_x, "[]", "no output");
    broken(x() + ", " + &x(), from_x, from_x, "two layers have this name");
    let constant = flat(r#"[{"args": [3.0], "kwargs": {}}]"#);
    refused(&functional(&(x() + &constant), from_x, to_f), ErrorKind::Unsupported, "called on 3,");
}

#[test]
fn versions_are_read_from_their_first_number() {
    assert_eq!(KerasVersion::parse(None).unwrap(), KerasVersion(1));
    assert_eq!(KerasVersion::parse(Some("2.2.4-tf")).unwrap(), KerasVersion::TWO);
    assert_eq!(KerasVersion::parse(Some("3.15.1")).unwrap(), KerasVersion::THREE);
    assert_eq!(KerasVersion::parse(Some("4.0")).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(KerasVersion::parse(Some("x")).unwrap_err().kind(), ErrorKind::Format);
}
