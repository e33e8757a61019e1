// The derivatives of losses by a prediction p whose target is y: src/train/loss.rs, numbered in src/gpu/train/kernel.rs. The
// parameter is that of a loss that has one.

// What probabilities and divisors are kept away from 0 by.
const SMALL = 1e-7;

fn slope_0(y: f32, p: f32) -> f32 {
    return 2.0 * (p - y); // mean_squared_error
}

fn slope_1(y: f32, p: f32) -> f32 {
    return sign(p - y); // mean_absolute_error
}

fn slope_2(y: f32, p: f32) -> f32 {
    return 100.0 / max(abs(y), SMALL) * sign(p - y); // mean_absolute_percentage_error
}

fn slope_3(y: f32, p: f32) -> f32 {
    if p <= SMALL {
        return 0.0; // mean_squared_logarithmic_error
    }
    return 2.0 * (natural_logarithm(1.0 + p) - natural_logarithm(1.0 + max(y, SMALL))) / (1.0 + p);
}

fn slope_4(y: f32, p: f32) -> f32 {
    return clamp(p - y, -size.p0, size.p0); // huber: delta
}

fn slope_5(y: f32, p: f32) -> f32 {
    return hyperbolic_tangent(p - y); // log_cosh
}

fn slope_6(y: f32, p: f32) -> f32 {
    return 1.0 - y / (p + SMALL); // poisson
}

fn slope_7(y: f32, p: f32) -> f32 {
    let label = label_of(y); // hinge
    return select(0.0, -label, 1.0 - label * p > 0.0);
}

fn slope_8(y: f32, p: f32) -> f32 {
    let label = label_of(y); // squared_hinge
    return -2.0 * label * max(1.0 - label * p, 0.0);
}

fn slope_9(y: f32, p: f32) -> f32 {
    return sigmoid(p) - smoothed(y); // binary_crossentropy of logits: label_smoothing
}

fn slope_10(y: f32, p: f32) -> f32 {
    if p < SMALL || p > 1.0 - SMALL {
        return 0.0; // binary_crossentropy: label_smoothing
    }
    return (1.0 - smoothed(y)) / (1.0 - p) - smoothed(y) / p;
}

fn slope_11(y: f32, p: f32) -> f32 {
    if p < SMALL || p > 1.0 {
        return 0.0; // kl_divergence
    }
    return -clamp(y, SMALL, 1.0) / p;
}

// Labels of 0 and 1 stand for −1 and 1 where the host says that there are no others.
fn label_of(y: f32) -> f32 {
    if size.p0 != 0.0 {
        return 2.0 * y - 1.0;
    }
    return y;
}

fn smoothed(y: f32) -> f32 {
    return y * (1.0 - size.p0) + 0.5 * size.p0;
}
