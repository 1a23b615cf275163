//! The sets that `flatnet fetch` knows: their files, what these must be, and where they lie. It is data and nothing else.
//!
//! No mirror here was asked by flatnet's tests, which run without a network. Addresses and digests come from lists that
//! other projects publish and use; what could be checked here says so.
//!
//! - Files, lengths and digests stand in the library's list, `data::known`, with where they come from.
//! - Mirrors: the first three of MNIST as torchvision, TensorFlow Datasets and the `fgnt/mnist` repository name them;
//!   Fashion-MNIST's from its own repository, torchvision, and the same bucket by TLS; KMNIST's from its own page.
//!   One address lies on plain HTTP: the digests guard against whatever comes from there, as from anywhere else.

use flatnet::data::known;

use super::SetName;

/// A set of four files.
#[derive(Debug)]
pub struct KnownSet {
    pub title: &'static str,
    /// Whose the data are, and what they may be used for.
    pub licence: &'static str,
    /// Folders of the web that hold all four files, each ending in a slash; asked in this order.
    pub mirrors: &'static [&'static str],
}

impl KnownSet {
    /// Its four files: images and labels to train on, images and labels to test with.
    pub fn files(&self) -> Vec<KnownFile> {
        let files = known::files_of(self.title).filter_map(|file| {
            let published = file.published?;
            Some(KnownFile {
                name: format!("{}.gz", file.name),
                packed_bytes: published.packed_bytes,
                packed_sha256: published.packed_sha256,
                unpacked_bytes: file.unpacked_bytes,
                unpacked_sha256: published.unpacked_sha256,
            })
        });
        files.collect()
    }
}

/// A file as it was published.
#[derive(Debug)]
pub struct KnownFile {
    /// As it is kept here, and as every mirror calls it.
    pub name: String,
    pub packed_bytes: u64,
    pub packed_sha256: &'static str,
    pub unpacked_bytes: u64,
    pub unpacked_sha256: Option<&'static str>,
}

pub fn set(name: SetName) -> &'static KnownSet {
    match name {
        SetName::Mnist => &MNIST,
        SetName::FashionMnist => &FASHION_MNIST,
        SetName::Kmnist => &KMNIST,
    }
}

static MNIST: KnownSet = KnownSet {
    title: "MNIST",
    licence: "Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0",
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ],
};

static FASHION_MNIST: KnownSet = KnownSet {
    title: "Fashion-MNIST",
    licence: "Zalando Research; MIT",
    mirrors: &[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
};

static KMNIST: KnownSet = KnownSet {
    title: "Kuzushiji-MNIST",
    licence: "CODH (ROIS-DS), adapted from the Kuzushiji Dataset; CC BY-SA 4.0",
    mirrors: &["https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::ValueEnum;

    use super::super::check::{self, Verdict};
    use super::*;

    #[test]
    fn every_entry_is_well_formed() {
        let mut digests = Vec::new();
        for name in SetName::value_variants() {
            let set = set(*name);
            assert!(!set.mirrors.is_empty());
            for mirror in set.mirrors {
                assert!(mirror.starts_with("http") && mirror.ends_with('/'), "{mirror}");
            }
            assert_eq!(set.files().len(), 4);
            for file in &set.files() {
                assert!(file.packed_bytes < file.unpacked_bytes, "{file:?}");
                digests.push(file.packed_sha256);
                digests.extend(file.unpacked_sha256);
            }
        }
        let hex = |digest: &&str| digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(digests.iter().all(hex));
        let count = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!((count, digests.len()), (16, 16), "a digest stands twice");
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
