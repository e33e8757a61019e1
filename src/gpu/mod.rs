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
#[cfg(feature = "train")]
pub(crate) mod train;
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
use kernel::{FEW_ROWS, MANY_ROWS, ONE_ROW, Variant};
use std::{cell::RefCell, future::Future, ops::Range, pin::Pin, rc::Rc};

/// Rows up to which a product is one of few: beyond, most of a tile is in use.
const FEW: usize = 8;

/// Batches of one sample, of few and of many: for each there are kernels of its own, compiled when the first is run.
const CLASSES: usize = 3;

/// The class of a batch, and the most samples of its class.
fn class(samples: usize) -> (usize, usize) {
    match samples {
        0 | 1 => (0, 1),
        2..=FEW => (1, FEW),
        _ => (2, usize::MAX),
    }
}

/// Read-back buffers kept for later runs: one for the run in flight and one for the next.
const SPARE_READ_BACKS: usize = 2;

/// A program with its weights and kernels on a GPU. Dropping it frees its buffers.
pub struct GpuExecutor {
    context: Rc<GpuContext>,
    program: Program,
    /// For each class of batches those of each task; none where they are not compiled yet.
    kernels: RefCell<[Option<Vec<Compiled>>; CLASSES]>,
    resident: Resident,
    sizes: Sizes,
    /// Samples of the largest submission.
    limit: usize,
    batch: RefCell<Option<Batch>>,
    read_backs: RefCell<Vec<ReadBack>>,
    /// Whether its buffers could be made.
    made: RefCell<Option<Pending>>,
}

type Pending = Pin<Box<dyn Future<Output = Result<()>>>>;

/// How a task is computed.
#[derive(Clone)]
struct Compiled {
    variant: &'static Variant,
    pipeline: wgpu::ComputePipeline,
}

impl GpuExecutor {
    /// Makes room for a program's weights, which are to be uploaded then. Whether there was any is told when the kernels
    /// are compiled: nothing is waited for before that.
    ///
    /// # Errors
    /// `Memory` when the weights or a single sample do not fit, naming the layer; `Device` when the device was lost.
    pub fn new(context: Rc<GpuContext>, program: Program) -> Result<Self> {
        context.check()?;
        let limit = batch_limit(&program, context.limits)?;
        let watch = context.watch();
        let sizes = Sizes::new(&context, program.tasks.len());
        let resident = Resident::new(&context, &program);
        let made: Pending = Box::pin(watch.finish());
        Ok(Self {
            made: RefCell::new(Some(made)),
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

    /// Which class of batches so many samples are: each has kernels of its own.
    pub fn class(samples: usize) -> usize {
        class(samples).0
    }

    /// Whether the kernels for so many samples are compiled.
    fn is_ready(&self, samples: usize) -> bool {
        self.kernels.borrow()[class(samples).0].is_some()
    }

    /// Compiles the kernels for so many samples, all at once.
    ///
    /// # Errors
    /// `Device` when one cannot be compiled, with the compiler's message; `Value` for a parameter that is NaN.
    pub async fn compile(&self, samples: usize) -> Result<()> {
        let (class, most) = class(samples);
        let wanted = self.program.tasks.iter().map(|task| {
            kernel::check(task).map_err(|error| name_layer(&self.program, Some(task), error))?;
            Ok((self.variant(task, most), *task))
        });
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        // Begins the uploads, which otherwise wait for the first run.
        self.context.queue.submit([]);
        let pipelines = self.context.pipelines.compile(&self.context, &wanted).await;
        let made = self.made.take();
        if let Some(made) = made {
            made.await?;
        }
        let variants = wanted.into_iter().map(|(variant, _)| variant);
        let kernels = variants.zip(pipelines?).map(|(variant, pipeline)| Compiled { variant, pipeline });
        self.kernels.borrow_mut()[class] = Some(kernels.collect());
        self.context.check()
    }

    /// How a task of up to so many samples is computed.
    fn variant(&self, task: &Task, most: usize) -> &'static Variant {
        let choice = self.context.choice();
        match most.saturating_mul(task.rows as usize) {
            _ if task.shader() != Shader::Dense => Variant::of(task.shader()),
            0 | 1 => &ONE_ROW[choice.one],
            2..=FEW => &FEW_ROWS[choice.few],
            _ => &MANY_ROWS[choice.many],
        }
    }

    /// Runs the program on `rows` samples. `inputs` holds one row-major slice for each of its inputs; the result
    /// holds one for each of its outputs. Runs may overlap.
    ///
    /// # Errors
    /// `Shape` for inputs that the program does not take, `Value` for indices outside their table, `Memory`
    /// when host or device has none left, `Device` when the device was lost or refused the work.
    pub async fn run(&self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
        self.program.check_inputs(inputs, rows)?;
        self.context.check()?;
        if !self.is_ready(rows) {
            self.compile(rows).await?;
        }
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
        let mapped = self.context.map(&read_back.buffer);
        let refusals = watch.finish();
        Ok(async move {
            let is_mapped = mapped.await;
            let refusals = refusals.await;
            if refusals.is_err() {
                // The slots may be what is broken: the next run makes new ones.
                self.batch.take();
            }
            refusals?;
            // Without a refusal it is the device.
            if is_mapped { Ok(read_back) } else { Err(self.context.gone()) }
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
            // The whole batch decides, not this part of it: a batch that is split gives the same results.
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

    /// How a task of a batch of `rows` samples is computed, which was made ready.
    fn kernel(&self, task: usize, rows: usize) -> Compiled {
        match &self.kernels.borrow()[class(rows).0] {
            Some(kernels) => kernels[task].clone(),
            None => unreachable!("a run compiles what it needs"),
        }
    }

    fn workgroups(&self, variant: &Variant, task: &Task, samples: usize) -> [u32; 2] {
        let (most, software) = (self.context.limits.workgroups, self.context.software);
        variant.workgroups(task, samples as u32 * task.rows, most, software)
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
    /// As [`new`](Self::new) and [`compile`](Self::compile), which is done for one sample.
    pub async fn prepare(
        context: Rc<GpuContext>,
        model: &crate::Model,
        plan: &crate::Plan,
        dtype: crate::Dtype,
    ) -> Result<Self> {
        let (program, buffers) = Program::of(plan, model, dtype);
        let executor = Self::new(context, program)?;
        let watch = executor.context.watch();
        for (index, buffer) in buffers.into_iter().enumerate() {
            executor.upload(index, 0, &buffer.bytes(plan));
        }
        watch.finish().await?;
        executor.compile(1).await?;
        Ok(executor)
    }
}
