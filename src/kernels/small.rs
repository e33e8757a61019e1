//! Weights kept in 16 or 8 bits: at batch 1 a layer is as fast as its weights come from memory.

use crate::{
    dense::{Row, VECTORS},
    vector::{WHOLE, select, widen_bytes, widen_shorts},
};
use wide::{f32x4, i16x8, i32x4};

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit whole numbers, symmetric, with a factor for each unit.
    Int8,
}

impl Dtype {
    /// How weights are kept that are asked to be kept so: those that are not finite, or for f16 beyond its largest, as they
    /// are. `F32` does not look at them.
    pub fn for_weights(self, weights: &[f32]) -> Self {
        let most = match self {
            Self::F32 => return self,
            Self::F16 => 65504.0,
            Self::Int8 => f32::MAX,
        };
        if weights.iter().all(|weight| weight.abs() <= most) { self } else { Self::F32 }
    }

    /// The name that callers and files know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

/// One input's weights of a panel as 16-bit floats.
pub type Halves = [[i16; 4]; VECTORS];

/// The floats.
#[inline(always)]
pub(crate) fn widen_halves(halves: &Halves) -> Row {
    halves.map(|halves| {
        // Exponent and digits where a float has them, whose exponent is then 112 too low; subnormals come out right.
        let bits = widen_shorts(&halves) << 13;
        let float: f32x4 = bytemuck::cast(bits & i32x4::splat(0x8fff_e000_u32.cast_signed()));
        float * f32x4::splat(f32::from_bits((127 + 112) << 23))
    })
}

/// Two inputs' weights of a panel: for each unit, that of the first and that of the second.
pub type Pair = [[i8; 8]; VECTORS];

/// The floats of two inputs.
#[inline(always)]
pub(crate) fn widen_pair(pair: &Pair, scale: &Row) -> [Row; 2] {
    // A number of 32 bits holds both, the first in its lower half: shifted up, and back with its sign.
    let both: [i32x4; VECTORS] = std::array::from_fn(|vector| bytemuck::cast(widen_bytes(&pair[vector])));
    let scaled = |whole: i32x4, vector: usize| f32x4::from_i32x4(whole) * scale[vector];
    [
        std::array::from_fn(|vector| scaled((both[vector] << 16) >> 16, vector)),
        std::array::from_fn(|vector| scaled(both[vector] >> 16, vector)),
    ]
}

/// A row of inputs as whole numbers, two by two, and their factor; `None` for what is not finite, or so long that the
/// sums of products would need more than 32 bits.
///
/// The numbers are as large as the sums allow: of 15 bits up to 516 inputs, of 12 up to 4128. That costs a tenth of what
/// the weights' 8 bits do, or less.
pub(crate) fn quantize(row: &[f32], pairs: &mut Vec<[i16; 2]>) -> Option<f32> {
    let most = (i32::MAX as usize / 127 / row.len()).min(i16::MAX as usize);
    let (fours, last) = row.as_chunks::<4>();
    let largest = fours.iter().fold(f32x4::ZERO, |largest, &x| {
        let size = f32x4::new(x).abs();
        // A NaN stays, for nothing is larger.
        select(size.simd_gt(largest) | size.is_nan(), size, largest)
    });
    let larger = |a: f32, b: f32| if a.is_nan() || a > b { a } else { b };
    let largest = largest.to_array().into_iter().chain(last.iter().map(|x| x.abs())).fold(0.0, larger);
    if most < 1024 || !largest.is_finite() {
        return None;
    }
    let scale = if largest > 0.0 { most as f32 / largest } else { 0.0 };
    if !scale.is_finite() {
        return None;
    }
    let whole = |x: [f32; 4]| -> [[i16; 2]; 2] {
        let whole = f32x4::new(x) * f32x4::splat(scale) + f32x4::splat(WHOLE);
        // The lowest bits are the number's.
        let [a, b, c, d] = bytemuck::cast::<f32x4, [i32; 4]>(whole).map(|bits| bits as i16);
        [[a, b], [c, d]]
    };
    pairs.clear();
    pairs.extend(fours.iter().flat_map(|&four| whole(four)));
    let mut four = [0.0; 4];
    four[..last.len()].copy_from_slice(last);
    pairs.extend(whole(four).iter().take(last.len().div_ceil(2)));
    Some(largest / most as f32)
}

/// The sums of a row's products with a panel's weights, as many pairs of each.
#[inline(always)]
pub(crate) fn sums(row: &[[i16; 2]], weights: &[Pair]) -> [i32x4; VECTORS] {
    let mut sums = [[i32x4::splat(0); VECTORS]; 2];
    let add = |sums: &mut [i32x4; VECTORS], x: &[i16; 2], weights: &Pair| {
        let x: i16x8 = bytemuck::cast(i32x4::splat(bytemuck::cast(*x)));
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum += widen_bytes(weights).dot(x);
        }
    };
    // Two of each at a time, for the additions not to wait for each other.
    let (twos, last) = (row.as_chunks::<2>(), weights.as_chunks::<2>());
    for (x, weights) in twos.0.iter().zip(last.0) {
        add(&mut sums[0], &x[0], &weights[0]);
        add(&mut sums[1], &x[1], &weights[1]);
    }
    if let ([x], [weights]) = (twos.1, last.1) {
        add(&mut sums[0], x, weights);
    }
    std::array::from_fn(|i| sums[0][i] + sums[1][i])
}
