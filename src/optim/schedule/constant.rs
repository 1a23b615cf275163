//! `constant`: the learning rate stays as it is.

use crate::error::Result;
use crate::optim::schedule::{Position, Schedule};

/// `lr = base`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant;

impl Schedule for Constant {
    fn spec(&self) -> String {
        "constant".into()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, _at: &Position<'_>) -> f64 {
        base
    }
}
