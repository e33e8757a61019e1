//! The adapter and device that executors share, and the record of what went wrong on them.

use super::{kernel::Pipelines, platform, tune::Choice};
use crate::{Error, Result};
use futures_channel::oneshot;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    mem::ManuallyDrop,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An open GPU device. Executors that share one share its compiled kernels.
pub struct GpuContext {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Pipelines,
    pub(super) limits: Limits,
    /// Whether it is a processor that passes for a GPU.
    pub(super) software: bool,
    pub(super) choice: Cell<Choice>,
    adapter_name: String,
    faults: Arc<Mutex<Faults>>,
}

/// What the device allows, as far as a plan depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the largest buffer that a kernel can bind.
    pub buffer_bytes: u64,
    /// Workgroups along one dimension of a dispatch.
    pub workgroups: u32,
    /// What the offset of a bound range of a uniform buffer is a multiple of.
    pub uniform_alignment: u32,
}

/// What no error scope saw. Filled by the device's callbacks, read by [`GpuContext::check`].
#[derive(Default)]
pub(super) struct Faults {
    lost: Option<String>,
    uncaptured: Option<String>,
}

impl Faults {
    pub(super) fn lose(&mut self, reason: String) {
        self.lost.get_or_insert(reason);
    }

    /// The first error is the cause; those after it are usually its consequences.
    pub(super) fn note(&mut self, message: String) {
        self.uncaptured.get_or_insert(message);
    }
}

thread_local! {
    /// Not dropped with the thread, when what wgpu keeps for the thread may be gone already.
    static SHARED: RefCell<Option<ManuallyDrop<Rc<GpuContext>>>> = const { RefCell::new(None) };
}

/// Kernels index with 32 bits, and WebGPU binds at most 4 GB.
const MAX_BUFFER_BYTES: u64 = u32::MAX as u64 - 3;

impl GpuContext {
    /// Opens the default adapter with the buffer sizes that it offers.
    ///
    /// # Errors
    /// `Device`, saying whether WebGPU itself, an adapter or a device is missing, and what to do.
    pub async fn open() -> Result<Rc<Self>> {
        Self::open_with_limits(MAX_BUFFER_BYTES, u32::MAX).await
    }

    /// The thread's own device, opened when it is first asked for or was lost: adapters are slow to ask for, and
    /// executors of one device share its kernels.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn shared() -> Result<Rc<Self>> {
        let open =
            SHARED.with_borrow(|shared| shared.as_deref().cloned().filter(|shared| shared.lost().is_none()));
        if let Some(open) = open {
            return Ok(open);
        }
        let context = Self::open().await?;
        SHARED.replace(Some(ManuallyDrop::new(context.clone()))).map(ManuallyDrop::into_inner);
        Ok(context)
    }

    /// As [`open`](Self::open), with buffers of at most that many bytes and dispatches of at most that many workgroups
    /// a dimension: how tests reach the limits without batches of gigabytes.
    #[doc(hidden)]
    pub async fn open_with_limits(bytes: u64, workgroups: u32) -> Result<Rc<Self>> {
        platform::check_support()?;
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = wgpu::Instance::new(descriptor).request_adapter(&options).await;
        let adapter = adapter.map_err(|error| Error::device(platform::no_adapter(&error)))?;
        // More than WebGPU's defaults only where models outgrow them: browsers may place devices with higher limits
        // on slower paths, and every limit asked for is one more that a request can fail on.
        let (offered, default) = (adapter.limits(), wgpu::Limits::default());
        let required_limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size.min(bytes),
            max_buffer_size: offered.max_buffer_size.min(bytes),
            max_compute_workgroups_per_dimension: default
                .max_compute_workgroups_per_dimension
                .min(workgroups),
            ..default
        };
        let limits = Limits {
            buffer_bytes: required_limits
                .max_storage_buffer_binding_size
                .min(required_limits.max_buffer_size)
                .min(MAX_BUFFER_BYTES),
            workgroups: required_limits.max_compute_workgroups_per_dimension,
            uniform_alignment: required_limits.min_uniform_buffer_offset_alignment,
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("nearside"),
            required_limits,
            // For profiles, where there is a clock.
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| {
            Error::device(format!(
                "the GPU adapter gave no device: {error}; use the CPU, or reload and try again"
            ))
        })?;
        let faults = Arc::default();
        platform::record_faults(&device, &faults);
        let pipelines = Pipelines::new(&device);
        let adapter_name = platform::adapter_name(&adapter, &device);
        let software = platform::is_software(&adapter, &device);
        let choice = Cell::new(Choice::untimed(software));
        Ok(Rc::new(Self { device, queue, pipelines, limits, software, choice, adapter_name, faults }))
    }

    /// The adapter's name, for people: what there is of description, vendor and architecture.
    pub fn adapter_name(&self) -> String {
        self.adapter_name.clone()
    }

    /// Whether it is a processor that passes for a GPU.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// Why the device was lost, if it was. Nothing runs on it any more; open another.
    pub fn lost(&self) -> Option<String> {
        self.faults().lost.clone()
    }

    /// Destroys the device, as the loss of it does: how tests reach that state.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.device.destroy();
        self.faults().lose("it was destroyed".into());
    }

    /// Fails if anything went wrong on the device that no call of ours was told of.
    pub(super) fn check(&self) -> Result<()> {
        let mut faults = self.faults();
        if let Some(reason) = &faults.lost {
            return Err(Error::device(format!("the GPU device was lost: {reason}; load the model again")));
        }
        match faults.uncaptured.take() {
            Some(message) => Err(Error::device(format!("the GPU reported an error: {message}"))),
            None => Ok(()),
        }
    }

    pub(super) fn choice(&self) -> Choice {
        self.choice.get()
    }

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// `Device` when the device was lost.
    pub(super) async fn finished(&self) -> Result<()> {
        let (sender, answer) = oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone when the caller gave up.
            let _ = sender.send(());
        });
        platform::mapped(&self.device, answer).await.ok_or_else(|| self.gone())
    }

    /// Maps a buffer to be read. The future tells whether that could be done.
    pub(super) fn map(&self, buffer: &wgpu::Buffer) -> impl Future<Output = bool> + use<'_> {
        let (sender, answer) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the caller gave up.
            let _ = sender.send(result);
        });
        async move { matches!(platform::mapped(&self.device, answer).await, Some(Ok(()))) }
    }

    /// The error of a device that does not answer: its own word of that may come later.
    pub(super) fn gone(&self) -> Error {
        self.check().err().unwrap_or_else(|| {
            Error::device("the GPU was lost before its results could be read; load the model again")
        })
    }

    /// Begins to watch for errors of the calls that follow.
    ///
    /// No `await` may come between this and [`Watch::finish`]: the device keeps one stack of watches, which tasks
    /// taking turns would pop in the wrong order.
    pub(super) fn watch(&self) -> Watch {
        // Struct fields are evaluated as written and dropped in order of declaration: a stack.
        Watch {
            memory: self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory),
            validation: self.device.push_error_scope(wgpu::ErrorFilter::Validation),
            internal: platform::InternalScope::push(&self.device),
        }
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }
}

impl Drop for GpuContext {
    fn drop(&mut self) {
        // A browser's garbage collector would take its time.
        self.device.destroy();
    }
}

pub(super) fn lock(faults: &Mutex<Faults>) -> MutexGuard<'_, Faults> {
    // The lock is only ever held for an assignment, after which the record is whole.
    faults.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Error scopes around a group of calls.
#[must_use]
pub(super) struct Watch {
    internal: platform::InternalScope,
    validation: wgpu::ErrorScopeGuard,
    memory: wgpu::ErrorScopeGuard,
}

impl Watch {
    /// Ends the watch at once; the future tells what it saw.
    pub(super) fn finish(self) -> impl Future<Output = Result<()>> + use<> {
        let internal = self.internal.pop();
        let validation = self.validation.pop();
        let memory = self.memory.pop();
        async move {
            let (internal, validation, memory) = (internal.await, validation.await, memory.await);
            // A buffer without memory is invalid, and so is all that uses it: memory is the cause.
            if memory.is_some() {
                return Err(Error::memory("the GPU has no memory left; use a smaller batch, or the CPU"));
            }
            match validation.map(|error| error.to_string()).or(internal) {
                Some(message) => Err(Error::device(format!("the GPU refused: {message}"))),
                None => Ok(()),
            }
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn open() -> Rc<GpuContext> {
        pollster::block_on(GpuContext::open())
            .expect("these tests need a GPU adapter: install mesa-vulkan-drivers")
    }

    fn make_broken_shader(context: &GpuContext) {
        let source = wgpu::ShaderSource::Wgsl("fn main() { nonsense }".into());
        let _ = context.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    }

    #[test]
    fn a_watch_reports_what_the_device_refuses() {
        let context = open();
        let watch = context.watch();
        make_broken_shader(&context);
        let error = pollster::block_on(watch.finish()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert_eq!(context.check(), Ok(()));
    }

    #[test]
    fn an_error_that_nothing_watches_is_reported_once() {
        let context = open();
        make_broken_shader(&context);
        let error = context.check().unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
        assert_eq!(context.check(), Ok(()));
    }

    #[test]
    fn an_abandoned_watch_leaves_the_device_usable() {
        let context = open();
        drop(context.watch());
        assert_eq!(pollster::block_on(context.watch().finish()), Ok(()));
    }
}
