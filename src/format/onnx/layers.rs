//! The layers of a model as it grows.

use super::tensor::MAX_RANK;
use crate::{
    Activation, Error, Layer, LayerKind, Model, Node, Result,
    format::table::{Names, Table},
    tensor::element_count,
};

/// Layers in an order in which each follows those it takes its inputs from.
pub(super) struct Layers<'a> {
    list: Vec<Called>,
    /// Those that compute the model's outputs.
    outputs: Vec<usize>,
    /// Names of the file's tensors, which layers get or leave alone.
    given: &'a Table<usize>,
    /// Names of layers that are not in the file.
    names: Names,
}

/// A layer, which is called once.
struct Called {
    layer: Layer,
    inputs: Vec<usize>,
    shape: Vec<usize>,
    is_output: bool,
}

impl Called {
    fn is_input(&self) -> bool {
        matches!(self.layer.kind, LayerKind::Input { .. })
    }
}

impl<'a> Layers<'a> {
    /// No layers, with names beside these.
    pub fn new(given: &'a Table<usize>) -> Self {
        Self { list: Vec::new(), outputs: Vec::new(), given, names: Names::default() }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Shape of a layer's result.
    pub fn shape(&self, layer: usize) -> &[usize] {
        self.list.get(layer).map_or(&[], |layer| &layer.shape)
    }

    /// What a layer computes, and the layers it takes its inputs from.
    pub fn get(&self, layer: usize) -> Option<(&LayerKind, &[usize])> {
        self.list.get(layer).map(|called| (&called.layer.kind, &*called.inputs))
    }

    /// Adds a layer. It is named when its operator is done.
    pub fn push(&mut self, kind: LayerKind, inputs: Vec<usize>) -> Result<usize> {
        let mut shapes = Vec::with_capacity(inputs.len());
        for &input in &inputs {
            shapes.push(self.shape(input));
        }
        let shape = kind.output_shape(&shapes)?;
        if shape.len() > MAX_RANK || element_count(&shape)? == 0 {
            return Err(Error::unsupported(format!("computes a tensor of shape {shape:?}")));
        }
        let layer = Layer::new(String::new(), kind);
        self.list.push(Called { layer, inputs, shape, is_output: false });
        Ok(self.list.len() - 1)
    }

    /// Names the layers from `start` on: those that compute an operator's outputs after them.
    pub fn name(&mut self, start: usize, outputs: &[(&str, Option<usize>)]) {
        let mut base = "";
        for &(name, layer) in outputs {
            if base.is_empty() {
                base = name;
            }
            if let Some(layer) = layer {
                self.name_unnamed(layer, name);
            }
        }
        let base = if base.is_empty() { "layer" } else { base };
        for index in start..self.list.len() {
            if self.list.get(index).is_some_and(|called| called.layer.name.is_empty()) {
                let name = self.fresh(base);
                self.name_unnamed(index, &name);
            }
        }
    }

    fn name_unnamed(&mut self, layer: usize, name: &str) {
        if let Some(Called { layer, .. }) = self.list.get_mut(layer)
            && layer.name.is_empty()
        {
            layer.name = name.to_string();
        }
    }

    /// A name that nothing has yet.
    fn fresh(&mut self, base: &str) -> String {
        let mut number = 0usize;
        // Each attempt but the last finds a name of the file or of a layer, so this ends.
        loop {
            number += 1;
            let name = format!("{base}/{number}");
            if !self.given.contains(&name) && !self.names.contains(&name) {
                self.names.insert(name.clone(), ());
                return name;
            }
        }
    }

    /// Makes a layer compute the model's next output, of that name.
    pub fn output(&mut self, mut layer: usize, name: &str) -> Result<()> {
        let mut name = name.to_string();
        if let Some(called) = self.list.get(layer)
            && (called.is_output || called.is_input())
        {
            let has_name = called.layer.name == name;
            layer = self.push(LayerKind::Activation(Activation::LINEAR), vec![layer])?;
            if has_name {
                name = self.fresh(&name);
            }
        }
        if let Some(called) = self.list.get_mut(layer) {
            called.layer.name = name;
            called.is_output = true;
        }
        self.outputs.push(layer);
        Ok(())
    }

    /// The model of the outputs: without layers that none of them needs, except inputs.
    pub fn finish(self, name: &str, batched: bool) -> Result<Model> {
        let mut needed = vec![false; self.list.len()];
        for (index, called) in self.list.iter().enumerate().rev() {
            if called.is_output || called.is_input() {
                mark(&mut needed, index);
            }
            if needed.get(index) == Some(&true) {
                called.inputs.iter().for_each(|&input| mark(&mut needed, input));
            }
        }
        let mut model = Model {
            name: if name.is_empty() { "model" } else { name }.to_string(),
            layers: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
            batched,
            compiled: None,
        };
        // Where each layer is in the model.
        let mut places = Vec::with_capacity(needed.len());
        let at = |places: &[usize], layer: usize| places.get(layer).copied().unwrap_or(0);
        for (Called { layer, inputs, .. }, needed) in self.list.into_iter().zip(needed) {
            places.push(model.layers.len());
            if needed {
                let inputs = inputs.iter().map(|&input| at(&places, input)).collect();
                model.nodes.push(Node { layer: model.layers.len(), inputs });
                model.layers.push(layer);
            }
        }
        model.outputs = self.outputs.iter().map(|&output| at(&places, output)).collect();
        model.shapes()?;
        Ok(model)
    }
}

fn mark(needed: &mut [bool], layer: usize) {
    if let Some(needed) = needed.get_mut(layer) {
        *needed = true;
    }
}
