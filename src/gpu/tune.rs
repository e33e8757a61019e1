//! Which of a product's variants is the fastest on a device: no tile suits all GPUs, so each is timed at first use.

use super::{
    Compiled, GpuContext, GpuExecutor,
    kernel::{FEW_ROWS, MANY_ROWS, ONE_ROW, Variant},
};
use crate::{
    Result,
    program::{NONE, Place, Program, Shader, Task},
};
use bytemuck::Zeroable;
use std::rc::Rc;

/// The variants that a device computes products with: indices of [`MANY_ROWS`], [`FEW_ROWS`] and [`ONE_ROW`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) many: usize,
    pub(super) few: usize,
    pub(super) one: usize,
}

impl Choice {
    /// What to begin with on a device of which nothing else is known. Processors pay dearly for shared memory.
    pub(super) fn untimed(software: bool) -> Self {
        let [many, few, one] = [MANY_ROWS, FEW_ROWS, ONE_ROW]
            .map(|variants| variants.iter().position(|variant| variant.is_direct() == software).unwrap_or(0));
        Self { many, few, one }
    }
}

/// A product that is timed: rows × inputs × units.
pub type Size = [u32; 3];

/// Small enough for a processor that only passes for a GPU to compute it in milliseconds.
const SMALL: Size = [64, 256, 256];
/// Large enough to occupy a GPU of thousands of lanes.
const LARGE: [Size; 3] = [[1024, 1024, 1024], [8, 2048, 2048], [1, 2048, 2048]];
/// Milliseconds of the small product beyond which the large ones are left out.
const SLOW: f64 = 1.5;
/// Times that each variant is timed, of which the shortest counts: whatever disturbs only adds.
const ROUNDS: usize = 4;
/// Products of one time: many, so that what a submission costs does not count.
const REPEATS: u32 = 16;

impl GpuContext {
    /// Names of the variants chosen: for many rows, for few and for one.
    pub fn variants(&self) -> [&'static str; 3] {
        let Choice { many, few, one } = self.choice();
        [MANY_ROWS[many].name, FEW_ROWS[few].name, ONE_ROW[one].name]
    }

    /// Chooses the variants of these names, as an earlier [`tune`](Self::tune) of the same adapter did. What is prepared
    /// afterwards uses them. Names that this version does not know change nothing.
    pub fn choose(&self, names: &[&str]) {
        let [many, few, one] = [(MANY_ROWS, 0), (FEW_ROWS, 1), (ONE_ROW, 2)].map(|(variants, place)| {
            variants.iter().position(|variant| names.get(place) == Some(&variant.name)).unwrap_or(0)
        });
        self.choice.set(Choice { many, few, one });
    }

    /// Times all variants, and chooses the fastest.
    ///
    /// # Errors
    /// `Device` and `Memory` when the device cannot compute them.
    pub async fn tune(self: &Rc<Self>) -> Result<()> {
        let direct = Choice::untimed(true);
        let [time] = times(self, &[&MANY_ROWS[direct.many]], SMALL).await?[..] else { return Ok(()) };
        // Whoever takes so long is a processor, whatever it says of itself: variants with shared memory have no chance
        // there, and take a second to compile.
        if time > SLOW {
            self.choice.set(direct);
            return Ok(());
        }
        let [many, few, one] = LARGE;
        let many = fastest(self, MANY_ROWS, many).await?;
        let few = fastest(self, FEW_ROWS, few).await?;
        let one = fastest(self, ONE_ROW, one).await?;
        self.choice.set(Choice { many, few, one });
        Ok(())
    }

    /// Names of all variants: for many rows, for few and for one.
    #[doc(hidden)]
    pub fn every_variant() -> [Vec<&'static str>; 3] {
        [MANY_ROWS, FEW_ROWS, ONE_ROW].map(|variants| variants.iter().map(|variant| variant.name).collect())
    }

    /// Milliseconds of a product in each variant for so many rows: names and times. How benchmarks see them.
    ///
    /// # Errors
    /// As [`tune`](Self::tune).
    #[doc(hidden)]
    pub async fn time_variants(self: &Rc<Self>, size: Size) -> Result<Vec<(&'static str, f64)>> {
        let variants = match size[0] as usize {
            0 | 1 => ONE_ROW,
            2..=super::FEW => FEW_ROWS,
            _ => MANY_ROWS,
        };
        let times = times(self, &variants.iter().collect::<Vec<_>>(), size).await?;
        Ok(variants.iter().map(|variant| variant.name).zip(times).collect())
    }
}

/// The fastest of some variants.
async fn fastest(context: &Rc<GpuContext>, variants: &'static [Variant], size: Size) -> Result<usize> {
    let times = times(context, &variants.iter().collect::<Vec<_>>(), size).await?;
    let order = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    Ok(times.into_iter().enumerate().min_by(order).map_or(0, |(index, _)| index))
}

async fn times(
    context: &Rc<GpuContext>,
    variants: &[&'static Variant],
    [rows, inputs, units]: Size,
) -> Result<Vec<f64>> {
    let executor = GpuExecutor::new(context.clone(), product(inputs, units))?;
    executor.upload(0, 0, bytemuck::cast_slice(&pattern(inputs * units)));
    executor.fill(0, &pattern(rows * inputs), rows as usize);
    let task = executor.program.tasks[0];
    let wanted: Vec<_> = variants.iter().map(|&variant| (variant, task)).collect();
    let pipelines = context.pipelines.compile(context, &wanted).await?;
    let compiled = variants.iter().zip(pipelines).map(|(&variant, pipeline)| Compiled { variant, pipeline });
    let compiled: Vec<_> = compiled.collect();
    let mut best = vec![f64::INFINITY; variants.len()];
    for round in 0..=ROUNDS {
        let least = best.iter().copied().fold(f64::INFINITY, f64::min);
        for (kernel, best) in compiled.iter().zip(&mut best) {
            // The first time is of no account: kernels may be compiled for the device only then. One that was more than
            // twice as slow will not be the fastest.
            if round > 1 && *best > 2.0 * least {
                continue;
            }
            let time = executor.time(None, 0, kernel, rows as usize, REPEATS).await?;
            if round > 0 {
                *best = best.min(time);
            }
        }
    }
    Ok(best)
}

/// A program of one dense layer.
fn product(inputs: u32, units: u32) -> Program {
    let place = |slot, width| Place { slot, width, limited: 0 };
    let task = Task {
        shader: Shader::Dense as u32,
        output: 1,
        further: [2, NONE, NONE],
        rows: 1,
        input_width: inputs,
        output_width: units,
        input_stride: inputs,
        ..Task::zeroed()
    };
    Program {
        inputs: vec![place(0, inputs)],
        outputs: vec![place(1, units)],
        limits: vec![],
        slots: vec![inputs, units],
        buffers: vec![4 * inputs * units],
        tasks: vec![task],
        names: vec!["input".into()],
    }
}

/// Numbers of ordinary size: a processor may take zeros faster.
fn pattern(len: u32) -> Vec<f32> {
    (0..len).map(|i| (i % 251 * 7919 % 251) as f32 / 251.0 - 0.5).collect()
}
