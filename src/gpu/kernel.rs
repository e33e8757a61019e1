//! The compute kernels: their sources, the variants among which a device chooses, and their compiled pipelines.

use super::context::GpuContext;
use crate::{
    Error, Result,
    program::{NONE, Shader, Task},
};
use std::cell::RefCell;

/// A file of `shaders/`.
struct File {
    name: &'static str,
    text: &'static str,
}

/// The file as build.rs left it: without comments and indentation, which pages would download.
macro_rules! file {
    ($name:literal) => {
        File { name: $name, text: include_str!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

const STEP: File = file!("step.wgsl");
const SECOND: File = file!("second.wgsl");
const MATH: File = file!("math.wgsl");
const ACTIVATION: File = file!("activation.wgsl");
const WEIGHTS: File = file!("weights.wgsl");
const ROW: File = file!("row.wgsl");
const DENSE: File = file!("dense.wgsl");
const DENSE_ROW: File = file!("dense_row.wgsl");
const ACTIVATE: File = file!("activate.wgsl");
const SOFTMAX: File = file!("softmax.wgsl");
const LOG_SOFTMAX: File = file!("log_softmax.wgsl");
const SPARSEMAX: File = file!("sparsemax.wgsl");
const GLU: File = file!("glu.wgsl");
const REDUCE: File = file!("reduce.wgsl");
const NORMALIZE: File = file!("normalize.wgsl");
const COMBINE: File = file!("combine.wgsl");
const SELECT: File = file!("select.wgsl");
const PLACE: File = file!("place.wgsl");
const LOOKUP: File = file!("lookup.wgsl");
const MATMUL: File = file!("matmul.wgsl");

/// One way to compute a task.
pub(super) struct Variant {
    /// For people, and for a device's choice to be remembered by.
    pub(super) name: &'static str,
    /// What makes up its source, what is shared first.
    files: &'static [File],
    /// Goes before them: sizes that WGSL wants to know when it is compiled.
    constants: &'static str,
    /// How the work is divided.
    spread: Spread,
}

/// What a workgroup computes.
#[derive(Clone, Copy)]
enum Spread {
    /// Values, so many of them before it strides on.
    Values,
    /// Rows, one before it strides on.
    Rows,
    /// A tile of so many rows and units.
    Tiles { rows: u32, units: u32 },
}

/// Values that a workgroup computes before it strides on.
const THREADS: u32 = 256;

/// How products of many rows are computed, the one that suits most devices first.
pub(super) const MANY_ROWS: &[Variant] = &[Variant {
    name: "tile 64×64",
    files: &[STEP, MATH, ACTIVATION, WEIGHTS, DENSE],
    constants: "",
    spread: Spread::Tiles { rows: 64, units: 64 },
}];

/// How products of a few rows are computed, the one that suits most devices first.
pub(super) const FEW_ROWS: &[Variant] = &[Variant {
    name: "16 threads a unit",
    files: &[STEP, MATH, ACTIVATION, WEIGHTS, DENSE_ROW],
    constants: "",
    spread: Spread::Tiles { rows: 1, units: 16 },
}];

/// How other tasks are computed, by the number of their shader after `Dense`.
const OTHERS: [Variant; Shader::ALL.len() - 1] = [
    other("activate", Spread::Values, &[STEP, MATH, ACTIVATION, ACTIVATE]),
    other("softmax", Spread::Rows, &[STEP, MATH, ROW, SOFTMAX]),
    other("log_softmax", Spread::Rows, &[STEP, MATH, ROW, LOG_SOFTMAX]),
    other("sparsemax", Spread::Rows, &[STEP, MATH, ROW, SPARSEMAX]),
    other("glu", Spread::Values, &[STEP, MATH, GLU]),
    other("reduce", Spread::Rows, &[STEP, MATH, ROW, REDUCE]),
    other("normalize", Spread::Rows, &[STEP, MATH, ROW, NORMALIZE]),
    other("combine", Spread::Values, &[STEP, SECOND, MATH, ACTIVATION, COMBINE]),
    other("select", Spread::Values, &[STEP, SELECT]),
    other("place", Spread::Values, &[STEP, PLACE]),
    other("lookup", Spread::Values, &[STEP, SECOND, LOOKUP]),
    other("matmul", Spread::Values, &[STEP, SECOND, MATMUL]),
];

const fn other(name: &'static str, spread: Spread, files: &'static [File]) -> Variant {
    Variant { name, files, constants: "", spread }
}

impl Variant {
    /// How a task other than `Dense` is computed.
    pub(super) fn of(shader: Shader) -> &'static Self {
        &OTHERS[(shader as usize).saturating_sub(1)]
    }

    fn source(&self) -> String {
        std::iter::once(self.constants).chain(self.files.iter().map(|file| file.text)).collect()
    }

    /// Workgroups along x and y for so many rows, each of that many values written.
    pub(super) fn workgroups(&self, rows: u32, width: u32, most: u32) -> [u32; 2] {
        match self.spread {
            Spread::Values => [rows.saturating_mul(width).div_ceil(THREADS).min(most), 1],
            Spread::Rows => [rows.min(most), 1],
            Spread::Tiles { rows: tile_rows, units } => [width.div_ceil(units), rows.div_ceil(tile_rows)],
        }
    }

    /// The most rows and values of a row that [`workgroups`](Self::workgroups) can cover.
    pub(super) fn limits(&self, most: u32) -> [u64; 2] {
        match self.spread {
            Spread::Tiles { rows, units } => [rows, units].map(|side| u64::from(side) * u64::from(most)),
            // These stride over what a dispatch cannot cover.
            _ => [u64::MAX; 2],
        }
    }
}

/// Each variant's file names, the shared ones first, and its whole source: what the shader test reads.
#[doc(hidden)]
pub fn shader_sources() -> Vec<(Vec<&'static str>, String)> {
    let variants = MANY_ROWS.iter().chain(FEW_ROWS).chain(&OTHERS);
    variants.map(|variant| (variant.files.iter().map(|file| file.name).collect(), variant.source())).collect()
}

/// What is fixed when a kernel is compiled: of a task, nothing but the functions.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Specialisation {
    variant: &'static str,
    functions: Task,
}

impl Specialisation {
    /// # Errors
    /// `Value` for a parameter that is NaN.
    fn new(variant: &Variant, task: &Task) -> Result<Self> {
        let [a, b, c] = task.parameters;
        if [a, b, c, task.epsilon].iter().any(|parameter| parameter.is_nan()) {
            return Err(Error::value("a parameter is not a number"));
        }
        let functions = Task {
            layer: 0,
            input: 0,
            output: 0,
            further: [0; 3],
            rows: 0,
            input_width: 0,
            output_width: 0,
            extra: 0,
            input_stride: 0,
            second_stride: 0,
            ..*task
        };
        Ok(Self { variant: variant.name, functions })
    }

    /// The constants that the kernel's source declares: naming others is an error.
    fn constants(&self) -> Vec<(&'static str, f64)> {
        let task = &self.functions;
        // They must be finite: the largest number stands for infinity.
        let finite = |parameter: f32| f64::from(parameter.clamp(f32::MIN, f32::MAX));
        let [p0, p1, p2] = task.parameters.map(finite);
        let activation = [("ACTIVATION", f64::from(task.activation)), ("P0", p0), ("P1", p1), ("P2", p2)];
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

/// The pipelines compiled so far, and the layouts that they share. Lists, because they stay short.
pub(super) struct Pipelines {
    modules: RefCell<Vec<(&'static str, wgpu::ShaderModule)>>,
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
            // As declared in step.wgsl, second.wgsl and weights.wgsl.
            layouts: [3, 4, 5, 6].map(|count| Layout::new(device, &bindings[..count])),
        }
    }

    pub(super) fn bind_group_layout(&self, task: &Task) -> &wgpu::BindGroupLayout {
        &self.layout(task).group
    }

    fn layout(&self, task: &Task) -> &Layout {
        &self.layouts[further_bindings(task)]
    }

    /// The pipelines that compute a task in these ways, compiled where they are not yet. Nothing is waited for: whoever
    /// calls watches, for many at once.
    ///
    /// # Errors
    /// `Value` for a parameter that is NaN.
    pub(super) fn get(
        &self,
        context: &GpuContext,
        variant: &'static Variant,
        task: &Task,
    ) -> Result<wgpu::ComputePipeline> {
        let wanted = Specialisation::new(variant, task)?;
        if let Some(pipeline) = find(&self.compiled, &wanted) {
            return Ok(pipeline);
        }
        let device = &context.device;
        let module = find(&self.modules, &variant.name).unwrap_or_else(|| {
            let source = wgpu::ShaderSource::Wgsl(variant.source().into());
            let label = Some(variant.name);
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            self.modules.borrow_mut().push((variant.name, module.clone()));
            module
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.name),
            layout: Some(&self.layout(task).pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &wanted.constants(),
                // No kernel reads shared memory that it has not written.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        self.compiled.borrow_mut().push((wanted, pipeline.clone()));
        Ok(pipeline)
    }

    /// Forgets all pipelines: one of them could not be compiled.
    pub(super) fn clear(&self) {
        self.modules.borrow_mut().clear();
        self.compiled.borrow_mut().clear();
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
