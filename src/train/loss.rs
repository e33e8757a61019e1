//! The losses, and their gradients by the predictions. Formulas, clipping and means are those of Keras 3 on TensorFlow
//! (<https://keras.io/api/losses/>).

use crate::Loss;

/// What Keras keeps probabilities and divisors away from 0 by.
const EPSILON: f64 = 1e-7;

/// What a loss is taken of.
pub(super) struct Batch<'a> {
    /// Samples × values.
    pub predicted: &'a [f32],
    /// Samples × values, or for sparse losses samples × rows.
    pub target: &'a [f32],
    /// Values a row, the last axis.
    pub last: usize,
    /// A factor for each sample, if they differ.
    pub weights: Option<&'a [f32]>,
    pub samples: usize,
    /// Whether the predictions are logits that the model has yet to make probabilities of.
    pub logits: bool,
}

/// The mean loss of the rows of a batch. Adds `factor` times its gradient by the predictions.
pub(super) fn loss(loss: Loss, batch: &Batch, factor: f64, mut gradient: Option<&mut [f32]>) -> f64 {
    let rows = batch.predicted.len() / batch.last;
    let each = (rows / batch.samples.max(1)).max(1);
    let width = batch.target.len() / rows.max(1);
    // Labels of 0 and 1 stand for −1 and 1 where there are no others.
    let signs = matches!(loss, Loss::Hinge | Loss::SquaredHinge)
        && batch.target.iter().all(|&y| y == 0.0 || y == 1.0);
    let mut sum = 0.0;
    for row in 0..rows {
        let weight = batch.weights.map_or(1.0, |weights| f64::from(weights[row / each]));
        let place = row * batch.last..(row + 1) * batch.last;
        let of_row = Row {
            p: &batch.predicted[place.clone()],
            y: &batch.target[row * width..(row + 1) * width],
            logits: batch.logits,
            signs,
        };
        let gradient = gradient.as_deref_mut().map(|gradient| &mut gradient[place]);
        sum += weight * of_row.loss(loss, factor * weight / rows as f64, gradient);
    }
    sum / rows.max(1) as f64
}

struct Row<'a> {
    p: &'a [f32],
    y: &'a [f32],
    logits: bool,
    signs: bool,
}

impl Row<'_> {
    fn loss(&self, loss: Loss, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let n = self.p.len() as f64;
        match loss {
            Loss::MeanSquaredError => self.mean(factor, gradient, |y, p| ((y - p).powi(2), 2.0 * (p - y))),
            Loss::MeanAbsoluteError => self.mean(factor, gradient, |y, p| ((y - p).abs(), sign(p - y))),
            Loss::MeanAbsolutePercentageError => self.mean(factor, gradient, |y, p| {
                let scale = 100.0 / y.abs().max(EPSILON);
                (scale * (y - p).abs(), scale * sign(p - y))
            }),
            Loss::MeanSquaredLogarithmicError => self.mean(factor, gradient, |y, p| {
                let difference = p.max(EPSILON).ln_1p() - y.max(EPSILON).ln_1p();
                let slope = if p > EPSILON { 1.0 / (1.0 + p) } else { 0.0 };
                (difference * difference, 2.0 * difference * slope)
            }),
            Loss::Huber { delta } => self.mean(factor, gradient, |y, p| {
                let difference = p - y;
                if difference.abs() <= delta {
                    (0.5 * difference * difference, difference)
                } else {
                    (delta * (difference.abs() - 0.5 * delta), delta * sign(difference))
                }
            }),
            Loss::LogCosh => self.mean(factor, gradient, |y, p| {
                let d = (p - y).abs();
                (d + (-2.0 * d).exp().ln_1p() - std::f64::consts::LN_2, (p - y).tanh())
            }),
            Loss::Poisson => {
                self.mean(factor, gradient, |y, p| (p - y * (p + EPSILON).ln(), 1.0 - y / (p + EPSILON)))
            }
            Loss::Hinge | Loss::SquaredHinge => self.mean(factor, gradient, |y, p| {
                let y = if self.signs { 2.0 * y - 1.0 } else { y };
                let margin = (1.0 - y * p).max(0.0);
                let slope = if margin > 0.0 { -y } else { 0.0 };
                if loss == Loss::Hinge { (margin, slope) } else { (margin * margin, 2.0 * margin * slope) }
            }),
            Loss::BinaryCrossentropy { from_logits, label_smoothing } => {
                self.mean(factor, gradient, |y, p| {
                    let y = y * (1.0 - label_smoothing) + 0.5 * label_smoothing;
                    if from_logits || self.logits {
                        let loss = p.max(0.0) - p * y + (-p.abs()).exp().ln_1p();
                        return (loss, 1.0 / (1.0 + (-p).exp()) - y);
                    }
                    let (p, slope) = clipped(p);
                    (-y * p.ln() - (1.0 - y) * (1.0 - p).ln(), slope * ((1.0 - y) / (1.0 - p) - y / p))
                })
            }
            Loss::CategoricalCrossentropy { from_logits, label_smoothing } => {
                let y = |i: usize| f64::from(self.y[i]) * (1.0 - label_smoothing) + label_smoothing / n;
                if from_logits || self.logits {
                    self.softmax(y, factor, gradient)
                } else {
                    self.shares(y, factor, gradient)
                }
            }
            Loss::SparseCategoricalCrossentropy { from_logits } => {
                let class = self.y[0] as usize;
                let y = |i: usize| if i == class { 1.0 } else { 0.0 };
                if from_logits || self.logits {
                    self.softmax(y, factor, gradient)
                } else {
                    self.logarithms(class, factor, gradient)
                }
            }
            Loss::KlDivergence => self.sum(factor, gradient, |y, p| {
                let (y, bounded) = (y.clamp(EPSILON, 1.0), p.clamp(EPSILON, 1.0));
                (y * (y / bounded).ln(), if bounded == p { -y / p } else { 0.0 })
            }),
            Loss::CategoricalHinge => self.categorical_hinge(factor, gradient),
            Loss::CosineSimilarity => self.cosine(factor, gradient),
        }
    }

    /// The sum of a function of the values, which gives its derivative by the prediction as well.
    fn sum(
        &self,
        factor: f64,
        gradient: Option<&mut [f32]>,
        function: impl Fn(f64, f64) -> (f64, f64),
    ) -> f64 {
        let mut sum = 0.0;
        let mut none = [];
        let gradient = gradient.unwrap_or(&mut none);
        for (i, (&y, &p)) in self.y.iter().zip(self.p).enumerate() {
            let (value, slope) = function(y.into(), p.into());
            sum += value;
            if let Some(gradient) = gradient.get_mut(i) {
                *gradient += (factor * slope) as f32;
            }
        }
        sum
    }

    fn mean(
        &self,
        factor: f64,
        gradient: Option<&mut [f32]>,
        function: impl Fn(f64, f64) -> (f64, f64),
    ) -> f64 {
        let n = self.p.len() as f64;
        self.sum(factor / n, gradient, function) / n
    }

    /// The crossentropy with the softmax of the predictions: its gradient is `softmax · Σ y − y`, at any size of them.
    fn softmax(&self, y: impl Fn(usize) -> f64, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let largest = self.p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted = |i: usize| f64::from(self.p[i]) - f64::from(largest);
        let log_sum = (0..self.p.len()).map(|i| shifted(i).exp()).sum::<f64>().ln();
        let total: f64 = (0..self.p.len()).map(&y).sum();
        if let Some(gradient) = gradient {
            for (i, gradient) in gradient.iter_mut().enumerate() {
                *gradient += (factor * ((shifted(i) - log_sum).exp() * total - y(i))) as f32;
            }
        }
        (0..self.p.len()).filter(|&i| y(i) != 0.0).map(|i| y(i) * (log_sum - shifted(i))).sum()
    }

    /// The crossentropy with the predictions over their sum.
    fn shares(&self, y: impl Fn(usize) -> f64, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let total: f64 = self.p.iter().map(|&p| f64::from(p)).sum();
        let share = |i: usize| clipped(f64::from(self.p[i]) / total);
        let by_share = |i: usize| -share(i).1 * y(i) / share(i).0;
        if let Some(gradient) = gradient {
            let mean: f64 = (0..self.p.len()).map(|i| by_share(i) * f64::from(self.p[i]) / total).sum();
            for (i, gradient) in gradient.iter_mut().enumerate() {
                *gradient += (factor * (by_share(i) - mean) / total) as f32;
            }
        }
        -(0..self.p.len()).map(|i| y(i) * share(i).0.ln()).sum::<f64>()
    }

    /// The crossentropy with the softmax of the predictions' logarithms.
    fn logarithms(&self, class: usize, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let bounded = |i: usize| clipped(f64::from(self.p[i]));
        let total: f64 = (0..self.p.len()).map(|i| bounded(i).0).sum();
        if let Some(gradient) = gradient {
            for (i, gradient) in gradient.iter_mut().enumerate() {
                let (p, slope) = bounded(i);
                let own = if i == class { 1.0 / p } else { 0.0 };
                *gradient += (factor * slope * (1.0 / total - own)) as f32;
            }
        }
        (total / bounded(class).0).ln()
    }

    fn categorical_hinge(&self, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let pairs = || self.y.iter().zip(self.p).map(|(&y, &p)| (f64::from(y), f64::from(p)));
        let positive: f64 = pairs().map(|(y, p)| y * p).sum();
        let others = || pairs().map(|(y, p)| (1.0 - y) * p);
        let negative = others().fold(f64::NEG_INFINITY, f64::max);
        let loss = (negative - positive + 1.0).max(0.0);
        if let Some(gradient) = gradient.filter(|_| loss > 0.0) {
            let largest = others().filter(|&value| value == negative).count() as f64;
            for ((gradient, (y, _)), other) in gradient.iter_mut().zip(pairs()).zip(others()) {
                let own = if other == negative { (1.0 - y) / largest } else { 0.0 };
                *gradient += (factor * (own - y)) as f32;
            }
        }
        loss
    }

    fn cosine(&self, factor: f64, gradient: Option<&mut [f32]>) -> f64 {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let length = |a: &[f32]| dot(a, a).max(EPSILON * EPSILON).sqrt();
        let (of_y, of_p) = (length(self.y), length(self.p));
        let cosine = dot(self.y, self.p) / (of_y * of_p);
        if let Some(gradient) = gradient {
            for ((gradient, &y), &p) in gradient.iter_mut().zip(self.y).zip(self.p) {
                *gradient -= (factor * (f64::from(y) / of_y - cosine * f64::from(p) / of_p) / of_p) as f32;
            }
        }
        -cosine
    }
}

/// A probability kept away from 0 and 1, and the derivative of doing so.
fn clipped(p: f64) -> (f64, f64) {
    let bounded = p.clamp(EPSILON, 1.0 - EPSILON);
    (bounded, if bounded == p { 1.0 } else { 0.0 })
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
