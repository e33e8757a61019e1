//! Values by name, in the order of the names.
//!
//! One map from names to places serves all kinds of values: a map of their own for each kind would be 10 KB of code.

use std::collections::BTreeMap;

/// Values by name.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::format) struct Table<T> {
    places: BTreeMap<String, usize>,
    /// None where a value was taken out.
    values: Vec<Option<T>>,
}

/// Names alone.
pub(in crate::format) type Names = Table<()>;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), values: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds a value. One of that name is replaced and returned.
    pub(in crate::format) fn insert(&mut self, name: String, value: T) -> Option<T> {
        let place = self.values.len();
        self.values.push(Some(value));
        let old = self.places.insert(name, place)?;
        self.values.get_mut(old)?.take()
    }

    /// The value of that name.
    pub(in crate::format) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(*self.places.get(name)?)?.as_ref()
    }

    /// The value of that name, to change it.
    pub(in crate::format) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.values.get_mut(*self.places.get(name)?)?.as_mut()
    }

    /// Whether there is a value of that name.
    pub(in crate::format) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// All values with their names, in the names' order.
    pub(in crate::format) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.places
            .iter()
            .filter_map(|(name, place)| Some((name.as_str(), self.values.get(*place)?.as_ref()?)))
    }
}
