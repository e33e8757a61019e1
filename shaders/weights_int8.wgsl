// The layer's weights as 8-bit whole numbers, with a factor for each unit: (input_width, units filled up to a multiple of
// four), row-major, by fours of units.

@group(0) @binding(3) var<storage, read> kernel: array<u32>;
// (output_width)
@group(0) @binding(5) var<storage, read> scales: array<f32>;

// `place` counts fours from the first: dividing by four is cheap on a GPU, but not on every processor that passes for one.
fn four_weights(place: u32) -> vec4<f32> {
    // Each byte plus 128 where it lies in the word, brought down as a float: exact, and without shifts by lanes, which such
    // a processor lacks.
    let raised = vec4(kernel[place] ^ 0x80808080u) & vec4(0xffu, 0xff00u, 0xff0000u, 0xff000000u);
    return vec4<f32>(raised) * vec4(1.0, 0x1p-8f, 0x1p-16f, 0x1p-24f) - 128.0;
}

fn weights_scale(unit: u32) -> f32 {
    return scales[unit];
}
