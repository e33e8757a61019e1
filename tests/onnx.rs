//! ONNX files give what ONNX's own tests, onnxruntime and scikit-learn say they give.
#![cfg(all(feature = "formats", feature = "engine", not(target_arch = "wasm32")))]

mod archive;
mod recorded;
#[allow(dead_code, reason = "parts of it are for other tests")]
mod zoo;

use archive::{Case, bytes, cases};
use nearside::{
    Dtype, Error, ErrorKind, Model, Plan, Port, Result,
    backend::Device,
    cpu::{CpuExecutor, scalar},
    format::{self, container, onnx},
    gpu::{GpuContext, GpuExecutor},
};
use std::panic::catch_unwind;

/// What the model answers by the specification, by the CPU's kernels and by the GPU's.
fn answers(model: &Model, plan: &Plan, inputs: &[&[f32]]) -> Result<[Vec<Vec<f32>>; 3]> {
    let rows = match plan.inputs.first() {
        Some(port) if model.batched => inputs[0].len() / port.width(),
        _ => 1,
    };
    let scalar = scalar::run(plan, inputs, rows)?;
    let cpu = CpuExecutor::prepare(model, plan, Dtype::F32)?.run(inputs, rows)?;
    let gpu = pollster::block_on(async {
        let context = GpuContext::shared().await?;
        GpuExecutor::prepare(context, model, plan, Dtype::F32).await?.run(inputs, rows).await
    })?;
    Ok([scalar, cpu, gpu])
}

/// Error allowed of each of these answers, in proportion to the output's largest value.
const TOLERANCES: [f32; 3] = [1e-5, 1e-5, 1e-4];

/// The first value that is further off than allowed, or not NaN where it should be.
fn difference(got: &[f32], want: &[f32], tolerance: f32) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, {} expected", got.len(), want.len()));
    }
    let finite = want.iter().map(|x| x.abs()).filter(|x| x.is_finite());
    let scale = finite.fold(0.0, f32::max);
    let wrong = got.iter().zip(want).position(|(a, b)| {
        let close = (a - b).abs() <= tolerance * scale;
        !(close || a == b || (a.is_nan() && b.is_nan()))
    });
    wrong.map(|i| format!("value {i} is {}, {} expected", got[i], want[i]))
}

/// What is wrong with one output of a model.
fn check_output(case: &Case, port: &Port, got: &[f32], tolerance: f32) -> Option<String> {
    let names = port.classes.as_ref().map(|classes| &classes.names[..]).unwrap_or_default();
    if let Some(text) = case.text("text", &port.name) {
        let got: Vec<&str> = got.iter().map(|&index| names[index as usize].as_str()).collect();
        return (got != text).then(|| format!("{got:?}, {text:?} expected"));
    }
    if let Some(text) = case.text("names", &port.name).filter(|text| text != names) {
        return Some(format!("classes {names:?}, {text:?} expected"));
    }
    match case.array("out", &port.name) {
        Some(want) => difference(got, want, tolerance),
        None => Some("an output that the case lacks".to_string()),
    }
}

/// What is wrong with the answers to a case; an error where there are none.
fn check_case(case: &Case) -> Result<Option<String>> {
    let model = onnx::read(&case.model, &[])?;
    let plan = Plan::compile(&model)?;
    let inputs: Vec<&[f32]> = plan
        .inputs
        .iter()
        .map(|port| case.array("in", &port.name).expect("an input that the case lacks"))
        .collect();
    let kinds = ["out:", "text:"];
    let named = case.arrays.iter().map(|(name, _)| name).chain(case.texts.iter().map(|(name, _)| name));
    let count = named.filter(|name| kinds.iter().any(|kind| name.starts_with(kind))).count();
    if plan.outputs.len() != count {
        return Ok(Some(format!("{} outputs, {count} expected", plan.outputs.len())));
    }
    for (answer, tolerance) in answers(&model, &plan, &inputs)?.into_iter().zip(TOLERANCES) {
        for (port, got) in plan.outputs.iter().zip(&answer) {
            if let Some(wrong) = check_output(case, port, got, tolerance) {
                return Ok(Some(format!("{}: {wrong}", port.name)));
            }
        }
    }
    // What nearside saves of it is the same model.
    let saved = container::read(&container::write(&model)?)?;
    Ok((saved != model).then(|| "another model once saved and read".to_string()))
}

/// Runs all cases: the numbers that pass, are unsupported and are wrong, and what is wrong.
fn run(cases: &[Case]) -> ([usize; 3], Vec<String>) {
    let (mut counts, mut wrong) = ([0; 3], vec![]);
    for case in cases {
        let (kind, message) = match catch_unwind(|| check_case(case)) {
            Ok(Ok(None)) => (0, None),
            Ok(Ok(Some(difference))) => (2, Some(difference)),
            Ok(Err(error)) if error.kind() == ErrorKind::Unsupported => (1, Some(error.to_string())),
            Ok(Err(error)) => (2, Some(error.to_string())),
            Err(_) => (2, Some("panics".to_string())),
        };
        counts[kind] += 1;
        wrong.extend(message.map(|message| format!("{}: {message}", case.name)));
    }
    let [passed, unsupported, bad] = counts;
    println!("{passed} of {} cases pass, {unsupported} are unsupported, {bad} wrong", cases.len());
    (counts, wrong)
}

#[test]
fn onnx_s_own_node_tests_pass() {
    // An archive of more cases may be named.
    let cases = cases(match std::env::var("NEARSIDE_ONNX_CASES") {
        Ok(path) => std::fs::read(path).unwrap(),
        Err(_) => bytes("onnx/node_cases.npz"),
    });
    let (counts, wrong) = run(&cases);
    assert!(counts[0] >= 253 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn graphs_in_the_forms_of_exporters_answer_as_onnxruntime() {
    let mut cases = cases(bytes("onnx/graph_cases.npz"));
    cases.retain(|case| !case.texts.iter().any(|(kind, _)| kind == "error"));
    let (counts, wrong) = run(&cases);
    assert!(counts[0] >= 80 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let mut checked = 0;
    for case in cases(bytes("onnx/graph_cases.npz")) {
        let Some((_, message)) = case.texts.iter().find(|(kind, _)| kind == "error") else { continue };
        let error = onnx::read(&case.model, &[]).expect_err(&case.name);
        assert!(error.to_string().contains(message), "{}: {error}", case.name);
        checked += 1;
    }
    assert!(checked > 30, "{checked} cases");
}

#[test]
fn scikit_learn_s_networks_answer_as_scikit_learn() {
    let (counts, wrong) = run(&cases(bytes("onnx/sklearn_cases.npz")));
    assert!(counts[0] >= 30 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn keras_s_exports_answer_as_keras() {
    let (counts, wrong) = run(&cases(bytes("onnx/keras_cases.npz")));
    assert!(counts[0] >= 20 && wrong.is_empty(), "{wrong:#?}");
}

/// The same as from a container that keeps weights in the same way.
#[test]
fn what_nearside_writes_is_read_again() {
    for case in zoo::of_keras().into_iter().chain(zoo::of_others()) {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Int8] {
            let what = format!("{} as {dtype:?}", case.model.name);
            let sound = |error: Error| -> Model { panic!("{what}: {error}") };
            let kept =
                container::read(&container::write_as(&case.model, dtype).unwrap()).unwrap_or_else(sound);
            let file = format::write(&case.model, format::Output::Onnx, dtype).unwrap();
            let model = onnx::read(&file, &[]).unwrap_or_else(sound);
            assert_eq!(model.batched, kept.batched, "{what}");
            let inputs: Vec<&[f32]> = case.inputs.iter().map(Vec::as_slice).collect();
            let [want, got] = [&kept, &model].map(|model| {
                let plan = Plan::compile(model).unwrap();
                let [answers, ..] = answers(model, &plan, &inputs).unwrap();
                let ports: Vec<_> = plan.outputs.into_iter().map(|port| (port.shape, port.classes)).collect();
                (ports, answers)
            });
            assert_eq!(got.0, want.0, "{what}");
            for (index, (got, want)) in got.1.iter().zip(&want.1).enumerate() {
                assert_eq!(difference(got, want, TOLERANCES[0]), None, "{what}: output {index}");
            }
        }
    }
}

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A model whose one node has a graph within a graph within a graph …
#[test]
fn graphs_nested_without_end_are_refused() {
    let mut graph = Vec::new();
    for _ in 0..20_000 {
        // Type 5 is a graph.
        let attribute = [field(1, b"then_branch"), vec![0xa0, 1, 5], field(6, &graph)].concat();
        let node = [field(2, b"y"), field(4, b"If"), field(5, &attribute)].concat();
        graph = [field(1, &node), field(12, &field(1, b"y"))].concat();
    }
    let opset = field(8, &[0x10, 17]);
    let error = onnx::read(&[vec![8, 8], field(7, &graph), opset].concat(), &[]).unwrap_err();
    assert!(error.to_string().contains("If: the operator is not supported"), "{error}");
}

const FOLDER: &str = "one_model_many_formats";

#[test]
fn data_beside_the_model_is_named_and_read() {
    let file = bytes(&format!("{FOLDER}/o_external.onnx"));
    assert_eq!(onnx::companions(&file).unwrap(), ["o_external.onnx.data"]);
    assert!(onnx::companions(&bytes(&format!("{FOLDER}/keras_export.onnx"))).unwrap().is_empty());
    let data = bytes(&format!("{FOLDER}/o_external.onnx.data"));
    for name in ["o_external.onnx.data", "some/folder/o_external.onnx.data"] {
        let model = onnx::read(&file, &[(name, &data)]).unwrap();
        assert_eq!(model.parameter_count(), 784 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10);
    }
    let refused = |files: &[(&str, &[u8])], message: &str| {
        let error = onnx::read(&file, files).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(message), "{error}");
    };
    refused(&[], "'o_external.onnx.data', which is missing");
    refused(&[("o_external.onnx.data", &data[..data.len() - 1])], "which has 472063 bytes");
    // Which of them is meant?
    refused(&[("a/o_external.onnx.data", &data), ("b/o_external.onnx.data", &data)], "which is missing");
}

#[test]
fn one_model_of_two_exporters_answers_as_keras() {
    let recorded = bytes(&format!("{FOLDER}/io.npz"));
    let data = bytes(&format!("{FOLDER}/o_external.onnx.data"));
    for name in ["keras_export.onnx", "o_external.onnx"] {
        let file = bytes(&format!("{FOLDER}/{name}"));
        let model = format::read_files(&[(name, &file), ("o_external.onnx.data", &data)], None).unwrap();
        pollster::block_on(recorded::compare(name, model, recorded.clone(), Device::Cpu, 1e-5));
    }
    for name in ["pytorch_style", "sklearn_wine"] {
        let model = onnx::read(&bytes(&format!("onnx/{name}.onnx")), &[]).unwrap();
        assert!(model.batched, "{name}");
    }
}

#[test]
fn a_file_is_known_by_its_start() {
    for name in ["onnx/sklearn_wine.onnx", "one_model_many_formats/keras_export.onnx"] {
        let file = bytes(name);
        assert!(
            [file.len(), 4096, 64, 16].iter().all(|&length| onnx::is_onnx(&file[..length.min(file.len())])),
            "{name}"
        );
    }
    // TensorFlow's SavedModel and GraphDef, a container, a zip archive, text, nothing.
    let others: [&[u8]; 7] = [
        b"\x08\x01\x12\x80\x20\x0a",
        b"\x0a\x20\x0a\x01x",
        b"\x08\x00\x00\x00\x00\x00\x00\x00{}",
        b"PK\x03\x04",
        b"{}",
        b"",
        b"\x08",
    ];
    assert!(others.iter().all(|bytes| !onnx::is_onnx(bytes)));
}

#[test]
fn outputs_and_inputs_have_the_file_s_names_and_order() {
    let model = onnx::read(&bytes("onnx/sklearn_wine.onnx"), &[]).unwrap();
    let plan = Plan::compile(&model).unwrap();
    let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan.inputs), ["X"]);
    assert_eq!(names(&plan.outputs), ["label", "probabilities"]);
    assert_eq!(model.parameter_count(), 13 * 24 + 24 + 24 * 12 + 12 + 12 * 3 + 3 + 2 * 13);
}
