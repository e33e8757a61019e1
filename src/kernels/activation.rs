//! Activation functions: data, and the scalar definitions that every kernel is held to.
//!
//! Definitions follow <https://keras.io/api/layers/activations/>. A NaN argument gives NaN in all of them, also
//! where Keras's own comparison would hide it, but for the questions `Not` and `IsNan`.

use crate::Binary;
use std::mem::discriminant;

/// What a layer applies to its result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Each value by itself; fused into the product that makes the value.
    Elementwise(Elementwise),
    /// All values of the last axis together.
    Rowwise(Rowwise),
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Elementwise {
    /// x
    Linear,
    /// `max_value` above it, x down to `threshold`, `negative_slope · (x − threshold)` below.
    Relu {
        /// Upper bound, if any.
        max_value: Option<f32>,
        /// Slope below the threshold.
        negative_slope: f32,
        /// Where the negative part begins.
        threshold: f32,
    },
    /// x, or `alpha · (eˣ − 1)` below zero.
    Elu {
        /// Limit towards −∞, negated.
        alpha: f32,
    },
    /// x, or `alpha · (e^(x/alpha) − 1)` below zero.
    Celu {
        /// Limit towards −∞, negated.
        alpha: f32,
    },
    /// `1.0507 · elu(x, 1.6733)` (Klambauer et al. 2017).
    Selu,
    /// x · Φ(x), Φ the normal distribution function.
    Gelu,
    /// `gelu` with Φ approximated through tanh (Hendrycks & Gimpel 2016).
    GeluTanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// `slope · x + offset` between 0 and 1: Keras 3 has 1/6 and 1/2, Keras 2 has 1/5 and 1/2.
    HardSigmoid {
        /// Factor of x.
        slope: f32,
        /// Value at 0.
        offset: f32,
    },
    /// x · sigmoid(x), also called swish.
    Silu,
    /// x · relu6(x + 3) / 6, also called hard swish.
    HardSilu,
    /// tanh x
    Tanh,
    /// x between −1 and 1.
    HardTanh,
    /// x − tanh x
    TanhShrink,
    /// x, or 0 within ±`threshold`.
    HardShrink {
        /// Half the width of the zero.
        threshold: f32,
    },
    /// x moved towards 0 by `threshold`, 0 within it.
    SoftShrink {
        /// Half the width of the zero.
        threshold: f32,
    },
    /// x, or `value` at and below `threshold`.
    Threshold {
        /// Largest x that is replaced.
        threshold: f32,
        /// What replaces it.
        value: f32,
    },
    /// ln(1 + eˣ)
    Softplus,
    /// (x + √(x² + b)) / 2
    Squareplus {
        /// Smoothness.
        b: f32,
    },
    /// x / (1 + |x|)
    Softsign,
    /// −softplus(−x)
    LogSigmoid,
    /// x · tanh(softplus(x))
    Mish,
    /// 0 up to −1, ((x + 1) / 2)² up to 1, x beyond.
    SparsePlus,
    /// (x + 1) / 2 between 0 and 1.
    SparseSigmoid,
    /// eˣ
    Exponential,
    /// x between `min` and `max`.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// |x|
    Absolute,
    /// −x
    Negative,
    /// ln x
    Log,
    /// √x
    SquareRoot,
    /// 1 / x
    Reciprocal,
    /// −1, 0 or 1
    Sign,
    /// The next whole number below.
    Floor,
    /// The next whole number above.
    Ceiling,
    /// The nearest whole number, the even one of two.
    Round,
    /// The next whole number towards 0.
    Truncate,
    /// The error function, 2/√π · ∫₀ˣ e^(−t²) dt.
    Erf,
    /// 1 for 0, else 0.
    Not,
    /// 1 for NaN, else 0.
    IsNan,
}

/// A function of a whole row, the last axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rowwise {
    /// eˣ over the row's sum of it.
    Softmax,
    /// ln softmax, without the underflow.
    LogSoftmax,
    /// The row's Euclidean projection on the probability simplex (Martins & Astudillo 2016).
    Sparsemax,
    /// First half of the row times the sigmoid of the second (Dauphin et al. 2017): halves the axis.
    Glu,
    /// The sum of the row, an axis of length 1 like all that follow down to `ArgMax`.
    Sum,
    /// The mean.
    Mean,
    /// The largest value, NaN if any is.
    Max,
    /// The smallest value, NaN if any is.
    Min,
    /// The product.
    Product,
    /// Position of the first of the largest values, or of the first NaN.
    ArgMax,
    /// (x − mean) / √(variance + epsilon), moments of the row.
    Standardize {
        /// Added to the variance.
        epsilon: f32,
    },
    /// x / √(mean of the squares + epsilon).
    RmsNormalize {
        /// Added to the mean.
        epsilon: f32,
    },
    /// x / √(sum of the squares, at least epsilon).
    UnitNormalize {
        /// Smallest sum.
        epsilon: f32,
    },
}

/// What [`Activation::from_name`] knows: a table, because it is half the code of a `match`.
static NAMED: [(&str, Activation); 56] = [
    ("linear", Activation::Elementwise(Elementwise::Linear)),
    ("relu", Activation::Elementwise(Elementwise::RELU)),
    (
        "relu6",
        Activation::Elementwise(Elementwise::Relu {
            max_value: Some(6.0),
            negative_slope: 0.0,
            threshold: 0.0,
        }),
    ),
    (
        "leaky_relu",
        Activation::Elementwise(Elementwise::Relu { max_value: None, negative_slope: 0.2, threshold: 0.0 }),
    ),
    ("elu", Activation::Elementwise(Elementwise::Elu { alpha: 1.0 })),
    ("celu", Activation::Elementwise(Elementwise::Celu { alpha: 1.0 })),
    ("selu", Activation::Elementwise(Elementwise::Selu)),
    ("gelu", Activation::Elementwise(Elementwise::Gelu)),
    ("gelu_tanh", Activation::Elementwise(Elementwise::GeluTanh)),
    ("sigmoid", Activation::Elementwise(Elementwise::Sigmoid)),
    ("hard_sigmoid", Activation::Elementwise(Elementwise::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 })),
    ("silu", Activation::Elementwise(Elementwise::Silu)),
    ("swish", Activation::Elementwise(Elementwise::Silu)),
    ("hard_silu", Activation::Elementwise(Elementwise::HardSilu)),
    ("hard_swish", Activation::Elementwise(Elementwise::HardSilu)),
    ("tanh", Activation::Elementwise(Elementwise::Tanh)),
    ("hard_tanh", Activation::Elementwise(Elementwise::HardTanh)),
    ("tanh_shrink", Activation::Elementwise(Elementwise::TanhShrink)),
    ("hard_shrink", Activation::Elementwise(Elementwise::HardShrink { threshold: 0.5 })),
    ("soft_shrink", Activation::Elementwise(Elementwise::SoftShrink { threshold: 0.5 })),
    ("threshold", Activation::Elementwise(Elementwise::Threshold { threshold: 0.0, value: 0.0 })),
    ("softplus", Activation::Elementwise(Elementwise::Softplus)),
    ("squareplus", Activation::Elementwise(Elementwise::Squareplus { b: 4.0 })),
    ("softsign", Activation::Elementwise(Elementwise::Softsign)),
    ("log_sigmoid", Activation::Elementwise(Elementwise::LogSigmoid)),
    ("mish", Activation::Elementwise(Elementwise::Mish)),
    ("sparse_plus", Activation::Elementwise(Elementwise::SparsePlus)),
    ("sparse_sigmoid", Activation::Elementwise(Elementwise::SparseSigmoid)),
    ("exponential", Activation::Elementwise(Elementwise::Exponential)),
    ("clip", Activation::Elementwise(Elementwise::Clip { min: f32::MIN, max: f32::MAX })),
    ("absolute", Activation::Elementwise(Elementwise::Absolute)),
    ("negative", Activation::Elementwise(Elementwise::Negative)),
    ("log", Activation::Elementwise(Elementwise::Log)),
    ("square_root", Activation::Elementwise(Elementwise::SquareRoot)),
    ("reciprocal", Activation::Elementwise(Elementwise::Reciprocal)),
    ("sign", Activation::Elementwise(Elementwise::Sign)),
    ("floor", Activation::Elementwise(Elementwise::Floor)),
    ("ceiling", Activation::Elementwise(Elementwise::Ceiling)),
    ("round", Activation::Elementwise(Elementwise::Round)),
    ("truncate", Activation::Elementwise(Elementwise::Truncate)),
    ("erf", Activation::Elementwise(Elementwise::Erf)),
    ("not", Activation::Elementwise(Elementwise::Not)),
    ("is_nan", Activation::Elementwise(Elementwise::IsNan)),
    ("softmax", Activation::Rowwise(Rowwise::Softmax)),
    ("log_softmax", Activation::Rowwise(Rowwise::LogSoftmax)),
    ("sparsemax", Activation::Rowwise(Rowwise::Sparsemax)),
    ("glu", Activation::Rowwise(Rowwise::Glu)),
    ("sum", Activation::Rowwise(Rowwise::Sum)),
    ("mean", Activation::Rowwise(Rowwise::Mean)),
    ("max", Activation::Rowwise(Rowwise::Max)),
    ("min", Activation::Rowwise(Rowwise::Min)),
    ("product", Activation::Rowwise(Rowwise::Product)),
    ("arg_max", Activation::Rowwise(Rowwise::ArgMax)),
    ("standardize", Activation::Rowwise(Rowwise::Standardize { epsilon: 1e-3 })),
    ("rms_normalize", Activation::Rowwise(Rowwise::RmsNormalize { epsilon: 1e-6 })),
    ("unit_normalize", Activation::Rowwise(Rowwise::UnitNormalize { epsilon: 1e-12 })),
];

/// λ and α of SELU, as Keras rounds them.
pub(crate) const SELU_SCALE: f32 = 1.050_701;
pub(crate) const SELU_ALPHA: f32 = 1.673_263_2;

impl Activation {
    /// No change.
    pub const LINEAR: Self = Self::Elementwise(Elementwise::Linear);

    /// The function of that name in Keras 3, with Keras's default parameters; also `threshold`, which has none, and
    /// `gelu_tanh`, which Keras calls `gelu` with `approximate=True`.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// The name that [`from_name`](Self::from_name) takes, for summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elementwise(Elementwise::Relu {
                max_value: Some(6.0),
                negative_slope: 0.0,
                threshold: 0.0,
            }) => "relu6",
            Self::Elementwise(Elementwise::Relu { negative_slope, .. }) if negative_slope != 0.0 => {
                "leaky_relu"
            }
            function => NAMED.iter().find(|(_, named)| named.is_like(function)).map_or("", |(name, _)| name),
        }
    }

    /// Whether both are the same function, whatever their parameters.
    fn is_like(&self, other: Self) -> bool {
        match (self, other) {
            (Self::Elementwise(a), Self::Elementwise(b)) => discriminant(a) == discriminant(&b),
            (Self::Rowwise(a), Self::Rowwise(b)) => discriminant(a) == discriminant(&b),
            _ => false,
        }
    }
}

impl Elementwise {
    /// `max(x, 0)`
    pub const RELU: Self = Self::Relu { max_value: None, negative_slope: 0.0, threshold: 0.0 };

    /// Whether small changes of `x` are small changes of the value, everywhere.
    pub fn is_continuous(self) -> bool {
        match self {
            Self::Relu { threshold, .. } => threshold == 0.0,
            Self::HardShrink { .. } | Self::Threshold { .. } => false,
            Self::Log | Self::Reciprocal | Self::Sign => false,
            Self::Floor | Self::Ceiling | Self::Round | Self::Truncate => false,
            Self::Not | Self::IsNan => false,
            _ => true,
        }
    }

    /// The function's value at `x`: the specification of every kernel.
    pub fn value(self, x: f32) -> f32 {
        match self {
            Self::Linear => x,
            Self::Relu { max_value, negative_slope, threshold } => {
                // A NaN fails both comparisons and survives the product, which −∞ with slope 0 would not.
                if x >= threshold {
                    max_value.map_or(x, |max| x.min(max))
                } else if negative_slope == 0.0 && x < threshold {
                    0.0
                } else {
                    negative_slope * (x - threshold)
                }
            }
            Self::Elu { alpha } if x < 0.0 => alpha * x.exp_m1(),
            Self::Celu { alpha } if x < 0.0 => alpha * (x / alpha).exp_m1(),
            Self::Elu { .. } | Self::Celu { .. } => x,
            Self::Selu => SELU_SCALE * Self::Elu { alpha: SELU_ALPHA }.value(x),
            Self::Gelu => 0.5 * x * (1.0 + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x); // √(2/π)
                0.5 * x * (1.0 + inner.tanh())
            }
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid { slope, offset } => (slope * x + offset).clamp(0.0, 1.0),
            Self::Silu => x * sigmoid(x),
            Self::HardSilu => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
            Self::Tanh => x.tanh(),
            Self::HardTanh => x.clamp(-1.0, 1.0),
            Self::TanhShrink => x - x.tanh(),
            Self::HardShrink { threshold } => {
                if x.abs() <= threshold {
                    0.0
                } else {
                    x
                }
            }
            Self::SoftShrink { threshold } => {
                if x.abs() <= threshold {
                    0.0
                } else {
                    x - threshold.copysign(x)
                }
            }
            Self::Threshold { threshold, value } => {
                if x <= threshold {
                    value
                } else {
                    x
                }
            }
            Self::Softplus => softplus(x),
            // The same, without the difference of two numbers that nearly cancel.
            Self::Squareplus { b } if x < 0.0 => 0.5 * b / ((x * x + b).sqrt() - x),
            Self::Squareplus { b } => 0.5 * (x + (x * x + b).sqrt()),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::LogSigmoid => -softplus(-x),
            Self::Mish => x * softplus(x).tanh(),
            Self::SparsePlus if x <= -1.0 => 0.0,
            Self::SparsePlus if x >= 1.0 => x,
            Self::SparsePlus => 0.25 * (x + 1.0) * (x + 1.0),
            Self::SparseSigmoid => (0.5 * (x + 1.0)).clamp(0.0, 1.0),
            Self::Exponential => x.exp(),
            Self::Clip { .. } if x.is_nan() => x,
            Self::Clip { min, max } => x.max(min).min(max),
            Self::Absolute => x.abs(),
            Self::Negative => -x,
            Self::Log => x.ln(),
            Self::SquareRoot => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Sign if x > 0.0 => 1.0,
            Self::Sign if x < 0.0 => -1.0,
            Self::Sign => x,
            Self::Floor => x.floor(),
            Self::Ceiling => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Truncate => x.trunc(),
            Self::Erf => libm::erff(x),
            Self::Not if x == 0.0 => 1.0,
            Self::IsNan if x.is_nan() => 1.0,
            Self::Not | Self::IsNan => 0.0,
        }
    }

    /// The function's parameters, in the order the shaders take them; unused ones are 0.
    pub fn parameters(self) -> [f32; 3] {
        match self {
            Self::Relu { max_value, negative_slope, threshold } => {
                [max_value.unwrap_or(f32::MAX), negative_slope, threshold]
            }
            Self::Elu { alpha } | Self::Celu { alpha } => [alpha, 0.0, 0.0],
            Self::HardSigmoid { slope, offset } => [slope, offset, 0.0],
            Self::HardShrink { threshold } | Self::SoftShrink { threshold } => [threshold, 0.0, 0.0],
            Self::Threshold { threshold, value } => [threshold, value, 0.0],
            Self::Squareplus { b } => [b, 0.0, 0.0],
            Self::Clip { min, max } => [min, max, 0.0],
            _ => [0.0; 3],
        }
    }

    /// The parameters with their names in Keras, leaving out those that are not set.
    pub fn named_parameters(self) -> Vec<(&'static str, f32)> {
        match self {
            Self::Relu { max_value, negative_slope, threshold } => {
                let mut named = vec![("negative_slope", negative_slope), ("threshold", threshold)];
                named.extend(max_value.map(|max| ("max_value", max)));
                named
            }
            Self::Elu { alpha } | Self::Celu { alpha } => vec![("alpha", alpha)],
            Self::HardSigmoid { slope, offset } => vec![("slope", slope), ("offset", offset)],
            Self::HardShrink { threshold } | Self::SoftShrink { threshold } => vec![("threshold", threshold)],
            Self::Threshold { threshold, value } => vec![("threshold", threshold), ("value", value)],
            Self::Squareplus { b } => vec![("b", b)],
            Self::Clip { min, max } => vec![("min", min), ("max", max)],
            _ => vec![],
        }
    }

    /// Sets one of the [`named_parameters`](Self::named_parameters); false if the function has none of that name.
    pub fn set_parameter(&mut self, name: &str, value: f32) -> bool {
        let parameter = match (self, name) {
            (Self::Relu { max_value, .. }, "max_value") => max_value.insert(value),
            (Self::Relu { negative_slope, .. }, "negative_slope") => negative_slope,
            (Self::Relu { threshold, .. }, "threshold") => threshold,
            (Self::Elu { alpha } | Self::Celu { alpha }, "alpha") => alpha,
            (Self::HardSigmoid { slope, .. }, "slope") => slope,
            (Self::HardSigmoid { offset, .. }, "offset") => offset,
            (Self::HardShrink { threshold } | Self::SoftShrink { threshold }, "threshold") => threshold,
            (Self::Threshold { threshold, .. }, "threshold") => threshold,
            (Self::Threshold { value, .. }, "value") => value,
            (Self::Squareplus { b }, "b") => b,
            (Self::Clip { min, .. }, "min") => min,
            (Self::Clip { max, .. }, "max") => max,
            _ => return false,
        };
        *parameter = value;
        true
    }

    /// The function's name in Keras.
    pub fn name(self) -> &'static str {
        Activation::Elementwise(self).name()
    }
}

impl Rowwise {
    /// The function's name in Keras.
    pub fn name(self) -> &'static str {
        Activation::Rowwise(self).name()
    }

    /// Width of the result for a row of `width` values; `None` where the function has none.
    pub fn output_width(self, width: usize) -> Option<usize> {
        match self {
            Self::Glu if width % 2 == 1 => None,
            Self::Glu => Some(width / 2),
            Self::Sum | Self::Mean | Self::Max | Self::Min | Self::Product | Self::ArgMax => Some(1),
            _ => Some(width),
        }
    }

    /// The function of `row`, written to `out` (of [`output_width`](Self::output_width)): the specification.
    pub fn value(self, row: &[f32], out: &mut [f32]) {
        match self {
            Self::Softmax => {
                let sum = exponentials(row, row_max(row), out);
                out.iter_mut().for_each(|y| *y /= sum);
            }
            Self::LogSoftmax => {
                let max = row_max(row);
                let log_sum = exponentials(row, max, out).ln();
                for (y, x) in out.iter_mut().zip(row) {
                    *y = (x - max) - log_sum;
                }
            }
            Self::Sparsemax => sparsemax(row, row_max(row), out),
            Self::Glu => {
                let (values, gates) = row.split_at(row.len() / 2);
                for ((y, value), gate) in out.iter_mut().zip(values).zip(gates) {
                    *y = value * sigmoid(*gate);
                }
            }
            Self::Sum => out.fill(row_sum(row, |x| x)),
            Self::Mean => out.fill(row_sum(row, |x| x) / row.len() as f32),
            Self::Max => out.fill(row_max(row)),
            Self::Min => out.fill(row_min(row)),
            Self::Product => out.fill(row.iter().product()),
            Self::ArgMax => out.fill(position_of(row_max(row), row)),
            Self::Standardize { epsilon } => {
                let mean = row_sum(row, |x| x) / row.len() as f32;
                let variance = row_sum(row, |x| (x - mean) * (x - mean)) / row.len() as f32;
                scaled(row, mean, (variance + epsilon).sqrt(), out);
            }
            Self::RmsNormalize { epsilon } => {
                let mean = row_sum(row, |x| x * x) / row.len() as f32;
                scaled(row, 0.0, (mean + epsilon).sqrt(), out);
            }
            Self::UnitNormalize { epsilon } => {
                let sum = row_sum(row, |x| x * x);
                scaled(row, 0.0, if sum < epsilon { epsilon } else { sum }.sqrt(), out);
            }
        }
    }

    /// The function's parameter, if it has one: all of them call it epsilon.
    pub fn epsilon(self) -> Option<f32> {
        match self {
            Self::Standardize { epsilon }
            | Self::RmsNormalize { epsilon }
            | Self::UnitNormalize { epsilon } => Some(epsilon),
            _ => None,
        }
    }

    /// Sets [`epsilon`](Self::epsilon); false if the function has none.
    pub fn set_epsilon(&mut self, value: f32) -> bool {
        match self {
            Self::Standardize { epsilon }
            | Self::RmsNormalize { epsilon }
            | Self::UnitNormalize { epsilon } => {
                *epsilon = value;
                true
            }
            _ => false,
        }
    }
}

/// The sum of a function of the values. In double precision, so that long rows lose nothing.
#[inline(never)]
fn row_sum(row: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    row.iter().map(|&x| f64::from(function(x))).sum::<f64>() as f32
}

/// (x − offset) / divisor
#[inline(never)]
fn scaled(row: &[f32], offset: f32, divisor: f32, out: &mut [f32]) {
    for (y, x) in out.iter_mut().zip(row) {
        *y = (x - offset) / divisor;
    }
}

/// Writes e^(x − max), which cannot overflow, and gives their sum.
#[inline(never)] // as in the functions below: their callers are not worth the copies
fn exponentials(row: &[f32], max: f32, out: &mut [f32]) -> f32 {
    for (y, x) in out.iter_mut().zip(row) {
        *y = (x - max).exp();
    }
    out.iter().sum()
}

/// The largest value, NaN if any is.
#[inline(never)]
fn row_max(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, |max, x| if x.is_nan() || x > max { x } else { max })
}

/// The smallest value, NaN if any is.
pub(crate) fn row_min(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::INFINITY, |a, b| Binary::Minimum.value(a, b))
}

/// Where the largest value, or the first NaN, is.
pub(crate) fn position_of(max: f32, row: &[f32]) -> f32 {
    row.iter().position(|&x| x == max || x.is_nan()).unwrap_or(0) as f32
}

/// `max` is the row's largest value.
pub(crate) fn sparsemax(row: &[f32], max: f32, out: &mut [f32]) {
    let threshold = sparsemax_threshold(row, max);
    for (y, x) in out.iter_mut().zip(row) {
        let x = x - max;
        *y = if x <= threshold { 0.0 } else { x - threshold };
    }
}

/// The τ for which the positive parts of `row − max − τ` sum to 1, by Michelot's algorithm (1986): take the mean excess
/// of the values still above τ until none falls below it. τ only grows, so this ends.
#[inline(never)]
fn sparsemax_threshold(row: &[f32], max: f32) -> f32 {
    // The projection sums to 1, so no value 1 or more below the largest is part of it.
    let mut threshold = -1.0;
    let mut support = row.len() + 1;
    loop {
        let above = row.iter().map(|x| x - max).filter(|&x| x > threshold);
        let (sum, count) = above.fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
        if count >= support || count == 0 {
            return threshold;
        }
        support = count;
        threshold = (sum - 1.0) / count as f32;
    }
}

#[inline(never)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// ln(1 + eˣ) without overflow for large x.
fn softplus(x: f32) -> f32 {
    // Written so that NaN, which `max` drops, comes back through the absolute value.
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let names = "linear relu relu6 leaky_relu elu celu selu gelu gelu_tanh sigmoid hard_sigmoid silu hard_silu tanh \
            hard_tanh tanh_shrink hard_shrink soft_shrink \
            threshold softplus squareplus softsign log_sigmoid mish sparse_plus \
            sparse_sigmoid exponential clip absolute negative log square_root reciprocal sign floor ceiling round \
            truncate erf not is_nan softmax log_softmax sparsemax glu sum mean max min product arg_max \
            standardize rms_normalize unit_normalize";
        for name in names.split_whitespace() {
            assert_eq!(Activation::from_name(name).map(Activation::name), Some(name));
        }
        assert_eq!(Activation::from_name("relu7"), None);
    }

    #[test]
    fn sparsemax_projects_on_the_simplex() {
        let mut out = [0.0; 3];
        Rowwise::Sparsemax.value(&[1.0, 0.5, -1.0], &mut out);
        assert_eq!(out, [0.75, 0.25, 0.0]);
        Rowwise::Sparsemax.value(&[f32::NAN, 0.0, 1.0], &mut out);
        assert!(out.iter().all(|y| y.is_nan()));
    }

    #[test]
    fn extreme_arguments_stay_finite() {
        for function in
            [Elementwise::Softplus, Elementwise::LogSigmoid, Elementwise::Mish, Elementwise::Sigmoid]
        {
            assert!([-1e4, 1e4].iter().all(|&x| function.value(x).is_finite()), "{function:?}");
        }
    }
}
