//! Runs as processes of this program, several at a time: what becomes of one costs no other. It knows words and exit codes, not
//! what runs do.
//!
//! A run's standard input is a pipe that nothing is ever written into. It ends when the sweep closes it, or when the sweep itself
//! is gone, however it went; then the run ends as with Ctrl-C. That needs no signal, and leaves no run behind that nobody waits for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::cli::{MAX_MESSAGE, interrupt, shortened};

/// Tells a run that it ends with its standard input.
const FOLLOWS: &str = "FLATNET_ENDS_WITH_STDIN";

/// How soon Ctrl-C is passed on.
const PATIENCE: Duration = Duration::from_millis(50);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Done,
    Interrupted,
    /// Why, in one line.
    Failed(String),
}

/// Runs `program` once for each entry of `jobs`, `at_once` at a time and in their order, and tells how each ended. After
/// Ctrl-C none is started, and those that run end in order.
pub fn run_all(program: &PathBuf, jobs: &[Vec<OsString>], at_once: usize, mut tell: impl FnMut(usize, Ended)) {
    let (next, inputs) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    let work = |ended: mpsc::Sender<(usize, Ended)>| {
        while !interrupt::is_asked() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(words) = jobs.get(number) else { break };
            let end = run(program, words, number, &inputs).unwrap_or_else(|error| Ended::Failed(error.to_string()));
            // Nobody listens once the sweep is given up.
            let _ = ended.send((number, end));
        }
    };
    thread::scope(|scope| {
        let (sender, ended) = mpsc::channel();
        for _ in 0..at_once.min(jobs.len()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        loop {
            match ended.recv_timeout(PATIENCE) {
                Ok((number, end)) => tell(number, end),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if interrupt::is_asked() {
                inputs.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    });
}

fn run(
    program: &PathBuf,
    words: &[OsString],
    number: usize,
    inputs: &Mutex<HashMap<usize, ChildStdin>>,
) -> io::Result<Ended> {
    let mut command = Command::new(program);
    command.args(words).env(FOLLOWS, "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let (input, errors) = (child.stdin.take(), child.stderr.take());
    {
        let mut inputs = inputs.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked after all others were told, it is told at once: `input` is dropped here.
        if let Some(input) = input.filter(|_| !interrupt::is_asked()) {
            inputs.insert(number, input);
        }
    }
    let told = errors.map_or_else(String::new, last_line);
    let status = child.wait()?;
    inputs.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    Ok(match status.code() {
        Some(0) => Ended::Done,
        Some(code) if interrupt::is_exit_code(code) => Ended::Interrupted,
        // Pressed before the run could hear of it.
        None if interrupt::is_asked() => Ended::Interrupted,
        _ if told.is_empty() => Ended::Failed(status.to_string()),
        _ => Ended::Failed(told),
    })
}

/// The last line of what a run says, without the word before it. Of a line that never ends, the beginning.
fn last_line(errors: ChildStderr) -> String {
    let (mut reader, mut last) = (BufReader::new(errors), String::new());
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(1 << 16).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if !text.trim().is_empty() {
                    last = shortened(text.trim().trim_start_matches("error: "), MAX_MESSAGE);
                }
            }
        }
    }
    last
}

/// Whether this process is a run of a sweep.
pub fn is_run() -> bool {
    std::env::var_os(FOLLOWS).is_some()
}

/// In a run of a sweep: ends with the sweep.
pub fn follow() {
    if is_run() {
        thread::spawn(|| {
            // Nothing is ever written there.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            interrupt::ask();
        });
    }
}
