// The layer's weights as 16-bit floats, widened as they are read: (input_width, units filled up to a multiple of four),
// row-major.

@group(0) @binding(3) var<storage, read> kernel: array<u32>;
// The same by fours: a kernel uses one of them.
@group(0) @binding(3) var<storage, read> kernel_quads: array<vec2<u32>>;

// `place` counts weights from the first.
fn weight(place: u32) -> f32 {
    return unpack2x16float(kernel[place / 2u])[place % 2u];
}

fn four_weights(place: u32) -> vec4<f32> {
    let packed = kernel_quads[place / 4u];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}

fn weights_scale(unit: u32) -> f32 {
    return 1.0;
}
