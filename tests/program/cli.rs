//! The program as a user types it: what it prints, what it writes, and how it fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{entries, flatnet, keys, stderr, stdout};

/// A run of a second at most: 640 images, 2 epochs.
const SHORT: [&str; 6] = ["--train-samples", "640", "--val-samples", "250", "--epochs", "2"];

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs successfully and returns the one JSON object on stdout.
pub fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value.is_object());
    value
}

/// Fails with this exit code and one line that holds all of `told`; nothing is printed as a result.
#[track_caller]
pub fn refused(command: &mut Command, code: i32, told: &[&str]) {
    let output = command.output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("error: "), "{message}");
    for part in told {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert_eq!(stdout(&output), "");
}

const RUN_FILES: [&str; 7] =
    ["batches.csv", "best.safetensors", "epochs.csv", "model.safetensors", "recipe.toml", "sample.csv", "summary.json"];
/// The files of a run, its page and its graphs.
pub const RUN_ENTRIES: [&str; 9] = [
    "batches.csv",
    "best.safetensors",
    "epochs.csv",
    "graphs",
    "model.safetensors",
    "recipe.toml",
    "report.html",
    "sample.csv",
    "summary.json",
];

/// `count` IDX images of `rows` x `columns` and labels that go round `classes`, as the training and the test split.
pub fn write_set(folder: &Path, count: usize, rows: usize, columns: usize, classes: usize) {
    let header = |kind: u8, sizes: &[usize]| {
        let mut bytes = vec![0, 0, 8, kind];
        for size in sizes {
            bytes.extend((*size as u32).to_be_bytes());
        }
        bytes
    };
    for split in ["train", "t10k"] {
        let mut images = header(3, &[count, rows, columns]);
        images.extend((0..count * rows * columns).map(|at| (at * 37 % 251) as u8));
        let mut labels = header(1, &[count]);
        labels.extend((0..count).map(|at| (at % classes) as u8));
        fs::write(folder.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), labels).unwrap();
    }
}

const IMAGES: &str = "train-images-idx3-ubyte";
const LABELS: &str = "train-labels-idx1-ubyte";

/// A set of 60 images of 2 x 3 in 3 classes, small enough to break in many ways.
pub fn small_set() -> TempDir {
    let folder = folder();
    write_set(folder.path(), 60, 2, 3, 3);
    folder
}

/// Training on a small set with settings that suit it.
pub fn train_small(cwd: &Path, set: &Path) -> Command {
    let mut command = flatnet(cwd);
    command.args(["train", "--train-samples", "50", "--val-samples", "20", "--epochs", "2", "--layers", "linear:3"]);
    command.arg("--data").arg(set);
    command
}

#[test]
fn help_names_every_flag_and_fits_80_columns() {
    let cwd = folder();
    for (words, expected) in [
        (&["--help"][..], &["Examples:", "evaluate", "Exit codes", "--relu-grad", "README.md"][..]),
        (
            &["train", "--help"],
            &[
                "--data",
                "--train-samples",
                "--val-samples",
                "--epochs",
                "--batch-size",
                "--lr",
                "--seed",
                "--shuffle",
                "--layers",
                "--init",
                "--relu-grad",
                "--scale",
                "--threads",
                "--simd",
                "--kernel",
                "--out",
                "--overwrite",
                "--no-report",
                "--json",
                "--quiet",
                "--log-format",
                "--tensorboard",
                "--val-split",
                "--target",
                "[default: 30000 of MNIST, all of",
                "Examples:",
            ],
        ),
        (
            &["evaluate", "--help"],
            &["--model", "--data", "--split", "--sample", "--predictions", "--overwrite", "--json", "Examples:"],
        ),
        (&["report", "--help"], &["<RUN>", "--data", "--out", "--overwrite", "comparison.html", "Examples:"]),
    ] {
        let output = flatnet(cwd.path()).args(words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        for part in expected {
            assert!(stdout(&output).contains(part), "{part} is missing in {words:?}");
        }
        assert!(stdout(&output).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&output));
    }
    let version = flatnet(cwd.path()).arg("--version").output().unwrap();
    assert_eq!(stdout(&version), format!("flatnet {}\n", env!("CARGO_PKG_VERSION")));
}

/// Started by MPI's launcher it would be several runs in each other's way.
#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_says_so_where_it_is_one_of_several_ranks() {
    let folder = folder();
    let started = |size: &str| {
        let mut command = flatnet(folder.path());
        command.args(["train", "--epochs", "0", "--out", "run"]).env("OMPI_COMM_WORLD_SIZE", size);
        command
    };
    refused(&mut started("2"), 1, &["built without MPI, whose launcher has started it", "--features mpi"]);
    assert!(!folder.path().join("run").exists());
    assert!(started("1").output().unwrap().status.success());
}

#[test]
fn a_run_writes_its_files_and_its_summary() {
    let cwd = folder();
    let summary = json(flatnet(cwd.path()).args(SHORT).args(["--json", "--seed", "3"]));
    let run = cwd.path().join("runs/1");
    assert_eq!(entries(&run), RUN_ENTRIES);
    let kept: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(kept, summary);

    assert_eq!(
        keys(&summary),
        [
            "batches_per_second",
            "best",
            "best_model",
            "data",
            "epochs",
            "final",
            "interrupted",
            "kernel",
            "model",
            "recipe",
            "seconds",
            "simd",
            "stopped",
            "threads",
            "train_batches",
            "val_batches",
            "watch",
            "weights_sha256"
        ]
    );
    assert_eq!(
        keys(&summary["data"]),
        [
            "class_samples",
            "classes",
            "features",
            "folder",
            "outputs",
            "share_not_zero",
            "source",
            "train_samples",
            "train_sha256",
            "val_samples",
            "val_sha256"
        ]
    );
    assert_eq!(
        keys(&summary["recipe"]),
        [
            "batch_size",
            "data",
            "epochs",
            "init",
            "json",
            "kernel",
            "layers",
            "lr",
            "lr_schedule",
            "no_report",
            "optimizer",
            "out",
            "overwrite",
            "parallel",
            "quiet",
            "relu_grad",
            "scale",
            "seed",
            "shuffle",
            "simd",
            "threads",
            "train_samples",
            "val_samples"
        ]
    );
    assert_eq!(keys(&summary["model"]), ["layers", "parameters"]);
    assert_eq!(keys(&summary["final"]), ["train_accuracy", "train_loss", "val_accuracy", "val_loss"]);
    assert_eq!(keys(&summary["best"]), ["epoch", "val_accuracy", "val_loss"]);
    assert_eq!(keys(&summary["seconds"]), ["load", "total", "train", "validate"]);

    assert_eq!((&summary["data"]["train_samples"], &summary["data"]["val_samples"]), (&640.into(), &250.into()));
    assert_eq!((&summary["data"]["features"], &summary["data"]["classes"]), (&784.into(), &10.into()));
    assert_eq!(summary["model"], serde_json::json!({ "layers": ["linear:10", "relu"], "parameters": 7850 }));
    assert_eq!(
        (&summary["epochs"], &summary["train_batches"], &summary["val_batches"]),
        (&2.into(), &40.into(), &16.into())
    );
    let recipe = &summary["recipe"];
    assert_eq!((&recipe["lr"], &recipe["seed"], &recipe["out"]), (&0.01.into(), &3.into(), &"runs/1".into()));
    assert_eq!((&recipe["relu_grad"], &recipe["init"]), (&"straight-through".into(), &"unit-norm".into()));
    assert_eq!((&recipe["shuffle"], &recipe["scale"]), (&"never".into(), &"unit".into()));
    assert_eq!(summary["weights_sha256"].as_str().unwrap().len(), 64);
    let accuracy = summary["final"]["val_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.3 && accuracy <= 1.0, "{accuracy}");
    let seconds = |name: &str| summary["seconds"][name].as_f64().unwrap();
    assert!(seconds("train") > 0.0 && seconds("validate") > 0.0);
    assert!(seconds("load") + seconds("train") + seconds("validate") <= seconds("total"));
    let per_second = summary["batches_per_second"].as_f64().unwrap();
    assert!((per_second * seconds("train") - 40.0).abs() < 1e-6);

    let epochs = fs::read_to_string(run.join("epochs.csv")).unwrap();
    let last: Vec<&str> = epochs.lines().last().unwrap().split(',').collect();
    assert_eq!((epochs.lines().count(), last[0]), (3, "2"));
    assert_eq!(last[3].parse::<f64>().unwrap(), summary["final"]["val_loss"].as_f64().unwrap());
    let batches = fs::read_to_string(run.join("batches.csv")).unwrap();
    let rows: Vec<&str> = batches.lines().collect();
    assert_eq!(rows.len(), 1 + 2 * (20 + 8));
    for (row, start) in [
        (0, "phase,epoch,batch,loss,accuracy"),
        (1, "train,1,1,"),
        (20, "train,1,20,"),
        (21, "val,1,1,"),
        (56, "val,2,8,"),
    ] {
        assert!(rows[row].starts_with(start), "{}", rows[row]);
    }

    // The next run takes the next number, and the same seed gives the same weights.
    let again = json(flatnet(cwd.path()).arg("train").args(SHORT).args(["--json", "--seed", "3"]));
    assert_eq!(again["recipe"]["out"], "runs/2");
    assert_eq!((&again["weights_sha256"], &again["final"]), (&summary["weights_sha256"], &summary["final"]));
    let other = json(flatnet(cwd.path()).args(SHORT).args(["--json", "--seed", "4"]));
    assert_ne!(other["weights_sha256"], summary["weights_sha256"]);
}

#[test]
fn evaluating_the_runs_own_rows_gives_the_runs_last_figures() {
    let cwd = folder();
    let hidden = ["--layers", "linear:16,relu,linear:10", "--scale", "standard", "--relu-grad", "exact"];
    let summary =
        json(flatnet(cwd.path()).args(SHORT).args(hidden).args(["--lr", "0.1", "--batch-size", "33", "--json"]));
    let evaluate = |words: &[&str]| {
        json(flatnet(cwd.path()).args(["evaluate", "--model", "runs/1/model.safetensors", "--json"]).args(words))
    };
    let report = evaluate(&["--sample", "run"]);
    for key in ["accuracy", "correct", "data", "loss", "model", "samples", "seconds", "split"] {
        assert!(keys(&report).contains(&key), "{key}");
    }
    assert_eq!(report["loss"], summary["final"]["val_loss"]);
    assert_eq!(report["accuracy"], summary["final"]["val_accuracy"]);
    assert_eq!((&report["samples"], &report["split"]), (&250.into(), &"test".into()));
    assert_eq!(report["correct"].as_f64().unwrap() / 250.0, report["accuracy"].as_f64().unwrap());

    assert_eq!(evaluate(&[])["samples"], 10_000);
    assert_eq!(evaluate(&["--split", "train", "--sample", "run"])["samples"], 640);
    assert_eq!(evaluate(&["--split", "train"])["samples"], 60_000);

    let table = flatnet(cwd.path()).args(["evaluate", "--model", "runs/1/model.safetensors"]).output().unwrap();
    assert!(stdout(&table).contains("of 10,000)") && table.stderr.is_empty(), "{}", stdout(&table));
}

/// Two kernels add up in two orders, so figures match to the last bit only where evaluating takes the run's own.
#[test]
fn evaluating_takes_the_kernel_and_the_level_of_the_run() {
    let cwd = folder();
    let runs = [
        &["--kernel", "auto"][..],
        &["--kernel", "gemm"],
        &["--simd", "fallback"],
        &["--kernel", "gemm", "--simd", "fallback", "--layers", "linear:64,relu,linear:10"],
        &["--layers", "linear:64,relu,linear:10"],
    ];
    let outcomes = runs.map(|settings| {
        // Steps so large that the last bits of a sum show in the loss, which evaluating with another kernel would then miss.
        let large_steps = ["--lr", "0.5", "--scale", "standard", "--threads", "2", "--json"];
        let summary = json(flatnet(cwd.path()).args(SHORT).args(large_steps).args(settings));
        let model = Path::new(summary["recipe"]["out"].as_str().unwrap()).join("model.safetensors");
        let mut evaluate = flatnet(cwd.path());
        let report = json(evaluate.args(["evaluate", "--sample", "run", "--json", "--model"]).arg(model));
        assert_eq!(report["loss"], summary["final"]["val_loss"], "{settings:?}");
        assert_eq!(report["accuracy"], summary["final"]["val_accuracy"], "{settings:?}");
        let kernel = summary["kernel"].as_str().unwrap().to_string();
        let weights = summary["weights_sha256"].as_str().unwrap().to_string();
        (kernel, summary["simd"].as_str().unwrap().to_string(), weights)
    });
    let kernels = outcomes.each_ref().map(|(kernel, ..)| &**kernel);
    assert_eq!(kernels, ["narrow", "gemm", "narrow", "gemm", "narrow+wide"]);
    assert_eq!((&*outcomes[2].1, &*outcomes[3].1), ("fallback", "fallback"));
    assert_ne!(
        outcomes[0].2, outcomes[1].2,
        "were these equal, the kernel would not matter and this test would prove nothing"
    );
    assert_eq!(outcomes[0].2, outcomes[2].2, "the level changes no bit");
    assert_ne!(outcomes[3].2, outcomes[4].2, "the last layer's kernel matters as well");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let cwd = folder();
    let layers = ["--layers", "linear:24,relu,linear:10"];
    let mut runs = [1, 2, 3, 8].map(|threads| {
        let mut command = flatnet(cwd.path());
        command.args(SHORT).args(layers).args(["--json", "--threads", &threads.to_string()]);
        // As many as asked for, on a machine of any number of cores.
        let summary = json(command.env("FLATNET_TEST_THREADS_BEYOND_CORES", "1"));
        assert_eq!(summary["threads"], threads);
        (summary["weights_sha256"].clone(), summary["final"].clone())
    });
    runs.sort_by_key(|run| run.0.to_string());
    assert_eq!(runs[0], runs[3]);
    let by_environment = json(flatnet(cwd.path()).args(SHORT).arg("--json").env("RAYON_NUM_THREADS", "1"));
    assert_eq!((&by_environment["threads"], &by_environment["recipe"]["threads"]), (&1.into(), &1.into()));
}

#[test]
fn results_go_to_stdout_and_progress_to_stderr() {
    let (cwd, set) = (folder(), small_set());
    let output = train_small(cwd.path(), set.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let progress: Vec<&str> = stderr(&output).lines().collect();
    assert_eq!(progress.len(), 2, "one plain line per epoch: {progress:?}");
    assert!(progress[0].starts_with("epoch 1/2  train ") && progress[1].starts_with("epoch 2/2  train "));
    for part in ["final", "best", "per second", "Seconds: load", "runs/1", "model.safetensors", "Overfitting: "] {
        assert!(stdout(&output).contains(part), "{part} is missing in {}", stdout(&output));
    }
    for text in [stdout(&output), stderr(&output)] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\x1b') && !text.contains('\r'), "no terminal codes in a pipe");
    }

    let many = train_small(cwd.path(), set.path()).args(["--epochs", "101"]).output();
    // The flag was given twice: that is wrong usage, not the last one wins.
    assert_eq!(many.unwrap().status.code(), Some(2));
    let mut long = flatnet(cwd.path());
    long.args(["--train-samples", "50", "--val-samples", "20", "--epochs", "101", "--layers", "linear:3", "--data"]);
    let output = long.arg(set.path()).output().unwrap();
    // The first epoch and the last; between them, lines come by time.
    let lines: Vec<&str> = stderr(&output).lines().collect();
    assert!((2..17).contains(&lines.len()) && lines[0].starts_with("epoch   1/101  train "), "{lines:?}");
    assert!(lines[lines.len() - 1].starts_with("epoch 101/101  train "));
}

#[test]
fn jsonl_tells_every_epoch_as_an_object() {
    let (cwd, set) = (folder(), small_set());
    // Several batches to an epoch, so that its mean loss is no f32.
    let words = ["--log-format", "jsonl", "--json", "--out", "run", "--batch-size", "7"];
    let output = train_small(cwd.path(), set.path()).args(words).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines: Vec<Value> = stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let csv = fs::read_to_string(cwd.path().join("run/epochs.csv")).unwrap();
    let names: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(lines.len(), 2);
    for (line, row) in lines.iter().zip(csv.lines().skip(1)) {
        let mut expected = [&names[..], &["epochs", "seconds"]].concat();
        expected.sort();
        assert_eq!(keys(line), expected);
        for (name, figure) in names.iter().zip(row.split(',')) {
            assert_eq!(line[name].as_f64(), Some(figure.parse().unwrap()), "{name}");
        }
        assert_eq!(line["epochs"], 2);
    }
    assert_eq!(lines[1]["val_loss"], summary["final"]["val_loss"]);
    let seconds = |line: &Value| line["seconds"].as_f64().unwrap();
    assert!(0.0 < seconds(&lines[0]) && seconds(&lines[0]) < seconds(&lines[1]));
    assert!(seconds(&lines[1]) < summary["seconds"]["total"].as_f64().unwrap());

    // They are for other programs, so that --quiet does not silence them; and a failure is told in plain words.
    let quiet = train_small(cwd.path(), set.path()).args(["--log-format", "jsonl", "--quiet"]).output().unwrap();
    assert_eq!((quiet.status.code(), stderr(&quiet).lines().count()), (Some(0), 2));
    let diverging = ["--log-format", "jsonl", "--lr", "3e38", "--batch-size", "1"];
    refused(train_small(cwd.path(), set.path()).args(diverging), 1, &["not a finite number"]);
}

#[test]
fn quiet_is_quiet_and_json_is_one_object() {
    let (cwd, set) = (folder(), small_set());
    let quiet = train_small(cwd.path(), set.path()).arg("--quiet").output().unwrap();
    assert!(quiet.status.success());
    assert_eq!(stderr(&quiet), "");
    let output = train_small(cwd.path(), set.path()).args(["--quiet", "--json"]).output().unwrap();
    assert_eq!(stderr(&output), "");
    let mut objects = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    assert!(objects.next().unwrap().unwrap().is_object());
    assert!(objects.next().is_none());
}

#[test]
fn no_epoch_keeps_the_initial_model() {
    let (cwd, set) = (folder(), small_set());
    let mut command = flatnet(cwd.path());
    command.args(["--train-samples", "all", "--val-samples", "all", "--epochs", "0", "--layers", "linear:3", "--data"]);
    let summary = json(command.arg(set.path()).arg("--json"));
    assert_eq!(entries(&cwd.path().join("runs/1")), RUN_ENTRIES);
    assert!(summary["final"].is_null() && summary["best"].is_null());
    assert_eq!((&summary["epochs"], &summary["train_batches"]), (&0.into(), &0.into()));
    assert_eq!(summary["recipe"]["train_samples"], "all");
    assert_eq!(summary["data"]["train_samples"], 60);
    // The whole set takes part in the order of its files.
    let rows = |phase| (0..60).map(move |row| format!("{phase},{row},{row}\n"));
    let expected: String =
        std::iter::once("phase,position,row\n".to_string()).chain(rows("train")).chain(rows("val")).collect();
    assert_eq!(fs::read_to_string(cwd.path().join("runs/1/sample.csv")).unwrap(), expected);
    let table = command.output().unwrap();
    assert!(table.status.success());
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let (cwd, set) = (folder(), small_set());
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
    command.args(["--train-samples", "50", "--val-samples", "20", "--epochs", "2", "--layers", "linear:3", "--data"]);
    command.arg(set.path()).current_dir(cwd.path());
    let (reader, writer) = std::io::pipe().unwrap();
    let (error_reader, error_writer) = std::io::pipe().unwrap();
    drop((reader, error_reader));
    let status = command.stdout(writer).stderr(error_writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(entries(&cwd.path().join("runs/1")), RUN_ENTRIES);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let cwd = folder();
    for (flag, value) in [
        ("--batch-size", "0"),
        ("--batch-size", "x"),
        ("--lr", "0"),
        ("--lr", "-1"),
        ("--lr", "nan"),
        ("--lr", "inf"),
        ("--lr", "abc"),
        ("--threads", "0"),
        ("--epochs", "-3"),
        ("--train-samples", "0"),
        ("--layers", "dense:10"),
        ("--init", "ones"),
        ("--seed", "1.5"),
    ] {
        refused(flatnet(cwd.path()).args(["train", flag, value]), 2, &[flag, &format!("'{value}'")]);
    }
    refused(flatnet(cwd.path()).arg("--overwrite"), 2, &["--out"]);
    refused(flatnet(cwd.path()).arg("evaluate"), 2, &["--model"]);
    refused(flatnet(cwd.path()).arg("--bogus"), 2, &["--bogus"]);
    refused(flatnet(cwd.path()).args(["--train-samples", "60001"]), 1, &["--train-samples", "60001", "60000"]);
    refused(flatnet(cwd.path()).args(["--val-samples", "10001"]), 1, &["--val-samples", "10001", "10000"]);
    refused(flatnet(cwd.path()).args(["--layers", "linear:5"]), 1, &["--layers", "linear:5", "linear:10"]);
    assert_eq!(entries(cwd.path()), [""; 0], "nothing was created");
}

#[test]
fn data_that_cannot_be_used_is_refused() {
    let cwd = folder();
    let missing = cwd.path().join("absent");
    refused(train_small(cwd.path(), &missing).args(["--out", "run"]), 1, &["absent", "--data"]);

    let edit = |file: &str, change: &dyn Fn(&mut Vec<u8>), told: &[&str]| {
        let set = small_set();
        let path = set.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        refused(train_small(cwd.path(), set.path()).args(["--out", "run"]), 1, &[&[file], told].concat());
    };
    edit(IMAGES, &|bytes| bytes.truncate(200), &["byte "]);
    edit(IMAGES, &|bytes| bytes.truncate(3), &["byte "]);
    edit(IMAGES, &|bytes| bytes.push(0), &["byte "]);
    edit(LABELS, &|bytes| bytes.truncate(20), &["byte "]);
    let set = small_set();
    let labels = fs::read(set.path().join(LABELS)).unwrap();
    edit(IMAGES, &|bytes| bytes.clone_from(&labels), &["byte ", "label"]);
    fs::remove_file(set.path().join(LABELS)).unwrap();
    refused(&mut train_small(cwd.path(), set.path()), 1, &[LABELS]);

    // A gzip with one bit turned in the middle: its checksum no longer fits.
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    let set = folder();
    for name in entries(&bundled) {
        fs::copy(bundled.join(&name), set.path().join(&name)).unwrap();
    }
    let path = set.path().join("t10k-images-idx3-ubyte.gz");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    refused(flatnet(cwd.path()).arg("--data").arg(set.path()), 1, &["t10k-images-idx3-ubyte.gz", "gzip"]);
    assert_eq!(entries(cwd.path()), [""; 0], "nothing was created");
}

#[test]
fn a_run_on_disk_is_never_lost() {
    let (cwd, set) = (folder(), small_set());
    let train = |words: &[&str]| {
        let mut command = train_small(cwd.path(), set.path());
        command.args(["--out", "run", "--quiet"]).args(words);
        command
    };
    let run = cwd.path().join("run");
    let files = || RUN_FILES.map(|name| fs::read(run.join(name)).unwrap());
    train(&[]).assert().success();
    fs::write(run.join("notes.txt"), "mine").unwrap();
    let first = files();

    refused(&mut train(&["--seed", "5"]), 1, &["run: holds a run already", "--overwrite"]);
    assert!(files() == first);
    // Diverges on the way: the old run stays as it was.
    refused(&mut train(&["--overwrite", "--lr", "3e38", "--batch-size", "1"]), 1, &["epoch ", "batch ", "--lr"]);
    assert!(files() == first);
    assert_eq!(entries(&run).len(), RUN_ENTRIES.len() + 1);

    train(&["--overwrite", "--seed", "5"]).assert().success();
    let second = files();
    assert!((0..RUN_FILES.len()).all(|file| second[file] != first[file]));
    assert_eq!(fs::read(run.join("notes.txt")).unwrap(), b"mine");
    assert_eq!(entries(&run).len(), RUN_ENTRIES.len() + 1);

    // A folder that holds something else is used, and what it holds is left alone.
    fs::create_dir(cwd.path().join("notes")).unwrap();
    fs::write(cwd.path().join("notes/notes.txt"), "mine").unwrap();
    train_small(cwd.path(), set.path()).args(["--out", "notes"]).assert().success();
    assert_eq!(entries(&cwd.path().join("notes")).len(), RUN_ENTRIES.len() + 1);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_the_training() {
    let (cwd, set) = (folder(), small_set());
    fs::write(cwd.path().join("file"), "mine").unwrap();
    for out in ["file", "file/below"] {
        let mut command = train_small(cwd.path(), set.path());
        // No progress line on stderr: the refusal came first.
        refused(command.args(["--out", out]), 1, &[out, "choose another", "--out"]);
    }
    assert_eq!(fs::read(cwd.path().join("file")).unwrap(), b"mine");
    assert_eq!(entries(cwd.path()), ["file"]);
}

#[test]
fn a_failed_run_leaves_no_folder() {
    let (cwd, set) = (folder(), small_set());
    let diverging = ["--lr", "3e38", "--batch-size", "1", "--quiet"];
    refused(train_small(cwd.path(), set.path()).args(diverging), 1, &["not a finite number", "--lr"]);
    assert_eq!(entries(cwd.path()), [""; 0]);
}

#[test]
fn an_interrupted_run_leaves_what_was_there() {
    let (cwd, set) = (folder(), small_set());
    train_small(cwd.path(), set.path()).args(["--out", "old"]).assert().success();
    let before = fs::read(cwd.path().join("old/summary.json")).unwrap();
    for out in [&["--out", "new"][..], &["--out", "old", "--overwrite"], &[]] {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
        command.args(["--train-samples", "50", "--val-samples", "20", "--epochs", "200000", "--layers", "linear:3"]);
        command.args(["--threads", "1", "--data"]).arg(set.path()).args(out).current_dir(cwd.path());
        let mut run = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        // Training has begun when the first line is there.
        let mut line = String::new();
        BufReader::new(run.stderr.take().unwrap()).read_line(&mut line).unwrap();
        run.kill().unwrap();
        assert!(!run.wait().unwrap().success());
        assert!(line.starts_with("epoch "), "{line}");
        assert!(RUN_ENTRIES.iter().all(|name| cwd.path().join("old").join(name).exists()));
    }
    assert_eq!(fs::read(cwd.path().join("old/summary.json")).unwrap(), before);
    // What the kill left is no run, holds nobody up, and is cleared by the next run there.
    let message = stderr(&flatnet(cwd.path()).args(["report", "new"]).output().unwrap()).to_string();
    assert!(message.contains("new: holds no complete run"), "{message}");
    train_small(cwd.path(), set.path()).args(["--out", "new"]).assert().success();
    train_small(cwd.path(), set.path()).args(["--out", "old", "--overwrite"]).assert().success();
    train_small(cwd.path(), set.path()).assert().success();
    assert_eq!(entries(cwd.path()), ["new", "old", "runs"]);
    for run in ["new", "old", "runs/1"] {
        assert_eq!(entries(&cwd.path().join(run)), RUN_ENTRIES, "{run}");
    }
}

#[test]
fn a_model_must_fit_the_data() {
    let (cwd, set) = (folder(), small_set());
    train_small(cwd.path(), set.path()).assert().success();
    let model = "runs/1/model.safetensors";
    let evaluate = |model: &str, words: &[&str]| {
        let mut command = flatnet(cwd.path());
        command.args(["evaluate", "--model", model]).args(words);
        command
    };
    // The run's own folder is in the model file; without --sample run the bundled set is meant.
    evaluate(model, &["--sample", "run"]).assert().success();
    refused(&mut evaluate(model, &[]), 1, &[model, "6 pixels", "784"]);
    let more_classes = folder();
    write_set(more_classes.path(), 60, 2, 3, 4);
    refused(evaluate(model, &["--data"]).arg(more_classes.path()), 1, &[model, "3 classes", "found 4"]);
    let fewer_rows = folder();
    write_set(fewer_rows.path(), 10, 2, 3, 3);
    refused(
        evaluate(model, &["--sample", "run", "--data"]).arg(fewer_rows.path()),
        1,
        &["--train-samples", "50", "10"],
    );

    refused(&mut evaluate("absent", &[]), 1, &["absent: cannot read"]);
    refused(&mut evaluate("runs", &[]), 1, &["runs: ", "not a regular file"]);
    refused(&mut evaluate("runs/1/summary.json", &[]), 1, &["summary.json: header: "]);
    let mut bytes = fs::read(cwd.path().join(model)).unwrap();
    bytes.pop();
    fs::write(cwd.path().join("cut.safetensors"), bytes).unwrap();
    refused(&mut evaluate("cut.safetensors", &[]), 1, &["cut.safetensors: tensors: "]);
}
