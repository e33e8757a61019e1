fn divisor(i: u32, v: f32) -> f32 {
    return v;
}
