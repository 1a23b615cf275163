//! Messages in the wire format of protocol buffers: fields with a number, as
//! <https://protobuf.dev/programming-guides/encoding/> lays them down. It knows no message.

/// A message, or a part of one, field by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

/// A whole number of as many bytes as it needs.
const VARINT: u64 = 0;
/// Bytes after their number: text, raw data or a message.
const BYTES: u64 = 2;

impl Message {
    pub fn new() -> Message {
        Message::default()
    }

    pub fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Message {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn text(self, field: u64, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u64, value: &Message) -> Message {
        self.bytes(field, &value.0)
    }

    /// One field of the same number for each.
    pub fn messages(self, field: u64, values: &[Message]) -> Message {
        values.iter().fold(self, |message, value| message.message(field, value))
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Seven bits to a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own page.
    #[test]
    fn fields_are_laid_out_as_the_format_says() {
        assert_eq!(Message::new().number(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::new().text(2, "testing").into_bytes(), b"\x12\x07testing");
        let inner = Message::new().number(1, 150);
        assert_eq!(Message::new().message(3, &inner).into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::new().number(16, u64::MAX).into_bytes()[..3], [0x80, 0x01, 0xff]);
    }
}
