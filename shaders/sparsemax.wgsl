// The row's projection on the probability simplex, by Michelot's algorithm as in src/activation.rs.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = lane_of(thread);
    for (var row = first_row(group.x, thread); row < size.rows; row += rows_on(groups.x)) {
        let start = row * size.input_width;
        // The projection of x − max is that of x, and small numbers lose less in the sum.
        let largest = row_max(start, lane);
        // The projection sums to 1, so none of it exceeds 1: no value 1 or more below the largest is part of it.
        var threshold = -1.0;
        var support = f32(size.input_width) + 1.0;
        loop {
            var sum = 0.0;
            var count = 0.0;
            for (var i = lane; i < size.input_width; i += LANES) {
                let x = input[start + i] - largest;
                if x > threshold {
                    sum += x;
                    count += 1.0;
                }
            }
            sum = row_sum(sum, lane);
            count = row_sum(count, lane);
            // Each pass leaves fewer values above the threshold, or was the last. NaN is above nothing.
            if count >= support || count == 0.0 {
                break;
            }
            support = count;
            threshold = (sum - 1.0) / count;
        }
        for (var i = lane; i < size.input_width; i += LANES) {
            let x = input[start + i] - largest;
            if is_nan(x) {
                output[start + i] = x;
            } else {
                output[start + i] = max(x - threshold, 0.0);
            }
        }
    }
}
