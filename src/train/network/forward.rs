//! The forward pass, which keeps all values.

use super::{MomentsAt, Network};
use crate::{
    Elementwise, Kernel, Source,
    cpu::Reader,
    train::{prepare::Filling, random::Random},
};

impl Network {
    /// Runs the plan on samples that were written to the inputs' slots. In training, what is random is drawn, and batch
    /// normalisations take and remember the batch's moments.
    pub fn forward(&mut self, samples: usize, training: Option<&mut Random>) {
        let train = training.is_some();
        self.fill(samples, training);
        if !train {
            self.set_moments();
        }
        for index in 0..self.plan.steps.len() {
            if train {
                self.take_moments(index, samples);
            }
            let step = &self.plan.steps[index];
            let mut output = std::mem::take(&mut self.values[step.output]);
            let width = step.rows * step.output_width * samples;
            match (step.kernel, step.input) {
                (Kernel::Dense { kernel, .. }, Source::Slot(slot)) => {
                    let input = &self.values[slot][..samples * step.rows * step.input_width];
                    if let Some(dense) = &self.dense[kernel] {
                        let units = 0..step.output_width;
                        dense.run(input, &mut output[..width], units, Elementwise::Linear, &mut self.scratch);
                    }
                }
                _ => {
                    let reader = Reader { plan: &self.plan, slots: &self.values, samples };
                    reader.run(step, None, 0..0, &mut output, &mut self.scratch);
                }
            }
            self.values[step.output] = output;
        }
    }

    /// Fills the inputs that are not the caller's.
    pub fn fill(&mut self, samples: usize, mut training: Option<&mut Random>) {
        for (index, (port, filling)) in self.plan.inputs.iter().zip(&self.inputs).enumerate() {
            let mut values = std::mem::take(&mut self.values[port.slot]);
            let length = (self.plan.slots[port.slot] * samples).min(values.len());
            let part = &mut values[..length];
            match (*filling, training.as_deref_mut()) {
                (Filling::Samples, _) => {}
                (Filling::Dropout { rate }, Some(random)) => random.mask(part, rate, 1.0 / (1.0 - rate)),
                (Filling::AlphaScale { rate }, Some(random)) => {
                    random.mask(part, rate, Filling::alpha(rate)[0])
                }
                (Filling::AlphaOffset { rate }, Some(_)) => {
                    let [_, kept, dropped] = Filling::alpha(rate);
                    let scales = &self.values[self.plan.inputs[index - 1].slot];
                    let offset = |scale: &f32| if *scale == 0.0 { dropped } else { kept };
                    part.iter_mut().zip(scales).for_each(|(value, scale)| *value = offset(scale));
                }
                (Filling::Normal { mean, stddev }, Some(random)) => random.normal(part, mean, stddev),
                (Filling::Dropout { .. } | Filling::AlphaScale { .. }, None) => part.fill(1.0),
                (Filling::AlphaOffset { .. }, None) => part.fill(0.0),
                (Filling::Normal { mean, .. }, None) => part.fill(mean),
            }
            self.values[port.slot] = values;
        }
    }

    /// Sets the constants of batch normalisations to what predictions use.
    fn set_moments(&mut self) {
        for index in 0..self.moments.len() {
            let MomentsAt { mean, deviation, epsilon, .. } = self.moments[index];
            let [means, variances] = self.moments[index].moving.clone();
            self.values_of(mean).copy_from_slice(&means);
            let deviations = self.values_of(deviation).iter_mut().zip(&variances);
            deviations.for_each(|(deviation, v)| *deviation = (v + epsilon).sqrt());
        }
    }

    /// Sets the constants of a batch normalisation that begins with this step to the batch's moments.
    fn take_moments(&mut self, step: usize, samples: usize) {
        let Some(index) = self.moments.iter().position(|at| at.step == step) else { return };
        let MomentsAt { slot, mean, deviation, epsilon, momentum, .. } = self.moments[index];
        let width = self.values_of(mean).len();
        let values = &self.values[slot][..samples * self.plan.slots[slot]];
        let rows = (values.len() / width.max(1)) as f64;
        let (mut sums, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
        for row in values.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        sums.iter_mut().for_each(|sum| *sum /= rows);
        for row in values.chunks_exact(width) {
            for ((square, mean), &x) in squares.iter_mut().zip(&sums).zip(row) {
                *square += (f64::from(x) - mean).powi(2);
            }
        }
        let share = 1.0 - f64::from(momentum);
        let moving = &mut self.moments[index].moving;
        for i in 0..width {
            let variance = squares[i] / rows;
            for (moving, new) in moving.iter_mut().zip([sums[i], variance]) {
                moving[i] += ((new - f64::from(moving[i])) * share) as f32;
            }
            squares[i] = variance;
        }
        self.values_of(mean).iter_mut().zip(&sums).for_each(|(own, new)| *own = *new as f32);
        let deviations = self.values_of(deviation).iter_mut().zip(&squares);
        deviations.for_each(|(own, variance)| *own = (variance + f64::from(epsilon)).sqrt() as f32);
    }

    /// The moments that predictions use, with the layer they are of.
    pub fn moving(&self) -> impl Iterator<Item = (usize, &[Vec<f32>; 2])> {
        self.moments.iter().map(|at| (at.layer, &at.moving))
    }
}
