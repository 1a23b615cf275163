//! The event files of `train --tensorboard`, read by a reader of their format that shares no line with their writer.
//! `tests/tensorboard/read_back.py` has TensorBoard itself read them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::flatnet;

// --- a reader ---

/// CRC-32C, a bit at a time.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file; an error at the first that breaks the framing or a checksum.
fn records(mut bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let at = format!("record {}", found.len());
        let (length, rest) = bytes.split_at_checked(8).ok_or(format!("{at}: no length"))?;
        let (length_crc, rest) = rest.split_at_checked(4).ok_or(format!("{at}: no checksum of its length"))?;
        if masked(length).to_le_bytes() != length_crc {
            return Err(format!("{at}: checksum of its length"));
        }
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (data, rest) = rest.split_at_checked(length).ok_or(format!("{at}: cut short"))?;
        let (data_crc, rest) = rest.split_at_checked(4).ok_or(format!("{at}: no checksum of its data"))?;
        if masked(data).to_le_bytes() != data_crc {
            return Err(format!("{at}: checksum of its data"));
        }
        found.push(data);
        bytes = rest;
    }
    Ok(found)
}

/// The fields of a protocol buffer: number, kind and bytes; those of a number are little-endian.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("a number of more than ten bytes");
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, 0, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(&mut bytes) as usize,
            kind => panic!("kind {kind}"),
        };
        found.push((key >> 3, key & 7, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

/// A point: wall time, step, value.
type Point = (f64, u64, f32);

/// The points of every tag in the one event file of a folder, in the order they stand there.
fn scalars(folder: &Path) -> BTreeMap<String, Vec<Point>> {
    let mut tags: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    let bytes = fs::read(event_file(folder)).unwrap();
    for (index, record) in records(&bytes).unwrap().into_iter().enumerate() {
        let (mut time, mut step, mut pairs) = (0.0, 0, Vec::new());
        for (number, kind, bytes) in fields(record) {
            match (number, kind) {
                (1, 1) => time = f64::from_le_bytes(bytes.try_into().unwrap()),
                (2, 0) => step = u64::from_le_bytes(bytes.try_into().unwrap()),
                (3, 2) => assert_eq!((index, &*bytes), (0, &b"brain.Event:2"[..])),
                (5, 2) => pairs.extend(fields(&bytes)),
                unknown => panic!("{unknown:?} in an event"),
            }
        }
        for (_, _, pair) in pairs {
            let pair = fields(&pair);
            assert_eq!((pair[0].0, pair[0].1, pair[1].0, pair[1].1), (1, 2, 2, 5));
            let tag = String::from_utf8(pair[0].2.clone()).unwrap();
            let value = f32::from_le_bytes(pair[1].2.clone().try_into().unwrap());
            tags.entry(tag).or_default().push((time, step, value));
        }
    }
    tags
}

fn event_file(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let file = files.pop().unwrap();
    assert!(files.is_empty(), "one file in {}", folder.display());
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."), "{}", file.display());
    file
}

#[test]
fn the_reader_knows_a_broken_file() {
    // The check value of CRC-32C, as every table of such sums gives it.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let record = |data: &[u8]| {
        let length = (data.len() as u64).to_le_bytes();
        [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
    };
    let good = [record(b"one"), record(b"")].concat();
    assert_eq!(records(&good).unwrap(), [&b"one"[..], b""]);
    for at in 0..good.len() {
        let mut broken = good.clone();
        broken[at] ^= 1;
        assert!(records(&broken).is_err(), "byte {at}");
        assert_eq!(records(&good[..at]).is_ok(), at == 0 || at == record(b"one").len(), "cut at {at}");
    }
}

// --- the program ---

fn train(cwd: &Path, words: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args(["train", "--train-samples", "640", "--val-samples", "250", "--epochs", "3"]);
    command.args(words);
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The rows of a CSV file of a run, without its header.
fn rows(file: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

#[test]
fn event_files_hold_every_figure_of_the_run() {
    let cwd = folder();
    let output = train(cwd.path(), &["--tensorboard", "logs/first", "--out", "run", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let _one_object: Value = serde_json::from_slice(&output.stdout).unwrap();

    let epochs = rows(&cwd.path().join("run/epochs.csv"));
    let batches = rows(&cwd.path().join("run/batches.csv"));
    for (phase, of_csv, [loss, accuracy]) in [("train", "train", [1, 2]), ("validation", "val", [3, 4])] {
        let tags = scalars(&cwd.path().join("logs/first").join(phase));
        let names: Vec<&str> = tags.keys().map(String::as_str).collect();
        let own = ["batch/accuracy", "batch/loss", "epoch/accuracy", "epoch/loss"];
        // What was watched is of the training alone, in the columns after those of every run.
        let watched = [("dead_1", 11), ("grad_norm", 8), ("largest_class_share", 7), ("largest_weight", 10), ("lr", 9)];
        let watched = if phase == "train" { &watched[..] } else { &[] };
        let with_group = watched.iter().map(|(name, column)| (format!("watch/{name}"), *column)).collect::<Vec<_>>();
        assert_eq!(names, [&own[..], &with_group.iter().map(|(tag, _)| &**tag).collect::<Vec<_>>()].concat());
        for (tag, column) in &with_group {
            assert_eq!(tags[tag].len(), 3);
            for ((_, step, value), row) in tags[tag].iter().zip(&epochs) {
                assert_eq!(
                    (step.to_string(), *value),
                    (row[0].clone(), row[*column].parse::<f64>().unwrap() as f32),
                    "{tag}"
                );
            }
        }
        for (tag, column) in [("epoch/loss", loss), ("epoch/accuracy", accuracy)] {
            assert_eq!(tags[tag].len(), 3);
            for ((_, step, value), row) in tags[tag].iter().zip(&epochs) {
                assert_eq!((step.to_string(), *value), (row[0].clone(), row[column].parse::<f64>().unwrap() as f32));
            }
        }
        let expected: Vec<(u64, &Vec<String>)> = (1..).zip(&batches).filter(|(_, row)| row[0] == of_csv).collect();
        for (tag, column) in [("batch/loss", 3), ("batch/accuracy", 4)] {
            assert_eq!(tags[tag].len(), expected.len());
            for ((_, step, value), (number, row)) in tags[tag].iter().zip(&expected) {
                assert_eq!((*step, *value), (*number, row[column].parse::<f64>().unwrap() as f32), "{tag}");
            }
        }
        // Times go up, batches lie within their epochs, and all of it was just now.
        let ends: Vec<f64> = tags["epoch/loss"].iter().map(|point| point.0).collect();
        let times: Vec<f64> = tags["batch/loss"].iter().map(|point| point.0).collect();
        assert!(ends.is_sorted() && times.is_sorted() && times.last() <= ends.last());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(times[0] > now - 600.0 && ends[2] <= now, "{times:?} {ends:?} {now}");
    }
}

#[test]
fn long_runs_are_thinned_to_real_batches() {
    let cwd = folder();
    // 21,000 training batches of one sample each.
    let command = train(cwd.path(), &["--batch-size", "1", "--tensorboard", "logs", "--out", "run", "--quiet"]);
    let words: Vec<String> = command.get_args().map(|word| word.to_str().unwrap().replace("640", "7000")).collect();
    flatnet(cwd.path()).args(words).assert().success();
    let batches = rows(&cwd.path().join("run/batches.csv"));
    let points = &scalars(&cwd.path().join("logs/train"))["batch/loss"];
    assert_eq!(points.len(), 7000, "every third");
    for (_, step, value) in points {
        let row = &batches[*step as usize - 1];
        assert_eq!((row[0].as_str(), row[3].parse::<f32>().unwrap()), ("train", *value));
    }
    assert_eq!(scalars(&cwd.path().join("logs/validation"))["batch/loss"].len(), 750);
}

#[test]
fn event_files_are_never_mixed_with_others() {
    let cwd = folder();
    train(cwd.path(), &["--tensorboard", "logs", "--quiet"]).assert().success();
    let before = fs::read(event_file(&cwd.path().join("logs/train"))).unwrap();
    let refused = |logs: &str, told: &str| {
        let output = train(cwd.path(), &["--tensorboard", logs]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), message.lines().count()), (Some(1), 1), "{message}");
        assert!(message.contains(told), "{message}");
    };
    refused("logs", "logs/train: holds event files already");
    fs::remove_dir_all(cwd.path().join("logs/train")).unwrap();
    refused("logs", "logs/validation: holds event files already");
    refused("logs/validation", "logs/validation: holds event files already");
    fs::write(cwd.path().join("file"), "mine").unwrap();
    refused("file", "file");
    assert_eq!(fs::read(cwd.path().join("file")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(cwd.path().join("runs")).unwrap().count(), 1, "refused before the training");
    assert!(records(&before).is_ok());
}

#[test]
fn no_epoch_leaves_valid_files_without_points() {
    let cwd = folder();
    let words = ["train", "--train-samples", "64", "--val-samples", "25", "--epochs", "0", "--tensorboard", "logs"];
    flatnet(cwd.path()).args(words).assert().success();
    assert!(scalars(&cwd.path().join("logs/train")).is_empty());
}
