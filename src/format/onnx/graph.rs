//! The model as it grows: tensors and layers, and the node that is being read.
//!
//! Shapes and axes here are those of a sample.

use super::{
    call::Call,
    layers::Layers,
    tensor,
    value::{Batch, Constant, Data, Failed, Kind, Known, Outcome, Size, Source, Value},
};
use crate::{
    Error, LayerKind, Result, Tensor,
    format::{Files, table::Table},
    tensor::element_count,
};
use std::{cell::OnceCell, num::NonZero};

/// A model under construction.
pub(super) struct Graph<'a> {
    /// The node that is being read.
    pub call: Call<'a>,
    pub files: &'a Files<'a>,
    /// Whether the model's inputs have a batch axis that is left out.
    pub batched: bool,
    /// Whether the file has batches of exactly one sample, so that 1 in a shape may be the batch size.
    pub single: bool,
    /// Whatever [`Value`]s stand for.
    tensors: Vec<Known>,
    /// Constants, and the layers they are already.
    constants: Vec<(Constant, Option<usize>)>,
    pub layers: Layers<'a>,
    /// How many more values folding may make: a small file must not ask for any amount of memory.
    budget: usize,
    /// Why the node cannot be read.
    error: OnceCell<Error>,
}

impl<'a> Graph<'a> {
    /// A graph without layers, that leaves these names to the tensors of the file.
    pub fn new(files: &'a Files<'a>, given: &'a Table<usize>, budget: usize) -> Self {
        Self {
            call: Call::default(),
            files,
            batched: false,
            single: false,
            tensors: Vec::new(),
            constants: Vec::new(),
            layers: Layers::new(given),
            budget,
            error: OnceCell::new(),
        }
    }

    /// Keeps an error, the first one, for whoever reads the node.
    pub fn fail(&self, error: Error) -> Failed {
        _ = self.error.set(error);
        Failed
    }

    /// The result, with its error kept.
    pub fn keep<T>(&self, result: Result<T>) -> Outcome<T> {
        result.map_err(|error| self.fail(error))
    }

    /// The outcome, with the error that was kept.
    pub fn outcome<T>(&mut self, outcome: Outcome<T>) -> Result<T> {
        match (self.error.take(), outcome) {
            (Some(error), _) => Err(error),
            (None, Ok(value)) => Ok(value),
            (None, Err(Failed)) => Err(Error::format("cannot be read")),
        }
    }

    /// Something that nearside does not do.
    pub fn unsupported(&self, message: &str) -> Failed {
        self.fail(Error::unsupported(message))
    }

    /// What cannot be done when the batch axis is left out.
    pub fn across_batch(&self) -> Failed {
        self.unsupported(
            "works across the batch axis, the first one; nearside runs each sample by itself, so export the model \
             with a fixed batch size",
        )
    }

    /// Adds a tensor.
    pub fn value(&mut self, source: Source, kind: Kind, batch: Batch) -> Value {
        self.tensors.push(Known { source, kind, batch });
        Value(NonZero::new(self.tensors.len()).unwrap_or(NonZero::<usize>::MIN))
    }

    /// What is known of a tensor.
    fn about(&self, value: Value) -> Known {
        let nothing = Known { source: Source::Layer(usize::MAX), kind: Kind::Float, batch: Batch::None };
        self.tensors.get(value.0.get() - 1).copied().unwrap_or(nothing)
    }

    pub fn source(&self, value: Value) -> Source {
        self.about(value).source
    }

    /// The layer that computes a tensor, if one does already.
    pub fn layer_index(&self, value: Value) -> Option<usize> {
        match self.source(value) {
            Source::Layer(layer) => Some(layer),
            Source::Constant(_) => None,
        }
    }

    pub fn kind(&self, value: Value) -> Kind {
        self.about(value).kind
    }

    pub fn batch(&self, value: Value) -> Batch {
        self.about(value).batch
    }

    /// The tensor, of another kind.
    pub fn of_kind(&mut self, value: Value, kind: Kind) -> Value {
        let Known { source, batch, .. } = self.about(value);
        self.value(source, kind, batch)
    }

    /// The tensor, with its batch axis elsewhere.
    pub fn with_batch(&mut self, value: Value, batch: Batch) -> Value {
        let Known { source, kind, .. } = self.about(value);
        self.value(source, kind, batch)
    }

    /// Adds a constant.
    pub fn constant(&mut self, shape: Vec<usize>, data: Data) -> Value {
        let constant = Constant::new(shape, data);
        let kind = constant.kind();
        self.constants.push((constant, None));
        self.value(Source::Constant(self.constants.len() - 1), kind, Batch::None)
    }

    /// Adds one float, without axes.
    pub fn scalar(&mut self, value: f32) -> Value {
        self.constant(vec![], Data::of_floats(vec![value]))
    }

    /// Adds a list of values.
    pub fn list(&mut self, values: Data) -> Value {
        self.constant(vec![values.len()], values)
    }

    /// Adds a constant of one number for all of a shape.
    pub fn filled(&mut self, shape: Vec<usize>, value: i64, kind: Kind) -> Outcome {
        let count = self.count(&shape)?;
        self.spend(count)?;
        let data = match kind {
            Kind::Float => Data::of_floats(vec![value as f32; count]),
            _ => Data::Ints(vec![value; count]),
        };
        let filled = self.constant(shape, data);
        Ok(self.of_kind(filled, kind))
    }

    /// Adds what was computed from constants; its kind and batch axis are those of another tensor.
    pub fn folded(&mut self, result: Result<Constant>, like: Value) -> Outcome {
        let Constant { shape, data } = self.keep(result)?;
        self.spend(data.len())?;
        let constant = self.constant(shape, data);
        Ok(self.like(like, self.source(constant)))
    }

    /// Adds a tensor of the file.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Value> {
        let (Constant { shape, data }, kind) = tensor::read(bytes, self.files)?;
        // Many may lie in the same place of another file.
        let spent = self.spend(data.len());
        self.outcome(spent)?;
        let constant = self.constant(shape, data);
        Ok(self.of_kind(constant, kind))
    }

    /// A tensor from elsewhere, of the other's kind and with its batch axis.
    pub fn like(&mut self, other: Value, source: Source) -> Value {
        let Known { kind, batch, .. } = self.about(other);
        self.value(source, kind, batch)
    }

    /// Shape of a sample.
    pub fn shape(&self, value: Value) -> &[usize] {
        match self.source(value) {
            Source::Constant(index) => self.constants.get(index).map_or(&[], |(constant, _)| &constant.shape),
            Source::Layer(index) => self.layers.shape(index),
        }
    }

    /// Length of an axis of the sample.
    pub fn length(&self, value: Value, axis: usize) -> usize {
        self.shape(value).get(axis).copied().unwrap_or(0)
    }

    /// Length of the sample's last axis.
    pub fn width(&self, value: Value) -> usize {
        self.shape(value).last().copied().unwrap_or(0)
    }

    /// Number of axes in ONNX.
    pub fn rank(&self, value: Value) -> usize {
        self.shape(value).len() + self.batch(value).extra_axes()
    }

    /// Number of values of a shape.
    pub fn count(&self, shape: &[usize]) -> Outcome<usize> {
        self.keep(element_count(shape))
    }

    /// An axis as an index, counted from the end where it is negative.
    pub fn normalized(&self, axis: i64, rank: usize) -> Outcome<usize> {
        let signed = rank as i64;
        let index = if axis < 0 { axis.saturating_add(signed) } else { axis };
        match usize::try_from(index) {
            Ok(index) if index < rank => Ok(index),
            _ => Err(self.fail(Error::shape(format!("axis {axis} of a tensor of {rank} axes")))),
        }
    }

    /// The sample's axis that is ONNX's `axis`, which counts from the end where it is negative.
    pub fn axis(&self, value: Value, axis: i64) -> Outcome<usize> {
        let axis = self.normalized(axis, self.rank(value))?;
        match self.batch(value) {
            Batch::None => Ok(axis),
            Batch::First if axis > 0 => Ok(axis - 1),
            Batch::Merged if axis > 0 => Ok(axis),
            _ => Err(self.across_batch()),
        }
    }

    /// ONNX's axes of a tensor.
    pub fn all_axes(&self, value: Value) -> Vec<i64> {
        (0..self.rank(value) as i64).collect()
    }

    /// The sample's axes that are ONNX's.
    pub fn axes(&self, value: Value, axes: &[i64]) -> Outcome<Vec<usize>> {
        let mut own = Vec::with_capacity(axes.len());
        for &axis in axes {
            own.push(self.axis(value, axis)?);
        }
        Ok(own)
    }

    /// The tensor's values, if they are known.
    pub fn known(&self, value: Value) -> Option<&Constant> {
        match self.source(value) {
            Source::Constant(index) => self.constants.get(index).map(|(constant, _)| constant),
            Source::Layer(_) => None,
        }
    }

    pub fn is_known(&self, value: Value) -> bool {
        matches!(self.source(value), Source::Constant(_))
    }

    /// The values, which must be known.
    pub fn required(&self, value: Value, what: &str) -> Outcome<&Constant> {
        self.known(value).ok_or_else(|| {
            self.unsupported(&format!("{what} depends on the model's input; nearside needs it in the file"))
        })
    }

    /// Known whole numbers that do not depend on the batch size.
    pub fn ints(&self, value: Value, what: &str) -> Outcome<&[i64]> {
        self.keep(self.required(value, what)?.ints(what))
    }

    /// One known whole number.
    pub fn int(&self, value: Value, what: &str) -> Outcome<i64> {
        self.keep(self.required(value, what)?.int(what))
    }

    /// One known number.
    pub fn number(&self, value: Value, what: &str) -> Outcome<f32> {
        self.keep(self.required(value, what)?.number(what))
    }

    /// Known whole numbers.
    pub fn sizes(&self, value: Value, what: &str) -> Outcome<Vec<Size>> {
        let sizes = self.required(value, what)?.data.sizes();
        sizes.ok_or_else(|| self.fail(Error::format(format!("{what} is not whole numbers"))))
    }

    /// Known values as floats.
    pub fn tensor(&self, value: Value, what: &str) -> Outcome<Tensor> {
        self.keep(self.required(value, what)?.tensor())
    }

    /// Takes `count` values off what folding may make.
    pub fn spend(&mut self, count: usize) -> Outcome<()> {
        match self.budget.checked_sub(count) {
            Some(budget) => self.budget = budget,
            None => {
                return Err(
                    self.unsupported("makes tensors much larger than the file; nearside runs small networks")
                );
            }
        }
        Ok(())
    }

    /// Adds a layer.
    fn push(&mut self, kind: LayerKind, inputs: Vec<usize>) -> Outcome<usize> {
        for (_, weights) in kind.weights() {
            self.spend(weights.data().len())?;
        }
        let layer = self.layers.push(kind, inputs);
        self.keep(layer)
    }

    /// The layer that computes a tensor.
    pub fn layer(&mut self, value: Value) -> Outcome<usize> {
        let index = match self.source(value) {
            Source::Layer(layer) => return Ok(layer),
            Source::Constant(index) => index,
        };
        if let Some((_, Some(layer))) = self.constants.get(index) {
            return Ok(*layer);
        }
        let layer = self.push(LayerKind::Constant { value: self.tensor(value, "")? }, Vec::new())?;
        if let Some((_, known)) = self.constants.get_mut(index) {
            *known = Some(layer);
        }
        Ok(layer)
    }

    /// What a layer makes of its inputs: like another tensor, that is of its kind and with its batch axis.
    pub fn add(&mut self, kind: LayerKind, inputs: &[Value], like: Value) -> Outcome {
        let mut indices = Vec::with_capacity(inputs.len());
        for &input in inputs {
            indices.push(self.layer(input)?);
        }
        let layer = self.push(kind, indices)?;
        Ok(self.like(like, Source::Layer(layer)))
    }

    /// What a layer of one input makes of a tensor.
    pub fn apply(&mut self, kind: LayerKind, value: Value) -> Outcome {
        self.add(kind, &[value], value)
    }

    /// Adds an input of the model.
    pub fn add_input(&mut self, shape: Vec<usize>, kind: Kind, batch: Batch) -> Outcome {
        let layer = self.push(LayerKind::Input { shape }, Vec::new())?;
        Ok(self.value(Source::Layer(layer), kind, batch))
    }

    /// Makes a tensor the model's next output, of that name.
    pub fn add_output(&mut self, name: &str, value: Value) -> Outcome<()> {
        let batch = self.batch(value);
        if batch == Batch::Second || (self.batched && batch == Batch::None) {
            return Err(self.unsupported("the output has no batch axis in front, the inputs have one"));
        }
        let layer = self.layer(value)?;
        let output = self.layers.output(layer, name);
        self.keep(output)
    }

    /// The same constant for every sample of a batch.
    pub fn as_batched(&mut self, value: Value, batch: Batch) -> Outcome {
        if batch == Batch::None {
            return Ok(value);
        }
        let tensor = self.tensor(value, "the constant")?;
        let layer = self.push(LayerKind::Constant { value: tensor }, Vec::new())?;
        Ok(self.value(Source::Layer(layer), self.kind(value), batch))
    }
}
