//! One of PyTorch's modules: its class, the arguments of its constructor, and its weights.

use super::{Object, Shapes, Value, suggest};
use crate::{
    Activation, Error, LayerKind, Result, Rowwise, Tensor, format::safetensors::File, layer::Noise,
    tensor::reserve,
};

/// A module as `config` has it.
pub(super) struct Module {
    pub(super) class: String,
    /// What its weights' names begin with.
    pub(super) path: String,
    origin: Origin,
    options: Object,
}

/// Where a module's path comes from.
#[derive(PartialEq)]
enum Origin {
    /// Its name in `config`.
    Name,
    /// Its position, behind what the file's tensors have in front of theirs.
    Position,
    /// Its position, though the file's tensors do not have positions in one list.
    Nothing,
}

/// Classes without weights that apply a function: the class, the function's name in nearside, and the arguments with
/// the function's parameters and their defaults, if they have one.
type Function = (&'static str, &'static str, &'static [(&'static str, &'static str, Option<f32>)]);
static FUNCTIONS: [Function; 21] = [
    ("ReLU", "relu", &[]),
    ("ReLU6", "relu6", &[]),
    ("LeakyReLU", "leaky_relu", &[("negative_slope", "negative_slope", Some(0.01))]),
    ("ELU", "elu", &[("alpha", "alpha", Some(1.0))]),
    ("CELU", "celu", &[("alpha", "alpha", Some(1.0))]),
    ("SELU", "selu", &[]),
    ("Sigmoid", "sigmoid", &[]),
    ("Hardsigmoid", "hard_sigmoid", &[]),
    ("LogSigmoid", "log_sigmoid", &[]),
    ("SiLU", "silu", &[]),
    ("Hardswish", "hard_silu", &[]),
    ("Mish", "mish", &[]),
    ("Tanh", "tanh", &[]),
    ("Hardtanh", "clip", &[("min_val", "min", Some(-1.0)), ("max_val", "max", Some(1.0))]),
    ("Tanhshrink", "tanh_shrink", &[]),
    ("Hardshrink", "hard_shrink", &[("lambd", "threshold", Some(0.5))]),
    ("Softshrink", "soft_shrink", &[("lambd", "threshold", Some(0.5))]),
    ("Threshold", "threshold", &[("threshold", "threshold", None), ("value", "value", None)]),
    ("Softsign", "softsign", &[]),
    ("Identity", "linear", &[]),
    // Beyond `threshold`, 20, it is x, as is softplus in f32.
    ("Softplus", "softplus", &[]),
];

impl Module {
    /// Reads a class, or `{"type": CLASS, …}`.
    pub(super) fn new(value: Value, index: usize, prefix: Option<&str>) -> Result<Self> {
        let (class, mut options) = match value {
            Value::String(class) => (class, Object::default()),
            value => {
                let mut options = Object::new(value, "a module in 'config'")?;
                (options.string("type")?, options)
            }
        };
        // As users import it.
        let class = class.rsplit('.').next().unwrap_or_default().to_string();
        let (path, origin) = match (options.take_optional("name"), prefix) {
            (Some(Value::String(name)), _) => (name, Origin::Name),
            (Some(_), _) => return Err(Error::format(format!("the name of module {index} is not a string"))),
            (None, Some(prefix)) => (format!("{prefix}{index}"), Origin::Position),
            (None, None) => (index.to_string(), Origin::Nothing),
        };
        Ok(Self { class, path, origin, options })
    }

    /// The name of its layer: its path, unless that names no tensors.
    pub(super) fn layer_name(&self, index: usize) -> String {
        let has_weights = ["Linear", "BatchNorm1d", "LayerNorm", "RMSNorm", "PReLU", "Embedding"];
        match self.origin == Origin::Name || has_weights.contains(&self.class.as_str()) {
            true => self.path.clone(),
            false => format!("{}_{index}", self.class),
        }
    }

    /// The name of one of its weights.
    pub(super) fn weight(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// The layers that compute the same on samples of this shape.
    pub(super) fn read(
        mut self,
        file: &mut File,
        shapes: &Shapes,
        shape: &[usize],
    ) -> Result<Vec<LayerKind>> {
        for training in ["inplace", "device", "dtype"] {
            self.options.take_optional(training);
        }
        let mut weights = Weights { file, shapes, module: self };
        let kinds = weights.kinds(shape)?;
        weights.module.options.finish()?;
        Ok(kinds)
    }
}

/// A module and the file that has its weights.
struct Weights<'m, 'a> {
    file: &'m mut File<'a>,
    shapes: &'m Shapes,
    module: Module,
}

impl Weights<'_, '_> {
    fn kinds(&mut self, shape: &[usize]) -> Result<Vec<LayerKind>> {
        let class = std::mem::take(&mut self.module.class);
        let kind = match class.as_str() {
            "Linear" => self.linear()?,
            "BatchNorm1d" => self.batch_norm(shape)?,
            "LayerNorm" => {
                let (gamma, beta) = self.affine("elementwise_affine")?;
                self.normalized_shape(shape)?;
                LayerKind::LayerNormalization { gamma, beta, epsilon: self.number("eps", 1e-5)? }
            }
            "RMSNorm" => return self.rms_norm(shape),
            "PReLU" => self.prelu(shape)?,
            "Embedding" => self.embedding()?,
            "Dropout" => LayerKind::Dropout { rate: self.rate()? },
            "AlphaDropout" => LayerKind::Noise(Noise::AlphaDropout { rate: self.rate()? }),
            "Flatten" => self.flatten(shape)?,
            "Unflatten" => self.unflatten(shape)?,
            _ => LayerKind::Activation(self.activation(&class, shape)?),
        };
        Ok(vec![kind])
    }

    fn activation(&mut self, class: &str, shape: &[usize]) -> Result<Activation> {
        match class {
            "Softmax" => return self.over_last_axis(shape).map(|()| Activation::Rowwise(Rowwise::Softmax)),
            "LogSoftmax" => {
                return self.over_last_axis(shape).map(|()| Activation::Rowwise(Rowwise::LogSoftmax));
            }
            "GLU" => return self.over_last_axis(shape).map(|()| Activation::Rowwise(Rowwise::Glu)),
            "GELU" => return self.gelu(),
            "Softplus" if self.number("beta", 1.0)? != 1.0 || self.number("threshold", 20.0)? < 20.0 => {
                return Err(Error::unsupported("Softplus is supported with beta 1 and threshold 20 alone"));
            }
            _ => {}
        }
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == class);
        let (_, name, parameters) = known.ok_or_else(|| {
            Error::unsupported(format!(
                "modules of class '{class}' are not supported; nearside runs dense networks: Linear, BatchNorm1d, \
                 LayerNorm, Embedding, Dropout, Flatten and the activations"
            ))
        })?;
        let mut activation = Activation::from_name(name).unwrap_or(Activation::LINEAR);
        for (argument, parameter, default) in *parameters {
            let value = match default {
                Some(default) => self.number(argument, *default)?,
                None => self.module.options.number(argument)?,
            };
            if let Activation::Elementwise(function) = &mut activation {
                function.set_parameter(parameter, value);
            }
        }
        Ok(activation)
    }

    fn linear(&mut self) -> Result<LayerKind> {
        let weight = self.take("weight")?;
        let &[outputs, inputs] = weight.shape() else {
            let shape = weight.shape();
            return Err(Error::shape(format!("the weight has shape {shape:?}, (outputs, inputs) needed")));
        };
        self.expect("in_features", inputs)?;
        self.expect("out_features", outputs)?;
        let bias = self.optional("bias", "bias")?;
        Ok(LayerKind::Dense {
            kernel: transposed(&weight, inputs, outputs)?,
            bias,
            activation: Activation::LINEAR,
        })
    }

    fn batch_norm(&mut self, shape: &[usize]) -> Result<LayerKind> {
        if shape.len() != 1 {
            return Err(Error::unsupported(format!(
                "BatchNorm1d takes the channels from the axis behind the batch, and samples of shape {shape:?} have \
                 others behind it; only samples with one axis are supported"
            )));
        }
        if self.flag("track_running_stats")? == Some(false) {
            return Err(Error::unsupported("BatchNorm1d without running statistics depends on the batch"));
        }
        let (mean, variance) = (self.take("running_mean")?, self.take("running_var")?);
        let (gamma, beta) = self.affine("affine")?;
        if let [features] = *shape {
            self.expect("num_features", features)?;
        }
        let (epsilon, momentum) = (self.number("eps", 1e-5)?, self.number("momentum", 0.1)?);
        // PyTorch's is the share of the new moments.
        Ok(LayerKind::BatchNormalization { gamma, beta, mean, variance, epsilon, momentum: 1.0 - momentum })
    }

    fn rms_norm(&mut self, shape: &[usize]) -> Result<Vec<LayerKind>> {
        let scale = self.optional("weight", "elementwise_affine")?;
        self.normalized_shape(shape)?;
        let epsilon = self.number("eps", f32::EPSILON)?;
        let mut kinds = vec![LayerKind::Activation(Activation::Rowwise(Rowwise::RmsNormalize { epsilon }))];
        if let Some(scale) = scale {
            kinds.push(LayerKind::Rescaling { scale, offset: Tensor::new(vec![1], vec![0.0])? });
        }
        Ok(kinds)
    }

    fn prelu(&mut self, shape: &[usize]) -> Result<LayerKind> {
        self.module.options.take_optional("init");
        let alpha = self.take("weight")?;
        let count = alpha.data().len();
        self.expect("num_parameters", count)?;
        // One for each channel, which is the axis behind the batch.
        let mut axes = vec![1; shape.len()];
        if let Some(axis) = axes.first_mut() {
            *axis = count;
        }
        Ok(LayerKind::PRelu { alpha: Tensor::new(axes, alpha.into_data())? })
    }

    fn embedding(&mut self) -> Result<LayerKind> {
        let table = self.take("weight")?;
        if let [rows, width] = *table.shape() {
            self.expect("num_embeddings", rows)?;
            self.expect("embedding_dim", width)?;
        }
        // They act on gradients.
        for training in ["padding_idx", "norm_type", "scale_grad_by_freq", "sparse"] {
            self.module.options.take_optional(training);
        }
        if !matches!(self.module.options.take_optional("max_norm"), None | Some(Value::Null)) {
            return Err(Error::unsupported(
                "an Embedding with max_norm changes its weights when it is called",
            ));
        }
        Ok(LayerKind::Embedding { table })
    }

    fn flatten(&mut self, shape: &[usize]) -> Result<LayerKind> {
        let all = self.number("start_dim", 1.0)? == 1.0;
        let end = self.number("end_dim", -1.0)?;
        match all && (end == -1.0 || end == shape.len() as f32) {
            true => Ok(LayerKind::Flatten),
            false => Err(Error::unsupported("Flatten is supported for all axes behind the batch together")),
        }
    }

    fn unflatten(&mut self, shape: &[usize]) -> Result<LayerKind> {
        let options = &mut self.module.options;
        let (axis, size) = (options.size("dim")?, options.sizes("unflattened_size")?);
        // `dim` counts the batch.
        let axis = axis.checked_sub(1).filter(|&axis| axis < shape.len());
        let axis =
            axis.ok_or_else(|| Error::shape(format!("samples of shape {shape:?} have no axis 'dim'")))?;
        let (before, after) = shape.split_at(axis);
        let shape = before.iter().chain(&size).chain(after.iter().skip(1)).copied().collect();
        Ok(LayerKind::Reshape { shape })
    }

    fn gelu(&mut self) -> Result<Activation> {
        let name = match self.module.options.take_optional("approximate") {
            None => "gelu",
            Some(Value::String(text)) if text == "none" => "gelu",
            Some(Value::String(text)) if text == "tanh" => "gelu_tanh",
            Some(_) => return Err(Error::format("GELU's 'approximate' is neither 'none' nor 'tanh'")),
        };
        Activation::from_name(name).ok_or_else(|| Error::unsupported("GELU is not supported"))
    }

    /// Takes `dim`, which must be the last: PyTorch takes the first behind the batch where it is left out.
    fn over_last_axis(&mut self, shape: &[usize]) -> Result<()> {
        let is_last = match self.module.options.take_optional("dim") {
            None | Some(Value::Null) => shape.len() == 1,
            Some(dim) => dim == Value::Number(-1.0) || dim == Value::from(shape.len()),
        };
        match is_last {
            true => Ok(()),
            false => Err(Error::unsupported("supported along the last axis alone: \"dim\": -1")),
        }
    }

    /// A weight and a bias, or neither.
    fn affine(&mut self, option: &str) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if self.flag(option)? == Some(false) {
            return Ok((None, None));
        }
        Ok((self.optional("weight", "")?, self.optional("bias", "bias")?))
    }

    /// Normalizes over the last axis alone.
    fn normalized_shape(&mut self, shape: &[usize]) -> Result<()> {
        let axes = match self.module.options.take_optional("normalized_shape") {
            Some(Value::Array(axes)) => axes,
            Some(axis) => vec![axis],
            None => return Ok(()),
        };
        match (&axes[..], shape.last()) {
            ([axis], Some(&last)) if *axis == Value::from(last) => Ok(()),
            _ => Err(Error::unsupported(
                "normalizes over something other than the last axis, or of another length",
            )),
        }
    }

    fn take(&mut self, weight: &str) -> Result<Tensor> {
        let name = self.module.weight(weight);
        if self.shapes.get(&name).is_none() {
            let message = match self.module.origin {
                Origin::Name | Origin::Position => {
                    format!("the file lacks this tensor{}", suggest::example(self.shapes))
                }
                Origin::Nothing => format!(
                    "the tensors of this file do not have positions in one list as names; give each module with \
                     weights its own{}",
                    suggest::example(self.shapes)
                ),
            };
            return Err(Error::format(message).tensor(name));
        }
        self.file.take(&name)
    }

    /// A weight that the module has if the option says so, or if it is left out and the file has it.
    fn optional(&mut self, weight: &str, option: &str) -> Result<Option<Tensor>> {
        let has = self.flag(option)?;
        match has.unwrap_or(self.shapes.get(&self.module.weight(weight)).is_some()) {
            true => self.take(weight).map(Some),
            false => Ok(None),
        }
    }

    fn flag(&mut self, option: &str) -> Result<Option<bool>> {
        match self.module.options.take_optional(option) {
            None => Ok(None),
            Some(Value::Bool(is)) => Ok(Some(is)),
            Some(_) => Err(Error::format(format!("'{option}' is not true or false"))),
        }
    }

    fn number(&mut self, option: &str, default: f32) -> Result<f32> {
        match self.module.options.take_optional(option) {
            None => Ok(default),
            Some(Value::Number(number)) if (number as f32).is_finite() => Ok(number as f32),
            Some(_) => Err(Error::format(format!("'{option}' is not a number"))),
        }
    }

    fn rate(&mut self) -> Result<f32> {
        let rate = self.number("p", 0.5)?;
        match (0.0..=1.0).contains(&rate) {
            true => Ok(rate),
            false => Err(Error::format("'p' does not lie between 0 and 1")),
        }
    }

    /// Takes an option that the weights' shapes tell as well.
    fn expect(&mut self, option: &str, there: usize) -> Result<()> {
        match self.module.options.take_optional(option) {
            Some(value) if value != Value::from(there) => {
                let message = format!("'{option}' is {}, and the file has {there}", value.to_text());
                Err(Error::shape(message))
            }
            _ => Ok(()),
        }
    }
}

/// A matrix with its axes in the other order.
fn transposed(matrix: &Tensor, columns: usize, rows: usize) -> Result<Tensor> {
    let mut data = reserve(matrix.data().len())?;
    for column in 0..columns {
        data.extend(matrix.data().iter().skip(column).step_by(columns.max(1)));
    }
    Tensor::new(vec![columns, rows], data)
}
