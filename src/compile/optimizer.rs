//! Optimizers (<https://keras.io/api/optimizers/>): what they are and how their JSON is read. `train` runs them.

use super::{
    Schedule,
    config::{class, class_of, finish, flag, non_negative, number, optional, share},
};
use crate::{Error, Result, format::json::Value};

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
        let mut clip = ["clipnorm", "global_clipnorm", "clipvalue"].map(|name| (name, Value::Null));
        match self.clip {
            None => {}
            Some(Clip::Norm(most)) => clip[0].1 = most.into(),
            Some(Clip::GlobalNorm(most)) => clip[1].1 = most.into(),
            Some(Clip::Value(most)) => clip[2].1 = most.into(),
        }
        fields.extend(clip);
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
