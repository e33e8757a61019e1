// output = started + factor · weight · slope(target, prediction), value by value: the gradient of a loss that is a mean or sum
// over a row's values.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = size.rows * size.width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let factor = size.factor * weights[i / size.width / size.rows_a_sample];
        output[i] = started(i) + factor * slope(target_values[i], input[i]);
    }
}
