//! When training ends before its last epoch, and which epoch's parameters are the best. It knows figures of epochs and a clock,
//! not how epochs are trained.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;
use crate::train::callback::{BatchEnd, Callback};
use crate::train::history::EpochRecord;

/// The figure of an epoch by which the best one is known, and by which training waits for a better one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Monitor {
    /// The validation loss: the lower, the better
    #[default]
    ValLoss,
    /// The validation accuracy: the higher, the better
    ValAccuracy,
}

impl Monitor {
    /// The figure, so that a lower one is better.
    fn figure(self, record: &EpochRecord) -> f64 {
        match self {
            Monitor::ValLoss => record.val_loss,
            Monitor::ValAccuracy => -record.val_accuracy,
        }
    }

    /// Whether an epoch is better than another one by more than `min_delta`.
    pub fn improves(self, on: &EpochRecord, record: &EpochRecord, min_delta: f64) -> bool {
        self.figure(record) < self.figure(on) - min_delta
    }
}

impl FromStr for Monitor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("monitor", text.trim(), "val-loss or val-accuracy")
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// All epochs are done.
    Epochs,
    /// No epoch was better for as many epochs as [`Trainer::patience`](crate::Trainer::patience) allows.
    Patience,
    /// [`Trainer::max_seconds`](crate::Trainer::max_seconds) are over, after an epoch or within one.
    MaxSeconds,
    /// The callback broke, after an epoch or within one.
    Callback,
}

/// The epochs that have passed without a better one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    monitor: Monitor,
    min_delta: f64,
    /// The last one that was better than all before it.
    best: Option<EpochRecord>,
    epochs: usize,
}

impl Waiting {
    /// After the epochs of a history: what has been waited follows from them.
    pub fn after(epochs: &[EpochRecord], monitor: Monitor, min_delta: f64) -> Self {
        let mut waiting = Waiting { monitor, min_delta, best: None, epochs: 0 };
        epochs.iter().for_each(|record| waiting.epoch(record));
        waiting
    }

    /// After one more.
    pub fn epoch(&mut self, record: &EpochRecord) {
        match &self.best {
            Some(best) if !self.monitor.improves(best, record, self.min_delta) => self.epochs += 1,
            _ => (self.best, self.epochs) = (Some(*record), 0),
        }
    }

    /// Whether it was as long as `patience`, if there is one.
    pub fn is_over(&self, patience: Option<usize>) -> bool {
        patience.is_some_and(|patience| self.epochs >= patience)
    }
}

/// A callback that breaks when time is over.
pub(super) struct Deadline<'a> {
    pub callback: &'a mut dyn Callback,
    pub at: Option<Instant>,
    /// Whether it was time that broke.
    pub is_over: bool,
}

impl Callback for Deadline<'_> {
    fn within_batch(&mut self) -> ControlFlow<()> {
        self.callback.within_batch()
    }

    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        self.callback.after_batch(end)?;
        if self.at.is_some_and(|at| Instant::now() >= at) {
            self.is_over = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(val_loss: f64, val_accuracy: f64) -> EpochRecord {
        EpochRecord {
            train_loss: 0.5,
            train_accuracy: 0.5,
            val_loss,
            val_accuracy,
            train_seconds: 1.0,
            val_seconds: 1.0,
            watch: None,
        }
    }

    /// How many epochs pass before the end, of losses and accuracies that are given.
    fn ends_after(patience: usize, monitor: Monitor, min_delta: f64, epochs: &[(f64, f64)]) -> Option<usize> {
        let epochs: Vec<EpochRecord> = epochs.iter().map(|(loss, accuracy)| epoch(*loss, *accuracy)).collect();
        (1..=epochs.len()).find(|done| Waiting::after(&epochs[..*done], monitor, min_delta).is_over(Some(patience)))
    }

    #[test]
    fn what_has_been_waited_follows_from_the_epochs() {
        let epochs = [(0.9, 0.1), (0.8, 0.1), (0.79, 0.3), (0.85, 0.4), (0.79, 0.4), (0.7, 0.2), (0.9, 0.3)];
        assert_eq!(ends_after(2, Monitor::ValLoss, 0.0, &epochs), Some(5));
        assert_eq!(ends_after(3, Monitor::ValLoss, 0.0, &epochs), None);
        // Equal is no better, and neither is what is better by too little.
        assert_eq!(ends_after(1, Monitor::ValLoss, 0.05, &epochs), Some(3));
        assert_eq!(ends_after(3, Monitor::ValLoss, 0.05, &epochs), Some(5));
        assert_eq!(ends_after(1, Monitor::ValAccuracy, 0.0, &epochs), Some(2));
        assert_eq!(ends_after(3, Monitor::ValAccuracy, 0.0, &epochs), Some(7));
        let waiting = Waiting::after(&[epoch(0.5, 0.5); 3], Monitor::ValLoss, 0.0);
        assert!(!waiting.is_over(None) && waiting.is_over(Some(2)) && !waiting.is_over(Some(3)));
    }

    #[test]
    fn monitors_have_the_names_of_the_command_line() {
        for (monitor, name) in [(Monitor::ValLoss, "val-loss"), (Monitor::ValAccuracy, "val-accuracy")] {
            assert_eq!((monitor.to_string().as_str(), name.parse::<Monitor>().unwrap()), (name, monitor));
        }
        assert!("loss".parse::<Monitor>().unwrap_err().to_string().contains("expected val-loss or val-accuracy"));
    }
}
