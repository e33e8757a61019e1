//! What models are given for their inputs.

use super::{
    graph::Call,
    layer::{Content, Entry},
    network::Network,
    spec::Spec,
};
use crate::{Error, Result};

/// Fails where an input is given another shape than it declares.
pub(super) fn check(declared: Option<&[Option<usize>]>, given: &[usize]) -> Result<()> {
    let Some(declared) = declared else { return Ok(()) };
    let fits = declared.len() == given.len()
        && declared.iter().zip(given).all(|(declared, given)| declared.is_none_or(|length| length == *given));
    match fits {
        true => Ok(()),
        false => {
            let given: Vec<Option<usize>> = given.iter().copied().map(Some).collect();
            let (declared, given) = (spelled(declared), spelled(&given));
            Err(Error::shape(format!("takes the shape {declared}, {given} is given")))
        }
    }
}

/// What is given by keys, in the order of a model's inputs.
pub(super) fn by_name(network: &Network, keys: &[String], given: &[usize]) -> Result<Vec<usize>> {
    let input = |call: &Call| {
        let name = &network.entries.get(call.layer)?.name;
        given.get(keys.iter().position(|key| key == name)?).copied()
    };
    let found: Option<Vec<usize>> = network.calls.iter().take(network.inputs).map(input).collect();
    found.filter(|_| keys.len() == given.len()).ok_or_else(|| {
        Error::unsupported(format!("called on a dictionary whose keys {keys:?} are not the inputs' names"))
    })
}

/// The shape of an input, which has to be known for the model's own.
pub(super) fn known_shape(entry: &Entry) -> Result<Vec<usize>> {
    let Content::Layer(Spec::Input(Some(shape), _), _) = &entry.content else {
        return Err(Error::unsupported(
            "the file does not tell the model's input shape; call the model once before saving it, or start it with \
             keras.Input(shape)",
        ));
    };
    shape.iter().copied().collect::<Option<_>>().ok_or_else(|| {
        Error::unsupported(format!(
            "the input shape {} leaves an axis besides the batch open; save the model with all others fixed",
            spelled(shape)
        ))
    })
}

/// A shape as Keras writes it, with that of the batch.
fn spelled(shape: &[Option<usize>]) -> String {
    let mut text = "[null".to_string();
    for length in shape {
        text.push(',');
        text.push_str(&length.map_or("null".to_string(), |length| length.to_string()));
    }
    text + "]"
}
