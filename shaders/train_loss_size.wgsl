// What gradients of losses bind: predictions, gradient, targets and the samples' weights.

struct Size {
    rows: u32,
    width: u32,
    rows_a_sample: u32,
    // Whether the gradient is added to what there is.
    extra: u32,
    // Share of a row, or of a value where the loss is a mean over them.
    factor: f32,
    p0: f32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> size: Size;
@group(0) @binding(3) var<storage, read> target_values: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
