//! The specification: every kernel as the plainest loop that computes it. All other kernels, on either backend, are
//! tested against these.

use super::check_inputs;
use crate::{Kernel, Plan, Result, Source, Step};

/// Runs a plan as the executors do, one value at a time.
///
/// # Errors
/// `Shape` and `Value` for inputs that the plan does not take.
pub fn run(plan: &Plan, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
    check_inputs(plan, inputs, rows)?;
    let mut slots: Vec<Vec<f32>> = vec![Vec::new(); plan.slots.len()];
    for (port, input) in plan.inputs.iter().zip(inputs) {
        slots[port.slot] = input.to_vec();
    }
    for step in &plan.steps {
        let before = std::mem::take(&mut slots[step.output]);
        slots[step.output] = run_step(plan, step, &slots, rows, before);
    }
    Ok(plan.outputs.iter().map(|port| slots[port.slot].clone()).collect())
}

/// What one step writes for so many samples. `output` is what its slot held before.
fn run_step(plan: &Plan, step: &Step, slots: &[Vec<f32>], samples: usize, mut output: Vec<f32>) -> Vec<f32> {
    let Step { rows, input_width, output_width, .. } = *step;
    // The value of a sample at a position, for operands of that many values a sample.
    let value = |source, sample: usize, width: usize, position: usize| match source {
        Source::Slot(slot) => slots[slot][sample * width + position],
        Source::Weights(weights) => plan.weights[weights].data()[position],
    };
    let second = step.second.unwrap_or(step.input);
    output.resize(samples * rows * output_width, 0.0);
    for sample in 0..samples {
        for row in 0..rows {
            let x: Vec<f32> = (0..input_width)
                .map(|i| value(step.input, sample, rows * input_width, row * input_width + i))
                .collect();
            let y = &mut output[(sample * rows + row) * output_width..][..output_width];
            match step.kernel {
                Kernel::Dense { kernel, bias, activation } => {
                    let bias = bias.map(|bias| plan.weights[bias].data());
                    let product = dense(&x, plan.weights[kernel].data(), bias, output_width);
                    y.iter_mut().zip(product).for_each(|(y, x)| *y = activation.value(x));
                }
                Kernel::Activate(function) => y.iter_mut().zip(x).for_each(|(y, x)| *y = function.value(x)),
                Kernel::Rowwise(function) => function.value(&x, y),
                Kernel::Combine { op, second_width, activation } => {
                    for (i, y) in y.iter_mut().enumerate() {
                        let b = value(second, sample, second_width, i % second_width);
                        *y = activation.value(op.value(x[i % input_width], b));
                    }
                }
                Kernel::Select { table } => {
                    y.iter_mut().zip(&plan.tables[table]).for_each(|(y, &at)| *y = x[at as usize]);
                }
                Kernel::Place { offset } => y[offset..][..input_width].copy_from_slice(&x),
                Kernel::Lookup { table } => {
                    let table = plan.weights[table].data();
                    y.copy_from_slice(&table[x[0] as usize * output_width..][..output_width]);
                }
                Kernel::MatMul { rows: m } => {
                    let matrix = input_width * output_width;
                    let first = row / m * matrix;
                    let kernel: Vec<f32> = (first..first + matrix)
                        .map(|i| value(second, sample, rows / m * matrix, i))
                        .collect();
                    y.copy_from_slice(&dense(&x, &kernel, None, output_width));
                }
            }
        }
    }
    output
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
