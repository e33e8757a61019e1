// Each sample's values at the table's positions.

const THREADS = 256u;

@group(0) @binding(3) var<storage, read> table: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.output_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let sample = i / width;
        output[i] = input[sample * size.input_width + table[i - sample * width]];
    }
}
