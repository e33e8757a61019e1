//! ONNX files give what ONNX's own tests, onnxruntime and scikit-learn say they give.
#![cfg(all(feature = "formats", feature = "engine", not(target_arch = "wasm32")))]

mod archive;

use archive::{Case, bytes, cases};
use nearside::{
    ErrorKind, Model, Plan, Port, Result,
    cpu::{CpuExecutor, scalar},
    format::{container, onnx},
};
use std::panic::catch_unwind;

/// What the model answers, by the specification and by the kernels.
fn answers(model: &Model, plan: &Plan, inputs: &[&[f32]]) -> Result<[Vec<Vec<f32>>; 2]> {
    let rows = match plan.inputs.first() {
        Some(port) if model.batched => inputs[0].len() / port.width(),
        _ => 1,
    };
    let scalar = scalar::run(plan, inputs, rows)?;
    Ok([scalar, CpuExecutor::prepare(model, plan)?.run(inputs, rows)?])
}

/// The first value that is not within 1e-5 of the largest one's size, or equal, or NaN where it should be.
fn difference(got: &[f32], want: &[f32]) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{} values, {} expected", got.len(), want.len()));
    }
    let finite = want.iter().map(|x| x.abs()).filter(|x| x.is_finite());
    let scale = finite.fold(0.0, f32::max);
    let wrong = got.iter().zip(want).position(|(a, b)| {
        let close = (a - b).abs() <= 1e-5 * scale;
        !(close || a == b || (a.is_nan() && b.is_nan()))
    });
    wrong.map(|i| format!("value {i} is {}, {} expected", got[i], want[i]))
}

/// What is wrong with one output of a model.
fn check_output(case: &Case, port: &Port, got: &[f32]) -> Option<String> {
    let names = port.classes.as_ref().map(|classes| &classes.names[..]).unwrap_or_default();
    if let Some(text) = case.text("text", &port.name) {
        let got: Vec<&str> = got.iter().map(|&index| names[index as usize].as_str()).collect();
        return (got != text).then(|| format!("{got:?}, {text:?} expected"));
    }
    if let Some(text) = case.text("names", &port.name).filter(|text| text != names) {
        return Some(format!("classes {names:?}, {text:?} expected"));
    }
    match case.array("out", &port.name) {
        Some(want) => difference(got, want),
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
    for answer in answers(&model, &plan, &inputs)? {
        for (port, got) in plan.outputs.iter().zip(&answer) {
            if let Some(wrong) = check_output(case, port, got) {
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
