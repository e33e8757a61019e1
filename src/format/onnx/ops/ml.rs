//! Operators of the domain `ai.onnx.ml`, <https://onnx.ai/onnx/operators/index.html#ai-onnx-ml>: what scikit-learn's
//! pipelines have around their networks.

use super::{
    Call,
    arithmetic::{converted, either},
    matrix::dense,
    normalize::{by_sum, over},
    select::{equal_to, equals, gathered},
};
use crate::{
    Binary, Elementwise, Error, LayerKind, Result, Rowwise, Tensor,
    format::onnx::{
        graph::{Graph, across_batch, normalized},
        value::{Batch, Data, Kind, Value},
    },
    tensor::element_count,
};

/// The outputs of an operator of this domain, if it is known.
pub(super) fn run(call: &mut Call, graph: &mut Graph) -> Result<Option<Vec<Value>>> {
    let output = match call.op {
        "Scaler" => scaler(call, graph)?,
        "Normalizer" => normalizer(call, graph)?,
        "Imputer" => imputer(call, graph)?,
        "Binarizer" => {
            let threshold = Value::scalar(call.attributes.float("threshold", 0.0)?);
            let value = call.input(0)?;
            graph.binary(Binary::Greater, &value, &threshold)?.of_kind(value.kind)
        }
        "OneHotEncoder" => one_hot(call, graph)?,
        "LabelEncoder" => label_encoder(call, graph)?,
        "ArrayFeatureExtractor" => extractor(call, graph)?,
        "ZipMap" => zip_map(call, graph)?,
        "FeatureVectorizer" => return feature_vectorizer(call, graph).map(|value| Some(vec![value])),
        "LinearRegressor" => return regressor(call, graph).map(|value| Some(vec![value])),
        "LinearClassifier" => return classifier(call, graph).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(vec![output]))
}

/// `(x − offset) · scale`
fn scaler(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let value = converted(graph, &value, Kind::Float)?;
    let offset = call.attributes.floats("offset")?.unwrap_or_else(|| vec![0.0]);
    let scale = call.attributes.floats("scale")?.unwrap_or_else(|| vec![1.0]);
    let mut result = value;
    // In this order: where an offset is much larger than what remains, the other one loses it.
    if offset.iter().any(|&offset| offset != 0.0) {
        result = graph.binary(Binary::Subtract, &result, &Value::floats(offset))?;
    }
    if scale.iter().any(|&scale| scale != 1.0) {
        result = graph.binary(Binary::Multiply, &result, &Value::floats(scale))?;
    }
    Ok(result)
}

/// Rows over their norm; those of norm 0 as they are.
fn normalizer(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let norm = call.attributes.text("norm")?;
    rows(graph, &value)?;
    match norm.as_deref() {
        None | Some("MAX") => {
            let max = graph.rowwise(&value, Rowwise::Max)?;
            over(graph, &value, &max)
        }
        Some("L1") => by_sum(graph, &value),
        Some("L2") => graph.rowwise(&value, Rowwise::UnitNormalize { epsilon: f32::MIN_POSITIVE }),
        Some(other) => Err(Error::unsupported(format!("the attribute 'norm' is '{other}'"))),
    }
}

/// Fails unless the sample's last axis is ONNX's.
fn rows(graph: &Graph, value: &Value) -> Result<usize> {
    graph.axis(value, -1)
}

/// Replaces one value, mostly NaN.
fn imputer(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let replaced = call.attributes.any_float("replaced_value_float", 0.0)?;
    let replaced_int = call.attributes.int("replaced_value_int64")?.unwrap_or(0);
    let floats = call.attributes.floats("imputed_value_floats")?;
    let ints = call.attributes.ints("imputed_value_int64s")?;
    let (condition, by) = match (floats, ints) {
        (Some(floats), None) if replaced.is_nan() => {
            (graph.unary(&value, Elementwise::IsNan)?, Value::floats(floats))
        }
        (Some(floats), None) => {
            (graph.binary(Binary::Equal, &value, &Value::scalar(replaced))?, Value::floats(floats))
        }
        (None, Some(ints)) => {
            let replaced = Value::constant(vec![], Data::Ints(vec![replaced_int]));
            let by = Value::constant(vec![ints.len()], Data::Ints(ints));
            (graph.binary(Binary::Equal, &value, &replaced)?, by)
        }
        _ => return Err(Error::format("imputes neither floats nor whole numbers")),
    };
    Ok(either(graph, &condition, &by, &value)?.of_kind(value.kind))
}

/// Along a new last axis, 1 for the category that the value is.
fn one_hot(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let ignores_unknown = call.attributes.int("zeros")?.unwrap_or(1) != 0;
    let categories = call.attributes.ints("cats_int64s")?;
    let categories = categories.ok_or_else(|| {
        Error::unsupported("encodes strings; nearside's inputs are numbers, so number the categories before")
    })?;
    let value = converted(graph, &value, Kind::Int)?;
    let hot = equal_to(graph, &value, categories)?.of_kind(Kind::Float);
    if ignores_unknown {
        return Ok(hot);
    }
    // Where other runtimes stop at a category they do not know, the result is NaN: 0 / 0.
    let known = graph.rowwise(&hot, Rowwise::Sum)?;
    graph.binary(Binary::Divide, &hot, &known)
}

/// The values of a table at computed positions: exactly, and strings as names of classes.
pub(super) fn named(graph: &mut Graph, indices: &Value, values: &Data) -> Result<Value> {
    let kind = match values {
        Data::Texts(names) => {
            let kind = LayerKind::Classes { names: names.clone(), columns: false };
            return Ok(graph.apply(kind, indices)?.of_kind(Kind::Text));
        }
        Data::Floats(_) => Kind::Float,
        _ => Kind::Int,
    };
    if let Data::Ints(ints) = values
        && ints.iter().enumerate().all(|(i, &int)| int == i as i64)
    {
        return Ok(indices.clone().of_kind(kind));
    }
    let table = Tensor::new(vec![values.len(), 1], values.floats()?)?;
    let shape = graph.shape(indices).to_vec();
    let rows = graph.apply(LayerKind::Embedding { table }, indices)?;
    Ok(graph.reshape(&rows, &shape)?.of_kind(kind))
}

/// One of the attributes, of numbers or strings, whose names end in their type.
fn list(call: &mut Call, name: &str, old: bool) -> Result<Option<Data>> {
    let attributes = &mut call.attributes;
    let ints = if old { format!("{name}_ints") } else { format!("{name}_int64s") };
    if let Some(ints) = attributes.ints(&ints)? {
        return Ok(Some(Data::Ints(ints)));
    }
    if let Some(texts) = attributes.texts(&format!("{name}_strings"))? {
        return Ok(Some(Data::Texts(texts)));
    }
    if let Some(floats) = attributes.floats(&format!("{name}_floats"))? {
        return Ok(Some(Data::Floats(floats)));
    }
    Ok(match attributes.tensor(&format!("{name}_tensor"))? {
        Some(tensor) => Some(tensor.required(name)?.data.clone()),
        None => None,
    })
}

/// For each value, what stands in the same place as it in another list.
fn label_encoder(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let mut old = call.attributes.texts("classes_strings")?;
    let (keys, mut values) = match (list(call, "keys", false)?, list(call, "values", false)?, old.take()) {
        (Some(keys), Some(values), None) if keys.len() == values.len() => (keys, values),
        // Version 1 has names of positions.
        (None, None, Some(names)) => (Data::Ints((0..names.len() as i64).collect()), Data::Texts(names)),
        _ => return Err(Error::format("keys and values are not equally many")),
    };
    let (text, int, float) = (
        call.attributes.text("default_string")?,
        call.attributes.int("default_int64")?,
        call.attributes.any_float("default_float", -0.0)?,
    );
    let default = call.attributes.tensor("default_tensor")?;
    let has_default = text.is_some() || default.is_some();
    let default = match (default, &values) {
        (Some(default), _) => default.required("the default")?.data.clone(),
        (None, Data::Texts(_)) => Data::Texts(vec![text.unwrap_or_else(|| "_Unused".to_string())]),
        (None, Data::Floats(_)) => Data::Floats(vec![float]),
        (None, _) => Data::Ints(vec![int.unwrap_or(-1)]),
    };
    if value.kind == Kind::Text || matches!(keys, Data::Texts(_)) {
        return Err(Error::unsupported("encodes strings; nearside's inputs are numbers"));
    }
    let in_order = |keys: &[i64]| keys.iter().enumerate().all(|(i, &key)| key == i as i64);
    if let (Data::Ints(ints), Data::Texts(_), false) = (&keys, &values, has_default)
        && in_order(ints)
    {
        // Nobody counts on a name for what is no class.
        return named(graph, &value, &values);
    }
    // The position of the key, or the one behind the last: where what is true for the first time is.
    let hits = equals(graph, &value, &Value::constant(vec![keys.len()], keys))?;
    let any = graph.rowwise(&hits, Rowwise::Max)?;
    let none = graph.unary(&any, Elementwise::Not)?;
    let axis = graph.shape(&hits).len().saturating_sub(1);
    let choices = graph.concatenate(&[hits, none], axis)?;
    let index = graph.rowwise(&choices, Rowwise::ArgMax)?;
    let shape = graph.shape(&value).to_vec();
    let index = graph.reshape(&index, &shape)?;
    values = Data::join(&[&values, &default])?;
    named(graph, &index, &values)
}

/// Known positions of the last axis, or computed positions of a known list.
fn extractor(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let (value, indices) = (call.input(0)?, call.input(1)?);
    let count = element_count(graph.shape(&indices))?;
    if indices.known().is_some() {
        let axis = rows(graph, &value)?;
        let indices = graph.reshape(&indices, &[count])?;
        let result = gathered(graph, &value, axis, &indices)?;
        // One axis gets another in front.
        return match graph.shape(&result) {
            [length] if result.batch == Batch::None => {
                let shape = [1, *length];
                graph.reshape(&result, &shape)
            }
            _ => Ok(result),
        };
    }
    let table = value.required("the tensor that computed positions choose from")?;
    if table.shape.len() > 1 && !matches!(table.shape.as_slice(), [1, _]) {
        return Err(Error::unsupported("computed positions of more than one row"));
    }
    match indices.batch {
        Batch::None => {
            let row = graph.reshape(&indices, &[1, count])?;
            named(graph, &row, &table.data)
        }
        // The samples' labels side by side, in one row.
        Batch::First if count == 1 => {
            let one = graph.reshape(&indices, &[])?;
            Ok(named(graph, &one, &table.data)?.with_batch(Batch::Second))
        }
        _ => Err(across_batch()),
    }
}

/// Probabilities by the names of their classes.
fn zip_map(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    rows(graph, &value)?;
    let names = match (
        call.attributes.texts("classlabels_strings")?.filter(|names| !names.is_empty()),
        call.attributes.ints("classlabels_int64s")?,
    ) {
        (Some(names), _) => names,
        (None, Some(ints)) => ints.iter().map(i64::to_string).collect(),
        (None, None) => return Err(Error::format("names no classes")),
    };
    graph.apply(LayerKind::Classes { names, columns: true }, &value)
}

/// All inputs side by side.
fn feature_vectorizer(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let values = call.all_inputs()?;
    let widths = call.attributes.ints("inputdimensions")?.unwrap_or_default();
    let mut columns = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let shape = graph.shape(value);
        let width = match (value.batch, shape) {
            (Batch::First | Batch::None, [.., width]) if graph.rank(value) == 2 => *width,
            _ => return Err(Error::unsupported("joins tensors that are no matrices")),
        };
        if widths.get(i) != Some(&(width as i64)) {
            return Err(Error::format("the attribute 'inputdimensions' does not fit the inputs"));
        }
        columns.push(converted(graph, value, Kind::Float)?);
    }
    let first = columns.first().ok_or_else(|| Error::format("joins no tensors"))?;
    let axis = graph.axis(first, 1)?;
    if columns.iter().any(|value| value.batch != first.batch) {
        return Err(across_batch());
    }
    graph.concatenate(&columns, axis)
}

/// `x · coefficientsᵀ + intercepts`, with a row of coefficients for each result.
fn linear(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let value = call.input(0)?;
    let value = converted(graph, &value, Kind::Float)?;
    let axis = rows(graph, &value)?;
    let features = graph.shape(&value).get(axis).copied().unwrap_or(0);
    let coefficients = call.attributes.floats("coefficients")?.unwrap_or_default();
    let units = coefficients.len().checked_div(features).unwrap_or(0);
    let kernel = Value::constant(vec![units, features], Data::Floats(coefficients));
    if units == 0 || kernel.tensor("the coefficients").is_err() {
        return Err(Error::shape(format!("the coefficients do not fit {features} features")));
    }
    let kernel = graph.permute(&kernel, &[1, 0])?;
    let bias = call.attributes.floats("intercepts")?;
    let bias = bias.map(|bias| Tensor::new(vec![units], bias)).transpose()?;
    dense(graph, &value, &kernel, bias)
}

fn regressor(call: &mut Call, graph: &mut Graph) -> Result<Value> {
    let targets = call.attributes.int("targets")?.unwrap_or(1);
    if let Some(other) = call.attributes.text("post_transform")?.filter(|transform| transform != "NONE") {
        return Err(Error::unsupported(format!("the attribute 'post_transform' is '{other}'")));
    }
    let result = linear(call, graph)?;
    let width = graph.shape(&result).last().copied();
    if width.map(|width| width as i64) != Some(targets) {
        return Err(Error::shape(format!("coefficients for {width:?} of {targets} targets")));
    }
    Ok(result)
}

/// The label of the highest score, and the scores.
fn classifier(call: &mut Call, graph: &mut Graph) -> Result<Vec<Value>> {
    let transform = call.attributes.text("post_transform")?;
    // How the coefficients were trained.
    call.attributes.int("multi_class")?;
    let labels = list(call, "classlabels", true)?;
    let labels = labels.ok_or_else(|| Error::format("names no classes"))?;
    let mut scores = linear(call, graph)?;
    let axis = rows(graph, &scores)?;
    let width = graph.shape(&scores).get(axis).copied().unwrap_or(0);
    if width == 1 && labels.len() == 2 && transform.as_deref() == Some("LOGISTIC") {
        // One row of coefficients, for the second of two classes.
        let other = graph.unary(&scores, Elementwise::Negative)?;
        scores = graph.concatenate(&[other, scores], axis)?;
    } else if width != labels.len() {
        return Err(Error::unsupported(format!("{width} scores for {} classes", labels.len())));
    }
    let scores = match transform.as_deref() {
        None | Some("NONE") => scores,
        Some("LOGISTIC") => graph.unary(&scores, Elementwise::Sigmoid)?,
        Some("SOFTMAX") => graph.rowwise(&scores, Rowwise::Softmax)?,
        Some(other) => {
            return Err(Error::unsupported(format!("the attribute 'post_transform' is '{other}'")));
        }
    };
    let index = graph.rowwise(&scores, Rowwise::ArgMax)?.of_kind(Kind::Int);
    let mut shape = graph.shape(&index).to_vec();
    normalized(axis as i64, shape.len())?;
    shape.pop();
    let index = graph.reshape(&index, &shape)?;
    Ok(vec![named(graph, &index, &labels)?, scores])
}
