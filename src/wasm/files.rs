//! Files in JavaScript's memory, copied no more often than must be.

use super::to_js_error;
use crate::{Model, Result, format, tensor::zeroed_bytes};
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;

pub(super) type JsResult<T> = std::result::Result<T, JsValue>;

/// A model as a container file, whose weights are copied once.
pub(super) fn container_of(model: &Model) -> JsResult<Uint8Array> {
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
pub(super) fn copy_bytes(array: &Uint8Array) -> Result<Vec<u8>> {
    let mut bytes = zeroed_bytes(array.length() as usize)?;
    array.copy_to(&mut bytes);
    Ok(bytes)
}
