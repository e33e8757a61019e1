//! The CPU executor: the SIMD kernels of `src/kernels` over a plan. Which instructions they use is chosen when they are
//! compiled.

pub mod scalar;

use crate::{Error, Kernel, LayerKind, Model, Plan, Result, Step, tensor::zeroed};
use nearside_kernels::PackedDense;

/// The vector instructions this build was compiled for.
pub const SIMD: &str = if cfg!(target_feature = "simd128") {
    "simd128"
} else if cfg!(target_feature = "sse2") {
    "sse2"
} else if cfg!(target_feature = "neon") {
    "neon"
} else {
    "none"
};

/// Values of the widest slot in a block of samples: 256 KB, so that a block's intermediate results stay in the
/// second-level cache from one layer to the next.
const BLOCK_VALUES: usize = 64 * 1024;
const MAX_BLOCK_SAMPLES: usize = 256;

/// A plan with its weights packed for the kernels, and the buffers it runs in.
pub struct CpuExecutor {
    plan: Plan,
    /// For each step, its weights if it has any.
    weights: Vec<Option<PackedDense>>,
    /// Buffers of one block of samples, allocated by the first run that needs them.
    slots: Vec<Vec<f32>>,
    block_samples: usize,
}

impl CpuExecutor {
    /// Packs the weights of a plan.
    ///
    /// # Errors
    /// `Memory` when there is none left.
    pub fn prepare(model: &Model, plan: &Plan) -> Result<Self> {
        let pack = |step: &Step| match (&step.kernel, &model.layers[step.layer].kind) {
            (Kernel::Dense { .. }, LayerKind::Dense { kernel, bias, .. }) => {
                let bias = bias.as_ref().map(|bias| bias.data());
                let packed = PackedDense::new(kernel.data(), bias, step.input_width, step.output_width);
                packed.map(Some).map_err(|_| {
                    let megabytes = kernel.data().len() / 250_000 + 1;
                    let message = format!("{megabytes} MB for the packed weights could not be allocated");
                    Error::memory(message).layer(&model.layers[step.layer].name)
                })
            }
            _ => Ok(None),
        };
        let weights = plan.steps.iter().map(pack).collect::<Result<_>>()?;
        let widest = plan.slots.iter().copied().max().unwrap_or(1).max(1);
        let block_samples = (BLOCK_VALUES / widest).clamp(1, MAX_BLOCK_SAMPLES);
        let slots = vec![Vec::new(); plan.slots.len()];
        Ok(Self { plan: plan.clone(), weights, slots, block_samples })
    }

    /// Runs the plan on `rows` samples. `inputs` holds one row-major slice for each of the plan's inputs; the result
    /// holds one for each of its outputs.
    ///
    /// # Errors
    /// `Memory` when the results cannot be allocated.
    pub fn run(&mut self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
        check_inputs(&self.plan, inputs, rows)?;
        if rows == 0 {
            return Ok(vec![vec![]; self.plan.outputs.len()]);
        }
        let block = self.block_samples.min(rows);
        for (slot, width) in self.slots.iter_mut().zip(&self.plan.slots) {
            if slot.len() < width * block {
                *slot = zeroed(width * block)?;
            }
        }
        let outputs = self.plan.outputs.iter().map(|port| zeroed(port.width() * rows));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        for start in (0..rows).step_by(block) {
            let samples = block.min(rows - start);
            for (port, input) in self.plan.inputs.iter().zip(inputs) {
                let width = port.width();
                let values = &input[start * width..][..samples * width];
                self.slots[port.slot][..values.len()].copy_from_slice(values);
            }
            for (step, weights) in self.plan.steps.iter().zip(&self.weights) {
                let mut output = std::mem::take(&mut self.slots[step.output]);
                run_step(step, weights.as_ref(), &self.slots[step.input], &mut output, samples * step.rows);
                self.slots[step.output] = output;
            }
            for (port, output) in self.plan.outputs.iter().zip(&mut outputs) {
                let width = port.width();
                let values = &self.slots[port.slot][..samples * width];
                output[start * width..][..values.len()].copy_from_slice(values);
            }
        }
        Ok(outputs)
    }
}

/// Refuses inputs that are not what the plan's ports take.
///
/// # Errors
/// `Shape`, naming the input.
pub fn check_inputs(plan: &Plan, inputs: &[&[f32]], rows: usize) -> Result<()> {
    if inputs.len() != plan.inputs.len() {
        let message = format!("{} inputs given, the model has {}", inputs.len(), plan.inputs.len());
        return Err(Error::shape(message));
    }
    for (port, input) in plan.inputs.iter().zip(inputs) {
        if port.width().checked_mul(rows) != Some(input.len()) {
            return Err(Error::shape(format!(
                "{} values given, {rows} samples of {} needed",
                input.len(),
                port.width()
            ))
            .tensor(&port.name));
        }
    }
    Ok(())
}

fn run_step(step: &Step, weights: Option<&PackedDense>, input: &[f32], output: &mut [f32], rows: usize) {
    let input = &input[..rows * step.input_width];
    let output = &mut output[..rows * step.output_width];
    match (step.kernel, weights) {
        (Kernel::Dense { activation }, Some(weights)) => weights.run(input, output, activation),
        (Kernel::Dense { .. }, None) => unreachable!("prepare packed the weights of every dense step"),
        (Kernel::Activate(function), _) => {
            output.copy_from_slice(input);
            function.apply(output);
        }
        (Kernel::Rowwise(function), _) => {
            let rows = input.chunks_exact(step.input_width).zip(output.chunks_exact_mut(step.output_width));
            rows.for_each(|(row, out)| function.apply(row, out));
        }
    }
}
