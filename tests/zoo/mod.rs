//! Models that hold every layer between them, for what must work with all of them.

use nearside::{
    Activation, Binary, Elementwise, Layer, LayerKind, Model, Node, Rowwise, Tensor,
    layer::{Encoding, Noise},
};

/// Samples given to each model.
pub const ROWS: usize = 3;

/// A model and inputs for it.
pub struct Case {
    pub model: Model,
    /// For each input of the model, [`ROWS`] samples.
    pub inputs: Vec<Vec<f32>>,
}

/// Models of layers that Keras has.
pub fn of_keras() -> Vec<Case> {
    vec![
        chain(),
        merges(),
        depths(),
        shapes(),
        words(),
        bins(),
        functions(),
        functions_with_parameters(),
        scales(),
        odd_names(),
        glu(),
        identity(),
    ]
}

/// Models of layers that Keras has not.
pub fn of_others() -> Vec<Case> {
    vec![functions_of_two(), functions_of_rows(), functions_of_one(), moves(), classes(), unbatched()]
}

/// Numbers between −1 and 1, always the same.
pub struct Random(u32);

impl Random {
    pub fn value(&mut self) -> f32 {
        // Numerical Recipes' generator.
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let values = self.values(shape.iter().product());
        Tensor::new(shape.to_vec(), values).unwrap()
    }

    fn positive(&mut self, shape: &[usize]) -> Tensor {
        let values = self.values(shape.iter().product()).iter().map(|x| 0.2 + x.abs()).collect();
        Tensor::new(shape.to_vec(), values).unwrap()
    }

    fn dense(&mut self, inputs: usize, units: usize, activation: Activation) -> LayerKind {
        LayerKind::Dense {
            kernel: self.tensor(&[inputs, units]),
            bias: Some(self.tensor(&[units])),
            activation,
        }
    }
}

/// A model in the making.
struct Net {
    model: Model,
    inputs: Vec<Vec<f32>>,
    random: Random,
}

fn named(name: &str) -> Activation {
    Activation::from_name(name).unwrap_or_else(|| panic!("no function '{name}'"))
}

fn of(function: Elementwise) -> LayerKind {
    LayerKind::Activation(Activation::Elementwise(function))
}

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), values.to_vec()).unwrap()
}

impl Net {
    fn new(name: &str) -> Self {
        let model = Model {
            name: name.into(),
            layers: vec![],
            nodes: vec![],
            outputs: vec![],
            batched: true,
            compiled: None,
        };
        let seed = name.bytes().map(u32::from).sum();
        Self { model, inputs: vec![], random: Random(seed) }
    }

    /// An input of numbers between −2 and 2.
    fn input(&mut self, name: &str, shape: &[usize]) -> usize {
        let values = self.random.values(ROWS * shape.iter().product::<usize>());
        self.input_of(name, shape, values.iter().map(|x| 2.0 * x).collect())
    }

    fn input_of(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> usize {
        self.inputs.push(values);
        self.add(name, LayerKind::Input { shape: shape.to_vec() }, &[])
    }

    /// A layer, called once.
    fn add(&mut self, name: &str, kind: LayerKind, inputs: &[usize]) -> usize {
        self.model.layers.push(Layer::new(name, kind));
        self.call(self.model.layers.len() - 1, inputs)
    }

    /// Another call of a node's layer.
    fn again(&mut self, node: usize, inputs: &[usize]) -> usize {
        self.call(self.model.nodes[node].layer, inputs)
    }

    fn call(&mut self, layer: usize, inputs: &[usize]) -> usize {
        self.model.nodes.push(Node { layer, inputs: inputs.to_vec() });
        self.model.nodes.len() - 1
    }

    fn dense(&mut self, name: &str, units: usize, function: &str, input: usize) -> usize {
        let shapes = self.model_shapes();
        let kind = self.random.dense(*shapes[input].last().unwrap(), units, named(function));
        self.add(name, kind, &[input])
    }

    fn model_shapes(&self) -> Vec<Vec<usize>> {
        let mut model = self.model.clone();
        model.outputs = vec![0];
        model.shapes().unwrap()
    }

    fn done(mut self, outputs: &[usize]) -> Case {
        self.model.outputs = outputs.to_vec();
        self.model.shapes().unwrap();
        Case { model: self.model, inputs: self.inputs }
    }
}

fn chain() -> Case {
    let mut net = Net::new("chain");
    let mut last = net.input("x", &[6]);
    last = net.dense("hidden", 8, "relu", last);
    let random = &mut net.random;
    let mut kinds = vec![
        ("norm", batch_normalization(random, 8, true, true)),
        ("norm_beta", batch_normalization(random, 8, false, true)),
        ("norm_gamma", batch_normalization(random, 8, true, false)),
        ("norm_none", batch_normalization(random, 8, false, false)),
        (
            "layer_norm",
            LayerKind::LayerNormalization {
                gamma: Some(random.tensor(&[8])),
                beta: Some(random.tensor(&[8])),
                epsilon: 1e-3,
            },
        ),
        (
            "layer_norm_gamma",
            LayerKind::LayerNormalization { gamma: Some(random.tensor(&[8])), beta: None, epsilon: 1e-2 },
        ),
        ("prelu", LayerKind::PRelu { alpha: random.tensor(&[8]) }),
        ("dropout", LayerKind::Dropout { rate: 0.25 }),
        ("noise", LayerKind::Noise(Noise::Gaussian { stddev: 0.5 })),
        ("factors", LayerKind::Noise(Noise::GaussianDropout { rate: 0.5 })),
        ("alpha_dropout", LayerKind::Noise(Noise::AlphaDropout { rate: 0.125 })),
        ("penalty", LayerKind::Noise(Noise::ActivityRegularization { l1: 0.5, l2: 0.25 })),
        ("rescale", LayerKind::Rescaling { scale: random.tensor(&[8]), offset: random.tensor(&[8]) }),
        ("rescale_all", LayerKind::Rescaling { scale: tensor(&[1], &[2.5]), offset: tensor(&[1], &[0.5]) }),
        ("normal", LayerKind::Normalization { mean: random.tensor(&[8]), variance: random.positive(&[8]) }),
        (
            "normal_all",
            LayerKind::Normalization { mean: tensor(&[1], &[0.5]), variance: tensor(&[1], &[2.0]) },
        ),
    ];
    for name in ["unit_normalize", "standardize", "rms_normalize"] {
        kinds.push((name, LayerKind::Activation(named(name))));
    }
    for (name, kind) in kinds {
        last = net.add(name, kind, &[last]);
    }
    last = net.dense("no_function", 5, "linear", last);
    let kernel = net.random.tensor(&[5, 4]);
    last = net.add("no_bias", LayerKind::Dense { kernel, bias: None, activation: named("softmax") }, &[last]);
    net.done(&[last])
}

fn batch_normalization(random: &mut Random, width: usize, gamma: bool, beta: bool) -> LayerKind {
    LayerKind::BatchNormalization {
        gamma: gamma.then(|| random.tensor(&[width])),
        beta: beta.then(|| random.tensor(&[width])),
        mean: random.tensor(&[width]),
        variance: random.positive(&[width]),
        epsilon: 1e-3,
        momentum: 0.9,
    }
}

/// Several inputs, one of them unused, shared layers, layers that lead nowhere, and all that Keras merges by.
fn merges() -> Case {
    let mut net = Net::new("merges");
    let a = net.input("a", &[4]);
    let b = net.input("b", &[4]);
    let unused = net.input("unused", &[3]);
    let wide = net.input("wide", &[3, 4]);
    net.dense("leads_nowhere", 2, "relu", unused);
    let shared = net.dense("shared", 4, "tanh", b);
    let of_a = net.again(shared, &[a]);
    let twice = net.again(shared, &[of_a]);
    let mut outputs = vec![];
    for (name, op) in [("add", Binary::Add), ("multiply", Binary::Multiply), ("maximum", Binary::Maximum)] {
        outputs.push(net.add(name, LayerKind::Combine(op), &[shared, of_a, twice]));
    }
    outputs.push(net.add("subtract", LayerKind::Combine(Binary::Subtract), &[a, twice]));
    outputs.push(net.add("minimum", LayerKind::Combine(Binary::Minimum), &[a, b]));
    outputs.push(net.add("average", LayerKind::Average, &[a, b, of_a]));
    outputs.push(net.add("concatenate", LayerKind::Concatenate { axis: 0 }, &[a, shared, b]));
    outputs.push(net.add("rows", LayerKind::Concatenate { axis: 0 }, &[wide, wide]));
    outputs.push(net.add("columns", LayerKind::Concatenate { axis: 1 }, &[wide, wide]));
    outputs.push(net.add("broadcast", LayerKind::Combine(Binary::Add), &[wide, a]));
    outputs.push(net.add("alone", LayerKind::Combine(Binary::Add), &[a]));
    net.done(&outputs)
}

/// Branches of different length between layers of the same shape: weights land elsewhere if their order is not Keras's.
fn depths() -> Case {
    let mut net = Net::new("depths");
    let y = net.input("y", &[4]);
    let x = net.input("x", &[4]);
    let late = net.dense("late", 4, "relu", x);
    let mut long = y;
    for name in ["d3", "d1", "d2"] {
        long = net.dense(name, 4, "tanh", long);
    }
    let short = net.dense("short", 4, "tanh", x);
    let shared = net.dense("shared", 4, "sigmoid", short);
    let deep = net.again(shared, &[long]);
    let deeper = net.again(shared, &[deep]);
    let sum = net.add("sum", LayerKind::Combine(Binary::Add), &[short, deeper, late]);
    let other = net.dense("other", 4, "relu", deep);
    let first = net.dense("first", 4, "linear", sum);
    net.done(&[other, first, shared])
}

fn shapes() -> Case {
    let mut net = Net::new("shapes");
    let x = net.input("x", &[2, 3, 4]);
    let dense = net.dense("dense", 5, "relu", x);
    let alpha = net.random.tensor(&[3, 1]);
    let shared = net.add("shared_slopes", LayerKind::PRelu { alpha }, &[x]);
    let alpha = net.random.tensor(&[2, 3, 4]);
    let slopes = net.add("slopes", LayerKind::PRelu { alpha }, &[x]);
    let permuted = net.add("permute", LayerKind::Permute { axes: vec![2, 0, 1] }, &[shared]);
    let reshaped = net.add("reshape", LayerKind::Reshape { shape: vec![6, 4] }, &[permuted]);
    let flat = net.add("flatten", LayerKind::Flatten, &[dense]);
    let softmax = net.add("softmax", LayerKind::Activation(named("softmax")), &[slopes]);
    let norm = batch_normalization(&mut net.random, 4, true, true);
    let norm = net.add("norm", norm, &[x]);
    let end = net.dense("end", 3, "linear", flat);
    net.done(&[reshaped, softmax, end, norm])
}

fn words() -> Case {
    let mut net = Net::new("words");
    let words = net.input_of("words", &[4], vec![0.0, 3.0, 6.0, 1.0, 2.0, 2.0, 2.0, 5.0, 4.0, 0.0, 0.0, 6.0]);
    let table = net.random.tensor(&[7, 3]);
    let embedded = net.add("embedding", LayerKind::Embedding { table }, &[words]);
    let encode = |mode| LayerKind::CategoryEncoding { tokens: 7, mode };
    let one_hot = net.add("one_hot", encode(Encoding::OneHot), &[words]);
    let multi_hot = net.add("multi_hot", encode(Encoding::MultiHot), &[words]);
    let count = net.add("count", encode(Encoding::Count), &[words]);
    let one = net.input_of("one", &[1], vec![2.0, 0.0, 1.0]);
    let replaced =
        net.add("replaced", LayerKind::CategoryEncoding { tokens: 3, mode: Encoding::OneHot }, &[one]);
    let flat = net.add("flat", LayerKind::Flatten, &[embedded]);
    let end = net.dense("end", 2, "tanh", flat);
    net.done(&[end, one_hot, multi_hot, count, replaced])
}

fn bins() -> Case {
    let mut net = Net::new("bins");
    let x = net.input_of("x", &[3], vec![-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 0.2]);
    let boundaries = tensor(&[4], &[-1.0, 0.0, 0.25, 2.0]);
    let bins = net.add("bins", LayerKind::Discretization { boundaries }, &[x]);
    let dense = net.dense("dense", 2, "linear", bins);
    net.done(&[dense, bins])
}

/// Words that the model itself finds.
pub fn words_from_bins() -> Case {
    let mut net = Net::new("words_from_bins");
    let x = net.input("x", &[3]);
    let boundaries = tensor(&[4], &[-1.0, 0.0, 0.25, 1.5]);
    let bins = net.add("bins", LayerKind::Discretization { boundaries }, &[x]);
    let table = net.random.tensor(&[5, 2]);
    let embedded = net.add("embedding", LayerKind::Embedding { table }, &[bins]);
    net.done(&[embedded])
}

/// Every function that Keras knows by name, in a layer and by itself.
fn functions() -> Case {
    let names = "relu relu6 leaky_relu elu celu selu gelu sigmoid hard_sigmoid silu hard_silu tanh hard_tanh \
        tanh_shrink hard_shrink soft_shrink softplus squareplus softsign log_sigmoid mish sparse_plus \
        sparse_sigmoid exponential softmax log_softmax";
    let mut net = Net::new("functions");
    let x = net.input("x", &[5]);
    let mut outputs = vec![];
    for name in names.split_whitespace() {
        outputs.push(net.dense(&format!("dense_{name}"), 4, name, x));
        outputs.push(net.add(name, LayerKind::Activation(named(name)), &[x]));
    }
    net.done(&outputs)
}

fn functions_with_parameters() -> Case {
    let mut net = Net::new("parameters");
    let x = net.input("x", &[9]);
    let relu =
        |max_value, negative_slope, threshold| Elementwise::Relu { max_value, negative_slope, threshold };
    let functions = [
        relu(Some(1.5), 0.25, 0.5),
        relu(None, 0.1, 0.0),
        relu(Some(1.0), 0.0, 0.0),
        Elementwise::Elu { alpha: 0.5 },
        Elementwise::HardSigmoid { slope: 0.2, offset: 0.5 },
        Elementwise::Clip { min: 0.0, max: 1.25 },
        Elementwise::Clip { min: -1.0, max: 1.0 },
        Elementwise::Negative,
    ];
    let mut outputs = vec![];
    for (index, function) in functions.into_iter().enumerate() {
        outputs.push(net.add(&format!("f{index}"), of(function), &[x]));
        let kind = net.random.dense(9, 4, Activation::Elementwise(function));
        outputs.push(net.add(&format!("d{index}"), kind, &[x]));
    }
    net.done(&outputs)
}

/// Constants that are scales and offsets.
fn scales() -> Case {
    let mut net = Net::new("scales");
    let x = net.input("x", &[4]);
    let one = net.add("one", LayerKind::Constant { value: tensor(&[1], &[0.75]) }, &[]);
    let row = net.random.positive(&[4]);
    let row = net.add("row", LayerKind::Constant { value: row }, &[]);
    let scalar = net.add("scalar", LayerKind::Constant { value: tensor(&[], &[3.0]) }, &[]);
    let mut outputs = vec![];
    for constant in [one, row, scalar] {
        for (name, op) in Binary::NAMED.into_iter().take(4) {
            outputs.push(net.add(&format!("{name}_{constant}"), LayerKind::Combine(op), &[x, constant]));
            if op != Binary::Divide {
                outputs.push(net.add(
                    &format!("from_{name}_{constant}"),
                    LayerKind::Combine(op),
                    &[constant, x],
                ));
            }
        }
    }
    let shared = net.again(outputs[0], &[outputs[1], row]);
    outputs.push(shared);
    net.done(&outputs)
}

/// Names that other tools would not take.
fn odd_names() -> Case {
    let mut net = Net::new("odd names: ä/b");
    let x = net.input("input/1", &[3]);
    let y = net.input(".", &[3]);
    let mut outputs = vec![];
    for name in ["a/b", "a_b", "a b", "", "ünïcode", "_under", "a_b_1"] {
        let input = if outputs.len() % 2 == 0 { x } else { y };
        outputs.push(net.dense(name, 3, "tanh", input));
    }
    net.done(&outputs)
}

fn glu() -> Case {
    let mut net = Net::new("glu");
    let x = net.input("x", &[6]);
    let dense = net.dense("dense", 4, "glu", x);
    let alone = net.add("alone", LayerKind::Activation(named("glu")), &[x]);
    net.done(&[dense, alone])
}

/// Outputs that are inputs, twice.
fn identity() -> Case {
    let mut net = Net::new("identity");
    let x = net.input("x", &[4]);
    let dense = net.dense("dense", 2, "relu", x);
    net.done(&[dense, dense, x, x, dense])
}

fn functions_of_two() -> Case {
    let mut net = Net::new("functions_of_two");
    let a = net.input_of("a", &[4], vec![0.0, 1.0, 2.0, -1.0, 0.0, 0.5, 0.5, 1.5, -2.0, 1.0, 3.0, 0.0]);
    let b = net.input_of("b", &[4], vec![0.0, 1.0, -1.0, -1.0, 1.0, 0.5, 0.0, 2.5, -3.0, 1.0, 2.0, 1.0]);
    let wide = net.input("wide", &[2, 4]);
    let mut outputs = vec![];
    for (name, op) in Binary::NAMED {
        if op == Binary::Power {
            let positive = net.add("positive", of(Elementwise::Absolute), &[a]);
            outputs.push(net.add("power_of_positive", LayerKind::Combine(op), &[positive, b]));
            continue;
        }
        // 0/0 is nothing to compare.
        let divisor = net.add(&format!("{name}_next"), of(Elementwise::Exponential), &[b]);
        let second = if op == Binary::Divide { divisor } else { b };
        outputs.push(net.add(name, LayerKind::Combine(op), &[a, second]));
        outputs.push(net.add(&format!("{name}_wide"), LayerKind::Combine(op), &[wide, divisor]));
    }
    let constant = net.add("table", LayerKind::Constant { value: tensor(&[2, 1], &[0.5, -0.5]) }, &[]);
    outputs.push(net.add("with_table", LayerKind::Combine(Binary::Maximum), &[wide, constant]));
    outputs.push(net.add("average", LayerKind::Average, &[wide, a, b]));
    outputs.push(net.add("only_constant", LayerKind::Combine(Binary::Add), &[constant, constant]));
    net.done(&outputs)
}

fn functions_of_rows() -> Case {
    let mut net = Net::new("functions_of_rows");
    let x = net.input("x", &[3, 6]);
    let names =
        "softmax log_softmax glu sum mean max min product arg_max standardize rms_normalize unit_normalize";
    let mut outputs = vec![];
    for name in names.split_whitespace() {
        outputs.push(net.add(name, LayerKind::Activation(named(name)), &[x]));
        outputs.push(net.dense(&format!("dense_{name}"), 4, name, x));
    }
    outputs.push(net.add(
        "small",
        LayerKind::Activation(Activation::Rowwise(Rowwise::UnitNormalize { epsilon: 40.0 })),
        &[x],
    ));
    net.done(&outputs)
}

fn functions_of_one() -> Case {
    let names = "threshold clip absolute negative log square_root reciprocal sign floor ceiling round truncate erf not \
        is_nan gelu_tanh linear";
    let mut net = Net::new("functions_of_one");
    let mut values: Vec<f32> = (0..21).map(|i| i as f32 / 4.0 - 2.5).collect();
    values[3] = -0.75;
    let x = net.input_of("x", &[7], values.clone());
    let positive = net.input_of("positive", &[7], values.iter().map(|x| 0.1 + x.abs()).collect());
    let mut outputs = vec![];
    for name in names.split_whitespace() {
        let input = if ["log", "square_root", "reciprocal"].contains(&name) { positive } else { x };
        outputs.push(net.add(name, LayerKind::Activation(named(name)), &[input]));
    }
    let functions = [
        Elementwise::Threshold { threshold: 0.5, value: -3.0 },
        Elementwise::Celu { alpha: 0.5 },
        Elementwise::Relu { max_value: Some(2.0), negative_slope: -0.5, threshold: -1.0 },
        Elementwise::HardShrink { threshold: 1.0 },
        Elementwise::SoftShrink { threshold: 1.0 },
        Elementwise::Squareplus { b: 1.0 },
        Elementwise::Clip { min: -0.5, max: 1.5 },
    ];
    for (index, function) in functions.into_iter().enumerate() {
        outputs.push(net.add(&format!("f{index}"), of(function), &[x]));
        let kind = net.random.dense(7, 3, Activation::Elementwise(function));
        outputs.push(net.add(&format!("d{index}"), kind, &[x]));
    }
    net.done(&outputs)
}

fn moves() -> Case {
    let mut net = Net::new("moves");
    let x = net.input("x", &[4, 3]);
    let y = net.input("y", &[3, 5]);
    let gather = |axis, indices: &[usize]| LayerKind::Gather { axis, indices: indices.to_vec() };
    let rows = net.add("rows", gather(0, &[3, 0, 0]), &[x]);
    let columns = net.add("columns", gather(1, &[2, 1]), &[x]);
    let one = net.add("one", gather(1, &[1]), &[x]);
    let product = net.add("product", LayerKind::MatMul, &[x, y]);
    let permuted = net.add("permute", LayerKind::Permute { axes: vec![1, 0] }, &[x]);
    let square = net.add("square", LayerKind::MatMul, &[permuted, x]);
    let four_rows = net.add("four_rows", gather(0, &[0, 1, 2, 2]), &[y]);
    let both = net.add("both", LayerKind::Concatenate { axis: 1 }, &[x, four_rows]);
    net.done(&[rows, columns, one, product, square, both])
}

fn classes() -> Case {
    let mut net = Net::new("classes");
    let x = net.input("x", &[4]);
    let names = || ["red", "green", "blue"].map(String::from).to_vec();
    let scores = net.dense("scores", 3, "softmax", x);
    let columns = net.add("columns", LayerKind::Classes { names: names(), columns: true }, &[scores]);
    let best = net.add("best", LayerKind::Activation(named("arg_max")), &[scores]);
    let label = net.add("label", LayerKind::Classes { names: names(), columns: false }, &[best]);
    net.done(&[label, columns])
}

fn unbatched() -> Case {
    let mut net = Net::new("unbatched");
    let x = net.input("x", &[2, 3]);
    let dense = net.dense("dense", 4, "relu", x);
    let flat = net.add("flat", LayerKind::Flatten, &[dense]);
    let mut case = net.done(&[flat, dense]);
    case.model.batched = false;
    case.inputs.iter_mut().for_each(|values| values.truncate(6));
    case
}
