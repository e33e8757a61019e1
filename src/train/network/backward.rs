//! The way back. Each rule is the derivative of the kernel that the forward pass ran: the gradient of what a step wrote
//! becomes gradients of what it read.

use super::{MomentsAt, Network, Place};
use crate::{Kernel, Source, Step, cpu::Reader};
use nearside_kernels::train::{Wanted, sum_of_squares};

impl Network {
    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self, samples: usize) {
        for (slot, gradient) in self.gradients.iter_mut().enumerate() {
            let length = (samples * self.plan.slots[slot]).min(gradient.len());
            gradient[..length].fill(0.0);
        }
        for parameter in &mut self.parameters {
            parameter.fresh = !matches!(parameter.place, Place::Weights(_));
            parameter.suspect = !parameter.fresh;
            if !parameter.fresh {
                parameter.gradient.fill(0.0);
            }
        }
    }

    /// Runs the plan's derivatives backwards, as the values were computed, from the gradients of outputs that were added to those of their slots.
    pub fn backward(&mut self, samples: usize, training: bool) {
        for index in (0..self.plan.steps.len()).rev() {
            let step = self.plan.steps[index].clone();
            if self.needed[step.output] {
                let gradient = std::mem::take(&mut self.gradients[step.output]);
                self.step_back(&step, &gradient[..samples * self.plan.slots[step.output]], samples);
                self.gradients[step.output] = gradient;
            }
            if training {
                self.moments_back(index, samples);
            }
        }
    }

    fn step_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Step { rows, input_width, output_width, .. } = *step;
        match step.kernel {
            Kernel::Dense { kernel, bias, .. } => return self.dense_back(step, kernel, bias, dy, samples),
            Kernel::Combine { .. } => return self.combine_back(step, dy, samples),
            Kernel::MatMul { .. } => return self.product_back(step, dy, samples),
            Kernel::Lookup { table } => {
                let Some(parameter) = self.parameter_of[table].filter(|_| self.wants(Some(table))) else {
                    return;
                };
                let Source::Slot(slot) = step.input else { return };
                let gradient = &mut self.parameters[parameter].gradient;
                for (dy, &index) in dy.chunks_exact(output_width).zip(&self.values[slot][..samples * rows]) {
                    let place = &mut gradient[index as usize * output_width..][..output_width];
                    place.iter_mut().zip(dy).for_each(|(gradient, dy)| *gradient += dy);
                }
                return;
            }
            _ => {}
        }
        let Source::Slot(slot) = step.input else { return };
        if !self.needed[slot] {
            return;
        }
        let mut gradient = std::mem::take(&mut self.gradients[slot]);
        let dx = &mut gradient[..samples * rows * input_width];
        let x = &self.values[slot][..dx.len()];
        let y = &self.values[step.output][..dy.len()];
        match step.kernel {
            Kernel::Activate(function) => function.backward(x, y, dy, dx),
            Kernel::Rowwise(function) => {
                let outputs = y.chunks_exact(output_width).zip(dy.chunks_exact(output_width));
                let inputs = x.chunks_exact(input_width).zip(dx.chunks_exact_mut(input_width));
                inputs.zip(outputs).for_each(|((x, dx), (y, dy))| function.backward(x, y, dy, dx));
            }
            Kernel::Select { table } => {
                let table = &self.plan.tables[table];
                for (dx, dy) in dx.chunks_exact_mut(input_width).zip(dy.chunks_exact(output_width)) {
                    table.iter().zip(dy).for_each(|(&position, dy)| dx[position as usize] += dy);
                }
            }
            Kernel::Place { offset } => {
                for (dx, dy) in dx.chunks_exact_mut(input_width).zip(dy.chunks_exact(output_width)) {
                    dx.iter_mut().zip(&dy[offset..]).for_each(|(dx, dy)| *dx += dy);
                }
            }
            _ => {}
        }
        self.gradients[slot] = gradient;
    }

    fn dense_back(&mut self, step: &Step, kernel: usize, bias: Option<usize>, dy: &[f32], samples: usize) {
        let (Source::Slot(slot), Some(dense)) = (step.input, &self.dense[kernel]) else { return };
        let input = &self.values[slot][..samples * step.rows * step.input_width];
        let mut of_input = std::mem::take(&mut self.gradients[slot]);
        let dx = self.needed[slot].then(|| &mut of_input[..input.len()]);
        let parameter = |index: Option<usize>| index.and_then(|index| self.parameter_of[index]);
        let mut take = |parameter: Option<usize>| {
            parameter.map_or(vec![], |parameter| std::mem::take(&mut self.parameters[parameter].gradient))
        };
        let (kernel, bias) = (parameter(Some(kernel)), parameter(bias));
        let (mut of_kernel, mut of_bias) = (take(kernel), take(bias));
        let first = [kernel, bias].into_iter().flatten().all(|parameter| self.parameters[parameter].fresh);
        // No sum of products is larger than this.
        let size = |values: &[f32]| sum_of_squares(values).sqrt();
        let finite =
            size(input) * size(dy) < f64::from(f32::MAX) && size(dy) * dy.len() as f64 <= f64::from(f32::MAX);
        let wanted = |gradient| Some(gradient).filter(|gradient: &&mut Vec<f32>| !gradient.is_empty());
        let wanted = Wanted {
            kernel: wanted(&mut of_kernel).map(Vec::as_mut_slice),
            bias: wanted(&mut of_bias).map(Vec::as_mut_slice),
            dx,
            first,
        };
        dense.gradients(input, dy, wanted, &mut self.gradient_scratch);
        for (parameter, gradient) in [(kernel, of_kernel), (bias, of_bias)] {
            if let Some(parameter) = parameter {
                let parameter = &mut self.parameters[parameter];
                parameter.gradient = gradient;
                parameter.fresh = false;
                parameter.suspect |= !finite;
            }
        }
        self.gradients[slot] = of_input;
    }

    fn combine_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Kernel::Combine { op, second_width, .. } = step.kernel else { return };
        let widths = [step.input_width, second_width];
        let sources = [step.input, step.second.unwrap_or(step.input)];
        for which in 0..2 {
            let mut gradient = match sources[which] {
                Source::Slot(slot) if self.needed[slot] => std::mem::take(&mut self.gradients[slot]),
                Source::Weights(index) if self.wants(Some(index)) => match self.parameter_of[index] {
                    Some(parameter) => std::mem::take(&mut self.parameters[parameter].gradient),
                    None => continue,
                },
                _ => continue,
            };
            let reader = Reader { plan: &self.plan, slots: &self.values, samples };
            let [a, b] = [0, 1].map(|i| reader.values(sources[i], widths[i]));
            let y = &self.values[step.output][..dy.len()];
            let each = |values: usize, source| if matches!(source, Source::Slot(_)) { values } else { 0 };
            for sample in 0..samples {
                let [from_a, from_b] = [0, 1].map(|i| sample * each(widths[i], sources[i]));
                let start = sample * each(widths[which], sources[which]);
                let (a, b) = (&a[from_a..][..widths[0]], &b[from_b..][..widths[1]]);
                let target = &mut gradient[start..][..widths[which]];
                let outputs = sample * step.output_width..(sample + 1) * step.output_width;
                let (mut i, mut j) = (0, 0);
                for (y, dy) in y[outputs.clone()].iter().zip(&dy[outputs]) {
                    target[if which == 0 { i } else { j }] += dy * op.derivatives(a[i], b[j], *y)[which];
                    i = if i + 1 == widths[0] { 0 } else { i + 1 };
                    j = if j + 1 == widths[1] { 0 } else { j + 1 };
                }
            }
            match sources[which] {
                Source::Slot(slot) => self.gradients[slot] = gradient,
                Source::Weights(index) => {
                    if let Some(parameter) = self.parameter_of[index] {
                        self.parameters[parameter].gradient = gradient;
                    }
                }
            }
        }
    }

    /// Of y = a · b: `da = dy · bᵀ`, `db = aᵀ · dy`.
    fn product_back(&mut self, step: &Step, dy: &[f32], samples: usize) {
        let Kernel::MatMul { rows: m } = step.kernel else { return };
        let (k, n) = (step.input_width, step.output_width);
        let matrices = step.rows / m;
        let sources = [step.input, step.second.unwrap_or(step.input)];
        let widths = [step.rows * k, matrices * k * n];
        for which in 0..2 {
            let Source::Slot(slot) = sources[which] else { continue };
            if !self.needed[slot] {
                continue;
            }
            let mut gradient = std::mem::take(&mut self.gradients[slot]);
            let reader = Reader { plan: &self.plan, slots: &self.values, samples };
            let other = reader.values(sources[1 - which], widths[1 - which]);
            for product in 0..samples * matrices {
                let dy = &dy[product * m * n..][..m * n];
                // A constant operand has its matrices once.
                let start = product * [k * n, m * k][which] % other.len();
                let other = &other[start..][..[k * n, m * k][which]];
                let target = &mut gradient[product * [m * k, k * n][which]..][..[m * k, k * n][which]];
                for row in 0..m {
                    for inner in 0..k {
                        for column in 0..n {
                            let dy = dy[row * n + column];
                            if which == 0 {
                                target[row * k + inner] += dy * other[inner * n + column];
                            } else {
                                target[inner * n + column] += dy * other[row * k + inner];
                            }
                        }
                    }
                }
            }
            self.gradients[slot] = gradient;
        }
    }

    /// The gradient that goes through the moments of a batch normalisation: that of the mean is spread over the rows,
    /// that of the deviation in proportion to each value's distance from the mean.
    fn moments_back(&mut self, step: usize, samples: usize) {
        let Some(at) = self.moments.iter().find(|at| at.step == step) else { return };
        let MomentsAt { slot, mean, deviation, .. } = *at;
        if !self.needed[slot] {
            return;
        }
        let (means, deviations) = (self.values_of(mean).to_vec(), self.values_of(deviation).to_vec());
        let length = samples * self.plan.slots[slot];
        let rows = (length / means.len().max(1)) as f32;
        let [by_mean, by_deviation] = [mean, deviation].map(|index| &self.parameters[index].gradient);
        let gradient = self.gradients[slot][..length].chunks_exact_mut(means.len());
        for (dx, x) in gradient.zip(self.values[slot].chunks_exact(means.len())) {
            for i in 0..means.len() {
                dx[i] += (by_mean[i] + by_deviation[i] * (x[i] - means[i]) / deviations[i]) / rows;
            }
        }
    }
}
