//! The GPU's module: programs through WebGPU.

use super::to_js_error;
use crate::{
    Error,
    backend::{Costs, Device, Line},
    format::json::Value,
    gpu::{GpuContext, GpuExecutor},
    program::Program,
    tensor::zeroed,
};
use js_sys::{Array, Float32Array, Promise};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

/// An open GPU, which models share.
#[wasm_bindgen]
pub struct Gpu(Rc<GpuContext>);

#[wasm_bindgen]
impl Gpu {
    /// A promise of the default adapter's device.
    pub fn open() -> Promise {
        future_to_promise(async { Ok(Self(GpuContext::open().await.map_err(to_js_error)?).into()) })
    }

    /// The adapter's name, for people.
    pub fn adapter(&self) -> String {
        self.0.adapter_name()
    }

    /// Whether the device was lost: nothing runs on it any more.
    pub fn lost(&self) -> bool {
        self.0.lost().is_some()
    }

    /// Names of the kernels chosen for products of many rows, of few and of one.
    pub fn variants(&self) -> Vec<String> {
        self.0.variants().map(String::from).to_vec()
    }

    /// Chooses kernels by their names.
    pub fn choose(&self, names: Vec<String>) {
        self.0.choose(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Times the kernels and chooses the fastest: a promise of nothing.
    pub fn tune(&self) -> Promise {
        let context = self.0.clone();
        future_to_promise(async move {
            context.tune().await.map_err(to_js_error)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// A model's program, whose buffers are to be uploaded.
    pub fn model(&self, words: Vec<u32>, names: Vec<String>) -> Result<GpuModel, JsValue> {
        let program = Program::from_words(&words, names).map_err(to_js_error)?;
        Ok(GpuModel(Rc::new(GpuExecutor::new(self.0.clone(), program).map_err(to_js_error)?)))
    }
}

/// A model on a GPU, shared with the predictions in flight.
#[wasm_bindgen]
pub struct GpuModel(Rc<GpuExecutor>);

#[wasm_bindgen]
impl GpuModel {
    /// Writes a part of a buffer, from byte `start` on.
    pub fn upload(&self, buffer: usize, start: usize, bytes: &[u8]) {
        self.0.upload(buffer, start, bytes);
    }

    /// Which class of batches so many samples are: 0 for one, 1 for few, 2 for many.
    #[wasm_bindgen(js_name = classOf)]
    pub fn class_of(&self, samples: usize) -> usize {
        GpuExecutor::class(samples)
    }

    /// Compiles the kernels for the class of so many samples: a promise of nothing.
    pub fn compile(&self, samples: usize) -> Promise {
        let executor = self.0.clone();
        future_to_promise(async move {
            executor.compile(samples).await.map_err(to_js_error)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// A promise of the outputs for so many samples, one array for each.
    pub fn predict(&self, inputs: Vec<Float32Array>, samples: usize) -> Promise {
        let executor = self.0.clone();
        future_to_promise(async move {
            let inputs = copy_inputs(&inputs).map_err(to_js_error)?;
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let outputs = executor.run(&inputs, samples).await.map_err(to_js_error)?;
            let arrays: Array = outputs.iter().map(|output| Float32Array::from(output.as_slice())).collect();
            Ok(arrays.into())
        })
    }

    /// A promise of what each task takes: kernel, milliseconds.
    pub fn profile(&self, inputs: Vec<Float32Array>, samples: usize) -> Promise {
        let executor = self.0.clone();
        future_to_promise(async move {
            let inputs = copy_inputs(&inputs).map_err(to_js_error)?;
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let profiles = executor.profile(&inputs, samples).await.map_err(to_js_error)?;
            let steps = profiles.iter().map(|profile| {
                Value::object([("kernel", profile.kernel.into()), ("time", Value::Number(profile.time))])
            });
            Ok(Value::Array(steps.collect()).to_js())
        })
    }
}

fn copy_inputs(inputs: &[Float32Array]) -> Result<Vec<Vec<f32>>, Error> {
    let copy = |input: &Float32Array| {
        let mut values = zeroed(input.length() as usize)?;
        input.copy_to(&mut values);
        Ok(values)
    };
    inputs.iter().map(copy).collect()
}

/// What a model's batches cost the CPU and the GPU.
#[wasm_bindgen]
#[derive(Default)]
pub struct Calibration(Costs);

#[wasm_bindgen]
impl Calibration {
    /// Nothing observed yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the milliseconds that a device took for so many samples.
    pub fn observe(&mut self, gpu: bool, samples: usize, time: f64) {
        self.0.observe(if gpu { Device::Gpu } else { Device::Cpu }, samples, time);
    }

    /// Whether the GPU is the faster for so many samples.
    #[wasm_bindgen(js_name = prefersGpu)]
    pub fn prefers_gpu(&self, samples: usize) -> bool {
        self.0.faster(samples) == Device::Gpu
    }

    /// The costs, and the crossover if there is one.
    pub fn report(&self) -> JsValue {
        let line = |device| {
            self.0.of(device).map_or(Value::Null, |Line { overhead, each }| {
                Value::object([("overhead", Value::Number(overhead)), ("perSample", Value::Number(each))])
            })
        };
        let crossover = self.0.crossover().map_or(Value::Null, Value::from);
        Value::object([("cpu", line(Device::Cpu)), ("gpu", line(Device::Gpu)), ("crossover", crossover)])
            .to_js()
    }
}
