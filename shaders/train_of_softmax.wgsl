fn part(y: f32, dy: f32) -> f32 {
    return y * dy;
}

fn back(y: f32, dy: f32, sum: f32) -> f32 {
    return y * (dy - sum);
}
