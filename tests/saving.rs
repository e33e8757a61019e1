//! A model that is saved and read again predicts the same, in every format and type of weights.
#![cfg(all(feature = "formats", feature = "engine", not(target_arch = "wasm32")))]

mod zoo;

use nearside::{
    Activation, Dtype, Elementwise, Error, ErrorKind, Layer, LayerKind, Model, Plan, Port, Session, Tensor,
    format::{self, Output},
};
use serde_json::{Value, json};

type Object = serde_json::Map<String, Value>;
use zoo::Case;

fn predict(model: Model, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, Error> {
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    Session::from_model(model, Dtype::F32)?.predict_sync(&inputs)
}

fn read(bytes: &[u8], format: Output) -> Result<Model, Error> {
    match format {
        Output::Onnx => format::onnx::read(bytes, &[]),
        _ => format::read(bytes),
    }
}

#[track_caller]
fn check(case: &Case, format: Output, dtype: Dtype, tolerance: f32) {
    let what = format!("{} as {format:?} of {dtype:?}", case.model.name);
    let bytes = format::write(&case.model, format, dtype).unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = read(&bytes, format).unwrap_or_else(|error| panic!("{what}, read again: {error}"));
    let expected = predict(case.model.clone(), &case.inputs).unwrap();
    let got = predict(again, &case.inputs).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(got.len(), expected.len(), "{what}: number of outputs");
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(got.len(), expected.len(), "{what}: output {index}");
        for (a, b) in got.iter().zip(expected) {
            let close = (a - b).abs() <= tolerance * b.abs().max(1.0) || (a.is_nan() && b.is_nan());
            assert!(close, "{what}: output {index}: {a}, before {b}");
        }
    }
}

#[test]
fn containers_hold_every_model() {
    for case in zoo::of_keras().iter().chain(&zoo::of_others()) {
        let bytes = format::write(&case.model, Output::Safetensors, Dtype::F32).unwrap();
        assert_eq!(bytes, format::container::write(&case.model).unwrap());
        assert_eq!(format::read(&bytes).unwrap(), case.model);
        check(case, Output::Safetensors, Dtype::F16, 5e-3);
        check(case, Output::Safetensors, Dtype::Int8, 0.1);
    }
}

#[test]
fn keras_files_hold_every_model_of_keras() {
    for case in zoo::of_keras().into_iter().chain([zoo::words_from_bins()]) {
        for format in [Output::H5, Output::Keras] {
            check(&case, format, Dtype::F32, 1e-5);
            check(&case, format, Dtype::F16, 5e-3);
        }
    }
}

#[test]
fn onnx_files_hold_every_model() {
    for case in zoo::of_keras().iter().chain(&zoo::of_others()) {
        check(case, Output::Onnx, Dtype::F32, 1e-5);
        check(case, Output::Onnx, Dtype::F16, 5e-3);
        check(case, Output::Onnx, Dtype::Int8, 0.1);
    }
}

fn dense(name: &str, activation: Activation) -> Layer {
    let kernel = Tensor::new(vec![2, 2], vec![1.0, 0.0, -3.0, 0.0]).unwrap();
    Layer::new(name, LayerKind::Dense { kernel, bias: None, activation })
}

fn model(layers: Vec<Layer>) -> Model {
    let input = Layer::new("x", LayerKind::Input { shape: vec![2] });
    Model::sequential("m", [vec![input], layers].concat()).unwrap()
}

#[track_caller]
fn refused(model: &Model, format: Output, dtype: Dtype, kind: ErrorKind, message: &str) -> Error {
    let error =
        format::write(model, format, dtype).expect_err("a file that means something else was written");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
    error
}

#[test]
fn a_unit_without_weights_survives_int8() {
    let model = model(vec![dense("d", Activation::LINEAR)]);
    for format in [Output::Safetensors, Output::Onnx] {
        let bytes = format::write(&model, format, Dtype::Int8).unwrap();
        let got = predict(read(&bytes, format).unwrap(), &[vec![1.0, 1.0]]).unwrap();
        assert_eq!(got[0][1], 0.0, "{format:?}");
        assert!((got[0][0] + 2.0).abs() < 0.02, "{format:?}");
    }
}

#[test]
fn int8_is_refused_where_there_is_none() {
    let model = model(vec![dense("d", Activation::LINEAR)]);
    for format in [Output::H5, Output::Keras] {
        refused(&model, format, Dtype::Int8, ErrorKind::Unsupported, "'onnx' or 'safetensors'");
    }
}

#[test]
fn what_keras_has_not_is_refused_with_its_layer() {
    let celu = Activation::Elementwise(Elementwise::Celu { alpha: 0.5 });
    for format in [Output::H5, Output::Keras] {
        let error =
            refused(&model(vec![dense("d", celu)]), format, Dtype::F32, ErrorKind::Unsupported, "'celu'");
        assert_eq!(error.context().layer.as_deref(), Some("d"));
        for case in zoo::of_others() {
            refused(&case.model, format, Dtype::F32, ErrorKind::Unsupported, "'safetensors'");
        }
    }
}

#[test]
fn numbers_that_a_file_cannot_hold_are_refused() {
    let infinite = LayerKind::Rescaling {
        scale: Tensor::new(vec![1], vec![f32::INFINITY]).unwrap(),
        offset: Tensor::new(vec![1], vec![0.0]).unwrap(),
    };
    let rescaling = model(vec![Layer::new("r", infinite)]);
    for format in [Output::H5, Output::Keras] {
        let error = refused(&rescaling, format, Dtype::F32, ErrorKind::Value, "infinite");
        assert_eq!(error.context().layer.as_deref(), Some("r"));
    }
    let kernel = Tensor::new(vec![2, 1], vec![1e6, f32::NAN]).unwrap();
    let large = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
    let large = model(vec![Layer::new("d", large)]);
    for (dtype, message) in [(Dtype::F16, "65504"), (Dtype::Int8, "not a number")] {
        for format in [Output::Safetensors, Output::Onnx] {
            let error = refused(&large, format, dtype, ErrorKind::Value, message);
            assert_eq!(error.context().layer.as_deref(), Some("d"));
            assert_eq!(error.context().tensor.as_deref(), Some("kernel"));
        }
    }
}

#[test]
fn a_scale_that_would_have_another_tensors_name_is_refused() {
    let one = || Tensor::new(vec![1], vec![1.0]).unwrap();
    let rescaling = Layer::new("d/kernel", LayerKind::Rescaling { scale: one(), offset: one() });
    let model = model(vec![dense("d", Activation::LINEAR), rescaling]);
    refused(&model, Output::Safetensors, Dtype::Int8, ErrorKind::Unsupported, "another layer has the name");
}

#[test]
fn long_lists_of_layers_are_split_as_keras_splits_them() {
    let name = |index: usize| format!("{}{index:04}", "n".repeat(100));
    let layers = (0..1000).map(|index| dense(&name(index), Activation::LINEAR)).collect();
    let model = model(layers);
    let bytes = format::write(&model, Output::H5, Dtype::F32).unwrap();
    assert!(bytes.windows(12).any(|window| window == b"layer_names1"));
    assert_eq!(format::read(&bytes).unwrap(), model);
}

/// Leaves every model in every format where `tests/python/roundtrip.py` looks for them: only the tools that the formats
/// belong to can say that the files are theirs.
#[test]
fn files_are_left_for_other_tools_to_judge() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/saved");
    let _ = std::fs::remove_dir_all(folder);
    let of_others = zoo::of_others().into_iter();
    for case in zoo::of_keras().into_iter().chain([zoo::words_from_bins()]).chain(of_others) {
        let name = case.model.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        leave(&case, &format!("{folder}/{name}"));
    }
}

fn leave(case: &Case, folder: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let (mut outputs, mut refused) = (Object::new(), Object::new());
    for (dtype_name, dtype) in [("f32", Dtype::F32), ("f16", Dtype::F16), ("int8", Dtype::Int8)] {
        for format in ["safetensors", "h5", "keras", "onnx"] {
            let file = format!("{dtype_name}.{format}");
            match format::write(&case.model, Output::from_name(format).unwrap(), dtype) {
                Ok(bytes) => std::fs::write(format!("{folder}/{file}"), bytes).unwrap(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    refused.insert(file, error.to_string().into());
                }
            }
        }
        let kept = format::write(&case.model, Output::Safetensors, dtype).unwrap();
        let answers = predict(format::read(&kept).unwrap(), &case.inputs).unwrap();
        let ports = Plan::compile(&case.model).unwrap().outputs;
        let tensors: Vec<_> =
            ports.iter().zip(&answers).map(|(port, data)| tensor(case, port, data)).collect();
        outputs.insert(dtype_name.to_string(), tensors.into());
    }
    let ports = Plan::compile(&case.model).unwrap().inputs;
    let inputs: Vec<_> =
        ports.iter().zip(&case.inputs).map(|(port, data)| tensor(case, port, data)).collect();
    let facts = json!({ "inputs": inputs, "outputs": outputs, "refused": refused });
    std::fs::write(format!("{folder}/case.json"), facts.to_string()).unwrap();
}

fn tensor(case: &Case, port: &Port, data: &[f32]) -> Value {
    let rows = case.model.batched.then_some(zoo::ROWS);
    let shape: Vec<usize> = rows.into_iter().chain(port.shape.iter().copied()).collect();
    assert!(data.iter().all(|value| value.is_finite()), "JSON has no other numbers");
    json!({ "name": port.name, "shape": shape, "data": data, "classes": port.classes.as_ref().map(|classes| &classes.names) })
}
