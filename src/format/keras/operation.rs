//! Functions of `keras.ops`, which Keras 3 records as layers of a functional model: `x * 2`, `ops.relu(x)`.

use super::{
    axes::Axes,
    compose::{Composer, Wire, without_batch},
    fields::{Fields, brief, tensor},
    spec::one,
};
use crate::format::json::Value as Json;
use crate::{Activation, Binary, Elementwise, Error, LayerKind, Result, Rowwise, Tensor};

/// A function with its options.
#[derive(Debug, PartialEq)]
pub(super) enum Operation {
    /// Of two values.
    Binary(Binary),
    /// Of each value.
    Elementwise(Elementwise),
    /// x · x
    Square,
    /// The second where the first is true, else the third.
    Where,
    /// Along one axis or several.
    Rowwise(Rowwise, Axes),
    /// Sums, means …
    Reduce {
        function: Rowwise,
        axes: Axes,
        keep: bool,
    },
    /// One after the other.
    Concatenate {
        axis: Axes,
    },
    /// The product of matrices.
    MatMul,
    /// Another shape, that of the batch included.
    Reshape {
        target: Vec<Option<usize>>,
    },
    /// Axes of length 1 put in, or taken out.
    ExpandDims {
        axis: Axes,
    },
    Squeeze {
        axes: Axes,
    },
    /// Another order of the axes, that of the batch included.
    Transpose {
        axes: Vec<usize>,
    },
    /// `x[:, 1:3]`
    GetItem,
    /// Not supported, which matters where its result is used: Keras also records how it makes masks.
    Unknown(String),
}

/// What an operation is called on.
#[derive(Debug, Clone)]
pub(super) enum Argument {
    Value(Wire),
    /// A number, an array, slices: what is no layer's result.
    Constant(Json),
}

/// Positions of an axis that a slice is taken from: what it takes in memory is not bounded by the file.
const MOST_POSITIONS: i64 = 1 << 20;

const BINARY: [(&str, Binary); 18] = [
    ("Add", Binary::Add),
    ("Subtract", Binary::Subtract),
    ("Multiply", Binary::Multiply),
    ("Divide", Binary::Divide),
    ("TrueDivide", Binary::Divide),
    ("Power", Binary::Power),
    ("Maximum", Binary::Maximum),
    ("Minimum", Binary::Minimum),
    ("Less", Binary::Less),
    ("LessEqual", Binary::LessEqual),
    ("Greater", Binary::Greater),
    ("GreaterEqual", Binary::GreaterEqual),
    ("Equal", Binary::Equal),
    ("LogicalAnd", Binary::And),
    ("LogicalOr", Binary::Or),
    ("LogicalXor", Binary::Xor),
    ("BitwiseAnd", Binary::And),
    ("BitwiseOr", Binary::Or),
];

/// Functions of one value with the names that [`Activation::from_name`] knows them by.
const UNARY: [(&str, &str); 42] = [
    ("Absolute", "absolute"),
    ("Ceil", "ceiling"),
    ("Celu", "celu"),
    ("Clip", "clip"),
    ("Elu", "elu"),
    ("Erf", "erf"),
    ("Exp", "exponential"),
    ("Floor", "floor"),
    ("Gelu", "gelu"),
    ("HardShrink", "hard_shrink"),
    ("HardSigmoid", "hard_sigmoid"),
    ("HardSilu", "hard_silu"),
    ("HardTanh", "hard_tanh"),
    ("Isnan", "is_nan"),
    ("LeakyRelu", "leaky_relu"),
    ("Log", "log"),
    ("LogSigmoid", "log_sigmoid"),
    ("LogicalNot", "not"),
    ("Mish", "mish"),
    ("Negative", "negative"),
    ("ReLU", "relu"),
    ("Reciprocal", "reciprocal"),
    ("Relu", "relu"),
    ("Relu6", "relu6"),
    ("Round", "round"),
    ("Selu", "selu"),
    ("Sigmoid", "sigmoid"),
    ("Sign", "sign"),
    ("Silu", "silu"),
    ("SoftShrink", "soft_shrink"),
    ("Softplus", "softplus"),
    ("Softsign", "softsign"),
    ("SparsePlus", "sparse_plus"),
    ("SparseSigmoid", "sparse_sigmoid"),
    ("Sqrt", "square_root"),
    ("Squareplus", "squareplus"),
    ("Tanh", "tanh"),
    ("TanhShrink", "tanh_shrink"),
    ("Threshold", "threshold"),
    ("Trunc", "truncate"),
    ("Softmax", "softmax"),
    ("LogSoftmax", "log_softmax"),
];

const REDUCTIONS: [(&str, Rowwise); 5] = [
    ("Sum", Rowwise::Sum),
    ("Mean", Rowwise::Mean),
    ("Max", Rowwise::Max),
    ("Min", Rowwise::Min),
    ("Prod", Rowwise::Product),
];

/// Names of parameters that Keras's operations have and its activations call something else.
const PARAMETERS: [(&str, &str); 8] = [
    ("alpha", "alpha"),
    ("negative_slope", "negative_slope"),
    ("max_value", "max_value"),
    ("threshold", "threshold"),
    ("default_value", "value"),
    ("b", "b"),
    ("x_min", "min"),
    ("x_max", "max"),
];

impl Operation {
    pub(super) fn read(class: &str, config: &mut Fields) -> Result<Self> {
        if let Some((_, op)) = BINARY.iter().find(|(name, _)| *name == class) {
            return Ok(Self::Binary(*op));
        }
        if let Some((_, name)) = UNARY.iter().find(|(name, _)| *name == class) {
            return unary(name, config);
        }
        if let Some((_, function)) = REDUCTIONS.iter().find(|(name, _)| *name == class) {
            config.skip_null("initial");
            config.skip_null("dtype");
            let axes =
                config.axes("axis")?.ok_or_else(|| Error::unsupported(format!("{class} over the batch")))?;
            return Ok(Self::Reduce {
                function: *function,
                axes,
                keep: config.flag("keepdims")?.unwrap_or(false),
            });
        }
        let mut axes =
            |key| config.axes(key)?.ok_or_else(|| Error::unsupported(format!("{class} without '{key}'")));
        Ok(match class {
            "Square" => Self::Square,
            "Where" => Self::Where,
            "Matmul" => Self::MatMul,
            "GetItem" => Self::GetItem,
            "Glu" => Self::Rowwise(Rowwise::Glu, axes("axis")?),
            "Concatenate" => Self::Concatenate { axis: axes("axis")? },
            "ExpandDims" => Self::ExpandDims { axis: axes("axis")? },
            "Squeeze" => Self::Squeeze { axes: axes("axis")? },
            "Reshape" => {
                let target = config.sizes_or_rest("newshape")?;
                Self::Reshape { target: config.required("newshape", target)? }
            }
            "Transpose" => {
                let axes = config.sizes("axes")?;
                Self::Transpose { axes: axes.ok_or_else(|| Error::unsupported("Transpose of the batch"))? }
            }
            _ => Self::Unknown(class.to_string()),
        })
    }

    pub(super) fn expand(&self, composer: &mut Composer, arguments: Vec<Argument>) -> Result<Wire> {
        match (self, arguments.as_slice()) {
            (Self::Unknown(class), _) => {
                return Err(Error::unsupported(format!(
                    "the operation '{class}' is not supported; compute it before or behind the model"
                )));
            }
            (Self::GetItem, [Argument::Value(input), Argument::Constant(items)]) => {
                return get_item(composer, input.clone(), items);
            }
            // A matrix as a constant is the kernel of a Dense layer.
            (Self::MatMul, [Argument::Value(input), Argument::Constant(kernel)]) => {
                let (kernel, activation) = (constant(kernel)?, Activation::LINEAR);
                return composer.apply(LayerKind::Dense { kernel, bias: None, activation }, &[input]);
            }
            _ => {}
        }
        let inputs = values(composer, arguments)?;
        match self {
            Self::Binary(op) => {
                let [a, b] = exactly(&inputs)?;
                return composer.apply(LayerKind::Combine(*op), &[a, b]);
            }
            Self::Where => {
                let [condition, a, b] = exactly(&inputs)?;
                let a = composer.apply(LayerKind::Combine(Binary::Where), &[condition, a])?;
                let b = composer.apply(LayerKind::Combine(Binary::WhereNot), &[condition, b])?;
                return composer.apply(LayerKind::Combine(Binary::Add), &[&a, &b]);
            }
            Self::Concatenate { axis } => {
                let rank = inputs.first().map_or(0, |first| first.shape.len());
                let kind = LayerKind::Concatenate { axis: axis.one_of_sample(rank)? };
                return composer.apply(kind, &inputs.iter().collect::<Vec<_>>());
            }
            Self::MatMul => {
                let [a, b] = exactly(&inputs)?;
                return composer.apply(LayerKind::MatMul, &[a, b]);
            }
            _ => {}
        }
        let input = one(&inputs)?.clone();
        let rank = input.shape.len();
        match self {
            Self::Elementwise(function) => {
                composer.apply(LayerKind::Activation(Activation::Elementwise(*function)), &[&input])
            }
            Self::Square => composer.apply(LayerKind::Combine(Binary::Multiply), &[&input, &input]),
            Self::Rowwise(function, axes) => {
                let (value, moved) = composer.move_last(input, &axes.of_sample(rank)?)?;
                let value = composer.rowwise(*function, &value)?;
                composer.back(value, moved)
            }
            Self::Reduce { function, axes, keep } => {
                composer.reduce(*function, input, &axes.of_sample(rank)?, *keep)
            }
            Self::Reshape { target } => match target.split_first() {
                Some((None, shape)) => {
                    let shape = shape.iter().copied().collect::<Option<Vec<_>>>();
                    let shape = shape.ok_or_else(|| Error::unsupported("a shape with more than one -1"))?;
                    composer.apply(LayerKind::Reshape { shape }, &[&input])
                }
                _ => Err(Error::unsupported("a shape that does not start with -1 for the batch")),
            },
            Self::ExpandDims { axis } => {
                let mut shape = input.shape.clone();
                shape.insert(axis.one_of_sample(rank + 1)?.min(rank), 1);
                composer.apply(LayerKind::Reshape { shape }, &[&input])
            }
            Self::Squeeze { axes } => {
                let axes = axes.of_sample(rank)?;
                let left = input.shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
                let shape = left.map(|(_, &length)| length).collect();
                composer.apply(LayerKind::Reshape { shape }, &[&input])
            }
            Self::Transpose { axes } => match axes.split_first() {
                // Those of a sample are one less, and 0 cannot follow.
                Some((0, axes)) => {
                    let axes = axes.iter().map(|&axis| axis.saturating_sub(1)).collect();
                    composer.apply(LayerKind::Permute { axes }, &[&input])
                }
                _ => Err(Error::unsupported("Transpose of the batch")),
            },
            Self::Binary(_)
            | Self::Where
            | Self::Concatenate { .. }
            | Self::MatMul
            | Self::GetItem
            | Self::Unknown(_) => Err(Error::unsupported("an operation on arguments of another kind")),
        }
    }
}

fn unary(name: &str, config: &mut Fields) -> Result<Operation> {
    // `keras.ops.gelu` approximates unless told otherwise.
    let name = if config.flag("approximate")? == Some(true) { "gelu_tanh" } else { name };
    if config.count("decimals")?.is_some_and(|decimals| decimals != 0) {
        return Err(Error::unsupported("rounding to decimals is not supported"));
    }
    let unknown = || Error::unsupported(format!("the operation {name} is not supported"));
    match Activation::from_name(name).ok_or_else(unknown)? {
        Activation::Elementwise(mut function) => {
            for (key, parameter) in PARAMETERS {
                let value = config.number(key)?;
                if value.is_some_and(|value| !function.set_parameter(parameter, value)) {
                    return Err(Error::format(format!("{name} has no parameter '{key}'")));
                }
            }
            Ok(Operation::Elementwise(function))
        }
        Activation::Rowwise(function) => {
            Ok(Operation::Rowwise(function, config.axes("axis")?.unwrap_or_else(Axes::last)))
        }
    }
}

/// The arguments as values: arrays become constants.
fn values(composer: &mut Composer, arguments: Vec<Argument>) -> Result<Vec<Wire>> {
    let mut rank = None;
    for argument in &arguments {
        let Argument::Value(value) = argument else { continue };
        // NumPy's rules would put the batch of the one with fewer beside another axis of the other.
        if *rank.get_or_insert(value.shape.len()) != value.shape.len() {
            return Err(Error::unsupported("an operation on values with different numbers of axes"));
        }
    }
    let rank = rank.ok_or_else(|| Error::unsupported("called on constants alone"))?;
    let mut values = Vec::with_capacity(arguments.len());
    for argument in arguments {
        values.push(match argument {
            Argument::Value(value) => value,
            Argument::Constant(json) => composer.constant(without_batch(constant(&json)?, rank)?)?,
        });
    }
    Ok(values)
}

fn constant(json: &Json) -> Result<Tensor> {
    let number = || Error::unsupported(format!("called on {}, which is no number", brief(json)));
    tensor(json).ok_or_else(number)
}

/// So many values.
fn exactly<const N: usize>(inputs: &[Wire]) -> Result<&[Wire; N]> {
    let count = inputs.len();
    inputs.try_into().map_err(|_| Error::format(format!("takes {N} values, {count} given")))
}

/// `x[:, 1:3]`, `x[:, -1]`: the batch whole, and slices or positions of the other axes.
fn get_item(composer: &mut Composer, input: Wire, items: &Json) -> Result<Wire> {
    let unsupported =
        || Error::unsupported(format!("x[{}] is not supported, only slices and positions", brief(items)));
    let items = match items {
        Json::Array(items) => items.as_slice(),
        item => std::slice::from_ref(item),
    };
    let Some((batch, items)) = items.split_first() else { return Err(unsupported()) };
    let bounds = slice(batch).ok_or_else(unsupported)?;
    if bounds != [None; 3] {
        return Err(Error::unsupported("selects samples of the batch"));
    }
    let (mut value, mut left) = (input, Vec::new());
    for axis in 0..value.shape.len().max(items.len()) {
        let Some(&length) = value.shape.get(axis) else {
            return Err(Error::shape(format!("selects along axis {}", axis + 1)));
        };
        let indices = match items.get(axis) {
            None => {
                left.push(length);
                continue;
            }
            Some(at @ Json::Number(_)) => {
                let at = at.as_i64().and_then(|at| from_end(at, length));
                vec![at.ok_or_else(unsupported)?]
            }
            Some(item) => {
                let indices = slice(item).and_then(|bounds| selected(bounds, length));
                let indices = indices.ok_or_else(unsupported)?;
                left.push(indices.len());
                indices
            }
        };
        if !indices.iter().copied().eq(0..length) {
            value = composer.apply(LayerKind::Gather { axis, indices }, &[&value])?;
        }
    }
    composer.reshape(value, left)
}

/// `{"class_name": "__slice__", "config": {"start": …, "stop": …, "step": …}}`
fn slice(item: &Json) -> Option<[Option<i64>; 3]> {
    if item.get("class_name")? != "__slice__" {
        return None;
    }
    let bound = |key| match item.get("config")?.get(key)? {
        Json::Null => Some(None),
        number => number.as_i64().map(Some),
    };
    Some([bound("start")?, bound("stop")?, bound("step")?])
}

/// The positions that a slice selects, as in Python; `None` for none, and for more than there may be.
fn selected([start, stop, step]: [Option<i64>; 3], length: usize) -> Option<Vec<usize>> {
    let step = step.unwrap_or(1);
    let end = i64::try_from(length).ok().filter(|&end| end <= MOST_POSITIONS)?;
    let bound = |bound: Option<i64>, default: i64| {
        let bound = bound.map_or(default, |bound| if bound < 0 { bound.saturating_add(end) } else { bound });
        // Behind the last one, and backwards before the first.
        if step > 0 { bound.clamp(0, end) } else { bound.clamp(-1, end - 1) }
    };
    let default = if step > 0 { (0, end) } else { (end - 1, -1 - end) };
    let (mut at, stop) = (bound(start, default.0), bound(stop, default.1));
    let mut indices = Vec::new();
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        indices.push(usize::try_from(at).ok()?);
        at = at.checked_add(step)?;
    }
    Some(indices).filter(|indices| !indices.is_empty())
}

fn from_end(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add_unsigned(length as u64)? } else { at };
    usize::try_from(at).ok().filter(|&at| at < length)
}
