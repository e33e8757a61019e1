//! Functions of two values: data, and the scalar definitions that every kernel is held to.

/// A function of two values. Comparisons and logic give 1 for true and 0 for false, and take any other value but 0 for
/// true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Subtract,
    /// a · b
    Multiply,
    /// a / b
    Divide,
    /// a to the power of b
    Power,
    /// The larger one, NaN if either is.
    Maximum,
    /// The smaller one, NaN if either is.
    Minimum,
    /// a where it is not negative, a · b elsewhere.
    PRelu,
    /// b where a is true, else 0: with its counterpart and a sum, a choice between two values.
    Where,
    /// b where a is false, else 0.
    WhereNot,
    /// a < b
    Less,
    /// a ≤ b
    LessEqual,
    /// a > b
    Greater,
    /// a ≥ b
    GreaterEqual,
    /// a = b
    Equal,
    /// a and b
    And,
    /// a or b
    Or,
    /// Either, not both.
    Xor,
}

/// a to the power of b. JavaScript's is as exact, and the standard library's is half a kilobyte of the download; but
/// JavaScript has NaN for 1 to the power of NaN, and for ±1 to that of ±∞.
fn power(a: f32, b: f32) -> f32 {
    #[cfg(target_arch = "wasm32")]
    return if a == 1.0 || (a == -1.0 && b.is_infinite()) {
        1.0
    } else {
        js_sys::Math::pow(a.into(), b.into()) as f32
    };
    #[cfg(not(target_arch = "wasm32"))]
    a.powf(b)
}

impl Binary {
    /// All of them, with their names in a container.
    pub const NAMED: [(&'static str, Self); 18] = [
        ("add", Self::Add),
        ("subtract", Self::Subtract),
        ("multiply", Self::Multiply),
        ("divide", Self::Divide),
        ("power", Self::Power),
        ("maximum", Self::Maximum),
        ("minimum", Self::Minimum),
        ("prelu", Self::PRelu),
        ("where", Self::Where),
        ("where_not", Self::WhereNot),
        ("less", Self::Less),
        ("less_equal", Self::LessEqual),
        ("greater", Self::Greater),
        ("greater_equal", Self::GreaterEqual),
        ("equal", Self::Equal),
        ("and", Self::And),
        ("or", Self::Or),
        ("xor", Self::Xor),
    ];

    /// The function's value: the specification of every kernel.
    pub fn value(self, a: f32, b: f32) -> f32 {
        let truth = |is: bool| if is { 1.0 } else { 0.0 };
        let (p, q) = (a != 0.0, b != 0.0);
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Power => power(a, b),
            Self::Maximum if a > b || a.is_nan() => a,
            Self::Maximum => b,
            Self::Minimum if a < b || a.is_nan() => a,
            Self::Minimum => b,
            Self::PRelu if a < 0.0 => a * b,
            Self::PRelu => a,
            Self::Where if p => b,
            Self::WhereNot if !p => b,
            Self::Where | Self::WhereNot => 0.0,
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::Greater => truth(a > b),
            Self::GreaterEqual => truth(a >= b),
            Self::Equal => truth(a == b),
            Self::And => truth(p && q),
            Self::Or => truth(p || q),
            Self::Xor => truth(p != q),
        }
    }

    /// The function of two rows; one shorter than `out` repeats. The commonest functions of whole rows branch once a
    /// row, not once a value, so that they vectorise.
    pub fn apply(self, a: &[f32], b: &[f32], out: &mut [f32]) {
        let whole = a.len() == out.len() && b.len() == out.len();
        let pairs = a.iter().cycle().zip(b.iter().cycle()).zip(out.iter_mut());
        match self {
            Self::Add if whole => out.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a + b),
            Self::Multiply if whole => out.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = a * b),
            op => pairs.for_each(|((&a, &b), y)| *y = op.value(a, b)),
        }
    }

    /// Whether a layer may join more than two inputs by it.
    pub fn takes_many(self) -> bool {
        matches!(self, Self::Add | Self::Multiply | Self::Maximum | Self::Minimum)
    }

    /// Whether small changes of the operands are small changes of the value, everywhere.
    pub fn is_continuous(self) -> bool {
        use Binary::*;
        matches!(self, Add | Subtract | Multiply | Maximum | Minimum | PRelu)
    }

    /// The class name in Keras of the layer that computes it, or the operator's in ONNX where Keras has none.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Subtract => "Subtract",
            Self::Multiply => "Multiply",
            Self::Divide => "Div",
            Self::Power => "Pow",
            Self::Maximum => "Maximum",
            Self::Minimum => "Minimum",
            Self::PRelu => "PRelu",
            Self::Where | Self::WhereNot => "Where",
            Self::Less => "Less",
            Self::LessEqual => "LessOrEqual",
            Self::Greater => "Greater",
            Self::GreaterEqual => "GreaterOrEqual",
            Self::Equal => "Equal",
            Self::And => "And",
            Self::Or => "Or",
            Self::Xor => "Xor",
        }
    }
}
