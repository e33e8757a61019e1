// A further part of a sum.
fn start(at: u32, column: u32) -> f32 {
    return output[at];
}
