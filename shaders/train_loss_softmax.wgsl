// output = started + factor · weight · (softmax(input) · Σ label − label), a thread for each row: the gradient of a
// crossentropy with the softmax of logits.

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var row = thread.x; row < size.rows; row += groups.x * 64u) {
        let start = row * size.width;
        var largest = input[start];
        var total = 0.0;
        for (var i = 0u; i < size.width; i++) {
            largest = larger(largest, input[start + i]);
            total += label(row, i);
        }
        var sum = 0.0;
        for (var i = 0u; i < size.width; i++) {
            sum += exponential(input[start + i] - largest);
        }
        let factor = size.factor * weights[row / size.rows_a_sample];
        for (var i = 0u; i < size.width; i++) {
            let share = exponential(input[start + i] - largest) / sum;
            output[start + i] = started(start + i) + factor * (share * total - label(row, i));
        }
    }
}
