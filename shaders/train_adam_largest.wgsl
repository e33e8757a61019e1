// AMSGrad: the divisor never falls.

@group(0) @binding(6) var<storage, read_write> largest: array<f32>;

fn divisor(i: u32, v: f32) -> f32 {
    let most = max(largest[i], v);
    largest[i] = most;
    return most;
}
