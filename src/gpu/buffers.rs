//! The buffers of an executor, each destroyed when dropped: a browser's garbage collector would take its time.

use super::context::{GpuContext, Limits};
use super::kernel::Shader;
use crate::{Error, Kernel, Plan, Result, Source, Step};
use wgpu::BufferUsages as Usage;

/// Bytes of slots and read-back buffer beyond which a batch is split. Large enough that a submission's fixed cost
/// vanishes beside its work, and small enough for the memory of an integrated GPU.
const BATCH_BYTES: u64 = 128 << 20;

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// The most samples that one submission can take.
///
/// # Errors
/// `Memory` or `Unsupported` when that is none, with the step that it fails at.
pub(super) fn batch_limit(plan: &Plan, limits: Limits) -> std::result::Result<usize, (Option<&Step>, Error)> {
    let bytes = |width: usize| (width as u64).saturating_mul(VALUE);
    let outputs: u64 = plan.outputs.iter().map(|port| bytes(port.width())).sum();
    let widest = plan.slots.iter().map(|&width| bytes(width)).max().unwrap_or(0).max(outputs).max(VALUE);
    let total = plan.slots.iter().map(|&width| bytes(width)).fold(outputs, u64::saturating_add).max(VALUE);
    let mut limit = limits.buffer_bytes / widest;
    if limit == 0 {
        let wide = |slot: usize| bytes(plan.slots[slot]) > limits.buffer_bytes;
        let reads_wide = |step: &Step| matches!(step.input, Source::Slot(slot) if wide(slot));
        let step = plan.steps.iter().find(|step| wide(step.output) || reads_wide(step));
        let message = format!(
            "one sample needs a buffer of {}, this GPU has {} at most; use the CPU",
            megabytes(widest),
            megabytes(limits.buffer_bytes)
        );
        return Err((step, Error::memory(message)));
    }
    for step in plan.steps.iter().filter(|step| matches!(step.kernel, Kernel::Dense { .. })) {
        let units = Shader::DenseRow.max_units(limits.workgroups);
        limit = limit.min(Shader::Dense.max_rows(limits.workgroups) / (step.rows as u64).max(1));
        if limit == 0 || step.output_width as u64 > units {
            let message = format!(
                "{} rows of {} units exceed a GPU dispatch; use the CPU",
                step.rows, step.output_width
            );
            return Err((Some(step), Error::unsupported(message)));
        }
    }
    // A batch is split for its size, but a sample is not.
    Ok(limit.min((BATCH_BYTES / total).max(1)) as usize)
}

/// For people; in whole numbers, because printing floats takes 18 KB of code.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// A plan's weights and tables, resident on the device.
pub(super) struct Resident {
    weights: Vec<Option<wgpu::Buffer>>,
    tables: Vec<Option<wgpu::Buffer>>,
}

impl Resident {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { weights: vec![None; plan.weights.len()], tables: vec![None; plan.tables.len()] }
    }

    /// Uploads what a step reads, unless another step has.
    ///
    /// # Errors
    /// `Memory` for weights larger than the device can bind.
    pub(super) fn upload(&mut self, context: &GpuContext, plan: &Plan, step: &Step) -> Result<()> {
        let sources = [Some(step.input), step.second];
        let operands = sources.into_iter().flatten().filter_map(|source| match source {
            Source::Weights(weights) => Some(weights),
            Source::Slot(_) => None,
        });
        for weights in operands.chain(weights_of(step)) {
            if self.weights[weights].is_none() {
                let values = bytemuck::cast_slice(plan.weights[weights].data());
                self.weights[weights] = Some(upload(context, "weights", values)?);
            }
        }
        if let Kernel::Select { table } = step.kernel
            && self.tables[table].is_none()
        {
            let positions = bytemuck::cast_slice(&plan.tables[table]);
            self.tables[table] = Some(upload(context, "table", positions)?);
        }
        Ok(())
    }

    /// The buffer of a source.
    fn buffer<'a>(&'a self, slots: &'a [wgpu::Buffer], source: Source) -> Option<&'a wgpu::Buffer> {
        match source {
            Source::Slot(slot) => slots.get(slot),
            Source::Weights(weights) => self.weights[weights].as_ref(),
        }
    }
}

/// The weights that belong to a step's kernel.
fn weights_of(step: &Step) -> impl Iterator<Item = usize> + use<> {
    let (first, second) = match step.kernel {
        Kernel::Dense { kernel, bias, .. } => (Some(kernel), bias),
        Kernel::Lookup { table } => (Some(table), None),
        _ => (None, None),
    };
    first.into_iter().chain(second)
}

fn upload(context: &GpuContext, label: &str, values: &[u8]) -> Result<wgpu::Buffer> {
    let (bytes, most) = (values.len() as u64, context.limits.buffer_bytes);
    if bytes > most {
        let [bytes, most] = [bytes, most].map(megabytes);
        return Err(Error::memory(format!(
            "the kernel takes {bytes}, this GPU binds {most} at most; use the CPU"
        )));
    }
    let buffer = make(context, label, bytes, Usage::STORAGE | Usage::COPY_DST);
    context.queue.write_buffer(&buffer, 0, values);
    Ok(buffer)
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.weights.iter().chain(&self.tables).flatten().for_each(wgpu::Buffer::destroy);
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

    pub(super) fn write(&self, context: &GpuContext, steps: &[Step], samples: usize) {
        let mut bytes = vec![0; steps.len() * self.stride as usize];
        for (place, step) in bytes.chunks_exact_mut(self.stride as usize).zip(steps) {
            let (rows, extra) = (samples * step.rows, extra(step));
            let stride = |source, width: usize| if matches!(source, Source::Slot(_)) { width } else { 0 };
            let strides =
                [stride(step.input, step.input_width), step.second.map_or(0, |second| stride(second, extra))];
            let size = [rows, step.input_width, step.output_width, extra, strides[0], strides[1], 0, 0];
            let size: Size = size.map(|value| value as u32);
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

/// What the step's kernel takes besides its widths.
fn extra(step: &Step) -> usize {
    match step.kernel {
        Kernel::Combine { second_width, .. } => second_width,
        Kernel::Place { offset } => offset,
        Kernel::MatMul { rows } => rows,
        _ => 0,
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
        plan: &Plan,
        capacity: usize,
        bind: impl Fn(usize, &Step, &[wgpu::Buffer]) -> wgpu::BindGroup,
    ) -> Self {
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let slot = |width: &usize| make(context, "slot", (width * capacity) as u64 * VALUE, usage);
        let slots: Vec<_> = plan.slots.iter().map(slot).collect();
        let groups = plan.steps.iter().enumerate().map(|(index, step)| bind(index, step, &slots)).collect();
        Self { capacity, slots, groups }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Work that was submitted keeps what it uses until it is done.
        self.slots.iter().for_each(wgpu::Buffer::destroy);
    }
}

/// The bindings of a step, numbered as in step.wgsl, second.wgsl and weights.wgsl.
pub(super) fn bind(
    context: &GpuContext,
    shader: Shader,
    step: &Step,
    slots: &[wgpu::Buffer],
    size: wgpu::BindingResource<'_>,
    resident: &Resident,
) -> wgpu::BindGroup {
    let input = resident.buffer(slots, step.input).unwrap_or(&slots[step.output]);
    let mut resources = vec![input.as_entire_binding(), slots[step.output].as_entire_binding(), size];
    let second = step.second.and_then(|second| resident.buffer(slots, second));
    let weights = weights_of(step).filter_map(|weights| resident.weights[weights].as_ref());
    let table = match step.kernel {
        Kernel::Select { table } => resident.tables[table].as_ref(),
        _ => None,
    };
    let further = second.into_iter().chain(weights).chain(table);
    // A kernel without bias does not read that binding, but something must be bound.
    let further: Vec<_> = further.map(wgpu::Buffer::as_entire_binding).collect();
    resources.extend(further.iter().cycle().take(shader.further_bindings()).cloned());
    let layout = context.pipelines.bind_group_layout(shader);
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
    pub(super) fn new(context: &GpuContext, plan: &Plan, capacity: usize) -> Self {
        let width: usize = plan.outputs.iter().map(|port| port.width()).sum();
        let bytes = (width * capacity) as u64 * VALUE;
        Self { buffer: make(context, "outputs", bytes, Usage::MAP_READ | Usage::COPY_DST), capacity }
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

fn make(context: &GpuContext, label: &str, size: u64, usage: Usage) -> wgpu::Buffer {
    context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage,
        mapped_at_creation: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Layer, LayerKind, Model, Tensor};

    fn plan(inputs: usize, units: usize) -> Plan {
        let kernel = Tensor::new(vec![inputs, units], vec![0.0; inputs * units]).unwrap();
        let dense = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
        let layers =
            vec![Layer::new("x", LayerKind::Input { shape: vec![inputs] }), Layer::new("wide", dense)];
        Plan::compile(&Model::sequential("m", layers).unwrap()).unwrap()
    }

    fn limits(buffer_bytes: u64, workgroups: u32) -> Limits {
        Limits { buffer_bytes, workgroups, uniform_alignment: 256 }
    }

    #[test]
    fn a_batch_fits_the_smallest_buffer() {
        assert_eq!(batch_limit(&plan(3, 100), limits(4000, 65535)).unwrap(), 10);
    }

    #[test]
    fn a_batch_fits_one_dispatch() {
        assert_eq!(batch_limit(&plan(3, 4), limits(1 << 30, 2)).unwrap(), 128);
    }

    #[test]
    fn a_large_batch_is_split_for_its_memory() {
        let limit = batch_limit(&plan(1000, 1000), limits(1 << 32, 65535)).unwrap() as u64;
        assert_eq!(limit, BATCH_BYTES / (3 * 1000 * VALUE));
    }

    #[test]
    fn a_sample_that_fits_no_buffer_is_an_error_that_names_the_layer() {
        let plan = plan(3, 100);
        let (step, error) = batch_limit(&plan, limits(399, 65535)).unwrap_err();
        assert_eq!(step, plan.steps.first());
        assert_eq!(error.kind(), crate::ErrorKind::Memory);
    }
}
