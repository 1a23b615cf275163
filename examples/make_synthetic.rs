//! Writes a data set of any size in MNIST's layout, to see how training grows with its data:
//!
//!     cargo run --release --example make_synthetic -- --rows 8100000 --to DIR
//!     cargo run --release -- train --data DIR --train-samples all --epochs 1
//!
//! The training images are those of `data/mnist` (or of `--from DIR`), over and over: first as they are, then shifted by up
//! to four pixels, another shift each time. What is shifted out at one side is lost, and zeros come in at the other, so the
//! share of zeros stays nearly MNIST's. The test images are copied. Files are raw IDX, 784 bytes per row (6.35 GB for 8.1
//! million); they are written as they are made, so memory does not grow with `--rows`. It must not know how networks train.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use byteorder::{BigEndian, WriteBytesExt};
use flatnet::data::idx::{self, IdxArray};
use flatnet::data::load_mnist_folder;
use flatnet::{Dataset, Error, Result};

const USAGE: &str = "usage: make_synthetic --rows N --to DIR [--from DIR]";
const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// 0 done, 1 failed, 2 wrong usage.
fn main() -> ExitCode {
    let Some((rows, from, to)) = parse(std::env::args().skip(1)) else {
        eprintln!("error: {USAGE}");
        return ExitCode::from(2);
    };
    match make(&from, rows, &to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Rows, source and destination; `None` where the words are no right usage.
fn parse(mut words: impl Iterator<Item = String>) -> Option<(u32, PathBuf, PathBuf)> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    let (mut rows, mut from, mut to) = (None, from, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rows" => rows = Some(words.next()?.parse().ok().filter(|rows| *rows > 0)?),
            "--from" => from = words.next()?.into(),
            "--to" => to = Some(words.next()?.into()),
            _ => return None,
        }
    }
    Some((rows?, from, to?))
}

/// Writes the four files into `to`, which is created if need be. A file that exists is never overwritten.
pub fn make(from: &Path, rows: u32, to: &Path) -> Result<()> {
    let (train, test) = load_mnist_folder(from)?;
    let bytes = u64::from(rows) * train.features() as u64;
    if bytes > idx::MAX_BYTES {
        let most = idx::MAX_BYTES / train.features() as u64;
        return Err(Error::Setting { name: "rows", found: rows.to_string(), expected: format!("at most {most}") });
    }
    fs::create_dir_all(to).map_err(|source| Error::Io { path: to.into(), action: "create", source })?;

    let (height, width) = train.image_size();
    let image_dims = |count: usize| vec![count, height, width];
    idx::write(&to.join(TEST_IMAGES), &IdxArray { dims: image_dims(test.len()), bytes: test.pixels().to_vec() })?;
    idx::write(&to.join(TEST_LABELS), &IdxArray { dims: vec![test.len()], bytes: label_bytes(test.labels()) })?;
    stream(&to.join(TRAIN_LABELS), &[rows], |out| {
        let labels = label_bytes(train.labels());
        (0..rows as usize).try_for_each(|row| out.write_all(&[labels[row % labels.len()]]))
    })?;
    stream(&to.join(TRAIN_IMAGES), &[rows, height as u32, width as u32], |out| {
        let mut image = vec![0; train.features()];
        (0..rows as usize).try_for_each(|row| {
            shift(&train, row % train.len(), shift_of_pass(row / train.len()), &mut image);
            out.write_all(&image)
        })
    })
}

/// Creates a raw IDX file of the sizes `dims` and lets `fill` write its values; on failure no file stays.
fn stream(path: &Path, dims: &[u32], fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let fail = |action, source| Error::Io { path: path.into(), action, source };
    let file =
        File::create_new(path).map_err(|source| fail("create (a file that exists is never overwritten)", source))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let write = || {
        out.write_all(&[0, 0, 0x08, dims.len() as u8])?;
        dims.iter().try_for_each(|size| out.write_u32::<BigEndian>(*size))?;
        fill(&mut out)?;
        out.flush()
    };
    write().map_err(|source| {
        // The first failure is the one to report, whether or not this succeeds.
        let _ = fs::remove_file(path);
        fail("write", source)
    })
}

/// How far pass number `pass` over the images moves them, down and to the right: 81 different shifts, the first none.
fn shift_of_pass(pass: usize) -> (isize, isize) {
    // Digits stand at least four pixels from every side.
    let centred = |step: usize| [0, 1, -1, 2, -2, 3, -3, 4, -4][step % 9];
    (centred(pass / 9), centred(pass))
}

/// Writes image `row` into `image`, `[height * width]`, moved by `down` and `right` pixels.
fn shift(set: &Dataset, row: usize, (down, right): (isize, isize), image: &mut [u8]) {
    let (height, width) = set.image_size();
    let pixels = set.row(row);
    let within = |at: usize, by: isize, size: usize| at.checked_add_signed(-by).filter(|from| *from < size);
    for (y, line) in image.chunks_exact_mut(width).enumerate() {
        for (x, pixel) in line.iter_mut().enumerate() {
            let from = within(y, down, height).zip(within(x, right, width));
            *pixel = from.map_or(0, |(y, x)| pixels[y * width + x]);
        }
    }
}

/// Labels read from bytes are bytes.
fn label_bytes(labels: &[u16]) -> Vec<u8> {
    labels.iter().map(|label| *label as u8).collect()
}
