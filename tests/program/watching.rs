//! What a run tells of its network: in epoch lines, in files, on its page, and as warnings at its end. It knows the program and
//! its files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{folder, json, write_set};
use crate::common::{flatnet, stderr, stdout};

const WATCH: &str = ",largest_class_share,grad_norm,lr,largest_weight";
const EXACT: [&str; 9] =
    ["train", "--train-samples", "2000", "--val-samples", "500", "--epochs", "2", "--relu-grad", "exact"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// What a run tells of on stderr as warnings, each in one line.
fn warnings(text: &str) -> Vec<String> {
    let text = text.replace("\n  ", " ");
    text.lines().filter_map(|line| line.strip_prefix("Warning: ")).map(str::to_string).collect()
}

/// Trains on `data/mnist` with these words and returns its warnings.
fn trained(words: &[&str]) -> Vec<String> {
    let cwd = folder();
    let output =
        flatnet(cwd.path()).args(["train", "--val-samples", "500", "--no-report"]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stdout(&output).contains("Warning"), "warnings are no results");
    warnings(stderr(&output))
}

#[test]
fn dead_outputs_are_told_everywhere() {
    let cwd = folder();
    let output = flatnet(cwd.path()).args(EXACT).args(["--out", "run", "--tensorboard", "logs"]).output().unwrap();
    let (text, run) = (stderr(&output), cwd.path().join("run"));
    let csv = read(&run.join("epochs.csv"));
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().ends_with(&format!("val_seconds{WATCH},dead_1")), "{csv}");
    let last: Vec<&str> = lines.next_back().unwrap().split(',').collect();
    let dead: usize = last[11].parse().unwrap();
    assert!((1..=10).contains(&dead), "{csv}");
    assert!(text.lines().any(|line| line.contains(&format!("{dead} of 10 outputs dead"))), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let told = warnings(text);
    let warning = told.iter().find(|line| line.starts_with(&format!("{dead} of 10 outputs are dead"))).unwrap();
    let summary: Value = serde_json::from_str(&read(&run.join("summary.json"))).unwrap();
    let watch = &summary["watch"];
    assert_eq!(watch["dead"], serde_json::json!([{"layer": 1, "dead": dead, "units": 10}]));
    for (name, column) in [("largest_class_share", 7), ("grad_norm", 8), ("lr", 9), ("largest_weight", 10)] {
        let (of_summary, of_csv) = (watch[name].as_f64().unwrap(), last[column].parse::<f64>().unwrap());
        assert_eq!(of_summary, of_csv, "{name}");
        assert!(of_csv > 0.0);
    }
    let counts = summary["data"]["class_samples"].as_array().unwrap();
    assert_eq!((counts.len(), counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>()), (10, 2000));
    let page = read(&run.join("report.html"));
    assert!(page.contains(&format!("<p class=\"panel told warned\">Warning: {warning}</p>")), "{warning}");
    for part in ["Silent units", "Gradient norm", "Learning rate", "Largest weight", "Largest class"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_run_without_the_columns_is_still_read() {
    let cwd = folder();
    let run = cwd.path().join("run");
    flatnet(cwd.path()).args(EXACT).args(["--out", "run", "--quiet"]).assert().success();
    let (csv, summary) = (read(&run.join("epochs.csv")), read(&run.join("summary.json")));
    let page = |told: &str| {
        flatnet(cwd.path()).args(["report", "run"]).assert().success();
        let page = read(&run.join("report.html"));
        assert!(page.contains(told), "{told}");
        page.contains("Silent units")
    };
    assert!(page("outputs are dead"));
    let shorter = |columns: usize| -> String {
        csv.lines().map(|line| line.split(',').take(columns).collect::<Vec<_>>().join(",") + "\n").collect()
    };
    fs::write(run.join("epochs.csv"), shorter(7)).unwrap();
    assert!(!page("outputs are never positive"), "nothing was watched");
    // As runs were before any was watched.
    let mut older: Value = serde_json::from_str(&summary).unwrap();
    older.as_object_mut().unwrap().remove("watch");
    older["data"].as_object_mut().unwrap().remove("class_samples");
    fs::write(run.join("summary.json"), older.to_string()).unwrap();
    assert!(!page("outputs are never positive"));
    // An epoch that was not watched has empty cells, and columns may be others' beside.
    let row = |line: &str| line.split(',').take(7).collect::<Vec<_>>().join(",");
    let mixed: String = csv
        .lines()
        .enumerate()
        .map(|(index, line)| match index {
            0 => format!("{line},mine\n"),
            1 => format!("{},,,,,,x\n", row(line)),
            _ => format!("{line},y\n"),
        })
        .collect();
    fs::write(run.join("epochs.csv"), mixed).unwrap();
    assert!(page("outputs are dead"));
    // What cannot be is refused, in one line that says where.
    let last = csv.lines().last().unwrap().to_string();
    let cells: Vec<&str> = last.split(',').collect();
    for (column, wrong, expected) in [
        (7, "1.5", "largest_class_share is \"1.5\"; expected a number from 0 to 1"),
        (8, "-1", "grad_norm is \"-1\""),
        (9, "NaN", "lr is \"NaN\""),
        (10, "1e39", "largest_weight is \"1e39\""),
        (11, "11", "dead_1 is \"11\"; expected 0 to 10"),
        (11, "", "dead_1 is \"\"; expected 0 to 10"),
    ] {
        let mut changed = cells.clone();
        changed[column] = wrong;
        fs::write(run.join("epochs.csv"), csv.replace(&last, &changed.join(","))).unwrap();
        let output = flatnet(cwd.path()).args(["report", "run"]).output().unwrap();
        let text = stderr(&output);
        assert!(!output.status.success() && text.lines().count() == 1, "{text}");
        assert!(text.contains("epochs.csv: line 3: ") && text.contains(expected), "{text}");
    }
    fs::write(run.join("epochs.csv"), &csv).unwrap();
    let wrong = summary.replacen("\"largest_weight\": ", "\"largest_weight\": 9", 1);
    for (text, expected) in [
        (wrong, "watch is not what the last row of epochs.csv says"),
        (summary.replacen("\"class_samples\": [", "\"class_samples\": [1,", 1), "class_samples"),
    ] {
        assert_ne!(text, summary);
        fs::write(run.join("summary.json"), text).unwrap();
        let output = flatnet(cwd.path()).args(["report", "run"]).output().unwrap();
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn what_goes_wrong_is_told_and_a_sound_run_is_left_alone() {
    let short = ["--train-samples", "2000", "--epochs", "6"];
    assert_eq!(trained(&short), [""; 0], "the recipe");
    assert_eq!(trained(&[&short[..], &["--layers", "linear:128,relu,linear:10", "--lr", "0.1"]].concat()), [""; 0]);
    for (words, expected) in [
        (&["--layers", "linear:10", "--lr", "1e-12"][..], "is no better than that of guessing (2.3"),
        (&["--layers", "linear:16,relu,linear:10", "--init", "zeros"], "images get one class"),
        (&["--relu-grad", "exact", "--lr", "0.1"], "outputs are dead"),
    ] {
        let told = trained(&[&short[..], words].concat());
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
    }
    let by_heart = ["--train-samples", "100", "--epochs", "60", "--layers", "linear:128,relu,linear:10"];
    let told = trained(&[&by_heart[..], &["--optimizer", "adam", "--lr", "0.01"]].concat());
    assert!(told.iter().any(|line| line.starts_with("overfitting: validation loss has risen by ")), "{told:?}");
}

/// As objects for programs, and whether progress was silent or not, or nothing but the summary was asked for.
#[test]
fn warnings_are_told_to_programs_and_where_progress_is_silent() {
    let (cwd, set) = (folder(), folder());
    // No training image is of class 1 of 3, some validation images are.
    write_set(set.path(), 60, 2, 3, 3);
    let mut labels = fs::read(set.path().join("train-labels-idx1-ubyte")).unwrap();
    labels[8..].iter_mut().for_each(|label| *label = *label / 2 * 2);
    fs::write(set.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    let train = |words: &[&str]| {
        let mut command = flatnet(cwd.path());
        command.args([
            "train",
            "--train-samples",
            "50",
            "--val-samples",
            "20",
            "--layers",
            "linear:3",
            "--epochs",
            "1",
        ]);
        command.args(words).arg("--data").arg(set.path());
        command
    };
    let expected = "1 of 3 classes have no training image, so that they cannot be learned: 1; train on";
    for words in [&["--quiet"][..], &["--no-report"], &["--quiet", "--json", "--no-report"]] {
        let output = train(words).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(warnings(stderr(&output)).iter().any(|line| line.starts_with(expected)), "{}", stderr(&output));
    }
    assert_eq!(json(&mut train(&["--json"]))["data"]["class_samples"][1], 0);
    let output = train(&["--log-format", "jsonl", "--quiet"]).output().unwrap();
    let objects: Vec<Value> = stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects[0]["grad_norm"].as_f64().unwrap() > 0.0 && objects[0].get("dead_1").is_none());
    assert!(objects[1]["warning"].as_str().unwrap().starts_with(expected), "{objects:?}");
}
