//! Losses (<https://keras.io/api/losses/>): what they are and how their JSON is read. `train` computes them.

use super::config::{class, class_of, finish, flag, number, positive, share};
use crate::{Error, Result, format::json::Value};
use std::mem::discriminant;

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

/// Losses with their default options, by Keras's class and by its function.
static LOSSES: [(&str, &str, Loss); 15] = [
    ("MeanSquaredError", "mean_squared_error", Loss::MeanSquaredError),
    ("MeanAbsoluteError", "mean_absolute_error", Loss::MeanAbsoluteError),
    ("MeanAbsolutePercentageError", "mean_absolute_percentage_error", Loss::MeanAbsolutePercentageError),
    ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", Loss::MeanSquaredLogarithmicError),
    ("Huber", "huber", Loss::Huber { delta: 1.0 }),
    ("LogCosh", "log_cosh", Loss::LogCosh),
    (
        "BinaryCrossentropy",
        "binary_crossentropy",
        Loss::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 },
    ),
    (
        "CategoricalCrossentropy",
        "categorical_crossentropy",
        Loss::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 },
    ),
    (
        "SparseCategoricalCrossentropy",
        "sparse_categorical_crossentropy",
        Loss::SparseCategoricalCrossentropy { from_logits: false },
    ),
    ("KLDivergence", "kl_divergence", Loss::KlDivergence),
    ("Hinge", "hinge", Loss::Hinge),
    ("SquaredHinge", "squared_hinge", Loss::SquaredHinge),
    ("CategoricalHinge", "categorical_hinge", Loss::CategoricalHinge),
    ("Poisson", "poisson", Loss::Poisson),
    ("CosineSimilarity", "cosine_similarity", Loss::CosineSimilarity),
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
        let known = LOSSES.iter().find(|(class, function, _)| *class == short || *function == short);
        let Some(&(_, _, mut loss)) = known else {
            let known: Vec<_> = LOSSES.iter().map(|(_, function, _)| *function).collect();
            return Err(Error::unsupported(format!(
                "the loss '{name}' is not known; use one of {}",
                known.join(", ")
            )));
        };
        match &mut loss {
            Self::Huber { delta } => *delta = positive("delta", number(&mut config, "delta", *delta)?)?,
            Self::BinaryCrossentropy { from_logits, label_smoothing }
            | Self::CategoricalCrossentropy { from_logits, label_smoothing } => {
                *from_logits = flag(&mut config, "from_logits")?;
                *label_smoothing =
                    share("label_smoothing", number(&mut config, "label_smoothing", *label_smoothing)?)?;
            }
            Self::SparseCategoricalCrossentropy { from_logits } => {
                if config.take_optional("ignore_class").is_some_and(|class| class != Value::Null) {
                    return Err(Error::unsupported("ignore_class: not known to nearside"));
                }
                *from_logits = flag(&mut config, "from_logits")?;
            }
            _ => {}
        }
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
        let (name, function) = self.names();
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
        self.names().1
    }

    /// Its names in Keras: the class, and the function.
    fn names(self) -> (&'static str, &'static str) {
        let same = |(_, _, named): &&(_, _, Self)| discriminant(named) == discriminant(&self);
        LOSSES.iter().find(same).map_or(("", ""), |&(class, function, _)| (class, function))
    }

    /// Values of a target for a sample of `width` predicted values whose last axis is `last` long.
    pub fn target_width(self, width: usize, last: usize) -> usize {
        match self {
            Self::SparseCategoricalCrossentropy { .. } => width / last.max(1),
            _ => width,
        }
    }
}
