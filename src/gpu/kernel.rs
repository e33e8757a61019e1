//! The compute kernels: their sources, the variants among which a device chooses, and their compiled pipelines.

use super::{context::GpuContext, platform};
use crate::{
    Error, Result,
    program::{NONE, Shader, Task},
};
use bytemuck::Zeroable;
use std::cell::RefCell;

/// A file of `shaders/`.
#[derive(Clone, Copy)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// The file as build.rs left it: without comments and indentation, which pages would download.
macro_rules! file {
    ($name:literal) => {
        File { name: $name, text: include_str!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

#[cfg(feature = "train")]
pub(super) use file;

pub(super) const STEP: File = file!("step.wgsl");
pub(super) const SECOND: File = file!("second.wgsl");
pub(super) const NAN: File = file!("nan.wgsl");
pub(super) const MATH: File = file!("math.wgsl");
pub(super) const RELU: File = file!("relu.wgsl");
pub(super) const ACTIVATION: File = file!("activation.wgsl");
const INPUT_ALIGNED: File = file!("input_aligned.wgsl");
const INPUT_UNALIGNED: File = file!("input_unaligned.wgsl");
const WEIGHTS_F32: File = file!("weights_f32.wgsl");
const WEIGHTS_F16: File = file!("weights_f16.wgsl");
const WEIGHTS_INT8: File = file!("weights_int8.wgsl");
const FINISH: File = file!("finish.wgsl");
pub(super) const ROW_SHARED: File = file!("row_shared.wgsl");
pub(super) const ROW_ALONE: File = file!("row_alone.wgsl");
const DENSE: File = file!("dense.wgsl");
const DENSE_BLOCK: File = file!("dense_block.wgsl");
const DENSE_DIRECT: File = file!("dense_direct.wgsl");
const DENSE_FEW_DIRECT: File = file!("dense_few_direct.wgsl");
const DENSE_ROW: File = file!("dense_row.wgsl");
const DENSE_ROW_DIRECT: File = file!("dense_row_direct.wgsl");
pub(super) const ACTIVATE: File = file!("activate.wgsl");
pub(super) const SOFTMAX: File = file!("softmax.wgsl");
pub(super) const LOG_SOFTMAX: File = file!("log_softmax.wgsl");
const SPARSEMAX: File = file!("sparsemax.wgsl");
const GLU: File = file!("glu.wgsl");
const REDUCE: File = file!("reduce.wgsl");
const REDUCE_SHARED: File = file!("reduce_shared.wgsl");
const REDUCE_ALONE: File = file!("reduce_alone.wgsl");
const NORMALIZE: File = file!("normalize.wgsl");
pub(super) const COMBINE: File = file!("combine.wgsl");
const SELECT: File = file!("select.wgsl");
const PLACE: File = file!("place.wgsl");
const LOOKUP: File = file!("lookup.wgsl");
const MATMUL: File = file!("matmul.wgsl");

/// One way to compute a task.
pub(super) struct Variant {
    /// For people, and for a device's choice to be remembered by.
    pub(super) name: &'static str,
    /// Its own file.
    file: File,
    /// Goes before all files: sizes that WGSL wants to know when it is compiled.
    constants: &'static str,
    /// How the work is divided.
    spread: Spread,
}

/// What a workgroup computes.
#[derive(Clone, Copy)]
enum Spread {
    /// Values, so many of them before it strides on.
    Values,
    /// Rows, one before it strides on, or one for each thread.
    Rows,
    /// A tile of so many rows and units.
    Tiles { rows: u32, units: u32 },
}

/// Threads of a workgroup that computes values, each of which strides on.
pub(super) const THREADS: u32 = 256;
/// Threads of a workgroup that computes rows.
pub(super) const ROW_THREADS: u32 = 64;
/// Values of a row up to which one thread computes it: 64 threads would wait for each other longer. On a processor, where
/// waiting costs 80 µs, those for which sums one by one are exact enough.
pub(super) const NARROW: u32 = 32;
pub(super) const NARROW_FOR_A_PROCESSOR: u32 = 256;

/// Whether a thread computes a row by itself.
fn alone(task: &Task, software: bool) -> bool {
    task.input_width <= if software { NARROW_FOR_A_PROCESSOR } else { NARROW }
}

/// How products of many rows are computed: on GPUs of most kinds, on integrated ones, on large ones, on those whose caches do
/// better than shared memory, and on processors.
pub(super) const MANY_ROWS: &[Variant] = &[
    dense("tile 64×64", DENSE, "const ROWS=4u;const QUADS=1u;const DEPTH=16u;", [64, 64]),
    dense("tile 32×64", DENSE, "const ROWS=2u;const QUADS=1u;const DEPTH=32u;", [32, 64]),
    dense("tile 128×128", DENSE, "const ROWS=8u;const QUADS=2u;const DEPTH=16u;", [128, 128]),
    dense("block 32×32", DENSE_BLOCK, "", [32, 32]),
    dense("direct 16×32", DENSE_DIRECT, "", [16, 32]),
];

/// How products of up to eight rows are computed.
pub(super) const FEW_ROWS: &[Variant] = &[
    dense("8 rows by 32 threads a unit", DENSE_ROW, "const ROWS=8u;const QUADS=8u;", [8, 32]),
    dense("8 rows by 128 threads a unit", DENSE_ROW, "const ROWS=8u;const QUADS=2u;", [8, 8]),
    dense("direct 4×64", DENSE_FEW_DIRECT, "", [4, 64]),
];

/// How products of one row are computed.
pub(super) const ONE_ROW: &[Variant] = &[
    dense("32 threads a unit", DENSE_ROW, "const ROWS=1u;const QUADS=8u;", [1, 32]),
    dense("128 threads a unit", DENSE_ROW, "const ROWS=1u;const QUADS=2u;", [1, 8]),
    dense("8 threads a unit", DENSE_ROW, "const ROWS=1u;const QUADS=32u;", [1, 128]),
    dense("direct 1×64", DENSE_ROW_DIRECT, "", [1, 64]),
];

/// A workgroup computes a tile of so many rows and units.
const fn dense(name: &'static str, file: File, constants: &'static str, [rows, units]: [u32; 2]) -> Variant {
    Variant { name, file, constants, spread: Spread::Tiles { rows, units } }
}

/// How other tasks are computed, by the number of their shader after `Dense`.
const OTHERS: [Variant; Shader::ALL.len() - 1] = [
    other("activate", Spread::Values, ACTIVATE),
    other("softmax", Spread::Rows, SOFTMAX),
    other("log_softmax", Spread::Rows, LOG_SOFTMAX),
    other("sparsemax", Spread::Rows, SPARSEMAX),
    other("glu", Spread::Values, GLU),
    other("reduce", Spread::Rows, REDUCE),
    other("normalize", Spread::Rows, NORMALIZE),
    other("combine", Spread::Values, COMBINE),
    other("select", Spread::Values, SELECT),
    other("place", Spread::Values, PLACE),
    other("lookup", Spread::Values, LOOKUP),
    other("matmul", Spread::Values, MATMUL),
];

const fn other(name: &'static str, spread: Spread, file: File) -> Variant {
    Variant { name, file, constants: "", spread }
}

impl Variant {
    /// Whether it does without shared memory.
    pub(super) fn is_direct(&self) -> bool {
        [DENSE_DIRECT.name, DENSE_FEW_DIRECT.name, DENSE_ROW_DIRECT.name].contains(&self.file.name)
    }

    /// How a task other than `Dense` is computed.
    pub(super) fn of(shader: Shader) -> &'static Self {
        &OTHERS[(shader as usize).saturating_sub(1)]
    }

    /// The files that make up its source for a task, what is shared first.
    fn files(&self, task: &Task, software: bool) -> Vec<File> {
        let mut files = vec![STEP, NAN];
        match task.shader() {
            Shader::Dense => {
                let input = if task.input_width.is_multiple_of(4) { INPUT_ALIGNED } else { INPUT_UNALIGNED };
                let weights = [WEIGHTS_F32, WEIGHTS_F16, WEIGHTS_INT8][(task.dtype as usize).min(2)];
                files.extend([input, weights, FINISH]);
            }
            Shader::Softmax | Shader::LogSoftmax | Shader::Sparsemax | Shader::Normalize => {
                files.extend([MATH, if alone(task, software) { ROW_ALONE } else { ROW_SHARED }]);
            }
            Shader::Reduce if alone(task, software) => files.extend([ROW_ALONE, REDUCE_ALONE]),
            Shader::Reduce => files.extend([ROW_SHARED, REDUCE_SHARED]),
            Shader::Glu => files.push(MATH),
            Shader::Combine | Shader::Lookup | Shader::MatMul => files.push(SECOND),
            Shader::Activate | Shader::Select | Shader::Place => {}
        }
        if activates(task) {
            files.push(RELU);
            if task.activation > LAST_OF_RELU {
                files.extend([MATH, ACTIVATION]);
            }
        }
        files.push(self.file);
        files
    }

    fn source(&self, task: &Task, software: bool) -> String {
        let files = self.files(task, software);
        let source: String =
            std::iter::once(self.constants).chain(files.iter().map(|file| file.text)).collect();
        if activates(task) { source + activation(task).as_str() } else { source }
    }

    /// Workgroups along x and y for so many rows.
    pub(super) fn workgroups(&self, task: &Task, rows: u32, most: u32, software: bool) -> [u32; 2] {
        match self.spread {
            Spread::Values => {
                // What places a part writes no more than it reads.
                let width = if task.shader() == Shader::Place { task.input_width } else { task.output_width };
                [rows.saturating_mul(width).div_ceil(THREADS).min(most), 1]
            }
            Spread::Rows => {
                [if alone(task, software) { rows.div_ceil(ROW_THREADS) } else { rows }.min(most), 1]
            }
            Spread::Tiles { rows: tile_rows, units } => {
                [task.output_width.div_ceil(units), rows.div_ceil(tile_rows)]
            }
        }
    }

    /// The most rows and units that [`workgroups`](Self::workgroups) can cover.
    pub(super) fn limits(&self, most: u32) -> [u64; 2] {
        match self.spread {
            Spread::Tiles { rows, units } => [rows, units].map(|side| u64::from(side) * u64::from(most)),
            // These stride over what a dispatch cannot cover.
            _ => [u64::MAX; 2],
        }
    }
}

/// Whether a task's shader ends in an elementwise function.
fn activates(task: &Task) -> bool {
    matches!(task.shader(), Shader::Dense | Shader::Activate | Shader::Combine)
}

/// Number of the last function that relu.wgsl has.
pub(super) const LAST_OF_RELU: u32 = 1;

/// Which function `activation` is. But for the last two, NaN stays what it is.
fn activation(task: &Task) -> String {
    let number = task.activation;
    format!("fn activation(x:f32)->f32{{return select(activation_{number}(x),x,is_nan(x)&&{number}<37);}}")
}

/// Every source that a task can have: the names of its files, the shared ones first, and the whole. What the shader test
/// reads.
#[doc(hidden)]
pub fn shader_sources() -> Vec<(Vec<&'static str>, String)> {
    let dense = MANY_ROWS.iter().chain(FEW_ROWS).chain(ONE_ROW).map(|variant| (variant, Shader::Dense));
    let others = Shader::ALL.into_iter().skip(1).map(|shader| (Variant::of(shader), shader));
    let mut sources = vec![];
    for (variant, shader) in dense.chain(others) {
        for (input_width, dtype, activation) in [(3, 0, 1), (64, 0, 7), (64, 1, 38), (64, 2, 0)] {
            let task = Task { shader: shader as u32, input_width, dtype, activation, ..Task::zeroed() };
            let names = variant.files(&task, false).iter().map(|file| file.name).collect();
            sources.push((names, variant.source(&task, false)));
        }
    }
    #[cfg(feature = "train")]
    sources.extend(super::train::sources());
    sources
}

/// What is fixed when a kernel is compiled: of a task the functions, and of its sizes what decides its files.
#[derive(Clone, Copy, PartialEq)]
struct Specialisation {
    variant: &'static str,
    functions: Task,
}

/// # Errors
/// `Value` for a parameter that is NaN.
pub(super) fn check(task: &Task) -> Result<()> {
    let [a, b, c] = task.parameters;
    if [a, b, c, task.epsilon].iter().any(|parameter| parameter.is_nan()) {
        return Err(Error::value("a parameter is not a number"));
    }
    Ok(())
}

impl Specialisation {
    fn new(variant: &Variant, task: &Task) -> Self {
        let functions = Task {
            layer: 0,
            input: 0,
            output: 0,
            further: [0; 3],
            rows: 0,
            input_width: kind_of_width(task),
            output_width: 0,
            extra: 0,
            input_stride: 0,
            second_stride: 0,
            ..*task
        };
        Self { variant: variant.name, functions }
    }

    /// The same, but for what a module does not depend on.
    fn module(&self) -> (&'static str, Task) {
        let Task { shader, input_width, dtype, activation, .. } = self.functions;
        (self.variant, Task { shader, input_width, dtype, activation, ..Task::zeroed() })
    }

    /// The constants that the kernel's source declares: naming others is an error.
    fn constants(&self) -> Vec<(&'static str, f64)> {
        let task = &self.functions;
        // They must be finite: the largest number stands for infinity.
        let finite = |parameter: f32| f64::from(parameter.clamp(f32::MIN, f32::MAX));
        let [p0, p1, p2] = task.parameters.map(finite);
        let activation = [("P0", p0), ("P1", p1), ("P2", p2)];
        let function = ("FUNCTION", f64::from(task.function));
        let further = match task.shader() {
            Shader::Dense => Some(("BIAS", f64::from(task.bias))),
            Shader::Combine => Some(function),
            Shader::Activate => None,
            Shader::Reduce => return vec![function],
            Shader::Normalize => return vec![function, ("EPSILON", finite(task.epsilon))],
            _ => return vec![],
        };
        activation.into_iter().chain(further).collect()
    }
}

/// An input width that has the same files as the task's.
fn kind_of_width(task: &Task) -> u32 {
    let width = task.input_width;
    match task.shader() {
        Shader::Dense if width.is_multiple_of(4) => 4,
        Shader::Dense => 1,
        _ => [NARROW, NARROW_FOR_A_PROCESSOR].into_iter().find(|&most| width <= most).unwrap_or(u32::MAX),
    }
}

/// The pipelines compiled so far, and the layouts that they share. Lists, because they stay short.
pub(super) struct Pipelines {
    modules: RefCell<Vec<((&'static str, Task), wgpu::ShaderModule)>>,
    compiled: RefCell<Vec<(Specialisation, wgpu::ComputePipeline)>>,
    /// By the number of further bindings.
    layouts: [Layout; 4],
}

fn find<K: PartialEq, V: Clone>(list: &RefCell<Vec<(K, V)>>, wanted: &K) -> Option<V> {
    list.borrow().iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone())
}

struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Pipelines {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        use wgpu::BufferBindingType::{Storage, Uniform};
        let [read, write] = [true, false].map(|read_only| Storage { read_only });
        let bindings = [read, write, Uniform, read, read, read];
        Self {
            modules: RefCell::default(),
            compiled: RefCell::default(),
            // As declared in step.wgsl, second.wgsl, weights_*.wgsl and finish.wgsl.
            layouts: [3, 4, 5, 6].map(|count| Layout::new(device, &bindings[..count])),
        }
    }

    pub(super) fn bind_group_layout(&self, task: &Task) -> &wgpu::BindGroupLayout {
        &self.layout(task).group
    }

    fn layout(&self, task: &Task) -> &Layout {
        &self.layouts[further_bindings(task)]
    }

    /// The pipelines of tasks, each in one of its ways: compiled, all at the same time, where they are not yet.
    ///
    /// # Errors
    /// `Device` when one cannot be compiled, with the compiler's message.
    pub(super) async fn compile(
        &self,
        context: &GpuContext,
        wanted: &[(&'static Variant, Task)],
    ) -> Result<Vec<wgpu::ComputePipeline>> {
        let mut missing: Vec<(Specialisation, &Variant, &Task)> = vec![];
        for (variant, task) in wanted {
            let key = Specialisation::new(variant, task);
            let known =
                find(&self.compiled, &key).is_some() || missing.iter().any(|(other, ..)| *other == key);
            if !known {
                missing.push((key, variant, task));
            }
        }
        if !missing.is_empty() {
            let watch = context.watch();
            let parts: Vec<_> = missing
                .iter()
                .map(|(key, variant, task)| (self.module(context, key, variant, task), key.constants()))
                .collect();
            let create = |index: usize| {
                let (_, variant, task) = missing[index];
                let (module, constants) = &parts[index];
                context.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(variant.name),
                    layout: Some(&self.layout(task).pipeline),
                    module,
                    entry_point: Some("main"),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants,
                        // No kernel reads shared memory that it has not written.
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                })
            };
            let created = platform::create_pipelines(&context.device, missing.len(), create);
            let seen = watch.finish();
            let created = created.await;
            let created = seen.await.and(created).inspect_err(|_| self.modules.borrow_mut().clear());
            let created = created.map_err(|error| {
                Error::new(error.kind(), format!("a kernel could not be compiled: {error}"))
            })?;
            let keys = missing.iter().map(|(key, ..)| *key);
            self.compiled.borrow_mut().extend(keys.zip(created));
        }
        let compiled = wanted.iter().map(|(variant, task)| {
            find(&self.compiled, &Specialisation::new(variant, task))
                .ok_or_else(|| Error::device("a kernel was not compiled"))
        });
        compiled.collect()
    }

    fn module(
        &self,
        context: &GpuContext,
        key: &Specialisation,
        variant: &Variant,
        task: &Task,
    ) -> wgpu::ShaderModule {
        find(&self.modules, &key.module()).unwrap_or_else(|| {
            let source = wgpu::ShaderSource::Wgsl(variant.source(task, context.software).into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: Some(variant.name), source };
            let module = context.device.create_shader_module(descriptor);
            self.modules.borrow_mut().push((key.module(), module.clone()));
            module
        })
    }
}

/// Buffers that a task's shader binds besides those of every step.
pub(super) fn further_bindings(task: &Task) -> usize {
    match task.shader() {
        Shader::Dense => 2 + usize::from(task.further[2] != NONE),
        Shader::Combine | Shader::Select | Shader::Lookup | Shader::MatMul => 1,
        _ => 0,
    }
}

impl Layout {
    fn new(device: &wgpu::Device, bindings: &[wgpu::BufferBindingType]) -> Self {
        let entry = |(binding, &ty): (u32, &wgpu::BufferBindingType)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let entries: Vec<_> = (0..).zip(bindings).map(entry).collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let group = device.create_bind_group_layout(&descriptor);
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&group)],
            ..Default::default()
        });
        Self { group, pipeline }
    }
}
