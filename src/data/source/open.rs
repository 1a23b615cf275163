//! What a path holds, whatever its format: images or a table, for training and, where there is one, a test set. It knows how
//! formats are told apart, and leaves reading to a file for each.

use std::path::{Path, PathBuf};

use super::array::{self, Array, Samples};
use super::csv::{self, Wanted};
use super::unpack::Begun;
use super::{mnist, npy};
use crate::data::{Dataset, Table};
use crate::error::{Error, Result};

/// What the data themselves may leave open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// Whether the first row of a text holds the names of its columns; `None` to find out.
    pub header: Option<bool>,
    /// Columns of a text that hold words, by name or number from 1, even where all of them look like numbers.
    pub text_columns: Vec<String>,
    /// A second file that holds the targets, where the first is an array of features.
    pub targets: Option<PathBuf>,
    /// Rows and columns to which pictures are brought; `None` for 28 x 28.
    pub image_size: Option<(usize, usize)>,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Pictures, a byte a pixel.
    Images {
        /// Samples to train on.
        train: Dataset,
        /// Samples that are kept apart, where there are some; of the same size and classes.
        test: Option<Dataset>,
    },
    /// Rows of columns.
    Table {
        /// Rows to train on.
        train: Table,
        /// Rows that are kept apart, where there are some. Their columns are as their own file has them; words are numbered
        /// anew.
        test: Option<Table>,
        /// The columns that the source itself says are targets: an array of labels, or LIBSVM's label. None where it is a
        /// table like any other.
        targets: Vec<String>,
    },
}

/// Reads what `path` holds.
///
/// # Errors
/// [`Error::Io`] from the operating system; [`Error::DataFile`], [`Error::Idx`] and [`Error::DataFolder`] for what is damaged
/// or no data at all; [`Error::Setting`] for an option that does not fit.
pub fn open(path: &Path, options: &SourceOptions) -> Result<Source> {
    if path.is_dir() {
        let (train, test) = mnist::load_mnist_folder(path)?;
        return Ok(Source::Images { train, test: Some(test) });
    }
    match read(path, options, None)? {
        Content::Array(x) => {
            let y = options.targets.as_deref().map(|targets| targets_of(targets, options)).transpose()?;
            Ok(source(array::samples(x, y, None)?, None))
        }
        Content::Table(train) => {
            refuse_targets(options, path)?;
            Ok(Source::Table { train, test: None, targets: Vec::new() })
        }
    }
}

/// What a file holds.
enum Content {
    Array(Array),
    Table(Table),
}

/// Reads a file of any kind; `like` is a table that was read before, of the same set.
fn read(path: &Path, options: &SourceOptions, like: Option<&Table>) -> Result<Content> {
    let mut file = Begun::open(path)?;
    if file.start().starts_with(npy::MAGIC) {
        return Ok(Content::Array(npy::read(path, "", file.extent(), |out| file.fill(out))?));
    }
    let wanted = Wanted { header: options.header, text_columns: &options.text_columns, like };
    Ok(Content::Table(csv::read(file, wanted)?))
}

/// The array of targets that lies in a file of its own.
fn targets_of(path: &Path, options: &SourceOptions) -> Result<Array> {
    match read(path, options, None)? {
        Content::Array(array) => Ok(array),
        Content::Table(_) => Err(Error::DataFile {
            path: path.to_path_buf(),
            problem: "it is a table, expected an array of targets (.npy or IDX), as the features are".into(),
        }),
    }
}

/// Targets in a file of their own belong to features in an array.
fn refuse_targets(options: &SourceOptions, path: &Path) -> Result<()> {
    match &options.targets {
        None => Ok(()),
        Some(targets) => Err(Error::Setting {
            name: "targets",
            found: targets.display().to_string(),
            expected: format!("only with an array of features, and {} is none", path.display()),
        }),
    }
}

fn source(train: Samples, test: Option<Samples>) -> Source {
    match (train, test) {
        (Samples::Images(train), test) => {
            let test = test.and_then(|test| match test {
                Samples::Images(test) => Some(test),
                Samples::Table(..) => None,
            });
            Source::Images { train, test }
        }
        (Samples::Table(train, targets), test) => {
            let test = test.and_then(|test| match test {
                Samples::Table(test, _) => Some(test),
                Samples::Images(_) => None,
            });
            Source::Table { train, test, targets }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::TargetColumns;

    /// An array file of this shape.
    fn npy(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
        let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}\n").replace(", )", ",)");
        let mut file = b"\x93NUMPY\x01\0".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(values);
        file
    }

    fn open_pair(x: Vec<u8>, y: Vec<u8>) -> Result<Source> {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        fs::write(&one, x).unwrap();
        fs::write(&other, y).unwrap();
        open(&one, &SourceOptions { targets: Some(other), ..SourceOptions::default() })
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn bytes_with_whole_numbers_are_images() {
        for (shape, image_size) in
            [(&[2, 2, 3][..], (2, 3)), (&[2, 6], (1, 6)), (&[2, 4], (2, 2)), (&[2, 3, 3, 1], (3, 3)), (&[2, 1], (1, 1))]
        {
            let pixels: Vec<u8> = (1..=shape.iter().product::<usize>() as u8).collect();
            let labels: Vec<u8> = [0_i64, 300].iter().flat_map(|label| label.to_le_bytes()).collect();
            let Ok(Source::Images { train, test: None }) =
                open_pair(npy("|u1", shape, &pixels), npy("<i8", &[2, 1], &labels))
            else {
                panic!("{shape:?}: no images")
            };
            assert_eq!((train.image_size(), train.classes(), train.labels()), (image_size, 301, &[0, 300][..]));
            assert_eq!(train.pixels(), pixels);
        }
    }

    #[test]
    fn other_arrays_are_tables() {
        let x = npy("<f4", &[2, 2], &floats(&[1.0, 2.0, 3.0, f32::NAN]));
        let y = npy("|i1", &[2], &[255, 1]);
        let Ok(Source::Table { train, test: None, targets }) = open_pair(x, y) else { panic!("no table") };
        let names: Vec<&str> = train.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names, &targets[..]), (vec!["1", "2", "target"], &["target".to_string()][..]));
        assert_eq!(train.row(0), [1.0, 2.0, -1.0]);
        assert!(train.row(1)[1].is_nan() && train.row(1)[2] == 1.0);
        // Targets of two values each, for bytes.
        let (x, y) = (npy("|u1", &[2, 1], &[7, 8]), npy("<f4", &[2, 2], &floats(&[0.1, 0.2, 0.3, 0.4])));
        let Ok(Source::Table { train, targets, .. }) = open_pair(x, y) else { panic!("no table") };
        assert_eq!(
            (train.row(1), &targets[..]),
            (&[8.0, 0.3, 0.4][..], &["target 1".to_string(), "target 2".into()][..])
        );
    }

    #[test]
    fn features_and_targets_are_as_many() {
        let error = open_pair(npy("|u1", &[2, 1], &[7, 8]), npy("|u1", &[3], &[0, 1, 2])).unwrap_err().to_string();
        assert!(error.contains("y.npy: 3 rows, but the features in ") && error.ends_with("different sets"), "{error}");
    }

    #[test]
    fn a_table_has_its_targets_in_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.data");
        fs::write(&path, "1,2\n3,4\n").unwrap();
        let Source::Table { train, targets, .. } = open(&path, &SourceOptions::default()).unwrap() else {
            panic!("no table")
        };
        assert_eq!((train.len(), targets.len()), (2, 0));
        let options = SourceOptions { targets: Some(path.clone()), ..SourceOptions::default() };
        let error = open(&path, &options).unwrap_err().to_string();
        assert!(error.starts_with("targets: ") && error.contains("only with an array of features"), "{error}");
    }

    #[test]
    fn pixels_take_targets_of_any_kind() {
        let values = TargetColumns::Values { values: vec![0.5, 1.5], width: 1 };
        let set = Dataset::from_pixels(vec![1, 2], (1, 1), values, "s".into()).unwrap();
        assert_eq!((set.len(), set.classes(), set.outputs()), (2, 0, 1));
    }
}
