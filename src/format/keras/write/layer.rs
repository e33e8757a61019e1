//! Layers as Keras has them.

use super::config::Dialect;
use crate::{
    Activation, Binary, Dtype, Elementwise, Error, Layer, LayerKind, Result, Rowwise, Tensor,
    format::{
        container::encoding_name,
        json::Value,
        keras::regularizer::ACTIVITY,
        stored::{Stored, Values},
    },
    layer::{Noise, Penalty},
};
use std::borrow::Cow;

/// A layer of Keras's. One of nearside's is one of these or a chain of them.
pub struct Part<'a> {
    /// Class name.
    pub class: &'static str,
    /// What its configuration holds besides its name.
    pub config: Vec<(&'static str, Value)>,
    /// In Keras's order.
    pub weights: Vec<Stored<'a>>,
}

impl Part<'_> {
    /// Adds how the layer is trained, where that is not as ever. What Keras keeps in the configuration, as a scale, is
    /// not trained, and has no penalties.
    ///
    /// # Errors
    /// As [`number`].
    pub fn add_training(&mut self, layer: &Layer, is_last: bool, dialect: Dialect) -> Result<()> {
        if !layer.trainable && self.class != "InputLayer" {
            self.freeze();
        }
        for penalty in &layer.penalties {
            let is_own = match penalty.weight.as_str() {
                ACTIVITY => is_last,
                weight => self.weights.iter().any(|stored| stored.weight == weight),
            };
            if is_own {
                self.config.extend(regularizer(penalty, dialect)?);
            }
        }
        Ok(())
    }

    fn freeze(&mut self) {
        self.config.retain(|(name, _)| *name != "trainable");
        self.config.push(("trainable", Value::Bool(false)));
    }
}

/// The option that makes Keras add a penalty to the loss; `None` for weights that have no such option.
fn regularizer(penalty: &Penalty, dialect: Dialect) -> Result<Option<(&'static str, Value)>> {
    let option = match penalty.weight.as_str() {
        "kernel" => "kernel_regularizer",
        "bias" => "bias_regularizer",
        "gamma" => "gamma_regularizer",
        "beta" => "beta_regularizer",
        "embeddings" => "embeddings_regularizer",
        "alpha" => "alpha_regularizer",
        ACTIVITY => "activity_regularizer",
        _ => return Ok(None),
    };
    let (l1, l2) = (("l1", number(penalty.l1)?), ("l2", number(penalty.l2)?));
    let (class, mut config) = match penalty {
        Penalty { l2: 0.0, .. } => ("L1", vec![l1]),
        Penalty { l1: 0.0, .. } => ("L2", vec![l2]),
        _ => ("L1L2", vec![l1, l2]),
    };
    let mut fields = vec![("class_name", class.into()), ("config", Value::object_of(&mut config))];
    if dialect == Dialect::Keras3 {
        fields.extend([("module", "keras.regularizers".into()), ("registered_name", Value::Null)]);
    }
    Ok(Some((option, Value::object_of(&mut fields))))
}

/// The functions that Keras knows by name.
const ACTIVATIONS: &str = "linear relu relu6 leaky_relu elu celu selu gelu sigmoid hard_sigmoid silu hard_silu tanh \
    hard_tanh tanh_shrink hard_shrink soft_shrink softplus squareplus softsign log_sigmoid mish sparse_plus \
    sparse_sigmoid exponential softmax log_softmax sparsemax glu";

const MERGES: [&str; 7] = ["Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average", "Concatenate"];

/// The chain that computes a layer on inputs of these shapes; the first has the layer's weights.
pub fn parts<'a>(
    layer: &'a Layer,
    inputs: &[&[usize]],
    dtype: Dtype,
    dialect: Dialect,
) -> Result<Vec<Part<'a>>> {
    if let (LayerKind::Combine(_) | LayerKind::Average | LayerKind::Concatenate { .. }, [_]) =
        (&layer.kind, inputs)
    {
        return Ok(vec![named("linear")]);
    }
    let mut part = Part { class: layer.kind.type_name(), config: vec![], weights: vec![] };
    let input = inputs.first().copied().unwrap_or_default();
    let config = &mut part.config;
    match &layer.kind {
        LayerKind::Dense { kernel, bias, activation } => {
            let units = kernel.shape().last().copied().unwrap_or(0);
            config.push(("units", units.into()));
            config.push(("use_bias", Value::Bool(bias.is_some())));
            part.weights = Stored::of_layer(layer, dtype)?;
            let mut rest = activation_parts(*activation, units, dialect)?;
            match &mut rest[..] {
                [only] if only.class == "Activation" => config.append(&mut rest.remove(0).config),
                _ => config.push(("activation", "linear".into())),
            }
            rest.insert(0, part);
            return Ok(rest);
        }
        LayerKind::Activation(activation) => {
            return activation_parts(*activation, input.last().copied().unwrap_or(0), dialect);
        }
        LayerKind::PRelu { alpha } => {
            let missing = input.len().saturating_sub(alpha.shape().len());
            let shape = [&vec![1; missing], alpha.shape()].concat();
            let shared = (0..input.len()).filter(|&axis| shape[axis] == 1 && input[axis] != 1);
            let shared: Vec<usize> = shared.map(|axis| axis + 1).collect();
            config.push(("shared_axes", if shared.is_empty() { Value::Null } else { Value::sizes(&shared) }));
            let alpha = Tensor::new(shape, alpha.data().to_vec())?;
            part.weights.push(whole("alpha", alpha));
        }
        LayerKind::Reshape { shape } => config.push(("target_shape", Value::sizes(shape))),
        LayerKind::Permute { axes } => {
            let dims: Vec<usize> = axes.iter().map(|axis| axis + 1).collect();
            config.push(("dims", Value::sizes(&dims)));
        }
        LayerKind::Dropout { rate }
        | LayerKind::Noise(Noise::GaussianDropout { rate } | Noise::AlphaDropout { rate }) => {
            config.push(("rate", number(*rate)?));
        }
        LayerKind::Noise(Noise::Gaussian { stddev }) => config.push(("stddev", number(*stddev)?)),
        LayerKind::Noise(Noise::ActivityRegularization { l1, l2 }) => {
            config.extend([("l1", number(*l1)?), ("l2", number(*l2)?)]);
        }
        LayerKind::Concatenate { axis } => config.push(("axis", (axis + 1).into())),
        LayerKind::BatchNormalization { gamma, beta, epsilon, momentum, .. } => {
            config.extend([("axis", last_axis()), ("epsilon", number(*epsilon)?)]);
            config.push(("momentum", number(*momentum)?));
            config.extend([("scale", Value::Bool(gamma.is_some())), ("center", Value::Bool(beta.is_some()))]);
            part.weights = Stored::of_layer(layer, dtype)?;
        }
        LayerKind::LayerNormalization { gamma, beta, epsilon } => {
            config.extend([("axis", last_axis()), ("epsilon", number(*epsilon)?)]);
            config.extend([("scale", Value::Bool(gamma.is_some())), ("center", Value::Bool(beta.is_some()))]);
            part.weights = Stored::of_layer(layer, dtype)?;
        }
        LayerKind::Rescaling { scale, offset } => {
            return Ok(vec![rescaling(scale.data(), offset.data())?]);
        }
        LayerKind::Normalization { mean, variance } => {
            // Keras wants both of one length.
            let length = mean.data().len().max(variance.data().len());
            let config = [("mean", mean), ("variance", variance)].map(|(name, tensor)| {
                let repeated: Vec<f32> = tensor.data().iter().copied().cycle().take(length).collect();
                Ok((name, numbers(&repeated)?))
            });
            part.config.push(("axis", last_axis()));
            for field in config {
                part.config.push(field?);
            }
        }
        LayerKind::Embedding { table } => {
            let names = ["input_dim", "output_dim"].into_iter();
            config.extend(names.zip(table.shape().iter().map(|&length| Value::from(length))));
            part.weights = Stored::of_layer(layer, dtype)?;
        }
        LayerKind::CategoryEncoding { tokens, mode } => {
            config.extend([("num_tokens", (*tokens).into()), ("output_mode", encoding_name(*mode).into())]);
        }
        LayerKind::Discretization { boundaries } => {
            let boundaries = boundaries.data().iter().map(|&boundary| number(boundary));
            config.push(("bin_boundaries", Value::Array(boundaries.collect::<Result<_>>()?)));
            config.push(("output_mode", "int".into()));
        }
        LayerKind::Combine(
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Maximum | Binary::Minimum,
        )
        | LayerKind::Average
        | LayerKind::Flatten => {}
        LayerKind::Input { .. }
        | LayerKind::Constant { .. }
        | LayerKind::Combine(_)
        | LayerKind::Gather { .. }
        | LayerKind::MatMul
        | LayerKind::Classes { .. } => return Err(foreign(layer.kind.type_name())),
    }
    Ok(vec![part])
}

/// x · scale + offset, each one value or one for each position of the last axis.
pub fn rescaling<'a>(scale: &[f32], offset: &[f32]) -> Result<Part<'a>> {
    let config = vec![("scale", numbers(scale)?), ("offset", numbers(offset)?)];
    Ok(Part { class: "Rescaling", config, weights: vec![] })
}

/// Whether the layers of a class join a list of inputs.
pub fn is_merge(class: &str) -> bool {
    MERGES.contains(&class)
}

/// A function of rows of `width` values, by its name or as the layers that compute it.
fn activation_parts<'a>(activation: Activation, width: usize, dialect: Dialect) -> Result<Vec<Part<'a>>> {
    let name = activation.name();
    // In Keras 2, it is another function of the same name.
    let differs = dialect == Dialect::Legacy && name == "hard_sigmoid";
    let is_default = Activation::from_name(name) == Some(activation);
    if is_default && !differs && ACTIVATIONS.split(' ').any(|known| known == name) {
        return Ok(vec![named(name)]);
    }
    let layer = |class, config| Ok(vec![Part { class, config, weights: vec![] }]);
    match activation {
        Activation::Elementwise(Elementwise::Relu { max_value, negative_slope, threshold })
            if max_value.unwrap_or(0.0) >= 0.0 && negative_slope >= 0.0 && threshold >= 0.0 =>
        {
            let max_value = max_value.map_or(Ok(Value::Null), number)?;
            let slope = number(negative_slope)?;
            layer(
                "ReLU",
                vec![("max_value", max_value), ("negative_slope", slope), ("threshold", number(threshold)?)],
            )
        }
        Activation::Elementwise(Elementwise::Elu { alpha }) => layer("ELU", vec![("alpha", number(alpha)?)]),
        Activation::Elementwise(Elementwise::HardSigmoid { slope, offset }) => {
            let mut parts = vec![rescaling(&[slope], &[offset])?];
            parts.extend(activation_parts(relu_up_to(1.0), width, dialect)?);
            Ok(parts)
        }
        Activation::Elementwise(Elementwise::Clip { min: 0.0, max }) => {
            activation_parts(relu_up_to(max), width, dialect)
        }
        Activation::Elementwise(Elementwise::Clip { min: -1.0, max: 1.0 }) => Ok(vec![named("hard_tanh")]),
        Activation::Elementwise(Elementwise::Negative) => Ok(vec![rescaling(&[-1.0], &[0.0])?]),
        Activation::Rowwise(Rowwise::UnitNormalize { epsilon: 1e-12 }) => {
            layer("UnitNormalization", vec![("axis", last_axis())])
        }
        Activation::Rowwise(Rowwise::Standardize { epsilon }) => {
            let none = [("scale", Value::Bool(false)), ("center", Value::Bool(false))];
            let mut config = vec![("axis", last_axis()), ("epsilon", number(epsilon)?)];
            config.extend(none);
            layer("LayerNormalization", config)
        }
        Activation::Rowwise(Rowwise::RmsNormalize { epsilon }) => {
            let config = vec![("axis", last_axis()), ("epsilon", number(epsilon)?)];
            let weights = vec![whole("scale", Tensor::new(vec![width], vec![1.0; width])?)];
            let mut part = Part { class: "RMSNormalization", config, weights };
            // The function alone, which has no scale to be trained.
            part.freeze();
            Ok(vec![part])
        }
        _ if is_default => Err(foreign(&format!("the function '{name}'"))),
        _ => Err(foreign(&format!("the function '{name}' with these parameters"))),
    }
}

fn relu_up_to(max: f32) -> Activation {
    Activation::Elementwise(Elementwise::Relu { max_value: Some(max), negative_slope: 0.0, threshold: 0.0 })
}

fn named<'a>(function: &'static str) -> Part<'a> {
    Part { class: "Activation", config: vec![("activation", function.into())], weights: vec![] }
}

fn whole<'a>(weight: &'static str, tensor: Tensor) -> Stored<'a> {
    Stored { layer: "", weight, tensor: Cow::Owned(tensor), values: Values::F32 }
}

fn last_axis() -> Value {
    Value::Number(-1.0)
}

/// A number, which JSON has only if it is finite.
///
/// # Errors
/// `Value` for any other.
pub fn number(value: f32) -> Result<Value> {
    if value.is_finite() {
        return Ok(value.into());
    }
    Err(Error::value("a parameter is infinite or not a number, which Keras's configuration cannot hold"))
}

/// One number, or a list of them.
///
/// # Errors
/// As [`number`].
pub fn numbers(values: &[f32]) -> Result<Value> {
    match values {
        [one] => number(*one),
        _ => values.iter().map(|&value| number(value)).collect::<Result<_>>().map(Value::Array),
    }
}

/// What Keras has no layer for.
pub fn foreign(what: &str) -> Error {
    Error::unsupported(format!("Keras has no layer for {what}; save as 'onnx' or 'safetensors'"))
}
