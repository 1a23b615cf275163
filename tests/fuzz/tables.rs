//! Sources of tables, damaged: CSV, NumPy's arrays and archives, LIBSVM's lines, IDX of every type, and the folders in which
//! two tables lie.

use std::fs;
use std::io::Write;
use std::path::Path;

use flatnet::data::{self, Source, SourceOptions, Table};

use crate::idx::gzip;
use crate::mutate::Random;
use crate::{one_line, try_all};

/// What one call to the allocator may ask for is so much for each unpacked byte, and 16 MB: less than for other inputs.
const BYTES_PER_BYTE: usize = 16;
const FREE_BYTES: usize = 16 << 20;

/// Panics unless what was read of so many unpacked bytes is valid, or an error of one line, and took memory in proportion.
fn check(source: flatnet::Result<Source>, unpacked: usize) {
    let largest = crate::largest_request::of_this_thread();
    let most = BYTES_PER_BYTE * unpacked + FREE_BYTES;
    assert!(largest <= most, "{largest} bytes at once for {unpacked} bytes, expected at most {most}");
    match source {
        Err(error) => one_line(&error),
        Ok(Source::Images { train, test }) => {
            for set in [Some(&train), test.as_ref()].into_iter().flatten() {
                assert!(!set.is_empty() && set.classes() == train.classes() && set.image_size() == train.image_size());
                assert!(set.labels().iter().all(|label| usize::from(*label) < set.classes()));
                assert_eq!(set.pixels().len(), set.len() * set.features());
            }
        }
        Ok(Source::Table { train, test, targets }) => {
            assert!(targets.iter().all(|target| train.find(target).is_some()));
            check_table(&train);
            test.iter().for_each(check_table);
        }
    }
}

fn check_table(table: &Table) {
    assert!(!table.is_empty() && !table.columns().is_empty());
    for row in 0..table.len() {
        assert_eq!(table.row(row).len(), table.columns().len());
    }
    for (at, column) in table.columns().iter().enumerate() {
        let cells = table.rows().map(|row| row[at]).filter(|cell| !cell.is_nan());
        match &column.words {
            None => assert!(cells.into_iter().all(f32::is_finite)),
            Some(words) => {
                let most = cells.fold(-1.0_f32, f32::max);
                assert_eq!(most + 1.0, words.len() as f32, "every word stands somewhere");
            }
        }
    }
}

fn open(path: &Path, bytes: &[u8], unpacked: usize, options: &SourceOptions) {
    fs::write(path, bytes).unwrap();
    check(data::open(path, options), unpacked);
}

/// As it is, or packed; and how many bytes it has unpacked.
fn packed(random: &mut Random, bytes: Vec<u8>) -> (Vec<u8>, usize) {
    let unpacked = bytes.len();
    match random.below(8) {
        0 => (gzip(&bytes), unpacked),
        // What the damage unpacks to is not known: deflate's densest code is two bits for 258 bytes.
        1 => {
            let damaged = random.changed(&gzip(&bytes), &[]);
            let most = 1032 * damaged.len();
            (damaged, most)
        }
        _ => (bytes, unpacked),
    }
}

fn texts() -> Vec<Vec<u8>> {
    let rows = |count: usize| (0..count).map(|row| format!("{row},{}.5,w{},\n", row * 7, row % 5)).collect::<String>();
    let texts = [
        "a,b,c\n1,2.5,cat\n,NA,\"d\"\"og, x\"\n-3e2,+4,?\n".to_string(),
        "x;y\r\n1,5;2\r\n\r\n3;NaN\r\n".into(),
        "1\t2\t3\n4\t5\t6\n".into(),
        "label|w\n1|\"two\nlines\"\n2|end\n".into(),
        "\u{feff}n,\u{fc}\r1,x\r2,y\r".into(),
        format!("i,v,w,\n{}", rows(300)),
        "1,".repeat(3000) + "\n" + &"2,".repeat(3000),
        "p,x,s\ne,x,y\np,b,s\n".into(),
    ];
    texts.map(String::into_bytes).to_vec()
}

fn text(random: &mut Random) -> Vec<u8> {
    let originals = texts();
    let original = random.pick(&originals).clone();
    if random.once_in(3)
        && let Ok(text) = std::str::from_utf8(&original)
    {
        return random.changed_numbers(text).into_bytes();
    }
    let mut changed = random.changed(&original, &originals);
    if random.once_in(3) {
        // What a table is made of.
        let pieces: [&[u8]; 11] = [b",", b"\"", b"\n", b"\r", b";", b"\t", b"|", b" ", b"NA", b"inf", b"\"\""];
        for _ in 0..1 + random.below(6) {
            let at = random.below(changed.len() + 1);
            let piece = *random.pick(&pieces);
            drop(changed.splice(at..at, piece.iter().copied()));
        }
    }
    changed
}

#[test]
fn csv_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let make = |random: &mut Random| {
        let header = *random.pick(&[None, None, Some(true), Some(false)]);
        let text_columns = if random.once_in(4) { vec![random.pick(&["1", "a", "w"]).to_string()] } else { vec![] };
        let options = SourceOptions { header, text_columns, ..SourceOptions::default() };
        let changed = text(random);
        (packed(random, changed), options)
    };
    try_all("csv", make, |((bytes, unpacked), options)| {
        open(&path, bytes, *unpacked, options);
        0
    });
}

#[test]
fn folders_of_tables() {
    let folder = tempfile::tempdir().unwrap();
    try_all(
        "tables",
        |random| (text(random), text(random)),
        |(train, test)| {
            fs::write(folder.path().join("train.csv"), train).unwrap();
            fs::write(folder.path().join("test.csv"), test).unwrap();
            check(data::open(folder.path(), &SourceOptions::default()), train.len() + test.len());
            0
        },
    );
}

fn npy(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend((header.len() as u16).to_le_bytes()),
        _ => file.extend((header.len() as u32).to_le_bytes()),
    }
    file.extend(header.as_bytes());
    file.extend(values);
    file
}

fn arrays() -> Vec<Vec<u8>> {
    let array = |version, descr: &str, fortran, shape: &str, bytes: usize| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}      \n");
        npy(version, &header, &(0..bytes).map(|at| (at * 37 % 251) as u8).collect::<Vec<_>>())
    };
    vec![
        array(1, "|u1", "False", "6, 3, 5", 90),
        array(1, "|u1", "False", "6,", 6),
        array(1, "<f4", "False", "6, 4", 96),
        array(2, ">f8", "True", "3, 2, 4", 192),
        array(3, "<i8", "False", "6, 1", 48),
        array(1, "<f2", "True", "5, 7", 70),
        array(1, "|b1", "False", "9,", 9),
        array(1, ">u4", "False", "2, 2, 2, 2", 64),
    ]
}

/// Damage to a number or a word of the header, to any bytes, or none.
fn array(random: &mut Random) -> Vec<u8> {
    let originals = arrays();
    let original = random.pick(&originals).clone();
    match random.below(4) {
        0 => original,
        1 => {
            let end = original.iter().position(|byte| *byte == b'\n').unwrap() + 1;
            let start = if original[6] == 1 { 10 } else { 12 };
            let header = random.changed_numbers(std::str::from_utf8(&original[start..end]).unwrap());
            npy(original[6], &header, &original[end..])
        }
        _ => random.changed(&original, &originals),
    }
}

#[test]
fn npy_files() {
    let folder = tempfile::tempdir().unwrap();
    let (path, targets) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    let make = |random: &mut Random| {
        let x = array(random);
        (packed(random, x), random.once_in(2).then(|| array(random)))
    };
    try_all("npy", make, |((bytes, unpacked), y)| {
        let unpacked = unpacked + y.as_ref().map_or(0, Vec::len);
        let options = SourceOptions { targets: y.as_ref().map(|_| targets.clone()), ..SourceOptions::default() };
        if let Some(y) = y {
            fs::write(&targets, y).unwrap();
        }
        open(&path, bytes, unpacked, &options);
        0
    });
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A zip archive with right checksums.
fn archive(random: &mut Random, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let deflate = random.once_in(2);
        let data = if deflate { deflated(bytes) } else { bytes.clone() };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let mut common = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(data);
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([(entries.len() as u16).to_le_bytes(); 2].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

#[test]
fn npz_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let make = |random: &mut Random| {
        let originals = arrays();
        let names = *random.pick(&[
            &["x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"][..],
            &["X.npy", "y.npy"],
            &["arr_0.npy", "readme.txt"],
        ]);
        let damaged = random.below(names.len());
        let entries: Vec<(&str, Vec<u8>)> = (names.iter().enumerate())
            .map(|(at, name)| {
                let whole = originals[at % 2].clone();
                (*name, if at == damaged && random.once_in(2) { array(random) } else { whole })
            })
            .collect();
        let unpacked: usize = entries.iter().map(|(_, bytes)| bytes.len()).sum();
        let whole = archive(random, &entries);
        if random.once_in(3) { (whole, unpacked) } else { (random.changed(&whole, &[]), 1032 * whole.len()) }
    };
    try_all("npz", make, |(bytes, unpacked)| {
        open(&path, bytes, *unpacked, &SourceOptions::default());
        if let Err(error) = data::arrays(&path) {
            one_line(&error);
        }
        0
    });
}

#[test]
fn libsvm_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.libsvm");
    let originals = [
        "+1 1:0.5 4:-2e0 # end\n-1 2:7\r\n\n0\n",
        "3 0:1 1:2 2:3\n4 0:5\n",
        "1,3 1:2\n2 qid:7 1:1\n",
        "1 262143:1\n1 1:1\n",
    ];
    let make = |random: &mut Random| {
        let original = *random.pick(&originals);
        let all = originals.map(|text| text.as_bytes().to_vec());
        let text = if random.once_in(2) {
            random.changed_numbers(original).into_bytes()
        } else {
            random.changed(original.as_bytes(), &all)
        };
        packed(random, text)
    };
    try_all("libsvm", make, |(bytes, unpacked)| {
        open(&path, bytes, *unpacked, &SourceOptions::default());
        0
    });
}

#[test]
fn idx_files_of_every_type() {
    let folder = tempfile::tempdir().unwrap();
    let (path, targets) = (folder.path().join("x-idx"), folder.path().join("y-idx"));
    let file = |element: u8, sizes: &[u32], bytes: usize| {
        let mut file = vec![0, 0, element, sizes.len() as u8];
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend((0..bytes).map(|at| (at * 37 % 251) as u8));
        file
    };
    let make = |random: &mut Random| {
        let originals = vec![
            file(0x08, &[6, 3, 5], 90),
            file(0x08, &[6], 6),
            file(0x09, &[6, 2], 12),
            file(0x0b, &[6, 1, 2, 2], 48),
            file(0x0c, &[6], 24),
            file(0x0d, &[6, 3], 72),
            file(0x0e, &[6, 2, 1], 96),
        ];
        let one = |random: &mut Random| {
            let original = random.pick(&originals).clone();
            if random.once_in(3) { original } else { random.changed(&original, &originals) }
        };
        let x = one(random);
        (packed(random, x), random.once_in(2).then(|| one(random)))
    };
    try_all("idx of every type", make, |((bytes, unpacked), y)| {
        let unpacked = unpacked + y.as_ref().map_or(0, Vec::len);
        let options = SourceOptions { targets: y.as_ref().map(|_| targets.clone()), ..SourceOptions::default() };
        if let Some(y) = y {
            fs::write(&targets, y).unwrap();
        }
        open(&path, bytes, unpacked, &options);
        0
    });
}
