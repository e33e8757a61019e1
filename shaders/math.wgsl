// Functions that WGSL lacks, or whose builtins are allowed too large an error or to give NaN for large arguments.
//
// NaN is returned as it came. Polynomials are Cephes's (Moshier 1989) unless said otherwise.

// eʳ − 1 for |r| ≤ ln 2 / 2.
fn exp_m1_near_zero(r: f32) -> f32 {
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    return p * r * r + r;
}

// eˣ as 2ᵏ · eʳ. The builtin may be off by 3 + 2|x| ulp.
fn exponential(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    // Beyond these bounds the result is 0 and infinity, as it is at them.
    let bounded = clamp(x, -104.0, 89.0);
    let k = round(bounded * 1.44269504);
    // ln 2 in two parts, the first with so few bits that its product with k is exact.
    let r = (bounded - k * 0.693359375) + k * 2.12194440e-4;
    // Two factors, because 2ᵏ alone may lie outside the normal numbers where the result does not.
    let low = i32(k) / 2;
    let high = i32(k) - low;
    return (exp_m1_near_zero(r) + 1.0) * power_of_two(low) * power_of_two(high);
}

fn power_of_two(k: i32) -> f32 {
    return bitcast<f32>(u32(k + 127) << 23u);
}

fn exp_m1(x: f32) -> f32 {
    if abs(x) < 0.34 {
        return exp_m1_near_zero(x);
    }
    return exponential(x) - 1.0;
}

// ln(1 + u) for −0.3 ≤ u ≤ 1, as 2 artanh(u / (2 + u)) by its series: s² ≤ 1/9, so the first term left out is below 2⁻²⁵.
fn ln_1p(u: f32) -> f32 {
    let s = u / (2.0 + u);
    let t = s * s;
    var p = 1.0 / 13.0;
    p = p * t + 1.0 / 11.0;
    p = p * t + 1.0 / 9.0;
    p = p * t + 1.0 / 7.0;
    p = p * t + 1.0 / 5.0;
    p = p * t + 1.0 / 3.0;
    return 2.0 * s * (p * t + 1.0);
}

// ln x, as k · ln 2 + ln m with m around 1. Some drivers' builtin knows no infinity.
fn natural_logarithm(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if bits << 1u == 0u {
        return bitcast<f32>(bits | 0xff800000u); // −∞
    }
    if bits >= 0x7f800000u {
        // NaN for negative numbers; infinity and NaN as they are.
        return bitcast<f32>(select(bits, bits | 0x7fc00000u, x < 0.0));
    }
    // Counted from 0.7071 rather than from 1, so that m − 1 is small on either side.
    let shifted = bits - 0x3f3504f3u;
    let k = f32(bitcast<i32>(shifted) >> 23u);
    let m = bitcast<f32>((shifted & 0x007fffffu) + 0x3f3504f3u);
    return k * 0.69314718 + ln_1p(m - 1.0);
}

// From e^(−2|x|), which cannot overflow. Some drivers compute the builtin from e^(2x) and give NaN for large x.
fn hyperbolic_tangent(x: f32) -> f32 {
    let e = exp_m1(-2.0 * abs(x));
    let y = -e / (2.0 + e);
    return select(-y, y, x >= 0.0);
}

fn sigmoid(x: f32) -> f32 {
    let e = exponential(-abs(x));
    let y = 1.0 / (1.0 + e);
    return select(e * y, y, x >= 0.0);
}

// ln(1 + eˣ)
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + ln_1p(exponential(-abs(x)));
}

// The normal distribution function, as half of erfc(−x/√2): Press et al., Numerical Recipes, erfcc, whose relative
// error is below 1.2e-7 everywhere.
fn normal_distribution(x: f32) -> f32 {
    let z = abs(x) * 0.70710678;
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = 0.17087277;
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    let tail = 0.5 * t * exponential(p - z * z);
    return select(tail, 1.0 - tail, x >= 0.0);
}
