//! Layers that give the same values another shape, and those that pool them.

use super::{
    compose::{Composer, Wire},
    fields::Fields,
    spec::Masking,
};
use crate::{Error, LayerKind, Result, Rowwise, tensor::element_count};

/// Rows that `RepeatVector` may make: what it takes in memory is not bounded by the file.
const MOST_ROWS: usize = 1 << 20;

/// A layer's class with its options.
#[derive(Debug, PartialEq)]
pub(super) enum Shaping {
    /// `data_format='channels_first'` moves the first axis behind the others before.
    Flatten { channels_first: bool },
    /// `None` is the length that is left.
    Reshape { target: Vec<Option<usize>> },
    /// For each axis of the result, the axis it was.
    Permute { axes: Vec<usize> },
    /// The same vector so many times.
    Repeat { times: usize },
    /// One number for each channel.
    Pool { function: Rowwise, axis: usize, keep: bool },
}

impl Shaping {
    /// `None` where the class is none of these.
    pub(super) fn read(class: &str, config: &mut Fields) -> Result<Option<Self>> {
        Ok(Some(match class {
            "Flatten" => Self::Flatten { channels_first: channels_first(config)? },
            "Reshape" => {
                let target = config.sizes_or_rest("target_shape")?;
                Self::Reshape { target: config.required("target_shape", target)? }
            }
            "Permute" => {
                let dims = config.sizes("dims")?;
                let dims = config.required("dims", dims)?;
                // They count from 1.
                let axes = dims.iter().map(|dim| dim.checked_sub(1)).collect::<Option<_>>();
                Self::Permute { axes: axes.ok_or_else(|| Error::format("Permute: 'dims' has the batch"))? }
            }
            "RepeatVector" => {
                let times = config.count("n")?;
                Self::Repeat { times: config.required("n", times)? }
            }
            "GlobalAveragePooling1D" | "GlobalMaxPooling1D" => Self::Pool {
                function: if class.contains("Max") { Rowwise::Max } else { Rowwise::Mean },
                axis: usize::from(channels_first(config)?),
                keep: config.flag("keepdims")?.unwrap_or(false),
            },
            _ => return Ok(None),
        }))
    }

    pub(super) fn expand(&self, composer: &mut Composer, input: Wire) -> Result<Wire> {
        let kind = match self {
            Self::Flatten { channels_first } => {
                let rank = input.shape.len();
                let input = match channels_first {
                    true => composer.permute(input, (1..rank).chain((rank > 0).then_some(0)).collect())?,
                    false => input,
                };
                return composer.apply(LayerKind::Flatten, &[&input]);
            }
            Self::Reshape { target } => LayerKind::Reshape { shape: reshaped(&input.shape, target)? },
            Self::Permute { axes } => LayerKind::Permute { axes: axes.clone() },
            Self::Repeat { times } => return repeat(composer, input, *times),
            Self::Pool { function, axis, keep } => {
                if input.shape.len() != 2 {
                    return Err(Error::shape(format!("pools two axes, the input has {:?}", input.shape)));
                }
                return composer.reduce(*function, input, &[*axis], *keep);
            }
        };
        composer.apply(kind, &[&input])
    }

    pub(super) fn masking(&self) -> Masking {
        match self {
            // Masked steps are left out of a mean.
            Self::Pool { function: Rowwise::Mean, .. } => Masking::Uses,
            _ => Masking::Drops,
        }
    }
}

/// Whether the first axis, not the last, is that of the channels.
fn channels_first(config: &mut Fields) -> Result<bool> {
    let known = [("channels_last", false), ("channels_first", true)];
    Ok(config.choice("data_format", &known)?.unwrap_or(false))
}

/// A target shape with the length that is left in place of its −1.
fn reshaped(shape: &[usize], target: &[Option<usize>]) -> Result<Vec<usize>> {
    let count = element_count(shape)?;
    let known: Vec<usize> = target.iter().copied().flatten().collect();
    let rest = count.checked_div(element_count(&known)?).unwrap_or(0);
    if target.len() > known.len() + 1 {
        return Err(Error::format("Reshape: 'target_shape' has more than one -1"));
    }
    // Whether it divides without a rest is seen by the layer.
    Ok(target.iter().map(|axis| axis.unwrap_or(rest)).collect())
}

fn repeat(composer: &mut Composer, input: Wire, times: usize) -> Result<Wire> {
    let &[width] = input.shape.as_slice() else {
        return Err(Error::shape(format!("RepeatVector takes a vector, the input has {:?}", input.shape)));
    };
    if times > MOST_ROWS {
        return Err(Error::unsupported(format!("repeats {times} times; at most {MOST_ROWS} are supported")));
    }
    let row = composer.reshape(input, vec![1, width])?;
    composer.apply(LayerKind::Gather { axis: 0, indices: vec![0; times] }, &[&row])
}
