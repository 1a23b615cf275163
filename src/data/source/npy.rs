//! NumPy's file of one array (`.npy`, format versions 1.0 to 3.0): a strict reader. It must not know what the values mean.
//!
//! `\x93NUMPY`, two bytes of version, the length of the header in two bytes (version 1) or four, little-endian; the header, a
//! Python dictionary with `descr`, `fortran_order` and `shape`; then the values. The format is `numpy.lib.format`'s.

use std::path::Path;

use super::array::{self, Array, Values, refuse, told};
use super::element::{ByteOrder, Element};
use super::unpack::Extent;
use crate::error::{Error, Result};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy's own limit: more is taken for damage.
const MAX_HEADER_BYTES: usize = 10_000;
const MAX_DIMENSIONS: usize = 32;
/// 16 GiB, as of IDX files.
pub(super) const MAX_BYTES: u64 = super::header::MAX_BYTES;

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub element: Element,
    pub order: ByteOrder,
    fortran_order: bool,
    pub shape: Vec<usize>,
    /// Bytes before the values.
    pub bytes: u64,
}

/// Reads the array that `fill` gives, which fills what it is given and says how far it came: less only at the end. `name` is
/// that of an array among several, or empty; `extent` is how many bytes there can be.
pub(super) fn read(
    path: &Path,
    name: &str,
    extent: Extent,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<Array> {
    let header = header(path, name, &mut fill)?;
    let count = header.count(path, name, extent, MAX_BYTES)?;
    let Header { element, order, fortran_order, ref shape, .. } = header;
    let Some(values) = Values::take(element, order, count, &mut fill, path)? else {
        return Err(header.ends_early(path, name));
    };
    if fill(&mut [0])? > 0 {
        return Err(header.goes_on(path, name));
    }
    let values = if fortran_order && shape.len() > 1 { values.turned(shape) } else { values };
    array::array(path, name, header.shape, values, element.is_whole())
}

impl Header {
    /// How many values there are, as many as the file can hold, and of `max_bytes` at most.
    pub fn count(&self, path: &Path, name: &str, extent: Extent, max_bytes: u64) -> Result<usize> {
        let shape = &self.shape;
        let refuse = |problem: String| refuse(path, name, &problem);
        let Some(expected) = self.value_bytes().filter(|bytes| *bytes <= max_bytes).map(|bytes| bytes + self.bytes)
        else {
            return Err(refuse(format!("its shape is {}, more than the {max_bytes} bytes that are read", told(shape))));
        };
        let problem = match extent {
            Extent::Exactly(found) if found < expected => {
                Some(format!("cut short: expected {expected} bytes, found {found}; copy or download it again"))
            }
            Extent::Exactly(found) if found > expected => {
                Some(format!("{found} bytes, expected {expected} for its shape of {}; is it two files?", told(shape)))
            }
            Extent::AtMost { limit, packed } if limit < expected => {
                Some(format!("its shape promises {expected} bytes, but {packed} packed bytes hold at most {limit}"))
            }
            Extent::Exactly(_) | Extent::AtMost { .. } => None,
        };
        match problem {
            Some(problem) => Err(refuse(problem)),
            None => Ok(((expected - self.bytes) / self.element.bytes() as u64) as usize),
        }
    }

    /// Bytes of all values; `None` for more than any file has.
    fn value_bytes(&self) -> Option<u64> {
        let count = self.shape.iter().try_fold(1_u64, |count, size| count.checked_mul(*size as u64));
        count?.checked_mul(self.element.bytes() as u64).filter(|bytes| i64::try_from(*bytes).is_ok())
    }

    /// The error that there are fewer values than the shape says.
    pub fn ends_early(&self, path: &Path, name: &str) -> Error {
        ends_early(path, name, self.expected())
    }

    /// The error that there are more.
    pub fn goes_on(&self, path: &Path, name: &str) -> Error {
        goes_on(path, name, self.expected(), &self.shape)
    }

    /// Bytes of the whole file.
    fn expected(&self) -> u64 {
        self.value_bytes().unwrap_or(u64::MAX).saturating_add(self.bytes)
    }

    /// Whether the values of a row stand beside each other, rows in their order.
    pub fn is_by_rows(&self) -> bool {
        !self.fortran_order || self.shape.len() < 2
    }
}

/// The error that a file of so many bytes ends before them.
pub(super) fn ends_early(path: &Path, name: &str, expected: u64) -> Error {
    let problem = format!("cut short: it ends before the {expected} bytes of its shape; copy it again");
    refuse(path, name, &problem)
}

/// The error that it does not end there.
pub(super) fn goes_on(path: &Path, name: &str, expected: u64, shape: &[usize]) -> Error {
    refuse(path, name, &format!("more than {expected} bytes, the end for its shape of {}", told(shape)))
}

/// Reads what stands before the values.
pub(super) fn header(path: &Path, name: &str, mut fill: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Header> {
    let fail = |problem: &str| Err(refuse(path, name, problem));
    let mut start = [0; 8];
    if fill(&mut start)? < start.len() || !start.starts_with(MAGIC) {
        return fail("not one of NumPy's arrays: it does not begin with \\x93NUMPY");
    }
    let mut length = [0; 4];
    let length_bytes = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => {
            return fail(&format!("version {version} of the format, expected 1, 2 or 3; save it with numpy.save"));
        }
    };
    let cut_short = "the header is cut short; copy or download it again";
    if fill(&mut length[..length_bytes])? < length_bytes {
        return fail(cut_short);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        return fail(&format!("a header of {length} bytes, expected at most {MAX_HEADER_BYTES}; is it damaged?"));
    }
    let mut text = vec![0; length];
    if fill(&mut text)? < length {
        return fail(cut_short);
    }
    let Ok(text) = std::str::from_utf8(&text) else { return fail("a header that is no text; is the file damaged?") };
    let bytes = (start.len() + length_bytes + length) as u64;
    parse(text, bytes).or_else(|problem| fail(&problem))
}

/// The dictionary of a header, or what is wrong with it.
fn parse(text: &str, bytes: u64) -> std::result::Result<Header, String> {
    let mut rest = Rest(text);
    let damaged = || format!("a header that is not NumPy's: {}", super::csv::shown(text.trim().as_bytes()));
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    rest.expect("{").ok_or_else(damaged)?;
    while rest.expect("}").is_none() {
        let key = rest.string().ok_or_else(damaged)?;
        rest.expect(":").ok_or_else(damaged)?;
        match key {
            "descr" if descr.is_none() => {
                if rest.next_is("[") {
                    return Err("a structured array; save each of its fields as an array of its own".into());
                }
                descr = Some(rest.string().ok_or_else(damaged)?);
            }
            "fortran_order" if fortran_order.is_none() => {
                let yes = rest.expect("True").is_some();
                if !yes {
                    rest.expect("False").ok_or_else(damaged)?;
                }
                fortran_order = Some(yes);
            }
            "shape" if shape.is_none() => shape = Some(rest.shape().ok_or_else(damaged)?),
            _ => return Err(damaged()),
        }
        if rest.expect(",").is_none() && !rest.next_is("}") {
            return Err(damaged());
        }
    }
    let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else { return Err(damaged()) };
    if !rest.0.trim().is_empty() {
        return Err(damaged());
    }
    if shape.is_empty() {
        return Err("a single number, expected an array with a row for each sample".into());
    }
    if shape.len() > MAX_DIMENSIONS {
        return Err(format!("{} dimensions, expected at most {MAX_DIMENSIONS}", shape.len()));
    }
    if shape.contains(&0) {
        return Err(format!("its shape is {}: it holds nothing", told(&shape)));
    }
    let (element, order) = element(descr)?;
    Ok(Header { element, order, fortran_order, shape, bytes })
}

/// What `descr` stands for: `<f4` is a little-endian float of four bytes.
fn element(descr: &str) -> std::result::Result<(Element, ByteOrder), String> {
    let shown = super::csv::shown(descr.as_bytes());
    let order = match descr.bytes().next() {
        // `=` and `|` are what the machine has, or what needs no order.
        Some(b'<' | b'|' | b'=') => ByteOrder::Little,
        Some(b'>') => ByteOrder::Big,
        _ => return Err(format!("values of type {shown}, which is not one of NumPy's; is the file damaged?")),
    };
    let element = match &descr[1..] {
        "b1" | "?" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        other => {
            let advice = match other.bytes().next() {
                Some(b'O') => {
                    "Python objects, which are a pickle that is not read; save numbers: array.astype('float32')"
                }
                Some(b'U' | b'S' | b'a') => {
                    "text; save numbers, such as those of numpy.unique(array, return_inverse=True)"
                }
                Some(b'c') => "complex numbers; save their real and imaginary parts as columns",
                Some(b'M' | b'm') => "times; save them as numbers: array.astype('int64')",
                Some(b'V') => "a structured array; save each of its fields as an array of its own",
                _ => "a type that is not read; save numbers: array.astype('float32')",
            };
            return Err(format!("values of type {shown}: {advice}"));
        }
    };
    Ok((element, order))
}

/// What is left of a header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn next_is(&self, token: &str) -> bool {
        self.0.trim_start().starts_with(token)
    }

    /// Passes over `token`, if it stands next.
    fn expect(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A string in quotes, in which nothing is escaped.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (string, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        (!string.contains('\\')).then_some(string)
    }

    /// `(3, 4)`, `(3,)`, `()`; old versions of Python wrote `3L`.
    fn shape(&mut self) -> Option<Vec<usize>> {
        self.expect("(")?;
        let (inner, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let inner = inner.trim();
        let inner = inner.strip_suffix(',').unwrap_or(inner);
        if inner.is_empty() {
            return Some(Vec::new());
        }
        let size = |text: &str| {
            let text = text.trim();
            let digits = text.strip_suffix('L').unwrap_or(text);
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        inner.split(',').map(size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::testing::npy_with as file;
    use crate::data::source::unpack::Begun;

    fn read_bytes(bytes: &[u8]) -> Result<Array> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        let mut file = Begun::open(&path)?;
        read(&path, "", file.extent(), |out| file.fill(out))
    }

    fn described(descr: &str, shape: &str, fortran: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}     \n")
    }

    #[test]
    fn arrays_are_read_in_both_orders_of_bytes_and_of_dimensions() {
        let numbers: Vec<i16> = (0..12).map(|i| i * 100 - 300).collect();
        let little: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let big: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let expected: Vec<f32> = numbers.iter().map(|number| f32::from(*number)).collect();
        for (descr, bytes) in [("<i2", &little), (">i2", &big)] {
            let array = read_bytes(&file(&described(descr, "(2, 3, 2)", "False"), bytes)).unwrap();
            assert_eq!((&array.shape[..], array.whole), (&[2, 3, 2][..], true));
            assert_eq!(array.values, Values::Numbers(expected.clone()));
        }
        // Index i + 2 j + 6 k of the file is [i, j, k].
        let array = read_bytes(&file(&described("<i2", "(2, 3, 2)", "True"), &little)).unwrap();
        let at = |i: usize, j: usize, k: usize| expected[i + 2 * j + 6 * k];
        let indices = (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..2).map(move |k| (i, j, k))));
        assert_eq!(array.values, Values::Numbers(indices.map(|(i, j, k)| at(i, j, k)).collect()));
        let bytes = read_bytes(&file(&described("|u1", "(2, 2)", "True"), &[1, 2, 3, 4])).unwrap();
        assert_eq!(bytes.values, Values::Bytes(vec![1, 3, 2, 4]));
    }

    #[test]
    fn headers_of_every_version_and_spelling_are_read() {
        let header = r#"{"shape":(2L,),"fortran_order":False,"descr":"|b1"}"#;
        for version in [2, 3] {
            let mut bytes = vec![0x93];
            bytes.extend(b"NUMPY");
            bytes.extend([version, 0]);
            bytes.extend((header.len() as u32).to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend([0, 9]);
            let array = read_bytes(&bytes).unwrap();
            assert_eq!((array.shape, array.values), (vec![2], Values::Numbers(vec![0.0, 1.0])));
        }
    }

    #[test]
    fn what_is_no_array_of_numbers_is_refused_with_advice() {
        let whole = file(&described("<f4", "(2,)", "False"), &[0; 8]);
        assert!(read_bytes(&whole).is_ok());
        for (bytes, problem) in [
            (whole[..whole.len() - 1].to_vec(), "cut short: expected "),
            ([&whole[..], &[0]].concat(), "for its shape of 2; is it two files?"),
            (whole[..30].to_vec(), "the header is cut short"),
            (whole[..8].to_vec(), "the header is cut short"),
            (file(&described("<f4", "()", "False"), &[0; 4]), "a single number"),
            (file(&described("<f4", "(0, 3)", "False"), &[]), "its shape is 0 x 3: it holds nothing"),
            (file(&described("|O", "(2,)", "False"), &[0; 8]), "Python objects, which are a pickle that is not read"),
            (file(&described("<U3", "(2,)", "False"), &[0; 24]), "values of type '<U3': text; save numbers"),
            (file(&described("<c8", "(1,)", "False"), &[0; 8]), "complex numbers"),
            (file(&described("<M8[ns]", "(1,)", "False"), &[0; 8]), "times; save them"),
            (file(&described("<f16", "(1,)", "False"), &[0; 16]), "a type that is not read"),
            (file(&described("f4", "(2,)", "False"), &[0; 8]), "not one of NumPy's"),
            (file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", &[0; 8]), "a structured array"),
            (file("{'descr': '<f4', 'shape': (2,)}", &[0; 8]), "a header that is not NumPy's"),
            (file("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", &[0; 8]), "not NumPy's"),
            (file("{'de\nscr'}", &[0; 8]), "a header that is not NumPy's: '{'de\u{fffd}scr'}'"),
            (file(&(described("<f4", "(2,)", "False") + "x"), &[0; 8]), "a header that is not NumPy's"),
            (file(&described("<f4", "(-2,)", "False"), &[0; 8]), "a header that is not NumPy's"),
            (file(&described("<f4", "(4294967296, 4294967296)", "False"), &[0; 8]), "more than the 17179869184 bytes"),
            (file(&described("<f4", "(99999999999999999999999,)", "False"), &[0; 8]), "not NumPy's"),
            (file(&described("<f4", "(1000000000,)", "False"), &[0; 8]), "cut short: expected 4000000"),
            (file(&described("|u1", "(1, 300000)", "False"), &[0; 300_000]), "300000 values for each of 1 rows"),
            (
                file(&described("<f8", "(1, 2)", "False"), &[0.0, 1e300_f64].map(f64::to_le_bytes).concat()),
                "row 1, column 2: inf is too large",
            ),
        ] {
            let error = read_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{problem}: {error}");
        }
    }
}
