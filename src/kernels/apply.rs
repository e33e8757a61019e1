//! Activations of whole slices, four values at once. `activation.rs` specifies them.

use crate::{
    Binary, Elementwise, Rowwise,
    activation::{SELU_ALPHA, SELU_SCALE, position_of, row_min, sparsemax},
    vector::{clamp, erf, exponential, ln, multiply_add, round, select},
};
use wide::f32x4;

impl Elementwise {
    /// The function of every value, in place.
    #[inline(never)]
    pub fn apply(self, values: &mut [f32]) {
        if matches!(self, Self::Linear) {
            return;
        }
        // One loop for the last, shorter vector too: a second copy of all functions is 4 KB.
        for values in values.chunks_mut(4) {
            let mut vector = [0.0; 4];
            if let Ok(whole) = <[f32; 4]>::try_from(&*values) {
                vector = whole;
            } else {
                vector[..values.len()].copy_from_slice(values);
            }
            let result = self.vector(f32x4::new(vector)).to_array();
            if let Ok(whole) = <&mut [f32; 4]>::try_from(&mut *values) {
                *whole = result;
            } else {
                values.copy_from_slice(&result[..values.len()]);
            }
        }
    }

    /// The function of four values. One exponential and one logarithm serve all that are made of them, for a copy is half
    /// a kilobyte of code.
    ///
    /// Errors against the exact value: 2 ULP for `Exponential` and `Log`, 4 for `Sigmoid`, 5 for `Tanh`; 4e-7 for `Erf`,
    /// and 4 ULP below ½; 4 ULP for `Softplus` down to −16, and less than 1e-8 below.
    #[inline(always)]
    fn vector(self, x: f32x4) -> f32x4 {
        let splat = f32x4::splat;
        let (zero, one, two) = (f32x4::ZERO, f32x4::ONE, f32x4::splat(2.0));
        let exponent = match self {
            Self::Exponential | Self::Elu { .. } | Self::Selu => x,
            Self::Celu { alpha } => x / splat(alpha),
            Self::Sigmoid | Self::Silu => -x,
            // tanh is ±1 beyond.
            Self::Tanh | Self::TanhShrink => clamp(x + x, -20.0, 20.0),
            // √(8/π)
            Self::GeluTanh => {
                clamp(splat(1.595_769) * multiply_add(x * x * x, splat(0.044_715), x), -20.0, 20.0)
            }
            Self::Mish => select(x.simd_gt(splat(20.0)), splat(20.0), x),
            Self::Softplus | Self::LogSigmoid => -x.abs(),
            Self::Erf => -x * x,
            Self::Gelu => splat(-0.5) * x * x,
            Self::Log => return ln(x),
            _ => return self.plain(x),
        };
        let (exp, exp_m1) = exponential(exponent);
        let tanh = exp_m1 / (exp_m1 + two);
        let elu = |alpha: f32| select(x.simd_lt(zero), splat(alpha) * exp_m1, x);
        match self {
            Self::Elu { alpha } | Self::Celu { alpha } => elu(alpha),
            Self::Selu => splat(SELU_SCALE) * elu(SELU_ALPHA),
            Self::Sigmoid => one / (one + exp),
            Self::Silu => x / (one + exp),
            Self::Tanh => tanh,
            Self::TanhShrink => x - tanh,
            Self::GeluTanh => splat(0.5) * x * (one + tanh),
            Self::Mish => {
                // tanh(ln(1 + t)) = (t² + 2t) / (t² + 2t + 2), and 1 beyond 20.
                let n = exp * (exp + two);
                x * (n / (n + two))
            }
            Self::Softplus | Self::LogSigmoid => {
                let sum = one + exp;
                // What rounding took from 1 + t is given back.
                let log = ln(sum) + (exp - (sum - one)) / sum;
                match self {
                    Self::Softplus => select(x.simd_lt(zero), zero, x) + log,
                    _ => select(x.simd_lt(zero), x, zero) - log,
                }
            }
            Self::Erf => erf(x, exp),
            Self::Gelu => splat(0.5) * x * (one + erf(x * splat(std::f32::consts::FRAC_1_SQRT_2), exp)),
            _ => exp,
        }
    }

    /// Those without an exponential.
    #[inline(always)]
    fn plain(self, x: f32x4) -> f32x4 {
        let splat = f32x4::splat;
        let (zero, one) = (f32x4::ZERO, f32x4::ONE);
        match self {
            Self::Relu { max_value, negative_slope, threshold } => {
                let below = match negative_slope {
                    // Not a product, which −∞ would make NaN.
                    0.0 => zero,
                    slope => splat(slope) * (x - splat(threshold)),
                };
                let most = splat(max_value.unwrap_or(f32::INFINITY));
                let above = select(x.simd_gt(most), most, x);
                select(x.simd_lt(splat(threshold)), below, above)
            }
            Self::HardSigmoid { slope, offset } => {
                clamp(multiply_add(splat(slope), x, splat(offset)), 0.0, 1.0)
            }
            Self::HardSilu => x * (clamp(x + splat(3.0), 0.0, 6.0) / splat(6.0)),
            Self::HardTanh => clamp(x, -1.0, 1.0),
            Self::HardShrink { threshold } => select(x.abs().simd_le(splat(threshold)), zero, x),
            Self::SoftShrink { threshold } => {
                select(x.abs().simd_le(splat(threshold)), zero, x - splat(threshold).copysign(x))
            }
            Self::Threshold { threshold, value } => select(x.simd_le(splat(threshold)), splat(value), x),
            Self::Squareplus { b } => {
                let root = multiply_add(x, x, splat(b)).sqrt();
                // The same, without the difference of two numbers that nearly cancel.
                let negative = splat(0.5 * b) / (root - x);
                select(x.simd_lt(zero), negative, splat(0.5) * (x + root))
            }
            Self::Softsign => x / (one + x.abs()),
            Self::SparsePlus => {
                let middle = splat(0.25) * (x + one) * (x + one);
                let y = select(x.simd_ge(one), x, middle);
                select(x.simd_le(-one), zero, y)
            }
            Self::SparseSigmoid => clamp(splat(0.5) * (x + one), 0.0, 1.0),
            Self::Clip { min, max } => clamp(x, min, max),
            Self::Absolute => x.abs(),
            Self::Negative => -x,
            Self::SquareRoot => x.sqrt(),
            Self::Reciprocal => one / x,
            Self::Sign => select(x.simd_gt(zero), one, select(x.simd_lt(zero), -one, x)),
            Self::Floor => x.floor(),
            Self::Ceiling => x.ceil(),
            Self::Round => round(x),
            Self::Truncate => select(x.simd_lt(zero), x.ceil(), x.floor()),
            Self::Not => x.simd_eq(zero) & one,
            Self::IsNan => x.is_nan() & one,
            _ => x,
        }
    }
}

impl Rowwise {
    /// The function of `row`, written to `out` (of [`output_width`](Self::output_width)).
    pub fn apply(self, row: &[f32], out: &mut [f32]) {
        match self {
            Self::Softmax => {
                let sum = exponentials(row, row_max(row), out);
                out.iter_mut().for_each(|y| *y /= sum);
            }
            Self::LogSoftmax => {
                let max = row_max(row);
                let log_sum = exponentials(row, max, out).ln();
                out.iter_mut().zip(row).for_each(|(y, x)| *y = (x - max) - log_sum);
            }
            Self::Glu => {
                let (values, gates) = row.split_at(row.len() / 2);
                out.copy_from_slice(gates);
                Elementwise::Sigmoid.apply(out);
                out.iter_mut().zip(values).for_each(|(y, value)| *y *= value);
            }
            Self::Sum => out.fill(row_sum(row, 0.0, false)),
            Self::Mean => out.fill(row_sum(row, 0.0, false) / row.len() as f32),
            Self::Max => out.fill(row_max(row)),
            Self::ArgMax => out.fill(position_of(row_max(row), row)),
            Self::Standardize { epsilon } => {
                let mean = row_sum(row, 0.0, false) / row.len() as f32;
                let variance = row_sum(row, mean, true) / row.len() as f32;
                scaled(row, mean, (variance + epsilon).sqrt(), out);
            }
            Self::RmsNormalize { epsilon } => {
                let mean = row_sum(row, 0.0, true) / row.len() as f32;
                scaled(row, 0.0, (mean + epsilon).sqrt(), out);
            }
            Self::UnitNormalize { epsilon } => {
                let sum = row_sum(row, 0.0, true);
                scaled(row, 0.0, if sum < epsilon { epsilon } else { sum }.sqrt(), out);
            }
            Self::Sparsemax => sparsemax(row, row_max(row), out),
            Self::Min => out.fill(row_min(row)),
            Self::Product => out.fill(row.iter().product()),
        }
    }
}

/// The sum of x − offset, or of its square. In double precision, so that long rows lose nothing; four sums at once.
#[inline(never)]
fn row_sum(row: &[f32], offset: f32, squared: bool) -> f32 {
    let term = |x: f32| f64::from(if squared { (x - offset) * (x - offset) } else { x - offset });
    let (vectors, rest) = row.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for x in vectors {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += term(x));
    }
    (sums.iter().sum::<f64>() + rest.iter().map(|&x| term(x)).sum::<f64>()) as f32
}

/// (x − offset) / divisor
#[inline(never)]
fn scaled(row: &[f32], offset: f32, divisor: f32, out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(y, x)| *y = (x - offset) / divisor);
}

/// Writes e^(x − max), which cannot overflow, and gives their sum.
#[inline(never)]
fn exponentials(row: &[f32], max: f32, out: &mut [f32]) -> f32 {
    out.iter_mut().zip(row).for_each(|(y, x)| *y = x - max);
    Elementwise::Exponential.apply(out);
    let (vectors, rest) = out.as_chunks();
    let sum = vectors.iter().fold(f32x4::ZERO, |sum, &y| sum + f32x4::new(y));
    sum.reduce_add() + rest.iter().sum::<f32>()
}

/// The largest value, NaN if any is.
#[inline(never)]
fn row_max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| Binary::Maximum.value(a, b);
    let (vectors, rest) = row.as_chunks();
    // Where x is NaN, or larger: once the sum is NaN, nothing is larger.
    let max = vectors.iter().fold(f32x4::splat(f32::NEG_INFINITY), |max, &x| {
        let x = f32x4::new(x);
        select(x.simd_gt(max) | x.is_nan(), x, max)
    });
    max.to_array().iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 9973rd float from −`limit` to `limit`.
    fn samples(limit: f32) -> impl Iterator<Item = f32> {
        (0..=limit.to_bits()).step_by(9973).map(f32::from_bits).flat_map(|x| [x, -x])
    }

    fn value(function: Elementwise, x: f32) -> f32 {
        let mut values = [x; 6];
        function.apply(&mut values);
        assert!(values.iter().all(|y| y.to_bits() == values[0].to_bits()), "{function:?} of {x}: {values:?}");
        values[0]
    }

    /// The largest error of a function in ULP of the exact value, subnormal results counting as of the smallest normal
    /// one.
    fn largest_error(limit: f32, function: Elementwise, exact: fn(f64) -> f64) -> f64 {
        let error = |x: f32| {
            let (got, want) = (value(function, x), exact(f64::from(x)));
            if got == want as f32 || (got.is_nan() && want.is_nan()) {
                return 0.0;
            }
            let ulp = 2f64.powi((want.abs().log2().floor() as i32).max(-126) - 23);
            (f64::from(got) - want).abs() / ulp
        };
        samples(limit).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_as_stated() {
        use Elementwise::{Elu, Erf, Exponential, Log, Sigmoid, Softplus, Tanh};
        let elu = |x: f64| if x < 0.0 { x.exp_m1() } else { x };
        type Exact = fn(f64) -> f64;
        let functions: [(Elementwise, f32, Exact, f64); 7] = [
            (Exponential, f32::INFINITY, f64::exp, 2.0),
            (Elu { alpha: 1.0 }, f32::INFINITY, elu, 4.0),
            (Log, f32::INFINITY, f64::ln, 2.0),
            (Sigmoid, 87.0, |x| 1.0 / (1.0 + (-x).exp()), 4.0),
            (Tanh, f32::INFINITY, f64::tanh, 5.0),
            (Softplus, 16.0, |x| x.exp().ln_1p(), 4.0),
            (Erf, 0.499, libm::erf, 4.0),
        ];
        for (function, limit, exact, most) in functions {
            let error = largest_error(limit, function, exact);
            println!("{function:?}: {error:.2} ULP");
            assert!(error > 0.0 && error <= most, "{function:?}: {error} ULP, {most} stated");
        }
        let difference = |x: f32| (f64::from(value(Erf, x)) - libm::erf(x.into())).abs();
        let error = samples(f32::INFINITY).map(difference).fold(0.0, f64::max);
        assert!(error <= 4e-7, "erf: {error}");
    }
}
