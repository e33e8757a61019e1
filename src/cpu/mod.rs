//! The CPU executor: the SIMD kernels of `src/kernels` over a plan. Which instructions they use is chosen when they are
//! compiled.

pub(crate) mod pack;
pub mod scalar;

use crate::{
    Error, Kernel, Model, Plan, Result, Source, Step, Tensor,
    program::{check_count, check_input, check_limits},
    tensor::zeroed,
};
use nearside_kernels::{Dtype, Scratch};
use pack::{Packed, pack};
use std::ops::Range;

/// The vector instructions this build was compiled for.
pub const SIMD: &str = if cfg!(target_feature = "relaxed-simd") {
    "relaxed-simd"
} else if cfg!(target_feature = "simd128") {
    "simd128"
} else if cfg!(target_feature = "sse2") {
    "sse2"
} else if cfg!(target_feature = "neon") {
    "neon"
} else {
    "none"
};

/// Values of the widest slot in a block of samples: 256 KB, so that a block's intermediate results stay in the
/// second-level cache from one layer to the next; but so many samples at least that weights which come from memory are
/// read seldom enough for the product not to wait for them.
const BLOCK_VALUES: usize = 64 * 1024;
const BLOCK_SAMPLES: std::ops::RangeInclusive<usize> = 128..=256;

/// Weights from which on a dense layer is worth sharing: half a megabyte, which one core reads in 30 µs, while handing the
/// values over takes 5 to 20.
const SHARED_WEIGHTS: usize = 1 << 17;

/// What an executor computed of a layer that several compute together.
pub struct Share<'a> {
    /// Rows of `width` values: its own are there, the others' are to be written here.
    pub values: &'a mut [f32],
    /// Values a row.
    pub width: usize,
    /// Those of every row that it computed.
    pub units: Range<usize>,
}

/// A plan with its weights packed for the kernels, and the buffers it runs in.
pub struct CpuExecutor {
    plan: Plan,
    /// For each step, its weights if it has any.
    weights: Vec<Option<Packed>>,
    /// Buffers of `capacity` samples. A value lies in its slot from the step that writes it to the last that reads it;
    /// inputs and outputs are written and read there by the caller.
    slots: Vec<Vec<f32>>,
    capacity: usize,
    block_samples: usize,
    scratch: Scratch,
}

impl CpuExecutor {
    /// Packs the weights of a plan, and keeps those of dense layers in a type.
    ///
    /// # Errors
    /// `Memory` when there is none left.
    pub fn prepare(model: &Model, plan: &Plan, dtype: Dtype) -> Result<Self> {
        let pack = |step: &Step| {
            let Kernel::Dense { kernel, bias, .. } = step.kernel else { return Ok(None) };
            let kernel = plan.weights[kernel].data();
            let bias = bias.map(|bias| plan.weights[bias].data());
            let packed = pack(kernel, bias, step.input_width, step.output_width, dtype);
            packed.map(Some).map_err(|_| {
                let megabytes = kernel.len() / 250_000 + 1;
                let message = format!("{megabytes} MB for the packed weights could not be allocated");
                Error::memory(message).layer(&model.layers[step.layer].name)
            })
        };
        let weights = plan.steps.iter().map(pack).collect::<Result<_>>()?;
        let widest = plan.slots.iter().copied().max().unwrap_or(1).max(1);
        let block_samples = (BLOCK_VALUES / widest).clamp(*BLOCK_SAMPLES.start(), *BLOCK_SAMPLES.end());
        let slots = vec![Vec::new(); plan.slots.len()];
        Ok(Self {
            plan: without_packed(plan),
            weights,
            slots,
            capacity: 0,
            block_samples,
            scratch: Scratch::default(),
        })
    }

    /// For each step, how its weights are kept and how far that is from what they were, unless they are as they were.
    pub fn notes(&self) -> Vec<String> {
        let note = |packed: &Option<Packed>| {
            let Some(packed) = packed else { return String::new() };
            if packed.dense.dtype() == Dtype::F32 {
                return String::new();
            }
            let dtype = packed.dense.dtype().name();
            let parts = (packed.error * 1e5).round() as u32;
            format!(", {dtype} ± {}.{:03} %", parts / 1000, parts % 1000)
        };
        self.weights.iter().map(note).collect()
    }

    /// Makes room for a block of so many samples, or as many of them as are computed at once, whose number it gives:
    /// computing them allocates nothing. Only this moves [`input`](Self::input) and [`output`](Self::output).
    ///
    /// # Errors
    /// `Memory` when they cannot be allocated.
    pub fn reserve(&mut self, samples: usize) -> Result<usize> {
        if samples > self.capacity && self.capacity < self.block_samples {
            // Whoever predicts batches gets room for the largest at once, and the memory does not grow again.
            let capacity = if samples > 1 { self.block_samples } else { 1 };
            self.capacity = 0;
            for (slot, width) in self.slots.iter_mut().zip(&self.plan.slots) {
                *slot = Vec::new();
                *slot = zeroed(width * capacity)?;
            }
            for packed in self.weights.iter().flatten() {
                packed
                    .dense
                    .reserve(capacity, &mut self.scratch)
                    .map_err(|_| Error::memory("the buffers of a batch could not be allocated"))?;
            }
            self.capacity = capacity;
        }
        Ok(self.capacity.min(samples))
    }

    /// Number of inputs and of outputs.
    pub fn ports(&self) -> (usize, usize) {
        (self.plan.inputs.len(), self.plan.outputs.len())
    }

    /// Where an input's samples are to be written: room for as many as were reserved.
    pub fn input(&mut self, index: usize) -> &mut [f32] {
        let port = &self.plan.inputs[index];
        &mut self.slots[port.slot][..port.width() * self.capacity]
    }

    /// Where an output's samples are after a computation.
    pub fn output(&self, index: usize) -> &[f32] {
        let port = &self.plan.outputs[index];
        &self.slots[port.slot][..port.width() * self.capacity]
    }

    /// Runs the plan on the first samples of the inputs: at most as many as were reserved.
    ///
    /// # Errors
    /// `Value` for indices outside their table.
    pub fn compute(&mut self, samples: usize) -> Result<()> {
        for step in 0..self.plan.steps.len() {
            self.compute_step(step, samples, 0, 1)?;
        }
        Ok(())
    }

    /// Runs one step of the plan, after those before it, on the first samples. Where several executors run the plan
    /// together, each on all samples, this one computes its share of the units of a large dense layer, and must be given
    /// the others' before the next step; of a small one, and of other steps, all.
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub fn compute_step(
        &mut self,
        step: usize,
        samples: usize,
        index: usize,
        count: usize,
    ) -> Result<Option<Share<'_>>> {
        let samples = samples.min(self.capacity);
        if step == 0 {
            for port in &self.plan.inputs {
                check_limits(&port.name, &port.limits, &self.slots[port.slot][..port.width() * samples])?;
            }
        }
        let (step, weights) = (&self.plan.steps[step], self.weights[step].as_ref());
        let width = step.output_width;
        let units = match weights {
            Some(packed) if step.input_width * width >= SHARED_WEIGHTS => packed.dense.share(index, count),
            _ => 0..width,
        };
        let mut output = std::mem::take(&mut self.slots[step.output]);
        let reader = Reader { plan: &self.plan, slots: &self.slots, samples };
        reader.run(step, weights, units.clone(), &mut output, &mut self.scratch);
        self.slots[step.output] = output;
        let values = &mut self.slots[step.output][..samples * step.rows * width];
        Ok((units.len() < width).then_some(Share { values, width, units }))
    }

    /// Runs the plan on `rows` samples. `inputs` holds one row-major slice for each of the plan's inputs; the result
    /// holds one for each of its outputs.
    ///
    /// # Errors
    /// `Memory` when the results cannot be allocated.
    pub fn run(&mut self, inputs: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
        check_inputs(&self.plan, inputs, rows)?;
        // What was reserved stays where it is.
        let block = if self.capacity > 0 { self.capacity } else { self.reserve(rows)? };
        let outputs = self.plan.outputs.iter().map(|port| zeroed(port.width() * rows));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        // Of equal size: a last one of few samples would be slow, and with 8-bit weights of another precision.
        let block = rows.div_ceil(rows.div_ceil(block.max(1)).max(1)).max(1);
        for start in (0..rows).step_by(block) {
            let samples = block.min(rows - start);
            for (index, input) in inputs.iter().enumerate() {
                let width = self.plan.inputs[index].width();
                let values = &input[start * width..][..samples * width];
                self.input(index)[..values.len()].copy_from_slice(values);
            }
            self.compute(samples)?;
            for (index, output) in outputs.iter_mut().enumerate() {
                let width = self.plan.outputs[index].width();
                let values = &self.output(index)[..samples * width];
                output[start * width..][..values.len()].copy_from_slice(values);
            }
        }
        Ok(outputs)
    }
}

/// The plan without the weights that only dense steps read: they were packed.
fn without_packed(plan: &Plan) -> Plan {
    let mut own = plan.clone();
    own.weights.fill(Tensor::default());
    let mut keep = |weights: usize| own.weights[weights] = plan.weights[weights].clone();
    for step in &plan.steps {
        if let Source::Weights(weights) = step.input {
            keep(weights);
        }
        if let Some(Source::Weights(weights)) = step.second {
            keep(weights);
        }
        if let Kernel::Lookup { table } = step.kernel {
            keep(table);
        }
    }
    own
}

/// Refuses inputs that are not what the plan's ports take.
///
/// # Errors
/// `Shape` or `Value`, naming the input.
pub fn check_inputs(plan: &Plan, inputs: &[&[f32]], rows: usize) -> Result<()> {
    check_count(plan.inputs.len(), inputs.len())?;
    for (port, input) in plan.inputs.iter().zip(inputs) {
        check_input(&port.name, port.width(), &port.limits, input, rows)?;
    }
    Ok(())
}

/// What the steps of a block of samples read.
pub(crate) struct Reader<'a> {
    pub plan: &'a Plan,
    pub slots: &'a [Vec<f32>],
    pub samples: usize,
}

impl Reader<'_> {
    /// The values of `width` a sample.
    pub fn values(&self, source: Source, width: usize) -> &[f32] {
        match source {
            Source::Slot(slot) => &self.slots[slot][..self.samples * width],
            Source::Weights(weights) => self.plan.weights[weights].data(),
        }
    }

    /// Runs a step. `units` are those of a dense layer to compute.
    pub fn run(
        &self,
        step: &Step,
        packed: Option<&Packed>,
        units: Range<usize>,
        output: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Step { rows, input_width, output_width, .. } = *step;
        let input = self.values(step.input, rows * input_width);
        let output = &mut output[..self.samples * rows * output_width];
        let outputs = output.chunks_exact_mut(output_width);
        match step.kernel {
            Kernel::Dense { activation, .. } => match packed {
                Some(packed) => packed.dense.run(input, output, units, activation, scratch),
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
