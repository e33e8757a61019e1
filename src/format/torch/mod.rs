//! safetensors of other tools: weights without an architecture, which the option `config` gives.
//!
//! For weights that are named `LAYER/kernel` it is Keras's `model.to_json()`. For a PyTorch `state_dict()` it is the list
//! of the modules in an [`nn.Sequential`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html):
//!
//! ```json
//! { "input": [28, 28], "layers": ["Flatten", "Linear", "ReLU", { "type": "Dropout", "p": 0.2 }, "Linear"] }
//! ```
//!
//! A module is its class in PyTorch, with the arguments of its constructor where they are not the defaults. The weights
//! of the module at position i are `i.weight`, `i.bias` and so on, behind a prefix that all share, such as `layers.`;
//! `{ "type": "Linear", "name": "fc1" }` takes `fc1.weight` instead. `input` is the shape of a sample; it may be left
//! out where the first weights tell.

mod module;
mod suggest;

use super::{
    json::{Object, Value},
    keras,
    safetensors::File,
};
use crate::{Error, Layer, LayerKind, Model, Result};
use module::Module;

const CONFIG: &str = "the option 'config'";

/// The tensors of a file, their shapes with their names, in the names' order.
struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn get(&self, name: &str) -> Option<&[usize]> {
        let index = self.0.binary_search_by(|(own, _)| own.as_str().cmp(name)).ok()?;
        self.0.get(index).map(|(_, shape)| shape.as_slice())
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }
}

/// Reads a safetensors file without an architecture.
///
/// # Errors
/// `Format` for damaged bytes, `Unsupported` where the architecture is missing or has something that nearside does not
/// run, `Shape` for weights that do not fit it.
pub fn read(bytes: &[u8], config: Option<&str>) -> Result<Model> {
    let mut file = File::read(&bytes)?;
    let shapes = Shapes(file.left().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect());
    let Some(config) = config else { return Err(suggest::without_architecture(&shapes)) };
    let value = Value::parse(config.as_bytes(), CONFIG)?;
    if matches!(&value, Value::Object(object) if object.fields().iter().any(|(name, _)| name == "class_name"))
    {
        let names = shapes.names().cloned().collect();
        return keras::read_named(config, None, names, &mut |name| file.take(name));
    }
    let model = sequential(value, &shapes, &mut file)?;
    // BatchNorm1d counts the steps of training.
    match file.left().find(|(name, _)| !name.ends_with(".num_batches_tracked")) {
        None => Ok(model),
        Some((name, _)) => {
            let message = format!("no module in 'config' takes this tensor{}", suggest::example(&shapes));
            Err(Error::format(message).tensor(name))
        }
    }
}

fn sequential(config: Value, shapes: &Shapes, file: &mut File) -> Result<Model> {
    let mut fields = Object::new(config, CONFIG)?;
    let prefix = prefix(shapes);
    let mut modules = Vec::new();
    for (index, value) in fields.list("layers")?.into_iter().enumerate() {
        modules.push(Module::new(value, index, prefix.as_deref())?);
    }
    let input = match fields.take_optional("input") {
        Some(input) => Object::new(Value::object([("input", input)]), CONFIG)?.sizes("input")?,
        None => vec![width(&modules, shapes).ok_or_else(|| {
            Error::value("the shape of a sample is not known; add it to 'config', such as \"input\": [784]")
        })?],
    };
    fields.finish()?;
    let mut layers = vec![Layer::new("input", LayerKind::Input { shape: input.clone() })];
    let mut shape = input;
    for (index, module) in modules.into_iter().enumerate() {
        let name = module.layer_name(index);
        let read = || {
            let kinds = module.read(file, shapes, &shape)?;
            let last = kinds.len();
            for (index, kind) in kinds.into_iter().enumerate() {
                shape = kind.output_shape(&[&shape])?;
                // A module that is two layers: its name goes with its weights.
                let name = if index + 1 == last { name.clone() } else { format!("{name}.normalize") };
                layers.push(Layer::new(name, kind));
            }
            Ok(())
        };
        read().map_err(|error: Error| error.layer(&name))?;
    }
    Model::sequential("model", layers)
}

/// What stands in front of the positions in the tensors' names; `None` where that is not one and the same.
fn prefix(shapes: &Shapes) -> Option<String> {
    let prefix = |name: &String| {
        let (module, _) = name.rsplit_once('.')?;
        let position = module.rsplit('.').next()?;
        position.parse::<u32>().ok()?;
        module.strip_suffix(position).map(str::to_string)
    };
    let mut found = shapes.names().filter_map(prefix);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The values of a sample that the first weights take, if only what leaves their number alone comes before.
fn width(modules: &[Module], shapes: &Shapes) -> Option<usize> {
    for module in modules {
        let shape = |weight: &str| shapes.get(&module.weight(weight));
        match module.class.as_str() {
            "Linear" => return shape("weight")?.get(1).copied(),
            "BatchNorm1d" => return shape("running_mean")?.first().copied(),
            "LayerNorm" | "RMSNorm" => return shape("weight")?.first().copied(),
            "Embedding" | "Unflatten" | "GLU" => return None,
            _ => {}
        }
    }
    None
}
