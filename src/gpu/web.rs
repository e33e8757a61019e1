//! What differs in browsers: WebGPU may be missing, and wgpu panics on errors that it has no name for.

use super::context::{Faults, lock};
use crate::{Error, Result};
use futures_channel::oneshot;
use std::{
    future::Future,
    sync::{Arc, Mutex},
};
use wasm_bindgen::{JsCast, JsValue, prelude::*};
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    /// `GPUDevice`, as far as wgpu does not cover it safely.
    type Device;

    #[wasm_bindgen(method, js_name = pushErrorScope)]
    fn push_error_scope(this: &Device, filter: &str);

    #[wasm_bindgen(method, js_name = popErrorScope)]
    fn pop_error_scope(this: &Device) -> js_sys::Promise;

    #[wasm_bindgen(method, js_name = createComputePipelineAsync)]
    fn create_compute_pipeline_async(this: &Device, descriptor: &JsValue) -> js_sys::Promise;

    #[wasm_bindgen(method, setter)]
    fn set_onuncapturederror(this: &Device, listener: &js_sys::Function);

    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[wasm_bindgen(method, getter, js_name = adapterInfo)]
    fn adapter_info(this: &Device) -> JsValue;
}

/// Whether wgpu may be called at all: it reads `navigator.gpu` from a window or a worker, and panics elsewhere.
pub(super) fn check_support() -> Result<()> {
    let global = js_sys::global();
    let gpu = property(&property(&global, "navigator"), "gpu");
    if gpu.is_undefined() || gpu.is_null() {
        let advice = match property(&global, "isSecureContext").as_bool() {
            Some(false) => {
                "browsers give it to secure pages only: serve this one over https or from localhost"
            }
            _ => "use a browser that has it, or the CPU",
        };
        return Err(Error::device(format!("there is no WebGPU here (navigator.gpu is missing); {advice}")));
    }
    if ["Window", "WorkerGlobalScope"].iter().all(|name| property(&global, name).is_undefined()) {
        return Err(Error::device(
            "WebGPU is used from a browser's windows and workers only; use the CPU here",
        ));
    }
    Ok(())
}

/// Why there is no adapter, and what to do.
pub(super) fn no_adapter(_error: &wgpu::RequestAdapterError) -> String {
    "the browser has WebGPU but found no adapter: turn on hardware acceleration, update the graphics driver, or use \
     the CPU"
        .into()
}

/// The adapter's name, for people. wgpu's own getter fails in browsers from before `GPUAdapterInfo`.
pub(super) fn adapter_name(_adapter: &wgpu::Adapter, device: &wgpu::Device) -> String {
    let info = handle(device).map_or(JsValue::UNDEFINED, |device| device.adapter_info());
    let part = |name| property(&info, name).as_string().filter(|text| !text.is_empty());
    // Most browsers withhold the description, and some the architecture.
    let composed = || {
        let parts: Vec<_> = ["vendor", "architecture"].into_iter().filter_map(part).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    part("description").or_else(composed).unwrap_or_else(|| "WebGPU adapter".into())
}

/// Whether the adapter is a processor that passes for a GPU, as far as the browser says.
pub(super) fn is_software(_adapter: &wgpu::Adapter, device: &wgpu::Device) -> bool {
    let info = handle(device).map_or(JsValue::UNDEFINED, |device| device.adapter_info());
    property(&info, "isFallbackAdapter").is_truthy()
}

/// Records the device's loss and its uncaptured errors.
pub(super) fn record_faults(device: &wgpu::Device, faults: &Arc<Mutex<Faults>>) {
    let record = Arc::clone(faults);
    device.set_device_lost_callback(move |reason, message| {
        lock(&record).lose(format!("{reason:?}: {message}"))
    });
    let record = Arc::clone(faults);
    let listener = Closure::<dyn FnMut(JsValue)>::new(move |event| {
        let message = property(&property(&event, "error"), "message").as_string();
        lock(&record).note(message.unwrap_or_else(|| "no message".into()));
    });
    if let Some(device) = handle(device) {
        device.set_onuncapturederror(listener.as_ref().unchecked_ref());
        // Lives as long as the device, which JavaScript collects.
        listener.forget();
    }
}

/// An error scope for the browser's internal errors, on which wgpu's own panics.
pub(super) struct InternalScope(Option<Device>);

impl InternalScope {
    pub(super) fn push(device: &wgpu::Device) -> Self {
        let device = handle(device);
        if let Some(device) = &device {
            device.push_error_scope("internal");
        }
        Self(device)
    }

    pub(super) fn pop(mut self) -> impl Future<Output = Option<String>> + use<> {
        let error = self.0.take().map(|device| device.pop_error_scope());
        async move {
            // Null when there was no error; rejected when the device is lost, which has its own record.
            let error = JsFuture::from(error?).await.ok().filter(|error| !error.is_null())?;
            Some(property(&error, "message").as_string().unwrap_or_else(|| "internal error".into()))
        }
    }
}

impl Drop for InternalScope {
    fn drop(&mut self) {
        if let Some(device) = self.0.take() {
            let _ = device.pop_error_scope();
        }
    }
}

/// Waits until a buffer's mapping callback has answered.
pub(super) async fn mapped<T>(_device: &wgpu::Device, answer: oneshot::Receiver<T>) -> Option<T> {
    answer.await.ok()
}

/// The same: nothing else is waited for.
#[cfg(feature = "train")]
pub(super) async fn mapped_by<T>(
    _device: &wgpu::Device,
    _submission: wgpu::SubmissionIndex,
    answer: oneshot::Receiver<T>,
) -> Option<T> {
    answer.await.ok()
}

/// Copies a part of mapped memory that begins at byte `start`, without wgpu's copy of the whole.
pub(super) fn copy(view: &wgpu::BufferView, start: usize, out: &mut [f32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
    let part = view.as_uint8array().subarray(start as u32, (start + bytes.len()) as u32);
    part.copy_to(bytes);
}

fn handle(device: &wgpu::Device) -> Option<Device> {
    device.as_webgpu().map(|device| JsValue::from(device.clone()).unchecked_into())
}

/// A property of anything; undefined where there is none.
fn property(object: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Milliseconds since some moment.
pub(super) fn now() -> f64 {
    performance_now()
}

/// Pipelines, each as `create` makes it, but compiled at the same time, and not in the way of what else the browser does:
/// wgpu knows but the call that makes one after the other. What it asks for is written down, handed to the other call, and
/// given to wgpu when it asks once more.
pub(super) fn create_pipelines<F: Fn(usize) -> wgpu::ComputePipeline>(
    device: &wgpu::Device,
    count: usize,
    create: F,
) -> impl Future<Output = Result<Vec<wgpu::ComputePipeline>>> + use<'_, F> {
    let asked = js_sys::Array::new();
    let own = handle(device);
    if let (Some(own), Some(asynchronous)) = (&own, handle(device)) {
        let list = asked.clone();
        let write_down = move |descriptor: JsValue| {
            list.push(&asynchronous.create_compute_pipeline_async(&descriptor));
            // Whatever is taken for a pipeline until then.
            js_sys::Object::new().into()
        };
        in_place_of_create_compute_pipeline(own, write_down, || {
            (0..count).for_each(|index| drop(create(index)))
        });
    }
    async move {
        let Some(own) = own else { return Err(Error::device("the device is not WebGPU's")) };
        let made = JsFuture::from(js_sys::Promise::all(&asked)).await.map_err(|error| {
            Error::device(property(&error, "message").as_string().unwrap_or_else(|| "no message".into()))
        })?;
        let mut next = js_sys::Array::from(&made).into_iter();
        let hand_over = move |_| next.next().unwrap_or(JsValue::UNDEFINED);
        Ok(in_place_of_create_compute_pipeline(&own, hand_over, || (0..count).map(create).collect()))
    }
}

/// Acts while a stand-in takes the place of the device's method.
fn in_place_of_create_compute_pipeline<T>(
    device: &Device,
    stand_in: impl FnMut(JsValue) -> JsValue + 'static,
    act: impl FnOnce() -> T,
) -> T {
    let stand_in = Closure::<dyn FnMut(JsValue) -> JsValue>::new(stand_in);
    let name = JsValue::from("createComputePipeline");
    // An object of its own has properties before its kind's. Neither call can fail on one that is not frozen.
    let _ = js_sys::Reflect::set(device, &name, stand_in.as_ref());
    let done = act();
    let _ = js_sys::Reflect::delete_property(device.unchecked_ref::<js_sys::Object>(), &name);
    done
}
