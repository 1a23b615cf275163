//! A run's figures as CSV, one row per epoch and one per batch. It knows the columns, not where they are kept.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::data::sample::RowNumbers;
use crate::train::{BatchRecord, DeadUnits, EpochRecord, History, Watch};

/// The columns of `batches.csv`.
const HEADER: &[u8] = b"phase,epoch,batch,loss,accuracy\n";

/// Text is handed on in pieces of about this size, so that 219,000 rows never stand in memory together.
const PIECE_BYTES: usize = 1 << 15;

/// The columns that every run's `epochs.csv` begins with,
pub(super) const EPOCH_COLUMNS: [&str; 7] =
    ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "train_seconds", "val_seconds"];
/// those that follow where epochs were [watched](Watch),
pub(super) const WATCH_COLUMNS: [&str; 4] = ["largest_class_share", "grad_norm", "lr", "largest_weight"];
/// and what stands before a layer's index in the name of the column with its dead units.
pub(super) const DEAD_COLUMN: &str = "dead_";

/// Writes `epochs.csv`: one row per epoch. Accuracies and shares are fractions, times are seconds; a figure that an epoch does
/// not have is an empty cell. Accuracies of labels are shares of the samples of which every label is right; where values are
/// predicted, none is right or wrong, and the columns hold 0. Every number is the shortest text that reads back as the same value.
pub fn write_epochs(out: &mut dyn Write, history: &History) -> io::Result<()> {
    let watched: Option<&Watch> = history.epochs.iter().find_map(|epoch| epoch.watch.as_ref());
    let dead = watched.map_or(&[][..], Watch::dead_units);
    write!(out, "{}", EPOCH_COLUMNS.join(","))?;
    if watched.is_some() {
        write!(out, ",{}", WATCH_COLUMNS.join(","))?;
        dead.iter().try_for_each(|layer| write!(out, ",{DEAD_COLUMN}{}", layer.layer))?;
    }
    writeln!(out)?;
    for (index, epoch) in history.epochs.iter().enumerate() {
        write!(
            out,
            "{},{},{},{},{},{},{}",
            index + 1,
            epoch.train_loss,
            epoch.train_accuracy,
            epoch.val_loss,
            epoch.val_accuracy,
            epoch.train_seconds,
            epoch.val_seconds
        )?;
        if watched.is_some() {
            write_watch(out, epoch, dead)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What was watched of an epoch, and the dead units of these layers.
fn write_watch(out: &mut dyn Write, epoch: &EpochRecord, layers: &[DeadUnits]) -> io::Result<()> {
    let cell = |figure: Option<f64>| figure.filter(|figure| figure.is_finite()).map(|figure| figure.to_string());
    let single = |figure: Option<f32>| figure.filter(|figure| figure.is_finite()).map(|figure| figure.to_string());
    let watch = epoch.watch.as_ref();
    let figures = [
        cell(watch.and_then(|watch| watch.largest_class_share)),
        cell(watch.and_then(|watch| watch.grad_norm)),
        single(watch.map(|watch| watch.lr)),
        single(watch.map(|watch| watch.largest_weight)),
    ];
    let dead = layers.iter().map(|layer| {
        let dead = watch.map_or(&[][..], Watch::dead_units);
        dead.iter().find(|dead| dead.layer == layer.layer).map(|dead| dead.dead.to_string())
    });
    figures.into_iter().chain(dead).try_for_each(|cell| write!(out, ",{}", cell.unwrap_or_default()))
}

/// Writes `batches.csv` epoch by epoch: one row per batch in the order they ran, each epoch's training batches before its
/// validation batches. Epochs and batches count from 1.
#[derive(Debug)]
pub struct Batches<W: Write> {
    out: W,
    text: String,
}

impl<W: Write> Batches<W> {
    /// Writes the names of the columns.
    pub fn new(out: W) -> io::Result<Self> {
        let mut batches = Batches { out, text: String::new() };
        batches.out.write_all(HEADER)?;
        Ok(batches)
    }

    /// Adds the rows of an epoch.
    pub fn add(&mut self, epoch: usize, train: &[BatchRecord], val: &[BatchRecord]) -> io::Result<()> {
        let mut rows = Rows { out: &mut self.out, text: std::mem::take(&mut self.text) };
        let added = rows.add("train", epoch, train).and_then(|()| rows.add("val", epoch, val));
        let added = added.and_then(|()| rows.hand_on());
        // Its room serves the next epoch.
        self.text = rows.text;
        added
    }

    /// Puts rows in place of the names of the columns, which they begin with; before anything has been added.
    pub fn replace(&mut self, rows: &[u8]) -> io::Result<()> {
        self.out.write_all(rows.strip_prefix(HEADER).ok_or(io::ErrorKind::InvalidData)?)
    }

    /// Hands on all that was added.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes `sample.csv`: one row per sample in the order drawn, the training rows before the validation rows. Positions and rows of
/// the data set's files count from 0; validation rows are those of the test files.
pub fn write_sample(out: &mut dyn Write, train: &RowNumbers, val: &[u32]) -> io::Result<()> {
    let mut rows = Rows { out, text: String::from("phase,position,row\n") };
    let train = train.iter().enumerate().map(|(position, row)| ("train", position, row));
    let val = val.iter().enumerate().map(|(position, row)| ("val", position, *row));
    for (phase, position, row) in train.chain(val) {
        // Writing into a String cannot fail.
        let _ = writeln!(rows.text, "{phase},{position},{row}");
        rows.hand_on_if_full()?;
    }
    rows.hand_on()
}

struct Rows<'a> {
    out: &'a mut dyn Write,
    text: String,
}

impl Rows<'_> {
    fn add(&mut self, phase: &str, epoch: usize, batches: &[BatchRecord]) -> io::Result<()> {
        let before_batch = format!("{phase},{epoch},");
        for (index, batch) in batches.iter().enumerate() {
            self.text.push_str(&before_batch);
            // Writing into a String cannot fail.
            let _ = writeln!(self.text, "{},{},{}", index + 1, batch.loss(), batch.accuracy());
            self.hand_on_if_full()?;
        }
        Ok(())
    }

    fn hand_on_if_full(&mut self) -> io::Result<()> {
        if self.text.len() < PIECE_BYTES { Ok(()) } else { self.hand_on() }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EpochRecord;

    /// Two epochs of two training batches and one validation batch.
    fn history() -> History {
        let epoch = |train_loss| EpochRecord {
            train_loss,
            train_accuracy: 0.9333,
            val_loss: 0.25,
            val_accuracy: 0.9202,
            train_seconds: 1.5,
            val_seconds: 0.125,
            watch: None,
        };
        let batch = BatchRecord::from_mean;
        History {
            epochs: vec![epoch(0.3), epoch(0.1 + 0.2)],
            train_batches: vec![batch(2.5, 3, 32), batch(0.1, 16, 16), batch(1e-9, 32, 32), batch(0.25, 0, 16)],
            val_batches: vec![batch(0.75, 1, 3), batch(0.7, 2, 3)],
        }
    }

    #[test]
    fn epochs_have_the_promised_columns() {
        let mut text = Vec::new();
        write_epochs(&mut text, &history()).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "epoch,train_loss,train_accuracy,val_loss,val_accuracy,train_seconds,val_seconds\n\
             1,0.3,0.9333,0.25,0.9202,1.5,0.125\n\
             2,0.30000000000000004,0.9333,0.25,0.9202,1.5,0.125\n"
        );
    }

    #[test]
    fn what_was_watched_follows_in_columns_of_its_own() {
        let mut history = history();
        // The first epoch is of an older run.
        let dead = |layer, dead| DeadUnits { layer, dead, units: 10 };
        history.epochs[1].watch = Some(Watch::new(Some(0.125), None, 0.01, 2.5, [dead(1, 7), dead(4, 0)]));
        let mut text = Vec::new();
        write_epochs(&mut text, &history).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "epoch,train_loss,train_accuracy,val_loss,val_accuracy,train_seconds,val_seconds,\
             largest_class_share,grad_norm,lr,largest_weight,dead_1,dead_4\n\
             1,0.3,0.9333,0.25,0.9202,1.5,0.125,,,,,,\n\
             2,0.30000000000000004,0.9333,0.25,0.9202,1.5,0.125,0.125,,0.01,2.5,7,0\n"
        );
    }

    /// All of a history whose epochs have as many batches each.
    fn batches(history: &History) -> String {
        let mut text = Vec::new();
        let mut batches = Batches::new(&mut text).unwrap();
        let epochs = history.epochs.len();
        for epoch in 0..epochs {
            let share = |batches: &[BatchRecord]| epoch * batches.len() / epochs..(epoch + 1) * batches.len() / epochs;
            let (train, val) = (&history.train_batches, &history.val_batches);
            batches.add(epoch + 1, &train[share(train)], &val[share(val)]).unwrap();
        }
        batches.finish().unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn batches_stand_in_the_order_they_ran() {
        assert_eq!(
            batches(&history()),
            "phase,epoch,batch,loss,accuracy\n\
             train,1,1,2.5,0.09375\n\
             train,1,2,0.1,1\n\
             val,1,1,0.75,0.3333333333333333\n\
             train,2,1,0.000000001,1\n\
             train,2,2,0.25,0\n\
             val,2,1,0.7,0.6666666666666666\n"
        );
    }

    #[test]
    fn samples_stand_in_the_order_drawn() {
        let mut text = Vec::new();
        write_sample(&mut text, &vec![59_999, 0, 7].into(), &[3, 9_999]).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "phase,position,row\ntrain,0,59999\ntrain,1,0\ntrain,2,7\nval,0,3\nval,1,9999\n"
        );
        // Many pieces of text, none lost and none twice.
        let (train, mut text) = ((0..60_000).rev().collect::<Vec<u32>>(), Vec::new());
        write_sample(&mut text, &train.clone().into(), &[]).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows = text.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap());
        assert_eq!(rows.collect::<Vec<u32>>(), train);
    }

    #[test]
    fn no_epoch_gives_the_header_alone() {
        assert_eq!(batches(&History::default()), "phase,epoch,batch,loss,accuracy\n");
    }

    #[test]
    fn every_loss_reads_back_as_the_same_bits() {
        let mut long = history();
        long.epochs.truncate(1);
        // Steps of an odd number of bits: values of all sizes, well beyond one piece of text.
        long.train_batches =
            (1..40_000u32).map(|step| BatchRecord::from_mean(f32::from_bits(step * 53_017), step % 33, 32)).collect();
        let text = batches(&long);
        let losses: Vec<f32> = text
            .lines()
            .filter(|line| line.starts_with("train,"))
            .map(|line| line.split(',').nth(3).unwrap().parse().unwrap())
            .collect();
        assert_eq!(losses.len(), long.train_batches.len());
        for (read, written) in losses.iter().zip(&long.train_batches) {
            assert_eq!(read.to_bits(), written.loss().to_bits());
        }
    }
}
