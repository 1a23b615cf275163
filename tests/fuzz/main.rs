//! Files from outside, changed at random: whatever they hold, reading them ends soon, takes memory in proportion, and gives
//! what is valid or one line that says what is not.
//!
//! `cargo test --test fuzz` tries 2,000 inputs of each kind, `FLATNET_FUZZ_INPUTS=N` tries N of them. The inputs are the
//! same each time; a failure names its input, and `FLATNET_FUZZ_FIRST=N` begins there. One program, because it has an
//! allocator of its own.

mod folders;
mod idx;
mod largest_request;
mod models;
mod mutate;
mod pictures;
mod runs;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use flatnet::Error;
use flatnet::rng::{Stream, stream};
use mutate::Random;

/// No input is larger.
const MAX_INPUT_BYTES: usize = 1 << 20;
const MAX_TIME: Duration = Duration::from_secs(2);
/// Of one call to the allocator, for an input of less than a megabyte.
const MAX_REQUEST: usize = 64 << 20;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; expected a whole number")))
}

/// Makes inputs of one kind and checks what becomes of each. `check` gets an input of `make`, returns how many bytes it
/// may ask for at once beyond [`MAX_REQUEST`], and panics where it sees something wrong.
fn try_all<T>(kind: &str, make: impl Fn(&mut Random) -> T, check: impl Fn(&T) -> usize) {
    let first = number("FLATNET_FUZZ_FIRST").unwrap_or(0);
    let inputs = number("FLATNET_FUZZ_INPUTS").unwrap_or(2000);
    let kind_number = kind.bytes().fold(0_u64, |number, byte| number.wrapping_mul(31).wrapping_add(byte.into())) << 40;
    for input in first..first + inputs {
        let made = make(&mut Random::new(stream(kind_number ^ input, Stream::Shuffle)));
        let attempt = || {
            let start = Instant::now();
            largest_request::forget();
            let allowed = catch_unwind(AssertUnwindSafe(|| check(&made)));
            (allowed, start.elapsed(), largest_request::of_this_thread())
        };
        let (allowed, mut time, request) = attempt();
        let Ok(allowed) = allowed else { panic!("{kind} input {input}: see the panic above") };
        if time > MAX_TIME {
            // On a busy machine any work may take so long once.
            time = time.min(attempt().1);
        }
        assert!(time <= MAX_TIME, "{kind} input {input}: took {time:?}");
        let most = MAX_REQUEST.saturating_add(allowed);
        assert!(request <= most, "{kind} input {input}: {request} bytes at once, expected at most {most}");
    }
}

/// An error is one line that says what is wrong.
#[track_caller]
fn one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n') && text.len() < 2000, "{text}");
}
