//! The specification: every kernel as the plainest loop that computes it. All other kernels, on either backend, are
//! tested against these.

use super::check_inputs;
use crate::{Kernel, LayerKind, Model, Plan, Result, Step};

/// Runs a plan as the executors do, one value at a time.
///
/// # Errors
/// `Shape` for inputs that the plan does not take.
pub fn run(model: &Model, plan: &Plan, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
    check_inputs(plan, inputs, rows)?;
    let mut slots: Vec<Vec<f32>> = vec![Vec::new(); plan.slots.len()];
    for (port, input) in plan.inputs.iter().zip(inputs) {
        slots[port.slot] = input.to_vec();
    }
    for step in &plan.steps {
        slots[step.output] = run_step(model, step, &slots[step.input]);
    }
    Ok(plan.outputs.iter().map(|port| slots[port.slot].clone()).collect())
}

fn run_step(model: &Model, step: &Step, input: &[f32]) -> Vec<f32> {
    let rows = input.chunks_exact(step.input_width);
    match (step.kernel, &model.layers[step.layer].kind) {
        (Kernel::Dense { activation }, LayerKind::Dense { kernel, bias, .. }) => {
            let bias = bias.as_ref().map(|bias| bias.data());
            let product = rows.flat_map(|row| dense(row, kernel.data(), bias, step.output_width));
            product.map(|y| activation.value(y)).collect()
        }
        (Kernel::Dense { .. }, _) => unreachable!("a dense step comes from a dense layer"),
        (Kernel::Activate(function), _) => input.iter().map(|&x| function.value(x)).collect(),
        (Kernel::Rowwise(function), _) => rows
            .flat_map(|row| {
                let mut out = vec![0.0; step.output_width];
                function.apply(row, &mut out);
                out
            })
            .collect(),
    }
}

/// `x · kernel + bias` for one row; `kernel` is (inputs, units), row-major. Sums are in double precision: the
/// specification's own rounding must not count against a kernel.
pub fn dense(x: &[f32], kernel: &[f32], bias: Option<&[f32]>, units: usize) -> Vec<f32> {
    (0..units)
        .map(|unit| {
            let products =
                x.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(kernel[i * units + unit]));
            (products.sum::<f64>() + bias.map_or(0.0, |bias| f64::from(bias[unit]))) as f32
        })
        .collect()
}
