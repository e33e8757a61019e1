// WGSL lets a compiler assume that no float is NaN or infinite, so `x != x` may be folded away: NaN is told by its bits.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// The larger one, or the one that is NaN.
fn larger(a: f32, b: f32) -> f32 {
    if is_nan(a) || a >= b {
        return a;
    }
    return b;
}
