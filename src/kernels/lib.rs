//! The inner loops of [nearside](https://docs.rs/nearside): activations and matrix products on the CPU, and copies.

#![deny(missing_docs)]

mod activation;
mod apply;
mod binary;
mod bytes;
mod dense;
mod gradient;
mod small;
pub mod train;
mod vector;

pub use activation::{Activation, Elementwise, Rowwise};
pub use binary::Binary;
pub use bytes::{append_le_bytes, extend_from_le_bytes, zeroed_bytes, zeroed_floats};
pub use dense::{PANEL, PackedDense, Row, Scratch, Weights};
pub use small::{Dtype, Halves, Pair};
