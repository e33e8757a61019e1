//! Functions of one value.

use crate::{
    Binary, Elementwise,
    format::onnx::{
        graph::Graph,
        value::{Kind, Outcome},
    },
};

pub(super) const RELU: Elementwise =
    Elementwise::Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 };

/// The function, with its `parameters`: for each, what ONNX calls it and what nearside does.
pub(super) fn run(graph: &mut Graph, mut function: Elementwise, parameters: &[(&str, &str)]) -> Outcome {
    for (attribute, parameter) in parameters {
        if let Some(value) = graph.float_attribute(attribute) {
            function.set_parameter(parameter, value);
        }
    }
    let value = graph.input(0)?;
    if function == Elementwise::Linear {
        return Ok(value);
    }
    let result = graph.unary(value, function)?;
    match function {
        Elementwise::Not | Elementwise::IsNan => Ok(graph.of_kind(result, Kind::Bool)),
        _ => Ok(result),
    }
}

pub(super) fn gelu(graph: &mut Graph) -> Outcome {
    let function = match graph.text_or("approximate", "none") {
        "none" => Elementwise::Gelu,
        "tanh" => Elementwise::GeluTanh,
        other => return Err(graph.unknown("approximate", other)),
    };
    run(graph, function, &[])
}

pub(super) fn shrink(graph: &mut Graph) -> Outcome {
    let (threshold, bias) = (graph.float("lambd", 0.5), graph.float("bias", 0.0));
    let function = match bias {
        0.0 => Elementwise::HardShrink { threshold },
        bias if bias == threshold => Elementwise::SoftShrink { threshold },
        _ => return Err(graph.unsupported("the attribute 'bias' is neither 0 nor that of 'lambd'")),
    };
    run(graph, function, &[])
}

/// `gamma · elu(x, alpha)`
pub(super) fn selu(graph: &mut Graph) -> Outcome {
    // The defaults, and Keras's, in f32.
    const STANDARD: (f32, f32) = (1.673_263_2, 1.050_701);
    let parameters = (graph.float("alpha", STANDARD.0), graph.float("gamma", STANDARD.1));
    let value = graph.input(0)?;
    if parameters == STANDARD {
        return graph.unary(value, Elementwise::Selu);
    }
    let elu = graph.unary(value, Elementwise::Elu { alpha: parameters.0 })?;
    graph.rescaled(elu, parameters.1, 0.0)
}

/// `x · sigmoid(alpha · x)`
pub(super) fn swish(graph: &mut Graph) -> Outcome {
    let alpha = graph.float("alpha", 1.0);
    let value = graph.input(0)?;
    if alpha == 1.0 {
        return graph.unary(value, Elementwise::Silu);
    }
    let scaled = graph.rescaled(value, alpha, 0.0)?;
    let gate = graph.unary(scaled, Elementwise::Sigmoid)?;
    graph.binary(Binary::Multiply, value, gate)
}
