//! Times every kernel of a dense layer on the GPU that is there, beside the rate at which it copies memory:
//!
//! ```text
//! cargo run --release --example gpu_bench [ROWS×INPUTS×UNITS …]
//! ```
//!
//! Give sizes to time others than the usual ones. Every result is compared with the CPU's scalar specification for as many
//! rows as that computes in a moment.

use nearside::{
    Activation, Dtype, Layer, LayerKind, Model, Plan, Tensor,
    cpu::scalar,
    gpu::{GpuContext, GpuExecutor},
};
use std::{error::Error, rc::Rc};

/// Those of the usual networks' layers, and a square as large as the vendors' libraries are measured with. A processor that
/// passes for a GPU gets the ones that it computes in seconds.
const SIZES: [[u32; 3]; 9] = [
    [1, 784, 128],
    [1, 4096, 4096],
    [8, 4096, 4096],
    [32, 784, 128],
    [256, 512, 512],
    [1024, 784, 128],
    [1024, 1024, 1024],
    [128, 4096, 4096],
    [4096, 4096, 4096],
];
/// Multiplications of the largest size that a processor is given.
const MOST_FOR_A_PROCESSOR: u64 = 1 << 27;
/// Bytes that are copied to find out how fast that is.
const COPIED: u64 = 256 << 20;
/// Error allowed of a value, in proportion to it or to 1.
const TOLERANCE: f32 = 1e-4;

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let context = GpuContext::open().await?;
    let given = std::env::args().skip(1).map(|size| parse(&size)).collect::<Result<Vec<_>, _>>()?;
    let sizes = if given.is_empty() { usual(&context) } else { given };
    let copy = context.time_copy(COPIED).await?;
    let bandwidth = 2.0 * COPIED as f64 / copy / 1e6;
    println!("{}{}", context.adapter_name(), if context.is_software() { ", a processor" } else { "" });
    println!("copies {bandwidth:.1} GB/s, read and written\n");
    println!(
        "{:>18}  {:<28} {:>10} {:>10} {:>8} {:>9}",
        "rows×inputs×units", "kernel", "ms", "TFLOP/s", "GB/s", "of copy"
    );
    for size in sizes {
        let [rows, inputs, units] = size.map(f64::from);
        for (kernel, time) in context.time_variants(size).await? {
            let speed = 2.0 * rows * inputs * units / time / 1e9;
            let moved = 4.0 * (rows * inputs + inputs * units + rows * units) / time / 1e6;
            let name = size.map(|side| side.to_string()).join("×");
            println!(
                "{name:>18}  {kernel:<28} {time:>10.4} {speed:>10.4} {moved:>8.1} {:>7.0} %",
                100.0 * moved / bandwidth
            );
        }
        check(&context, size).await?;
    }
    context.tune().await?;
    println!("\nchosen: {}", context.variants().join("; "));
    Ok(())
}

fn usual(context: &GpuContext) -> Vec<[u32; 3]> {
    let multiplications = |size: &[u32; 3]| size.iter().map(|&side| u64::from(side)).product::<u64>();
    let fits = |size: &&[u32; 3]| !context.is_software() || multiplications(size) <= MOST_FOR_A_PROCESSOR;
    SIZES.iter().filter(fits).copied().collect()
}

fn parse(size: &str) -> Result<[u32; 3], String> {
    let sides: Vec<u32> = size.split(['×', 'x']).filter_map(|side| side.parse().ok()).collect();
    sides
        .try_into()
        .ok()
        .filter(|sides: &[u32; 3]| !sides.contains(&0))
        .ok_or_else(|| format!("'{size}' is no size such as 32×784×128"))
}

/// Holds the kernel that is chosen to the specification.
async fn check(context: &Rc<GpuContext>, [rows, inputs, units]: [u32; 3]) -> Result<(), Box<dyn Error>> {
    let [inputs, units] = [inputs, units].map(|side| side as usize);
    let rows = (rows as usize).min((1 << 26) / (inputs * units) + 1);
    let values =
        |len: usize| (0..len).map(|i| (i % 1009 * 7919 % 251) as f32 / 251.0 - 0.5).collect::<Vec<_>>();
    let kernel = Tensor::new(vec![inputs, units], values(inputs * units))?;
    let dense = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
    let layers = vec![Layer::new("x", LayerKind::Input { shape: vec![inputs] }), Layer::new("dense", dense)];
    let model = Model::sequential("product", layers)?;
    let plan = Plan::compile(&model)?;
    let x = values(rows * inputs);
    let got =
        GpuExecutor::prepare(context.clone(), &model, &plan, Dtype::F32).await?.run(&[&x], rows).await?;
    let want = scalar::run(&plan, &[&x], rows)?;
    // False for NaN, so that is wrong, too.
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    let right = got[0].iter().zip(&want[0]).take_while(|&pair| close(pair)).count();
    let wrong = (right < want[0].len()).then_some(right);
    match wrong {
        Some(index) => Err(format!("value {index} is {}, {} expected", got[0][index], want[0][index]).into()),
        None => Ok(()),
    }
}
