//! The surface JavaScript sees: conversions, no logic. The TypeScript in `www/package` gives it its public shape.

use crate::{Error, Result, format, tensor::reserve};
use js_sys::{Object, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

type JsResult<T> = std::result::Result<T, JsValue>;

/// Runs when the module is instantiated.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Turns a foreign file into a container.
#[cfg(feature = "formats")]
#[wasm_bindgen]
pub fn convert(file: &Uint8Array) -> JsResult<Uint8Array> {
    let bytes = copy_bytes(file).map_err(to_js_error)?;
    let model = format::read(&bytes).map_err(to_js_error)?;
    drop(bytes);
    let container = format::container::write(&model).map_err(to_js_error)?;
    Ok(Uint8Array::from(container.as_slice()))
}

#[cfg(feature = "engine")]
mod engine {
    use super::*;
    use crate::{
        Port, Session,
        backend::{Device, DeviceKind},
        tensor::zeroed,
    };
    use js_sys::{Float32Array, Promise};
    use std::rc::Rc;
    use wasm_bindgen_futures::future_to_promise;

    /// The format of a file, by its first bytes: `container`, `hdf5`, `zip` or `html`.
    #[wasm_bindgen]
    pub fn detect(start: &[u8]) -> JsResult<String> {
        Ok(format::detect(start).map_err(to_js_error)?.name().to_string())
    }

    /// A session, shared with the predictions in flight.
    #[wasm_bindgen]
    pub struct Engine(Rc<Session>);

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ModelInfo<'a> {
        name: &'a str,
        inputs: Vec<PortInfo<'a>>,
        outputs: Vec<PortInfo<'a>>,
        layers: Vec<LayerInfo<'a>>,
        parameter_count: usize,
        batched: bool,
    }

    #[derive(Serialize)]
    struct PortInfo<'a> {
        name: &'a str,
        shape: &'a [usize],
        #[serde(skip_serializing_if = "Option::is_none")]
        classes: Option<&'a [String]>,
        /// Whether the values are indices of the classes.
        labels: bool,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct LayerInfo<'a> {
        name: &'a str,
        r#type: &'a str,
        output_shape: Vec<usize>,
        parameter_count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        activation: Option<&'a str>,
    }

    #[wasm_bindgen]
    impl Engine {
        /// Reads a container, and makes its model ready on the CPU.
        #[wasm_bindgen(constructor)]
        pub fn new(container: &Uint8Array) -> JsResult<Engine> {
            let bytes = copy_bytes(container).map_err(to_js_error)?;
            let model = format::container::read(&bytes).map_err(to_js_error)?;
            drop(bytes);
            Ok(Self(Rc::new(Session::from_model(model).map_err(to_js_error)?)))
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
            let model = self.0.model();
            let shapes = model.shapes().map_err(to_js_error)?;
            let layers = model.nodes.iter().zip(shapes).map(|(node, output_shape)| {
                let layer = &model.layers[node.layer];
                LayerInfo {
                    name: &layer.name,
                    r#type: layer.kind.type_name(),
                    output_shape,
                    parameter_count: layer.parameter_count(),
                    activation: layer.kind.activation().map(|activation| activation.name()),
                }
            });
            to_js(&ModelInfo {
                name: &model.name,
                inputs: self.0.plan().inputs.iter().map(port_info).collect(),
                outputs: self.0.plan().outputs.iter().map(port_info).collect(),
                layers: layers.collect(),
                parameter_count: model.parameter_count(),
                batched: model.batched,
            })
        }

        /// The device report.
        pub fn device(&self) -> JsResult<JsValue> {
            to_js(&self.0.device())
        }

        /// The layer table.
        pub fn summary(&self) -> JsResult<String> {
            self.0.model().summary().map_err(to_js_error)
        }

        /// The outputs for a batch, as a promise of one array for each output: on the GPU if `on_gpu`, else on the
        /// device that was chosen.
        pub fn predict(&self, inputs: Vec<Float32Array>, on_gpu: bool) -> Promise {
            let session = self.0.clone();
            future_to_promise(async move {
                let inputs = copy_inputs(&inputs).map_err(to_js_error)?;
                let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                let device = on_gpu.then_some(DeviceKind::Gpu);
                let outputs = session.predict(&inputs, device).await.map_err(to_js_error)?;
                Ok(to_arrays(&outputs).into())
            })
        }

        /// The outputs for a batch, computed on the CPU at once.
        #[wasm_bindgen(js_name = predictSync)]
        pub fn predict_sync(&self, inputs: Vec<Float32Array>) -> JsResult<js_sys::Array> {
            let inputs = copy_inputs(&inputs).map_err(to_js_error)?;
            let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            Ok(to_arrays(&self.0.predict_sync(&inputs).map_err(to_js_error)?))
        }

        /// The model as a container file.
        pub fn save(&self) -> JsResult<Uint8Array> {
            let bytes = self.0.save().map_err(to_js_error)?;
            Ok(Uint8Array::from(bytes.as_slice()))
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

    fn port_info(port: &Port) -> PortInfo<'_> {
        let classes = port.classes.as_ref();
        PortInfo {
            name: &port.name,
            shape: &port.shape,
            classes: classes.map(|classes| classes.names.as_slice()),
            labels: classes.is_some_and(|classes| !classes.columns),
        }
    }

    fn to_arrays(outputs: &[Vec<f32>]) -> js_sys::Array {
        outputs.iter().map(|output| Float32Array::from(output.as_slice())).collect()
    }
}

/// A copy of JavaScript's bytes. wasm-bindgen's own aborts where there is no memory for it.
fn copy_bytes(array: &Uint8Array) -> Result<Vec<u8>> {
    let length = array.length() as usize;
    let mut bytes = reserve(length)?;
    bytes.resize(length, 0);
    array.copy_to(&mut bytes);
    Ok(bytes)
}

fn to_js<T: Serialize>(value: &T) -> JsResult<JsValue> {
    serde_wasm_bindgen::to_value(value).map_err(JsValue::from)
}

/// `{ kind, message, context }`, which the TypeScript turns into a `NearsideError`.
fn to_js_error(error: Error) -> JsValue {
    let context = to_js(error.context()).unwrap_or_default();
    let fields =
        [("kind", error.kind().as_str().into()), ("message", error.to_string().into()), ("context", context)];
    let object = Object::new();
    for (name, value) in fields {
        // Setting a field of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}
