//! `train --shuffle blocks` and `--stream`: the same run wherever its rows are.

use std::fs;
use std::path::Path;

use flatnet::data::idx::{self, IdxArray};
use flatnet::data::load_mnist_folder;
use serde_json::Value;

use super::common::{flatnet, stderr, stdout};

const MNIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");

/// The first images of MNIST, not packed, in `raw`; and as NumPy's arrays, `x.npy` and `y.npy`.
fn write_sets(folder: &Path) {
    let (train, test) = load_mnist_folder(Path::new(MNIST)).unwrap();
    let raw = folder.join("raw");
    fs::create_dir(&raw).unwrap();
    for (split, set, rows) in [("train", &train, 6_000), ("t10k", &test, 500)] {
        let bytes: Vec<u8> = (0..rows).flat_map(|row| set.row(row)).collect();
        let labels: Vec<u8> = set.labels()[..rows].iter().map(|label| *label as u8).collect();
        if split == "train" {
            fs::write(folder.join("x.npy"), npy("(6000, 28, 28)", &bytes)).unwrap();
            fs::write(folder.join("y.npy"), npy("(6000,)", &labels)).unwrap();
        }
        let images = IdxArray { dims: vec![rows, 28, 28], bytes };
        idx::write(&raw.join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
        let labels = IdxArray { dims: vec![rows], bytes: labels };
        idx::write(&raw.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
    }
}

fn npy(shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

const COMMON: [&str; 9] =
    ["train", "--batch-size", "600", "--optimizer", "adamw", "--lr", "0.002", "--quiet", "--json"];
const NETWORK: [&str; 2] = ["--layers", "linear:24,relu,dropout:0.1,linear:10"];

/// What `train` prints, with these words more.
fn run(folder: &Path, words: &[&str]) -> Value {
    run_with(folder, &[&NETWORK[..], words].concat())
}

fn run_with(folder: &Path, words: &[&str]) -> Value {
    let output = flatnet(folder).args(COMMON).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    serde_json::from_str(stdout(&output)).unwrap()
}

fn without_times(mut summary: Value) -> Value {
    for name in ["seconds", "batches_per_second", "recipe", "threads"] {
        summary.as_object_mut().unwrap().remove(name);
    }
    summary
}

#[test]
fn a_run_whose_rows_are_streamed_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sets(folder);
    let sets: [&[&str]; 4] = [
        &["--data", "raw"],
        &["--data", "raw", "--train-samples", "3000", "--val-samples", "300", "--scale", "standard"],
        &["--data", "x.npy", "--targets", "y.npy"],
        &["--data", "x.npy", "--targets", "y.npy", "--val-split", "0.1", "--parallel", "features"],
    ];
    for set in sets {
        let mut of_orders = Vec::new();
        for shuffle in ["never", "blocks"] {
            let summary = |more: &[&str]| {
                let common = ["--epochs", "2", "--shuffle", shuffle, "--out", "run", "--overwrite"];
                without_times(run(folder, &[set, &common, more].concat()))
            };
            let in_memory = summary(&["--threads", "1"]);
            assert!(in_memory["final"]["train_loss"].as_f64().unwrap() < 2.0, "{in_memory}");
            for threads in ["2", "1"] {
                assert_eq!(summary(&["--stream", "--threads", threads]), in_memory, "{set:?} {shuffle}");
            }
            assert!(fs::read_to_string(folder.join("run/report.html")).unwrap().contains("--stream"));
            of_orders.push(in_memory["weights_sha256"].clone());
        }
        assert_ne!(of_orders[0], of_orders[1]);
    }
}

/// Tables as text and as arrays, with words, gaps and rows held out: by blocks only, as rows are taken in the file's order.
#[test]
fn a_table_that_is_streamed_gives_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let noise = |i: usize| (i * 7919 % 1000) as f32 / 500.0 - 1.0;
    let town = |row: usize| ["Ulm", "Bonn", "\"Bad, \nAibling\"", ""][(row * row / 7) % 4];
    let cell = |row: usize, column: usize| noise(row * 13 + column * 31 + row / 9);
    let price = |row: usize| 3.0 * cell(row, 0) - cell(row, 1) + (row * row / 7 % 4) as f32;
    let mut text = String::from("size,age,town,price,kind\n");
    for row in 0..3_000 {
        let age = if row % 50 == 7 { "NA".to_string() } else { cell(row, 1).to_string() };
        let kind = if price(row) > 1.0 { "dear" } else { "cheap" };
        text += &format!("{},{age},{},{},{kind}\n", cell(row, 0), town(row), price(row));
    }
    fs::write(folder.join("t.csv"), text).unwrap();
    let floats = |rows: usize, columns: usize| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}\n");
        let mut file = b"\x93NUMPY\x01\0".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend((0..rows * columns).flat_map(|i| cell(i / columns, i % columns).to_le_bytes()));
        file
    };
    fs::write(folder.join("x.npy"), floats(3_000, 5)).unwrap();
    fs::write(folder.join("y.npy"), floats(3_000, 2)).unwrap();
    for (set, layers) in [
        (
            &["--data", "t.csv", "--target", "price", "--missing", "mean", "--transform", "robust"][..],
            "linear:8,relu,linear:1",
        ),
        (&["--data", "t.csv", "--target", "kind", "--missing", "drop"], "linear:8,relu,linear:2"),
        (
            &["--data", "t.csv", "--val-data", "t.csv", "--target", "kind", "--missing", "mean", "--val-samples", "99"],
            "linear:2",
        ),
        (&["--data", "x.npy", "--targets", "y.npy", "--val-split", "0.3", "--transform", "min-max"], "linear:2"),
    ] {
        let common = ["--epochs", "2", "--shuffle", "blocks", "--out", "run", "--overwrite", "--layers", layers];
        let summary = |more: &[&str]| without_times(run_with(folder, &[set, &common, more].concat()));
        let in_memory = summary(&[]);
        assert!(in_memory["final"]["train_loss"].as_f64().unwrap() < 1.5, "{in_memory}");
        let model = fs::read(folder.join("run/model.safetensors")).unwrap();
        assert_eq!(summary(&["--stream"]), in_memory, "{set:?}");
        // With all that the table's columns become.
        let streamed = fs::read(folder.join("run/model.safetensors")).unwrap();
        let tensors = |file: &[u8]| file[8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize..].to_vec();
        assert_eq!(tensors(&streamed), tensors(&model));
        let words = ["evaluate", "--model", "run", "--sample", "run", "--json"];
        let found: Value = serde_json::from_str(stdout(&flatnet(folder).args(words).output().unwrap())).unwrap();
        assert_eq!(found["loss"], in_memory["final"]["val_loss"], "{set:?}");
    }
    let words = ["--data", "t.csv", "--target", "kind", "--missing", "drop", "--stream", "--out", "other"];
    let output = flatnet(folder).args(COMMON).args(words).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("with --shuffle blocks"), "{}", stderr(&output));
}

#[test]
fn a_streamed_run_goes_on_where_it_ended_in_memory_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sets(folder);
    let common = ["--data", "raw", "--shuffle", "blocks", "--no-report"];
    let whole = run(folder, &[&common[..], &["--epochs", "2", "--out", "whole"]].concat());
    run(folder, &[&common[..], &["--stream", "--epochs", "1", "--checkpoint-every", "1", "--out", "part"]].concat());
    for more in [&["--stream"][..], &[]] {
        let words =
            [&["train", "--resume", "part", "--epochs", "2", "--out", "end", "--overwrite", "--json"], more].concat();
        let output = flatnet(folder).args(words).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let summary: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(summary["weights_sha256"], whole["weights_sha256"]);
        assert_eq!(summary["recipe"]["stream"], true);
    }
    // And its own samples are found again.
    let words = ["evaluate", "--model", "whole", "--sample", "run", "--json"];
    let output = flatnet(folder).args(words).output().unwrap();
    let found: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(found["loss"], whole["final"]["val_loss"]);
}

#[test]
fn what_cannot_be_streamed_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_sets(folder);
    fs::write(folder.join("t.svm"), "1 1:0.5\n-1 2:1\n1 1:1\n-1 2:2\n1 1:3\n-1 2:4\n").unwrap();
    for (words, wanted) in [
        (&["--data", MNIST, "--stream"][..], "gzip -d"),
        (&["--data", "raw", "--stream", "--shuffle", "epoch"], "expected blocks or never"),
        (&["--data", "t.svm", "--stream", "--layers", "linear:2"], "--stream"),
        (&["--data", "raw", "--shuffle", "block"], "blocks"),
    ] {
        let output = flatnet(folder).args(COMMON).args(words).args(["--out", "run"]).output().unwrap();
        let told = stderr(&output);
        assert!(!output.status.success() && told.contains(wanted), "{words:?}: {told}");
        assert!(!folder.join("run").exists());
    }
}
