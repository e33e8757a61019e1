//! Layers that join, move and look up values, and those that normalise them.

use super::{
    Backend, TOLERANCE, assert_close, check, expected, input, random_dense, sequential, values::Random,
};
use nearside::{
    Activation, Binary, Elementwise, ErrorKind, Layer, LayerKind, Model, Node, Plan, Rowwise, Session,
    Tensor,
    layer::{Encoding, Noise},
};

pub async fn check_all(backend: &Backend) {
    functions_of_two_values(backend).await;
    operands_that_are_broadcast(backend).await;
    values_that_are_moved(backend).await;
    tables_that_are_looked_up(backend).await;
    products_of_two_results(backend).await;
    normalisations(backend).await;
    folded_plans(backend).await;
    large_offsets(backend).await;
}

fn tensor(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::new(shape.to_vec(), values).unwrap()
}

/// A layer that joins inputs and constants of these shapes.
fn join(kind: LayerKind, operands: Vec<LayerKind>) -> Model {
    let count = operands.len();
    let mut layers: Vec<_> =
        operands.into_iter().enumerate().map(|(i, kind)| Layer::new(format!("operand {i}"), kind)).collect();
    layers.push(Layer::new("join", kind));
    let mut nodes: Vec<_> = (0..count).map(|layer| Node { layer, inputs: vec![] }).collect();
    nodes.push(Node { layer: count, inputs: (0..count).collect() });
    Model { name: "join".into(), layers, nodes, outputs: vec![count], batched: true, compiled: None }
}

fn of_shape(shape: &[usize]) -> LayerKind {
    LayerKind::Input { shape: shape.to_vec() }
}

/// Every pair of these meets.
fn probes() -> Vec<f32> {
    let values = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 1e-3, 40.0];
    let both = values.into_iter().flat_map(|x| [x, -x]);
    both.chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).collect()
}

pub async fn functions_of_two_values(backend: &Backend) {
    let probes = probes();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for &x in &probes {
        for &y in &probes {
            // Platforms differ on powers of infinities and zeros, which no network computes.
            a.push(x);
            b.push(y);
        }
    }
    for (name, op) in Binary::NAMED {
        let odd = |x: f32| op == Binary::Power && (!x.is_finite() || x == 0.0);
        let pairs = a.iter().zip(&b).filter(|(a, b)| !odd(**a) && !odd(**b));
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.unzip();
        let want: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| op.value(a, b)).collect();
        let model = join(LayerKind::Combine(op), vec![of_shape(&[1]), of_shape(&[1])]);
        let got = backend.run(&model, &[&a, &b], a.len()).await;
        // A power's relative error grows with the exponent times the logarithm.
        let allowed =
            |i: usize| TOLERANCE * want[i].abs().max(1.0) * if op == Binary::Power { 10.0 } else { 1.0 };
        assert_close(&format!("{name} on {}", backend.name()), &got[0], &want, allowed);
    }
}

pub async fn operands_that_are_broadcast(backend: &Backend) {
    let mut random = Random(21);
    let shapes: [(&[usize], &[usize]); 9] = [
        (&[5], &[5]),
        (&[3, 5], &[5]),
        (&[3, 5], &[1]),
        (&[1], &[4, 3, 5]),
        (&[3, 1], &[1, 5]),
        (&[4, 3, 5], &[4, 1, 1]),
        (&[2, 1, 5], &[3, 5]),
        (&[17], &[17]),
        (&[2, 300], &[2, 1]),
    ];
    for (left, right) in shapes {
        for op in [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Maximum, Binary::PRelu] {
            for rows in [1, 3, 67] {
                let count = |shape: &[usize]| shape.iter().product::<usize>();
                let a = random.values(rows * count(left), 1.0);
                let b = random.values(rows * count(right), 1.0);
                let constant = |random: &mut Random, shape: &[usize]| LayerKind::Constant {
                    value: tensor(shape, random.values(count(shape), 1.0)),
                };
                let what = format!("{op:?} of {left:?} and {right:?}, {rows} rows");
                let model = join(LayerKind::Combine(op), vec![of_shape(left), of_shape(right)]);
                check(backend, &what, &model, &[&a, &b], rows, 1.0).await;
                let model = join(LayerKind::Combine(op), vec![of_shape(left), constant(&mut random, right)]);
                check(backend, &what, &model, &[&a], rows, 1.0).await;
                let model = join(LayerKind::Combine(op), vec![constant(&mut random, left), of_shape(right)]);
                check(backend, &what, &model, &[&b], rows, 1.0).await;
            }
        }
    }
    let values: Vec<_> = (0..4).map(|_| random.values(5 * 9, 1.0)).collect();
    let inputs: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    for kind in [LayerKind::Average, LayerKind::Combine(Binary::Add), LayerKind::Combine(Binary::Minimum)] {
        let model = join(kind, vec![of_shape(&[9]); 4]);
        check(backend, "four operands", &model, &inputs, 5, 1.0).await;
    }
    let model = join(LayerKind::Combine(Binary::Add), vec![of_shape(&[2]), of_shape(&[2, 2])]);
    let got = backend.run(&model, &[&[1.0, 2.0], &[10.0, 20.0, 30.0, 40.0]], 1).await;
    assert_eq!(got, [[11.0, 22.0, 31.0, 42.0]]);
}

pub async fn values_that_are_moved(backend: &Backend) {
    let mut random = Random(22);
    let permute = |axes: &[usize]| LayerKind::Permute { axes: axes.to_vec() };
    let gather = |axis, indices: &[usize]| LayerKind::Gather { axis, indices: indices.to_vec() };
    let cases: Vec<(&[usize], Vec<LayerKind>)> = vec![
        (&[3, 4], vec![permute(&[1, 0])]),
        (&[2, 3, 5], vec![permute(&[2, 0, 1])]),
        (&[2, 3, 5], vec![permute(&[1, 2, 0]), gather(1, &[4, 4, 0]), LayerKind::Flatten]),
        (&[7], vec![gather(0, &[6])]),
        (&[4, 9], vec![gather(1, &[8, 1]), gather(0, &[0, 0, 3, 2, 1])]),
        (
            &[300],
            vec![gather(0, &(0..300).rev().collect::<Vec<_>>()), LayerKind::Reshape { shape: vec![2, 150] }],
        ),
    ];
    for (shape, kinds) in cases {
        let mut layers = vec![input(shape)];
        layers.extend(kinds.into_iter().enumerate().map(|(i, kind)| Layer::new(format!("{i}"), kind)));
        for rows in [1, 3, 67] {
            let values = random.values(rows * shape.iter().product::<usize>(), 1.0);
            check(backend, "moves", &sequential(layers.clone()), &[&values], rows, 1.0).await;
        }
    }
    for (axis, shapes) in [(0, [[2, 3], [1, 3], [4, 3]]), (1, [[2, 3], [2, 1], [2, 70]])] {
        for rows in [1, 3, 67] {
            let model =
                join(LayerKind::Concatenate { axis }, shapes.iter().map(|shape| of_shape(shape)).collect());
            let values = shapes.map(|[a, b]| random.values(rows * a * b, 1.0));
            let inputs: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            check(backend, "concatenation", &model, &inputs, rows, 1.0).await;
        }
    }
    let model = join(LayerKind::Concatenate { axis: 1 }, vec![of_shape(&[2, 1]), of_shape(&[2, 2])]);
    let got = backend.run(&model, &[&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0]], 1).await;
    assert_eq!(got, [[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]]);
    let model = sequential(vec![input(&[2, 3]), Layer::new("p", permute(&[1, 0]))]);
    let got = backend.run(&model, &[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], 1).await;
    assert_eq!(got, [[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]]);
}

pub async fn tables_that_are_looked_up(backend: &Backend) {
    let table = tensor(&[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let embedding = sequential(vec![input(&[2]), Layer::new("e", LayerKind::Embedding { table })]);
    let got = backend.run(&embedding, &[&[2.0, 0.0, 1.0, 1.0]], 2).await;
    assert_eq!(got, [[5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]]);
    let encoding = |mode| LayerKind::CategoryEncoding { tokens: 4, mode };
    let encode = |mode| sequential(vec![input(&[3]), Layer::new("c", encoding(mode))]);
    let values: &[f32] = &[1.0, 3.0, 1.0];
    let got = backend.run(&encode(Encoding::Count), &[values], 1).await;
    assert_eq!(got, [[0.0, 2.0, 0.0, 1.0]]);
    let got = backend.run(&encode(Encoding::MultiHot), &[values], 1).await;
    assert_eq!(got, [[0.0, 1.0, 0.0, 1.0]]);
    let got = backend.run(&encode(Encoding::OneHot), &[values], 1).await;
    assert_eq!(got, [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]]);
    let boundaries = tensor(&[3], vec![-1.0, 0.0, 2.5]);
    let discretization = sequential(vec![
        input(&[2]),
        Layer::new("d", LayerKind::Discretization { boundaries: boundaries.clone() }),
    ]);
    let got = backend.run(&discretization, &[&[-3.0, -1.0, 2.4, 9.0]], 2).await;
    assert_eq!(got, [[0.0, 1.0, 2.0, 3.0]]);
    // What the model counts itself cannot lie outside the table.
    let chain = sequential(vec![
        input(&[2]),
        Layer::new("d", LayerKind::Discretization { boundaries }),
        Layer::new("c", encoding(Encoding::OneHot)),
    ]);
    let got = backend.run(&chain, &[&[-3.0, 9.0]], 1).await;
    assert_eq!(got, [[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]);
    let session = Session::from_model(embedding, nearside::Dtype::F32).unwrap();
    for wrong in [3.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
        let error = session.predict_sync(&[&[0.0, wrong]]).unwrap_err();
        assert_eq!((error.kind(), error.context().tensor.as_deref()), (ErrorKind::Value, Some("input")));
    }
    let mut random = Random(23);
    let computed = sequential(vec![
        input(&[2]),
        random_dense(&mut random, "dense", 2, 2, true),
        Layer::new("c", encoding(Encoding::Count)),
    ]);
    let error = Plan::compile(&computed).unwrap_err();
    assert_eq!((error.kind(), error.context().layer.as_deref()), (ErrorKind::Unsupported, Some("c")));
}

pub async fn products_of_two_results(backend: &Backend) {
    let mut random = Random(24);
    for (a, b) in [(vec![1, 1], vec![1, 1]), (vec![3, 17], vec![17, 5]), (vec![2, 3, 4], vec![2, 4, 65])] {
        for rows in [1, 3, 67] {
            let values = [&a, &b].map(|shape| random.values(rows * shape.iter().product::<usize>(), 1.0));
            let model = join(LayerKind::MatMul, vec![of_shape(&a), of_shape(&b)]);
            check(backend, "product", &model, &[&values[0], &values[1]], rows, 1.0).await;
        }
    }
    let model = join(LayerKind::MatMul, vec![of_shape(&[2, 2]), of_shape(&[2, 1])]);
    let got = backend.run(&model, &[&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0]], 1).await;
    assert_eq!(got, [[17.0, 39.0]]);
}

fn batch_normalization(random: &mut Random, width: usize) -> LayerKind {
    let mut values =
        |offset: f32| tensor(&[width], random.values(width, 0.5).iter().map(|x| x + offset).collect());
    LayerKind::BatchNormalization {
        gamma: Some(values(1.0)),
        beta: Some(values(0.0)),
        mean: values(0.3),
        variance: values(1.0),
        epsilon: 1e-3,
        momentum: 0.99,
    }
}

pub async fn normalisations(backend: &Backend) {
    let mut random = Random(25);
    for width in [1, 3, 64, 129] {
        let mut values =
            |offset: f32| tensor(&[width], random.values(width, 0.5).iter().map(|x| x + offset).collect());
        let (gamma, beta) = (Some(values(1.0)), Some(values(0.0)));
        let kinds = [
            LayerKind::LayerNormalization { gamma: gamma.clone(), beta, epsilon: 1e-3 },
            LayerKind::LayerNormalization { gamma, beta: None, epsilon: 1e-3 },
            LayerKind::Normalization { mean: values(0.0), variance: values(1.0) },
            LayerKind::Rescaling { scale: values(1.0), offset: tensor(&[1], vec![0.5]) },
            LayerKind::PRelu { alpha: values(0.0) },
            batch_normalization(&mut random, width),
        ];
        for kind in kinds {
            let name = kind.type_name();
            let model = sequential(vec![input(&[2, width]), Layer::new("n", kind)]);
            for rows in [1, 3, 67] {
                let values = random.values(rows * 2 * width, 2.0);
                check(backend, name, &model, &[&values], rows, 10.0).await;
            }
        }
    }
}

/// A plan that was folded gives what its layers give one by one: those whose every result is asked for.
pub async fn folded_plans(backend: &Backend) {
    let mut random = Random(26);
    let rescaling = |scale: f32, offset: f32| LayerKind::Rescaling {
        scale: tensor(&[1], vec![scale]),
        offset: tensor(&[1], vec![offset]),
    };
    let kinds = vec![
        LayerKind::Noise(Noise::Gaussian { stddev: 0.1 }),
        LayerKind::Normalization {
            mean: tensor(&[7], random.values(7, 3.0)),
            variance: tensor(&[7], vec![2.0; 7]),
        },
        LayerKind::Flatten,
        random_dense(&mut random, "", 28, 64, false).kind,
        batch_normalization(&mut random, 64),
        LayerKind::Activation(Activation::Elementwise(Elementwise::Tanh)),
        LayerKind::Dropout { rate: 0.5 },
        batch_normalization(&mut random, 64),
        random_dense(&mut random, "", 64, 10, true).kind,
        rescaling(0.5, 0.0),
        LayerKind::Activation(Activation::Rowwise(Rowwise::Standardize { epsilon: 1e-3 })),
        rescaling(2.0, -1.0),
        random_dense(&mut random, "", 10, 3, true).kind,
        LayerKind::Activation(Activation::Rowwise(Rowwise::Softmax)),
    ];
    let mut layers = vec![input(&[4, 7])];
    layers.extend(kinds.into_iter().enumerate().map(|(i, kind)| Layer::new(format!("{i}"), kind)));
    let model = sequential(layers);
    let plan = Plan::compile(&model).unwrap();
    assert_eq!(plan.steps.len(), 5, "three products, a standardisation and a softmax: {:?}", plan.steps);
    let mut unfolded = model.clone();
    unfolded.outputs = (0..model.nodes.len()).rev().collect();
    assert!(Plan::compile(&unfolded).unwrap().steps.len() > 12);
    for rows in [1, 3, 67] {
        let values = random.values(rows * 28, 4.0);
        let want = &expected(&unfolded, &[&values], rows)[0];
        let got = backend.run(&model, &[&values], rows).await;
        assert_close("folded", &got[0], want, |_| TOLERANCE);
        let got = backend.run(&unfolded, &[&values], rows).await;
        assert_close("unfolded", &got[0], want, |_| TOLERANCE);
    }
}

/// Offsets much larger than the values' spread stay where they are: behind the product their rounding would show.
pub async fn large_offsets(backend: &Backend) {
    let mut random = Random(27);
    let normalization =
        LayerKind::Normalization { mean: tensor(&[1], vec![2e3]), variance: tensor(&[1], vec![1e-2]) };
    let model = sequential(vec![
        input(&[8]),
        Layer::new("n", normalization),
        random_dense(&mut random, "dense", 8, 4, true),
    ]);
    let values: Vec<f32> = random.values(8, 0.1).iter().map(|x| x + 2e3).collect();
    let mut unfolded = model.clone();
    unfolded.outputs = vec![2, 1];
    let want = &expected(&unfolded, &[&values], 1)[0];
    let got = backend.run(&model, &[&values], 1).await;
    assert_close("large offsets", &got[0], want, |_| TOLERANCE);
}
