//! Folding: activations into the operation before them; scales, offsets and normalisations into the matrix product
//! before or behind them; a selection into the one before it.
//!
//! All is done where a value has a single reader, in one walk: each operation looks at the one that computed its input.

use super::{Graph, Kernel, Operand, Operation};
use crate::{Binary, Elementwise, Tensor};

pub(super) fn fold(graph: &mut Graph) {
    loop {
        let mut changed = false;
        let uses = graph.uses();
        let mut index = 0;
        while index < graph.operations.len() {
            let producer = producer(graph, index, &uses);
            if producer.is_some_and(|producer| fold_into(graph, producer, index)) {
                changed = true;
            } else {
                index += 1;
            }
        }
        if !changed {
            return;
        }
    }
}

/// The operation that computes this one's only value, if no one else reads it.
fn producer(graph: &Graph, index: usize, uses: &[usize]) -> Option<usize> {
    let operation = &graph.operations[index];
    let mut values = operation.reads();
    let (value, None) = (values.next()?, values.next()) else { return None };
    if uses[value] != 1 || operation.extends.is_some() {
        return None;
    }
    // What computes a value is usually the operation just before.
    graph.operations[..index].iter().rposition(|before| before.output == value && before.extends.is_none())
}

/// Makes one operation of two, if that can be: the later one then stands where the earlier stood.
fn fold_into(graph: &mut Graph, first: usize, second: usize) -> bool {
    let (before, after) = (graph.operations[first].clone(), graph.operations[second].clone());
    let Some(merged) = merge(graph, &before, &after) else { return false };
    graph.operations[first] = Operation { output: after.output, ..merged };
    graph.operations.remove(second);
    true
}

fn merge(graph: &mut Graph, before: &Operation, after: &Operation) -> Option<Operation> {
    match (before.kernel, after.kernel) {
        (Kernel::Dense { kernel, bias, activation: Elementwise::Linear }, Kernel::Activate(activation)) => {
            Some(Operation { kernel: Kernel::Dense { kernel, bias, activation }, ..before.clone() })
        }
        (
            Kernel::Combine { op, second_width, activation: Elementwise::Linear },
            Kernel::Activate(activation),
        ) => Some(Operation { kernel: Kernel::Combine { op, second_width, activation }, ..before.clone() }),
        (Kernel::Dense { activation: Elementwise::Linear, .. }, Kernel::Combine { .. }) => {
            let affine = Affine::of(graph, after)?;
            affine.behind(graph, before)
        }
        (Kernel::Combine { .. }, Kernel::Dense { .. }) => {
            let affine = Affine::of(graph, before)?;
            affine.before(graph, before, after)
        }
        (Kernel::Select { table: first }, Kernel::Select { table: second }) => {
            let first = &graph.tables[first];
            let table = graph.tables[second].iter().map(|&position| first[position as usize]).collect();
            graph.tables.push(table);
            let kernel = Kernel::Select { table: graph.tables.len() - 1 };
            Some(Operation { kernel, output_width: after.output_width, ..before.clone() })
        }
        _ => None,
    }
}

/// A step that multiplies by constants or adds them, and the activation behind it.
struct Affine {
    /// Value i of a sample meets constant i % length.
    constants: Tensor,
    kind: Kind,
    activation: Elementwise,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Scale,
    /// By the reciprocal.
    InverseScale,
    Offset,
    NegativeOffset,
    /// The constants minus the value.
    Reflect,
}

/// Sum of |offset · weight| over a unit's inputs beyond which an offset is not moved behind the product: the sum's
/// rounding, 6e-8 of it, would show in the result.
const LARGEST_OFFSET: f64 = 64.0;

impl Affine {
    fn of(graph: &Graph, operation: &Operation) -> Option<Self> {
        let Kernel::Combine { op, activation, .. } = operation.kernel else { return None };
        let (constants, reversed) = match (operation.input, operation.second?) {
            (Operand::Value(_), Operand::Weights(weights)) => (weights, false),
            (Operand::Weights(weights), Operand::Value(_)) => (weights, true),
            _ => return None,
        };
        let kind = match (op, reversed) {
            (Binary::Multiply, _) => Kind::Scale,
            (Binary::Divide, false) => Kind::InverseScale,
            (Binary::Add, _) => Kind::Offset,
            (Binary::Subtract, false) => Kind::NegativeOffset,
            (Binary::Subtract, true) => Kind::Reflect,
            _ => return None,
        };
        let constants = graph.weights[constants].clone();
        // Where the constants are more than the values, the values repeat, and nothing can be folded.
        let width = operation.reads().next().map(|value| graph.widths[value]);
        (width == Some(operation.output_width) && constants.data().iter().all(|c| c.is_finite()))
            .then_some(Self { constants, kind, activation })
    }

    fn at(&self, index: usize) -> f64 {
        f64::from(self.constants.data()[index % self.constants.data().len()])
    }

    /// What value `index` is multiplied by.
    fn scale(&self, index: usize) -> f64 {
        match self.kind {
            Kind::Scale => self.at(index),
            Kind::InverseScale => 1.0 / self.at(index),
            Kind::Offset | Kind::NegativeOffset => 1.0,
            Kind::Reflect => -1.0,
        }
    }

    /// What is added to it then.
    fn offset(&self, index: usize) -> f64 {
        match self.kind {
            Kind::Scale | Kind::InverseScale => 0.0,
            Kind::Offset | Kind::Reflect => self.at(index),
            Kind::NegativeOffset => -self.at(index),
        }
    }

    fn scales(&self) -> bool {
        matches!(self.kind, Kind::Scale | Kind::InverseScale | Kind::Reflect)
    }

    /// Folds it into the columns of the product before it.
    fn behind(&self, graph: &mut Graph, dense: &Operation) -> Option<Operation> {
        let Kernel::Dense { kernel, bias, .. } = dense.kernel else { return None };
        let units = dense.output_width;
        if units == 0 || !units.is_multiple_of(self.constants.data().len()) {
            return None;
        }
        let mut weights = kernel;
        if self.scales() {
            let scaled = graph.weights[kernel].data().iter().enumerate();
            let scaled = scaled.map(|(i, &w)| (f64::from(w) * self.scale(i % units)) as f32).collect();
            weights = add_finite(graph, vec![dense.input_width, units], scaled)?;
        }
        let old = |unit: usize| bias.map_or(0.0, |bias| f64::from(graph.weights[bias].data()[unit]));
        let moved =
            (0..units).map(|unit| (old(unit) * self.scale(unit) + self.offset(unit)) as f32).collect();
        let bias = match (bias, self.kind) {
            (None, Kind::Scale | Kind::InverseScale) => None,
            _ => Some(add_finite(graph, vec![units], moved)?),
        };
        let kernel = Kernel::Dense { kernel: weights, bias, activation: self.activation };
        Some(Operation { kernel, ..dense.clone() })
    }

    /// Folds it into the rows and the bias of the product behind it.
    fn before(&self, graph: &mut Graph, own: &Operation, dense: &Operation) -> Option<Operation> {
        let Kernel::Dense { kernel, bias, activation } = dense.kernel else { return None };
        let (inputs, units) = (dense.input_width, dense.output_width);
        let period = self.constants.data().len();
        if self.activation != Elementwise::Linear
            || inputs == 0
            || units == 0
            || !inputs.is_multiple_of(period)
        {
            return None;
        }
        let old = graph.weights[kernel].data();
        let mut new_bias: Vec<f64> = match bias {
            Some(bias) => graph.weights[bias].data().iter().map(|&b| f64::from(b)).collect(),
            None => vec![0.0; units],
        };
        let mut moved = vec![0.0; units];
        for (input, row) in old.chunks_exact(units).enumerate() {
            let offset = self.offset(input);
            for ((sum, size), &w) in new_bias.iter_mut().zip(&mut moved).zip(row) {
                *sum += offset * f64::from(w);
                *size += (offset * f64::from(w)).abs();
            }
        }
        if moved.iter().any(|&size| size > LARGEST_OFFSET) {
            return None;
        }
        let mut weights = kernel;
        if self.scales() {
            let scaled = old.iter().enumerate().map(|(i, &w)| (f64::from(w) * self.scale(i / units)) as f32);
            let scaled = scaled.collect();
            weights = add_finite(graph, vec![inputs, units], scaled)?;
        }
        let bias = match (bias, self.kind) {
            (bias, Kind::Scale | Kind::InverseScale) => bias,
            _ => Some(add_finite(graph, vec![units], new_bias.iter().map(|&b| b as f32).collect())?),
        };
        let input = own.operands().find(|operand| operand.value().is_some())?;
        let kernel = Kernel::Dense { kernel: weights, bias, activation };
        Some(Operation { kernel, input, ..dense.clone() })
    }
}

/// New weights, unless folding would make them overflow.
fn add_finite(graph: &mut Graph, shape: Vec<usize>, values: Vec<f32>) -> Option<usize> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let tensor = Tensor::new(shape, values).ok()?;
    Some(graph.add_weights(tensor))
}
