//! The formats module: files of other tools to containers, and back.

use super::{
    files::{JsResult, container_of, copy_bytes},
    to_js_error,
};
use crate::{Result, format};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

/// Turns foreign files, given with their names, into a container: the name of their format, and the container. Where the
/// model refers to files that are not among them, it is the names of those instead. `compiled` asks for what the model was
/// compiled with as well.
#[wasm_bindgen(unchecked_return_type = "[format: string, container: Uint8Array] | string[]")]
pub fn convert(
    names: Vec<String>,
    files: Vec<Uint8Array>,
    config: Option<String>,
    format: Option<String>,
    compiled: Option<bool>,
) -> JsResult<JsValue> {
    let bytes = files.iter().map(copy_bytes).collect::<Result<Vec<_>>>().map_err(to_js_error)?;
    let files: Vec<_> = names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)).collect();
    let missing = format::companions(&files).map_err(to_js_error)?;
    if !missing.is_empty() {
        return Ok(missing.into_iter().map(JsValue::from).collect::<js_sys::Array>().into());
    }
    let options = format::Options {
        config: config.as_deref(),
        format: format.as_deref(),
        compiled: compiled.unwrap_or(false),
    };
    let model = format::read_with(&files, &options).map_err(to_js_error)?;
    let found = format::format_of(&files).map_err(to_js_error)?;
    drop(files);
    drop(bytes);
    Ok(js_sys::Array::of2(&found.into(), &container_of(&model)?.into()).into())
}

/// Turns a container into a file of another format, or of smaller weights.
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
