// output = activation(input · kernel + bias), for one row, on processors that pass for a GPU: as dense_direct.wgsl, but
// 1 row × 16 units a thread.

const ROWS = 1u;
const QUADS = 4u;
const THREADS = 4u;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quads = (size.output_width + 3u) / 4u;
    let quad = tile.x * THREADS * QUADS + lane;
    // What lies outside the matrices repeats their last row or unit, and is not written.
    var place = min(vec4(quad) + THREADS * vec4(0u, 1u, 2u, 3u), vec4(quads - 1u));
    let start = tile.y * size.input_width;
    var sums = mat4x4<f32>();
    for (var i = 0u; i < size.input_width; i++) {
        let w = mat4x4<f32>(four_weights(place.x), four_weights(place.y), four_weights(place.z), four_weights(place.w));
        place += vec4(quads);
        sums += input[start + i] * w;
    }
    for (var q = 0u; q < QUADS; q++) {
        write_four(tile.y, quad + q * THREADS, sums[q]);
    }
}
