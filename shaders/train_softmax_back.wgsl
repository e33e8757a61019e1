// The gradient that goes through a softmax or its logarithm: input has what that gave, second the gradient.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = lane_of(thread);
    for (var row = first_row(group.x, thread); row < size.rows; row += rows_on(groups.x)) {
        let start = row * size.input_width;
        var sum = 0.0;
        for (var i = start + lane; i < start + size.input_width; i += LANES) {
            sum += part(input[i], second[i]);
        }
        sum = row_sum(sum, lane);
        for (var i = start + lane; i < start + size.input_width; i += LANES) {
            output[i] = started(i) + back(input[i], second[i], sum);
        }
    }
}
