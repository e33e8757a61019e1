//! What `compile` says of a model in Keras, as plain data: the optimizer, the losses, the metrics, and what the optimizer
//! remembers of the steps before.
//!
//! As JSON they have the names and defaults of <https://keras.io/api/optimizers/> and <https://keras.io/api/losses/>, in
//! Keras's own form: `{ "class_name": …, "config": { … } }`, or the name alone.

use crate::{
    Error, Result, Tensor,
    format::json::{Object, Value},
    math::{cos, pow},
};

/// How a model is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The rule of the updates.
    pub optimizer: Optimizer,
    /// One for each output.
    pub losses: Vec<Loss>,
    /// The factor of each output's loss.
    pub loss_weights: Vec<f64>,
    /// For each output, the metrics that are reported, as Keras names them: its names, or `{ class_name, config }`.
    pub metrics: Vec<Vec<Value>>,
    /// What the optimizer remembers, once it has made a step.
    pub state: Option<OptimizerState>,
}

/// What an optimizer remembers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OptimizerState {
    /// Steps made.
    pub iterations: u64,
    /// A value for each of some weights.
    pub slots: Vec<Slot>,
}

/// What an optimizer remembers of a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// One of [`Rule::slots`].
    pub name: String,
    /// The layer's name.
    pub layer: String,
    /// The weight's name in the layer, as in [`LayerKind::weights`](crate::LayerKind::weights).
    pub weight: String,
    /// Of the weight's shape.
    pub value: Tensor,
}

/// How weights are updated.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    /// The formula.
    pub rule: Rule,
    /// Factor of the updates.
    pub learning_rate: Schedule,
    /// Share of the learning rate by which every weight shrinks before its update (Loshchilov & Hutter 2019).
    pub weight_decay: Option<f64>,
    /// What gradients are cut to.
    pub clip: Option<Clip>,
}

/// Formulas of updates, as Keras 3 has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last update that the next one keeps.
        momentum: f64,
        /// Whether the gradient is taken ahead (Sutskever et al. 2013).
        nesterov: bool,
    },
    /// Kingma & Ba 2015.
    Adam {
        /// Decay of the mean of the gradients.
        beta_1: f64,
        /// Decay of the mean of their squares.
        beta_2: f64,
        /// Added to the divisor.
        epsilon: f64,
        /// Whether the divisor never falls (Reddi et al. 2018).
        amsgrad: bool,
        /// Whether it goes by the name of AdamW, whose default weight decay is 0.004.
        decoupled: bool,
    },
    /// Hinton 2012.
    RmsProp {
        /// Decay of the mean of the squares.
        rho: f64,
        /// Share of the last update that the next one keeps.
        momentum: f64,
        /// Added to the square of the divisor.
        epsilon: f64,
        /// Whether the variance takes the place of the mean square.
        centered: bool,
    },
    /// Duchi et al. 2011.
    Adagrad {
        /// What the sums of squares begin with.
        initial_accumulator: f64,
        /// Added to the square of the divisor.
        epsilon: f64,
    },
}

/// How gradients are cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// Each value to ± this.
    Value(f64),
    /// Each weight's gradient to this length.
    Norm(f64),
    /// All gradients together to this length.
    GlobalNorm(f64),
}

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

impl Rule {
    /// All names of what is remembered.
    pub(crate) const SLOTS: [&'static str; 5] =
        ["momentum", "velocity", "velocity_hat", "average_gradient", "accumulator"];

    /// What is remembered of each weight, in Keras's order.
    pub fn slots(self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum"],
            Self::Adam { amsgrad: false, .. } => &["momentum", "velocity"],
            Self::Adam { amsgrad: true, .. } => &["momentum", "velocity", "velocity_hat"],
            Self::RmsProp { momentum, centered, .. } => match (momentum > 0.0, centered) {
                (false, false) => &["velocity"],
                (true, false) => &["velocity", "momentum"],
                (false, true) => &["velocity", "average_gradient"],
                (true, true) => &["velocity", "momentum", "average_gradient"],
            },
            Self::Adagrad { .. } => &["accumulator"],
        }
    }

    /// The class's name in Keras.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Sgd { .. } => "SGD",
            Self::Adam { decoupled: false, .. } => "Adam",
            Self::Adam { decoupled: true, .. } => "AdamW",
            Self::RmsProp { .. } => "RMSprop",
            Self::Adagrad { .. } => "Adagrad",
        }
    }
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

    fn from_value(value: Value) -> Result<Self> {
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

    fn to_value(&self) -> Value {
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

impl Optimizer {
    /// Of Keras's JSON. What a field leaves out is Keras's default.
    ///
    /// # Errors
    /// `Unsupported` for an optimizer or option that nearside does not have, `Value` for numbers outside their domain.
    pub fn from_value(value: Value) -> Result<Self> {
        let (name, mut config) = class_of(value, "the optimizer")?;
        let default_rate = if name.eq_ignore_ascii_case("sgd") { 0.01 } else { 0.001 };
        let rule = match name.to_ascii_lowercase().as_str() {
            "sgd" => Rule::Sgd {
                momentum: share("momentum", number(&mut config, "momentum", 0.0)?)?,
                nesterov: flag(&mut config, "nesterov")?,
            },
            lower @ ("adam" | "adamw") => Rule::Adam {
                beta_1: share("beta_1", number(&mut config, "beta_1", 0.9)?)?,
                beta_2: share("beta_2", number(&mut config, "beta_2", 0.999)?)?,
                epsilon: non_negative("epsilon", number(&mut config, "epsilon", 1e-7)?)?,
                amsgrad: flag(&mut config, "amsgrad")?,
                decoupled: lower == "adamw",
            },
            "rmsprop" => Rule::RmsProp {
                rho: share("rho", number(&mut config, "rho", 0.9)?)?,
                momentum: share("momentum", number(&mut config, "momentum", 0.0)?)?,
                epsilon: non_negative("epsilon", number(&mut config, "epsilon", 1e-7)?)?,
                centered: flag(&mut config, "centered")?,
            },
            "adagrad" => Rule::Adagrad {
                initial_accumulator: non_negative(
                    "initial_accumulator_value",
                    number(&mut config, "initial_accumulator_value", 0.1)?,
                )?,
                epsilon: non_negative("epsilon", number(&mut config, "epsilon", 1e-7)?)?,
            },
            _ => {
                return Err(Error::unsupported(format!(
                    "the optimizer '{name}' is not known; use SGD, Adam, AdamW, RMSprop or Adagrad"
                )));
            }
        };
        let rate = config.take_optional("learning_rate").unwrap_or(Value::from(default_rate));
        let default_decay = matches!(rule, Rule::Adam { decoupled: true, .. }).then_some(0.004);
        let weight_decay = match config.take_optional("weight_decay") {
            None => default_decay,
            Some(Value::Null) => None,
            // Keras 2 writes 0 where there is none.
            Some(decay) => decay.as_f64().filter(|&decay| decay != 0.0),
        };
        let clip = [
            optional(&mut config, "clipnorm")?.map(Clip::Norm),
            optional(&mut config, "global_clipnorm")?.map(Clip::GlobalNorm),
            optional(&mut config, "clipvalue")?.map(Clip::Value),
        ];
        // Whether TensorFlow compiles the step, names, and the overwriting of averages that are off: nothing that counts.
        for idle in ["name", "jit_compile", "is_legacy_optimizer", "ema_momentum", "ema_overwrite_frequency"]
        {
            config.take_optional(idle);
        }
        for (off, message) in [
            ("use_ema", "averages of weights (use_ema)"),
            ("loss_scale_factor", "a loss scale"),
            ("gradient_accumulation_steps", "accumulated gradients"),
            ("decay", "the decay of the first optimizers of Keras"),
        ] {
            match config.take_optional(off) {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::Number(0.0)) => {}
                Some(_) => return Err(Error::unsupported(format!("{message}: not known to nearside"))),
            }
        }
        finish(config, &name)?;
        Ok(Self {
            rule,
            learning_rate: Schedule::from_value(rate)?,
            weight_decay,
            clip: clip.into_iter().flatten().next(),
        })
    }

    /// As Keras 3 writes it.
    pub fn to_value(&self) -> Value {
        let mut fields: Vec<(&str, Value)> = vec![
            ("name", self.rule.class_name().to_ascii_lowercase().as_str().into()),
            ("learning_rate", self.learning_rate.to_value()),
            ("weight_decay", self.weight_decay.map_or(Value::Null, Value::from)),
        ];
        for (name, clip) in [
            ("clipnorm", self.clip.and_then(|clip| if let Clip::Norm(n) = clip { Some(n) } else { None })),
            (
                "global_clipnorm",
                self.clip.and_then(|clip| if let Clip::GlobalNorm(n) = clip { Some(n) } else { None }),
            ),
            ("clipvalue", self.clip.and_then(|clip| if let Clip::Value(n) = clip { Some(n) } else { None })),
        ] {
            fields.push((name, clip.map_or(Value::Null, Value::from)));
        }
        fields.extend([
            ("use_ema", Value::Bool(false)),
            ("ema_momentum", Value::Number(0.99)),
            ("ema_overwrite_frequency", Value::Null),
            ("loss_scale_factor", Value::Null),
            ("gradient_accumulation_steps", Value::Null),
        ]);
        match self.rule {
            Rule::Sgd { momentum, nesterov } => {
                fields.extend([("momentum", momentum.into()), ("nesterov", Value::Bool(nesterov))]);
            }
            Rule::Adam { beta_1, beta_2, epsilon, amsgrad, .. } => fields.extend([
                ("beta_1", beta_1.into()),
                ("beta_2", beta_2.into()),
                ("epsilon", epsilon.into()),
                ("amsgrad", Value::Bool(amsgrad)),
            ]),
            Rule::RmsProp { rho, momentum, epsilon, centered } => fields.extend([
                ("rho", rho.into()),
                ("momentum", momentum.into()),
                ("epsilon", epsilon.into()),
                ("centered", Value::Bool(centered)),
            ]),
            Rule::Adagrad { initial_accumulator, epsilon } => fields.extend([
                ("initial_accumulator_value", initial_accumulator.into()),
                ("epsilon", epsilon.into()),
            ]),
        }
        class(self.rule.class_name(), Value::object_of(&mut fields))
    }
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

impl Compiled {
    /// Of the JSON that a container has: `{ optimizer, losses, loss_weights, metrics, iterations? }`. The state's slots
    /// are tensors.
    ///
    /// # Errors
    /// `Format` for anything else; as [`Optimizer::from_value`] and [`Loss::from_value`].
    pub fn from_value(value: Value, slots: Vec<Slot>) -> Result<Self> {
        let mut fields = Object::new(value, "what the model is compiled with")?;
        let optimizer = Optimizer::from_value(fields.take("optimizer")?)?;
        let losses = fields.list("losses")?.into_iter().map(Loss::from_value).collect::<Result<Vec<_>>>()?;
        let loss_weights = numbers(&mut fields, "loss_weights")?;
        let metrics = fields.list("metrics")?.into_iter().map(|list| match list {
            Value::Array(list) => Ok(list),
            _ => Err(Error::format("the field 'metrics' is not a list of lists")),
        });
        let metrics = metrics.collect::<Result<Vec<_>>>()?;
        let iterations = match fields.take_optional("iterations") {
            None | Some(Value::Null) => None,
            Some(count) => Some(
                count
                    .as_i64()
                    .and_then(|count| u64::try_from(count).ok())
                    .ok_or_else(|| Error::format("the field 'iterations' is not a whole number"))?,
            ),
        };
        fields.finish()?;
        let state = iterations.map(|iterations| OptimizerState { iterations, slots });
        Ok(Self { optimizer, losses, loss_weights, metrics, state })
    }

    /// The JSON that [`from_value`](Self::from_value) takes.
    pub fn to_value(&self) -> Value {
        let weights = self.loss_weights.iter().map(|&weight| weight.into()).collect();
        let state = self.state.as_ref();
        Value::object([
            ("optimizer", self.optimizer.to_value()),
            ("losses", Value::Array(self.losses.iter().map(|loss| loss.to_value()).collect())),
            ("loss_weights", Value::Array(weights)),
            ("metrics", Value::Array(self.metrics.iter().cloned().map(Value::Array).collect())),
            ("iterations", state.map_or(Value::Null, |state| Value::Number(state.iterations as f64))),
        ])
    }
}

/// `{ class_name, config }`, or a name alone. Keras's other fields say where the class is defined.
pub(crate) fn class_of(value: Value, what: &str) -> Result<(String, Object)> {
    match value {
        Value::String(name) => Ok((name, Object::default())),
        value => {
            let mut fields = Object::new(value, what)?;
            let config = match fields.take_optional("config") {
                // A function, whose name is all of its configuration.
                Some(Value::String(name)) => return Ok((name, Object::default())),
                None | Some(Value::Null) => Object::default(),
                Some(config) => Object::new(config, what)?,
            };
            Ok((fields.string("class_name")?, config))
        }
    }
}

fn class(name: &str, config: Value) -> Value {
    Value::object([("class_name", name.into()), ("config", config)])
}

fn required(config: &mut Object, name: &str) -> Result<f64> {
    optional(config, name)?.ok_or_else(|| Error::format(format!("the field '{name}' is missing")))
}

fn number(config: &mut Object, name: &str, default: f64) -> Result<f64> {
    Ok(optional(config, name)?.unwrap_or(default))
}

pub(crate) fn optional(config: &mut Object, name: &str) -> Result<Option<f64>> {
    match config.take_optional(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number)),
        Some(_) => Err(Error::value(format!("'{name}' is not a number"))),
    }
}

fn numbers(config: &mut Object, name: &str) -> Result<Vec<f64>> {
    let list = config.list(name)?;
    list.iter()
        .map(Value::as_f64)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::format(format!("the field '{name}' is not a list of numbers")))
}

fn flag(config: &mut Object, name: &str) -> Result<bool> {
    match config.take_optional(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is)) => Ok(is),
        Some(_) => Err(Error::value(format!("'{name}' is neither true nor false"))),
    }
}

fn positive(name: &str, value: f64) -> Result<f64> {
    if value > 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number above 0")))
}

fn non_negative(name: &str, value: f64) -> Result<f64> {
    if value >= 0.0 && value.is_finite() {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number from 0")))
}

fn share(name: &str, value: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(Error::value(format!("{name} is not a number from 0 to 1")))
}

fn finish(config: Object, class: &str) -> Result<()> {
    match config.fields().first() {
        Some((name, _)) => {
            Err(Error::unsupported(format!("'{class}' has an option '{name}' that is not known")))
        }
        None => Ok(()),
    }
}
