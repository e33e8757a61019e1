//! Functions of values and of rows, in operators of ONNX's version 17.

use super::graph::{FLOAT, Graph, float, int, ints};
use crate::{Activation, Binary, Elementwise, Rowwise};

/// Functions that are an operator.
const OPERATORS: [(&str, &str); 18] = [
    ("relu", "Relu"),
    ("selu", "Selu"),
    ("sigmoid", "Sigmoid"),
    ("hard_silu", "HardSwish"),
    ("tanh", "Tanh"),
    ("softplus", "Softplus"),
    ("softsign", "Softsign"),
    ("exponential", "Exp"),
    ("absolute", "Abs"),
    ("negative", "Neg"),
    ("log", "Log"),
    ("square_root", "Sqrt"),
    ("reciprocal", "Reciprocal"),
    ("sign", "Sign"),
    ("floor", "Floor"),
    ("ceiling", "Ceil"),
    ("round", "Round"),
    ("erf", "Erf"),
];

fn operator(name: &str) -> Option<&'static str> {
    OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
}

impl Graph {
    /// The function of a value whose rows have this width.
    pub fn activation(&mut self, function: Activation, x: &str, width: usize) -> String {
        match function {
            Activation::LINEAR => x.to_string(),
            Activation::Elementwise(function) => self.elementwise(function, x),
            Activation::Rowwise(function) => self.rowwise(function, x, width),
        }
    }

    fn elementwise(&mut self, function: Elementwise, x: &str) -> String {
        if let Some(op) = operator(function.name())
            && Activation::from_name(function.name()) == Some(Activation::Elementwise(function))
        {
            return self.op(op, &[x]);
        }
        match function {
            Elementwise::Relu { max_value, negative_slope, threshold } => {
                self.relu(x, max_value, negative_slope, threshold)
            }
            Elementwise::Elu { alpha } => self.with("Elu", &[x], vec![float("alpha", alpha)]),
            Elementwise::Celu { alpha } => self.with("Celu", &[x], vec![float("alpha", alpha)]),
            Elementwise::Gelu => {
                let inner = self.times(x, std::f32::consts::FRAC_1_SQRT_2);
                let inner = self.op("Erf", &[&inner]);
                self.gate(x, &inner)
            }
            Elementwise::GeluTanh => {
                // √(2/π) · (x + 0.044715 · x³)
                let square = self.op("Mul", &[x, x]);
                let cube = self.op("Mul", &[&square, x]);
                let cube = self.times(&cube, 0.044_715);
                let inner = self.op("Add", &[x, &cube]);
                let inner = self.times(&inner, 0.797_884_6);
                let inner = self.op("Tanh", &[&inner]);
                self.gate(x, &inner)
            }
            Elementwise::HardSigmoid { slope, offset } => self.hard_sigmoid(x, slope, offset),
            Elementwise::SparseSigmoid => self.hard_sigmoid(x, 0.5, 0.5),
            Elementwise::Silu => {
                let gate = self.op("Sigmoid", &[x]);
                self.op("Mul", &[x, &gate])
            }
            Elementwise::HardTanh => self.clip(x, -1.0, 1.0),
            Elementwise::Clip { min, max } => self.clip(x, min, max),
            Elementwise::TanhShrink => {
                let tanh = self.op("Tanh", &[x]);
                self.op("Sub", &[x, &tanh])
            }
            Elementwise::HardShrink { threshold } => {
                self.with("Shrink", &[x], vec![float("lambd", threshold)])
            }
            Elementwise::SoftShrink { threshold } => {
                self.with("Shrink", &[x], vec![float("lambd", threshold), float("bias", threshold)])
            }
            Elementwise::Threshold { threshold, value } => {
                let (threshold, value) = (self.scalar(threshold), self.scalar(value));
                let is_below = self.op("LessOrEqual", &[x, &threshold]);
                self.op("Where", &[&is_below, &value, x])
            }
            Elementwise::Squareplus { b } => {
                let square = self.op("Mul", &[x, x]);
                let sum = self.plus(&square, b);
                let root = self.op("Sqrt", &[&sum]);
                let sum = self.op("Add", &[x, &root]);
                self.times(&sum, 0.5)
            }
            Elementwise::LogSigmoid => {
                let negative = self.op("Neg", &[x]);
                let softplus = self.op("Softplus", &[&negative]);
                self.op("Neg", &[&softplus])
            }
            Elementwise::Mish => {
                let softplus = self.op("Softplus", &[x]);
                let gate = self.op("Tanh", &[&softplus]);
                self.op("Mul", &[x, &gate])
            }
            Elementwise::SparsePlus => {
                // ((x + 1) / 2)² where it is between −1 and 1, the larger of x and 0 elsewhere.
                let sum = self.plus(x, 1.0);
                let square = self.op("Mul", &[&sum, &sum]);
                let middle = self.times(&square, 0.25);
                let outside = self.op("Relu", &[x]);
                let size = self.op("Abs", &[x]);
                let one = self.scalar(1.0);
                let is_outside = self.op("GreaterOrEqual", &[&size, &one]);
                self.op("Where", &[&is_outside, &outside, &middle])
            }
            Elementwise::Truncate => {
                let sign = self.op("Sign", &[x]);
                let size = self.op("Abs", &[x]);
                let size = self.op("Floor", &[&size]);
                self.op("Mul", &[&sign, &size])
            }
            Elementwise::Not => {
                let is_zero = self.is_zero(x);
                self.number(&is_zero)
            }
            Elementwise::IsNan => {
                let is_nan = self.op("IsNaN", &[x]);
                self.number(&is_nan)
            }
            // Those above that are an operator.
            _ => x.to_string(),
        }
    }

    fn relu(&mut self, x: &str, max_value: Option<f32>, negative_slope: f32, threshold: f32) -> String {
        match max_value {
            None if threshold == 0.0 => {
                return self.with("LeakyRelu", &[x], vec![float("alpha", negative_slope)]);
            }
            Some(max) if threshold == 0.0 && negative_slope == 0.0 && max >= 0.0 => {
                return self.clip(x, 0.0, max);
            }
            _ => {}
        }
        let bound = self.scalar(threshold);
        let above = match max_value {
            Some(max) => {
                let max = self.scalar(max);
                self.op("Min", &[x, &max])
            }
            None => x.to_string(),
        };
        let below = match negative_slope {
            0.0 => self.scalar(0.0),
            slope => {
                let excess = self.op("Sub", &[x, &bound]);
                self.times(&excess, slope)
            }
        };
        // NaN is not below, and comes through the minimum.
        let is_below = self.op("Less", &[x, &bound]);
        self.op("Where", &[&is_below, &below, &above])
    }

    fn hard_sigmoid(&mut self, x: &str, slope: f32, offset: f32) -> String {
        self.with("HardSigmoid", &[x], vec![float("alpha", slope), float("beta", offset)])
    }

    fn clip(&mut self, x: &str, min: f32, max: f32) -> String {
        let (min, max) = (self.scalar(min), self.scalar(max));
        self.op("Clip", &[x, &min, &max])
    }

    /// x · (1 + inner) / 2
    fn gate(&mut self, x: &str, inner: &str) -> String {
        let sum = self.plus(inner, 1.0);
        let half = self.times(x, 0.5);
        self.op("Mul", &[&half, &sum])
    }

    fn plus(&mut self, x: &str, number: f32) -> String {
        let number = self.scalar(number);
        self.op("Add", &[x, &number])
    }

    fn times(&mut self, x: &str, number: f32) -> String {
        let number = self.scalar(number);
        self.op("Mul", &[x, &number])
    }

    /// x · scale + offset
    pub fn rescaled(&mut self, x: &str, scale: &[f32], offset: &[f32]) -> String {
        let (scale, offset) = (self.parameter("scale", scale), self.parameter("offset", offset));
        let scaled = self.op("Mul", &[x, &scale]);
        self.op("Add", &[&scaled, &offset])
    }

    fn is_zero(&mut self, x: &str) -> String {
        let zero = self.scalar(0.0);
        self.op("Equal", &[x, &zero])
    }

    /// Whether x counts as true.
    fn is_true(&mut self, x: &str) -> String {
        let is_zero = self.is_zero(x);
        self.op("Not", &[&is_zero])
    }

    /// 1 for true, 0 for false.
    fn number(&mut self, truth: &str) -> String {
        self.with("Cast", &[truth], vec![int("to", FLOAT)])
    }

    /// The function of two values.
    pub fn combine(&mut self, op: Binary, a: &str, b: &str) -> String {
        let comparison = match op {
            Binary::Add => return self.op("Add", &[a, b]),
            Binary::Subtract => return self.op("Sub", &[a, b]),
            Binary::Multiply => return self.op("Mul", &[a, b]),
            Binary::Divide => return self.op("Div", &[a, b]),
            Binary::Power => return self.op("Pow", &[a, b]),
            Binary::Maximum => return self.op("Max", &[a, b]),
            Binary::Minimum => return self.op("Min", &[a, b]),
            Binary::PRelu => {
                let zero = self.scalar(0.0);
                let is_negative = self.op("Less", &[a, &zero]);
                let product = self.op("Mul", &[a, b]);
                return self.op("Where", &[&is_negative, &product, a]);
            }
            Binary::Where | Binary::WhereNot => {
                let (zero, is_zero) = (self.scalar(0.0), self.is_zero(a));
                let (yes, no) = if op == Binary::Where { (&*zero, b) } else { (b, &*zero) };
                return self.op("Where", &[&is_zero, yes, no]);
            }
            Binary::And | Binary::Or | Binary::Xor => {
                let (a, b) = (self.is_true(a), self.is_true(b));
                self.op(op.type_name(), &[&a, &b])
            }
            Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual | Binary::Equal => {
                self.op(op.type_name(), &[a, b])
            }
        };
        self.number(&comparison)
    }

    fn rowwise(&mut self, function: Rowwise, x: &str, width: usize) -> String {
        let last = || vec![int("axis", -1)];
        match function {
            Rowwise::Softmax => self.with("Softmax", &[x], last()),
            Rowwise::LogSoftmax => self.with("LogSoftmax", &[x], last()),
            Rowwise::Sparsemax => self.sparsemax(x, width),
            Rowwise::Glu => {
                let [value, gate] = self.two("Split", &[x], last());
                let gate = self.op("Sigmoid", &[&gate]);
                self.op("Mul", &[&value, &gate])
            }
            Rowwise::Sum => self.sum(x, -1, true),
            Rowwise::Mean => self.reduced("ReduceMean", x),
            Rowwise::Max => self.reduced("ReduceMax", x),
            Rowwise::Min => self.reduced("ReduceMin", x),
            Rowwise::Product => self.reduced("ReduceProd", x),
            Rowwise::ArgMax => {
                let index = self.with("ArgMax", &[x], last());
                self.with("Cast", &[&index], vec![int("to", FLOAT)])
            }
            Rowwise::Standardize { epsilon } => self.layer_normalization(x, &vec![1.0; width], None, epsilon),
            Rowwise::RmsNormalize { epsilon } => {
                let squares = self.op("Mul", &[x, x]);
                let mean = self.reduced("ReduceMean", &squares);
                let sum = self.plus(&mean, epsilon);
                let root = self.op("Sqrt", &[&sum]);
                self.op("Div", &[x, &root])
            }
            Rowwise::UnitNormalize { epsilon } => {
                let sum = self.reduced("ReduceSumSquare", x);
                let epsilon = self.scalar(epsilon);
                let sum = self.op("Max", &[&sum, &epsilon]);
                let root = self.op("Sqrt", &[&sum]);
                self.op("Div", &[x, &root])
            }
        }
    }

    pub fn layer_normalization(
        &mut self,
        x: &str,
        gamma: &[f32],
        beta: Option<&[f32]>,
        epsilon: f32,
    ) -> String {
        let mut inputs = vec![x.to_string(), self.list("gamma", gamma)];
        inputs.extend(beta.map(|beta| self.list("beta", beta)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.with("LayerNormalization", &inputs, vec![int("axis", -1), float("epsilon", epsilon)])
    }

    /// The sum along an axis, which this operator takes as an input.
    pub fn sum(&mut self, x: &str, axis: i64, keeps: bool) -> String {
        let axes = self.ints(&[axis]);
        self.with("ReduceSum", &[x, &axes], vec![int("keepdims", keeps.into())])
    }

    /// The rows' results, an axis of length 1.
    fn reduced(&mut self, op: &'static str, x: &str) -> String {
        self.with(op, &[x], vec![ints("axes", &[-1]), int("keepdims", 1)])
    }

    /// Of the values in descending order, the first k are kept for the largest k with 1 + k · xₖ above their sum; all
    /// are lowered by (sum − 1) / k (Martins & Astudillo 2016, algorithm 1).
    fn sparsemax(&mut self, x: &str, width: usize) -> String {
        let count = self.ints(&[width as i64]);
        let [descending, _] = self.two("TopK", &[x, &count], vec![int("axis", -1)]);
        let places: Vec<f32> = (1..=width).map(|place| place as f32).collect();
        let places = self.list("places", &places);
        let axis = self.int(-1);
        let sums = self.op("CumSum", &[&descending, &axis]);
        let bound = self.op("Mul", &[&descending, &places]);
        let bound = self.plus(&bound, 1.0);
        let is_kept = self.op("Greater", &[&bound, &sums]);
        let is_kept = self.number(&is_kept);
        let kept = self.op("Mul", &[&descending, &is_kept]);
        let (sum, count) = (self.sum(&kept, -1, true), self.sum(&is_kept, -1, true));
        let excess = self.plus(&sum, -1.0);
        let threshold = self.op("Div", &[&excess, &count]);
        let lowered = self.op("Sub", &[x, &threshold]);
        self.op("Relu", &[&lowered])
    }
}
