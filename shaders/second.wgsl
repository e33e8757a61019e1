// What kernels of two operands bind besides.

@group(0) @binding(3) var<storage, read> second: array<f32>;
