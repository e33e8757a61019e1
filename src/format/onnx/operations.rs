//! The operations that operators are made of. Each computes at once what depends on constants alone, and adds a layer
//! for what does not.

use super::{
    graph::Graph,
    tensor::MAX_RANK,
    value::{Batch, Constant, Kind, Outcome, Value},
};
use crate::{Activation, Binary, Elementwise, Error, LayerKind, Rowwise, Tensor, layer::broadcast};

impl Graph<'_> {
    /// The same values in another shape.
    pub fn reshape(&mut self, value: Value, shape: &[usize]) -> Outcome {
        if self.shape(value) == shape {
            return Ok(value);
        }
        let Some(constant) = self.known(value) else {
            return self.apply(LayerKind::Reshape { shape: shape.to_vec() }, value);
        };
        if shape.len() > MAX_RANK || self.count(shape)? != constant.data.len() {
            let message = format!("{:?} cannot be reshaped to {shape:?}", constant.shape);
            return Err(self.fail(Error::shape(message)));
        }
        let constant = Constant::new(shape.to_vec(), constant.data.clone());
        self.folded(Ok(constant), value)
    }

    /// The same values with another axis, of length 1.
    pub fn with_axis(&mut self, value: Value, axis: usize) -> Outcome {
        let mut shape = self.shape(value).to_vec();
        shape.insert(axis.min(shape.len()), 1);
        self.reshape(value, &shape)
    }

    /// The same values without an axis, which is of length 1.
    pub fn without_axis(&mut self, value: Value, axis: usize) -> Outcome {
        let mut shape = self.shape(value).to_vec();
        if axis < shape.len() {
            shape.remove(axis);
        }
        self.reshape(value, &shape)
    }

    /// The same values without the last axis, which is of length 1.
    pub fn without_last(&mut self, value: Value) -> Outcome {
        self.without_axis(value, self.shape(value).len().saturating_sub(1))
    }

    /// The same values with an axis replaced by others.
    pub fn with_axes(&mut self, value: Value, axis: usize, lengths: &[usize]) -> Outcome {
        let shape = self.shape(value);
        let (front, rest) = shape.split_at(axis.min(shape.len()));
        let shape = [front, lengths, rest.get(1..).unwrap_or_default()].concat();
        self.reshape(value, &shape)
    }

    /// Axes in another order: for each of the result, the one it was.
    pub fn permute(&mut self, value: Value, axes: &[usize]) -> Outcome {
        if axes.iter().enumerate().all(|(i, &axis)| i == axis) {
            return Ok(value);
        }
        match self.known(value) {
            Some(constant) => self.folded(constant.permute(axes), value),
            None => self.apply(LayerKind::Permute { axes: axes.to_vec() }, value),
        }
    }

    /// Moves an axis to another place.
    pub fn move_axis(&mut self, value: Value, from: usize, to: usize) -> Outcome {
        let mut axes = Vec::new();
        axes.extend((0..self.shape(value).len()).filter(|&axis| axis != from));
        axes.insert(to.min(axes.len()), from);
        self.permute(value, &axes)
    }

    /// Chosen positions of an axis.
    pub fn gather(&mut self, value: Value, axis: usize, indices: Vec<usize>) -> Outcome {
        let length = self.length(value, axis);
        if axis < self.shape(value).len()
            && length == indices.len()
            && indices.iter().enumerate().all(|(i, &index)| i == index)
        {
            return Ok(value);
        }
        let Some(constant) = self.known(value) else {
            return self.apply(LayerKind::Gather { axis, indices }, value);
        };
        let rows = constant.data.len() / length.max(1);
        self.spend(rows.saturating_mul(indices.len()))?;
        match self.known(value) {
            Some(constant) => self.folded(constant.gather(axis, &indices), value),
            None => Ok(value),
        }
    }

    /// The same values along new axes in front, and along those of length 1.
    pub fn expand(&mut self, value: Value, shape: &[usize]) -> Outcome {
        let own = self.shape(value);
        if own == shape {
            return Ok(value);
        }
        if broadcast(own, shape).as_deref() != Some(shape) || shape.len() > MAX_RANK {
            let message = format!("{own:?} cannot be expanded to {shape:?}");
            return Err(self.fail(Error::shape(message)));
        }
        let mut padded = vec![1; shape.len().saturating_sub(own.len())];
        padded.extend_from_slice(own);
        if self.is_known(value) {
            self.spend(self.count(shape)?)?;
        }
        if let Some(constant) = self.known(value) {
            return self.folded(constant.expand(shape), value);
        }
        let mut result = self.reshape(value, &padded)?;
        for (axis, (&own, &length)) in padded.iter().zip(shape).enumerate() {
            if own != length {
                self.spend(length)?;
                result = self.gather(result, axis, vec![0; length])?;
            }
        }
        Ok(result)
    }

    /// Tensors of one rank one after the other; the result is of the first one's kind.
    pub fn concatenate(&mut self, values: &[Value], axis: usize) -> Outcome {
        let Some(&first) = values.first() else {
            return Err(self.fail(Error::format("joins no tensors")));
        };
        let mut constants = Vec::with_capacity(values.len());
        let mut parts = Vec::with_capacity(values.len());
        for &value in values {
            constants.extend(self.known(value));
            // Other tools make empty tensors where there is nothing to join.
            if self.length(value, axis) != 0 || axis >= self.shape(value).len() {
                parts.push(value);
            }
        }
        if constants.len() == values.len() {
            return self.folded(Constant::concatenate(&constants, axis), first);
        }
        match parts[..] {
            [one] => Ok(self.like(first, self.source(one))),
            _ => self.add(LayerKind::Concatenate { axis }, &parts, first),
        }
    }

    /// A function of each value.
    pub fn unary(&mut self, value: Value, function: Elementwise) -> Outcome {
        match self.known(value) {
            Some(constant) => self.folded(constant.unary(function), value),
            None => self.apply(LayerKind::Activation(Activation::Elementwise(function)), value),
        }
    }

    /// A function of each row, the last axis.
    pub fn rowwise(&mut self, value: Value, function: Rowwise) -> Outcome {
        match self.known(value) {
            Some(constant) => self.folded(constant.rowwise(function), value),
            None => self.apply(LayerKind::Activation(Activation::Rowwise(function)), value),
        }
    }

    /// A function of two tensors, by NumPy's rules of broadcasting in ONNX's axes.
    pub fn binary(&mut self, function: Binary, a: Value, b: Value) -> Outcome {
        let mut both = [a, b];
        self.align(&mut both)?;
        let batch = self.batch(both[0]).or(self.batch(both[1]));
        let like = self.with_batch(both[0], batch);
        if let (Some(a), Some(b)) = (self.known(both[0]), self.known(both[1])) {
            let shape = broadcast(&a.shape, &b.shape).unwrap_or_default();
            self.spend(self.count(&shape)?)?;
        }
        match (self.known(both[0]), self.known(both[1])) {
            (Some(a), Some(b)) => self.folded(Constant::binary(function, a, b), like),
            _ => self.add(LayerKind::Combine(function), &both, like),
        }
    }

    /// Gives operands of broadcasting such shapes that their samples broadcast as ONNX's tensors do.
    pub fn align(&mut self, values: &mut [Value]) -> Outcome<()> {
        let (mut rank, mut batch) = (0, Batch::None);
        for &value in &*values {
            rank = rank.max(self.rank(value));
            batch = batch.or(self.batch(value));
        }
        if batch == Batch::None {
            return Ok(());
        }
        for value in values {
            let own_rank = self.rank(*value);
            match (self.batch(*value), self.shape(*value)) {
                (Batch::None, [1, ..]) if own_rank == rank => *value = self.without_axis(*value, 0)?,
                (Batch::None, _) if own_rank < rank => {}
                (own, _) if own == batch && own_rank == rank && own != Batch::Second => {}
                _ => return Err(self.across_batch()),
            }
        }
        Ok(())
    }

    /// `scale · x + offset`.
    pub fn rescaled(&mut self, value: Value, scale: f32, offset: f32) -> Outcome {
        if (scale, offset) == (1.0, 0.0) {
            return Ok(value);
        }
        if self.is_known(value) {
            let scale = self.scalar(scale);
            let offset = self.scalar(offset);
            let scaled = self.binary(Binary::Multiply, value, scale)?;
            return self.binary(Binary::Add, scaled, offset);
        }
        let one = |number| self.keep(Tensor::new(vec![1], vec![number]));
        let (scale, offset) = (one(scale)?, one(offset)?);
        self.apply(LayerKind::Rescaling { scale, offset }, value)
    }

    /// `gamma · x + beta`, without the factor or the term that there is not.
    pub fn scaled(&mut self, value: Value, gamma: Option<Value>, beta: Option<Value>) -> Outcome {
        let mut result = value;
        if let Some(gamma) = gamma {
            result = self.binary(Binary::Multiply, result, gamma)?;
        }
        if let Some(beta) = beta {
            result = self.binary(Binary::Add, result, beta)?;
        }
        Ok(result)
    }

    /// `x · kernel + bias` over the last axis of the sample.
    pub fn dense(&mut self, x: Value, kernel: Value, bias: Option<Tensor>) -> Outcome {
        self.axis(x, -1)?;
        let kernel = self.tensor(kernel, "the kernel")?;
        self.apply(LayerKind::Dense { kernel, bias, activation: Activation::LINEAR }, x)
    }

    /// Along a new last axis, whether each value equals those of a list.
    pub fn equals(&mut self, value: Value, candidates: Value) -> Outcome {
        let column = self.with_axis(value, usize::MAX)?;
        let equals = self.binary(Binary::Equal, column, candidates)?;
        Ok(self.of_kind(equals, Kind::Bool))
    }

    /// `a` where the condition is true, `b` elsewhere.
    pub fn either(&mut self, condition: Value, a: Value, b: Value) -> Outcome {
        let kind = self.kind(a);
        let a = self.binary(Binary::Where, condition, a)?;
        let b = self.binary(Binary::WhereNot, condition, b)?;
        let either = self.binary(Binary::Add, a, b)?;
        Ok(self.of_kind(either, kind))
    }
}
