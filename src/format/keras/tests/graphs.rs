//! Models in models, functions called like layers, and architectures that ask for more than any machine holds.

use super::*;

/// A functional model that is called as often as `calls` lists.
fn model_called(name: &str, layers: &str, output: &str, calls: &str) -> String {
    format!(
        r#"{{"class_name": "Functional", "name": "{name}", "inbound_nodes": {calls}, "config": {{"name": "{name}",
           "layers": [{layers}], "input_layers": ["x", 0, 0], "output_layers": ["{output}", 0, 0]}}}}"#
    )
}

#[test]
fn models_in_models_are_told_apart_by_their_paths() {
    let dense = |name: &str, node: &str| called("Dense", name, r#", "units": 4"#, node);
    let inner = input("x") + &dense("d", r#"[[["x", 0, 0]]]"#);
    let inner = model_called("inner", &inner, "d", r#"[[["x", 0, 0]], [["d", 0, 0]]]"#);
    let layers = input("x") + ", " + &inner + &dense("d", r#"[[["inner", 0, 0]]]"#);
    // Keras 3 counts the calls of functional models from 1 where they are outputs, and from 0 where they are inputs.
    let config = functional(&layers, r#"["x", 0, 0]"#, r#"[["d", 0, 0], ["inner", 2, 0], ["inner", 1, 0]]"#);
    let mut asked = Vec::new();
    let model = read(&config).unwrap().build(&mut |layer, shapes| {
        asked.push((layer.path.clone(), layer.names.clone()));
        shapes.iter().map(|shape| zeros(shape)).collect()
    });
    let names = vec!["kernel", "bias"];
    assert_eq!(asked, [(vec!["inner".into(), "d".into()], names.clone()), (vec!["d".to_string()], names)]);
    let model = model.unwrap();
    let called: Vec<&str> = (0..model.nodes.len()).map(|node| model.node_name(node)).collect();
    assert_eq!((called, &model.outputs), (vec!["x", "inner/d", "d", "inner/d"], &vec![2, 3, 1]));
}

#[test]
fn models_that_multiply_end_in_an_error() {
    // Each calls the next one twice: 2³⁰ calls of the innermost.
    let mut layers = input("x") + &called("Flatten", "f", "", r#"[[["x", 0, 0]]]"#);
    let mut output = "f";
    for _ in 0..30 {
        layers = input("x") + ", " + &model_called("m", &layers, output, r#"[[["x", 0, 0]], [["m", 0, 0]]]"#);
        output = "m";
    }
    let config = functional(&layers, r#"["x", 0, 0]"#, r#"["m", 1, 0]"#);
    refused(&config, ErrorKind::Unsupported, "more than 131072 inputs");
    // And 100 of them in one another, which is more than the parser goes down.
    for _ in 0..100 {
        layers = input("x") + ", " + &model_called("m", &layers, "m", r#"[[["x", 0, 0]]]"#);
    }
    refused(&functional(&layers, r#"["x", 0, 0]"#, r#"["m", 1, 0]"#), ErrorKind::Format, "JSON");
}

#[test]
fn sizes_that_no_machine_has_end_in_an_error() {
    let after = |class, config, kind, message| refused(&after_input(class, config), kind, message);
    after("RepeatVector", r#""n": 1000000000"#, ErrorKind::Unsupported, "repeats 1000000000 times");
    after("Dense", r#""units": 9223372036854775807"#, ErrorKind::Format, "a whole number is needed");
    after(
        "Reshape",
        r#""target_shape": [4503599627370496, 4503599627370496]"#,
        ErrorKind::Shape,
        "addressed",
    );
    let ones = vec!["1"; 40].join(", ");
    after("Reshape", &format!(r#""target_shape": [{ones}, 4]"#), ErrorKind::Unsupported, "41 axes");
    let many: String = (0..2)
        .map(|i| called("RepeatVector", &format!("r{i}"), r#", "n": 1000000"#, r#"[[["x", 0, 0]]]"#))
        .collect();
    let config = functional(&(input("x") + &many), r#"["x", 0, 0]"#, r#"[["r0", 0, 0], ["r1", 0, 0]]"#);
    refused(&config, ErrorKind::Unsupported, "repetitions of more than");
    let long = "y".repeat(2000);
    let named = after_input("Flatten", "").replace(r#""y""#, &format!(r#""{long}""#));
    refused(&named, ErrorKind::Unsupported, "name has 2000 bytes");
}

#[test]
fn options_that_fit_no_input_name_the_layer() {
    let after = |class: &str, config: &str, kind, message: &str| {
        let error = refused(&after_input(class, config), kind, message);
        assert_eq!(error.context().layer.as_deref(), Some("y"));
    };
    after("Softmax", r#""axis": 2"#, ErrorKind::Shape, "axis 2 of an input with 2 axes");
    after("Softmax", r#""axis": [1, -1]"#, ErrorKind::Format, "listed twice");
    after("BatchNormalization", r#""renorm": true"#, ErrorKind::Unsupported, "renorm");
    after("BatchNormalization", r#""axis": [1, 1]"#, ErrorKind::Format, "listed twice");
    after("GroupNormalization", r#""groups": 3"#, ErrorKind::Shape, "4 channels in 3 groups");
    after("GroupNormalization", r#""groups": 0"#, ErrorKind::Shape, "4 channels in 0 groups");
    after("LayerNormalization", r#""axis": []"#, ErrorKind::Unsupported, "normalizes along 0 axes");
    after("Permute", r#""dims": [2, 1]"#, ErrorKind::Shape, "no order of the axes");
    after("Permute", r#""dims": [0]"#, ErrorKind::Format, "'dims' has the batch");
    after("Reshape", r#""target_shape": [3, -1]"#, ErrorKind::Shape, "cannot be reshaped");
    after("Reshape", r#""target_shape": [-1, -1]"#, ErrorKind::Format, "more than one -1");
    after("PReLU", r#""shared_axes": [0]"#, ErrorKind::Format, "'shared_axes' has the batch");
    after("Normalization", r#""mean": 1.0"#, ErrorKind::Format, "one of 'mean' and 'variance'");
    let both = r#""mean": [1, 2], "variance": [1, 2]"#;
    after("Normalization", both, ErrorKind::Unsupported, "moments of shape [2] for axes of lengths [4]");
    after("Rescaling", r#""scale": [1, [2]]"#, ErrorKind::Format, "a list of numbers is needed");
    after("Discretization", r#""bin_boundaries": [1, 0]"#, ErrorKind::Format, "not in ascending order");
    after(
        "Discretization",
        r#""num_bins": 4"#,
        ErrorKind::Unsupported,
        "bin_boundaries=layer.bin_boundaries",
    );
    after(
        "CategoryEncoding",
        r#""num_tokens": 3, "output_mode": "tf_idf""#,
        ErrorKind::Unsupported,
        "tf_idf",
    );
    after("Subtract", "", ErrorKind::Format, "takes two inputs, 1 given");
    after("Dot", r#""axes": [1, 2, 3]"#, ErrorKind::Format, "neither an axis nor two");
    for class in ["Masking", "Lambda", "LSTM", "Conv2D", "StringLookup", "IntegerLookup", "TimeDistributed"] {
        after(class, "", ErrorKind::Unsupported, &format!("{class} layers are not supported"));
    }
    let function = r#""function": "math.multiply""#;
    after("TFOpLambda", function, ErrorKind::Unsupported, "TFOpLambda layers (math.multiply)");
}

#[test]
fn operations_that_are_not_supported_are_named_where_they_matter() {
    let operation = |class: &str, arguments: &str| {
        format!(
            r#", {{"class_name": "{class}", "module": "keras.src.ops.numpy", "registered_name": "{class}",
               "name": "o", "config": {{"name": "o"}}, "inbound_nodes": [{{"args": [{arguments}], "kwargs": {{}}}}]}}"#
        )
    };
    let x = r#"{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}"#;
    let with = |class: &str, arguments: &str, output: &str| {
        functional(&(input("x") + &operation(class, arguments)), r#"["x", 0, 0]"#, output)
    };
    let (of_o, of_x) = (r#"["o", 0, 0]"#, r#"["x", 0, 0]"#);
    let unknown = refused(&with("Arctan", x, of_o), ErrorKind::Unsupported, "the operation 'Arctan'");
    assert_eq!(unknown.context().layer.as_deref(), Some("o"));
    // Keras records how it makes a mask that nobody looks at.
    assert_eq!(build(&with("NotEqual", &format!("{x}, 0"), of_x)).unwrap().layers.len(), 1);
    let refused = |class, arguments: &str, message| {
        refused(&with(class, arguments, of_o), ErrorKind::Unsupported, message);
    };
    refused("Add", &format!(r#"{x}, "one""#), "called on \"one\", which is no number");
    refused("Add", "1, 2", "constants alone");
    refused(
        "Add",
        &format!("{x}, [[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]]"),
        "a constant of shape [1, 2, 4]",
    );
    refused("GetItem", &format!("{x}, [0]"), "only slices and positions");
}

#[test]
fn numbers_that_fit_no_type_are_refused() {
    let rescaling = |scale: &str| after_input("Rescaling", &format!(r#""scale": {scale}"#));
    refused(&rescaling("1e300"), ErrorKind::Format, "'scale'");
    refused(&rescaling("true"), ErrorKind::Format, "'scale'");
    refused(&after_input("ReLU", r#""max_value": 1e300"#), ErrorKind::Format, "'max_value'");
}

#[test]
fn an_architecture_alone_has_to_tell_its_keras() {
    let named = |shape: &str| {
        format!(
            r#"[{{"class_name": "Dense", "config": {{"name": "d", "trainable": true, "units": 2,
               "activation": "hard_sigmoid", "{shape}": [null, 4]}}}}]"#
        )
    };
    let activation = |config: &str| {
        let mut zeros = |_: &architecture::LayerWeights, shapes: &[Vec<usize>]| {
            shapes.iter().map(|shape| zeros(shape)).collect::<Result<Vec<_>>>()
        };
        let model = architecture::read(config, None)?.build(&mut zeros)?;
        Ok::<_, Error>(model.layers[1].kind.activation().unwrap())
    };
    let slope = |slope| Activation::Elementwise(Elementwise::HardSigmoid { slope, offset: 0.5 });
    assert_eq!(activation(&named("batch_input_shape")), Ok(slope(0.2)));
    assert_eq!(activation(&named("batch_shape")), Ok(slope(1.0 / 6.0)));
    let wrapped = format!(
        r#"{{"class_name": "Sequential", "config": {}, "keras_version": "2.15.0"}}"#,
        named("batch_shape")
    );
    assert_eq!(activation(&wrapped), Ok(slope(0.2)));
    let error = activation(&named("input_shape")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("model.to_json()"), "{error}");
}

#[test]
fn arithmetic_that_wraps_around_in_keras_is_refused() {
    let x = r#"{"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}"#;
    let of = |dtype: &str, class: &str, arguments: &str| {
        let input = format!(
            r#"{{"class_name": "InputLayer", "name": "x", "inbound_nodes": [],
               "config": {{"name": "x", "batch_shape": [null, 4], "dtype": "{dtype}"}}}}"#
        );
        let operation = format!(
            r#", {{"class_name": "{class}", "module": "keras.src.ops.numpy", "name": "o",
               "config": {{"name": "o"}}, "inbound_nodes": [{{"args": [{arguments}], "kwargs": {{}}}}]}}"#
        );
        functional(&(input + &operation), r#"["x", 0, 0]"#, r#"["o", 0, 0]"#)
    };
    for (dtype, class, argument) in [("uint8", "Add", x), ("bool", "Add", x), ("uint8", "Multiply", "2")] {
        refused(&of(dtype, class, &format!("{x}, {argument}")), ErrorKind::Unsupported, "in their type");
    }
    for (dtype, class, argument) in [
        ("float32", "Add", x),
        ("int32", "Add", x),
        ("uint8", "Multiply", "0.5"),
        ("uint8", "Multiply", r#"{"class_name": "__numpy__", "config": {"value": [2], "dtype": "float32"}}"#),
        ("uint8", "TrueDivide", "255"),
        ("uint8", "Maximum", x),
        ("bool", "LogicalAnd", x),
    ] {
        build(&of(dtype, class, &format!("{x}, {argument}"))).unwrap();
    }
}
