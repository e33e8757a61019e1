// p0 is the momentum; p1 is 1 where the gradient is taken ahead.

@group(0) @binding(4) var<storage, read_write> last: array<f32>;

fn update(i: u32, w: f32, g: f32) -> f32 {
    let m = flush(last[i] * size.p0 - g * size.rate);
    last[i] = m;
    return w + select(m, m * size.p0 - g * size.rate, size.p1 != 0.0);
}
