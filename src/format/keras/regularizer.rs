//! What a layer adds to the loss: `kernel_regularizer`, `bias_regularizer` … for its weights, `activity_regularizer` for
//! its output. They cannot change a prediction, so that those which nearside does not know are passed over.

use super::{fields::Fields, layer};
use crate::{format::json::Value, layer::Penalty};

/// Keras's factor where none is given.
const DEFAULT: f32 = 0.01;

/// What a penalty of the output stands under instead of a weight.
pub(super) const ACTIVITY: &str = "activity";

/// Takes those of these weights, and of the output.
pub(super) fn take(config: &mut Fields, weights: &[&str]) -> Vec<Penalty> {
    let mut penalties = Vec::new();
    for weight in weights.iter().chain([&ACTIVITY]) {
        let value = config.take(&format!("{weight}_regularizer"));
        if let Some([l1, l2]) = value.and_then(factors).filter(|factors| *factors != [0.0; 2]) {
            penalties.push(Penalty { weight: weight.to_string(), l1, l2 });
        }
    }
    penalties
}

/// The factors of the absolute values and of the squares.
fn factors(value: Value) -> Option<[f32; 2]> {
    if let Value::String(name) = &value {
        return match name.as_str() {
            "l1" | "L1" => Some([DEFAULT, 0.0]),
            "l2" | "L2" => Some([0.0, DEFAULT]),
            _ => None,
        };
    }
    let mut fields = Fields::new(value, "a regularizer").ok()?;
    let class = layer::class(&mut fields).ok()?;
    let mut config = Fields::new(fields.take("config")?, "a regularizer").ok()?;
    let (l1, l2) = (config.number("l1").ok()?, config.number("l2").ok()?);
    match class.name.as_str() {
        "L1" => Some([l1.unwrap_or(DEFAULT), 0.0]),
        "L2" => Some([0.0, l2.unwrap_or(DEFAULT)]),
        "L1L2" => Some([l1.unwrap_or(0.0), l2.unwrap_or(0.0)]),
        _ => None,
    }
}
