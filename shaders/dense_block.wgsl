// output = activation(input · kernel + bias), for many rows, on GPUs whose caches serve neighbouring threads better than
// shared memory and barriers would.
//
// A thread computes 4 rows × 4 units straight from memory, 4 inputs at a time.

const THREADS = 8u;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>) {
    let quads = (size.output_width + 3u) / 4u;
    let quad = tile.x * THREADS + thread.x;
    let row = (tile.y * THREADS + thread.y) * 4u;
    // What lies outside the matrices repeats their last row or unit, and is not written.
    var place = min(quad, quads - 1u);
    let rows = min(row + vec4(0u, 1u, 2u, 3u), vec4(size.rows - 1u));
    var products: mat4x4<f32>; // a column for each row
    var i = 0u;
    for (; i + 4u <= size.input_width; i += 4u) {
        let w = mat4x4(
            four_weights(place),
            four_weights(place + quads),
            four_weights(place + 2u * quads),
            four_weights(place + 3u * quads),
        );
        place += 4u * quads;
        products += w * mat4x4(four_inputs(rows.x, i), four_inputs(rows.y, i), four_inputs(rows.z, i), four_inputs(rows.w, i));
    }
    for (; i < size.input_width; i++) {
        let w = four_weights(place);
        place += quads;
        let x = rows * size.input_width + i;
        products += mat4x4(one_input(x.x) * w, one_input(x.y) * w, one_input(x.z) * w, one_input(x.w) * w);
    }
    for (var r = 0u; r < 4u && row + r < size.rows; r++) {
        write_four(row + r, quad, products[r]);
    }
}
