//! Dense float tensors with checked sizes.

use crate::{Error, Result};
#[cfg(any(feature = "cpu", feature = "gpu"))]
use nearside_kernels::zeroed_floats;
use std::sync::Arc;

/// Row-major `f32` values and their shape. A clone shares the values.
///
/// ```
/// let tensor = nearside::Tensor::new(vec![2, 3], vec![1.0; 6])?;
/// assert_eq!(tensor.shape(), [2, 3]);
/// # Ok::<(), nearside::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Arc<Vec<f32>>,
}

impl Tensor {
    /// Pairs a shape with its values.
    ///
    /// # Errors
    /// `Shape` when `data` does not hold exactly the shape's number of elements.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        Self::shared(shape, Arc::new(data))
    }

    /// As [`new`](Self::new), of values that others have too.
    pub(crate) fn shared(shape: Vec<usize>, data: Arc<Vec<f32>>) -> Result<Self> {
        let expected = element_count(&shape)?;
        if data.len() != expected {
            let len = data.len();
            return Err(Error::shape(format!("shape {shape:?} needs {expected} values, {len} given")));
        }
        Ok(Self { shape, data })
    }

    /// Length of each axis, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Whether both share their values.
    #[cfg(feature = "train")]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }

    /// The values, to be changed: of this tensor alone.
    #[cfg(feature = "train")]
    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data).as_mut_slice()
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        Arc::unwrap_or_clone(self.data)
    }
}

/// Number of elements of a shape.
///
/// # Errors
/// `Shape` when the product overflows.
pub fn element_count(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |count, &axis| count.checked_mul(axis))
        .ok_or_else(|| Error::shape(format!("shape {shape:?} has more elements than can be addressed")))
}

/// An empty vector with room for `len` elements, or a `Memory` error where the allocator would abort.
pub fn reserve<T>(len: usize) -> Result<Vec<T>> {
    let mut data = Vec::new();
    data.try_reserve_exact(len).map_err(|_| out_of_memory(len, size_of::<T>()))?;
    Ok(data)
}

/// A zeroed buffer.
///
/// # Errors
/// As [`reserve`].
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub fn zeroed(len: usize) -> Result<Vec<f32>> {
    zeroed_floats(len).map_err(|_| out_of_memory(len, size_of::<f32>()))
}

/// Zeroed bytes.
///
/// # Errors
/// As [`reserve`].
#[cfg(all(target_arch = "wasm32", any(feature = "engine", feature = "formats", feature = "train")))]
pub fn zeroed_bytes(len: usize) -> Result<Vec<u8>> {
    nearside_kernels::zeroed_bytes(len).map_err(|_| out_of_memory(len, 1))
}

fn out_of_memory(len: usize, size: usize) -> Error {
    let megabytes = (len / 1_000_000).saturating_mul(size);
    Error::memory(format!("{megabytes} MB could not be allocated; use a smaller batch or model"))
}
