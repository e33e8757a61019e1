//! The compute kernels: their sources, their specialisations and their compiled pipelines.

use super::context::GpuContext;
use crate::{Elementwise, Error, Result, Rowwise};
use std::cell::RefCell;

/// A kernel, of the same stem as its file in `shaders/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shader {
    Dense,
    DenseRow,
    Activate,
    Softmax,
    LogSoftmax,
    Sparsemax,
    Glu,
}

/// A file of `shaders/`.
struct File {
    name: &'static str,
    text: &'static str,
}

/// The file as build.rs left it: without comments and indentation, which every page would download.
macro_rules! file {
    ($name:literal) => {
        File { name: $name, text: include_str!(concat!(env!("OUT_DIR"), "/", $name)) }
    };
}

const STEP: File = file!("step.wgsl");
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

/// Rows and units that a workgroup of dense.wgsl computes.
const DENSE_TILE: u32 = 64;
/// Units that a workgroup of dense_row.wgsl computes.
const DENSE_ROW_UNITS: u32 = 16;
/// Values that a workgroup of activate.wgsl or glu.wgsl computes before it strides on.
const THREADS: u32 = 256;

impl Shader {
    const ALL: [Self; 7] = [
        Self::Dense,
        Self::DenseRow,
        Self::Activate,
        Self::Softmax,
        Self::LogSoftmax,
        Self::Sparsemax,
        Self::Glu,
    ];

    pub(super) fn rowwise(function: Rowwise) -> Self {
        match function {
            Rowwise::Softmax => Self::Softmax,
            Rowwise::LogSoftmax => Self::LogSoftmax,
            Rowwise::Sparsemax => Self::Sparsemax,
            Rowwise::Glu => Self::Glu,
        }
    }

    /// The files that make up its source, what is shared first.
    fn files(self) -> &'static [File] {
        match self {
            Self::Dense => &[STEP, MATH, ACTIVATION, WEIGHTS, DENSE],
            Self::DenseRow => &[STEP, MATH, ACTIVATION, WEIGHTS, DENSE_ROW],
            Self::Activate => &[STEP, MATH, ACTIVATION, ACTIVATE],
            Self::Softmax => &[STEP, MATH, ROW, SOFTMAX],
            Self::LogSoftmax => &[STEP, MATH, ROW, LOG_SOFTMAX],
            Self::Sparsemax => &[STEP, MATH, ROW, SPARSEMAX],
            Self::Glu => &[STEP, MATH, GLU],
        }
    }

    fn source(self) -> String {
        self.files().iter().map(|file| file.text).collect()
    }

    /// Whether it binds weights.
    pub(super) fn has_weights(self) -> bool {
        matches!(self, Self::Dense | Self::DenseRow)
    }

    /// Workgroups along x and y for a step of `rows` rows.
    pub(super) fn workgroups(self, rows: u32, output_width: u32, most: u32) -> [u32; 2] {
        match self {
            Self::Dense => [output_width.div_ceil(DENSE_TILE), rows.div_ceil(DENSE_TILE)],
            Self::DenseRow => [output_width.div_ceil(DENSE_ROW_UNITS), rows],
            Self::Activate | Self::Glu => [rows.saturating_mul(output_width).div_ceil(THREADS).min(most), 1],
            Self::Softmax | Self::LogSoftmax | Self::Sparsemax => [rows.min(most), 1],
        }
    }

    /// The most rows that [`workgroups`](Self::workgroups) can cover.
    pub(super) fn max_rows(self, most: u32) -> u64 {
        match self {
            Self::Dense => u64::from(most) * u64::from(DENSE_TILE),
            Self::DenseRow => u64::from(most),
            // These stride over what a dispatch cannot cover.
            _ => u64::MAX,
        }
    }

    /// The most units that [`workgroups`](Self::workgroups) can cover.
    pub(super) fn max_units(self, most: u32) -> u64 {
        match self {
            Self::DenseRow => u64::from(most) * u64::from(DENSE_ROW_UNITS),
            _ => self.max_rows(most),
        }
    }
}

/// Each kernel's file names, the shared ones first, and its whole source: what the shader test reads.
#[doc(hidden)]
pub fn shader_sources() -> Vec<(Vec<&'static str>, String)> {
    Shader::ALL.iter().map(|shader| (names(*shader).collect(), shader.source())).collect()
}

fn names(shader: Shader) -> impl Iterator<Item = &'static str> {
    shader.files().iter().map(|file| file.name)
}

/// What is fixed when a kernel is compiled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Specialisation {
    shader: Shader,
    activation: Elementwise,
    bias: bool,
}

impl Specialisation {
    /// A kernel with its activation and bias; both are ignored by kernels that have none.
    ///
    /// # Errors
    /// `Value` for a parameter that is NaN.
    pub(super) fn new(shader: Shader, activation: Elementwise, bias: bool) -> Result<Self> {
        if activation.parameters().iter().any(|parameter| parameter.is_nan()) {
            return Err(Error::value(format!("a parameter of {} is not a number", activation.name())));
        }
        Ok(Self { shader, activation, bias })
    }

    /// The constants that the kernel's source declares: naming others is an error.
    fn constants(self) -> Vec<(&'static str, f64)> {
        // They must be finite: the largest number stands for infinity.
        let finite = |parameter: f32| f64::from(parameter.clamp(f32::MIN, f32::MAX));
        let [p0, p1, p2] = self.activation.parameters().map(finite);
        let activation =
            [("ACTIVATION", f64::from(code(self.activation))), ("P0", p0), ("P1", p1), ("P2", p2)];
        let bias = ("BIAS", f64::from(u8::from(self.bias)));
        match self.shader {
            Shader::Dense | Shader::DenseRow => activation.into_iter().chain([bias]).collect(),
            Shader::Activate => activation.into(),
            _ => vec![],
        }
    }
}

/// The number of a function in activation.wgsl.
fn code(function: Elementwise) -> u32 {
    match function {
        Elementwise::Linear => 0,
        Elementwise::Relu { .. } => 1,
        Elementwise::Elu { .. } => 2,
        Elementwise::Celu { .. } => 3,
        Elementwise::Selu => 4,
        Elementwise::Gelu => 5,
        Elementwise::GeluTanh => 6,
        Elementwise::Sigmoid => 7,
        Elementwise::HardSigmoid { .. } => 8,
        Elementwise::Silu => 9,
        Elementwise::HardSilu => 10,
        Elementwise::Tanh => 11,
        Elementwise::HardTanh => 12,
        Elementwise::TanhShrink => 13,
        Elementwise::HardShrink { .. } => 14,
        Elementwise::SoftShrink { .. } => 15,
        Elementwise::Threshold { .. } => 16,
        Elementwise::Softplus => 17,
        Elementwise::Squareplus { .. } => 18,
        Elementwise::Softsign => 19,
        Elementwise::LogSigmoid => 20,
        Elementwise::Mish => 21,
        Elementwise::SparsePlus => 22,
        Elementwise::SparseSigmoid => 23,
        Elementwise::Exponential => 24,
    }
}

/// The pipelines compiled so far, and the layouts that they share. Lists, because they stay short.
pub(super) struct Pipelines {
    modules: RefCell<Vec<(Shader, wgpu::ShaderModule)>>,
    compiled: RefCell<Vec<(Specialisation, wgpu::ComputePipeline)>>,
    plain: Layout,
    weighted: Layout,
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
        Self {
            modules: RefCell::default(),
            compiled: RefCell::default(),
            // As declared in step.wgsl and weights.wgsl.
            plain: Layout::new(device, "step", &[read, write, Uniform]),
            weighted: Layout::new(device, "step with weights", &[read, write, Uniform, read, read]),
        }
    }

    pub(super) fn bind_group_layout(&self, shader: Shader) -> &wgpu::BindGroupLayout {
        &self.layout(shader).group
    }

    fn layout(&self, shader: Shader) -> &Layout {
        if shader.has_weights() { &self.weighted } else { &self.plain }
    }

    /// The pipeline of a specialisation, compiled on first use.
    ///
    /// # Errors
    /// `Device` with the compiler's message.
    pub(super) async fn get(
        &self,
        context: &GpuContext,
        wanted: Specialisation,
    ) -> Result<wgpu::ComputePipeline> {
        if let Some(pipeline) = find(&self.compiled, &wanted) {
            return Ok(pipeline);
        }
        let name = names(wanted.shader).last().unwrap_or_default();
        let watch = context.watch();
        let (module, pipeline) = self.compile(&context.device, wanted, name);
        watch.finish().await.map_err(|error| {
            Error::new(error.kind(), format!("the kernel {name} could not be compiled: {error}"))
        })?;
        if find(&self.modules, &wanted.shader).is_none() {
            self.modules.borrow_mut().push((wanted.shader, module));
        }
        self.compiled.borrow_mut().push((wanted, pipeline.clone()));
        Ok(pipeline)
    }

    fn compile(
        &self,
        device: &wgpu::Device,
        wanted: Specialisation,
        name: &str,
    ) -> (wgpu::ShaderModule, wgpu::ComputePipeline) {
        let module = find(&self.modules, &wanted.shader).unwrap_or_else(|| {
            let source = wgpu::ShaderSource::Wgsl(wanted.shader.source().into());
            device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source })
        });
        let constants = wanted.constants();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&self.layout(wanted.shader).pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // No kernel reads shared memory that it has not written.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        (module, pipeline)
    }
}

impl Layout {
    fn new(device: &wgpu::Device, label: &str, bindings: &[wgpu::BufferBindingType]) -> Self {
        let entry = |(binding, &ty): (u32, &wgpu::BufferBindingType)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let entries: Vec<_> = (0..).zip(bindings).map(entry).collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries };
        let group = device.create_bind_group_layout(&descriptor);
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&group)],
            ..Default::default()
        });
        Self { group, pipeline }
    }
}
