//! How a computation is divided changes no digit of it: among samples, and among executors.

use super::{assert_close, input, random_dense, sequential, values::Random};
use nearside::{
    Activation, Dtype, Elementwise, Layer, LayerKind, Model, Plan,
    cpu::{CpuExecutor, Share},
};

/// Layers large enough to be shared, with and without an activation that is fused, and a small one.
fn model(random: &mut Random) -> Model {
    let activate =
        |name: &str, function| Layer::new(name, LayerKind::Activation(Activation::Elementwise(function)));
    sequential(vec![
        input(&[301]),
        random_dense(random, "a", 301, 701, true),
        activate("relu", Elementwise::RELU),
        random_dense(random, "b", 701, 190, false),
        activate("tanh", Elementwise::Tanh),
        random_dense(random, "c", 190, 10, true),
    ])
}

fn prepare(model: &Model, dtype: Dtype) -> CpuExecutor {
    CpuExecutor::prepare(model, &Plan::compile(model).unwrap(), dtype).unwrap()
}

/// What several executors compute that exchange their shares after every step.
fn together(model: &Model, dtype: Dtype, values: &[f32], rows: usize, count: usize) -> Vec<Vec<f32>> {
    let mut executors: Vec<_> = (0..count).map(|_| prepare(model, dtype)).collect();
    for executor in &mut executors {
        assert_eq!(executor.reserve(rows), Ok(rows));
        executor.input(0)[..values.len()].copy_from_slice(values);
    }
    let mut shared = 0;
    for step in 0..Plan::compile(model).unwrap().steps.len() {
        let mut shares = Vec::new();
        for (index, executor) in executors.iter_mut().enumerate() {
            shares.extend(executor.compute_step(step, rows, index, count).unwrap());
        }
        shared += usize::from(!shares.is_empty());
        let parts: Vec<_> = shares.iter().map(|share| (share.units.clone(), share.values.to_vec())).collect();
        for Share { values, width, .. } in shares {
            for (units, part) in &parts {
                for (own, other) in values.chunks_exact_mut(width).zip(part.chunks_exact(width)) {
                    own[units.clone()].copy_from_slice(&other[units.clone()]);
                }
            }
        }
    }
    assert_eq!(shared, if count > 1 { 2 } else { 0 }, "large layers are shared, the small one is not");
    let width = 10 * rows;
    executors.iter().map(|executor| executor.output(0)[..width].to_vec()).collect()
}

/// Several executors together have the digits of one.
pub fn shares_of_layers() {
    let mut random = Random(31);
    let model = model(&mut random);
    for rows in [1, 2, 5, 33] {
        let values = random.values(rows * 301, 1.0);
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Int8] {
            let want = prepare(&model, dtype).run(&[&values], rows).unwrap().remove(0);
            for count in [1, 2, 3, 70] {
                for got in together(&model, dtype, &values, rows, count) {
                    assert_close(&format!("{dtype:?}, {rows} rows, {count} shares"), &got, &want, |_| 0.0);
                }
            }
        }
    }
}

/// A sample's outputs are the same alone and in batches of any size.
pub fn batches_of_samples() {
    let mut random = Random(32);
    let model = model(&mut random);
    let rows = 301;
    let values = random.values(rows * 301, 1.0);
    for dtype in [Dtype::F32, Dtype::F16] {
        let mut executor = prepare(&model, dtype);
        let want = executor.run(&[&values], rows).unwrap().remove(0);
        for batch in [1, 2, 3, 4, 7, 100] {
            let parts = values
                .chunks(batch * 301)
                .flat_map(|part| prepare(&model, dtype).run(&[part], part.len() / 301).unwrap().remove(0));
            assert_close(&format!("{dtype:?}, {batch} at once"), &parts.collect::<Vec<_>>(), &want, |_| 0.0);
        }
    }
}
