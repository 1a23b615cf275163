//! The tool that writes data sets of any size: what it writes is a data set, with the rows and the zeros it promises.

#[path = "../../examples/make_synthetic.rs"]
#[allow(dead_code, reason = "its command line is not called from here")]
mod example;

use std::fs;
use std::path::{Path, PathBuf};

use example::make;
use flatnet::Dataset;
use flatnet::data::{Split, load_mnist_folder, load_split};

fn mnist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist")
}

fn share_of_zeros(set: &Dataset, rows: std::ops::Range<usize>) -> f64 {
    let count: usize = rows.clone().map(|row| set.row(row).iter().filter(|pixel| **pixel == 0).count()).sum();
    count as f64 / (rows.len() * set.features()) as f64
}

/// Two passes and a part of the third.
#[test]
fn passes_are_shifted_and_keep_labels_and_zeros() {
    const ROWS: usize = 2 * 60_000 + 500;
    let to = tempfile::tempdir().unwrap();
    let folder = to.path().join("new/folder");
    make(&mnist(), ROWS as u32, &folder).unwrap();
    let (source, test) = load_mnist_folder(&mnist()).unwrap();
    let (found, found_test) = load_mnist_folder(&folder).unwrap();

    assert_eq!((found.len(), found.classes(), found.image_size()), (ROWS, 10, (28, 28)));
    assert!(found_test.pixels() == test.pixels() && found_test.labels() == test.labels());
    assert!(found.pixels()[..source.pixels().len()] == *source.pixels(), "the first pass is the source itself");
    assert!((0..ROWS).all(|row| found.labels()[row] == source.labels()[row % 60_000]));
    // The second pass has moved each line of pixels one to the right, the third one to the left.
    for row in [0, 1, 499] {
        let lines = |row: usize, set: &Dataset| set.row(row).chunks(28).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (before, second, third) = (lines(row, &source), lines(60_000 + row, &found), lines(120_000 + row, &found));
        for y in 0..28 {
            assert_eq!((second[y][0], &second[y][1..]), (0, &before[y][..27]), "row {row}, line {y}");
            assert_eq!((third[y][27], &third[y][..27]), (0, &before[y][1..]), "row {row}, line {y}");
        }
    }
    let shares = [share_of_zeros(&source, 0..60_000), share_of_zeros(&found, 60_000..120_000)];
    assert!((shares[0] - shares[1]).abs() < 0.002, "{shares:?}");
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert_eq!(size("train-images-idx3-ubyte"), 16 + 784 * ROWS as u64);
}

#[test]
fn nothing_is_overwritten_and_nothing_impossible_begun() {
    let to = tempfile::tempdir().unwrap();
    let error = make(&mnist(), u32::MAX, to.path()).unwrap_err().to_string();
    assert!(error.starts_with("rows: 4294967295 is not valid: expected at most 21913098"), "{error}");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);

    make(&mnist(), 10, to.path()).unwrap();
    let error = make(&mnist(), 20, to.path()).unwrap_err().to_string();
    assert!(error.contains("never overwritten"), "{error}");
    assert_eq!(load_split(to.path(), Split::Train).unwrap().len(), 10);
}
