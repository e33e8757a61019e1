//! Training's part of the GPU: buffers, and lists of tasks over them, each a call of one kernel. What the tasks are of
//! neither is known here: src/train/gpu makes them of a model in training.

mod kernel;

pub(super) use kernel::sources;
pub(crate) use kernel::{Kernel, Slope, Start, Update, derivatives};

use super::{
    GpuContext,
    buffers::{make, megabytes},
    kernel::{NARROW, NARROW_FOR_A_PROCESSOR, ROW_THREADS, THREADS},
    platform, unreadable,
};
use crate::{Error, Result, tensor::zeroed};
use futures_channel::oneshot;
use std::rc::Rc;
use wgpu::BufferUsages as Usage;

/// What a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Room {
    /// So many values.
    Values(usize),
    /// So many for each sample.
    Samples(usize),
}

/// A call of a kernel.
pub(crate) struct Task {
    pub kernel: Kernel,
    /// In the order of the bindings.
    pub buffers: Vec<usize>,
    pub numbers: Numbers,
    /// Workgroups along x and y.
    pub groups: [u32; 2],
}

/// What a kernel has as its uniform.
pub(crate) type Numbers = [u32; 12];

/// Buffers, and the tasks over them, ready to be submitted again and again.
pub(crate) struct Machine {
    context: Rc<GpuContext>,
    rooms: Vec<Room>,
    buffers: Vec<wgpu::Buffer>,
    /// The numbers of each task, as far apart as the device asks.
    numbers: wgpu::Buffer,
    stride: usize,
    kernels: Vec<Compiled>,
    /// By tasks: its kernel, and the buffers bound.
    bound: Vec<(usize, wgpu::BindGroup)>,
    capacity: usize,
    spare: Vec<wgpu::Buffer>,
}

struct Compiled {
    kernel: Kernel,
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
}

/// What a submission has copied to where it can be read.
pub(crate) struct Answer {
    buffer: wgpu::Buffer,
    values: usize,
    submission: wgpu::SubmissionIndex,
    mapped: oneshot::Receiver<bool>,
}

/// Read-back buffers kept for later.
const SPARE: usize = 4;

impl Machine {
    /// Makes buffers but for those of samples, all zero, and compiles what tasks need. All tasks that are submitted later
    /// have the kernels and buffers of these.
    pub async fn new(context: Rc<GpuContext>, rooms: Vec<Room>, tasks: &[Task]) -> Result<Self> {
        context.check()?;
        let stride = (context.limits.uniform_alignment as usize).max(size_of::<Numbers>());
        for room in &rooms {
            bytes(&context, *room, 0)?;
        }
        let watch = context.watch();
        let buffers = rooms.iter().map(|room| buffer(&context, *room, 0)).collect();
        let size = (stride * tasks.len().max(1)) as u64;
        let numbers = make(&context, "numbers", size, Usage::UNIFORM | Usage::COPY_DST);
        let made = watch.finish();
        let mut machine = Self {
            context,
            rooms,
            buffers,
            numbers,
            stride,
            kernels: vec![],
            bound: vec![],
            capacity: 0,
            spare: vec![],
        };
        made.await?;
        machine.compile(tasks).await?;
        Ok(machine)
    }

    async fn compile(&mut self, tasks: &[Task]) -> Result<()> {
        let mut wanted: Vec<Kernel> = vec![];
        for task in tasks {
            if !wanted.contains(&task.kernel) {
                wanted.push(task.kernel);
            }
        }
        let watch = self.context.watch();
        let device = &self.context.device;
        let layouts: Vec<_> = wanted.iter().map(|kernel| layout(device, kernel.further())).collect();
        let modules: Vec<_> = wanted.iter().map(|kernel| module(device, kernel)).collect();
        let create = |index: usize| pipeline(device, &wanted[index], &layouts[index], &modules[index]);
        let created = platform::create_pipelines(device, wanted.len(), create);
        let seen = watch.finish();
        let created = created.await;
        let created = seen
            .await
            .and(created)
            .map_err(|error| Error::new(error.kind(), format!("a kernel could not be compiled: {error}")))?;
        let all = wanted.iter().zip(layouts).zip(created);
        self.kernels =
            all.map(|((kernel, layout), pipeline)| Compiled { kernel: *kernel, layout, pipeline }).collect();
        Ok(())
    }

    /// Makes room for so many samples, for tasks of these kernels and buffers. What is of samples is zero then.
    ///
    /// # Errors
    /// `Memory` where a buffer would be larger than the device has them.
    pub async fn reserve(&mut self, samples: usize, tasks: &[Task]) -> Result<()> {
        if samples <= self.capacity {
            return Ok(());
        }
        self.capacity = 0;
        for room in &self.rooms {
            bytes(&self.context, *room, samples)?;
        }
        let watch = self.context.watch();
        for (own, room) in self.buffers.iter_mut().zip(&self.rooms) {
            if matches!(room, Room::Samples(_)) {
                own.destroy();
                *own = buffer(&self.context, *room, samples);
            }
        }
        self.bound = tasks.iter().enumerate().filter_map(|(index, task)| self.bind(index, task)).collect();
        watch.finish().await?;
        self.capacity = samples;
        Ok(())
    }

    fn bind(&self, index: usize, task: &Task) -> Option<(usize, wgpu::BindGroup)> {
        let place = self.kernels.iter().position(|own| own.kernel == task.kernel)?;
        let numbers = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.numbers,
            offset: (index * self.stride) as u64,
            size: wgpu::BufferSize::new(size_of::<Numbers>() as u64),
        });
        let buffers = task.buffers.iter().map(|&buffer| self.buffers[buffer].as_entire_binding());
        let mut resources: Vec<_> = buffers.collect();
        resources.insert(NUMBERS, numbers);
        let entry = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
        let entries: Vec<_> = (0..).zip(resources).map(entry).collect();
        let layout = &self.kernels[place].layout;
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        Some((place, self.context.device.create_bind_group(&descriptor)))
    }

    /// Writes values to the begin of a buffer, before what is submitted next.
    pub fn write(&self, buffer: usize, values: &[f32]) {
        self.context.queue.write_buffer(&self.buffers[buffer], 0, bytemuck::cast_slice(values));
    }

    /// Submits tasks, after which so many values of each of some buffers are copied to where [`read`](Self::read) finds
    /// them. Nothing is waited for.
    ///
    /// # Errors
    /// `Device` when the device was lost; `Memory` for more rows than a dispatch has.
    pub fn submit(&mut self, tasks: &[Task], reads: &[(usize, usize)]) -> Result<Answer> {
        self.context.check()?;
        let most = self.context.limits.workgroups;
        if tasks.iter().any(|task| task.groups.iter().any(|&groups| groups > most)) {
            return Err(Error::memory(
                "the batch exceeds a GPU dispatch; use a smaller one, or train on the CPU",
            ));
        }
        let mut numbers = vec![0; tasks.len() * self.stride];
        for (place, task) in numbers.chunks_exact_mut(self.stride).zip(tasks) {
            place[..size_of::<Numbers>()].copy_from_slice(bytemuck::bytes_of(&task.numbers));
        }
        let values: usize = reads.iter().map(|(_, values)| values).sum();
        let read_back = self.read_back(values);
        let queue = &self.context.queue;
        if !tasks.is_empty() {
            queue.write_buffer(&self.numbers, 0, &numbers);
        }
        let mut encoder = self.context.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (task, (kernel, group)) in tasks.iter().zip(&self.bound) {
            pass.set_pipeline(&self.kernels[*kernel].pipeline);
            pass.set_bind_group(0, group, &[]);
            let [x, y] = task.groups;
            pass.dispatch_workgroups(x, y, 1);
        }
        drop(pass);
        let mut end = 0;
        for &(buffer, values) in reads {
            let bytes = (values * size_of::<f32>()) as u64;
            encoder.copy_buffer_to_buffer(&self.buffers[buffer], 0, &read_back, end, bytes);
            end += bytes;
        }
        let submission = queue.submit([encoder.finish()]);
        let (sender, mapped) = oneshot::channel();
        read_back.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the caller gave up.
            let _ = sender.send(result.is_ok());
        });
        Ok(Answer { buffer: read_back, values, submission, mapped })
    }

    /// Why the device was lost, if it was.
    pub fn lost(&self) -> Option<String> {
        self.context.lost()
    }

    fn read_back(&mut self, values: usize) -> wgpu::Buffer {
        // Powers of two, for a smaller batch to find one that was kept.
        let size = ((values.max(1) * size_of::<f32>()) as u64).next_power_of_two();
        match self.spare.iter().position(|spare| spare.size() == size) {
            Some(index) => self.spare.swap_remove(index),
            None => make(&self.context, "results", size, Usage::MAP_READ | Usage::COPY_DST),
        }
    }

    /// The values that a submission has copied, one buffer's behind the other's.
    ///
    /// # Errors
    /// `Device` when the device was lost, `Memory`.
    pub async fn read(&mut self, answer: Answer) -> Result<Vec<f32>> {
        let mut values = zeroed(answer.values)?;
        let mapped = platform::mapped_by(&self.context.device, answer.submission, answer.mapped).await;
        if mapped != Some(true) {
            return Err(self.context.gone());
        }
        let view = answer.buffer.get_mapped_range(..).map_err(unreadable)?;
        platform::copy(&view, 0, &mut values);
        drop(view);
        answer.buffer.unmap();
        if self.spare.len() >= SPARE {
            self.spare.remove(0).destroy();
        }
        self.spare.push(answer.buffer);
        // What the device refused, it has told by now.
        self.context.check()?;
        Ok(values)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A browser's garbage collector would take its time.
        self.buffers.iter().chain(&self.spare).for_each(wgpu::Buffer::destroy);
        self.numbers.destroy();
    }
}

/// Where the numbers are bound: behind a buffer that is read and one that is written.
const NUMBERS: usize = 2;

/// What the division of the work depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device {
    /// Workgroups along one dimension.
    most: u32,
    /// Whether it is a processor that passes for a GPU.
    software: bool,
}

impl Device {
    pub fn of(context: &GpuContext) -> Self {
        Self { most: context.limits.workgroups, software: context.software }
    }

    /// Whether a thread computes a row of so many values by itself.
    pub fn is_narrow(&self, width: usize) -> bool {
        width <= if self.software { NARROW_FOR_A_PROCESSOR } else { NARROW } as usize
    }

    /// Workgroups for so many values; kernels stride over what a dispatch cannot cover.
    pub fn values(&self, count: usize) -> [u32; 2] {
        [self.at_most(count.div_ceil(THREADS as usize)), 1]
    }

    /// For so many rows, each by a workgroup, or by a thread.
    pub fn rows(&self, count: usize, narrow: bool) -> [u32; 2] {
        [self.at_most(if narrow { count.div_ceil(ROW_THREADS as usize) } else { count }), 1]
    }

    /// For the tiles of a product, which must be covered.
    pub fn tiles(rows: usize, columns: usize) -> [u32; 2] {
        [columns, rows].map(|side| u32::try_from(side.div_ceil(TILE)).unwrap_or(u32::MAX))
    }

    fn at_most(&self, groups: usize) -> u32 {
        u32::try_from(groups).unwrap_or(u32::MAX).clamp(1, self.most)
    }
}

/// As in train_product.wgsl.
const TILE: usize = 64;

/// # Errors
/// `Memory` where the device has no buffer of that size.
fn bytes(context: &GpuContext, room: Room, samples: usize) -> Result<u64> {
    let values = match room {
        Room::Values(values) => Some(values),
        Room::Samples(values) => values.checked_mul(samples),
    };
    let bytes = values.and_then(|values| (values as u64).checked_mul(size_of::<f32>() as u64));
    let most = context.limits.buffer_bytes;
    match bytes {
        Some(bytes) if bytes <= most => Ok(bytes.max(size_of::<f32>() as u64)),
        _ => Err(Error::memory(format!(
            "training needs a buffer of more than {}, the most that this GPU has; use a smaller batch, or train on the CPU",
            megabytes(most)
        ))),
    }
}

/// A buffer of zeros.
fn buffer(context: &GpuContext, room: Room, samples: usize) -> wgpu::Buffer {
    let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    make(context, "training", bytes(context, room, samples).unwrap_or_default(), usage)
}

/// What a kernel binds: a buffer that is read, one that is written, its numbers, and so many further ones of both kinds.
fn layout(device: &wgpu::Device, [reads, writes]: [usize; 2]) -> wgpu::BindGroupLayout {
    use wgpu::BufferBindingType::{Storage, Uniform};
    let [read, write] = [true, false].map(|read_only| Storage { read_only });
    let further = [vec![read; reads], vec![write; writes]].concat();
    let types = [read, write, Uniform].into_iter().chain(further);
    let entry = |(binding, ty)| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let entries: Vec<_> = (0..).zip(types).map(entry).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn module(device: &wgpu::Device, kernel: &Kernel) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(kernel.source().into());
    device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("training"), source })
}

fn pipeline(
    device: &wgpu::Device,
    kernel: &Kernel,
    layout: &wgpu::BindGroupLayout,
    module: &wgpu::ShaderModule,
) -> wgpu::ComputePipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        ..Default::default()
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("training"),
        layout: Some(&layout),
        module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &kernel.constants(),
            // No kernel reads shared memory that it has not written.
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    })
}
