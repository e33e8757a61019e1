// What a gradient is added to: what there is already, or nothing.
fn started(i: u32) -> f32 {
    if size.extra != 0u {
        return output[i];
    }
    return 0.0;
}
