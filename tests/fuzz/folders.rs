//! Folders in MNIST's layout of which a file is damaged, or is another one's.

use std::fs;
use std::path::Path;

use flatnet::data::{Dataset, Split, load_mnist_folder, load_split};

use crate::idx::{file, gzip};
use crate::mutate::Random;
use crate::{one_line, try_all};

const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn originals() -> Vec<Vec<u8>> {
    vec![
        file(&[20, 3, 5], (0..300).map(|i| if i % 4 == 0 { (i % 250) as u8 } else { 0 })),
        file(&[20], (0..20).map(|i| i % 4)),
        file(&[6, 3, 5], (0..90).map(|i| (i * 3) as u8)),
        file(&[6], (0..6).map(|i| i % 4)),
    ]
}

/// The four files, each packed or not.
fn make(random: &mut Random) -> Vec<(bool, Vec<u8>)> {
    let originals = originals();
    let changed = random.below(4);
    let files = (0..4).map(|index| {
        let bytes = match index == changed {
            true => random.changed(&originals[index], &originals),
            false => originals[index].clone(),
        };
        let packed = random.once_in(3);
        (packed, if packed { gzip(&bytes) } else { bytes })
    });
    files.collect()
}

fn check(set: &Dataset) {
    assert!(!set.is_empty() && set.classes() >= 2 && set.labels().len() == set.len());
    assert!(set.labels().iter().all(|label| usize::from(*label) < set.classes()));
    assert_eq!(set.pixels().len(), set.len() * set.features());
}

fn write(folder: &Path, files: &[(bool, Vec<u8>)]) {
    for (name, (packed, bytes)) in NAMES.iter().zip(files) {
        let (raw, gz) = (folder.join(name), folder.join(format!("{name}.gz")));
        let (here, away) = if *packed { (gz, raw) } else { (raw, gz) };
        // It stands there from an input before, or does not.
        let _ = fs::remove_file(away);
        fs::write(here, bytes).unwrap();
    }
}

#[test]
fn mnist_folders() {
    let folder = tempfile::tempdir().unwrap();
    try_all("folder", make, |files| {
        write(folder.path(), files);
        let (train, test) = (load_split(folder.path(), Split::Train), load_split(folder.path(), Split::Test));
        let both = load_mnist_folder(folder.path());
        for set in [&train, &test] {
            match set {
                Ok(set) => check(set),
                Err(error) => one_line(error),
            }
        }
        match both {
            Ok((one, other)) => assert!(one == train.unwrap() && other == test.unwrap()),
            Err(error) => {
                one_line(&error);
                let sizes = train.ok().zip(test.ok()).map(|(one, other)| (one.image_size(), other.image_size()));
                assert!(sizes.is_none_or(|(one, other)| one != other));
            }
        }
        0
    });
}
