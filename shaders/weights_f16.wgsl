// The layer's weights as 16-bit floats, widened as they are read: (input_width, units filled up to a multiple of four),
// row-major, by fours of units.

@group(0) @binding(3) var<storage, read> kernel: array<vec2<u32>>;

// `place` counts fours from the first: dividing by four is cheap on a GPU, but not on every processor that passes for one.
fn four_weights(place: u32) -> vec4<f32> {
    let packed = kernel[place];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}

fn weights_scale(unit: u32) -> f32 {
    return 1.0;
}
