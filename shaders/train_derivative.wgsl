// The derivatives of the functions of relu.wgsl and activation.wgsl, by the same numbers: at x, where the value is y. As in
// src/kernels/gradient.rs, and at a kink as there.

fn derivative_0(x: f32, y: f32) -> f32 {
    return 1.0; // linear
}

fn derivative_1(x: f32, y: f32) -> f32 {
    if x > P2 {
        return f32(P0 >= LARGEST || x < P0); // relu
    }
    return P1;
}

fn derivative_2(x: f32, y: f32) -> f32 {
    return select(1.0, y + P0, x < 0.0); // elu
}

fn derivative_3(x: f32, y: f32) -> f32 {
    if x < 0.0 {
        return y / P0 + 1.0; // celu
    }
    return 1.0;
}

fn derivative_4(x: f32, y: f32) -> f32 {
    return select(1.050701, y + 1.7580993, x < 0.0); // selu
}

fn derivative_5(x: f32, y: f32) -> f32 {
    return normal_distribution(x) + x * 0.3989423 * exponential(-0.5 * x * x); // gelu
}

fn derivative_6(x: f32, y: f32) -> f32 {
    let t = hyperbolic_tangent(0.7978846 * (x + 0.044715 * x * x * x)); // gelu_tanh
    let inner = 0.7978846 * (1.0 + 3.0 * 0.044715 * x * x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner;
}

fn derivative_7(x: f32, y: f32) -> f32 {
    return y * (1.0 - y); // sigmoid
}

fn derivative_8(x: f32, y: f32) -> f32 {
    let inner = P0 * x + P1; // hard_sigmoid
    return select(0.0, P0, inner > 0.0 && inner < 1.0);
}

fn derivative_9(x: f32, y: f32) -> f32 {
    let s = sigmoid(x); // silu
    return s + y * (1.0 - s);
}

fn derivative_10(x: f32, y: f32) -> f32 {
    if x <= -3.0 {
        return 0.0; // hard_silu
    }
    return select((2.0 * x + 3.0) / 6.0, 1.0, x >= 3.0);
}

fn derivative_11(x: f32, y: f32) -> f32 {
    return 1.0 - y * y; // tanh
}

fn derivative_12(x: f32, y: f32) -> f32 {
    return f32(abs(x) < 1.0); // hard_tanh
}

fn derivative_13(x: f32, y: f32) -> f32 {
    return (x - y) * (x - y); // tanh_shrink
}

fn derivative_14(x: f32, y: f32) -> f32 {
    return f32(abs(x) > P0); // hard_shrink
}

fn derivative_15(x: f32, y: f32) -> f32 {
    return f32(abs(x) > P0); // soft_shrink
}

fn derivative_16(x: f32, y: f32) -> f32 {
    return f32(x > P0); // threshold
}

fn derivative_17(x: f32, y: f32) -> f32 {
    return sigmoid(x); // softplus
}

fn derivative_18(x: f32, y: f32) -> f32 {
    return 0.5 * (1.0 + x / sqrt(x * x + P0)); // squareplus
}

fn derivative_19(x: f32, y: f32) -> f32 {
    return 1.0 / ((1.0 + abs(x)) * (1.0 + abs(x))); // softsign
}

fn derivative_20(x: f32, y: f32) -> f32 {
    return sigmoid(-x); // log_sigmoid
}

fn derivative_21(x: f32, y: f32) -> f32 {
    let t = hyperbolic_tangent(softplus(x)); // mish
    return t + x * (1.0 - t * t) * sigmoid(x);
}

fn derivative_22(x: f32, y: f32) -> f32 {
    return clamp(0.5 * (x + 1.0), 0.0, 1.0); // sparse_plus
}

fn derivative_23(x: f32, y: f32) -> f32 {
    return select(0.0, 0.5, abs(x) < 1.0); // sparse_sigmoid
}

fn derivative_24(x: f32, y: f32) -> f32 {
    return y; // exponential
}

fn derivative_25(x: f32, y: f32) -> f32 {
    return f32(x >= P0 && x <= P1); // clip
}

fn derivative_26(x: f32, y: f32) -> f32 {
    return sign(x); // absolute
}

fn derivative_27(x: f32, y: f32) -> f32 {
    return -1.0; // negative
}

fn derivative_28(x: f32, y: f32) -> f32 {
    return 1.0 / x; // log
}

fn derivative_29(x: f32, y: f32) -> f32 {
    return 0.5 / y; // sqrt
}

fn derivative_30(x: f32, y: f32) -> f32 {
    return -y * y; // reciprocal
}

// sign and all that steps

fn derivative_31(x: f32, y: f32) -> f32 {
    return 0.0;
}

fn derivative_36(x: f32, y: f32) -> f32 {
    return 1.1283792 * exponential(-x * x); // erf
}
