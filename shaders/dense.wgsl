// output = activation(input · kernel + bias), for many rows.
//
// A workgroup computes a tile of 64 rows × 64 units, a thread 4 × 4 of it in registers. The tile's inputs pass through
// shared memory 16 at a time, so each is read from memory once a tile rather than once a thread. What lies outside the
// matrices is read as 0 and not written.

const THREADS = 16u;
const BLOCK = 4u;
const DEPTH = 16u;

// Of [input][rows or units, by fours].
var<workgroup> row_tile: array<vec4<f32>, 256>;
var<workgroup> unit_tile: array<vec4<f32>, 256>;

fn input_at(row: u32, i: u32) -> f32 {
    if row < size.rows && i < size.input_width {
        return input[row * size.input_width + i];
    }
    return 0.0;
}

fn kernel_at(i: u32, unit: u32) -> f32 {
    if i < size.input_width && unit < size.output_width {
        return weight(i, unit);
    }
    return 0.0;
}

fn write(row: u32, unit: u32, products: vec4<f32>) {
    if row >= size.rows {
        return;
    }
    for (var u = 0u; u < BLOCK; u++) {
        if unit + u < size.output_width {
            output[row * size.output_width + unit + u] = finish(products[u], unit + u);
        }
    }
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>) {
    let unit = (tile.x * THREADS + thread.x) * BLOCK;
    let row = (tile.y * THREADS + thread.y) * BLOCK;
    var products = array<vec4<f32>, 4>();
    for (var start = 0u; start < size.input_width; start += DEPTH) {
        // Neighbouring threads read neighbouring inputs of the rows, and neighbouring units of the kernel.
        let i = start + thread.x;
        row_tile[thread.x * THREADS + thread.y] =
            vec4(input_at(row, i), input_at(row + 1u, i), input_at(row + 2u, i), input_at(row + 3u, i));
        let k = start + thread.y;
        unit_tile[thread.y * THREADS + thread.x] =
            vec4(kernel_at(k, unit), kernel_at(k, unit + 1u), kernel_at(k, unit + 2u), kernel_at(k, unit + 3u));
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
            let rows = row_tile[d * THREADS + thread.y];
            let units = unit_tile[d * THREADS + thread.x];
            products[0] += rows.x * units;
            products[1] += rows.y * units;
            products[2] += rows.z * units;
            products[3] += rows.w * units;
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < BLOCK; r++) {
        write(row + r, unit, products[r]);
    }
}
