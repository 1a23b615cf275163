//! How schedules are written and read back.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::optim::domain;
use crate::optim::schedule::{SCHEDULES, Schedule};

/// How each schedule is written, for help and errors.
pub fn usages() -> impl Iterator<Item = &'static str> {
    SCHEDULES.iter().map(|(usage, ..)| *usage)
}

/// One of each, as it may be written.
pub fn examples() -> impl Iterator<Item = &'static str> {
    SCHEDULES.iter().map(|(_, example, _)| *example)
}

/// The schedule that `spec` writes, validated.
///
/// # Errors
/// [`Error::Setting`] with the name `lr_schedule`, if it names none, or if an argument is missing, cannot be read, is outside
/// its domain, or is one too many.
pub fn parse(spec: &str) -> Result<Box<dyn Schedule>> {
    let schedule =
        read(spec).map_err(|expected| Error::Setting { name: "lr_schedule", found: format!("'{spec}'"), expected })?;
    schedule.validate()?;
    Ok(schedule)
}

/// The schedule, not validated, or what was expected.
fn read(spec: &str) -> std::result::Result<Box<dyn Schedule>, String> {
    let mut arguments = Arguments { rest: Some(spec), fault: None };
    let name = arguments.text().unwrap_or_default();
    let Some((usage, _, make)) = SCHEDULES.iter().find(|(usage, ..)| usage.split([':', '[']).next() == Some(name))
    else {
        return Err(format!("one of {}", usages().collect::<Vec<_>>().join(", ")));
    };
    make(&mut arguments).ok_or_else(|| arguments.fault.unwrap_or_else(|| (*usage).into()))
}

/// What stands between colons, one after the other.
pub(super) struct Arguments<'a> {
    rest: Option<&'a str>,
    /// What was expected of the schedule within this one.
    fault: Option<String>,
}

impl<'a> Arguments<'a> {
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let (first, rest) = match self.rest?.split_once(':') {
            Some((first, rest)) => (first, Some(rest)),
            None => (self.rest?, None),
        };
        self.rest = rest;
        Some(first)
    }

    pub(super) fn next<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// `default` if there is no further argument.
    pub(super) fn next_or<T: FromStr>(&mut self, default: T) -> Option<T> {
        if self.none_left() { Some(default) } else { self.next() }
    }

    pub(super) fn none_left(&self) -> bool {
        self.rest.is_none()
    }

    /// All that is left.
    pub(super) fn schedule(&mut self) -> Option<Box<dyn Schedule>> {
        read(self.rest.take()?).map_err(|expected| self.fault = Some(expected)).ok()
    }
}

/// An error that names `lr_schedule` and the whole of it, unless `valid`.
pub(super) fn require(valid: bool, schedule: &dyn Schedule, expected: &str) -> Result<()> {
    domain::require(valid, "lr_schedule", format!("'{}'", schedule.spec()), expected)
}

/// The same for a factor that learning rates are multiplied by again and again.
pub(super) fn require_factor(factor: f64, schedule: &dyn Schedule, name: &str) -> Result<()> {
    require(factor > 0.0 && factor.is_finite(), schedule, &format!("a positive finite {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::golden::Golden;
    use crate::optim::schedule::Position;

    /// Every schedule at every step of a run, against PyTorch's scheduler of the same name.
    #[test]
    fn learning_rates_are_those_of_pytorch() {
        let golden = Golden::read("schedules");
        let base = golden.json("base_lr").as_f64().unwrap();
        let epochs = golden.json("epochs").as_u64().unwrap() as usize;
        let steps_per_epoch = golden.json("steps_per_epoch").as_u64().unwrap();
        let val_losses = golden.f64s("val_losses");
        let specs = golden.json("specs");
        let specs: Vec<_> = specs.as_array().unwrap().iter().map(|spec| spec.as_str().unwrap()).collect();
        for spec in &specs {
            let schedule = parse(spec).unwrap();
            let expected = golden.f64s(&format!("lr.{spec}"));
            let mut changes_within_an_epoch = false;
            for (step, expected) in expected.iter().enumerate() {
                let epoch = step / steps_per_epoch as usize;
                let at = Position::new(step as u64, steps_per_epoch, epochs, &val_losses[..epoch]);
                assert_eq!(at.epoch, epoch);
                let found = schedule.lr(base, &at);
                // PyTorch goes from rate to rate, by up to a hundred factors with an error of their own.
                assert!((found - expected).abs() <= 1e-13 * base, "{spec}, step {step}: {found}, not {expected}");
                let first =
                    Position::new(epoch as u64 * steps_per_epoch, steps_per_epoch, epochs, &val_losses[..epoch]);
                changes_within_an_epoch |= found != schedule.lr(base, &first);
            }
            assert_eq!(changes_within_an_epoch, schedule.by_step(), "{spec}");
        }
        for usage in usages() {
            let name = usage.split([':', '[']).next().unwrap();
            assert!(specs.iter().any(|spec| spec.split(':').next() == Some(name)), "{name} is in no case");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let golden = Golden::read("schedules");
        for spec in golden.json("specs").as_array().unwrap() {
            let schedule = parse(spec.as_str().unwrap()).unwrap();
            let again = parse(&schedule.spec()).unwrap();
            assert_eq!(format!("{schedule:?}"), format!("{again:?}"));
            assert_eq!(schedule.spec(), again.spec());
        }
        assert_eq!(parse("one-cycle:0.4").unwrap().spec(), "one-cycle:0.4:25:10000");
        assert_eq!(parse("warmup-epochs:3:multi-step:5+7:0.1").unwrap().spec(), "warmup-epochs:3:multi-step:5+7:0.1");
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_how_it_is_written() {
        for (spec, part) in [
            ("", "one of constant, step:EPOCHS:GAMMA,"),
            ("Step:3:0.1", "one of constant"),
            ("constant:1", "expected constant"),
            ("step", "expected step:EPOCHS:GAMMA"),
            ("step:3", "expected step:EPOCHS:GAMMA"),
            ("step:3:", "expected step:EPOCHS:GAMMA"),
            ("step:3:0.1:", "expected step:EPOCHS:GAMMA"),
            ("step:-3:0.1", "expected step:EPOCHS:GAMMA"),
            ("step:0:0.1", "at least 1 epoch"),
            ("step:3:0", "a positive finite GAMMA"),
            ("step:3:inf", "a positive finite GAMMA"),
            ("multi-step:3,4:0.1", "expected multi-step:EPOCH+EPOCH+...:GAMMA"),
            ("multi-step:4+3:0.1", "rising"),
            ("multi-step:3+4:nan", "a positive finite GAMMA"),
            ("exp:-1", "a positive finite GAMMA"),
            ("cosine:", "expected cosine[:MIN]"),
            ("cosine:-1", "at least 0"),
            ("cosine-step:inf", "at least 0"),
            ("one-cycle:1.5", "between 0 and 1"),
            ("one-cycle:0.3:0", "a positive finite DIVISOR"),
            ("one-cycle:0.3:25:-1", "a positive finite FINAL_DIVISOR"),
            ("plateau:1:1", "below 1"),
            ("plateau:1:0", "above 0"),
            ("warmup:5", "expected warmup:STEPS:SCHEDULE"),
            ("warmup:0:constant", "at least 1"),
            ("warmup:5:step:3", "expected step:EPOCHS:GAMMA"),
            ("warmup:5:step:0:0.1", "at least 1 epoch"),
            ("warmup:5:warmup:5:constant", "no warm-up"),
            ("warmup-epochs:x:constant", "expected warmup-epochs:EPOCHS:SCHEDULE"),
        ] {
            let error = parse(spec).expect_err(spec).to_string();
            assert!(error.starts_with("lr_schedule: '") && error.contains(part), "{spec}: {error}");
        }
    }
}
