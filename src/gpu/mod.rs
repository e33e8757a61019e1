//! The GPU executor: compute shaders over a plan.
//!
//! Weights are uploaded once. The slots' buffers and the bind groups that join them to the kernels are made for the
//! largest batch so far, so that a run only writes the inputs, records the steps, submits once and reads the outputs.
//! The device executes writes and submissions in the order they were given, so runs that overlap share the slots.

mod buffers;
mod context;
mod kernel;
#[cfg_attr(target_arch = "wasm32", path = "web.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod platform;

pub use context::GpuContext;
#[doc(hidden)]
pub use kernel::shader_sources;

use crate::{Error, Model, Plan, Result, Step, cpu::check_inputs, tensor::zeroed};
use buffers::{Batch, ReadBack, Resident, Sizes, batch_limit};
use futures_channel::oneshot;
use kernel::{Shader, Specialisation};
use std::{cell::RefCell, future::Future, ops::Range, rc::Rc};

/// Rows up to which dense_row.wgsl takes a product: beyond, most of a tile of dense.wgsl is in use.
const FEW_ROWS: usize = 8;

/// Read-back buffers kept for later runs: one for the run in flight and one for the next.
const SPARE_READ_BACKS: usize = 2;

/// A plan with its weights and kernels on a GPU. Dropping it frees its buffers.
pub struct GpuExecutor {
    context: Rc<GpuContext>,
    plan: Plan,
    steps: Vec<Prepared>,
    resident: Resident,
    sizes: Sizes,
    /// Samples of the largest submission.
    limit: usize,
    batch: RefCell<Option<Batch>>,
    read_backs: RefCell<Vec<ReadBack>>,
}

/// A step's kernel, compiled.
struct Prepared {
    shader: Shader,
    pipeline: wgpu::ComputePipeline,
    /// A Dense step's kernel for few rows.
    few_rows: Option<wgpu::ComputePipeline>,
}

impl GpuExecutor {
    /// Uploads a plan's weights and compiles its kernels.
    ///
    /// # Errors
    /// `Memory` when the weights or a single sample do not fit; `Device` when a kernel cannot be compiled. Both name
    /// the layer.
    pub async fn prepare(context: Rc<GpuContext>, model: &Model, plan: &Plan) -> Result<Self> {
        context.check()?;
        let name_layer = |step: &Step, error: Error| match model.layers.get(step.layer) {
            Some(layer) => error.layer(&layer.name),
            None => error,
        };
        let limit = batch_limit(plan, context.limits).map_err(|(step, error)| match step {
            Some(step) => name_layer(step, error),
            None => error,
        })?;
        let watch = context.watch();
        let sizes = Sizes::new(&context, plan.steps.len());
        let mut executor = Self {
            plan: plan.clone(),
            steps: Vec::with_capacity(plan.steps.len()),
            resident: Resident::new(plan),
            sizes,
            limit,
            batch: RefCell::default(),
            read_backs: RefCell::default(),
            context,
        };
        watch.finish().await?;
        for step in &plan.steps {
            executor.prepare_step(step).await.map_err(|error| name_layer(step, error))?;
        }
        // Begins the uploads, which otherwise wait for the first run.
        executor.context.queue.submit([]);
        executor.context.check()?;
        Ok(executor)
    }

    async fn prepare_step(&mut self, step: &Step) -> Result<()> {
        let context = self.context.clone();
        let watch = context.watch();
        let uploaded = self.resident.upload(&context, &self.plan, step);
        watch.finish().await?;
        uploaded?;
        let wanted = Specialisation::new(&step.kernel)?;
        let pipeline = context.pipelines.get(&context, wanted).await?;
        let few_rows = match wanted.shader {
            Shader::Dense => Some(context.pipelines.get(&context, wanted.of_few_rows()).await?),
            _ => None,
        };
        self.steps.push(Prepared { shader: wanted.shader, pipeline, few_rows });
        Ok(())
    }

    /// Name of the adapter it runs on.
    pub fn adapter_name(&self) -> String {
        self.context.adapter_name()
    }

    /// Runs the plan on `rows` samples. `inputs` holds one row-major slice for each of the plan's inputs; the result
    /// holds one for each of its outputs. Runs may overlap.
    ///
    /// # Errors
    /// `Shape` for inputs that the plan does not take, `Memory` when host or device has none left, `Device` when the
    /// device was lost or refused the work.
    pub async fn run(&self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
        check_inputs(&self.plan, inputs, rows)?;
        self.context.check()?;
        let outputs = self.plan.outputs.iter().map(|port| zeroed(port.width() * rows));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        // Each part is submitted before the one before it is waited for, so the device does not idle in between.
        let mut in_flight = None;
        for start in (0..rows).step_by(self.limit) {
            let part = start..rows.min(start + self.limit);
            let next = (part.clone(), self.submit(inputs, part, rows)?);
            if let Some((part, previous)) = in_flight.replace(next) {
                self.collect(previous.await?, part, &mut outputs)?;
            }
        }
        if let Some((part, last)) = in_flight {
            self.collect(last.await?, part, &mut outputs)?;
        }
        self.context.check()?;
        Ok(outputs)
    }

    /// Submits a part of a batch of `rows` samples. The future waits for its results to be readable.
    fn submit(
        &self,
        inputs: &[&[f32]],
        part: Range<usize>,
        rows: usize,
    ) -> Result<impl Future<Output = Result<ReadBack>> + use<'_>> {
        let samples = part.len();
        // From here to `finish`, nothing awaits: neither the watch nor the slots may be shared half-way.
        let watch = self.context.watch();
        let capacity = samples.checked_next_power_of_two().unwrap_or(samples).min(self.limit);
        let mut batch = self.batch.borrow_mut();
        let batch = match &mut *batch {
            Some(batch) if batch.capacity >= samples => batch,
            outgrown => outgrown.insert(self.make_batch(capacity)),
        };
        let read_back = self.take_read_back(batch.capacity);
        let queue = &self.context.queue;
        for (port, input) in self.plan.inputs.iter().zip(inputs) {
            let width = port.width();
            let values = &input[part.start * width..part.end * width];
            queue.write_buffer(&batch.slots[port.slot], 0, bytemuck::cast_slice(values));
        }
        self.sizes.write(&self.context, &self.plan.steps, samples);
        let commands = self.record(batch, samples, rows, &read_back);
        queue.submit([commands]);
        let (sender, answer) = oneshot::channel();
        read_back.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the caller gave up on the run.
            let _ = sender.send(result);
        });
        let refusals = watch.finish();
        Ok(async move {
            let answer = platform::mapped(&self.context.device, answer).await;
            let refusals = refusals.await;
            if refusals.is_err() {
                // The slots may be what is broken: the next run makes new ones.
                self.batch.take();
            }
            refusals?;
            match answer {
                Some(Ok(())) => Ok(read_back),
                _ => {
                    self.context.check()?;
                    // No refusal, so it is the device; its own word of that may come later.
                    Err(Error::device(
                        "the GPU was lost before its results could be read; load the model again",
                    ))
                }
            }
        })
    }

    fn make_batch(&self, capacity: usize) -> Batch {
        Batch::new(&self.context, &self.plan, capacity, |index, step, slots| {
            let (shader, size) = (self.steps[index].shader, self.sizes.binding(index));
            buffers::bind(&self.context, shader, step, slots, size, &self.resident)
        })
    }

    /// Records all steps, and the copies of the outputs to where they can be read.
    fn record(
        &self,
        batch: &Batch,
        samples: usize,
        rows: usize,
        read_back: &ReadBack,
    ) -> wgpu::CommandBuffer {
        let most = self.context.limits.workgroups;
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for ((step, prepared), group) in self.plan.steps.iter().zip(&self.steps).zip(&batch.groups) {
            // The whole batch decides, not this part of it: a batch that is split gives the same results.
            let few = prepared.few_rows.as_ref().filter(|_| rows.saturating_mul(step.rows) <= FEW_ROWS);
            let shader = if few.is_some() { Shader::DenseRow } else { prepared.shader };
            // What places a part writes no more than it reads.
            let width = if shader == Shader::Place { step.input_width } else { step.output_width };
            let [x, y] = shader.workgroups((samples * step.rows) as u32, width as u32, most);
            pass.set_pipeline(few.unwrap_or(&prepared.pipeline));
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(x, y, 1);
        }
        drop(pass);
        let mut end = 0;
        for port in &self.plan.outputs {
            let bytes = (samples * port.width() * size_of::<f32>()) as u64;
            encoder.copy_buffer_to_buffer(&batch.slots[port.slot], 0, &read_back.buffer, end, bytes);
            end += bytes;
        }
        encoder.finish()
    }

    fn take_read_back(&self, capacity: usize) -> ReadBack {
        let mut spare = self.read_backs.borrow_mut();
        // Those made for a smaller batch are of no use any more.
        spare.retain(|read_back| read_back.capacity == capacity);
        spare.pop().unwrap_or_else(|| ReadBack::new(&self.context, &self.plan, capacity))
    }

    /// Copies a part's outputs to their place, and keeps the buffer they came in.
    fn collect(&self, read_back: ReadBack, part: Range<usize>, outputs: &mut [Vec<f32>]) -> Result<()> {
        let view = read_back.buffer.get_mapped_range(..);
        let view =
            view.map_err(|error| Error::device(format!("the GPU's results could not be read: {error}")))?;
        let mut start = 0;
        for (port, output) in self.plan.outputs.iter().zip(outputs) {
            let width = port.width();
            let values = &mut output[part.start * width..part.end * width];
            platform::copy(&view, start, values);
            start += size_of_val(values);
        }
        drop(view);
        read_back.buffer.unmap();
        let mut spare = self.read_backs.borrow_mut();
        if spare.len() < SPARE_READ_BACKS {
            spare.push(read_back);
        }
        Ok(())
    }
}
