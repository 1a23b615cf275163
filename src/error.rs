//! The one error type of the crate. Each message says what is wrong, where, and what was expected there;
//! it knows nothing of the rooms that raise it.

use std::path::{Path, PathBuf};

/// Everything that can go wrong, in words for the person who can mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a path.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: open, read, write, ...
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },

    /// An IDX file breaks the format at a byte offset (of the unpacked bytes).
    #[error("{}: byte {offset}: {fault}", path.display())]
    Idx {
        /// The file or folder.
        path: PathBuf,
        /// Byte, of the unpacked file.
        offset: u64,
        /// What is wrong there.
        fault: IdxFault,
    },

    /// A setting has a value outside its domain. `name` is its name in the library.
    #[error("{name}: {found} is not valid: expected {expected}")]
    Setting {
        /// Its Rust name.
        name: &'static str,
        /// What there is.
        found: String,
        /// What should be.
        expected: String,
    },

    /// A layer does not fit the one before it, or the data. `place` names both.
    #[error("{place}: expected {expected}, found {found}")]
    Shape {
        /// Where.
        place: String,
        /// What should be.
        expected: String,
        /// What there is.
        found: String,
    },

    /// A model file cannot be used.
    #[error("{}: {place}: {problem}", path.display())]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// Where.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// A run folder would be overwritten or is incomplete.
    #[error("{}: {problem}", path.display())]
    RunFolder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// Training met a value that is not a finite number.
    #[error(
        "epoch {epoch}, batch {batch}: {layer} gave a value that is not a finite number; \
         a smaller learning rate usually cures this"
    )]
    NonFinite {
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1.
        batch: usize,
        /// The first layer that gave one.
        layer: String,
    },

    /// A data folder, or a file that it should hold, is not there.
    #[error("{}: {problem}", path.display())]
    DataFolder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file of data breaks its format, or holds what nothing can be trained on.
    #[error("{}: {problem}", path.display())]
    DataFile {
        /// The file.
        path: PathBuf,
        /// Where it is wrong (line and column, where there are any), what is wrong there, and what to do.
        problem: String,
    },
    /// A picture cannot be read, or nothing can be made out in it.
    #[error("{}: {problem}", path.display())]
    Picture {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file could not be fetched, or another stands in its place.
    #[error("{}: {problem}", path.display())]
    Fetch {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },

    /// What was asked for belongs to a feature that this program was built without.
    #[error("this flatnet was built without {what}; build it with `cargo build --release --features {feature}`")]
    NotBuiltIn {
        /// What is missing.
        what: &'static str,
        /// What to build it with.
        feature: &'static str,
    },
    /// A file of a run does not hold what flatnet writes there. Lines count from 1.
    #[error("{}: line {line}: {problem}", path.display())]
    RunFile {
        /// The file or folder.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The processes that are to train together cannot, or one of them has failed.
    #[error("{problem}")]
    Ranks {
        /// Which, what is wrong with it, and what to do.
        problem: String,
    },
    /// Threads could not be started.
    #[error("cannot start {threads} threads: {problem}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Error {
    /// There is no room for what the file at `path` holds.
    pub(crate) fn out_of_memory(path: &Path) -> Error {
        let source = std::io::ErrorKind::OutOfMemory.into();
        Error::Io { path: path.to_path_buf(), action: "hold its contents in memory", source }
    }
}

/// What files that begin so often are, and what to do: downloads and archives that were given the name of the data.
fn looks_like(start: [u8; 2]) -> &'static str {
    match &start {
        b"<!" | b"<h" | b"<H" | b"<?" | b"\n<" | b"\r\n" => {
            "; it looks like a web page that was saved in its place: download the file again"
        }
        b"ve" => "; it looks like a Git LFS pointer: git lfs pull fetches the file that it stands for",
        b"PK" => "; it looks like a zip archive (or one of NumPy's .npz): unpack it first",
        b"BZ" | [0xfd, b'7'] | [0x28, 0xb5] => "; it looks compressed by another program than gzip: unpack it first",
        [0x89, b'P'] | [0xff, 0xd8] => "; it looks like a single picture",
        [0x93, b'N'] => "; it looks like an array of NumPy's (.npy)",
        [0x80, _] => "; it looks like a Python pickle",
        [first, second] if first.is_ascii_graphic() && (second.is_ascii_graphic() || second.is_ascii_whitespace()) => {
            "; it looks like text"
        }
        _ => "",
    }
}

/// What is wrong with an IDX file; see [`Error::Idx`], which adds the file and the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxFault {
    /// The first two bytes are neither IDX's nor gzip's.
    #[error(
        "not an IDX file: it starts with bytes {:02x} {:02x}, expected 00 00 (or 1f 8b if it is gzipped){}",
        found[0],
        found[1],
        looks_like(*found)
    )]
    BadMagic {
        /// What there is.
        found: [u8; 2],
    },

    /// The type byte names something else than unsigned bytes.
    #[error("element type 0x{found:02x}, expected 0x08 (unsigned bytes); store the values as unsigned bytes, 0 to 255")]
    NotBytes {
        /// What there is.
        found: u8,
    },

    /// The header names no dimension, or more than three (four, where the array need not be images).
    #[error("{found} dimensions, expected 1 to 3, or 4 of an array that is named by itself")]
    DimensionCount {
        /// What there is.
        found: usize,
    },

    /// A dimension has size 0. Dimensions count from 1.
    #[error("dimension {dimension} has size 0, expected at least 1")]
    EmptyDimension {
        /// Counted from 1.
        dimension: usize,
    },

    /// The sizes in the header promise more than is ever read.
    #[error("the sizes promise {promised} bytes, expected at most {limit}; is the header damaged?")]
    TooLarge {
        /// Bytes that the header promises.
        promised: u128,
        /// The most that is taken.
        limit: u64,
    },

    /// The header promises so many images of a few pixels that keeping count of them would take far more than they do.
    #[error(
        "{images} images of {pixels} pixels, expected at most {limit} of so few pixels; are the dimensions in another order?"
    )]
    TooManyTinyImages {
        /// Images that the header promises.
        images: usize,
        /// Pixels of each.
        pixels: usize,
        /// The most that is taken.
        limit: usize,
    },

    /// The sizes in the header promise more than a gzip of this length can hold, or than one of data ever holds.
    #[error(
        "the sizes promise {promised} bytes, but a gzip of {packed} bytes holds at most {limit}; \
         the file is cut short or its header is damaged: copy or download it again"
    )]
    TooLargeForGzip {
        /// Bytes that the header promises.
        promised: u64,
        /// Bytes of the packed file.
        packed: u64,
        /// The most that is taken.
        limit: u64,
    },

    /// The (unpacked) file ends before the header or the data it promises.
    #[error("cut short: expected {expected} bytes, the file ends after {found}; copy or download it again")]
    CutShort {
        /// What should be.
        expected: u64,
        /// What there is.
        found: u64,
    },

    /// The (unpacked) file goes on after the data that its header promises.
    #[error("more bytes follow, expected the end after {expected} bytes; the header or the data is wrong")]
    TrailingBytes {
        /// What should be.
        expected: u64,
    },

    /// The gzip stream breaks its format, or its checksum does not fit its contents.
    #[error("corrupt gzip ({detail}); copy or download it again")]
    CorruptGzip {
        /// What the decoder says.
        detail: String,
    },

    /// The gzip stream has no end: the packed file was cut short.
    #[error("the gzip stream is cut short after {packed} packed bytes; copy or download it again")]
    GzipCutShort {
        /// Bytes of the packed file.
        packed: u64,
    },

    /// Bytes that are neither gzip nor zeros follow the end of the gzip stream.
    #[error(
        "bytes that are no gzip follow the end of the gzip stream, which lies after {packed} packed bytes; \
         unpack the file with gzip and pack it again"
    )]
    GzipTrailingBytes {
        /// Bytes of the packed file.
        packed: u64,
    },

    /// A file that should hold images does not have three dimensions.
    #[error(
        "{found} dimension(s), expected 3 (images, rows, columns); {}",
        if *found == 1 { "this looks like a label file in place of an image file" } else { "it holds no images" }
    )]
    NotImages {
        /// What there is.
        found: usize,
    },

    /// A file that should hold labels does not have one dimension.
    #[error(
        "{found} dimensions, expected 1 (labels); {}",
        if *found == 3 { "this looks like an image file in place of a label file" } else { "it holds no labels" }
    )]
    NotLabels {
        /// What there is.
        found: usize,
    },

    /// A label file and its image file differ in length.
    #[error("{labels} labels, but {} holds {images} images; the two files belong to different sets", image_file.display())]
    CountMismatch {
        /// Labels in the file.
        labels: usize,
        /// Images in the other file.
        images: usize,
        /// The other file.
        image_file: PathBuf,
    },

    /// A label is no class number.
    #[error("label {label}, but the set has {classes} classes")]
    LabelRange {
        /// What stands there.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
}

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;
