//! From an architecture to a model: every layer becomes one or several of nearside's, models are dissolved into the
//! graph that calls them.

use super::{
    architecture::{Architecture, LayerWeights, WeightSource, is_learnt},
    compose::{Composer, Source, Wire, check_shape},
    given,
    graph::{self, Call},
    layer::Content,
    network::Network,
    operation,
    place::{self, Place},
    spec::{Masking, Spec, Weights, Wrapping},
};
use crate::{Error, Layer, LayerKind, Model, Node, Result, format::names::Names};

/// Calls of layers in a model with what they are given, those in nested models as often as they are called: a short text
/// can ask for more than any machine holds.
const MOST_CALLS: usize = 1 << 17;

/// Shapes of inputs that one layer is called on.
const MOST_SHAPES: usize = 256;

/// Positions that all slices and repetitions of a model may list.
const MOST_POSITIONS: usize = 1 << 20;

struct Builder<'a, 'b> {
    listed: &'a [LayerWeights],
    weights: &'a mut WeightSource<'b>,
    /// What has become of each layer.
    made: Vec<Vec<Expansion>>,
    /// What has become of its weights.
    places: Vec<Vec<Place>>,
    names: Names,
    layers: Vec<Layer>,
    nodes: Vec<Node>,
    results: Vec<Outcome>,
    calls_left: usize,
    positions_left: usize,
}

/// The layers that compute one of Keras's, on inputs of certain shapes.
struct Expansion {
    shapes: Vec<Vec<usize>>,
    /// Indices of layers, with what each is called on.
    steps: Vec<(usize, Vec<Source>)>,
    result: Source,
}

/// What a node computes.
struct Outcome {
    shape: Vec<usize>,
    /// Whether Keras would carry a mask along.
    masked: bool,
    /// Whether its numbers wrap around in Keras.
    wraps: bool,
}

/// The model, and for each listed layer where its weights are.
pub(super) fn model(
    architecture: &Architecture,
    weights: &mut WeightSource,
) -> Result<(Model, Vec<Vec<Place>>)> {
    let listed = architecture.layers();
    let mut names = Names::default();
    for layer in listed {
        let name = layer.name();
        if names.unique(&name) != name {
            return Err(Error::unsupported(
                "layers of nested models have the same names, joined by '/', as others; rename them",
            ));
        }
    }
    let mut builder = Builder {
        listed,
        weights,
        made: listed.iter().map(|_| Vec::new()).collect(),
        places: listed.iter().map(|_| Vec::new()).collect(),
        names,
        layers: Vec::new(),
        nodes: Vec::new(),
        results: Vec::new(),
        calls_left: MOST_CALLS,
        positions_left: MOST_POSITIONS,
    };
    let network = &architecture.network;
    let inputs = builder.inputs(network)?;
    let outputs = builder.network(network, &inputs)?;
    let model = Model {
        name: network.name.clone(),
        layers: builder.layers,
        nodes: builder.nodes,
        outputs,
        batched: true,
        compiled: None,
    };
    model.shapes()?;
    Ok((model, builder.places))
}

impl Builder<'_, '_> {
    /// The nodes of the model's own inputs.
    fn inputs(&mut self, network: &Network) -> Result<Vec<usize>> {
        let mut nodes = Vec::new();
        for call in network.calls.iter().take(network.inputs) {
            let entry = network.entries.get(call.layer);
            let entry = entry.ok_or_else(|| Error::format("an input that is not there"))?;
            let kind =
                LayerKind::Input { shape: given::known_shape(entry).map_err(|e| e.layer(&entry.name))? };
            let shape = kind.output_shape(&[]).and_then(|shape| check_shape(&shape).map(|()| shape));
            let shape = shape.map_err(|error| error.layer(&entry.name))?;
            self.layers.push(Layer::new(&entry.name, kind));
            let wraps = matches!(entry.content, Content::Layer(Spec::Input(_, true), _));
            let outcome = Outcome { shape, masked: false, wraps };
            nodes.push(self.node(self.layers.len() - 1, Vec::new(), outcome));
        }
        Ok(nodes)
    }

    fn node(&mut self, layer: usize, inputs: Vec<usize>, outcome: Outcome) -> usize {
        self.nodes.push(Node { layer, inputs });
        self.results.push(outcome);
        self.nodes.len() - 1
    }

    /// Calls a model on the results of nodes. Recurses as deep as the JSON did, which its parser bounds.
    fn network(&mut self, network: &Network, given: &[usize]) -> Result<Vec<usize>> {
        if given.len() != network.inputs {
            let (needed, given) = (network.inputs, given.len());
            return Err(Error::format(format!("takes {needed} inputs, {given} given")));
        }
        let mut results: Vec<Vec<usize>> = Vec::with_capacity(network.calls.len());
        for (index, call) in network.calls.iter().enumerate() {
            self.calls_left = self.calls_left.checked_sub(1 + call.arguments.len()).ok_or_else(|| {
                Error::unsupported(format!("the layers are called on more than {MOST_CALLS} inputs"))
            })?;
            let entry = network.entries.get(call.layer).ok_or_else(|| Error::format("a call of no layer"))?;
            let result = match &entry.content {
                Content::Layer(Spec::Input(declared, _), _) => {
                    self.given(declared.as_deref(), given.get(index).copied())
                }
                Content::Layer(spec, layer) => self.layer(spec, *layer, call, &results),
                Content::Model(inner) => self.nested(inner, call, &results),
            };
            results.push(result.map_err(|error| error.layer(&entry.name))?);
        }
        network.outputs.iter().map(|output| result(&results, *output)).collect()
    }

    /// What a model is given for an input, of the shape that it declares.
    fn given(&self, declared: Option<&[Option<usize>]>, node: Option<usize>) -> Result<Vec<usize>> {
        let node = node.ok_or_else(|| Error::format("an input that nothing is given for"))?;
        let shape = self.results.get(node).map_or(&[][..], |result| &result.shape);
        given::check(declared, shape).map(|()| vec![node])
    }

    fn nested(&mut self, network: &Network, call: &Call, results: &[Vec<usize>]) -> Result<Vec<usize>> {
        let mut given = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            match argument {
                graph::Argument::Value(value) => given.push(result(results, *value)?),
                graph::Argument::Constant(_) => return Err(Error::unsupported("called on a constant")),
            }
        }
        if call.masked {
            for &node in &given {
                if let Some(result) = self.results.get_mut(node) {
                    result.masked = true;
                }
            }
        }
        if !call.keys.is_empty() && !network.keyed {
            given = given::by_name(network, &call.keys, &given)?;
        }
        self.network(network, &given)
    }

    fn layer(
        &mut self,
        spec: &Spec,
        layer: usize,
        call: &Call,
        results: &[Vec<usize>],
    ) -> Result<Vec<usize>> {
        let (mut arguments, mut nodes, mut masked) = (Vec::new(), Vec::new(), call.masked);
        let mut wraps = true;
        for argument in &call.arguments {
            arguments.push(match argument {
                graph::Argument::Constant(value) => {
                    wraps &= !operation::is_float(value);
                    operation::Argument::Constant(value.clone())
                }
                graph::Argument::Value(value) => {
                    let node = result(results, *value)?;
                    let outcome = self.results.get(node);
                    masked |= outcome.is_some_and(|outcome| outcome.masked);
                    wraps &= outcome.is_some_and(|outcome| outcome.wraps);
                    let shape = outcome.map(|outcome| outcome.shape.clone()).unwrap_or_default();
                    nodes.push(node);
                    operation::Argument::Value(Wire { source: Source::Input(nodes.len() - 1), shape })
                }
            });
        }
        let masked = match spec.masking() {
            Masking::Uses if masked => {
                return Err(Error::unsupported(
                    "is given the mask of an Embedding(mask_zero=True) and leaves masked values out, which nearside \
                     does not; rebuild the model without mask_zero",
                ));
            }
            Masking::Uses | Masking::Drops => false,
            Masking::Makes => true,
            Masking::Passes => masked,
        };
        let wraps = match spec.wrapping() {
            Wrapping::Suffers if wraps && !nodes.is_empty() => {
                return Err(Error::unsupported(
                    "computes with truth values or narrow integers, which Keras does in their type; make floats of \
                     them first",
                ));
            }
            Wrapping::Suffers | Wrapping::Ends => false,
            Wrapping::Makes => true,
            Wrapping::Keeps => wraps,
        };
        let expansion = self.expansion(spec, layer, arguments)?;
        self.replay(layer, expansion, &nodes, [masked, wraps]).map(|node| vec![node])
    }

    /// The layers that compute this one: those of an earlier call, or new ones.
    fn expansion(&mut self, spec: &Spec, layer: usize, arguments: Vec<operation::Argument>) -> Result<usize> {
        let listed: &LayerWeights =
            self.listed.get(layer).ok_or_else(|| Error::format("a layer that is not listed"))?;
        let has_weights = !listed.names.is_empty();
        let shapes: Vec<Vec<usize>> = arguments.iter().filter_map(shape).map(<[usize]>::to_vec).collect();
        let constant = shapes.len() < arguments.len();
        let earlier = self.made.get(layer).map_or(&[][..], Vec::as_slice);
        // Constants differ from call to call. A single layer takes what shapes it may.
        let same = |earlier: &Expansion| {
            !constant && (earlier.shapes == shapes || has_weights && earlier.steps.len() == 1)
        };
        if let Some(index) = earlier.iter().position(same) {
            return Ok(index);
        }
        if has_weights && !earlier.is_empty() {
            return Err(Error::unsupported(format!(
                "called on inputs of different shapes, {:?} and {shapes:?}",
                earlier.first().map(|earlier| &earlier.shapes)
            )));
        }
        let index = earlier.len();
        if index >= MOST_SHAPES {
            return Err(Error::unsupported(format!("called on inputs of more than {MOST_SHAPES} shapes")));
        }
        let mut composer = Composer::default();
        let mut needed = Vec::new();
        let value = match spec {
            Spec::Operation(operation) => operation.expand(&mut composer, arguments)?,
            spec => {
                let values: Vec<Wire> = arguments.into_iter().filter_map(value).collect();
                needed = weight_shapes(spec, listed, &values)?;
                let weights = self.weights_of(listed, &needed)?;
                spec.expand(&mut composer, values, weights)?
            }
        };
        for step in &composer.steps {
            if let LayerKind::Gather { indices, .. } = &step.kind {
                self.positions_left = self.positions_left.checked_sub(indices.len()).ok_or_else(|| {
                    Error::unsupported(format!(
                        "slices and repetitions of more than {MOST_POSITIONS} positions"
                    ))
                })?;
            }
        }
        self.keep(listed, composer, shapes, value.source, needed);
        Ok(index)
    }

    fn weights_of(
        &mut self,
        listed: &LayerWeights,
        needed: &[(&'static str, Vec<usize>)],
    ) -> Result<Weights> {
        if needed.is_empty() {
            return Ok(Weights(Vec::new()));
        }
        let shapes: Vec<Vec<usize>> = needed.iter().map(|(_, shape)| shape.clone()).collect();
        let tensors = (self.weights)(listed, &shapes)?;
        if tensors.len() != needed.len() {
            return Err(Error::format(format!("{} weights, {} needed", tensors.len(), needed.len())));
        }
        Ok(Weights(needed.iter().map(|(name, _)| *name).zip(tensors).collect()))
    }

    /// Makes layers of the steps. The one with the result has the layer's own name.
    fn keep(
        &mut self,
        listed: &LayerWeights,
        composer: Composer,
        shapes: Vec<Vec<usize>>,
        result: Source,
        weights: Vec<(&'static str, Vec<usize>)>,
    ) {
        let name = listed.name();
        let first = self.layers.len();
        let is_first = self.made.get(listed.index).is_some_and(Vec::is_empty);
        let learns = listed.names.iter().any(|name| is_learnt(name));
        let mut steps = Vec::with_capacity(composer.steps.len());
        for (index, step) in composer.steps.into_iter().enumerate() {
            let name = match result {
                Source::Step(step) if step == index && is_first => name.clone(),
                _ => self.names.unique(&format!("{name}/{}", step.kind.type_name().to_ascii_lowercase())),
            };
            // Normalisations learn their rescaling; that of a preprocessing layer is given.
            let trainable = listed.trainable && (learns || !matches!(step.kind, LayerKind::Rescaling { .. }));
            self.layers.push(Layer { trainable, ..Layer::new(name, step.kind) });
            steps.push((self.layers.len() - 1, step.inputs));
        }
        if let Some(made) = self.made.get_mut(listed.index) {
            made.push(Expansion { shapes, steps, result });
        }
        let own = self.layers.get(first..).unwrap_or_default();
        let places: Vec<Place> =
            weights.into_iter().map(|(name, shape)| Place::find(name, shape, own, first)).collect();
        let output = match result {
            Source::Step(step) => Some(first + step),
            Source::Input(_) => None,
        };
        place::penalise(&mut self.layers, &listed.penalties, &places, output);
        // An operation, of which there may be several, has no weights.
        if let Some(all) = self.places.get_mut(listed.index) {
            all.extend(places);
        }
    }

    /// Calls the layers of an expansion on nodes.
    fn replay(
        &mut self,
        layer: usize,
        expansion: usize,
        inputs: &[usize],
        [masked, wraps]: [bool; 2],
    ) -> Result<usize> {
        let missing = || Error::format("a step on what is not there");
        let expansion = self.made.get(layer).and_then(|made| made.get(expansion)).ok_or_else(missing)?;
        let (steps, result) = (expansion.steps.clone(), expansion.result);
        let mut made = Vec::with_capacity(steps.len());
        let find = |made: &[usize], source: Source| match source {
            Source::Input(index) => inputs.get(index).copied(),
            Source::Step(index) => made.get(index).copied(),
        };
        for (layer, sources) in steps {
            let nodes: Option<Vec<usize>> = sources.iter().map(|source| find(&made, *source)).collect();
            let nodes = nodes.ok_or_else(missing)?;
            let shapes: Option<Vec<&[usize]>> =
                nodes.iter().map(|&node| self.results.get(node).map(|result| &result.shape[..])).collect();
            let kind = self.layers.get(layer).map(|layer| &layer.kind).ok_or_else(missing)?;
            let shape = kind.output_shape(&shapes.ok_or_else(missing)?)?;
            check_shape(&shape)?;
            made.push(self.node(layer, nodes, Outcome { shape, masked, wraps }));
        }
        find(&made, result).ok_or_else(missing)
    }
}

/// What a layer's weights are called that a prediction needs, and their shapes.
fn weight_shapes(
    spec: &Spec,
    listed: &LayerWeights,
    values: &[Wire],
) -> Result<Vec<(&'static str, Vec<usize>)>> {
    let mut shapes = Vec::new();
    for &name in &listed.names {
        if let Some(shape) = spec.weight_shape(name, values)? {
            check_shape(&shape)?;
            shapes.push((name, shape));
        }
    }
    Ok(shapes)
}

fn shape(argument: &operation::Argument) -> Option<&[usize]> {
    match argument {
        operation::Argument::Value(value) => Some(&value.shape),
        operation::Argument::Constant(_) => None,
    }
}

fn value(argument: operation::Argument) -> Option<Wire> {
    match argument {
        operation::Argument::Value(value) => Some(value),
        operation::Argument::Constant(_) => None,
    }
}

/// The node of a call's result.
fn result(results: &[Vec<usize>], reference: graph::Reference) -> Result<usize> {
    let node = results.get(reference.call).and_then(|results| results.get(reference.output));
    node.copied().ok_or_else(|| Error::format("a result that is not there"))
}
