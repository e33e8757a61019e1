//! What differs outside browsers: errors come through wgpu, and the device must be polled.

use super::context::{Faults, lock};
use crate::Result;
use futures_channel::oneshot;
use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::Poll,
};

/// Whether wgpu may be called at all.
pub(super) fn check_support() -> Result<()> {
    Ok(())
}

/// Why there is no adapter, and what to do.
pub(super) fn no_adapter(error: &wgpu::RequestAdapterError) -> String {
    format!("no GPU adapter was found: {error}; install a Vulkan, Metal or DirectX 12 driver, or use the CPU")
}

/// The adapter's name, for people.
pub(super) fn adapter_name(adapter: &wgpu::Adapter, _device: &wgpu::Device) -> String {
    adapter.get_info().name
}

/// Whether the adapter is a processor that passes for a GPU.
pub(super) fn is_software(adapter: &wgpu::Adapter, _device: &wgpu::Device) -> bool {
    adapter.get_info().device_type == wgpu::DeviceType::Cpu
}

/// Records the device's loss and its uncaptured errors, which wgpu would panic on.
pub(super) fn record_faults(device: &wgpu::Device, faults: &Arc<Mutex<Faults>>) {
    let record = Arc::clone(faults);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| lock(&record).note(error.to_string())));
    let record = Arc::clone(faults);
    device.set_device_lost_callback(move |reason, message| {
        lock(&record).lose(format!("{reason:?}: {message}"))
    });
}

/// An error scope for a driver's internal errors.
pub(super) struct InternalScope(wgpu::ErrorScopeGuard);

impl InternalScope {
    pub(super) fn push(device: &wgpu::Device) -> Self {
        Self(device.push_error_scope(wgpu::ErrorFilter::Internal))
    }

    pub(super) fn pop(self) -> impl Future<Output = Option<String>> {
        let error = self.0.pop();
        async move { error.await.map(|error| error.to_string()) }
    }
}

/// Waits until a buffer's mapping callback has answered.
pub(super) async fn mapped<T>(device: &wgpu::Device, answer: oneshot::Receiver<T>) -> Option<T> {
    // Other tasks of this thread get a turn first, to submit their work beside this one's; then the thread blocks,
    // so that any executor will do.
    let mut had_a_turn = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had_a_turn, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    // A device that cannot be polled has dropped its callbacks, which ends the wait below.
    device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
    answer.await.ok()
}

/// As [`mapped`], but waits for one submission alone, while those behind it go on.
#[cfg(feature = "train")]
pub(super) async fn mapped_by<T>(
    device: &wgpu::Device,
    submission: wgpu::SubmissionIndex,
    answer: oneshot::Receiver<T>,
) -> Option<T> {
    let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    device.poll(poll).ok()?;
    answer.await.ok()
}

/// Copies a part of mapped memory that begins at byte `start`.
pub(super) fn copy(view: &wgpu::BufferView, start: usize, out: &mut [f32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
    bytes.copy_from_slice(&view[start..][..bytes.len()]);
}

/// Milliseconds since some moment.
pub(super) fn now() -> f64 {
    use std::{sync::OnceLock, time::Instant};
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// Pipelines, each as `create` makes it.
pub(super) fn create_pipelines(
    _device: &wgpu::Device,
    count: usize,
    create: impl Fn(usize) -> wgpu::ComputePipeline,
) -> impl Future<Output = Result<Vec<wgpu::ComputePipeline>>> {
    let created = (0..count).map(create).collect();
    async move { Ok(created) }
}
