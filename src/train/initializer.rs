//! New models: layers by their options, with first weights that are drawn as Keras draws them
//! (<https://keras.io/api/layers/initializers/>).

use super::{prepare::fans, random::Random};
use crate::{
    Error, Layer, Model, Node, Result, Tensor,
    compile::config::{class_of, optional},
    format::{
        container::{Weights, kind},
        json::{Object, Value},
    },
    layer::Penalty,
    tensor::{element_count, zeroed},
};

/// Makes a model of `{ name, layers, nodes, outputs }`, as in a [container](crate::format::container), but with options
/// in the place of weights, by Keras's names: `{ "name": "hidden", "type": "Dense", "units": 64, "activation": "relu",
/// "use_bias": true, "kernel_initializer": "glorot_uniform", "kernel_regularizer": { "l2": 0.01 }, "trainable": true }`.
///
/// # Errors
/// `Value` and `Unsupported` for options that nearside does not have, `Shape` for layers that do not fit, naming the layer.
pub fn build(text: &str, seed: u64) -> Result<Model> {
    let mut fields = Object::new(Value::parse(text.as_bytes(), "the model")?, "the model")?;
    let mut nodes = Vec::new();
    for value in fields.list("nodes")? {
        let mut fields = Object::new(value, "a node")?;
        nodes.push(Node { layer: fields.size("layer")?, inputs: fields.sizes("inputs")? });
    }
    let mut options: Vec<Option<Value>> = fields.list("layers")?.into_iter().map(Some).collect();
    let mut layers: Vec<Option<Layer>> = options.iter().map(|_| None).collect();
    let mut random = Random::new(seed);
    let mut shapes: Vec<Vec<usize>> = vec![];
    for node in &nodes {
        let inputs: Option<Vec<&[usize]>> =
            node.inputs.iter().map(|&input| shapes.get(input).map(Vec::as_slice)).collect();
        let inputs = inputs.ok_or_else(|| Error::value("a layer is called on a value of another model"))?;
        if let Some(own) = options.get_mut(node.layer).and_then(Option::take) {
            layers[node.layer] = Some(layer(own, inputs.first().copied().unwrap_or_default(), &mut random)?);
        }
        let Some(Some(layer)) = layers.get(node.layer) else {
            return Err(Error::value("a layer is missing"));
        };
        let shape = layer.kind.output_shape(&inputs).map_err(|error| error.layer(&layer.name))?;
        shapes.push(shape);
    }
    let model = Model {
        name: fields.string("name")?,
        layers: layers.into_iter().flatten().collect(),
        nodes,
        outputs: fields.sizes("outputs")?,
        batched: true,
        compiled: None,
    };
    fields.finish()?;
    model.shapes()?;
    Ok(model)
}

/// A layer that is first called on values of this shape.
fn layer(options: Value, input: &[usize], random: &mut Random) -> Result<Layer> {
    let mut fields = Object::new(options, "a layer")?;
    let (name, class) = (fields.string("name")?, fields.string("type")?);
    let make = || {
        let trainable = fields.take_optional("trainable") != Some(Value::Bool(false));
        let (weights, penalties) = weights(&class, &mut fields, input, random)?;
        if class == "Dense" || class == "Activation" {
            let named = match fields.take_optional("activation") {
                None | Some(Value::Null) => Value::object([("name", "linear".into())]),
                Some(Value::String(name)) => Value::object([("name", name.as_str().into())]),
                Some(activation) => activation,
            };
            fields.set("activation", named);
        }
        let kind = kind(&class, fields, Weights(weights))?;
        Ok(Layer { name: name.clone(), kind, trainable, penalties })
    };
    make().map_err(|error: Error| error.layer(&name))
}

type Named = Vec<(String, Tensor)>;

/// The first weights of a layer, and what they add to the loss.
fn weights(
    class: &str,
    fields: &mut Object,
    input: &[usize],
    random: &mut Random,
) -> Result<(Named, Vec<Penalty>)> {
    let last = input.last().copied().unwrap_or(1);
    let is = |fields: &mut Object, name: &str| fields.take_optional(name) != Some(Value::Bool(false));
    // Each with the name that its options begin with, its shape and its default.
    let wanted: Vec<(&str, Vec<usize>, &str)> = match class {
        "Dense" => {
            let units = positive(fields, "units")?;
            let bias = is(fields, "use_bias").then(|| ("bias", vec![units], "zeros"));
            [("kernel", vec![last, units], "glorot_uniform")].into_iter().chain(bias).collect()
        }
        "BatchNormalization" | "LayerNormalization" => {
            let gamma = is(fields, "scale").then(|| ("gamma", vec![last], "ones"));
            let beta = is(fields, "center").then(|| ("beta", vec![last], "zeros"));
            let moments = [("moving_mean", vec![last], "zeros"), ("moving_variance", vec![last], "ones")];
            let moments = moments.into_iter().filter(|_| class == "BatchNormalization");
            gamma.into_iter().chain(beta).chain(moments).collect()
        }
        "PReLU" => vec![("alpha", input.to_vec(), "zeros")],
        "Embedding" => {
            let (rows, width) = (positive(fields, "input_dim")?, positive(fields, "output_dim")?);
            vec![("embeddings", vec![rows, width], "uniform")]
        }
        _ => vec![],
    };
    let (mut weights, mut penalties) = (vec![], vec![]);
    if class == "Normalization" {
        for weight in ["mean", "variance"] {
            let list = fields.list(weight)?;
            let values: Option<Vec<f32>> =
                list.iter().map(|value| value.as_f64().map(|value| value as f32)).collect();
            let values = values.ok_or_else(|| Error::value(format!("{weight} is not a list of numbers")))?;
            weights.push((weight.to_string(), Tensor::new(vec![values.len()], values)?));
        }
    }
    for (weight, shape, default) in wanted {
        let initializer = fields.take_optional(&format!("{weight}_initializer"));
        let initializer = initializer.filter(|value| *value != Value::Null).unwrap_or(Value::from(default));
        let mut values = zeroed(element_count(&shape)?)?;
        initialize(initializer, &shape, &mut values, random)?;
        weights.push((weight.to_string(), Tensor::new(shape, values)?));
        if let Some(regularizer) = fields.take_optional(&format!("{weight}_regularizer")) {
            penalties.extend(penalty(weight, regularizer)?);
        }
    }
    Ok((weights, penalties))
}

fn positive(fields: &mut Object, name: &str) -> Result<usize> {
    match fields.size(name) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(Error::value(format!("{name} is not a whole number from 1"))),
    }
}

/// Of `{ l1, l2 }`; null for none.
fn penalty(weight: &str, value: Value) -> Result<Option<Penalty>> {
    if value == Value::Null {
        return Ok(None);
    }
    let mut fields = Object::new(value, "a regularizer")?;
    let factor = |fields: &mut Object, name| optional(fields, name).map(|value| value.unwrap_or(0.0) as f32);
    let (l1, l2) = (factor(&mut fields, "l1")?, factor(&mut fields, "l2")?);
    fields.finish()?;
    if [l1, l2].iter().any(|factor| !(*factor >= 0.0 && factor.is_finite())) {
        return Err(Error::value(format!("{weight}_regularizer: l1 or l2 is not a number from 0")));
    }
    Ok(Some(Penalty { weight: weight.to_string(), l1, l2 }))
}

fn initialize(value: Value, shape: &[usize], values: &mut [f32], random: &mut Random) -> Result<()> {
    let (class, mut config) = class_of(value, "an initializer")?;
    let key: String = class.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
    let mut option =
        |name: &str, default: f64| optional(&mut config, name).map(|value| value.unwrap_or(default));
    let [inputs, outputs] = fans(shape)?.map(|fan| fan as f64);
    // By the variance: scale / fan, drawn in one of two ways.
    let (scale, fan, uniform) = match key.as_str() {
        "zeros" => {
            values.fill(0.0);
            return Ok(());
        }
        "ones" => {
            values.fill(1.0);
            return Ok(());
        }
        "constant" => {
            values.fill(option("value", 0.0)? as f32);
            return Ok(());
        }
        "uniform" | "randomuniform" => {
            let (low, high) = (option("minval", -0.05)?, option("maxval", 0.05)?);
            random.uniform(values, low as f32, high as f32);
            return Ok(());
        }
        "normal" | "randomnormal" => {
            let (mean, stddev) = (option("mean", 0.0)?, option("stddev", 0.05)?);
            random.normal(values, mean as f32, stddev as f32);
            return Ok(());
        }
        "truncatednormal" => {
            let (mean, stddev) = (option("mean", 0.0)?, option("stddev", 0.05)?);
            random.truncated_normal(values, mean as f32, stddev as f32);
            return Ok(());
        }
        "glorotuniform" => (1.0, (inputs + outputs) / 2.0, true),
        "glorotnormal" => (1.0, (inputs + outputs) / 2.0, false),
        "heuniform" => (2.0, inputs, true),
        "henormal" => (2.0, inputs, false),
        "lecununiform" => (1.0, inputs, true),
        "lecunnormal" => (1.0, inputs, false),
        _ => {
            return Err(Error::unsupported(format!(
                "the initializer '{class}' is not known; use glorot_uniform, glorot_normal, he_uniform, he_normal, \
                 lecun_uniform, lecun_normal, random_uniform, random_normal, truncated_normal, zeros, ones or constant"
            )));
        }
    };
    let variance = scale / fan.max(1.0);
    if uniform {
        let limit = (3.0 * variance).sqrt() as f32;
        random.uniform(values, -limit, limit);
    } else {
        // What is cut off takes this share of the deviation.
        random.truncated_normal(values, 0.0, (variance.sqrt() / 0.879_625_661_034_239_8) as f32);
    }
    Ok(())
}
