//! A folder in MNIST's layout: four IDX files, two for each split. It knows their names, not the format.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::idx;
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
/// spelled with a dot before `idx`.
///
/// A set has as many classes as its *training* labels say: the largest of them and 1 more, at least 2. The test split
/// therefore reads the training labels too, so that both splits always agree; a test label beyond them is an error.
///
/// # Errors
/// [`Error::DataFolder`] if the folder or a file is missing, [`Error::Io`] and [`Error::Idx`] as [`idx::read`], the latter
/// also if one kind of file stands in place of the other, the counts differ, or a label is out of range.
pub fn load_split(dir: &Path, split: Split) -> Result<Dataset> {
    let files = Files::find(dir, split)?;
    let images = read_images(&files.images)?;
    let labels = read_labels(&files.labels)?;
    let classes = match split {
        Split::Train => count_classes(&labels),
        Split::Test => count_classes(&read_labels(&find(dir, Split::Train, Kind::Labels)?)?),
    };
    files.join(dir, images, labels, classes)
}

/// Reads both splits, training first, with images of the same size; see [`load_split`]. Two threads share the work.
///
/// # Errors
/// As [`load_split`]; [`Error::Shape`] if the images of the two splits differ in size.
pub fn load_mnist_folder(dir: &Path) -> Result<(Dataset, Dataset)> {
    let train = Files::find(dir, Split::Train)?;
    let test = Files::find(dir, Split::Test)?;
    // The training images are by far the largest file: all others fit into the time that they take.
    let (train_images, others) = std::thread::scope(|scope| {
        let others = std::thread::Builder::new()
            .spawn_scoped(scope, || {
                Ok((read_labels(&train.labels)?, read_images(&test.images)?, read_labels(&test.labels)?))
            })
            .map_err(|error| Error::Threads { threads: 1, problem: error.to_string() })?;
        let train_images = read_images(&train.images);
        let others: Result<_> = others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, Error>((train_images, others))
    })?;
    let train_images = train_images?;
    let (train_labels, test_images, test_labels) = others?;

    let classes = count_classes(&train_labels);
    let train_set = train.join(dir, train_images, train_labels, classes)?;
    let test_set = test.join(dir, test_images, test_labels, classes)?;
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

#[derive(Clone, Copy)]
enum Kind {
    Images,
    Labels,
}

/// The two files of a split.
struct Files {
    images: PathBuf,
    labels: PathBuf,
}

impl Files {
    fn find(dir: &Path, split: Split) -> Result<Files> {
        Ok(Files { images: find(dir, split, Kind::Images)?, labels: find(dir, split, Kind::Labels)? })
    }

    /// Puts what the two files hold together.
    fn join(&self, dir: &Path, images: Images, labels: Vec<u8>, classes: usize) -> Result<Dataset> {
        let fail = |offset, fault| Err(Error::Idx { path: self.labels.clone(), offset, fault });
        let ([count, rows, columns], images) = images;
        if labels.len() != count {
            let image_file = self.images.clone();
            return fail(4, IdxFault::CountMismatch { labels: labels.len(), images: count, image_file });
        }
        if let Some(index) = first_label_beyond(&labels, classes) {
            return fail(LABELS_START + index as u64, IdxFault::LabelRange { label: labels[index], classes });
        }
        let targets = TargetColumns::Classes { labels: labels.into_iter().map(u16::from).collect(), classes };
        Dataset::from_rows(images, targets, (rows, columns), dir.display().to_string())
    }
}

/// Where the values of an IDX file of one dimension begin.
const LABELS_START: u64 = 8;

fn find(dir: &Path, split: Split, kind: Kind) -> Result<PathBuf> {
    let split_name = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let (kind_name, dimensions) = match kind {
        Kind::Images => ("images", 3),
        Kind::Labels => ("labels", 1),
    };
    let mut names = Vec::new();
    for ending in ["", ".gz"] {
        for separator in ['-', '.'] {
            names.push(format!("{split_name}-{kind_name}{separator}idx{dimensions}-ubyte{ending}"));
        }
    }
    for name in &names {
        let path = dir.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(path),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(Error::Io { path, action: "open", source }),
        }
    }
    let problem = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {
            let wanted_for = match (split, kind) {
                (Split::Train, Kind::Labels) => " (it also says how many classes the test split has)",
                _ => "",
            };
            format!(
                "no file of {split_name} {kind_name}{wanted_for}: looked for {}; put it there, or name another folder",
                names.join(", ")
            )
        }
        Ok(_) => "not a folder; name the folder that holds the data".into(),
        Err(_) => {
            format!("no such folder; looked there for {} and its like; name the folder that holds the data", names[0])
        }
    };
    Err(Error::DataFolder { path: dir.to_path_buf(), problem })
}

/// Images, their rows, their columns; and the pixels, a row for each image.
type Images = ([usize; 3], Rows);

/// A row is kept with 16 bytes beside its pixels. Of images with fewer pixels than that the largest set would take a
/// multiple of its file.
const TINY_PIXELS: usize = 16;
const MAX_TINY_IMAGES: usize = 1 << 22;

/// Packs the images as they come, so that all of their bytes are never in memory at once.
fn read_images(path: &Path) -> Result<Images> {
    /// Enough for one run to cost little, and little enough to stay in L2.
    const RUN_BYTES: usize = 256 * 1024;
    let mut values = idx::Values::open(path)?;
    let [_, height, width] = values.dims()[..] else {
        let fault = IdxFault::NotImages { found: values.dims().len() };
        return Err(Error::Idx { path: path.to_path_buf(), offset: 3, fault });
    };
    let image = height * width;
    let images = values.left() / image;
    if image < TINY_PIXELS && images > MAX_TINY_IMAGES {
        let fault = IdxFault::TooManyTinyImages { images, pixels: image, limit: MAX_TINY_IMAGES };
        return Err(Error::Idx { path: path.to_path_buf(), offset: 4, fault });
    }
    let run = (RUN_BYTES / image).max(1) * image;
    let (mut rows, mut bytes) = (Rows::new(image), Vec::new());
    while values.left() > 0 {
        values.take(&mut bytes, run.min(values.left()))?;
        rows.extend(&bytes);
    }
    rows.shrink();
    let dims = values.finish()?;
    Ok(([dims[0], height, width], rows))
}

fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let array = idx::read(path)?;
    match array.dims.len() {
        1 => Ok(array.bytes),
        found => Err(Error::Idx { path: path.to_path_buf(), offset: 3, fault: IdxFault::NotLabels { found } }),
    }
}

fn count_classes(labels: &[u8]) -> usize {
    let largest = labels.iter().copied().max().map_or(0, usize::from);
    (largest + 1).max(2)
}

fn first_label_beyond(labels: &[u8], classes: usize) -> Option<usize> {
    labels.iter().position(|&label| usize::from(label) >= classes)
}

#[cfg(test)]
mod tests {
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
