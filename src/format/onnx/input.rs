//! The graph's inputs.

use super::{
    file::{File, Node},
    graph::Graph,
    proto::{Attribute, Message, Tensor},
    tensor::{DataType, MAX_RANK},
    value::{Batch, Kind, Value},
};
use crate::{Error, Result};

/// An input: its name, the kind of its values and its shape, as far as that is known.
pub(super) struct Input<'a> {
    pub name: &'a str,
    /// Among the file's tensors.
    pub place: usize,
    pub kind: Kind,
    pub shape: Vec<Option<usize>>,
}

impl<'a> Input<'a> {
    /// The inputs of a file that are not constants.
    pub fn all(file: &File<'a>) -> Result<Vec<Self>> {
        let mut inputs: Vec<Self> = Vec::new();
        for &(place, kind) in &file.inputs {
            let origin = file.origin(place);
            // Before IR version 4, constants are listed among the inputs.
            if origin.initializer.is_some() {
                continue;
            }
            let input = Self::read(origin.name, place, kind);
            let mut input = input.map_err(|error| error.tensor(origin.name))?;
            if let ([_, open @ None], true) = (&mut *input.shape, inputs.len() < 64) {
                *open = width(place, file)?;
            }
            inputs.push(input);
        }
        Ok(inputs)
    }

    /// Reads the type of an input, `TypeProto`.
    fn read(name: &'a str, place: usize, kind: &'a [u8]) -> Result<Self> {
        let Some(tensor) = field(kind, 1)? else {
            return Err(Error::unsupported("an input that is no tensor"));
        };
        let (mut element, mut shape) = (0, None);
        let mut message = Message::new(tensor, "a type");
        while let Some(field) = message.next()? {
            match field {
                1 => element = message.int()?,
                2 => shape = Some(message.bytes()?),
                _ => {}
            }
        }
        let kind = DataType::of(element)?.kind;
        if kind == Kind::Text {
            return Err(Error::unsupported("an input of strings; nearside computes with numbers"));
        }
        let Some(shape) = shape else {
            return Err(Error::unsupported("the file does not give this input's shape; export it with one"));
        };
        Ok(Self { name, place, kind, shape: lengths(shape)? })
    }

    pub fn add(&self, graph: &mut Graph) -> Result<Value> {
        let batch = if graph.batched { Batch::First } else { Batch::None };
        let mut shape = Vec::with_capacity(self.shape.len());
        for length in self.shape.iter().skip(batch.extra_axes()) {
            shape.push(length.ok_or_else(|| {
                Error::unsupported(
                    "the file leaves a length of this input open, besides the first; export it with that length fixed",
                )
            })?);
        }
        let value = graph.add_input(shape, self.kind, batch);
        let value = graph.outcome(value)?;
        let layer = graph.layer_index(value);
        graph.layers.name(usize::MAX, &[(self.name, layer)]);
        Ok(value)
    }
}

/// A field of bytes, if there is one.
pub(super) fn field(bytes: &[u8], wanted: u64) -> Result<Option<&[u8]>> {
    let mut found = None;
    let mut message = Message::new(bytes, "a type");
    while let Some(field) = message.next()? {
        if field == wanted {
            found = Some(message.bytes()?);
        }
    }
    Ok(found)
}

/// Those of `TensorShapeProto`.
fn lengths(shape: &[u8]) -> Result<Vec<Option<usize>>> {
    let mut lengths = Vec::new();
    let mut axes = Message::new(shape, "a shape");
    while let Some(field) = axes.next()? {
        if field != 1 {
            continue;
        }
        if lengths.len() == MAX_RANK {
            return Err(Error::format("an input of more than 32 axes"));
        }
        let mut length = None;
        let mut axis = Message::new(axes.bytes()?, "a length");
        while let Some(field) = axis.next()? {
            if field == 1 {
                // 0 and −1 are how some tools write that a length is open.
                length = usize::try_from(axis.int()?).ok().filter(|&length| length > 0);
            }
        }
        lengths.push(length);
    }
    Ok(lengths)
}

/// The number of columns of a matrix of which the file does not say it, from the first weights that it meets: what
/// skl2onnx leaves open where it is told no more than `FloatTensorType([None, None])`.
fn width(input: usize, file: &File) -> Result<Option<usize>> {
    let mut same = vec![false; file.count()];
    put(&mut same, Some(&input));
    for node in &file.nodes {
        if node.inputs.first().is_none_or(|&input| same.get(input) != Some(&true)) {
            continue;
        }
        let found = match node.op {
            "Cast" | "Identity" | "Normalizer" | "Binarizer" => {
                put(&mut same, node.outputs.first());
                None
            }
            "MatMul" | "Gemm" => columns(node, file)?,
            "Scaler" | "Imputer" => longest(node)?,
            _ => None,
        };
        if let Some(width) = found.and_then(|width| usize::try_from(width).ok()).filter(|&width| width > 0) {
            return Ok(Some(width));
        }
    }
    Ok(None)
}

fn put(same: &mut [bool], tensor: Option<&usize>) {
    if let Some(same) = tensor.and_then(|&tensor| same.get_mut(tensor)) {
        *same = true;
    }
}

/// How many values a product with known weights takes.
fn columns(node: &Node, file: &File) -> Result<Option<i64>> {
    let weights = node.inputs.get(1).and_then(|&weights| file.origin(weights).initializer);
    let Some(weights) = weights else { return Ok(None) };
    let mut turned = false;
    for bytes in &node.attributes {
        let attribute = Attribute::read(bytes)?;
        turned |= attribute.name == "transB" && attribute.int == 1;
    }
    Ok(Tensor::read(weights)?.dims.get(usize::from(turned)).copied())
}

/// The length of the longest list that a node has for columns, unless it is one number for all of them.
fn longest(node: &Node) -> Result<Option<i64>> {
    let mut longest = 1;
    for bytes in &node.attributes {
        let attribute = Attribute::read(bytes)?;
        if matches!(attribute.name, "offset" | "scale" | "imputed_value_floats") {
            longest = longest.max(attribute.floats.len());
        }
    }
    Ok(Some(longest as i64).filter(|&longest| longest > 1))
}
