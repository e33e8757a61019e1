// A row of the table, the second operand, for each value.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.output_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let row = i / width;
        output[i] = second[u32(input[row]) * width + i - row * width];
    }
}
