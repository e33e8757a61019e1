// e^(x − max) over the row's sum of it.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = lane_of(thread);
    for (var row = first_row(group.x, thread); row < size.rows; row += rows_on(groups.x)) {
        let start = row * size.input_width;
        let largest = row_max(start, lane);
        var sum = 0.0;
        for (var i = lane; i < size.input_width; i += LANES) {
            // NaN where the row has one: `largest` is NaN then, and `exponential` passes it on.
            let value = exponential(input[start + i] - largest);
            output[start + i] = value;
            sum += value;
        }
        sum = row_sum(sum, lane);
        for (var i = lane; i < size.input_width; i += LANES) {
            output[start + i] /= sum;
        }
    }
}
