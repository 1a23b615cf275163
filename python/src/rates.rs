//! scikit-learn's learning rates: `invscaling` and `adaptive`. The library's schedules have others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flatnet::Result;
use flatnet::optim::schedule::{Position, Schedule};

/// `lr / (t + 1)^power_t` after `t` samples, from epoch to epoch; the first one has the whole `lr`.
#[derive(Debug)]
pub struct InverseScaling {
    pub power_t: f64,
    pub samples: usize,
    /// Samples that the optimizer has seen before.
    pub seen: usize,
}

impl Schedule for InverseScaling {
    fn spec(&self) -> String {
        "invscaling".into()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        match self.seen + at.epoch * self.samples {
            0 => base,
            t => base / (t as f64 + 1.0).powf(self.power_t),
        }
    }
}

/// A rate that whoever follows the training lowers.
#[derive(Debug, Clone)]
pub struct Adaptive(Arc<AtomicU64>);

impl Adaptive {
    pub fn new(lr: f64) -> Self {
        Adaptive(Arc::new(AtomicU64::new(lr.to_bits())))
    }

    pub fn rate(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    pub fn set(&self, lr: f64) {
        self.0.store(lr.to_bits(), Ordering::Relaxed);
    }
}

impl Schedule for Adaptive {
    fn spec(&self) -> String {
        "adaptive".into()
    }

    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, _base: f64, _at: &Position<'_>) -> f64 {
        self.rate()
    }
}
