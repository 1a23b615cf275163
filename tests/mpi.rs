//! Training over the ranks of MPI, by its launcher: the same bits for any number of ranks and threads, and an end in order
//! whatever happens to one of them. `cargo test --features mpi --test mpi`; it needs `mpirun` of OpenMPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use flatnet::data::idx::{self, IdxArray};
use flatnet::data::load_mnist_folder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const FLATNET: &str = env!("CARGO_BIN_EXE_flatnet");
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");
const SAMPLES: [&str; 4] = ["--train-samples", "2100", "--val-samples", "300"];

/// A command of the launcher's with `ranks` ranks, each with the words that it has; those of rank 0 first.
fn mpirun(folder: &Path, ranks: &[(usize, Vec<&str>)]) -> Command {
    let on_mnist = ranks.iter().map(|(count, words)| (*count, [&["--data", DATA][..], &SAMPLES, words].concat()));
    mpirun_on(folder, &on_mnist.collect::<Vec<_>>())
}

/// The same on other data.
fn mpirun_on(folder: &Path, ranks: &[(usize, Vec<&str>)]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]).current_dir(folder);
    command.env("FLATNET_TEST_THREADS_BEYOND_CORES", "1").env_remove("RAYON_NUM_THREADS");
    for (index, (count, words)) in ranks.iter().enumerate() {
        if index > 0 {
            command.arg(":");
        }
        command.args(["-n", &count.to_string(), FLATNET, "train"]).args(words);
    }
    command.stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The digest of a run's parameters: of its model file without the header, which tells what was asked for.
fn digest(model: &Path) -> String {
    let bytes = fs::read(model).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    Sha256::digest(&bytes[8 + header..]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a run measured, without its seconds.
fn figures(run: &Path) -> String {
    let rows = fs::read_to_string(run.join("epochs.csv")).unwrap();
    let without_seconds = rows.lines().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(","));
    without_seconds.collect::<Vec<_>>().join("\n") + &fs::read_to_string(run.join("batches.csv")).unwrap()
}

#[test]
fn the_bits_are_the_same_for_any_number_of_ranks_and_threads() {
    let folder = TempDir::new().unwrap();
    let networks = [
        (vec!["--layers", "linear:10,relu", "--batch-size", "32"], "784-10"),
        (vec!["--layers", "linear:128,relu,dropout:0.2,linear:10", "--batch-size", "32"], "784-128-10"),
        (
            vec![
                "--layers",
                "linear:512,relu,dropout:0.2,linear:256,relu,linear:10",
                "--batch-size",
                "1050",
                "--parallel",
                "samples",
            ],
            "784-512-256-10",
        ),
    ];
    for (network, name) in networks {
        for optimizer in [&["--optimizer", "sgd"][..], &["--optimizer", "adamw", "--lr", "0.001"]] {
            let words = |threads, out| {
                let mut words = network.clone();
                words.extend(optimizer);
                words.extend(["--shuffle", "epoch", "--epochs", "2", "--quiet", "--no-report"]);
                words.extend(["--threads", threads, "--out", out]);
                words
            };
            let plain = Command::new(FLATNET)
                .args(["train", "--data", DATA])
                .args(SAMPLES)
                .args(words("1", "plain"))
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(plain.status.success(), "{}", told(&plain));
            let plain = folder.path().join("plain");
            let expected = (digest(&plain.join("model.safetensors")), figures(&plain));
            for ranks in [1, 2, 3, 4, 8] {
                for threads in ["1", "2"] {
                    let output = mpirun(folder.path(), &[(ranks, words(threads, "ranks"))]).output().unwrap();
                    assert!(output.status.success(), "{name}, {ranks} x {threads}: {}", told(&output));
                    let run = folder.path().join("ranks");
                    let found = (digest(&run.join("model.safetensors")), figures(&run));
                    assert!(found == expected, "{name} {optimizer:?}: {ranks} ranks x {threads} threads");
                    fs::remove_dir_all(run).unwrap();
                }
            }
            fs::remove_dir_all(plain).unwrap();
        }
    }
}

/// The first images of MNIST, not packed, in the folder `name`.
fn raw_images(folder: &Path, name: &str, rows: usize) {
    let (train, test) = load_mnist_folder(Path::new(DATA)).unwrap();
    fs::create_dir(folder.join(name)).unwrap();
    for (split, set, rows) in [("train", &train, rows), ("t10k", &test, 300)] {
        let bytes = (0..rows).flat_map(|row| set.row(row)).collect();
        let labels = set.labels()[..rows].iter().map(|label| *label as u8).collect();
        let images = IdxArray { dims: vec![rows, 28, 28], bytes };
        idx::write(&folder.join(name).join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
        let labels = IdxArray { dims: vec![rows], bytes: labels };
        idx::write(&folder.join(name).join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
    }
}

/// Ranks that read their own samples, from files that are packed or not, and ranks that stream them.
#[test]
fn the_bits_are_the_same_wherever_samples_are() {
    let folder = TempDir::new().unwrap();
    raw_images(folder.path(), "raw", 3_000);
    for (data, samples) in [(DATA, &SAMPLES[..]), ("raw", &[])] {
        for shuffle in ["never", "blocks"] {
            let words = |out: &'static str, more: &[&'static str]| {
                let common =
                    ["--epochs", "2", "--batch-size", "1050", "--parallel", "samples", "--quiet", "--no-report"];
                let network = ["--layers", "linear:64,relu,dropout:0.2,linear:10", "--optimizer", "adamw"];
                let of_set = ["--lr", "0.001", "--shuffle", shuffle, "--data", data, "--out", out];
                [&common[..], &network, &of_set, samples, more].concat()
            };
            let output = Command::new(FLATNET)
                .arg("train")
                .args(words("plain", &[]))
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", told(&output));
            let of = |run: &str| {
                let run = folder.path().join(run);
                (digest(&run.join("model.safetensors")), figures(&run))
            };
            let expected = of("plain");
            for (ranks, more) in [(2, &[][..]), (3, &["--threads", "2"]), (8, &[]), (2, &["--stream"])] {
                if data == DATA && !more.is_empty() {
                    continue;
                }
                let output = mpirun_on(folder.path(), &[(ranks, words("ranks", more))]).output().unwrap();
                assert!(output.status.success(), "{data} {shuffle}, {ranks}: {}", told(&output));
                assert!(of("ranks") == expected, "{data} {shuffle}: {ranks} ranks {more:?}");
                fs::remove_dir_all(folder.path().join("ranks")).unwrap();
            }
            fs::remove_dir_all(folder.path().join("plain")).unwrap();
        }
    }
}

/// A table of numbers with gaps, words that some parts alone have, and classes.
fn table(rows: usize) -> String {
    let row = |row: usize| {
        let gap = if row % 11 == 3 { String::new() } else { format!("{}", (row * 7919 % 1000) as f64 / 7.0) };
        format!("{row},{gap},w{},c{}\n", row / 500, row * 31 % 3)
    };
    format!("id,gap,word,class\n{}", (0..rows).map(row).collect::<String>())
}

/// Ranks that read a part of a text each make of it what one process makes of the whole: transform, samples and digest.
#[test]
fn the_bits_are_the_same_where_ranks_read_a_table_in_parts() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("t.csv"), table(12_000)).unwrap();
    let common = ["--data", "t.csv", "--batch-size", "1050", "--parallel", "samples", "--quiet"];
    let network = ["--layers", "linear:16,relu,linear:3", "--missing", "mean", "--no-report"];
    for more in [&[][..], &["--stream"]] {
        let words = |epochs, out| {
            let of_run = ["--shuffle", "blocks", "--checkpoint-every", "1", "--epochs", epochs, "--out", out];
            [&common[..], &network, &of_run, more].concat()
        };
        let mut plain = Command::new(FLATNET);
        let output = plain.arg("train").args(words("2", "plain")).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let of = |run: &str| {
            let run = folder.path().join(run);
            let summary = fs::read(run.join("summary.json")).unwrap();
            let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
            (digest(&run.join("model.safetensors")), figures(&run), summary["data"]["train_sha256"].clone())
        };
        let expected = of("plain");
        let train = |ranks, words| {
            let output = mpirun_on(folder.path(), &[(ranks, words)]).output().unwrap();
            assert!(output.status.success(), "{ranks}: {}", told(&output));
        };
        for ranks in [2, 3, 8] {
            train(ranks, words("2", "ranks"));
            assert!(of("ranks") == expected, "{more:?}: {ranks} ranks");
            fs::remove_dir_all(folder.path().join("ranks")).unwrap();
        }
        train(2, words("1", "ranks"));
        train(3, vec!["--resume", "ranks", "--epochs", "2"]);
        assert!(of("ranks") == expected, "{more:?}: resumed");
        ["plain", "ranks"].iter().for_each(|run| fs::remove_dir_all(folder.path().join(run)).unwrap());
    }
}

/// What one rank alone cannot read ends all while they read together, and is said once, by its rank; as are other files.
#[test]
fn a_table_that_one_rank_cannot_read_ends_all() {
    let folder = TempDir::new().unwrap();
    let text = table(3_000);
    let other = text.replacen("\n2999,", "\n29999,", 1);
    for (name, text) in [("t.csv", text), ("other.csv", other)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (second, problem) in
        [("none.csv", "error: rank 1 on "), ("other.csv", "error: the ranks have found different data (files of")]
    {
        let words = |data| {
            let common = ["--batch-size", "1050", "--parallel", "samples", "--shuffle", "blocks", "--missing", "mean"];
            [&common[..], &["--data", data, "--out", "run"]].concat()
        };
        let mut command = mpirun_on(folder.path(), &[(1, words("t.csv")), (1, words(second))]);
        let log = folder.path().join("log");
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let mut launched = Launched(command.spawn().unwrap());
        assert!(wait(&mut launched.0, Duration::from_secs(30)).is_some(), "they still run");
        let told = fs::read_to_string(log).unwrap();
        assert_eq!(launched.0.wait().unwrap().code(), Some(1), "{told}");
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
        assert!(told.contains(problem) && !folder.path().join("run").exists(), "{told}");
    }
}

/// Of samples that no rank reads all of, some are compared.
#[test]
fn other_images_are_refused() {
    let folder = TempDir::new().unwrap();
    raw_images(folder.path(), "one", 3_000);
    raw_images(folder.path(), "two", 3_000);
    let path = folder.path().join("two/train-images-idx3-ubyte");
    let mut bytes = fs::read(&path).unwrap();
    bytes.reverse();
    bytes[..16].copy_from_slice(&fs::read(folder.path().join("one/train-images-idx3-ubyte")).unwrap()[..16]);
    fs::write(&path, bytes).unwrap();
    let words = |data| vec!["--data", data, "--batch-size", "1050", "--parallel", "samples", "--out", "run"];
    let output = mpirun_on(folder.path(), &[(1, words("one")), (1, words("two"))]).output().unwrap();
    assert!(!output.status.success() && told(&output).contains("rank 1 on "), "{}", told(&output));
    assert!(told(&output).contains("other training data than rank 0"), "{}", told(&output));
    assert!(!folder.path().join("run").exists());
}

/// The file of one rank alone is damaged while all train: all end, and it is said once whose it is.
#[test]
fn a_damaged_part_of_the_data_on_one_rank_ends_all() {
    let folder = TempDir::new().unwrap();
    raw_images(folder.path(), "one", 30_000);
    raw_images(folder.path(), "two", 30_000);
    let words = |data: &'static str, epochs| {
        let common = ["--batch-size", "1050", "--parallel", "samples", "--stream", "--layers", "linear:10"];
        let more = ["--shuffle", "blocks", "--checkpoint-every", "1", "--no-report", "--quiet", "--data", data];
        [&common[..], &more, &["--epochs", epochs, "--out", "run"]].concat()
    };
    let ranks = [(1, words("one", "10000")), (1, words("two", "10000"))];
    let mut command = mpirun_on(folder.path(), &ranks);
    let log = folder.path().join("log");
    command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut launched = Launched(command.spawn().unwrap());
    let run = folder.path().join("run");
    until("a checkpoint", || has_checkpoint(&run));
    fs::write(folder.path().join("two/train-images-idx3-ubyte"), "gone").unwrap();
    assert!(wait(&mut launched.0, Duration::from_secs(20)).is_some(), "they still run");
    let told = fs::read_to_string(log).unwrap();
    assert_eq!(launched.0.wait().unwrap().code(), Some(1), "{told}");
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("train-images-idx3-ubyte")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: ") && lines[0].contains("rank 1 on "), "{told}");
    assert!(lines[0].contains("--resume run") && has_checkpoint(&run) && !run.join("summary.json").exists(), "{told}");
}

/// One that is started otherwise than rank 0 is told of once, by name, and all end before anything is written.
#[test]
fn ranks_that_were_started_otherwise_are_refused() {
    let folder = TempDir::new().unwrap();
    let common = ["--epochs", "1", "--out", "run"];
    let with = |words: &[&'static str]| [&common[..], words].concat();
    let cases = [
        (with(&[]), with(&["--batch-size", "64"]), "has another --batch_size than rank 0, 64 and not 32"),
        (with(&[]), with(&["--simd", "fallback"]), "--simd"),
        (with(&[]), with(&["--seed", "1"]), "than rank 0"),
        // Whoever is told a number of threads asks the others for nothing less.
        (with(&["--threads", "1"]), with(&["--seed", "1"]), "than rank 0"),
        (with(&[]), with(&["--threads", "1", "--seed", "1"]), "than rank 0"),
        (with(&[]), with(&["--lr", "-1"]), "invalid value '-1' for '--lr <X>'"),
        (with(&[]), with(&["--val-data", "nowhere"]), "nowhere"),
        (with(&[]), vec!["--epochs", "1", "--out", "run", "--folds", "2"], "--folds is many trainings"),
        (with(&["--val-data", "nowhere"]), with(&[]), "error: rank 0 on "),
        (with(&["--val-data", "nowhere"]), with(&["--val-data", "nowhere"]), "error: nowhere"),
    ];
    for (first, second, wanted) in cases {
        let begun = Instant::now();
        let output = mpirun(folder.path(), &[(1, first), (1, second.clone())]).output().unwrap();
        let told = told(&output).replace("--batch-size", "--batch_size");
        assert!(!output.status.success() && begun.elapsed() < Duration::from_secs(20), "{second:?}");
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{told}");
        assert!(lines[0].contains(wanted), "{told}");
        assert!(!folder.path().join("run").exists(), "{second:?}");
    }
}

/// Data may lie in another place on every rank, but have to be the same: one pixel of another grey is found.
#[test]
fn other_data_are_refused_and_another_place_is_not() {
    let folder = TempDir::new().unwrap();
    let table = |name: &str, last: &str| {
        let rows = (0..200).map(|row| format!("{},{},{}\n", row % 7, row % 5, ["a", "b"][row % 2]));
        let text = format!("x,y,label\n{}{last},1,a\n", rows.collect::<String>());
        fs::write(folder.path().join(name), text).unwrap();
    };
    table("one.csv", "3");
    table("same.csv", "3");
    table("other.csv", "4");
    for (second, is_refused) in [("same.csv", false), ("other.csv", true)] {
        let mut command = Command::new("mpirun");
        command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]).current_dir(folder.path());
        for (rank, data) in ["one.csv", second].into_iter().enumerate() {
            if rank > 0 {
                command.arg(":");
            }
            command.args([
                "-n",
                "1",
                FLATNET,
                "train",
                "--epochs",
                "1",
                "--threads",
                "1",
                "--out",
                "run",
                "--data",
                data,
            ]);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), !is_refused, "{second}: {}", told(&output));
        assert_eq!(told(&output).contains("data than rank 0; give all ranks the same files"), is_refused);
        assert_eq!(folder.path().join("run").exists(), !is_refused);
        let _ = fs::remove_dir_all(folder.path().join("run"));
    }
}

#[test]
fn another_build_is_refused() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("flatnet");
    let mut bytes = fs::read(FLATNET).unwrap();
    // Behind the sections of a program nothing is read.
    bytes.push(0);
    fs::write(&other, bytes).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = mpirun(folder.path(), &[(1, vec!["--epochs", "1", "--out", "run"])]);
    command.args([":", "-n", "1"]).arg(&other).args(["train", "--data", DATA]).args(SAMPLES);
    let output = command.args(["--epochs", "1", "--out", "run"]).output().unwrap();
    let told = told(&output);
    assert!(!output.status.success() && told.contains("is another build of flatnet than rank 0's"), "{told}");
    assert!(told.contains("error: rank 1 on "), "{told}");
}

/// A disk that takes nothing: rank 0 tells of it, and all end.
#[test]
fn a_folder_that_cannot_be_written_ends_all_ranks() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "no folder").unwrap();
    let output = mpirun(folder.path(), &[(3, vec!["--epochs", "1", "--out", "file/run"])]).output().unwrap();
    let told = told(&output);
    assert!(!output.status.success());
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("error: rank 0 on ") && lines[0].contains("file/run"), "{told}");
}

/// Many trainings are none that ranks could share.
#[test]
fn a_sweep_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "-n", "2", FLATNET]).current_dir(folder.path());
    let output = command.args(["sweep", "--seeds", "0..1", "--out", "sweep"]).output().unwrap();
    assert!(!output.status.success());
    assert!(told(&output).contains("flatnet sweep is not for 2 ranks"), "{}", told(&output));
    assert!(!folder.path().join("sweep").exists());
}

/// Every rank ends with the code of the failure, not the first alone.
#[test]
fn a_value_that_is_no_number_fails_on_all_ranks() {
    let folder = TempDir::new().unwrap();
    let script = r#""$0" "$@"; echo "code $?""#;
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "3"]).current_dir(folder.path());
    command.args(["sh", "-c", script, FLATNET, "train", "--data", DATA]).args(SAMPLES);
    command.args(["--layers", "linear:128,relu,linear:10", "--threads", "1", "--epochs", "3", "--out", "run"]);
    // After a whole epoch, so that there is something to keep.
    command.args(["--lr", "0.01", "--lr-schedule", "step:1:1e30"]);
    let output = command.output().unwrap();
    assert_eq!(told(&output).matches("not a finite number").count(), 1, "{}", told(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("code 1\n").count(), 3);
    assert!(folder.path().join("run/summary.json").exists());
}

struct Launched(Child);

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processes that `mpirun` has started.
fn ranks_of(launcher: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{launcher}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|children| children.split_whitespace().map(str::to_string).collect::<Vec<_>>()).collect()
}

fn wait(child: &mut Child, most: Duration) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        if child.try_wait().unwrap().is_some() {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn has_checkpoint(run: &Path) -> bool {
    fs::read_dir(run.join("checkpoints")).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.path().extension().is_some_and(|name| name == "safetensors"))
    })
}

const LONG: [&str; 10] = [
    "--layers",
    "linear:128,relu,dropout:0.2,linear:10",
    "--optimizer",
    "adamw",
    "--shuffle",
    "epoch",
    "--quiet",
    "--no-report",
    "--threads",
    "1",
];

/// A run of so many epochs that nothing disturbs: its digest.
fn undisturbed(folder: &Path, epochs: &'static str) -> String {
    let words = [&LONG[..], &["--epochs", epochs, "--out", "undisturbed"]].concat();
    let output = mpirun(folder, &[(2, words)]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    digest(&folder.join("undisturbed/model.safetensors"))
}

fn resumed(folder: &Path, run: &str, ranks: usize) -> String {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string(), FLATNET]);
    let output =
        command.args(["train", "--quiet", "--threads", "1", "--resume", run]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    digest(&folder.join(run).join("model.safetensors"))
}

/// Twenty times a rank is killed at a random moment: all end within ten seconds, and another number of ranks goes on from the
/// newest checkpoint to the same bits.
#[test]
fn a_rank_that_dies_ends_the_others_and_the_run_can_go_on() {
    let folder = TempDir::new().unwrap();
    const EPOCHS: &str = "60";
    let expected = undisturbed(folder.path(), EPOCHS);
    for attempt in 0..20 {
        let run: PathBuf = folder.path().join("run");
        let words = [&LONG[..], &["--epochs", EPOCHS, "--checkpoint-every", "2", "--out", "run"]].concat();
        let mut command = mpirun(folder.path(), &[(2 + attempt % 2, words)]);
        let mut launched = Launched(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("a checkpoint", || has_checkpoint(&run));
        // Drawn by the clock, within the epochs that are left.
        let drawn = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        let moment = Duration::from_nanos(u64::from(drawn) % 211_000_000);
        let attempt_at = format!("attempt {attempt}, {moment:?} after the first checkpoint");
        std::thread::sleep(moment);
        let ranks = ranks_of(launched.0.id());
        let victim = &ranks[attempt % ranks.len()];
        assert!(Command::new("kill").args(["-9", victim]).status().unwrap().success());
        let took = wait(&mut launched.0, Duration::from_secs(10));
        assert!(took.is_some(), "{attempt_at}: the others still run");
        assert!(!launched.0.wait().unwrap().success(), "{attempt_at}");
        assert_eq!(resumed(folder.path(), "run", 1 + attempt % 3), expected, "{attempt_at}");
        fs::remove_dir_all(run).unwrap();
    }
}

/// A signal to any rank ends all of them in order, with a checkpoint that they can go on from.
#[test]
fn a_signal_to_any_rank_ends_all_in_order() {
    let folder = TempDir::new().unwrap();
    const EPOCHS: &str = "200";
    let expected = undisturbed(folder.path(), EPOCHS);
    for victim in [0, 1, 2] {
        let run = folder.path().join("run");
        let words = [&LONG[..], &["--epochs", EPOCHS, "--checkpoint-every", "2", "--out", "run"]].concat();
        let mut command = mpirun(folder.path(), &[(3, words)]);
        let mut launched = Launched(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        until("a checkpoint", || has_checkpoint(&run));
        let ranks = ranks_of(launched.0.id());
        assert!(Command::new("kill").args(["-TERM", &ranks[victim]]).status().unwrap().success());
        assert!(wait(&mut launched.0, Duration::from_secs(10)).is_some(), "rank {victim}");
        // Ended in order: the run's files are there.
        assert!(run.join("summary.json").exists(), "rank {victim}");
        let summary = fs::read_to_string(run.join("summary.json")).unwrap();
        assert!(summary.contains("\"interrupted\""), "{summary}");
        assert_eq!(resumed(folder.path(), "run", 2), expected, "rank {victim}");
        fs::remove_dir_all(run).unwrap();
    }
}
