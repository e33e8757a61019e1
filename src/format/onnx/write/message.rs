//! Protocol buffers' encoding (<https://protobuf.dev/programming-guides/encoding/>), written by hand: it is a page, and
//! the reader's messages hold their parts as slices of a file.

/// The fields of a message, encoded.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// With a whole number.
    pub fn int(mut self, field: u8, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    /// With a number.
    pub fn float(mut self, field: u8, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// With a text, or bytes.
    pub fn bytes(mut self, field: u8, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    /// With a message.
    pub fn message(self, field: u8, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// With these fields as well.
    pub fn all(self, fields: impl IntoIterator<Item = Self>) -> Self {
        fields.into_iter().fold(self, |mut all, mut fields| {
            all.0.append(&mut fields.0);
            all
        })
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
