//! What a training run measured, epoch by epoch and batch by batch. It knows numbers only: no files, no terminals.

use std::fmt;

use crate::loss::LossSums;
use crate::metrics;
use crate::train::watch::Watch;

/// One epoch: all training batches, then all validation batches. Accuracies are fractions, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochRecord {
    /// Mean loss over the epoch's samples, each taken before the update of its batch.
    pub train_loss: f64,
    /// Correct predictions over samples, each predicted before the update of its batch.
    pub train_accuracy: f64,
    /// Mean loss over the validation samples, after the epoch.
    pub val_loss: f64,
    /// Correct predictions over validation samples.
    pub val_accuracy: f64,
    /// Seconds spent in training steps.
    pub train_seconds: f64,
    /// Seconds spent validating.
    pub val_seconds: f64,
    /// What it showed of the network; `None` in runs older than that.
    pub watch: Option<Watch>,
}

/// One batch: its loss, and how many of its samples were predicted correctly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchRecord {
    /// Sum of the samples' losses, each times its weight; in f64.
    pub loss_sum: f64,
    /// Sum of the weights: the number of samples where there are none.
    pub weight: f64,
    /// Samples predicted correctly; 0 where targets are values.
    pub correct: u32,
    /// Samples.
    pub samples: u32,
}

impl BatchRecord {
    /// One of `samples` samples without weights, from their mean loss.
    pub fn from_mean(loss: f32, correct: u32, samples: u32) -> Self {
        let weight = f64::from(samples);
        BatchRecord { loss_sum: f64::from(loss) * weight, weight, correct, samples }
    }

    /// Mean loss of the batch; 0 where all weights are.
    pub fn loss(&self) -> f32 {
        if self.weight == 0.0 { self.loss_sum as f32 } else { (self.loss_sum / self.weight) as f32 }
    }

    /// Correct predictions over samples.
    pub fn accuracy(&self) -> f64 {
        accuracy(u64::from(self.correct), u64::from(self.samples))
    }

    /// As ranks tell each other.
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.loss_sum.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.weight.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.correct.to_le_bytes());
        bytes[20..].copy_from_slice(&self.samples.to_le_bytes());
        bytes
    }

    /// What [`Self::to_bytes`] told.
    pub(crate) fn from_bytes(bytes: &[u8; 24]) -> Self {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let number = |at: usize| {
            let (low, high) = (u32::from_le_bytes(word(at)), u32::from_le_bytes(word(at + 4)));
            f64::from_bits(u64::from(high) << 32 | u64::from(low))
        };
        let (correct, samples) = (u32::from_le_bytes(word(16)), u32::from_le_bytes(word(20)));
        BatchRecord { loss_sum: number(0), weight: number(8), correct, samples }
    }

    /// Whether its loss is a finite number.
    pub(crate) fn is_finite(&self) -> bool {
        self.loss_sum.is_finite()
    }
}

impl From<LossSums> for BatchRecord {
    fn from(sums: LossSums) -> Self {
        BatchRecord { loss_sum: sums.loss, weight: sums.weight, correct: sums.correct, samples: sums.samples }
    }
}

/// The epoch with the lowest validation loss (the first of equals).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss over the validation samples.
    pub val_loss: f64,
    /// Correct predictions over validation samples.
    pub val_accuracy: f64,
}

impl fmt::Display for Best {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Best { epoch, val_loss, val_accuracy } = self;
        let loss = shown_loss(*val_loss);
        write!(f, "epoch {epoch}: validation loss {loss}, accuracy {:.2} %", 100.0 * val_accuracy)
    }
}

/// A whole run. The batches of all epochs stand one after another in the order they ran.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Every epoch.
    pub epochs: Vec<EpochRecord>,
    /// Every training batch.
    pub train_batches: Vec<BatchRecord>,
    /// Every validation batch.
    pub val_batches: Vec<BatchRecord>,
}

impl History {
    /// More records than this are not made room for in advance.
    pub(crate) const MAX_RECORDS: usize = 1 << 22;

    /// Room for so many epochs more, so that recording them never allocates (up to a bound, should the run be a long one).
    pub(crate) fn reserve(&mut self, epochs: usize, train_batches: usize, val_batches: usize) {
        let records = |per_epoch: usize| epochs.saturating_mul(per_epoch).min(Self::MAX_RECORDS);
        self.epochs.reserve(records(1));
        self.train_batches.reserve(records(train_batches));
        self.val_batches.reserve(records(val_batches));
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

    /// Whether there is a validation loss. Of no samples there is none: it is NaN.
    pub(crate) fn is_validated(&self) -> bool {
        self.epochs.iter().any(|epoch| !epoch.val_loss.is_nan())
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

/// A loss to be read: four decimals, and a power of ten where it is too large for a column.
pub fn shown_loss(loss: f64) -> String {
    if loss.abs() < 99_999.5 { format!("{loss:.4}") } else { format!("{loss:.4e}") }
}

/// Mean loss over the samples (a weighted one where they have weights), whatever the batches; and correct predictions over
/// samples. In f64.
pub(crate) fn mean_loss_and_accuracy(batches: &[BatchRecord]) -> (f64, f64) {
    let sum = |value: fn(&BatchRecord) -> f64| batches.iter().map(value).sum::<f64>();
    let correct: u64 = batches.iter().map(|batch| u64::from(batch.correct)).sum();
    let samples: u64 = batches.iter().map(|batch| u64::from(batch.samples)).sum();
    (sum(|batch| batch.loss_sum) / sum(|batch| batch.weight), accuracy(correct, samples))
}

/// Of no samples, no number.
fn accuracy(correct: u64, samples: u64) -> f64 {
    metrics::share(correct, samples).unwrap_or(f64::NAN)
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
            watch: None,
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
        assert_eq!(history.best().unwrap().to_string(), "epoch 2: validation loss 0.3000, accuracy 70.00 %");
        assert!(none.train_seconds().is_sign_positive() && none.val_seconds().is_sign_positive());
    }

    #[test]
    fn no_loss_is_wider_than_a_column() {
        for (loss, text) in [
            (0.0, "0.0000"),
            (2.345_678, "2.3457"),
            (3_084.123_45, "3084.1235"),
            (99_999.4, "99999.4000"),
            (99_999.5, "1.0000e5"),
            (1.234_56e30, "1.2346e30"),
            (f64::MAX, "1.7977e308"),
        ] {
            assert_eq!(shown_loss(loss), text);
            assert!(text.len() <= 10);
        }
    }
}
