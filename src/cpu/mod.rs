//! The CPU executor: the SIMD kernels of `src/kernels` over a plan. Which instructions they use is chosen when they are
//! compiled.

pub mod scalar;

use crate::{Error, Kernel, Model, Plan, Port, Result, Source, Step, tensor::zeroed};
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
        let pack = |step: &Step| {
            let Kernel::Dense { kernel, bias, .. } = step.kernel else { return Ok(None) };
            let kernel = plan.weights[kernel].data();
            let bias = bias.map(|bias| plan.weights[bias].data());
            let packed = PackedDense::new(kernel, bias, step.input_width, step.output_width);
            packed.map(Some).map_err(|_| {
                let megabytes = kernel.len() / 250_000 + 1;
                let message = format!("{megabytes} MB for the packed weights could not be allocated");
                Error::memory(message).layer(&model.layers[step.layer].name)
            })
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
                let reader = Reader { plan: &self.plan, slots: &self.slots, samples };
                reader.run(step, weights.as_ref(), &mut output);
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
        check_limits(port, input)?;
    }
    Ok(())
}

/// Refuses indices that lie outside their table.
fn check_limits(port: &Port, input: &[f32]) -> Result<()> {
    if port.limits.is_empty() {
        return Ok(());
    }
    for (sample, values) in input.chunks_exact(port.limits.len()).enumerate() {
        for (position, (&value, &limit)) in values.iter().zip(&port.limits).enumerate() {
            if limit > 0 && !(value >= 0.0 && value < limit as f32 && value == value.trunc()) {
                return Err(Error::value(format!(
                    "value {position} of sample {sample} is no whole number from 0 to {}, as an index must be",
                    limit - 1
                ))
                .tensor(&port.name));
            }
        }
    }
    Ok(())
}

/// What the steps of a block of samples read.
struct Reader<'a> {
    plan: &'a Plan,
    slots: &'a [Vec<f32>],
    samples: usize,
}

impl Reader<'_> {
    /// The values of `width` a sample.
    fn values(&self, source: Source, width: usize) -> &[f32] {
        match source {
            Source::Slot(slot) => &self.slots[slot][..self.samples * width],
            Source::Weights(weights) => self.plan.weights[weights].data(),
        }
    }

    fn run(&self, step: &Step, packed: Option<&PackedDense>, output: &mut [f32]) {
        let Step { rows, input_width, output_width, .. } = *step;
        let input = self.values(step.input, rows * input_width);
        let output = &mut output[..self.samples * rows * output_width];
        let outputs = output.chunks_exact_mut(output_width);
        match step.kernel {
            Kernel::Dense { activation, .. } => match packed {
                Some(packed) => packed.run(input, output, activation),
                None => unreachable!("prepare packed the weights of every dense step"),
            },
            Kernel::Activate(function) => {
                output.copy_from_slice(input);
                function.apply(output);
            }
            Kernel::Rowwise(function) => {
                input.chunks_exact(input_width).zip(outputs).for_each(|(row, out)| function.apply(row, out));
            }
            Kernel::Combine { op, second_width, activation } => {
                let second = step.second.map_or(input, |second| self.values(second, second_width));
                // Constants are the same for every sample.
                let pairs =
                    input.chunks_exact(input_width).cycle().zip(second.chunks_exact(second_width).cycle());
                for (out, (a, b)) in outputs.zip(pairs) {
                    op.apply(a, b, out);
                }
                activation.apply(output);
            }
            Kernel::Select { table } => {
                let table = &self.plan.tables[table];
                for (out, sample) in outputs.zip(input.chunks_exact(input_width)) {
                    out.iter_mut().zip(table).for_each(|(y, &position)| *y = sample[position as usize]);
                }
            }
            Kernel::Place { offset } => {
                for (out, row) in outputs.zip(input.chunks_exact(input_width)) {
                    out[offset..][..input_width].copy_from_slice(row);
                }
            }
            Kernel::Lookup { table } => {
                let table = self.plan.weights[table].data();
                for (out, &index) in outputs.zip(input) {
                    out.copy_from_slice(&table[index as usize * output_width..][..output_width]);
                }
            }
            Kernel::MatMul { rows: m } => {
                let matrix = input_width * output_width;
                let second = step.second.map_or(input, |second| self.values(second, rows / m * matrix));
                let matrices = second.chunks_exact(matrix).flat_map(|matrix| std::iter::repeat_n(matrix, m));
                for ((out, row), matrix) in outputs.zip(input.chunks_exact(input_width)).zip(matrices) {
                    out.fill(0.0);
                    for (x, weights) in row.iter().zip(matrix.chunks_exact(output_width)) {
                        out.iter_mut().zip(weights).for_each(|(y, w)| *y += x * w);
                    }
                }
            }
        }
    }
}
