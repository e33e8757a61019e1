// output = activation(input · kernel + bias), for many rows.
//
// A workgroup computes a tile of 16 · ROWS rows × 64 · QUADS units, a thread ROWS rows × QUADS fours of units of it in
// registers. The tile's inputs and weights pass through shared memory DEPTH inputs at a time, so each is read from memory
// once a tile rather than once a thread. What lies outside the matrices is read as 0 and not written.
//
// The host puts before it: const ROWS, const QUADS, const DEPTH.

const THREADS = 16u;
const TILE_ROWS = THREADS * ROWS;
const TILE_QUADS = THREADS * QUADS;
// Fours of inputs.
const STEPS = DEPTH / 4u;

// Of [row][inputs by fours] and of [input][units by fours].
var<workgroup> row_tile: array<vec4<f32>, TILE_ROWS * STEPS>;
var<workgroup> unit_tile: array<vec4<f32>, DEPTH * TILE_QUADS>;

// Zeros outside the kernel.
fn weights_or_zeros(i: u32, unit: u32) -> vec4<f32> {
    let width = (size.output_width + 3u) / 4u * 4u;
    if i < size.input_width && unit < width {
        return four_weights(i * width + unit);
    }
    return vec4<f32>();
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_row = tile.y * TILE_ROWS;
    let first_unit = tile.x * TILE_QUADS * 4u;
    var products: array<array<vec4<f32>, QUADS>, ROWS>;
    for (var start = 0u; start < size.input_width; start += DEPTH) {
        // Neighbouring threads read neighbouring inputs of a row, and neighbouring units of the kernel.
        for (var place = index; place < TILE_ROWS * STEPS; place += THREADS * THREADS) {
            row_tile[place] = inputs_or_zeros(first_row + place / STEPS, start + place % STEPS * 4u);
        }
        for (var place = index; place < DEPTH * TILE_QUADS; place += THREADS * THREADS) {
            unit_tile[place] = weights_or_zeros(start + place / TILE_QUADS, first_unit + place % TILE_QUADS * 4u);
        }
        workgroupBarrier();
        for (var step = 0u; step < STEPS; step++) {
            for (var q = 0u; q < QUADS; q++) {
                let place = step * 4u * TILE_QUADS + q * THREADS + thread.x;
                let a = unit_tile[place];
                let b = unit_tile[place + TILE_QUADS];
                let c = unit_tile[place + 2u * TILE_QUADS];
                let d = unit_tile[place + 3u * TILE_QUADS];
                for (var r = 0u; r < ROWS; r++) {
                    let x = row_tile[(thread.y * ROWS + r) * STEPS + step];
                    products[r][q] = fma(vec4(x.w), d, fma(vec4(x.z), c, fma(vec4(x.y), b, fma(vec4(x.x), a, products[r][q]))));
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = first_row + thread.y * ROWS + r;
        if row >= size.rows {
            break;
        }
        for (var q = 0u; q < QUADS; q++) {
            let unit = first_unit + (q * THREADS + thread.x) * 4u;
            for (var u = 0u; u < 4u; u++) {
                if unit + u < size.output_width {
                    output[row * size.output_width + unit + u] = finish(products[r][q][u], unit + u);
                }
            }
        }
    }
}
