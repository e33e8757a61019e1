//! Functions of several tensors, value by value, and changes of type.

use super::{Call, elementwise::RELU};
use crate::{
    Binary, Elementwise, Error, LayerKind, Result, Tensor,
    format::onnx::{
        graph::{Graph, across_batch, filled, normalized},
        tensor::DataType,
        value::{Batch, Constant, Data, Kind, Source, Value},
    },
};
use std::rc::Rc;

const FUNCTIONS: [(&str, Binary); 16] = [
    ("Add", Binary::Add),
    ("Sub", Binary::Subtract),
    ("Mul", Binary::Multiply),
    ("Div", Binary::Divide),
    ("Pow", Binary::Power),
    ("Min", Binary::Minimum),
    ("Max", Binary::Maximum),
    ("Sum", Binary::Add),
    ("Equal", Binary::Equal),
    ("Less", Binary::Less),
    ("LessOrEqual", Binary::LessEqual),
    ("Greater", Binary::Greater),
    ("GreaterOrEqual", Binary::GreaterEqual),
    ("And", Binary::And),
    ("Or", Binary::Or),
    ("Xor", Binary::Xor),
];

pub(super) fn run(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let op = call.op;
    let function = FUNCTIONS.iter().find(|(name, _)| *name == op).map(|(_, function)| *function);
    if op == "Mod" {
        return modulo(call, graph);
    }
    if matches!(op, "Min" | "Max" | "Sum" | "Mean") {
        return of_many(call, function, graph);
    }
    let (a, b) = (call.input(0)?, call.input(1)?);
    let function = function.ok_or_else(across_batch)?;
    if a.kind == Kind::Text || b.kind == Kind::Text {
        return Err(Error::unsupported("compares strings; nearside computes with numbers"));
    }
    let result = graph.binary(function, &a, &b)?;
    match function {
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Power => Ok(result),
        // Of whole numbers, it is one.
        Binary::Divide if result.kind == Kind::Int => graph.unary(&result, Elementwise::Truncate),
        Binary::Divide => Ok(result),
        _ => Ok(result.of_kind(Kind::Bool)),
    }
}

/// The remainder of whole numbers: of the floored division, or of the truncated one with `fmod`.
fn modulo(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let round = if call.attributes.flag("fmod")? { Elementwise::Truncate } else { Elementwise::Floor };
    let (a, b) = (call.input(0)?, call.input(1)?);
    if a.kind != Kind::Int {
        return Err(Error::unsupported("a remainder of floats"));
    }
    let [x, y] = [converted(graph, &a, Kind::Float)?, converted(graph, &b, Kind::Float)?];
    let quotient = graph.binary(Binary::Divide, &x, &y)?;
    let whole = graph.unary(&quotient, round)?;
    let multiple = graph.binary(Binary::Multiply, &whole, &y)?;
    let rest = graph.binary(Binary::Subtract, &x, &multiple)?;
    if rest.known().is_some() { converted(graph, &rest, Kind::Int) } else { Ok(rest.of_kind(Kind::Int)) }
}

/// Functions of any number of tensors; the mean has no function of two.
fn of_many(call: &mut Call, function: Option<Binary>, graph: &mut Graph) -> Result<Value> {
    let values = call.all_inputs()?;
    let Some((first, others)) = values.split_first() else { return Err(Error::format("takes no input")) };
    if values.iter().all(|value| value.known().is_some()) {
        let mut result = first.clone();
        for other in others {
            result = graph.binary(function.unwrap_or(Binary::Add), &result, other)?;
        }
        let count = values.len() as f32;
        return if function.is_some() { Ok(result) } else { graph.rescaled(&result, 1.0 / count, 0.0) };
    }
    if others.is_empty() {
        return Ok(first.clone());
    }
    let aligned = graph.aligned(&values)?;
    let batch = aligned.iter().map(|value| value.batch).find(|&batch| batch != Batch::None);
    let layers: Vec<usize> = aligned.iter().map(|value| graph.layer(value)).collect::<Result<_>>()?;
    let layer = graph.add(function.map_or(LayerKind::Average, LayerKind::Combine), layers)?;
    Ok(Value { source: Source::Layer(layer), kind: first.kind, batch: batch.unwrap_or(Batch::None) })
}

/// x where it is not negative, `slope · x` elsewhere.
pub(super) fn prelu(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (value, slope) = (call.input(0)?, call.input(1)?);
    let both = graph.aligned(&[value.clone(), slope])?;
    match (both.first(), both.get(1)) {
        (Some(value), Some(slope)) if value.known().is_none() && slope.known().is_some() => {
            let alpha = slope.tensor("the slope")?;
            graph.apply(LayerKind::PRelu { alpha }, value)
        }
        (Some(value), Some(slope)) => graph.binary(Binary::PRelu, value, slope),
        _ => Err(across_batch()),
    }
}

/// `Where`: a choice between two values.
pub(super) fn choice(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let all = [call.input(0)?, call.input(1)?, call.input(2)?];
    if let (Some(condition), Some(a), Some(b)) = (all[0].known(), all[1].known(), all[2].known()) {
        let constant = chosen(condition, a, b)?;
        graph.spend(constant.data.len())?;
        return Ok(Value { source: Source::Constant(Rc::new(constant)), ..all[1].clone() });
    }
    either(graph, &all[0], &all[1], &all[2])
}

/// `a` where the condition is true, `b` elsewhere.
pub(super) fn either(graph: &mut Graph, condition: &Value, a: &Value, b: &Value) -> Result<Value> {
    let kind = a.kind;
    let a = graph.binary(Binary::Where, condition, a)?;
    let b = graph.binary(Binary::WhereNot, condition, b)?;
    Ok(graph.binary(Binary::Add, &a, &b)?.of_kind(kind))
}

/// A choice between constants. Small ones alone: they are shapes.
fn chosen(condition: &Constant, a: &Constant, b: &Constant) -> Result<Constant> {
    let shape = [&a.shape, &b.shape].into_iter().try_fold(condition.shape.clone(), |shape, other| {
        let count =
            shape.iter().chain(other).try_fold(1usize, |count, &length| count.checked_mul(length.max(1)));
        count.filter(|&count| count <= 1 << 24)?;
        crate::layer::broadcast(&shape, other)
    });
    let shape = shape.ok_or_else(|| Error::shape("the shapes do not go together"))?;
    let (condition, a, b) = (condition.expand(&shape)?, a.expand(&shape)?, b.expand(&shape)?);
    let truths = condition.data.floats()?;
    let count = a.data.len();
    let positions: Vec<usize> =
        truths.iter().enumerate().map(|(i, &truth)| if truth != 0.0 { i } else { count + i }).collect();
    Ok(Constant { shape, data: Data::join(&[&a.data, &b.data])?.pick(&positions) })
}

pub(super) fn clip(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    // Attributes before version 11, inputs since.
    let (low, high) = if call.version < 11 {
        let low = call.attributes.any_float("min", f32::MIN)?;
        (Some(Value::scalar(low)), Some(Value::scalar(call.attributes.any_float("max", f32::MAX)?)))
    } else {
        (call.optional(1), call.optional(2))
    };
    let known = |bound: &Option<Value>| bound.as_ref().is_none_or(|bound| bound.known().is_some());
    if value.known().is_some() || !known(&low) || !known(&high) {
        let raised = low.map_or(Ok(value.clone()), |low| graph.binary(Binary::Maximum, &value, &low))?;
        return high.map_or(Ok(raised.clone()), |high| graph.binary(Binary::Minimum, &raised, &high));
    }
    let bound = |bound: Option<Value>, none: f32| {
        let number = bound.map_or(Ok(none), |bound| bound.number("a bound"))?;
        // Infinite ones have no place in a container's JSON.
        if number.is_nan() {
            Err(Error::format("a bound is NaN"))
        } else {
            Ok(number.clamp(f32::MIN, f32::MAX))
        }
    };
    let (min, max): (f32, f32) = (bound(low, f32::MIN)?, bound(high, f32::MAX)?);
    let function = match (min, max) {
        (0.0, f32::MAX) => RELU,
        (0.0, max) if max > 0.0 => {
            Elementwise::Relu { max_value: Some(max), negative_slope: 0.0, threshold: 0.0 }
        }
        (f32::MIN, f32::MAX) => return Ok(value),
        _ => Elementwise::Clip { min, max },
    };
    graph.unary(&value, function)
}

pub(super) fn cast(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    // They matter for 8-bit floats, which are refused.
    call.attributes.int("saturate")?;
    call.attributes.text("round_mode")?;
    if call.op == "CastLike" {
        let kind = call.input(1)?.kind;
        return converted(graph, &value, kind);
    }
    let to = call.attributes.int("to")?.ok_or_else(|| Error::format("the attribute 'to' is missing"))?;
    let to = DataType::of(to)?;
    if to.kind == Kind::Int && value.kind != Kind::Bool && !to.is_wide() {
        return Err(Error::unsupported(
            "a cast to whole numbers of 8 or 16 bits, whose overflow nearside lacks",
        ));
    }
    converted(graph, &value, to.kind)
}

/// The values as those of another kind.
pub(super) fn converted(graph: &mut Graph, value: &Value, kind: Kind) -> Result<Value> {
    graph.spend(value.known().map_or(0, |constant| constant.data.len()))?;
    let result = match (value.kind, kind) {
        (from, to) if from == to => return Ok(value.clone()),
        (Kind::Text, _) | (_, Kind::Text) => {
            return Err(Error::unsupported("a cast from or to strings"));
        }
        (Kind::Float, Kind::Int) => match value.known() {
            Some(constant) => {
                let ints = constant.data.floats()?.iter().map(|&x| x as i64).collect();
                Value::constant(constant.shape.clone(), Data::Ints(ints))
            }
            None => graph.unary(value, Elementwise::Truncate)?,
        },
        (_, Kind::Bool) => match value.known() {
            Some(constant) => {
                let truths = constant.data.floats()?.iter().map(|&x| (x != 0.0).into()).collect();
                Value::constant(constant.shape.clone(), Data::Ints(truths))
            }
            None => {
                let negated = graph.unary(value, Elementwise::Not)?;
                graph.unary(&negated, Elementwise::Not)?
            }
        },
        (_, Kind::Float) => match value.known() {
            Some(constant) => Value::constant(constant.shape.clone(), Data::Floats(constant.data.floats()?)),
            None => value.clone(),
        },
        (Kind::Bool | Kind::Int, Kind::Int) => value.clone(),
    };
    Ok(result.of_kind(kind))
}

/// `(x − zero point) · scale` of constant weights; along `axis` where there is more than one scale.
pub(super) fn dequantize(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (value, scale, zero) = (call.input(0)?, call.input(1)?, call.optional(2));
    let axis = normalized(call.attributes.int("axis")?.unwrap_or(1), graph.rank(&value).max(2))?;
    call.attributes.only("block_size", 0)?;
    // 0 for that of the scale. All floats are f32 here.
    let dtype = call.attributes.int("output_dtype")?.filter(|&dtype| dtype != 0);
    dtype.map_or(Ok(()), |dtype| DataType::of(dtype).map(|_| ()))?;
    value.required("the quantized tensor")?;
    let trailing = graph.shape(&value).len().saturating_sub(axis + 1);
    let along_axis = |graph: &mut Graph, factor: &Value| {
        factor.required("the scale or the zero point")?;
        match *graph.shape(factor) {
            [] | [1] => graph.reshape(factor, &[]),
            [length] => graph.reshape(factor, &[&[length][..], &vec![1; trailing]].concat()),
            _ => Err(Error::unsupported("scales in blocks")),
        }
    };
    let scale = along_axis(graph, &scale)?;
    let shape = graph.shape(&value).to_vec();
    let mut result = converted(graph, &value, Kind::Float)?;
    if let Some(zero) = zero {
        let zero = along_axis(graph, &zero)?;
        let zero = converted(graph, &zero, Kind::Float)?;
        result = graph.binary(Binary::Subtract, &result, &zero)?;
    }
    let result = graph.binary(Binary::Multiply, &result, &scale)?;
    if graph.shape(&result) != shape {
        return Err(Error::shape("the scale does not fit the tensor"));
    }
    Ok(result)
}

/// Nothing, when predicting; the mask is all true.
pub(super) fn dropout(call: &mut Call, graph: &mut Graph) -> Result<Vec<Value>> {
    let value = call.input(0)?;
    call.attributes.int("seed")?;
    let ratio = call.optional(1).map_or(Ok(0.5), |ratio| ratio.number("the ratio"))?;
    let ratio = call.attributes.float("ratio", ratio)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::format("the ratio lies not between 0 and 1"));
    }
    if let Some(training) = call.optional(2)
        && training.int("training_mode")? != 0
    {
        return Err(Error::unsupported("training_mode is true; export the model for inference"));
    }
    let mut outputs = match value.known() {
        Some(_) => vec![value.clone()],
        None => vec![graph.apply(LayerKind::Dropout { rate: ratio }, &value)?],
    };
    if call.wants(1) {
        let shape = graph.shape(&value).to_vec();
        let mask = filled(graph, shape, 1.0, Kind::Bool)?;
        outputs.push(as_batched(graph, &mask, value.batch)?);
    }
    Ok(outputs)
}

/// The same constant for every sample of a batch.
pub(super) fn as_batched(graph: &mut Graph, value: &Value, batch: Batch) -> Result<Value> {
    if batch == Batch::None {
        return Ok(value.clone());
    }
    let tensor: Tensor = value.tensor("the constant")?;
    let layer = graph.add(LayerKind::Constant { value: tensor }, Vec::new())?;
    Ok(Value { source: Source::Layer(layer), kind: value.kind, batch })
}
