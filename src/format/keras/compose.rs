//! Layers of Keras that are several of nearside's.

use crate::{Activation, Error, LayerKind, Result, Rowwise, Tensor, tensor::element_count};

/// Layers, each called on the inputs of the whole or on the results of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Composer {
    pub(super) steps: Vec<Step>,
}

/// One call of a layer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: LayerKind,
    pub(super) inputs: Vec<Source>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// One of the inputs of the whole.
    Input(usize),
    /// The result of a step.
    Step(usize),
}

/// A value and the shape that a sample of it has.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) source: Source,
    pub(super) shape: Vec<usize>,
}

/// How to undo [`Composer::move_last`].
pub(super) struct Moved {
    /// For each axis behind the move, the one it was.
    order: Vec<usize>,
    /// Behind the move, before axes were joined; `None` where there was one.
    shape: Option<Vec<usize>>,
}

impl Composer {
    /// Calls a layer.
    pub(super) fn apply(&mut self, kind: LayerKind, inputs: &[&Wire]) -> Result<Wire> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|input| input.shape.as_slice()).collect();
        let shape = kind.output_shape(&shapes)?;
        check_shape(&shape)?;
        self.steps.push(Step { kind, inputs: inputs.iter().map(|input| input.source).collect() });
        Ok(Wire { source: Source::Step(self.steps.len() - 1), shape })
    }

    /// A value that is the same for every sample.
    pub(super) fn constant(&mut self, value: Tensor) -> Result<Wire> {
        self.apply(LayerKind::Constant { value }, &[])
    }

    pub(super) fn rowwise(&mut self, function: Rowwise, value: &Wire) -> Result<Wire> {
        self.apply(LayerKind::Activation(Activation::Rowwise(function)), &[value])
    }

    /// Multiplies by `scale` and adds `offset`, each one number or one for each position of the last axis.
    pub(super) fn rescale(&mut self, scale: Tensor, offset: Tensor, value: &Wire) -> Result<Wire> {
        self.apply(LayerKind::Rescaling { scale, offset }, &[value])
    }

    /// Nothing, where the shape is this one already.
    pub(super) fn reshape(&mut self, value: Wire, shape: Vec<usize>) -> Result<Wire> {
        if value.shape == shape {
            return Ok(value);
        }
        self.apply(LayerKind::Reshape { shape }, &[&value])
    }

    /// Nothing, where the axes are in order.
    pub(super) fn permute(&mut self, value: Wire, axes: Vec<usize>) -> Result<Wire> {
        if axes.iter().copied().eq(0..value.shape.len()) {
            return Ok(value);
        }
        self.apply(LayerKind::Permute { axes }, &[&value])
    }

    /// Moves axes to the end, in the order given, and joins them into one, so that what works on rows works on them.
    pub(super) fn move_last(&mut self, value: Wire, axes: &[usize]) -> Result<(Wire, Moved)> {
        let mut order: Vec<usize> = (0..value.shape.len()).filter(|axis| !axes.contains(axis)).collect();
        let others = order.len();
        order.extend(axes);
        let value = self.permute(value, order.clone())?;
        if axes.len() == 1 {
            return Ok((value, Moved { order, shape: None }));
        }
        let shape = value.shape.clone();
        let (kept, joined) =
            shape.split_at_checked(others).ok_or_else(|| Error::shape("an axis that is not there"))?;
        let joined = [kept, &[element_count(joined)?]].concat();
        let value = self.reshape(value, joined)?;
        Ok((value, Moved { order, shape: Some(shape) }))
    }

    /// Moves the axes back to where they were.
    pub(super) fn back(&mut self, value: Wire, moved: Moved) -> Result<Wire> {
        let value = match moved.shape {
            Some(shape) => self.reshape(value, shape)?,
            None => value,
        };
        let mut axes = vec![0; moved.order.len()];
        for (place, &axis) in moved.order.iter().enumerate() {
            if let Some(back) = axes.get_mut(axis) {
                *back = place;
            }
        }
        self.permute(value, axes)
    }

    /// One number for all values of some axes: their sum, mean … `keep` leaves axes of length 1 in their place.
    pub(super) fn reduce(
        &mut self,
        function: Rowwise,
        value: Wire,
        axes: &[usize],
        keep: bool,
    ) -> Result<Wire> {
        let left = value.shape.iter().enumerate().filter_map(|(axis, &length)| match axes.contains(&axis) {
            true => keep.then_some(1),
            false => Some(length),
        });
        let shape = left.collect();
        let (value, _) = self.move_last(value, axes)?;
        let value = self.rowwise(function, &value)?;
        self.reshape(value, shape)
    }
}

/// Axes of a value: what each takes in memory is not bounded by the file. TensorFlow has fewer.
const MOST_AXES: usize = 32;

/// Fails for a shape that no machine has.
pub(super) fn check_shape(shape: &[usize]) -> Result<()> {
    match shape.len() {
        ..=MOST_AXES => element_count(shape).map(|_| ()),
        axes => Err(Error::unsupported(format!("{axes} axes; at most {MOST_AXES} are supported"))),
    }
}

/// A number as a tensor.
pub(super) fn scalar(number: f32) -> Result<Tensor> {
    Tensor::new(vec![1], vec![number])
}

/// The same values along a single axis.
pub(super) fn flat(tensor: Tensor) -> Result<Tensor> {
    let data = tensor.into_data();
    Tensor::new(vec![data.len()], data)
}

/// A constant for the samples of a batch: without the axes of length 1 that stand for the batch.
pub(super) fn without_batch(tensor: Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = tensor.shape();
    while let [1, rest @ ..] = shape
        && shape.len() > rank
    {
        shape = rest;
    }
    if shape.len() > rank {
        return Err(Error::unsupported(format!(
            "a constant of shape {:?} for inputs with {rank} axes besides the batch",
            tensor.shape()
        )));
    }
    let shape = shape.to_vec();
    Tensor::new(shape, tensor.into_data())
}
