// output = start + input · second: where an operand's rows and columns lie is said by strides, so that it serves for x · K,
// dy · Kᵀ and xᵀ · dy. The host says what `start` is.

struct Product {
    rows: u32,
    columns: u32,
    depth: u32,
    // Values between one row of the first operand and the next one, and between its columns.
    input_row: u32,
    input_column: u32,
    second_row: u32,
    second_column: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> size: Product;
@group(0) @binding(3) var<storage, read> second: array<f32>;

// A workgroup's tile, of which each of 16 × 16 threads computes 4 × 4 values, and the depth that is loaded at once.
const TILE = 64u;
const DEPTH = 16u;

// By depth, then by row and by column.
var<workgroup> left: array<f32, 1024>;
var<workgroup> right: array<f32, 1024>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_row = group.y * TILE;
    let first_column = group.x * TILE;
    let own_row = thread / 16u * 4u;
    let own_column = thread % 16u * 4u;
    var sums: array<vec4<f32>, 4>;
    for (var depth = 0u; depth < size.depth; depth += DEPTH) {
        for (var i = thread; i < TILE * DEPTH; i += 256u) {
            load_left(i, first_row, depth);
            load_right(i, first_column, depth);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let at = k * TILE + own_column;
            let b = vec4(right[at], right[at + 1u], right[at + 2u], right[at + 3u]);
            for (var i = 0u; i < 4u; i++) {
                sums[i] += left[k * TILE + own_row + i] * b;
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + own_row + i;
        for (var j = 0u; j < 4u; j++) {
            let column = first_column + own_column + j;
            if row < size.rows && column < size.columns {
                let at = row * size.columns + column;
                output[at] = start(at, column) + sums[i][j];
            }
        }
    }
}

// Neighbouring threads load what lies side by side, whichever way that is.
fn load_left(i: u32, first_row: u32, depth: u32) {
    var k = i / TILE;
    var row = i % TILE;
    if size.input_column == 1u {
        k = i % DEPTH;
        row = i / DEPTH;
    }
    var value = 0.0;
    if first_row + row < size.rows && depth + k < size.depth {
        value = input[(first_row + row) * size.input_row + (depth + k) * size.input_column];
    }
    left[k * TILE + row] = value;
}

fn load_right(i: u32, first_column: u32, depth: u32) {
    var k = i / TILE;
    var column = i % TILE;
    if size.second_row == 1u {
        k = i % DEPTH;
        column = i / DEPTH;
    }
    var value = 0.0;
    if first_column + column < size.columns && depth + k < size.depth {
        value = second[(depth + k) * size.second_row + (first_column + column) * size.second_column];
    }
    right[k * TILE + column] = value;
}
