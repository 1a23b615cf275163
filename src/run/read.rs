//! A run's figures read back from its files, without trust: each row must be the one that flatnet would have written
//! there, and what is derived from others must be what follows from them. It knows the columns, not what becomes of the
//! figures.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::csv::{DEAD_COLUMN, EPOCH_COLUMNS, WATCH_COLUMNS};
use super::{Seconds, Summary, folder};
use crate::error::{Error, Result};
use crate::nn::{LayerSpec, LayerSpecs};
use crate::regular_file;
use crate::train::{BatchRecord, DeadUnits, EpochRecord, History, Watch, mean_loss_and_accuracy};

/// Far more than a summary or a row has; a larger one is none of ours, and would cost memory to read.
const MAX_SUMMARY_BYTES: u64 = 1 << 22;
const MAX_ROW_BYTES: u64 = 1 << 12;
/// Three hundred years.
const MAX_SECONDS: f64 = 1e10;
/// Batches keep their losses in f32, and sums of seconds may be added up in another order.
const ROUNDING: f64 = 1e-6;

/// Reads `summary.json`, `epochs.csv` and `batches.csv` of the run in `folder`. Rows and summary must agree on how many
/// epochs and batches there were, every figure must be one that a run can have, an epoch's figures must follow from its
/// batches, and the summary's from the epochs. Columns beyond the known ones are passed over; where those of what was watched
/// are missing, as in older runs, nothing was.
///
/// # Errors
/// [`Error::RunFolder`] where the folder holds no complete run, [`Error::RunFile`] at the first line that does not hold
/// what it should, [`Error::Io`] where a file cannot be read.
pub fn read(folder: &Path) -> Result<(Summary, History)> {
    let summary = read_summary(folder)?;
    let wrong = |problem| Error::RunFile { path: folder.join(folder::SUMMARY), line: 1, problem };
    check_settings(&summary).map_err(wrong)?;
    let shape = Shape::of(&summary).map_err(wrong)?;
    let epochs = read_epochs(&folder.join(folder::EPOCHS), shape.epochs, &activations(&summary))?;
    let mut history = History { epochs, ..History::default() };
    read_batches(&folder.join(folder::BATCHES), &shape, &mut history)?;
    let weighted = summary.recipe.class_weights.is_some();
    for (index, epoch) in history.epochs.iter().enumerate() {
        let follows = [
            ("train_loss", "train_accuracy", &history.train_batches, (epoch.train_loss, epoch.train_accuracy)),
            ("val_loss", "val_accuracy", &history.val_batches, (epoch.val_loss, epoch.val_accuracy)),
        ];
        for (loss, accuracy, batches, figures) in follows {
            let per_epoch = batches.len() / shape.epochs;
            let batches = &batches[index * per_epoch..(index + 1) * per_epoch];
            check_epoch(batches, figures, weighted).map_err(|is_loss| Error::RunFile {
                path: folder.join(folder::EPOCHS),
                line: index as u64 + 2,
                problem: format!(
                    "{} is not what follows from the epoch's rows of {}",
                    if is_loss { loss } else { accuracy },
                    folder::BATCHES
                ),
            })?;
        }
    }
    check_figures(&summary, &history).map_err(wrong)?;
    Ok((summary, history))
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= ROUNDING * one.abs().max(other.abs()) || one == other
}

/// Whether an epoch's loss and accuracy are those of its batches; else whether it is the loss that is not.
fn check_epoch(batches: &[BatchRecord], (loss, accuracy): (f64, f64), weighted: bool) -> std::result::Result<(), bool> {
    let (mean_loss, share) = mean_loss_and_accuracy(batches);
    let losses = batches.iter().map(|batch| f64::from(batch.loss()));
    let (least, most) = losses.fold((f64::INFINITY, 0.0_f64), |(least, most), loss| (least.min(loss), most.max(loss)));
    // The smallest losses are 0 in f32.
    let small = f64::from(f32::MIN_POSITIVE);
    let between = loss >= least * (1.0 - ROUNDING) - small && loss <= most * (1.0 + ROUNDING) + small;
    // Samples' weights are in no file.
    if !between || !(weighted || close(loss, mean_loss) || (loss - mean_loss).abs() <= small) {
        return Err(true);
    }
    if close(accuracy, share) { Ok(()) } else { Err(false) }
}

/// What the summary says of settings and model, as far as a page repeats it.
fn check_settings(summary: &Summary) -> std::result::Result<(), String> {
    let Summary { recipe, model, data, .. } = summary;
    let numbers = [Some(recipe.lr), recipe.clip_norm, Some(recipe.label_smoothing)];
    let weights = recipe.class_weights.iter().flatten();
    if numbers.iter().flatten().chain(weights).any(|number| !number.is_finite() || *number < 0.0) {
        return Err("recipe: lr, clip_norm, label_smoothing or class_weights is no number of at least 0".into());
    }
    let specs: LayerSpecs = model.layers.join(",").parse().map_err(|error| format!("model: {error}"))?;
    // The recipe has them as they were typed.
    if recipe.layers.parse().is_ok_and(|asked: LayerSpecs| asked != specs) || specs.0.len() != model.layers.len() {
        return Err(format!("model: its layers, {specs}, are not those of the recipe"));
    }
    let (mut width, mut parameters) = (data.features, Some(0_usize));
    for spec in &specs.0 {
        if let LayerSpec::Linear { out_features } = spec {
            let more = width.checked_add(1).and_then(|inputs| inputs.checked_mul(*out_features));
            parameters = parameters.zip(more).and_then(|(sum, more)| sum.checked_add(more));
            width = *out_features;
        }
    }
    if parameters != Some(model.parameters) {
        let features = data.features;
        return Err(format!("model: {} parameters; {specs} has others for {features} features", model.parameters));
    }
    if let Some(counts) = &data.class_samples {
        let sum = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
        // Where there are no classes, there is nothing to count.
        let expected = if data.classes == 0 { 0 } else { data.train_samples };
        if counts.len() != data.classes || sum != Some(expected) {
            return Err("data: class_samples are not those of as many classes and train_samples".into());
        }
    }
    let Seconds { load, train, validate, total } = summary.seconds;
    if [load, train, validate, total].iter().any(|seconds| !(0.0..=MAX_SECONDS).contains(seconds)) {
        return Err(format!("seconds: expected numbers from 0 to {MAX_SECONDS}"));
    }
    Ok(())
}

/// What the summary derives from the epochs.
fn check_figures(summary: &Summary, history: &History) -> std::result::Result<(), String> {
    let (last, best) = Summary::of_epochs(history);
    if summary.last != last {
        return Err(format!("final is not what the last row of {} says", folder::EPOCHS));
    }
    if summary.best != best {
        return Err(format!("best is not the row of the lowest val_loss in {}", folder::EPOCHS));
    }
    let watched = history.last().and_then(|epoch| epoch.watch);
    if watched.zip(summary.watch).is_some_and(|(row, found)| row != found) {
        return Err(format!("watch is not what the last row of {} says", folder::EPOCHS));
    }
    let Seconds { train, validate, .. } = summary.seconds;
    if !close(train, history.train_seconds()) || !close(validate, history.val_seconds()) {
        return Err(format!("seconds: train or validate is not the sum of the rows of {}", folder::EPOCHS));
    }
    let speed = Summary::speed(summary.train_batches, train);
    match (summary.batches_per_second, speed) {
        (None, None) => Ok(()),
        (Some(found), Some(speed)) if close(found, speed) => Ok(()),
        _ => Err("batches_per_second is not train_batches in seconds.train".into()),
    }
}

/// How many rows the files have, and how many samples each batch.
struct Shape {
    epochs: usize,
    train: Phase,
    val: Phase,
}

struct Phase {
    name: &'static str,
    /// In each epoch.
    batches: usize,
    batch_size: usize,
    /// Of the last batch of an epoch.
    last_batch: usize,
}

impl Shape {
    fn of(summary: &Summary) -> std::result::Result<Shape, String> {
        let batch_size = summary.recipe.batch_size;
        let phase = |name, samples: usize, total: usize| {
            if samples == 0 || batch_size == 0 {
                return Err(format!("{name} samples or batch_size are 0; expected at least 1"));
            }
            if u32::try_from(samples).is_err() {
                return Err(format!("{samples} {name} samples; expected at most {}", u32::MAX));
            }
            let batches = samples.div_ceil(batch_size);
            if batches.checked_mul(summary.epochs) != Some(total) {
                return Err(format!(
                    "{total} {name} batches in {} epochs; expected {batches} in each for {samples} samples",
                    summary.epochs
                ));
            }
            Ok(Phase { name, batches, batch_size, last_batch: samples - (batches - 1) * batch_size })
        };
        Ok(Shape {
            epochs: summary.epochs,
            train: phase("train", summary.data.train_samples, summary.train_batches)?,
            val: phase("val", summary.data.val_samples, summary.val_batches)?,
        })
    }
}

/// Reads `summary.json` alone.
///
/// # Errors
/// As [`read`].
pub fn read_summary(folder: &Path) -> Result<Summary> {
    let path = folder.join(folder::SUMMARY);
    let mut text = Vec::new();
    let file = open(&path)?;
    file.take(MAX_SUMMARY_BYTES + 1).read_to_end(&mut text).map_err(|source| cannot_read(&path, source))?;
    let wrong = |line: usize, problem: String| Error::RunFile { path: path.clone(), line: line as u64, problem };
    if text.len() as u64 > MAX_SUMMARY_BYTES {
        return Err(wrong(1, format!("is longer than {MAX_SUMMARY_BYTES} bytes; this is no summary of flatnet's")));
    }
    serde_json::from_slice(&text)
        .map_err(|error| wrong(error.line(), format!("is not a summary as flatnet writes it: {error}")))
}

/// The activation layers of a run's network: their indices and widths.
fn activations(summary: &Summary) -> Vec<(usize, usize)> {
    let (mut width, mut found) = (summary.data.features, Vec::new());
    // That they can be read, `check_settings` has seen.
    let specs: LayerSpecs = summary.model.layers.join(",").parse().unwrap_or_else(|_| LayerSpecs(Vec::new()));
    for (index, spec) in specs.0.iter().enumerate() {
        match spec {
            LayerSpec::Linear { out_features } => width = *out_features,
            LayerSpec::Activation { .. } => found.push((index, width)),
            LayerSpec::Dropout { .. } => {}
        }
    }
    found
}

const BATCH_COLUMNS: [&str; 5] = ["phase", "epoch", "batch", "loss", "accuracy"];

fn read_epochs(path: &Path, epochs: usize, activations: &[(usize, usize)]) -> Result<Vec<EpochRecord>> {
    let mut rows = Rows::open(path, &EPOCH_COLUMNS)?;
    let watched = WatchPlaces::among(&rows.text, activations);
    let mut records = Vec::new();
    for epoch in 1..=epochs {
        let row = rows.next(&format!("epoch {epoch} of the {epochs} of the summary"))?;
        row.expect(0, &epoch.to_string())?;
        records.push(EpochRecord {
            train_loss: row.at_least_0(1)?,
            train_accuracy: row.share(2)?,
            val_loss: row.at_least_0(3)?,
            val_accuracy: row.share(4)?,
            train_seconds: row.seconds(5)?,
            val_seconds: row.seconds(6)?,
            watch: watched.as_ref().map(|places| places.read(&row)).transpose()?.flatten(),
        });
    }
    rows.end()?;
    Ok(records)
}

fn read_batches(path: &Path, shape: &Shape, history: &mut History) -> Result<()> {
    let mut rows = Rows::open(path, &BATCH_COLUMNS)?;
    for epoch in 1..=shape.epochs {
        let epoch_text = epoch.to_string();
        for (phase, records) in [(&shape.train, &mut history.train_batches), (&shape.val, &mut history.val_batches)] {
            for batch in 1..=phase.batches {
                let row = rows.next("another batch, as the summary has it")?;
                row.expect(0, phase.name)?;
                row.expect(1, &epoch_text)?;
                row.number(2).and_then(|found| row.require(2, found == batch as f64, &batch.to_string()))?;
                let samples = if batch == phase.batches { phase.last_batch } else { phase.batch_size };
                let loss = row.at_least_0(3)? as f32;
                row.require(3, loss.is_finite(), "a loss")?;
                let correct = row.share(4)? * samples as f64;
                let whole = (correct - correct.round()).abs() < 1e-6 * samples as f64;
                row.require(4, whole, &format!("a whole number of {samples} images"))?;
                records.push(BatchRecord::from_mean(loss, correct.round() as u32, samples as u32));
            }
        }
    }
    rows.end()
}

/// In which columns stands what was watched.
struct WatchPlaces {
    figures: [usize; WATCH_COLUMNS.len()],
    /// Each column and its layer, no unit of which is dead.
    dead: Vec<(usize, DeadUnits)>,
}

impl WatchPlaces {
    /// Where the names of the columns have all of its figures. Those of layers that the network has not are passed over.
    fn among(names: &str, activations: &[(usize, usize)]) -> Option<WatchPlaces> {
        let place = |name: &str| names.split(',').position(|found| found == name);
        let mut figures = [0; WATCH_COLUMNS.len()];
        for (figure, name) in figures.iter_mut().zip(WATCH_COLUMNS) {
            *figure = place(name)?;
        }
        let dead = activations.iter().filter_map(|(layer, units)| {
            Some((place(&format!("{DEAD_COLUMN}{layer}"))?, DeadUnits { layer: *layer, dead: 0, units: *units }))
        });
        Some(WatchPlaces { figures, dead: dead.collect() })
    }

    /// `None` where the epoch was not watched.
    fn read(&self, row: &Row<'_>) -> Result<Option<Watch>> {
        let cell = |column: usize| row.text.split(',').nth(column).unwrap_or_default();
        let figure = |index: usize, most: f64| {
            let (name, text) = (WATCH_COLUMNS[index], cell(self.figures[index]));
            let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
            match number {
                None if text.is_empty() => Ok(None),
                None => Err(row.wrong(name, text, &format!("a number from 0 to {most:e}, or nothing"))),
                Some(number) => Ok(Some(number)),
            }
        };
        // Read as what they were written as, since f64 in between might round twice.
        let single = |index: usize| {
            let number = figure(index, f64::from(f32::MAX))?;
            Ok(number.and_then(|_| cell(self.figures[index]).parse::<f32>().ok()))
        };
        let (share, norm, lr, largest) = (figure(0, 1.0)?, figure(1, f64::MAX)?, single(2)?, single(3)?);
        let (Some(lr), Some(largest)) = (lr, largest) else { return Ok(None) };
        let mut dead = Vec::with_capacity(self.dead.len());
        for (column, layer) in &self.dead {
            let text = cell(*column);
            let count = text.parse().ok().filter(|dead| *dead <= layer.units);
            let wrong = || row.wrong(&format!("{DEAD_COLUMN}{}", layer.layer), text, &format!("0 to {}", layer.units));
            dead.push(DeadUnits { dead: count.ok_or_else(wrong)?, ..*layer });
        }
        Ok(Some(Watch::new(share, norm, lr, largest, dead)))
    }
}

/// A CSV file of flatnet's, row by row: no quotes, and the known columns first.
struct Rows<'a> {
    path: &'a Path,
    columns: &'static [&'static str],
    file: BufReader<File>,
    text: String,
    line: u64,
}

/// One row.
struct Row<'a> {
    path: &'a Path,
    columns: &'static [&'static str],
    cells: [&'a str; 7],
    /// All of it.
    text: &'a str,
    line: u64,
}

impl<'a> Rows<'a> {
    fn open(path: &'a Path, columns: &'static [&'static str]) -> Result<Rows<'a>> {
        let mut rows = Rows { path, columns, file: open(path)?, text: String::new(), line: 0 };
        rows.read_line()?;
        let found: Vec<&str> = rows.text.split(',').collect();
        if !found.starts_with(columns) {
            return Err(rows.wrong(format!("expected the columns {}", columns.join(","))));
        }
        Ok(rows)
    }

    /// Reads the next line; an empty text at the end of the file.
    fn read_line(&mut self) -> Result<()> {
        self.text.clear();
        self.line += 1;
        let read = self.file.by_ref().take(MAX_ROW_BYTES).read_line(&mut self.text);
        match read {
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(self.wrong("is not text".into())),
            Err(source) => Err(cannot_read(self.path, source)),
            Ok(bytes) if bytes as u64 == MAX_ROW_BYTES => Err(self.wrong("is too long for a row of a run".into())),
            Ok(_) => {
                self.text.truncate(self.text.trim_end_matches(['\n', '\r']).len());
                Ok(())
            }
        }
    }

    fn next(&mut self, expected: &str) -> Result<Row<'_>> {
        self.read_line()?;
        if self.text.is_empty() {
            return Err(self.wrong(format!("the file ends here; expected {expected}")));
        }
        let mut cells = [""; 7];
        let found = self.text.split(',').count();
        if found < self.columns.len() {
            return Err(self.wrong(format!("{found} columns; expected {}", self.columns.join(","))));
        }
        for (cell, text) in cells.iter_mut().zip(self.text.split(',')) {
            *cell = text;
        }
        Ok(Row { path: self.path, columns: self.columns, cells, text: &self.text, line: self.line })
    }

    fn end(&mut self) -> Result<()> {
        self.read_line()?;
        if self.text.is_empty() { Ok(()) } else { Err(self.wrong("more rows than the summary has epochs".into())) }
    }

    fn wrong(&self, problem: String) -> Error {
        Error::RunFile { path: self.path.to_path_buf(), line: self.line, problem }
    }
}

impl Row<'_> {
    fn expect(&self, column: usize, expected: &str) -> Result<()> {
        self.require(column, self.cells[column] == expected, expected)
    }

    fn require(&self, column: usize, holds: bool, expected: &str) -> Result<()> {
        if holds {
            return Ok(());
        }
        Err(self.wrong(self.columns[column], self.cells[column], expected))
    }

    fn wrong(&self, column: &str, cell: &str, expected: &str) -> Error {
        // A hostile cell may be long.
        let found: String = cell.chars().take(40).collect();
        let problem = format!("{column} is {found:?}; expected {expected}");
        Error::RunFile { path: self.path.to_path_buf(), line: self.line, problem }
    }

    fn number(&self, column: usize) -> Result<f64> {
        let number = self.cells[column].parse().ok().filter(|number: &f64| number.is_finite());
        self.require(column, number.is_some(), "a number")?;
        Ok(number.unwrap_or_default())
    }

    fn at_least_0(&self, column: usize) -> Result<f64> {
        let number = self.number(column)?;
        self.require(column, number >= 0.0 && number.is_sign_positive(), "a number of at least 0")?;
        Ok(number)
    }

    fn seconds(&self, column: usize) -> Result<f64> {
        let number = self.at_least_0(column)?;
        self.require(column, number <= MAX_SECONDS, &format!("seconds, at most {MAX_SECONDS}"))?;
        Ok(number)
    }

    fn share(&self, column: usize) -> Result<f64> {
        let number = self.at_least_0(column)?;
        self.require(column, number <= 1.0, "a number from 0 to 1")?;
        Ok(number)
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    match regular_file::open(path).map_err(|source| cannot_read(path, source))? {
        Some((file, _)) => Ok(BufReader::new(file)),
        None => Err(Error::RunFolder { path: path.to_path_buf(), problem: "is not a regular file".into() }),
    }
}

/// A missing file is told as what it means for the folder.
fn cannot_read(path: &Path, source: io::Error) -> Error {
    let folder: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let problem = match source.kind() {
        ErrorKind::NotADirectory => "is not a folder; give the folder of a run, such as runs/1".into(),
        ErrorKind::NotFound if !folder.is_dir() => "no such folder; give the folder of a run, such as runs/1".into(),
        ErrorKind::NotFound => format!("holds no complete run: {name} is missing; flatnet train writes it"),
        _ => return Error::Io { path: path.to_path_buf(), action: "read", source },
    };
    Error::RunFolder { path: folder, problem }
}
