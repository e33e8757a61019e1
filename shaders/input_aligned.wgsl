// Inputs by fours, of rows whose width is a multiple of four.

fn four_inputs(row: u32, i: u32) -> vec4<f32> {
    return input_quads[(row * size.input_width + i) >> 2u];
}

// Zeros outside the rows.
fn inputs_or_zeros(row: u32, i: u32) -> vec4<f32> {
    if row < size.rows && i < size.input_width {
        return four_inputs(row, i);
    }
    return vec4<f32>();
}

fn one_input(place: u32) -> f32 {
    return input_quads[place >> 2u][place & 3u];
}
