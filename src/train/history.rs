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

    /// Seconds spent in training steps, over all epochs.
    pub fn train_seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.train_seconds).sum()
    }

    /// Seconds spent validating, over all epochs.
    pub fn val_seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.val_seconds).sum()
    }
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
        assert_eq!(History::default().best(), None);
    }
}
