// output = started + input · derivative(second, third), value by value: input has the gradient, and the derivative is by one of
// two operands, or that of a function of `second`, which gave `third`.

@group(0) @binding(4) var<storage, read> third: array<f32>;

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let count = size.rows * size.output_width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        output[i] = started(i) + input[i] * derivative(second[i], third[i]);
    }
}
