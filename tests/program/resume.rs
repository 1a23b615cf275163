//! Runs that are killed, interrupted, stopped or fail, and go on: what is kept, what is refused, and that the end is that of a
//! run which was never ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

use crate::cli::{folder, json, refused, small_set, train_small};
use crate::common::{entries, flatnet, stderr};

const RECIPE: [&str; 16] = [
    "train",
    "--train-samples",
    "50",
    "--val-samples",
    "20",
    "--layers",
    "linear:8,gelu,dropout:0.2,linear:3",
    "--optimizer",
    "adam",
    "--shuffle",
    "epoch",
    "--batch-size",
    "8",
    "--no-report",
    "--json",
    "--quiet",
];

fn train(cwd: &Path, set: &Path, words: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args(RECIPE).arg("--data").arg(set).args(words);
    command
}

fn spawn(cwd: &Path, set: &Path, words: &[&str]) -> Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
    command.current_dir(cwd).args(RECIPE).arg("--data").arg(set).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn resume(cwd: &Path, words: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args(["train", "--no-report", "--json", "--quiet", "--resume"]).args(words);
    command
}

/// What a run came to, clocks left out.
fn figures(run: &Path) -> (Value, Vec<String>, Vec<u8>, Vec<u8>) {
    let summary: Value = serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap();
    let kept = ["weights_sha256", "final", "best", "best_model", "epochs", "train_batches", "stopped", "interrupted"];
    let kept: Value = kept.iter().map(|name| (name.to_string(), summary[name].clone())).collect();
    let epochs = fs::read_to_string(run.join("epochs.csv")).unwrap();
    let epochs = epochs.lines().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(",")).collect();
    let best = fs::read(run.join("best.safetensors")).unwrap();
    let tensors = 8 + u64::from_le_bytes(best[..8].try_into().unwrap()) as usize;
    (kept, epochs, fs::read(run.join("batches.csv")).unwrap(), best[tensors..].to_vec())
}

fn checkpoints(run: &Path) -> Vec<String> {
    entries(&run.join("checkpoints"))
}

#[test]
fn a_killed_run_goes_on_to_the_same_end() {
    let (cwd, set) = (folder(), small_set());
    let whole = |epochs: &str| {
        train(cwd.path(), set.path(), &["--epochs", epochs, "--out", "whole", "--overwrite"]).assert().success();
        figures(&cwd.path().join("whole"))
    };
    let run = cwd.path().join("run");
    let expected = whole("150");
    let mut kills = 0;
    for millis in [5, 20, 60, 120, 40] {
        let _ = fs::remove_dir_all(&run);
        let words = ["--epochs", "150", "--checkpoint-every", "1", "--keep-checkpoints", "2", "--out", "run"];
        let mut child = spawn(cwd.path(), set.path(), &words);
        // Some epochs after the first checkpoint, which tells that training has begun.
        let begun = || {
            let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("epoch-"))
        };
        while !begun() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(millis));
        let _ = child.kill();
        child.wait().unwrap();
        // No other one is put in its place unasked. Killed in its very last moment a run is complete all the same, if need be once
        // whoever comes next has moved its files to their places.
        train(cwd.path(), set.path(), &["--out", "run"]).assert().failure();
        let ended = run.join("summary.json").exists();
        kills += usize::from(!ended);
        let told = if ended { "holds a run already (summary.json)" } else { "did not end" };
        refused(&mut train(cwd.path(), set.path(), &["--out", "run"]), 1, &[told, "--overwrite"]);
        if !ended {
            assert!((1..=3).contains(&checkpoints(&run).iter().filter(|name| !name.starts_with('.')).count()));
        }
        resume(cwd.path(), &["run"]).assert().success();
        assert!(figures(&run) == expected, "after {millis} ms");
        assert_eq!(checkpoints(&run), ["epoch-000149.safetensors", "epoch-000150.safetensors"]);
    }
    assert!(kills > 0, "every run ended before it was killed");
    // More epochs than were asked for, in a folder of its own; the run that is gone on with stays.
    resume(cwd.path(), &["run", "--epochs", "160", "--out", "longer", "--threads", "1"]).assert().success();
    assert!(figures(&run) == expected && figures(&cwd.path().join("longer")) == whole("160"));
}

#[cfg(unix)]
#[test]
fn the_first_signal_keeps_all_that_is_done_and_says_how_to_go_on() {
    let (cwd, set) = (folder(), small_set());
    let long = ["--epochs", "1000000", "--log-format", "jsonl", "--out", "run", "--overwrite"];
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let mut child = spawn(cwd.path(), set.path(), &long);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let told: Vec<String> = lines.map(|line| line.unwrap()).collect();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{signal}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&summary["interrupted"], &summary["stopped"]), (&true.into(), &"interrupted".into()));
        let last = told.last().unwrap();
        assert!(last.contains("which is kept; go on with: flatnet train --resume run"), "{last}");
        let run = cwd.path().join("run");
        assert_eq!(checkpoints(&run).len(), 1);
        // To an end that is near, and to that of a run which was never interrupted.
        let epochs = (summary["epochs"].as_u64().unwrap() + 3).to_string();
        resume(cwd.path(), &["run", "--epochs", &epochs]).assert().success();
        train(cwd.path(), set.path(), &["--epochs", &epochs, "--out", "whole", "--overwrite"]).assert().success();
        assert!(figures(&run) == figures(&cwd.path().join("whole")), "{signal}");
    }
}

#[test]
fn a_setting_that_would_change_the_past_is_refused_and_named() {
    let (cwd, set) = (folder(), small_set());
    train(cwd.path(), set.path(), &["--epochs", "4", "--checkpoint-every", "2", "--out", "run"]).assert().success();
    let before = figures(&cwd.path().join("run"));
    for (flag, value) in [
        ("--lr", "0.5"),
        ("--seed", "1"),
        ("--layers", "linear:3"),
        ("--batch-size", "16"),
        ("--train-samples", "40"),
        ("--val-samples", "all"),
        ("--optimizer", "sgd"),
        ("--beta1", "0.8"),
        ("--weight-decay", "0.1"),
        ("--lr-schedule", "cosine"),
        ("--shuffle", "never"),
        ("--scale", "standard"),
        ("--init", "zeros"),
        ("--relu-grad", "straight-through"),
        ("--kernel", "gemm"),
        ("--label-smoothing", "0.1"),
        ("--clip-norm", "1"),
        ("--warmup-epochs", "1"),
        ("--monitor", "val-accuracy"),
        ("--class-weights", "balanced"),
        ("--epochs", "3"),
    ] {
        refused(&mut resume(cwd.path(), &["run", flag, value]), 1, &[flag, "expected"]);
    }
    // A default that was typed is no less a setting than another value.
    refused(&mut resume(cwd.path(), &["run", "--batch-size", "32"]), 1, &["--batch-size: 32", "8, as the run"]);
    // Other data by their digest.
    let other = folder();
    crate::cli::write_set(other.path(), 61, 2, 3, 3);
    refused(resume(cwd.path(), &["run", "--data"]).arg(other.path()), 1, &["other data", "SHA-256"]);
    assert!(figures(&cwd.path().join("run")) == before);
    // What changes nothing of the past may be typed, and so may what the run has.
    for words in [
        &["--lr", "0.01", "--batch-size", "8", "--init", "auto", "--layers", "linear:8,gelu,dropout:0.2,linear:3"][..],
        &["--threads", "1", "--patience", "50", "--max-seconds", "100", "--keep-checkpoints", "1"],
    ] {
        resume(cwd.path(), &[&["run"], words].concat()).assert().success();
        assert!(figures(&cwd.path().join("run")) == before, "{words:?}");
    }
    // By a schedule that follows from the number of epochs, another number would have changed the past.
    let cosine = ["--epochs", "4", "--lr-schedule", "cosine", "--checkpoint-every", "2", "--out", "cosine"];
    train(cwd.path(), set.path(), &cosine).assert().success();
    refused(&mut resume(cwd.path(), &["cosine", "--epochs", "8"]), 1, &["--epochs: 8", "lr_schedule cosine"]);
}

#[test]
fn damaged_and_foreign_files_are_refused_and_stay() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--epochs", "6", "--checkpoint-every", "1", "--keep-checkpoints", "9", "--out", "run"];
    train(cwd.path(), set.path(), &words).assert().success();
    let run = cwd.path().join("run");
    let expected = figures(&run);
    let newest = run.join("checkpoints/epoch-000006.safetensors");
    let good = fs::read(&newest).unwrap();
    let mut flipped = good.clone();
    let at = flipped.len() - 1000;
    flipped[at] ^= 1;
    let mut header = good.clone();
    let digit = header.windows(9).position(|window| window == b"\"epoch\":\"").unwrap() + 9;
    header[digit] = b'5';
    let mut length = good.clone();
    length[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cut = good[..good.len() / 2].to_vec();
    let model = fs::read(run.join("model.safetensors")).unwrap();
    for damaged in [flipped, header, length, cut, model, Vec::new(), b"notes".to_vec()] {
        fs::write(&newest, &damaged).unwrap();
        let file = ["run/checkpoints/epoch-000006.safetensors"];
        refused(&mut resume(cwd.path(), &file), 1, &["epoch-000006.safetensors: "]);
        // Of the run, the one before it is taken, which is said.
        let output = resume(cwd.path(), &["run"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("epoch-000006.safetensors: ") && stderr(&output).lines().count() == 1);
        assert!(figures(&run) == expected && fs::read(&newest).unwrap() == damaged);
        assert!(run.join("checkpoints/epoch-000006-2.safetensors").exists());
        fs::remove_file(run.join("checkpoints/epoch-000006-2.safetensors")).unwrap();
    }
    // Even when fewer are to be kept.
    resume(cwd.path(), &["run", "--keep-checkpoints", "1"]).assert().success();
    assert_eq!(checkpoints(&run), ["epoch-000006-2.safetensors", "epoch-000006.safetensors"]);
    refused(&mut resume(cwd.path(), &["nowhere"]), 1, &["nowhere"]);
    fs::create_dir(cwd.path().join("empty")).unwrap();
    refused(&mut resume(cwd.path(), &["empty"]), 1, &["empty: holds no checkpoint"]);
}

#[test]
fn early_stopping_and_the_best_parameters() {
    let (cwd, set) = (folder(), small_set());
    let summary = json(&mut train(
        cwd.path(),
        set.path(),
        &["--epochs", "5000", "--patience", "3", "--lr", "0.05", "--out", "run"],
    ));
    assert_eq!((&summary["stopped"], &summary["interrupted"]), (&"patience".into(), &false.into()));
    let (epochs, best) = (summary["epochs"].as_u64().unwrap(), summary["best"]["epoch"].as_u64().unwrap());
    assert_eq!((epochs, &summary["best_model"]["epoch"]), (best + 3, &summary["best"]["epoch"]));
    let evaluate = |file: &str| {
        let mut command = flatnet(cwd.path());
        command.args(["evaluate", "--sample", "run", "--json", "--model", file]);
        json(&mut command)
    };
    let (last, best) = (evaluate("run"), evaluate("run/best.safetensors"));
    assert_eq!((&last["loss"], &best["loss"]), (&summary["final"]["val_loss"], &summary["best"]["val_loss"]));
    assert_ne!(last["loss"], best["loss"]);

    let summary =
        json(&mut train(cwd.path(), set.path(), &["--epochs", "1000000", "--max-seconds", "0.5", "--out", "short"]));
    assert_eq!((&summary["stopped"], &summary["interrupted"]), (&"max-seconds".into(), &false.into()));
    assert!(summary["seconds"]["total"].as_f64().unwrap() < 20.0);
    assert_eq!(checkpoints(&cwd.path().join("short")).len(), 1);
    refused(&mut train(cwd.path(), set.path(), &["--patience", "0"]), 2, &["--patience"]);
    refused(&mut train(cwd.path(), set.path(), &["--min-delta", "-1"]), 1, &["--min-delta: -1"]);
}

#[test]
fn a_run_that_replaces_another_keeps_its_checkpoints_apart_until_it_does() {
    let (cwd, set) = (folder(), small_set());
    let run = cwd.path().join("run");
    let first = ["--epochs", "9", "--checkpoint-every", "3", "--out", "run"];
    train(cwd.path(), set.path(), &first).assert().success();
    let old = (figures(&run), checkpoints(&run));
    let words = ["--epochs", "1000000", "--checkpoint-every", "1", "--seed", "7", "--out", "run", "--overwrite"];
    let mut child = spawn(cwd.path(), set.path(), &words);
    while !run.join("checkpoints.unfinished").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((figures(&run), checkpoints(&run)) == old, "the old run stands as it was");
    // The new one goes on, and takes the place of the old one as a whole.
    let names = entries(&run.join("checkpoints.unfinished"));
    let newest = names.iter().rfind(|name| name.starts_with("epoch")).unwrap();
    let epochs = (newest[6..12].parse::<usize>().unwrap() + 2).to_string();
    let summary = json(&mut resume(cwd.path(), &["run", "--epochs", &epochs, "--keep-checkpoints", "1"]));
    assert_eq!((&summary["recipe"]["seed"], summary["epochs"].to_string()), (&7.into(), epochs.clone()));
    assert_eq!(checkpoints(&run), [format!("epoch-{:06}.safetensors", epochs.parse::<usize>().unwrap())]);
    assert!(!run.join("checkpoints.unfinished").exists());
    // A run without any takes those of the one before with it.
    train(cwd.path(), set.path(), &["--epochs", "2", "--out", "run", "--overwrite"]).assert().success();
    assert!(!run.join("checkpoints").exists());
}

/// Values that leave the numbers after some epochs: what was done before is kept, and it is said where.
#[test]
fn a_run_that_fails_keeps_the_epochs_before() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--epochs", "9", "--lr-schedule", "step:2:1e38", "--out"];
    let output = train(cwd.path(), set.path(), &words).arg("run").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("finite") && stderr(&output).contains("2 epochs before it are kept in run"));
    assert_eq!(stderr(&output).lines().count(), 1);
    let run = cwd.path().join("run");
    assert_eq!((figures(&run).1.len(), checkpoints(&run)), (3, vec!["epoch-000002.safetensors".to_string()]));
    // One that was to replace another leaves that one alone.
    train_small(cwd.path(), set.path()).args(["--out", "good", "--quiet"]).assert().success();
    let before = figures(&cwd.path().join("good"));
    let mut command = train(cwd.path(), set.path(), &words);
    refused(command.args(["good", "--overwrite"]), 1, &["finite"]);
    assert!(figures(&cwd.path().join("good")) == before);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_checkpoints_before() {
    let (cwd, set) = (folder(), small_set());
    let run = cwd.path().join("run");
    let words = ["--epochs", "80", "--checkpoint-every", "10", "--keep-checkpoints", "20", "--out", "run"];
    let program = assert_cmd::cargo::cargo_bin("flatnet");
    // Each epoch adds some 300 bytes to a checkpoint; a file may have 16 or 32 thousand.
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(cwd.path()).args(["-c", script]).arg(program).args(RECIPE).arg("--data").arg(set.path());
    let output = shell.args(words).output().unwrap();
    let told = stderr(&output);
    assert!(told.starts_with("warning: run/checkpoints/epoch-0000") && told.contains("cannot write"), "{told}");
    let kept = checkpoints(&run);
    assert!((1..8).contains(&kept.len()), "{kept:?}");
    // What is there is whole, and leads to the end.
    let newest = format!("run/checkpoints/{}", kept.last().unwrap());
    let summary = json(&mut resume(cwd.path(), &[&newest, "--out", "other"]));
    train(cwd.path(), set.path(), &["--epochs", "80", "--out", "whole"]).assert().success();
    assert_eq!(summary["weights_sha256"], figures(&cwd.path().join("whole")).0["weights_sha256"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_removed_meanwhile_costs_no_run() {
    let (cwd, set) = (folder(), small_set());
    let mut child = spawn(cwd.path(), set.path(), &["--epochs", "1000000", "--log-format", "jsonl", "--out", "run"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    fs::remove_dir_all(cwd.path().join("run")).unwrap();
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    lines.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let epochs = figures(&cwd.path().join("run")).0["epochs"].to_string();
    train(cwd.path(), set.path(), &["--epochs", &epochs, "--out", "whole"]).assert().success();
    let (found, whole) = (figures(&cwd.path().join("run")), figures(&cwd.path().join("whole")));
    assert!((found.1, found.2) == (whole.1, whole.2));
    flatnet(cwd.path()).args(["report", "run"]).assert().success();
}
