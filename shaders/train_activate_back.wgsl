// output = started + dy · f′(input), value by value; `second` has what f gave.

@group(0) @binding(4) var<storage, read> dy: array<f32>;

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = size.rows * size.output_width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        output[i] = started(i) + dy[i] * derivative(input[i], second[i]);
    }
}
