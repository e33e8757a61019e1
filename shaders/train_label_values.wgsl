// A value for each class, of which a share is spread over all.
fn label(row: u32, i: u32) -> f32 {
    return target_values[row * size.width + i] * (1.0 - size.p0) + size.p0 / f32(size.width);
}
