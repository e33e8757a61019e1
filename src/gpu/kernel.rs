//! The compute kernels: their sources, their specialisations and their compiled pipelines.

use super::context::GpuContext;
use crate::{Binary, Elementwise, Error, Kernel, Result, Rowwise};
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
    Reduce,
    Normalize,
    Combine,
    Select,
    Place,
    Lookup,
    MatMul,
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

/// Rows and units that a workgroup of dense.wgsl computes.
const DENSE_TILE: u32 = 64;
/// Units that a workgroup of dense_row.wgsl computes.
const DENSE_ROW_UNITS: u32 = 16;
/// Values that a workgroup of activate.wgsl or glu.wgsl computes before it strides on.
const THREADS: u32 = 256;

impl Shader {
    const ALL: [Self; 14] = [
        Self::Dense,
        Self::DenseRow,
        Self::Activate,
        Self::Softmax,
        Self::LogSoftmax,
        Self::Sparsemax,
        Self::Glu,
        Self::Reduce,
        Self::Normalize,
        Self::Combine,
        Self::Select,
        Self::Place,
        Self::Lookup,
        Self::MatMul,
    ];

    /// The kernel of a step.
    fn of(kernel: &Kernel) -> Self {
        match kernel {
            Kernel::Dense { .. } => Self::Dense,
            Kernel::Activate(_) => Self::Activate,
            Kernel::Rowwise(Rowwise::Softmax) => Self::Softmax,
            Kernel::Rowwise(Rowwise::LogSoftmax) => Self::LogSoftmax,
            Kernel::Rowwise(Rowwise::Sparsemax) => Self::Sparsemax,
            Kernel::Rowwise(Rowwise::Glu) => Self::Glu,
            Kernel::Rowwise(function) if function.epsilon().is_some() => Self::Normalize,
            Kernel::Rowwise(_) => Self::Reduce,
            Kernel::Combine { .. } => Self::Combine,
            Kernel::Select { .. } => Self::Select,
            Kernel::Place { .. } => Self::Place,
            Kernel::Lookup { .. } => Self::Lookup,
            Kernel::MatMul { .. } => Self::MatMul,
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
            Self::Reduce => &[STEP, MATH, ROW, REDUCE],
            Self::Normalize => &[STEP, MATH, ROW, NORMALIZE],
            Self::Combine => &[STEP, SECOND, MATH, ACTIVATION, COMBINE],
            Self::Select => &[STEP, SELECT],
            Self::Place => &[STEP, PLACE],
            Self::Lookup => &[STEP, SECOND, LOOKUP],
            Self::MatMul => &[STEP, SECOND, MATMUL],
        }
    }

    fn source(self) -> String {
        self.files().iter().map(|file| file.text).collect()
    }

    /// Buffers that it binds besides those of every step.
    pub(super) fn further_bindings(self) -> usize {
        match self {
            Self::Dense | Self::DenseRow => 2,
            Self::Combine | Self::Select | Self::Lookup | Self::MatMul => 1,
            _ => 0,
        }
    }

    /// Workgroups along x and y for a step of `rows` rows, each of that many values written.
    pub(super) fn workgroups(self, rows: u32, width: u32, most: u32) -> [u32; 2] {
        match self {
            Self::Dense => [width.div_ceil(DENSE_TILE), rows.div_ceil(DENSE_TILE)],
            Self::DenseRow => [width.div_ceil(DENSE_ROW_UNITS), rows],
            Self::Softmax | Self::LogSoftmax | Self::Sparsemax | Self::Reduce | Self::Normalize => {
                [rows.min(most), 1]
            }
            _ => [rows.saturating_mul(width).div_ceil(THREADS).min(most), 1],
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
    pub(super) shader: Shader,
    activation: Elementwise,
    bias: bool,
    /// Which of the shader's functions, where it has several.
    function: usize,
    epsilon: f32,
}

impl Specialisation {
    /// A step's kernel.
    ///
    /// # Errors
    /// `Value` for a parameter that is NaN.
    pub(super) fn new(kernel: &Kernel) -> Result<Self> {
        let shader = Shader::of(kernel);
        let mut this =
            Self { shader, activation: Elementwise::Linear, bias: false, function: 0, epsilon: 0.0 };
        match *kernel {
            Kernel::Dense { bias, activation, .. } => {
                (this.activation, this.bias) = (activation, bias.is_some());
            }
            Kernel::Activate(activation) => this.activation = activation,
            Kernel::Rowwise(function) => {
                this.function = number(function);
                this.epsilon = function.epsilon().unwrap_or(0.0);
            }
            Kernel::Combine { op, activation, .. } => {
                this.activation = activation;
                this.function = Binary::NAMED.iter().position(|(_, named)| *named == op).unwrap_or(0);
            }
            _ => {}
        }
        let [a, b, c] = this.activation.parameters();
        if [a, b, c, this.epsilon].iter().any(|parameter| parameter.is_nan()) {
            return Err(Error::value("a parameter is not a number"));
        }
        Ok(this)
    }

    /// The same for a Dense step of few rows.
    pub(super) fn of_few_rows(self) -> Self {
        Self { shader: Shader::DenseRow, ..self }
    }

    /// The constants that the kernel's source declares: naming others is an error.
    fn constants(self) -> Vec<(&'static str, f64)> {
        // They must be finite: the largest number stands for infinity.
        let finite = |parameter: f32| f64::from(parameter.clamp(f32::MIN, f32::MAX));
        let [p0, p1, p2] = self.activation.parameters().map(finite);
        let activation =
            [("ACTIVATION", f64::from(code(self.activation))), ("P0", p0), ("P1", p1), ("P2", p2)];
        let function = ("FUNCTION", self.function as f64);
        let further = match self.shader {
            Shader::Dense | Shader::DenseRow => Some(("BIAS", f64::from(u8::from(self.bias)))),
            Shader::Combine => Some(function),
            Shader::Activate => None,
            Shader::Reduce => return vec![function],
            Shader::Normalize => return vec![function, ("EPSILON", finite(self.epsilon))],
            _ => return vec![],
        };
        activation.into_iter().chain(further).collect()
    }
}

/// The number of a function in reduce.wgsl or normalize.wgsl.
fn number(function: Rowwise) -> usize {
    match function {
        Rowwise::Mean | Rowwise::RmsNormalize { .. } => 1,
        Rowwise::Max | Rowwise::UnitNormalize { .. } => 2,
        Rowwise::Min => 3,
        Rowwise::Product => 4,
        Rowwise::ArgMax => 5,
        _ => 0,
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
        Elementwise::Clip { .. } => 25,
        Elementwise::Absolute => 26,
        Elementwise::Negative => 27,
        Elementwise::Log => 28,
        Elementwise::SquareRoot => 29,
        Elementwise::Reciprocal => 30,
        Elementwise::Sign => 31,
        Elementwise::Floor => 32,
        Elementwise::Ceiling => 33,
        Elementwise::Round => 34,
        Elementwise::Truncate => 35,
        Elementwise::Erf => 36,
        Elementwise::Not => 37,
        Elementwise::IsNan => 38,
    }
}

/// The pipelines compiled so far, and the layouts that they share. Lists, because they stay short.
pub(super) struct Pipelines {
    modules: RefCell<Vec<(Shader, wgpu::ShaderModule)>>,
    compiled: RefCell<Vec<(Specialisation, wgpu::ComputePipeline)>>,
    /// By the number of further bindings.
    layouts: [Layout; 3],
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
            // As declared in step.wgsl, second.wgsl and weights.wgsl.
            layouts: [3, 4, 5].map(|count| Layout::new(device, &[read, write, Uniform, read, read][..count])),
        }
    }

    pub(super) fn bind_group_layout(&self, shader: Shader) -> &wgpu::BindGroupLayout {
        &self.layout(shader).group
    }

    fn layout(&self, shader: Shader) -> &Layout {
        &self.layouts[shader.further_bindings()]
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
