//! Functions of four floats at once. Each states its error against the exact value in units in the last place (ULP), as
//! the tests in `apply.rs` measure it. NaN gives NaN.

use wide::{f32x4, i16x8, i32x4};

/// `a · b + c`, rounded once where the build has an instruction for it.
#[inline(always)]
pub(crate) fn multiply_add(a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    {
        use core::arch::wasm32::{f32x4_relaxed_madd, v128};
        use core::mem::transmute;
        // SAFETY: both types are the same 16 bytes, of which every pattern is valid.
        let [a, b, c] = [a, b, c].map(|x| unsafe { transmute::<f32x4, v128>(x) });
        unsafe { transmute::<v128, f32x4>(f32x4_relaxed_madd(a, b, c)) }
    }
    #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
    a.mul_add(b, c)
}

/// Eight bytes as numbers of 16 bits: one instruction, which the compiler does not find by itself.
#[inline(always)]
pub(crate) fn widen_bytes(bytes: &[i8; 8]) -> i16x8 {
    #[cfg(target_arch = "wasm32")]
    {
        use core::{arch::wasm32::i16x8_load_extend_i8x8, mem::transmute};
        // SAFETY: the eight bytes that are read are those of the array, and the types are the same 16 bytes.
        unsafe { transmute(i16x8_load_extend_i8x8(bytes.as_ptr())) }
    }
    #[cfg(not(target_arch = "wasm32"))]
    i16x8::from(bytes.map(i16::from))
}

/// Four numbers of 16 bits as such of 32.
#[inline(always)]
pub(crate) fn widen_shorts(shorts: &[i16; 4]) -> i32x4 {
    #[cfg(target_arch = "wasm32")]
    {
        use core::{arch::wasm32::i32x4_load_extend_i16x4, mem::transmute};
        // SAFETY: as in `widen_bytes`.
        unsafe { transmute(i32x4_load_extend_i16x4(shorts.as_ptr())) }
    }
    #[cfg(not(target_arch = "wasm32"))]
    i32x4::from(shorts.map(i32::from))
}

/// `x` where the mask is set, else `y`.
#[inline(always)]
pub(crate) fn select(mask: f32x4, x: f32x4, y: f32x4) -> f32x4 {
    mask.bitselect(x, y)
}

/// `x` between the two bounds, NaN where it is NaN.
#[inline(always)]
pub(crate) fn clamp(x: f32x4, low: f32, high: f32) -> f32x4 {
    let (low, high) = (f32x4::splat(low), f32x4::splat(high));
    let raised = select(x.simd_lt(low), low, x);
    select(high.simd_lt(raised), high, raised)
}

/// A polynomial, its highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32x4, coefficients: [f32; N]) -> f32x4 {
    let sum = f32x4::splat(coefficients[0]);
    coefficients[1..].iter().fold(sum, |sum, &next| multiply_add(sum, x, f32x4::splat(next)))
}

/// ln 2 in two parts, the first of which has so few digits that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// (eʳ − 1 − r) / r² for |r| up to ln 2 / 2, by its Taylor series; what is left out is 5e-9 of eʳ.
#[inline(always)]
fn tail_of_exp(r: f32x4) -> f32x4 {
    polynomial(r, [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5])
}

/// Added to a float of up to 2²², it leaves no digits behind the point: 1.5 · 2²³.
pub(crate) const WHOLE: f32 = 12_582_912.0;

/// The nearest whole number, the even one of two.
#[inline(always)]
pub(crate) fn round(x: f32x4) -> f32x4 {
    const DIGITS: f32x4 = f32x4::splat(8_388_608.0); // 2²³, from which on all floats are whole
    let size = x.abs();
    select(size.simd_lt(DIGITS), ((size + DIGITS) - DIGITS).copysign(x), x)
}

/// x as r + n · ln 2, n whole and |r| at most ln 2 / 2.
#[inline(always)]
fn reduce(x: f32x4) -> (f32x4, i32x4) {
    let whole = f32x4::splat(WHOLE);
    let shifted = multiply_add(x, f32x4::splat(std::f32::consts::LOG2_E), whole);
    let n = shifted - whole;
    let r = multiply_add(n, f32x4::splat(-LN_2_HIGH), x);
    let bits: i32x4 = bytemuck::cast(shifted);
    (multiply_add(n, f32x4::splat(-LN_2_LOW), r), bits - bytemuck::cast::<f32x4, i32x4>(whole))
}

/// y · 2ⁿ, in two steps, because 2ⁿ may be no float where the product is one.
#[inline(always)]
fn scale(y: f32x4, n: i32x4) -> f32x4 {
    let half: i32x4 = n >> 1;
    let power = |n: i32x4| -> f32x4 { bytemuck::cast((n + i32x4::splat(127)) << 23) };
    y * power(half) * power(n - half)
}

/// eˣ, to 2 ULP, and eˣ − 1, to 4.
#[inline(always)]
pub(crate) fn exponential(x: f32x4) -> (f32x4, f32x4) {
    // Beyond these it is 0 and infinite.
    let (r, n) = reduce(clamp(x, -104.0, 89.0));
    let small = multiply_add(tail_of_exp(r), r * r, r);
    let exp = scale(small + f32x4::ONE, n);
    let near = bytemuck::cast(n.simd_eq(i32x4::splat(0)));
    (exp, select(near, small, exp - f32x4::ONE))
}

/// ln x, to 2 ULP: −∞ for 0, NaN below.
#[inline(always)]
pub(crate) fn ln(x: f32x4) -> f32x4 {
    // x = m · 2ᵉ with m from √½ to √2; subnormals are made normal first.
    let subnormal = x.simd_lt(f32x4::splat(f32::MIN_POSITIVE));
    let normal = select(subnormal, x * f32x4::splat(33_554_432.0), x); // 2²⁵
    let bits: i32x4 = bytemuck::cast(normal);
    let exponent = (bits - i32x4::splat(0x3f35_04f3)) >> 23;
    let m: f32x4 = bytemuck::cast(bits - (exponent << 23));
    let e = f32x4::from_i32x4(exponent) - (subnormal & f32x4::splat(25.0));
    // ln m = 2 · artanh s, of which the series leaves out 4e-9.
    let s = (m - f32x4::ONE) / (m + f32x4::ONE);
    let square = s * s;
    let series = polynomial(square, [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0]);
    let low = multiply_add(series * square, s, e * f32x4::splat(LN_2_LOW));
    let y = multiply_add(e, f32x4::splat(LN_2_HIGH), multiply_add(s, f32x4::splat(2.0), low));
    let y = select(x.simd_eq(f32x4::ZERO), f32x4::splat(f32::NEG_INFINITY), y);
    let y = select(x.simd_lt(f32x4::ZERO), f32x4::splat(f32::NAN), y);
    select(x.simd_lt(f32x4::splat(f32::INFINITY)), y, x)
}

/// The error function where e^(−x²) is known, to 4e-7: Abramowitz and Stegun 7.1.26, and below ½ the series 7.1.5, to 4
/// ULP.
#[inline(always)]
pub(crate) fn erf(x: f32x4, exp: f32x4) -> f32x4 {
    let z = x.abs();
    let t = f32x4::ONE / multiply_add(z, f32x4::splat(0.327_591_1), f32x4::ONE);
    let p = polynomial(t, [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6]);
    let large = f32x4::ONE - p * t * exp;
    const TWO_OVER_ROOT_PI: f32 = std::f32::consts::FRAC_2_SQRT_PI;
    let coefficients = [-1.0 / 1320.0, 1.0 / 216.0, -1.0 / 42.0, 0.1, -1.0 / 3.0, 1.0];
    let small = x * polynomial(x * x, coefficients.map(|c| c * TWO_OVER_ROOT_PI));
    select(z.simd_lt(f32x4::splat(0.5)), small, large.copysign(x))
}
