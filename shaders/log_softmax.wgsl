// (x − max) − ln of the row's sum of e^(x − max).

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
            sum += exponential(input[start + i] - largest);
        }
        sum = row_sum(sum, lane);
        // The sum is at least 1, the largest value's own term, unless it is NaN.
        let log_sum = select(log(sum), sum, is_nan(sum));
        for (var i = lane; i < size.input_width; i += LANES) {
            output[start + i] = (input[start + i] - largest) - log_sum;
        }
    }
}
