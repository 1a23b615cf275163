//! `flatnet sweep`: what it runs, what it runs again, what it refuses, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use serde_json::Value;

use crate::cli::{RUN_ENTRIES, folder, json, refused, small_set};
use crate::common::{entries, flatnet, stderr, stdout};

const SMALL: [&str; 4] = ["--train-samples=50", "--val-samples=20", "--epochs=3", "--layers=linear:3"];

/// A sweep into `out`, of a set that is small enough for a run to take some milliseconds.
fn sweep(cwd: &Path, set: &Path, words: &[&str], options: &[&str]) -> Command {
    let mut command = flatnet(cwd);
    command.args(["sweep", "--out", "out"]).args(words).arg("--").arg("--data").arg(set).args(options);
    command
}

fn summary(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("summary.json")).unwrap()).unwrap()
}

#[test]
fn every_combination_is_a_run_of_its_own_and_the_table_has_its_mean_and_spread() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--grid", "lr=0.01,0.5", "--seeds", "0..2"];
    let output = sweep(cwd.path(), set.path(), &[&words[..], &["--json"]].concat(), &SMALL).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let names = |lr: &str| (0..3).map(|seed| format!("lr={lr}_seed={seed}")).collect::<Vec<_>>();
    let all = [names("0.01"), names("0.5")].concat();
    assert_eq!(entries(&cwd.path().join("out")), [all.clone(), vec!["sweep.csv".into()]].concat());
    let told = stderr(&output);
    assert!(told.contains("[6/6] lr=") && told.contains("; 0 left"), "{told}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed: Vec<&str> =
        report["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(
        (listed, &report["done"], &report["failed"]),
        (all.iter().map(String::as_str).collect(), &6.into(), &0.into())
    );
    let csv = fs::read_to_string(cwd.path().join("out/sweep.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3);
    for (setting, lr) in ["0.01", "0.5"].iter().enumerate() {
        let row = &report["settings"][setting];
        assert_eq!((&row["settings"]["lr"], &row["runs"]), (&Value::from(*lr), &3.into()));
        let runs: Vec<Value> = names(lr).iter().map(|name| summary(&cwd.path().join("out").join(name))).collect();
        for (at, (part, figure)) in
            [("final", "val_accuracy"), ("final", "val_loss"), ("best", "val_accuracy"), ("best", "val_loss")]
                .into_iter()
                .enumerate()
        {
            let values: Vec<f64> = runs.iter().map(|run| run[part][figure].as_f64().unwrap()).collect();
            let mean = values.iter().sum::<f64>() / 3.0;
            let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
            let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12 * expected.abs();
            let spread = &row[part][figure];
            assert!(close(spread["mean"].as_f64().unwrap(), mean), "{part} {figure}: {spread}");
            assert!(close(spread["std"].as_f64().unwrap(), std), "{part} {figure}: {spread}");
            assert_eq!(rows[0][2 + 2 * at], format!("{part}_{figure}_mean"));
            assert_eq!(rows[1 + setting][2 + 2 * at].parse::<f64>().unwrap(), spread["mean"].as_f64().unwrap());
            assert_eq!(rows[1 + setting][3 + 2 * at].parse::<f64>().unwrap(), spread["std"].as_f64().unwrap());
        }
    }
    // A run of a sweep is the run that train makes.
    let alone = json(
        flatnet(cwd.path())
            .args(["train", "--lr=0.5", "--seed=2", "--json", "--out=alone", "--data"])
            .arg(set.path())
            .args(SMALL),
    );
    assert_eq!(summary(&cwd.path().join("out/lr=0.5_seed=2"))["weights_sha256"], alone["weights_sha256"]);
    assert_eq!(entries(&cwd.path().join("out/lr=0.5_seed=2")), RUN_ENTRIES);
}

#[test]
fn the_same_sweep_again_runs_what_is_missing_and_nothing_else() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--seeds", "0..3"];
    let again = || sweep(cwd.path(), set.path(), &words, &[&SMALL[..], &["--no-report"]].concat());
    again().assert().success();
    let out = cwd.path().join("out");
    let written = |seed: u64| fs::metadata(out.join(format!("seed={seed}/summary.json"))).unwrap().modified().unwrap();
    let before: Vec<_> = (0..4).map(written).collect();
    // One is gone, one was broken off, and one was killed before its files took their places.
    fs::remove_dir_all(out.join("seed=0")).unwrap();
    let broken_off = fs::read_to_string(out.join("seed=1/summary.json")).unwrap();
    let (count, fewer) = ("\n  \"epochs\": 3,", "\n  \"epochs\": 2,");
    assert!(broken_off.contains(count));
    fs::write(out.join("seed=1/summary.json"), broken_off.replace(count, fewer)).unwrap();
    let (work, run) = (out.join("seed=2/.flatnet"), out.join("seed=2"));
    fs::create_dir_all(work.join("whole")).unwrap();
    for name in entries(&run).iter().filter(|name| name.as_str() != ".flatnet") {
        fs::rename(run.join(name), work.join("whole").join(name)).unwrap();
    }
    let output = again().output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("2 of 4 runs to do"), "{}", stderr(&output));
    assert!(written(0) > before[0] && written(1) > before[1]);
    assert_eq!((written(2), written(3)), (before[2], before[3]));
    for seed in 0..4 {
        assert_eq!(summary(&out.join(format!("seed={seed}")))["epochs"], 3);
    }
    let output = again().output().unwrap();
    assert!(stderr(&output).starts_with("0 of 4 runs to do") && stdout(&output).contains(" ± "), "{}", stdout(&output));
}

#[test]
fn a_folder_that_holds_another_run_is_refused_and_named() {
    let (cwd, set) = (folder(), small_set());
    let seeds = ["--seeds", "0..1"];
    sweep(cwd.path(), set.path(), &seeds, &SMALL).assert().success();
    let other = [&SMALL[..], &["--batch-size=8"]].concat();
    let told = ["out/seed=0: holds another run (--batch-size: 32 there, 8 here)", "move it away"];
    refused(&mut sweep(cwd.path(), set.path(), &seeds, &other), 1, &told);
    let set_2 = small_set();
    refused(&mut sweep(cwd.path(), set_2.path(), &seeds, &SMALL), 1, &["holds another run (--data: "]);
    // How a run is told, and by how many threads it is made, makes no other run of it.
    let same = [&SMALL[..], &["--no-report", "--threads=1", "--quiet"]].concat();
    sweep(cwd.path(), set.path(), &seeds, &same).assert().success();
    fs::remove_file(cwd.path().join("out/seed=1/summary.json")).unwrap();
    refused(&mut sweep(cwd.path(), set.path(), &seeds, &SMALL), 1, &["out/seed=1: holds epochs.csv, but no whole run"]);
}

#[test]
fn what_is_wrong_is_told_before_any_run_starts() {
    let (cwd, set) = (folder(), small_set());
    for (code, words, options, told) in [
        (2, &["--grid", "learning_rate=1"][..], &[][..], "learning_rate: no such setting; did you mean lr?"),
        (2, &["--grid", "lr="], &[], "no values"),
        (2, &["--grid", "lr=0.1,fast"], &[], "'fast' is not valid"),
        (2, &["--grid", "lr=0.1,-1"], &[], "'-1' is not valid"),
        (2, &[], &[], "nothing to sweep over"),
        (2, &["--seeds", "9..0"], &[], "ends before it begins"),
        (2, &["--seeds", "0..1", "--shard", "3/2"], &[], "expected I/N"),
        (2, &["--seeds", "0..1", "--jobs", "0"], &[], "expected 1 to 1024"),
        (2, &["--seeds", "0..1"], &["--seed=3"], "--seed is swept over"),
        (2, &["--seeds", "0..1"], &["--out=x"], "--out is not for the runs of a sweep"),
        (2, &["--seeds", "0..1"], &["--batch-size=x"], "'x' for '--batch-size"),
        (2, &["--seeds", "0..1"], &["--config=none.toml"], "none.toml: cannot read"),
        (1, &["--grid", "momentum=0.5,1.5"], &[], "momentum=1.5: --momentum: 1.5 is not valid"),
        (1, &["--grid", "layers=linear:3;linear:4"], &[], "layers=linear-4: --layers: 'linear:4' is not valid"),
        (1, &["--grid", "train-samples=50,70"], &[], "train-samples=70: --train-samples: "),
        (1, &["--grid", "class-weights=1,2,3;1,2"], &[], "--class-weights: 2 numbers is not valid"),
        (1, &["--grid", "data=none"], &[], "data=none: none: "),
    ] {
        let mut command = flatnet(cwd.path());
        command.args(["sweep", "--out", "out", "--json"]).args(words).arg("--").args(options);
        let is_swept =
            |option: &&&str| words.iter().any(|word| option[2..].starts_with(word.split('=').next().unwrap()));
        command.args(SMALL.iter().filter(|option| !is_swept(option)));
        if !told.contains("data=") {
            command.arg("--data").arg(set.path());
        }
        refused(&mut command, code, &[told]);
        assert_eq!(entries(cwd.path()), [""; 0], "{told}");
    }
    fs::write(cwd.path().join("out"), "mine").unwrap();
    refused(&mut sweep(cwd.path(), set.path(), &["--seeds=0..1"], &SMALL), 1, &["out: cannot make this folder"]);
}

#[test]
fn a_run_that_fails_costs_no_other() {
    let (cwd, set) = (folder(), small_set());
    let output = sweep(cwd.path(), set.path(), &["--grid", "lr=0.1,3e38", "--json"], &SMALL).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("] lr=3e38: failed: epoch ") && told.contains("not a finite number"), "{told}");
    assert!(told.lines().last().unwrap().starts_with("error: 1 of 2 runs failed, first lr=3e38: epoch "), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["runs"][0]["status"], &report["runs"][1]["status"]), (&"done".into(), &"failed".into()));
    assert!(report["runs"][1]["problem"].as_str().unwrap().contains("not a finite number"));
    assert_eq!(report["settings"][1]["final"]["val_loss"]["mean"], Value::Null);
}

#[test]
fn shards_share_the_runs_and_the_last_one_has_the_whole_table() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--grid", "batch-size=8,16", "--seeds", "0..2", "--shard"];
    let shard = |shard: &str| sweep(cwd.path(), set.path(), &[&words[..], &[shard]].concat(), &SMALL);
    let done = || entries(&cwd.path().join("out")).iter().filter(|name| name.contains("seed")).count();
    shard("1/4").assert().success();
    assert_eq!(done(), 2);
    for number in ["2/4", "3/4", "4/4"] {
        shard(number).assert().success();
    }
    assert_eq!(done(), 6);
    let csv = fs::read_to_string(cwd.path().join("out/sweep.csv")).unwrap();
    let runs: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(runs, ["3", "3"]);
}

#[test]
fn the_grid_wins_over_a_file_of_settings_and_switches_can_be_off() {
    let (cwd, set) = (folder(), small_set());
    fs::write(cwd.path().join("base.toml"), "lr = 0.5\nnesterov = true\nmomentum = 0.5\nbatch-size = 7\n").unwrap();
    let words = ["--grid", "nesterov=false,true", "--grid", "lr=0.25"];
    sweep(cwd.path(), set.path(), &words, &[&SMALL[..], &["--config=base.toml"]].concat()).assert().success();
    for on in [false, true] {
        let recipe = &summary(&cwd.path().join(format!("out/nesterov={on}_lr=0.25")))["recipe"];
        assert_eq!((&recipe["lr"], &recipe["batch_size"]), (&0.25.into(), &7.into()));
        assert_eq!(recipe["optimizer_settings"]["nesterov"], if on { true.into() } else { Value::Null });
    }
}

#[cfg(unix)]
fn wait_for(is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("not within 30 seconds");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_all_runs_in_order_and_the_same_sweep_goes_on() {
    let (cwd, set) = (folder(), small_set());
    let words = ["--seeds", "0..2", "--jobs", "2"];
    let options = ["--train-samples=50", "--val-samples=20", "--epochs=60000", "--layers=linear:3", "--no-report"];
    let mut command = Process::new(assert_cmd::cargo::cargo_bin("flatnet"));
    command.current_dir(cwd.path()).args(["sweep", "--out", "out"]).args(words).arg("--").arg("--data").arg(set.path());
    let mut child = command.args(options).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let under_way = |seed: u64| cwd.path().join(format!("out/seed={seed}/.flatnet/new/batches.csv")).exists();
    wait_for(|| under_way(0) && under_way(1));
    std::thread::sleep(std::time::Duration::from_millis(200));
    // To the sweep alone, as from a scheduler: it tells its runs.
    assert!(Process::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let told: Vec<String> = BufReader::new(child.stderr.take().unwrap()).lines().map(|line| line.unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told:?}");
    let last = told.last().unwrap();
    assert!(last.starts_with("error: interrupted with 3 runs to do; the same command goes on"), "{last}");
    // They ended in order: what they completed is kept, no folder is locked, the third was not started.
    for seed in 0..2 {
        let epochs = summary(&cwd.path().join(format!("out/seed={seed}")))["epochs"].as_u64().unwrap();
        assert!(0 < epochs && epochs < 60_000, "{epochs}");
        assert!(!cwd.path().join(format!("out/seed={seed}/.flatnet")).exists());
    }
    assert!(!cwd.path().join("out/seed=2").exists());
    let output = sweep(cwd.path(), set.path(), &words, &options).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("3 of 3 runs to do"));
    assert_eq!(summary(&cwd.path().join("out/seed=1"))["epochs"], 60_000);
}

#[cfg(unix)]
#[test]
fn runs_end_with_a_sweep_that_is_killed() {
    let (cwd, set) = (folder(), small_set());
    let mut command = Process::new(assert_cmd::cargo::cargo_bin("flatnet"));
    command.current_dir(cwd.path()).args(["sweep", "--out", "out", "--seeds", "0..1", "--jobs", "2", "--", "--data"]);
    command.arg(set.path()).args(["--train-samples=50", "--val-samples=20", "--epochs=1000000", "--layers=linear:3"]);
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let work = |seed: u64| cwd.path().join(format!("out/seed={seed}/.flatnet"));
    wait_for(|| work(0).join("new/batches.csv").exists() && work(1).join("new/batches.csv").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(|| !work(0).exists() && !work(1).exists());
}
