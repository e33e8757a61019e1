//! What the checks are run with: functions, arguments, random numbers.

use nearside::{Elementwise, Rowwise};

/// Numbers that look random and are the same everywhere (Steele et al. 2014, SplitMix).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Values between −size and size.
    pub fn values(&mut self, count: usize, size: f32) -> Vec<f32> {
        let unit = |bits: u64| (bits >> 40) as f32 / (1 << 23) as f32 - 1.0;
        (0..count).map(|_| size * unit(self.next())).collect()
    }
}

/// Every elementwise function, with parameters that matter.
pub fn every_elementwise() -> Vec<Elementwise> {
    use Elementwise as E;
    let relu = |max_value, negative_slope, threshold| E::Relu { max_value, negative_slope, threshold };
    let all = vec![
        E::Linear,
        relu(None, 0.0, 0.0),
        relu(Some(6.0), 0.0, 0.0),
        relu(None, 0.2, 0.0),
        relu(Some(2.5), 0.3, 0.7),
        relu(None, 0.1, -1.0),
        E::Elu { alpha: 1.0 },
        E::Elu { alpha: 0.3 },
        E::Celu { alpha: 1.0 },
        E::Celu { alpha: 2.5 },
        E::Selu,
        E::Gelu,
        E::GeluTanh,
        E::Sigmoid,
        E::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        E::HardSigmoid { slope: 0.2, offset: 0.5 },
        E::Silu,
        E::HardSilu,
        E::Tanh,
        E::HardTanh,
        E::TanhShrink,
        E::HardShrink { threshold: 0.5 },
        E::SoftShrink { threshold: 0.7 },
        E::Threshold { threshold: 0.3, value: -2.0 },
        E::Softplus,
        E::Squareplus { b: 4.0 },
        E::Squareplus { b: 0.25 },
        E::Softsign,
        E::LogSigmoid,
        E::Mish,
        E::SparsePlus,
        E::SparseSigmoid,
        E::Exponential,
        E::Clip { min: -0.7, max: 2.5 },
        E::Clip { min: f32::MIN, max: 0.0 },
        E::Absolute,
        E::Negative,
        E::Log,
        E::SquareRoot,
        E::Reciprocal,
        E::Sign,
        E::Floor,
        E::Ceiling,
        E::Round,
        E::Truncate,
        E::Erf,
        E::Not,
        E::IsNan,
    ];
    let mut seen = [false; ELEMENTWISE];
    all.iter().for_each(|&function| seen[elementwise_index(function)] = true);
    assert_eq!(seen, [true; ELEMENTWISE], "an elementwise function is not checked");
    all
}

const ELEMENTWISE: usize = 39;

/// A match without a default: a function added to the crate does not compile here until it is numbered, and fails
/// above until it is listed.
fn elementwise_index(function: Elementwise) -> usize {
    use Elementwise as E;
    match function {
        E::Linear => 0,
        E::Relu { .. } => 1,
        E::Elu { .. } => 2,
        E::Celu { .. } => 3,
        E::Selu => 4,
        E::Gelu => 5,
        E::GeluTanh => 6,
        E::Sigmoid => 7,
        E::HardSigmoid { .. } => 8,
        E::Silu => 9,
        E::HardSilu => 10,
        E::Tanh => 11,
        E::HardTanh => 12,
        E::TanhShrink => 13,
        E::HardShrink { .. } => 14,
        E::SoftShrink { .. } => 15,
        E::Threshold { .. } => 16,
        E::Softplus => 17,
        E::Squareplus { .. } => 18,
        E::Softsign => 19,
        E::LogSigmoid => 20,
        E::Mish => 21,
        E::SparsePlus => 22,
        E::SparseSigmoid => 23,
        E::Exponential => 24,
        E::Clip { .. } => 25,
        E::Absolute => 26,
        E::Negative => 27,
        E::Log => 28,
        E::SquareRoot => 29,
        E::Reciprocal => 30,
        E::Sign => 31,
        E::Floor => 32,
        E::Ceiling => 33,
        E::Round => 34,
        E::Truncate => 35,
        E::Erf => 36,
        E::Not => 37,
        E::IsNan => 38,
    }
}

/// Every row-wise function.
pub fn every_rowwise() -> Vec<Rowwise> {
    use Rowwise as R;
    let all = vec![
        R::Softmax,
        R::LogSoftmax,
        R::Sparsemax,
        R::Glu,
        R::Sum,
        R::Mean,
        R::Max,
        R::Min,
        R::Product,
        R::ArgMax,
        R::Standardize { epsilon: 1e-3 },
        R::RmsNormalize { epsilon: 1e-6 },
        R::UnitNormalize { epsilon: 1e-12 },
    ];
    let index = |function| match function {
        R::Softmax => 0,
        R::LogSoftmax => 1,
        R::Sparsemax => 2,
        R::Glu => 3,
        R::Sum => 4,
        R::Mean => 5,
        R::Max => 6,
        R::Min => 7,
        R::Product => 8,
        R::ArgMax => 9,
        R::Standardize { .. } => 10,
        R::RmsNormalize { .. } => 11,
        R::UnitNormalize { .. } => 12,
    };
    assert!((0..13).all(|wanted| all.iter().any(|&function| index(function) == wanted)));
    all
}

/// Arguments: where functions bend, where they underflow, saturate and overflow, what is not finite, and a sweep.
pub fn probes() -> Vec<f32> {
    let bends = [0.0, 0.3, 0.34, 0.5, 0.7, 1.0, 2.5, 3.0, 6.0];
    let small = [1e-30, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2];
    let large = [9.0, 17.0, 20.0, 44.0, 50.0, 86.0, 88.7, 88.8, 100.0, 104.0, 710.0, 1e3, 5e3, 1e4];
    let positive = bends.into_iter().chain(small).chain(large).chain([f32::INFINITY]);
    let sweep = (-500..500).map(|i| i as f32 * 0.041);
    positive.flat_map(|x| [x, -x]).chain([f32::NAN]).chain(sweep).collect()
}

/// Puts NaN and infinities in some rows of at least nine.
pub fn make_not_finite(width: usize, values: &mut [f32]) {
    let row = |index: usize| index * width..(index + 1) * width;
    values[row(1).start] = f32::NAN;
    values[row(2).end - 1] = f32::NAN;
    values[row(3)].fill(f32::NAN);
    values[row(4).start] = f32::NEG_INFINITY;
    values[row(5).end - 1] = f32::INFINITY;
    values[row(6)].fill(f32::NEG_INFINITY);
    values[row(7)].fill(f32::INFINITY);
}
