//! A model that is saved and read again predicts the same, in every format and type of weights.
#![cfg(all(feature = "formats", feature = "engine", not(target_arch = "wasm32")))]

mod zoo;

use nearside::{
    Activation, Elementwise, Error, ErrorKind, Layer, LayerKind, Model, Session, Tensor,
    format::{self, Output, container::Dtype},
};
use zoo::Case;

fn predict(model: Model, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, Error> {
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    Session::from_model(model)?.predict_sync(&inputs)
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
fn h5_files_hold_every_model_of_keras() {
    for case in zoo::of_keras().into_iter().chain([zoo::words_from_bins()]) {
        check(&case, Output::H5, Dtype::F32, 1e-5);
        check(&case, Output::H5, Dtype::F16, 5e-3);
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
