//! Training on a GPU does what training on the CPU does, which tests/training.rs holds against Keras.
#![cfg(all(feature = "formats", feature = "train", feature = "gpu", not(target_arch = "wasm32")))]

use nearside::{
    Activation, Compiled, Elementwise, Error, ErrorKind, LayerKind, Loss, Model, Optimizer, Rowwise, format,
    format::json::Value,
    gpu::GpuContext,
    train::{GpuTrainer, Trainer, build},
};
use npyz::npz::NpzArchive;
use pollster::block_on;
use serde_json::json;
use std::rc::Rc;

fn open() -> Rc<GpuContext> {
    block_on(GpuContext::shared()).expect(
        "these tests need a GPU adapter, and a software one will do: apt-get install mesa-vulkan-drivers",
    )
}

fn value(value: serde_json::Value) -> Value {
    Value::parse(value.to_string().as_bytes(), "a test").unwrap()
}

fn compiled(optimizer: serde_json::Value, losses: Vec<Loss>) -> Compiled {
    Compiled {
        optimizer: Optimizer::from_value(value(optimizer)).unwrap(),
        loss_weights: vec![1.0; losses.len()],
        metrics: losses.iter().map(|_| vec![]).collect(),
        losses,
        state: None,
    }
}

/// Gradient descent whose updates are the gradients.
fn plain() -> serde_json::Value {
    json!({ "class_name": "SGD", "config": { "learning_rate": 1.0 } })
}

/// A model of layers as `build` takes them, one behind the other.
fn sequential(inputs: usize, layers: &[serde_json::Value]) -> Model {
    let mut all = vec![json!({ "name": "x", "type": "InputLayer", "shape": [inputs] })];
    all.extend_from_slice(layers);
    let node =
        |index: usize| json!({ "layer": index, "inputs": if index == 0 { vec![] } else { vec![index - 1] } });
    let nodes: Vec<_> = (0..all.len()).map(node).collect();
    graph(json!({ "name": "m", "outputs": [all.len() - 1], "layers": all, "nodes": nodes }))
}

fn graph(spec: serde_json::Value) -> Model {
    build(&spec.to_string(), 7).unwrap()
}

fn dense(name: &str, units: usize, activation: &str) -> serde_json::Value {
    json!({ "name": name, "type": "Dense", "units": units, "activation": activation })
}

/// Numbers around 0 that repeat only after a while.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// A batch: inputs, targets, and perhaps the samples' weights.
type Data = (Vec<Vec<f32>>, Vec<Vec<f32>>, Option<Vec<f32>>);

fn slices(arrays: &[Vec<f32>]) -> Vec<&[f32]> {
    arrays.iter().map(Vec::as_slice).collect()
}

fn write(trainer: &mut Trainer, data: &Data) -> usize {
    trainer.write(&slices(&data.0), &slices(&data.1), data.2.as_deref()).unwrap()
}

fn weights(model: &Model) -> Vec<(String, Vec<f32>)> {
    let layers = model.layers.iter();
    let all = layers.flat_map(|layer| {
        let of = |(name, tensor): (&str, &nearside::Tensor)| {
            (format!("{}/{name}", layer.name), tensor.data().to_vec())
        };
        layer.kind.weights().into_iter().map(of).collect::<Vec<_>>()
    });
    all.collect()
}

fn on_gpu(model: Model, seed: u64) -> Result<GpuTrainer, Error> {
    block_on(GpuTrainer::new(open(), Trainer::new(model, seed).unwrap()))
}

/// Trains on both for a step on each of the batches: losses and the sums of the updates are the same to 1e-4.
fn compare(what: &str, model: Model, with: Compiled, batches: &[Data]) {
    let mut model = model;
    model.compiled = Some(Box::new(with));
    let before = weights(&model);
    let mut cpu = Trainer::new(model.clone(), 3).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut gpu = on_gpu(model, 3).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (mut expected, mut found) = (vec![], vec![]);
    for data in batches {
        let samples = write(&mut cpu, data);
        expected.push(cpu.step(samples).unwrap_or_else(|error| panic!("{what}: {error}")));
        let samples = write(gpu.trainer(), data);
        found.extend(block_on(gpu.step(samples)).unwrap_or_else(|error| panic!("{what}: {error}")));
    }
    found.extend(block_on(gpu.finish()).unwrap_or_else(|error| panic!("{what}: {error}")));
    assert_eq!(expected.len(), found.len(), "{what}");
    for (own, wanted) in found.iter().zip(&expected) {
        assert!((own - wanted).abs() <= 1e-4 * wanted.abs().max(1e-2), "{what}: loss {own}, {wanted} wanted");
    }
    let results = |trainer: &Trainer| trainer.results().into_iter().map(|(_, value)| value.as_f64());
    for (own, wanted) in results(gpu.trainer()).zip(results(&cpu)) {
        let (own, wanted) = (own.unwrap(), wanted.unwrap());
        assert!((own - wanted).abs() <= 1e-4 * wanted.abs().max(1e-2), "{what}: {own}, {wanted} wanted");
    }
    let (cpu, gpu) = (cpu.model().unwrap(), gpu.trainer().model().unwrap());
    let mut compared = 0;
    for (((name, before), (_, expected)), (_, found)) in before.iter().zip(weights(&cpu)).zip(weights(&gpu)) {
        let size = expected.iter().zip(before).map(|(new, old)| (new - old).abs()).fold(1e-3f32, f32::max);
        for (own, wanted) in found.iter().zip(&expected) {
            // A NaN is as far as can be.
            assert!(
                (own - wanted).abs() <= 1e-4 * size,
                "{what}: {name}: {own}, {wanted} wanted, updates of {size}"
            );
            compared += 1;
        }
    }
    assert!(compared > 0, "{what}: nothing compared");
    assert_eq!(
        cpu.compiled.unwrap().state.unwrap().iterations,
        gpu.compiled.unwrap().state.unwrap().iterations
    );
}

fn one(x: Vec<f32>, y: Vec<f32>) -> Data {
    (vec![x], vec![y], None)
}

#[test]
fn the_losses_of_fifty_steps_are_kerass() {
    let folder = format!("{}/tests/fixtures/training", env!("CARGO_MANIFEST_DIR"));
    let mut data = NpzArchive::open(format!("{folder}/curves/data.npz")).unwrap();
    let mut array = |name| -> Vec<f32> { data.by_name(name).unwrap().unwrap().into_vec().unwrap() };
    let (x, y) = (array("x"), array("y"));
    let text = std::fs::read_to_string(format!("{folder}/curves.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut followed = vec![];
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let start = std::fs::read(format!("{folder}/curves/{}", case["start"].as_str().unwrap())).unwrap();
        let mut model = format::read(&start).unwrap();
        let mut config = case["optimizer"].clone();
        let class = config.as_object_mut().unwrap().remove("class_name").unwrap();
        let optimizer = json!({ "class_name": class, "config": config });
        let losses = vec![Loss::SparseCategoricalCrossentropy { from_logits: false }];
        model.compiled = Some(Box::new(compiled(optimizer, losses)));
        let mut gpu = match on_gpu(model, 1) {
            Ok(gpu) => gpu,
            Err(error) => {
                assert!(name.contains("clip") || name.contains("centered"), "{name}: {error}");
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                continue;
            }
        };
        let mut losses = vec![];
        for step in 0..50 {
            let at = step % 10 * 16;
            let labels = &y[at..at + 16];
            let weight =
                |label: &f32| case["class_weight"][format!("{label}")].as_f64().unwrap_or(1.0) as f32;
            let weights: Option<Vec<f32>> =
                case["class_weight"].is_object().then(|| labels.iter().map(weight).collect());
            let inputs = &x[at * 12..(at + 16) * 12];
            let samples = gpu.trainer().write(&[inputs], &[labels], weights.as_deref()).unwrap();
            losses.extend(block_on(gpu.step(samples)).unwrap());
        }
        losses.extend(block_on(gpu.finish()).unwrap());
        assert_eq!(losses.len(), 50);
        let expected = case["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap());
        let mut worst = 0.0f64;
        for (step, (loss, expected)) in losses.iter().zip(expected).enumerate() {
            let apart = (loss - expected).abs() / expected.abs();
            assert!(apart <= 1e-4, "{name}: step {step}: loss {loss}, Keras has {expected}");
            worst = worst.max(apart);
        }
        println!("{name}: at most {worst:.1e} from Keras's");
        followed.push(name.to_string());
    }
    for name in [
        "sgd",
        "momentum",
        "nesterov",
        "adam",
        "adam_amsgrad",
        "adamw",
        "rmsprop",
        "adagrad",
        "adam_clipvalue",
        "adam_l2",
    ] {
        assert!(followed.iter().any(|own| own == name), "{name} was not trained");
    }
}

#[test]
fn products_at_awkward_sizes() {
    for (rows, inputs, units) in [
        (1, 1, 1),
        (3, 17, 1),
        (17, 3, 65),
        (65, 129, 17),
        (129, 65, 129),
        (1, 129, 3),
        (129, 1, 65),
        (64, 64, 64),
    ] {
        let model = sequential(inputs, &[dense("a", units, "tanh"), dense("b", 3, "linear")]);
        let data = one(numbers(rows * inputs, 1), numbers(rows * 3, 2));
        let what = format!("{rows} rows of {inputs} by {units}");
        compare(&what, model, compiled(plain(), vec![Loss::MeanSquaredError]), &[data]);
    }
}

#[test]
fn every_activation() {
    let (alpha, threshold, slope, offset) = (0.7, 0.5, 0.2, 0.5);
    let functions = [
        Elementwise::Linear,
        Elementwise::RELU,
        Elementwise::Relu { max_value: Some(0.6), negative_slope: 0.1, threshold: 0.3 },
        Elementwise::Elu { alpha },
        Elementwise::Celu { alpha },
        Elementwise::Selu,
        Elementwise::Gelu,
        Elementwise::GeluTanh,
        Elementwise::Sigmoid,
        Elementwise::HardSigmoid { slope, offset },
        Elementwise::Silu,
        Elementwise::HardSilu,
        Elementwise::Tanh,
        Elementwise::HardTanh,
        Elementwise::TanhShrink,
        Elementwise::HardShrink { threshold },
        Elementwise::SoftShrink { threshold },
        Elementwise::Threshold { threshold, value: -0.4 },
        Elementwise::Softplus,
        Elementwise::Squareplus { b: 4.0 },
        Elementwise::Softsign,
        Elementwise::LogSigmoid,
        Elementwise::Mish,
        Elementwise::SparsePlus,
        Elementwise::SparseSigmoid,
        Elementwise::Exponential,
        Elementwise::Clip { min: -0.5, max: 0.4 },
        Elementwise::Absolute,
        Elementwise::Negative,
        Elementwise::Log,
        Elementwise::SquareRoot,
        Elementwise::Reciprocal,
        Elementwise::Sign,
        Elementwise::Floor,
        Elementwise::Ceiling,
        Elementwise::Round,
        Elementwise::Truncate,
        Elementwise::Erf,
    ];
    let rows = [Rowwise::Softmax, Rowwise::LogSoftmax].map(Activation::Rowwise);
    for function in functions.map(Activation::Elementwise).into_iter().chain(rows) {
        let layer = |name: &str| json!({ "name": name, "type": "Activation", "activation": "linear" });
        let layers = [dense("a", 19, "linear"), layer("domain"), layer("f"), dense("b", 2, "linear")];
        let mut model = sequential(5, &layers);
        if let Activation::Elementwise(Elementwise::Log | Elementwise::SquareRoot | Elementwise::Reciprocal) =
            function
        {
            model.layers[2].kind = LayerKind::Activation(Activation::Elementwise(Elementwise::Softplus));
        }
        model.layers[3].kind = LayerKind::Activation(function);
        let data = one(numbers(33 * 5, 1), numbers(33 * 2, 2));
        compare(&format!("{function:?}"), model, compiled(plain(), vec![Loss::MeanSquaredError]), &[data]);
    }
}

#[test]
fn a_wide_softmax_in_the_middle() {
    for width in [1, 31, 70, 300] {
        let model = sequential(5, &[dense("a", width, "softmax"), dense("b", 2, "linear")]);
        let data = one(numbers(9 * 5, 1), numbers(9 * 2, 2));
        compare(
            &format!("softmax of {width}"),
            model,
            compiled(plain(), vec![Loss::MeanSquaredError]),
            &[data],
        );
    }
}

#[test]
fn every_loss() {
    let (samples, width) = (23, 6);
    let losses = [
        (Loss::MeanSquaredError, "linear", "any"),
        (Loss::MeanAbsoluteError, "linear", "any"),
        (Loss::MeanAbsolutePercentageError, "linear", "any"),
        (Loss::MeanSquaredLogarithmicError, "softplus", "positive"),
        (Loss::Huber { delta: 0.5 }, "linear", "any"),
        (Loss::LogCosh, "linear", "any"),
        (Loss::Poisson, "softplus", "positive"),
        (Loss::Hinge, "linear", "signs"),
        (Loss::Hinge, "linear", "bits"),
        (Loss::SquaredHinge, "linear", "bits"),
        (Loss::BinaryCrossentropy { from_logits: true, label_smoothing: 0.1 }, "linear", "bits"),
        (Loss::BinaryCrossentropy { from_logits: false, label_smoothing: 0.1 }, "sigmoid", "bits"),
        (Loss::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 }, "hard_sigmoid", "bits"),
        (Loss::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 }, "linear", "positive"),
        (Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.2 }, "softmax", "bits"),
        (Loss::SparseCategoricalCrossentropy { from_logits: true }, "linear", "classes"),
        (Loss::SparseCategoricalCrossentropy { from_logits: false }, "softmax", "classes"),
        (Loss::KlDivergence, "softmax", "positive"),
    ];
    for (loss, activation, kind) in losses {
        let target = |(i, x): (usize, f32)| match kind {
            "positive" => 0.1 + x.abs(),
            "signs" => x.signum(),
            "bits" => f32::from(x > 0.3),
            "classes" => (i * 5 % width) as f32,
            _ => x + 0.01f32.copysign(x),
        };
        let count = if kind == "classes" { samples } else { samples * width };
        let y: Vec<f32> = numbers(count, 2).into_iter().enumerate().map(target).collect();
        let weights = (0..samples).map(|i| 0.3 + (i % 4) as f32).collect();
        for weights in [None, Some(weights)] {
            let model = sequential(4, &[dense("a", 9, "tanh"), dense("b", width, activation)]);
            let mut with = compiled(plain(), vec![loss]);
            with.loss_weights = vec![0.7];
            let data = (vec![numbers(samples * 4, 1)], vec![y.clone()], weights);
            compare(&format!("{loss:?} of {activation}"), model, with, &[data]);
        }
    }
}

#[test]
fn batches_of_several_sizes_and_metrics() {
    let model = sequential(4, &[dense("a", 9, "relu"), dense("b", 3, "softmax")]);
    for optimizer in ["sgd", "adam", "rmsprop"] {
        let mut with =
            compiled(optimizer.into(), vec![Loss::SparseCategoricalCrossentropy { from_logits: false }]);
        with.metrics = vec![vec!["accuracy".into()]];
        let batches: Vec<Data> = [8, 20, 3, 20, 64, 1, 8]
            .into_iter()
            .enumerate()
            .map(|(seed, rows)| {
                one(numbers(rows * 4, seed), (0..rows).map(|i| ((i + seed) % 3) as f32).collect())
            })
            .collect();
        compare(optimizer, model.clone(), with, &batches);
    }
}

#[test]
fn dropout_and_noise_are_drawn_as_on_the_cpu() {
    for layer in [
        json!({ "name": "n", "type": "Dropout", "rate": 0.3 }),
        json!({ "name": "n", "type": "GaussianNoise", "stddev": 0.5 }),
        json!({ "name": "n", "type": "GaussianDropout", "rate": 0.5 }),
        json!({ "name": "n", "type": "AlphaDropout", "rate": 0.5 }),
    ] {
        let model = sequential(6, &[dense("a", 21, "relu"), layer.clone(), dense("b", 2, "linear")]);
        let batches: Vec<Data> =
            (0..5).map(|seed| one(numbers(11 * 6, seed), numbers(11 * 2, seed + 9))).collect();
        let with = compiled("sgd".into(), vec![Loss::MeanSquaredError]);
        compare(&layer.to_string(), model, with, &batches);
    }
}

#[test]
fn graphs_whose_gradients_meet() {
    // A layer that is called twice, a value that is read twice, two outputs of which one is weighted.
    let model = graph(json!({
        "name": "m",
        "layers": [
            { "name": "x", "type": "InputLayer", "shape": [7] },
            dense("shared", 7, "tanh"),
            { "name": "sum", "type": "Combine", "op": "add" },
            { "name": "product", "type": "Combine", "op": "multiply" },
            { "name": "larger", "type": "Combine", "op": "maximum" },
            dense("one", 2, "linear"),
            dense("two", 3, "softmax"),
        ],
        "nodes": [
            { "layer": 0, "inputs": [] },
            { "layer": 1, "inputs": [0] },
            { "layer": 1, "inputs": [1] },
            { "layer": 2, "inputs": [1, 2] },
            { "layer": 3, "inputs": [3, 1] },
            { "layer": 4, "inputs": [4, 2] },
            { "layer": 5, "inputs": [5] },
            { "layer": 6, "inputs": [3] },
        ],
        "outputs": [6, 7],
    }));
    let losses = vec![
        Loss::MeanSquaredError,
        Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 },
    ];
    let mut with = compiled("sgd".into(), losses);
    with.loss_weights = vec![0.5, 2.0];
    let bits = |seed| numbers(13 * 3, seed).into_iter().map(|x| f32::from(x > 0.5)).collect();
    let batches: Vec<Data> = (0..4)
        .map(|seed| (vec![numbers(13 * 7, seed)], vec![numbers(13 * 2, seed + 5), bits(seed + 8)], None))
        .collect();
    compare("graph", model, with, &batches);
}

#[test]
fn layers_over_the_last_of_several_axes_and_frozen_ones() {
    let layers = [
        json!({ "name": "as_rows", "type": "Reshape", "shape": [3, 4] }),
        json!({ "name": "a", "type": "Dense", "units": 5, "activation": "relu", "trainable": false }),
        json!({ "name": "b", "type": "Dense", "units": 6, "activation": "softmax", "use_bias": false,
                "kernel_regularizer": { "l1": 0.01, "l2": 0.02 } }),
    ];
    let model = sequential(12, &layers);
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    let data = (vec![numbers(10 * 12, 1)], vec![(0..30).map(|i| (i % 6) as f32).collect()], None);
    let batches = [data.clone(), data];
    compare("rows", model, compiled("sgd".into(), vec![loss]), &batches);
}

#[test]
fn what_has_no_kernel_is_refused() {
    let refused = |layers: &[serde_json::Value], optimizer: serde_json::Value, loss: Loss| {
        let mut model = sequential(4, layers);
        model.compiled = Some(Box::new(compiled(optimizer, vec![loss])));
        let error = on_gpu(model, 1).err().expect("it is refused");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("train it on the CPU"), "{error}");
        error
    };
    let (out, mse) = (dense("out", 3, "linear"), Loss::MeanSquaredError);
    let norm = |kind: &str, more: serde_json::Value| {
        let mut layer = json!({ "name": "norm", "type": kind, "epsilon": 1e-3 });
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        layer
    };
    let norms =
        [norm("BatchNormalization", json!({ "momentum": 0.9 })), norm("LayerNormalization", json!({}))];
    for layer in norms {
        let error = refused(&[dense("a", 3, "relu"), layer, out.clone()], "sgd".into(), mse);
        assert_eq!(error.context().layer.as_deref(), Some("norm"), "{error}");
    }
    for option in ["clipnorm", "global_clipnorm"] {
        let optimizer = json!({ "class_name": "Adam", "config": { option: 1.0 } });
        let error = refused(std::slice::from_ref(&out), optimizer, mse);
        assert!(error.to_string().contains(option), "{error}");
    }
    for (option, on) in [("centered", json!(true)), ("momentum", json!(0.9))] {
        let optimizer = json!({ "class_name": "RMSprop", "config": { option: on } });
        assert!(refused(std::slice::from_ref(&out), optimizer, mse).to_string().contains(option));
    }
    for loss in [
        Loss::CosineSimilarity,
        Loss::CategoricalHinge,
        Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 },
        Loss::SparseCategoricalCrossentropy { from_logits: false },
    ] {
        let error = refused(std::slice::from_ref(&out), "sgd".into(), loss);
        assert!(error.to_string().contains(loss.name()), "{error}");
    }
}

/// Two classes by the sign of the first value.
fn small(context: Rc<GpuContext>) -> GpuTrainer {
    let mut model = sequential(3, &[dense("hidden", 8, "relu"), dense("out", 2, "softmax")]);
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    model.compiled = Some(Box::new(compiled("adam".into(), vec![loss])));
    block_on(GpuTrainer::new(context, Trainer::new(model, 1).unwrap())).unwrap()
}

const X: [f32; 12] = [1.0, 0.3, -0.5, -1.0, 0.2, 0.4, 0.7, -0.6, 0.1, -0.8, -0.1, 0.9];
const Y: [f32; 4] = [1.0, 0.0, 1.0, 0.0];

fn step(gpu: &mut GpuTrainer, x: &[f32], y: &[f32]) -> Result<Option<f64>, Error> {
    let samples = gpu.trainer().write(&[x], &[y], None).unwrap();
    block_on(gpu.step(samples))
}

#[test]
fn losses_come_three_steps_later() {
    let mut gpu = small(open());
    let come: Vec<bool> = (0..6).map(|_| step(&mut gpu, &X, &Y).unwrap().is_some()).collect();
    assert_eq!(come, [false, false, false, true, true, true]);
    assert_eq!(block_on(gpu.finish()).unwrap().len(), 3);
    assert_eq!(block_on(gpu.loss()), Ok(None));
}

#[test]
fn what_is_not_finite_ends_the_training_and_changes_nothing() {
    let mut bad = X;
    bad[4] = f32::NAN;
    let huge = X.map(|x| x * 1e38);
    for x in [&bad[..], &huge[..]] {
        let mut gpu = small(open());
        for _ in 0..4 {
            step(&mut gpu, &X, &Y).unwrap();
        }
        block_on(gpu.finish()).unwrap();
        let before = gpu.trainer().model().unwrap();
        // The error may come with the steps behind it, which change nothing either.
        let error = step(&mut gpu, x, &Y)
            .and_then(|_| step(&mut gpu, &X, &Y))
            .and_then(|_| block_on(gpu.finish()))
            .unwrap_err();
        let mut cpu = Trainer::new(before.clone(), 1).unwrap();
        let samples = cpu.write(&[x], &[&Y], None).unwrap();
        assert_eq!(error, cpu.step(samples).unwrap_err());
        assert_eq!(step(&mut gpu, &X, &Y), Err(error));
        block_on(gpu.keep()).unwrap();
        assert_eq!(gpu.trainer().model().unwrap(), before);
    }
}

#[test]
fn a_target_that_is_not_finite_is_told() {
    let mut model = sequential(3, &[dense("out", 1, "linear")]);
    model.compiled = Some(Box::new(compiled("sgd".into(), vec![Loss::MeanSquaredError])));
    let mut gpu = on_gpu(model, 1).unwrap();
    let error =
        step(&mut gpu, &X, &[1.0, f32::INFINITY, 0.0, 0.0]).and_then(|_| block_on(gpu.finish())).unwrap_err();
    assert!(error.to_string().contains("targets"), "{error}");
}

#[test]
fn a_batch_that_does_not_fit_may_be_put_right() {
    let mut gpu = small(open());
    let error = step(&mut gpu, &X, &[0.0, 1.0, 2.0, 0.0]).unwrap_err();
    assert!(error.to_string().contains("label 2 of sample 2"), "{error}");
    step(&mut gpu, &X, &Y).unwrap();
    assert_eq!(block_on(gpu.finish()).unwrap().len(), 1);
}

#[test]
fn a_lost_device_costs_what_was_not_kept() {
    let context = block_on(GpuContext::open()).unwrap();
    let mut gpu = small(context.clone());
    for _ in 0..5 {
        step(&mut gpu, &X, &Y).unwrap();
    }
    block_on(gpu.finish()).unwrap();
    let kept = gpu.trainer().model().unwrap();
    step(&mut gpu, &X, &Y).unwrap();
    context.destroy();
    let error = step(&mut gpu, &X, &Y).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    assert!(error.to_string().contains("after 5 steps"), "{error}");
    assert_eq!(block_on(gpu.keep()).unwrap_err().kind(), ErrorKind::Device);
    // The CPU goes on.
    let mut trainer = gpu.into_trainer();
    assert_eq!(trainer.model().unwrap(), kept);
    let samples = trainer.write(&[&X], &[&Y], None).unwrap();
    trainer.step(samples).unwrap();
    assert_eq!(trainer.model().unwrap().compiled.unwrap().state.unwrap().iterations, 6);
}

#[test]
fn a_device_that_is_lost_while_steps_are_in_flight_is_told() {
    let context = block_on(GpuContext::open()).unwrap();
    let mut gpu = small(context.clone());
    for _ in 0..3 {
        step(&mut gpu, &X, &Y).unwrap();
    }
    context.destroy();
    assert_eq!(block_on(gpu.finish()).unwrap_err().kind(), ErrorKind::Device);
}

#[test]
fn training_may_go_from_cpu_to_gpu_and_back() {
    let mut model = sequential(3, &[dense("hidden", 8, "relu"), dense("out", 2, "softmax")]);
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    model.compiled = Some(Box::new(compiled("adam".into(), vec![loss])));
    let on_cpu = |trainer: &mut Trainer, losses: &mut Vec<f64>| {
        for _ in 0..5 {
            let samples = trainer.write(&[&X], &[&Y], None).unwrap();
            losses.push(trainer.step(samples).unwrap());
        }
    };
    let (mut expected, mut found) = (vec![], vec![]);
    let mut whole = Trainer::new(model.clone(), 1).unwrap();
    (0..3).for_each(|_| on_cpu(&mut whole, &mut expected));
    let mut trainer = Trainer::new(model, 1).unwrap();
    on_cpu(&mut trainer, &mut found);
    let mut gpu = block_on(GpuTrainer::new(open(), trainer)).unwrap();
    for _ in 0..5 {
        found.extend(step(&mut gpu, &X, &Y).unwrap());
    }
    found.extend(block_on(gpu.finish()).unwrap());
    on_cpu(&mut gpu.into_trainer(), &mut found);
    assert_eq!(found.len(), expected.len());
    for (own, wanted) in found.iter().zip(&expected) {
        assert!((own - wanted).abs() <= 1e-4 * wanted, "{own}, {wanted} wanted");
    }
}
