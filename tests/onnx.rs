//! ONNX files give what ONNX's own tests, onnxruntime and scikit-learn say they give.
#![cfg(all(feature = "formats", feature = "engine", not(target_arch = "wasm32")))]

use nearside::{
    ErrorKind, Model, Plan, Result,
    cpu::{CpuExecutor, scalar},
    format::onnx,
};
use npyz::npz::NpzArchive;
use std::{io::Cursor, panic::catch_unwind};

type Archive = NpzArchive<Cursor<Vec<u8>>>;

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn array<T: npyz::Deserialize>(archive: &mut Archive, name: &str) -> Vec<T> {
    archive.by_name(name).unwrap().unwrap_or_else(|| panic!("no array '{name}'")).into_vec().unwrap()
}

fn names(model: &Model, nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|&node| model.node_name(node).to_string()).collect()
}

/// What the model answers, by the specification and by the kernels.
fn answers(model: &Model, inputs: &[&[f32]]) -> Result<[Vec<Vec<f32>>; 2]> {
    let plan = Plan::compile(model)?;
    let rows = match plan.inputs.first() {
        Some(port) if model.batched => inputs[0].len() / port.width(),
        _ => 1,
    };
    let scalar = scalar::run(&plan, inputs, rows)?;
    Ok([scalar, CpuExecutor::prepare(model, &plan)?.run(inputs, rows)?])
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

/// A case of ONNX's own node tests: named inputs and outputs.
struct Case {
    name: String,
    model: Vec<u8>,
    arrays: Vec<(String, Vec<f32>)>,
}

/// The archive that `make_onnx_node_cases.py` describes; another one than ours, with all cases, may be named.
fn node_cases() -> Vec<Case> {
    let archive = match std::env::var("NEARSIDE_ONNX_CASES") {
        Ok(path) => std::fs::read(path).unwrap(),
        Err(_) => bytes("onnx/node_cases.npz"),
    };
    let mut archive = NpzArchive::new(Cursor::new(archive)).unwrap();
    let text = String::from_utf8(array(&mut archive, "cases")).unwrap();
    let models: Vec<u8> = array(&mut archive, "models");
    let values: Vec<f32> = array(&mut archive, "values");
    let (mut models, mut values) = (&models[..], &values[..]);
    let read = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (model, rest) = models.split_at(fields[1].parse().unwrap());
        models = rest;
        let arrays = fields[2..].chunks(2).map(|pair| {
            let (array, rest) = values.split_at(pair[1].parse().unwrap());
            values = rest;
            (pair[0].to_string(), array.to_vec())
        });
        Case { name: fields[0].to_string(), model: model.to_vec(), arrays: arrays.collect() }
    };
    text.lines().map(read).collect()
}

/// What is wrong with the answers to a case; an error where there are none.
fn check_case(case: &Case) -> Result<Option<String>> {
    let model = onnx::read(&case.model, &[])?;
    let find = |name: String| {
        let found = case.arrays.iter().find(|(own, _)| *own == name);
        &found.unwrap_or_else(|| panic!("no array '{name}'")).1[..]
    };
    let inputs: Vec<usize> = model.input_nodes().collect();
    let inputs: Vec<&[f32]> =
        names(&model, &inputs).into_iter().map(|name| find(format!("in:{name}"))).collect();
    let outputs = names(&model, &model.outputs);
    let count = case.arrays.iter().filter(|(name, _)| name.starts_with("out:")).count();
    if outputs.len() != count {
        return Ok(Some(format!("{} outputs, {count} expected", outputs.len())));
    }
    for got in answers(&model, &inputs)? {
        for (name, got) in outputs.iter().zip(&got) {
            if let Some(wrong) = difference(got, find(format!("out:{name}"))) {
                return Ok(Some(format!("{name}: {wrong}")));
            }
        }
    }
    Ok(None)
}

#[test]
fn onnx_s_own_node_tests_pass() {
    let cases = node_cases();
    let (mut passed, mut unsupported, mut wrong) = (0, vec![], vec![]);
    for case in &cases {
        match catch_unwind(|| check_case(case)) {
            Ok(Ok(None)) => passed += 1,
            Ok(Ok(Some(difference))) => wrong.push(format!("{}: {difference}", case.name)),
            Ok(Err(error)) if error.kind() == ErrorKind::Unsupported => {
                unsupported.push(format!("{}: {error}", case.name));
            }
            Ok(Err(error)) => wrong.push(format!("{}: {error}", case.name)),
            Err(_) => wrong.push(format!("{}: panics", case.name)),
        }
    }
    println!("{passed} of {} pass, {} unsupported, {} wrong", cases.len(), unsupported.len(), wrong.len());
    assert!(cases.len() >= 253, "{} cases", cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unsupported.is_empty(), "{unsupported:#?}");
}
