//! What only a browser shows: the kernels in WebAssembly's vectors and on a WebGPU device, and files read where sizes
//! have 32 bits. Takes minutes on SwiftShader, which computes on the CPU.

#![cfg(target_arch = "wasm32")]

mod recorded;
mod suite;

use nearside::{backend::Device, format, gpu::GpuContext};
use std::rc::Rc;
use suite::Backend;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// A browser without an adapter must not pass for one on which the GPU is right.
async fn open() -> Rc<GpuContext> {
    GpuContext::open().await.unwrap_or_else(|error| {
        panic!(
            "these tests need WebGPU, and a software adapter will do: webdriver.json starts Chromium with \
             --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader. {error}"
        )
    })
}

/// The package has one build of the GPU's module; in that for relaxed SIMD there is the CPU alone.
const HAS_GPU: bool = !cfg!(target_feature = "relaxed-simd");

async fn on_every_backend(check: impl AsyncFn(&Backend)) {
    check(&Backend::Cpu).await;
    if HAS_GPU {
        check(&Backend::Gpu(open().await)).await;
    }
}

#[wasm_bindgen_test]
async fn dense_at_awkward_sizes() {
    on_every_backend(suite::dense_at_awkward_sizes).await;
}

#[wasm_bindgen_test]
async fn dense_of_large_values() {
    on_every_backend(suite::dense_of_large_values).await;
}

#[wasm_bindgen_test]
async fn dense_of_values_that_are_not_finite() {
    on_every_backend(suite::dense_of_values_that_are_not_finite).await;
}

#[wasm_bindgen_test]
async fn elementwise_activations() {
    on_every_backend(suite::elementwise_activations).await;
}

#[wasm_bindgen_test]
async fn rowwise_activations() {
    on_every_backend(suite::rowwise_activations).await;
}

#[wasm_bindgen_test]
async fn layers_over_the_last_of_several_axes() {
    on_every_backend(suite::layers_over_the_last_of_several_axes).await;
}

#[wasm_bindgen_test]
async fn graphs_of_several_inputs_and_outputs() {
    on_every_backend(suite::graphs_of_several_inputs_and_outputs).await;
}

#[wasm_bindgen_test]
async fn chains_that_reuse_slots() {
    on_every_backend(suite::chains_that_reuse_slots).await;
}

#[wasm_bindgen_test]
async fn graphs_of_joins_moves_and_look_ups() {
    on_every_backend(suite::graphs::check_all).await;
}

#[wasm_bindgen_test]
fn weights_that_are_kept_small() {
    suite::small::products_of_small_weights();
    suite::small::inputs_that_are_not_finite_stay_so();
    suite::small::weights_beyond_a_type_are_kept_as_floats();
    suite::shares::shares_of_layers();
    suite::shares::batches_of_samples();
}

#[cfg(not(target_feature = "relaxed-simd"))]
#[wasm_bindgen_test]
async fn what_only_a_gpu_executor_has() {
    suite::gpu::check_all(&open().await).await;
}

/// A macro, because `include_bytes!` takes nothing but literals.
macro_rules! fixture {
    ($model:literal, $recorded:literal) => {
        (
            $model,
            include_bytes!(concat!("fixtures/", $model, ".h5")).as_slice(),
            include_bytes!(concat!("fixtures/", $recorded, ".io.npz")).as_slice(),
        )
    };
}

/// One file for each way that HDF5 lays out data, and models of every shape. The rest is read by the package's tests.
#[wasm_bindgen_test]
async fn predictions_equal_kerass() {
    for (name, file, npz) in [
        fixture!("dress_big_endian", "dress"),
        fixture!("dress_earliest_gzip", "dress"),
        fixture!("dress_latest_gzip", "dress"),
        fixture!("dress_track_order", "dress"),
        fixture!("dress_vlen_attrs", "dress"),
        fixture!("all_activations", "all_activations"),
        fixture!("branches", "branches"),
        fixture!("keras1", "keras1"),
        fixture!("mnist_784_128_128_10", "mnist_784_128_128_10"),
        fixture!("rank3", "rank3"),
    ] {
        let devices = if HAS_GPU { &[Device::Cpu, Device::Gpu][..] } else { &[Device::Cpu] };
        for &device in devices {
            let model = format::read(file).unwrap_or_else(|error| panic!("{name}: {error}"));
            recorded::compare(name, model, npz.to_vec(), device, 1e-5).await;
        }
    }
}

#[wasm_bindgen_test]
fn gradients_of_dense_layers() {
    suite::training::gradients_at_awkward_sizes();
}
