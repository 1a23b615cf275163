//! `report.html` and `graphs/`: that they show a run's own figures, hold together without a network, let no text from
//! files become markup, and how `flatnet report` fails. What a browser makes of them: `tests/browser/check_report.py`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{entries, flatnet};

const GRAPHS: [&str; 7] = [
    "accuracy-by-batch.svg",
    "accuracy-by-epoch.svg",
    "error-by-batch.svg",
    "error-by-epoch.svg",
    "loss-by-batch.svg",
    "loss-by-epoch.svg",
    "weights.svg",
];
const SHORT: [&str; 6] = ["--train-samples", "640", "--val-samples", "250", "--epochs", "3"];

/// A folder in which `runs/1` is a short run; further settings come from `settings`.
fn one_run(settings: &[&str]) -> TempDir {
    let cwd = tempfile::tempdir().unwrap();
    flatnet(cwd.path()).args(SHORT).args(["--quiet", "--out", "runs/1"]).args(settings).assert().success();
    cwd
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn copy_run(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["summary.json", "epochs.csv", "batches.csv", "model.safetensors"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// What the page's script knows of the graph of this name.
fn graph(page: &str, name: &str) -> Value {
    let figure = page.split(&format!("id=\"{name}\"")).nth(1).unwrap_or_else(|| panic!("no graph {name}"));
    let data = figure.split("<script type=\"application/json\">").nth(1).unwrap().split("</script>").next().unwrap();
    serde_json::from_str(data).unwrap()
}

/// Columns of a CSV file; of `batches.csv`, those of one phase.
fn column(path: &Path, phase: &str, index: usize) -> Vec<f64> {
    let rows = read(path);
    rows.lines()
        .skip(1)
        .filter(|row| phase.is_empty() || row.starts_with(phase))
        .map(|row| row.split(',').nth(index).unwrap().parse().unwrap())
        .collect()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-4 * expected.abs() + 1e-9, "{found}, expected {expected}");
}

#[test]
fn six_graphs_show_the_figures_of_the_run() {
    let cwd = one_run(&[]);
    let run = cwd.path().join("runs/1");
    let page = read(&run.join("report.html"));
    for (metric, epoch_columns, batch_column, value) in [
        ("loss", [1, 3], 3, (|x| x) as fn(f64) -> f64),
        ("accuracy", [2, 4], 4, |x| 100.0 * x),
        ("error", [2, 4], 4, |x| 100.0 - 100.0 * x),
    ] {
        let by_epoch = graph(&page, &format!("{metric}-by-epoch"));
        let by_batch = graph(&page, &format!("{metric}-by-batch"));
        for (line, phase) in ["train", "val"].into_iter().enumerate() {
            let expected = column(&run.join("epochs.csv"), "", epoch_columns[line]);
            let points = by_epoch["lines"][line]["points"].as_array().unwrap();
            assert_eq!(points.len(), 3);
            for (index, (point, expected)) in points.iter().zip(expected).enumerate() {
                assert_eq!(point[0], (index + 1) as f64);
                close(point[2].as_f64().unwrap(), value(expected));
            }

            // 20 training and 8 validation batches an epoch: each has a column of its own.
            let expected = column(&run.join("batches.csv"), phase, batch_column);
            let points = by_batch["lines"][line]["points"].as_array().unwrap();
            let per_epoch = [20, 8][line];
            assert_eq!((points.len(), expected.len()), (3 * per_epoch, 3 * per_epoch));
            assert_eq!(by_batch["lines"][line]["values"], 3 * per_epoch);
            for (index, (point, expected)) in points.iter().zip(expected).enumerate() {
                let position = index / per_epoch * 28 + [0, 20][line] + index % per_epoch + 1;
                assert_eq!((&point[0], &point[1]), (&(position as f64).into(), &(position as f64).into()));
                close(point[3].as_f64().unwrap(), value(expected));
                close(point[4].as_f64().unwrap(), value(expected));
            }
        }
    }
}

#[test]
fn the_page_and_the_graphs_need_nothing_beside_themselves() {
    let cwd = one_run(&[]);
    let run = cwd.path().join("runs/1");
    assert_eq!(entries(&run.join("graphs")), GRAPHS);
    let mut files = vec![run.join("report.html")];
    files.extend(GRAPHS.map(|name| run.join("graphs").join(name)));
    for path in files {
        let text = read(&path);
        let shown = path.display();
        assert!(text.len() < 2_000_000, "{shown}: {} bytes", text.len());
        for reference in ["src=", "href=", "url(", "@import", "https:"] {
            assert!(!text.contains(reference), "{shown}: {reference}");
        }
        // The one address is SVG's name.
        assert_eq!(text.matches("http:").count(), text.matches("http://www.w3.org/2000/svg").count(), "{shown}");
        // But for the page's own script, which stands last.
        let figures = text.split("\"use strict\"").next().unwrap();
        for unfit in ["NaN", "inf\"", "null"] {
            assert!(!figures.contains(unfit), "{shown}: {unfit}");
        }
    }
    let page = read(&run.join("report.html"));
    for part in [
        "<title>runs/1: flatnet</title>",
        "Validation accuracy",
        "Which class is taken for which",
        "precision",
        "The most confident mistakes",
        "The weights of each class",
        "--batch-size",
        "Overfitting: ",
        "prefers-color-scheme:dark",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_page_made_again_is_the_same_and_nothing_else_changes() {
    let cwd = one_run(&["--layers", "linear:12,relu,linear:10", "--relu-grad", "exact", "--scale", "standard"]);
    let run = cwd.path().join("runs/1");
    let files =
        ["summary.json", "epochs.csv", "batches.csv", "sample.csv", "model.safetensors", "recipe.toml", "report.html"];
    let contents = || {
        let graphs = GRAPHS.map(|name| fs::read(run.join("graphs").join(name)).unwrap());
        (files.map(|name| fs::read(run.join(name)).unwrap()), graphs)
    };
    let before = contents();
    fs::write(run.join("notes.txt"), "mine").unwrap();
    fs::write(run.join("graphs/mine.svg"), "mine").unwrap();
    fs::write(run.join("report.html"), "an older page").unwrap();
    fs::remove_file(run.join("graphs/weights.svg")).unwrap();
    let output = flatnet(cwd.path()).args(["report", "runs/1"]).assert().success().get_output().clone();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "runs/1/report.html\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(contents() == before, "made from the files, the page is another than made from the training");
    assert_eq!((read(&run.join("notes.txt")), read(&run.join("graphs/mine.svg"))), ("mine".into(), "mine".into()));
    assert_eq!((entries(&run).len(), entries(&run.join("graphs")).len()), (10, 8));
    assert!(read(&run.join("report.html")).contains("The weights of the first layer's 12 units"));
}

/// All weights of a hidden layer start at 0 and stay alike: whoever trains that is told, on the screen and on the page.
#[test]
fn a_network_with_one_answer_for_all_is_called_that() {
    let cwd = tempfile::tempdir().unwrap();
    let settings = ["--layers", "linear:16,relu,linear:10", "--init", "zeros", "--relu-grad", "exact"];
    let mut train = flatnet(cwd.path());
    let output = train.args(SHORT).args(["--out", "runs/1"]).args(settings).assert().success().get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    // A line that is too long goes on in the next one, set in.
    let lines = told.replace("\n  ", " ");
    let line = lines.lines().find(|line| line.starts_with("Warning: ")).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("all 250 validation images get one class"), "{line}");
    let page = read(&cwd.path().join("runs/1/report.html"));
    assert!(page.contains(&format!("<p class=\"panel told warned\">{line}</p>")), "the page does not say: {line}");
    let sound = one_run(&[]);
    assert!(!read(&sound.path().join("runs/1/report.html")).contains("get one class"));
}

/// The diagonal of the page's matrix is what `evaluate` counts.
#[test]
fn the_matrix_counts_the_runs_own_validation_images() {
    let cwd = one_run(&[]);
    let page = read(&cwd.path().join("runs/1/report.html"));
    let table = page.split("class=\"confusion\"").nth(1).unwrap().split("</table>").next().unwrap();
    let rows: Vec<Vec<u64>> = table
        .split("<th scope=\"row\">")
        .skip(1)
        .map(|row| {
            let cells = row.split("<td").skip(1);
            cells.map(|cell| cell.split(['>', '<']).nth(1).unwrap().parse().unwrap()).collect()
        })
        .collect();
    assert_eq!((rows.len(), rows.iter().map(Vec::len).sum::<usize>()), (10, 100));
    assert_eq!(rows.iter().flatten().sum::<u64>(), 250);
    let evaluate = ["evaluate", "--model", "runs/1/model.safetensors", "--sample", "run", "--json"];
    let output = flatnet(cwd.path()).args(evaluate).output().unwrap();
    let evaluated: Value = serde_json::from_slice(&output.stdout).unwrap();
    let right: u64 = rows.iter().enumerate().map(|(class, row)| row[class]).sum();
    assert_eq!(evaluated["correct"], right);
    assert!(page.contains(&format!("250 validation images of {}", evaluated["data"].as_str().unwrap())));
    assert!(page.contains(&format!(", {right} of them right.</p>")));
    assert!(right < 250 && page.contains(&format!("24 of {}", 250 - right)), "mistakes");
}

#[test]
fn no_report_writes_none_and_leaves_no_stale_one() {
    let cwd = one_run(&["--no-report"]);
    let run = cwd.path().join("runs/1");
    let files = [
        "batches.csv",
        "best.safetensors",
        "epochs.csv",
        "model.safetensors",
        "recipe.toml",
        "sample.csv",
        "summary.json",
    ];
    assert_eq!(entries(&run), files);
    flatnet(cwd.path()).args(["report", "runs/1"]).assert().success();
    assert_eq!(entries(&run).len(), 9);
    fs::write(run.join("notes.txt"), "mine").unwrap();
    let again = ["--quiet", "--out", "runs/1", "--overwrite", "--no-report"];
    flatnet(cwd.path()).args(SHORT).args(again).assert().success();
    assert_eq!(entries(&run), [&files[..4], &["notes.txt"], &files[4..]].concat());
}

#[test]
fn a_page_of_somebody_elses_is_not_overwritten_by_training() {
    let cwd = tempfile::tempdir().unwrap();
    fs::create_dir(cwd.path().join("thesis")).unwrap();
    fs::write(cwd.path().join("thesis/report.html"), "mine").unwrap();
    let output = flatnet(cwd.path()).args(SHORT).args(["--out", "thesis"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("report.html") && told.contains("--overwrite"), "{told}");
    assert_eq!(read(&cwd.path().join("thesis/report.html")), "mine");
}

#[test]
fn several_runs_share_a_page_that_says_what_differs() {
    let cwd = one_run(&[]);
    let other = ["--quiet", "--no-report", "--out", "runs/2", "--lr", "0.5", "--layers", "linear:12,relu,linear:10"];
    flatnet(cwd.path()).args(SHORT).args(other).assert().success();
    let compare = || {
        let mut command = flatnet(cwd.path());
        command.args(["report", "runs/1", "runs/2", "--out", "both.html"]);
        command
    };
    let output = compare().assert().success().get_output().clone();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "runs/1/report.html\nruns/2/report.html\nboth.html\n");
    let page = read(&cwd.path().join("both.html"));
    let header = page.split("<thead>").nth(1).unwrap().split("</thead>").next().unwrap();
    let settings: Vec<&str> = header.split("<code>").skip(1).map(|part| part.split('<').next().unwrap()).collect();
    assert_eq!(settings, ["--layers", "--init", "--relu-grad", "--lr"]);
    for cell in
        ["linear:10,<wbr>relu", "linear:12,<wbr>relu,<wbr>linear:10", ">0.01<", ">0.5<", "<code>--seed 0</code>"]
    {
        assert!(page.contains(cell), "{cell}");
    }
    let loss = graph(&page, "loss-by-epoch");
    let lines: Vec<_> = loss["lines"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(lines, ["runs/1, training", "runs/1, validation", "runs/2, training", "runs/2, validation"]);
    let expected = column(&cwd.path().join("runs/2/epochs.csv"), "", 3);
    close(loss["lines"][3]["points"][2][2].as_f64().unwrap(), expected[2]);

    // A page that is there already is replaced only if asked.
    fs::write(cwd.path().join("both.html"), "mine").unwrap();
    let refused = compare().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.lines().count() == 1 && told.contains("both.html") && told.contains("--overwrite"), "{told}");
    assert_eq!(read(&cwd.path().join("both.html")), "mine");
    compare().arg("--overwrite").assert().success();
    assert!(read(&cwd.path().join("both.html")).contains("2 runs compared"));
}

#[test]
fn a_run_that_cannot_be_read_costs_the_others_nothing() {
    let cwd = one_run(&["--no-report"]);
    let good = cwd.path().join("runs/1");
    let broken = |name: &str, file: &str, change: &dyn Fn(String) -> String| {
        let folder = cwd.path().join("runs").join(name);
        copy_run(&good, &folder);
        let path = folder.join(file);
        let text = change(read(&path));
        fs::write(path, text).unwrap();
    };
    for file in ["summary.json", "epochs.csv", "batches.csv", "model.safetensors"] {
        let folder = cwd.path().join("runs").join(format!("no-{file}"));
        copy_run(&good, &folder);
        fs::remove_file(folder.join(file)).unwrap();
    }
    broken("not-json", "summary.json", &|_| "{ \"data\": 3 ".into());
    broken("other-epochs", "summary.json", &|text| {
        text.replace("\"epochs\": 3,\n  \"train", "\"epochs\": 4,\n  \"train")
    });
    broken("other-weights", "summary.json", &|text| text.replace("_sha256\": \"", "_sha256\": \"0"));
    broken("no-number", "epochs.csv", &|text| text.replacen("\n2,", "\n2,x", 1));
    broken("not-finite", "epochs.csv", &|text| text.replacen("\n2,", "\n2,NaN,", 1));
    broken("cut-short", "batches.csv", &|text| text[..text.len() / 2].to_string());
    broken("too-many", "batches.csv", &|text| text + "val,3,9,0.5,0.5\n");
    broken("too-accurate", "batches.csv", &|text| text.replacen("train,1,1,", "train,1,1,0.5,1.5\n", 1));
    broken("no-count", "batches.csv", &|text| text.replacen("train,1,1,", "train,1,1,0.5,0.51\n", 1));
    broken("swapped", "batches.csv", &|text| text.replacen("train,1,2,", "train,1,3,", 1));
    broken("other-columns", "epochs.csv", &|text| text.replacen("val_loss", "loss", 1));
    broken("one-line", "batches.csv", &|_| "x".repeat(1 << 20));
    fs::write(cwd.path().join("runs/a-file"), "").unwrap();

    for (name, told) in [
        ("nowhere", &["runs/nowhere: no such folder", "runs/1"][..]),
        ("a-file", &["runs/a-file: is not a folder"]),
        ("no-summary.json", &["summary.json is missing"]),
        ("no-epochs.csv", &["epochs.csv is missing"]),
        ("no-batches.csv", &["batches.csv is missing"]),
        ("no-model.safetensors", &["model.safetensors: cannot read"]),
        ("not-json", &["summary.json: line 1:", "summary"]),
        ("other-epochs", &["60 train batches in 4 epochs; expected 20 in each"]),
        ("other-weights", &["weights_sha256"]),
        ("no-number", &["epochs.csv: line 3: train_loss is \"x", "expected a number"]),
        ("not-finite", &["epochs.csv: line 3: train_loss is \"NaN\""]),
        ("cut-short", &["batches.csv: line "]),
        ("too-many", &["batches.csv: line 86: more rows"]),
        ("too-accurate", &["batches.csv: line 2: accuracy is \"1.5\"; expected a number from 0 to 1"]),
        ("no-count", &["batches.csv: line 2: accuracy is \"0.51\"; expected a whole number of 32 images"]),
        ("swapped", &["batches.csv: line 3: batch is \"3\"; expected 2"]),
        ("other-columns", &["epochs.csv: line 1: expected the columns epoch,train_loss"]),
        ("one-line", &["batches.csv: line 1: is too long"]),
    ] {
        let bad = format!("runs/{name}");
        let output = flatnet(cwd.path()).args(["report", &bad, "runs/1", "--out", "unmade.html"]).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {message}");
        assert!(message.starts_with("error: ") && message.lines().count() == 1, "{name}: {message}");
        for part in told {
            assert!(message.contains(part), "{name}: {part} is missing in: {message}");
        }
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "runs/1/report.html\n", "{name}");
        assert!(good.join("report.html").is_file());
        fs::remove_file(good.join("report.html")).unwrap();
        let page: PathBuf = cwd.path().join(&bad).join("report.html");
        assert!(!page.exists() && !cwd.path().join("unmade.html").exists(), "{name}");
    }
    // Several that fail are told in a line each.
    let output = flatnet(cwd.path()).args(["report", "runs/no-epochs.csv", "runs/nowhere", "runs/1"]).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().lines().count()), (Some(1), 2));
}

#[test]
fn without_its_images_a_run_has_a_page_that_says_so() {
    let cwd = one_run(&[]);
    let whole = read(&cwd.path().join("runs/1/report.html"));
    let report = |words: &[&str]| {
        let output = flatnet(cwd.path()).arg("report").args(words).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.lines().count() <= 1, "{told}");
        (output.status.code(), told)
    };
    // A folder that was named is needed.
    let (code, told) = report(&["runs/1", "--data", "gone"]);
    assert!(code == Some(1) && told.starts_with("error: gone: ") && told.contains("--data"), "{told}");
    // One that the run named and that has other images by now: the page is not replaced by one that shows less.
    let summary = read(&cwd.path().join("runs/1/summary.json"));
    let digest = summary.split("\"val_sha256\": \"").nth(1).unwrap().split('"').next().unwrap();
    fs::write(cwd.path().join("runs/1/summary.json"), summary.replace(digest, "other")).unwrap();
    let (code, told) = report(&["runs/1"]);
    assert!(code == Some(1) && told.contains("runs/1/report.html: shows the validation images"), "{told}");
    assert!(read(&cwd.path().join("runs/1/report.html")) == whole);
    fs::remove_file(cwd.path().join("runs/1/report.html")).unwrap();
    let (code, told) = report(&["runs/1"]);
    assert!(code == Some(0) && told.starts_with("note: runs/1: made without") && told.contains("SHA-256"), "{told}");
    fs::write(cwd.path().join("runs/1/summary.json"), summary).unwrap();
    let page = read(&cwd.path().join("runs/1/report.html"));
    assert!(page.contains("are left out: ") && !page.contains("class=\"confusion\""));
    assert!(page.contains("id=\"loss-by-batch\"") && page.contains("The weights of each class"));
    flatnet(cwd.path()).args(["report", "runs/1"]).assert().success();
    assert!(read(&cwd.path().join("runs/1/report.html")) == whole);
}

#[test]
fn text_from_files_never_becomes_markup() {
    let cwd = one_run(&["--no-report"]);
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    let folder = cwd.path().join(hostile);
    copy_run(&cwd.path().join("runs/1"), &folder);
    let summary: String = read(&folder.join("summary.json"));
    let mut summary: Value = serde_json::from_str(&summary).unwrap();
    let attack = "</script></style><script>alert(1)</script>\"><img src=x onerror=alert(1)>";
    for field in [&["data", "source"][..], &["recipe", "data"], &["recipe", "layers"], &["simd"], &["kernel"]] {
        let mut place = &mut summary;
        for name in field {
            place = &mut place[*name];
        }
        *place = attack.into();
    }
    fs::write(folder.join("summary.json"), summary.to_string()).unwrap();
    let output = flatnet(cwd.path()).args(["report", hostile, "runs/1", "--out", "both.html"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for page in [folder.join("report.html"), cwd.path().join("both.html")] {
        let text = read(&page);
        assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;"), "the name is shown");
        assert!(text.contains("&lt;script&gt;alert(1)"), "the settings are shown");
        // What a browser would take for tags: those of the page, and no other.
        for tag in ["<img", "<script>alert", "</style><script"] {
            assert!(!text.contains(tag), "{}: {tag}", page.display());
        }
        let (scripts, ends) = (text.matches("<script").count(), text.matches("</script").count());
        assert_eq!((scripts, ends), (7, 7), "six graphs' data and the page's own script");
    }
}

#[test]
fn a_run_of_no_epoch_and_of_one_have_pages() {
    for (epochs, told) in [("0", "No epoch ran"), ("1", "one epoch cannot show it")] {
        let cwd = tempfile::tempdir().unwrap();
        let words = ["--train-samples", "64", "--val-samples", "5", "--quiet", "--out", "r", "--epochs", epochs];
        flatnet(cwd.path()).args(words).assert().success();
        let page = read(&cwd.path().join("r/report.html"));
        assert!(page.contains(told));
        flatnet(cwd.path()).args(["report", "r"]).assert().success();
        assert!(read(&cwd.path().join("r/report.html")) == page);
    }
}
