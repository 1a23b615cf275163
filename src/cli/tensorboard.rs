//! A run's figures as event files for TensorBoard, written while it runs. It knows their format, not how figures come
//! about.
//!
//! `DIR/train` and `DIR/validation` are two runs to TensorBoard, so that it draws both curves in one chart. Their tags are
//! `epoch/loss` and `epoch/accuracy` (step: the epoch), and `batch/loss` and `batch/accuracy` (step: the batch's row in
//! `batches.csv`, so that both phases share one axis). What was watched has tags of its own in `DIR/train`, by epoch:
//! `watch/largest_class_share`, `watch/grad_norm`, `watch/lr`, `watch/largest_weight`, and `watch/dead_1` and the like, by layer.
//!
//! A file is a row of records in TFRecord's framing: length (u64), its checksum, data, their checksum, all little-endian.
//! A checksum is a masked CRC-32C. The data are a protocol buffer `Event`, of which only four fields are used:
//! <https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto>.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crc::{CRC_32_ISCSI, Crc};
use flatnet::train::{BatchRecord, EpochRecord, History, Thinning, Watch};
use flatnet::{Error, Result};

/// Of each phase; TensorBoard itself shows 1,000 at once unless told otherwise.
const MAX_BATCH_POINTS: usize = 10_000;
/// In the name of every event file: how TensorBoard knows them.
const MARK: &str = "tfevents";
const PHASES: [&str; 2] = ["train", "validation"];

/// The event files of a run that is under way.
pub struct EventFiles {
    train: EventFile,
    val: EventFile,
    /// When each epoch ended, in seconds since 1970.
    ends: Vec<f64>,
    /// The first failure. The run goes on without event files, since its own files matter more.
    failure: Option<Error>,
    /// Whether predictions are right or wrong.
    has_accuracy: bool,
}

impl EventFiles {
    /// Starts both files. An error if `folder` holds event files: TensorBoard would draw two runs as one.
    pub fn create(folder: &Path) -> Result<EventFiles> {
        for folder in PHASES.map(|phase| folder.join(phase)).iter().map(PathBuf::as_path).chain([folder]) {
            refuse_event_files(folder)?;
        }
        let [train, val] = PHASES.map(|phase| EventFile::create(&folder.join(phase)));
        Ok(EventFiles { train: train?, val: val?, ends: Vec::new(), failure: None, has_accuracy: true })
    }

    /// The same for a run that predicts values, which are not right or wrong: there are losses alone.
    pub fn without_accuracy(self) -> EventFiles {
        EventFiles { has_accuracy: false, ..self }
    }

    /// Adds an epoch that has just ended; epochs count from 1.
    pub fn epoch(&mut self, epoch: usize, record: &EpochRecord) {
        let now = now();
        let accuracy = |accuracy: f64| self.has_accuracy.then_some(accuracy);
        let (train_accuracy, val_accuracy) = (accuracy(record.train_accuracy), accuracy(record.val_accuracy));
        self.ends.push(now);
        if self.failure.is_none() {
            let written = self
                .train
                .add(now, epoch, "epoch", record.train_loss, train_accuracy)
                .and_then(|()| record.watch.map_or(Ok(()), |watch| self.train.add_watch(now, epoch, &watch)))
                .and_then(|()| self.val.add(now, epoch, "epoch", record.val_loss, val_accuracy))
                // So that it is seen while the run goes on.
                .and_then(|()| self.train.flush())
                .and_then(|()| self.val.flush());
            self.failure = written.err();
        }
    }

    /// Adds the batches, thinned to [`MAX_BATCH_POINTS`] of each phase, and tells of the first failure. An epoch had so many of
    /// training and of validation, of which `thinning` merged some.
    pub fn finish(mut self, history: &History, thinning: &Thinning, batches: [usize; 2]) -> Result<()> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.batches(history, thinning.merged(), batches),
        }
    }

    fn batches(&mut self, history: &History, merged: usize, [train, val]: [usize; 2]) -> Result<()> {
        let both = train + val;
        for (file, records, of_epoch, before) in
            [(&mut self.train, &history.train_batches, train, 0), (&mut self.val, &history.val_batches, val, train)]
        {
            let per_epoch = of_epoch.div_ceil(merged);
            let every = records.len().div_ceil(MAX_BATCH_POINTS).max(1);
            for (index, batch) in records.iter().enumerate().step_by(every) {
                // The last batch of those that the record is of.
                let (epoch, within) = (index / per_epoch, ((index % per_epoch + 1) * merged).min(of_epoch));
                let step = epoch * both + before + within;
                let share = within as f64 / of_epoch as f64;
                let time = self.ends.get(epoch).zip(history.epochs.get(epoch));
                let time = time.map_or(0.0, |(end, record)| batch_time(*end, record, before == 0, share));
                let accuracy = self.has_accuracy.then(|| BatchRecord::accuracy(batch));
                file.add(time, step, "batch", f64::from(batch.loss()), accuracy)?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

/// When a batch ended, taking those of a phase to be equally long: only the phases' times are measured.
fn batch_time(epoch_end: f64, epoch: &EpochRecord, is_training: bool, share: f64) -> f64 {
    let (start, seconds) = if is_training {
        (epoch_end - epoch.val_seconds - epoch.train_seconds, epoch.train_seconds)
    } else {
        (epoch_end - epoch.val_seconds, epoch.val_seconds)
    };
    start + share * seconds
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn refuse_event_files(folder: &Path) -> Result<()> {
    let failed = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        if entry.map_err(failed)?.file_name().to_string_lossy().contains(MARK) {
            let problem = "holds event files already, which would be drawn as one run with the new ones; \
                           choose another folder with --tensorboard"
                .into();
            return Err(Error::RunFolder { path: folder.to_path_buf(), problem });
        }
    }
    Ok(())
}

struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl EventFile {
    /// A new file in `folder`, whose name says when it was begun and by which process.
    fn create(folder: &Path) -> Result<EventFile> {
        fs::create_dir_all(folder).map_err(|source| Error::Io {
            path: folder.to_path_buf(),
            action: "make the folder",
            source,
        })?;
        let seconds = now();
        let path = folder.join(format!("events.out.{MARK}.{seconds:010.0}.flatnet.{}.0", std::process::id()));
        let file =
            File::create_new(&path).map_err(|source| Error::Io { path: path.clone(), action: "make", source })?;
        let mut file = EventFile { path, out: BufWriter::new(file) };
        // Every event file begins with the version of its format.
        file.record(&event(seconds, 0, 3, b"brain.Event:2"))?;
        file.flush()?;
        Ok(file)
    }

    fn add(&mut self, time: f64, step: usize, group: &str, loss: f64, accuracy: Option<f64>) -> Result<()> {
        let values = [("loss", Some(loss)), ("accuracy", accuracy)].into_iter();
        let values: Vec<_> = values.filter_map(|(name, value)| Some((format!("{group}/{name}"), value?))).collect();
        self.add_values(time, step, &values)
    }

    /// What was watched of an epoch; a figure that it does not have is left out.
    fn add_watch(&mut self, time: f64, epoch: usize, watch: &Watch) -> Result<()> {
        let figures = [
            ("largest_class_share", watch.largest_class_share),
            ("grad_norm", watch.grad_norm),
            ("lr", Some(watch.lr.into())),
            ("largest_weight", Some(watch.largest_weight.into())),
        ];
        let mut values: Vec<(String, f64)> =
            figures.iter().filter_map(|(name, value)| Some((format!("watch/{name}"), (*value)?))).collect();
        values.extend(watch.dead_units().iter().map(|dead| (format!("watch/dead_{}", dead.layer), dead.dead as f64)));
        self.add_values(time, epoch, &values)
    }

    fn add_values(&mut self, time: f64, step: usize, values: &[(String, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 1, tag.as_bytes());
            put_key(&mut pair, 2, FIXED_32);
            pair.extend((*value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &pair);
        }
        self.record(&event(time, step, 5, &summary))
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let written = [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()]
            .iter()
            .try_for_each(|part| self.out.write_all(part));
        written.map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), action: "write", source }
    }
}

/// An `Event`: wall time (1), step (2), and what it carries, a string or a message.
fn event(time: f64, step: usize, carried: u32, bytes: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    put_key(&mut event, 1, FIXED_64);
    event.extend(time.to_le_bytes());
    put_key(&mut event, 2, VARINT);
    put_varint(&mut event, step as u64);
    put_bytes(&mut event, carried, bytes);
    event
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const BYTES: u32 = 2;
const FIXED_32: u32 = 5;

fn put_key(out: &mut Vec<u8>, field: u32, kind: u32) {
    put_varint(out, u64::from(field << 3 | kind));
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits to a byte, the lowest first; the high bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Rotated and moved, so that the checksum of data that hold checksums is no special case.
fn masked_crc(data: &[u8]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_sizes_are_written_as_varints() {
        for (value, expected) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    /// A disk that is full costs the event files, not the run.
    #[test]
    fn the_first_failure_is_told_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = EventFiles::create(folder.path()).unwrap();
        let path = files.val.path.clone();
        // Opened for reading, so that nothing can be written.
        files.val.out = BufWriter::new(File::open(&path).unwrap());
        let epoch = EpochRecord {
            train_loss: 0.5,
            train_accuracy: 0.5,
            val_loss: 0.5,
            val_accuracy: 0.5,
            train_seconds: 1.0,
            val_seconds: 1.0,
            watch: None,
        };
        for number in 1..=3 {
            files.epoch(number, &epoch);
        }
        let message = files.finish(&History::default(), &Thinning::default(), [0, 0]).unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()) && message.contains("cannot write"), "{message}");
    }

    #[test]
    fn batches_end_where_their_phase_does() {
        let epoch = EpochRecord {
            train_loss: 0.0,
            train_accuracy: 0.0,
            val_loss: 0.0,
            val_accuracy: 0.0,
            train_seconds: 4.0,
            val_seconds: 1.0,
            watch: None,
        };
        assert_eq!(batch_time(100.0, &epoch, true, 0.5), 97.0);
        assert_eq!(batch_time(100.0, &epoch, true, 1.0), 99.0);
        assert_eq!(batch_time(100.0, &epoch, false, 1.0), 100.0);
    }
}
