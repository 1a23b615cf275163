//! Ctrl-C, and whatever other signals Python has handlers for, while the library works without the interpreter's lock.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// How often Python is asked: seldom enough that a busy thread of Python, which keeps its lock for 5 ms, costs little; soon
/// enough for a person.
const EVERY: Duration = Duration::from_millis(100);

/// Who asks. On other threads than Python's main one there is never a signal.
pub struct Signals {
    asked_at: Instant,
}

impl Signals {
    /// Who asks for the first time when work has gone on for a while.
    pub fn new() -> Self {
        Signals { asked_at: Instant::now() }
    }

    /// What a handler raised; to be called often.
    pub fn ask(&mut self) -> PyResult<()> {
        if self.asked_at.elapsed() < EVERY {
            return Ok(());
        }
        let asked = Python::attach(|py| py.check_signals());
        self.asked_at = Instant::now();
        asked
    }
}

/// What `work` gives, which nobody can stop; where a signal's handler raises meanwhile, that, at once: the work then ends by
/// itself, and what came of it is dropped.
pub fn meanwhile<T: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> T + Send + 'static) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || sender.send(work()));
    py.detach(move || {
        loop {
            match receiver.recv_timeout(EVERY) {
                Ok(found) => return Ok(found),
                Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals())?,
                Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("a thread ended early")),
            }
        }
    })
}
