//! What a path holds, whatever its format: images or a table, for training and, where there is one, a test set. It knows how
//! formats are told apart, and leaves reading to a file for each.

use std::fs;
use std::path::{Path, PathBuf};

use super::array::{self, Array, Samples};
use super::csv::{self, Wanted};
use super::mnist::{self, Split};
use super::names::{Kind, Named};
use super::npz::{ArrayInfo, Arrays};
use super::pixel_file::PixelFile;
use super::unpack::Begun;
use super::{class_folders, idx, libsvm, npy, train_and_test, zip};
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
#[expect(clippy::large_enum_variant, reason = "there is one of it for each run")]
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
        return open_folder(path, options);
    }
    let looks_like_a_file = path.extension().is_some();
    if !path.exists() && looks_like_a_file {
        let problem = "no such file; name the file or the folder that holds the data".into();
        return Err(Error::DataFolder { path: path.to_path_buf(), problem });
    }
    if !path.exists() {
        // `data/emnist/emnist-letters` names a set, and no file.
        refuse_targets(options, path)?;
        let (train, test) = mnist::load_mnist_folder(path)?;
        return Ok(Source::Images { train, test: Some(test) });
    }
    let targets = || options.targets.as_deref().map(|targets| targets_of(targets, options)).transpose();
    match read(path, options, None)? {
        Content::Array(x) => Ok(source(array::samples(x, targets()?, None)?, None)),
        Content::Arrays(arrays) => {
            let (train, test) = arrays.sets(targets()?)?;
            Ok(source(train, test))
        }
        Content::Table { table, target } => {
            refuse_targets(options, path)?;
            Ok(Source::Table { train: table, test: None, targets: target.into_iter().collect() })
        }
    }
}

/// As [`open`], with pixels that stay in their files until they are needed, where these are such that single images are found
/// in them: IDX, and `.npy` whose targets are whole numbers in a file of their own.
///
/// # Errors
/// As [`open`]; what is wrong with single pixels is found when they are needed.
pub(crate) fn open_on_disk(path: &Path, options: &SourceOptions) -> Result<Source> {
    if path.is_dir() && options.targets.is_none() {
        let idx = Named::at(path)?;
        if let (Ok(images), Ok(labels)) = (idx.find(Split::Train, Kind::Images), idx.find(Split::Train, Kind::Labels))
            && are_images(&images, &labels)?
        {
            return images_on_disk(path);
        }
    } else if !path.exists() && path.extension().is_none() && options.targets.is_none() {
        return images_on_disk(path);
    } else if let Some(targets) = &options.targets
        && path.is_file()
        && let Some(file) = PixelFile::npy(path)?
        && let Some(train) = array::samples_in_file(file, &targets_of(targets, options)?)?
    {
        return Ok(Source::Images { train, test: None });
    }
    open(path, options)
}

/// The tables of a path: a file, or those of a folder, to train on and, where there is one, to test; `None` where it holds
/// images, or nothing. Whether a file is a table, only its bytes tell.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::DataFolder`] if there are several tables to choose from.
pub(crate) fn tables_at(path: &Path) -> Result<Option<(PathBuf, Option<PathBuf>)>> {
    if path.is_file() {
        return Ok(Some((path.to_path_buf(), None)));
    }
    if !path.is_dir() || Named::at(path)?.find(Split::Train, Kind::Images).is_ok() {
        return Ok(None);
    }
    Ok(train_and_test::find(path)?.map(|tables| (tables.train, tables.test)))
}

fn images_on_disk(folder: &Path) -> Result<Source> {
    let (train, test) = mnist::load_both(folder, true)?;
    Ok(Source::Images { train, test: Some(test) })
}

/// The arrays of the `.npz` at `path`, by their headers alone; `None` if it is no zip archive.
///
/// # Errors
/// [`Error::Io`] from the operating system; [`Error::DataFile`] for an archive that is damaged, or of other files.
pub fn arrays(path: &Path) -> Result<Option<Vec<ArrayInfo>>> {
    let is_archive = is_archive(Begun::open(path)?.start());
    is_archive.then(|| Arrays::open(path)?.info()).transpose()
}

/// Whether `path` is a gzip file of something else than IDX, such as text. For the program.
#[doc(hidden)]
pub fn is_packed_text(path: &Path) -> bool {
    Begun::open(path).is_ok_and(|file| !file.start().is_empty() && !file.start().starts_with(&[0, 0]))
}

/// Whether the folder `path` holds tables or folders of pictures, and no IDX files. For the program.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::DataFolder`] if there are several tables to choose from.
#[doc(hidden)]
pub fn holds_tables_or_pictures(path: &Path) -> Result<bool> {
    if fs::read_dir(path).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|entry| is_idx_name(&entry)))) {
        return Ok(false);
    }
    Ok(train_and_test::find(path)?.is_some() || class_folders::find(path)?.is_some())
}

fn is_idx_name(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(|name| ["idx1", "idx2", "idx3"].iter().any(|part| name.contains(part)))
}

pub(super) fn is_archive(start: &[u8]) -> bool {
    start.starts_with(zip::MAGIC) || start.starts_with(zip::EMPTY_MAGIC)
}

fn open_folder(folder: &Path, options: &SourceOptions) -> Result<Source> {
    refuse_targets(options, folder)?;
    let idx = Named::at(folder)?;
    if let Ok(images) = idx.find(Split::Train, Kind::Images) {
        return open_idx_folder(folder, &idx, &images);
    }
    if let Some(tables) = train_and_test::find(folder)? {
        let train = table_of(&tables.train, options, None)?;
        let test = tables.test.as_deref().map(|test| table_of(test, options, Some(&train))).transpose()?;
        return Ok(Source::Table { train, test, targets: Vec::new() });
    }
    if let Some(folders) = class_folders::find(folder)? {
        let (train, test) = class_folders::read(&folders, options.image_size, &folder.display().to_string())?;
        return Ok(Source::Images { train, test });
    }
    // Nothing is there: what is said then names the files of MNIST.
    let (train, test) = mnist::load_mnist_folder(folder)?;
    Ok(Source::Images { train, test: Some(test) })
}

/// Images of bytes with their labels, or arrays of other types under the same names.
fn open_idx_folder(folder: &Path, set: &Named, images: &Path) -> Result<Source> {
    let labels = set.find(Split::Train, Kind::Labels)?;
    if are_images(images, &labels)? {
        // What is wrong with such files is told by their names.
        let (train, test) = mnist::load_mnist_folder(folder)?;
        return Ok(Source::Images { train, test: Some(test) });
    }
    let read = |path: &Path| idx::read_any(Begun::open(path)?);
    let train = array::samples(read(images)?, Some(read(&labels)?), None)?;
    let (images, labels) = (set.find(Split::Test, Kind::Images)?, set.find(Split::Test, Kind::Labels)?);
    let test = array::samples(read(&images)?, Some(read(&labels)?), Some(&train))?;
    Ok(source(train, Some(test)))
}

/// Whether two IDX files hold images of bytes and their labels.
fn are_images(images: &Path, labels: &Path) -> Result<bool> {
    let has_bytes = |path: &Path| Ok::<bool, Error>(!idx::begins_other_numbers(Begun::open(path)?.start()));
    Ok(has_bytes(images)? && (has_bytes(labels)? || idx::begins_labels(Begun::open(labels)?.start())))
}

/// The table in a file that has the name of one.
fn table_of(path: &Path, options: &SourceOptions, like: Option<&Table>) -> Result<Table> {
    match read(path, options, like)? {
        Content::Table { table, .. } => Ok(table),
        Content::Array(_) | Content::Arrays(_) => Err(Error::DataFile {
            path: path.to_path_buf(),
            problem: "it holds an array, expected a table of text; name the file itself".into(),
        }),
    }
}

/// What a file holds.
enum Content<'a> {
    Array(Array),
    Arrays(Arrays<'a>),
    /// And the column that its format says is the target.
    Table {
        table: Table,
        target: Option<String>,
    },
}

/// Reads a file of any kind; `like` is a table that was read before, of the same set.
fn read<'a>(path: &'a Path, options: &SourceOptions, like: Option<&Table>) -> Result<Content<'a>> {
    let mut file = Begun::open(path)?;
    if file.start().starts_with(npy::MAGIC) {
        return Ok(Content::Array(npy::read(path, "", file.extent(), |out| file.fill(out))?));
    }
    if is_archive(file.start()) {
        return Ok(Content::Arrays(Arrays::open(path)?));
    }
    if idx::begins(file.start()) {
        return Ok(Content::Array(idx::read_any(file)?));
    }
    if libsvm::begins(file.start(), path) {
        return Ok(Content::Table { table: libsvm::read(file)?, target: Some(array::TARGET.into()) });
    }
    let wanted = Wanted { header: options.header, text_columns: &options.text_columns, like: like.map(Table::columns) };
    Ok(Content::Table { table: csv::read(file, wanted)?, target: None })
}

/// The array of targets that lies in a file of its own.
pub(super) fn targets_of(path: &Path, options: &SourceOptions) -> Result<Array> {
    match read(path, options, None)? {
        Content::Array(array) => Ok(array),
        Content::Arrays(arrays) => arrays.targets(),
        Content::Table { .. } => Err(Error::DataFile {
            path: path.to_path_buf(),
            problem: "it is a table, expected an array of targets (.npy or IDX), as the features are".into(),
        }),
    }
}

/// Targets in a file of their own belong to features in an array.
pub(super) fn refuse_targets(options: &SourceOptions, path: &Path) -> Result<()> {
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
    use super::*;
    use crate::data::TargetColumns;
    use crate::data::source::testing;

    /// An array by rows.
    fn npy(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
        testing::npy(descr, false, shape, values)
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

    /// An IDX file of this type.
    fn idx(element: u8, sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, element, sizes.len() as u8];
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend(values);
        file
    }

    #[test]
    fn idx_files_of_every_type_are_read() {
        let y = idx(8, &[2], &[1, 0]);
        let Ok(Source::Images { train, .. }) = open_pair(idx(8, &[2, 1, 2], &[1, 2, 3, 4]), y.clone()) else {
            panic!("no images")
        };
        assert_eq!((train.image_size(), train.pixels(), train.labels()), ((1, 2), vec![1, 2, 3, 4], &[1, 0][..]));
        let big = |values: [f64; 2]| values.map(f64::to_be_bytes).concat();
        for (element, bytes) in [
            (0x09, vec![0xfe, 3]),
            (0x0b, vec![0xff, 0xfe, 0, 3]),
            (0x0c, [(-2_i32).to_be_bytes(), 3_i32.to_be_bytes()].concat()),
            (0x0d, [(-2_f32).to_be_bytes(), 3_f32.to_be_bytes()].concat()),
            (0x0e, big([-2.0, 3.0])),
        ] {
            for sizes in [&[2][..], &[2, 1], &[2, 1, 1], &[2, 1, 1, 1]] {
                let Ok(Source::Table { train, targets, .. }) = open_pair(idx(element, sizes, &bytes), y.clone()) else {
                    panic!("no table of {element}")
                };
                assert_eq!(
                    (train.row(0), train.row(1), &targets[..]),
                    (&[-2.0, 1.0][..], &[3.0, 0.0][..], &["target".to_string()][..])
                );
            }
        }
        for (x, problem) in [
            (idx(8, &[2, 1, 1, 1, 1], &[1, 2]), "byte 3: 5 dimensions, expected 1 to 3, or 4"),
            (idx(0x0e, &[2], &big([1.0, f64::INFINITY])), "row 2, column 1: inf is too large"),
            (idx(0x0d, &[2], &[0; 7]), "cut short: expected 16 bytes, the file ends after 15"),
            (idx(0x0d, &[2], &[0; 9]), "more bytes follow"),
        ] {
            let error = open_pair(x, y.clone()).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn folders_of_idx_files_hold_bytes_or_other_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write(
            "train-images-idx3-float",
            idx(0x0d, &[1, 1, 2], &[0.5_f32.to_be_bytes(), 1.5_f32.to_be_bytes()].concat()),
        );
        write("train-labels-idx1-ubyte", idx(8, &[1], &[3]));
        write(
            "t10k-images-idx3-float",
            idx(0x0d, &[1, 1, 2], &[2.5_f32.to_be_bytes(), 3.5_f32.to_be_bytes()].concat()),
        );
        write("t10k-labels-idx1-ubyte", idx(8, &[1], &[9]));
        let Ok(Source::Table { train, test: Some(test), .. }) = open(folder.path(), &SourceOptions::default()) else {
            panic!("no table")
        };
        assert_eq!((train.row(0), test.row(0)), (&[0.5, 1.5, 3.0][..], &[2.5, 3.5, 9.0][..]));
        // Bytes come before other types of the same name.
        write("train-images-idx3-ubyte", idx(8, &[1, 1, 2], &[1, 2]));
        write("t10k-images-idx3-ubyte", idx(8, &[1, 1, 2], &[1, 2]));
        write("t10k-labels-idx1-ubyte", idx(8, &[1], &[2]));
        let Ok(Source::Images { train, test: Some(_) }) = open(folder.path(), &SourceOptions::default()) else {
            panic!("no images")
        };
        assert_eq!(train.classes(), 4);
    }

    #[test]
    fn folders_of_tables_have_words_where_training_has_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.csv"), "ticket,fare,survived\nA/5 2,1,0\n7,2,1\n").unwrap();
        fs::write(folder.path().join("test.csv"), "ticket,fare\n330911,3\nPC 1,4\n").unwrap();
        let Ok(Source::Table { train, test: Some(test), targets }) = open(folder.path(), &SourceOptions::default())
        else {
            panic!("no tables")
        };
        assert_eq!((train.len(), test.columns().len(), targets.len()), (2, 2, 0));
        assert_eq!((train.told(1, 0), test.told(0, 0), test.told(1, 0)), ("7".into(), "330911".into(), "PC 1".into()));
    }

    #[test]
    fn a_folder_without_data_is_told_what_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(folder.path(), &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains("no file of train images: looked for train-images-idx3-ubyte"), "{error}");
        let error = open(&folder.path().join("none.csv"), &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains("none.csv: no such file; name"), "{error}");
    }

    #[test]
    fn pixels_take_targets_of_any_kind() {
        let values = TargetColumns::Values { values: vec![0.5, 1.5], width: 1 };
        let set = Dataset::from_pixels(vec![1, 2], (1, 1), values, "s".into()).unwrap();
        assert_eq!((set.len(), set.classes(), set.outputs()), (2, 0, 1));
    }
}
