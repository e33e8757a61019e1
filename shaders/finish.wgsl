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

// Writes the products of a four of units, those of them that there are.
fn write_four(row: u32, quad: u32, products: vec4<f32>) {
    for (var u = 0u; u < 4u; u++) {
        let unit = quad * 4u + u;
        if unit < size.output_width {
            output[row * size.output_width + unit] = finish(products[u], unit);
        }
    }
}
