//! A model ready to predict: its plan, and the CPU executor that runs it.

use crate::{
    Dtype, Error, Model, Plan, Result,
    cpu::CpuExecutor,
    format::container,
    program::{Program, weights::Buffer},
};
use std::{cell::RefCell, rc::Rc};

/// A model on the CPU. Where there is a GPU, it runs the session's [`program`](Self::program).
///
/// ```
/// use nearside::{Activation, Dtype, Layer, LayerKind, Model, Session, Tensor};
/// let kernel = Tensor::new(vec![2, 1], vec![1.0, -1.0])?;
/// let model = Model::sequential("difference", vec![
///     Layer::new("x", LayerKind::Input { shape: vec![2] }),
///     Layer::new("d", LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR }),
/// ])?;
/// let session = Session::from_model(model, Dtype::F32)?;
/// assert_eq!(session.predict_sync(&[&[5.0, 3.0, 1.0, 1.0]])?, [[2.0, 0.0]]);
/// # Ok::<(), nearside::Error>(())
/// ```
pub struct Session {
    model: Model,
    plan: Plan,
    dtype: Dtype,
    cpu: Rc<RefCell<CpuExecutor>>,
}

impl Session {
    /// Puts a model on the CPU, where the weights of its dense layers are kept in a type. What that costs is in the
    /// [`summary`](Self::summary).
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn from_model(model: Model, dtype: Dtype) -> Result<Self> {
        let plan = Plan::compile(&model)?;
        let cpu = CpuExecutor::prepare(&model, &plan, dtype)?;
        Ok(Self { model, plan, dtype, cpu: Rc::new(RefCell::new(cpu)) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The plan its executors run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How the weights of dense layers were asked to be kept.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The plan for a GPU, and what the program's buffers hold.
    pub fn program(&self) -> (Program, Vec<Buffer>) {
        Program::of(&self.plan, &self.model, self.dtype)
    }

    /// Tables of the layers and of the steps they were compiled to, for people.
    ///
    /// # Errors
    /// As [`Model::shapes`].
    pub fn summary(&self) -> Result<String> {
        Ok(format!(
            "{}\n\n{}",
            self.model.summary()?,
            self.plan.summary(&self.model, &self.cpu.borrow().notes()).trim_end()
        ))
    }

    /// The model's outputs for a batch. `inputs` holds one row-major slice (samples × values of a sample) for each
    /// of the model's inputs.
    ///
    /// # Errors
    /// `Shape` for an empty batch or inputs of the wrong length, `Value` for indices outside their table, `Memory` when
    /// the results cannot be allocated.
    pub fn predict_sync(&self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<_> = inputs.iter().map(|input| input.len()).collect();
        let rows = self.samples(&lengths)?;
        self.cpu.borrow_mut().run(inputs, rows)
    }

    /// The CPU executor, for callers that write inputs where it reads them.
    pub fn cpu(&self) -> Rc<RefCell<CpuExecutor>> {
        self.cpu.clone()
    }

    /// The model as a container file.
    ///
    /// # Errors
    /// As [`container::write`].
    pub fn save(&self) -> Result<Vec<u8>> {
        container::write(&self.model)
    }

    /// Number of samples that inputs of these lengths hold.
    ///
    /// # Errors
    /// `Shape` for lengths that are no samples, or of different numbers of them.
    pub fn samples(&self, lengths: &[usize]) -> Result<usize> {
        let ports = &self.plan.inputs;
        if lengths.len() != ports.len() {
            let message = format!("{} inputs given, the model has {}", lengths.len(), ports.len());
            return Err(Error::shape(message));
        }
        let mut samples = None;
        for (port, &length) in ports.iter().zip(lengths) {
            let width = port.width();
            if length == 0 {
                return Err(Error::shape("the batch is empty; give at least one sample").tensor(&port.name));
            }
            if length % width != 0 {
                return Err(Error::shape(format!(
                    "{length} values given, a multiple of {width} needed: a sample has shape {:?}",
                    port.shape
                ))
                .tensor(&port.name));
            }
            let rows = length / width;
            if rows != 1 && !self.plan.batched {
                let message =
                    format!("{rows} samples given; the model's file fixes every axis, so that it takes one");
                return Err(Error::shape(message).tensor(&port.name));
            }
            let first = *samples.get_or_insert(rows);
            if first != rows {
                let message = format!("{rows} samples given, and {first} for the input before");
                return Err(Error::shape(message).tensor(&port.name));
            }
        }
        samples.ok_or_else(|| Error::shape("the model has no inputs"))
    }
}
