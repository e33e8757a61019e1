// Rows brought to a common size.

// Numbered in src/program/lower.rs.
override FUNCTION: u32 = 0u;
override EPSILON: f32 = 0.0;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let width = size.input_width;
    let lane = lane_of(thread);
    for (var row = first_row(group.x, thread); row < size.rows; row += rows_on(groups.x)) {
        let start = row * width;
        var offset = 0.0;
        if FUNCTION == 0u { // standardize
            var sum = 0.0;
            for (var i = lane; i < width; i += LANES) {
                sum += input[start + i];
            }
            offset = row_sum(sum, lane) / f32(width);
        }
        var squares = 0.0;
        for (var i = lane; i < width; i += LANES) {
            let x = input[start + i] - offset;
            squares += x * x;
        }
        squares = row_sum(squares, lane);
        var divisor = squares / f32(width) + EPSILON;
        if FUNCTION == 2u { // unit_normalize
            divisor = select(squares, EPSILON, !is_nan(squares) && squares < EPSILON);
        }
        divisor = sqrt(divisor);
        for (var i = lane; i < width; i += LANES) {
            output[start + i] = (input[start + i] - offset) / divisor;
        }
    }
}
