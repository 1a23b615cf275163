//! `flatnet evaluate`: its report on wide and narrow screens, its JSON, and the file of predictions.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{RUN_ENTRIES, folder, json, refused, small_set, train_small, write_set};
use crate::common::{entries, flatnet, keys, stderr, stdout};

/// A folder with a run in `run`, of which `set` is the data.
fn trained(set: &Path) -> TempDir {
    let cwd = folder();
    train_small(cwd.path(), set).args(["--out", "run", "--quiet"]).assert().success();
    cwd
}

fn evaluate(cwd: &Path, set: &Path) -> Command {
    let mut command = flatnet(cwd);
    command.args(["evaluate", "--model", "run", "--data"]).arg(set);
    command
}

/// A set of so many classes, and a network for it.
fn trained_on(classes: usize) -> (TempDir, TempDir) {
    let (cwd, set) = (folder(), folder());
    write_set(set.path(), 3 * classes, 2, 3, classes);
    let layers = format!("linear:{classes}");
    let mut train = flatnet(cwd.path());
    train.args(["train", "--train-samples", "all", "--val-samples", "all", "--epochs", "1", "--quiet", "--out", "run"]);
    train.args(["--layers", &layers, "--data"]).arg(set.path()).assert().success();
    (cwd, set)
}

#[test]
fn the_report_fits_the_screen_whatever_the_number_of_classes() {
    for classes in [2, 10, 100] {
        let (cwd, set) = trained_on(classes);
        for (columns, head) in [("80", "precision    recall  f1-score support"), ("40", "   prec    rec     f1")] {
            let output = evaluate(cwd.path(), set.path()).env("COLUMNS", columns).output().unwrap();
            let text = stdout(&output);
            assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
            assert!(text.contains(head), "{text}");
            // Below the head, in which a path stays whole.
            for line in text.lines().skip_while(|line| !line.starts_with("  loss")) {
                assert!(line.chars().count() <= columns.parse().unwrap(), "{line}");
            }
            let rows = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
            assert_eq!(rows.filter(|line| line.contains(" 3")).count(), classes, "{text}");
            for name in ["    accuracy ", "   macro avg ", "weighted avg ", "  95 % interval", "  Cohen's kappa"] {
                assert!(text.contains(name), "{name}: {text}");
            }
            assert_eq!(text.contains("ROC AUC"), classes == 2, "{text}");
            assert_eq!(text.contains("top-5 accuracy"), classes > 5, "{text}");
        }
    }
    // What is no width is none.
    let (cwd, set) = trained_on(2);
    for columns in ["0", "-1", "wide", ""] {
        let output = evaluate(cwd.path(), set.path()).env("COLUMNS", columns).output().unwrap();
        assert!(stdout(&output).contains("precision"), "{columns}");
    }
}

#[test]
fn json_has_every_figure_and_they_fit_each_other() {
    let set = small_set();
    let cwd = trained(set.path());
    let report = json(evaluate(cwd.path(), set.path()).args(["--json"]));
    let expected =
        ["accuracy", "confusion", "correct", "data", "epoch", "loss", "metrics", "model", "parameters", "per_class"];
    assert_eq!(keys(&report), [&expected[..], &["samples", "seconds", "split"]].concat());
    assert_eq!(report["parameters"], "last");

    let count = |value: &Value| value.as_u64().unwrap();
    let confusion: Vec<Vec<u64>> = (report["confusion"].as_array().unwrap().iter())
        .map(|row| row.as_array().unwrap().iter().map(count).collect())
        .collect();
    let per_class = report["per_class"].as_array().unwrap();
    assert_eq!((confusion.len(), per_class.len()), (3, 3));
    assert_eq!(confusion.iter().flatten().sum::<u64>(), count(&report["samples"]));
    assert_eq!((0..3).map(|class| confusion[class][class]).sum::<u64>(), count(&report["correct"]));
    for (class, figures) in per_class.iter().enumerate() {
        assert_eq!(keys(figures), ["class", "f1", "precision", "recall", "support"]);
        assert_eq!(count(&figures["class"]), class as u64);
        let support: u64 = confusion[class].iter().sum();
        assert_eq!(count(&figures["support"]), support);
        assert_eq!(figures["recall"].as_f64().unwrap(), confusion[class][class] as f64 / support as f64);
        // What is never predicted has no precision.
        let predicted: u64 = confusion.iter().map(|row| row[class]).sum();
        assert_eq!(figures["precision"].is_null(), predicted == 0);
    }

    let metrics = &report["metrics"];
    let names = [
        "accuracy",
        "accuracy_interval",
        "balanced_accuracy",
        "brier_score",
        "calibration_error",
        "kappa",
        "log_loss",
        "macro_avg",
        "matthews",
        "roc_auc",
        "top_3_accuracy",
        "top_5_accuracy",
        "weighted_avg",
    ];
    assert_eq!(keys(metrics), names);
    assert_eq!(metrics["accuracy"], report["accuracy"]);
    for (name, average) in [("macro_avg", "balanced_accuracy"), ("weighted_avg", "accuracy")] {
        assert_eq!(keys(&metrics[name]), ["f1", "precision", "recall"]);
        let (recall, same) = (metrics[name]["recall"].as_f64().unwrap(), metrics[average].as_f64().unwrap());
        assert!((recall - same).abs() < 1e-12, "{metrics}");
    }
    // The same mean by two ways: from outputs in f32, and from probabilities that are rounded to f32.
    let (loss, log_loss) = (report["loss"].as_f64().unwrap(), metrics["log_loss"].as_f64().unwrap());
    assert!((loss - log_loss).abs() < 1e-5, "{loss} {log_loss}");
    // Of three classes these say nothing.
    assert!(["roc_auc", "top_3_accuracy", "top_5_accuracy"].iter().all(|name| metrics[name].is_null()));
}

/// A file of predictions: its head, and its rows as numbers.
fn read(path: &Path) -> (String, Vec<Vec<f64>>) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    let head = lines.next().unwrap().to_string();
    (head, lines.map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect())
}

#[test]
fn predictions_are_written_row_by_row() {
    let set = small_set();
    let cwd = trained(set.path());
    let file = cwd.path().join("predictions.csv");
    for (sample, samples) in [("all", 60), ("run", 20)] {
        let words = ["--sample", sample, "--predictions", "predictions.csv", "--overwrite", "--json"];
        let report = json(evaluate(cwd.path(), set.path()).args(words));
        let (head, rows) = read(&file);
        assert_eq!(head, "row,label,prediction,probability,p_0,p_1,p_2");
        assert_eq!((rows.len(), report["samples"].as_u64().unwrap()), (samples, samples as u64));
        let right = rows.iter().filter(|row| row[1] == row[2]).count();
        assert_eq!(right as u64, report["correct"].as_u64().unwrap());
        // Labels of the set repeat, so each row says which it is of: its number in the files.
        assert!(rows.iter().all(|row| row[0] % 3.0 == row[1]), "{rows:?}");
        for row in &rows {
            let p = &row[4..];
            assert_eq!((p.len(), row[3]), (3, p[row[2] as usize]));
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-6 && p.iter().all(|p| *p <= row[3]), "{row:?}");
        }
        let log_loss = rows.iter().map(|row| -row[4 + row[1] as usize].ln()).sum::<f64>() / samples as f64;
        assert!((log_loss - report["metrics"]["log_loss"].as_f64().unwrap()).abs() < 1e-6);
    }
    // Those of the run are the rows that sample.csv says.
    let drawn = fs::read_to_string(cwd.path().join("run/sample.csv")).unwrap();
    let drawn: Vec<f64> = (drawn.lines().filter_map(|line| line.strip_prefix("val,")))
        .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
        .collect();
    let rows: Vec<f64> = read(&file).1.iter().map(|row| row[0]).collect();
    assert_eq!(rows, drawn);
    assert_ne!(rows, (0..20).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn predictions_replace_nothing_unasked_and_appear_whole_or_not_at_all() {
    let set = small_set();
    let cwd = trained(set.path());
    let before = entries(cwd.path());
    let with = |words: &[&str]| {
        let mut command = evaluate(cwd.path(), set.path());
        command.args(words);
        command
    };
    refused(
        &mut with(&["--predictions", "absent/a.csv"]),
        1,
        &["--predictions: 'absent/a.csv'", "make the folder first"],
    );
    refused(&mut with(&["--predictions", "run"]), 1, &["--predictions: 'run' is not valid", "--overwrite to replace"]);
    refused(&mut with(&["--predictions", "run", "--overwrite"]), 1, &["run", "a folder stands there"]);
    refused(
        &mut with(&["--predictions", "-"]),
        1,
        &["--predictions: '-' is not valid", "standard output is for the results"],
    );
    refused(&mut with(&["--overwrite"]), 2, &["--predictions"]);
    for name in ["run/model.safetensors", "run/epochs.csv", "run/report.html"] {
        let kept = fs::read(cwd.path().join(name)).unwrap();
        refused(&mut with(&["--predictions", name, "--overwrite"]), 1, &[name, "none of a run and not the model"]);
        assert_eq!(fs::read(cwd.path().join(name)).unwrap(), kept);
    }
    // A model outside of a run, under another way to it.
    fs::copy(cwd.path().join("run/model.safetensors"), cwd.path().join("m.safetensors")).unwrap();
    let mut command = flatnet(cwd.path());
    command.args(["evaluate", "--model", "m.safetensors", "--predictions", "run/../m.safetensors", "--overwrite"]);
    refused(command.arg("--data").arg(set.path()), 1, &["m.safetensors", "not the model"]);
    fs::remove_file(cwd.path().join("m.safetensors")).unwrap();
    assert_eq!(
        (entries(cwd.path()), entries(&cwd.path().join("run"))),
        (before, RUN_ENTRIES.map(String::from).to_vec())
    );

    // A new file, then an old one with and without leave.
    with(&["--predictions", "a.csv"]).assert().success();
    let (first, path) = (fs::read(cwd.path().join("a.csv")).unwrap(), cwd.path().join("a.csv"));
    fs::write(&path, "mine").unwrap();
    refused(&mut with(&["--predictions", "a.csv"]), 1, &["'a.csv' is not valid", "--overwrite to replace"]);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    with(&["--predictions", "a.csv", "--overwrite"]).assert().success();
    assert_eq!(fs::read(&path).unwrap(), first);

    // Where the evaluation fails at its end, the old file stands and no other.
    fs::write(&path, "mine").unwrap();
    let model = cwd.path().join("run/model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for (index, value) in bytes[start..].chunks_exact_mut(4).enumerate() {
        value.copy_from_slice(&if index % 2 == 0 { 3e38f32 } else { -3e38 }.to_le_bytes());
    }
    fs::write(&model, bytes).unwrap();
    refused(&mut with(&["--predictions", "a.csv", "--overwrite"]), 1, &["not a finite number"]);
    refused(&mut with(&["--predictions", "b.csv"]), 1, &["not a finite number"]);
    assert_eq!((fs::read(&path).unwrap(), entries(cwd.path())), (b"mine".to_vec(), vec!["a.csv".into(), "run".into()]));
}

/// The bits do not depend on threads, nor on what else is written.
#[test]
fn figures_and_predictions_are_the_same_for_any_number_of_threads() {
    let set = small_set();
    let cwd = trained(set.path());
    let outcomes = ["1", "2"].map(|threads| {
        let words = ["--json", "--predictions", "a.csv", "--overwrite"];
        let mut report = json(evaluate(cwd.path(), set.path()).env("RAYON_NUM_THREADS", threads).args(words));
        report["seconds"] = Value::Null;
        (report, fs::read(cwd.path().join("a.csv")).unwrap())
    });
    assert_eq!(outcomes[0], outcomes[1]);
    let mut alone = json(evaluate(cwd.path(), set.path()).arg("--json"));
    alone["seconds"] = Value::Null;
    assert_eq!(alone, outcomes[0].0);
}
