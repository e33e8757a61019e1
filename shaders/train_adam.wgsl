// The rate is corrected for the first steps by the host; p0 and p1 are 1 − β₁ and 1 − β₂, p2 is ε.

@group(0) @binding(4) var<storage, read_write> means: array<f32>;
@group(0) @binding(5) var<storage, read_write> squares: array<f32>;

fn update(i: u32, w: f32, g: f32) -> f32 {
    let m = flush((g - means[i]) * size.p0 + means[i]);
    let v = flush((g * g - squares[i]) * size.p1 + squares[i]);
    means[i] = m;
    squares[i] = v;
    return w - m * size.rate / (sqrt(divisor(i, v)) + size.p2);
}
