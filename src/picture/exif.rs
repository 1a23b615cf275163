//! Which way up a camera held its picture, read from Exif bytes without trust. It knows no picture.

/// The eight ways to lay a picture, numbered as Exif does: 1 is as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation(u8);

const ORIENTATION_TAG: u16 = 0x0112;
const SHORT: u16 = 3;
const ENTRY_BYTES: usize = 12;

impl Orientation {
    pub const AS_STORED: Orientation = Orientation(1);

    /// `exif` begins with a TIFF header, with or without the name `Exif` before it. What is damaged says nothing.
    pub fn of(exif: &[u8]) -> Orientation {
        let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
        find(tiff).filter(|value| (1..=8).contains(value)).map_or(Self::AS_STORED, |value| Orientation(value as u8))
    }

    /// The size of a picture of `width` x `height` once it is upright.
    pub fn upright_size(self, width: usize, height: usize) -> (usize, usize) {
        if self.0 >= 5 { (height, width) } else { (width, height) }
    }

    /// Where pixel `(x, y)` of the upright picture stands in the stored one of `width` x `height`.
    pub fn stored_at(self, (x, y): (usize, usize), width: usize, height: usize) -> (usize, usize) {
        let (right, bottom) = (width - 1, height - 1);
        match self.0 {
            2 => (right - x, y),
            3 => (right - x, bottom - y),
            4 => (x, bottom - y),
            5 => (y, x),
            6 => (y, bottom - x),
            7 => (right - y, bottom - x),
            8 => (right - y, x),
            _ => (x, y),
        }
    }
}

/// The value of the orientation tag in the first directory.
fn find(tiff: &[u8]) -> Option<u16> {
    let big_endian = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| -> Option<u16> {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| -> Option<u32> {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let entries = usize::from(u16_at(directory)?);
    (0..entries)
        .map(|entry| directory + 2 + entry * ENTRY_BYTES)
        .find(|at| u16_at(*at) == Some(ORIENTATION_TAG) && u16_at(at + 2) == Some(SHORT))
        .and_then(|at| u16_at(at + 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn little_endian(value: u8) -> Vec<u8> {
        [
            &b"II*\0\x08\0\0\0\x02\0"[..],
            &[0x0f, 1, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0],
            &[0x12, 1, 3, 0, 1, 0, 0, 0, value, 0],
        ]
        .concat()
    }

    #[test]
    fn the_tag_is_found_in_either_byte_order() {
        assert_eq!(Orientation::of(&little_endian(6)), Orientation(6));
        let big = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!(Orientation::of(big), Orientation(8));
        for damaged in [
            &b""[..],
            b"II*\0",
            b"II*\0\xff\xff\xff\xff",
            &little_endian(9),
            &little_endian(0),
            b"MM\0*\0\0\0\x08\xff\xff",
        ] {
            assert_eq!(Orientation::of(damaged), Orientation::AS_STORED, "{damaged:?}");
        }
    }

    /// A picture of 3 x 2 pixels, numbered, made upright in each of the eight ways.
    #[test]
    fn each_orientation_is_undone() {
        for (value, expected) in [
            (1, "012 345"),
            (2, "210 543"),
            (3, "543 210"),
            (4, "345 012"),
            (5, "03 14 25"),
            (6, "30 41 52"),
            (7, "52 41 30"),
            (8, "25 14 03"),
        ] {
            let (width, height) = Orientation(value).upright_size(3, 2);
            let number = |x, y| {
                let (x, y) = Orientation(value).stored_at((x, y), 3, 2);
                (y * 3 + x).to_string()
            };
            let rows: Vec<String> = (0..height).map(|y| (0..width).map(|x| number(x, y)).collect()).collect();
            assert_eq!(rows.join(" "), expected, "orientation {value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(start in prop::sample::select(vec![&b"II*\0"[..], b"MM\0*"]), rest in prop::collection::vec(any::<u8>(), 0..60)) {
            Orientation::of(&[start, &rest].concat());
        }

        /// Every pixel is taken once, so nothing is lost and nothing is out of bounds.
        #[test]
        fn every_orientation_takes_every_pixel_once(value in 1..=8_u8, width in 1..6_usize, height in 1..6_usize) {
            let orientation = Orientation(value);
            let (upright_width, upright_height) = orientation.upright_size(width, height);
            let mut seen = vec![0; width * height];
            for y in 0..upright_height {
                for x in 0..upright_width {
                    let (stored_x, stored_y) = orientation.stored_at((x, y), width, height);
                    prop_assert!(stored_x < width);
                    seen[stored_y * width + stored_x] += 1;
                }
            }
            prop_assert!(seen.iter().all(|times| *times == 1));
        }
    }
}
