//! The gradients of dense layers and the updates of weights, against the plainest loops in double precision.

use super::{input, random_dense, sequential, values::Random};
use nearside::{
    Compiled, LayerKind, Loss, Optimizer,
    train::{Gradient, Trainer},
};

fn close(what: &str, found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    assert!(!found.is_empty(), "{what}: nothing to compare");
    let size = wanted.iter().fold(1e-6, |most: f64, x| most.max(x.abs()));
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let apart = (f64::from(*found) - wanted).abs();
        assert!(apart <= 1e-5 * size, "{what}: value {i} is {found}, {wanted} wanted");
    }
}

/// Of `mean((x · K + b − y)²)`, at sizes about the tiles' edges.
pub fn gradients_at_awkward_sizes() {
    let mut random = Random(31);
    let sizes = [
        (1, 1, 1),
        (2, 3, 5),
        (3, 4, 12),
        (4, 7, 13),
        (5, 17, 8),
        (8, 33, 24),
        (31, 12, 9),
        (32, 100, 10),
        (129, 5, 37),
    ];
    for (rows, inputs, units) in sizes {
        let layer = random_dense(&mut random, "dense", inputs, units, true);
        let LayerKind::Dense { kernel, bias: Some(bias), .. } = &layer.kind else {
            panic!("a dense layer with a bias")
        };
        let (kernel, bias) = (kernel.data().to_vec(), bias.data().to_vec());
        let mut layer = layer;
        let LayerKind::Dense { activation, .. } = &mut layer.kind else { panic!("a dense layer") };
        *activation = nearside::Activation::LINEAR;
        let mut model = sequential(vec![input(&[inputs]), layer]);
        model.compiled = Some(Box::new(Compiled {
            optimizer: Optimizer::from_value("sgd".into()).unwrap(),
            losses: vec![Loss::MeanSquaredError],
            loss_weights: vec![1.0],
            metrics: vec![vec![]],
            state: None,
        }));
        let (x, y) = (random.values(rows * inputs, 1.0), random.values(rows * units, 1.0));
        let mut trainer = Trainer::new(model, 1).unwrap();
        trainer.want_input_gradients();
        let samples = trainer.write(&[&x], &[&y], None).unwrap();
        let (_, gradients) = trainer.differentiate(samples, true).unwrap();

        let mut of_kernel = vec![0.0; inputs * units];
        let (mut of_bias, mut of_input) = (vec![0.0; units], vec![0.0; rows * inputs]);
        for row in 0..rows {
            let x = &x[row * inputs..(row + 1) * inputs];
            for unit in 0..units {
                let product = |i: usize| f64::from(x[i]) * f64::from(kernel[i * units + unit]);
                let value = (0..inputs).map(product).sum::<f64>() + f64::from(bias[unit]);
                let dy = 2.0 * (value - f64::from(y[row * units + unit])) / (rows * units) as f64;
                of_bias[unit] += dy;
                for i in 0..inputs {
                    of_kernel[i * units + unit] += f64::from(x[i]) * dy;
                    of_input[row * inputs + i] += f64::from(kernel[i * units + unit]) * dy;
                }
            }
        }
        let what = format!("{rows} × {inputs} · {units}");
        for Gradient { weight, value, .. } in gradients {
            let wanted = match weight {
                Some("kernel") => &of_kernel,
                Some(_) => &of_bias,
                None => &of_input,
            };
            close(&format!("{what}, by {}", weight.unwrap_or("the input")), value.data(), wanted);
        }
    }
}
