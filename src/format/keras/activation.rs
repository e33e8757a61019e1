//! Activations in the notations of Keras 1 to 3.
//!
//! A function of Keras's own is its name, or `{"class_name": "function", "config": NAME}`; a layer used as an activation
//! is `{"class_name": "LeakyReLU", "config": {…}}`.

use super::{
    KerasVersion,
    fields::{Fields, brief},
    layer,
};
use crate::format::json::Value;
use crate::{Activation, Elementwise, Error, Result, Rowwise};

/// An `activation` option: linear where there is none.
pub(super) fn read(value: Option<Value>, version: KerasVersion) -> Result<Activation> {
    match value {
        None => Ok(Activation::LINEAR),
        Some(Value::String(name)) => by_name(&name, version),
        Some(object @ Value::Object(_)) => by_object(object, version),
        Some(other) => Err(Error::format(format!("'activation' is {}, a name is needed", brief(&other)))),
    }
}

fn by_name(name: &str, version: KerasVersion) -> Result<Activation> {
    if name == "hard_sigmoid" && version < KerasVersion::THREE {
        // clip(0.2 x + 0.5): Keras 3 changed it to relu6(x + 3) / 6.
        return Ok(Activation::Elementwise(Elementwise::HardSigmoid { slope: 0.2, offset: 0.5 }));
    }
    Activation::from_name(name).ok_or_else(|| custom(name))
}

fn by_object(object: Value, version: KerasVersion) -> Result<Activation> {
    let mut fields = Fields::new(object, "an activation")?;
    let class = layer::class(&mut fields)?.name;
    let config = fields.take("config");
    fields.done()?;
    match config {
        Some(Value::String(name)) if class == "function" => by_name(&name, version),
        Some(config @ Value::Object(_)) => {
            let mut fields = Fields::new(config, format!("the activation {class}"))?;
            layer::skip_common(&mut fields, false)?;
            let activation = by_layer(&class, &mut fields, version)?.ok_or_else(|| custom(&class))?;
            fields.done()?;
            Ok(activation)
        }
        _ => Err(custom(&class)),
    }
}

/// The function that an activation layer computes; `None` where the class is no activation layer.
pub(super) fn by_layer(
    class: &str,
    fields: &mut Fields,
    version: KerasVersion,
) -> Result<Option<Activation>> {
    let function = match class {
        "Activation" => return read(fields.take("activation"), version).map(Some),
        "Softmax" => return softmax(fields).map(Some),
        "ReLU" => Elementwise::Relu {
            max_value: fields.number("max_value")?,
            negative_slope: fields.number("negative_slope")?.unwrap_or(0.0),
            threshold: fields.number("threshold")?.unwrap_or(0.0),
        },
        "LeakyReLU" => {
            // Keras 1 and 2 call it alpha.
            let slope = fields.number("negative_slope")?.or(fields.number("alpha")?);
            Elementwise::Relu { max_value: None, negative_slope: slope.unwrap_or(0.3), threshold: 0.0 }
        }
        // Up to Keras 2.
        "ThresholdedReLU" => {
            Elementwise::Threshold { threshold: fields.number("theta")?.unwrap_or(1.0), value: 0.0 }
        }
        "ELU" => Elementwise::Elu { alpha: fields.number("alpha")?.unwrap_or(1.0) },
        _ => return Ok(None),
    };
    Ok(Some(Activation::Elementwise(function)))
}

fn softmax(fields: &mut Fields) -> Result<Activation> {
    // Tells how a mask is applied, and there is none.
    fields.skip(&["robust_masking"]);
    let axis = fields.take("axis").unwrap_or(Value::from(-1i64));
    let last = match &axis {
        Value::Array(axes) => matches!(axes.as_slice(), [axis] if axis == &Value::from(-1i64)),
        axis => axis == &Value::from(-1i64),
    };
    if !last {
        return Err(Error::unsupported(format!(
            "Softmax along axis {} is not supported, only along the last one: axis=-1",
            brief(&axis)
        )));
    }
    Ok(Activation::Rowwise(Rowwise::Softmax))
}

fn custom(name: &str) -> Error {
    Error::unsupported(format!(
        "the activation '{name}' is none of Keras's own; nearside runs those of https://keras.io/api/layers/activations"
    ))
}
