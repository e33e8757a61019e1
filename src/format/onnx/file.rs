//! A file taken apart: its nodes and tensors, and in which order they are needed.

use super::{
    proto::{Attribute, Message, Tensor},
    tensor,
};
use crate::{
    Error, Result,
    format::table::{Names, Table},
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// ONNX's own domain of operators, and that of classical machine learning, with their versions that nearside knows: of
/// ONNX 1.2 to 1.23.
const DOMAINS: [(&str, i64, i64); 2] = [("", 7, 28), ("ai.onnx.ml", 1, 5)];

/// A file taken apart. Tensors are places in a list.
pub(super) struct File<'a> {
    pub name: &'a str,
    pub nodes: Vec<Node<'a>>,
    /// With their types, `TypeProto`.
    pub inputs: Vec<(usize, &'a [u8])>,
    pub outputs: Vec<usize>,
    /// The places of tensors. That of the empty name, which says that there is no tensor, is 0.
    pub names: Table<usize>,
    tensors: Vec<Origin<'a>>,
    /// Of the [`DOMAINS`].
    versions: [Option<i64>; 2],
    /// The model's own operators, as [`qualified`] names.
    functions: Names,
    /// In bytes.
    pub length: usize,
}

/// A tensor's name, and where it comes from.
#[derive(Default, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub name: &'a str,
    is_input: bool,
    /// A constant, encoded.
    pub initializer: Option<&'a [u8]>,
    /// The node that computes it.
    node: Option<usize>,
}

/// `NodeProto`
#[derive(Default)]
pub(super) struct Node<'a> {
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    name: &'a str,
    pub op: &'a str,
    pub attributes: Vec<&'a [u8]>,
    domain: &'a str,
}

/// The name of an operator in whatever domain.
fn qualified(domain: &str, name: &str) -> String {
    format!("{domain}\0{name}")
}

/// A domain, ONNX's own under its short name.
fn plain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// Adds the name of the file that a tensor's data lies in, if it is not in this one.
fn locate(bytes: &[u8], names: &mut Names) -> Result<()> {
    let tensor = Tensor::read(bytes)?;
    if tensor.location == 1 {
        let location = tensor::location(&tensor.external).map_err(|error| error.tensor(tensor.name))?;
        names.insert(location.to_string(), ());
    }
    Ok(())
}

impl<'a> File<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut file = Self {
            name: "",
            nodes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            names: Table::default(),
            tensors: Vec::new(),
            versions: [None; 2],
            functions: Names::default(),
            length: bytes.len(),
        };
        file.place("");
        let mut graph = None;
        let mut message = Message::new(bytes, "the file");
        while let Some(field) = message.next()? {
            match field {
                7 => graph = Some(message.bytes()?),
                8 => file.version(message.bytes()?)?,
                25 => file.function(message.bytes()?)?,
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| Error::format("no ONNX model: the file has no graph"))?;
        let mut message = Message::new(graph, "the graph");
        while let Some(field) = message.next()? {
            match field {
                1 => file.node(message.bytes()?)?,
                2 => file.name = message.text()?,
                5 => file.initializer(message.bytes()?)?,
                11 | 12 => file.port(message.bytes()?, field == 11)?,
                15 => return Err(Error::unsupported("sparse weights; save the model with dense ones")),
                _ => {}
            }
        }
        Ok(file)
    }

    /// The place of a tensor, a new one where none of that name has been seen.
    fn place(&mut self, name: &'a str) -> usize {
        if let Some(place) = self.names.get(name) {
            return *place;
        }
        let place = self.tensors.len();
        self.names.insert(name.to_string(), place);
        self.tensors.push(Origin { name, ..Origin::default() });
        place
    }

    /// `OperatorSetIdProto`: a domain, and the version of its operators.
    fn version(&mut self, bytes: &'a [u8]) -> Result<()> {
        let (mut domain, mut version) = ("", 0);
        let mut message = Message::new(bytes, "a version");
        while let Some(field) = message.next()? {
            match field {
                1 => domain = message.text()?,
                2 => version = message.int()?,
                _ => {}
            }
        }
        let domain = plain(domain);
        for ((known, ..), own) in DOMAINS.iter().zip(&mut self.versions) {
            if *known == domain && own.replace(version).is_some_and(|old| old != version) {
                return Err(Error::format(format!("two versions of the operators of '{domain}'")));
            }
        }
        Ok(())
    }

    /// `FunctionProto`: an operator of the file's own.
    fn function(&mut self, bytes: &'a [u8]) -> Result<()> {
        let (mut domain, mut name) = ("", "");
        let mut message = Message::new(bytes, "a function");
        while let Some(field) = message.next()? {
            match field {
                1 => name = message.text()?,
                10 => domain = message.text()?,
                _ => {}
            }
        }
        self.functions.insert(qualified(domain, name), ());
        Ok(())
    }

    /// `NodeProto`
    fn node(&mut self, bytes: &'a [u8]) -> Result<()> {
        let mut node = Node::default();
        let mut message = Message::new(bytes, "a node");
        while let Some(field) = message.next()? {
            match field {
                1 => node.inputs.push(self.place(message.text()?)),
                2 => node.outputs.push(self.place(message.text()?)),
                3 => node.name = message.text()?,
                4 => node.op = message.text()?,
                5 => node.attributes.push(message.bytes()?),
                7 => node.domain = message.text()?,
                _ => {}
            }
        }
        // Also keeps a file of empty nodes from taking many times its size.
        if node.outputs.iter().all(|&output| output == 0) {
            return Err(Error::format("a node without outputs").layer(node.name));
        }
        self.nodes.push(node);
        Ok(())
    }

    fn initializer(&mut self, bytes: &'a [u8]) -> Result<()> {
        let name = Tensor::read(bytes)?.name;
        let place = self.place(name);
        let tensor = self.tensors.get_mut(place);
        if tensor.and_then(|tensor| tensor.initializer.replace(bytes)).is_some() {
            return Err(Error::format("two tensors have this name").tensor(name));
        }
        Ok(())
    }

    /// `ValueInfoProto`: an input or an output.
    fn port(&mut self, bytes: &'a [u8], is_input: bool) -> Result<()> {
        let (mut name, mut kind) = ("", &[][..]);
        let mut message = Message::new(bytes, "an input or output");
        while let Some(field) = message.next()? {
            match field {
                1 => name = message.text()?,
                2 => kind = message.bytes()?,
                _ => {}
            }
        }
        let place = self.place(name);
        match is_input {
            true => self.inputs.push((place, kind)),
            false => self.outputs.push(place),
        }
        if let Some(tensor) = self.tensors.get_mut(place) {
            tensor.is_input |= is_input;
        }
        Ok(())
    }

    /// The names of files that hold constants.
    pub fn locations(&self) -> Result<Names> {
        let mut names = Names::default();
        for tensor in &self.tensors {
            if let Some(bytes) = tensor.initializer {
                locate(bytes, &mut names)?;
            }
        }
        for node in &self.nodes {
            for bytes in &node.attributes {
                locate(Attribute::read(bytes)?.tensor, &mut names)?;
            }
        }
        Ok(names)
    }

    /// Number of tensors.
    pub fn count(&self) -> usize {
        self.tensors.len()
    }

    /// What is known of a tensor.
    pub fn origin(&self, tensor: usize) -> Origin<'a> {
        self.tensors.get(tensor).copied().unwrap_or_default()
    }

    /// What a node is called: most exporters name them, all name their outputs.
    pub fn label(&self, node: &Node<'a>) -> &'a str {
        let first = node.outputs.iter().find(|&&output| output != 0);
        if node.name.is_empty() { first.map_or("", |&first| self.origin(first).name) } else { node.name }
    }

    /// The nodes that the outputs need, each after those it takes its inputs from, the earliest in the file first.
    pub fn order(&mut self) -> Result<Vec<usize>> {
        self.find_producers()?;
        // How many of its inputs each needed node waits for, and which nodes wait for it.
        let mut waiting = vec![None; self.nodes.len()];
        let mut users: Vec<Vec<usize>> = Vec::new();
        users.resize_with(self.nodes.len(), Vec::new);
        let mut open: Vec<usize> = Vec::new();
        open.extend(self.outputs.iter().filter_map(|&output| self.origin(output).node));
        let (mut ready, mut needed) = (BinaryHeap::new(), 0);
        while let Some(index) = open.pop() {
            let (Some(node), Some(waits @ None)) = (self.nodes.get(index), waiting.get_mut(index)) else {
                continue;
            };
            let mut count = 0usize;
            for source in node.inputs.iter().filter_map(|&input| self.origin(input).node) {
                if let Some(users) = users.get_mut(source) {
                    users.push(index);
                }
                open.push(source);
                count += 1;
            }
            *waits = Some(count);
            needed += 1;
            if count == 0 {
                ready.push(Reverse(index));
            }
        }
        let mut order = Vec::with_capacity(needed);
        while let Some(Reverse(index)) = ready.pop() {
            order.push(index);
            for &user in users.get(index).into_iter().flatten() {
                if let Some(Some(count)) = waiting.get_mut(user) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(Reverse(user));
                    }
                }
            }
        }
        if order.len() != needed {
            return Err(Error::format("the nodes form a cycle"));
        }
        Ok(order)
    }

    /// Finds out which node computes which tensor.
    fn find_producers(&mut self) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            for &output in node.outputs.iter().filter(|&&output| output != 0) {
                let Some(tensor) = self.tensors.get_mut(output) else { continue };
                if tensor.is_input || tensor.initializer.is_some() || tensor.node.replace(index).is_some() {
                    let name = tensor.name;
                    return Err(Error::format("computed twice").tensor(name).layer(self.label(node)));
                }
            }
        }
        Ok(())
    }

    /// Whether a node's operator is of `ai.onnx.ml`, and of which version.
    pub fn version_of(&self, node: &Node) -> Result<(bool, i64)> {
        if self.functions.contains(&qualified(node.domain, node.op)) {
            return Err(Error::unsupported(
                "an operator that the file itself defines; export the model with its functions inlined",
            ));
        }
        let domain = plain(node.domain);
        let Some(index) = DOMAINS.iter().position(|(known, ..)| *known == domain) else {
            return Err(Error::unsupported(format!(
                "an operator of '{domain}'; nearside knows those of ONNX itself and of {}",
                DOMAINS[1].0
            )));
        };
        let (_, first, last) = DOMAINS[index];
        match self.versions[index] {
            Some(version) if (first..=last).contains(&version) => Ok((index == 1, version)),
            Some(version) => Err(Error::unsupported(format!(
                "operators of version {version}; nearside knows versions {first} to {last}: export with \
                 opset_version={}",
                last.min(17)
            ))),
            None => Err(Error::format(format!("the file does not say which version of '{domain}' it uses"))),
        }
    }
}
