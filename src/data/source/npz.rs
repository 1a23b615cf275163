//! NumPy's archives of arrays (`.npz`): which array is what, by its name. It knows names, not how an array is stored.
//!
//! | arrays | what they are |
//! |---|---|
//! | `X`, `x`, `data`, `features`, `images` | features |
//! | `y`, `target`, `targets`, `label`, `labels` | targets |
//! | `x_train`, `train_images`, ... | those of the training set |
//! | `x_test`, `test_labels`, ... | those of the test set; where there is none, of `val` or `valid` |

use std::path::Path;

use super::array::{Array, Samples, samples, told};
use super::zip::{Archive, Entry};
use super::{TEST, TRAIN, npy};
use crate::data::messages::listed;
use crate::error::{Error, Result};

const FEATURES: [&str; 6] = ["x", "data", "features", "images", "image", "inputs"];
const TARGETS: [&str; 5] = ["y", "target", "targets", "label", "labels"];

/// An archive of arrays.
pub(super) struct Arrays<'a> {
    path: &'a Path,
    archive: Archive,
}

/// An array of an archive, by its header alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its name.
    pub name: String,
    /// Type of its values, as NumPy calls it.
    pub element: &'static str,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
}

impl<'a> Arrays<'a> {
    pub fn open(path: &'a Path) -> Result<Arrays<'a>> {
        let archive = Archive::open(path)?;
        if !archive.entries.iter().any(|entry| name_of(entry).is_some()) {
            let problem = match archive.entries.first() {
                None => "it is an empty archive; expected arrays of NumPy's (.npy)".into(),
                Some(first) => format!(
                    "it is a zip archive of other files (such as {}); unpack it, and name what is in it",
                    super::csv::shown(first.name.as_bytes())
                ),
            };
            return Err(Error::DataFile { path: path.to_path_buf(), problem });
        }
        Ok(Arrays { path, archive })
    }

    fn arrays(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.archive.entries.iter().filter_map(|entry| Some((name_of(entry)?, entry)))
    }

    /// What all headers say.
    pub fn info(&self) -> Result<Vec<ArrayInfo>> {
        let info = |(name, entry): (&str, &Entry)| {
            let mut bytes = self.archive.read(entry)?;
            let header = npy::header(self.path, name, |out| bytes.fill(out))?;
            Ok(ArrayInfo { name: name.to_string(), element: header.element.name(), shape: header.shape })
        };
        self.arrays().map(info).collect()
    }

    fn read(&self, (name, entry): (&str, &Entry)) -> Result<Array> {
        let mut bytes = self.archive.read(entry)?;
        npy::read(self.path, name, entry.extent(), |out| bytes.fill(out))
    }

    /// The array that is alone, or that is called like targets.
    pub fn targets(&self) -> Result<Array> {
        let arrays: Vec<_> = self.arrays().collect();
        match arrays[..] {
            [one] => self.read(one),
            _ => {
                let found = self.find(&[""], &TARGETS)?.or(self.find(&TRAIN, &TARGETS)?);
                self.read(found.ok_or_else(|| self.none("y, target or labels"))?)
            }
        }
    }

    /// The training set and, where there is one, the test set. `targets` are those of a file of their own.
    pub fn sets(&self, targets: Option<Array>) -> Result<(Samples, Option<Samples>)> {
        let arrays: Vec<_> = self.arrays().collect();
        let mut split = "";
        let mut x = self.find(&[""], &FEATURES)?;
        if x.is_none() {
            split = "train";
            x = self.find(&TRAIN, &FEATURES)?;
        }
        // One array alone can be nothing else.
        let x = x.or(if arrays.len() == 1 { arrays.first().copied() } else { None });
        let x = x.ok_or_else(|| self.none("X and y, or x_train, y_train, x_test and y_test"))?;
        let y = match targets {
            Some(targets) => Some(targets),
            None => {
                let splits: &[&str] = if split.is_empty() { &[""] } else { &TRAIN };
                self.find(splits, &TARGETS)?.map(|found| self.read(found)).transpose()?
            }
        };
        let train = samples(self.read(x)?, y, None)?;
        for split in TEST {
            let (x, y) = (self.find(&[split], &FEATURES)?, self.find(&[split], &TARGETS)?);
            if let (Some(x), Some(y)) = (x, y) {
                let test = samples(self.read(x)?, Some(self.read(y)?), Some(&train))?;
                return Ok((train, Some(test)));
            }
        }
        Ok((train, None))
    }

    /// The array of one of these splits (empty for none) and kinds; an error if there are several.
    fn find(&self, splits: &[&str], kinds: &[&str]) -> Result<Option<(&str, &Entry)>> {
        let is_one = |name: &str| {
            let name = name.to_lowercase();
            splits.iter().any(|split| {
                if split.is_empty() {
                    return kinds.contains(&name.as_str());
                }
                let before = name.strip_prefix(split).map(|rest| rest.trim_start_matches(['_', '-', '.']));
                let after = name.strip_suffix(split).map(|rest| rest.trim_end_matches(['_', '-', '.']));
                [before, after].into_iter().flatten().any(|kind| kinds.contains(&kind))
            })
        };
        let mut found = self.arrays().filter(|(name, _)| is_one(name));
        let Some(one) = found.next() else { return Ok(None) };
        match found.next() {
            None => Ok(Some(one)),
            Some(other) => {
                let names = [one.0, other.0].map(|name| super::csv::shown(name.as_bytes()));
                let problem = format!("arrays {} could both be meant; leave one out", names.join(" and "));
                Err(Error::DataFile { path: self.path.to_path_buf(), problem })
            }
        }
    }

    fn none(&self, expected: &str) -> Error {
        let names = listed(self.arrays().map(|(name, _)| super::csv::shown(name.as_bytes())), 8);
        let problem = format!("its arrays are {names}; expected {expected}: save them so");
        Error::DataFile { path: self.path.to_path_buf(), problem }
    }
}

impl ArrayInfo {
    /// Its shape, such as `60000 x 28 x 28`.
    pub fn told_shape(&self) -> String {
        told(&self.shape)
    }
}

/// The array's name, if the entry is one.
fn name_of(entry: &Entry) -> Option<&str> {
    entry.name.strip_suffix(".npy")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::Source;
    use crate::data::source::testing::npy_with;
    use crate::data::source::{SourceOptions, arrays, open};

    /// An array of one dimension or more.
    fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        npy_with(&header, values)
    }

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    /// An archive as NumPy writes it: entries are deflated or not, and sizes of 64 bits stand in the local headers. With
    /// `wide`, those of the directory have them too.
    fn archive(entries: &[(&str, Vec<u8>)], deflate: bool, wide: bool) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes) in entries {
            let packed = if deflate {
                let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(bytes).unwrap();
                packer.finish().unwrap()
            } else {
                bytes.clone()
            };
            let (offset, method) = (file.len() as u64, if deflate { 8_u16 } else { 0 });
            let common = |out: &mut Vec<u8>, extra: usize, narrow: bool| {
                out.extend([45, 0, 0, 0]);
                out.extend(method.to_le_bytes());
                out.extend([0; 4]);
                out.extend(crc(bytes).to_le_bytes());
                for size in [packed.len(), bytes.len()] {
                    out.extend(if narrow { (size as u32).to_le_bytes() } else { [0xff; 4] });
                }
                out.extend((name.len() as u16).to_le_bytes());
                out.extend((extra as u16).to_le_bytes());
            };
            let sizes: Vec<u8> = [bytes.len(), packed.len()].iter().flat_map(|size| size.to_le_bytes()).collect();
            file.extend(LOCAL);
            common(&mut file, 20, false);
            file.extend(name.as_bytes());
            file.extend([1, 0, 16, 0]);
            file.extend(&sizes);
            file.extend(&packed);
            directory.extend(b"PK\x01\x02\x2d\x03");
            common(&mut directory, if wide { 28 } else { 0 }, !wide);
            directory.extend([0; 10]);
            directory.extend(if wide { [0xff; 4] } else { (offset as u32).to_le_bytes() });
            directory.extend(name.as_bytes());
            if wide {
                directory.extend([1, 0, 24, 0]);
                directory.extend(&sizes);
                directory.extend(offset.to_le_bytes());
            }
        }
        let (start, count) = (file.len() as u64, entries.len() as u64);
        file.extend(&directory);
        if wide {
            let end = file.len() as u64;
            file.extend(b"PK\x06\x06");
            file.extend(44_u64.to_le_bytes());
            file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for number in [count, count, directory.len() as u64, start] {
                file.extend(number.to_le_bytes());
            }
            file.extend(b"PK\x06\x07\0\0\0\0");
            file.extend(end.to_le_bytes());
            file.extend([1, 0, 0, 0]);
        }
        file.extend(b"PK\x05\x06\0\0\0\0");
        let short = |number: u64| if wide { [0xff; 4] } else { (number as u32).to_le_bytes() };
        for _ in 0..2 {
            file.extend(if wide { [0xff; 2] } else { (count as u16).to_le_bytes() });
        }
        file.extend(short(directory.len() as u64));
        file.extend(short(start));
        file.extend([0; 2]);
        file
    }

    const LOCAL: &[u8] = b"PK\x03\x04";

    fn open_bytes(bytes: &[u8]) -> Result<Source> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        std::fs::write(&path, bytes).unwrap();
        open(&path, &SourceOptions::default())
    }

    fn mnist() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("x_test.npy", npy("|u1", "1, 1, 2", &[5, 6])),
            ("y_test.npy", npy("|u1", "1,", &[1])),
            ("x_train.npy", npy("|u1", "2, 1, 2", &[1, 2, 3, 4])),
            ("y_train.npy", npy("|u1", "2,", &[0, 2])),
        ]
    }

    #[test]
    fn archives_of_every_packing_are_read() {
        for (deflate, wide) in [(false, false), (true, false), (false, true), (true, true)] {
            let Source::Images { train, test: Some(test) } = open_bytes(&archive(&mnist(), deflate, wide)).unwrap()
            else {
                panic!("no images")
            };
            assert_eq!((train.pixels(), train.labels(), train.classes()), (vec![1, 2, 3, 4], &[0, 2][..], 3));
            assert_eq!((test.pixels(), test.labels(), test.classes()), (vec![5, 6], &[1][..], 3));
        }
    }

    #[test]
    fn arrays_are_known_by_their_names() {
        let (x, y) = (npy("<f4", "2, 1", &[0; 8]), npy("<i4", "2,", &[0, 0, 0, 0, 1, 0, 0, 0]));
        for (names, targets, test) in [
            (&["X", "y"][..], 1, false),
            (&["data", "target", "feature_names"], 1, false),
            (&["features", "labels"], 1, false),
            (&["arr_0"], 0, false),
            (&["train_images", "train_labels", "test_images", "test_labels"], 1, true),
            (&["xTrain", "yTrain", "xVal", "yVal"], 1, true),
            (&["x_train", "y_train", "x_test"], 1, false),
        ] {
            let entries: Vec<(String, Vec<u8>)> = (names.iter().enumerate())
                .map(|(at, name)| (format!("{name}.npy"), if at % 2 == 0 { x.clone() } else { y.clone() }))
                .collect();
            let entries: Vec<(&str, Vec<u8>)> =
                entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            let Source::Table { train, test: found, targets: named } =
                open_bytes(&archive(&entries, false, false)).unwrap()
            else {
                panic!("no table")
            };
            assert_eq!(
                (train.columns().len(), named.len(), found.is_some()),
                (1 + targets, targets, test),
                "{names:?}"
            );
        }
    }

    #[test]
    fn what_archives_hold_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        std::fs::write(&path, archive(&mnist(), true, false)).unwrap();
        let found = arrays(&path).unwrap().unwrap();
        let told: Vec<String> =
            found.iter().map(|array| format!("{} {} {}", array.name, array.element, array.told_shape())).collect();
        assert_eq!(told[..2], ["x_test uint8 1 x 1 x 2", "y_test uint8 1"]);
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        assert_eq!(arrays(&path).unwrap(), None);
    }

    #[test]
    fn what_is_no_archive_of_a_set_is_refused() {
        let whole = archive(&mnist(), true, false);
        let at = |part: &[u8], bytes: &[u8]| bytes.windows(part.len()).position(|window| window == part).unwrap();
        let directory = at(b"PK\x01\x02", &whole);
        let changed = |offset: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[offset] = byte;
            bytes
        };
        let mut none = mnist();
        none[2].0 = "readme.txt";
        let (mut test, mut size) = (mnist(), mnist());
        test[1].1 = npy("|u1", "1,", &[3]);
        size[0].1 = npy("|u1", "1, 2, 1", &[5, 6]);
        let twice = vec![mnist()[0].clone(), mnist()[0].clone()];
        let long: Vec<String> = (0..20).map(|at| at.to_string() + &"x".repeat(60_000)).collect();
        let long: Vec<(&str, Vec<u8>)> = long.iter().map(|name| (name.as_str(), vec![])).collect();
        let both = vec![("x.npy", npy("|u1", "1, 1", &[1])), ("data.npy", npy("|u1", "1, 1", &[1]))];
        for (bytes, problem) in [
            (whole[..whole.len() - 1].to_vec(), "the archive's directory is damaged or cut off"),
            (changed(directory, 0), "the archive's directory is damaged"),
            (changed(directory + 8, 1), "entry 'x_test.npy': it is encrypted"),
            (changed(directory + 10, 14), "entry 'x_test.npy': it is packed in a way that NumPy does not use"),
            (changed(directory + 16, whole[directory + 16] ^ 1), "entry 'x_test.npy': damaged: its checksum"),
            (changed(directory + 44, 9), "its place in the archive is damaged"),
            (
                archive(&none, false, false),
                "its arrays are 'x_test', 'y_test', 'y_train'; expected X and y, or x_train",
            ),
            (archive(&none[2..3], false, false), "a zip archive of other files (such as 'readme.txt'); unpack it"),
            (archive(&[], false, false), "it is an empty archive"),
            (archive(&twice, false, false), "two entries are called 'x_test.npy'"),
            (archive(&long, false, false), "the names of its entries have more than 1048576 bytes; shorten them"),
            (archive(&both, false, false), "arrays 'x' and 'data' could both be meant"),
            (
                archive(&test, false, false),
                "array 'y_test': row 1: label 3, but the training labels have 3 classes, 0 to 2",
            ),
            (archive(&size, false, false), "array 'x_test': images of 2 x 1, but the training images are 1 x 2"),
        ] {
            let error = open_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{problem}: {error}");
        }
    }
}
