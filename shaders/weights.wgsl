// What the two Dense kernels share: the layer's weights, and what follows the product.

// (input_width, units by fours), row-major.
@group(0) @binding(3) var<storage, read> kernel: array<vec4<f32>>;
// (output_width); some other buffer where BIAS is false.
@group(0) @binding(4) var<storage, read> bias: array<f32>;

override BIAS: bool = true;

fn finish(product: f32, unit: u32) -> f32 {
    if BIAS {
        return activation(product + bias[unit]);
    }
    return activation(product);
}

fn weight(i: u32, unit: u32) -> f32 {
    let quads = (size.output_width + 3u) / 4u;
    return kernel[i * quads + unit / 4u][unit % 4u];
}
