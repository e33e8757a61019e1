// The layer's weights as 8-bit whole numbers, with a factor for each unit: (input_width, units filled up to a multiple of
// four), row-major.

@group(0) @binding(3) var<storage, read> kernel: array<u32>;
// (output_width)
@group(0) @binding(5) var<storage, read> scales: array<f32>;

// `place` counts weights from the first.
fn weight(place: u32) -> f32 {
    let shift = 24u - 8u * (place % 4u);
    return f32(bitcast<i32>(kernel[place / 4u] << shift) >> 24u);
}

fn four_weights(place: u32) -> vec4<f32> {
    let packed = vec4(kernel[place / 4u]);
    return vec4<f32>(bitcast<vec4<i32>>(packed << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}

fn weights_scale(unit: u32) -> f32 {
    return scales[unit];
}
