//! The GPU executor: compute shaders over a program.
//!
//! Weights are uploaded once. The slots' buffers and the bind groups that join them to the kernels are made for the
//! largest batch so far, so that a run only writes the inputs, records the tasks, submits once and reads the outputs.
//! The device executes writes and submissions in the order they were given, so runs that overlap share the slots.

mod buffers;
mod context;
mod kernel;
#[cfg_attr(target_arch = "wasm32", path = "web.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "native.rs")]
mod platform;
mod profile;
mod tune;

pub use context::GpuContext;
#[doc(hidden)]
pub use kernel::shader_sources;

use crate::{
    Error, Result,
    program::{Program, Shader, Task},
    tensor::zeroed,
};
use buffers::{Batch, ReadBack, Resident, Sizes, batch_limit, name_layer};
use futures_channel::oneshot;
use kernel::{FEW_ROWS, MANY_ROWS, Variant};
use std::{cell::RefCell, future::Future, ops::Range, rc::Rc};

/// Rows up to which a product is one of few: beyond, most of a tile is in use.
const FEW: usize = 8;

/// Read-back buffers kept for later runs: one for the run in flight and one for the next.
const SPARE_READ_BACKS: usize = 2;

/// A program with its weights and kernels on a GPU. Dropping it frees its buffers.
pub struct GpuExecutor {
    context: Rc<GpuContext>,
    program: Program,
    kernels: RefCell<Vec<Kernels>>,
    resident: Resident,
    sizes: Sizes,
    /// Samples of the largest submission.
    limit: usize,
    batch: RefCell<Option<Batch>>,
    read_backs: RefCell<Vec<ReadBack>>,
}

/// How a task is computed, compiled.
struct Kernels {
    many: Compiled,
    /// For few rows, of a product.
    few: Option<Compiled>,
}

#[derive(Clone)]
struct Compiled {
    variant: &'static Variant,
    pipeline: wgpu::ComputePipeline,
}

impl GpuExecutor {
    /// Makes room for a program's weights, which are to be uploaded then.
    ///
    /// # Errors
    /// `Memory` when the weights or a single sample do not fit, naming the layer; `Device` when the device was lost.
    pub async fn new(context: Rc<GpuContext>, program: Program) -> Result<Self> {
        context.check()?;
        let limit = batch_limit(&program, context.limits)?;
        let watch = context.watch();
        let sizes = Sizes::new(&context, program.tasks.len());
        let resident = Resident::new(&context, &program);
        watch.finish().await?;
        Ok(Self {
            kernels: RefCell::default(),
            resident: resident?,
            sizes,
            limit,
            batch: RefCell::default(),
            read_backs: RefCell::default(),
            program,
            context,
        })
    }

    /// Writes a part of one of the program's buffers, from byte `start` on. Both ends are multiples of four bytes, which
    /// lie in the buffer.
    pub fn upload(&self, buffer: usize, start: usize, bytes: &[u8]) {
        self.resident.upload(&self.context, buffer, start as u64, bytes);
    }

    /// Compiles the kernels, all at once.
    ///
    /// # Errors
    /// `Device` when one cannot be compiled, with the compiler's message; `Value` for a parameter that is NaN.
    pub async fn compile(&self) -> Result<()> {
        let watch = self.context.watch();
        let kernels = self.program.tasks.iter().map(|task| self.kernels_of(task)).collect::<Result<Vec<_>>>();
        // Begins the uploads, which otherwise wait for the first run.
        self.context.queue.submit([]);
        if let Err(error) = watch.finish().await {
            self.context.pipelines.clear();
            return Err(Error::new(error.kind(), format!("a kernel could not be compiled: {error}")));
        }
        self.kernels.replace(kernels?);
        self.context.check()
    }

    fn kernels_of(&self, task: &Task) -> Result<Kernels> {
        let compiled = |variant: &'static Variant| {
            let pipeline = self.context.pipelines.get(&self.context, variant, task);
            pipeline
                .map(|pipeline| Compiled { variant, pipeline })
                .map_err(|error| name_layer(&self.program, Some(task), error))
        };
        if task.shader() != Shader::Dense {
            return Ok(Kernels { many: compiled(Variant::of(task.shader()))?, few: None });
        }
        let choice = self.context.choice();
        Ok(Kernels { many: compiled(&MANY_ROWS[choice.many])?, few: Some(compiled(&FEW_ROWS[choice.few])?) })
    }

    /// Runs the program on `rows` samples. `inputs` holds one row-major slice for each of its inputs; the result
    /// holds one for each of its outputs. Runs may overlap.
    ///
    /// # Errors
    /// `Shape` for inputs that the program does not take, `Value` for indices outside their table, `Memory` when host or device has none left, `Device` when the
    /// device was lost or refused the work.
    pub async fn run(&self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
        self.program.check_inputs(inputs, rows)?;
        self.context.check()?;
        let outputs = self.program.outputs.iter().map(|place| zeroed(place.width as usize * rows));
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
        let mut batch = self.batch.borrow_mut();
        let batch = self.room(&mut batch, samples);
        let read_back = self.take_read_back(batch.capacity);
        let queue = &self.context.queue;
        for (place, input) in self.program.inputs.iter().zip(inputs) {
            let width = place.width as usize;
            let values = &input[part.start * width..part.end * width];
            queue.write_buffer(&batch.slots[place.slot as usize], 0, bytemuck::cast_slice(values));
        }
        self.sizes.write(&self.context, &self.program.tasks, samples);
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
                    // No refusal, so it is the device.
                    Err(self.context.gone())
                }
            }
        })
    }

    /// The slots for a batch: those there are, or larger ones.
    fn room<'a>(&self, batch: &'a mut Option<Batch>, samples: usize) -> &'a mut Batch {
        let capacity = samples.checked_next_power_of_two().unwrap_or(samples).min(self.limit).max(samples);
        if batch.as_ref().is_none_or(|batch| batch.capacity < samples) {
            // The old ones go first.
            *batch = None;
        }
        batch.get_or_insert_with(|| {
            Batch::new(&self.context, &self.program, capacity, &self.sizes, &self.resident)
        })
    }

    /// Records all tasks, and the copies of the outputs to where they can be read.
    fn record(
        &self,
        batch: &Batch,
        samples: usize,
        rows: usize,
        read_back: &ReadBack,
    ) -> wgpu::CommandBuffer {
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (index, task) in self.program.tasks.iter().enumerate() {
            let kernel = self.kernel(index, rows);
            pass.set_pipeline(&kernel.pipeline);
            pass.set_bind_group(0, &batch.groups[index], &[]);
            let [x, y] = self.workgroups(kernel.variant, task, samples);
            pass.dispatch_workgroups(x, y, 1);
        }
        drop(pass);
        let mut end = 0;
        for place in &self.program.outputs {
            let bytes = (samples * place.width as usize * size_of::<f32>()) as u64;
            let slot = &batch.slots[place.slot as usize];
            encoder.copy_buffer_to_buffer(slot, 0, &read_back.buffer, end, bytes);
            end += bytes;
        }
        encoder.finish()
    }

    /// How a task of a batch of `rows` samples is computed.
    fn kernel(&self, task: usize, rows: usize) -> Compiled {
        let kernels = &self.kernels.borrow()[task];
        // The whole batch decides, not this part of it: a batch that is split gives the same results.
        let few = kernels.few.as_ref();
        let few = few.filter(|_| rows.saturating_mul(self.program.tasks[task].rows as usize) <= FEW);
        few.unwrap_or(&kernels.many).clone()
    }

    fn workgroups(&self, variant: &Variant, task: &Task, samples: usize) -> [u32; 2] {
        // What places a part writes no more than it reads.
        let width = if task.shader() == Shader::Place { task.input_width } else { task.output_width };
        variant.workgroups(samples as u32 * task.rows, width, self.context.limits.workgroups)
    }

    fn take_read_back(&self, capacity: usize) -> ReadBack {
        let mut spare = self.read_backs.borrow_mut();
        // Those made for a smaller batch are of no use any more.
        spare.retain(|read_back| read_back.capacity == capacity);
        spare.pop().unwrap_or_else(|| ReadBack::new(&self.context, &self.program, capacity))
    }

    /// Copies a part's outputs to their place, and keeps the buffer they came in.
    fn collect(&self, read_back: ReadBack, part: Range<usize>, outputs: &mut [Vec<f32>]) -> Result<()> {
        let view = read_back.buffer.get_mapped_range(..);
        let view = view.map_err(unreadable)?;
        let mut start = 0;
        for (place, output) in self.program.outputs.iter().zip(outputs) {
            let width = place.width as usize;
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

fn unreadable(error: wgpu::MapRangeError) -> Error {
    Error::device(format!("the GPU's results could not be read: {error}"))
}

#[cfg(feature = "engine")]
impl GpuExecutor {
    /// A model's plan, ready to run. Dense layers keep their weights in a type.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`compile`](Self::compile).
    pub async fn prepare(
        context: Rc<GpuContext>,
        model: &crate::Model,
        plan: &crate::Plan,
        dtype: crate::Dtype,
    ) -> Result<Self> {
        let (program, buffers) = Program::of(plan, model, dtype);
        let executor = Self::new(context, program).await?;
        let watch = executor.context.watch();
        for (index, buffer) in buffers.into_iter().enumerate() {
            executor.upload(index, 0, &buffer.bytes(plan));
        }
        watch.finish().await?;
        executor.compile().await?;
        Ok(executor)
    }
}
