//! A model as a graph of Keras's layers.

use super::config::Dialect;
use super::layer::{Part, foreign, is_merge, parts, rescaling};
use crate::{
    Activation, Binary, Dtype, Error, Layer, LayerKind, Model, Node, Result, Rowwise, Tensor,
    format::{json::Value, names::Names, stored::Stored},
};
use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

/// A layer, and where it is called.
pub struct KerasLayer<'a> {
    /// Unique, and of what Keras takes for names.
    pub name: String,
    /// Name of the model's layer that it is, or is a part of.
    pub origin: &'a str,
    /// Class name.
    pub class: &'static str,
    /// What its configuration holds besides its name.
    pub config: Vec<(&'static str, Value)>,
    /// In Keras's order.
    pub weights: Vec<Stored<'a>>,
    /// In the order of their numbers.
    pub calls: Vec<Call>,
}

impl KerasLayer<'_> {
    /// Whether training changes its weights.
    pub fn is_trained(&self) -> bool {
        !self.config.iter().any(|(name, value)| *name == "trainable" && *value == Value::Bool(false))
    }
}

/// A call of a layer.
pub struct Call {
    /// What it is called on; nothing for an input.
    pub inputs: Vec<Reference>,
    /// Shape of a sample of the result.
    pub shape: Vec<usize>,
}

/// The result of a call: indices of the layer, and of the call within it.
pub type Reference = (usize, usize);

/// A model's graph.
pub struct Graph<'a> {
    /// In Keras's order.
    pub layers: Vec<KerasLayer<'a>>,
    /// The model's inputs, in its order.
    pub inputs: Vec<Reference>,
    /// The model's outputs, in its order.
    pub outputs: Vec<Reference>,
}

impl<'a> Graph<'a> {
    /// All inputs of a model, and what leads from them to its outputs.
    ///
    /// # Errors
    /// `Unsupported` for what Keras has no layer for, `Value` for weights and parameters that its files cannot hold.
    pub fn of(model: &'a Model, dtype: Dtype, dialect: Dialect) -> Result<Self> {
        if !model.batched {
            return Err(Error::unsupported(
                "the model takes a single sample, without the batch axis that every Keras model has; save as 'onnx' \
                 or 'safetensors'",
            ));
        }
        let mut builder = Builder::new(model, dtype, dialect)?;
        for (index, node) in model.nodes.iter().enumerate() {
            let layer = &model.layers[node.layer];
            let result = builder.node(index, node, layer).map_err(|error| error.layer(&layer.name))?;
            builder.results.push(result);
        }
        let find = |index: usize| builder.results[index].ok_or_else(|| foreign("a constant output"));
        let inputs = model.input_nodes().map(find).collect::<Result<_>>()?;
        let outputs = model.outputs.iter().map(|&index| find(index)).collect::<Result<_>>()?;
        let mut graph = Self { layers: builder.layers, inputs, outputs };
        graph.sort();
        Ok(graph)
    }

    /// Whether it is a chain of single calls, which Keras calls Sequential.
    pub fn is_chain(&self) -> bool {
        let follows = |(index, layer): (usize, &KerasLayer)| {
            let before: &[Reference] = if index == 0 { &[] } else { &[(index - 1, 0)] };
            matches!(&layer.calls[..], [call] if call.inputs == before) && !is_merge(layer.class)
        };
        let last = self.layers.len() - 1;
        last > 0 && self.outputs == [(last, 0)] && self.layers.iter().enumerate().all(follows)
    }

    pub fn call(&self, (layer, call): Reference) -> &Call {
        &self.layers[layer].calls[call]
    }

    /// Puts the layers in the order in which Keras finds them again, because it identifies weights by it: by distance
    /// from the outputs, then by the time of a depth-first search (`map_graph` in Keras's `function.py`).
    fn sort(&mut self) {
        let Search { found, finished } = self.search();
        let mut layer_depths = vec![0; self.layers.len()];
        let mut call_depths = self.of_each_call();
        for &(layer, call) in finished.iter().rev() {
            let depth = layer_depths[layer].max(call_depths[layer][call]);
            layer_depths[layer] = depth;
            for &(layer, call) in &self.call((layer, call)).inputs {
                let deeper = &mut call_depths[layer][call];
                *deeper = (*deeper).max(depth + 1);
            }
        }
        // Inputs that lead nowhere are never found, and come first among the last.
        let deepest = layer_depths.iter().copied().max().unwrap_or(0);
        let mut queue = BinaryHeap::new();
        for (layer, depth) in layer_depths.iter().enumerate() {
            queue.push(Reverse((deepest - depth, found[layer], layer)));
        }
        let mut layers: Vec<_> = std::mem::take(&mut self.layers).into_iter().map(Some).collect();
        let mut place = vec![0; layers.len()];
        while let Some(Reverse((_, _, layer))) = queue.pop() {
            place[layer] = self.layers.len();
            self.layers.extend(layers[layer].take());
        }
        let calls = self.layers.iter_mut().flat_map(|layer| &mut layer.calls);
        calls.for_each(|call| renumber(&mut call.inputs, &place));
        renumber(&mut self.inputs, &place);
        renumber(&mut self.outputs, &place);
    }

    /// A zero for each call of each layer.
    fn of_each_call(&self) -> Vec<Vec<usize>> {
        self.layers.iter().map(|layer| vec![0; layer.calls.len()]).collect()
    }

    fn search(&self) -> Search {
        let mut search = Search { found: vec![0; self.layers.len()], finished: Vec::new() };
        let (mut begun, mut count) = (self.of_each_call(), 0);
        for &output in &self.outputs {
            // Calls, and how many of their inputs were followed: deep graphs would exhaust the stack.
            let mut path = vec![(output, 0)];
            while let Some(((layer, call), followed)) = path.pop() {
                if followed == 0 {
                    if std::mem::replace(&mut begun[layer][call], 1) == 1 {
                        continue;
                    }
                    count += 1;
                    if search.found[layer] == 0 {
                        search.found[layer] = count;
                    }
                }
                match self.call((layer, call)).inputs.get(followed) {
                    Some(&input) => path.extend([((layer, call), followed + 1), (input, 0)]),
                    None => search.finished.push((layer, call)),
                }
            }
        }
        search
    }
}

fn renumber(references: &mut [Reference], place: &[usize]) {
    references.iter_mut().for_each(|(layer, _)| *layer = place[*layer]);
}

/// A depth-first search from the outputs.
struct Search {
    /// For each layer, the number of the call by which it was found, from 1; 0 if it was not.
    found: Vec<usize>,
    /// The calls, each behind those it takes its inputs from.
    finished: Vec<Reference>,
}

struct Builder<'a> {
    dtype: Dtype,
    dialect: Dialect,
    layers: Vec<KerasLayer<'a>>,
    /// Every layer may keep its name, where Keras takes it.
    names: Names,
    /// For each layer of the model, which layers of Keras's it is.
    chains: Vec<Option<Range<usize>>>,
    model: &'a Model,
    /// Of each node.
    shapes: Vec<Vec<usize>>,
    /// For each node, those that take its result on the way to an output.
    users: Vec<Vec<usize>>,
    /// For each node so far, its result; none for those that are not needed, and for constants.
    results: Vec<Option<Reference>>,
}

impl<'a> Builder<'a> {
    fn new(model: &'a Model, dtype: Dtype, dialect: Dialect) -> Result<Self> {
        let shapes = model.shapes()?;
        let mut users = vec![Vec::new(); model.nodes.len()];
        for (index, node) in model.nodes.iter().enumerate().rev() {
            if !users[index].is_empty() || model.outputs.contains(&index) {
                node.inputs.iter().for_each(|&input| users[input].push(index));
            }
        }
        let mut names = Names::default();
        let valid = model.layers.iter().filter(|layer| valid_name(&layer.name) == layer.name);
        valid.for_each(|layer| names.reserve(&layer.name));
        Ok(Self {
            dtype,
            dialect,
            layers: vec![],
            names,
            chains: vec![None; model.layers.len()],
            model,
            shapes,
            users,
            results: vec![],
        })
    }

    /// Adds the layers that a node needs and the calls of them; gives the result of the last.
    fn node(&mut self, index: usize, node: &Node, layer: &'a Layer) -> Result<Option<Reference>> {
        let is_input = matches!(layer.kind, LayerKind::Input { .. });
        let is_needed = !self.users[index].is_empty() || self.model.outputs.contains(&index);
        if matches!(layer.kind, LayerKind::Constant { .. }) || !(is_needed || is_input) {
            return Ok(None);
        }
        let halves = matches!(
            layer.kind,
            LayerKind::Activation(GLU) | LayerKind::Dense { activation: GLU, .. } if !self.users[index].is_empty()
        );
        if halves {
            // Keras takes the result to have the shape from before it is halved.
            return Err(foreign("'glu' followed by others"));
        }
        let (chain, inputs) = match self.with_constant(index, node, &layer.kind)? {
            Some((part, input)) => (self.place(vec![part], layer)?, vec![input]),
            None => (self.chain(index, node, layer)?, node.inputs.clone()),
        };
        let results = inputs.iter().map(|&input| self.results[input]);
        let mut inputs: Vec<Reference> =
            results.collect::<Option<_>>().ok_or_else(|| foreign("a constant input"))?;
        for place in chain {
            let calls = &mut self.layers[place].calls;
            let shape = self.shapes[index].clone();
            calls.push(Call { inputs: std::mem::replace(&mut inputs, vec![(place, calls.len())]), shape });
        }
        Ok(inputs.first().copied())
    }

    /// The layers of Keras's that a layer is, made when it is first called.
    fn chain(&mut self, index: usize, node: &Node, layer: &'a Layer) -> Result<Range<usize>> {
        let known = self.chains[node.layer].clone();
        let parts = match (&layer.kind, known) {
            (LayerKind::Input { .. }, Some(_)) => return Err(foreign("an input that is called twice")),
            (_, Some(chain)) => return Ok(chain),
            (LayerKind::Input { shape }, None) => vec![self.input(index, shape)],
            (_, None) => {
                let inputs: Vec<&[usize]> =
                    node.inputs.iter().map(|&input| self.shapes[input].as_slice()).collect();
                parts(layer, &inputs, self.dtype, self.dialect)?
            }
        };
        let chain = self.place(parts, layer)?;
        self.chains[node.layer] = Some(chain.clone());
        Ok(chain)
    }

    fn input(&self, index: usize, shape: &[usize]) -> Part<'a> {
        let is_index = |&user: &usize| {
            let kind = &self.model.layers[self.model.nodes[user].layer].kind;
            matches!(kind, LayerKind::Embedding { .. } | LayerKind::CategoryEncoding { .. })
        };
        let users = &self.users[index];
        let dtype = if !users.is_empty() && users.iter().all(is_index) && !self.model.outputs.contains(&index)
        {
            "int32"
        } else {
            "float32"
        };
        let config = vec![("batch_shape", with_batch(shape)), ("dtype", dtype.into())];
        Part { class: "InputLayer", config, weights: vec![] }
    }

    /// A function of a constant and one input that is a scale and an offset of it.
    fn with_constant(
        &self,
        index: usize,
        node: &Node,
        kind: &LayerKind,
    ) -> Result<Option<(Part<'a>, usize)>> {
        let (LayerKind::Combine(op), &[a, b]) = (kind, &node.inputs[..]) else { return Ok(None) };
        let (constant, input, is_first) = match (self.constant(a), self.constant(b)) {
            (Some(constant), None) => (constant, b, true),
            (None, Some(constant)) => (constant, a, false),
            _ => return Ok(None),
        };
        let (values, shape) = (constant.data(), &self.shapes[input]);
        let fits = values.len() == 1
            || (constant.shape().last() == shape.last() && shape.last() == Some(&values.len()));
        if !fits || *shape != self.shapes[index] {
            return Ok(None);
        }
        let of_each =
            |function: fn(f32) -> f32| -> Vec<f32> { values.iter().map(|&x| function(x)).collect() };
        let (scale, offset) = match (op, is_first) {
            (Binary::Add, _) => (vec![1.0], values.to_vec()),
            (Binary::Subtract, false) => (vec![1.0], of_each(|x| -x)),
            (Binary::Subtract, true) => (vec![-1.0], values.to_vec()),
            (Binary::Multiply, _) => (values.to_vec(), vec![0.0]),
            (Binary::Divide, false) => (of_each(|x| 1.0 / x), vec![0.0]),
            _ => return Ok(None),
        };
        Ok(Some((rescaling(&scale, &offset)?, input)))
    }

    fn constant(&self, node: usize) -> Option<&'a Tensor> {
        match &self.model.layers[self.model.nodes[node].layer].kind {
            LayerKind::Constant { value } => Some(value),
            _ => None,
        }
    }

    /// Adds the layers that one of the model's is, the first under its name or, where Keras does not take it, one like it.
    fn place(&mut self, parts: Vec<Part<'a>>, layer: &'a Layer) -> Result<Range<usize>> {
        let (first, origin) = (self.layers.len(), layer.name.as_str());
        let last = parts.len().saturating_sub(1);
        for (index, mut part) in parts.into_iter().enumerate() {
            part.add_training(layer, index == last, self.dialect)?;
            let Part { class, config, weights } = part;
            let valid = valid_name(origin);
            let is_own = index == 0 && valid == origin;
            let name = if is_own { self.names.claim(origin) } else { self.names.unique(&valid) };
            self.layers.push(KerasLayer { name, origin, class, config, weights, calls: vec![] });
        }
        Ok(first..self.layers.len())
    }
}

/// A shape with the batch, which may have any length, in front.
pub fn with_batch(shape: &[usize]) -> Value {
    let axes = shape.iter().map(|&axis| Value::from(axis));
    Value::Array(std::iter::once(Value::Null).chain(axes).collect())
}

/// The name, if TensorFlow takes it, else one like it: what it does not take becomes an underscore.
pub fn valid_name(name: &str) -> String {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let valid: String = name.chars().map(|c| if is_valid(c) { c } else { '_' }).collect();
    if valid.starts_with(|c: char| c.is_ascii_alphanumeric()) { valid } else { format!("layer{valid}") }
}

const GLU: Activation = Activation::Rowwise(Rowwise::Glu);
