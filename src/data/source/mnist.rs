//! A folder in MNIST's layout: four IDX files, two for each split. It knows their names, not the format.

use std::path::{Path, PathBuf};

use byteorder::{BigEndian, ByteOrder};

use super::idx;
use super::names::{Kind, Named};
use super::pixel_file::PixelFile;
use crate::data::rows::Rows;
use crate::data::{Dataset, TargetColumns};
use crate::error::{Error, IdxFault, Result};

/// Which half of a folder in MNIST's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The files whose names begin with `train`.
    Train,
    /// The files whose names begin with `t10k`.
    Test,
}

/// The training and the test set of a folder in MNIST's layout; see [`load_split`] for what it holds.
///
/// # Errors
/// As [`load_mnist_folder`].
pub fn mnist(folder: impl AsRef<Path>) -> Result<(Dataset, Dataset)> {
    load_mnist_folder(folder.as_ref())
}

/// Reads one split of a folder in MNIST's layout: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or
/// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`. Each may end in `.gz` (a raw file is preferred), and may be
/// spelled with a dot before `idx`. EMNIST and QMNIST are read under the names they are published with (of a folder with
/// several of EMNIST's sets, `dir` names one: `data/emnist/emnist-letters`), and torchvision's `MNIST/raw` is found below
/// `dir`. EMNIST's images, published on their side, are turned upright, and [`Dataset::source`] says so.
///
/// Labels are bytes or whole numbers of four bytes; of rows of several (QMNIST's) the first is the class.
///
/// A set has as many classes as its *training* labels say: the largest of them and 1 more, at least 2. The test split
/// therefore reads the training labels too, so that both splits always agree; a test label beyond them is an error.
///
/// # Errors
/// [`Error::DataFolder`] if the folder or a file is missing, [`Error::Io`] and [`Error::Idx`] as [`idx::read`], the latter
/// also if one kind of file stands in place of the other, the counts differ, or a label is out of range.
pub fn load_split(dir: &Path, split: Split) -> Result<Dataset> {
    let set = Named::at(dir)?;
    let files = Files::find(&set, split)?;
    let images = read_images(&files.images, set.is_transposed(), false)?;
    let labels = read_labels(&files.labels)?;
    let classes = match split {
        Split::Train => count_classes(&labels),
        Split::Test => count_classes(&read_labels(&set.find(Split::Train, Kind::Labels)?)?),
    };
    files.join(&source_of(dir, &set), images, labels, classes)
}

/// Reads both splits, training first, with images of the same size; see [`load_split`]. Two threads share the work.
///
/// # Errors
/// As [`load_split`]; [`Error::Shape`] if the images of the two splits differ in size.
pub fn load_mnist_folder(dir: &Path) -> Result<(Dataset, Dataset)> {
    load_both(dir, false)
}

/// The same; if `stays`, only labels are read, and pixels stay in their files until they are needed.
pub(super) fn load_both(dir: &Path, stays: bool) -> Result<(Dataset, Dataset)> {
    let set = Named::at(dir)?;
    let (train, test) = (Files::find(&set, Split::Train)?, Files::find(&set, Split::Test)?);
    let transposed = set.is_transposed();
    // The training images are by far the largest file: all others fit into the time that they take.
    let (train_images, others) = std::thread::scope(|scope| {
        let others = std::thread::Builder::new()
            .spawn_scoped(scope, || {
                let train_labels = read_labels(&train.labels)?;
                Ok((train_labels, read_images(&test.images, transposed, stays)?, read_labels(&test.labels)?))
            })
            .map_err(|error| Error::Threads { threads: 1, problem: error.to_string() })?;
        let train_images = read_images(&train.images, transposed, stays);
        let others: Result<_> = others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, Error>((train_images, others))
    })?;
    let train_images = train_images?;
    let (train_labels, test_images, test_labels) = others?;

    let classes = count_classes(&train_labels);
    let source = source_of(dir, &set);
    let train_set = train.join(&source, train_images, train_labels, classes)?;
    let test_set = test.join(&source, test_images, test_labels, classes)?;
    let ((rows, columns), found) = (train_set.image_size(), test_set.image_size());
    if found != (rows, columns) {
        return Err(Error::Shape {
            place: test.images.display().to_string(),
            expected: format!("images of {rows} x {columns}, as in {}", train.images.display()),
            found: format!("{} x {}", found.0, found.1),
        });
    }
    Ok((train_set, test_set))
}

/// The two files of a split.
struct Files {
    images: PathBuf,
    labels: PathBuf,
}

impl Files {
    fn find(set: &Named, split: Split) -> Result<Files> {
        Ok(Files { images: set.find(split, Kind::Images)?, labels: set.find(split, Kind::Labels)? })
    }

    /// Puts what the two files hold together.
    fn join(&self, source: &str, images: Images, labels: Labels, classes: usize) -> Result<Dataset> {
        let fail = |offset, fault| Err(Error::Idx { path: self.labels.clone(), offset, fault });
        let (count, image_size) = (images.file.len(), images.file.image_size());
        let Labels { labels, start, step } = labels;
        if labels.len() != count {
            let image_file = self.images.clone();
            return fail(4, IdxFault::CountMismatch { labels: labels.len(), images: count, image_file });
        }
        if let Some(index) = labels.iter().position(|label| usize::from(*label) >= classes) {
            let label = i64::from(labels[index]);
            return fail(start + step * index as u64, IdxFault::LabelRange { label, classes });
        }
        let targets = TargetColumns::Classes { labels, classes };
        match images.pixels {
            Some(pixels) => Dataset::from_rows(pixels, targets, image_size, source.to_string()),
            None => images.file.into_set(targets, source.to_string()),
        }
    }
}

/// What reports say of where the data come from.
fn source_of(dir: &Path, set: &Named) -> String {
    let turned = if set.is_transposed() { " (images turned upright)" } else { "" };
    format!("{}{turned}", dir.display())
}

/// The images of a split: where they are, and their pixels, unless these stay there.
struct Images {
    file: PixelFile,
    pixels: Option<Rows>,
}

/// Packs the images as they come, so that all of their bytes are never in memory at once.
fn read_images(path: &Path, transposed: bool, stays: bool) -> Result<Images> {
    let file = PixelFile::idx(path, transposed)?;
    let pixels = if stays { None } else { Some(file.read_all()?) };
    Ok(Images { file, pixels })
}

/// Class numbers, and where in the unpacked file each stands: the first at `start`, the others `step` bytes further on.
struct Labels {
    labels: Vec<u16>,
    start: u64,
    step: u64,
}

/// A byte each or a whole number of four bytes; or rows of such numbers (QMNIST's), of which the first is the class.
fn read_labels(path: &Path) -> Result<Labels> {
    let fail = |offset, fault| Err(Error::Idx { path: path.to_path_buf(), offset, fault });
    let mut values = idx::Values::open_numbers(path)?;
    let (bytes_each, dims) = (values.value_bytes(), values.dims().to_vec());
    let columns = match dims[..] {
        [_] => 1,
        [_, columns] if columns == 1 || bytes_each > 1 => columns,
        _ => return fail(3, IdxFault::NotLabels { found: dims.len() }),
    };
    let (start, step) = (super::header::len(dims.len()), bytes_each * columns);
    let mut bytes = Vec::new();
    values.take(&mut bytes, values.left())?;
    values.finish()?;
    let number = |row: &[u8]| match row[..bytes_each] {
        [byte] => i64::from(byte),
        _ => i64::from(BigEndian::read_i32(row)),
    };
    let mut labels = Vec::with_capacity(dims[0]);
    for (index, row) in bytes.chunks_exact(step).enumerate() {
        let label = number(row);
        match u16::try_from(label) {
            Ok(label) => labels.push(label),
            Err(_) => {
                let classes = usize::from(u16::MAX) + 1;
                return fail(start + (index * step) as u64, IdxFault::LabelRange { label, classes });
            }
        }
    }
    Ok(Labels { labels, start, step: step as u64 })
}

fn count_classes(labels: &Labels) -> usize {
    let largest = labels.labels.iter().copied().max().map_or(0, usize::from);
    (largest + 1).max(2)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::pixel_file::MAX_TINY_IMAGES;
    use super::*;
    use crate::data::idx::IdxArray;
    use flate2::read::GzDecoder;
    use sha2::{Digest, Sha256};
    use std::io::Read;

    const MNIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");

    fn sha256(bytes: &[u8]) -> String {
        crate::data::hex(&Sha256::digest(bytes))
    }

    /// Rows of the table in `data/README.md`: name, bytes, SHA-256.
    fn published_digests() -> Vec<(&'static str, usize, &'static str)> {
        let rows: Vec<_> = include_str!("../../../data/README.md")
            .lines()
            .filter(|line| line.contains("-ubyte |"))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                (cells[1], cells[2].replace(',', "").parse().unwrap(), cells[4])
            })
            .collect();
        assert_eq!(rows.len(), 4);
        rows
    }

    #[test]
    fn the_bundled_files_are_the_published_ones() {
        for (name, bytes, digest) in published_digests() {
            let packed = fs::read(Path::new(MNIST).join(format!("{name}.gz"))).unwrap();
            let mut unpacked = Vec::new();
            GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked.len(), bytes, "{name}");
            assert_eq!(sha256(&unpacked), digest, "{name}");
        }
    }

    #[test]
    fn what_is_read_from_the_bundled_files_is_written_as_published() {
        let folder = tempfile::tempdir().unwrap();
        for (name, _, digest) in published_digests() {
            let array = idx::read(&Path::new(MNIST).join(format!("{name}.gz"))).unwrap();
            idx::write(&folder.path().join(name), &array).unwrap();
            assert_eq!(sha256(&fs::read(folder.path().join(name)).unwrap()), digest, "{name}");
        }
        // The folder now holds raw files: they load as the packed ones do.
        let (train, test) = load_mnist_folder(Path::new(MNIST)).unwrap();
        let (raw_train, raw_test) = load_mnist_folder(folder.path()).unwrap();
        assert!(raw_train.labels() == train.labels());
        assert!(raw_train.pixels() == train.pixels());
        assert!(raw_test.pixels() == test.pixels() && raw_test.labels() == test.labels());
    }

    #[test]
    fn mnist_is_mnist() {
        let (train, test) = load_mnist_folder(Path::new(MNIST)).unwrap();
        assert_eq!((train.len(), test.len()), (60_000, 10_000));
        for (split, set) in [(Split::Train, &train), (Split::Test, &test)] {
            assert_eq!((set.image_size(), set.features(), set.classes()), ((28, 28), 784, 10));
            assert_eq!(set.source(), MNIST);
            assert!(load_split(Path::new(MNIST), split).unwrap() == *set);
        }
        assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(test.labels()[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        // Known of the set: 67 pixels are zero in every training image.
        let mut seen = [0_u8; 784];
        for index in 0..train.len() {
            seen.iter_mut().zip(train.row(index)).for_each(|(seen, pixel)| *seen |= pixel);
        }
        assert_eq!(seen.iter().filter(|&&seen| seen == 0).count(), 67);
    }

    /// A folder in MNIST's layout with images of 1 x 2 pixels and these labels.
    fn folder(train_labels: &[u8], test_labels: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (split, labels) in [("train", train_labels), ("t10k", test_labels)] {
            let images = IdxArray { dims: vec![labels.len(), 1, 2], bytes: vec![9; labels.len() * 2] };
            let labels = IdxArray { dims: vec![labels.len()], bytes: labels.to_vec() };
            idx::write(&folder.path().join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
            idx::write(&folder.path().join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
        }
        folder
    }

    #[test]
    fn the_training_labels_say_how_many_classes_both_splits_have() {
        for (train_labels, test_labels, classes) in
            [(&[0, 4][..], &[1][..], 5), (&[0], &[0, 1], 2), (&[255], &[255], 256)]
        {
            let folder = folder(train_labels, test_labels);
            let (train, test) = load_mnist_folder(folder.path()).unwrap();
            assert_eq!((train.classes(), test.classes()), (classes, classes));
            assert_eq!(load_split(folder.path(), Split::Test).unwrap(), test);
        }
    }

    #[test]
    fn raw_comes_before_gzip_and_both_spellings_are_found() {
        let folder = folder(&[0, 1], &[1]);
        let name = |name: &str| folder.path().join(name);
        let load = || load_split(folder.path(), Split::Train).map(|set| set.labels()[0]);
        // A folder under a file's name, as some downloads unpack to, is passed over.
        fs::rename(name("train-labels-idx1-ubyte"), name("train-labels.idx1-ubyte")).unwrap();
        fs::create_dir(name("train-labels-idx1-ubyte")).unwrap();
        assert_eq!(load().unwrap(), 0);
        for (file, first) in [("train-labels.idx1-ubyte.gz", 2), ("train-labels-idx1-ubyte.gz", 3)] {
            idx::write_gz(&name(file), &IdxArray { dims: vec![2], bytes: vec![first, 0] }).unwrap();
        }
        assert_eq!(load().unwrap(), 0);
        fs::remove_file(name("train-labels.idx1-ubyte")).unwrap();
        assert_eq!(load().unwrap(), 3);
        fs::remove_file(name("train-labels-idx1-ubyte.gz")).unwrap();
        assert_eq!(load().unwrap(), 2);
    }

    /// As published: images on their side, under names of their own.
    #[test]
    fn images_of_emnist_are_turned_upright() {
        let folder = tempfile::tempdir().unwrap();
        for split in ["train", "test"] {
            let name = |kind: &str| folder.path().join(format!("emnist-digits-{split}-{kind}-ubyte"));
            // Two images of 2 rows and 3 columns.
            let images = IdxArray { dims: vec![2, 2, 3], bytes: (1..=12).collect() };
            idx::write(&name("images-idx3"), &images).unwrap();
            idx::write(&name("labels-idx1"), &IdxArray { dims: vec![2], bytes: vec![0, 1] }).unwrap();
        }
        let (train, test) = load_mnist_folder(folder.path()).unwrap();
        assert_eq!(train.image_size(), (3, 2));
        assert_eq!((train.row(0), train.row(1)), (vec![1, 4, 2, 5, 3, 6], vec![7, 10, 8, 11, 9, 12]));
        assert!(train.source().ends_with("(images turned upright)"), "{}", train.source());
        assert_eq!(load_split(folder.path(), Split::Test).unwrap(), test);
    }

    /// The first of QMNIST's eight numbers is the class; a number that no class has is refused where it stands.
    #[test]
    fn labels_may_be_whole_numbers_and_the_first_of_a_row() {
        let write = |folder: &Path, name: &str, dims: &[u32], values: &[i32]| {
            let mut bytes = vec![0, 0, 0x0c, dims.len() as u8];
            dims.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
            values.iter().for_each(|value| bytes.extend(value.to_be_bytes()));
            fs::write(folder.join(name), bytes).unwrap();
        };
        for (dims, values) in [(&[2][..], vec![3, 300]), (&[2, 1], vec![3, 300]), (&[2, 2], vec![3, -1, 300, 70_000])] {
            let folder = folder(&[0, 1], &[1]);
            fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
            write(folder.path(), "train-labels-idx2-int", dims, &values);
            let set = load_split(folder.path(), Split::Train).unwrap();
            assert_eq!((set.labels(), set.classes()), (&[3, 300][..], 301), "{dims:?}");
            for label in [-1, 65_536] {
                write(folder.path(), "train-labels-idx2-int", &[2, 2], &[0, 0, label, 0]);
                let error = load_split(folder.path(), Split::Train).unwrap_err().to_string();
                assert!(error.contains(&format!("byte 20: label {label}, but the set has 65536 classes")), "{error}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_with_all_its_spellings() {
        let folder = folder(&[0, 1], &[1]);
        fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
        let dir = folder.path().display();
        for error in [
            load_mnist_folder(folder.path()).unwrap_err(),
            load_split(folder.path(), Split::Train).unwrap_err(),
            load_split(folder.path(), Split::Test).unwrap_err(),
        ] {
            assert_eq!(
                error.to_string(),
                format!(
                    "{dir}: no file of train labels (it also says how many classes the test split has): looked for \
                     train-labels-idx1-ubyte, train-labels.idx1-ubyte, train-labels-idx1-ubyte.gz, \
                     train-labels.idx1-ubyte.gz; put it there, or name another folder"
                )
            );
        }
        let error = load_mnist_folder(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(
            error.contains("nowhere: no such folder") && error.contains("name the folder that holds the data"),
            "{error}"
        );
        let error = load_mnist_folder(&folder.path().join("t10k-labels-idx1-ubyte")).unwrap_err().to_string();
        assert!(error.contains("t10k-labels-idx1-ubyte: not a folder"), "{error}");
    }

    /// 4,194,305 images of one pixel are 4 MB unpacked and would take 100 MB; the last that is taken has 15 pixels.
    #[test]
    fn images_of_a_few_pixels_are_counted_before_they_are_kept() {
        let folder = folder(&[0, 1], &[1]);
        let path = folder.path().join("train-images-idx3-ubyte");
        for (images, rows, columns, refused) in
            [(MAX_TINY_IMAGES + 1, 1, 1, true), (MAX_TINY_IMAGES + 1, 3, 5, true), (MAX_TINY_IMAGES, 1, 1, false)]
        {
            fs::remove_file(&path).unwrap();
            let bytes = vec![0; images * rows * columns];
            idx::write(&path, &IdxArray { dims: vec![images, rows, columns], bytes }).unwrap();
            let problem = load_split(folder.path(), Split::Train).unwrap_err().to_string();
            assert_eq!(problem.contains("byte 4: 4194305 images of "), refused, "{problem}");
        }
    }

    #[test]
    fn the_images_of_both_splits_have_one_size() {
        let folder = folder(&[0, 1], &[1]);
        let images = folder.path().join("t10k-images-idx3-ubyte");
        fs::remove_file(&images).unwrap();
        idx::write(&images, &IdxArray { dims: vec![1, 2, 1], bytes: vec![0; 2] }).unwrap();
        let error = load_mnist_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("t10k-images-idx3-ubyte: expected images of 1 x 2"), "{error}");
        assert!(error.ends_with("found 2 x 1"), "{error}");
    }
}
