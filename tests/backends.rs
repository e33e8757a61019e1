//! Runs the backend suite natively: on the CPU, and on whatever GPU adapter there is.

#![cfg(not(target_arch = "wasm32"))]

mod suite;

use nearside::gpu::GpuContext;
use std::rc::Rc;
use suite::Backend;

/// A machine without a GPU must not pass for one on which the GPU is right.
fn open() -> Rc<GpuContext> {
    pollster::block_on(GpuContext::open()).expect(
        "these tests need a GPU adapter, and a software one will do: apt-get install mesa-vulkan-drivers",
    )
}

fn on_every_backend(check: impl AsyncFn(&Backend)) {
    pollster::block_on(async {
        check(&Backend::Cpu).await;
        check(&Backend::Gpu(open())).await;
    });
}

#[test]
fn dense_at_awkward_sizes() {
    on_every_backend(suite::dense_at_awkward_sizes);
}

#[test]
fn dense_of_large_values() {
    on_every_backend(suite::dense_of_large_values);
}

#[test]
fn dense_of_values_that_are_not_finite() {
    on_every_backend(suite::dense_of_values_that_are_not_finite);
}

#[test]
fn elementwise_activations() {
    on_every_backend(suite::elementwise_activations);
}

#[test]
fn rowwise_activations() {
    on_every_backend(suite::rowwise_activations);
}

#[test]
fn layers_over_the_last_of_several_axes() {
    on_every_backend(suite::layers_over_the_last_of_several_axes);
}

#[test]
fn graphs_of_several_inputs_and_outputs() {
    on_every_backend(suite::graphs_of_several_inputs_and_outputs);
}

#[test]
fn chains_that_reuse_slots() {
    on_every_backend(suite::chains_that_reuse_slots);
}

#[test]
fn what_only_a_gpu_executor_has() {
    pollster::block_on(suite::gpu::check_all(&open()));
}

#[test]
#[should_panic(expected = "nothing to compare")]
fn a_comparison_of_nothing_fails() {
    suite::assert_close("nothing", &[], &[], |_| 1.0);
}

#[test]
#[should_panic(expected = "NaN")]
fn a_comparison_with_nan_fails() {
    suite::assert_close("NaN", &[f32::NAN], &[0.0], |_| f32::INFINITY);
}

#[test]
#[should_panic(expected = "inf")]
fn a_comparison_of_a_number_with_infinity_fails() {
    suite::assert_close("infinity", &[1.0], &[f32::INFINITY], |_| f32::INFINITY);
}

#[test]
fn functions_of_two_values() {
    on_every_backend(suite::graphs::functions_of_two_values);
}

#[test]
fn operands_that_are_broadcast() {
    on_every_backend(suite::graphs::operands_that_are_broadcast);
}

#[test]
fn values_that_are_moved() {
    on_every_backend(suite::graphs::values_that_are_moved);
}

#[test]
fn tables_that_are_looked_up() {
    on_every_backend(suite::graphs::tables_that_are_looked_up);
}

#[test]
fn products_of_two_results() {
    on_every_backend(suite::graphs::products_of_two_results);
}

#[test]
fn normalisations() {
    on_every_backend(suite::graphs::normalisations);
}

#[test]
fn folded_plans() {
    on_every_backend(suite::graphs::folded_plans);
}

#[test]
fn large_offsets() {
    on_every_backend(suite::graphs::large_offsets);
}

#[test]
fn products_of_small_weights() {
    suite::small::products_of_small_weights();
}

#[test]
fn inputs_that_are_not_finite_stay_so() {
    suite::small::inputs_that_are_not_finite_stay_so();
}

#[test]
fn weights_beyond_a_type_are_kept_as_floats() {
    suite::small::weights_beyond_a_type_are_kept_as_floats();
}

#[test]
fn shares_of_layers() {
    suite::shares::shares_of_layers();
}

#[test]
fn batches_of_samples() {
    suite::shares::batches_of_samples();
}

#[test]
fn gradients_of_dense_layers() {
    suite::training::gradients_at_awkward_sizes();
}
