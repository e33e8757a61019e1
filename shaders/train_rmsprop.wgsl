// p0 and p1 are ρ and 1 − ρ, p2 is ε.

@group(0) @binding(4) var<storage, read_write> squares: array<f32>;

fn update(i: u32, w: f32, g: f32) -> f32 {
    let v = flush(size.p0 * squares[i] + size.p1 * (g * g));
    squares[i] = v;
    return w - size.rate * g / sqrt(v + size.p2);
}
