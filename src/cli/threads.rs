//! How many threads a command uses: what was asked for, held to what helps. It knows the flag and the environment.

use flatnet::parallel::available_cores;
use flatnet::train::Sharing;
use flatnet::{Error, Result};

use super::tell;

/// More is a slip of the finger.
pub const MAX_THREADS: usize = 1024;
const VARIABLE: &str = "RAYON_NUM_THREADS";
/// For tests alone: threads beyond the cores, which show on a small machine that no number of threads changes a bit.
const BEYOND_CORES: &str = "FLATNET_TEST_THREADS_BEYOND_CORES";

/// A number of threads, and how they share a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    pub asked: usize,
    pub used: usize,
    pub sharing: Sharing,
}

impl Threads {
    /// For who asks what a run would do, not how fast.
    pub const ONE: Threads = Threads { asked: 1, used: 1, sharing: Sharing::Measured };
}

/// Those of `--threads`, else of `RAYON_NUM_THREADS`, else the cores that this process may use, and never more than those: the
/// threads of a step wait for one another, so with more of them than cores a step takes a hundred times as long. Tells on stderr
/// if it uses fewer than were asked for.
pub fn threads(flag: Option<usize>) -> Result<Threads> {
    let cores = available_cores();
    let named = match flag {
        Some(threads) => Some((threads, "--threads")),
        None => from_environment(std::env::var_os(VARIABLE).map(|text| text.to_string_lossy().into_owned()))?
            .map(|threads| (threads, VARIABLE)),
    };
    let Some((asked, name)) = named else {
        return Ok(Threads { asked: cores, used: cores, sharing: Sharing::Measured });
    };
    if std::env::var_os(BEYOND_CORES).is_some() {
        return Ok(Threads { asked, used: asked, sharing: Sharing::Always });
    }
    let used = asked.min(cores);
    if used < asked {
        let words = if cores == 1 { "1 core".into() } else { format!("{cores} cores") };
        tell("note", &format!("{name} asks for {asked} threads; this process may use {words}, so it uses {used}"));
    }
    Ok(Threads { asked, used, sharing: Sharing::Measured })
}

/// What the variable says; `None` where it is empty or 0, which is rayon's word for as many as there are.
fn from_environment(text: Option<String>) -> Result<Option<usize>> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    match text.trim().parse() {
        Ok(0) => Ok(None),
        Ok(threads) if threads <= MAX_THREADS => Ok(Some(threads)),
        _ => Err(Error::Setting {
            name: "threads",
            found: format!("'{}' in {VARIABLE}", super::shortened(text.trim(), super::MAX_VALUE)),
            expected: format!("a number from 1 to {MAX_THREADS}, or no such variable"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_number_or_nothing() {
        let read = |text: &str| from_environment(Some(text.into()));
        assert_eq!(from_environment(None).unwrap(), None);
        for (text, threads) in
            [("", None), (" ", None), ("0", None), ("3", Some(3)), (" 8 ", Some(8)), ("1024", Some(1024))]
        {
            assert_eq!(read(text).unwrap(), threads, "{text}");
        }
        for text in ["abc", "-1", "1.5", "1025", "99999999999999999999"] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(&format!("'{text}' in RAYON_NUM_THREADS")), "{message}");
        }
    }
}
