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

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions once more, in double precision.
    fn exact(function: Elementwise, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let softplus = |x: f64| x.exp().ln_1p();
        match function {
            Elementwise::Linear => x,
            Elementwise::Relu { max_value, negative_slope, threshold } => {
                let (slope, threshold) = (f64::from(negative_slope), f64::from(threshold));
                if x >= threshold {
                    x.min(max_value.map_or(f64::MAX, f64::from))
                } else {
                    slope * (x - threshold)
                }
            }
            Elementwise::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Elementwise::Celu { alpha } => {
                let alpha = f64::from(alpha);
                if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x }
            }
            Elementwise::Selu => {
                1.050_700_987_355_480_5 * if x < 0.0 { 1.673_263_242_354_377_2 * x.exp_m1() } else { x }
            }
            Elementwise::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
            Elementwise::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
            }
            Elementwise::Sigmoid => sigmoid(x),
            Elementwise::HardSigmoid { slope, offset } => {
                (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0)
            }
            Elementwise::Silu => x * sigmoid(x),
            Elementwise::HardSilu => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Elementwise::Tanh => x.tanh(),
            Elementwise::HardTanh => x.clamp(-1.0, 1.0),
            Elementwise::TanhShrink => x - x.tanh(),
            Elementwise::HardShrink { threshold } => {
                if x.abs() <= f64::from(threshold) {
                    0.0
                } else {
                    x
                }
            }
            Elementwise::SoftShrink { threshold } => {
                let threshold = f64::from(threshold);
                if x.abs() <= threshold { 0.0 } else { x - threshold.copysign(x) }
            }
            Elementwise::Threshold { threshold, value } => {
                if x <= f64::from(threshold) {
                    f64::from(value)
                } else {
                    x
                }
            }
            Elementwise::Softplus => softplus(x),
            Elementwise::Squareplus { b } => 0.5 * (x + (x * x + f64::from(b)).sqrt()),
            Elementwise::Softsign => x / (1.0 + x.abs()),
            Elementwise::LogSigmoid => -softplus(-x),
            Elementwise::Mish => x * softplus(x).tanh(),
            Elementwise::SparsePlus if x <= -1.0 => 0.0,
            Elementwise::SparsePlus if x >= 1.0 => x,
            Elementwise::SparsePlus => 0.25 * (x + 1.0).powi(2),
            Elementwise::SparseSigmoid => (0.5 * (x + 1.0)).clamp(0.0, 1.0),
            Elementwise::Exponential => x.exp(),
            Elementwise::Clip { min, max } => x.clamp(min.into(), max.into()),
            Elementwise::Absolute => x.abs(),
            Elementwise::Negative => -x,
            Elementwise::Log => x.ln(),
            Elementwise::SquareRoot => x.sqrt(),
            Elementwise::Reciprocal => 1.0 / x,
            Elementwise::Sign => x.signum(),
            Elementwise::Floor => x.floor(),
            Elementwise::Ceiling => x.ceil(),
            Elementwise::Round => x.round_ties_even(),
            Elementwise::Truncate => x.trunc(),
            Elementwise::Erf => libm::erf(x),
            Elementwise::Not | Elementwise::IsNan => 0.0,
        }
    }

    const STEP: f64 = 1e-5;

    #[test]
    fn derivatives_are_central_differences() {
        let (alpha, threshold, slope, offset) = (0.7, 0.5, 0.2, 0.5);
        let functions = [
            Elementwise::Linear,
            Elementwise::RELU,
            Elementwise::Relu { max_value: Some(2.1), negative_slope: 0.1, threshold: 0.3 },
            Elementwise::Elu { alpha },
            Elementwise::Celu { alpha },
            Elementwise::Selu,
            Elementwise::Gelu,
            Elementwise::GeluTanh,
            Elementwise::Sigmoid,
            Elementwise::HardSigmoid { slope, offset },
            Elementwise::Silu,
            Elementwise::HardSilu,
            Elementwise::Tanh,
            Elementwise::HardTanh,
            Elementwise::TanhShrink,
            Elementwise::HardShrink { threshold },
            Elementwise::SoftShrink { threshold },
            Elementwise::Threshold { threshold, value: -0.4 },
            Elementwise::Softplus,
            Elementwise::Squareplus { b: 4.0 },
            Elementwise::Softsign,
            Elementwise::LogSigmoid,
            Elementwise::Mish,
            Elementwise::SparsePlus,
            Elementwise::SparseSigmoid,
            Elementwise::Exponential,
            Elementwise::Clip { min: -1.2, max: 0.9 },
            Elementwise::Absolute,
            Elementwise::Negative,
            Elementwise::Log,
            Elementwise::SquareRoot,
            Elementwise::Reciprocal,
            Elementwise::Sign,
            Elementwise::Floor,
            Elementwise::Ceiling,
            Elementwise::Round,
            Elementwise::Truncate,
            Elementwise::Erf,
            Elementwise::Not,
            Elementwise::IsNan,
        ];
        // Off every kink of those above.
        let points: Vec<f32> = (-40..=40).map(|i| i as f32 * 0.1037 + 0.0131).collect();
        for function in functions {
            let positive = matches!(function, Elementwise::Log | Elementwise::SquareRoot);
            let points: Vec<f32> = points.iter().copied().filter(|&x| x > 0.0 || !positive).collect();
            let values: Vec<f32> = points.iter().map(|&x| function.value(x)).collect();
            let mut found = vec![0.5; points.len()];
            function.backward(&points, &values, &vec![2.0; points.len()], &mut found);
            for (&x, &found) in points.iter().zip(&found) {
                let (x, found) = (f64::from(x), (f64::from(found) - 0.5) / 2.0);
                let wanted = (exact(function, x + STEP) - exact(function, x - STEP)) / (2.0 * STEP);
                let apart = (found - wanted).abs();
                assert!(
                    apart <= 1e-5 * wanted.abs().max(1.0),
                    "{function:?} at {x}: {found}, {wanted} wanted"
                );
            }
        }
    }

    #[test]
    fn derivatives_of_two_values_are_central_differences() {
        let exact = |op: Binary, a: f64, b: f64| match op {
            Binary::Add => a + b,
            Binary::Subtract => a - b,
            Binary::Multiply => a * b,
            Binary::Divide => a / b,
            Binary::Power => a.powf(b),
            Binary::Maximum => a.max(b),
            Binary::Minimum => a.min(b),
            Binary::PRelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            Binary::Where => b,
            _ => 0.0,
        };
        for (_, op) in Binary::NAMED {
            for (a, b) in [(0.7, -1.3), (1.9, 0.4), (0.2, 2.5), (3.1, 3.0), (-0.6, 0.25)] {
                if op == Binary::Power && a < 0.0 {
                    continue;
                }
                let found = op.derivatives(a, b, op.value(a, b)).map(f64::from);
                let (a, b) = (f64::from(a), f64::from(b));
                let difference = |h: [f64; 2]| {
                    (exact(op, a + h[0], b + h[1]) - exact(op, a - h[0], b - h[1])) / (2.0 * STEP)
                };
                for (found, wanted) in found.iter().zip([difference([STEP, 0.0]), difference([0.0, STEP])]) {
                    assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{op:?} of {a} and {b}");
                }
            }
        }
    }

    /// The functions of rows once more, in double precision.
    fn row(function: Rowwise, x: &[f64]) -> Vec<f64> {
        let n = x.len() as f64;
        let total = |terms: &dyn Fn(f64) -> f64| x.iter().map(|&x| terms(x)).sum::<f64>();
        let each = |term: &dyn Fn(f64) -> f64| x.iter().map(|&x| term(x)).collect::<Vec<f64>>();
        match function {
            Rowwise::Softmax => each(&|x| x.exp() / total(&f64::exp)),
            Rowwise::LogSoftmax => each(&|x| x - total(&f64::exp).ln()),
            Rowwise::Sparsemax => {
                // The largest k for which what is above the threshold is positive (Martins & Astudillo 2016).
                let mut sorted = x.to_vec();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let threshold = |k: usize| (sorted[..k].iter().sum::<f64>() - 1.0) / k as f64;
                let k = (1..=x.len()).rev().find(|&k| sorted[k - 1] > threshold(k)).unwrap();
                each(&|x| (x - threshold(k)).max(0.0))
            }
            Rowwise::Glu => {
                let (values, gates) = x.split_at(x.len() / 2);
                values.iter().zip(gates).map(|(value, gate)| value / (1.0 + (-gate).exp())).collect()
            }
            Rowwise::Sum => vec![total(&|x| x)],
            Rowwise::Mean => vec![total(&|x| x) / n],
            Rowwise::Max => vec![x.iter().copied().fold(f64::MIN, f64::max)],
            Rowwise::Min => vec![x.iter().copied().fold(f64::MAX, f64::min)],
            Rowwise::Product => vec![x.iter().product()],
            Rowwise::ArgMax => vec![0.0],
            Rowwise::Standardize { epsilon } => {
                let mean = total(&|x| x) / n;
                let variance = total(&|x| (x - mean).powi(2)) / n;
                each(&|x| (x - mean) / (variance + f64::from(epsilon)).sqrt())
            }
            Rowwise::RmsNormalize { epsilon } => {
                each(&|own| own / (total(&|x| x * x) / n + f64::from(epsilon)).sqrt())
            }
            Rowwise::UnitNormalize { epsilon } => {
                each(&|own| own / total(&|x| x * x).max(epsilon.into()).sqrt())
            }
        }
    }

    #[test]
    fn derivatives_of_rows_are_central_differences() {
        let x: [f32; 6] = [0.4, -1.1, 0.9, 0.3, 1.2, -0.2];
        let dy: [f32; 6] = [0.7, -0.3, 1.1, 0.2, -0.9, 0.5];
        for function in [
            Rowwise::Softmax,
            Rowwise::LogSoftmax,
            Rowwise::Sparsemax,
            Rowwise::Glu,
            Rowwise::Sum,
            Rowwise::Mean,
            Rowwise::Max,
            Rowwise::Min,
            Rowwise::Product,
            Rowwise::ArgMax,
            Rowwise::Standardize { epsilon: 1e-3 },
            Rowwise::RmsNormalize { epsilon: 1e-6 },
            Rowwise::UnitNormalize { epsilon: 1e-12 },
        ] {
            let width = function.output_width(6).unwrap();
            let mut y = vec![0.0; width];
            function.value(&x, &mut y);
            let mut dx = [0.0; 6];
            function.backward(&x, &y, &dy[..width], &mut dx);
            for i in 0..6 {
                let moved = |step: f64| {
                    let mut x = x.map(f64::from);
                    x[i] += step;
                    row(function, &x).iter().zip(dy).map(|(y, dy)| y * f64::from(dy)).sum::<f64>()
                };
                let wanted = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                let apart = (f64::from(dx[i]) - wanted).abs();
                assert!(
                    apart <= 1e-5 * wanted.abs().max(1.0),
                    "{function:?}: {} by x{i}, {wanted} wanted",
                    dx[i]
                );
            }
        }
    }
}
