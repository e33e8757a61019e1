//! The model as it grows: layers, and the operations that operators are made of.
//!
//! Every operation computes at once what depends on constants alone, and adds a layer for what does not. Shapes and
//! axes here are those of a sample.

use super::{
    tensor::MAX_RANK,
    value::{Batch, Constant, Data, Kind, Source, Value},
};
use crate::{
    Activation, Binary, Elementwise, Error, Layer, LayerKind, Model, Node, Result, Rowwise, Tensor,
    layer::broadcast, tensor::element_count,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// A model under construction. Each layer is called once.
pub(super) struct Graph {
    layers: Vec<Layer>,
    inputs: Vec<Vec<usize>>,
    shapes: Vec<Vec<usize>>,
    /// Names that layers have or may get.
    names: BTreeSet<String>,
    /// Constants that are layers already, by address; held so that the address stays theirs.
    constants: BTreeMap<*const Constant, (Rc<Constant>, usize)>,
    /// Whether the model's inputs have a batch axis that is left out.
    pub batched: bool,
    /// Whether the file has batches of exactly one sample, so that 1 in a shape may be the batch size.
    pub single: bool,
    /// How many more values folding may make: a small file must not ask for any amount of memory.
    budget: usize,
}

impl Graph {
    /// A graph without layers, that leaves these names to the tensors of the file.
    pub fn new(batched: bool, single: bool, names: BTreeSet<String>, budget: usize) -> Self {
        Self {
            layers: Vec::new(),
            inputs: Vec::new(),
            shapes: Vec::new(),
            names,
            constants: BTreeMap::new(),
            batched,
            single,
            budget,
        }
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Shape of a sample.
    pub fn shape<'a>(&'a self, value: &'a Value) -> &'a [usize] {
        match &value.source {
            Source::Constant(constant) => &constant.shape,
            Source::Layer(layer) => self.layer_shape(*layer),
        }
    }

    /// Shape of a layer's result.
    pub fn layer_shape(&self, layer: usize) -> &[usize] {
        self.shapes.get(layer).map_or(&[], Vec::as_slice)
    }

    /// Number of axes in ONNX.
    pub fn rank(&self, value: &Value) -> usize {
        self.shape(value).len() + value.batch.extra_axes()
    }

    /// The sample's axis that is ONNX's `axis`, which counts from the end where it is negative.
    pub fn axis(&self, value: &Value, axis: i64) -> Result<usize> {
        let axis = normalized(axis, self.rank(value))?;
        match value.batch {
            Batch::None => Ok(axis),
            Batch::First if axis > 0 => Ok(axis - 1),
            Batch::Merged if axis > 0 => Ok(axis),
            _ => Err(across_batch()),
        }
    }

    /// Takes `count` values off what folding may make.
    pub fn spend(&mut self, count: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(count).ok_or_else(|| {
            Error::unsupported("makes tensors much larger than the file; nearside runs small networks")
        })?;
        Ok(())
    }

    /// Adds a layer. It is named when its operator is done.
    pub fn add(&mut self, kind: LayerKind, inputs: Vec<usize>) -> Result<usize> {
        let shapes: Vec<&[usize]> =
            inputs.iter().map(|&input| self.shapes.get(input).map_or(&[][..], Vec::as_slice)).collect();
        let shape = kind.output_shape(&shapes)?;
        if shape.len() > MAX_RANK || element_count(&shape)? == 0 {
            return Err(Error::unsupported(format!("computes a tensor of shape {shape:?}")));
        }
        self.spend(kind.weights().iter().map(|(_, weights)| weights.data().len()).sum())?;
        self.layers.push(Layer::new(String::new(), kind));
        self.inputs.push(inputs);
        self.shapes.push(shape);
        Ok(self.layers.len() - 1)
    }

    /// The layer that computes a tensor.
    pub fn layer(&mut self, value: &Value) -> Result<usize> {
        let constant = match &value.source {
            Source::Layer(layer) => return Ok(*layer),
            Source::Constant(constant) => constant,
        };
        if let Some((_, layer)) = self.constants.get(&Rc::as_ptr(constant)) {
            return Ok(*layer);
        }
        let layer = self.add(LayerKind::Constant { value: constant.tensor()? }, Vec::new())?;
        self.constants.insert(Rc::as_ptr(constant), (Rc::clone(constant), layer));
        Ok(layer)
    }

    /// A layer of one input; the result is of its kind, and has its batch axis.
    pub fn apply(&mut self, kind: LayerKind, value: &Value) -> Result<Value> {
        let input = self.layer(value)?;
        let layer = self.add(kind, vec![input])?;
        Ok(Value { source: Source::Layer(layer), ..value.clone() })
    }

    fn folded(&mut self, constant: Constant, like: &Value) -> Result<Value> {
        self.spend(constant.data.len())?;
        Ok(Value { source: Source::Constant(Rc::new(constant)), ..like.clone() })
    }

    /// The same values in another shape.
    pub fn reshape(&mut self, value: &Value, shape: &[usize]) -> Result<Value> {
        if self.shape(value) == shape {
            return Ok(value.clone());
        }
        let Some(constant) = value.known() else {
            return self.apply(LayerKind::Reshape { shape: shape.to_vec() }, value);
        };
        if shape.len() > MAX_RANK || element_count(shape)? != constant.data.len() {
            return Err(Error::shape(format!("{:?} cannot be reshaped to {shape:?}", constant.shape)));
        }
        let constant = Constant { shape: shape.to_vec(), data: constant.data.clone() };
        self.folded(constant, value)
    }

    /// Axes in another order: for each of the result, the one it was.
    pub fn permute(&mut self, value: &Value, axes: &[usize]) -> Result<Value> {
        if axes.iter().enumerate().all(|(i, &axis)| i == axis) {
            return Ok(value.clone());
        }
        match value.known() {
            Some(constant) => self.folded(constant.permute(axes)?, value),
            None => self.apply(LayerKind::Permute { axes: axes.to_vec() }, value),
        }
    }

    /// Moves an axis to the end.
    pub fn axis_last(&mut self, value: &Value, axis: usize) -> Result<Value> {
        let mut axes: Vec<usize> = (0..self.shape(value).len()).filter(|&other| other != axis).collect();
        axes.push(axis);
        self.permute(value, &axes)
    }

    /// Moves the last axis to `axis`.
    pub fn axis_back(&mut self, value: &Value, axis: usize) -> Result<Value> {
        let last = self.shape(value).len().saturating_sub(1);
        let mut axes: Vec<usize> = (0..last).collect();
        axes.insert(axis.min(last), last);
        self.permute(value, &axes)
    }

    /// Chosen positions of an axis.
    pub fn gather(&mut self, value: &Value, axis: usize, indices: Vec<usize>) -> Result<Value> {
        let length = self.shape(value).get(axis);
        if length == Some(&indices.len()) && indices.iter().enumerate().all(|(i, &index)| i == index) {
            return Ok(value.clone());
        }
        match value.known() {
            Some(constant) => {
                let rows = constant.data.len() / length.copied().unwrap_or(1).max(1);
                let count = rows.checked_mul(indices.len());
                self.spend(count.unwrap_or(usize::MAX))?;
                self.folded(constant.gather(axis, &indices)?, value)
            }
            None => self.apply(LayerKind::Gather { axis, indices }, value),
        }
    }

    /// The same values along new axes in front, and along those of length 1.
    pub fn expand(&mut self, value: &Value, shape: &[usize]) -> Result<Value> {
        if self.shape(value) == shape {
            return Ok(value.clone());
        }
        if broadcast(self.shape(value), shape).as_deref() != Some(shape) || shape.len() > MAX_RANK {
            let message = format!("{:?} cannot be expanded to {shape:?}", self.shape(value));
            return Err(Error::shape(message));
        }
        if let Some(constant) = value.known() {
            self.spend(element_count(shape)?)?;
            return self.folded(constant.expand(shape)?, value);
        }
        let own = self.shape(value);
        let padded = [&vec![1; shape.len().saturating_sub(own.len())], own].concat();
        let mut result = self.reshape(value, &padded)?;
        for (axis, (&own, &length)) in padded.iter().zip(shape).enumerate() {
            if own != length {
                self.spend(length)?;
                result = self.gather(&result, axis, vec![0; length])?;
            }
        }
        Ok(result)
    }

    /// Tensors of one rank one after the other; the result is of the first one's kind.
    pub fn concatenate(&mut self, values: &[Value], axis: usize) -> Result<Value> {
        let Some(first) = values.first() else { return Err(Error::format("joins no tensors")) };
        let constants: Option<Vec<&Constant>> = values.iter().map(Value::known).collect();
        if let Some(constants) = constants {
            return self.folded(Constant::concatenate(&constants, axis)?, first);
        }
        let mut layers = Vec::new();
        for value in values {
            // Other tools make empty tensors where there is nothing to join.
            if self.shape(value).get(axis) != Some(&0) {
                layers.push(self.layer(value)?);
            }
        }
        let source = match layers[..] {
            [layer] => layer,
            _ => self.add(LayerKind::Concatenate { axis }, layers)?,
        };
        Ok(Value { source: Source::Layer(source), ..first.clone() })
    }

    /// A function of each value.
    pub fn unary(&mut self, value: &Value, function: Elementwise) -> Result<Value> {
        match value.known() {
            Some(constant) => self.folded(constant.unary(function)?, value),
            None => self.apply(LayerKind::Activation(Activation::Elementwise(function)), value),
        }
    }

    /// What a layer computes, and the layers it takes its inputs from.
    pub fn call(&self, layer: usize) -> Option<(&LayerKind, &[usize])> {
        Some((&self.layers.get(layer)?.kind, self.inputs.get(layer)?))
    }

    /// A function of each row, the last axis.
    pub fn rowwise(&mut self, value: &Value, function: Rowwise) -> Result<Value> {
        match value.known() {
            Some(constant) => self.folded(constant.rowwise(function)?, value),
            None => self.apply(LayerKind::Activation(Activation::Rowwise(function)), value),
        }
    }

    /// A function of two tensors, by NumPy's rules of broadcasting in ONNX's axes.
    pub fn binary(&mut self, function: Binary, a: &Value, b: &Value) -> Result<Value> {
        let mut both = self.aligned(&[a.clone(), b.clone()])?;
        let (Some(b), Some(a)) = (both.pop(), both.pop()) else { return Err(across_batch()) };
        let batch = if a.batch == Batch::None { b.batch } else { a.batch };
        let like = a.clone().with_batch(batch);
        if let (Some(a), Some(b)) = (a.known(), b.known()) {
            let shape = broadcast(&a.shape, &b.shape).unwrap_or_default();
            self.spend(element_count(&shape)?)?;
            return self.folded(Constant::binary(function, a, b)?, &like);
        }
        let inputs = vec![self.layer(&a)?, self.layer(&b)?];
        let layer = self.add(LayerKind::Combine(function), inputs)?;
        Ok(Value { source: Source::Layer(layer), ..like })
    }

    /// Gives operands of broadcasting such shapes that their samples broadcast as ONNX's tensors do.
    pub fn aligned(&mut self, values: &[Value]) -> Result<Vec<Value>> {
        let rank = values.iter().map(|value| self.rank(value)).max().unwrap_or(0);
        let batch = values.iter().map(|value| value.batch).find(|&batch| batch != Batch::None);
        let Some(batch) = batch else { return Ok(values.to_vec()) };
        let mut aligned = Vec::with_capacity(values.len());
        for value in values {
            let own_rank = self.rank(value);
            aligned.push(match (value.batch, self.shape(value)) {
                (Batch::None, [1, rest @ ..]) if own_rank == rank => {
                    let rest = rest.to_vec();
                    self.reshape(value, &rest)?
                }
                (Batch::None, _) if own_rank < rank => value.clone(),
                (own, _) if own == batch && own_rank == rank && own != Batch::Second => value.clone(),
                _ => return Err(across_batch()),
            });
        }
        Ok(aligned)
    }

    /// `scale · x + offset`.
    pub fn rescaled(&mut self, value: &Value, scale: f32, offset: f32) -> Result<Value> {
        if (scale, offset) == (1.0, 0.0) {
            return Ok(value.clone());
        }
        if value.known().is_some() {
            let scaled = self.binary(Binary::Multiply, value, &Value::scalar(scale))?;
            return self.binary(Binary::Add, &scaled, &Value::scalar(offset));
        }
        let (scale, offset) = (Tensor::new(vec![1], vec![scale])?, Tensor::new(vec![1], vec![offset])?);
        self.apply(LayerKind::Rescaling { scale, offset }, value)
    }

    /// Names the layers from `start` on: those that compute an operator's outputs after them.
    pub fn name_layers(&mut self, start: usize, outputs: &[(String, Value)]) {
        for (name, value) in outputs {
            if let Source::Layer(layer) = value.source
                && let Some(layer) = self.layers.get_mut(layer)
                && layer.name.is_empty()
            {
                layer.name.clone_from(name);
            }
        }
        let base =
            outputs.iter().map(|(name, _)| name.as_str()).find(|name| !name.is_empty()).unwrap_or("layer");
        for layer in self.layers.get_mut(start..).unwrap_or_default() {
            if layer.name.is_empty() {
                layer.name = fresh(&mut self.names, base);
            }
        }
    }

    /// Makes a tensor an output of that name; `taken` are the outputs before it.
    pub fn output(&mut self, name: &str, value: &Value, taken: &mut BTreeSet<usize>) -> Result<usize> {
        if value.batch == Batch::Second || (self.batched && value.batch == Batch::None) {
            return Err(Error::unsupported("the output has no batch axis in front, the inputs have one"));
        }
        let layer = self.layer(value)?;
        let known = self.layers.get(layer);
        let has_name = known.is_some_and(|layer| layer.name == name);
        let is_input = known.is_some_and(|layer| matches!(layer.kind, LayerKind::Input { .. }));
        let index = match is_input || taken.contains(&layer) {
            true => self.add(LayerKind::Activation(Activation::LINEAR), vec![layer])?,
            false => layer,
        };
        let name = if has_name && index != layer { fresh(&mut self.names, name) } else { name.to_string() };
        if let Some(layer) = self.layers.get_mut(index) {
            layer.name = name;
        }
        taken.insert(index);
        Ok(index)
    }

    /// The model of these outputs: without layers that none of them needs, except inputs.
    pub fn finish(self, name: &str, outputs: &[usize]) -> Result<Model> {
        let mut needed: Vec<bool> =
            self.layers.iter().map(|layer| matches!(layer.kind, LayerKind::Input { .. })).collect();
        let mut open = outputs.to_vec();
        while let Some(layer) = open.pop() {
            if let Some(needed) = needed.get_mut(layer)
                && !std::mem::replace(needed, true)
            {
                open.extend(self.inputs.get(layer).into_iter().flatten());
            }
        }
        let mut place = vec![0; needed.len()];
        let mut model = Model {
            name: if name.is_empty() { "model" } else { name }.to_string(),
            layers: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
            batched: self.batched,
        };
        for (index, (layer, inputs)) in self.layers.into_iter().zip(self.inputs).enumerate() {
            if needed.get(index) != Some(&true) {
                continue;
            }
            place[index] = model.layers.len();
            let inputs = inputs.iter().filter_map(|&input| place.get(input).copied()).collect();
            model.nodes.push(Node { layer: model.layers.len(), inputs });
            model.layers.push(layer);
        }
        model.outputs = outputs.iter().filter_map(|&output| place.get(output).copied()).collect();
        model.shapes()?;
        Ok(model)
    }
}

/// A name that nothing has yet.
fn fresh(names: &mut BTreeSet<String>, base: &str) -> String {
    // Each attempt but the last finds a name of the set, so this ends.
    let free = (1..).map(|number: usize| format!("{base}/{number}")).find(|name| !names.contains(name));
    let free = free.unwrap_or_default();
    names.insert(free.clone());
    free
}

/// An axis as an index, counted from the end where it is negative.
pub(super) fn normalized(axis: i64, rank: usize) -> Result<usize> {
    let rank = rank as i64;
    let index = if axis < 0 { axis.saturating_add(rank) } else { axis };
    usize::try_from(index)
        .ok()
        .filter(|_| index < rank)
        .ok_or_else(|| Error::shape(format!("axis {axis} of a tensor of {rank} axes")))
}

/// What cannot be done when the batch axis is left out.
pub(super) fn across_batch() -> Error {
    Error::unsupported(
        "works across the batch axis, the first one; nearside runs each sample by itself, so export the model with \
         a fixed batch size",
    )
}

/// A constant of one value for all of a shape.
pub(super) fn filled(graph: &mut Graph, shape: Vec<usize>, value: f32, kind: Kind) -> Result<Value> {
    let count = element_count(&shape)?;
    graph.spend(count)?;
    let data = match kind {
        Kind::Float => Data::Floats(vec![value; count]),
        _ => Data::Ints(vec![value as i64; count]),
    };
    Ok(Value::constant(shape, data).of_kind(kind))
}
