//! A plan as a GPU runs it: plain data that crosses, as words, from the engine's module to the GPU's.
//!
//! A GPU knows neither layers nor formats: it has slots, buffers of weights and tables, and tasks, each a call of one
//! shader. `lower` makes them of a plan, and `weights` the bytes of the buffers.

#[cfg(any(feature = "engine", feature = "train"))]
mod lower;
#[cfg(any(feature = "engine", feature = "train"))]
pub mod weights;

#[cfg(all(feature = "train", feature = "gpu"))]
pub(crate) use lower::code;

use crate::{Error, Result};

/// A kernel, of the same stem as its file in `shaders/`.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shader {
    /// `activation(input · kernel + bias)`, for any number of rows.
    Dense,
    /// An elementwise function.
    Activate,
    /// The softmax of a row.
    Softmax,
    /// Its logarithm.
    LogSoftmax,
    /// The projection on the probability simplex.
    Sparsemax,
    /// The first half of a row, gated by the second.
    Glu,
    /// A value a row.
    Reduce,
    /// Rows of a common size.
    Normalize,
    /// A function of two values.
    Combine,
    /// Values at given positions.
    Select,
    /// A row as a part of a wider one.
    Place,
    /// A row of a table.
    Lookup,
    /// The product of two operands' matrices.
    MatMul,
}

impl Shader {
    /// In the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Dense,
        Self::Activate,
        Self::Softmax,
        Self::LogSoftmax,
        Self::Sparsemax,
        Self::Glu,
        Self::Reduce,
        Self::Normalize,
        Self::Combine,
        Self::Select,
        Self::Place,
        Self::Lookup,
        Self::MatMul,
    ];
}

/// Where values come from: a slot, or, counted behind all slots, a buffer.
pub type Binding = u32;

/// No binding.
pub const NONE: Binding = u32::MAX;

/// A call of a shader for every row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Task {
    /// Number of the [`Shader`].
    pub shader: u32,
    /// The layer that asked for it: which of [`Program::names`].
    pub layer: u32,
    /// What is read.
    pub input: Binding,
    /// Slot written.
    pub output: u32,
    /// What is read besides, in the order of its bindings.
    pub further: [Binding; 3],
    /// Rows a sample.
    pub rows: u32,
    /// Values a row read.
    pub input_width: u32,
    /// Values a row written.
    pub output_width: u32,
    /// What the shader says it is.
    pub extra: u32,
    /// Values between one sample's input and the next one's: none for constants.
    pub input_stride: u32,
    /// The same of a second operand.
    pub second_stride: u32,
    /// How a dense layer's weights are kept: number of the `Dtype`.
    pub dtype: u32,
    /// Whether a dense layer has a bias.
    pub bias: u32,
    /// Number of the elementwise function that is fused in or computed, in activation.wgsl.
    pub activation: u32,
    /// That function's parameters.
    pub parameters: [f32; 3],
    /// Which of the shader's functions, where it has several.
    pub function: u32,
    /// The smallest divisor.
    pub epsilon: f32,
}

impl Task {
    /// The shader called.
    pub fn shader(&self) -> Shader {
        Shader::ALL[self.shader as usize]
    }
}

/// An input or output.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Place {
    /// The slot that holds it.
    pub slot: u32,
    /// Values a sample.
    pub width: u32,
    /// Whether it has [`Program::limits`]: 1, or 0.
    pub limited: u32,
}

/// A plan for a GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The model's inputs.
    pub inputs: Vec<Place>,
    /// Its outputs.
    pub outputs: Vec<Place>,
    /// The limits of the inputs that have some, one behind the other: as `Port::limits`.
    pub limits: Vec<u32>,
    /// Values a sample of each slot.
    pub slots: Vec<u32>,
    /// Bytes of each buffer of weights or positions.
    pub buffers: Vec<u32>,
    /// In order of execution.
    pub tasks: Vec<Task>,
    /// Names of the inputs, and behind them of the layers: for errors.
    pub names: Vec<String>,
}

/// Words that say how many there are of each part.
const COUNTS: usize = 6;

impl Program {
    /// Everything but the names.
    pub fn to_words(&self) -> Vec<u32> {
        let parts: [&[u32]; COUNTS] = [
            bytemuck::cast_slice(&self.inputs),
            bytemuck::cast_slice(&self.outputs),
            &self.limits,
            &self.slots,
            &self.buffers,
            bytemuck::cast_slice(&self.tasks),
        ];
        parts.iter().map(|part| part.len() as u32).chain(parts.iter().copied().flatten().copied()).collect()
    }

    /// The program of these words.
    ///
    /// # Errors
    /// `Format` for words of another version of the package.
    pub fn from_words(words: &[u32], names: Vec<String>) -> Result<Self> {
        let program = split(words).map(|[inputs, outputs, limits, slots, buffers, tasks]| Self {
            inputs: bytemuck::cast_slice(inputs).to_vec(),
            outputs: bytemuck::cast_slice(outputs).to_vec(),
            limits: limits.to_vec(),
            slots: slots.to_vec(),
            buffers: buffers.to_vec(),
            tasks: bytemuck::cast_slice(tasks).to_vec(),
            names,
        });
        program.filter(Self::is_sound).ok_or_else(|| {
            Error::format("the GPU's module is of another version of nearside than the engine")
        })
    }

    /// Refuses inputs that are not so many samples, or indices outside their table.
    ///
    /// # Errors
    /// `Shape` or `Value`, naming the input.
    pub fn check_inputs(&self, inputs: &[&[f32]], samples: usize) -> Result<()> {
        check_count(self.inputs.len(), inputs.len())?;
        let mut limits = &self.limits[..];
        for ((place, input), name) in self.inputs.iter().zip(inputs).zip(&self.names) {
            let width = place.width as usize;
            let (own, rest) = limits.split_at(if place.limited > 0 { width } else { 0 });
            check_input(name, width, own, input, samples)?;
            limits = rest;
        }
        Ok(())
    }

    fn is_sound(&self) -> bool {
        let bound = self.slots.len() + self.buffers.len();
        let slot = |slot: u32| (slot as usize) < self.slots.len();
        let binding = |binding: Binding| binding == NONE || (binding as usize) < bound;
        let limits: usize =
            self.inputs.iter().filter(|place| place.limited > 0).map(|place| place.width as usize).sum();
        limits == self.limits.len()
            && self.inputs.len() <= self.names.len()
            && self.inputs.iter().chain(&self.outputs).all(|place| slot(place.slot))
            && self.tasks.iter().all(|task| {
                (task.shader as usize) < Shader::ALL.len()
                    && slot(task.output)
                    && task.input != NONE
                    && binding(task.input)
                    && task.further.into_iter().all(binding)
            })
    }
}

const WORDS_OF_PLACE: usize = size_of::<Place>() / size_of::<u32>();
const WORDS_OF_TASK: usize = size_of::<Task>() / size_of::<u32>();

/// The parts that the counts announce, if they are all there is and of whole structures.
fn split(words: &[u32]) -> Option<[&[u32]; COUNTS]> {
    let (counts, mut rest) = words.split_at_checked(COUNTS)?;
    let mut parts = [&[][..]; COUNTS];
    for ((part, &count), size) in
        parts.iter_mut().zip(counts).zip([WORDS_OF_PLACE, WORDS_OF_PLACE, 1, 1, 1, WORDS_OF_TASK])
    {
        if !(count as usize).is_multiple_of(size) {
            return None;
        }
        (*part, rest) = rest.split_at_checked(count as usize)?;
    }
    rest.is_empty().then_some(parts)
}

/// Refuses inputs of another number than the model has.
pub(crate) fn check_count(own: usize, given: usize) -> Result<()> {
    if given == own {
        return Ok(());
    }
    Err(Error::shape(format!("{given} inputs given, the model has {own}")))
}

/// Refuses an input that is not so many samples, or whose indices lie outside their table.
pub(crate) fn check_input(
    name: &str,
    width: usize,
    limits: &[u32],
    input: &[f32],
    samples: usize,
) -> Result<()> {
    if width.checked_mul(samples) != Some(input.len()) {
        let message = format!("{} values given, {samples} samples of {width} needed", input.len());
        return Err(Error::shape(message).tensor(name));
    }
    check_limits(name, limits, input)
}

/// Refuses indices that lie outside their table. `limits` is as `Port::limits`.
pub(crate) fn check_limits(name: &str, limits: &[u32], input: &[f32]) -> Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    for (sample, values) in input.chunks_exact(limits.len()).enumerate() {
        for (position, (&value, &limit)) in values.iter().zip(limits).enumerate() {
            if limit > 0 && !(value >= 0.0 && value < limit as f32 && value == value.trunc()) {
                let largest = limit - 1;
                let message = format!(
                    "value {position} of sample {sample} is no whole number from 0 to {largest}, as an index must be"
                );
                return Err(Error::value(message).tensor(name));
            }
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "engine"))]
mod tests {
    use super::*;
    use crate::{Activation, Dtype, Layer, LayerKind, Model, Plan, Tensor};

    fn program() -> Program {
        let kernel = Tensor::new(vec![3, 5], vec![0.5; 15]).unwrap();
        let dense = LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR };
        let layers = vec![Layer::new("x", LayerKind::Input { shape: vec![3] }), Layer::new("dense", dense)];
        let model = Model::sequential("m", layers).unwrap();
        Program::of(&Plan::compile(&model).unwrap(), &model, Dtype::F32).0
    }

    #[test]
    fn words_are_the_program() {
        let program = program();
        assert_eq!(Program::from_words(&program.to_words(), program.names.clone()), Ok(program));
    }

    #[test]
    fn words_that_are_no_program_are_refused() {
        let program = program();
        let words = program.to_words();
        for length in 0..words.len() {
            assert!(Program::from_words(&words[..length], vec![]).is_err(), "of {length} words");
        }
        for index in 0..words.len() {
            let mut wrong = words.clone();
            wrong[index] = 0x7fff_fff0;
            // It is refused, or a number that may have any value.
            let _ = Program::from_words(&wrong, program.names.clone());
        }
        let mut longer = words;
        longer.push(0);
        assert!(Program::from_words(&longer, vec![]).is_err());
    }
}
