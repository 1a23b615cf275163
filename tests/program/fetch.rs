//! `flatnet fetch` against a server in this file, which serves well, slowly, in halves, with lies, or not at all.
#![cfg(feature = "fetch")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{entries, stderr};

const FILES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];
/// 29 KB: the file that most tests fetch while the other three are there.
const LABELS: &str = FILES[1];
const PART: &str = "train-labels-idx1-ubyte.gz.part";

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist").join(name)
}

fn labels() -> Vec<u8> {
    fs::read(bundled(LABELS)).unwrap()
}

// --- the server ---

/// How a mirror behaves to a request for a file.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Well,
    /// Gives the whole file whatever part is asked for.
    NoRanges,
    /// Each answer ends after so many bytes, although it promised all.
    BreaksOffAfter(usize),
    /// So many bytes at a time, with a tenth of a second between.
    Slow(usize),
    /// Accepts, and never says a word.
    Silent,
    /// As long as the file, but not the file.
    WrongBytes,
    /// A page that says something else, with the status 200.
    Page,
    Missing,
    RedirectsToItself,
    RedirectsToFile,
    /// Says that so many bytes follow, and sends the file.
    Promises(u64),
    /// Never stops sending.
    Endless,
    /// Sends the part before the one that was asked for.
    WrongPart,
    /// Has no further bytes, whatever is asked for.
    NoSuchPart,
    /// What follows is no HTTP.
    Babble,
}

/// The path of each request, and the range it asked for.
type Requests = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A mirror on this machine for the length of a test: at most 64 connections and one minute.
struct Mirror {
    manner: Manner,
    address: SocketAddr,
    requests: Requests,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    fn new(manner: Manner) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stop) = (Requests::default(), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (requests.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let mut answering = Vec::new();
            while !stopped.load(Ordering::Relaxed) && started.elapsed() < Duration::from_secs(60) {
                match listener.accept() {
                    Ok((stream, _)) if answering.len() < 64 => {
                        let (seen, stopped) = (seen.clone(), stopped.clone());
                        // A client that goes away in the middle is part of the tests.
                        answering.push(thread::spawn(move || drop(answer(stream, manner, &seen, &stopped))));
                    }
                    _ => thread::sleep(Duration::from_millis(5)),
                }
            }
            stopped.store(true, Ordering::Relaxed);
            answering.into_iter().for_each(|thread| thread.join().unwrap());
        });
        Mirror { manner, address, requests, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/sets/mnist/", self.address)
    }

    fn requests(&self) -> Vec<(String, Option<String>)> {
        self.requests.lock().unwrap().clone()
    }

    /// The ranges that were asked for, request by request.
    fn ranges(&self) -> Vec<Option<String>> {
        self.requests().into_iter().map(|(_, range)| range).collect()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(stream: TcpStream, manner: Manner, seen: &Requests, stopped: &AtomicBool) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let (mut path, mut range) = (String::new(), None);
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        } else if path.is_empty() {
            path = line.split(' ').nth(1).unwrap().to_string();
        } else if let Some(asked) = line.to_lowercase().strip_prefix("range: ") {
            range = Some(asked.to_string());
        }
    }
    seen.lock().unwrap().push((path.clone(), range.clone()));
    let file = match fs::read(bundled(path.rsplit('/').next().unwrap())) {
        Ok(file) => file,
        // Its page stands in for any file.
        Err(_) if matches!(manner, Manner::Page) => Vec::new(),
        Err(_) => return (&stream).write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    };
    let from = range.map_or(0, |range| range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap());
    let from: usize = if matches!(manner, Manner::NoRanges) { 0 } else { from };
    let rest = &file[from.min(file.len())..];
    let head = |status: &str, more: &str, length: u64| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n")
    };
    let ranged = |from: usize| format!("content-range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
    let status = if from == 0 {
        head("200 OK", "", file.len() as u64)
    } else {
        head("206 Partial Content", &ranged(from), rest.len() as u64)
    };
    let send = |head: &str, body: &[u8]| {
        (&stream).write_all(head.as_bytes())?;
        (&stream).write_all(body)
    };
    match manner {
        Manner::Well | Manner::NoRanges => send(&status, rest),
        Manner::BreaksOffAfter(bytes) => send(&status, &rest[..bytes.min(rest.len())]),
        Manner::Slow(bytes) => {
            send(&status, b"")?;
            for piece in rest.chunks(bytes).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                send("", piece)?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
        Manner::Silent => {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Manner::WrongBytes => send(&status, &rest.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()),
        Manner::Page => send(&head("200 OK", "", 11), b"hello world"),
        Manner::Missing => send(&head("404 Not Found", "", 0), b""),
        Manner::RedirectsToItself => send(&head("302 Found", &format!("location: {path}\r\n"), 0), b""),
        Manner::RedirectsToFile if path.starts_with("/elsewhere/") => send(&status, rest),
        Manner::RedirectsToFile => {
            let to = path.replace("/sets/", "/elsewhere/");
            send(&head("301 Moved Permanently", &format!("location: {to}\r\n"), 0), b"")
        }
        Manner::Promises(bytes) => send(&head("200 OK", "", bytes), rest),
        Manner::Endless => {
            send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", &file)?;
            while !stopped.load(Ordering::Relaxed) {
                send("", &[0; 4096])?;
            }
            Ok(())
        }
        Manner::WrongPart => send(&head("206 Partial Content", &ranged(1), file.len() as u64 - 1), &file[1..]),
        Manner::NoSuchPart => send(&head("416 Range Not Satisfiable", "", 0), b""),
        Manner::Babble => send("220 smtp.example.org ESMTP\r\n", b"\x1b[31m\0\0"),
    }
}

// --- the program ---

/// Asks these mirrors alone, with limits that keep a test short and that a machine which pauses for a moment does not reach.
fn fetch(cwd: &Path, mirrors: &[&Mirror]) -> Command {
    let mut command = Command::cargo_bin("flatnet").unwrap();
    let is_slow = |mirror: &&Mirror| matches!(mirror.manner, Manner::Slow(_) | Manner::Silent);
    let stall_limit = if mirrors.iter().any(is_slow) { "2" } else { "20" };
    command.current_dir(cwd).args(["fetch", "mnist", "--to", "set", "--stall-limit", stall_limit]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    for mirror in mirrors {
        command.args(["--mirror", &mirror.url()]);
    }
    command
}

/// A folder in which `set` lacks the training labels alone.
fn lacking_labels() -> TempDir {
    let cwd = tempfile::tempdir().unwrap();
    fs::create_dir(cwd.path().join("set")).unwrap();
    for name in FILES.iter().filter(|name| **name != LABELS) {
        fs::copy(bundled(name), cwd.path().join("set").join(name)).unwrap();
    }
    cwd
}

/// Succeeds and returns what `--json` prints; the labels are the right ones.
#[track_caller]
fn arrives(cwd: &Path, mirrors: &[&Mirror]) -> Value {
    let output = fetch(cwd, mirrors).args(["--json", "--quiet"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    let mut names = FILES.to_vec();
    names.sort();
    assert_eq!(entries(&cwd.join("set")), names);
    assert_eq!(fs::read(cwd.join("set").join(LABELS)).unwrap(), labels());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fails with code 1 and one line that holds all of `told`; nothing stands under the file's name.
#[track_caller]
fn fails(command: &mut Command, cwd: &Path, told: &[&str]) {
    let output = command.arg("--quiet").output().unwrap();
    let message = stderr(&output);
    assert_eq!((output.status.code(), message.lines().count()), (Some(1), 1), "{message}");
    for part in told {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(output.stdout.is_empty() && !cwd.join("set").join(LABELS).exists());
}

/// One mirror that is no use: it is told why, nothing is left behind, and the next mirror is asked.
#[track_caller]
fn is_left_for_the_next(manner: Manner, told: &str) {
    let (cwd, bad, good) = (lacking_labels(), Mirror::new(manner), Mirror::new(Manner::Well));
    let host = format!("http://{}: ", bad.address);
    fails(&mut fetch(cwd.path(), &[&bad]), cwd.path(), &["set/train-labels-idx1-ubyte.gz: ", &host, told]);
    assert_eq!(entries(&cwd.path().join("set")).len(), 3, "nothing is left behind");
    let report = arrives(cwd.path(), &[&bad, &good]);
    assert_eq!(report["files"][1]["from"], format!("{}{LABELS}", good.url()));
    assert_eq!(good.ranges(), [None]);
}

#[test]
fn a_set_is_fetched_and_loaded() {
    let (cwd, mirror) = (tempfile::tempdir().unwrap(), Mirror::new(Manner::Well));
    let report = arrives(cwd.path(), &[&mirror]);
    let mut keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["files", "folder", "licence", "seconds", "set", "test_samples", "train_samples"]);
    assert_eq!((&report["set"], &report["folder"]), (&"mnist".into(), &"set".into()));
    assert_eq!((&report["train_samples"], &report["test_samples"]), (&60_000.into(), &10_000.into()));
    let paths: Vec<String> = mirror.requests().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, FILES.map(|name| format!("/sets/mnist/{name}")));
    for (file, name) in report["files"].as_array().unwrap().iter().zip(FILES) {
        assert_eq!((&file["file"], &file["status"]), (&name.into(), &"fetched".into()));
        assert_eq!(file["bytes"], fs::metadata(bundled(name)).unwrap().len());
        assert_eq!((file["sha256"].as_str().unwrap().len(), &file["from"]), (64, &(mirror.url() + name).into()));
    }

    // Again: all is there and right, so nobody is asked, and no mirror need exist.
    let before = mirror.requests().len();
    let again = fetch(cwd.path(), &[&mirror]).output().unwrap();
    assert!(again.status.success() && again.stderr.is_empty(), "{}", stderr(&again));
    let text = String::from_utf8(again.stdout).unwrap();
    assert_eq!((mirror.requests().len(), text.matches("  kept\n").count()), (before, 4), "{text}");
    assert!(text.contains("CC BY-SA 3.0") && text.contains("60,000 training and 10,000 test images"), "{text}");
    assert!(text.contains("flatnet --data set") && text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn slowly_is_well_as_long_as_it_goes_on() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::Slow(1200)));
    let started = Instant::now();
    arrives(cwd.path(), &[&mirror]);
    assert!(started.elapsed() > Duration::from_secs(2), "longer than the stall limit");
    assert_eq!(mirror.ranges(), [None]);
}

#[test]
fn a_mirror_that_breaks_off_is_asked_for_the_rest() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::BreaksOffAfter(10_000)));
    let output = fetch(cwd.path(), &[&mirror]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read(cwd.path().join("set").join(LABELS)).unwrap(), labels());
    assert_eq!(mirror.ranges(), [None, Some("bytes=10000-".into()), Some("bytes=20000-".into())]);
    assert!(stderr(&output).contains("breaks off at 10,000 bytes"), "{}", stderr(&output));

    // A mirror that gives the whole file instead of the rest is as good.
    let cwd = lacking_labels();
    fs::write(cwd.path().join("set").join(PART), &labels()[..7000]).unwrap();
    let mirror = Mirror::new(Manner::NoRanges);
    arrives(cwd.path(), &[&mirror]);
    assert_eq!(mirror.ranges(), [Some("bytes=7000-".into())]);
}

#[test]
fn one_that_always_breaks_off_is_left_and_what_came_is_kept() {
    let (cwd, bad, good) = (lacking_labels(), Mirror::new(Manner::BreaksOffAfter(1000)), Mirror::new(Manner::Well));
    let kept = format!("6,000 bytes are kept in set/{PART}");
    fails(&mut fetch(cwd.path(), &[&bad]), cwd.path(), &["breaks off", &kept]);
    assert_eq!(bad.requests().len(), 6);
    assert_eq!(fs::read(cwd.path().join("set").join(PART)).unwrap(), labels()[..6000]);
    arrives(cwd.path(), &[&good]);
    assert_eq!(good.ranges(), [Some("bytes=6000-".into())]);

    let (cwd, good) = (lacking_labels(), Mirror::new(Manner::Well));
    arrives(cwd.path(), &[&bad, &good]);
    assert_eq!(good.ranges(), [Some("bytes=6000-".into())], "the next mirror goes on from there");
}

#[test]
fn a_mirror_that_is_no_use_is_left_for_the_next() {
    is_left_for_the_next(Manner::WrongBytes, "bytes that are not the published file");
    is_left_for_the_next(Manner::Page, "sends 11 bytes that are not the published file");
    is_left_for_the_next(Manner::Missing, "answers 404 Not Found");
    is_left_for_the_next(Manner::RedirectsToItself, "redirects more than 5 times");
    is_left_for_the_next(Manner::Silent, "falls silent");
    is_left_for_the_next(Manner::Promises(10_000_000_000), "promises 10000000000 bytes");
    is_left_for_the_next(Manner::Promises(20_000), "sends 20,000 bytes that are not the published file");
    is_left_for_the_next(Manner::Endless, "sends more than the 61092 bytes");
    is_left_for_the_next(Manner::WrongPart, "another part");
    is_left_for_the_next(Manner::NoSuchPart, "answers 416");
    is_left_for_the_next(Manner::Babble, "protocol: ");
}

#[test]
fn a_length_that_promises_too_much_does_no_harm_to_a_right_file() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::Promises(50_000)));
    arrives(cwd.path(), &[&mirror]);
    assert_eq!(mirror.requests().len(), 1);
}

/// Of this set only the published gzip is known, whose length is then known before a byte of it is read.
#[test]
fn another_set_is_no_substitute() {
    let (cwd, mirror) = (tempfile::tempdir().unwrap(), Mirror::new(Manner::Well));
    let command = fetch(cwd.path(), &[]);
    let words: Vec<String> = command.get_args().map(|word| word.to_str().unwrap().replace("mnist", "kmnist")).collect();
    let mut command = Command::cargo_bin("flatnet").unwrap();
    command.current_dir(cwd.path()).args(words).args(["--mirror", &mirror.url()]).env_remove("http_proxy");
    let told = format!("promises {} bytes of a file that has 18165135", fs::metadata(bundled(FILES[0])).unwrap().len());
    fails(&mut command, cwd.path(), &["set/train-images-idx3-ubyte.gz: no mirror gave it: ", &told]);
    assert_eq!((mirror.requests().len(), entries(cwd.path())), (1, Vec::new()));
}

#[test]
fn a_redirect_is_followed() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::RedirectsToFile));
    arrives(cwd.path(), &[&mirror]);
    let paths: Vec<String> = mirror.requests().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [format!("/sets/mnist/{LABELS}"), format!("/elsewhere/mnist/{LABELS}")]);
}

#[test]
fn drops_are_not_waited_for() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::Slow(5)));
    fails(&mut fetch(cwd.path(), &[&mirror]), cwd.path(), &["less than 1024 bytes a second", "are kept in"]);
    assert_eq!(mirror.requests().len(), 1);
}

#[test]
fn the_time_limit_ends_it_and_the_next_call_goes_on() {
    let (cwd, slow, good) = (lacking_labels(), Mirror::new(Manner::Slow(1000)), Mirror::new(Manner::Well));
    let mut command = Command::cargo_bin("flatnet").unwrap();
    command.current_dir(cwd.path()).args(["fetch", "mnist", "--to", "set", "--time-limit", "1", "--mirror"]);
    command.arg(slow.url()).env_remove("http_proxy").env_remove("HTTP_PROXY");
    fails(&mut command, cwd.path(), &["the time limit of 1 s is over", "--time-limit", "are kept in"]);
    let kept = fs::read(cwd.path().join("set").join(PART)).unwrap();
    assert!(!kept.is_empty() && labels().starts_with(&kept));
    arrives(cwd.path(), &[&good]);
    assert_eq!(good.ranges(), [Some(format!("bytes={}-", kept.len()))]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_download_leaves_a_part_alone() {
    // Not INT: a program that a script started in the background ignores it, and so do the tests that such a program runs.
    for signal in ["-TERM", "-KILL"] {
        let (cwd, slow, good) = (lacking_labels(), Mirror::new(Manner::Slow(1000)), Mirror::new(Manner::Well));
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("flatnet"));
        command.current_dir(cwd.path()).args(["fetch", "mnist", "--to", "set", "--mirror", &slow.url()]);
        command.env_remove("http_proxy").env_remove("HTTP_PROXY").stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let part = cwd.path().join("set").join(PART);
        let started = Instant::now();
        while fs::metadata(&part).map_or(0, |part| part.len()) < 3000 && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success() && !child.wait().unwrap().success());
        let kept = fs::read(&part).unwrap();
        assert!(kept.len() >= 3000 && labels().starts_with(&kept), "{signal}: {}", kept.len());
        assert_eq!(entries(&cwd.path().join("set")).len(), 4);
        arrives(cwd.path(), &[&good]);
        assert_eq!(good.ranges(), [Some(format!("bytes={}-", kept.len()))]);
    }
}

#[test]
fn a_part_that_does_not_fit_is_fetched_anew() {
    let file = labels();
    for (part, ranges) in [
        (vec![0; 500], &[Some("bytes=500-"), None][..]),
        // Complete but for its name: nobody need be asked.
        (file.clone(), &[]),
        // Longer than the file, though not than another gzip of it could be; and longer than that.
        ([&file[..], &[0; 9]].concat(), &[Some("bytes=28890-"), None]),
        (vec![0; 100_000], &[None]),
    ] {
        let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::Well));
        let asked: Vec<Option<String>> = ranges
            .iter()
            .map(|range| range.map(|range: &str| range.replace("28890", &(file.len() + 9).to_string())))
            .collect();
        fs::write(cwd.path().join("set").join(PART), &part).unwrap();
        let report = arrives(cwd.path(), &[&mirror]);
        assert_eq!(mirror.ranges(), asked);
        assert_eq!(report["files"][1]["from"].is_null(), ranges.is_empty());
    }

    // As long as the file, from a mirror that gives all or nothing.
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::NoRanges));
    fs::write(cwd.path().join("set").join(PART), vec![0; file.len()]).unwrap();
    arrives(cwd.path(), &[&mirror]);
    assert_eq!(mirror.requests().len(), 1);

    // And from mirrors that have no parts, or the wrong ones.
    for manner in [Manner::NoSuchPart, Manner::WrongPart] {
        let (cwd, bad, good) = (lacking_labels(), Mirror::new(manner), Mirror::new(Manner::Well));
        fs::write(cwd.path().join("set").join(PART), &file[..500]).unwrap();
        arrives(cwd.path(), &[&bad, &good]);
        assert_eq!(bad.ranges(), [Some("bytes=500-".into()), None]);
    }
}

#[test]
fn what_is_there_is_not_overwritten_unasked() {
    let (cwd, mirror) = (lacking_labels(), Mirror::new(Manner::Well));
    let place = cwd.path().join("set").join(LABELS);
    fs::write(&place, "mine").unwrap();
    let refused = |words: &[&str], told: &[&str]| {
        let output = fetch(cwd.path(), &[&mirror]).args(words).output().unwrap();
        let message = stderr(&output);
        assert_eq!((output.status.code(), message.lines().count()), (Some(1), 1), "{message}");
        assert!(told.iter().all(|part| message.contains(part)), "{message}");
        assert_eq!(mirror.requests().len(), 0, "found before anything is asked for");
    };
    refused(&[], &["set/train-labels-idx1-ubyte.gz: is not the published file", "--overwrite"]);
    assert_eq!(fs::read(&place).unwrap(), b"mine");

    // Replaced when the new file is complete, and not before.
    let broken = Mirror::new(Manner::BreaksOffAfter(1000));
    let output = fetch(cwd.path(), &[&broken]).arg("--overwrite").output().unwrap();
    assert_eq!((output.status.code(), fs::read(&place).unwrap()), (Some(1), b"mine".to_vec()));
    fetch(cwd.path(), &[&mirror]).arg("--overwrite").assert().success();
    assert_eq!(fs::read(&place).unwrap(), labels());
    fetch(cwd.path(), &[]).assert().success();

    // Loading would take an unpacked file instead of the packed one.
    fs::remove_file(&place).unwrap();
    let unpacked = place.with_extension("");
    mirror.requests.lock().unwrap().clear();
    fs::write(&unpacked, "mine").unwrap();
    refused(&["--overwrite"], &["set/train-labels-idx1-ubyte: is not the published file", "move it away"]);
    fs::rename(&unpacked, cwd.path().join("set/train-labels.idx1-ubyte")).unwrap();
    refused(&[], &["set/train-labels.idx1-ubyte: is not the published file"]);
    fs::remove_file(cwd.path().join("set/train-labels.idx1-ubyte")).unwrap();
    let mut raw = Vec::new();
    let bytes = labels();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut raw).unwrap();
    fs::write(&unpacked, raw).unwrap();
    let kept = fetch(cwd.path(), &[&mirror]).arg("--json").output().unwrap();
    let report: Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert_eq!(report["files"][1]["file"], "train-labels-idx1-ubyte");
    assert_eq!((&report["files"][1]["status"], mirror.requests().len()), (&"kept".into(), 0));
    fs::remove_file(&unpacked).unwrap();

    fs::create_dir(&place).unwrap();
    refused(&["--overwrite"], &["set/train-labels-idx1-ubyte.gz: is not a regular file"]);
    fs::remove_dir(&place).unwrap();
    fs::create_dir(cwd.path().join("set").join(PART)).unwrap();
    refused(&[], &["set/train-labels-idx1-ubyte.gz.part: ", "not a regular file"]);
}

#[test]
fn offline_is_told_as_such_and_leaves_no_folder() {
    let cwd = tempfile::tempdir().unwrap();
    // A port that was just free, and a name that no server of names knows.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, told) in
        [(format!("http://{closed}/"), "it cannot be reached"), ("https://flatnet.invalid/".into(), "https://flatnet")]
    {
        let mut command = fetch(cwd.path(), &[]);
        fails(command.args(["--mirror", &url]), cwd.path(), &[told, "is this computer online?"]);
        assert_eq!(entries(cwd.path()), [""; 0]);
    }
}

#[test]
fn usage_that_makes_no_sense_is_refused() {
    let cwd = tempfile::tempdir().unwrap();
    for (words, told) in [
        (&["fetch"][..], "<SET>"),
        (&["fetch", "imagenet"], "fashion-mnist"),
        (&["fetch", "mnist", "--mirror", "ftp://a/"], "--mirror"),
        (&["fetch", "mnist", "--mirror", "data/mnist"], "--mirror"),
        (&["fetch", "mnist", "--time-limit", "0"], "--time-limit"),
        (&["fetch", "mnist", "--stall-limit", "-1"], "--stall-limit"),
    ] {
        let output = Command::cargo_bin("flatnet").unwrap().current_dir(cwd.path()).args(words).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1), "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    assert_eq!(entries(cwd.path()), [""; 0]);
}

/// Each set asks its mirrors for its own file, and what is not the published file gets no name.
#[test]
fn tables_archives_and_sets_without_a_known_length_are_checked_too() {
    for (set, file, told) in [
        ("iris", "iris.data", "of a file that has 4551"),
        ("wine-quality-red", "winequality-red.csv", "of a file that has 84199"),
        ("wine-quality-white", "winequality-white.csv", "of a file that has 264426"),
        ("breast-cancer", "wdbc.data", "of a file that has 124103"),
        ("emnist-letters", "gzip.zip", "of a file that has 561753746"),
        ("qmnist", "qmnist-train-images-idx3-ubyte.gz", "bytes that are not the published file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::new(Manner::Page);
        let mut command = Command::cargo_bin("flatnet").unwrap();
        for name in ["http_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        let to = folder.path().join("set");
        command.args(["fetch", set, "--quiet", "--to"]).arg(&to).arg("--mirror").arg(mirror.url());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{set}");
        assert!(stderr(&output).contains(told) && stderr(&output).contains(file), "{set}: {}", stderr(&output));
        let asked = mirror.requests();
        assert!(asked.iter().all(|(path, _)| path.ends_with(file)) && !asked.is_empty(), "{set}: {asked:?}");
        assert!(!to.exists(), "{set}: a folder is left");
    }
}

/// A table that stands in the way is named, not replaced.
#[test]
fn another_table_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("iris.data");
    fs::write(&table, "5.1,3.5,1.4,0.2,Iris-setosa\n").unwrap();
    let mut command = Command::cargo_bin("flatnet").unwrap();
    let output = command.args(["fetch", "iris", "--to"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("iris.data: is not the published file; replace it with --overwrite"));
    assert_eq!(fs::read(&table).unwrap(), b"5.1,3.5,1.4,0.2,Iris-setosa\n");
}
