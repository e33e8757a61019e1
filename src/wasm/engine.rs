//! The engine's module: containers to sessions, and what those answer on the CPU.

use super::{
    files::{JsResult, container_of, copy_bytes},
    to_js_error,
};
use crate::{
    Dtype, Model, Plan, Port, Result, Session,
    cpu::{CpuExecutor, SIMD, Share},
    format::{self, json::Value, safetensors::Source},
    program::weights::Buffer,
    tensor::zeroed,
};
use js_sys::{Array, Uint8Array, Uint32Array};
use std::{borrow::Cow, cell::RefCell, ops::Range, rc::Rc};
use wasm_bindgen::prelude::*;

/// The model of a container.
#[wasm_bindgen]
pub struct Container {
    model: Model,
    /// How the CPU is to keep its weights.
    dtype: Dtype,
}

#[wasm_bindgen]
impl Container {
    /// Reads a container. Weights are to be kept in a type: that of the file unless one is given. Nothing of the file
    /// is needed afterwards.
    #[wasm_bindgen(constructor)]
    pub fn new(file: &Uint8Array, dtype: Option<String>) -> JsResult<Container> {
        let read = || {
            let (model, own) = format::container::read_from(&JsFile(file), false)?;
            let dtype = dtype.as_deref().map_or(Ok(own), format::container::dtype_from_name)?;
            Ok(Self { model, dtype })
        };
        read().map_err(to_js_error)
    }
}

/// A file in JavaScript's memory, from which weights are copied where they are to be.
struct JsFile<'a>(&'a Uint8Array);

impl JsFile<'_> {
    fn part(&self, Range { start, end }: Range<usize>) -> Uint8Array {
        self.0.subarray(start as u32, end as u32)
    }
}

impl Source for JsFile<'_> {
    fn length(&self) -> usize {
        self.0.length() as usize
    }

    fn bytes(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        Ok(copy_bytes(&self.part(range))?.into())
    }

    fn floats(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let mut floats = zeroed(range.len() / 4)?;
        // This processor's order of bytes is the file's.
        self.part(range).copy_to(bytemuck::cast_slice_mut(&mut floats));
        Ok(floats)
    }
}

/// A session.
#[wasm_bindgen]
pub struct Engine(Session);

/// What a GPU needs of a session.
#[wasm_bindgen]
pub struct Upload {
    buffers: Vec<Buffer>,
    words: Vec<u32>,
    names: Vec<String>,
    /// The bytes of the buffer that was asked for last, unless they are the plan's own.
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl Upload {
    /// The program, as words, and its names.
    pub fn program(&self) -> Array {
        let names: Array = self.names.iter().map(JsValue::from).collect();
        Array::of2(&Uint32Array::from(self.words.as_slice()).into(), &names.into())
    }

    /// Address and number of the bytes of the buffer of that index, until the next call; nothing behind the last.
    pub fn buffer(&mut self, engine: &Engine, index: usize) -> Vec<usize> {
        self.bytes = vec![];
        let Some(buffer) = self.buffers.get(index) else { return vec![] };
        let bytes = match buffer.bytes(engine.0.plan()) {
            Cow::Borrowed(bytes) => bytes,
            Cow::Owned(bytes) => {
                self.bytes = bytes;
                &self.bytes
            }
        };
        vec![bytes.as_ptr() as usize, bytes.len()]
    }
}

#[wasm_bindgen]
impl Engine {
    /// Makes a container's model ready on the CPU.
    #[wasm_bindgen(constructor)]
    pub fn new(container: Container) -> JsResult<Engine> {
        let session = Session::from_model(container.model, container.dtype).map_err(to_js_error)?;
        Ok(Self(session))
    }

    /// Name, inputs, outputs, layers, number of parameters.
    pub fn info(&self) -> JsResult<JsValue> {
        let (model, plan) = (self.0.model(), self.0.plan());
        let shapes = model.shapes().map_err(to_js_error)?;
        let layers = model.nodes.iter().zip(shapes).map(|(node, shape)| {
            let layer = &model.layers[node.layer];
            let activation = layer.kind.activation().map(|activation| activation.name());
            Value::object([
                ("name", layer.name.as_str().into()),
                ("type", layer.kind.type_name().into()),
                ("outputShape", Value::sizes(&shape)),
                ("parameterCount", layer.parameter_count().into()),
                ("activation", activation.into()),
            ])
        });
        let info = Value::object([
            ("name", model.name.as_str().into()),
            ("inputs", ports(&plan.inputs)),
            ("outputs", ports(&plan.outputs)),
            ("layers", Value::Array(layers.collect())),
            ("parameterCount", model.parameter_count().into()),
            ("dtype", self.0.dtype().name().into()),
            ("batched", Value::Bool(plan.batched)),
            ("continuous", Value::Bool(plan.is_continuous())),
            ("simd", SIMD.into()),
            ("steps", plan.steps.len().into()),
            // The most values a sample has between two steps.
            ("widest", plan.slots.iter().copied().max().unwrap_or(0).into()),
        ]);
        Ok(info.to_js())
    }

    /// What each step of the plan has to do for so many samples.
    pub fn steps(&self, samples: usize) -> JsValue {
        let (model, plan) = (self.0.model(), self.0.plan());
        let steps = plan.steps.iter().map(|step| {
            Value::object([
                ("layer", model.layers[step.layer].name.as_str().into()),
                ("kernel", step.kernel.name().as_str().into()),
                ("flop", Value::Number(step.flop(samples))),
                ("bytes", Value::Number(step.bytes(plan, samples))),
            ])
        });
        Value::Array(steps.collect()).to_js()
    }

    /// The tables of layers and steps.
    pub fn summary(&self) -> JsResult<String> {
        self.0.summary().map_err(to_js_error)
    }

    /// What a GPU needs of it.
    pub fn upload(&self) -> Upload {
        let (program, buffers) = self.0.program();
        Upload { buffers, words: program.to_words(), names: program.names, bytes: vec![] }
    }

    /// Number of samples that inputs of these lengths hold.
    pub fn samples(&self, lengths: &[usize]) -> JsResult<usize> {
        self.0.samples(lengths).map_err(to_js_error)
    }

    /// What computes it on the CPU.
    pub fn cpu(&self) -> Cpu {
        Cpu(self.0.cpu())
    }

    /// The model as a container file.
    pub fn save(&self) -> JsResult<Uint8Array> {
        container_of(self.0.model())
    }
}

/// A model on the CPU.
#[wasm_bindgen]
pub struct Cpu(Rc<RefCell<CpuExecutor>>);

#[wasm_bindgen]
impl Cpu {
    /// Makes a container's model ready on the CPU alone: it holds the weights once.
    #[wasm_bindgen(constructor)]
    pub fn new(Container { model, dtype }: Container) -> JsResult<Cpu> {
        let prepare = || CpuExecutor::prepare(&model, &Plan::compile(&model)?, dtype);
        Ok(Self(Rc::new(RefCell::new(prepare().map_err(to_js_error)?))))
    }

    /// Makes room for samples. Gives how many of them are computed at once, and the address of each input and
    /// output. The next call may move them.
    pub fn reserve(&self, samples: usize) -> JsResult<Vec<usize>> {
        let mut cpu = self.0.borrow_mut();
        let size = cpu.reserve(samples).map_err(to_js_error)?;
        let (inputs, outputs) = cpu.ports();
        let mut answer = vec![size];
        for index in 0..inputs {
            answer.push(cpu.input(index).as_ptr() as usize);
        }
        for index in 0..outputs {
            answer.push(cpu.output(index).as_ptr() as usize);
        }
        Ok(answer)
    }

    /// Computes the outputs of so many samples, whose inputs were written to their addresses.
    pub fn compute(&self, samples: usize) -> JsResult<()> {
        self.0.borrow_mut().compute(samples).map_err(to_js_error)
    }

    /// Computes a step of the plan together with others, of which this is the one of that index. Nothing, or what
    /// they have to exchange before the next step: the address of so many rows of so many values, and those of
    /// each row that this one computed, from one to before another.
    #[wasm_bindgen(js_name = computeStep)]
    pub fn compute_step(
        &self,
        step: usize,
        samples: usize,
        index: usize,
        count: usize,
    ) -> JsResult<Vec<usize>> {
        let mut cpu = self.0.borrow_mut();
        let share = cpu.compute_step(step, samples, index, count).map_err(to_js_error)?;
        Ok(match share {
            Some(Share { values, width, units }) => {
                vec![values.as_ptr() as usize, values.len() / width, width, units.start, units.end]
            }
            None => vec![],
        })
    }
}

/// Null where any number will do.
fn limits(port: &Port) -> Value {
    let limits = || port.limits.iter().map(|&limit| Value::Number(limit.into())).collect();
    if port.limits.is_empty() { Value::Null } else { Value::Array(limits()) }
}

fn ports(ports: &[Port]) -> Value {
    let port = |port: &Port| {
        let classes = port.classes.as_ref();
        let names = classes.map(|classes| classes.names.iter().map(|name| name.as_str().into()).collect());
        Value::object([
            ("name", port.name.as_str().into()),
            ("shape", Value::sizes(&port.shape)),
            ("classes", names.map_or(Value::Null, Value::Array)),
            ("limits", limits(port)),
            // Whether the values are indices of the classes.
            ("labels", Value::Bool(classes.is_some_and(|classes| !classes.columns))),
        ])
    };
    Value::Array(ports.iter().map(port).collect())
}
