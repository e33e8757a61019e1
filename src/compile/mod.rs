//! What `compile` says of a model in Keras, as plain data: the optimizer, the losses, the metrics, and what the optimizer
//! remembers of the steps before.
//!
//! As JSON they have the names and defaults of <https://keras.io/api/optimizers/> and <https://keras.io/api/losses/>, in

pub(crate) mod config;
mod loss;
mod optimizer;
mod schedule;

use crate::{
    Error, Result, Tensor,
    format::json::{Object, Value},
};
use config::numbers;
pub use loss::Loss;
pub use optimizer::{Clip, Optimizer, Rule};
pub use schedule::Schedule;

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
