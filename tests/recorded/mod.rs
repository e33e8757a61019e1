//! What Keras answered, and whether a session answers the same.

use nearside::{Model, Session, backend::DeviceKind};
use npyz::npz::NpzArchive;
use std::io::Cursor;

/// Fails unless every output of the model is within `tolerance · max(1, |y|)` of what the `.io.npz` holds.
pub async fn compare(what: &str, model: Model, npz: Vec<u8>, device: DeviceKind, tolerance: f32) {
    let mut recorded = NpzArchive::new(Cursor::new(npz)).unwrap();
    let inputs: Vec<usize> = model.input_nodes().collect();
    let given = arrays(&mut recorded, "in", &names(&model, &inputs));
    let outputs = names(&model, &model.outputs);
    let expected = arrays(&mut recorded, "out", &outputs);
    let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
    let answers = Session::from_model(model).unwrap().predict(&given, Some(device)).await.unwrap();
    assert_eq!(answers.len(), expected.len(), "{what}: number of outputs");
    for ((name, answer), expected) in outputs.iter().zip(&answers).zip(&expected) {
        assert!(!expected.is_empty(), "{what}: {name}: nothing to compare");
        assert_eq!(answer.len(), expected.len(), "{what}: {name}: number of values");
        for (index, (a, b)) in answer.iter().zip(expected).enumerate() {
            // False for NaN, so that fails too.
            let close = (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(close, "{what} on {device:?}: {name}[{index}]: {a}, Keras has {b}");
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
