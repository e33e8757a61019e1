// output = activation(input · kernel + bias), for a few rows, on devices that pay dearly for shared memory and barriers.
//
// A thread computes 4 units of a row straight from memory. They lie THREADS apart, so that neighbouring threads read
// neighbouring weights, and the same inputs.

const THREADS = 32u;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = (size.output_width + 3u) / 4u * 4u;
    let units = vec4(tile.x * 4u * THREADS + lane) + vec4(0u, THREADS, 2u * THREADS, 3u * THREADS);
    // What lies beyond the last unit repeats it, and is not written.
    var places = min(units, vec4(width - 1u));
    let row = tile.y;
    var sums = vec4<f32>();
    var i = 0u;
    for (; i + 4u <= size.input_width; i += 4u) {
        let x = four_inputs(row, i);
        for (var k = 0u; k < 4u; k++) {
            sums += x[k] * vec4(weight(places.x), weight(places.y), weight(places.z), weight(places.w));
            places += vec4(width);
        }
    }
    for (; i < size.input_width; i++) {
        sums += one_input(row * size.input_width + i) * vec4(weight(places.x), weight(places.y), weight(places.z), weight(places.w));
        places += vec4(width);
    }
    for (var u = 0u; u < 4u; u++) {
        if units[u] < size.output_width {
            output[row * size.output_width + units[u]] = finish(sums[u], units[u]);
        }
    }
}
