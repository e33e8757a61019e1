//! Updates of weights, with the formulas and in the order of Keras 3: gradients are cut, weights decay, and then each is
//! updated.

use super::network::Network;
use crate::{
    compile::{Clip, Optimizer, Rule},
    math::pow,
};
use nearside_kernels::train::{adagrad, adam, rmsprop, scale, sgd, sum_of_squares};

/// Sets up what the optimizer remembers of each weight.
pub(super) fn start(network: &mut Network, optimizer: &Optimizer) {
    let first = match optimizer.rule {
        Rule::Adagrad { initial_accumulator, .. } => initial_accumulator as f32,
        _ => 0.0,
    };
    let slots = optimizer.rule.slots().len();
    for index in 0..network.parameters.len() {
        if !network.parameters[index].updated {
            continue;
        }
        let length = network.values_of(index).len();
        network.parameters[index].slots = vec![vec![first; length]; slots];
    }
}

/// Updates all weights by their gradients: the step of that number, from 0.
pub(super) fn apply(network: &mut Network, optimizer: &Optimizer, rate: f32, step: u64) {
    let global = match optimizer.clip {
        Some(Clip::GlobalNorm(most)) => {
            let updated = network.parameters.iter().filter(|parameter| parameter.updated);
            let norm = updated.map(|parameter| sum_of_squares(&parameter.gradient)).sum::<f64>().sqrt();
            if norm > most { most / norm } else { 1.0 }
        }
        _ => 1.0,
    };
    for index in 0..network.parameters.len() {
        if !network.parameters[index].updated {
            continue;
        }
        let mut gradient = std::mem::take(&mut network.parameters[index].gradient);
        let mut slots = std::mem::take(&mut network.parameters[index].slots);
        let weights = network.values_of(index);
        cut(&mut gradient, optimizer.clip, global);
        if let Some(decay) = optimizer.weight_decay {
            scale(weights, 1.0 - decay as f32 * rate);
        }
        update(optimizer.rule, weights, &gradient, &mut slots, rate, step);
        network.parameters[index].gradient = gradient;
        network.parameters[index].slots = slots;
    }
}

fn cut(gradient: &mut [f32], clip: Option<Clip>, global: f64) {
    match clip {
        None => {}
        Some(Clip::Value(most)) => {
            let most = most as f32;
            gradient.iter_mut().for_each(|value| *value = value.max(-most).min(most));
        }
        Some(Clip::Norm(most)) => {
            let norm = sum_of_squares(gradient).sqrt();
            if norm > most {
                scale(gradient, (most / norm) as f32);
            }
        }
        Some(Clip::GlobalNorm(_)) if global < 1.0 => scale(gradient, global as f32),
        Some(Clip::GlobalNorm(_)) => {}
    }
}

/// Adam's rate, which makes up for means that began at 0.
pub(super) fn corrected(rate: f32, [beta_1, beta_2]: [f64; 2], step: u64) -> f32 {
    let t = (step + 1) as f64;
    (f64::from(rate) * (1.0 - pow(beta_2, t)).sqrt() / (1.0 - pow(beta_1, t))) as f32
}

fn update(rule: Rule, weights: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>], rate: f32, step: u64) {
    match (rule, slots) {
        (Rule::Sgd { .. }, []) => sgd(weights, gradient, None, rate),
        (Rule::Sgd { momentum, nesterov }, [last, ..]) => {
            sgd(weights, gradient, Some((last, momentum as f32, nesterov)), rate);
        }
        (Rule::Adam { beta_1, beta_2, epsilon, .. }, [mean, square, rest @ ..]) => {
            let rate = corrected(rate, [beta_1, beta_2], step);
            let beta = [(1.0 - beta_1) as f32, (1.0 - beta_2) as f32];
            let largest = rest.first_mut().map(Vec::as_mut_slice);
            adam(weights, gradient, [mean, square], largest, rate, beta, epsilon as f32);
        }
        (Rule::RmsProp { rho, momentum, epsilon, centered }, [square, rest @ ..]) => {
            let (last, mean) = match (momentum > 0.0, centered, rest) {
                (true, true, [last, mean, ..]) => (Some(last), Some(mean)),
                (true, _, [last, ..]) => (Some(last), None),
                (_, true, [mean, ..]) => (None, Some(mean)),
                _ => (None, None),
            };
            let last = last.map(|last| (last.as_mut_slice(), momentum as f32));
            rmsprop(weights, gradient, square, last, mean.map(Vec::as_mut_slice), rate, [rho, epsilon]);
        }
        (Rule::Adagrad { epsilon, .. }, [squares, ..]) => {
            adagrad(weights, gradient, squares, rate, epsilon as f32)
        }
        // `start` made as many as the rule has.
        _ => {}
    }
}
