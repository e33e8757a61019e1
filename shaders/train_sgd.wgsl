fn update(i: u32, w: f32, g: f32) -> f32 {
    return w - g * size.rate;
}
