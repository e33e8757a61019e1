//! What only a GPU executor has: overlapping runs, limits, and a device that can be lost.

use super::{
    TOLERANCE, assert_close, dense, expected, graph, input, random_dense, sequential, values::Random,
};
use nearside::{
    Activation, Dtype, ErrorKind, Layer, LayerKind, Model, Plan, Tensor,
    gpu::{GpuContext, GpuExecutor},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

pub async fn check_all(context: &Rc<GpuContext>) {
    every_variant_at_awkward_sizes().await;
    every_variant_with_small_weights().await;
    the_fastest_variants_are_chosen(context).await;
    profiles_time_every_task(context).await;
    overlapping_runs(context).await;
    batches_of_changing_size(context).await;
    abandoned_runs_leave_no_trace(context).await;
    wrong_inputs_are_refused(context).await;
    batches_beyond_the_limits_are_split().await;
    kernels_stride_over_what_a_dispatch_cannot_cover().await;
    a_layer_beyond_the_limits_is_named().await;
    a_lost_device_is_an_error().await;
}

async fn prepare(context: &Rc<GpuContext>, model: &Model) -> GpuExecutor {
    GpuExecutor::prepare(context.clone(), model, &Plan::compile(model).unwrap(), Dtype::F32).await.unwrap()
}

fn assert_run(what: &str, model: &Model, inputs: &[&[f32]], rows: usize, got: &[Vec<f32>]) {
    let want = expected(model, inputs, rows);
    assert_eq!(got.len(), want.len(), "{what}: number of outputs");
    for (got, want) in got.iter().zip(&want) {
        assert_close(what, got, want, |index| TOLERANCE * want[index].abs().max(1.0));
    }
}

/// Polls all of them in turn until all are done, as a page's event loop would.
async fn join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<Pin<Box<_>>> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A context for each variant, where the classes of batches have different numbers of them.
async fn contexts() -> Vec<(String, Rc<GpuContext>)> {
    let every = GpuContext::every_variant();
    let most = every.iter().map(Vec::len).max().unwrap();
    let mut contexts = vec![];
    for index in 0..most {
        let names = every.each_ref().map(|names| names[index % names.len()]);
        let context = GpuContext::open().await.unwrap();
        context.choose(&names);
        assert_eq!(context.variants(), names);
        contexts.push((names.join(", "), context));
    }
    contexts
}

/// Rows of all classes, about the edges of tiles.
const BATCHES: [usize; 11] = [1, 2, 5, 8, 9, 16, 17, 33, 64, 65, 129];

pub async fn every_variant_at_awkward_sizes() {
    let mut random = Random(31);
    let even = |random: &mut Random| (random.values(1, 1.0)[0].abs() * 149.0) as usize * 2 + 2;
    let mut sizes = vec![(1, 1), (3, 5), (4, 4), (300, 129), (129, 300), (64, 128), (4096, 3), (7, 4096)];
    for _ in 0..3 {
        sizes.push((even(&mut random), even(&mut random)));
        sizes.push((even(&mut random) - 1, even(&mut random)));
        sizes.push((even(&mut random), even(&mut random) - 1));
    }
    for (names, context) in contexts().await {
        for &(inputs, units) in &sizes {
            let model =
                sequential(vec![input(&[inputs]), random_dense(&mut random, "dense", inputs, units, true)]);
            let executor = prepare(&context, &model).await;
            for rows in BATCHES {
                let values = random.values(rows * inputs, 1.0);
                let got = executor.run(&[&values], rows).await.unwrap();
                assert_run(&format!("{names}: {rows} × {inputs} × {units}"), &model, &[&values], rows, &got);
            }
        }
    }
}

pub async fn every_variant_with_small_weights() {
    let mut random = Random(32);
    for (names, context) in contexts().await {
        for (inputs, units) in [(1, 1), (5, 3), (36, 70), (101, 64)] {
            // Such as either type holds exactly: multiples of 1/128, of which every unit has the largest.
            let mut weights = random.values(inputs * units, 127.0);
            weights.iter_mut().for_each(|weight| *weight = weight.round() / 128.0);
            weights[..units].fill(-127.0 / 128.0);
            let kernel = Tensor::new(vec![inputs, units], weights).unwrap();
            let bias = Tensor::new(vec![units], random.values(units, 1.0)).unwrap();
            let model =
                sequential(vec![input(&[inputs]), dense("dense", kernel, Some(bias), Activation::LINEAR)]);
            let plan = Plan::compile(&model).unwrap();
            for dtype in [Dtype::F16, Dtype::Int8] {
                let executor = GpuExecutor::prepare(context.clone(), &model, &plan, dtype).await.unwrap();
                for rows in [1, 5, 40] {
                    let values = random.values(rows * inputs, 1.0);
                    let got = executor.run(&[&values], rows).await.unwrap();
                    let what = format!("{names}, {}: {rows} × {inputs} × {units}", dtype.name());
                    let want = expected(&model, &[&values], rows);
                    // The factor of 8-bit weights is rounded.
                    assert_close(&what, &got[0], &want[0], |index| {
                        5.0 * TOLERANCE * want[0][index].abs().max(1.0)
                    });
                }
            }
        }
    }
}

pub async fn the_fastest_variants_are_chosen(context: &Rc<GpuContext>) {
    let before = context.variants();
    context.tune().await.unwrap();
    let every = GpuContext::every_variant();
    for (chosen, names) in context.variants().iter().zip(&every) {
        assert!(names.contains(chosen), "{chosen}");
    }
    context.choose(&before);
    context.choose(&["of another version", before[1]]);
    assert_eq!(context.variants()[1], before[1], "what is not known changes nothing else");
    context.choose(&before);
}

pub async fn profiles_time_every_task(context: &Rc<GpuContext>) {
    let mut random = Random(33);
    let softmax = Layer::new("softmax", LayerKind::Activation(Activation::from_name("softmax").unwrap()));
    let model = sequential(vec![input(&[40]), random_dense(&mut random, "dense", 40, 30, true), softmax]);
    let executor = prepare(context, &model).await;
    let values = random.values(20 * 40, 1.0);
    let profiles = executor.profile(&[&values], 20).await.unwrap();
    assert_eq!(profiles.len(), 2);
    assert_eq!(profiles[1].kernel, "softmax");
    assert!(profiles.iter().all(|profile| profile.time > 0.0), "{profiles:?}");
}

pub async fn overlapping_runs(context: &Rc<GpuContext>) {
    let mut random = Random(11);
    let model = graph(&mut random);
    let executor = prepare(context, &model).await;
    // Sizes that share the slots, make them grow, and use either Dense kernel.
    let batches: Vec<_> = [1, 300, 7, 64, 1, 65, 300]
        .into_iter()
        .map(|rows| (rows, random.values(rows * 5, 1.0), random.values(rows * 5, 1.0)))
        .collect();
    let run = async |(rows, a, b): &(usize, Vec<f32>, Vec<f32>)| executor.run(&[a, b], *rows).await.unwrap();
    let results = join(batches.iter().map(run).collect()).await;
    for ((rows, a, b), got) in batches.iter().zip(&results) {
        assert_run(&format!("overlapping run of {rows}"), &model, &[a, b], *rows, got);
    }
}

pub async fn batches_of_changing_size(context: &Rc<GpuContext>) {
    let mut random = Random(12);
    let model = sequential(vec![input(&[17]), random_dense(&mut random, "dense", 17, 33, true)]);
    let executor = prepare(context, &model).await;
    for rows in [5, 1, 257, 9, 8, 100, 257] {
        let values = random.values(rows * 17, 1.0);
        let got = executor.run(&[&values], rows).await.unwrap();
        assert_run(&format!("batch of {rows}"), &model, &[&values], rows, &got);
    }
    let empty = executor.run(&[&[]], 0).await.unwrap();
    assert_eq!(empty, [Vec::<f32>::new()], "an empty batch has an empty answer");
}

pub async fn abandoned_runs_leave_no_trace(context: &Rc<GpuContext>) {
    let mut random = Random(17);
    let model = sequential(vec![input(&[3]), random_dense(&mut random, "dense", 3, 4, true)]);
    let executor = prepare(context, &model).await;
    let values = random.values(3 * 40, 1.0);
    for _ in 0..3 {
        let inputs = [&values[..]];
        let mut run = Box::pin(executor.run(&inputs, 40));
        let pending = poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_pending())).await;
        assert!(pending, "the run must have been submitted and not have ended");
        drop(run);
        let got = executor.run(&[&values[..15]], 5).await.unwrap();
        assert_run("run after an abandoned one", &model, &[&values[..15]], 5, &got);
    }
}

pub async fn wrong_inputs_are_refused(context: &Rc<GpuContext>) {
    let mut random = Random(13);
    let model = sequential(vec![input(&[4]), random_dense(&mut random, "dense", 4, 2, true)]);
    let executor = prepare(context, &model).await;
    for inputs in [&[&[0.0; 7][..]][..], &[], &[&[0.0; 4], &[0.0; 4]]] {
        assert_eq!(executor.run(inputs, 1).await.unwrap_err().kind(), ErrorKind::Shape);
    }
}

pub async fn batches_beyond_the_limits_are_split() {
    let mut random = Random(14);
    let model = sequential(vec![
        input(&[100]),
        random_dense(&mut random, "first", 100, 300, true),
        random_dense(&mut random, "second", 300, 3, true),
    ]);
    let whole = prepare(&GpuContext::open().await.unwrap(), &model).await;
    // 327 samples of 300 values; the first kernel, of 30,000, still fits.
    let small = GpuContext::open_with_limits(3 << 17, 1000).await.unwrap();
    let split = prepare(&small, &model).await;
    // The last part of each is shorter than the others, and of the second small enough for the other Dense kernel.
    for rows in [1000, 3 * 327 + 2] {
        let values = random.values(rows * 100, 1.0);
        let got = split.run(&[&values], rows).await.unwrap();
        assert_run("split batch", &model, &[&values], rows, &got);
        assert_eq!(got, whole.run(&[&values], rows).await.unwrap(), "splitting must not change any bit");
        let overlapping = join(vec![split.run(&[&values], rows), split.run(&[&values], rows)]).await;
        assert!(overlapping.into_iter().all(|result| result.unwrap() == got), "split batches must not mix");
    }
}

pub async fn kernels_stride_over_what_a_dispatch_cannot_cover() {
    let mut random = Random(18);
    let context = GpuContext::open_with_limits(1 << 20, 3).await.unwrap();
    let layer = |name: &str, function: &str| {
        Layer::new(name, LayerKind::Activation(Activation::from_name(function).unwrap()))
    };
    let model = sequential(vec![
        input(&[24]),
        layer("a", "tanh"),
        layer("b", "softmax"),
        random_dense(&mut random, "dense", 24, 24, true),
        layer("c", "sparsemax"),
        layer("d", "log_softmax"),
        layer("e", "glu"),
    ]);
    let executor = prepare(&context, &model).await;
    let values = random.values(700 * 24, 2.0);
    let got = executor.run(&[&values], 700).await.unwrap();
    assert_run("striding", &model, &[&values], 700, &got);
}

pub async fn a_layer_beyond_the_limits_is_named() {
    let mut random = Random(15);
    let context = GpuContext::open_with_limits(1 << 16, 1000).await.unwrap();
    for (inputs, units) in [(200, 100), (1, 20_000)] {
        let model =
            sequential(vec![input(&[inputs]), random_dense(&mut random, "wide", inputs, units, false)]);
        let prepared =
            GpuExecutor::prepare(context.clone(), &model, &Plan::compile(&model).unwrap(), Dtype::F32).await;
        let error = prepared.err().expect("a buffer of more than 64 KB must be refused");
        assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
        assert_eq!(error.context().layer.as_deref(), Some("wide"), "{error}");
    }
}

pub async fn a_lost_device_is_an_error() {
    let mut random = Random(16);
    let context = GpuContext::open().await.unwrap();
    let model = sequential(vec![input(&[4]), random_dense(&mut random, "dense", 4, 2, true)]);
    let plan = Plan::compile(&model).unwrap();
    let executor = prepare(&context, &model).await;
    let values = random.values(4, 1.0);
    executor.run(&[&values], 1).await.unwrap();
    assert_eq!(context.lost(), None);
    let inputs = [&values[..]];
    let mut in_flight = Box::pin(executor.run(&inputs, 1));
    let _ = poll_fn(|context| Poll::Ready(in_flight.as_mut().poll(context).is_pending())).await;
    context.destroy();
    // The work was submitted, so it may still have been done; but it ends, and not with zeros.
    match in_flight.await {
        Ok(got) => assert_run("run during the loss", &model, &inputs, 1, &got),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Device, "{error}"),
    }
    for _ in 0..2 {
        assert_eq!(executor.run(&[&values], 1).await.unwrap_err().kind(), ErrorKind::Device);
    }
    let again = GpuExecutor::prepare(context.clone(), &model, &plan, Dtype::F32).await;
    assert_eq!(again.err().map(|error| error.kind()), Some(ErrorKind::Device));
    assert!(context.lost().is_some());
}
