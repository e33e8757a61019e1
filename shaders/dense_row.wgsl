// output = activation(input · kernel + bias), for a few rows.
//
// With few rows the kernel's weights are read once each, whatever the tiling, and reading them is the whole cost. So a
// workgroup takes only 16 units of one row, and 16 threads share each unit's inputs: many short sums instead of few
// long ones.

const UNITS = 16u;
const LANES = 16u;

// Of [lane][unit].
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>) {
    let row = group.y;
    let unit = group.x * UNITS + thread.x;
    var sum = 0.0;
    if unit < size.output_width {
        for (var i = thread.y; i < size.input_width; i += LANES) {
            sum += input[row * size.input_width + i] * weight(i, unit);
        }
    }
    sums[thread.y * UNITS + thread.x] = sum;
    workgroupBarrier();
    if thread.y == 0u && unit < size.output_width {
        for (var lane = 1u; lane < LANES; lane++) {
            sum += sums[lane * UNITS + thread.x];
        }
        output[row * size.output_width + unit] = finish(sum, unit);
    }
}
