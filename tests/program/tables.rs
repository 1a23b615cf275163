//! Tables: classes with names, labels and values, from `train` to `evaluate`, the page, a run that goes on, and a sweep. What is
//! told of them speaks of rows, names and units, not of images, class numbers and accuracy.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{folder, json, refused};
use crate::common::{entries, flatnet, keys, stderr, stdout};

/// Numbers without a pattern, -1 to 1: a linear congruential generator of known quality is enough for features.
fn noise(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A name that would be markup, that is long, and that holds a control character.
const HOSTILE: &str = "<script>hacked=1</script> \u{1b}[2J and so on";

/// 200 rows: x, y, and in one table each kind of target. `area` is 20 x + 5 y + 100, `price` 1000 times as much and noisy.
fn write_table(path: &Path) {
    let mut text = String::from("x,y,kind,wet,cold,price,area\n");
    let mut state = 1;
    for _ in 0..200 {
        let (x, y, more) = (noise(&mut state), noise(&mut state), noise(&mut state));
        let kind = ["plain", HOSTILE, "third"][if x > 0.3 { 0 } else { usize::from(y > 0.0) + 1 }];
        let (wet, cold) = (u8::from(x + y > 0.0), u8::from(y > 0.4));
        let area = 20.0 * x + 5.0 * y + 100.0;
        let price = 1000.0 * area + 2000.0 * more;
        writeln!(text, "{x:.6},{y:.6},\"{kind}\",{wet},{cold},{price:.0},{area:.4}").unwrap();
    }
    fs::write(path, text).unwrap();
}

/// A folder with the table and a run of it in `run`, which predicts `targets`; the run's stdout and stderr.
fn trained(targets: &str, words: &[&str]) -> (TempDir, String, String) {
    let cwd = folder();
    write_table(&cwd.path().join("rows.csv"));
    let output = train(cwd.path(), targets, "run", words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told = (stdout(&output).to_string(), stderr(&output).to_string());
    (cwd, told.0, told.1)
}

fn train(cwd: &Path, targets: &str, out: &str, words: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args([
        "train",
        "--data",
        "rows.csv",
        "--target",
        targets,
        "--epochs",
        "20",
        "--lr",
        "0.1",
        "--batch-size",
        "8",
    ]);
    command.args([
        "--layers",
        &format!("linear:16,relu,linear:{}", if targets == "kind" { 3 } else { targets.split(',').count() }),
    ]);
    command.args(["--out", out]).args(words);
    command
}

fn evaluate(cwd: &Path, words: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args(["evaluate", "--model", "run", "--data", "rows.csv"]).args(words);
    command
}

fn summary(cwd: &Path) -> Value {
    serde_json::from_slice(&fs::read(cwd.join("run/summary.json")).unwrap()).unwrap()
}

fn page(cwd: &Path) -> String {
    fs::read_to_string(cwd.join("run/report.html")).unwrap()
}

/// What people see of a page: neither its style nor its script.
fn body(page: &str) -> &str {
    page.split("<body>").nth(1).unwrap().split("<script>").next().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found}, expected {expected} within {tolerance}");
}

/// The rows of a file of predictions behind its head, whose cells hold no commas.
fn rows(cwd: &Path, head: &str) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(cwd.join("p.csv")).unwrap();
    assert_eq!(text.lines().next(), Some(head));
    text.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
}

#[test]
fn values_are_told_in_their_own_units() {
    let (cwd, told, progress) = trained("price", &[]);
    let cwd = cwd.path();
    assert!(told.contains("Validation, in the units of the column:\n  price  R2   0.9"), "{told}");
    for text in [&told, &progress] {
        assert!(!text.contains('%') && !text.contains("acc") && !text.contains("image"), "{text}");
    }
    let summary = summary(cwd);
    assert_eq!((&summary["data"]["kind"], &summary["data"]["classes"]), (&"rows".into(), &0.into()));
    assert_eq!(keys(&summary["metrics"]), ["mae", "mse", "r2"]);
    // Learned in units of the standard deviation, of which the mean misses each by one on average of squares.
    close(number(&summary["guessing_loss"]), 1.0, 1e-5);

    let own = json(&mut evaluate(cwd, &["--json", "--sample", "run"]));
    assert_eq!((&own["correct"], &own["accuracy"], &own["task"]), (&Value::Null, &Value::Null, &"regress".into()));
    assert_eq!((&own["metrics"], &own["loss"]), (&summary["metrics"], &summary["final"]["val_loss"]));
    let all = json(&mut evaluate(cwd, &["--json", "--predictions", "p.csv"]));
    assert_eq!(all["samples"], 200);
    let rows = rows(cwd, "row,price,predicted_price");
    let source = fs::read_to_string(cwd.join("rows.csv")).unwrap();
    for (line, row) in source.lines().skip(1).zip(&rows) {
        assert_eq!(line.split(',').nth(5).unwrap().parse(), Ok(row[1]), "{line}");
    }
    let mae = rows.iter().map(|row| (row[1] - row[2]).abs()).sum::<f64>() / 200.0;
    close(number(&all["metrics"]["mae"]), mae, 1e-4 * mae);
    assert_eq!(all["per_output"].as_array().unwrap().len(), 1);
    let text = stdout(&evaluate(cwd, &[]).output().unwrap()).to_string();
    assert!(text.contains("rows.csv, rows\n  rows     200\n") && text.contains("R2                  0.9"), "{text}");
    assert!(!text.contains('%') && !text.contains("image"), "{text}");
}

#[test]
fn several_values_have_figures_each_and_another_loss_is_told_by_its_name() {
    let (cwd, told, _) = trained("price,area", &["--loss", "huber:0.5", "--quiet"]);
    assert!(told.contains("\n  price  R2   0.9") && told.contains("\n  area   R2   0.9"), "{told}");
    let report = json(&mut evaluate(cwd.path(), &["--json", "--sample", "run"]));
    assert_eq!(report["loss"], summary(cwd.path())["final"]["val_loss"]);
    let [price, area] = [0, 1].map(|output| &report["per_output"][output]);
    assert_eq!((keys(price), &area["name"]), (vec!["mae", "mse", "name", "r2"], &"area".into()));
    // A thousand times as large, and so are its errors.
    assert!(number(&price["mae"]) > 200.0 * number(&area["mae"]), "{report}");
    close(
        number(&report["metrics"]["mae"]),
        (number(&price["mae"]) + number(&area["mae"])) / 2.0,
        1e-6 * number(&price["mae"]),
    );
    let text = stdout(&evaluate(cwd.path(), &[]).output().unwrap()).to_string();
    assert!(text.contains("(huber:0.5, as trained)") && text.contains("\n area "), "{text}");
    let page = page(cwd.path());
    assert_eq!(page.matches("<figure class=\"panel plot\">").count(), 6);
}

#[test]
fn labels_have_figures_each_and_together() {
    let (cwd, told, _) = trained("wet,cold", &["--quiet"]);
    let cwd = cwd.path();
    assert!(told.contains("acc.: subset accuracy") && told.contains("Validation: micro F1 0."), "{told}");
    let summary = summary(cwd);
    assert_eq!(keys(&summary["metrics"]), ["f1_macro", "f1_micro", "hamming_loss", "subset_accuracy"]);
    assert_eq!(summary["metrics"]["subset_accuracy"], summary["final"]["val_accuracy"]);
    let own = json(&mut evaluate(cwd, &["--json", "--sample", "run"]));
    assert_eq!(own["loss"], summary["final"]["val_loss"]);
    for (name, value) in summary["metrics"].as_object().unwrap() {
        assert_eq!(own["metrics"][name], *value, "{name}");
    }
    let all = json(&mut evaluate(cwd, &["--json", "--predictions", "p.csv"]));
    let rows = rows(cwd, "row,label_wet,p_wet,label_cold,p_cold");
    let is_right = |row: &Vec<f64>| row[1..].chunks(2).all(|pair| (pair[0] == 1.0) == (pair[1] > 0.5));
    let right = rows.iter().filter(|row| is_right(row)).count();
    assert_eq!((&all["correct"], number(&all["accuracy"])), (&right.into(), right as f64 / 200.0));
    for (label, at) in [(0, 1), (1, 3)] {
        let row = &all["per_output"][label];
        assert_eq!(keys(row), ["f1", "name", "precision", "recall", "support"]);
        assert_eq!(number(&row["support"]), rows.iter().map(|row| row[at]).sum::<f64>());
    }
    let text = stdout(&evaluate(cwd, &[]).output().unwrap()).to_string();
    for part in ["  all right ", "         wet ", "   micro avg ", "  Hamming loss "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = page(cwd);
    for part in [
        "Which labels are found",
        "Validation subset accuracy",
        "<th scope=\"row\">cold</th>",
        "Subset accuracy by epoch",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!body(&page).contains("image") && !page.contains("class is taken"), "{page}");
    let other = ["--loss", "squared-error", "--quiet"];
    refused(&mut train(cwd, "wet,cold", "other", &other), 1, &["--loss: 'squared-error'", "binary-cross-entropy"]);
}

#[test]
fn classes_have_their_names_and_no_name_becomes_more_than_text() {
    let (cwd, _, _) = trained("kind", &["--quiet"]);
    let cwd = cwd.path();
    let report = json(&mut evaluate(cwd, &["--json", "--predictions", "p.csv"]));
    let names: Vec<&str> =
        report["per_class"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, [HOSTILE, "plain", "third"]);
    let text = fs::read_to_string(cwd.join("p.csv")).unwrap();
    assert!(text.starts_with("row,label,prediction,probability,p_0,p_1,p_2,label_name,prediction_name\n"), "{text}");
    let right = text.lines().skip(1).filter(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[1] == cells[2], cells[7] == cells[8], "{line}");
        cells[1] == cells[2]
    });
    assert_eq!(right.count() as u64, report["correct"].as_u64().unwrap());
    for columns in ["36", "80"] {
        let output = evaluate(cwd, &[]).env("COLUMNS", columns).output().unwrap();
        let text = stdout(&output);
        assert!(!text.contains('\u{1b}') && text.contains("third") && text.contains("<script>ha"), "{text}");
        let widest = text.lines().skip_while(|line| !line.starts_with("  loss")).map(|line| line.chars().count()).max();
        assert!(widest <= columns.parse().ok(), "{text}");
    }
    let page = page(cwd);
    assert!(!page.contains("<script>hacked") && !page.contains('\u{1b}') && page.contains("&lt;script&gt;hacked"));
    for part in ["Rows by class (row)", "<th scope=\"row\">plain</th>", " validation rows of rows.csv"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!body(&page).contains(" image"), "{page}");
    // As many classes, but others: they would be counted for one another.
    let other = fs::read_to_string(cwd.join("rows.csv")).unwrap().replace("third", "fourth");
    fs::write(cwd.join("rows.csv"), other).unwrap();
    refused(&mut evaluate(cwd, &[]), 1, &["column 'kind'", "a class that the training rows have", "fourth"]);
}

#[test]
fn the_page_of_values_draws_them_and_has_no_accuracy() {
    let (cwd, _, _) = trained("price", &["--quiet"]);
    let cwd = cwd.path();
    assert_eq!(entries(&cwd.join("run/graphs")), ["loss-by-batch.svg", "loss-by-epoch.svg", "weights.svg"]);
    let first = page(cwd);
    for part in
        ["Predicted and true values", "price: predicted against true", "price: residuals", "<dt>Validation R2</dt>"]
    {
        assert!(first.contains(part), "{part}");
    }
    for part in ["ccuracy", " nats", "image", "class is taken", "NaN"] {
        assert!(!body(&first).contains(part), "{part}: {first}");
    }
    let dots = first.split("class=\"dots c0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(dots.matches('M').count(), 40);
    // Made again from the files, it is the same; and it is not replaced by one that shows less.
    flatnet(cwd).args(["report", "run"]).assert().success();
    assert!(page(cwd) == first);
    fs::rename(cwd.join("rows.csv"), cwd.join("moved.csv")).unwrap();
    refused(flatnet(cwd).args(["report", "run"]), 1, &["run/report.html: shows the validation rows, so it stays"]);
    assert!(page(cwd) == first);
    flatnet(cwd).args(["report", "run", "--data", "moved.csv"]).assert().success();
    fs::remove_file(cwd.join("run/report.html")).unwrap();
    flatnet(cwd).args(["report", "run"]).assert().success();
    assert!(page(cwd).contains("The drawings of predictions and residuals are left out: "));
}

#[test]
fn runs_of_several_tasks_are_compared() {
    let (cwd, _, _) = trained("price", &["--quiet"]);
    let cwd = cwd.path();
    for (targets, out) in [("kind", "classes"), ("wet,cold", "labels"), ("price", "other")] {
        train(cwd, targets, out, &["--quiet", "--seed", "1"]).assert().success();
    }
    let compare = |runs: &[&str]| {
        flatnet(cwd).arg("report").args(runs).args(["--out", "all.html", "--overwrite"]).assert().success();
        fs::read_to_string(cwd.join("all.html")).unwrap()
    };
    let all = compare(&["run", "classes", "labels"]);
    for part in [
        "validation accuracy, %",
        "validation R2",
        "validation micro F1",
        "id=\"error-by-batch\"",
        "<td data-name=\"validation accuracy, %\">\u{2013}</td>",
    ] {
        assert!(all.contains(part), "{part}");
    }
    let values = compare(&["run", "other"]);
    assert!(values.contains("<h2>Loss</h2>") && values.contains("validation mean absolute error"));
    let seen = body(&values);
    assert!(!seen.contains("ccuracy") && !seen.contains("nats") && !seen.contains("error-by-batch"), "{seen}");
}

#[test]
fn a_run_that_was_broken_off_ends_in_the_same_bits() {
    for targets in ["price,area", "wet,cold", "kind"] {
        let (cwd, _, _) = trained(targets, &["--quiet", "--no-report", "--shuffle", "epoch"]);
        let cwd = cwd.path();
        let whole = summary(cwd);
        let words =
            ["--quiet", "--no-report", "--shuffle", "epoch", "--checkpoint-every", "1", "--max-seconds", "1e-9"];
        train(cwd, targets, "part", &words).assert().success();
        let resumed =
            json(flatnet(cwd).args(["train", "--resume", "part", "--max-seconds", "1e9", "--json", "--quiet"]));
        assert!(resumed["epochs"] == 20, "{}", resumed["epochs"]);
        for figure in ["weights_sha256", "final", "best", "metrics", "guessing_loss", "data"] {
            assert_eq!(resumed[figure], whole[figure], "{targets}: {figure}");
        }
    }
}

#[test]
fn a_sweep_over_a_table_of_values_has_their_figures() {
    let cwd = folder();
    write_table(&cwd.path().join("rows.csv"));
    let sweep = |words: &[&str]| {
        let mut command = flatnet(cwd.path());
        command.args(["sweep", "--out", "sweep", "--grid", "lr=0.01,0.1", "--seeds", "0..1"]).args(words);
        command.args(["--", "--data", "rows.csv", "--target", "price", "--epochs", "3", "--no-report"]);
        command
    };
    let output = sweep(&[]).output().unwrap();
    let (table, told) = (stdout(&output), stderr(&output));
    assert!(told.contains("val loss ") && told.contains("R2 ") && !told.contains('%'), "{told}");
    assert!(table.contains("final R2") && table.contains("final MAE") && !table.contains("acc."), "{table}");
    let report = json(&mut sweep(&["--json", "--quiet"]));
    let setting = &report["settings"][1];
    assert_eq!(keys(&setting["metrics"]), ["mae", "mse", "r2"]);
    assert!(setting["final"]["val_accuracy"]["mean"].is_null(), "{setting}");
    let of_runs = [2, 3].map(|run| number(&report["runs"][run]["metrics"]["r2"]));
    close(number(&setting["metrics"]["r2"]["mean"]), (of_runs[0] + of_runs[1]) / 2.0, 1e-12);
    let csv = fs::read_to_string(cwd.path().join("sweep/sweep.csv")).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    let at = lines[0].iter().position(|name| *name == "final_r2_mean").unwrap();
    close(lines[2][at].parse().unwrap(), number(&setting["metrics"]["r2"]["mean"]), 1e-12);
    assert_eq!((lines[0][2], lines[1][2]), ("final_val_accuracy_mean", ""));
    refused(
        flatnet(cwd.path())
            .args(["train", "--data", "rows.csv", "--target", "price", "--monitor", "val-accuracy", "--patience", "2"])
            .arg("--quiet"),
        1,
        &["--monitor: val-accuracy", "val-loss"],
    );
}
