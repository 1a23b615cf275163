//! The batches of a long run in bounded memory: neighbouring records of an epoch are merged into one, as if they had been one
//! larger batch. It knows records, not who reads them.

use crate::train::history::{BatchRecord, History};

/// Keeps the records of a history few. To be called after every epoch.
#[derive(Debug, Clone)]
pub struct Thinning {
    most: usize,
    merged: usize,
}

impl Default for Thinning {
    /// Half a million records, some 16 MB: more than the batches of the reference recipe, and far more than a graph shows.
    fn default() -> Self {
        Thinning::to(1 << 19)
    }
}

impl Thinning {
    /// To at most so many records of both phases together, or one of each phase and epoch.
    pub fn to(most: usize) -> Self {
        Thinning { most, merged: 1 }
    }

    /// Goes on with a history of which each record is of `merged` batches.
    #[must_use]
    pub fn with_merged(self, merged: usize) -> Self {
        Thinning { merged, ..self }
    }

    /// How many batches a record is of; the last one of an epoch may be of fewer.
    pub fn merged(&self) -> usize {
        self.merged
    }

    /// The last epoch of `history` has ended with so many batches of training and of validation, each still a record of its own.
    pub fn after_epoch(&mut self, history: &mut History, train: usize, val: usize) {
        let epochs = history.epochs.len().max(1);
        let History { train_batches, val_batches, .. } = history;
        for (records, batches) in [(&mut *train_batches, train), (&mut *val_batches, val)] {
            let start = records.len().saturating_sub(batches);
            merge(records, start, batches, self.merged);
        }
        while train_batches.len() + val_batches.len() > self.most.max(2 * epochs) {
            for records in [&mut *train_batches, &mut *val_batches] {
                merge(records, 0, records.len() / epochs, 2);
            }
            self.merged *= 2;
        }
    }
}

/// Merges every `times` neighbours from `start` on, never across the epochs, which have `per_epoch` records each.
fn merge(records: &mut Vec<BatchRecord>, start: usize, per_epoch: usize, times: usize) {
    if times == 1 || per_epoch == 0 {
        return;
    }
    let (mut read, mut write) = (start, start);
    while read < records.len() {
        let epoch_end = (read + per_epoch).min(records.len());
        while read < epoch_end {
            let end = (read + times).min(epoch_end);
            let sum = records[read..end].iter().copied().reduce(|sum, record| BatchRecord {
                loss_sum: sum.loss_sum + record.loss_sum,
                weight: sum.weight + record.weight,
                correct: sum.correct.saturating_add(record.correct),
                samples: sum.samples.saturating_add(record.samples),
            });
            // Never empty: `read` is before `end`.
            if let Some(sum) = sum {
                records[write] = sum;
                write += 1;
            }
            read = end;
        }
    }
    records.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::history::EpochRecord;

    const EPOCH: EpochRecord = EpochRecord {
        train_loss: 0.5,
        train_accuracy: 0.5,
        val_loss: 0.5,
        val_accuracy: 0.5,
        train_seconds: 1.0,
        val_seconds: 1.0,
        watch: None,
    };

    fn batch(number: usize) -> BatchRecord {
        BatchRecord { loss_sum: number as f64, weight: 2.0, correct: 1, samples: 2 }
    }

    #[test]
    fn a_long_run_keeps_every_sum_in_few_records() {
        let (mut history, mut thinning) = (History::default(), Thinning::to(40));
        for epoch in 1..=15 {
            history.epochs.push(EPOCH);
            history.train_batches.extend((0..11).map(|number| batch(100 * epoch + number)));
            history.val_batches.extend((0..3).map(batch));
            thinning.after_epoch(&mut history, 11, 3);

            let kept = history.train_batches.len() + history.val_batches.len();
            assert!(kept <= 40 && history.epochs.len() == epoch, "{epoch}: {kept}");
            // Every epoch has as many records as any other, and they hold all of it.
            let per_epoch = 11usize.div_ceil(thinning.merged());
            assert_eq!(history.train_batches.len(), epoch * per_epoch);
            assert_eq!(history.val_batches.len(), epoch * 3usize.div_ceil(thinning.merged()));
            for (of, records) in (1..).zip(history.train_batches.chunks(per_epoch)) {
                let sum: f64 = records.iter().map(|record| record.loss_sum).sum();
                let samples: u32 = records.iter().map(|record| record.samples).sum();
                assert_eq!((sum, samples), ((11 * 100 * of + 55) as f64, 22), "{epoch} {of}");
            }
        }
        assert_eq!(thinning.merged(), 16);
    }

    #[test]
    fn a_run_that_is_short_enough_stays_as_it_is() {
        let (mut history, mut thinning) = (History::default(), Thinning::default());
        history.epochs.push(EPOCH);
        history.train_batches.extend((0..1000).map(batch));
        let before = history.clone();
        thinning.after_epoch(&mut history, 1000, 0);
        assert_eq!((&history, thinning.merged()), (&before, 1));
        // Nor can one be made shorter than a record of each phase and epoch.
        let mut thinning = Thinning::to(1);
        history.val_batches.push(batch(1));
        thinning.after_epoch(&mut history, 1000, 1);
        assert_eq!((history.train_batches.len(), history.val_batches.len()), (1, 1));
    }
}
