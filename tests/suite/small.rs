//! Weights that the CPU keeps in 16 and 8 bits: as exact as the product of the weights that were rounded.

use super::{TOLERANCE, assert_close, expected, input, random_dense, sequential, values::Random};
use nearside::{Dtype, LayerKind, Model, Plan, Tensor, cpu::CpuExecutor};

/// The model's Dense layer with each weight as the type can hold it.
fn rounded(model: &Model, dtype: Dtype) -> Model {
    let mut model = model.clone();
    for layer in &mut model.layers {
        let LayerKind::Dense { kernel, .. } = &mut layer.kind else { continue };
        let units = kernel.shape()[1];
        let scale = |unit: usize| {
            let column = kernel.data().iter().skip(unit).step_by(units);
            column.fold(0.0f32, |largest, w| largest.max(w.abs())) / 127.0
        };
        let round = |(i, &w): (usize, &f32)| match dtype {
            Dtype::F32 => w,
            Dtype::F16 => half::f16::from_f32(w).to_f32(),
            Dtype::Int8 => (w / scale(i % units)).round_ties_even() * scale(i % units),
        };
        let weights = kernel.data().iter().enumerate().map(round).collect();
        *kernel = Tensor::new(kernel.shape().to_vec(), weights).unwrap();
    }
    model
}

fn run(model: &Model, dtype: Dtype, values: &[f32], rows: usize) -> Vec<f32> {
    let mut executor = CpuExecutor::prepare(model, &Plan::compile(model).unwrap(), dtype).unwrap();
    executor.run(&[values], rows).unwrap().remove(0)
}

/// Rows that are multiplied as they come and such that wait for widened weights, of awkward sizes.
pub fn products_of_small_weights() {
    let mut random = Random(21);
    let sizes = [
        (1, 1, 1),
        (1, 100, 64),
        (2, 33, 17),
        (3, 8, 12),
        (4, 1757, 5),
        (5, 300, 129),
        (40, 257, 65),
        (1, 4097, 24),
        (9, 2049, 13),
    ];
    for (rows, inputs, units) in sizes {
        let dense = random_dense(&mut random, "dense", inputs, units, rows % 2 == 0);
        let model = sequential(vec![input(&[inputs]), dense]);
        let values = random.values(rows * inputs, 1.0);
        for dtype in [Dtype::F16, Dtype::Int8] {
            let want = expected(&rounded(&model, dtype), &[&values], rows).remove(0);
            let got = run(&model, dtype, &values, rows);
            // For few rows, inputs are whole numbers as well, of 12 to 15 bits.
            let tolerance = if dtype == Dtype::Int8 && rows <= 4 { 1e-3 } else { TOLERANCE };
            assert_close(&format!("{dtype:?} {rows} × {inputs} · {units}"), &got, &want, |i| {
                tolerance * want[i].abs().max(1.0)
            });
        }
    }
}

pub fn inputs_that_are_not_finite_stay_so() {
    let mut random = Random(22);
    let model = sequential(vec![input(&[17]), random_dense(&mut random, "dense", 17, 5, true)]);
    for rows in [1, 2, 9] {
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = random.values(rows * 17, 1.0);
            values[(rows - 1) * 17 + 3] = special;
            for dtype in [Dtype::F16, Dtype::Int8] {
                let want = expected(&rounded(&model, dtype), &[&values], rows).remove(0);
                let got = run(&model, dtype, &values, rows);
                assert_close(&format!("{dtype:?} of {special}"), &got, &want, |i| {
                    1e-3 * want[i].abs().max(1.0)
                });
            }
        }
    }
}

/// Kept as they are, for a rounded infinity would be another network.
pub fn weights_beyond_a_type_are_kept_as_floats() {
    for (weight, dtypes) in [(1e6, vec![Dtype::F16]), (f32::INFINITY, vec![Dtype::F16, Dtype::Int8])] {
        let mut random = Random(23);
        let mut dense = random_dense(&mut random, "dense", 9, 13, true);
        if let LayerKind::Dense { kernel, .. } = &mut dense.kind {
            let mut weights = kernel.data().to_vec();
            weights[40] = weight;
            *kernel = Tensor::new(vec![9, 13], weights).unwrap();
        }
        let model = sequential(vec![input(&[9]), dense]);
        let values = random.values(2 * 9, 1.0);
        let want = expected(&model, &[&values], 2).remove(0);
        for dtype in dtypes {
            let got = run(&model, dtype, &values, 2);
            assert_close(&format!("{dtype:?} of {weight}"), &got, &want, |i| {
                TOLERANCE * want[i].abs().max(1.0)
            });
        }
    }
}
