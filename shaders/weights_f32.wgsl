// The layer's weights: (input_width, units filled up to a multiple of four), row-major.

@group(0) @binding(3) var<storage, read> kernel: array<f32>;
// The same by fours: a kernel uses one of them.
@group(0) @binding(3) var<storage, read> kernel_quads: array<vec4<f32>>;

// `place` counts weights from the first.
fn weight(place: u32) -> f32 {
    return kernel[place];
}

fn four_weights(place: u32) -> vec4<f32> {
    return kernel_quads[place / 4u];
}

fn weights_scale(unit: u32) -> f32 {
    return 1.0;
}
