//! The buffers of an executor, each destroyed when dropped: a browser's garbage collector would take its time.

use super::context::{GpuContext, Limits};
use super::kernel::{self, FEW_ROWS, MANY_ROWS, ONE_ROW};
use crate::{
    Error, Result,
    program::{Binding, NONE, Program, Shader, Task},
};
use wgpu::BufferUsages as Usage;

/// Bytes of slots and read-back buffer beyond which a batch is split. Large enough that a submission's fixed cost
/// vanishes beside its work, and small enough for the memory of an integrated GPU.
const BATCH_BYTES: u64 = 128 << 20;

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// The most samples that one submission can take.
///
/// # Errors
/// `Memory` or `Unsupported` when that is none, with the layer that it fails at.
pub(super) fn batch_limit(program: &Program, limits: Limits) -> Result<usize> {
    let bytes = |width: u32| u64::from(width) * VALUE;
    let outputs: u64 = program.outputs.iter().map(|place| bytes(place.width)).sum();
    let slots = || program.slots.iter().map(|&width| bytes(width));
    let widest = slots().max().unwrap_or(0).max(outputs).max(VALUE);
    let total = slots().fold(outputs, u64::saturating_add).max(VALUE);
    let mut limit = limits.buffer_bytes / widest;
    if limit == 0 {
        let wide = |binding: Binding| {
            program.slots.get(binding as usize).is_some_and(|&width| bytes(width) > limits.buffer_bytes)
        };
        let task = program.tasks.iter().find(|task| wide(task.output) || wide(task.input));
        let message = format!(
            "one sample needs a buffer of {}, this GPU has {} at most; use the CPU",
            megabytes(widest),
            megabytes(limits.buffer_bytes)
        );
        return Err(name_layer(program, task, Error::memory(message)));
    }
    for task in program.tasks.iter().filter(|task| task.shader() == Shader::Dense) {
        // Whichever of them is chosen.
        let most = |variants: &[kernel::Variant]| {
            let all = variants.iter().map(|variant| variant.limits(limits.workgroups));
            all.fold([u64::MAX; 2], |[a, b], [c, d]| [a.min(c), b.min(d)])
        };
        let ([rows, units], [_, units_of_few], [_, units_of_one]) =
            (most(MANY_ROWS), most(FEW_ROWS), most(ONE_ROW));
        limit = limit.min(rows / u64::from(task.rows).max(1));
        if limit == 0 || u64::from(task.output_width) > units.min(units_of_few).min(units_of_one) {
            let message = format!(
                "{} rows of {} units exceed a GPU dispatch; use the CPU",
                task.rows, task.output_width
            );
            return Err(name_layer(program, Some(task), Error::unsupported(message)));
        }
    }
    // A batch is split for its size, but a sample is not.
    Ok(limit.min((BATCH_BYTES / total).max(1)) as usize)
}

/// The error, with the name of a task's layer.
pub(super) fn name_layer(program: &Program, task: Option<&Task>, error: Error) -> Error {
    match task.and_then(|task| program.names.get(task.layer as usize)) {
        Some(layer) => error.layer(layer),
        None => error,
    }
}

/// For people; in whole numbers, because printing floats takes 18 KB of code.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// A program's weights and tables, resident on the device.
pub(super) struct Resident(Vec<wgpu::Buffer>);

impl Resident {
    /// # Errors
    /// `Memory` for weights larger than the device can bind.
    pub(super) fn new(context: &GpuContext, program: &Program) -> Result<Self> {
        let mut resident = Self(Vec::with_capacity(program.buffers.len()));
        let most = context.limits.buffer_bytes;
        for (&bytes, index) in program.buffers.iter().zip(program.slots.len()..) {
            if u64::from(bytes) > most {
                let reads = |task: &&Task| {
                    [task.input].iter().chain(&task.further).any(|&binding| binding as usize == index)
                };
                let task = program.tasks.iter().find(reads);
                let [bytes, most] = [bytes.into(), most].map(megabytes);
                let message = format!("the kernel takes {bytes}, this GPU binds {most} at most; use the CPU");
                return Err(name_layer(program, task, Error::memory(message)));
            }
            let usage = Usage::STORAGE | Usage::COPY_DST;
            resident.0.push(make(context, "weights", u64::from(bytes).max(VALUE), usage));
        }
        Ok(resident)
    }

    /// Writes a part of a buffer: whole values.
    pub(super) fn upload(&self, context: &GpuContext, buffer: usize, start: u64, bytes: &[u8]) {
        context.queue.write_buffer(&self.0[buffer], start, bytes);
    }

    fn buffer<'a>(&'a self, slots: &'a [wgpu::Buffer], binding: Binding) -> Option<&'a wgpu::Buffer> {
        let index = binding as usize;
        slots.get(index).or_else(|| self.0.get(index.checked_sub(slots.len())?))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.0.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// The size of each step for the run at hand, as step.wgsl declares it.
pub(super) struct Sizes {
    buffer: wgpu::Buffer,
    stride: u64,
}

/// As in step.wgsl, filled up to 16 bytes, as uniforms are laid out.
type Size = [u32; 8];

impl Sizes {
    pub(super) fn new(context: &GpuContext, steps: usize) -> Self {
        let stride = u64::from(context.limits.uniform_alignment).max(size_of::<Size>() as u64);
        let bytes = stride * (steps as u64).max(1);
        Self { buffer: make(context, "sizes", bytes, Usage::UNIFORM | Usage::COPY_DST), stride }
    }

    pub(super) fn write(&self, context: &GpuContext, tasks: &[Task], samples: usize) {
        let mut bytes = vec![0; tasks.len() * self.stride as usize];
        for (place, task) in bytes.chunks_exact_mut(self.stride as usize).zip(tasks) {
            let (rows, strides) = (samples as u32 * task.rows, [task.input_stride, task.second_stride]);
            let size: Size =
                [rows, task.input_width, task.output_width, task.extra, strides[0], strides[1], 0, 0];
            place[..size_of::<Size>()].copy_from_slice(bytemuck::bytes_of(&size));
        }
        context.queue.write_buffer(&self.buffer, 0, &bytes);
    }

    /// The part that belongs to a step.
    pub(super) fn binding(&self, step: usize) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer,
            offset: step as u64 * self.stride,
            size: wgpu::BufferSize::new(size_of::<Size>() as u64),
        })
    }
}

impl Drop for Sizes {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

/// The slots for up to `capacity` samples, and each step's bindings to them.
pub(super) struct Batch {
    pub(super) capacity: usize,
    pub(super) slots: Vec<wgpu::Buffer>,
    pub(super) groups: Vec<wgpu::BindGroup>,
}

impl Batch {
    pub(super) fn new(
        context: &GpuContext,
        program: &Program,
        capacity: usize,
        sizes: &Sizes,
        resident: &Resident,
    ) -> Self {
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let slot = |&width: &u32| make(context, "slot", u64::from(width) * capacity as u64 * VALUE, usage);
        let slots: Vec<_> = program.slots.iter().map(slot).collect();
        let bind = |(index, task)| bind(context, task, &slots, sizes.binding(index), resident);
        let groups = program.tasks.iter().enumerate().map(bind).collect();
        Self { capacity, slots, groups }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Work that was submitted keeps what it uses until it is done.
        self.slots.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// The bindings of a task, numbered as in step.wgsl, second.wgsl and weights.wgsl.
fn bind(
    context: &GpuContext,
    task: &Task,
    slots: &[wgpu::Buffer],
    size: wgpu::BindingResource<'_>,
    resident: &Resident,
) -> wgpu::BindGroup {
    let output = &slots[task.output as usize];
    let input = resident.buffer(slots, task.input).unwrap_or(output);
    let mut resources = vec![input.as_entire_binding(), output.as_entire_binding(), size];
    for binding in &task.further[..kernel::further_bindings(task)] {
        // A kernel without bias does not read that binding, but something must be bound.
        let bound = if *binding == NONE { task.further[0] } else { *binding };
        resources.push(resident.buffer(slots, bound).unwrap_or(input).as_entire_binding());
    }
    let layout = context.pipelines.bind_group_layout(task);
    let entry = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
    let entries: Vec<_> = (0..).zip(resources).map(entry).collect();
    context.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

/// Where the outputs of one submission are read.
pub(super) struct ReadBack {
    pub(super) buffer: wgpu::Buffer,
    pub(super) capacity: usize,
}

impl ReadBack {
    pub(super) fn new(context: &GpuContext, program: &Program, capacity: usize) -> Self {
        let width: u64 = program.outputs.iter().map(|place| u64::from(place.width)).sum();
        let bytes = width * capacity as u64 * VALUE;
        Self { buffer: make(context, "outputs", bytes, Usage::MAP_READ | Usage::COPY_DST), capacity }
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

pub(super) fn make(context: &GpuContext, label: &str, size: u64, usage: Usage) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage,
        mapped_at_creation: false,
    })
}

#[cfg(all(test, feature = "engine"))]
mod tests {
    use super::*;
    use crate::{Activation, Dtype, Layer, LayerKind, Model, Plan, Tensor};

    fn program(inputs: usize, units: usize) -> Program {
        let kernel = Tensor::new(vec![inputs, units], vec![0.0; inputs * units]).unwrap();
        let dense = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
        let layers =
            vec![Layer::new("x", LayerKind::Input { shape: vec![inputs] }), Layer::new("wide", dense)];
        let model = Model::sequential("m", layers).unwrap();
        Program::of(&Plan::compile(&model).unwrap(), &model, Dtype::F32).0
    }

    fn limits(buffer_bytes: u64, workgroups: u32) -> Limits {
        Limits { buffer_bytes, workgroups, uniform_alignment: 256 }
    }

    #[test]
    fn a_batch_fits_the_smallest_buffer() {
        assert_eq!(batch_limit(&program(3, 100), limits(4000, 65535)).unwrap(), 10);
    }

    #[test]
    fn a_batch_fits_one_dispatch() {
        // The smallest tile has 16 rows.
        assert_eq!(batch_limit(&program(3, 4), limits(1 << 30, 2)).unwrap(), 32);
    }

    #[test]
    fn a_large_batch_is_split_for_its_memory() {
        let limit = batch_limit(&program(1000, 1000), limits(1 << 32, 65535)).unwrap() as u64;
        assert_eq!(limit, BATCH_BYTES / (3 * 1000 * VALUE));
    }

    #[test]
    fn a_sample_that_fits_no_buffer_is_an_error_that_names_the_layer() {
        let error = batch_limit(&program(3, 100), limits(399, 65535)).unwrap_err();
        assert_eq!(error.context().layer.as_deref(), Some("wide"));
        assert_eq!(error.kind(), crate::ErrorKind::Memory);
    }
}
