//! From the file to the model: its nodes are read one by one, each with what those before it gave.

use super::{
    at,
    call::Call,
    file::{File, Node},
    graph::Graph,
    input::Input,
    ops,
    value::Value,
};
use crate::{Error, Model, Result, format::Files};

/// The model of a file.
pub(super) fn model(file: &mut File, files: &Files) -> Result<Model> {
    let inputs = Input::all(file)?;
    let order = file.order()?;
    let (mut batched, mut single, mut fixed) = (true, true, true);
    for input in &inputs {
        batched &= matches!(input.shape.first(), Some(None | Some(1)));
        single &= input.shape.first() == Some(&Some(1));
        fixed &= input.shape.iter().all(Option::is_some);
    }
    let mut reader = Reader { file, inputs, order, files, batched, single };
    match reader.model() {
        Err(_) if batched && fixed => {
            (reader.batched, reader.single) = (false, false);
            reader.model()
        }
        result => result,
    }
}

/// What is read, and how.
struct Reader<'a> {
    file: &'a File<'a>,
    inputs: Vec<Input<'a>>,
    order: Vec<usize>,
    files: &'a Files<'a>,
    /// As in the [`Graph`].
    batched: bool,
    single: bool,
}

impl<'a> Reader<'a> {
    /// Runs through the nodes.
    fn model(&self) -> Result<Model> {
        // Each weight may be read, turned and scaled a few times, and each value of a small file be repeated.
        let outside: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let budget = self.file.length.saturating_add(outside).saturating_mul(16).saturating_add(1 << 19);
        let mut graph = Graph::new(self.files, &self.file.names, budget);
        (graph.batched, graph.single) = (self.batched, self.batched && self.single);
        let mut values = vec![None; self.file.count()];
        for input in &self.inputs {
            let value = input.add(&mut graph).map_err(|error| error.tensor(input.name))?;
            if put(&mut values, input.place, value).is_some() {
                return Err(Error::format("two inputs have this name").tensor(input.name));
            }
        }
        let mut wanted = vec![false; values.len()];
        let nodes = self.order.iter().filter_map(|&index| self.file.nodes.get(index));
        for &tensor in nodes.clone().flat_map(|node| &node.inputs).chain(&self.file.outputs) {
            if let Some(wanted) = wanted.get_mut(tensor) {
                *wanted = true;
            }
        }
        for node in nodes {
            let result = self.node(node, &wanted, &mut values, &mut graph);
            result.map_err(|error| at(error, node.op, self.file.label(node)))?;
        }
        for &output in &self.file.outputs {
            let name = self.file.origin(output).name;
            let value = self.value(output, &mut values, &mut graph)?;
            let done = graph.add_output(name, value);
            graph.outcome(done).map_err(|error| error.tensor(name))?;
        }
        graph.layers.finish(self.file.name, self.batched)
    }

    /// A tensor that is computed already, or a constant.
    fn value(&self, tensor: usize, values: &mut [Option<Value>], graph: &mut Graph) -> Result<Value> {
        if let Some(Some(value)) = values.get(tensor) {
            return Ok(*value);
        }
        let origin = self.file.origin(tensor);
        let Some(bytes) = origin.initializer else {
            return Err(Error::format("no node computes this tensor").tensor(origin.name));
        };
        let value = graph.read(bytes)?;
        put(values, tensor, value);
        Ok(value)
    }

    fn node(
        &self,
        node: &'a Node<'a>,
        wanted: &[bool],
        values: &mut [Option<Value>],
        graph: &mut Graph<'a>,
    ) -> Result<()> {
        let (ml, version) = self.file.version_of(node)?;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            inputs.push(if input == 0 { None } else { Some(self.value(input, values, graph)?) });
        }
        graph.call = Call::new(node.op, version, inputs, &node.attributes)?;
        for &output in &node.outputs {
            graph.call.wanted.push(wanted.get(output) == Some(&true));
        }
        let start = graph.layers.len();
        let first = ops::run(graph, ml)?;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        let results = std::iter::once(first).chain(std::mem::take(&mut graph.call.more));
        for (&output, value) in node.outputs.iter().zip(results) {
            outputs.push((self.file.origin(output).name, graph.layer_index(value)));
            if output != 0 {
                put(values, output, value);
            }
        }
        graph.layers.name(start, &outputs);
        Ok(())
    }
}

/// Keeps the value of a tensor, and gives the one it had.
fn put(values: &mut [Option<Value>], tensor: usize, value: Value) -> Option<Value> {
    values.get_mut(tensor)?.replace(value)
}
