//! Every kernel on every backend, held to the scalar executor. Native and browser tests run the same checks.

pub mod gpu;
pub mod graphs;
pub mod shares;
pub mod small;
pub mod training;
pub mod values;

use nearside::{
    Activation, Dtype, Elementwise, Layer, LayerKind, Model, Node, Plan, Rowwise, Tensor,
    cpu::{CpuExecutor, scalar},
    gpu::{GpuContext, GpuExecutor},
};
use std::rc::Rc;
use values::{Random, every_elementwise, every_rowwise, probes};

/// Error allowed of a value, in proportion to it or to 1 where it is smaller: a hundred roundings, which leaves room
/// for other orders of summation and for exp and log in the precision that WGSL asks for.
pub const TOLERANCE: f32 = 1e-5;
/// Error allowed beside it where the definition itself subtracts nearly equal numbers, in proportion to them: four
/// roundings of each.
pub const CANCELLATION: f32 = 8.0 * f32::EPSILON;

pub const ROWS: [usize; 9] = [1, 2, 3, 5, 17, 33, 64, 100, 257];
pub const WIDTHS: [usize; 11] = [1, 3, 4, 7, 8, 16, 17, 64, 100, 129, 300];
pub const WIDEST: usize = 1757;

/// What a check runs on.
pub enum Backend {
    Cpu,
    Gpu(Rc<GpuContext>),
}

impl Backend {
    pub async fn run(&self, model: &Model, inputs: &[&[f32]], rows: usize) -> Vec<Vec<f32>> {
        let plan = Plan::compile(model).unwrap();
        match self {
            Self::Cpu => CpuExecutor::prepare(model, &plan, Dtype::F32).unwrap().run(inputs, rows).unwrap(),
            Self::Gpu(context) => {
                let executor = GpuExecutor::prepare(context.clone(), model, &plan, Dtype::F32).await.unwrap();
                executor.run(inputs, rows).await.unwrap()
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu(_) => "gpu",
        }
    }
}

/// Everything, on the CPU and on a GPU.
#[allow(dead_code, reason = "for a browser's single test; native tests call the parts by name")]
pub async fn check_all(context: &Rc<GpuContext>) {
    for backend in [Backend::Cpu, Backend::Gpu(context.clone())] {
        dense_at_awkward_sizes(&backend).await;
        dense_of_large_values(&backend).await;
        dense_of_values_that_are_not_finite(&backend).await;
        elementwise_activations(&backend).await;
        rowwise_activations(&backend).await;
        layers_over_the_last_of_several_axes(&backend).await;
        graphs_of_several_inputs_and_outputs(&backend).await;
        chains_that_reuse_slots(&backend).await;
        graphs::check_all(&backend).await;
    }
    gpu::check_all(context).await;
    small::products_of_small_weights();
    small::inputs_that_are_not_finite_stay_so();
    small::weights_beyond_a_type_are_kept_as_floats();
}

/// What the scalar executor gives.
pub fn expected(model: &Model, inputs: &[&[f32]], rows: usize) -> Vec<Vec<f32>> {
    scalar::run(&Plan::compile(model).unwrap(), inputs, rows).unwrap()
}

/// Fails unless the values are equal, both NaN, or differ by no more than `allowed` of their index; and fails when
/// there are none.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], allowed: impl Fn(usize) -> f32) {
    assert!(!want.is_empty(), "{what}: nothing to compare");
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let same = got == want || (got.is_nan() && want.is_nan());
        // A NaN fails this comparison, and so does one infinity.
        let close = (got - want).abs() <= allowed(index) && want.is_finite();
        assert!(same || close, "{what}: value {index} is {got}, {want} expected, {} allowed", allowed(index));
    }
}

/// Runs a model on the backend and the scalar executor. `scale` is the size of the numbers that are summed.
async fn check(backend: &Backend, what: &str, model: &Model, inputs: &[&[f32]], rows: usize, scale: f32) {
    let got = backend.run(model, inputs, rows).await;
    let want = expected(model, inputs, rows);
    assert_eq!(got.len(), want.len(), "{what}: number of outputs");
    for (got, want) in got.iter().zip(&want) {
        let allowed = |index: usize| TOLERANCE * scale.max(want[index].abs());
        assert_close(&format!("{what} on {}", backend.name()), got, want, allowed);
    }
}

pub fn input(shape: &[usize]) -> Layer {
    Layer::new("input", LayerKind::Input { shape: shape.to_vec() })
}

pub fn dense(name: &str, kernel: Tensor, bias: Option<Tensor>, activation: Activation) -> Layer {
    Layer::new(name, LayerKind::Dense { kernel, bias, activation })
}

/// A Dense layer of random weights, of a size that keeps the results near 1.
pub fn random_dense(random: &mut Random, name: &str, inputs: usize, units: usize, bias: bool) -> Layer {
    let size = (3.0 / inputs as f32).sqrt();
    let kernel = Tensor::new(vec![inputs, units], random.values(inputs * units, size)).unwrap();
    let bias = bias.then(|| Tensor::new(vec![units], random.values(units, 1.0)).unwrap());
    dense(name, kernel, bias, Activation::LINEAR)
}

pub fn activation(function: impl Into<Function>) -> Layer {
    Layer::new("activation", LayerKind::Activation(function.into().0))
}

/// Either kind of activation.
pub struct Function(Activation);

impl From<Elementwise> for Function {
    fn from(function: Elementwise) -> Self {
        Self(Activation::Elementwise(function))
    }
}

impl From<Rowwise> for Function {
    fn from(function: Rowwise) -> Self {
        Self(Activation::Rowwise(function))
    }
}

pub fn sequential(layers: Vec<Layer>) -> Model {
    Model::sequential("model", layers).unwrap()
}

pub async fn dense_at_awkward_sizes(backend: &Backend) {
    let mut random = Random(1);
    let widths = || WIDTHS.into_iter().chain([WIDEST]).enumerate();
    for (i, inputs) in widths() {
        for (j, units) in widths() {
            // Every number of rows meets every width on either side, without the product of all three.
            let rows = ROWS[(i + j) % ROWS.len()];
            let layer = random_dense(&mut random, "dense", inputs, units, (i + j) % 2 == 0);
            let values = random.values(rows * inputs, 1.0);
            let what = format!("dense {rows} × {inputs} · {units}");
            check(backend, &what, &sequential(vec![input(&[inputs]), layer]), &[&values], rows, 1.0).await;
        }
    }
}

pub async fn dense_of_large_values(backend: &Backend) {
    let mut random = Random(2);
    for rows in [3, 70] {
        let model = sequential(vec![input(&[129]), random_dense(&mut random, "dense", 129, 65, true)]);
        let values = random.values(rows * 129, 1e4);
        check(backend, "dense of large values", &model, &[&values], rows, 1e4).await;
    }
}

pub async fn dense_of_values_that_are_not_finite(backend: &Backend) {
    let mut random = Random(3);
    for rows in [4, 33] {
        let mut relu = random_dense(&mut random, "dense", 17, 5, true);
        if let LayerKind::Dense { activation, .. } = &mut relu.kind {
            *activation = Activation::from_name("leaky_relu").unwrap();
        }
        let mut values = random.values(rows * 17, 1.0);
        values[3] = f32::NAN;
        values[17 + 16] = f32::INFINITY;
        values[2 * 17] = f32::NEG_INFINITY;
        let want = expected(&sequential(vec![input(&[17]), relu.clone()]), &[&values], rows);
        assert!(want[0][..5].iter().all(|y| y.is_nan()), "the first row's NaN must reach all of its results");
        check(backend, "dense of NaN", &sequential(vec![input(&[17]), relu]), &[&values], rows, 1.0).await;
    }
}

/// Alone, after a product of many rows and after a product of one: three kernels, each with its copy of the function.
pub async fn elementwise_activations(backend: &Backend) {
    for function in every_elementwise() {
        let values = probes();
        let one = Tensor::new(vec![1, 1], vec![1.0]).unwrap();
        let row = Tensor::new(vec![1, values.len()], values.clone()).unwrap();
        let fused = Activation::Elementwise(function);
        let alone = sequential(vec![input(&[1]), activation(function)]);
        let many = sequential(vec![input(&[1]), dense("dense", one, None, fused)]);
        let few = sequential(vec![input(&[1]), dense("dense", row, None, fused)]);
        let runs = [
            ("alone", backend.run(&alone, &[&values], values.len()).await),
            ("after many rows", backend.run(&many, &[&values], values.len()).await),
            ("after one row", backend.run(&few, &[&[1.0]], 1).await),
        ];
        let cancels = matches!(function, Elementwise::Squareplus { .. });
        for (place, got) in runs {
            // A sum that begins with the bias, 0, is never −0.
            let start = if place == "alone" { -0.0 } else { 0.0 };
            let want: Vec<f32> = values.iter().map(|&x| function.value(start + x)).collect();
            let allowed = |index: usize| {
                let cancellation = if cancels { CANCELLATION * values[index].abs() } else { 0.0 };
                TOLERANCE * want[index].abs().max(1.0) + cancellation
            };
            let what = format!("{function:?} {place} of {:?}… on {}", &values[..2], backend.name());
            assert_close(&what, &got[0], &want, allowed);
        }
    }
}

pub async fn rowwise_activations(backend: &Backend) {
    let mut random = Random(4);
    for function in every_rowwise() {
        for width in [1, 2, 10, 17, 300, WIDEST] {
            let width = if function == Rowwise::Glu { 2 * width } else { width };
            for (rows, size) in [(1, 8.0), (9, 8.0), (67, 1.0), (5, 1e4)] {
                let mut values = random.values(rows * width, size);
                if rows == 9 {
                    values::make_not_finite(width, &mut values);
                }
                let model = sequential(vec![input(&[width]), activation(function)]);
                let what = format!("{function:?} of {rows} × {width} up to {size}");
                // These sum their arguments; the others exponentials, or numbers near 1.
                let scale = match function {
                    Rowwise::Sparsemax => CANCELLATION / TOLERANCE * size,
                    Rowwise::Sum => (width as f32).sqrt() * size,
                    Rowwise::Mean => size,
                    // Values of one row that differ by little more than their rounding.
                    Rowwise::Standardize { .. } if width <= 2 => 10.0,
                    _ => 0.0,
                };
                check(backend, &what, &model, &[&values], rows, scale.max(1.0)).await;
            }
        }
    }
}

pub async fn layers_over_the_last_of_several_axes(backend: &Backend) {
    let mut random = Random(5);
    for (rows, axis) in [(1, 2), (3, 5), (20, 65)] {
        let mut last = random_dense(&mut random, "last", 6 * axis, 3, true);
        if let LayerKind::Dense { activation, .. } = &mut last.kind {
            *activation = Activation::Rowwise(Rowwise::Softmax);
        }
        let layers = vec![
            input(&[axis, 3, 7]),
            random_dense(&mut random, "first", 7, 4, true),
            activation(Rowwise::Softmax),
            Layer::new("glu", LayerKind::Activation(Activation::Rowwise(Rowwise::Glu))),
            Layer::new("tanh", LayerKind::Activation(Activation::Elementwise(Elementwise::Tanh))),
            Layer::new("flatten", LayerKind::Flatten),
            last,
        ];
        let values = random.values(rows * axis * 21, 1.0);
        check(backend, "several axes", &sequential(layers), &[&values], rows, 1.0).await;
    }
}

/// Two inputs, a layer that both go through, and outputs of all kinds: one of a later layer, one that a later layer
/// still reads, one twice, and an input itself.
pub fn graph(random: &mut Random) -> Model {
    let layers = vec![
        Layer::new("a", LayerKind::Input { shape: vec![5] }),
        Layer::new("b", LayerKind::Input { shape: vec![5] }),
        random_dense(random, "shared", 5, 9, true),
        activation(Elementwise::Mish),
        random_dense(random, "end", 9, 3, false),
    ];
    let node = |layer, inputs: &[usize]| Node { layer, inputs: inputs.to_vec() };
    let nodes = vec![
        node(0, &[]),
        node(1, &[]),
        node(2, &[0]),
        node(2, &[1]),
        node(3, &[3]),
        node(4, &[4]),
        node(4, &[2]),
    ];
    Model { name: "graph".into(), layers, nodes, outputs: vec![6, 3, 5, 3, 1], batched: true, compiled: None }
}

pub async fn graphs_of_several_inputs_and_outputs(backend: &Backend) {
    let mut random = Random(6);
    let model = graph(&mut random);
    for rows in [1, 7, 65] {
        let (a, b) = (random.values(rows * 5, 1.0), random.values(rows * 5, 1.0));
        check(backend, "graph", &model, &[&a, &b], rows, 1.0).await;
    }
}

pub async fn chains_that_reuse_slots(backend: &Backend) {
    let mut random = Random(7);
    let widths = [10, 300, 1, 64, 7, 129, 4];
    let mut layers = vec![input(&widths[..1])];
    for (index, pair) in widths.windows(2).enumerate() {
        layers.push(random_dense(&mut random, &format!("dense {index}"), pair[0], pair[1], true));
    }
    let model = sequential(layers);
    let plan = Plan::compile(&model).unwrap();
    assert!(plan.slots.len() < plan.steps.len(), "the chain must use a slot twice");
    for rows in [2, 100] {
        let values = random.values(rows * widths[0], 1.0);
        check(backend, "chain", &model, &[&values], rows, 1.0).await;
    }
}
