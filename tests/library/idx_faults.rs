//! Every way in which an IDX file can be broken has its own error, and no bytes at all can do worse than give one.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use flatnet::data::idx::{self, IdxArray, MAX_BYTES};
use flatnet::data::{Split, load_split};
use flatnet::error::IdxFault;
use flatnet::{Error, Result};
use proptest::prelude::*;

/// A file of 2 x 3 values, 0 to 5.
fn good() -> Vec<u8> {
    let mut file = header(&[2, 3]);
    file.extend(0..6);
    file
}

fn header(sizes: &[u32]) -> Vec<u8> {
    let mut header = vec![0, 0, 8, sizes.len() as u8];
    header.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// Reads the same bytes from memory and from a file, which must agree.
fn read(bytes: &[u8]) -> Result<IdxArray> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    let from_file = idx::read(&path);
    let from_memory = idx::parse(&path, bytes);
    match (&from_file, &from_memory) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        _ => panic!("{from_file:?} from a file, {from_memory:?} from memory"),
    }
    from_file
}

/// The offset and the fault of bytes that must be refused, in one line that names the file.
fn fault(bytes: &[u8]) -> (u64, IdxFault) {
    fault_of(read(bytes).map(drop), "file")
}

fn fault_of(result: Result<()>, file: &str) -> (u64, IdxFault) {
    let error = result.expect_err("this must be refused");
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    let Error::Idx { path, offset, fault } = error else { panic!("another kind of error: {message}") };
    assert!(path.ends_with(file) && message.contains(&format!("{file}: byte {offset}: ")), "{message}");
    (offset, fault)
}

#[test]
fn whole_files_are_read_raw_and_packed() {
    let wanted = IdxArray { dims: vec![2, 3], bytes: (0..6).collect() };
    assert_eq!(read(&good()).unwrap(), wanted);
    assert_eq!(read(&gzip(&good())).unwrap(), wanted);
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for dims in [vec![1], vec![300], vec![2, 5], vec![7, 3, 1], vec![3, 500, 1000]] {
        let count = dims.iter().product::<usize>();
        let array = IdxArray { dims, bytes: (0..count).map(|index| ((index * index) >> 3) as u8).collect() };
        let (raw, packed) = (folder.path().join("raw"), folder.path().join("packed"));
        idx::write(&raw, &array).unwrap();
        idx::write_gz(&packed, &array).unwrap();
        assert_eq!(fs::read(&packed).unwrap()[..2], [0x1f, 0x8b]);
        for path in [raw, packed] {
            assert_eq!(idx::read(&path).unwrap(), array);
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    let array = IdxArray { dims: vec![1], bytes: vec![0] };
    fs::write(&path, "kept").unwrap();
    for result in [idx::write(&path, &array), idx::write_gz(&path, &array)] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("precious: cannot create (a file that exists is never overwritten)"), "{message}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"kept");
}

#[test]
fn arrays_that_break_their_own_rules_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (dims, bytes, wanted) in [
        (vec![], 1, (3, IdxFault::DimensionCount { found: 0 })),
        (vec![1; 4], 1, (3, IdxFault::DimensionCount { found: 4 })),
        (vec![2, 0], 0, (8, IdxFault::EmptyDimension { dimension: 2 })),
        (vec![5], 4, (12, IdxFault::CutShort { expected: 13, found: 12 })),
        (vec![5], 6, (13, IdxFault::TrailingBytes { expected: 13 })),
        (vec![usize::MAX], 0, (4, IdxFault::TooLarge { promised: usize::MAX as u128, limit: u32::MAX.into() })),
    ] {
        let array = IdxArray { dims, bytes: vec![0; bytes] };
        assert_eq!(fault_of(idx::write(&path, &array), "file"), wanted);
        assert_eq!(fault_of(idx::write_gz(&path, &array), "file"), wanted);
    }
    assert!(!path.exists());
}

#[test]
fn bad_magic() {
    let wanted = (0, IdxFault::BadMagic { found: *b"<!" });
    assert_eq!(fault(b"<!DOCTYPE html>"), wanted);
    assert_eq!(fault(&gzip(b"<!DOCTYPE html>")), wanted);
    // Half a magic is no magic.
    assert_eq!(fault(&[0x1f, 0, 8, 1, 0]).1, IdxFault::BadMagic { found: [0x1f, 0] });
    assert_eq!(fault(&[0, 1, 8, 1, 0]).1, IdxFault::BadMagic { found: [0, 1] });
    // What is often saved under the name of the data is named.
    for (start, part) in [
        (&b"<!DOCTYPE html>"[..], "web page"),
        (b"version https://git-lfs", "Git LFS"),
        (b"PK\x03\x04", "zip"),
        (b"5,0,0,0\n", "text"),
        (b"\x93NUMPY", ".npy"),
        (b"\xfd7zXZ", "another program than gzip"),
    ] {
        let told = fault(start).1.to_string();
        assert!(told.contains(part), "{told}");
    }
    assert!(fault(&[0, 1, 8, 1, 0]).1.to_string().ends_with("gzipped)"));
}

#[test]
fn not_bytes() {
    let mut file = good();
    file[2] = 0x0d;
    let wanted = (2, IdxFault::NotBytes { found: 0x0d });
    assert_eq!(fault(&file), wanted);
    assert_eq!(fault(&gzip(&file)), wanted);
}

#[test]
fn dimension_count() {
    for found in [0, 4, 255] {
        let mut file = good();
        file[3] = found;
        let wanted = (3, IdxFault::DimensionCount { found: found.into() });
        assert_eq!(fault(&file), wanted);
        assert_eq!(fault(&gzip(&file)), wanted);
    }
}

#[test]
fn empty_dimension() {
    for (sizes, offset, dimension) in [(&[0][..], 4, 1), (&[2, 0], 8, 2), (&[u32::MAX, u32::MAX, 0], 12, 3)] {
        let wanted = (offset, IdxFault::EmptyDimension { dimension });
        assert_eq!(fault(&header(sizes)), wanted);
        assert_eq!(fault(&gzip(&header(sizes))), wanted);
    }
}

#[test]
fn too_large() {
    let promised = u128::from(u32::MAX).pow(3);
    let wanted = (4, IdxFault::TooLarge { promised, limit: MAX_BYTES });
    assert_eq!(fault(&header(&[u32::MAX; 3])), wanted);
    assert_eq!(fault(&gzip(&header(&[u32::MAX; 3]))), wanted);
    // One byte over the limit is too large; the limit itself is not (this file is cut short instead).
    let over = header(&[1 << 17, (1 << 17) + 1]);
    assert_eq!(fault(&over).1, IdxFault::TooLarge { promised: (1 << 34) + (1 << 17), limit: MAX_BYTES });
    let at_limit = header(&[1 << 17, 1 << 17]);
    assert_eq!(fault(&at_limit), (12, IdxFault::CutShort { expected: MAX_BYTES + 12, found: 12 }));
}

#[test]
fn too_large_for_gzip() {
    let packed = gzip(&header(&[60_000, 28, 28]));
    let bytes = packed.len() as u64;
    let wanted = IdxFault::TooLargeForGzip { promised: 47_040_016, packed: bytes, limit: bytes * 1032 };
    assert_eq!(fault(&packed), (4, wanted));
}

/// 97 KB that would unpack to 100 MB of one number: possible, and no data.
#[test]
fn a_gzip_that_grows_a_thousandfold_is_refused() {
    let file = |values: u32| {
        let mut file = header(&[values]);
        file.resize(8 + values as usize, 7);
        gzip(&file)
    };
    let packed = file(100_000_000);
    let wanted = IdxFault::TooLargeForGzip { promised: 100_000_008, packed: packed.len() as u64, limit: 64 << 20 };
    assert_eq!(fault(&packed), (4, wanted));
    assert_eq!(idx::parse(Path::new("file"), &file((64 << 20) - 8)).unwrap().bytes.len(), (64 << 20) - 8);
}

#[test]
fn the_densest_gzip_is_not_too_large() {
    let mut file = header(&[1000, 1000, 10]);
    file.resize(16 + 10_000_000, 0);
    let packed = gzip(&file);
    assert!(packed.len() < 10_000, "{} bytes are not dense", packed.len());
    assert_eq!(read(&packed).unwrap().bytes, file[16..]);
}

#[test]
fn cut_short() {
    for (found, expected) in [(0, 4), (1, 4), (3, 4), (4, 12), (11, 12), (12, 18), (17, 18)] {
        let wanted = (found, IdxFault::CutShort { expected, found });
        assert_eq!(fault(&good()[..found as usize]), wanted);
        // Packed in full, but what was packed had been cut.
        assert_eq!(fault(&gzip(&good()[..found as usize])), wanted);
    }
}

#[test]
fn trailing_bytes() {
    let mut file = good();
    for _ in 0..2 {
        file.push(0);
        let wanted = (18, IdxFault::TrailingBytes { expected: 18 });
        assert_eq!(fault(&file), wanted);
        assert_eq!(fault(&gzip(&file)), wanted);
    }
}

#[test]
fn corrupt_gzip() {
    let packed = gzip(&good());
    let end = packed.len();
    for (byte, detail) in [
        (2, "unknown compression method"),
        (3, "unknown header flags set"),
        (10, "invalid"),
        (end - 8, "incorrect data check"),
        (end - 1, "incorrect length check"),
    ] {
        let mut damaged = packed.clone();
        damaged[byte] ^= 0xe7;
        match fault(&damaged).1 {
            IdxFault::CorruptGzip { detail: found } => assert!(found.contains(detail), "byte {byte}: {found}"),
            other => panic!("byte {byte}: {other:?}"),
        }
    }
}

#[test]
fn gzip_cut_short() {
    let packed = gzip(&good());
    for len in 2..packed.len() {
        let (_, fault) = fault(&packed[..len]);
        assert_eq!(fault, IdxFault::GzipCutShort { packed: len as u64 });
    }
}

#[test]
fn gzip_trailing_bytes() {
    let one = gzip(&good());
    let wanted = (18, IdxFault::GzipTrailingBytes { packed: one.len() as u64 });
    for tail in [&b"garbage"[..], &[0, 1], &[&[0; 600][..], &one].concat()] {
        assert_eq!(fault(&[&one, tail].concat()), wanted);
    }
    // A second member after the last value is one value too many, or broken in its own way.
    assert_eq!(fault(&[&one[..], &one].concat()), (18, IdxFault::TrailingBytes { expected: 18 }));
    let half = one.len() as u64 + 5;
    assert_eq!(fault(&[&one[..], &one[..5]].concat()), (18, IdxFault::GzipCutShort { packed: half }));
    assert!(matches!(fault(&[&one[..], b"\x1fno gzip"].concat()), (18, IdxFault::CorruptGzip { .. })));
}

/// As `cat a.gz b.gz`, `bgzip` (which ends with an empty member) and `pigz -i` write it, and as a tape pads it.
#[test]
fn members_follow_one_another() {
    let wanted = read(&good()).unwrap();
    let file = good();
    let members = |cuts: &[usize]| -> Vec<u8> { cuts.windows(2).flat_map(|cut| gzip(&file[cut[0]..cut[1]])).collect() };
    for cuts in [&[0, 18][..], &[0, 1, 18], &[0, 12, 18], &[0, 0, 5, 5, 13, 17, 18, 18]] {
        for padding in [0, 1, 511, 300_000] {
            let packed = [members(cuts), vec![0; padding]].concat();
            assert_eq!(read(&packed).unwrap(), wanted, "{cuts:?}, {padding}");
        }
        let packed = members(cuts);
        for length in 2..packed.len() {
            // Whole when only empty members are missing.
            if let Ok(read) = read(&packed[..length]) {
                assert_eq!(read, wanted);
            }
        }
    }
    // Cut between two members it is valid gzip of too few bytes.
    let first = gzip(&file[..12]);
    assert_eq!(fault(&first), (12, IdxFault::CutShort { expected: 18, found: 12 }));
}

/// A folder in MNIST's layout: 3 training and 2 test images of 1 x 1 pixels, 10 classes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, labels) in [("train", vec![0, 9, 1]), ("t10k", vec![3, 9])] {
        put(folder.path(), &format!("{split}-images-idx3-ubyte"), vec![labels.len(), 1, 1], vec![7; labels.len()]);
        put(folder.path(), &format!("{split}-labels-idx1-ubyte"), vec![labels.len()], labels);
    }
    folder
}

/// Puts a file in the place of another, if there is one.
fn put(folder: &Path, name: &str, dims: Vec<usize>, bytes: Vec<u8>) {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    idx::write(&path, &IdxArray { dims, bytes }).unwrap();
}

/// The fault of the test split after one of its files has been replaced.
fn split_fault(name: &str, dims: Vec<usize>, bytes: Vec<u8>) -> (u64, IdxFault, String) {
    let folder = folder();
    load_split(folder.path(), Split::Test).unwrap();
    put(folder.path(), name, dims, bytes);
    let error = load_split(folder.path(), Split::Test).unwrap_err();
    let message = error.to_string();
    let (offset, fault) = fault_of(Err(error), name);
    (offset, fault, message)
}

#[test]
fn a_label_file_in_place_of_an_image_file() {
    let (offset, fault, message) = split_fault("t10k-images-idx3-ubyte", vec![2], vec![3, 9]);
    assert_eq!((offset, fault), (3, IdxFault::NotImages { found: 1 }));
    assert!(message.contains("label file in place of an image file"), "{message}");
}

#[test]
fn an_image_file_in_place_of_a_label_file() {
    let (offset, fault, message) = split_fault("t10k-labels-idx1-ubyte", vec![2, 1, 1], vec![3, 9]);
    assert_eq!((offset, fault), (3, IdxFault::NotLabels { found: 3 }));
    assert!(message.contains("image file in place of a label file"), "{message}");
}

#[test]
fn labels_of_another_set() {
    let (offset, fault, _) = split_fault("t10k-labels-idx1-ubyte", vec![3], vec![3, 9, 1]);
    assert_eq!(offset, 4);
    match fault {
        IdxFault::CountMismatch { labels: 3, images: 2, image_file } => {
            assert!(image_file.ends_with("t10k-images-idx3-ubyte"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_label_out_of_range() {
    let (offset, fault, message) = split_fault("t10k-labels-idx1-ubyte", vec![2], vec![9, 12]);
    assert_eq!((offset, fault), (9, IdxFault::LabelRange { label: 12, classes: 10 }));
    assert!(message.ends_with("t10k-labels-idx1-ubyte: byte 9: label 12, but the set has 10 classes"), "{message}");
}

#[test]
fn what_is_no_file_is_refused_by_the_system() {
    let folder = tempfile::tempdir().unwrap();
    for (path, reason) in [(folder.path().join("nowhere"), "cannot open"), (folder.path().into(), "not a regular file")]
    {
        match idx::read(&path) {
            Err(error @ Error::Io { .. }) => assert!(error.to_string().contains(reason), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

/// One way to damage bytes; positions are taken modulo the length.
#[derive(Debug, Clone)]
enum Damage {
    Set {
        at: usize,
        value: u8,
    },
    Flip {
        at: usize,
        bit: u8,
    },
    Cut {
        at: usize,
    },
    Insert {
        at: usize,
        bytes: Vec<u8>,
    },
    /// A size in the header, where there is one.
    Size {
        dimension: usize,
        size: u32,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    // Half of all damage hits the first 32 bytes: the headers of IDX and gzip.
    let at = || prop_oneof![0..32_usize, any::<usize>()];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, value)| Damage::Set { at, value }),
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        at().prop_map(|at| Damage::Cut { at }),
        (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        (0..3_usize, prop_oneof![any::<u32>(), 0..20_u32, Just(u32::MAX), Just(1 << 17)])
            .prop_map(|(dimension, size)| Damage::Size { dimension, size }),
    ]
}

fn apply(damages: &[Damage], bytes: &mut Vec<u8>) {
    for damage in damages {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        match damage {
            Damage::Set { at, value } => bytes[at % len] = *value,
            Damage::Flip { at, bit } => bytes[at % len] ^= 1 << bit,
            Damage::Cut { at } => bytes.truncate(at % len),
            Damage::Insert { at, bytes: inserted } => drop(bytes.splice(at % len..at % len, inserted.iter().copied())),
            Damage::Size { dimension, size } => {
                if let Some(place) = bytes.get_mut(4 + 4 * dimension..8 + 4 * dimension) {
                    place.copy_from_slice(&size.to_be_bytes());
                }
            }
        }
    }
}

/// The most memory this process has ever reserved, in bytes; 0 where the system does not say.
fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_bytes_do_worse_than_an_error(
        sizes in prop::collection::vec(1..12_u32, 1..=3),
        fill in any::<u8>(),
        packed in any::<bool>(),
        inner in prop::collection::vec(damage(), 0..3),
        outer in prop::collection::vec(damage(), 0..3),
    ) {
        let mut file = header(&sizes);
        let count: u32 = sizes.iter().product();
        file.extend((0..count).map(|index| (index as u8).wrapping_mul(fill)));
        // Damage before packing makes valid gzip of broken IDX, damage after it broken gzip.
        apply(&inner, &mut file);
        if packed {
            file = gzip(&file);
        }
        apply(&outer, &mut file);

        let before = peak_memory_bytes();
        let result = idx::parse(Path::new("file"), &file);
        // These files hold 3 KB at most, so 1032 times as much may be asked for; other tests run beside this one.
        prop_assert!(peak_memory_bytes() - before < 1 << 30, "memory for a promise");
        match result {
            Ok(array) => {
                prop_assert!((1..=3).contains(&array.dims.len()));
                prop_assert_eq!(array.dims.iter().product::<usize>(), array.bytes.len());
                prop_assert_eq!(array.bytes.capacity(), array.bytes.len());
                if !file.starts_with(&[0x1f, 0x8b]) {
                    let sizes: Vec<u32> = array.dims.iter().map(|&size| size as u32).collect();
                    prop_assert_eq!([header(&sizes), array.bytes].concat(), file);
                }
            }
            Err(error) => {
                prop_assert!(matches!(error, Error::Idx { .. }), "{}", error);
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
