//! Training does what Keras's does: gradients, the losses of many steps, metrics. The fixtures are made by
//! tests/python/training.py.
#![cfg(all(feature = "formats", feature = "train", not(target_arch = "wasm32")))]

use nearside::{
    Compiled, ErrorKind, Loss, Model, Optimizer, Tensor,
    format::{self, json::Value},
    train::{Trainer, build},
};
use npyz::npz::NpzArchive;
use serde_json::json;
use std::{fs::File, io::BufReader};

type Archive = NpzArchive<BufReader<File>>;

fn folder() -> String {
    format!("{}/tests/fixtures/training", env!("CARGO_MANIFEST_DIR"))
}

fn json(name: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(format!("{}/{name}.json", folder())).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty(), "{name}: no cases");
    cases
}

fn value(value: &serde_json::Value) -> Value {
    Value::parse(value.to_string().as_bytes(), "a fixture").unwrap()
}

fn model(name: &str) -> Model {
    format::read(&std::fs::read(format!("{}/{name}", folder())).unwrap())
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn archive(name: &str) -> Archive {
    NpzArchive::open(format!("{}/{name}.npz", folder())).unwrap()
}

fn array(archive: &mut Archive, name: &str) -> Option<Vec<f32>> {
    archive.by_name(name).unwrap().map(|array| array.into_vec().unwrap())
}

/// `x`, or `x_0`, `x_1` and so on.
fn arrays(archive: &mut Archive, name: &str) -> Vec<Vec<f32>> {
    if let Some(one) = array(archive, name) {
        return vec![one];
    }
    (0..).map_while(|index| array(archive, &format!("{name}_{index}"))).collect()
}

fn slices(arrays: &[Vec<f32>]) -> Vec<&[f32]> {
    arrays.iter().map(Vec::as_slice).collect()
}

fn compiled(optimizer: &str, losses: Vec<Loss>) -> Option<Box<Compiled>> {
    let optimizer = Optimizer::from_value(optimizer.into()).unwrap();
    let metrics = losses.iter().map(|_| vec![]).collect();
    Some(Box::new(Compiled {
        optimizer,
        loss_weights: vec![1.0; losses.len()],
        losses,
        metrics,
        state: None,
    }))
}

/// `{ name, from_logits, … }` as `{ class_name, config }`.
fn loss(config: &serde_json::Value) -> Loss {
    let mut config = config.clone();
    let name = config.as_object_mut().unwrap().remove("name").unwrap();
    Loss::from_value(value(&json!({ "class_name": name, "config": config }))).unwrap()
}

/// The largest difference, in proportion to the largest expected value.
fn distance(own: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(own.len(), expected.len(), "{own:?} {expected:?}");
    assert!(!own.is_empty());
    let size = expected.iter().fold(0.0f32, |most, x| most.max(x.abs())).max(1e-3);
    // A NaN is as far as can be.
    let apart = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    own.iter().zip(expected).map(apart).fold(0.0, f32::max) / size
}

#[test]
fn gradients_are_kerass() {
    let mut worst: f32 = 0.0;
    for case in json("gradients") {
        let name = case["name"].as_str().unwrap();

        let mut recorded = archive(&format!("gradients/{name}"));
        let mut model = model(&format!("gradients/{}", case["model"].as_str().unwrap()));
        let losses: Vec<Loss> = case["loss"].as_array().unwrap().iter().map(loss).collect();
        let mut with = compiled("sgd", losses).unwrap();
        if let Some(weights) = case["loss_weights"].as_array() {
            with.loss_weights = weights.iter().map(|weight| weight.as_f64().unwrap()).collect();
        }
        model.compiled = Some(with);
        let mut trainer = Trainer::new(model, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        trainer.want_input_gradients();
        let (x, y) = (arrays(&mut recorded, "x"), arrays(&mut recorded, "y"));
        let weights = array(&mut recorded, "sample_weight");
        let samples = trainer
            .write(&slices(&x), &slices(&y), weights.as_deref())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (loss, gradients) = trainer
            .differentiate(samples, case["training"] == true)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = array(&mut recorded, "loss").unwrap()[0];
        assert!(
            (loss as f32 - expected).abs() <= 1e-5 * expected.abs().max(1.0),
            "{name}: loss {loss}, Keras has {expected}"
        );
        let names: Vec<String> = recorded.array_names().map(str::to_string).collect();
        let mut left: Vec<&String> = names.iter().filter(|name| name.starts_with("grad")).collect();
        let mut inputs = 0;
        for gradient in &gradients {
            let key = match gradient.weight {
                Some("scale") if gradient.layer == "group" => "grad/group/gamma".to_string(),
                Some("offset") => "grad/group/beta".to_string(),
                // Where a layer became several, their names go on behind a slash.
                Some(weight) => format!("grad/{}/{weight}", gradient.layer.split('/').next().unwrap()),
                None if x.len() == 1 => "grad_x".to_string(),
                None => {
                    inputs += 1;
                    format!("grad_x_{}", inputs - 1)
                }
            };
            let expected = array(&mut recorded, &key).unwrap_or_else(|| panic!("{name}: Keras has no {key}"));
            let apart = distance(gradient.value.data(), &expected);
            assert!(
                apart <= 1e-4,
                "{name}: {key} is {apart} from Keras's: {:?} {expected:?}",
                gradient.value.data()
            );
            worst = worst.max(apart);
            left.retain(|name| **name != key);
        }
        assert!(left.is_empty(), "{name}: not computed: {left:?}");
        let after = trainer.model().unwrap();
        for key in names.iter().filter(|name| name.starts_with("after/")) {
            let [_, layer, weight] = key.split('/').collect::<Vec<_>>()[..] else { panic!("{key}") };
            let layers = after.layers.iter().filter(|own| own.name.split('/').next() == Some(layer));
            let own =
                layers.flat_map(|own| own.kind.weights()).find(|(own, _)| *own == weight).unwrap().1.clone();
            let apart = distance(own.data(), &array(&mut recorded, key).unwrap());
            assert!(apart <= 1e-4, "{name}: {key} is {apart} from Keras's");
        }
    }
    println!("gradients: at most {worst} from Keras's");
}

#[test]
fn the_losses_of_two_hundred_steps_are_kerass() {
    let mut data = archive("curves/data");
    let (x, y) = (array(&mut data, "x").unwrap(), array(&mut data, "y").unwrap());
    for case in json("curves") {
        let name = case["name"].as_str().unwrap();
        let mut model = model(&format!("curves/{}", case["start"].as_str().unwrap()));
        let losses = vec![Loss::SparseCategoricalCrossentropy { from_logits: false }];
        let config = json!({ "class_name": case["optimizer"]["class_name"], "config": case["optimizer"] });
        let mut config = config;
        config["config"].as_object_mut().unwrap().remove("class_name");
        let optimizer =
            Optimizer::from_value(value(&config)).unwrap_or_else(|error| panic!("{name}: {error}"));
        model.compiled = Some(Box::new(Compiled { optimizer, ..*compiled("sgd", losses).unwrap() }));
        let mut trainer = Trainer::new(model, 1).unwrap();
        let mut worst: f64 = 0.0;
        for (step, expected) in case["losses"].as_array().unwrap().iter().enumerate() {
            let at = step % 10 * 16;
            let labels = &y[at..at + 16];
            // A class that is not named weighs 1.
            let weight =
                |label: &f32| case["class_weight"][format!("{label}")].as_f64().unwrap_or(1.0) as f32;
            let weights: Option<Vec<f32>> =
                case["class_weight"].is_object().then(|| labels.iter().map(weight).collect());
            let samples =
                trainer.write(&[&x[at * 12..(at + 16) * 12]], &[labels], weights.as_deref()).unwrap();
            let loss = trainer.step(samples).unwrap();
            let expected = expected.as_f64().unwrap();
            let apart = (loss - expected).abs() / expected.abs();
            assert!(apart <= 1e-4, "{name}: step {step}: loss {loss}, Keras has {expected}");
            worst = worst.max(apart);
        }
        println!("{name}: at most {worst:.1e} from Keras's");
    }
}

#[test]
fn metrics_are_kerass() {
    fn flat(value: &serde_json::Value, into: &mut Vec<f32>) {
        match value {
            serde_json::Value::Array(list) => list.iter().for_each(|item| flat(item, into)),
            number => into.push(number.as_f64().unwrap() as f32),
        }
    }
    let numbers = |value: &serde_json::Value| {
        let mut list = vec![];
        flat(value, &mut list);
        list
    };
    let mut compared = 0;
    for case in json("metrics") {
        let (name, config) = (&case["name"], &case["config"]);
        let (p, y) = (numbers(&case["y_pred"]), numbers(&case["y_true"]));
        let samples = case["y_pred"].as_array().unwrap().len();
        let (last, width) = (p.len() / samples, y.len() / samples);
        // A model that predicts what it is given.
        let spec = format!(
            r#"{{"name":"m","layers":[{{"name":"x","type":"InputLayer","shape":[{last}]}},
            {{"name":"d","type":"Dense","units":{last},"use_bias":false}}],
            "nodes":[{{"layer":0,"inputs":[]}},{{"layer":1,"inputs":[0]}}],"outputs":[1]}}"#
        );
        let mut model = build(&spec, 1).unwrap();
        let identity = (0..last * last).map(|i| if i % (last + 1) == 0 { 1.0 } else { 0.0 }).collect();
        if let nearside::LayerKind::Dense { kernel, .. } = &mut model.layers[1].kind {
            *kernel = Tensor::new(vec![last, last], identity).unwrap();
        }
        let sparse = width == 1 && last > 1;
        let own = if sparse {
            Loss::SparseCategoricalCrossentropy { from_logits: true }
        } else {
            Loss::MeanSquaredError
        };
        let mut with = compiled("sgd", vec![own]).unwrap();
        with.metrics = vec![vec![value(&json!({ "class_name": name, "config": config }))]];
        model.compiled = Some(with);
        let trainer = Trainer::new(model, 1);
        let unknown = ["multi_label", "top_k", "class_aggregation", "num_regressors"];
        let idle = [json!("uniform_average"), json!(0), json!(false)];
        let other = |option: &&str| config.get(option).is_some_and(|value| !idle.contains(value));
        if unknown.iter().any(other) || (name == "AUC" && config["thresholds"].is_array()) {
            assert_eq!(
                trainer.err().map(|error| error.kind()),
                Some(ErrorKind::Unsupported),
                "{name} {config}"
            );
            continue;
        }
        let mut trainer = trainer.unwrap_or_else(|error| panic!("{case}: {error}"));
        compared += 1;
        let weights = case["sample_weight"].is_array().then(|| numbers(&case["sample_weight"]));
        // In two batches, unless it says others.
        let batches = case["batches"]
            .as_array()
            .map(|sizes| sizes.iter().map(|size| size.as_u64().unwrap() as usize).collect());
        let mut start = 0;
        for size in batches.unwrap_or(vec![samples / 2, samples - samples / 2]) {
            let range = start..start + size;
            start += size;
            let weights = weights.as_ref().map(|weights| &weights[range.clone()]);
            let p = &p[range.start * last..range.end * last];
            let samples =
                trainer.write(&[p], &[&y[range.start * width..range.end * width]], weights).unwrap();
            trainer.evaluate(samples).unwrap();
        }
        let result = trainer.results()[1].1.to_text();
        let result = numbers(&serde_json::from_str(&result).unwrap());
        let expected = numbers(&case["result"]);
        let apart = distance(&result, &expected);
        assert!(apart <= 1e-4, "{name} {config}: {result:?}, Keras has {expected:?}");
    }
    assert!(compared > 80, "{compared} metrics compared");
}

/// Two classes by the sign of the first value.
fn small(optimizer: &str, extra: &str) -> Trainer {
    let spec = format!(
        r#"{{"name":"m","layers":[{{"name":"x","type":"InputLayer","shape":[3]}},
        {{"name":"hidden","type":"Dense","units":8,"activation":"relu"{extra}}},
        {{"name":"out","type":"Dense","units":2,"activation":"softmax"}}],
        "nodes":[{{"layer":0,"inputs":[]}},{{"layer":1,"inputs":[0]}},{{"layer":2,"inputs":[1]}}],"outputs":[2]}}"#
    );
    let mut model = build(&spec, 7).unwrap();
    model.compiled = compiled(optimizer, vec![Loss::SparseCategoricalCrossentropy { from_logits: false }]);
    Trainer::new(model, 1).unwrap()
}

const X: [f32; 12] = [1.0, 0.3, -0.5, -1.0, 0.2, 0.4, 0.7, -0.6, 0.1, -0.8, -0.1, 0.9];
const Y: [f32; 4] = [1.0, 0.0, 1.0, 0.0];

#[test]
fn a_loss_falls() {
    let mut trainer = small("adam", "");
    let mut losses = vec![];
    for _ in 0..300 {
        let samples = trainer.write(&[&X], &[&Y], None).unwrap();
        losses.push(trainer.step(samples).unwrap());
    }
    assert!(losses[299] < 0.2 * losses[0], "{} to {}", losses[0], losses[299]);
}

#[test]
fn what_is_not_finite_is_told_and_changes_nothing() {
    let mut trainer = small("adam", "");
    let before = trainer.model().unwrap();
    let mut x = X;
    x[4] = f32::NAN;
    let samples = trainer.write(&[&x], &[&Y], None).unwrap();
    let error = trainer.step(samples).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(error.context().tensor.as_deref(), Some("x"));
    let x = X.map(|x| x * 1e38);
    let samples = trainer.write(&[&x], &[&Y], None).unwrap();
    let error = trainer.step(samples).unwrap_err();
    assert!(error.context().layer.is_some(), "{error}");
    assert_eq!(trainer.model().unwrap(), before);
}

#[test]
fn labels_and_lengths_that_do_not_fit_are_refused() {
    let mut trainer = small("adam", "");
    let samples = trainer.write(&[&X], &[&[0.0, 1.0, 2.0, 0.0]], None).unwrap();
    let error = trainer.step(samples).unwrap_err();
    assert!(error.to_string().contains("label 2 of sample 2"), "{error}");
    assert_eq!(trainer.write(&[&X], &[&Y[..3]], None).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(trainer.write(&[&X[..11]], &[&Y], None).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(trainer.write(&[&[]], &[&[]], None).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(trainer.write(&[&X], &[&Y], Some(&[1.0])).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn frozen_layers_stay() {
    let mut trainer = small("sgd", r#","trainable":false"#);
    let before = trainer.model().unwrap();
    for _ in 0..5 {
        let samples = trainer.write(&[&X], &[&Y], None).unwrap();
        trainer.step(samples).unwrap();
    }
    let after = trainer.model().unwrap();
    assert_eq!(before.layers[1], after.layers[1]);
    assert_ne!(before.layers[2], after.layers[2]);
}

#[test]
fn training_that_is_taken_up_again_goes_on_as_if_it_had_not_stopped() {
    for optimizer in ["adam", "rmsprop", "adagrad", "sgd"] {
        let step = |trainer: &mut Trainer| {
            let samples = trainer.write(&[&X], &[&Y], None).unwrap();
            trainer.step(samples).unwrap()
        };
        let mut whole = small(optimizer, "");
        let losses: Vec<f64> = (0..20).map(|_| step(&mut whole)).collect();
        let mut first = small(optimizer, "");
        for _ in 0..10 {
            step(&mut first);
        }
        let file = format::container::write(&first.model().unwrap()).unwrap();
        let mut second = Trainer::new(format::container::read(&file).unwrap(), 1).unwrap();
        let rest: Vec<f64> = (0..10).map(|_| step(&mut second)).collect();
        assert_eq!(losses[10..], rest, "{optimizer}");
    }
}

#[test]
fn dropout_and_noise_act_in_training_alone() {
    for layer in [
        r#""Dropout","rate":0.3"#,
        r#""GaussianNoise","stddev":0.5"#,
        r#""GaussianDropout","rate":0.5"#,
        r#""AlphaDropout","rate":0.5"#,
    ] {
        let spec = format!(
            r#"{{"name":"m","layers":[{{"name":"x","type":"InputLayer","shape":[1000]}},{{"name":"n","type":{layer}}},
            {{"name":"s","type":"Activation","activation":{{"name":"linear"}}}},
            {{"name":"d","type":"Dense","units":1,"kernel_initializer":"ones","use_bias":false}}],
            "nodes":[{{"layer":0,"inputs":[]}},{{"layer":1,"inputs":[0]}},{{"layer":2,"inputs":[1]}},{{"layer":3,"inputs":[2]}}],
            "outputs":[3]}}"#
        );
        let mut model = build(&spec, 1).unwrap();
        model.compiled = compiled("sgd", vec![Loss::MeanAbsoluteError]);
        let mut trainer = Trainer::new(model, 1).unwrap();
        let x = vec![0.001; 1000];
        let samples = trainer.write(&[&x], &[&[0.0]], None).unwrap();
        // The mean of a thousand values is kept, but not exactly.
        assert!((trainer.evaluate(samples).unwrap() - 1.0).abs() < 1e-5, "{layer}");
        let (loss, _) = trainer.differentiate(samples, true).unwrap();
        assert!((loss - 1.0).abs() > 1e-5, "{layer}: {loss}");
    }
}
