//! SIGINT (Ctrl-C), SIGTERM and SIGHUP: the first asks the run to end and keep what it has, the second ends the process. It knows
//! signals, not the run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The signal that came; 0 before there is one.
static CAME: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on signals are heard. One that cannot be heard ends the process as ever.
pub fn listen() {
    let (came, is_second) = (CAME.get_or_init(Arc::default), Arc::new(AtomicBool::new(false)));
    #[cfg(unix)]
    let hangup = (!is_ignored(signal_hook::consts::SIGHUP)).then_some(signal_hook::consts::SIGHUP);
    #[cfg(not(unix))]
    let hangup = None;
    for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
        // In this order, so that the first one finds that it is the first.
        let _ = flag::register_conditional_shutdown(signal, exit_code_of(signal).into(), Arc::clone(&is_second));
        let _ = flag::register(signal, Arc::clone(&is_second));
        let _ = flag::register_usize(signal, Arc::clone(came), signal.unsigned_abs() as usize);
    }
}

/// As if somebody pressed Ctrl-C for the first time.
pub fn ask() {
    ask_by(SIGINT.unsigned_abs() as u8);
}

/// As if the signal of this number had come.
pub fn ask_by(signal: u8) {
    CAME.get_or_init(Arc::default).store(usize::from(signal), Ordering::Relaxed);
}

/// The number of the signal that came; 0 where none did.
pub fn came() -> u8 {
    u8::try_from(signal()).unwrap_or(0)
}

/// Whether whoever started this process wants it to outlive its terminal, as `nohup` does.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // Linux alone says so without a call that Rust takes for unsafe; elsewhere a hangup ends the run, which can go on.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether somebody asks the run to end.
pub fn is_asked() -> bool {
    signal() != 0
}

/// The exit code of a run that was interrupted: that of a shell's process which its signal ended.
pub fn exit_code() -> u8 {
    exit_code_of(i32::try_from(signal()).unwrap_or(SIGINT))
}

/// The same, or 0 where nobody asked.
pub fn code_if_asked() -> u8 {
    if is_asked() { exit_code() } else { 0 }
}

/// Whether a run ends with it that was interrupted.
pub fn is_exit_code(code: i32) -> bool {
    /// SIGHUP's number, on systems that have it.
    const HANGUP: i32 = 1;
    [HANGUP, SIGINT, SIGTERM].into_iter().any(|signal| i32::from(exit_code_of(signal)) == code)
}

fn signal() -> usize {
    CAME.get().map_or(0, |came| came.load(Ordering::Relaxed))
}

fn exit_code_of(signal: i32) -> u8 {
    128 + u8::try_from(signal).unwrap_or(SIGINT as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!([1, SIGINT, SIGTERM].map(exit_code_of), [129, 130, 143]);
    }
}
