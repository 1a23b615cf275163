//! Ctrl-C: the first asks the run to end and keep what it has, the second ends the process. It knows the signal, not the run.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// The exit code of a run that was interrupted.
pub const EXIT_CODE: u8 = 130;

/// From now on Ctrl-C is heard.
pub fn listen() {
    let handler = || {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_CODE.into());
        }
    };
    // Where it cannot be heard, it ends the process as ever.
    let _ = ctrlc::set_handler(handler);
}

/// As if somebody pressed it for the first time.
pub fn ask() {
    ASKED.store(true, Ordering::Relaxed);
}

/// Whether somebody pressed it.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
