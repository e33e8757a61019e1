//! What models were compiled with, as JSON, and penalties.

use super::{super::compiled, KerasVersion, after_input, build};
use crate::{
    Compiled, Error, ErrorKind, Result,
    compile::{Loss, Schedule},
    format::json::Value,
};

fn of_version(fields: &str, version: KerasVersion) -> Result<Compiled> {
    let config = format!(r#"{{"optimizer": "adam", {fields}}}"#);
    let config = Value::parse(config.as_bytes(), "a test").unwrap();
    let names = vec!["a".to_string(), "b".to_string()];
    Ok(compiled::read(config, names, version)?.expect("it is compiled").0)
}

/// Of a model with the outputs a and b.
fn read(fields: &str) -> Result<Compiled> {
    of_version(fields, KerasVersion::THREE)
}

#[track_caller]
fn refused(fields: &str, kind: ErrorKind, message: &str) {
    let error: Error = read(fields).expect_err("what means something else was read");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn losses_are_read_in_every_notation() {
    let both = [Loss::MeanSquaredError, Loss::Hinge];
    for loss in [
        r#"["mse", "hinge"]"#,
        r#"{"b": "hinge", "a": "mean_squared_error"}"#,
        r#"{"class_name": "__tuple__", "config": {"value": ["MeanSquaredError", "Hinge"]}}"#,
        r#"[{"class_name": "MeanSquaredError", "config": {"reduction": "auto", "name": "x"}},
            {"module": "builtins", "class_name": "function", "config": "hinge", "registered_name": "hinge"}]"#,
    ] {
        assert_eq!(read(&format!(r#""loss": {loss}"#)).unwrap().losses, both, "{loss}");
    }
    assert_eq!(read(r#""loss": "hinge""#).unwrap().losses, [Loss::Hinge; 2]);
    refused(r#""loss": null"#, ErrorKind::Unsupported, "the output 'a' has no loss");
    refused(r#""loss": {"a": "mse"}"#, ErrorKind::Unsupported, "the output 'b' has no loss");
    refused(r#""loss": ["mse"]"#, ErrorKind::Format, "1 losses for a model of 2 outputs");
    refused(r#""loss": {"c": "mse"}"#, ErrorKind::Format, "losses for 'c'; the outputs are 'a', 'b'");
    let custom =
        r#""loss": {"module": "mine", "class_name": "Huber", "config": {}, "registered_name": "Huber"}"#;
    refused(custom, ErrorKind::Unsupported, "mine.Huber is a custom class");
}

#[test]
fn loss_weights_are_read_in_every_notation() {
    let read = |weights: &str| read(&format!(r#""loss": "mse", "loss_weights": {weights}"#));
    for (weights, expected) in
        [("null", [1.0, 1.0]), ("[2, 0.5]", [2.0, 0.5]), (r#"{"b": 3}"#, [1.0, 3.0]), ("0.25", [0.25; 2])]
    {
        assert_eq!(read(weights).unwrap().loss_weights, expected, "{weights}");
    }
    assert_eq!(read(r#"["x", 1]"#).unwrap_err().kind(), ErrorKind::Format);
}

#[test]
fn metrics_are_lists_for_each_output() {
    let metrics = |fields: &str, version| {
        let compiled = of_version(&format!(r#""loss": "mse", {fields}"#), version).unwrap();
        Value::Array(compiled.metrics.into_iter().map(Value::Array).collect()).to_text()
    };
    let three = |fields: &str| metrics(fields, KerasVersion::THREE);
    assert_eq!(three(r#""metrics": null"#), "[[],[]]");
    assert_eq!(three(r#""metrics": ["mae", null]"#), r#"[["mae"],[]]"#);
    assert_eq!(three(r#""metrics": [["mae"], ["mse", "acc"]]"#), r#"[["mae"],["mse","acc"]]"#);
    assert_eq!(
        three(r#""metrics": {"b": "mae"}, "weighted_metrics": {"b": ["acc"]}"#),
        r#"[[],["mae","acc"]]"#
    );
    let class =
        r#"{"module": "keras.metrics", "class_name": "AUC", "config": {"k": 1}, "registered_name": null}"#;
    let auc = r#"{"class_name":"AUC","config":{"k":1}}"#;
    assert_eq!(three(&format!(r#""metrics": {{"a": {class}}}"#)), format!("[[{auc}],[]]"));
    let two = metrics(r#""metrics": ["mae", "mse"]"#, KerasVersion::TWO);
    assert_eq!(two, r#"[["mae","mse"],["mae","mse"]]"#);
}

#[test]
fn what_says_something_else_about_training_is_named() {
    refused(r#""loss": "mse", "mystery": 3"#, ErrorKind::Unsupported, "'mystery' = 3");
    let optimizer = |optimizer: &str| {
        let config = format!(r#"{{"loss": "mse", "optimizer_config": {optimizer}}}"#);
        let config = Value::parse(config.as_bytes(), "a test").unwrap();
        compiled::read(config, vec!["a".to_string()], KerasVersion::TWO)
    };
    let (adam, _) =
        optimizer(r#"{"class_name": "Custom>Adam", "config": {"learning_rate": 0.5}}"#).unwrap().unwrap();
    assert_eq!(adam.optimizer.learning_rate, Schedule::Constant(0.5));
    // Keras 1's and early Keras 2's.
    let error = optimizer(r#"{"class_name": "Adam", "config": {"lr": 0.5}}"#).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("'lr'"), "{error}");
    assert_eq!(optimizer("null").unwrap_err().kind(), ErrorKind::Format);
    assert!(compiled::read(Value::Null, vec![], KerasVersion::THREE).unwrap().is_none());
}

#[test]
fn penalties_are_read_in_every_notation() {
    let penalties = |regularizer: &str| {
        let config = format!(r#""units": 2, "kernel_regularizer": {regularizer}"#);
        let model = build(&after_input("Dense", &config)).unwrap();
        let penalties = model.layers[1].penalties.iter();
        penalties.map(|penalty| (penalty.weight.clone(), penalty.l1, penalty.l2)).collect::<Vec<_>>()
    };
    let kernel = |l1, l2| [("kernel".to_string(), l1, l2)];
    assert_eq!(penalties(r#""l1""#), kernel(0.01, 0.0));
    assert_eq!(penalties(r#""l2""#), kernel(0.0, 0.01));
    assert_eq!(penalties(r#"{"class_name": "L2", "config": {"l2": 0.5}}"#), kernel(0.0, 0.5));
    assert_eq!(penalties(r#"{"class_name": "L1L2", "config": {"l1": 0.25, "l2": 0.5}}"#), kernel(0.25, 0.5));
    let placed = r#"{"module": "keras.regularizers", "class_name": "L1", "config": {"l1": 2}, "registered_name": null}"#;
    assert_eq!(penalties(placed), kernel(2.0, 0.0));
    for idle in [
        "null",
        r#"{"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.0}}"#,
        r#"{"class_name": "OrthogonalRegularizer", "config": {"factor": 0.5}}"#,
        r#"{"module": "mine", "class_name": "L2", "config": {"l2": 0.5}, "registered_name": "L2"}"#,
        r#"{"class_name": "L2", "config": {"l2": "much"}}"#,
    ] {
        assert_eq!(penalties(idle), [], "{idle}");
    }
}
