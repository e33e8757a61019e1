// Inputs by fours, of rows of any width.

fn four_inputs(row: u32, i: u32) -> vec4<f32> {
    let start = row * size.input_width + i;
    return vec4(input[start], input[start + 1u], input[start + 2u], input[start + 3u]);
}

// Zeros outside the rows.
fn inputs_or_zeros(row: u32, i: u32) -> vec4<f32> {
    var values = vec4<f32>();
    if row < size.rows {
        for (var k = 0u; k < min(size.input_width - min(i, size.input_width), 4u); k++) {
            values[k] = input[row * size.input_width + i + k];
        }
    }
    return values;
}

fn one_input(place: u32) -> f32 {
    return input[place];
}
