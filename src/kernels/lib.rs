//! The inner loops of [nearside](https://docs.rs/nearside): activations and matrix products on the CPU.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod activation;
mod binary;
mod dense;

pub use activation::{Activation, Elementwise, Rowwise};
pub use binary::Binary;
pub use dense::PackedDense;
