//! Which device computes, and why.

use crate::{
    Error, Model, Plan, Result,
    gpu::{GpuContext, GpuExecutor},
};
use std::{cell::RefCell, mem::ManuallyDrop, rc::Rc};

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, or an error.
    Gpu,
}

impl Device {
    /// The device of that name: `auto`, `cpu` or `gpu`.
    ///
    /// # Errors
    /// `Value` for any other.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            _ => Err(Error::value(format!("there is no device '{name}'; use 'auto', 'cpu' or 'gpu'"))),
        }
    }
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// [`crate::cpu`]
    Cpu,
    /// [`crate::gpu`]
    Gpu,
}

impl DeviceKind {
    /// The name JavaScript knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
        }
    }
}

/// Which device a session uses, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// The device.
    pub kind: DeviceKind,
    /// Why this one, in a sentence.
    pub reason: String,
    /// Vector instructions of the CPU build.
    pub simd: &'static str,
    /// The GPU adapter's name, if the GPU is used.
    pub adapter: Option<String>,
}

impl DeviceReport {
    /// A report of the CPU.
    pub fn cpu(reason: impl Into<String>) -> Self {
        Self { kind: DeviceKind::Cpu, reason: reason.into(), simd: crate::cpu::SIMD, adapter: None }
    }

    /// A report of the GPU.
    pub fn gpu(reason: impl Into<String>, adapter: String) -> Self {
        Self { kind: DeviceKind::Gpu, reason: reason.into(), simd: crate::cpu::SIMD, adapter: Some(adapter) }
    }
}

thread_local! {
    /// One device serves every session of a thread: adapters are slow to ask for, and pipelines are shared. It is not
    /// dropped with the thread, when what wgpu keeps for the thread may be gone already.
    static CONTEXT: RefCell<Option<ManuallyDrop<Rc<GpuContext>>>> = const { RefCell::new(None) };
}

/// Puts a plan on the GPU.
///
/// # Errors
/// `Device` when there is no adapter, or it refuses.
pub async fn prepare_gpu(model: &Model, plan: &Plan) -> Result<GpuExecutor> {
    let open =
        CONTEXT.with_borrow(|context| context.as_deref().cloned().filter(|context| context.lost().is_none()));
    let context = match open {
        Some(context) => context,
        None => {
            let context = GpuContext::open().await?;
            CONTEXT.replace(Some(ManuallyDrop::new(context.clone()))).map(ManuallyDrop::into_inner);
            context
        }
    };
    GpuExecutor::prepare(context, model, plan).await
}
