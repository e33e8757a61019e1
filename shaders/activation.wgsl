// The elementwise functions of src/kernels/activation.rs but for those of relu.wgsl, numbered in src/program/lower.rs.

fn activation_2(x: f32) -> f32 {
    return elu(x, P0);
}

fn activation_3(x: f32) -> f32 {
    return celu(x, P0);
}

fn activation_4(x: f32) -> f32 {
    return 1.050701 * elu(x, 1.6732632); // selu
}

fn activation_5(x: f32) -> f32 {
    return x * normal_distribution(x); // gelu
}

fn activation_6(x: f32) -> f32 {
    return gelu_tanh(x);
}

fn activation_7(x: f32) -> f32 {
    return sigmoid(x);
}

fn activation_8(x: f32) -> f32 {
    return clamp(P0 * x + P1, 0.0, 1.0); // hard_sigmoid
}

fn activation_9(x: f32) -> f32 {
    return x * sigmoid(x); // silu
}

fn activation_10(x: f32) -> f32 {
    return x * (clamp(x + 3.0, 0.0, 6.0) / 6.0); // hard_silu
}

fn activation_11(x: f32) -> f32 {
    return hyperbolic_tangent(x);
}

fn activation_12(x: f32) -> f32 {
    return clamp(x, -1.0, 1.0); // hard_tanh
}

fn activation_13(x: f32) -> f32 {
    return x - hyperbolic_tangent(x); // tanh_shrink
}

fn activation_14(x: f32) -> f32 {
    return select(x, 0.0, abs(x) <= P0); // hard_shrink
}

fn activation_15(x: f32) -> f32 {
    return soft_shrink(x, P0);
}

fn activation_16(x: f32) -> f32 {
    return select(x, P1, x <= P0); // threshold
}

fn activation_17(x: f32) -> f32 {
    return softplus(x);
}

fn activation_18(x: f32) -> f32 {
    return squareplus(x);
}

fn activation_19(x: f32) -> f32 {
    return x / (1.0 + abs(x)); // softsign
}

fn activation_20(x: f32) -> f32 {
    return -softplus(-x); // log_sigmoid
}

fn activation_21(x: f32) -> f32 {
    return x * hyperbolic_tangent(softplus(x)); // mish
}

fn activation_22(x: f32) -> f32 {
    return sparse_plus(x);
}

fn activation_23(x: f32) -> f32 {
    return clamp(0.5 * (x + 1.0), 0.0, 1.0); // sparse_sigmoid
}

fn activation_24(x: f32) -> f32 {
    return exponential(x);
}

fn activation_25(x: f32) -> f32 {
    return min(max(x, P0), P1); // clip; clamp refuses bounds that other functions use otherwise
}

fn activation_26(x: f32) -> f32 {
    return abs(x);
}

fn activation_27(x: f32) -> f32 {
    return -x;
}

fn activation_28(x: f32) -> f32 {
    return natural_logarithm(x);
}

fn activation_29(x: f32) -> f32 {
    return sqrt(x);
}

fn activation_30(x: f32) -> f32 {
    return 1.0 / x;
}

fn activation_31(x: f32) -> f32 {
    return sign(x);
}

fn activation_32(x: f32) -> f32 {
    return floor(x);
}

fn activation_33(x: f32) -> f32 {
    return ceil(x);
}

fn activation_34(x: f32) -> f32 {
    return round(x);
}

fn activation_35(x: f32) -> f32 {
    return trunc(x);
}

fn activation_36(x: f32) -> f32 {
    return 2.0 * normal_distribution(x * 1.41421356) - 1.0; // erf
}

fn activation_37(x: f32) -> f32 {
    return f32(x == 0.0 && !is_nan(x)); // not
}

fn activation_38(x: f32) -> f32 {
    return f32(is_nan(x));
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
