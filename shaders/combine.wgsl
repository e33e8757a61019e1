// output = activation(combine(input, second)), value by value; an operand of fewer values than the result repeats.
// size.extra is the second operand's width.

const THREADS = 256u;

// Numbered by `Binary::NAMED`.
override FUNCTION: u32 = 0u;

fn combine(a: f32, b: f32) -> f32 {
    let p = is_true(a);
    let q = is_true(b);
    let ordered = !is_nan(a) && !is_nan(b);
    switch FUNCTION {
        case 0u { return a + b; }
        case 1u { return a - b; }
        case 2u { return a * b; }
        case 3u { return a / b; }
        case 4u { return power(a, b); }
        case 5u { return select(b, a, is_nan(a) || (ordered && a > b)); } // maximum
        case 6u { return select(b, a, is_nan(a) || (ordered && a < b)); } // minimum
        case 7u { return select(a, a * b, !is_nan(a) && a < 0.0); } // prelu
        case 8u { return select(0.0, b, p); } // where
        case 9u { return select(b, 0.0, p); } // where_not
        case 10u { return f32(ordered && a < b); }
        case 11u { return f32(ordered && a <= b); }
        case 12u { return f32(ordered && a > b); }
        case 13u { return f32(ordered && a >= b); }
        case 14u { return f32(ordered && a == b); }
        case 15u { return f32(p && q); }
        case 16u { return f32(p || q); }
        default { return f32(p != q); }
    }
}

fn is_true(x: f32) -> bool {
    return is_nan(x) || x != 0.0;
}

// The builtin is undefined for a negative base, and inexact for the commonest exponents.
fn power(a: f32, b: f32) -> f32 {
    if b == 0.0 || a == 1.0 {
        return 1.0;
    }
    if b == 1.0 || is_nan(a) {
        return a;
    }
    if is_nan(b) {
        return b;
    }
    if b == 2.0 {
        return a * a;
    }
    if b == 0.5 && a >= 0.0 {
        return sqrt(a);
    }
    if b == -1.0 {
        return 1.0 / a;
    }
    let size = pow(abs(a), b);
    if a >= 0.0 {
        return size;
    }
    if b != floor(b) {
        // Not a number, in a way that no compiler can object to.
        return bitcast<f32>(bitcast<u32>(size) | 0x7fc00000u);
    }
    return select(size, -size, abs(b) % 2.0 == 1.0);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) thread: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let width = size.output_width;
    let count = size.rows * width;
    for (var i = thread.x; i < count; i += groups.x * THREADS) {
        let sample = i / width;
        let position = i - sample * width;
        let a = input[sample * size.input_stride + position % size.input_width];
        let b = second[sample * size.second_stride + position % size.extra];
        output[i] = activation(combine(a, b));
    }
}
