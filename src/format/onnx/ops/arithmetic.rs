//! Functions of several tensors, value by value, and changes of type.

use super::elementwise::RELU;
use crate::{
    Binary, Elementwise, Error, LayerKind,
    format::onnx::{
        graph::Graph,
        tensor::DataType,
        value::{Batch, Constant, Data, Kind, Outcome, Value},
    },
    layer::broadcast,
};

pub(super) fn run(graph: &mut Graph, function: Binary) -> Outcome {
    let (a, b) = (graph.input(0)?, graph.input(1)?);
    if graph.kind(a) == Kind::Text || graph.kind(b) == Kind::Text {
        return Err(graph.unsupported("compares strings; nearside computes with numbers"));
    }
    let result = graph.binary(function, a, b)?;
    match function {
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Power => Ok(result),
        // Of whole numbers, it is one.
        Binary::Divide if graph.kind(result) == Kind::Int => graph.unary(result, Elementwise::Truncate),
        Binary::Divide => Ok(result),
        _ => Ok(graph.of_kind(result, Kind::Bool)),
    }
}

/// The remainder of whole numbers: of the floored division, or of the truncated one with `fmod`.
pub(super) fn modulo(graph: &mut Graph) -> Outcome {
    let round = if graph.flag("fmod") { Elementwise::Truncate } else { Elementwise::Floor };
    let (a, b) = (graph.input(0)?, graph.input(1)?);
    if graph.kind(a) != Kind::Int {
        return Err(graph.unsupported("a remainder of floats"));
    }
    let x = converted(graph, a, Kind::Float)?;
    let y = converted(graph, b, Kind::Float)?;
    let quotient = graph.binary(Binary::Divide, x, y)?;
    let whole = graph.unary(quotient, round)?;
    let multiple = graph.binary(Binary::Multiply, whole, y)?;
    let rest = graph.binary(Binary::Subtract, x, multiple)?;
    if graph.is_known(rest) { converted(graph, rest, Kind::Int) } else { Ok(graph.of_kind(rest, Kind::Int)) }
}

/// Functions of any number of tensors; the mean has no function of two.
pub(super) fn of_many(graph: &mut Graph, function: Option<Binary>) -> Outcome {
    let mut values = graph.all_inputs()?;
    let Some((&first, others)) = values.split_first() else {
        return Err(graph.fail(Error::format("takes no input")));
    };
    if values.iter().all(|&value| graph.is_known(value)) {
        let mut result = first;
        for &other in others {
            result = graph.binary(function.unwrap_or(Binary::Add), result, other)?;
        }
        let count = values.len() as f32;
        return if function.is_some() { Ok(result) } else { graph.rescaled(result, 1.0 / count, 0.0) };
    }
    if others.is_empty() {
        return Ok(first);
    }
    graph.align(&mut values)?;
    let batch = values.iter().fold(Batch::None, |batch, &value| batch.or(graph.batch(value)));
    let like = graph.with_batch(first, batch);
    graph.add(function.map_or(LayerKind::Average, LayerKind::Combine), &values, like)
}

/// x where it is not negative, `slope · x` elsewhere.
pub(super) fn prelu(graph: &mut Graph) -> Outcome {
    let mut both = [graph.input(0)?, graph.input(1)?];
    graph.align(&mut both)?;
    let [value, slope] = both;
    if !graph.is_known(value) && graph.is_known(slope) {
        let alpha = graph.tensor(slope, "the slope")?;
        return graph.apply(LayerKind::PRelu { alpha }, value);
    }
    graph.binary(Binary::PRelu, value, slope)
}

/// `Where`: a choice between two values.
pub(super) fn choice(graph: &mut Graph) -> Outcome {
    let (condition, a, b) = (graph.input(0)?, graph.input(1)?, graph.input(2)?);
    if let (Some(condition), Some(known), Some(b)) = (graph.known(condition), graph.known(a), graph.known(b))
    {
        return graph.folded(chosen(condition, known, b), a);
    }
    graph.either(condition, a, b)
}

/// A choice between constants. Small ones alone: they are shapes.
fn chosen(condition: &Constant, a: &Constant, b: &Constant) -> crate::Result<Constant> {
    let mut shape = Some(condition.shape.clone());
    for other in [&a.shape, &b.shape] {
        shape = shape.filter(|shape| {
            let mut lengths = shape.iter().chain(other);
            let count = lengths.try_fold(1usize, |count, &length| count.checked_mul(length.max(1)));
            count.is_some_and(|count| count <= 1 << 24)
        });
        shape = shape.and_then(|shape| broadcast(&shape, other));
    }
    let shape = shape.ok_or_else(|| Error::shape("the shapes do not go together"))?;
    let (condition, a, b) = (condition.expand(&shape)?, a.expand(&shape)?, b.expand(&shape)?);
    let mut positions = Vec::new();
    for (i, &truth) in condition.data.floats()?.iter().enumerate() {
        positions.push(if truth != 0.0 { i } else { a.data.len() + i });
    }
    Ok(Constant::new(shape, Data::join(&[&a.data, &b.data])?.pick(&positions)))
}

pub(super) fn clip(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let (mut bounds, mut known) = ([None; 2], true);
    for (i, (name, none)) in [("min", f32::MIN), ("max", f32::MAX)].into_iter().enumerate() {
        // Attributes before version 11, inputs since.
        bounds[i] = if graph.call.version < 11 {
            let bound = graph.any_float(name, none);
            Some(graph.scalar(bound))
        } else {
            graph.optional(i + 1)
        };
        known &= bounds[i].is_none_or(|bound| graph.is_known(bound));
    }
    if graph.is_known(value) || !known {
        let mut result = value;
        for (bound, function) in bounds.into_iter().zip([Binary::Maximum, Binary::Minimum]) {
            if let Some(bound) = bound {
                result = graph.binary(function, result, bound)?;
            }
        }
        return Ok(result);
    }
    let mut numbers = [f32::MIN, f32::MAX];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        if let Some(bound) = bound {
            *number = graph.number(bound, "a bound")?;
        }
        if number.is_nan() {
            return Err(graph.fail(Error::format("a bound is NaN")));
        }
        // Infinite ones have no place in a container's JSON. Not by `clamp`, whose panic would bring along how floats are
        // written: 9 KB of the download.
        if number.is_infinite() {
            *number = f32::MAX.copysign(*number);
        }
    }
    let function = match numbers {
        [0.0, f32::MAX] => RELU,
        [0.0, max] if max > 0.0 => {
            Elementwise::Relu { max_value: Some(max), negative_slope: 0.0, threshold: 0.0 }
        }
        [f32::MIN, f32::MAX] => return Ok(value),
        [min, max] => Elementwise::Clip { min, max },
    };
    graph.unary(value, function)
}

pub(super) fn cast(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    // They matter for 8-bit floats, which are refused.
    graph.int_attribute("saturate");
    graph.text("round_mode");
    if graph.call.op == "CastLike" {
        let like = graph.input(1)?;
        return converted(graph, value, graph.kind(like));
    }
    let Some(to) = graph.int_attribute("to") else {
        return Err(graph.fail(Error::format("the attribute 'to' is missing")));
    };
    let to = graph.keep(DataType::of(to))?;
    if to.kind == Kind::Int && graph.kind(value) != Kind::Bool && !to.is_wide() {
        return Err(
            graph.unsupported("a cast to whole numbers of 8 or 16 bits, whose overflow nearside lacks")
        );
    }
    converted(graph, value, to.kind)
}

/// The values as those of another kind.
pub(super) fn converted(graph: &mut Graph, value: Value, kind: Kind) -> Outcome {
    let from = graph.kind(value);
    if from == kind {
        return Ok(value);
    }
    if from == Kind::Text || kind == Kind::Text {
        return Err(graph.unsupported("a cast from or to strings"));
    }
    let result = match graph.known(value) {
        // Truth values are whole numbers.
        _ if from != Kind::Float && kind == Kind::Int => value,
        Some(constant) => {
            let floats = graph.keep(constant.data.floats())?;
            let data = match kind {
                Kind::Float => Data::Floats(floats),
                Kind::Int => Data::Ints(floats.iter().map(|&x| x as i64).collect()),
                _ => Data::Ints(floats.iter().map(|&x| (x != 0.0).into()).collect()),
            };
            let constant = Constant::new(constant.shape.clone(), data);
            graph.folded(Ok(constant), value)?
        }
        None => match kind {
            Kind::Float => value,
            Kind::Int => graph.unary(value, Elementwise::Truncate)?,
            _ => {
                let negated = graph.unary(value, Elementwise::Not)?;
                graph.unary(negated, Elementwise::Not)?
            }
        },
    };
    Ok(graph.of_kind(result, kind))
}

/// `(x − zero point) · scale` of constant weights; along `axis` where there is more than one scale.
pub(super) fn dequantize(graph: &mut Graph) -> Outcome {
    let (value, scale, zero) = (graph.input(0)?, graph.input(1)?, graph.optional(2));
    let axis = graph.int_or("axis", 1);
    let axis = graph.normalized(axis, graph.rank(value).max(2))?;
    graph.only("block_size", 0);
    // 0 for that of the scale. All floats are f32 here.
    let dtype = graph.int_or("output_dtype", 0);
    if dtype != 0 {
        graph.keep(DataType::of(dtype))?;
    }
    graph.required(value, "the quantized tensor")?;
    let shape = graph.shape(value).to_vec();
    let trailing = shape.len().saturating_sub(axis + 1);
    let scale = along_axis(graph, scale, trailing)?;
    let mut result = converted(graph, value, Kind::Float)?;
    if let Some(zero) = zero {
        let zero = along_axis(graph, zero, trailing)?;
        let zero = converted(graph, zero, Kind::Float)?;
        result = graph.binary(Binary::Subtract, result, zero)?;
    }
    let result = graph.binary(Binary::Multiply, result, scale)?;
    if graph.shape(result) != shape {
        return Err(graph.fail(Error::shape("the scale does not fit the tensor")));
    }
    Ok(result)
}

/// A scale or a zero point, with as many axes behind its own as the tensor has.
fn along_axis(graph: &mut Graph, factor: Value, trailing: usize) -> Outcome {
    graph.required(factor, "the scale or the zero point")?;
    match *graph.shape(factor) {
        [] | [1] => graph.reshape(factor, &[]),
        [length] => {
            let mut shape = vec![length];
            shape.resize(trailing + 1, 1);
            graph.reshape(factor, &shape)
        }
        _ => Err(graph.unsupported("scales in blocks")),
    }
}

/// Nothing, when predicting; the mask is all true.
pub(super) fn dropout(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    graph.int_attribute("seed");
    let mut rate = 0.5;
    if let Some(ratio) = graph.optional(1) {
        rate = graph.number(ratio, "the ratio")?;
    }
    let rate = graph.float("ratio", rate);
    if !(0.0..=1.0).contains(&rate) {
        return Err(graph.fail(Error::format("the ratio lies not between 0 and 1")));
    }
    if let Some(training) = graph.optional(2)
        && graph.int(training, "training_mode")? != 0
    {
        return Err(graph.unsupported("training_mode is true; export the model for inference"));
    }
    let result =
        if graph.is_known(value) { value } else { graph.apply(LayerKind::Dropout { rate }, value)? };
    if graph.call.wants(1) {
        let mask = graph.filled(graph.shape(value).to_vec(), 1, Kind::Bool)?;
        let mask = graph.as_batched(mask, graph.batch(value))?;
        graph.call.more.push(mask);
    }
    Ok(result)
}
