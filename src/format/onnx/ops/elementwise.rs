//! Functions of one value.

use super::Call;
use crate::{
    Binary, Elementwise, Error, Result,
    format::onnx::{
        graph::Graph,
        value::{Kind, Value},
    },
};

/// Functions without parameters.
const PLAIN: [(&str, Elementwise); 22] = [
    ("Identity", Elementwise::Linear),
    ("Relu", RELU),
    ("Sigmoid", Elementwise::Sigmoid),
    ("Tanh", Elementwise::Tanh),
    ("Softplus", Elementwise::Softplus),
    ("Softsign", Elementwise::Softsign),
    ("Mish", Elementwise::Mish),
    ("HardSwish", Elementwise::HardSilu),
    ("Erf", Elementwise::Erf),
    ("Exp", Elementwise::Exponential),
    ("Log", Elementwise::Log),
    ("Sqrt", Elementwise::SquareRoot),
    ("Neg", Elementwise::Negative),
    ("Abs", Elementwise::Absolute),
    ("Reciprocal", Elementwise::Reciprocal),
    ("Sign", Elementwise::Sign),
    ("Floor", Elementwise::Floor),
    ("Ceil", Elementwise::Ceiling),
    ("Round", Elementwise::Round),
    ("Trunc", Elementwise::Truncate),
    ("IsNaN", Elementwise::IsNan),
    ("Not", Elementwise::Not),
];

pub(super) const RELU: Elementwise =
    Elementwise::Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 };

/// The operator's result, if it is a function of one value.
pub(super) fn run(call: &mut Call, graph: &mut Graph) -> Result<Option<Value>> {
    let plain = PLAIN.iter().find(|(name, _)| *name == call.op);
    let function = match (plain, call.op) {
        (Some((_, function)), _) => *function,
        (_, "Selu") => return selu(call, graph).map(Some),
        (_, "Swish") => return swish(call, graph).map(Some),
        (_, op) => match parameterized(op, call)? {
            Some(function) => function,
            None => return Ok(None),
        },
    };
    let value = call.input(0)?;
    if function == Elementwise::Linear {
        return Ok(Some(value));
    }
    let truth = matches!(function, Elementwise::Not | Elementwise::IsNan);
    let kind = if truth { Kind::Bool } else { value.kind };
    Ok(Some(graph.unary(&value, function)?.of_kind(kind)))
}

fn parameterized(op: &str, call: &mut Call) -> Result<Option<Elementwise>> {
    let attributes = &mut call.attributes;
    Ok(Some(match op {
        "LeakyRelu" => Elementwise::Relu {
            max_value: None,
            negative_slope: attributes.float("alpha", 0.01)?,
            threshold: 0.0,
        },
        "Elu" => Elementwise::Elu { alpha: attributes.float("alpha", 1.0)? },
        "Celu" => Elementwise::Celu { alpha: attributes.float("alpha", 1.0)? },
        "Gelu" => match attributes.text("approximate")?.as_deref() {
            None | Some("none") => Elementwise::Gelu,
            Some("tanh") => Elementwise::GeluTanh,
            Some(other) => {
                return Err(Error::unsupported(format!("the attribute 'approximate' is '{other}'")));
            }
        },
        "HardSigmoid" => Elementwise::HardSigmoid {
            slope: attributes.float("alpha", 0.2)?,
            offset: attributes.float("beta", 0.5)?,
        },
        "ThresholdedRelu" => {
            Elementwise::Threshold { threshold: attributes.float("alpha", 1.0)?, value: 0.0 }
        }
        "Shrink" => {
            let (threshold, bias) = (attributes.float("lambd", 0.5)?, attributes.float("bias", 0.0)?);
            match bias {
                0.0 => Elementwise::HardShrink { threshold },
                bias if bias == threshold => Elementwise::SoftShrink { threshold },
                _ => return Err(Error::unsupported("the attribute 'bias' is neither 0 nor that of 'lambd'")),
            }
        }
        _ => return Ok(None),
    }))
}

/// `gamma · elu(x, alpha)`
fn selu(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    // The defaults, and Keras's, in f32.
    const STANDARD: (f32, f32) = (1.673_263_2, 1.050_701);
    let parameters =
        (call.attributes.float("alpha", STANDARD.0)?, call.attributes.float("gamma", STANDARD.1)?);
    let value = call.input(0)?;
    if parameters == STANDARD {
        return graph.unary(&value, Elementwise::Selu);
    }
    let elu = graph.unary(&value, Elementwise::Elu { alpha: parameters.0 })?;
    graph.rescaled(&elu, parameters.1, 0.0)
}

/// `x · sigmoid(alpha · x)`
fn swish(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let alpha = call.attributes.float("alpha", 1.0)?;
    let value = call.input(0)?;
    if alpha == 1.0 {
        return graph.unary(&value, Elementwise::Silu);
    }
    let scaled = graph.rescaled(&value, alpha, 0.0)?;
    let gate = graph.unary(&scaled, Elementwise::Sigmoid)?;
    graph.binary(Binary::Multiply, &value, &gate)
}
