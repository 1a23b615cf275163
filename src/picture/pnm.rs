//! PBM, PGM and PPM, as text and as bytes, as grey. Counts of a header are compared with the file's length before anything is
//! allocated. It knows the format of Netpbm's manual, and no other.

use super::Gray;
use super::decode::{Decoded, check_size, damaged, luma};

/// The pixels of the file's first picture.
pub(super) fn decode(bytes: &[u8]) -> Decoded<Gray> {
    let kind = bytes.get(1).copied().unwrap_or(0);
    let mut reader = Reader { bytes, at: 2 };
    let samples = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let (width, height) = (reader.number()?, reader.number()?);
    let greatest = if matches!(kind, b'1' | b'4') { 1 } else { reader.number()? };
    if width == 0 || height == 0 || !(1..=65_535).contains(&greatest) {
        return Err(damaged("PNM", &format!("it is said to be {width} x {height}, of levels up to {greatest}")));
    }
    check_size(width, height)?;
    let is_text = matches!(kind, b'1' | b'2' | b'3');
    if !is_text {
        // One character of white space ends the header.
        reader.at += 1;
    }
    // No product overflows: a picture has 64 million pixels at most.
    let row_bytes = match (kind, greatest > 255) {
        (b'4', _) => width.div_ceil(8),
        (b'5' | b'6', true) => 2 * samples * width,
        _ => samples * width,
    };
    let rest = bytes.get(reader.at..).unwrap_or_default();
    // Text needs a character for a number, and one between two.
    let needed = if kind == b'2' || kind == b'3' { 2 * row_bytes * height - 1 } else { row_bytes * height };
    if rest.len() < needed {
        return Err(damaged("PNM", &"it is too short for its pixels"));
    }
    let level = |value: usize| ((value.min(greatest) * 255 + greatest / 2) / greatest) as u8;
    let mut pixels = Vec::with_capacity(width * height);
    if is_text {
        let mut next = || if kind == b'1' { reader.bit() } else { reader.number() };
        for _ in 0..width * height {
            pixels.push(match kind {
                b'1' => 255 * (1 - next()? as u8),
                b'2' => level(next()?),
                _ => luma([level(next()?), level(next()?), level(next()?)]),
            });
        }
    } else {
        for row in rest.chunks_exact(row_bytes).take(height) {
            match (kind, greatest > 255) {
                // 1 is black.
                (b'4', _) => {
                    pixels.extend((0..width).map(|x| if row[x / 8] >> (7 - x % 8) & 1 == 1 { 0 } else { 255 }))
                }
                (b'5', false) => pixels.extend(row.iter().map(|value| level(usize::from(*value)))),
                (b'5', true) => {
                    pixels.extend(row.as_chunks().0.iter().map(|two| level(u16::from_be_bytes(*two).into())))
                }
                (_, false) => pixels
                    .extend(row.as_chunks().0.iter().map(|rgb: &[u8; 3]| luma(rgb.map(|value| level(value.into()))))),
                (_, true) => pixels.extend(row.as_chunks().0.iter().map(|&[a, b, c, d, e, f]| {
                    luma([[a, b], [c, d], [e, f]].map(|two| level(u16::from_be_bytes(two).into())))
                })),
            }
        }
    }
    Gray::new(width, height, pixels).map_err(|error| error.to_string())
}

/// Reads numbers of text.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Passes over white space, and over comments: from `#` to the line's end.
    fn skip(&mut self) {
        let mut in_comment = false;
        while let Some(byte) = self.bytes.get(self.at) {
            in_comment = (in_comment || *byte == b'#') && *byte != b'\n' && *byte != b'\r';
            if !in_comment && !byte.is_ascii_whitespace() {
                break;
            }
            self.at += 1;
        }
    }

    fn number(&mut self) -> Decoded<usize> {
        self.skip();
        let digits = self.bytes.get(self.at..).unwrap_or_default();
        // Ten digits are more than any number here has.
        let count = digits.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        let number = digits
            .get(..count)
            .filter(|_| count < 10)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        number.ok_or_else(|| damaged("PNM", &format!("a number was expected at byte {}", self.at)))
    }

    /// A 0 or a 1; nothing need stand between two of them.
    fn bit(&mut self) -> Decoded<usize> {
        self.skip();
        let bit = match self.bytes.get(self.at) {
            Some(b'0') => 0,
            Some(b'1') => 1,
            _ => return Err(damaged("PNM", &format!("a 0 or a 1 was expected at byte {}", self.at))),
        };
        self.at += 1;
        Ok(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_forms_of_one_picture_are_read_alike() {
        let expected = Gray::new(3, 2, vec![255, 0, 255, 0, 255, 0]).unwrap();
        for bytes in [
            &b"P1\n# a comment\n3 2\n010101"[..],
            b"P1 3 2 0 1 0\n1 0 1",
            b"P2 3 2 15 15 0 15 0 15 0",
            b"P3 3 2 1 1 1 1 0 0 0 1 1 1 0 0 0 1 1 1 0 0 0",
            b"P4 3 2\n\x5f\xa0",
            b"P5#\n3 # wide\n2 255\n\xff\0\xff\0\xff\0",
            b"P5 3 2 1000\n\x03\xe8\0\0\x03\xe8\0\0\x03\xe8\0\0 and more",
            b"P6 3 2 255\n\xff\xff\xff\0\0\0\xff\xff\xff\0\0\0\xff\xff\xff\0\0\0",
            b"P6 3 2 256\n\x01\0\x01\0\x01\0\0\0\0\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0\x01\0\x01\0\x01\0\0\0\0\0\0\0",
        ] {
            assert_eq!(decode(bytes).as_ref(), Ok(&expected), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(decode(b"P2 2 1 200 100 50").unwrap().pixels(), [128, 64]);
    }

    #[test]
    fn what_is_damaged_or_too_large_is_told_before_pixels_are_allocated() {
        for (bytes, told) in [
            (&b"P5 3 2"[..], "a number was expected"),
            (b"P5 3 2 255\n12345", "too short for its pixels"),
            (b"P2 8000 8000 255 1 2", "too short for its pixels"),
            (b"P5 0 2 255\n", "0 x 2"),
            (b"P5 3 2 70000\n123456", "up to 70000"),
            (b"P5 99999 99999 255\n", "megapixels"),
            (b"P5 99999999999999999999 2 255\n", "a number was expected"),
            (b"P1 2 1 02", "a 0 or a 1"),
            (b"P2 1 1 255 x", "a number was expected"),
        ] {
            let problem = decode(bytes).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
