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
fn weights_or_zeros(i: u32, quad: u32) -> vec4<f32> {
    let quads = (size.output_width + 3u) / 4u;
    if i < size.input_width && quad < quads {
        return four_weights(i * quads + quad);
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
    let first_quad = tile.x * TILE_QUADS;
    var products: array<array<vec4<f32>, QUADS>, ROWS>;
    for (var start = 0u; start < size.input_width; start += DEPTH) {
        // Neighbouring threads read neighbouring inputs of a row, and neighbouring units of the kernel.
        for (var place = index; place < TILE_ROWS * STEPS; place += THREADS * THREADS) {
            row_tile[place] = inputs_or_zeros(first_row + place / STEPS, start + place % STEPS * 4u);
        }
        for (var place = index; place < DEPTH * TILE_QUADS; place += THREADS * THREADS) {
            unit_tile[place] = weights_or_zeros(start + place / TILE_QUADS, first_quad + place % TILE_QUADS);
        }
        workgroupBarrier();
        for (var step = 0u; step < STEPS; step++) {
            // A thread's rows lie THREADS apart, so that threads of different rows read different banks.
            var x: array<vec4<f32>, ROWS>;
            for (var r = 0u; r < ROWS; r++) {
                x[r] = row_tile[(r * THREADS + thread.y) * STEPS + step];
            }
            for (var q = 0u; q < QUADS; q++) {
                let place = step * 4u * TILE_QUADS + q * THREADS + thread.x;
                let a = unit_tile[place];
                let b = unit_tile[place + TILE_QUADS];
                let c = unit_tile[place + 2u * TILE_QUADS];
                let d = unit_tile[place + 3u * TILE_QUADS];
                for (var r = 0u; r < ROWS; r++) {
                    var sums = products[r][q];
                    sums = fma(vec4(x[r].x), a, sums);
                    sums = fma(vec4(x[r].y), b, sums);
                    sums = fma(vec4(x[r].z), c, sums);
                    products[r][q] = fma(vec4(x[r].w), d, sums);
                }
            }
        }
        workgroupBarrier();
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r * THREADS + thread.y;
        if row >= size.rows {
            break;
        }
        for (var q = 0u; q < QUADS; q++) {
            write_four(row, first_quad + q * THREADS + thread.x, products[r][q]);
        }
    }
}
