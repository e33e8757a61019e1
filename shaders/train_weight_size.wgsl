// The sums of a weight's absolute values and of their squares, by one workgroup, as floats in the report.

struct Sums {
    count: u32,
    place: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> report: array<u32>;
@group(0) @binding(2) var<uniform> size: Sums;

var<workgroup> partial: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32) {
    var sums = vec2(0.0);
    for (var i = thread; i < size.count; i += 256u) {
        sums += vec2(abs(input[i]), input[i] * input[i]);
    }
    partial[thread] = sums;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if thread < half {
            partial[thread] += partial[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        report[size.place] = bitcast<u32>(partial[0].x);
        report[size.place + 1u] = bitcast<u32>(partial[0].y);
    }
}
