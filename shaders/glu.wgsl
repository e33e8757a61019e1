// The first half of each row times the sigmoid of its second half.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.output_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        // The row before this one ends i / width half rows further on than in the output.
        let value = i + (i / width) * width;
        output[i] = input[value] * sigmoid(input[value + width]);
    }
}
