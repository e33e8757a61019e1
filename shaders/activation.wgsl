// The elementwise functions of src/activation.rs, one a pipeline: the switch is resolved when the pipeline is made.

// Numbered in src/gpu/kernel.rs.
override ACTIVATION: u32 = 0u;
// `Elementwise::parameters`, in its order.
override P0: f32 = 0.0;
override P1: f32 = 0.0;
override P2: f32 = 0.0;

// How "no upper bound" is spelt: an override cannot be infinite.
const LARGEST = 0x1.fffffep+127f;

fn activation(x: f32) -> f32 {
    if is_nan(x) {
        return select(x, f32(ACTIVATION == 38u), ACTIVATION == 37u || ACTIVATION == 38u);
    }
    switch ACTIVATION {
        case 1u { return relu(x, P0, P1, P2); }
        case 2u { return elu(x, P0); }
        case 3u { return celu(x, P0); }
        case 4u { return 1.050701 * elu(x, 1.6732632); } // selu
        case 5u { return x * normal_distribution(x); } // gelu
        case 6u { return gelu_tanh(x); }
        case 7u { return sigmoid(x); }
        case 8u { return clamp(P0 * x + P1, 0.0, 1.0); } // hard_sigmoid
        case 9u { return x * sigmoid(x); } // silu
        case 10u { return x * (clamp(x + 3.0, 0.0, 6.0) / 6.0); } // hard_silu
        case 11u { return hyperbolic_tangent(x); }
        case 12u { return clamp(x, -1.0, 1.0); } // hard_tanh
        case 13u { return x - hyperbolic_tangent(x); } // tanh_shrink
        case 14u { return select(x, 0.0, abs(x) <= P0); } // hard_shrink
        case 15u { return soft_shrink(x, P0); }
        case 16u { return select(x, P1, x <= P0); } // threshold
        case 17u { return softplus(x); }
        case 18u { return squareplus(x); }
        case 19u { return x / (1.0 + abs(x)); } // softsign
        case 20u { return -softplus(-x); } // log_sigmoid
        case 21u { return x * hyperbolic_tangent(softplus(x)); } // mish
        case 22u { return sparse_plus(x); }
        case 23u { return clamp(0.5 * (x + 1.0), 0.0, 1.0); } // sparse_sigmoid
        case 24u { return exponential(x); }
        case 25u { return min(max(x, P0), P1); } // clip; clamp refuses bounds that other functions use otherwise
        case 26u { return abs(x); }
        case 27u { return -x; }
        case 28u { return natural_logarithm(x); }
        case 29u { return sqrt(x); }
        case 30u { return 1.0 / x; }
        case 31u { return sign(x); }
        case 32u { return floor(x); }
        case 33u { return ceil(x); }
        case 34u { return round(x); }
        case 35u { return trunc(x); }
        case 36u { return 2.0 * normal_distribution(x * 1.41421356) - 1.0; } // erf
        case 37u { return f32(x == 0.0); } // not
        case 38u { return 0.0; } // is_nan
        default { return x; } // linear
    }
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

fn elu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 {
        return alpha * exp_m1(x);
    }
    return x;
}

fn celu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 {
        return alpha * exp_m1(x / alpha);
    }
    return x;
}

fn gelu_tanh(x: f32) -> f32 {
    let inner = 0.7978846 * (x + 0.044715 * x * x * x); // √(2/π)
    return 0.5 * x * (1.0 + hyperbolic_tangent(inner));
}

fn squareplus(x: f32) -> f32 {
    let root = sqrt(x * x + P0);
    // The same below zero, without the difference of two numbers that nearly cancel.
    if x < 0.0 {
        return 0.5 * P0 / (root - x);
    }
    return 0.5 * (x + root);
}

fn soft_shrink(x: f32, threshold: f32) -> f32 {
    if abs(x) <= threshold {
        return 0.0;
    }
    return select(x + abs(threshold), x - abs(threshold), x >= 0.0);
}

fn sparse_plus(x: f32) -> f32 {
    if x <= -1.0 {
        return 0.0;
    }
    return select(0.25 * (x + 1.0) * (x + 1.0), x, x >= 1.0);
}
