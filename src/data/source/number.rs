//! What a cell of a text is: a number, a word, or nothing. It knows no files.
//!
//! Numbers are those of Rust and C: `7`, `+0.5`, `.5`, `1e-5`. There are no separators of thousands, and none of `0x1f`,
//! `1_000` or `12%` is one. Nothing is what one of [`MISSING`] stands for, spelled just so.

/// What stands where nothing is known, beside an empty cell.
pub(super) const MISSING: [&str; 9] = ["NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", ""];

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Missing,
    /// A finite number.
    Number(f32),
    /// An infinite number, or one beyond the largest f32.
    TooLarge,
    Word,
}

/// Which character stands before the fraction; in some files it is found out by the first number that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimal {
    Point,
    Comma,
    Unknown,
}

/// Without the spaces around it.
pub(super) fn trimmed(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

/// What `cell`, trimmed, holds.
pub(super) fn cell(cell: &[u8], decimal: &mut Decimal) -> Cell {
    // Pixels and counts, which are exact: an f32 holds every whole number of seven digits.
    if cell.len() <= 7 && !cell.is_empty() && cell.iter().all(u8::is_ascii_digit) {
        return Cell::Number(cell.iter().fold(0, |number, digit| 10 * number + u32::from(digit - b'0')) as f32);
    }
    if let Some(number) = short(cell, *decimal == Decimal::Point) {
        return Cell::Number(number);
    }
    if MISSING.iter().any(|missing| missing.as_bytes() == cell) {
        return Cell::Missing;
    }
    let number = match decimal {
        Decimal::Point => plain(cell),
        Decimal::Comma | Decimal::Unknown if cell.contains(&b',') => {
            let found = comma(cell);
            if found.is_some() {
                *decimal = Decimal::Comma;
            }
            found
        }
        // 1.5 beside 2,5 would be 15 hundred by one reading.
        Decimal::Comma if cell.contains(&b'.') => None,
        Decimal::Comma => plain(cell),
        Decimal::Unknown => {
            let found = plain(cell);
            if found.is_some() && cell.contains(&b'.') {
                *decimal = Decimal::Point;
            }
            found
        }
    };
    match number {
        None => Cell::Word,
        Some(number) if number.is_finite() => Cell::Number(number),
        Some(_) => Cell::TooLarge,
    }
}

/// Numbers of few digits, maybe with a point, which most are: the quotient of a whole number and a power of
/// ten that an f32 holds exactly, so that its one rounding is to the nearest f32, as `parse` rounds.
fn short(cell: &[u8], may_have_point: bool) -> Option<f32> {
    const POWERS: [f32; 9] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
    const EXACT: u32 = 1 << f32::MANTISSA_DIGITS;
    let digits = cell.strip_prefix(b"-").unwrap_or(cell);
    if digits.len() > POWERS.len() {
        return None;
    }
    let (mut whole, mut point) = (0, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => whole = 10 * whole + u32::from(byte - b'0'),
            b'.' if may_have_point && point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    if whole > EXACT || digits.len() == usize::from(point.is_some()) {
        return None;
    }
    let number = match point {
        None => whole as f32,
        Some(at) => whole as f32 / POWERS[digits.len() - 1 - at],
    };
    Some(if digits.len() < cell.len() { -number } else { number })
}

fn plain(cell: &[u8]) -> Option<f32> {
    // A word is most often known by its first letter; `inf` and `infinity` are numbers to Rust.
    let first = *cell.iter().find(|byte| !matches!(byte, b'+' | b'-'))?;
    if !(first.is_ascii_digit() || matches!(first, b'.' | b'i' | b'I')) {
        return None;
    }
    std::str::from_utf8(cell).ok()?.parse().ok().filter(|number: &f32| !number.is_nan())
}

/// `1,5`; no number has two commas, or a comma and a point.
fn comma(cell: &[u8]) -> Option<f32> {
    if cell.iter().filter(|byte| **byte == b',').count() != 1 || cell.contains(&b'.') {
        return None;
    }
    let pointed: Vec<u8> = cell.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }).collect();
    plain(&pointed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_words_and_from_nothing() {
        for (text, expected) in [
            ("0", Cell::Number(0.0)),
            ("0000007", Cell::Number(7.0)),
            ("16777217", Cell::Number(16_777_216.0)),
            ("+1.5", Cell::Number(1.5)),
            ("-.5", Cell::Number(-0.5)),
            ("5.", Cell::Number(5.0)),
            ("1e5", Cell::Number(1e5)),
            ("1E-5", Cell::Number(1e-5)),
            ("1e-60", Cell::Number(0.0)),
            ("1e39", Cell::TooLarge),
            ("inf", Cell::TooLarge),
            ("-Infinity", Cell::TooLarge),
            ("", Cell::Missing),
            ("NA", Cell::Missing),
            ("?", Cell::Missing),
            ("None", Cell::Missing),
            ("NAN", Cell::Word),
            ("-nan", Cell::Word),
            ("na", Cell::Word),
            ("1,5", Cell::Word),
            ("1_000", Cell::Word),
            ("0x1f", Cell::Word),
            ("12%", Cell::Word),
            ("1 2", Cell::Word),
            ("+", Cell::Word),
            ("--1", Cell::Word),
            ("information", Cell::Word),
        ] {
            assert_eq!(cell(text.as_bytes(), &mut Decimal::Point), expected, "{text}");
        }
        assert_eq!(trimmed(b" \t7\r "), b"7");
    }

    #[test]
    fn short_numbers_are_what_parsing_makes_of_them() {
        let parsed = |text: &str| text.parse::<f32>().unwrap().to_bits();
        let mut state = 1_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let digits = (state >> 33) % 10_u64.pow(1 + (state >> 20) as u32 % 9);
            let mut text = digits.to_string();
            if state >> 40 & 3 > 0 {
                text.insert((state >> 45) as usize % (text.len() + 1), '.');
            }
            if state >> 50 & 1 == 1 {
                text.insert(0, '-');
            }
            match cell(text.as_bytes(), &mut Decimal::Point) {
                Cell::Number(number) => assert_eq!(number.to_bits(), parsed(&text), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["0", "-0", "-0.0", "16777216", "16777217", "-.5", "5.", "00000000.1"] {
            assert_eq!(cell(text.as_bytes(), &mut Decimal::Point), Cell::Number(text.parse().unwrap()), "{text}");
        }
        assert!([".", "-", "-.", "1.2.3", "--1", "1-"].iter().all(|text| short(text.as_bytes(), true).is_none()));
    }

    #[test]
    fn one_character_of_two_stands_before_the_fraction() {
        for (texts, expected, after) in [
            (&["7", "1,5", "2,25e1"][..], &[Some(7.0), Some(1.5), Some(22.5)][..], Decimal::Comma),
            (&["1,5", "1.5", "7"], &[Some(1.5), None, Some(7.0)], Decimal::Comma),
            (&["1.5", "1,5", "7"], &[Some(1.5), None, Some(7.0)], Decimal::Point),
            (&["1,2,3", "1.234,5", ",", "a,b"], &[None; 4], Decimal::Unknown),
        ] {
            let mut decimal = Decimal::Unknown;
            for (text, expected) in texts.iter().zip(expected) {
                let wanted = expected.map_or(Cell::Word, Cell::Number);
                assert_eq!(cell(text.as_bytes(), &mut decimal), wanted, "{text} of {texts:?}");
            }
            assert_eq!(decimal, after);
        }
    }
}
