//! What becomes of runs when things go wrong: several into one folder, kills, Ctrl-C, a full disk, weights that run away, data
//! that moved. What a run that goes well writes: `cli`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cli::{RUN_ENTRIES, folder, json, refused, small_set, train_small, write_set};
use crate::common::{entries, flatnet, stderr, stdout};

const SMALL: [&str; 7] = ["train", "--train-samples", "50", "--val-samples", "20", "--layers", "linear:3"];

/// Training on a small set as a process of its own, into `run`.
fn spawn(cwd: &Path, set: &Path, words: &[&str]) -> Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
    command.current_dir(cwd).args(SMALL).args(["--out", "run", "--threads", "1", "--data"]).arg(set).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// That the folder holds one run: figures, weights and page fit one another. Returns its seed.
#[track_caller]
fn one_run(cwd: &Path, run: &str) -> u64 {
    let output = flatnet(cwd).args(["report", run]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = fs::read(cwd.join(run).join("summary.json")).unwrap();
    let seed = serde_json::from_slice::<Value>(&summary).unwrap()["recipe"]["seed"].as_u64().unwrap();
    let model = json(flatnet(cwd).args(["inspect", run, "--json"]));
    assert_eq!(model["recipe"]["seed"], seed, "the summary and the model are of two runs");
    seed
}

fn seeds(of: std::ops::Range<usize>) -> Vec<String> {
    of.map(|seed| seed.to_string()).collect()
}

#[test]
fn of_runs_into_one_folder_one_is_kept_and_the_others_are_told() {
    let (cwd, set) = (folder(), small_set());
    for round in 0..8 {
        let overwrite = round % 2 == 1;
        let seeds = seeds(4 * round..4 * round + 4);
        let words =
            |seed| [&["--epochs", "300", "--seed", seed][..], if overwrite { &["--overwrite"] } else { &[] }].concat();
        let runs: Vec<Child> = seeds.iter().map(|seed| spawn(cwd.path(), set.path(), &words(seed))).collect();
        let ended: Vec<Output> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
        let done: Vec<u64> =
            (4 * round as u64..).zip(&ended).filter(|(_, run)| run.status.success()).map(|(seed, _)| seed).collect();
        assert!(if overwrite { !done.is_empty() } else { done.len() == 1 }, "{done:?}");
        for run in ended.iter().filter(|run| !run.status.success()) {
            let told = stderr(run).lines().last().unwrap();
            assert!(
                told.contains("another flatnet is writing there") || told.contains("holds a run already"),
                "{told}"
            );
        }
        assert!(done.contains(&one_run(cwd.path(), "run")));
        assert_eq!(entries(&cwd.path().join("run")), RUN_ENTRIES);
        if overwrite {
            fs::remove_dir_all(cwd.path().join("run")).unwrap();
        }
    }
}

#[test]
fn a_kill_leaves_one_run_or_none() {
    let (cwd, set) = (folder(), small_set());
    let run = cwd.path().join("run");
    let (mut whole, mut without) = (0, 0);
    for seed in 0..24 {
        let seed_word = seed.to_string();
        let mut child =
            spawn(cwd.path(), set.path(), &["--epochs", "20", "--overwrite", "--quiet", "--seed", &seed_word]);
        std::thread::sleep(Duration::from_micros(700 * seed));
        let _ = child.kill();
        child.wait().unwrap();
        // `report` completes what was on its way to its place.
        let output = flatnet(cwd.path()).args(["report", "run"]).output().unwrap();
        if output.status.success() {
            one_run(cwd.path(), "run");
            whole += 1;
        } else {
            assert!(
                stderr(&output).contains("no complete run") || stderr(&output).contains("no such folder"),
                "{}",
                stderr(&output)
            );
            without += 1;
        }
    }
    assert!(whole + without == 24 && without > 0, "killed too late to see anything: {whole} {without}");
    train_small(cwd.path(), set.path()).args(["--out", "run", "--overwrite"]).assert().success();
    assert_eq!(entries(&run), RUN_ENTRIES);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_epochs_that_are_complete() {
    let (cwd, set) = (folder(), small_set());
    let mut child = spawn(cwd.path(), set.path(), &["--epochs", "1000000", "--log-format", "jsonl", "--json"]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let told: Vec<String> = lines.map(|line| line.unwrap()).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let last = told.last().unwrap();
    assert!(last.starts_with("error: interrupted after epoch ") && last.contains(" of 1000000"), "{last}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["epochs"], told.len());
    assert_eq!((&summary["recipe"]["epochs"], one_run(cwd.path(), "run")), (&1_000_000.into(), 0));
    // The model is that of the last complete epoch.
    let evaluate = ["evaluate", "--model", "run", "--sample", "run", "--json"];
    assert_eq!(json(flatnet(cwd.path()).args(evaluate))["loss"], summary["final"]["val_loss"]);
}

/// A shell that lets no file grow beyond so many blocks stands for a disk that is full.
#[cfg(unix)]
fn with_small_files(cwd: &Path, set: &Path, blocks: usize, words: &str) -> Output {
    let program = assert_cmd::cargo::cargo_bin("flatnet");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {} --data \"$1\" {words}", SMALL.join(" "));
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(cwd).args(["-c", &script]).arg(program).arg(set).output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_full_disk_costs_neither_the_figures_nor_the_model() {
    let (cwd, set) = (folder(), small_set());
    // Some 80,000 bytes of batches.csv, where at most 16 or 32 thousand may be.
    let words = "--batch-size 1 --epochs 60 --quiet --out run";
    let output = with_small_files(cwd.path(), set.path(), 32, words);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("the model is kept (run/model.safetensors)") && told.contains("run/batches.csv: cannot write"),
        "{told}"
    );
    assert_eq!(
        (told.lines().count(), stdout(&output).contains("  final      60")),
        (1, true),
        "{told} {}",
        stdout(&output)
    );
    assert_eq!(entries(&cwd.path().join("run")), ["model.safetensors"]);
    json(
        flatnet(cwd.path()).args(["evaluate", "--model", "run", "--sample", "run", "--json", "--data"]).arg(set.path()),
    );

    // A run that stands there stays, and the model is kept beside it, until there is a newer one.
    let whole = ["--out", "run", "--overwrite", "--seed", "7"];
    train_small(cwd.path(), set.path()).args(whole).assert().success();
    let output = with_small_files(cwd.path(), set.path(), 32, &format!("{words} --overwrite"));
    assert!(stderr(&output).contains("the model is kept (run/model.unfinished.safetensors)"), "{}", stderr(&output));
    assert_eq!(one_run(cwd.path(), "run"), 7);
    train_small(cwd.path(), set.path()).args(whole).assert().success();
    assert_eq!(entries(&cwd.path().join("run")), RUN_ENTRIES);

    // No room for anything: the figures are told at least.
    let output = with_small_files(cwd.path(), set.path(), 0, "--epochs 2 --quiet --out other");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(!cwd.path().join("other").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_told() {
    let (cwd, set) = (folder(), small_set());
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
        command.current_dir(cwd.path()).args(words).stdout(full()).output().unwrap()
    };
    for words in [&["--help"][..], &["train", "--help"], &["--version"], &["man"], &["completions", "bash"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(stderr(&output).starts_with("error: standard output: cannot write"), "{words:?}: {}", stderr(&output));
    }
    // The run is kept all the same.
    let data = ["--out", "run", "--epochs", "2", "--data", set.path().to_str().unwrap()];
    let output = run(&[&SMALL[..], &data].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output: cannot write"), "{}", stderr(&output));
    assert_eq!(entries(&cwd.path().join("run")), RUN_ENTRIES);
}

#[test]
fn a_folder_is_refused_before_the_training() {
    let (cwd, set) = (folder(), small_set());
    let mut first = spawn(cwd.path(), set.path(), &["--epochs", "1000000"]);
    let mut line = String::new();
    BufReader::new(first.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("epoch "), "{line}");
    // No progress: the refusal came first.
    for words in [&["--out", "run"][..], &["--out", "run", "--overwrite"]] {
        refused(
            train_small(cwd.path(), set.path()).args(words),
            1,
            &["run: another flatnet is writing there", "--out"],
        );
    }
    first.kill().unwrap();
    first.wait().unwrap();
    train_small(cwd.path(), set.path()).args(["--out", "run"]).assert().success();
    assert_eq!(entries(&cwd.path().join("run")), RUN_ENTRIES);
}

#[test]
fn weights_that_run_away_are_told() {
    let (cwd, set) = (folder(), small_set());
    // One step that no training loss sees, and pixels enough for logits without end.
    let larger = folder();
    write_set(larger.path(), 60, 8, 8, 3);
    let words = ["--epochs", "1", "--batch-size", "1000", "--lr", "3e38", "--json"];
    let mut command = flatnet(cwd.path());
    refused(
        command.args(SMALL).args(words).args(["--quiet", "--data"]).arg(larger.path()),
        1,
        &["epoch 1", "validation", "finite", "--lr"],
    );
    assert_eq!(entries(cwd.path()), [""; 0]);
    // Finite, and of no use: said on the screen and on the page, in columns that hold it.
    let mut command = flatnet(cwd.path());
    command.args(SMALL).args(["--epochs", "5", "--lr", "1e30", "--out", "run", "--data"]).arg(set.path());
    let output = command.output().unwrap();
    let page = fs::read_to_string(cwd.path().join("run/report.html")).unwrap();
    assert!(stdout(&output).contains("Diverged: training loss") && page.contains("Diverged: training loss"));
    assert!(stdout(&output).contains("e29 ") || stdout(&output).contains("e30 "), "{}", stdout(&output));
    for text in [stdout(&output), stderr(&output)] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    // Weights as large as they can be: their loss is no number, which is no result.
    let path = cwd.path().join("run/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for (index, value) in bytes[start..].chunks_exact_mut(4).enumerate() {
        value.copy_from_slice(&if index % 2 == 0 { 3e38f32 } else { -3e38 }.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    for words in [&["--json"][..], &[]] {
        let mut command = flatnet(cwd.path());
        refused(
            command.args(["evaluate", "--model", "run", "--data"]).arg(set.path()).args(words),
            1,
            &["run/model", "finite"],
        );
    }
}

#[test]
fn no_more_threads_than_cores_are_used() {
    let (cwd, set) = (folder(), small_set());
    let cores = std::thread::available_parallelism().unwrap().get();
    let many = (cores + 500).to_string();
    let train = |out: &str| {
        let mut command = train_small(cwd.path(), set.path());
        command.args(["--json", "--quiet", "--out", out]);
        command
    };
    for (mut command, name) in [(train("flag"), "--threads"), (train("variable"), "RAYON_NUM_THREADS")] {
        let command = if name == "--threads" { command.args([name, &many]) } else { command.env(name, &many) };
        let output = command.output().unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&summary["threads"], &summary["recipe"]["threads"]), (&cores.into(), &(cores + 500).into()));
        let told = stderr(&output);
        assert!(
            told.starts_with(&format!("note: {name} asks for {many} threads")) && told.lines().count() == 1,
            "{told}"
        );
    }
    for (value, told) in [("abc", "'abc' in RAYON_NUM_THREADS"), ("-1", "'-1' in"), ("2000", "'2000' in")] {
        refused(train("none").env("RAYON_NUM_THREADS", value), 1, &[told, "expected a number from 1 to 1024"]);
        let mut evaluate = flatnet(cwd.path());
        let evaluate =
            evaluate.args(["evaluate", "--model", "flag", "--sample", "run"]).env("RAYON_NUM_THREADS", value);
        refused(evaluate, 1, &[told]);
    }
    // The flag decides, whatever the variable says.
    train("none").args(["--threads", "1"]).env("RAYON_NUM_THREADS", "abc").assert().success();
}

fn move_set(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in entries(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn a_run_finds_its_data_from_anywhere() {
    let (cwd, set) = (folder(), small_set());
    let project = cwd.path().join("project");
    move_set(set.path(), &project.join("sets/mine"));
    train_small(&project, Path::new("sets/mine")).args(["--out", "runs/a", "--quiet"]).assert().success();
    let evaluate = |cwd: &Path, model: &str| {
        let mut command = flatnet(cwd);
        command.args(["evaluate", "--sample", "run", "--json", "--model", model]);
        command
    };
    let summary: Value = serde_json::from_slice(&fs::read(project.join("runs/a/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["data"]["folder"], "../../sets/mine");
    let loss = &summary["final"]["val_loss"];
    for (cwd, model) in [
        (&*project, "runs/a"),
        (&project.join("runs/a"), "model.safetensors"),
        (cwd.path(), "project/runs/a/model.safetensors"),
    ] {
        assert_eq!(json(&mut evaluate(cwd, model))["loss"], *loss);
    }
    flatnet(cwd.path()).args(["report", "project/runs/a"]).assert().success();

    // Moved together, they find one another; other data in their place are not taken for them.
    fs::rename(&project, cwd.path().join("moved")).unwrap();
    assert_eq!(json(&mut evaluate(cwd.path(), "moved/runs/a"))["loss"], *loss);
    let images = cwd.path().join("moved/sets/mine/t10k-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    bytes[16..].reverse();
    fs::write(&images, bytes).unwrap();
    refused(&mut evaluate(cwd.path(), "moved/runs/a"), 1, &["moved/sets/mine: holds other data", "SHA-256", "--data"]);
    // Named, the right ones serve, and no others.
    assert_eq!(json(evaluate(cwd.path(), "moved/runs/a").arg("--data").arg(set.path()))["loss"], *loss);
    refused(evaluate(cwd.path(), "moved/runs/a").args(["--data", "moved/sets/mine"]), 1, &["holds other data"]);
    fs::remove_dir_all(cwd.path().join("moved/sets")).unwrap();
    evaluate(cwd.path(), "moved/runs/a").assert().failure().code(1);
}

#[test]
fn a_model_names_no_folder_of_its_maker() {
    let (cwd, set) = (folder(), small_set());
    let home = cwd.path().join("home-of-somebody");
    move_set(set.path(), &home.join("project/set"));
    train_small(&home, &home.join("project/set")).arg("--out").arg(home.join("project/run")).assert().success();
    let model = fs::read(home.join("project/run/model.safetensors")).unwrap();
    let text = String::from_utf8_lossy(&model);
    for word in ["home-of-somebody", "project", "set\\\"", cwd.path().to_str().unwrap()] {
        assert!(!text.contains(word), "{word}");
    }
    // Given away alone, it is evaluated on the rows of its run wherever they are named.
    fs::copy(home.join("project/run/model.safetensors"), cwd.path().join("given.safetensors")).unwrap();
    let evaluate = ["evaluate", "--model", "given.safetensors", "--sample", "run", "--json", "--data"];
    assert_eq!(json(flatnet(cwd.path()).args(evaluate).arg(set.path()))["samples"], 20);
}

#[cfg(target_os = "linux")]
#[test]
fn folders_whose_names_are_no_text_are_found() {
    use std::os::unix::ffi::OsStrExt;
    let (cwd, set) = (folder(), small_set());
    let odd = cwd.path().join(std::ffi::OsStr::from_bytes(b"na\xefve % set"));
    move_set(set.path(), &odd);
    train_small(cwd.path(), &odd).args(["--out", "run", "--quiet"]).assert().success();
    let evaluate = ["evaluate", "--model", "run", "--sample", "run", "--json"];
    assert_eq!(json(flatnet(cwd.path()).args(evaluate))["samples"], 20);
    flatnet(cwd.path()).args(["report", "run"]).assert().success();
}

#[test]
fn report_obeys_or_refuses_where_its_page_goes() {
    let (cwd, set) = (folder(), small_set());
    for run in ["a", "b"] {
        train_small(cwd.path(), set.path()).args(["--out", run, "--quiet"]).assert().success();
    }
    let files = || -> Vec<Vec<u8>> {
        ["a/summary.json", "a/report.html", "a/graphs/weights.svg"]
            .iter()
            .map(|name| fs::read(cwd.path().join(name)).unwrap())
            .collect()
    };
    let before = files();
    let report = |words: &[&str]| {
        let mut command = flatnet(cwd.path());
        command.arg("report").args(words);
        command
    };
    refused(&mut report(&["a", "--out", "x.html"]), 1, &["--out: 'x.html'", "only with several runs"]);
    refused(&mut report(&["a", "--overwrite"]), 1, &["--overwrite: ", "only with several runs"]);
    for out in ["a/summary.json", "a/report.html", "a/graphs/weights.svg", "b/model.safetensors", "./a/../a/epochs.csv"]
    {
        refused(&mut report(&["a", "b", "--overwrite", "--out", out]), 1, &[out, "a file of a run"]);
    }
    assert!(files() == before && !cwd.path().join("x.html").exists());
    #[cfg(unix)]
    {
        fs::write(cwd.path().join("aim"), "mine").unwrap();
        std::os::unix::fs::symlink("aim", cwd.path().join("link")).unwrap();
        fs::create_dir(cwd.path().join("folder")).unwrap();
        for out in ["link", "folder", "/dev/null"] {
            refused(&mut report(&["a", "b", "--overwrite", "--out", out]), 1, &[out, "no plain file"]);
        }
        assert_eq!(fs::read(cwd.path().join("aim")).unwrap(), b"mine");
        // Nor is a run's own page, nor are its files, put in place of a link.
        fs::remove_file(cwd.path().join("a/report.html")).unwrap();
        std::os::unix::fs::symlink("../aim", cwd.path().join("a/report.html")).unwrap();
        refused(&mut report(&["a"]), 1, &["a/report.html", "no plain file"]);
        refused(
            train_small(cwd.path(), set.path()).args(["--out", "a", "--overwrite"]),
            1,
            &["a/report.html", "no plain file"],
        );
        assert_eq!(fs::read(cwd.path().join("aim")).unwrap(), b"mine");
        fs::remove_file(cwd.path().join("a/report.html")).unwrap();
    }
    report(&["a", "b"]).assert().success();
    assert!(cwd.path().join("comparison.html").is_file());
    let inside: PathBuf = cwd.path().join("a/both.html");
    report(&["a", "b", "--out", "a/both.html"]).assert().success();
    assert!(inside.is_file());
}
