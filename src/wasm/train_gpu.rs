//! The module of training on a GPU: as that of training, but steps are promises.

use super::{
    files::{JsResult, container_of},
    to_js_error,
    train::open_trainer,
};
use crate::{
    Error, Result,
    format::json::Value,
    gpu::GpuContext,
    train::{GpuTrainer, Trainer},
};
use js_sys::{Float64Array, Promise, Uint8Array, Uint32Array};
use std::{cell::RefCell, rc::Rc};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

/// A model in training on a GPU. While a promise is open, nothing else may be asked.
#[wasm_bindgen]
pub struct GpuTraining(Rc<RefCell<Option<GpuTrainer>>>);

#[wasm_bindgen]
impl GpuTraining {
    /// A promise of it: as `Training`'s constructor, on the default adapter's device.
    pub fn open(file: &Uint8Array, compiled: Option<String>, seed: f64) -> Promise {
        let trainer = open_trainer(file, compiled, seed);
        future_to_promise(async move {
            let open = async { GpuTrainer::new(GpuContext::open().await?, trainer?).await };
            let trainer = open.await.map_err(to_js_error)?;
            Ok(Self(Rc::new(RefCell::new(Some(trainer)))).into())
        })
    }

    /// As of `Training`.
    #[wasm_bindgen(js_name = targetWidths)]
    pub fn target_widths(&self) -> JsResult<Vec<usize>> {
        self.with(|trainer| Ok(trainer.target_widths()))
    }

    /// As of `Training`.
    pub fn reserve(&self, samples: usize) -> JsResult<Vec<usize>> {
        self.with(|trainer| {
            trainer.reserve(samples)?;
            Ok(trainer.addresses())
        })
    }

    /// A promise of a step on the samples that were written: of the losses that have come.
    pub fn step(&self, samples: usize) -> Promise {
        self.promise(async move |trainer| Ok(trainer.step(samples).await?.into_iter().collect()))
    }

    /// A promise of the losses that have not come yet.
    pub fn losses(&self) -> Promise {
        self.promise(async |trainer| {
            let mut losses = vec![];
            while let Some(loss) = trainer.loss().await? {
                losses.push(loss);
            }
            Ok(losses)
        })
    }

    /// A promise that the weights are read back, for `evaluate` and `save`.
    pub fn keep(&self) -> Promise {
        self.promise(async |trainer| trainer.keep().await.map(|()| vec![]))
    }

    /// As of `Training`, with the weights that were kept.
    pub fn evaluate(&self, samples: usize) -> JsResult<f64> {
        self.with(|trainer| trainer.evaluate(samples))
    }

    /// As of `Training`.
    #[wasm_bindgen(js_name = takeResults)]
    pub fn take_results(&self) -> JsResult<JsValue> {
        self.with(|trainer| {
            let results = trainer.results();
            trainer.reset();
            Ok(Value::Object(results.into()).to_js())
        })
    }

    /// As of `Training`.
    #[wasm_bindgen(js_name = learningRate)]
    pub fn learning_rate(&self) -> JsResult<f64> {
        self.with(|trainer| Ok(trainer.learning_rate()))
    }

    /// As of `Training`.
    #[wasm_bindgen(js_name = setLearningRate)]
    pub fn set_learning_rate(&self, rate: f64) -> JsResult<()> {
        self.with(|trainer| {
            trainer.set_learning_rate(rate);
            Ok(())
        })
    }

    /// As of `Training`.
    pub fn shuffle(&self, count: u32) -> JsResult<Uint32Array> {
        self.with(|trainer| {
            let mut indices: Vec<u32> = (0..count).collect();
            trainer.shuffle(&mut indices);
            Ok(Uint32Array::from(indices.as_slice()))
        })
    }

    /// The model with the weights that were kept.
    pub fn save(&self) -> JsResult<Uint8Array> {
        container_of(&self.with(Trainer::model)?)
    }
}

impl GpuTraining {
    fn with<T>(&self, act: impl FnOnce(&mut Trainer) -> Result<T>) -> JsResult<T> {
        let mut own = self.0.borrow_mut();
        let trainer = own.as_mut().ok_or_else(busy);
        trainer.and_then(|trainer| act(trainer.trainer())).map_err(to_js_error)
    }

    /// Takes the trainer out for as long as the promise is open: a borrow must not wait.
    fn promise(&self, act: impl AsyncFnOnce(&mut GpuTrainer) -> Result<Vec<f64>> + 'static) -> Promise {
        let own = self.0.clone();
        let taken = own.take();
        future_to_promise(async move {
            let mut trainer = taken.ok_or_else(busy).map_err(to_js_error)?;
            let losses = act(&mut trainer).await;
            own.replace(Some(trainer));
            Ok(Float64Array::from(losses.map_err(to_js_error)?.as_slice()).into())
        })
    }
}

fn busy() -> Error {
    Error::value("a step of this training is under way")
}
