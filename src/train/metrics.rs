//! Metrics: what is told of predictions besides the loss, gathered over batches. Names, options and formulas are those of
//! Keras 3 (<https://keras.io/api/metrics/>).

use super::loss::{Batch, loss};
use crate::{
    Error, Loss, Result,
    compile::config::{class_of, optional},
    format::json::{Object, Value},
};

/// A file of a few bytes can ask for any number.
const MOST_THRESHOLDS: usize = 100_000;
/// 128 MB of counts.
const MOST_CLASSES: usize = 4096;

/// A metric and what it has gathered.
pub(super) struct Metric {
    /// What it is reported as.
    pub name: String,
    kind: Kind,
    sums: Sums,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Whether the prediction equals the target.
    Accuracy,
    /// Whether it is on the target's side of a threshold.
    BinaryAccuracy { threshold: f32 },
    /// Whether the largest is the target's largest.
    CategoricalAccuracy,
    /// Whether the largest is the target's class.
    SparseCategoricalAccuracy,
    /// Whether the target's class is among the k largest.
    TopK { k: usize, sparse: bool },
    /// The mean of a loss.
    Loss(Loss),
    /// The root of the mean square.
    RootMeanSquaredError,
    /// The share of the variance that is explained.
    R2,
    /// Of what is predicted to be so, or of what is so, the share that is both.
    Hits { thresholds: Vec<f32>, class: Option<usize>, recall: bool },
    /// (1 + β²) · precision · recall / (β² · precision + recall), for each class.
    F1 { average: Average, threshold: Option<f32> },
    /// The area under a curve through all thresholds.
    Auc { thresholds: usize, precision_recall: bool, from_logits: bool, summation: Summation },
    /// How often each class is predicted as each.
    Confusion,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Average {
    None,
    Micro,
    Macro,
    Weighted,
}

/// The height of a curve between two points.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Summation {
    Interpolation,
    Minoring,
    Majoring,
}

#[derive(Default)]
struct Sums {
    total: f64,
    count: f64,
    /// Of several numbers: as each kind says.
    many: Vec<f64>,
}

impl Metric {
    /// Of Keras's JSON: a name, or a class with its configuration. `accuracy` is what the loss asks for.
    ///
    /// # Errors
    /// `Unsupported` for a metric or option that nearside does not have.
    pub fn new(value: &Value, output_loss: Loss, last: usize) -> Result<Self> {
        let (class, mut config) = class_of(value.clone(), "a metric")?;
        let key: String = class.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
        let sparse = matches!(output_loss, Loss::SparseCategoricalCrossentropy { .. });
        let threshold =
            |config: &mut Object| optional(config, "threshold").map(|value| value.map(|value| value as f32));
        let mut name = snake_case(&class);
        let kind = match key.as_str() {
            "accuracy" | "acc" if value.as_str().is_some() => {
                if last == 1 {
                    Kind::BinaryAccuracy { threshold: 0.5 }
                } else if sparse {
                    Kind::SparseCategoricalAccuracy
                } else {
                    Kind::CategoricalAccuracy
                }
            }
            "accuracy" => Kind::Accuracy,
            "binaryaccuracy" => Kind::BinaryAccuracy { threshold: threshold(&mut config)?.unwrap_or(0.5) },
            "categoricalaccuracy" => Kind::CategoricalAccuracy,
            "sparsecategoricalaccuracy" => Kind::SparseCategoricalAccuracy,
            "topkcategoricalaccuracy" | "sparsetopkcategoricalaccuracy" | "topk" => {
                let k = optional(&mut config, "k")?.unwrap_or(5.0) as usize;
                Kind::TopK { k, sparse: if key == "topk" { sparse } else { key.starts_with("sparse") } }
            }
            "rootmeansquarederror" | "rmse" => Kind::RootMeanSquaredError,
            "r2score" | "r2" => Kind::R2,
            "precision" | "recall" => Kind::Hits {
                thresholds: thresholds(&mut config)?,
                class: optional(&mut config, "class_id")?.map(|class| class as usize),
                recall: key == "recall",
            },
            "f1score" | "f1" => Kind::F1 {
                average: match config.take_optional("average") {
                    None | Some(Value::Null) => Average::None,
                    Some(average) => match average.as_str() {
                        Some("micro") => Average::Micro,
                        Some("macro") => Average::Macro,
                        Some("weighted") => Average::Weighted,
                        _ => {
                            return Err(Error::unsupported(
                                "average: use null, 'micro', 'macro' or 'weighted'",
                            ));
                        }
                    },
                },
                threshold: threshold(&mut config)?,
            },
            "auc" => Kind::Auc {
                thresholds: optional(&mut config, "num_thresholds")?
                    .map_or(200, |count| count as usize)
                    .max(3),
                precision_recall: config.take_optional("curve").is_some_and(|curve| curve == *"PR"),
                from_logits: config.take_optional("from_logits") == Some(Value::Bool(true)),
                summation: match config.take_optional("summation_method") {
                    None | Some(Value::Null) => Summation::Interpolation,
                    Some(method) => match method.as_str() {
                        Some("interpolation") => Summation::Interpolation,
                        Some("minoring") => Summation::Minoring,
                        Some("majoring") => Summation::Majoring,
                        _ => {
                            return Err(Error::unsupported(
                                "summation_method: use 'interpolation', 'minoring' or 'majoring'",
                            ));
                        }
                    },
                },
            },
            "confusionmatrix" => Kind::Confusion,
            _ => {
                let mut fields = config.clone().into_fields();
                fields.retain(|(field, _)| field != "name" && field != "dtype");
                let value = Value::object([
                    ("class_name", class.as_str().into()),
                    ("config", Value::Object(fields.into())),
                ]);
                config = Object::default();
                let loss = Loss::from_value(value).map_err(|_| {
                    Error::unsupported(format!(
                        "the metric '{class}' is not known; use 'accuracy', a loss, or one of TopKCategoricalAccuracy, \
                         AUC, Precision, Recall, F1Score, RootMeanSquaredError, R2Score, ConfusionMatrix"
                    ))
                })?;
                Kind::Loss(loss)
            }
        };
        if let Some(Value::String(own)) = config.take_optional("name") {
            name = own;
        }
        match &kind {
            Kind::Hits { class: Some(class), .. } if *class >= last => {
                return Err(Error::value(format!("class_id is {class}, and the output has {last} classes")));
            }
            Kind::Auc { thresholds, .. } if *thresholds > MOST_THRESHOLDS => {
                return Err(Error::value(format!("num_thresholds is more than {MOST_THRESHOLDS}")));
            }
            Kind::Confusion if last > MOST_CLASSES => {
                return Err(Error::unsupported(format!(
                    "a confusion matrix of more than {MOST_CLASSES} classes"
                )));
            }
            _ => {}
        }
        // What is as it would be without.
        config.take_optional("dtype");
        config.take_optional("fn");
        let idle = [
            ("multi_label", Value::Bool(false)),
            ("class_aggregation", "uniform_average".into()),
            ("num_regressors", 0.0.into()),
        ];
        for (option, value) in idle {
            if config.take_optional(option).is_some_and(|own| own != value) {
                return Err(Error::unsupported(format!(
                    "the metric '{class}': '{option}' is only known as its default"
                )));
            }
        }
        let unknown = config.fields().iter().find(|(_, value)| *value != Value::Null);
        if let Some((option, _)) = unknown {
            return Err(Error::unsupported(format!(
                "the metric '{class}' has an option '{option}' that is not known"
            )));
        }
        Ok(Self { name, kind, sums: Sums::default() })
    }

    /// Forgets all batches.
    pub fn reset(&mut self) {
        self.sums = Sums::default();
    }

    /// Adds a batch.
    pub fn update(&mut self, batch: &Batch) {
        let rows = batch.predicted.len() / batch.last;
        let per_sample = (rows / batch.samples.max(1)).max(1);
        let width = batch.target.len() / rows.max(1);
        match &self.kind {
            Kind::Loss(kind) => {
                let weight = match batch.weights {
                    Some(weights) => {
                        weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() * per_sample as f64
                    }
                    None => rows as f64,
                };
                self.sums.total += loss(*kind, batch, 1.0, None) * rows as f64;
                self.sums.count += weight;
                return;
            }
            Kind::RootMeanSquaredError => {
                self.sums.total += loss(Loss::MeanSquaredError, batch, 1.0, None) * rows as f64;
                let weights = batch.weights.map(|weights| weights.iter().map(|&w| f64::from(w)).sum::<f64>());
                self.sums.count += weights.map_or(rows as f64, |sum| sum * per_sample as f64);
                return;
            }
            _ => {}
        }
        let many = self.size(batch.last);
        self.sums.many.resize(many, 0.0);
        for row in 0..rows {
            let weight = batch.weights.map_or(1.0, |weights| f64::from(weights[row / per_sample]));
            let p = &batch.predicted[row * batch.last..(row + 1) * batch.last];
            let y = &batch.target[row * width..(row + 1) * width];
            self.row(p, y, weight);
        }
    }

    /// Numbers in [`Sums::many`].
    fn size(&self, last: usize) -> usize {
        match &self.kind {
            Kind::R2 => 4 * last,
            Kind::Hits { thresholds, .. } => 2 * thresholds.len(),
            Kind::F1 { .. } => 4 * last,
            Kind::Auc { thresholds, .. } => 2 * thresholds,
            Kind::Confusion => last.max(2) * last.max(2),
            _ => 0,
        }
    }

    fn row(&mut self, p: &[f32], y: &[f32], weight: f64) {
        let Sums { total, count, many } = &mut self.sums;
        let is = |is: bool| if is { 1.0 } else { 0.0 };
        match &self.kind {
            Kind::Loss(_) | Kind::RootMeanSquaredError => {}
            Kind::Accuracy => add_mean(p, y, weight, total, count, |p, y| p == y),
            Kind::BinaryAccuracy { threshold } => {
                add_mean(p, y, weight, total, count, |p, y| is(p > *threshold) == f64::from(y));
            }
            Kind::CategoricalAccuracy => {
                *total += weight * is(largest(p) == largest(y));
                *count += weight;
            }
            Kind::SparseCategoricalAccuracy => {
                *total += weight * is(largest(p) == y[0] as usize);
                *count += weight;
            }
            Kind::TopK { k, sparse } => {
                let class = if *sparse { y[0] as usize } else { largest(y) };
                let above = p.iter().filter(|&&other| other > p[class.min(p.len() - 1)]).count();
                *total += weight * is(above < *k);
                *count += weight;
            }
            Kind::R2 => {
                let (n, weight) = (p.len(), weight);
                for (i, (&p, &y)) in p.iter().zip(y).enumerate() {
                    let (p, y) = (f64::from(p), f64::from(y));
                    let terms = [y, y * y, (y - p) * (y - p), 1.0];
                    (0..4).for_each(|part| many[part * n + i] += weight * terms[part]);
                }
            }
            Kind::Hits { thresholds, class, recall } => {
                for (i, (&p, &y)) in p.iter().zip(y).enumerate() {
                    if class.is_some_and(|class| class != i) {
                        continue;
                    }
                    for (place, threshold) in many.chunks_exact_mut(2).zip(thresholds) {
                        let (so, said) = (y != 0.0, p > *threshold);
                        place[0] += weight * is(so && said);
                        place[1] += weight * is(if *recall { so } else { said });
                    }
                }
            }
            Kind::F1 { threshold, .. } => {
                let top = largest(p);
                for (i, (&p, &y)) in p.iter().zip(y).enumerate() {
                    let said = threshold.map_or(i == top, |threshold| p > threshold);
                    let so = f64::from(y);
                    let said = is(said);
                    let terms = [so * said, (1.0 - so) * said, so * (1.0 - said), so];
                    (0..4).for_each(|part| many[4 * i + part] += weight * terms[part]);
                }
            }
            Kind::Auc { thresholds, from_logits, .. } => {
                for (&p, &y) in p.iter().zip(y) {
                    let p = if *from_logits { 1.0 / (1.0 + (-p).exp()) } else { p };
                    // Thresholds lie evenly; the prediction is above all up to this one.
                    let bucket = (p * (*thresholds - 1) as f32).ceil() - 1.0;
                    let bucket = bucket.max(0.0).min((*thresholds - 1) as f32) as usize;
                    many[2 * bucket] += weight * f64::from(y);
                    many[2 * bucket + 1] += weight * (1.0 - f64::from(y));
                }
            }
            Kind::Confusion => {
                let classes = p.len().max(2);
                let one = |values: &[f32]| usize::from(values[0] > 0.5);
                let said = if p.len() == 1 { one(p) } else { largest(p) };
                let so = match (p.len(), y.len()) {
                    (1, _) => one(y),
                    (_, 1) => y[0] as usize,
                    _ => largest(y),
                };
                many[so.min(classes - 1) * classes + said] += weight;
            }
        }
    }

    /// What was gathered: a number, or a list of them.
    pub fn result(&self) -> Value {
        let Sums { total, count, many } = &self.sums;
        match &self.kind {
            Kind::RootMeanSquaredError => ratio(*total, *count).sqrt().into(),
            Kind::R2 => r2(many).into(),
            Kind::Hits { .. } => {
                let shares: Vec<Value> =
                    many.chunks_exact(2).map(|pair| ratio(pair[0], pair[1]).into()).collect();
                one_or_all(shares)
            }
            Kind::F1 { average, .. } => f1(*average, many),
            Kind::Auc { precision_recall, summation, .. } => auc(many, *precision_recall, *summation).into(),
            Kind::Confusion => {
                let classes = (many.len() as f64).sqrt() as usize;
                let row = |row: &[f64]| Value::Array(row.iter().map(|&count| count.into()).collect());
                Value::Array(many.chunks_exact(classes.max(1)).map(row).collect())
            }
            _ => ratio(*total, *count).into(),
        }
    }
}

/// The mean over a row's values of whether a prediction is right.
fn add_mean(
    p: &[f32],
    y: &[f32],
    weight: f64,
    total: &mut f64,
    count: &mut f64,
    right: impl Fn(f32, f32) -> bool,
) {
    let hits = p.iter().zip(y).filter(|(p, y)| right(**p, **y)).count();
    *total += weight * hits as f64 / p.len() as f64;
    *count += weight;
}

fn largest(values: &[f32]) -> usize {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|&value| value == largest).unwrap_or(0)
}

/// 0 of nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn one_or_all(mut list: Vec<Value>) -> Value {
    if list.len() == 1 { list.remove(0) } else { Value::Array(list) }
}

/// The mean over the outputs of 1 − Σ(y − p)² / Σ(y − ȳ)²; `many` has for each output Σy, Σy², Σ(y − p)² and how many.
fn r2(many: &[f64]) -> f64 {
    let n = many.len() / 4;
    let score = |i: usize| {
        let [sum, squares, errors, count] = [0, 1, 2, 3].map(|part| many[part * n + i]);
        let spread = squares - sum * ratio(sum, count);
        1.0 - ratio(errors, spread)
    };
    (0..n).map(score).sum::<f64>() / n.max(1) as f64
}

/// `many` has for each class: right, wrongly said, missed, and how many there are.
fn f1(average: Average, many: &[f64]) -> Value {
    let score = |part: &[f64]| {
        let (precision, recall) = (ratio(part[0], part[0] + part[1]), ratio(part[0], part[0] + part[2]));
        ratio(2.0 * precision * recall, precision + recall)
    };
    let classes = many.chunks_exact(4);
    match average {
        Average::None => Value::Array(classes.map(|part| score(part).into()).collect()),
        Average::Macro => (classes.clone().map(score).sum::<f64>() / classes.len().max(1) as f64).into(),
        Average::Micro => {
            let sums: Vec<f64> = (0..4).map(|i| classes.clone().map(|part| part[i]).sum()).collect();
            score(&sums).into()
        }
        Average::Weighted => {
            let all: f64 = classes.clone().map(|part| part[3]).sum();
            ratio(classes.map(|part| score(part) * part[3]).sum(), all).into()
        }
    }
}

/// The area under the curve of true over false positives, or of precision over recall with the interpolation of Davis &
/// Goadrich 2006. `many` has for each threshold how many positives and negatives lie between it and the next.
fn auc(many: &[f64], precision_recall: bool, summation: Summation) -> f64 {
    let mut above = [0.0; 2];
    // From the highest threshold down; what lies above each.
    let mut points: Vec<[f64; 2]> = many
        .chunks_exact(2)
        .rev()
        .map(|pair| {
            above[0] += pair[0];
            above[1] += pair[1];
            above
        })
        .collect();
    points.reverse();
    let Some(&[positives, negatives]) = points.first() else { return 0.0 };
    // Nothing is above the last threshold, which is more than 1.
    let next = |i: usize| points.get(i + 1).copied().unwrap_or([0.0; 2]);
    let mut area = 0.0;
    for (i, &[tp, fp]) in points.iter().enumerate() {
        let [tp_next, fp_next] = next(i);
        if !precision_recall || summation != Summation::Interpolation {
            let recalls = [tp, tp_next].map(|tp| ratio(tp, positives));
            let precisions = [ratio(tp, tp + fp), ratio(tp_next, tp_next + fp_next)];
            let others = [fp, fp_next].map(|fp| ratio(fp, negatives));
            let ([x, x_next], [y, y_next]) =
                if precision_recall { (recalls, precisions) } else { (others, recalls) };
            let height = match summation {
                Summation::Interpolation => (y + y_next) / 2.0,
                Summation::Minoring => y.min(y_next),
                Summation::Majoring => y.max(y_next),
            };
            area += (x - x_next) * height;
            continue;
        }
        let (d_tp, d_p) = (tp - tp_next, (tp + fp - tp_next - fp_next).max(0.0));
        let slope = ratio(d_tp, d_p);
        let intercept = tp_next - slope * (tp_next + fp_next);
        let [p, p_next] = [tp + fp, tp_next + fp_next];
        let log = if p > 0.0 && p_next > 0.0 { (p / p_next).ln() } else { 0.0 };
        area += ratio(slope * (d_tp + intercept * log), positives);
    }
    area
}

fn thresholds(config: &mut Object) -> Result<Vec<f32>> {
    match config.take_optional("thresholds") {
        None | Some(Value::Null) => Ok(vec![0.5]),
        Some(Value::Number(one)) => Ok(vec![one as f32]),
        Some(Value::Array(list)) => {
            let list: Option<Vec<f32>> =
                list.iter().map(|value| value.as_f64().map(|value| value as f32)).collect();
            list.ok_or_else(|| Error::value("the thresholds are not numbers"))
        }
        Some(_) => Err(Error::value("the thresholds are not numbers")),
    }
}

/// `BinaryAccuracy` as `binary_accuracy`; what is so already stays.
fn snake_case(class: &str) -> String {
    let mut name = String::new();
    let chars: Vec<char> = class.chars().collect();
    for (i, c) in chars.iter().enumerate() {
        let starts = c.is_ascii_uppercase()
            && i > 0
            && (!chars[i - 1].is_ascii_uppercase() || chars.get(i + 1).is_some_and(char::is_ascii_lowercase));
        if starts && !name.ends_with('_') {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
