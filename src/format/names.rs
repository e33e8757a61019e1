//! Names that are unique in a file.

use super::table::Table;

/// Names, and whether they are taken: some are reserved for who is to have them.
#[derive(Default)]
pub struct Names(Table<bool>);

impl Names {
    /// Keeps a name for the first who [`claim`](Self::claim)s it.
    pub fn reserve(&mut self, name: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.to_string(), false);
        }
    }

    /// The name, if it was reserved and is still there, else one like it.
    pub fn claim(&mut self, name: &str) -> String {
        match self.0.get_mut(name) {
            Some(taken) if !*taken => {
                *taken = true;
                name.to_string()
            }
            _ => self.unique(name),
        }
    }

    /// The name if it is free, else one like it.
    pub fn unique(&mut self, name: &str) -> String {
        let mut free = name.to_string();
        let mut number = 0usize;
        loop {
            if !self.0.contains(&free) {
                self.0.insert(free.clone(), true);
                return free;
            }
            number += 1;
            free = format!("{name}_{number}");
        }
    }
}
