//! The sets that `flatnet fetch` knows: their files, what these must be, and where they lie. It is data and nothing else.
//!
//! No mirror here was asked by flatnet's tests, which run without a network. Addresses and digests come from lists that
//! other projects publish and use; what could be checked here says so.
//!
//! - `packed`: length and SHA-256 of the `.gz` file as its authors published it, from the checksum files of TensorFlow
//!   Datasets (`tensorflow_datasets/url_checksums/mnist.txt`, `fashion_mnist.txt`, `kmnist.txt`). Not checked here.
//! - `unpacked_sha256`: of the IDX bytes inside. MNIST's were checked here: the files of `data/mnist` have them, see
//!   `data/README.md`, and a test compares. For the other two sets no such list was found.
//! - Mirrors: the first three of MNIST as torchvision, TensorFlow Datasets and the `fgnt/mnist` repository name them;
//!   Fashion-MNIST's from its own repository, torchvision, and the same bucket by TLS; KMNIST's from its own page.
//!   One address lies on plain HTTP: the digests guard against whatever comes from there, as from anywhere else.

use super::SetName;

/// A set of four files.
#[derive(Debug)]
pub struct KnownSet {
    pub title: &'static str,
    /// Whose the data are, and what they may be used for.
    pub licence: &'static str,
    /// Folders of the web that hold all four files, each ending in a slash; asked in this order.
    pub mirrors: &'static [&'static str],
    pub files: [KnownFile; 4],
}

/// A file as it was published.
#[derive(Debug)]
pub struct KnownFile {
    /// As it is kept here, and as every mirror calls it.
    pub name: &'static str,
    pub packed_bytes: u64,
    pub packed_sha256: &'static str,
    pub unpacked_bytes: u64,
    pub unpacked_sha256: Option<&'static str>,
}

pub fn known(name: SetName) -> &'static KnownSet {
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
    files: [
        published(
            TRAIN_IMAGES,
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ),
        published(
            TRAIN_LABELS,
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ),
        published(
            TEST_IMAGES,
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ),
        published(
            TEST_LABELS,
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
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
    files: [
        published(TRAIN_IMAGES, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None),
        published(TRAIN_LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None),
        published(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", None),
        published(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", None),
    ],
};

static KMNIST: KnownSet = KnownSet {
    title: "Kuzushiji-MNIST",
    licence: "CODH (ROIS-DS), adapted from the Kuzushiji Dataset; CC BY-SA 4.0",
    mirrors: &["https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
    files: [
        published(TRAIN_IMAGES, 18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", None),
        published(TRAIN_LABELS, 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", None),
        published(TEST_IMAGES, 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", None),
        published(TEST_LABELS, 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", None),
    ],
};

// All three sets have these files, by name and length of the IDX bytes: 60,000 and 10,000 images of 28 x 28, a byte per
// pixel, behind headers of 16 and 8 bytes.
const TRAIN_IMAGES: (&str, u64) = ("train-images-idx3-ubyte.gz", 16 + 60_000 * 28 * 28);
const TRAIN_LABELS: (&str, u64) = ("train-labels-idx1-ubyte.gz", 8 + 60_000);
const TEST_IMAGES: (&str, u64) = ("t10k-images-idx3-ubyte.gz", 16 + 10_000 * 28 * 28);
const TEST_LABELS: (&str, u64) = ("t10k-labels-idx1-ubyte.gz", 8 + 10_000);

const fn published(
    (name, unpacked_bytes): (&'static str, u64),
    packed_bytes: u64,
    packed_sha256: &'static str,
    unpacked_sha256: Option<&'static str>,
) -> KnownFile {
    KnownFile { name, packed_bytes, packed_sha256, unpacked_bytes, unpacked_sha256 }
}

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
            let set = known(*name);
            assert!(!set.mirrors.is_empty());
            for mirror in set.mirrors {
                assert!(mirror.starts_with("http") && mirror.ends_with('/'), "{mirror}");
            }
            for file in &set.files {
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
    fn they_are_the_files_that_inspect_knows() {
        for set in SetName::value_variants().iter().map(|name| known(*name)) {
            let here = set.files.each_ref().map(|file| (file.name.trim_end_matches(".gz"), file.unpacked_bytes));
            let there = flatnet::data::known::files().iter().filter(|file| file.set == set.title);
            assert_eq!(there.map(|file| (file.name, file.unpacked_bytes)).collect::<Vec<_>>(), here, "{}", set.title);
        }
    }

    #[test]
    fn the_bundled_files_have_the_unpacked_digests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
        for file in &MNIST.files {
            // Packed here once more, so that only what is inside can be the published bytes.
            assert!(matches!(check::file(&folder.join(file.name), file).unwrap(), Verdict::Right { .. }), "{file:?}");
        }
    }
}
