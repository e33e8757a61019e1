// p0 is ε.

@group(0) @binding(4) var<storage, read_write> squares: array<f32>;

fn update(i: u32, w: f32, g: f32) -> f32 {
    let sum = squares[i] + g * g;
    squares[i] = sum;
    return w - size.rate * g / sqrt(sum + size.p0);
}
