//! The kernels of training: their sources, and what they bind.

use super::super::kernel::{
    ACTIVATE, ACTIVATION, COMBINE, File, LAST_OF_RELU, LOG_SOFTMAX, MATH, NAN, RELU, ROW_ALONE, ROW_SHARED,
    SECOND, SOFTMAX, STEP, file,
};
use crate::{Binary, Elementwise, Loss, program::code};

const PRODUCT: File = file!("train_product.wgsl");
const START_ZERO: File = file!("train_start_zero.wgsl");
const START_SUM: File = file!("train_start_sum.wgsl");
const START_BIAS: File = file!("train_start_bias.wgsl");
const COLUMN_SUMS: File = file!("train_column_sums.wgsl");
const STARTED: File = file!("train_started.wgsl");
const DERIVATIVE: File = file!("train_derivative.wgsl");
const VALUES_BACK: File = file!("train_values_back.wgsl");
const SOFTMAX_BACK: File = file!("train_softmax_back.wgsl");
const OF_SOFTMAX: File = file!("train_of_softmax.wgsl");
const OF_LOG_SOFTMAX: File = file!("train_of_log_softmax.wgsl");
const LOSS: File = file!("train_loss.wgsl");
const LOSS_SIZE: File = file!("train_loss_size.wgsl");
const SLOPE: File = file!("train_slope.wgsl");
const LOSS_SOFTMAX: File = file!("train_loss_softmax.wgsl");
const LABEL_VALUES: File = file!("train_label_values.wgsl");
const LABEL_INDEX: File = file!("train_label_index.wgsl");
const CHECK: File = file!("train_check.wgsl");
const WEIGHT_SIZE: File = file!("train_weight_size.wgsl");
const UPDATE: File = file!("train_update.wgsl");
const SGD: File = file!("train_sgd.wgsl");
const MOMENTUM: File = file!("train_momentum.wgsl");
const ADAM: File = file!("train_adam.wgsl");
const ADAM_PLAIN: File = file!("train_adam_plain.wgsl");
const ADAM_LARGEST: File = file!("train_adam_largest.wgsl");
const RMSPROP: File = file!("train_rmsprop.wgsl");
const ADAGRAD: File = file!("train_adagrad.wgsl");

/// A kernel, with what it is compiled for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kernel {
    /// A matrix product.
    Product(Start),
    ColumnSums,
    Activate(Elementwise),
    ActivateBack(Elementwise),
    /// `narrow`: a thread computes a row.
    Softmax {
        log: bool,
        narrow: bool,
    },
    SoftmaxBack {
        log: bool,
        narrow: bool,
    },
    Combine(Binary),
    /// By one of the two operands.
    CombineBack(Binary, usize),
    /// The gradient of a loss.
    Loss(Slope),
    /// Looks for values that are not finite.
    Check,
    /// The sums that penalties are of.
    WeightSize,
    Update(Update),
}

/// What a product is added to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Start {
    Zero,
    /// What there is.
    Sum,
    Bias,
}

/// The derivative of a loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Slope {
    /// Value by value: its number in train_slope.wgsl.
    Values(u32),
    /// Of the softmax of the predictions: with a label for each class, or the index of one.
    Softmax { sparse: bool },
}

/// The rule of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Update {
    Sgd,
    Momentum,
    Adam { amsgrad: bool },
    RmsProp,
    Adagrad,
}

impl Slope {
    /// That of a loss, and the loss's parameter; none where there is no kernel.
    pub(crate) fn of(loss: Loss, logits: bool) -> Option<(Self, f32)> {
        let values = |number| Some((Self::Values(number), 0.0));
        match loss {
            Loss::MeanSquaredError => values(0),
            Loss::MeanAbsoluteError => values(1),
            Loss::MeanAbsolutePercentageError => values(2),
            Loss::MeanSquaredLogarithmicError => values(3),
            Loss::Huber { delta } => Some((Self::Values(4), delta as f32)),
            Loss::LogCosh => values(5),
            Loss::Poisson => values(6),
            // The parameter depends on the batch.
            Loss::Hinge => values(7),
            Loss::SquaredHinge => values(8),
            Loss::BinaryCrossentropy { from_logits, label_smoothing } => {
                let number = if from_logits || logits { 9 } else { 10 };
                Some((Self::Values(number), label_smoothing as f32))
            }
            Loss::KlDivergence => values(11),
            Loss::CategoricalCrossentropy { from_logits, label_smoothing } if from_logits || logits => {
                Some((Self::Softmax { sparse: false }, label_smoothing as f32))
            }
            Loss::SparseCategoricalCrossentropy { from_logits } if from_logits || logits => {
                Some((Self::Softmax { sparse: true }, 0.0))
            }
            _ => None,
        }
    }
}

impl Kernel {
    /// What it binds behind the size: buffers that are read, and buffers that are written.
    pub(super) fn further(&self) -> [usize; 2] {
        match *self {
            Self::Product(Start::Bias) => [2, 0],
            Self::Product(_) | Self::SoftmaxBack { .. } | Self::Combine(_) => [1, 0],
            Self::ActivateBack(_) | Self::CombineBack(..) | Self::Loss(_) => [2, 0],
            Self::ColumnSums | Self::Activate(_) | Self::Softmax { .. } => [0, 0],
            Self::Check | Self::WeightSize => [0, 0],
            Self::Update(Update::Sgd) => [1, 0],
            Self::Update(Update::Momentum | Update::RmsProp | Update::Adagrad) => [1, 1],
            Self::Update(Update::Adam { amsgrad }) => [1, 2 + usize::from(amsgrad)],
        }
    }

    fn files(&self) -> Vec<File> {
        let row = |narrow: bool| if narrow { ROW_ALONE } else { ROW_SHARED };
        match *self {
            Self::Product(start) => {
                let start = match start {
                    Start::Zero => START_ZERO,
                    Start::Sum => START_SUM,
                    Start::Bias => START_BIAS,
                };
                vec![start, PRODUCT]
            }
            Self::ColumnSums => vec![STEP, STARTED, COLUMN_SUMS],
            Self::Activate(function) if code(function) <= LAST_OF_RELU => vec![STEP, NAN, RELU, ACTIVATE],
            Self::Activate(_) => vec![STEP, NAN, RELU, MATH, ACTIVATION, ACTIVATE],
            Self::ActivateBack(_) => {
                vec![STEP, NAN, SECOND, STARTED, RELU, MATH, DERIVATIVE, VALUES_BACK]
            }
            Self::Softmax { log, narrow } => {
                vec![STEP, NAN, MATH, row(narrow), if log { LOG_SOFTMAX } else { SOFTMAX }]
            }
            Self::SoftmaxBack { log, narrow } => {
                let own = if log { OF_LOG_SOFTMAX } else { OF_SOFTMAX };
                vec![STEP, NAN, SECOND, STARTED, MATH, row(narrow), own, SOFTMAX_BACK]
            }
            Self::Combine(_) => vec![STEP, NAN, SECOND, RELU, COMBINE],
            Self::CombineBack(..) => vec![STEP, SECOND, STARTED, VALUES_BACK],
            Self::Loss(Slope::Values(_)) => vec![NAN, MATH, STARTED, LOSS_SIZE, SLOPE, LOSS],
            Self::Loss(Slope::Softmax { sparse }) => {
                let label = if sparse { LABEL_INDEX } else { LABEL_VALUES };
                vec![NAN, MATH, STARTED, LOSS_SIZE, label, LOSS_SOFTMAX]
            }
            Self::Check => vec![CHECK],
            Self::WeightSize => vec![WEIGHT_SIZE],
            Self::Update(Update::Sgd) => vec![UPDATE, SGD],
            Self::Update(Update::Momentum) => vec![UPDATE, MOMENTUM],
            Self::Update(Update::Adam { amsgrad: false }) => vec![UPDATE, ADAM, ADAM_PLAIN],
            Self::Update(Update::Adam { amsgrad: true }) => vec![UPDATE, ADAM, ADAM_LARGEST],
            Self::Update(Update::RmsProp) => vec![UPDATE, RMSPROP],
            Self::Update(Update::Adagrad) => vec![UPDATE, ADAGRAD],
        }
    }

    /// Which of the files' functions is meant.
    fn choice(&self) -> String {
        match *self {
            Self::Activate(function) => {
                format!("fn activation(x:f32)->f32{{return activation_{}(x);}}", code(function))
            }
            Self::Combine(_) => "fn activation(x:f32)->f32{return x;}".to_string(),
            Self::ActivateBack(function) => {
                let number = match code(function) {
                    // All that steps has the derivative 0.
                    31..=35 | 37.. => 31,
                    number => number,
                };
                format!("fn derivative(x:f32,y:f32)->f32{{return derivative_{number}(x,y);}}")
            }
            Self::CombineBack(op, which) => {
                let [by_a, by_b] = derivatives(op).unwrap_or_default();
                format!("fn derivative(a:f32,b:f32)->f32{{return {};}}", if which == 0 { by_a } else { by_b })
            }
            Self::Loss(Slope::Values(number)) => {
                format!("fn slope(y:f32,p:f32)->f32{{return slope_{number}(y,p);}}")
            }
            _ => String::new(),
        }
    }

    pub(super) fn source(&self) -> String {
        self.files().iter().map(|file| file.text).collect::<String>() + &self.choice()
    }

    /// What its source declares as constants.
    pub(super) fn constants(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::Activate(function) | Self::ActivateBack(function) => {
                let finite = |parameter: f32| f64::from(parameter.clamp(f32::MIN, f32::MAX));
                let [a, b, c] = function.parameters().map(finite);
                vec![("P0", a), ("P1", b), ("P2", c)]
            }
            Self::Combine(op) => {
                let number = Binary::NAMED.iter().position(|(_, named)| *named == op).unwrap_or(0);
                vec![("FUNCTION", number as f64)]
            }
            _ => vec![],
        }
    }
}

/// The derivatives of a function of two values by each of them, in WGSL; none where there is no kernel.
pub(crate) fn derivatives(op: Binary) -> Option<[&'static str; 2]> {
    match op {
        Binary::Add => Some(["1.0", "1.0"]),
        Binary::Subtract => Some(["1.0", "-1.0"]),
        Binary::Multiply => Some(["b", "a"]),
        Binary::Maximum => Some(["f32(a>=b)", "f32(a<b)"]),
        Binary::Minimum => Some(["f32(a<=b)", "f32(a>b)"]),
        _ => None,
    }
}

/// Every source, for the shader test: the names of its files, and the whole.
pub(in super::super) fn sources() -> Vec<(Vec<&'static str>, String)> {
    let mut kernels = vec![Kernel::ColumnSums, Kernel::Check, Kernel::WeightSize];
    kernels.extend([Start::Zero, Start::Sum, Start::Bias].map(Kernel::Product));
    for function in [Elementwise::RELU, Elementwise::Tanh, Elementwise::Gelu] {
        kernels.extend([Kernel::Activate(function), Kernel::ActivateBack(function)]);
    }
    for (log, narrow) in [(false, false), (false, true), (true, false), (true, true)] {
        kernels.extend([Kernel::Softmax { log, narrow }, Kernel::SoftmaxBack { log, narrow }]);
    }
    for op in [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Maximum, Binary::Minimum] {
        kernels.extend([Kernel::Combine(op), Kernel::CombineBack(op, 0), Kernel::CombineBack(op, 1)]);
    }
    kernels.extend((0..12).map(|number| Kernel::Loss(Slope::Values(number))));
    kernels.extend([false, true].map(|sparse| Kernel::Loss(Slope::Softmax { sparse })));
    let adam = [false, true].map(|amsgrad| Update::Adam { amsgrad });
    let updates = [Update::Sgd, Update::Momentum, Update::RmsProp, Update::Adagrad];
    kernels.extend(adam.into_iter().chain(updates).map(Kernel::Update));
    let source = |kernel: Kernel| (kernel.files().iter().map(|file| file.name).collect(), kernel.source());
    kernels.into_iter().map(source).collect()
}
