// Notes in the report whether a value is not finite, or larger than it may be: in its first word, which stops all updates from then on, and in that of
// what was checked.

struct Check {
    count: u32,
    place: u32,
    // The bits of the smallest size that no value may have.
    most: u32,
}

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> report: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> size: Check;

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = thread.x; i < size.count; i += groups.x * THREADS) {
        // By its bits: a compiler may assume that floats are finite.
        if (input[i] & 0x7fffffffu) >= size.most {
            atomicStore(&report[0], 1u);
            atomicStore(&report[size.place], 1u);
        }
    }
}
