//! The training module: containers to trainers, and back.

use super::{
    files::{JsResult, container_of, copy_bytes},
    to_js_error,
};
use crate::{
    Compiled, Model, Result,
    format::{container, json::Value},
    train::{self, Trainer},
};
use js_sys::{Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

/// A new model of layers that are given as JSON, as a container.
#[wasm_bindgen]
pub fn build(layers: String, seed: f64) -> JsResult<Uint8Array> {
    container_of(&train::build(&layers, seed as u64).map_err(to_js_error)?)
}

/// A container's model in training.
pub(super) fn open_trainer(file: &Uint8Array, compiled: Option<String>, seed: f64) -> Result<Trainer> {
    let mut model: Model = container::read(&copy_bytes(file)?)?;
    if let Some(text) = compiled {
        let value = Value::parse(text.as_bytes(), "what the model is compiled with")?;
        model.compiled = Some(Box::new(Compiled::from_value(value, vec![])?));
    }
    Trainer::new(model, seed as u64)
}

/// A model in training.
#[wasm_bindgen]
pub struct Training(Trainer);

#[wasm_bindgen]
impl Training {
    /// Takes a container's model and what it is compiled with, as JSON; without, it goes on as the container says.
    #[wasm_bindgen(constructor)]
    pub fn new(file: &Uint8Array, compiled: Option<String>, seed: f64) -> JsResult<Training> {
        Ok(Self(open_trainer(file, compiled, seed).map_err(to_js_error)?))
    }

    /// Values of a target a sample, for each output.
    #[wasm_bindgen(js_name = targetWidths)]
    pub fn target_widths(&self) -> Vec<usize> {
        self.0.target_widths()
    }

    /// Makes room for batches, and gives the addresses of inputs, targets and sample weights. The next call may move
    /// them.
    pub fn reserve(&mut self, samples: usize) -> JsResult<Vec<usize>> {
        self.0.reserve(samples).map_err(to_js_error)?;
        Ok(self.0.addresses())
    }

    /// A step of training on the samples that were written: the loss before it.
    pub fn step(&mut self, samples: usize) -> JsResult<f64> {
        self.0.step(samples).map_err(to_js_error)
    }

    /// The loss of the samples that were written, which the metrics gather.
    pub fn evaluate(&mut self, samples: usize) -> JsResult<f64> {
        self.0.evaluate(samples).map_err(to_js_error)
    }

    /// What the metrics have gathered since the last call.
    #[wasm_bindgen(js_name = takeResults)]
    pub fn take_results(&mut self) -> JsValue {
        let results = self.0.results();
        self.0.reset();
        Value::Object(results.into()).to_js()
    }

    /// The learning rate of the next step.
    #[wasm_bindgen(js_name = learningRate)]
    pub fn learning_rate(&self) -> f64 {
        self.0.learning_rate()
    }

    /// Sets a constant learning rate.
    #[wasm_bindgen(js_name = setLearningRate)]
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.0.set_learning_rate(rate);
    }

    /// The numbers below `count` in an order by chance.
    pub fn shuffle(&mut self, count: u32) -> Uint32Array {
        let mut indices: Vec<u32> = (0..count).collect();
        self.0.shuffle(&mut indices);
        Uint32Array::from(indices.as_slice())
    }

    /// The model as it is now, with what its optimizer remembers.
    pub fn save(&mut self) -> JsResult<Uint8Array> {
        container_of(&self.0.model().map_err(to_js_error)?)
    }
}
