//! Layers in operators.

use super::{
    Writer,
    graph::{Graph, INT64, float, int, ints},
};
use crate::{Binary, Error, Layer, LayerKind, Node, Result, Tensor, format::stored::Stored, layer::Encoding};

impl Writer<'_> {
    /// The result of a node, of a layer that is neither an input nor a constant.
    pub fn layer(&mut self, index: usize, node: &Node, layer: &Layer) -> Result<String> {
        let inputs: Vec<String> = node.inputs.iter().map(|&input| self.results[input].clone()).collect();
        match &layer.kind {
            LayerKind::Combine(op) => {
                return Ok(self.merged(index, node, |graph, a, b| graph.combine(*op, a, b)));
            }
            LayerKind::Average => {
                let sum = self.merged(index, node, |graph, a, b| graph.combine(Binary::Add, a, b));
                let count = self.graph.scalar(node.inputs.len() as f32);
                return Ok(self.graph.op("Div", &[&sum, &count]));
            }
            LayerKind::Concatenate { axis } => return Ok(self.concatenated(index, node, *axis)),
            LayerKind::MatMul => {
                let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                return Ok(self.graph.op("MatMul", &inputs));
            }
            _ => {}
        }
        let (Some(x), Some(&source)) = (inputs.first(), node.inputs.first()) else {
            return Err(Error::format("takes no input"));
        };
        let batch = usize::from(self.has_batch[source]);
        let shape = self.shapes[source].clone();
        let width = shape.last().copied().unwrap_or(1);
        let rank = shape.len() + batch;
        let weights = self.weights(node.layer, layer)?;
        let mut indices = x.clone();
        if matches!(layer.kind, LayerKind::Embedding { .. } | LayerKind::CategoryEncoding { .. })
            && !self.names_rows(source)
        {
            indices = self.graph.with("Cast", &[x], vec![int("to", INT64)]);
        }
        let weight = |name: &str| -> &str {
            weights.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
        };
        let graph = &mut self.graph;
        Ok(match &layer.kind {
            LayerKind::Dense { kernel, bias, activation } => {
                let bias = bias.as_ref().map(|_| weight("bias"));
                let sum = match bias {
                    Some(bias) if rank == 2 => graph.op("Gemm", &[x, weight("kernel"), bias]),
                    None => graph.op("MatMul", &[x, weight("kernel")]),
                    Some(bias) => {
                        let product = graph.op("MatMul", &[x, weight("kernel")]);
                        graph.op("Add", &[&product, bias])
                    }
                };
                graph.activation(*activation, &sum, kernel.shape().last().copied().unwrap_or(1))
            }
            LayerKind::Activation(activation) => graph.activation(*activation, x, width),
            LayerKind::PRelu { .. } => graph.op("PRelu", &[x, weight("alpha")]),
            LayerKind::Flatten if batch == 1 => graph.with("Flatten", &[x], vec![int("axis", 1)]),
            LayerKind::Flatten => {
                let shape = graph.ints(&[-1]);
                graph.op("Reshape", &[x, &shape])
            }
            LayerKind::Reshape { shape } => {
                // 0 keeps the batch as it is.
                let mut axes = vec![0; batch];
                axes.extend(signed(shape));
                let shape = graph.ints(&axes);
                graph.op("Reshape", &[x, &shape])
            }
            LayerKind::Permute { axes } => {
                // The batch stays in front.
                let mut order = vec![0; batch];
                axes.iter().for_each(|axis| order.push((axis + batch) as i64));
                graph.with("Transpose", &[x], vec![ints("perm", &order)])
            }
            LayerKind::Dropout { rate } => {
                let rate = graph.scalar(*rate);
                graph.op("Dropout", &[x, &rate])
            }
            // Names of classes are given to outputs alone.
            LayerKind::Noise(_) | LayerKind::Classes { .. } => x.clone(),
            LayerKind::Gather { axis, indices } => {
                let indices = graph.ints(&signed(indices));
                graph.with("Gather", &[x, &indices], vec![int("axis", (axis + batch) as i64)])
            }
            LayerKind::BatchNormalization { .. } => {
                graph.batch_normalization(&layer.kind, x, rank == 2 && batch == 1)
            }
            LayerKind::LayerNormalization { gamma, beta, epsilon } => {
                let ones = vec![1.0; width];
                let gamma = gamma.as_ref().map_or(&*ones, Tensor::data);
                graph.layer_normalization(x, gamma, beta.as_ref().map(Tensor::data), *epsilon)
            }
            LayerKind::Rescaling { scale, offset } => graph.rescaled(x, scale.data(), offset.data()),
            LayerKind::Normalization { mean, variance } => {
                let deviation: Vec<f32> =
                    variance.data().iter().map(|variance| variance.sqrt().max(1e-7)).collect();
                let mean = graph.parameter("mean", mean.data());
                let deviation = graph.parameter("deviation", &deviation);
                let centered = graph.op("Sub", &[x, &mean]);
                graph.op("Div", &[&centered, &deviation])
            }
            LayerKind::Embedding { .. } => graph.op("Gather", &[weight("embeddings"), &indices]),
            LayerKind::CategoryEncoding { tokens, mode } => {
                graph.category_encoding(indices, &shape, *tokens, *mode)
            }
            LayerKind::Discretization { boundaries } => {
                let last = graph.ints(&[-1]);
                let column = graph.op("Unsqueeze", &[x, &last]);
                let boundaries = graph.list("boundaries", boundaries.data());
                let exceeded = graph.combine(Binary::GreaterEqual, &column, &boundaries);
                graph.sum(&exceeded, -1, false)
            }
            LayerKind::Input { .. }
            | LayerKind::Constant { .. }
            | LayerKind::Combine(_)
            | LayerKind::Average
            | LayerKind::Concatenate { .. }
            | LayerKind::MatMul => return Err(Error::format("takes its inputs otherwise")),
        })
    }

    /// All inputs joined from the left.
    fn merged(
        &mut self,
        index: usize,
        node: &Node,
        join: impl Fn(&mut Graph, &str, &str) -> String,
    ) -> String {
        let rank = self.shapes[index].len();
        let mut inputs = node.inputs.iter();
        let first = inputs.next().map_or(String::new(), |&input| self.of_rank(input, rank));
        inputs.fold(first, |all, &input| {
            let next = self.of_rank(input, rank);
            join(&mut self.graph, &all, &next)
        })
    }

    /// A node's result with axes of length 1 behind the batch, so that the batch stays in front when shapes are
    /// broadcast.
    fn of_rank(&mut self, node: usize, rank: usize) -> String {
        let own = self.shapes[node].len();
        let value = self.results[node].clone();
        if !self.has_batch[node] || own >= rank {
            return value;
        }
        let axes: Vec<i64> = (1..=rank - own).map(|axis| axis as i64).collect();
        let axes = self.graph.ints(&axes);
        self.graph.op("Unsqueeze", &[&value, &axes])
    }

    fn concatenated(&mut self, index: usize, node: &Node, axis: usize) -> String {
        let batch = self.has_batch[index];
        let with_batch = |writer: &mut Self, input: usize| match batch && !writer.has_batch[input] {
            true => writer.expanded(input),
            false => writer.results[input].clone(),
        };
        let inputs: Vec<String> = node.inputs.iter().map(|&input| with_batch(self, input)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let axis = axis + usize::from(batch);
        self.graph.with("Concat", &inputs, vec![int("axis", axis as i64)])
    }

    /// A constant for each sample of the batch.
    pub fn expanded(&mut self, node: usize) -> String {
        let Some(input) = self.model.input_nodes().next() else { return self.results[node].clone() };
        let shape = signed(&self.shapes[node]);
        let (value, first) = (self.results[node].clone(), self.results[input].clone());
        let samples = self.graph.with("Shape", &[&first], vec![int("start", 0), int("end", 1)]);
        let shape = self.graph.ints(&shape);
        let shape = self.graph.with("Concat", &[&samples, &shape], vec![int("axis", 0)]);
        self.graph.op("Expand", &[&value, &shape])
    }

    /// The values of a layer's weights that are operators' inputs, written when it is first called.
    fn weights(&mut self, index: usize, layer: &Layer) -> Result<Vec<(&'static str, String)>> {
        let are_inputs = matches!(
            layer.kind,
            LayerKind::Dense { .. } | LayerKind::PRelu { .. } | LayerKind::Embedding { .. }
        );
        if self.weights[index].is_empty() && are_inputs {
            for stored in &Stored::of_layer(layer, self.dtype)? {
                let value = self.graph.weights(stored);
                self.weights[index].push((stored.weight, value));
            }
        }
        Ok(self.weights[index].clone())
    }
}

impl Graph {
    /// `gamma · (x − mean) / √(variance + epsilon) + beta` over the last axis, which has an operator where it is the
    /// first behind the batch.
    fn batch_normalization(&mut self, kind: &LayerKind, x: &str, is_channels: bool) -> String {
        let LayerKind::BatchNormalization { gamma, beta, mean, variance, epsilon, momentum } = kind else {
            return x.to_string();
        };
        let (mean, variance) = (mean.data(), variance.data());
        let or_all = |weights: &Option<Tensor>, value: f32| match weights {
            Some(weights) => weights.data().to_vec(),
            None => vec![value; mean.len()],
        };
        let mut gamma = or_all(gamma, 1.0);
        let beta = self.list("beta", &or_all(beta, 0.0));
        let mean = self.list("moving_mean", mean);
        if is_channels {
            let gamma = self.list("gamma", &gamma);
            let variance = self.list("moving_variance", variance);
            let attributes = vec![float("epsilon", *epsilon), float("momentum", *momentum)];
            return self.with("BatchNormalization", &[x, &gamma, &beta, &mean, &variance], attributes);
        }
        gamma.iter_mut().zip(variance).for_each(|(gamma, variance)| *gamma /= (variance + epsilon).sqrt());
        let scale = self.list("scale", &gamma);
        let centered = self.op("Sub", &[x, &mean]);
        let scaled = self.op("Mul", &[&centered, &scale]);
        self.op("Add", &[&scaled, &beta])
    }

    fn category_encoding(
        &mut self,
        indices: String,
        shape: &[usize],
        tokens: usize,
        mode: Encoding,
    ) -> String {
        let mut indices = indices;
        if mode == Encoding::OneHot && shape.last() == Some(&1) {
            let last = self.ints(&[-1]);
            indices = self.op("Squeeze", &[&indices, &last]);
        }
        let (depth, values) = (self.int(tokens as i64), self.list("values", &[0.0, 1.0]));
        let hot = self.op("OneHot", &[&indices, &depth, &values]);
        match mode {
            _ if mode == Encoding::OneHot || shape.is_empty() => hot,
            Encoding::Count => self.sum(&hot, -2, false),
            _ => self.with("ReduceMax", &[&hot], vec![ints("axes", &[-2]), int("keepdims", 0)]),
        }
    }
}

fn signed(lengths: &[usize]) -> Vec<i64> {
    lengths.iter().map(|&length| length as i64).collect()
}
