//! IDX files, raw and packed, of one member and of several, damaged before and after they were packed.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use flatnet::data::idx::{self, IdxArray};
use flatnet::data::inspect;

use crate::mutate::Random;
use crate::{one_line, try_all};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

pub fn file(sizes: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(values);
    file
}

/// Labels, images, a table; and one that packs a thousandfold.
fn originals() -> Vec<Vec<u8>> {
    vec![
        file(&[40], (0..40).map(|i| i % 10)),
        file(&[12, 7, 9], (0..12 * 63).map(|i| (i * 7 % 251) as u8)),
        file(&[9, 5], 0..45),
        file(&[100, 30, 30], std::iter::repeat_n(0, 90_000)),
    ]
}

fn make(random: &mut Random) -> Vec<u8> {
    let originals = originals();
    let original = random.pick(&originals).clone();
    let damaged = if random.once_in(3) { original } else { random.changed(&original, &originals) };
    match random.below(4) {
        0 => damaged,
        1 => gzip(&damaged),
        2 => {
            let cut = random.below(damaged.len() + 1);
            let mut packed = [gzip(&damaged[..cut]), gzip(&damaged[cut..])].concat();
            packed.resize(packed.len() + random.below(600), 0);
            if random.once_in(2) { random.changed(&packed, &[]) } else { packed }
        }
        _ => random.changed(&gzip(&damaged), &[gzip(&originals[0])]),
    }
}

#[test]
fn idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idx");
    try_all("idx", make, |bytes| {
        let parsed = idx::parse(Path::new("idx"), bytes);
        match &parsed {
            Ok(IdxArray { dims, bytes }) => {
                assert!((1..=3).contains(&dims.len()));
                assert_eq!(dims.iter().product::<usize>(), bytes.len());
            }
            Err(error) => one_line(error),
        }
        fs::write(&path, bytes).unwrap();
        match inspect::inspect(&path, |_, _, _| {}) {
            Ok(report) => assert!(parsed.is_ok() || report.element != "unsigned byte" || report.shape.len() > 3),
            Err(error) => {
                one_line(&error);
                assert!(parsed.is_err());
            }
        }
        0
    });
}
