// output = activation(input · kernel + bias), for ROWS rows, which are few.
//
// With few rows the kernel's weights are read once each, whatever the tiling, and reading them is the whole cost. So a
// workgroup takes only 4 · QUADS units, and many threads share each four's inputs: many short sums instead of few long ones.
// All rows share one reading of the weights.
//
// The host puts before it: const ROWS, const QUADS.

const LANES = 256u / QUADS;

// Of [lane][units by fours].
var<workgroup> sums: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let quads = (size.output_width + 3u) / 4u;
    let lane = thread / QUADS;
    let quad = group.x * QUADS + thread % QUADS;
    let first_row = group.y * ROWS;
    var products: array<vec4<f32>, ROWS>;
    if quad < quads {
        for (var i = lane; i < size.input_width; i += LANES) {
            let w = four_weights(i * quads + quad);
            for (var r = 0u; r < ROWS; r++) {
                // Rows beyond the last repeat it, and are not written.
                let row = min(first_row + r, size.rows - 1u);
                products[r] = fma(vec4(input[row * size.input_width + i]), w, products[r]);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        sums[thread] = products[r];
        workgroupBarrier();
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            if lane < half {
                sums[thread] += sums[thread + half * QUADS];
            }
            workgroupBarrier();
        }
        let row = first_row + r;
        if lane == 0u && row < size.rows {
            write_four(row, quad, sums[thread]);
        }
        workgroupBarrier();
    }
}
