//! Derivatives: each function's beside the definition it is of, in `activation.rs` and `binary.rs`, and the same over
//! slices. At a kink it is what TensorFlow takes, and so Keras.

use crate::{
    Binary, Elementwise, Rowwise,
    activation::{SELU_ALPHA, SELU_SCALE},
};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
use wide::f32x4;

impl Elementwise {
    /// The derivative at `x`, where the function's value is `y`.
    pub fn derivative(self, x: f32, y: f32) -> f32 {
        let step = |is: bool| if is { 1.0 } else { 0.0 };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Self::Linear => 1.0,
            Self::Relu { max_value, negative_slope, threshold } => {
                if x > threshold {
                    step(max_value.is_none_or(|max| x < max))
                } else {
                    negative_slope
                }
            }
            Self::Elu { alpha } if x < 0.0 => y + alpha,
            Self::Celu { alpha } if x < 0.0 => y / alpha + 1.0,
            Self::Elu { .. } | Self::Celu { .. } => 1.0,
            Self::Selu if x < 0.0 => y + SELU_SCALE * SELU_ALPHA,
            Self::Selu => SELU_SCALE,
            Self::Gelu => {
                let density = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (-0.5 * x * x).exp();
                0.5 * (1.0 + libm::erff(x * FRAC_1_SQRT_2)) + x * density
            }
            Self::GeluTanh => {
                let tanh = (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh();
                let inner = 0.797_884_6 * (1.0 + 3.0 * 0.044_715 * x * x);
                0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
            }
            Self::Sigmoid => y * (1.0 - y),
            Self::HardSigmoid { slope, offset } => {
                let inner = slope * x + offset;
                slope * step(inner > 0.0 && inner < 1.0)
            }
            Self::Silu => {
                let sigmoid = sigmoid(x);
                sigmoid + y * (1.0 - sigmoid)
            }
            Self::HardSilu if x <= -3.0 => 0.0,
            Self::HardSilu if x >= 3.0 => 1.0,
            Self::HardSilu => (2.0 * x + 3.0) / 6.0,
            Self::Tanh => 1.0 - y * y,
            Self::HardTanh => step(x.abs() < 1.0),
            Self::TanhShrink => (x - y) * (x - y),
            Self::HardShrink { threshold } | Self::SoftShrink { threshold } => step(x.abs() > threshold),
            Self::Threshold { threshold, .. } => step(x > threshold),
            Self::Softplus => sigmoid(x),
            Self::Squareplus { b } => 0.5 * (1.0 + x / (x * x + b).sqrt()),
            Self::Softsign => 1.0 / ((1.0 + x.abs()) * (1.0 + x.abs())),
            Self::LogSigmoid => sigmoid(-x),
            Self::Mish => {
                let tanh = Self::Softplus.value(x).tanh();
                tanh + x * (1.0 - tanh * tanh) * sigmoid(x)
            }
            Self::SparsePlus => (0.5 * (x + 1.0)).clamp(0.0, 1.0),
            Self::SparseSigmoid => 0.5 * step(x.abs() < 1.0),
            Self::Exponential => y,
            Self::Clip { min, max } => step(x >= min && x <= max),
            Self::Absolute => Self::Sign.value(x),
            Self::Negative => -1.0,
            Self::Log => 1.0 / x,
            Self::SquareRoot => 0.5 / y,
            Self::Reciprocal => -y * y,
            Self::Erf => FRAC_2_SQRT_PI * (-x * x).exp(),
            Self::Sign | Self::Floor | Self::Ceiling | Self::Round | Self::Truncate => 0.0,
            Self::Not | Self::IsNan => 0.0,
        }
    }

    /// `dx += dy · f′(x)`, where y = f(x).
    #[inline(never)]
    pub fn backward(self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        // Those of most networks, without a choice for each value: the compiler makes vectors of these.
        let all = dx.iter_mut().zip(dy).zip(x.iter().zip(y));
        match self {
            Self::Linear => all.for_each(|((dx, dy), _)| *dx += dy),
            Self::RELU => all.for_each(|((dx, dy), (x, _))| *dx += if *x > 0.0 { *dy } else { 0.0 }),
            Self::Tanh => all.for_each(|((dx, dy), (_, y))| *dx += dy * (1.0 - y * y)),
            Self::Sigmoid => all.for_each(|((dx, dy), (_, y))| *dx += dy * (y * (1.0 - y))),
            function => all.for_each(|((dx, dy), (x, y))| *dx += dy * function.derivative(*x, *y)),
        }
    }
}

impl Binary {
    /// The derivatives by a and by b, where the value is `y`.
    pub fn derivatives(self, a: f32, b: f32, y: f32) -> [f32; 2] {
        let choice = |first: bool| if first { [1.0, 0.0] } else { [0.0, 1.0] };
        let step = |is: bool| if is { 1.0 } else { 0.0 };
        match self {
            Self::Add => [1.0, 1.0],
            Self::Subtract => [1.0, -1.0],
            Self::Multiply => [b, a],
            Self::Divide => [1.0 / b, -y / b],
            Self::Power => {
                let by_a = if b == 0.0 { 0.0 } else { b * Self::Power.value(a, b - 1.0) };
                [by_a, if a > 0.0 { y * a.ln() } else { 0.0 }]
            }
            Self::Maximum => choice(a >= b),
            Self::Minimum => choice(a <= b),
            Self::PRelu if a < 0.0 => [b, a],
            Self::PRelu => [1.0, 0.0],
            Self::Where => [0.0, step(a != 0.0)],
            Self::WhereNot => [0.0, step(a == 0.0)],
            _ => [0.0, 0.0],
        }
    }
}

impl Rowwise {
    /// `dx += Jᵀ · dy` of a row, where y = f(x) and J has the derivatives of each y by each x.
    pub fn backward(self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        let width = x.len() as f32;
        match self {
            Self::Softmax => {
                let mean = dot(y, dy);
                dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx += y * (dy - mean));
            }
            Self::LogSoftmax => {
                let sum = sum(dy);
                dx.iter_mut().zip(y).zip(dy).for_each(|((dx, y), dy)| *dx += dy - y.exp() * sum);
            }
            Self::Sparsemax => {
                let support = || y.iter().zip(dy).filter(|(y, _)| **y > 0.0);
                let mean = support().map(|(_, dy)| dy).sum::<f32>() / support().count() as f32;
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx += if *y > 0.0 { dy - mean } else { 0.0 };
                }
            }
            Self::Glu => {
                let (values, gates) = x.split_at(x.len() / 2);
                let (by_values, by_gates) = dx.split_at_mut(x.len() / 2);
                for (i, (value, gate)) in values.iter().zip(gates).enumerate() {
                    let sigmoid = Elementwise::Sigmoid.value(*gate);
                    by_values[i] += dy[i] * sigmoid;
                    by_gates[i] += dy[i] * value * sigmoid * (1.0 - sigmoid);
                }
            }
            Self::Sum => dx.iter_mut().for_each(|dx| *dx += dy[0]),
            Self::Mean => dx.iter_mut().for_each(|dx| *dx += dy[0] / width),
            Self::Max | Self::Min => {
                // Equal ones share it.
                let count = x.iter().filter(|&&x| x == y[0]).count() as f32;
                let share = dy[0] / count;
                dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx += if x == y[0] { share } else { 0.0 });
            }
            Self::Product => {
                for (i, dx) in dx.iter_mut().enumerate() {
                    let others = x.iter().enumerate().filter(|(j, _)| *j != i);
                    *dx += dy[0] * others.map(|(_, x)| x).product::<f32>();
                }
            }
            Self::ArgMax => {}
            Self::Standardize { epsilon } => {
                let mean = sum(x) / width;
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width;
                let (of_dy, of_both) = (sum(dy) / width, dot(dy, y) / width);
                let deviation = (variance + epsilon).sqrt();
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx += (dy - of_dy - y * of_both) / deviation;
                }
            }
            Self::RmsNormalize { epsilon } => {
                let (root, of_both) = ((dot(x, x) / width + epsilon).sqrt(), dot(dy, y) / width);
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx += (dy - y * of_both) / root;
                }
            }
            Self::UnitNormalize { epsilon } => {
                let squares = dot(x, x);
                // Below, the divisor is a constant.
                let of_both = if squares < epsilon { 0.0 } else { dot(dy, y) };
                let root = squares.max(epsilon).sqrt();
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx += (dy - y * of_both) / root;
                }
            }
        }
    }
}

/// Σ aᵢ
fn sum(a: &[f32]) -> f32 {
    let (vectors, rest) = a.as_chunks::<4>();
    let sum = vectors.iter().fold(f32x4::ZERO, |sum, &a| sum + f32x4::new(a));
    sum.reduce_add() + rest.iter().sum::<f32>()
}

/// Σ aᵢ · bᵢ
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (vectors, rest) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let both = vectors.0.iter().zip(rest.0);
    let sum = both.fold(f32x4::ZERO, |sum, (&a, &b)| sum + f32x4::new(a) * f32x4::new(b));
    sum.reduce_add() + vectors.1.iter().zip(rest.1).map(|(a, b)| a * b).sum::<f32>()
}
