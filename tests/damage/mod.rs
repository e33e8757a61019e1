//! Damage to files, the same in every run.

/// xorshift64 (Marsaglia 2003).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Damages a file in one to four places: flips a bit, sets a byte, a word or a run, copies a range elsewhere, cuts
    /// bytes out or puts some in.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let (at, other) = (self.below(bytes.len()), self.below(bytes.len()));
            let length = (1 + self.below(24)).min(bytes.len() - at.max(other));
            let extreme = [0, 0xff, self.next() as u8][self.below(3)];
            match self.below(7) {
                0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => bytes[at] = extreme,
                3 => bytes[at..at + length].fill(extreme),
                4 => bytes.copy_within(other..other + length, at),
                5 => drop(bytes.drain(at..at + length)),
                _ => drop(bytes.splice(at..at, vec![extreme; length])),
            }
        }
    }
}
