//! The graph's inputs.

use super::{
    graph::Graph,
    proto::{self, decode},
    tensor::{DataType, MAX_RANK},
    value::{Batch, Kind, Source, Value},
};
use crate::{Error, LayerKind, Result};
use prost::bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// An input: its name, the kind of its values and its shape, as far as that is known.
pub(super) struct Input<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub shape: Vec<Option<usize>>,
}

impl<'a> Input<'a> {
    pub fn read(info: &'a proto::ValueInfo) -> Result<Self> {
        let kind = info.kind.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let tensor = kind.ok_or_else(|| Error::unsupported("an input that is no tensor"))?;
        let kind = DataType::of(tensor.elem_type.into())?.kind;
        if kind == Kind::Text {
            return Err(Error::unsupported("an input of strings; nearside computes with numbers"));
        }
        let shape = tensor.shape.as_ref();
        let shape = shape.ok_or_else(|| {
            Error::unsupported("the file does not give this input's shape; export it with one")
        })?;
        if shape.dim.len() > MAX_RANK {
            return Err(Error::format("an input of more than 32 axes"));
        }
        // 0 and −1 are how some tools write that a length is open.
        let length =
            |dim: &proto::Dimension| usize::try_from(dim.dim_value?).ok().filter(|&length| length > 0);
        Ok(Self { name: &info.name, kind, shape: shape.dim.iter().map(length).collect() })
    }

    pub fn add(&self, graph: &mut Graph) -> Result<Value> {
        let batch = if graph.batched { Batch::First } else { Batch::None };
        let sample = self.shape.get(batch.extra_axes()..).unwrap_or_default();
        let shape: Option<Vec<usize>> = sample.iter().copied().collect();
        let shape = shape.ok_or_else(|| {
            Error::unsupported(
                "the file leaves a length of this input open, besides the first; export it with that length fixed",
            )
        })?;
        let layer = graph.add(LayerKind::Input { shape }, Vec::new())?;
        let value = Value { source: Source::Layer(layer), kind: self.kind, batch };
        graph.name_layers(layer, &[(self.name.to_string(), value.clone())]);
        Ok(value)
    }
}

/// The number of columns of a matrix of which the file does not say it, from the first weights that it meets: what
/// skl2onnx leaves open where it is told no more than `FloatTensorType([None, None])`.
pub(super) fn width(
    name: &str,
    nodes: &[proto::Node],
    initializers: &BTreeMap<String, Bytes>,
) -> Result<Option<usize>> {
    let mut same = BTreeSet::from([name]);
    for node in nodes {
        if !node.input.first().is_some_and(|input| same.contains(input.as_str())) {
            continue;
        }
        let found = match node.op_type.as_str() {
            "Cast" | "Identity" | "Normalizer" | "Binarizer" => {
                same.extend(node.output.first().map(String::as_str));
                None
            }
            "MatMul" | "Gemm" => {
                let weights = node.input.get(1).and_then(|name| initializers.get(name));
                let weights = weights.map(|bytes| decode::<proto::Tensor>(bytes, "a tensor")).transpose()?;
                let turned = attributes(node, &["transB"])?.iter().any(|attribute| attribute.i == 1);
                weights.and_then(|weights| weights.dims.get(usize::from(turned)).copied())
            }
            "Scaler" | "Imputer" => {
                let lists = attributes(node, &["offset", "scale", "imputed_value_floats"])?;
                let lengths = lists.iter().map(|attribute| attribute.floats.len() as i64);
                lengths.max().filter(|&length| length > 1)
            }
            _ => None,
        };
        if let Some(width) = found.and_then(|width| usize::try_from(width).ok()).filter(|&width| width > 0) {
            return Ok(Some(width));
        }
    }
    Ok(None)
}

/// A node's attributes of these names.
fn attributes(node: &proto::Node, names: &[&str]) -> Result<Vec<proto::Attribute>> {
    let mut found = Vec::new();
    for bytes in &node.attribute {
        let attribute: proto::Attribute = decode(bytes, "an attribute")?;
        if names.contains(&attribute.name.as_str()) {
            found.push(attribute);
        }
    }
    Ok(found)
}
