//! Runs a neural network on the user's side of the network.
//!
//! ```text
//! files (name → bytes)
//!     │  format::read: detect by content
//!     ▼
//!   Model   plain data: layers, weights, shapes  ◄── Session
//!     │  Plan::compile: shapes, fusion, slots          ▲
//!     ▼                                                │
//!   Plan    plain data: steps over buffer slots ──► CpuExecutor ──► values
//!     │  Program::of: shaders over buffers
//!     ▼
//!  Program  plain data: what crosses to the GPU's module ──► GpuExecutor ──► values
//! ```
//!
//! Five WebAssembly modules are built from this crate. The *engine* (feature `engine`) plans models, runs them on the
//! CPU and reads one file format, the [container](format::container): it is what every page downloads. The *gpu* module
//! (feature `gpu`) runs programs through WebGPU, and is fetched where that may pay. The *formats* module (feature
//! `formats`) turns the files of other tools into the container, in a memory of its own.
//! Two more train: on the CPU (feature `train`), and on the GPU (features `train` and `gpu`). A native build has them all.

#![deny(unsafe_code, missing_docs)]

pub mod compile;
mod error;
pub mod format;
pub mod layer;
mod math;
pub mod model;
mod tensor;

#[cfg(feature = "gpu")]
pub mod backend;
#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "cpu")]
pub mod plan;
#[cfg(any(feature = "cpu", feature = "gpu"))]
pub mod program;
#[cfg(feature = "engine")]
pub mod session;
#[cfg(feature = "train")]
pub mod train;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use compile::{Compiled, Loss, Optimizer};
pub use error::{Context, Error, ErrorKind, Result};
pub use layer::{Layer, LayerKind};
pub use model::{Model, Node};
pub use nearside_kernels::{Activation, Binary, Dtype, Elementwise, Rowwise};
#[cfg(feature = "cpu")]
pub use plan::{Classes, Kernel, Plan, Port, Source, Step};
#[cfg(feature = "engine")]
pub use session::Session;
pub use tensor::Tensor;

// A quarter of the code of the standard library's allocator: 2 KB of the download.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
