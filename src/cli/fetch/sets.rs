//! The sets that `flatnet fetch` knows: their files, what these must be, and where they lie. It is data and nothing else.
//!
//! No mirror here was asked by flatnet's tests, which run without a network. Addresses and digests come from lists that
//! other projects publish and use; what could be checked here says so.
//!
//! - Files, lengths and digests of images stand in the library's list, `data::known`, with where they come from; those of
//!   tables and of EMNIST's archive stand here, each with its source.
//! - Mirrors: the first three of MNIST as torchvision, TensorFlow Datasets and the `fgnt/mnist` repository name them;
//!   Fashion-MNIST's from its own repository, torchvision, and the same bucket by TLS; KMNIST's from its own page; EMNIST's
//!   and QMNIST's as torchvision names them; tables' as the repository itself does.
//!   One address lies on plain HTTP: the digests guard against whatever comes from there, as from anywhere else.

use flatnet::data::known;

use super::SetName;

/// A set, and what its files hold.
#[derive(Debug)]
pub struct KnownSet {
    pub title: &'static str,
    /// Whose the data are, and what they may be used for.
    pub licence: &'static str,
    /// Folders of the web that hold all its files, each ending in a slash; asked in this order.
    pub mirrors: &'static [&'static str],
    pub form: Form,
}

/// How a set is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Four files: images and labels to train on, images and labels to test with.
    Images,
    /// Four such files, which lie in [`EMNIST_ARCHIVE`] beside those of other sets, under names that begin with this.
    Archived { prefix: &'static str },
    /// One table as text.
    Table { name: &'static str, bytes: u64, sha256: &'static str, columns: &'static str },
}

/// One archive of all six sets of EMNIST. Length and SHA-256: TensorFlow Datasets, `url_checksums/emnist.txt`.
pub static EMNIST_ARCHIVE: (&str, u64, &str) =
    ("gzip.zip", 561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e");

impl KnownSet {
    /// Its files.
    pub fn files(&self) -> Vec<KnownFile> {
        if let Form::Table { name, bytes, sha256, .. } = self.form {
            return vec![KnownFile::whole(name, bytes, sha256)];
        }
        let files = known::files_of(self.title).map(|file| KnownFile {
            name: format!("{}.gz", file.name),
            packed_bytes: file.published.map(|published| published.packed_bytes),
            packed: file.published.map_or(Digest::Md5(file.packed_md5), |of| Digest::Sha256(of.packed_sha256)),
            unpacked_bytes: file.unpacked_bytes,
            unpacked_sha256: file.published.and_then(|published| published.unpacked_sha256),
        });
        files.collect()
    }

    /// The archive that they lie in, if they are published in one.
    pub fn archive(&self) -> Option<KnownFile> {
        let (name, bytes, sha256) = EMNIST_ARCHIVE;
        matches!(self.form, Form::Archived { .. }).then(|| KnownFile::whole(name, bytes, sha256))
    }
}

/// A file as it was published.
#[derive(Debug)]
pub struct KnownFile {
    /// As it is kept here, and as every mirror calls it.
    pub name: String,
    /// Its length, where somebody states it.
    pub packed_bytes: Option<u64>,
    pub packed: Digest,
    pub unpacked_bytes: u64,
    pub unpacked_sha256: Option<&'static str>,
}

/// In hexadecimal. MD5, of which nobody can make another file to a given digest either, is all that some lists state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    Sha256(&'static str),
    Md5(&'static str),
}

impl KnownFile {
    /// A file that is not unpacked.
    fn whole(name: &str, bytes: u64, sha256: &'static str) -> KnownFile {
        let packed = Digest::Sha256(sha256);
        KnownFile { name: name.into(), packed_bytes: Some(bytes), packed, unpacked_bytes: bytes, unpacked_sha256: None }
    }
}

pub fn set(name: SetName) -> &'static KnownSet {
    match name {
        SetName::Mnist => &MNIST,
        SetName::FashionMnist => &FASHION_MNIST,
        SetName::Kmnist => &KMNIST,
        SetName::EmnistBalanced => &EMNIST[0],
        SetName::EmnistByclass => &EMNIST[1],
        SetName::EmnistBymerge => &EMNIST[2],
        SetName::EmnistDigits => &EMNIST[3],
        SetName::EmnistLetters => &EMNIST[4],
        SetName::EmnistMnist => &EMNIST[5],
        SetName::Qmnist => &QMNIST,
        SetName::Iris => &IRIS,
        SetName::WineQualityRed => &WINE_RED,
        SetName::WineQualityWhite => &WINE_WHITE,
        SetName::BreastCancer => &BREAST_CANCER,
    }
}

const fn emnist(title: &'static str, prefix: &'static str) -> KnownSet {
    KnownSet {
        title,
        licence: "G. Cohen, S. Afshar, J. Tapson, A. van Schaik, from NIST Special Database 19",
        mirrors: &[
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ],
        form: Form::Archived { prefix },
    }
}

static EMNIST: [KnownSet; 6] = [
    emnist("EMNIST Balanced", "emnist-balanced"),
    emnist("EMNIST ByClass", "emnist-byclass"),
    emnist("EMNIST ByMerge", "emnist-bymerge"),
    emnist("EMNIST Digits", "emnist-digits"),
    emnist("EMNIST Letters", "emnist-letters"),
    emnist("EMNIST MNIST", "emnist-mnist"),
];

static QMNIST: KnownSet = KnownSet {
    title: "QMNIST",
    licence: "C. Yadav, L. Bottou, from NIST Special Database 19; BSD 3-Clause",
    mirrors: &["https://raw.githubusercontent.com/facebookresearch/qmnist/master/"],
    form: Form::Images,
};

/// Length and SHA-256: TensorFlow Datasets, `url_checksums/iris.txt`.
static IRIS: KnownSet = KnownSet {
    title: "Iris",
    licence: "R. A. Fisher, by the UCI Machine Learning Repository; CC BY 4.0",
    mirrors: &["https://archive.ics.uci.edu/ml/machine-learning-databases/iris/"],
    form: Form::Table {
        name: "iris.data",
        bytes: 4_551,
        sha256: "6f608b71a7317216319b4d27b4d9bc84e6abd734eda7872b71a458569e2656c0",
        columns: "no header; by commas: sepal length and width, petal length and width, the species (3)",
    },
};

const WINE_LICENCE: &str =
    "P. Cortez, A. Cerdeira, F. Almeida, T. Matos, J. Reis, by the UCI Machine Learning Repository; CC BY 4.0";
const WINE_MIRRORS: &[&str] = &["https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality/"];
const WINE_COLUMNS: &str = "a header; by semicolons: 11 measurements, the quality (0 to 10)";

/// Lengths and SHA-256 of both: TensorFlow Datasets, `structured/wine_quality/checksums.tsv`.
static WINE_RED: KnownSet = KnownSet {
    title: "Wine Quality, red",
    licence: WINE_LICENCE,
    mirrors: WINE_MIRRORS,
    form: Form::Table {
        name: "winequality-red.csv",
        bytes: 84_199,
        sha256: "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e",
        columns: WINE_COLUMNS,
    },
};

static WINE_WHITE: KnownSet = KnownSet {
    title: "Wine Quality, white",
    licence: WINE_LICENCE,
    mirrors: WINE_MIRRORS,
    form: Form::Table {
        name: "winequality-white.csv",
        bytes: 264_426,
        sha256: "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836",
        columns: WINE_COLUMNS,
    },
};

/// SHA-256: the data dependency of Julia's `UCIData.jl`, and the loader of the crate `rustyml_dataset`; with it several projects
/// state the length.
static BREAST_CANCER: KnownSet = KnownSet {
    title: "Breast Cancer Wisconsin (Diagnostic)",
    licence: "W. Wolberg, O. Mangasarian, N. Street, W. Street, by the UCI Machine Learning Repository; CC BY 4.0",
    mirrors: &["https://archive.ics.uci.edu/ml/machine-learning-databases/breast-cancer-wisconsin/"],
    form: Form::Table {
        name: "wdbc.data",
        bytes: 124_103,
        sha256: "d606af411f3e5be8a317a5a8b652b425aaf0ff38ca683d5327ffff94c3695f4a",
        columns: "no header; by commas: a number, the diagnosis (M or B), 30 measurements",
    },
};

static MNIST: KnownSet = KnownSet {
    title: "MNIST",
    licence: "Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0",
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ],
    form: Form::Images,
};

static FASHION_MNIST: KnownSet = KnownSet {
    title: "Fashion-MNIST",
    licence: "Zalando Research; MIT",
    mirrors: &[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
    form: Form::Images,
};

static KMNIST: KnownSet = KnownSet {
    title: "Kuzushiji-MNIST",
    licence: "CODH (ROIS-DS), adapted from the Kuzushiji Dataset; CC BY-SA 4.0",
    mirrors: &["https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
    form: Form::Images,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::ValueEnum;

    use super::super::check::{self, Verdict};
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        let mut digests = BTreeSet::new();
        for name in SetName::value_variants() {
            let set = set(*name);
            assert!(!set.mirrors.is_empty());
            for mirror in set.mirrors {
                assert!(mirror.starts_with("http") && mirror.ends_with('/'), "{mirror}");
            }
            let is_table = matches!(set.form, Form::Table { .. });
            assert_eq!(set.files().len(), if is_table { 1 } else { 4 }, "{name:?}");
            for file in set.files().iter().chain(&set.archive()) {
                let packs = file.name.ends_with(".gz");
                assert!(!packs || file.packed_bytes.is_none_or(|bytes| bytes < file.unpacked_bytes), "{file:?}");
                let (digest, length) = match file.packed {
                    Digest::Sha256(digest) => (digest, 64),
                    Digest::Md5(digest) => (digest, 32),
                };
                let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                assert!(digest.len() == length && digest.bytes().all(hex), "{file:?}");
                assert!(file.unpacked_sha256.is_none_or(|digest| digest.len() == 64 && digest.bytes().all(hex)));
                digests.insert(digest);
                digests.extend(file.unpacked_sha256);
            }
            let expected = match set.form {
                Form::Archived { prefix } => {
                    set.files().iter().all(|file| file.name.starts_with(&format!("{prefix}-")))
                }
                _ => set.archive().is_none(),
            };
            assert!(expected, "{name:?}");
        }
        // Four of each set of images, the unpacked ones of MNIST, one of each table, and one archive.
        assert_eq!(digests.len(), 4 * 10 + 4 + 4 + 1, "a digest stands twice");
    }

    #[test]
    fn the_bundled_files_have_the_unpacked_digests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
        for file in &MNIST.files() {
            // Packed here once more, so that only what is inside can be the published bytes.
            assert!(matches!(check::file(&folder.join(&file.name), file).unwrap(), Verdict::Right { .. }), "{file:?}");
        }
    }
}
