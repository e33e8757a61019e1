//! A model ready to predict: its plan, and the executors that run it.

use crate::{
    Dtype, Error, Model, Plan, Result,
    backend::{Device, DeviceKind, DeviceReport, prepare_gpu},
    cpu::CpuExecutor,
    format::container,
    gpu::GpuExecutor,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// A model on its devices.
///
/// ```
/// # pollster::block_on(async {
/// use nearside::{Activation, Layer, LayerKind, Model, Session, Tensor, backend::Device};
/// let kernel = Tensor::new(vec![2, 1], vec![1.0, -1.0])?;
/// let model = Model::sequential("difference", vec![
///     Layer::new("x", LayerKind::Input { shape: vec![2] }),
///     Layer::new("d", LayerKind::Dense { kernel, bias: None, activation: Activation::LINEAR }),
/// ])?;
/// let session = Session::open(model, Device::Cpu).await?;
/// assert_eq!(session.predict(&[&[5.0, 3.0, 1.0, 1.0]], None).await?, [[2.0, 0.0]]);
/// # Ok::<(), nearside::Error>(()) }).unwrap();
/// ```
pub struct Session {
    model: Model,
    plan: Plan,
    dtype: Dtype,
    device: Cell<Device>,
    cpu: Rc<RefCell<CpuExecutor>>,
    gpu: RefCell<Option<Rc<GpuExecutor>>>,
    report: RefCell<DeviceReport>,
}

impl Session {
    /// Puts a model on the device asked for.
    ///
    /// # Errors
    /// As [`Plan::compile`]; `Device` when the GPU was asked for by name and is not to be had.
    pub async fn open(model: Model, device: Device) -> Result<Self> {
        let session = Self::from_model(model, Dtype::F32)?;
        session.choose(device).await?;
        Ok(session)
    }

    /// Puts a model on the CPU, where the weights of its dense layers are kept in a type. What that costs is in the
    /// [`summary`](Self::summary).
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn from_model(model: Model, dtype: Dtype) -> Result<Self> {
        let plan = Plan::compile(&model)?;
        let cpu = CpuExecutor::prepare(&model, &plan, dtype)?;
        Ok(Self {
            model,
            plan,
            dtype,
            device: Cell::new(Device::Cpu),
            cpu: Rc::new(RefCell::new(cpu)),
            gpu: RefCell::default(),
            report: RefCell::new(DeviceReport::cpu("asked for by name")),
        })
    }

    /// Changes the device that answers when none is named.
    ///
    /// # Errors
    /// `Device` when the GPU is asked for by name and is not to be had; the session then stays as it was.
    pub async fn choose(&self, device: Device) -> Result<()> {
        let report = match device {
            Device::Cpu => DeviceReport::cpu("asked for by name"),
            Device::Gpu => DeviceReport::gpu("asked for by name", self.gpu().await?.adapter_name()),
            Device::Auto => match self.gpu().await {
                Ok(gpu) => DeviceReport::gpu("an adapter was found through WebGPU", gpu.adapter_name()),
                Err(error) => DeviceReport::cpu(error.to_string()),
            },
        };
        self.device.set(device);
        self.report.replace(report);
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The plan its executors run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How the CPU was asked to keep the weights of dense layers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
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

    /// The device that answers when none is named.
    pub fn device(&self) -> DeviceReport {
        self.report.borrow().clone()
    }

    /// The model's outputs for a batch. `inputs` holds one row-major slice (samples × values of a sample) for each
    /// of the model's inputs; `device` overrides the session's own for this call.
    ///
    /// On [`Device::Auto`] a GPU that fails is given up: the CPU answers, this time and from then on, and
    /// [`device`](Self::device) says why.
    ///
    /// # Errors
    /// `Shape` for an empty batch or inputs of the wrong length, `Device` when the GPU was asked for by name and
    /// fails, `Memory` when the results cannot be allocated.
    pub async fn predict(&self, inputs: &[&[f32]], device: Option<DeviceKind>) -> Result<Vec<Vec<f32>>> {
        if device.unwrap_or(self.report.borrow().kind) == DeviceKind::Gpu
            && let Some(outputs) = self.predict_on_gpu(inputs, device.is_some()).await?
        {
            return Ok(outputs);
        }
        self.predict_sync(inputs)
    }

    /// [`predict`](Self::predict) on the GPU. Nothing when it fails and was neither asked for by name when it was chosen
    /// nor, as `by_name` says, for this call: it is given up, and the CPU is to answer.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub async fn predict_on_gpu(&self, inputs: &[&[f32]], by_name: bool) -> Result<Option<Vec<Vec<f32>>>> {
        let rows = self.samples(&lengths(inputs))?;
        let answer = match self.gpu().await {
            Ok(gpu) => gpu.run(inputs, rows).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if !by_name && self.device.get() == Device::Auto => {
                self.gpu.take();
                self.report.replace(DeviceReport::cpu(format!("the GPU failed: {error}")));
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// [`predict`](Self::predict) on the CPU, at once.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_sync(&self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let rows = self.samples(&lengths(inputs))?;
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

    /// The GPU executor, made when it is first needed.
    async fn gpu(&self) -> Result<Rc<GpuExecutor>> {
        if let Some(gpu) = self.gpu.borrow().clone() {
            return Ok(gpu);
        }
        let gpu = Rc::new(prepare_gpu(&self.model, &self.plan).await?);
        self.gpu.replace(Some(gpu.clone()));
        Ok(gpu)
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

fn lengths(inputs: &[&[f32]]) -> Vec<usize> {
    inputs.iter().map(|input| input.len()).collect()
}
