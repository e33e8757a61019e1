// A weight's update, value by value, in Keras's order: the penalty's gradient is added, gradients are cut, weights decay, and
// then `update` gives the new one.

struct Size {
    count: u32,
    rate: f32,
    // Factor of the weights.
    decay: f32,
    // What gradients are cut to.
    most: f32,
    l1: f32,
    l2: f32,
    // Of the rule.
    p0: f32,
    p1: f32,
    p2: f32,
}

@group(0) @binding(0) var<storage, read> gradient: array<f32>;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<uniform> size: Size;
@group(0) @binding(3) var<storage, read> report: array<u32>;

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    // Since a value that was not finite, weights stay as they were.
    if report[0] != 0u {
        return;
    }
    for (var i = thread.x; i < size.count; i += groups.x * THREADS) {
        let w = weights[i];
        let g = gradient[i] + size.l1 * sign(w) + 2.0 * size.l2 * w;
        weights[i] = update(i, w * size.decay, clamp(g, -size.most, size.most));
    }
}

// As on the CPU: what decays ends at 0 and not in subnormal numbers.
fn flush(x: f32) -> f32 {
    return select(0.0, x, abs(x) >= 1e-30);
}
