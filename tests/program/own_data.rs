//! A user's own data of every kind, from the file to answers for new rows, and what is wrong with them, told with its place.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{folder, json, refused};
use crate::common::{entries, flatnet, stderr, stdout};

const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables");

/// 20 rows of two classes that one number tells apart, as CSV below `head`.
fn rows(head: &str, delimiter: char) -> String {
    let row =
        |row: usize| format!("{}{delimiter}{}{delimiter}{}\n", row % 2 * 10 + row / 7, row % 5, ["no", "yes"][row % 2]);
    head.to_string() + &(0..20).map(row).collect::<String>()
}

fn trains(cwd: &Path, data: &str, out: &str, words: &[&str]) -> Value {
    let epochs = if words.contains(&"--epochs") { &[][..] } else { &["--epochs", "2"] };
    json(flatnet(cwd).args(["train", "--data", data, "--quiet", "--json", "--out", out]).args(epochs).args(words))
}

/// `.npy` of little-endian numbers, as NumPy writes it.
fn npy(kind: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

#[test]
fn data_of_every_kind_are_trained_on() {
    let cwd = folder();
    let at = |name: &str| cwd.path().join(name);
    fs::write(at("rows.csv"), rows("a,b,y\n", ',')).unwrap();
    fs::write(at("rows.tsv"), rows("a\tb\ty\n", '\t')).unwrap();
    fs::write(at("plain.data"), rows("", ';')).unwrap();
    fs::write(at("bom.csv"), format!("\u{feff}{}", rows("a,b,\"y\"\n", ',').replace('\n', "\r\n"))).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/train.csv"), rows("a,b,y\n", ',')).unwrap();
    fs::write(at("rows.libsvm"), (0..20).map(|row| format!("{} 1:{} 3:1.5\n", row % 2, row)).collect::<String>())
        .unwrap();
    let x: Vec<u8> = (0..40).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let y: Vec<u8> = (0..20_i64).flat_map(|value| (value % 2).to_le_bytes()).collect();
    fs::write(at("x.npy"), npy("<f4", "(20, 2)", &x)).unwrap();
    fs::write(at("y.npy"), npy("<i8", "(20,)", &y)).unwrap();
    for (data, words, features) in [
        ("rows.csv", &["--target", "y"][..], 2),
        ("rows.tsv", &["--target", "3"], 2),
        ("plain.data", &["--target", "3"], 2),
        ("bom.csv", &[], 2),
        ("folder", &["--target", "y"], 2),
        ("rows.libsvm", &[], 3),
        ("x.npy", &["--targets", "y.npy"], 2),
        (&format!("{TABLES}/digits.csv.gz"), &[], 64),
    ] {
        let run = trains(cwd.path(), data, &format!("run-{}", data.replace('/', "_")), words);
        assert_eq!(run["data"]["features"], features, "{data}");
        let (train, val) =
            (run["data"]["train_samples"].as_u64().unwrap(), run["data"]["val_samples"].as_u64().unwrap());
        assert_eq!((train + val) / 5, val, "{data}: a fifth is held out");
    }
}

/// The row of the file stands before each answer, and an answer is the class that the row's own probabilities say.
#[test]
fn predict_answers_for_each_row_and_for_no_half_of_a_file() {
    let cwd = folder();
    fs::write(cwd.path().join("rows.csv"), rows("a,b,y\n", ',')).unwrap();
    trains(cwd.path(), "rows.csv", "run", &["--target", "y", "--epochs", "200", "--lr", "0.1"]);
    // Without the target, and in another order of columns.
    fs::write(cwd.path().join("new.csv"), "b,a\n1,0\n1,10\n").unwrap();
    let predict = |words: &[&str]| {
        let mut command = flatnet(cwd.path());
        command.args(["predict", "--model", "run"]).args(words);
        command
    };
    let output = predict(&["new.csv"]).output().unwrap();
    let lines: Vec<Vec<&str>> = stdout(&output).lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["row", "prediction", "probability", "p_no", "p_yes"]);
    assert_eq!((lines.len(), &lines[1][..2], &lines[2][..2]), (3, &["0", "no"][..], &["1", "yes"][..]));
    let both: Vec<f64> = lines[1][3..].iter().map(|p| p.parse().unwrap()).collect();
    // Two exponentials over their sum: the sum is rounded once and each quotient once, each by at most 2^-24 of itself, and the
    // text of each lies closer to it than to any other f32. That is 3 * 2^-24 of 1, but for products of these errors.
    const BOUND: f64 = 4.0 / (1 << 24) as f64;
    assert!((both[0] + both[1] - 1.0).abs() <= BOUND && lines[1][2] == lines[1][3], "{lines:?}");
    let report = json(&mut predict(&["new.csv", "--json"]));
    assert_eq!(report["predictions"][1]["name"], "yes");
    assert_eq!(report["predictions"][1]["top"][0]["class"], 1);
    // Several files are told apart.
    let output = predict(&["new.csv", "new.csv"]).output().unwrap();
    assert!(stdout(&output).starts_with("file,row,") && stdout(&output).lines().count() == 5);
    for (file, text, told) in [
        ("word.csv", "a,b\n1,2\nx,3\n", &["word.csv", "line 3", "'a'", "'x'"][..]),
        ("gap.csv", "a,b\n1,2\n,3\n", &["gap.csv", "line 3", "'a'", "nothing"]),
        ("less.csv", "a,c\n1,2\n", &["less.csv", "'b'"]),
    ] {
        fs::write(cwd.path().join(file), text).unwrap();
        refused(&mut predict(&[file]), 1, told);
    }
}

#[test]
fn words_are_inputs_and_an_unknown_one_is_told_with_its_place() {
    let cwd = folder();
    let head = "town,size,price\n";
    let row = |row: usize| format!("{},{row},{}\n", ["Ulm", "Bonn"][row % 2], 100 * (row % 2) + row);
    fs::write(cwd.path().join("rows.csv"), head.to_string() + &(0..30).map(row).collect::<String>()).unwrap();
    let run = trains(cwd.path(), "rows.csv", "run", &["--target", "price", "--task", "regress"]);
    assert_eq!((&run["data"]["features"], &run["recipe"]["task"]), (&3.into(), &"regress".into()));
    fs::write(cwd.path().join("new.csv"), "town,size\nBonn,3\nUlm,4\nPrag,5\n").unwrap();
    let mut predict = flatnet(cwd.path());
    refused(predict.args(["predict", "--model", "run", "new.csv"]), 1, &["new.csv", "line 4", "'town'", "'Prag'"]);
}

#[test]
fn what_cannot_be_trained_on_is_told_in_one_line_and_leaves_nothing() {
    let cwd = folder();
    let refused_for = |name: &str, text: &str, words: &[&str], told: &[&str]| {
        fs::write(cwd.path().join(name), text).unwrap();
        let mut command = flatnet(cwd.path());
        command.args(["train", "--data", name, "--out", "run", "--epochs", "1"]).args(words);
        refused(&mut command, 1, told);
        assert!(!entries(cwd.path()).contains(&"run".to_string()), "{name}");
    };
    let whole = rows("a,b,y\n", ',');
    refused_for("empty.csv", "", &[], &["empty.csv", "empty"]);
    refused_for("head.csv", "a,b,y\n", &[], &["head.csv", "no rows"]);
    refused_for("ragged.csv", &(whole.clone() + "1,2\n"), &[], &["ragged.csv", "line 22", "2 cells", "3"]);
    refused_for("text.csv", &(whole.clone() + "x,2,no\n"), &[], &["line 22", "'a'", "'x'", "--text-columns"]);
    refused_for("inf.csv", &(whole.clone() + "inf,2,no\n"), &[], &["line 22", "'a'", "'inf'"]);
    refused_for("gap.csv", &(whole.clone() + ",2,no\n"), &[], &["line 22", "'a'", "--missing mean"]);
    refused_for("target.csv", &(whole.clone() + "1,2,\n"), &["--missing", "mean"], &["line 22", "'y'", "a class"]);
    refused_for("none.csv", &whole.replace('y', "z"), &[], &["none.csv", "a, b, z", "--target COLUMN"]);
    refused_for("one.csv", &whole.replace("yes", "no"), &["--task", "classify"], &["one.csv", "classes", "found 1"]);
    refused_for("loss.csv", &whole, &["--loss", "huber"], &["huber"]);
    refused_for("scale.csv", &whole, &["--scale", "standard"], &["--scale", "--transform"]);
    for flag in ["--target", "--transform"] {
        let mut command = flatnet(cwd.path());
        command.args(["train", "--data", concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist"), flag, "robust"]);
        refused(&mut command, 1, &["robust", &format!("leave {flag} out"), "pictures"]);
    }
    fs::write(cwd.path().join("later.csv"), "a,b,y\n1,2,maybe\n").unwrap();
    refused_for("new.csv", &whole, &["--val-data", "later.csv"], &["later.csv", "line 2", "'y'", "'maybe'"]);
    // Rows that lack something may be left out.
    fs::write(cwd.path().join("gaps.csv"), whole + ",2,no\nNA,2,yes\n").unwrap();
    let run = trains(cwd.path(), "gaps.csv", "whole", &["--missing", "drop"]);
    assert_eq!((&run["data"]["train_samples"], &run["data"]["val_samples"]), (&16.into(), &4.into()));
}

#[test]
fn a_cross_validation_holds_out_each_row_once_and_goes_on() {
    let cwd = folder();
    fs::write(cwd.path().join("rows.csv"), rows("a,b,y\n", ',')).unwrap();
    let words = ["train", "--data", "rows.csv", "--epochs", "3", "--folds", "4", "--out", "cv", "--no-report"];
    let report = json(flatnet(cwd.path()).args(words).args(["--json", "--quiet"]));
    assert_eq!((&report["done"], report["settings"].as_array().unwrap().len()), (&4.into(), 1));
    let mut held_out: Vec<u64> = Vec::new();
    for fold in 1..=4 {
        let sample = fs::read_to_string(cwd.path().join(format!("cv/fold={fold}-4/sample.csv"))).unwrap();
        let val = sample.lines().filter(|line| line.starts_with("val,"));
        held_out.extend(val.map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap()));
    }
    held_out.sort_unstable();
    assert_eq!(held_out, (0..20).collect::<Vec<u64>>());
    fs::remove_dir_all(cwd.path().join("cv/fold=2-4")).unwrap();
    let output = flatnet(cwd.path()).args(words).output().unwrap();
    assert!(stderr(&output).starts_with("1 of 4 runs to do") && stdout(&output).contains('±'), "{}", stderr(&output));
    // A single part is a run like any other, with the same bits.
    let alone = trains(cwd.path(), "rows.csv", "alone", &["--epochs", "3", "--fold", "3/4"]);
    let part: Value = serde_json::from_slice(&fs::read(cwd.path().join("cv/fold=3-4/summary.json")).unwrap()).unwrap();
    assert_eq!(alone["weights_sha256"], part["weights_sha256"]);
}

/// Only MNIST has the reference recipe's defaults, wherever it lies.
#[test]
fn what_flags_leave_open_is_taken_from_the_data_and_told() {
    let cwd = folder();
    let mnist = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    fs::create_dir(cwd.path().join("elsewhere")).unwrap();
    for name in entries(&mnist) {
        fs::copy(mnist.join(&name), cwd.path().join("elsewhere").join(name)).unwrap();
    }
    let run = trains(cwd.path(), "elsewhere", "mnist", &["--epochs", "1"]);
    assert_eq!((&run["recipe"]["train_samples"], &run["recipe"]["val_samples"]), (&30_000.into(), &5_000.into()));
    assert_eq!(run["recipe"]["layers"], "linear:10,relu");
    fs::write(cwd.path().join("rows.csv"), rows("a,b,c,y\n", ',').replace(",no", ",7,no").replace(",yes", ",7,yes"))
        .unwrap();
    let output =
        flatnet(cwd.path()).args(["train", "--data", "rows.csv", "--epochs", "1", "--out", "own"]).output().unwrap();
    for told in [
        "y has 2 classes (no, yes)",
        "--task",
        "1 column says nothing",
        ": c\n",
        "--val-split",
        "linear:128,relu,linear:2",
    ] {
        assert!(stderr(&output).contains(told), "{told} is missing in {}", stderr(&output));
    }
    let quiet = flatnet(cwd.path())
        .args(["train", "--data", "rows.csv", "--epochs", "1", "--out", "q", "--quiet"])
        .output()
        .unwrap();
    assert!(!stderr(&quiet).contains("note:"), "{}", stderr(&quiet));
}
