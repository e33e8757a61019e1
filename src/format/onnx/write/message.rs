//! Protocol buffers' encoding (<https://protobuf.dev/programming-guides/encoding/>), written by hand: it is a page, and
//! the reader's messages hold their parts as slices of a file.

/// The fields of a message, encoded.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a whole number.
    pub fn int(&mut self, field: u8, value: i64) {
        self.key(field, 0);
        self.varint(value as u64);
    }

    /// Adds a number.
    pub fn float(&mut self, field: u8, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds bytes.
    pub fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Adds a text.
    pub fn text(&mut self, field: u8, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Adds a message.
    pub fn message(&mut self, field: u8, message: &Self) {
        self.bytes(field, &message.0);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The field's number and how its value is encoded.
    fn key(&mut self, field: u8, kind: u8) {
        self.varint(u64::from(field) << 3 | u64::from(kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
