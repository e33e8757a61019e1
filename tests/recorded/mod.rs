//! What Keras answered, and whether a session and the specification answer the same.

use nearside::{
    Dtype, Model, Plan, Session,
    backend::Device,
    cpu::scalar,
    gpu::{GpuContext, GpuExecutor},
};
use npyz::npz::NpzArchive;
use std::io::Cursor;

/// Fails unless every output of the model is within `tolerance · max(1, |y|)` of what the `.io.npz` holds.
pub async fn compare(what: &str, model: Model, npz: Vec<u8>, device: Device, tolerance: f32) {
    let mut recorded = NpzArchive::new(Cursor::new(npz)).unwrap();
    let inputs: Vec<usize> = model.input_nodes().collect();
    let given = arrays(&mut recorded, "in", &names(&model, &inputs));
    let outputs = names(&model, &model.outputs);
    let expected = arrays(&mut recorded, "out", &outputs);
    let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
    let plan = Plan::compile(&model).unwrap();
    let samples = samples(&model, given[0]);
    let specified = scalar::run(&plan, &given, samples).unwrap();
    check(&format!("{what} as specified"), &outputs, &specified, &expected, tolerance);
    let answers = match device {
        Device::Cpu => Session::from_model(model, Dtype::F32).unwrap().predict_sync(&given).unwrap(),
        Device::Gpu => {
            let context = GpuContext::shared().await.unwrap();
            let executor = GpuExecutor::prepare(context, &model, &plan, Dtype::F32).await.unwrap();
            executor.run(&given, samples).await.unwrap()
        }
    };
    check(&format!("{what} on {device:?}"), &outputs, &answers, &expected, tolerance);
}

/// How many samples the model's first input is given.
fn samples(model: &Model, given: &[f32]) -> usize {
    let shape = &model.shapes().unwrap()[model.input_nodes().next().unwrap()];
    if model.batched { given.len() / shape.iter().product::<usize>() } else { 1 }
}

fn check(what: &str, outputs: &[String], answers: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32) {
    assert_eq!(answers.len(), expected.len(), "{what}: number of outputs");
    for ((name, answer), expected) in outputs.iter().zip(answers).zip(expected) {
        assert!(!expected.is_empty(), "{what}: {name}: nothing to compare");
        assert_eq!(answer.len(), expected.len(), "{what}: {name}: number of values");
        for (index, (a, b)) in answer.iter().zip(expected).enumerate() {
            // False for NaN, so that fails too.
            let close = (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(close, "{what}: {name}[{index}]: {a}, Keras has {b}");
        }
    }
}

fn names(model: &Model, nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|&node| model.node_name(node).to_string()).collect()
}

/// The arrays `KIND:NAME`; where there is only one, its name is empty.
fn arrays(recorded: &mut NpzArchive<Cursor<Vec<u8>>>, kind: &str, names: &[String]) -> Vec<Vec<f32>> {
    let read = |name: &String| {
        let name = format!("{kind}:{}", if names.len() == 1 { "" } else { name });
        let array = recorded.by_name(&name).unwrap().unwrap_or_else(|| panic!("no array '{name}'"));
        array.into_vec().unwrap()
    };
    names.iter().map(read).collect()
}
