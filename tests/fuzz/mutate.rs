//! Changes bytes and text at random, as damage does and as malice would. It must not know what they mean.

use flatnet::rng::ChaCha8Rng;
use rand::Rng;

pub struct Random(ChaCha8Rng);

/// Numbers at which sizes wrap, sums overflow and signs turn.
const EXTREMES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    u64::MAX >> 1,
    u64::MAX,
];
/// What stands in for a number of JSON or CSV.
const NUMBERS: [&str; 28] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "7",
    "10",
    "0.5",
    "1e308",
    "1.7e308",
    "-1e308",
    "1e309",
    "5e-324",
    "1e-39",
    "3.4e38",
    "3.5e38",
    "255",
    "256",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "NaN",
    "Infinity",
    "null",
    "1e400",
];

impl Random {
    pub fn new(rng: ChaCha8Rng) -> Random {
        Random(rng)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.0.next_u64() as u8).collect()
    }

    /// One to five changes anywhere.
    pub fn changed(&mut self, bytes: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(5) {
            self.change(&mut bytes, others);
        }
        bytes.truncate(crate::MAX_INPUT_BYTES);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        if bytes.is_empty() {
            *bytes = self.bytes(4);
        }
        // Half of all damage hits the headers.
        let end = if self.once_in(2) { bytes.len().min(64) } else { bytes.len() };
        let at = self.below(end);
        match self.below(9) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.bytes(1)[0],
            2 => bytes.truncate(at),
            3 => {
                let extreme = *self.pick(&EXTREMES);
                let width = *self.pick(&[1, 2, 4, 8]);
                let number =
                    if self.once_in(2) { extreme.to_be_bytes() } else { extreme.to_le_bytes().map(|byte| byte) };
                let number = if number == extreme.to_be_bytes() { &number[8 - width..] } else { &number[..width] };
                let end = bytes.len().min(at + width);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            4 => {
                let count = self.below(bytes.len() - at + 1).min(64);
                drop(bytes.drain(at..at + count));
            }
            5 => {
                let count = 1 + self.below(16);
                let new = self.bytes(count);
                drop(bytes.splice(at..at, new));
            }
            6 => {
                // A piece of itself again.
                let from = self.below(bytes.len());
                let piece = bytes[from..bytes.len().min(from + 1 + self.below(200))].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            7 if !others.is_empty() => {
                // The rest of another one.
                let other = self.pick(others).clone();
                bytes.truncate(at);
                bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
            _ => {
                let count = bytes.len().min(at + 1 + self.below(32));
                let value = *self.pick(&[0, 0xff, 0x20]);
                bytes[at..count].fill(value);
            }
        }
    }

    /// One to three numbers of a text are others, or one is where another was.
    pub fn changed_numbers(&mut self, text: &str) -> String {
        let mut text = text.to_string();
        for _ in 0..1 + self.below(3) {
            let numbers = numbers(&text);
            if numbers.is_empty() {
                break;
            }
            let (start, end) = *self.pick(&numbers);
            let new = match self.below(4) {
                0 => {
                    let (start, end) = *self.pick(&numbers);
                    text[start..end].to_string()
                }
                // A little more or less.
                1 => text[start..end].parse::<f64>().map_or("1".into(), |number| {
                    (number * *self.pick(&[0.999_999_99, 1.000_001, 1.01, 2.0, -1.0])).to_string()
                }),
                _ => (*self.pick(&NUMBERS)).to_string(),
            };
            text.replace_range(start..end, &new);
        }
        text
    }
}

/// Where numbers begin and end.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'e');
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
        if bytes[at..at + length].iter().any(u8::is_ascii_digit) {
            found.push((at, at + length));
        }
        at += length.max(1);
    }
    found
}
