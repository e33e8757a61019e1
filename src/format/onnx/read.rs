//! From the file to the model: which nodes are needed, in which order, and what they are given.

use super::{
    at,
    attributes::Attributes,
    graph::Graph,
    input::{self, Input},
    ops::Call,
    proto::{self, decode},
    shared, tensor,
    value::Value,
};
use crate::{Error, Model, Result, format::Files, tensor::element_count};
use prost::bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The versions of the operators that nearside knows: of ONNX 1.2 to 1.23.
const VERSIONS: std::ops::RangeInclusive<i64> = 7..=28;
const ML: &str = "ai.onnx.ml";
const ML_VERSIONS: std::ops::RangeInclusive<i64> = 1..=5;

/// A file taken apart.
pub(super) struct File {
    graph: proto::Graph,
    nodes: Vec<proto::Node>,
    /// Constants, encoded.
    initializers: BTreeMap<String, Bytes>,
    /// By domain.
    versions: BTreeMap<String, i64>,
    /// The model's own operators: domain and name.
    functions: BTreeSet<(String, String)>,
    length: usize,
}

impl File {
    pub fn open(bytes: &[u8]) -> Result<Self> {
        let model: proto::Model = decode(&shared(bytes)?, "the file")?;
        let graph = model.graph.ok_or_else(|| Error::format("no ONNX model: the file has no graph"))?;
        let graph: proto::Graph = decode(&graph, "the graph")?;
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::unsupported("sparse weights; save the model with dense ones"));
        }
        let mut versions = BTreeMap::new();
        for set in model.opset_import {
            let domain = if set.domain == "ai.onnx" { String::new() } else { set.domain };
            let old = versions.insert(domain.clone(), set.version);
            if old.is_some_and(|old| old != set.version) {
                return Err(Error::format(format!("two versions of the operators of '{domain}'")));
            }
        }
        let mut nodes = Vec::new();
        for bytes in &graph.node {
            let node: proto::Node = decode(bytes, "a node")?;
            // Also keeps a file of empty nodes from taking many times its size.
            if node.output.iter().all(String::is_empty) {
                return Err(Error::format("a node without outputs").layer(node.name));
            }
            nodes.push(node);
        }
        let mut initializers = BTreeMap::new();
        for bytes in &graph.initializer {
            let tensor: proto::Tensor = decode(bytes, "a tensor")?;
            if initializers.insert(tensor.name.clone(), bytes.clone()).is_some() {
                return Err(Error::format("two tensors have this name").tensor(tensor.name));
            }
        }
        let mut functions = BTreeSet::new();
        for bytes in &model.functions {
            let function: proto::Function = decode(bytes, "a function")?;
            functions.insert((function.domain, function.name));
        }
        Ok(Self { graph, nodes, initializers, versions, functions, length: bytes.len() })
    }

    /// All constants of the file, without converting them.
    pub fn tensors(&self) -> Result<Vec<proto::Tensor>> {
        let initializers = self.initializers.values().map(|bytes| decode(bytes, "a tensor"));
        let mut tensors: Vec<proto::Tensor> = initializers.collect::<Result<_>>()?;
        for node in &self.nodes {
            for bytes in &node.attribute {
                let attribute: proto::Attribute = decode(bytes, "an attribute")?;
                tensors.push(decode(&attribute.t, "a tensor")?);
            }
        }
        Ok(tensors)
    }

    pub fn model(&self, files: &Files) -> Result<Model> {
        let inputs = self.inputs()?;
        let is_batch = |input: &Input| matches!(input.shape.first(), Some(None | Some(1)));
        let is_single = |input: &Input| input.shape.first() == Some(&Some(1));
        let fixed = inputs.iter().all(|input| input.shape.iter().all(Option::is_some));
        let order = self.order()?;
        if inputs.iter().all(is_batch) {
            let single = inputs.iter().all(is_single);
            match self.build(files, &inputs, &order, true, single) {
                Err(_) if fixed => {}
                result => return result,
            }
        }
        self.build(files, &inputs, &order, false, false)
    }

    /// The graph's inputs that are not constants.
    fn inputs(&self) -> Result<Vec<Input<'_>>> {
        let mut inputs: Vec<Input> = Vec::new();
        for info in &self.graph.input {
            // Before IR version 4, constants are listed among the inputs.
            if !self.initializers.contains_key(&info.name) {
                let mut input = Input::read(info).map_err(|error| error.tensor(&info.name))?;
                if let ([_, width @ None], true) = (input.shape.as_mut_slice(), inputs.len() < 64) {
                    *width = input::width(&info.name, &self.nodes, &self.initializers)?;
                }
                inputs.push(input);
            }
        }
        Ok(inputs)
    }

    /// The nodes that the outputs need, each after those it takes its inputs from, the earliest in the file first.
    fn order(&self) -> Result<Vec<usize>> {
        let mut producers: BTreeMap<&str, usize> = BTreeMap::new();
        let given = self.graph.input.iter().map(|input| input.name.as_str());
        let mut names: BTreeSet<&str> = given.chain(self.initializers.keys().map(String::as_str)).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                producers.insert(output, index);
                if !names.insert(output) {
                    return Err(Error::format("computed twice").tensor(output).layer(label(node)));
                }
            }
        }
        // Which nodes are needed, and how many of its inputs each waits for.
        let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
        let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let outputs = self.graph.output.iter().map(|output| output.name.as_str());
        let mut open: Vec<usize> = outputs.filter_map(|name| producers.get(name).copied()).collect();
        while let Some(index) = open.pop() {
            let Some(node) = self.nodes.get(index).filter(|_| !waiting.contains_key(&index)) else {
                continue;
            };
            let sources: BTreeSet<usize> =
                node.input.iter().filter_map(|name| producers.get(name.as_str()).copied()).collect();
            waiting.insert(index, sources.len());
            for source in sources {
                users.entry(source).or_default().push(index);
                open.push(source);
            }
        }
        let mut ready: BTreeSet<usize> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(&index, _)| index).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for &user in users.get(&index).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(&user) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.insert(user);
                    }
                }
            }
        }
        if order.len() != waiting.len() {
            return Err(Error::format("the nodes form a cycle"));
        }
        Ok(order)
    }

    /// Runs through the nodes, with or without a batch axis.
    fn build(
        &self,
        files: &Files,
        inputs: &[Input],
        order: &[usize],
        batched: bool,
        single: bool,
    ) -> Result<Model> {
        // Each weight may be read, turned and scaled a few times, and each value of a small file be repeated.
        let outside: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let budget = self.length.saturating_add(outside).saturating_mul(16).saturating_add(1 << 21);
        let names = self.nodes.iter().flat_map(|node| &node.output).chain(self.initializers.keys());
        let names: BTreeSet<String> =
            names.cloned().chain(self.graph.input.iter().map(|input| input.name.clone())).collect();
        let mut graph = Graph::new(batched, single, names, budget);
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        for input in inputs {
            let value = input.add(&mut graph).map_err(|error| error.tensor(input.name))?;
            if values.insert(input.name.to_string(), value).is_some() {
                return Err(Error::format("two inputs have this name").tensor(input.name));
            }
        }
        let mut wanted: BTreeSet<&str> =
            self.graph.output.iter().map(|output| output.name.as_str()).collect();
        let needed = order.iter().filter_map(|&index| self.nodes.get(index));
        wanted.extend(needed.clone().flat_map(|node| &node.input).map(String::as_str));
        for node in needed {
            let result = self.run(node, files, &wanted, &mut values, &mut graph);
            result.map_err(|error| at(error, &node.op_type, label(node)))?;
        }
        let mut outputs = Vec::new();
        let mut taken = BTreeSet::new();
        for output in &self.graph.output {
            let value = self.value(&output.name, files, &mut values, &mut graph)?;
            let layer = graph.output(&output.name, &value, &mut taken);
            outputs.push(layer.map_err(|error| error.tensor(&output.name))?);
        }
        graph.finish(&self.graph.name, &outputs)
    }

    /// A tensor that is computed already, or a constant.
    fn value(
        &self,
        name: &str,
        files: &Files,
        values: &mut BTreeMap<String, Value>,
        graph: &mut Graph,
    ) -> Result<Value> {
        if let Some(value) = values.get(name) {
            return Ok(value.clone());
        }
        let bytes = self.initializers.get(name);
        let bytes = bytes.ok_or_else(|| Error::format("no node computes this tensor").tensor(name))?;
        let value = tensor::read(bytes, files)?;
        // Many may lie in the same place of another file.
        graph.spend(element_count(graph.shape(&value))?)?;
        values.insert(name.to_string(), value.clone());
        Ok(value)
    }

    fn run(
        &self,
        node: &proto::Node,
        files: &Files,
        wanted: &BTreeSet<&str>,
        values: &mut BTreeMap<String, Value>,
        graph: &mut Graph,
    ) -> Result<()> {
        let (ml, version) = self.version(node)?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            inputs.push(if name.is_empty() { None } else { Some(self.value(name, files, values, graph)?) });
        }
        let mut call = Call {
            op: &node.op_type,
            version,
            inputs,
            attributes: Attributes::read(&node.attribute, files)?,
            wanted: node.output.iter().map(|name| wanted.contains(name.as_str())).collect(),
        };
        let start = graph.len();
        let results = call.run(ml, graph)?;
        let outputs: Vec<(String, Value)> = node.output.iter().cloned().zip(results).collect();
        graph.name_layers(start, &outputs);
        values.extend(outputs.into_iter().filter(|(name, _)| !name.is_empty()));
        Ok(())
    }

    /// Whether a node's operator is of `ai.onnx.ml`, and of which version.
    fn version(&self, node: &proto::Node) -> Result<(bool, i64)> {
        let domain = if node.domain == "ai.onnx" { "" } else { node.domain.as_str() };
        if self.functions.contains(&(node.domain.clone(), node.op_type.clone())) {
            return Err(Error::unsupported(
                "an operator that the file itself defines; export the model with its functions inlined",
            ));
        }
        let (ml, known) = match domain {
            "" => (false, VERSIONS),
            ML => (true, ML_VERSIONS),
            _ => {
                return Err(Error::unsupported(format!(
                    "an operator of '{domain}'; nearside knows those of ONNX itself and of {ML}"
                )));
            }
        };
        match self.versions.get(domain) {
            Some(version) if known.contains(version) => Ok((ml, *version)),
            Some(version) => Err(Error::unsupported(format!(
                "operators of version {version}; nearside knows versions {} to {}: export with opset_version={}",
                known.start(),
                known.end(),
                known.end().min(&17)
            ))),
            None => Err(Error::format(format!("the file does not say which version of '{domain}' it uses"))),
        }
    }
}

/// What a node is called: most exporters name them, all name their outputs.
fn label(node: &proto::Node) -> &str {
    let first = node.output.iter().find(|output| !output.is_empty());
    if node.name.is_empty() { first.map_or("", String::as_str) } else { &node.name }
}
