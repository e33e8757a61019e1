// output = activation(input · kernel + bias), for many rows, on processors that pass for a GPU.
//
// SwiftShader runs 4 threads as the lanes of a vector, one such vector after another. Each value read costs it some 75
// instructions however the lanes' addresses lie, and a multiplication and addition 5; barriers are costlier still. So a
// thread computes 16 rows × 8 units straight from memory, 24 values read for 128 products. It neither unrolls loops nor
// shares the code of reads, and slows down where a loop outgrows the instruction cache: hence all rows written out, and
// one input at a time.

alias Block = mat2x4<f32>;
const ROWS = 16u;
const QUADS = 2u;
const THREADS = 4u;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let quads = (size.output_width + 3u) / 4u;
    let quad = tile.x * THREADS * QUADS + lane;
    // What lies outside the matrices repeats their last row or unit, and is not written.
    var place = min(vec2(quad) + vec2(0u, THREADS), vec2(quads - 1u));
    let row = tile.y * ROWS;
    let last = vec4(size.rows - 1u);
    let starts_0 = min(row + vec4(0u, 1u, 2u, 3u), last) * size.input_width;
    let starts_1 = min(row + vec4(4u, 5u, 6u, 7u), last) * size.input_width;
    let starts_2 = min(row + vec4(8u, 9u, 10u, 11u), last) * size.input_width;
    let starts_3 = min(row + vec4(12u, 13u, 14u, 15u), last) * size.input_width;
    var s0: Block; var s1: Block; var s2: Block; var s3: Block;
    var s4: Block; var s5: Block; var s6: Block; var s7: Block;
    var s8: Block; var s9: Block; var s10: Block; var s11: Block;
    var s12: Block; var s13: Block; var s14: Block; var s15: Block;
    for (var i = 0u; i < size.input_width; i++) {
        let w = Block(four_weights(place.x), four_weights(place.y));
        place += vec2(quads);
        s0 += input[starts_0.x + i] * w;
        s1 += input[starts_0.y + i] * w;
        s2 += input[starts_0.z + i] * w;
        s3 += input[starts_0.w + i] * w;
        s4 += input[starts_1.x + i] * w;
        s5 += input[starts_1.y + i] * w;
        s6 += input[starts_1.z + i] * w;
        s7 += input[starts_1.w + i] * w;
        s8 += input[starts_2.x + i] * w;
        s9 += input[starts_2.y + i] * w;
        s10 += input[starts_2.z + i] * w;
        s11 += input[starts_2.w + i] * w;
        s12 += input[starts_3.x + i] * w;
        s13 += input[starts_3.y + i] * w;
        s14 += input[starts_3.z + i] * w;
        s15 += input[starts_3.w + i] * w;
    }
    var products = array<Block, ROWS>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
    for (var r = 0u; r < ROWS && row + r < size.rows; r++) {
        for (var q = 0u; q < QUADS; q++) {
            write_four(row + r, quad + q * THREADS, products[r][q]);
        }
    }
}
