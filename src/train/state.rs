//! The model that a trainer leaves, and what its optimizer remembers, in the order of files.

use super::{
    Trainer,
    network::{Parameter, Place},
};
use crate::{
    Compiled, Error, Model, Result, Tensor,
    compile::{OptimizerState, Slot},
};

impl Trainer {
    /// Takes over what the optimizer remembers.
    pub(super) fn restore(&mut self) -> Result<()> {
        let Some(state) = self.compiled.state.take() else { return Ok(()) };
        let names = self.compiled.optimizer.rule.slots();
        for slot in state.slots {
            let wrong = |message: &str| Err(Error::format(message).layer(&slot.layer).tensor(&slot.weight));
            let own = |index: &usize| {
                let parameter = &self.network.parameters[*index];
                self.model.layers[parameter.layer].name == slot.layer && parameter.weight == slot.weight
            };
            let Some(index) = (0..self.network.parameters.len()).find(own) else {
                return wrong("the optimizer remembers a weight that the model has not");
            };
            let Some(place) = names.iter().position(|name| *name == slot.name) else {
                return wrong("the optimizer has no such value to remember");
            };
            if !self.network.parameters[index].updated {
                continue; // was trained once, and is frozen now
            }
            let values = self.packed(index, slot.value.data());
            let slots = &mut self.network.parameters[index].slots;
            match slots.get_mut(place) {
                Some(own) if own.len() == values.len() => *own = values,
                _ => return wrong("what the optimizer remembers is of another shape than the weight"),
            }
        }
        Ok(())
    }

    /// The model as it is now, with what its optimizer remembers.
    ///
    /// # Errors
    /// None that a sound model has.
    pub fn model(&mut self) -> Result<Model> {
        let mut model = self.model.clone();
        let mut state = OptimizerState { iterations: self.iterations, slots: vec![] };
        let names = self.compiled.optimizer.rule.slots();
        for index in 0..self.network.parameters.len() {
            let values = self.network.values_of(index).to_vec();
            let parameter = &self.network.parameters[index];
            let (layer, weight) = (&mut model.layers[parameter.layer], parameter.weight);
            // The constants of batch normalisations are those of the last batch.
            let Some(own) = layer.kind.weight_mut(weight).filter(|_| !weight.starts_with("moving")) else {
                continue;
            };
            let shape = own.shape().to_vec();
            *own = self.unpacked(parameter.place, values, &shape)?;
            for (name, slot) in names.iter().zip(&parameter.slots) {
                let value = self.unpacked(parameter.place, slot.clone(), &shape)?;
                let (name, layer, weight) = (name.to_string(), layer.name.clone(), weight.to_string());
                state.slots.push(Slot { name, layer, weight, value });
            }
        }
        for (layer, [mean, variance]) in self.network.moving() {
            for (weight, values) in [("moving_mean", mean), ("moving_variance", variance)] {
                if let Some(own) = model.layers[layer].kind.weight_mut(weight) {
                    *own = Tensor::new(own.shape().to_vec(), values.clone())?;
                }
            }
        }
        model.compiled = Some(Box::new(Compiled { state: Some(state), ..self.compiled.clone() }));
        Ok(model)
    }

    /// The shape that the model has a parameter in.
    pub(super) fn shape(&self, parameter: &Parameter) -> Vec<usize> {
        let weights = self.model.layers[parameter.layer].kind.weights();
        let own = weights.iter().find(|(name, _)| *name == parameter.weight);
        own.map_or(vec![], |(_, weights)| weights.shape().to_vec())
    }

    /// Values in the order in which a parameter's lie.
    pub(super) fn packed(&self, parameter: usize, values: &[f32]) -> Vec<f32> {
        let dense = |index: usize| self.network.dense[index].as_ref();
        match self.network.parameters[parameter].place {
            Place::Weights(_) => values.to_vec(),
            Place::Kernel(index) => dense(index).map_or(vec![], |dense| dense.repack(values)),
            Place::Bias(index) => {
                let mut padded = values.to_vec();
                let units = dense(index)
                    .map_or(0, |dense| 4 * dense.bias.len() * dense.bias.first().map_or(0, |row| row.len()));
                padded.resize(units, 0.0);
                padded
            }
        }
    }

    pub(super) fn unpacked(&self, place: Place, mut values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        match place {
            Place::Weights(_) => {}
            Place::Kernel(index) => {
                values = self.network.dense[index].as_ref().map_or(vec![], |dense| dense.unpack(&values));
            }
            Place::Bias(_) => values.truncate(shape.iter().product()),
        }
        Tensor::new(shape.to_vec(), values)
    }
}
