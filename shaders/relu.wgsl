// The elementwise functions that most layers have. The host says which one `activation` is: a switch would have all of them
// compiled for each kernel, which is most of the time that takes.

// `Elementwise::parameters`, in its order.
override P0: f32 = 0.0;
override P1: f32 = 0.0;
override P2: f32 = 0.0;

// How "no upper bound" is spelt: an override cannot be infinite.
const LARGEST = 0x1.fffffep+127f;

fn activation_0(x: f32) -> f32 {
    return x; // linear
}

fn activation_1(x: f32) -> f32 {
    return relu(x, P0, P1, P2);
}

fn relu(x: f32, max_value: f32, negative_slope: f32, threshold: f32) -> f32 {
    if x < threshold {
        // Not by the product, which is NaN for −∞.
        return select(negative_slope * (x - threshold), 0.0, negative_slope == 0.0);
    }
    if max_value < LARGEST {
        return min(x, max_value);
    }
    return x;
}
