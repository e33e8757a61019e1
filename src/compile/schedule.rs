//! Learning rates (<https://keras.io/api/optimizers/learning_rate_schedules/>).

use super::config::{
    class, class_of, finish, flag, non_negative, number, numbers, optional, positive, required,
};
use crate::{
    Error, Result,
    format::json::Value,
    math::{cos, pow},
};

/// The learning rate of each step.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant(f64),
    /// `initial · rate^(step / steps)`
    Exponential {
        /// At step 0.
        initial: f64,
        /// Steps after which it has fallen by `rate`.
        steps: f64,
        /// Factor.
        rate: f64,
        /// Whether it falls only every `steps`.
        staircase: bool,
    },
    /// Half a period of a cosine (Loshchilov & Hutter 2017), behind a linear warm-up.
    Cosine {
        /// At step 0.
        initial: f64,
        /// Length of the decay.
        steps: f64,
        /// Share of the largest that is left at the end.
        alpha: f64,
        /// The largest, at the end of the warm-up, and the warm-up's steps.
        warmup: Option<(f64, f64)>,
    },
    /// `values[i]` up to and with step `boundaries[i]`, the last value beyond.
    Piecewise {
        /// Steps, ascending.
        boundaries: Vec<f64>,
        /// One more than there are boundaries.
        values: Vec<f64>,
    },
}

impl Schedule {
    /// The learning rate of the step of that number, from 0.
    pub fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        match self {
            Self::Constant(rate) => *rate,
            Self::Exponential { initial, steps, rate, staircase } => {
                let power = step / steps;
                let power = if *staircase { power.floor() } else { power };
                initial * pow(*rate, power)
            }
            Self::Cosine { initial, steps, alpha, warmup } => {
                let (initial, steps, alpha) = (*initial, *steps, *alpha);
                let (largest, done) = match warmup {
                    Some((largest, length)) if step < *length => {
                        let share = step / length;
                        return initial + (largest - initial) * share;
                    }
                    Some((largest, length)) => (*largest, step - length),
                    None => (initial, step),
                };
                let cosine = 0.5 * (1.0 + cos(std::f64::consts::PI * (done / steps).min(1.0)));
                largest * ((1.0 - alpha) * cosine + alpha)
            }
            Self::Piecewise { boundaries, values } => {
                let index = boundaries.iter().take_while(|&&boundary| step > boundary).count();
                values[index]
            }
        }
    }

    pub(super) fn from_value(value: Value) -> Result<Self> {
        if let Some(rate) = value.as_f64() {
            return Ok(Self::Constant(non_negative("learning_rate", rate)?));
        }
        let (class, mut config) = class_of(value, "the learning rate")?;
        config.take_optional("name");
        let schedule = match class.as_str() {
            "ExponentialDecay" => Self::Exponential {
                initial: required(&mut config, "initial_learning_rate")?,
                steps: positive("decay_steps", required(&mut config, "decay_steps")?)?,
                rate: required(&mut config, "decay_rate")?,
                staircase: flag(&mut config, "staircase")?,
            },
            "CosineDecay" => {
                let initial = required(&mut config, "initial_learning_rate")?;
                let steps = positive("decay_steps", required(&mut config, "decay_steps")?)?;
                let alpha = number(&mut config, "alpha", 0.0)?;
                let length = number(&mut config, "warmup_steps", 0.0)?;
                let target = optional(&mut config, "warmup_target")?;
                // Without a target, warm-up steps do nothing in Keras.
                Self::Cosine { initial, steps, alpha, warmup: target.map(|target| (target, length)) }
            }
            "PiecewiseConstantDecay" => {
                let (boundaries, values) =
                    (numbers(&mut config, "boundaries")?, numbers(&mut config, "values")?);
                if values.len() != boundaries.len() + 1 {
                    return Err(Error::value("a piecewise schedule needs one value more than boundaries"));
                }
                Self::Piecewise { boundaries, values }
            }
            _ => {
                return Err(Error::unsupported(format!(
                    "the learning rate schedule '{class}' is not known; use ExponentialDecay, CosineDecay or \
                     PiecewiseConstantDecay"
                )));
            }
        };
        finish(config, &class)?;
        Ok(schedule)
    }

    pub(super) fn to_value(&self) -> Value {
        let list = |numbers: &[f64]| Value::Array(numbers.iter().map(|&number| number.into()).collect());
        match self {
            Self::Constant(rate) => (*rate).into(),
            Self::Exponential { initial, steps, rate, staircase } => class(
                "ExponentialDecay",
                Value::object([
                    ("initial_learning_rate", (*initial).into()),
                    ("decay_steps", (*steps).into()),
                    ("decay_rate", (*rate).into()),
                    ("staircase", Value::Bool(*staircase)),
                ]),
            ),
            Self::Cosine { initial, steps, alpha, warmup } => class(
                "CosineDecay",
                Value::object([
                    ("initial_learning_rate", (*initial).into()),
                    ("decay_steps", (*steps).into()),
                    ("alpha", (*alpha).into()),
                    ("warmup_target", warmup.map_or(Value::Null, |(target, _)| target.into())),
                    ("warmup_steps", warmup.map_or(0.0, |(_, steps)| steps).into()),
                ]),
            ),
            Self::Piecewise { boundaries, values } => class(
                "PiecewiseConstantDecay",
                Value::object([("boundaries", list(boundaries)), ("values", list(values))]),
            ),
        }
    }
}
