//! How long tasks take.

use super::{Compiled, GpuContext, GpuExecutor, platform};
use crate::Result;
use std::rc::Rc;

/// What a task costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The variant of the kernel that computes it.
    pub kernel: &'static str,
    /// Milliseconds.
    pub time: f64,
}

/// Milliseconds that the repetitions of a task are to take, so that what a submission costs does not count.
const LONG: f64 = 4.0;
/// The most repetitions.
const MOST: u32 = 1 << 12;
/// Bytes of two timestamps.
const TIMESTAMPS: u64 = 16;

impl GpuExecutor {
    /// Times the tasks of a batch, each by itself: by the device's own clock where it lets it be read, else by the
    /// clock that the caller has.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn profile(&self, inputs: &[&[f32]], samples: usize) -> Result<Vec<Profile>> {
        // Every slot then holds what the tasks are to read.
        self.run(inputs, samples).await?;
        let samples = samples.min(self.limit);
        let clock = Clock::new(&self.context);
        let mut profiles = Vec::with_capacity(self.program.tasks.len());
        for index in 0..self.program.tasks.len() {
            let kernel = self.kernel(index, samples);
            let mut repeats = 1;
            let time = loop {
                let time = self.time(clock.as_ref(), index, &kernel, samples, repeats).await?;
                if time * f64::from(repeats) >= LONG || repeats >= MOST {
                    break time;
                }
                repeats *= 8;
            };
            profiles.push(Profile { kernel: kernel.variant.name, time });
        }
        Ok(profiles)
    }

    /// Writes an input to where so many samples of it are read.
    pub(super) fn fill(&self, index: usize, values: &[f32], samples: usize) {
        let slot = self.program.inputs[index].slot as usize;
        let mut batch = self.batch.borrow_mut();
        let batch = self.room(&mut batch, samples);
        self.context.queue.write_buffer(&batch.slots[slot], 0, bytemuck::cast_slice(values));
    }

    /// Milliseconds of one of several repetitions of a task: by the device's clock, or from their submission until the
    /// device has said that they are done.
    pub(super) async fn time(
        &self,
        clock: Option<&Clock>,
        task: usize,
        kernel: &Compiled,
        samples: usize,
        repeats: u32,
    ) -> Result<f64> {
        let watch = self.context.watch();
        let commands = self.repeat(task, kernel, samples, repeats, clock);
        let start = platform::now();
        self.context.queue.submit([commands]);
        let refusals = watch.finish();
        self.context.finished().await?;
        let elapsed = platform::now() - start;
        refusals.await?;
        let time = match clock {
            Some(clock) => clock.elapsed(&self.context).await?,
            None => elapsed,
        };
        Ok(time / f64::from(repeats))
    }

    fn repeat(
        &self,
        index: usize,
        kernel: &Compiled,
        samples: usize,
        repeats: u32,
        clock: Option<&Clock>,
    ) -> wgpu::CommandBuffer {
        self.sizes.write(&self.context, &self.program.tasks, samples);
        let mut batch = self.batch.borrow_mut();
        let batch = self.room(&mut batch, samples);
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: clock.map(|clock| wgpu::ComputePassTimestampWrites {
                query_set: &clock.queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            }),
        });
        pass.set_pipeline(&kernel.pipeline);
        pass.set_bind_group(0, &batch.groups[index], &[]);
        let [x, y] = self.workgroups(kernel.variant, &self.program.tasks[index], samples);
        for _ in 0..repeats {
            pass.dispatch_workgroups(x, y, 1);
        }
        drop(pass);
        if let Some(clock) = clock {
            encoder.resolve_query_set(&clock.queries, 0..2, &clock.resolved, 0);
            encoder.copy_buffer_to_buffer(&clock.resolved, 0, &clock.read, 0, TIMESTAMPS);
        }
        encoder.finish()
    }
}

impl GpuContext {
    /// Milliseconds that the device takes to copy so many bytes: the shortest of several times.
    ///
    /// # Errors
    /// `Memory` for more bytes than there is room for twice; `Device` when the device was lost.
    #[doc(hidden)]
    pub async fn time_copy(&self, bytes: u64) -> Result<f64> {
        use wgpu::BufferUsages as Usage;
        let watch = self.watch();
        let buffer = || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: Usage::COPY_SRC | Usage::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let (source, target) = (buffer(), buffer());
        watch.finish().await?;
        let mut best = f64::INFINITY;
        for _ in 0..8 {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&source, 0, &target, 0, bytes);
            let start = platform::now();
            self.queue.submit([encoder.finish()]);
            self.finished().await?;
            best = best.min(platform::now() - start);
        }
        source.destroy();
        target.destroy();
        Ok(best)
    }
}

/// Two readings of the device's clock.
pub(super) struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Clock {
    /// Nothing where the device's clock cannot be read.
    fn new(context: &Rc<GpuContext>) -> Option<Self> {
        use wgpu::BufferUsages as Usage;
        if !context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let queries = context.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let buffer = |usage| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: TIMESTAMPS,
                usage,
                mapped_at_creation: false,
            })
        };
        let resolved = buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC);
        Some(Self { queries, resolved, read: buffer(Usage::MAP_READ | Usage::COPY_DST) })
    }

    /// Milliseconds from the first reading to the second.
    async fn elapsed(&self, context: &GpuContext) -> Result<f64> {
        if !context.map(&self.read).await {
            return Err(context.gone());
        }
        let view = self.read.get_mapped_range(..).map_err(super::unreadable)?;
        let mut words = [0.0; 4];
        platform::copy(&view, 0, &mut words);
        drop(view);
        self.read.unmap();
        let [a, b, c, d] = words.map(|word: f32| u64::from(word.to_bits()));
        let (start, end) = (a | b << 32, c | d << 32);
        Ok(end.saturating_sub(start) as f64 * f64::from(context.queue.get_timestamp_period()) / 1e6)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.resolved.destroy();
        self.read.destroy();
    }
}
