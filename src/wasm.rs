//! The surface JavaScript sees: conversions, no logic. The TypeScript in `www/package` gives it its public shape.

use crate::{Context, Error, Model, Result, format, format::json::Value, tensor::zeroed_bytes};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

type JsResult<T> = std::result::Result<T, JsValue>;

/// Runs when the module is instantiated.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Turns foreign files, given with their names, into a container: the name of their format, and the container. Where the
/// model refers to files that are not among them, it is the names of those instead.
#[cfg(feature = "formats")]
#[wasm_bindgen(unchecked_return_type = "[format: string, container: Uint8Array] | string[]")]
pub fn convert(
    names: Vec<String>,
    files: Vec<Uint8Array>,
    config: Option<String>,
    format: Option<String>,
) -> JsResult<JsValue> {
    let bytes = files.iter().map(copy_bytes).collect::<Result<Vec<_>>>().map_err(to_js_error)?;
    let files: Vec<_> = names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)).collect();
    let missing = format::companions(&files).map_err(to_js_error)?;
    if !missing.is_empty() {
        return Ok(missing.into_iter().map(JsValue::from).collect::<js_sys::Array>().into());
    }
    let model = format::read_as(&files, config.as_deref(), format.as_deref()).map_err(to_js_error)?;
    let found = format::format_of(&files).map_err(to_js_error)?;
    drop(files);
    drop(bytes);
    Ok(js_sys::Array::of2(&found.into(), &container_of(&model)?.into()).into())
}

/// Turns a container into a file of another format, or of smaller weights.
#[cfg(feature = "formats")]
#[wasm_bindgen]
pub fn save(container: &Uint8Array, format: String, dtype: String) -> JsResult<Uint8Array> {
    let write = || {
        let (output, dtype) =
            (format::Output::from_name(&format)?, format::container::dtype_from_name(&dtype)?);
        let model = format::container::read(&copy_bytes(container)?)?;
        format::write(&model, output, dtype)
    };
    Ok(Uint8Array::from(write().map_err(to_js_error)?.as_slice()))
}

#[cfg(feature = "engine")]
mod engine {
    use super::*;
    use crate::{
        Dtype, Plan, Port, Session,
        backend::Device,
        cpu::{CpuExecutor, Share},
        format::safetensors::Source,
        tensor::zeroed,
    };
    use js_sys::{Float32Array, Promise};
    use std::{borrow::Cow, cell::RefCell, ops::Range, rc::Rc};
    use wasm_bindgen_futures::future_to_promise;

    /// The memory that the addresses are of.
    #[wasm_bindgen(js_name = wasmMemory)]
    pub fn wasm_memory() -> JsValue {
        wasm_bindgen::memory()
    }

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
                let (model, own) = format::container::read_from(&JsFile(file))?;
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

    /// A session, shared with the predictions in flight.
    #[wasm_bindgen]
    pub struct Engine(Rc<Session>);

    #[wasm_bindgen]
    impl Engine {
        /// Makes a container's model ready on the CPU.
        #[wasm_bindgen(constructor)]
        pub fn new(container: Container) -> JsResult<Engine> {
            let session = Session::from_model(container.model, container.dtype).map_err(to_js_error)?;
            Ok(Self(Rc::new(session)))
        }

        /// Changes the device that answers when none is named: `auto`, `cpu` or `gpu`.
        pub fn choose(&self, device: String) -> Promise {
            let session = self.0.clone();
            future_to_promise(async move {
                let device = Device::from_name(&device).map_err(to_js_error)?;
                session.choose(device).await.map_err(to_js_error)?;
                Ok(JsValue::UNDEFINED)
            })
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
                ("steps", plan.steps.len().into()),
                // The most values a sample has between two steps.
                ("widest", plan.slots.iter().copied().max().unwrap_or(0).into()),
            ]);
            Ok(info.to_js())
        }

        /// The device report.
        pub fn device(&self) -> JsValue {
            let report = self.0.device();
            Value::object([
                ("kind", report.kind.name().into()),
                ("reason", report.reason.as_str().into()),
                ("simd", report.simd.into()),
                ("adapter", report.adapter.as_deref().into()),
            ])
            .to_js()
        }

        /// The tables of layers and steps.
        pub fn summary(&self) -> JsResult<String> {
            self.0.summary().map_err(to_js_error)
        }

        /// The outputs for a batch on the GPU, as a promise of one array for each output; of `undefined` when it fails,
        /// and the CPU is to answer, as it may where the GPU was not asked for by name.
        #[wasm_bindgen(js_name = predictOnGpu)]
        pub fn predict_on_gpu(&self, inputs: Vec<Float32Array>, by_name: bool) -> Promise {
            let session = self.0.clone();
            future_to_promise(async move {
                let inputs = copy_inputs(&inputs).map_err(to_js_error)?;
                let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                let outputs = session.predict_on_gpu(&inputs, by_name).await.map_err(to_js_error)?;
                Ok(outputs.map_or(JsValue::UNDEFINED, |outputs| to_arrays(&outputs).into()))
            })
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

    fn copy_inputs(inputs: &[Float32Array]) -> Result<Vec<Vec<f32>>> {
        let copy = |input: &Float32Array| {
            let mut values = zeroed(input.length() as usize)?;
            input.copy_to(&mut values);
            Ok(values)
        };
        inputs.iter().map(copy).collect()
    }

    fn ports(ports: &[Port]) -> Value {
        let port = |port: &Port| {
            let classes = port.classes.as_ref();
            let names =
                classes.map(|classes| classes.names.iter().map(|name| name.as_str().into()).collect());
            Value::object([
                ("name", port.name.as_str().into()),
                ("shape", Value::sizes(&port.shape)),
                ("classes", names.map_or(Value::Null, Value::Array)),
                // Whether the values are indices of the classes.
                ("labels", Value::Bool(classes.is_some_and(|classes| !classes.columns))),
            ])
        };
        Value::Array(ports.iter().map(port).collect())
    }

    fn to_arrays(outputs: &[Vec<f32>]) -> js_sys::Array {
        outputs.iter().map(|output| Float32Array::from(output.as_slice())).collect()
    }
}

/// A model as a container file, whose weights are copied once.
fn container_of(model: &Model) -> JsResult<Uint8Array> {
    let (start, tensors) = format::container::start(model).map_err(to_js_error)?;
    let mut end = start.len();
    let values = tensors.iter().map(|tensor| 4 * tensor.data().len()).sum::<usize>();
    let file = Uint8Array::new_with_length((end + values) as u32);
    file.subarray(0, end as u32).copy_from(&start);
    for tensor in tensors {
        // This processor's order of bytes is the file's.
        let bytes: &[u8] = bytemuck::cast_slice(tensor.data());
        let start = end;
        end += bytes.len();
        file.subarray(start as u32, end as u32).copy_from(bytes);
    }
    Ok(file)
}

/// A copy of JavaScript's bytes. wasm-bindgen's own aborts where there is no memory for it.
fn copy_bytes(array: &Uint8Array) -> Result<Vec<u8>> {
    let mut bytes = zeroed_bytes(array.length() as usize)?;
    array.copy_to(&mut bytes);
    Ok(bytes)
}

/// `{ kind, message, context }`, which the TypeScript turns into a `NearsideError`.
fn to_js_error(error: Error) -> JsValue {
    let Context { layer, tensor, offset } = error.context();
    let context = Value::object([
        ("layer", layer.as_deref().into()),
        ("tensor", tensor.as_deref().into()),
        ("offset", offset.map_or(Value::Null, |offset| Value::Number(offset as f64))),
    ]);
    Value::object([
        ("kind", error.kind().as_str().into()),
        ("message", error.to_string().as_str().into()),
        ("context", context),
    ])
    .to_js()
}
