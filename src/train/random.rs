//! Random numbers, the same for the same seed on every platform.

use fastrand::Rng;

/// A generator.
pub(super) struct Random(Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// 0 at a rate, else the factor.
    pub fn mask(&mut self, values: &mut [f32], rate: f32, factor: f32) {
        // In 32 bits: a rate of 1 drops all.
        let limit = (f64::from(rate) * 4_294_967_296.0) as u64;
        values
            .iter_mut()
            .for_each(|value| *value = if u64::from(self.0.u32(..)) < limit { 0.0 } else { factor });
    }

    /// From `low` to `high`, without the latter.
    pub fn uniform(&mut self, values: &mut [f32], low: f32, high: f32) {
        values.iter_mut().for_each(|value| *value = low + (high - low) * self.0.f32());
    }

    /// Normal numbers, by the polar method (Marsaglia & Bray 1964).
    pub fn normal(&mut self, values: &mut [f32], mean: f32, stddev: f32) {
        for pair in values.chunks_mut(2) {
            // A point of the unit disc.
            let (point, square) = loop {
                let point = [0; 2].map(|_| 2.0 * self.0.f64() - 1.0);
                let square = point[0] * point[0] + point[1] * point[1];
                if square > 0.0 && square < 1.0 {
                    break (point, square);
                }
            };
            let factor = (-2.0 * square.ln() / square).sqrt();
            for (value, part) in pair.iter_mut().zip(point) {
                *value = (f64::from(mean) + f64::from(stddev) * factor * part) as f32;
            }
        }
    }

    /// Normal numbers within two deviations, others drawn again.
    pub fn truncated_normal(&mut self, values: &mut [f32], mean: f32, stddev: f32) {
        for value in values {
            loop {
                self.normal(std::slice::from_mut(value), 0.0, 1.0);
                if value.abs() <= 2.0 {
                    break;
                }
            }
            *value = mean + stddev * *value;
        }
    }

    /// Another order of the indices.
    pub fn shuffle(&mut self, indices: &mut [u32]) {
        self.0.shuffle(indices);
    }
}
