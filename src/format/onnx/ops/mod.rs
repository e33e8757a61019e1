//! Operators: <https://onnx.ai/onnx/operators/>.

mod arithmetic;
mod elementwise;
mod index;
mod matrix;
mod ml;
mod normalize;
mod pool;
mod reduce;
mod select;
mod shape;

use super::{
    call::constant,
    graph::Graph,
    value::{Outcome, Value},
};
use crate::{Binary, Elementwise, Result};
use arithmetic::{cast, choice, clip, dequantize, dropout, modulo, of_many, prelu};
use elementwise::{RELU, gelu, selu, shrink, swish};

/// How an operator is read.
#[derive(Clone, Copy)]
enum Operator {
    /// A function of one value, with attributes that are its parameters.
    Unary(Elementwise, &'static [(&'static str, &'static str)]),
    /// A function of two values.
    Binary(Binary),
    /// By a function that gives the first output, and keeps others with the [`Call`](super::call::Call).
    By(fn(&mut Graph) -> Outcome),
}

use Operator::{By, Unary};

const fn plain(function: Elementwise) -> Operator {
    Unary(function, &[])
}

/// The operators of ONNX's own domain.
const OPERATORS: &[(&str, Operator)] = &[
    ("Identity", plain(Elementwise::Linear)),
    ("Relu", plain(RELU)),
    ("Sigmoid", plain(Elementwise::Sigmoid)),
    ("Tanh", plain(Elementwise::Tanh)),
    ("Softplus", plain(Elementwise::Softplus)),
    ("Softsign", plain(Elementwise::Softsign)),
    ("Mish", plain(Elementwise::Mish)),
    ("HardSwish", plain(Elementwise::HardSilu)),
    ("Erf", plain(Elementwise::Erf)),
    ("Exp", plain(Elementwise::Exponential)),
    ("Log", plain(Elementwise::Log)),
    ("Sqrt", plain(Elementwise::SquareRoot)),
    ("Neg", plain(Elementwise::Negative)),
    ("Abs", plain(Elementwise::Absolute)),
    ("Reciprocal", plain(Elementwise::Reciprocal)),
    ("Sign", plain(Elementwise::Sign)),
    ("Floor", plain(Elementwise::Floor)),
    ("Ceil", plain(Elementwise::Ceiling)),
    ("Round", plain(Elementwise::Round)),
    ("Trunc", plain(Elementwise::Truncate)),
    ("IsNaN", plain(Elementwise::IsNan)),
    ("Not", plain(Elementwise::Not)),
    (
        "LeakyRelu",
        Unary(
            Elementwise::Relu { max_value: None, negative_slope: 0.01, threshold: 0.0 },
            &[("alpha", "negative_slope")],
        ),
    ),
    ("Elu", Unary(Elementwise::Elu { alpha: 1.0 }, &[("alpha", "alpha")])),
    ("Celu", Unary(Elementwise::Celu { alpha: 1.0 }, &[("alpha", "alpha")])),
    (
        "HardSigmoid",
        Unary(
            Elementwise::HardSigmoid { slope: 0.2, offset: 0.5 },
            &[("alpha", "slope"), ("beta", "offset")],
        ),
    ),
    (
        "ThresholdedRelu",
        Unary(Elementwise::Threshold { threshold: 1.0, value: 0.0 }, &[("alpha", "threshold")]),
    ),
    ("Gelu", By(gelu)),
    ("Selu", By(selu)),
    ("Shrink", By(shrink)),
    ("Swish", By(swish)),
    ("Add", Operator::Binary(Binary::Add)),
    ("Sub", Operator::Binary(Binary::Subtract)),
    ("Mul", Operator::Binary(Binary::Multiply)),
    ("Div", Operator::Binary(Binary::Divide)),
    ("Pow", Operator::Binary(Binary::Power)),
    ("Equal", Operator::Binary(Binary::Equal)),
    ("Less", Operator::Binary(Binary::Less)),
    ("LessOrEqual", Operator::Binary(Binary::LessEqual)),
    ("Greater", Operator::Binary(Binary::Greater)),
    ("GreaterOrEqual", Operator::Binary(Binary::GreaterEqual)),
    ("And", Operator::Binary(Binary::And)),
    ("Or", Operator::Binary(Binary::Or)),
    ("Xor", Operator::Binary(Binary::Xor)),
    ("Mod", By(modulo)),
    ("Min", By(|graph| of_many(graph, Some(Binary::Minimum)))),
    ("Max", By(|graph| of_many(graph, Some(Binary::Maximum)))),
    ("Sum", By(|graph| of_many(graph, Some(Binary::Add)))),
    ("Mean", By(|graph| of_many(graph, None))),
    ("PRelu", By(prelu)),
    ("Where", By(choice)),
    ("Clip", By(clip)),
    ("Cast", By(cast)),
    ("CastLike", By(cast)),
    ("DequantizeLinear", By(dequantize)),
    ("Dropout", By(dropout)),
    ("Gemm", By(matrix::gemm)),
    ("MatMul", By(matrix::matmul)),
    ("Softmax", By(normalize::softmax)),
    ("LogSoftmax", By(normalize::softmax)),
    ("Hardmax", By(normalize::softmax)),
    ("BatchNormalization", By(normalize::batch)),
    ("LayerNormalization", By(normalize::layer)),
    ("RMSNormalization", By(normalize::rms)),
    ("LpNormalization", By(normalize::lp)),
    ("ReduceMean", By(reduce::run)),
    ("ReduceSum", By(reduce::run)),
    ("ReduceMax", By(reduce::run)),
    ("ReduceMin", By(reduce::run)),
    ("ReduceProd", By(reduce::run)),
    ("ReduceL1", By(reduce::run)),
    ("ReduceL2", By(reduce::run)),
    ("ReduceSumSquare", By(reduce::run)),
    ("ReduceLogSum", By(reduce::run)),
    ("ReduceLogSumExp", By(reduce::run)),
    ("ArgMax", By(reduce::arg)),
    ("ArgMin", By(reduce::arg)),
    ("MaxPool", By(pool::run)),
    ("AveragePool", By(pool::run)),
    ("GlobalMaxPool", By(pool::global)),
    ("GlobalAveragePool", By(pool::global)),
    ("Flatten", By(shape::flatten)),
    ("Reshape", By(shape::reshape)),
    ("Squeeze", By(shape::squeeze)),
    ("Unsqueeze", By(shape::unsqueeze)),
    ("Transpose", By(shape::transpose)),
    ("Expand", By(shape::expand)),
    ("Tile", By(shape::tile)),
    ("Shape", By(shape::shape)),
    ("Size", By(shape::size)),
    ("Constant", By(constant)),
    ("ConstantOfShape", By(shape::constant_of_shape)),
    ("Range", By(shape::range)),
    ("Concat", By(select::concat)),
    ("Slice", By(select::slice)),
    ("Split", By(select::split)),
    ("Gather", By(select::gather)),
    ("OneHot", By(select::one_hot)),
];

/// The first output of the node that is being read; its others are with it.
pub(super) fn run(graph: &mut Graph, ml: bool) -> Result<Value> {
    let operators = if ml { ml::OPERATORS } else { OPERATORS };
    let known = operators.iter().find(|(name, _)| *name == graph.call.op);
    let output = match known {
        Some((_, Unary(function, parameters))) => elementwise::run(graph, *function, parameters),
        Some((_, Operator::Binary(function))) => arithmetic::run(graph, *function),
        Some((_, By(function))) => function(graph),
        None => Err(graph.unsupported("the operator is not supported")),
    };
    let output = graph.outcome(output)?;
    graph.call.finish()?;
    Ok(output)
}
