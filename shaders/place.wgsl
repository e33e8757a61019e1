// The input's rows as a part of the output's wider ones, from position size.extra on.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.input_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let row = i / width;
        output[row * size.output_width + size.extra + i - row * width] = input[i];
    }
}
