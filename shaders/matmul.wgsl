// The product of two operands' matrices; size.extra is the number of the first one's rows. Both are results of other
// steps, which in dense networks are small: a thread a value.

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.output_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let row = i / width;
        let matrix = row / size.extra * size.input_width * width;
        var sum = 0.0;
        for (var k = 0u; k < size.input_width; k++) {
            sum += input[row * size.input_width + k] * second[matrix + k * width + i - row * width];
        }
        output[i] = sum;
    }
}
