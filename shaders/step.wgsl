// What every step binds: the values it reads, the values it writes, and its size.

struct Size {
    // Rows of this run: samples × rows a sample.
    rows: u32,
    input_width: u32,
    output_width: u32,
    // What the kernel says it is.
    extra: u32,
    // Values between one sample's operand and the next one's: none for constants.
    input_stride: u32,
    second_stride: u32,
}

@group(0) @binding(0) var<storage, read> input: array<f32>;
// The same by fours: a kernel uses one of them.
@group(0) @binding(0) var<storage, read> input_quads: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<uniform> size: Size;
