//! Losses (<https://keras.io/api/losses/>): what they are and how their JSON is read. `train` computes them.

use super::config::{class, class_of, finish, flag, number, positive, share};
use crate::{
    Error, Result,
    format::json::{Object, Value},
};

/// What a training makes small. Every one is the mean over the samples, weighted by their weights, of a sum or mean over
/// a sample's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// (y − p)²
    MeanSquaredError,
    /// |y − p|
    MeanAbsoluteError,
    /// 100 · |y − p| / max(|y|, 1e-7)
    MeanAbsolutePercentageError,
    /// (ln(1 + y) − ln(1 + p))², both at least 1e-7.
    MeanSquaredLogarithmicError,
    /// (y − p)² / 2 up to `delta`, `delta · (|y − p| − delta / 2)` beyond.
    Huber {
        /// Where it becomes linear.
        delta: f64,
    },
    /// ln cosh (p − y)
    LogCosh,
    /// −y · ln p − (1 − y) · ln(1 − p)
    BinaryCrossentropy {
        /// Whether p is the sigmoid of the prediction.
        from_logits: bool,
        /// Share of the labels that is moved to ½.
        label_smoothing: f64,
    },
    /// −Σ y · ln p
    CategoricalCrossentropy {
        /// Whether p is the softmax of the prediction.
        from_logits: bool,
        /// Share of the labels that is spread over all classes.
        label_smoothing: f64,
    },
    /// −ln p of the class that y is the index of.
    SparseCategoricalCrossentropy {
        /// Whether p is the softmax of the prediction.
        from_logits: bool,
    },
    /// Σ y · ln(y / p), both from 1e-7 to 1.
    KlDivergence,
    /// max(1 − y · p, 0) of labels ±1, or 0 and 1 for them.
    Hinge,
    /// The square of it.
    SquaredHinge,
    /// max(max((1 − y) · p) − Σ y · p + 1, 0)
    CategoricalHinge,
    /// p − y · ln(p + 1e-7)
    Poisson,
    /// −Σ ŷ · p̂ of the vectors of unit length.
    CosineSimilarity,
}

/// The names of losses: Keras's class, and its function.
const LOSSES: [(&str, &str); 15] = [
    ("MeanSquaredError", "mean_squared_error"),
    ("MeanAbsoluteError", "mean_absolute_error"),
    ("MeanAbsolutePercentageError", "mean_absolute_percentage_error"),
    ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error"),
    ("Huber", "huber"),
    ("LogCosh", "log_cosh"),
    ("BinaryCrossentropy", "binary_crossentropy"),
    ("CategoricalCrossentropy", "categorical_crossentropy"),
    ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
    ("KLDivergence", "kl_divergence"),
    ("Hinge", "hinge"),
    ("SquaredHinge", "squared_hinge"),
    ("CategoricalHinge", "categorical_hinge"),
    ("Poisson", "poisson"),
    ("CosineSimilarity", "cosine_similarity"),
];

impl Loss {
    /// Of Keras's JSON: a name, or a class with its configuration.
    ///
    /// # Errors
    /// `Unsupported` for a loss or option that nearside does not have, `Value` for numbers outside their domain.
    pub fn from_value(value: Value) -> Result<Self> {
        let (name, mut config) = class_of(value, "the loss")?;
        let short = match name.as_str() {
            "mse" => "mean_squared_error",
            "mae" => "mean_absolute_error",
            "mape" => "mean_absolute_percentage_error",
            "msle" => "mean_squared_logarithmic_error",
            "logcosh" => "log_cosh",
            "kld" | "kullback_leibler_divergence" => "kl_divergence",
            name => name,
        };
        let index = LOSSES.iter().position(|&(class, function)| class == short || function == short);
        let logits = |config: &mut Object| flag(config, "from_logits");
        let smoothing = |config: &mut Object| {
            number(config, "label_smoothing", 0.0).and_then(|value| share("label_smoothing", value))
        };
        let loss = match index {
            Some(0) => Self::MeanSquaredError,
            Some(1) => Self::MeanAbsoluteError,
            Some(2) => Self::MeanAbsolutePercentageError,
            Some(3) => Self::MeanSquaredLogarithmicError,
            Some(4) => Self::Huber { delta: positive("delta", number(&mut config, "delta", 1.0)?)? },
            Some(5) => Self::LogCosh,
            Some(6) => Self::BinaryCrossentropy {
                from_logits: logits(&mut config)?,
                label_smoothing: smoothing(&mut config)?,
            },
            Some(7) => Self::CategoricalCrossentropy {
                from_logits: logits(&mut config)?,
                label_smoothing: smoothing(&mut config)?,
            },
            Some(8) => {
                if config.take_optional("ignore_class").is_some_and(|class| class != Value::Null) {
                    return Err(Error::unsupported("ignore_class: not known to nearside"));
                }
                Self::SparseCategoricalCrossentropy { from_logits: logits(&mut config)? }
            }
            Some(9) => Self::KlDivergence,
            Some(10) => Self::Hinge,
            Some(11) => Self::SquaredHinge,
            Some(12) => Self::CategoricalHinge,
            Some(13) => Self::Poisson,
            Some(14) => Self::CosineSimilarity,
            _ => {
                let known: Vec<_> = LOSSES.iter().map(|&(_, function)| function).collect();
                return Err(Error::unsupported(format!(
                    "the loss '{name}' is not known; use one of {}",
                    known.join(", ")
                )));
            }
        };
        for (field, only) in
            [("reduction", &["sum_over_batch_size", "auto"][..]), ("dtype", &["float32"]), ("axis", &[])]
        {
            let value = config.take_optional(field);
            let idle = match &value {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => only.contains(&text.as_str()),
                Some(Value::Number(axis)) => field == "axis" && *axis == -1.0,
                // A policy, which computes in its own type.
                Some(_) => field == "dtype",
            };
            if !idle {
                return Err(Error::unsupported(format!(
                    "the loss '{name}' with another {field} than its default"
                )));
            }
        }
        config.take_optional("name");
        config.take_optional("fn");
        finish(config, &name)?;
        Ok(loss)
    }

    /// As Keras 3 writes it.
    pub fn to_value(self) -> Value {
        let (name, function) = LOSSES[self.index()];
        let mut fields: Vec<(&str, Value)> =
            vec![("name", function.into()), ("reduction", "sum_over_batch_size".into())];
        match self {
            Self::Huber { delta } => fields.push(("delta", delta.into())),
            Self::BinaryCrossentropy { from_logits, label_smoothing }
            | Self::CategoricalCrossentropy { from_logits, label_smoothing } => fields.extend([
                ("from_logits", Value::Bool(from_logits)),
                ("label_smoothing", label_smoothing.into()),
            ]),
            Self::SparseCategoricalCrossentropy { from_logits } => {
                fields.push(("from_logits", Value::Bool(from_logits)));
            }
            _ => {}
        }
        class(name, Value::object_of(&mut fields))
    }

    /// Its name as a function in Keras.
    pub fn name(self) -> &'static str {
        LOSSES[self.index()].1
    }

    fn index(self) -> usize {
        match self {
            Self::MeanSquaredError => 0,
            Self::MeanAbsoluteError => 1,
            Self::MeanAbsolutePercentageError => 2,
            Self::MeanSquaredLogarithmicError => 3,
            Self::Huber { .. } => 4,
            Self::LogCosh => 5,
            Self::BinaryCrossentropy { .. } => 6,
            Self::CategoricalCrossentropy { .. } => 7,
            Self::SparseCategoricalCrossentropy { .. } => 8,
            Self::KlDivergence => 9,
            Self::Hinge => 10,
            Self::SquaredHinge => 11,
            Self::CategoricalHinge => 12,
            Self::Poisson => 13,
            Self::CosineSimilarity => 14,
        }
    }

    /// Values of a target for a sample of `width` predicted values whose last axis is `last` long.
    pub fn target_width(self, width: usize, last: usize) -> usize {
        match self {
            Self::SparseCategoricalCrossentropy { .. } => width / last.max(1),
            _ => width,
        }
    }
}
