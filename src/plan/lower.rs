//! From layers to operations. Layers that only rename or reshape make none.

use super::{Classes, Graph, Kernel, Operand, Operation, Port};
use crate::{
    Activation, Binary, Elementwise, Error, LayerKind, Model, Result, Rowwise, Tensor,
    layer::{Encoding, broadcast},
    model::sorted,
    tensor::{element_count, reserve},
};

pub(super) fn lower(model: &Model) -> Result<Graph> {
    let shapes = model.shapes()?;
    let mut lowering = Lowering {
        graph: Graph {
            operations: vec![],
            widths: vec![],
            inputs: vec![],
            input_values: vec![],
            outputs: vec![],
            output_values: vec![],
            weights: vec![],
            tables: vec![],
        },
        model,
        shapes: &shapes,
        origins: vec![],
        bounds: vec![],
        of_node: vec![],
        layer: 0,
        positions_left: MOST_POSITIONS,
    };
    for node in 0..model.nodes.len() {
        lowering.layer = model.nodes[node].layer;
        let name = model.node_name(node);
        let operand = lowering.node(node).map_err(|error| error.layer(name))?;
        lowering.of_node.push(operand);
    }
    let mut names = Names::of(model);
    for &node in &model.outputs {
        let width = element_count(&shapes[node])?;
        let value = lowering.materialise(lowering.of_node[node], width);
        lowering.graph.output_values.push(value);
        let port = Port {
            name: names.of_output(model, node),
            shape: shapes[node].clone(),
            slot: 0,
            limits: vec![],
            classes: lowering.classes(node)?,
        };
        lowering.graph.outputs.push(port);
    }
    Ok(lowering.graph)
}

/// Names of outputs: of the layer, and for its second output `NAME_1`, as Keras 2 has it.
struct Names {
    /// Of all layers, in order.
    taken: Vec<(String, usize)>,
    /// Outputs that each layer has been given so far.
    counts: Vec<usize>,
}

impl Names {
    fn of(model: &Model) -> Self {
        let taken = sorted(&mut model.layers.iter().map(|layer| &layer.name));
        Self { taken, counts: vec![0; model.layers.len()] }
    }

    fn of_output(&mut self, model: &Model, node: usize) -> String {
        let name = model.node_name(node);
        let count = &mut self.counts[model.nodes[node].layer];
        let mut unique = name.to_string();
        while *count > 0 {
            unique = format!("{name}_{count}");
            if self.taken.binary_search_by(|(taken, _)| taken.cmp(&unique)).is_err() {
                break;
            }
            *count += 1;
        }
        *count += 1;
        unique
    }
}

struct Lowering<'a> {
    graph: Graph,
    model: &'a Model,
    shapes: &'a [Vec<usize>],
    /// For each value that holds an input's values unchanged: the input, and which of its values these are unless they
    /// are all of them.
    origins: Vec<Option<(usize, Option<Vec<u32>>)>>,
    /// For each value that holds whole numbers from 0 on, a number above all of them.
    bounds: Vec<Option<usize>>,
    of_node: Vec<Operand>,
    /// The layer at hand.
    layer: usize,
    /// How many more the tables may hold.
    positions_left: usize,
}

/// The most positions that all tables of a plan may hold, 16 MB of them, and as many in `origins`: a file of a few bytes
/// can ask for any number, and a second is spent on a hundred million.
const MOST_POSITIONS: usize = 1 << 22;

impl Lowering<'_> {
    fn node(&mut self, node: usize) -> Result<Operand> {
        let (model, shapes) = (self.model, self.shapes);
        let sources = &model.nodes[node].inputs;
        let kind = &model.layers[self.layer].kind;
        let shape = shapes[node].as_slice();
        let width = element_count(shape)?;
        match kind {
            LayerKind::Input { .. } => return Ok(self.input(node, width)),
            LayerKind::Constant { value } => return Ok(self.weights(value)),
            LayerKind::Combine(op) => return self.combine_all(*op, sources),
            LayerKind::Average => {
                let sum = self.combine_all(Binary::Add, sources)?;
                return Ok(self.with_constants(Binary::Divide, sum, width, vec![sources.len() as f32]));
            }
            LayerKind::Concatenate { axis } => return self.concatenate(*axis, sources, shape),
            LayerKind::MatMul => return self.product(sources, shape),
            _ => {}
        }
        let source = sources[0];
        let input_shape = shapes[source].as_slice();
        let input_width = element_count(input_shape)?;
        let operand = self.of_node[source];
        match kind {
            // These do nothing, and so do not make a constant a value.
            LayerKind::Flatten
            | LayerKind::Reshape { .. }
            | LayerKind::Dropout { .. }
            | LayerKind::Noise(_)
            | LayerKind::Activation(Activation::LINEAR)
            | LayerKind::Classes { .. } => return Ok(operand),
            _ => {}
        }
        let input = self.materialise(operand, input_width);
        let value = match kind {
            LayerKind::Dense { kernel, bias, activation } => {
                self.dense(input, kernel, bias.as_ref(), *activation, shape)
            }
            LayerKind::Activation(activation) => self.activate(*activation, input, input_shape),
            LayerKind::PRelu { alpha } => {
                let alpha_shape = alpha.shape().to_vec();
                let alpha = self.weights(alpha);
                let alpha = self.repeated(alpha, &alpha_shape, input_shape)?;
                self.combine(Binary::PRelu, Operand::Value(input), alpha, width)
            }
            LayerKind::Permute { axes } => {
                self.spend(width)?;
                let table = table(input_shape, shape, |position, at| {
                    for (&axis, &index) in axes.iter().zip(position) {
                        at[axis] = index;
                    }
                })?;
                self.select(input, table)
            }
            LayerKind::Gather { axis, indices } => {
                self.spend(width)?;
                let table = table(input_shape, shape, |position, at| {
                    at.copy_from_slice(position);
                    at[*axis] = indices[position[*axis]];
                })?;
                self.select(input, table)
            }
            LayerKind::BatchNormalization { gamma, beta, mean, variance, epsilon, .. } => {
                let one = |tensor: &Option<Tensor>, i: usize, default| {
                    tensor.as_ref().map_or(default, |tensor| f64::from(tensor.data()[i]))
                };
                let scale: Vec<f64> = (variance.data().iter().enumerate())
                    .map(|(i, &v)| one(gamma, i, 1.0) / (f64::from(v) + f64::from(*epsilon)).sqrt())
                    .collect();
                let offset = (scale.iter().zip(mean.data()).enumerate())
                    .map(|(i, (scale, &mean))| (one(beta, i, 0.0) - f64::from(mean) * scale) as f32)
                    .collect();
                let scale = scale.iter().map(|&scale| scale as f32).collect();
                self.affine(input, width, scale, offset)
            }
            LayerKind::LayerNormalization { gamma, beta, epsilon } => {
                let function = Rowwise::Standardize { epsilon: *epsilon };
                let value = self.activate(Activation::Rowwise(function), input, input_shape);
                let values = |tensor: &Option<Tensor>, default| {
                    tensor.as_ref().map_or(vec![default], |tensor| tensor.data().to_vec())
                };
                self.affine(value, width, values(gamma, 1.0), values(beta, 0.0))
            }
            LayerKind::Rescaling { scale, offset } => {
                self.affine(input, width, scale.data().to_vec(), offset.data().to_vec())
            }
            LayerKind::Normalization { mean, variance } => {
                let deviation = variance.data().iter().map(|v| v.sqrt().max(1e-7)).collect();
                let mean = mean.data().to_vec();
                let centred = self.with_constants(Binary::Subtract, Operand::Value(input), width, mean);
                self.with_constants(Binary::Divide, centred, width, deviation).value().unwrap_or(input)
            }
            LayerKind::Embedding { table } => {
                self.limit(input, table.shape()[0])?;
                let output_width = table.shape()[1];
                let table = self.graph.add_weights(table.clone());
                self.operation(Kernel::Lookup { table }, input, None, [input_width, 1, output_width])
            }
            LayerKind::CategoryEncoding { tokens, mode } => {
                self.encode(input, input_width, input_shape, *tokens, *mode)?
            }
            LayerKind::Discretization { boundaries } => {
                let count = boundaries.data().len();
                let values = element_count(&[input_width, count])?;
                self.spend(values)?;
                let mut each = reserve(values)?;
                each.extend((0..input_width).flat_map(|i| std::iter::repeat_n(i as u32, count)));
                let spread = self.select(input, each);
                let boundaries = self.weights(boundaries);
                let op = Binary::GreaterEqual;
                let exceeded = self.combine(op, Operand::Value(spread), boundaries, values);
                let kernel = Kernel::Rowwise(Rowwise::Sum);
                let value = self.operation(kernel, exceeded, None, [input_width, count, 1]);
                self.bounds[value] = Some(count + 1);
                value
            }
            _ => unreachable!("handled above"),
        };
        Ok(Operand::Value(value))
    }

    fn value(&mut self, width: usize) -> usize {
        self.graph.widths.push(width);
        self.origins.push(None);
        self.bounds.push(None);
        self.graph.widths.len() - 1
    }

    fn weights(&mut self, tensor: &Tensor) -> Operand {
        Operand::Weights(self.graph.add_weights(tensor.clone()))
    }

    fn constants(&mut self, values: Vec<f32>) -> Operand {
        let shape = vec![values.len()];
        // A vector's own length is always its shape.
        Operand::Weights(self.graph.add_weights(Tensor::new(shape, values).unwrap_or_default()))
    }

    fn input(&mut self, node: usize, width: usize) -> Operand {
        let value = self.value(width);
        self.origins[value] = Some((self.graph.inputs.len(), None));
        self.graph.inputs.push(Port {
            name: self.model.node_name(node).to_string(),
            shape: self.shapes[node].clone(),
            slot: 0,
            limits: vec![],
            classes: None,
        });
        self.graph.input_values.push(value);
        Operand::Value(value)
    }

    /// Adds an operation of `[rows, input width, output width]`; the value it computes.
    fn operation(
        &mut self,
        kernel: Kernel,
        input: usize,
        second: Option<Operand>,
        size: [usize; 3],
    ) -> usize {
        self.operation_on(kernel, Operand::Value(input), second, size)
    }

    fn operation_on(
        &mut self,
        kernel: Kernel,
        input: Operand,
        second: Option<Operand>,
        size: [usize; 3],
    ) -> usize {
        let [rows, input_width, output_width] = size;
        let output = self.value(rows * output_width);
        self.graph.operations.push(Operation {
            layer: self.layer,
            kernel,
            input,
            second,
            output,
            extends: None,
            rows,
            input_width,
            output_width,
        });
        output
    }

    /// Makes a value of a constant, for kernels that read every sample's own.
    fn materialise(&mut self, operand: Operand, width: usize) -> usize {
        match operand {
            Operand::Value(value) => value,
            // The larger one of a number and itself is that number, NaN included.
            constant => self.combine(Binary::Maximum, constant, constant, width),
        }
    }

    fn operand_width(&self, operand: Operand) -> usize {
        match operand {
            Operand::Value(value) => self.graph.widths[value],
            Operand::Weights(weights) => self.graph.weights[weights].data().len(),
        }
    }

    /// Joins two operands, each of which repeats if it is shorter than the result.
    fn combine(&mut self, op: Binary, a: Operand, b: Operand, width: usize) -> usize {
        let (input_width, second_width) = (self.operand_width(a), self.operand_width(b));
        let kernel = Kernel::Combine { op, second_width, activation: Elementwise::Linear };
        self.operation_on(kernel, a, Some(b), [1, input_width, width])
    }

    fn with_constants(&mut self, op: Binary, a: Operand, width: usize, constants: Vec<f32>) -> Operand {
        let constants = self.constants(constants);
        Operand::Value(self.combine(op, a, constants, width))
    }

    /// `scale · x + offset`, without what does nothing.
    fn affine(&mut self, mut value: usize, width: usize, scale: Vec<f32>, offset: Vec<f32>) -> usize {
        for (op, constants, idle) in [(Binary::Multiply, scale, 1.0), (Binary::Add, offset, 0.0)] {
            if constants.iter().any(|&constant| constant != idle) {
                let constants = self.constants(constants);
                value = self.combine(op, Operand::Value(value), constants, width);
            }
        }
        value
    }

    fn combine_all(&mut self, op: Binary, sources: &[usize]) -> Result<Operand> {
        let mut result = self.of_node[sources[0]];
        let mut shape = self.shapes[sources[0]].clone();
        for &source in &sources[1..] {
            let other_shape = &self.shapes[source];
            let Some(joined) = broadcast(&shape, other_shape) else {
                return Err(Error::shape(format!("shapes {shape:?} and {other_shape:?} do not go together")));
            };
            let a = self.repeated(result, &shape, &joined)?;
            let b = self.repeated(self.of_node[source], other_shape, &joined)?;
            result = Operand::Value(self.combine(op, a, b, element_count(&joined)?));
            shape = joined;
        }
        Ok(result)
    }

    /// An operand whose values, repeated one after the other, are those broadcast to a shape.
    fn repeated(&mut self, operand: Operand, from: &[usize], to: &[usize]) -> Result<Operand> {
        let from: Vec<usize> = from.iter().copied().skip_while(|&axis| axis == 1).collect();
        if to.ends_with(&from) {
            return Ok(operand);
        }
        self.spend(element_count(to)?)?;
        let padded: Vec<usize> = std::iter::repeat_n(1, to.len() - from.len()).chain(from).collect();
        let table = table(&padded, to, |position, at| {
            for ((at, &index), &length) in at.iter_mut().zip(position).zip(&padded) {
                *at = if length == 1 { 0 } else { index };
            }
        })?;
        match operand {
            Operand::Value(value) => Ok(Operand::Value(self.select(value, table))),
            Operand::Weights(weights) => {
                let old = self.graph.weights[weights].data();
                let values = table.iter().map(|&position| old[position as usize]).collect();
                Ok(self.constants(values))
            }
        }
    }

    fn select(&mut self, input: usize, positions: Vec<u32>) -> usize {
        let width = positions.len();
        let origin = self.origins[input].as_ref().map(|(port, origin)| {
            let of_origin =
                |&position: &u32| origin.as_ref().map_or(position, |origin| origin[position as usize]);
            (*port, Some(positions.iter().map(of_origin).collect()))
        });
        self.graph.tables.push(positions);
        let kernel = Kernel::Select { table: self.graph.tables.len() - 1 };
        let value = self.operation(kernel, input, None, [1, self.graph.widths[input], width]);
        self.origins[value] = origin;
        self.bounds[value] = self.bounds[input];
        value
    }

    fn dense(
        &mut self,
        input: usize,
        kernel: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        shape: &[usize],
    ) -> usize {
        let [inputs, units] = [kernel.shape()[0], kernel.shape()[1]];
        let rows = shape[..shape.len() - 1].iter().product();
        let kernel = self.graph.add_weights(kernel.clone());
        let bias = bias.map(|bias| self.graph.add_weights(bias.clone()));
        let fused = match activation {
            Activation::Elementwise(function) => function,
            Activation::Rowwise(_) => Elementwise::Linear,
        };
        let kernel = Kernel::Dense { kernel, bias, activation: fused };
        let value = self.operation(kernel, input, None, [rows, inputs, units]);
        match activation {
            Activation::Elementwise(_) => value,
            rowwise => self.activate(rowwise, value, &[rows, units]),
        }
    }

    fn activate(&mut self, activation: Activation, input: usize, shape: &[usize]) -> usize {
        let width = self.graph.widths[input];
        let function = match activation {
            Activation::Elementwise(function) => {
                return self.operation(Kernel::Activate(function), input, None, [1, width, width]);
            }
            Activation::Rowwise(function) => function,
        };
        let last = shape.last().copied().unwrap_or(1).max(1);
        let size = [width / last, last, function.output_width(last).unwrap_or(last)];
        let value = self.operation(Kernel::Rowwise(function), input, None, size);
        if function == Rowwise::ArgMax {
            self.bounds[value] = Some(last);
        }
        value
    }

    fn concatenate(&mut self, axis: usize, sources: &[usize], shape: &[usize]) -> Result<Operand> {
        let rows: usize = shape[..axis].iter().product();
        let output_width = shape[axis..].iter().product();
        let output_values = rows * output_width;
        let (mut whole, mut offset) = (None, 0);
        for &source in sources {
            let width = element_count(&self.shapes[source])?;
            let input = self.materialise(self.of_node[source], width);
            let part = width / rows;
            let output = self.value(output_values);
            self.graph.operations.push(Operation {
                layer: self.layer,
                kernel: Kernel::Place { offset },
                input: Operand::Value(input),
                second: None,
                output,
                extends: whole,
                rows,
                input_width: part,
                output_width,
            });
            whole = Some(output);
            offset += part;
        }
        whole.map(Operand::Value).ok_or_else(|| Error::format("takes at least one input"))
    }

    fn product(&mut self, sources: &[usize], shape: &[usize]) -> Result<Operand> {
        let [m, n] = [shape[shape.len() - 2], shape[shape.len() - 1]];
        let inner = self.shapes[sources[0]][shape.len() - 1];
        let matrices: usize = shape[..shape.len() - 2].iter().product();
        let a_width = element_count(&self.shapes[sources[0]])?;
        let b_width = element_count(&self.shapes[sources[1]])?;
        let a = self.materialise(self.of_node[sources[0]], a_width);
        let b = self.materialise(self.of_node[sources[1]], b_width);
        let kernel = Kernel::MatMul { rows: m };
        Ok(Operand::Value(self.operation(kernel, a, Some(Operand::Value(b)), [matrices * m, inner, n])))
    }

    fn encode(
        &mut self,
        input: usize,
        width: usize,
        shape: &[usize],
        tokens: usize,
        mode: Encoding,
    ) -> Result<usize> {
        self.limit(input, tokens)?;
        // One vector for each number, or for all numbers of the last axis.
        let numbers = if mode == Encoding::OneHot { 1 } else { shape.last().copied().unwrap_or(1).max(1) };
        let rows = width / numbers;
        let values = element_count(&[width, tokens])?;
        self.spend(values)?;
        let mut positions = reserve(values)?;
        for row in 0..rows {
            (0..tokens).for_each(|_| positions.extend((0..numbers).map(|i| (row * numbers + i) as u32)));
        }
        let spread = self.select(input, positions);
        let mut names = reserve(element_count(&[tokens, numbers])?)?;
        names.extend((0..tokens).flat_map(|token| std::iter::repeat_n(token as f32, numbers)));
        let equal = self.with_constants(Binary::Equal, Operand::Value(spread), values, names);
        let equal = self.materialise(equal, values);
        let function = match mode {
            Encoding::OneHot => return Ok(equal),
            Encoding::MultiHot => Rowwise::Max,
            Encoding::Count => Rowwise::Sum,
        };
        Ok(self.operation(Kernel::Rowwise(function), equal, None, [rows * tokens, numbers, 1]))
    }

    /// What an output's values stand for.
    fn classes(&mut self, node: usize) -> Result<Option<Classes>> {
        let LayerKind::Classes { names, columns } = &self.model.layers[self.model.nodes[node].layer].kind
        else {
            return Ok(None);
        };
        // Many outputs can share one layer's names, each of which takes as much memory as a handful of positions.
        self.spend(names.len().saturating_mul(16))?;
        Ok(Some(Classes { names: names.clone(), columns: *columns }))
    }

    /// Counts the positions of a table before it is made.
    fn spend(&mut self, positions: usize) -> Result<()> {
        self.positions_left = spend(self.positions_left, positions)?;
        Ok(())
    }

    /// Sees to it that a value is never an index beyond a table: by a limit on the input it comes from, where it is one.
    fn limit(&mut self, value: usize, length: usize) -> Result<()> {
        if self.bounds[value].is_some_and(|bound| bound <= length) {
            return Ok(());
        }
        let Some((port, positions)) = &self.origins[value] else {
            return Err(Error::unsupported(
                "its indices are computed by the model itself, so that they could lie outside the table; give them as \
                 an input",
            ));
        };
        let port = &mut self.graph.inputs[*port];
        let width = port.width();
        if port.limits.is_empty() {
            self.positions_left = spend(self.positions_left, width)?;
            port.limits = reserve(width)?;
            port.limits.resize(width, 0);
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let lower = |limit: &mut u32| *limit = if *limit == 0 { length } else { length.min(*limit) };
        match positions {
            None => port.limits.iter_mut().for_each(lower),
            Some(positions) => positions.iter().for_each(|&at| lower(&mut port.limits[at as usize])),
        }
        Ok(())
    }
}

fn spend(left: usize, positions: usize) -> Result<usize> {
    left.checked_sub(positions).ok_or_else(|| {
        Error::unsupported(format!(
            "the model moves more than {MOST_POSITIONS} values about for each sample; use smaller samples"
        ))
    })
}

/// For each value of a shape, in order, the position in `from` that `place` gives: it is handed the value's indices, and
/// sets those in `from`.
fn table(from: &[usize], to: &[usize], mut place: impl FnMut(&[usize], &mut [usize])) -> Result<Vec<u32>> {
    let count = element_count(to)?;
    if u32::try_from(element_count(from)?.max(count)).is_err() {
        return Err(Error::shape(format!("more than 4 billion values in {from:?} or {to:?}")));
    }
    let mut positions = reserve(count)?;
    let mut indices = vec![0; to.len()];
    let mut at = vec![0; from.len()];
    for _ in 0..count {
        place(&indices, &mut at);
        positions.push(at.iter().zip(from).fold(0, |position, (&index, &length)| position * length + index) as u32);
        // Counts up, the last axis fastest.
        for (index, &length) in indices.iter_mut().zip(to).rev() {
            *index += 1;
            if *index < length {
                break;
            }
            *index = 0;
        }
    }
    Ok(positions)
}
