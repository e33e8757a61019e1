// output = Σ input over the rows, a thread for each column: the gradient of a bias. size.extra says whether it is added to
// what there is.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.input_width;
    for (var column = thread.x; column < width; column += groups.x * 64u) {
        var sum = 0.0;
        for (var row = 0u; row < size.rows; row++) {
            sum += input[row * width + column];
        }
        output[column] = started(column) + sum;
    }
}
