//! The files of published sets in MNIST's form, by their digests. It is data, and knows no file of this machine.
//!
//! Checked here: the MD5 of MNIST's unpacked files, which are those of `data/mnist`; a test compares. All others come from
//! published lists, are not checked here, and are marked so in what is reported:
//!
//! - packed files of MNIST, Fashion-MNIST, KMNIST and QMNIST: torchvision (`torchvision/datasets/mnist.py`);
//! - unpacked files of Fashion-MNIST: tutorials and loaders that list them, which agree with each other;
//! - packed files of EMNIST: the package `mnists` 0.4.1 of PyPI; those of its set EMNIST MNIST: `numpyvision`, by the same author.
//!
//! What a download of the first three is held to, lengths and SHA-256 of the `.gz` files, comes from the checksum files of TensorFlow Datasets
//! (`tensorflow_datasets/url_checksums/mnist.txt`, `fashion_mnist.txt`, `kmnist.txt`) and is not checked here; the SHA-256 of
//! MNIST's unpacked files is: the files of `data/mnist` have them, see `data/README.md`, and a test compares. Files of
//! EMNIST and QMNIST are held to their MD5 alone, for no such list of them was found; EMNIST's archive as a whole has one.
//!
//! Sizes follow from the numbers of images that the sets' authors state.

/// A file as its set's authors published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Name of the set.
    pub set: &'static str,
    /// Its name, without `.gz`.
    pub name: &'static str,
    /// The length of the IDX bytes.
    pub unpacked_bytes: u64,
    /// MD5 of the `.gz` file, in hexadecimal.
    pub packed_md5: &'static str,
    /// MD5 of the IDX bytes, where somebody states it.
    pub unpacked_md5: Option<&'static str>,
    /// What a download of it is held to; where it is `None`, MD5 is all that is published.
    pub published: Option<Published>,
}

/// The `.gz` file as its authors published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its length.
    pub packed_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub packed_sha256: &'static str,
    /// That of the IDX bytes inside, where it is known.
    pub unpacked_sha256: Option<&'static str>,
}

impl KnownFile {
    const fn published(
        self,
        packed_bytes: u64,
        packed_sha256: &'static str,
        unpacked_sha256: Option<&'static str>,
    ) -> Self {
        KnownFile { published: Some(Published { packed_bytes, packed_sha256, unpacked_sha256 }), ..self }
    }

    /// Whether its images lie on their side: rows stored as columns.
    pub fn is_transposed(&self) -> bool {
        self.set.starts_with("EMNIST")
    }
}

/// The files of a set, in the order of the list.
pub fn files_of(set: &str) -> impl Iterator<Item = &'static KnownFile> {
    FILES.iter().filter(move |file| file.set == set)
}

/// Every file that is known.
pub fn files() -> &'static [KnownFile] {
    &FILES
}

const fn known(
    set: &'static str,
    name: &'static str,
    unpacked_bytes: u64,
    packed_md5: &'static str,
    unpacked_md5: Option<&'static str>,
) -> KnownFile {
    KnownFile { set, name, unpacked_bytes, packed_md5, unpacked_md5, published: None }
}

/// Images of 28 x 28 after a header of 16 bytes.
const fn image_bytes(count: u64) -> u64 {
    16 + count * 28 * 28
}

/// Labels after a header of 8 bytes.
const fn label_bytes(count: u64) -> u64 {
    8 + count
}

/// Eight numbers of four bytes for each of 60,000 images, after a header of 12 bytes.
const QMNIST_LABEL_BYTES: u64 = 12 + 60_000 * 8 * 4;

#[rustfmt::skip]
static FILES: [KnownFile; 40] = [
    known("MNIST", "train-images-idx3-ubyte", image_bytes(60_000), "f68b3c2dcbeaaa9fbdd348bbdeb94873", Some("6bbc9ace898e44ae57da46a324031adb")).published(9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db")),
    known("MNIST", "train-labels-idx1-ubyte", label_bytes(60_000), "d53e105ee54ea40749a09fcbcd1e9432", Some("a25bea736e30d166cdddb491f175f624")).published(28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5")),
    known("MNIST", "t10k-images-idx3-ubyte", image_bytes(10_000), "9fb629c4189551a2d022fa330f9573f3", Some("2646ac647ad5339dbf082846283269ea")).published(1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7")),
    known("MNIST", "t10k-labels-idx1-ubyte", label_bytes(10_000), "ec29112dd5afa0611ce80d1b7f02629c", Some("27ae3e4e09519cfbb04c329615203637")).published(4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")),
    known("Fashion-MNIST", "train-images-idx3-ubyte", image_bytes(60_000), "8d4fb7e6c68d591d4c3dfef9ec88bf0d", Some("f4a8712d7a061bf5bd6d2ca38dc4d50a")).published(26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None),
    known("Fashion-MNIST", "train-labels-idx1-ubyte", label_bytes(60_000), "25c81989df183df01b3e8a0aad5dffbe", Some("9018921c3c673c538a1fc5bad174d6f9")).published(29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None),
    known("Fashion-MNIST", "t10k-images-idx3-ubyte", image_bytes(10_000), "bef4ecab320f06d8554ea6380940ec79", Some("8181f5470baa50b63fa0f6fddb340f0a")).published(4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", None),
    known("Fashion-MNIST", "t10k-labels-idx1-ubyte", label_bytes(10_000), "bb300cfdad3c16e7a12a480ee83cd310", Some("15d484375f8d13e6eb1aabb0c3f46965")).published(5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", None),
    known("Kuzushiji-MNIST", "train-images-idx3-ubyte", image_bytes(60_000), "bdb82020997e1d708af4cf47b453dcf7", None).published(18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", None),
    known("Kuzushiji-MNIST", "train-labels-idx1-ubyte", label_bytes(60_000), "e144d726b3acfaa3e44228e80efcd344", None).published(29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", None),
    known("Kuzushiji-MNIST", "t10k-images-idx3-ubyte", image_bytes(10_000), "5c965bf0a639b31b8f53240b1b52f4d7", None).published(3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", None),
    known("Kuzushiji-MNIST", "t10k-labels-idx1-ubyte", label_bytes(10_000), "7320c461ea6c1c855c0b718fb2a4b134", None).published(5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", None),
    known("EMNIST Balanced", "emnist-balanced-train-images-idx3-ubyte", image_bytes(112_800), "4041b0d6f15785d3fa35263901b5496b", None),
    known("EMNIST Balanced", "emnist-balanced-train-labels-idx1-ubyte", label_bytes(112_800), "7a35cc7b2b7ee7671eddf028570fbd20", None),
    known("EMNIST Balanced", "emnist-balanced-test-images-idx3-ubyte", image_bytes(18_800), "6818d20fe2ce1880476f747bbc80b22b", None),
    known("EMNIST Balanced", "emnist-balanced-test-labels-idx1-ubyte", label_bytes(18_800), "acd3694070dcbf620e36670519d4b32f", None),
    known("EMNIST ByClass", "emnist-byclass-train-images-idx3-ubyte", image_bytes(697_932), "712dda0bd6f00690f32236ae4325c377", None),
    known("EMNIST ByClass", "emnist-byclass-train-labels-idx1-ubyte", label_bytes(697_932), "ee299a3ee5faf5c31e9406763eae7e43", None),
    known("EMNIST ByClass", "emnist-byclass-test-images-idx3-ubyte", image_bytes(116_323), "1435209e34070a9002867a9ab50160d7", None),
    known("EMNIST ByClass", "emnist-byclass-test-labels-idx1-ubyte", label_bytes(116_323), "7a0f934bd176c798ecba96b36fda6657", None),
    known("EMNIST ByMerge", "emnist-bymerge-train-images-idx3-ubyte", image_bytes(697_932), "4a792d4df261d7e1ba27979573bf53f3", None),
    known("EMNIST ByMerge", "emnist-bymerge-train-labels-idx1-ubyte", label_bytes(697_932), "491be69ef99e1ab1f5b7f9ccc908bb26", None),
    known("EMNIST ByMerge", "emnist-bymerge-test-images-idx3-ubyte", image_bytes(116_323), "8eb5d34c91f1759a55831c37ec2a283f", None),
    known("EMNIST ByMerge", "emnist-bymerge-test-labels-idx1-ubyte", label_bytes(116_323), "c13f4cd5211cdba1b8fa992dae2be992", None),
    known("EMNIST Digits", "emnist-digits-train-images-idx3-ubyte", image_bytes(240_000), "d2662ecdc47895a6bbfce25de9e9a677", None),
    known("EMNIST Digits", "emnist-digits-train-labels-idx1-ubyte", label_bytes(240_000), "2223fcfee618ac9c89ef20b6e48bcf9e", None),
    known("EMNIST Digits", "emnist-digits-test-images-idx3-ubyte", image_bytes(40_000), "a159b8b3bd6ab4ed4793c1cb71a2f5cc", None),
    known("EMNIST Digits", "emnist-digits-test-labels-idx1-ubyte", label_bytes(40_000), "8afde66ea51d865689083ba6bb779fac", None),
    known("EMNIST Letters", "emnist-letters-train-images-idx3-ubyte", image_bytes(124_800), "8795078f199c478165fe18db82625747", None),
    known("EMNIST Letters", "emnist-letters-train-labels-idx1-ubyte", label_bytes(124_800), "c16de4f1848ddcdddd39ab65d2a7be52", None),
    known("EMNIST Letters", "emnist-letters-test-images-idx3-ubyte", image_bytes(20_800), "382093a19703f68edac6d01b8dfdfcad", None),
    known("EMNIST Letters", "emnist-letters-test-labels-idx1-ubyte", label_bytes(20_800), "d4108920cd86601ec7689a97f2de7f59", None),
    known("EMNIST MNIST", "emnist-mnist-train-images-idx3-ubyte", image_bytes(60_000), "3663598a39195d030895b6304abb5065", None),
    known("EMNIST MNIST", "emnist-mnist-train-labels-idx1-ubyte", label_bytes(60_000), "6c092f03c9bb63e678f80f8bc605fe37", None),
    known("EMNIST MNIST", "emnist-mnist-test-images-idx3-ubyte", image_bytes(10_000), "fb51b6430fc4dd67deaada1bf25d4524", None),
    known("EMNIST MNIST", "emnist-mnist-test-labels-idx1-ubyte", label_bytes(10_000), "ae7f6be798a9a5d5f2bd32e078a402dd", None),
    known("QMNIST", "qmnist-train-images-idx3-ubyte", image_bytes(60_000), "ed72d4157d28c017586c42bc6afe6370", None),
    known("QMNIST", "qmnist-train-labels-idx2-int", QMNIST_LABEL_BYTES, "0058f8dd561b90ffdd0f734c6a30e5e4", None),
    known("QMNIST", "qmnist-test-images-idx3-ubyte", image_bytes(60_000), "1394631089c404de565df7b7aeaf9412", None),
    known("QMNIST", "qmnist-test-labels-idx2-int", QMNIST_LABEL_BYTES, "5b5b05890a5e13444e108efe57b788aa", None),
];
