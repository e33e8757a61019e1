// What follows the product.

// (output_width); some other buffer where BIAS is false.
@group(0) @binding(4) var<storage, read> bias: array<f32>;

override BIAS: bool = true;

fn finish(product: f32, unit: u32) -> f32 {
    let scaled = product * weights_scale(unit);
    if BIAS {
        return activation(scaled + bias[unit]);
    }
    return activation(scaled);
}
