//! Operators of the domain `ai.onnx.ml`, <https://onnx.ai/onnx/operators/index.html#ai-onnx-ml>: what scikit-learn's
//! pipelines have around their networks.

use super::{
    Operator,
    Operator::By,
    arithmetic::converted,
    normalize::{by_sum, over},
    select::{equal_to, gathered},
};
use crate::{
    Binary, Elementwise, Error, LayerKind, Rowwise, Tensor,
    format::onnx::{
        graph::Graph,
        value::{Batch, Data, Kind, Outcome, Value},
    },
};

/// The operators of this domain.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("Scaler", By(scaler)),
    ("Normalizer", By(normalizer)),
    ("Imputer", By(imputer)),
    ("Binarizer", By(binarizer)),
    ("OneHotEncoder", By(one_hot)),
    ("LabelEncoder", By(label_encoder)),
    ("ArrayFeatureExtractor", By(extractor)),
    ("ZipMap", By(zip_map)),
    ("FeatureVectorizer", By(feature_vectorizer)),
    ("LinearRegressor", By(regressor)),
    ("LinearClassifier", By(classifier)),
];

/// `(x − offset) · scale`
fn scaler(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let mut result = converted(graph, value, Kind::Float)?;
    // In this order: where an offset is much larger than what remains, the other one loses it.
    for (name, nothing, function) in [("offset", 0.0, Binary::Subtract), ("scale", 1.0, Binary::Multiply)] {
        let list = graph.float_list(name).unwrap_or_default();
        if list.iter().any(|&number| number != nothing) {
            let list = graph.list(Data::of_floats(list));
            result = graph.binary(function, result, list)?;
        }
    }
    Ok(result)
}

/// Rows over their norm; those of norm 0 as they are.
fn normalizer(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let norm = graph.text_or("norm", "MAX");
    rows(graph, value)?;
    match norm {
        "MAX" => {
            let max = graph.rowwise(value, Rowwise::Max)?;
            over(graph, value, max)
        }
        "L1" => by_sum(graph, value),
        "L2" => graph.rowwise(value, Rowwise::UnitNormalize { epsilon: f32::MIN_POSITIVE }),
        other => Err(graph.unknown("norm", other)),
    }
}

/// Fails unless the sample's last axis is ONNX's.
fn rows(graph: &Graph, value: Value) -> Outcome<usize> {
    graph.axis(value, -1)
}

/// Replaces one value, mostly NaN.
fn imputer(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let replaced = graph.any_float("replaced_value_float", 0.0);
    let replaced_int = graph.int_or("replaced_value_int64", 0);
    let floats = graph.float_list("imputed_value_floats").map(Data::of_floats);
    let ints = graph.int_list("imputed_value_int64s").map(Data::Ints);
    let is_float = floats.is_some();
    let (Some(by), None) = (if is_float { (floats, ints) } else { (ints, floats) }) else {
        return Err(graph.fail(Error::format("imputes neither floats nor whole numbers")));
    };
    let condition = if is_float && replaced.is_nan() {
        graph.unary(value, Elementwise::IsNan)?
    } else {
        let replaced =
            if is_float { Data::of_floats(vec![replaced]) } else { Data::Ints(vec![replaced_int]) };
        let replaced = graph.constant(vec![], replaced);
        graph.binary(Binary::Equal, value, replaced)?
    };
    let by = graph.list(by);
    let result = graph.either(condition, by, value)?;
    Ok(graph.of_kind(result, graph.kind(value)))
}

/// 1 where the value exceeds a threshold.
fn binarizer(graph: &mut Graph) -> Outcome {
    let threshold = graph.float("threshold", 0.0);
    let value = graph.input(0)?;
    let threshold = graph.scalar(threshold);
    let result = graph.binary(Binary::Greater, value, threshold)?;
    Ok(graph.of_kind(result, graph.kind(value)))
}

/// Along a new last axis, 1 for the category that the value is.
fn one_hot(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let ignores_unknown = graph.int_or("zeros", 1) != 0;
    let Some(categories) = graph.int_list("cats_int64s") else {
        return Err(graph
            .unsupported("encodes strings; nearside's inputs are numbers, so number the categories before"));
    };
    let value = converted(graph, value, Kind::Int)?;
    let hot = equal_to(graph, value, categories)?;
    let hot = graph.of_kind(hot, Kind::Float);
    if ignores_unknown {
        return Ok(hot);
    }
    // Where other runtimes stop at a category they do not know, the result is NaN: 0 / 0.
    let known = graph.rowwise(hot, Rowwise::Sum)?;
    graph.binary(Binary::Divide, hot, known)
}

/// The values of a table at computed positions: exactly, and strings as names of classes.
pub(super) fn named(graph: &mut Graph, indices: Value, values: Data) -> Outcome {
    if let Data::Texts(names) = values {
        let named = graph.apply(LayerKind::Classes { names, columns: false }, indices)?;
        return Ok(graph.of_kind(named, Kind::Text));
    }
    let kind = if matches!(values, Data::Floats(_)) { Kind::Float } else { Kind::Int };
    if is_in_order(&values) {
        return Ok(graph.of_kind(indices, kind));
    }
    let floats = graph.keep(values.floats())?;
    let table = graph.keep(Tensor::shared(vec![floats.len(), 1], floats))?;
    let rows = graph.apply(LayerKind::Embedding { table }, indices)?;
    let rows = graph.without_last(rows)?;
    Ok(graph.of_kind(rows, kind))
}

/// Whether they are 0, 1, 2 …
fn is_in_order(values: &Data) -> bool {
    matches!(values, Data::Ints(ints) if ints.iter().enumerate().all(|(i, &int)| int == i as i64))
}

/// One of the attributes, of numbers or strings, whose names end in their type.
fn list(graph: &mut Graph, name: &str, ints: &str) -> Outcome<Option<Data>> {
    if let Some(ints) = graph.int_list(&format!("{name}{ints}")) {
        return Ok(Some(Data::Ints(ints)));
    }
    if let Some(texts) = graph.text_list(&format!("{name}_strings")) {
        return Ok(Some(Data::Texts(texts)));
    }
    if let Some(floats) = graph.float_list(&format!("{name}_floats")) {
        return Ok(Some(Data::of_floats(floats)));
    }
    match graph.tensor_attribute(&format!("{name}_tensor")) {
        Some(tensor) => Ok(Some(graph.required(tensor, name)?.data.clone())),
        None => Ok(None),
    }
}

/// For each value, what stands in the same place as it in another list.
fn label_encoder(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let old = graph.text_list("classes_strings");
    let (keys, values) = match (list(graph, "keys", "_int64s")?, list(graph, "values", "_int64s")?, old) {
        (Some(keys), Some(values), None) if keys.len() == values.len() => (keys, values),
        (None, None, Some(names)) => (Data::Ints((0..names.len() as i64).collect()), Data::Texts(names)),
        _ => return Err(graph.fail(Error::format("keys and values are not equally many"))),
    };
    let text = graph.text("default_string");
    let int = graph.int_or("default_int64", -1);
    let float = graph.any_float("default_float", -0.0);
    let default = graph.tensor_attribute("default_tensor");
    let has_default = text.is_some() || default.is_some();
    let default = match (default, &values) {
        (Some(default), _) => graph.required(default, "the default")?.data.clone(),
        (None, Data::Texts(_)) => Data::Texts(vec![text.unwrap_or("_Unused").to_string()]),
        (None, Data::Floats(_)) => Data::of_floats(vec![float]),
        (None, _) => Data::Ints(vec![int]),
    };
    if graph.kind(value) == Kind::Text || matches!(keys, Data::Texts(_)) {
        return Err(graph.unsupported("encodes strings; nearside's inputs are numbers"));
    }
    if matches!(values, Data::Texts(_)) && !has_default && is_in_order(&keys) {
        // Nobody counts on a name for what is no class.
        return named(graph, value, values);
    }
    // The position of the key, or the one behind the last: where what is true for the first time is.
    let keys = graph.list(keys);
    let hits = graph.equals(value, keys)?;
    let any = graph.rowwise(hits, Rowwise::Max)?;
    let none = graph.unary(any, Elementwise::Not)?;
    let axis = graph.shape(hits).len().saturating_sub(1);
    let choices = graph.concatenate(&[hits, none], axis)?;
    let index = graph.rowwise(choices, Rowwise::ArgMax)?;
    let index = graph.without_last(index)?;
    let values = graph.keep(Data::join(&[&values, &default]))?;
    named(graph, index, values)
}

/// Known positions of the last axis, or computed positions of a known list.
fn extractor(graph: &mut Graph) -> Outcome {
    let (value, indices) = (graph.input(0)?, graph.input(1)?);
    let count = graph.count(graph.shape(indices))?;
    if graph.is_known(indices) {
        let axis = rows(graph, value)?;
        let indices = graph.reshape(indices, &[count])?;
        let result = gathered(graph, value, axis, indices)?;
        // One axis gets another in front.
        return match (graph.shape(result), graph.batch(result)) {
            ([_], Batch::None) => graph.with_axis(result, 0),
            _ => Ok(result),
        };
    }
    let table = graph.required(value, "the tensor that computed positions choose from")?;
    if !matches!(*table.shape, [] | [_] | [1, _]) {
        return Err(graph.unsupported("computed positions of more than one row"));
    }
    let values = table.data.clone();
    match graph.batch(indices) {
        Batch::None => {
            let row = graph.reshape(indices, &[1, count])?;
            named(graph, row, values)
        }
        // The samples' labels side by side, in one row.
        Batch::First if count == 1 => {
            let one = graph.reshape(indices, &[])?;
            let named = named(graph, one, values)?;
            Ok(graph.with_batch(named, Batch::Second))
        }
        _ => Err(graph.across_batch()),
    }
}

/// Probabilities by the names of their classes.
fn zip_map(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    rows(graph, value)?;
    let texts = graph.text_list("classlabels_strings").filter(|names| !names.is_empty());
    let ints = graph.int_list("classlabels_int64s");
    let names = match (texts, ints) {
        (Some(names), _) => names,
        (None, Some(ints)) => ints.iter().map(i64::to_string).collect(),
        (None, None) => return Err(graph.fail(Error::format("names no classes"))),
    };
    graph.apply(LayerKind::Classes { names, columns: true }, value)
}

/// All inputs side by side.
fn feature_vectorizer(graph: &mut Graph) -> Outcome {
    let mut values = graph.all_inputs()?;
    let widths = graph.int_list("inputdimensions").unwrap_or_default();
    for (i, value) in values.iter_mut().enumerate() {
        if !matches!(graph.batch(*value), Batch::First | Batch::None) || graph.rank(*value) != 2 {
            return Err(graph.unsupported("joins tensors that are no matrices"));
        }
        if widths.get(i) != Some(&(graph.width(*value) as i64)) {
            let message = "the attribute 'inputdimensions' does not fit the inputs";
            return Err(graph.fail(Error::format(message)));
        }
        *value = converted(graph, *value, Kind::Float)?;
    }
    let Some(&first) = values.first() else {
        return Err(graph.fail(Error::format("joins no tensors")));
    };
    let axis = graph.axis(first, 1)?;
    if values.iter().any(|&value| graph.batch(value) != graph.batch(first)) {
        return Err(graph.across_batch());
    }
    graph.concatenate(&values, axis)
}

/// `x · coefficientsᵀ + intercepts`, with a row of coefficients for each result.
fn linear(graph: &mut Graph) -> Outcome {
    let value = graph.input(0)?;
    let value = converted(graph, value, Kind::Float)?;
    let axis = rows(graph, value)?;
    let features = graph.length(value, axis);
    let coefficients = graph.float_list("coefficients").unwrap_or_default();
    let units = coefficients.len().checked_div(features).unwrap_or(0);
    if units == 0 || units.checked_mul(features) != Some(coefficients.len()) {
        let message = format!("the coefficients do not fit {features} features");
        return Err(graph.fail(Error::shape(message)));
    }
    let kernel = graph.constant(vec![units, features], Data::of_floats(coefficients));
    let kernel = graph.permute(kernel, &[1, 0])?;
    let bias = match graph.float_list("intercepts") {
        Some(bias) => Some(graph.keep(Tensor::new(vec![units], bias))?),
        None => None,
    };
    graph.dense(value, kernel, bias)
}

fn regressor(graph: &mut Graph) -> Outcome {
    let targets = graph.int_or("targets", 1);
    let transform = graph.text_or("post_transform", "NONE");
    if transform != "NONE" {
        return Err(graph.unknown("post_transform", transform));
    }
    let result = linear(graph)?;
    let width = graph.width(result);
    if width as i64 != targets {
        let message = format!("coefficients for {width} of {targets} targets");
        return Err(graph.fail(Error::shape(message)));
    }
    Ok(result)
}

/// The label of the highest score, and the scores.
fn classifier(graph: &mut Graph) -> Outcome {
    let transform = graph.text_or("post_transform", "NONE");
    // How the coefficients were trained.
    graph.int_attribute("multi_class");
    let Some(labels) = list(graph, "classlabels", "_ints")? else {
        return Err(graph.fail(Error::format("names no classes")));
    };
    let mut scores = linear(graph)?;
    let axis = rows(graph, scores)?;
    let width = graph.length(scores, axis);
    if width == 1 && labels.len() == 2 && transform == "LOGISTIC" {
        // One row of coefficients, for the second of two classes.
        let other = graph.unary(scores, Elementwise::Negative)?;
        scores = graph.concatenate(&[other, scores], axis)?;
    } else if width != labels.len() {
        return Err(graph.unsupported(&format!("{width} scores for {} classes", labels.len())));
    }
    let scores = match transform {
        "NONE" => scores,
        "LOGISTIC" => graph.unary(scores, Elementwise::Sigmoid)?,
        "SOFTMAX" => graph.rowwise(scores, Rowwise::Softmax)?,
        other => return Err(graph.unknown("post_transform", other)),
    };
    graph.call.more.push(scores);
    let index = graph.rowwise(scores, Rowwise::ArgMax)?;
    let index = graph.of_kind(index, Kind::Int);
    let index = graph.without_last(index)?;
    named(graph, index, labels)
}
