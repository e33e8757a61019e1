//! What only a GPU executor has: overlapping runs, limits, and a device that can be lost.

use super::{TOLERANCE, assert_close, expected, graph, input, random_dense, sequential, values::Random};
use nearside::{
    Activation, Dtype, ErrorKind, Layer, LayerKind, Model, Plan,
    gpu::{GpuContext, GpuExecutor},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

pub async fn check_all(context: &Rc<GpuContext>) {
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
