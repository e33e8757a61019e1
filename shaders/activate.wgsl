// output = activation(input), value by value.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    // Strides over the values, because a dispatch has at most 65535 workgroups.
    let count = size.rows * size.output_width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        output[i] = activation(input[i]);
    }
}
