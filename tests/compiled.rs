//! What models were compiled with, and what their optimizers remember, in Keras's files. `tests/python/resume.py` lets
//! Keras judge those that are left here.
#![cfg(all(feature = "formats", not(target_arch = "wasm32")))]

use nearside::{
    Compiled, Dtype, Error, ErrorKind, Layer, Model,
    compile::{Clip, Loss, OptimizerState, Rule, Schedule},
    format::{self, Options, Output},
};
use std::{collections::BTreeMap, fs};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/training");

fn bytes(path: &str) -> Vec<u8> {
    fs::read(format!("{FIXTURES}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    format::read_with(&[("", bytes)], &Options { compiled: true, ..Options::default() })
}

fn model(path: &str) -> Model {
    read(&bytes(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file, with its path.
fn all() -> Vec<(String, Model)> {
    let mut all = Vec::new();
    for folder in ["resume", "compiled"] {
        for entry in fs::read_dir(format!("{FIXTURES}/{folder}")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            all.push((path.clone(), model(&path)));
        }
    }
    assert!(all.len() > 20, "fixtures are missing");
    all
}

fn state(model: &Model) -> &OptimizerState {
    model.compiled.as_ref().unwrap().state.as_ref().unwrap()
}

fn layer<'a>(model: &'a Model, name: &str) -> &'a Layer {
    model.layers.iter().find(|layer| layer.name == name).unwrap_or_else(|| panic!("no layer '{name}'"))
}

#[test]
fn is_left_out_unless_it_is_asked_for() {
    for path in ["resume/adam.h5", "resume/adam.keras", "resume/keras2_adam.h5"] {
        let plain = format::read(&bytes(path)).unwrap();
        assert_eq!(plain.compiled, None);
        assert_eq!(plain.layers, model(path).layers);
    }
    // Files of weights, and models that were never compiled, have none.
    for path in ["../nested.h5", "../nested.keras"] {
        assert_eq!(model(path).compiled, None);
    }
}

#[test]
fn slots_have_the_shape_of_their_weights() {
    for (path, model) in all() {
        let rule = model.compiled.as_ref().unwrap().optimizer.rule;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for slot in &state(&model).slots {
            let layer = layer(&model, &slot.layer);
            let weights = layer.kind.weights();
            let (_, weight) = weights.iter().find(|(name, _)| *name == slot.weight).unwrap();
            assert_eq!(slot.value.shape(), weight.shape(), "{path}: {}", slot.layer);
            assert!(layer.trainable, "{path}: {}", slot.layer);
            *found.entry(&slot.name).or_default() += 1;
        }
        let expected: Vec<&str> = rule.slots().to_vec();
        assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
        assert!(expected.iter().all(|name| found[name] == found[expected[0]]), "{path}: {found:?}");
        assert_eq!(state(&model).iterations, if path.starts_with("resume") { 30 } else { 2 }, "{path}");
    }
}

#[test]
fn both_files_of_a_model_say_the_same() {
    for name in [
        "resume/adam",
        "resume/rmsprop_centered",
        "compiled/outputs",
        "compiled/plain",
        "compiled/keras2_plain",
    ] {
        assert_eq!(model(&format!("{name}.h5")), model(&format!("{name}.keras")), "{name}");
    }
}

#[test]
fn is_the_same_in_every_hdf5_dress() {
    let expected = model("../dress.h5").compiled;
    assert!(expected.is_some());
    for entry in fs::read_dir(format!("{FIXTURES}/..")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("dress")
            && name.ends_with(".h5")
            && !name.contains("weights")
            && !name.contains("f16")
        {
            assert_eq!(model(&format!("../{name}")).compiled, expected, "{name}");
        }
    }
}

#[test]
fn saved_models_are_compiled_as_before() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for (path, model) in all() {
        for format in ["h5", "keras", "safetensors"] {
            let written = format::write(&model, Output::from_name(format).unwrap(), Dtype::F32);
            let written = written.unwrap_or_else(|error| panic!("{path} as {format}: {error}"));
            let again = read(&written).unwrap_or_else(|error| panic!("{path} as {format}: {error}"));
            assert_eq!(essence(&again), essence(&model), "{path} as {format}");
            if format != "safetensors" {
                let name = path.rsplit('/').next().unwrap();
                fs::write(format!("{folder}/{name}.{format}"), written).unwrap();
            }
        }
    }
}

/// What the model was compiled with, and its layers with weights: without what hangs on the order of the layers, on the
/// names of those of nested models, and on how a layer of Keras's is made of several.
fn essence(model: &Model) -> (Compiled, BTreeMap<String, Layer>) {
    let name = |name: &str| name.replace('/', "_");
    let mut compiled = model.compiled.as_deref().unwrap().clone();
    let slots = &mut compiled.state.as_mut().unwrap().slots;
    slots.iter_mut().for_each(|slot| slot.layer = name(&slot.layer));
    // A scale by itself is no weight in Keras.
    slots.retain(|slot| !matches!(slot.weight.as_str(), "scale" | "offset"));
    slots.sort_by_key(|slot| (slot.name.clone(), slot.layer.clone(), slot.weight.clone()));
    let layers = model.layers.iter().filter(|layer| !layer.kind.weights().is_empty());
    let layers = layers.filter(|layer| layer.kind.type_name() != "Rescaling");
    let layers = layers.map(|layer| (name(&layer.name), Layer { name: name(&layer.name), ..layer.clone() }));
    (compiled, layers.collect())
}

/// The metrics of each output, by their names or their classes'.
fn metrics(compiled: &Compiled) -> Vec<Vec<String>> {
    let mut names = Vec::new();
    for metrics in &compiled.metrics {
        let of_output = metrics.iter().map(|metric| {
            let class = metric.get("class_name").unwrap_or(metric);
            class.as_str().unwrap().to_string()
        });
        names.push(of_output.collect());
    }
    names
}

#[test]
fn optimizers_losses_and_metrics_are_those_of_the_file() {
    let rule = |path: &str| model(path).compiled.unwrap().optimizer.rule;
    assert!(matches!(rule("resume/sgd_momentum.h5"), Rule::Sgd { momentum: 0.9, nesterov: false }));
    assert!(matches!(rule("resume/keras2_sgd_momentum.h5"), Rule::Sgd { momentum: 0.9, .. }));
    assert!(matches!(rule("resume/adamw.keras"), Rule::Adam { decoupled: true, .. }));
    assert!(matches!(
        rule("resume/rmsprop_centered.h5"),
        Rule::RmsProp { centered: true, momentum: 0.9, .. }
    ));
    let adam = *model("resume/adam.h5").compiled.unwrap();
    assert_eq!(adam.losses, [Loss::SparseCategoricalCrossentropy { from_logits: false }]);
    assert_eq!((&adam.loss_weights[..], metrics(&adam)), (&[1.0][..], vec![vec!["accuracy".to_string()]]));

    for path in ["compiled/outputs.h5", "compiled/outputs.keras"] {
        let outputs = *model(path).compiled.unwrap();
        let smoothed = Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.1 };
        assert_eq!(outputs.losses, [smoothed, Loss::Huber { delta: 1.0 }]);
        assert_eq!(outputs.loss_weights, [0.5, 2.0]);
        let expected = [vec!["accuracy", "TopKCategoricalAccuracy", "mae"], vec!["mse"]];
        assert_eq!(metrics(&outputs), expected);
        let schedule = Schedule::Exponential { initial: 0.01, steps: 10.0, rate: 0.5, staircase: false };
        assert_eq!(outputs.optimizer.learning_rate, schedule);
    }
    for path in ["compiled/keras2_new.h5", "compiled/keras2_legacy.h5"] {
        let compiled = *model(path).compiled.unwrap();
        assert_eq!(compiled.losses.len(), 2);
        assert_eq!(metrics(&compiled), [["accuracy"]; 2]);
    }
    let norms = model("compiled/norms.keras").compiled.unwrap().optimizer;
    assert_eq!(norms.clip, Some(Clip::Norm(1.0)));
    // As the callback left it, not as the model was compiled.
    assert_eq!(
        model("compiled/reduced.keras").compiled.unwrap().optimizer.learning_rate,
        Schedule::Constant(0.125)
    );
}

#[test]
fn layers_say_what_of_them_is_trained_and_penalised() {
    for path in [
        "compiled/outputs.h5",
        "compiled/outputs.keras",
        "compiled/keras2_new.h5",
        "compiled/keras2_legacy.h5",
    ] {
        let model = model(path);
        let untrained = model.layers.iter().filter(|layer| !layer.trainable);
        let untrained: Vec<_> = untrained.map(|layer| layer.name.as_str()).collect();
        assert_eq!(untrained.len(), 2, "{path}: {untrained:?}");
        assert!(untrained.contains(&"fixed") && untrained.contains(&"frozen/still"), "{path}: {untrained:?}");
        let mut penalties = BTreeMap::new();
        for layer in &model.layers {
            for penalty in &layer.penalties {
                penalties.insert(format!("{}/{}", layer.name, penalty.weight), [penalty.l1, penalty.l2]);
            }
        }
        let expected = [
            ("a/bias", [0.0, 0.06]),
            ("b/activity", [0.0, 0.07]),
            ("inner/slope/alpha", [0.01, 0.0]),
            ("normal/beta", [0.05, 0.0]),
            ("normal/gamma", [0.0, 0.04]),
            ("shared/kernel", [0.01, 0.02]),
            ("table/embeddings", [0.0, 0.03]),
        ];
        let expected = expected.map(|(name, factors)| (name.to_string(), factors));
        assert_eq!(penalties, BTreeMap::from(expected), "{path}");
    }
}

#[test]
fn an_optimizer_without_a_step_has_no_state() {
    let mut model = model("resume/adam.keras");
    model.compiled.as_mut().unwrap().state = None;
    for format in [Output::H5, Output::Keras] {
        let bytes = format::write(&model, format, Dtype::F32).unwrap();
        assert_eq!(read(&bytes).unwrap(), model);
    }
}

#[test]
fn a_weight_that_was_not_trained_before_begins_as_keras_begins() {
    let mut model = model("resume/adagrad.keras");
    let state = model.compiled.as_mut().unwrap().state.as_mut().unwrap();
    state.slots.retain(|slot| slot.layer != "second");
    for format in [Output::H5, Output::Keras] {
        let again = read(&format::write(&model, format, Dtype::F32).unwrap()).unwrap();
        let slots = self::state(&again).slots.iter().filter(|slot| slot.layer == "second");
        let values: Vec<f32> = slots.flat_map(|slot| slot.value.data().to_vec()).collect();
        assert!(values.len() > 12 && values.iter().all(|&value| value == 0.1));
    }
}

#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, message: &str) {
    // A prediction needs nothing of it.
    assert!(format::read(bytes).is_ok());
    let error = read(bytes).expect_err("a file that means something else was read");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
}

/// The file with a text in place of another one, of the same length.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn what_nearside_does_not_have_is_named() {
    let file = bytes("resume/adam.h5");
    refused(
        &replaced(&file, "\"Adam\"", "\"Lion\""),
        ErrorKind::Unsupported,
        "the optimizer 'Lion' is not known",
    );
    let loss = replaced(&file, "\"sparse_categorical_crossentropy\"", "\"sparse_categorical_crossentropi\"");
    refused(&loss, ErrorKind::Unsupported, "the loss 'sparse_categorical_crossentropi' is not known");
    let none = replaced(&file, "\"sparse_categorical_crossentropy\"", &format!("{:33}", "null"));
    refused(&none, ErrorKind::Unsupported, "the output 'last' has no loss");
    let option = replaced(&file, "\"jit_compile\"", "\"git_compile\"");
    refused(&option, ErrorKind::Unsupported, "'git_compile'");
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let file = bytes("resume/adam.h5");
    // Another optimizer's number of variables.
    let amsgrad = replaced(&file, "\"amsgrad\": false", "\"amsgrad\": true ");
    refused(&amsgrad, ErrorKind::Format, "12 variables of the optimizer, 18 are needed");
    // A bias's moment where a kernel's should be.
    let bias = replaced(&file, "adam/network_last_kernel_momentum", "adam/network_second_bias_momentum");
    refused(&bias, ErrorKind::Shape, "[12]");
    let kernel = "adam/network_first_kernel_momentum";
    let missing = replaced(&file, kernel, "adam/network_thirst_kernel_moment.");
    refused(&missing, ErrorKind::Format, "optimizer_weights/adam/network_thirst");
    let elsewhere = replaced(&file, kernel, "adan/network_first_kernel_momentum");
    refused(&elsewhere, ErrorKind::Format, "adan");
}

#[test]
fn damage_is_an_error_wherever_it_is() {
    for path in ["resume/adam.h5", "compiled/keras2_legacy.h5"] {
        let file = bytes(path);
        for end in (0..file.len()).step_by(file.len() / 100) {
            assert!(read(&file[..end]).is_err(), "{path}: {end} bytes of it");
        }
        let mut refused = 0;
        for at in (0..file.len()).step_by(101) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            // Some of the bytes are values, and some mean nothing.
            refused += usize::from(read(&damaged).is_err());
        }
        assert!(refused > 20, "{path}: {refused}");
    }
}
