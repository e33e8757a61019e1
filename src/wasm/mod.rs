//! The surface JavaScript sees: conversions, no logic. The TypeScript in `www/package` gives it its public shape.

#[cfg(feature = "engine")]
mod engine;
#[cfg(any(feature = "engine", feature = "formats", feature = "train"))]
mod files;
#[cfg(feature = "formats")]
mod formats;
// The module that trains on a GPU predicts nothing.
#[cfg(all(feature = "gpu", not(feature = "train")))]
mod gpu;
#[cfg(feature = "train")]
mod train;
#[cfg(all(feature = "train", feature = "gpu"))]
mod train_gpu;

use crate::{Context, Error, format::json::Value};
use wasm_bindgen::prelude::*;

/// Runs when the module is instantiated.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// The memory that addresses are of.
#[cfg(any(feature = "engine", feature = "train"))]
#[wasm_bindgen(js_name = wasmMemory)]
pub fn wasm_memory() -> JsValue {
    wasm_bindgen::memory()
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
