//! What an optimizer remembers, as Keras lists its variables: the steps made, in Keras 3 the learning rate unless it
//! follows a schedule, and then what is remembered of each weight that is trained, in the order of the model's layers.
//!
//! ```text
//! /optimizer_weights         of .h5 files: attribute weight_names, paths below this group
//! /optimizer/vars/0, 1 …     of archives
//! ```

use super::{
    architecture::Architecture,
    hdf5::{Dataset, Group, Hdf5},
    place::Place,
};
use crate::{
    Compiled, Error, Model, Result, Tensor,
    compile::{OptimizerState, Rule, Schedule, Slot},
    format::table::Table,
};

/// Groups within one another: a layer's name may have several parts.
const DEEPEST: usize = 32;

/// In which order an optimizer lists what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Adam's two moments weight by weight, everything else slot by slot.
    Keras3,
    /// The same without the learning rate. SGD has a momentum that it does not use.
    Keras2,
    /// Slot by slot: Keras 2 up to TensorFlow 2.10, and its legacy optimizers.
    BySlot,
}

/// A model with where its weights came from.
pub(super) struct Traced<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) model: &'a Model,
    /// For each listed layer.
    pub(super) places: &'a [Vec<Place>],
}

/// The datasets of an optimizer's variables.
pub(super) struct Variables {
    root: Group,
    /// Path of the group, for messages.
    place: &'static str,
    /// Of each variable that is left, below the group.
    paths: std::vec::IntoIter<String>,
    /// By the path of their group: a look-up by name would read the group's whole index for each variable.
    datasets: Table<Table<Dataset>>,
    /// Groups on the way to them, likewise.
    groups: Table<Table<Group>>,
}

/// What is remembered, and the index of the weight that it is remembered of, in the order of the variables.
pub(super) fn order(rule: Rule, layout: Layout, weights: usize) -> Vec<(&'static str, usize)> {
    let slots = match (rule, layout) {
        (Rule::Sgd { .. }, Layout::Keras2) => &["momentum"],
        _ => rule.slots(),
    };
    let together = if matches!(rule, Rule::Adam { .. }) && layout != Layout::BySlot { 2 } else { 0 };
    let (moments, others) = slots.split_at_checked(together).unwrap_or((&[], slots));
    let moments = (0..weights).flat_map(|weight| moments.iter().map(move |&slot| (slot, weight)));
    let others = others.iter().flat_map(|&slot| (0..weights).map(move |weight| (slot, weight)));
    moments.chain(others).collect()
}

/// Reads the state into what the model was compiled with. An optimizer that has made no step may have none.
///
/// # Errors
/// `Format` for variables that are missing or more than there should be, `Shape` for those of other shapes than their
/// weights.
pub(super) fn read(
    file: &mut Hdf5,
    mut variables: Variables,
    traced: &Traced,
    compiled: &mut Compiled,
    layout: Layout,
) -> Result<()> {
    let Some((dataset, place)) = variables.next(file)? else { return Ok(()) };
    let iterations = file.count_of(dataset, &place)?;
    if let (Layout::Keras3, Schedule::Constant(rate)) = (layout, &mut compiled.optimizer.learning_rate) {
        let group = variables.place;
        let missing = || Error::format("the optimizer's learning rate is missing").tensor(group);
        let (dataset, place) = variables.next(file)?.ok_or_else(missing)?;
        let found = file.tensor_of(dataset, &place, &[])?;
        *rate = learning_rate(*rate, &found).map_err(|error| error.tensor(place))?;
    }
    let there = variables.paths.len();
    if iterations == 0 && there == 0 {
        return Ok(());
    }
    let rule = compiled.optimizer.rule;
    let weights = traced.weights()?;
    let order = order(rule, layout, weights.len());
    if there != order.len() {
        let needed = order.len();
        let message = format!("the file has {there} variables of the optimizer, {needed} are needed");
        return Err(Error::format(message).tensor(variables.place));
    }
    let mut slots = Vec::with_capacity(order.len());
    for (name, weight) in order {
        let Some((dataset, place)) = variables.next(file)? else { continue };
        let Some(of) = weights.get(weight).filter(|_| rule.slots().contains(&name)) else { continue };
        let value = file.tensor_of(dataset, &place, &of.shape)?;
        slots.extend(traced.slot(name, of, value)?);
    }
    compiled.state = Some(OptimizerState { iterations, slots });
    Ok(())
}

/// The learning rate in the file, which callbacks may have changed. It is rounded to f32, where the configuration may
/// have more digits of the same one.
fn learning_rate(configured: f64, found: &Tensor) -> Result<f64> {
    match found.data() {
        [rate] if *rate == configured as f32 => Ok(configured),
        [rate] if rate.is_finite() && *rate >= 0.0 => Ok(f64::from(*rate)),
        _ => Err(Error::value("the learning rate is not a number from 0")),
    }
}

impl Traced<'_> {
    /// The weights that are trained, in Keras's order.
    fn weights(&self) -> Result<Vec<&Place>> {
        let mut weights = Vec::new();
        for layer in self.architecture.layers() {
            let places = self.places.get(layer.index).map_or(&[][..], Vec::as_slice);
            for name in layer.trained() {
                let place = places.iter().find(|place| place.name == name);
                let missing =
                    || Error::format(format!("nothing calls for the weight '{name}'")).layer(layer.name());
                weights.push(place.ok_or_else(missing)?);
            }
        }
        Ok(weights)
    }

    /// In the shape that the weight has here; `None` where nothing is computed with it.
    fn slot(&self, name: &str, of: &Place, value: Tensor) -> Result<Option<Slot>> {
        let home = of.home.and_then(|(layer, weight)| Some((self.model.layers.get(layer)?, weight)));
        let Some((layer, weight)) = home else { return Ok(None) };
        let own = layer.kind.weights().into_iter().find(|(own, _)| *own == weight);
        let Some((_, own)) = own else { return Ok(None) };
        let value = Tensor::new(own.shape().to_vec(), value.into_data())?;
        Ok(Some(Slot {
            name: name.to_string(),
            layer: layer.name.clone(),
            weight: weight.to_string(),
            value,
        }))
    }
}

impl Variables {
    /// Those of an `.h5` file; `None` where there are none.
    pub(super) fn of_h5(file: &Hdf5) -> Result<Option<Self>> {
        const PLACE: &str = "optimizer_weights";
        let Some(root) = file.optional_group(&file.root(), PLACE, PLACE)? else { return Ok(None) };
        let paths = file.attributes(&root, PLACE)?.list("weight_names")?;
        let missing = || Error::format("the attribute 'weight_names' is missing").tensor(PLACE);
        let paths = paths.ok_or_else(missing)?;
        Ok(Some(Self::below(root, PLACE, paths)))
    }

    /// Those of an archive's weights; `None` where there are none.
    pub(super) fn of_archive(file: &Hdf5) -> Result<Option<Self>> {
        const PLACE: &str = "optimizer/vars";
        let Some(root) = file.optional_group(&file.root(), PLACE, PLACE)? else { return Ok(None) };
        let count = file.dataset_count(&root, PLACE)?;
        let paths = (0..count).map(|index| index.to_string()).collect();
        Ok(Some(Self::below(root, PLACE, paths)))
    }

    fn below(root: Group, place: &'static str, paths: Vec<String>) -> Self {
        let paths = paths.into_iter();
        Self { root, place, paths, datasets: Table::default(), groups: Table::default() }
    }

    /// The next dataset, and its path in the file; `None` behind the last.
    fn next(&mut self, file: &Hdf5) -> Result<Option<(&Dataset, String)>> {
        let Some(path) = self.paths.next() else { return Ok(None) };
        let place = format!("{}/{path}", self.place);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if !self.datasets.contains(folder) {
            let group = self.group(file, folder, &place)?;
            self.datasets.insert(folder.to_string(), file.datasets(&group, &place)?);
        }
        let dataset = self.datasets.get(folder).and_then(|datasets| datasets.get(name));
        let missing = || Error::format("the file has no such dataset").tensor(&place);
        Ok(Some((dataset.ok_or_else(missing)?, place)))
    }

    /// A group by its path below the root.
    fn group(&mut self, file: &Hdf5, path: &str, place: &str) -> Result<Group> {
        if path.split('/').count() > DEEPEST {
            return Err(Error::format(format!("more than {DEEPEST} groups in one another")).tensor(place));
        }
        let (mut group, mut above) = (self.root.clone(), "");
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends.filter(|end| *end > 0) {
            if !self.groups.contains(above) {
                self.groups.insert(above.to_string(), file.groups(&group, place)?);
            }
            let (whole, _) = path.split_at(end);
            let name = whole.strip_prefix(above).unwrap_or(whole).trim_start_matches('/');
            let found = self.groups.get(above).and_then(|groups| groups.get(name));
            let missing = || Error::format("the file has no such dataset").tensor(place);
            group = found.ok_or_else(missing)?.clone();
            above = whole;
        }
        Ok(group)
    }
}
