// output = activation(input · kernel + bias), for a few rows, on processors that pass for a GPU: as dense_direct.wgsl, but
// 4 rows × 16 units a thread.

const ROWS = 4u;
const QUADS = 4u;
const THREADS = 4u;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quads = (size.output_width + 3u) / 4u;
    let quad = tile.x * THREADS * QUADS + lane;
    // What lies outside the matrices repeats their last row or unit, and is not written.
    var place = min(vec4(quad) + THREADS * vec4(0u, 1u, 2u, 3u), vec4(quads - 1u));
    let row = tile.y * ROWS;
    let last = vec4(size.rows - 1u);
    let starts = min(row + vec4(0u, 1u, 2u, 3u), last) * size.input_width;
    var s0 = mat4x4<f32>();
    var s1 = mat4x4<f32>();
    var s2 = mat4x4<f32>();
    var s3 = mat4x4<f32>();
    for (var i = 0u; i < size.input_width; i++) {
        let w = mat4x4<f32>(four_weights(place.x), four_weights(place.y), four_weights(place.z), four_weights(place.w));
        place += vec4(quads);
        s0 += input[starts.x + i] * w;
        s1 += input[starts.y + i] * w;
        s2 += input[starts.z + i] * w;
        s3 += input[starts.w + i] * w;
    }
    var products = array<mat4x4<f32>, ROWS>(s0, s1, s2, s3);
    for (var r = 0u; r < ROWS && row + r < size.rows; r++) {
        for (var q = 0u; q < QUADS; q++) {
            write_four(row + r, quad + q * THREADS, products[r][q]);
        }
    }
}
