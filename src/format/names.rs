//! Names that are unique in a file.

/// Names, and whether they are taken: some are reserved for who is to have them. In order: a vector, because a tree of
/// its own would be 2 KB of the browser's download.
#[derive(Default)]
pub struct Names(Vec<(String, bool)>);

impl Names {
    /// Keeps a name for the first who [`claim`](Self::claim)s it.
    pub fn reserve(&mut self, name: &str) {
        if let Err(place) = self.find(name) {
            self.0.insert(place, (name.to_string(), false));
        }
    }

    /// The name, if it was reserved and is still there, else one like it.
    pub fn claim(&mut self, name: &str) -> String {
        match self.find(name) {
            Ok(place) if !self.0[place].1 => {
                self.0[place].1 = true;
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
            if let Err(place) = self.find(&free) {
                self.0.insert(place, (free.clone(), true));
                return free;
            }
            number += 1;
            free = format!("{name}_{number}");
        }
    }

    /// Where it is, or would be.
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(name))
    }
}
