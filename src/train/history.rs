//! What a training run measured, epoch by epoch and batch by batch. It knows numbers only: no files, no terminals.

/// One epoch: all training batches, then all validation batches. Accuracies are fractions, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochRecord {
    /// Mean of the epoch's batch losses, each taken before the update of its batch.
    pub train_loss: f64,
    /// Correct predictions over samples, each predicted before the update of its batch.
    pub train_accuracy: f64,
    pub val_loss: f64,
    pub val_accuracy: f64,
    /// Seconds spent in training steps.
    pub train_seconds: f64,
    /// Seconds spent validating.
    pub val_seconds: f64,
}

/// One batch: its mean loss and how many of its samples were predicted correctly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRecord {
    pub loss: f32,
    pub correct: u32,
    pub samples: u32,
}

impl BatchRecord {
    /// Correct predictions over samples.
    pub fn accuracy(&self) -> f64 {
        f64::from(self.correct) / f64::from(self.samples)
    }
}

/// The epoch with the lowest validation loss (the first of equals); epochs count from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    pub epoch: usize,
    pub val_loss: f64,
    pub val_accuracy: f64,
}

/// A whole run. The batches of all epochs stand one after another in the order they ran.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub epochs: Vec<EpochRecord>,
    pub train_batches: Vec<BatchRecord>,
    pub val_batches: Vec<BatchRecord>,
}

impl History {
    /// Room for a whole run, so that recording it never allocates (up to a bound, should the run be a long one).
    pub(crate) fn with_capacity(epochs: usize, train_batches: usize, val_batches: usize) -> Self {
        const MAX_RECORDS: usize = 1 << 24;
        let records = |per_epoch: usize| epochs.saturating_mul(per_epoch).min(MAX_RECORDS);
        History {
            epochs: Vec::with_capacity(records(1)),
            train_batches: Vec::with_capacity(records(train_batches)),
            val_batches: Vec::with_capacity(records(val_batches)),
        }
    }

    /// The last epoch's figures; `None` before the first.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The epoch after which validation loss no longer improved.
    pub fn best(&self) -> Option<Best> {
        let mut best: Option<Best> = None;
        for (index, record) in self.epochs.iter().enumerate() {
            if best.is_none_or(|best| record.val_loss < best.val_loss) {
                best = Some(Best { epoch: index + 1, val_loss: record.val_loss, val_accuracy: record.val_accuracy });
            }
        }
        best
    }

    /// Seconds spent in training steps, over all epochs. (`sum` would make -0 of none.)
    pub fn train_seconds(&self) -> f64 {
        self.epochs.iter().fold(0.0, |sum, epoch| sum + epoch.train_seconds)
    }

    /// Seconds spent validating, over all epochs.
    pub fn val_seconds(&self) -> f64 {
        self.epochs.iter().fold(0.0, |sum, epoch| sum + epoch.val_seconds)
    }
}

/// Mean of the batch losses, and correct predictions over samples; in f64.
pub(crate) fn mean_loss_and_accuracy(batches: &[BatchRecord]) -> (f64, f64) {
    let loss: f64 = batches.iter().map(|batch| f64::from(batch.loss)).sum();
    let correct: u64 = batches.iter().map(|batch| u64::from(batch.correct)).sum();
    let samples: u64 = batches.iter().map(|batch| u64::from(batch.samples)).sum();
    (loss / batches.len() as f64, correct as f64 / samples as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(val_loss: f64) -> EpochRecord {
        EpochRecord {
            train_loss: 0.5,
            train_accuracy: 0.9,
            val_loss,
            val_accuracy: 1.0 - val_loss,
            train_seconds: 1.0,
            val_seconds: 0.25,
        }
    }

    #[test]
    fn best_is_the_first_epoch_of_the_lowest_validation_loss() {
        let history = History { epochs: vec![epoch(0.4), epoch(0.3), epoch(0.3), epoch(0.5)], ..History::default() };
        let best = history.best().unwrap();
        assert_eq!((best.epoch, best.val_loss), (2, 0.3));
        assert_eq!(history.train_seconds(), 4.0);
        let none = History::default();
        assert_eq!(none.best(), None);
        assert!(none.train_seconds().is_sign_positive() && none.val_seconds().is_sign_positive());
    }
}
