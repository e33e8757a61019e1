@group(0) @binding(4) var<storage, read> bias: array<f32>;

fn start(at: u32, column: u32) -> f32 {
    return bias[column];
}
