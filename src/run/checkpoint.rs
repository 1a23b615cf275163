//! A checkpoint: all that a run needs to go on as if it had never ended, in one safetensors file that is written whole or not
//! at all and read without trust. It knows the file's layout, not when one is written or where it is kept.
//!
//! Tensors: `model.N.weight`, ... (where training stands), `best.N.weight`, ... (the best epoch's), `whole.N.weight`, ...
//! (within an epoch: those of the last whole one), `optimizer.K.N.weight`, ... (its slots), and under `history.` a tensor for
//! each figure of epochs and batches. The metadata holds settings and counts, and a digest of the whole file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};

use super::{DataSummary, Recipe};
use crate::data;
use crate::error::{Error, Result};
use crate::kernels::AlignedVec;
use crate::nn::{LayerSpecs, Sequential};
use crate::tensor_file::{self, Refuse, TensorFile};
use crate::train::{BatchRecord, BestParameters, EpochRecord, History, Thinning, TrainState};
use crate::whole_file::Draft;

/// Names of all tensors of a network of a thousand layers, several times over.
const MAX_HEADER_BYTES: u64 = 1 << 23;
const FORMAT: &str = "flatnet checkpoint 1";
/// What stands for the digest while the file is digested.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Three hundred years.
const MAX_SECONDS: f64 = 1e10;

/// Each figure of an epoch: the name of its tensor, how it is read and set.
type EpochColumn = (&'static str, fn(&EpochRecord) -> f64, fn(&mut EpochRecord, f64));
const EPOCH_COLUMNS: [EpochColumn; 6] = [
    ("train_loss", |epoch| epoch.train_loss, |epoch, value| epoch.train_loss = value),
    ("train_accuracy", |epoch| epoch.train_accuracy, |epoch, value| epoch.train_accuracy = value),
    ("val_loss", |epoch| epoch.val_loss, |epoch, value| epoch.val_loss = value),
    ("val_accuracy", |epoch| epoch.val_accuracy, |epoch, value| epoch.val_accuracy = value),
    ("train_seconds", |epoch| epoch.train_seconds, |epoch, value| epoch.train_seconds = value),
    ("val_seconds", |epoch| epoch.val_seconds, |epoch, value| epoch.val_seconds = value),
];
const NO_EPOCH: EpochRecord = EpochRecord {
    train_loss: 0.0,
    train_accuracy: 0.0,
    val_loss: 0.0,
    val_accuracy: 0.0,
    train_seconds: 0.0,
    val_seconds: 0.0,
    watch: None,
};

/// What a checkpoint is made of.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The run's settings.
    pub recipe: &'a Recipe,
    /// What it trains on.
    pub data: &'a DataSummary,
    /// The network as it is.
    pub model: &'a Sequential,
    /// Where training stands.
    pub state: &'a TrainState,
    /// What has become of the records in `state`.
    pub thinning: &'a Thinning,
    /// Rows of all batches of whole epochs as `batches.csv` has them, where the records in `state` are fewer.
    pub rows: Option<&'a Path>,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub struct Checkpoint {
    /// The run's settings.
    pub recipe: Recipe,
    /// What it was trained on.
    pub data: DataSummary,
    /// The network as it was.
    pub model: Sequential,
    /// Where training stood.
    pub state: TrainState,
    /// What had become of the records in `state`.
    pub thinning: Thinning,
    /// `batches.csv` as far as it went, where the records in `state` are fewer than its rows.
    pub rows: Option<Vec<u8>>,
}

type Fill<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// The tensors of a file in order, each with what writes its values.
#[derive(Default)]
struct Tensors<'a>(Vec<(String, Dtype, Vec<usize>, Fill<'a>)>);

impl<'a> Tensors<'a> {
    fn add(&mut self, name: impl Into<String>, dtype: Dtype, shape: &[usize], fill: Fill<'a>) {
        self.0.push((name.into(), dtype, shape.to_vec(), fill));
    }

    /// The parameters of `model`, or what another buffer has in their places.
    fn parameters(&mut self, of: &str, model: &'a Sequential, buffer: &'a [f32]) {
        for entry in model.entries() {
            let fill = |out: &mut dyn Write| tensor_file::write_f32(out, &entry.to_rows(buffer));
            self.add(format!("{of}.{}", entry.name), Dtype::F32, &entry.shape, Box::new(fill));
        }
    }

    fn bytes(&mut self, name: &str, bytes: Vec<u8>) {
        self.add(name, Dtype::U8, &[bytes.len()], Box::new(move |out: &mut dyn Write| out.write_all(&bytes)));
    }

    fn column<T>(&mut self, name: String, records: &'a [T], value: impl Fn(&T) -> f64 + 'a) {
        let fill = move |out: &mut dyn Write| {
            records.iter().try_for_each(|record| out.write_all(&value(record).to_le_bytes()))
        };
        self.add(name, Dtype::F64, &[records.len()], Box::new(fill));
    }

    fn counts<T>(&mut self, name: String, records: &'a [T], value: impl Fn(&T) -> u32 + 'a) {
        let fill = move |out: &mut dyn Write| {
            records.iter().try_for_each(|record| out.write_all(&value(record).to_le_bytes()))
        };
        self.add(name, Dtype::U32, &[records.len()], Box::new(fill));
    }
}

/// Writes a checkpoint to `path`, where nothing but an older one of the same moment may stand. It is on the disk when this
/// returns.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, moment: &Moment<'_>) -> Result<()> {
    let Moment { model, state, .. } = moment;
    let failed = |source| Error::Io { path: path.to_path_buf(), action: "write", source };
    let mut tensors = Tensors::default();
    tensors.parameters("model", model, model.buffer());
    for (slot, values) in state.optimizer.slots.iter().enumerate() {
        tensors.parameters(&format!("optimizer.{slot}"), model, values);
    }
    if let Some(best) = &state.best {
        tensors.parameters("best", model, &best.values);
    }
    if let Some(whole) = &state.whole {
        tensors.parameters("whole", model, whole);
    }
    for (name, value, _) in EPOCH_COLUMNS {
        tensors.column(format!("history.epochs.{name}"), &state.history.epochs, value);
    }
    let watched = watched(&state.history.epochs).map_err(failed)?;
    tensors.bytes("history.epochs.watch", watched);
    let observed = serde_json::to_vec(&state.observed).map_err(|error| failed(error.into()))?;
    if state.batch > 0 {
        tensors.bytes("observed", observed);
    }
    for (phase, records) in [("train", &state.history.train_batches), ("val", &state.history.val_batches)] {
        let name = |figure: &str| format!("history.{phase}_batches.{figure}");
        tensors.column(name("loss_sum"), records, |record| record.loss_sum);
        tensors.column(name("weight"), records, |record| record.weight);
        tensors.counts(name("correct"), records, |record| record.correct);
        tensors.counts(name("samples"), records, |record| record.samples);
    }
    let failed = |source| Error::Io { path: path.to_path_buf(), action: "write", source };
    if let Some(rows) = moment.rows {
        let bytes = rows.metadata().map_err(failed)?.len();
        let fill = move |out: &mut dyn Write| match io::copy(&mut File::open(rows)?, out)? {
            copied if copied == bytes => Ok(()),
            _ => Err(io::Error::other("the rows of batches changed meanwhile")),
        };
        tensors.add("history.rows", Dtype::U8, &[bytes as usize], Box::new(fill));
    }
    let strings = strings(moment).map_err(failed)?;
    let outline = tensors.0.iter().map(|(name, dtype, shape, _)| (name.clone(), *dtype, shape.clone()));
    let header = tensor_file::header(strings, outline).map_err(failed)?;

    let mut draft = Draft::start(path)?;
    let mut digest = Sha256::new();
    draft.add(|out| {
        let mut out = Digesting { out, digest: &mut digest };
        out.write_all(&header)?;
        tensors.0.iter().try_for_each(|(.., fill)| fill(&mut out))
    })?;
    let digest = data::hex(&digest.finalize());
    // Always there: `strings` has put it in.
    let at = find(&header, NO_DIGEST.as_bytes()).unwrap_or_default();
    draft.put(at as u64, digest.as_bytes())?;
    draft.complete()?.publish_for_good()
}

/// What was watched in each epoch, as a line of JSON.
fn watched(epochs: &[EpochRecord]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for epoch in epochs {
        serde_json::to_writer(&mut lines, &epoch.watch)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Writes and digests.
struct Digesting<'a> {
    out: &'a mut dyn Write,
    digest: &'a mut Sha256,
}

impl Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

fn strings(moment: &Moment<'_>) -> io::Result<BTreeMap<&'static str, String>> {
    let Moment { recipe, data, state, thinning, .. } = moment;
    let mut strings = BTreeMap::from([
        ("format", FORMAT.to_string()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("sha256", NO_DIGEST.into()),
        ("recipe", serde_json::to_string(recipe)?),
        ("data", serde_json::to_string(data)?),
        ("epoch", state.epoch.to_string()),
        ("batch", state.batch.to_string()),
        ("batch_seconds", state.batch_seconds.to_string()),
        ("merged", thinning.merged().to_string()),
    ]);
    strings.extend(state.best.as_ref().map(|best| ("best_epoch", best.epoch.to_string())));
    Ok(strings)
}

/// Reads a checkpoint. The file's digest must be that of its bytes, its sizes those that follow from its settings, and its
/// counts those that follow from where it stands; all of it is compared before anything of such a size is allocated.
///
/// # Errors
/// [`Error::Model`] that says what is wrong with the file; where it cannot be read.
pub fn read(path: &Path) -> Result<Checkpoint> {
    let refuse = Refuse { path };
    let (mut file, metadata) = TensorFile::open(path, "checkpoint", MAX_HEADER_BYTES)?;
    let none = HashMap::new();
    let strings = Strings { strings: metadata.metadata().as_ref().unwrap_or(&none), refuse: &refuse };
    if strings.get("format").ok().map(String::as_str) != Some(FORMAT) {
        let problem =
            "is no checkpoint of flatnet's, or one of another version; give a file of a run's folder checkpoints";
        return Err(refuse.because("file", problem));
    }
    let digest: String = strings.parse("sha256")?;
    if digest.len() != NO_DIGEST.len() || data::hex(&file.sha256_without(&digest, NO_DIGEST)?) != digest {
        return Err(
            refuse.because("file", "is damaged: its bytes are not those of its SHA-256; take another checkpoint")
        );
    }
    let recipe: Recipe = strings.json("recipe")?;
    let data: DataSummary = strings.json("data")?;
    let wrong = |place: &str, problem: String| refuse.because(place, problem);
    let trainer = recipe.trainer().map_err(|error| wrong("metadata recipe", error.to_string()))?;
    let specs: LayerSpecs = recipe.layers.parse().map_err(|error| wrong("metadata recipe", format!("{error}")))?;
    specs.check_depth().map_err(|error| wrong("metadata recipe", error.to_string()))?;
    let (epoch, batch): (usize, usize) = (strings.parse("epoch")?, strings.parse("batch")?);
    let merged: usize = strings.parse("merged")?;
    let batch_seconds: f64 = strings.parse("batch_seconds")?;
    let batches = |samples: usize| samples.div_ceil(recipe.batch_size);
    let (train, val) = (batches(data.train_samples), batches(data.val_samples));
    if batch > train || merged == 0 || !(0.0..=MAX_SECONDS).contains(&batch_seconds) {
        let problem = format!("{batch} batches of {train}, {merged} merged, {batch_seconds} seconds: expected others");
        return Err(wrong("metadata", problem));
    }

    let infos = metadata.tensors();
    let mut tensors = Read { file: &mut file, infos: &infos, used: 0, refuse: &refuse };
    tensors.check_parameters("model", &specs, &data)?;
    // Now it is known that so many numbers are there.
    let mut model = Sequential::zeros(data.features, specs.clone(), recipe.relu_grad, recipe.kernel)?;
    let mut state = TrainState::new(&model, trainer.optimizer());
    let mut buffer = AlignedVec::zeros(model.buffer_len());
    tensors.parameters("model", &model, &specs, &data, &mut buffer)?;
    for (slot, values) in state.optimizer.slots.iter_mut().enumerate() {
        tensors.parameters(&format!("optimizer.{slot}"), &model, &specs, &data, values)?;
    }
    let mut others = |of: &str| -> Result<AlignedVec> {
        let mut values = AlignedVec::zeros(model.buffer_len());
        tensors.parameters(of, &model, &specs, &data, &mut values)?;
        Ok(values)
    };
    if strings.strings.contains_key("best_epoch") {
        let best: usize = strings.parse("best_epoch")?;
        if !(1..=epoch).contains(&best) {
            return Err(wrong("metadata best_epoch", format!("is {best}; expected 1 to {epoch}")));
        }
        state.best = Some(BestParameters { epoch: best, values: others("best")? });
    }
    state.whole = if batch > 0 { Some(others("whole")?) } else { None };
    model.buffer_mut().copy_from_slice(&buffer);

    (state.epoch, state.batch, state.batch_seconds) = (epoch, batch, batch_seconds);
    let steps = epoch.checked_mul(train).and_then(|steps| steps.checked_add(batch));
    state.optimizer.step = steps.ok_or_else(|| wrong("metadata epoch", format!("is {epoch}; expected fewer")))? as u64;
    let records = |batches: usize, more: usize| {
        epoch.checked_mul(batches.div_ceil(merged)).and_then(|records| records.checked_add(more))
    };
    state.history = History {
        epochs: tensors.epochs(epoch)?,
        train_batches: tensors.batches("train", records(train, batch))?,
        val_batches: tensors.batches("val", records(val, 0))?,
    };
    let rows = tensors.rows(merged > 1)?;
    if batch > 0 {
        const NAME: &str = "observed";
        let observed = serde_json::from_slice(&tensors.bytes(NAME)?);
        state.observed = observed.map_err(|error| wrong(NAME, format!("cannot be read: {error}")))?;
    }
    if tensors.used != infos.len() {
        return Err(wrong("tensors", format!("{} of them, expected {}", infos.len(), tensors.used)));
    }
    Ok(Checkpoint { thinning: Thinning::default().with_merged(merged), recipe, data, model, state, rows })
}

/// The metadata's strings.
struct Strings<'a> {
    strings: &'a HashMap<String, String>,
    refuse: &'a Refuse<'a>,
}

impl Strings<'_> {
    fn get(&self, name: &str) -> Result<&String> {
        let missing = || self.refuse.because(format!("metadata {name}"), "is missing");
        self.strings.get(name).ok_or_else(missing)
    }

    fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let text = self.get(name)?;
        let start: String = text.chars().take(60).collect();
        text.parse()
            .map_err(|_| self.refuse.because(format!("metadata {name}"), format!("is {start:?}; expected a number")))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_str(self.get(name)?)
            .map_err(|error| self.refuse.because(format!("metadata {name}"), format!("cannot be read: {error}")))
    }
}

/// The tensors of a file, as they are taken from it.
struct Read<'a> {
    file: &'a mut TensorFile,
    infos: &'a HashMap<String, &'a TensorInfo>,
    /// How many have been taken.
    used: usize,
    refuse: &'a Refuse<'a>,
}

impl<'a> Read<'a> {
    /// An error unless the tensor is there, of this type and shape.
    fn info(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a TensorInfo> {
        let wrong = |problem: String| self.refuse.because(format!("tensor {name}"), problem);
        let info = *self.infos.get(name).ok_or_else(|| wrong("is missing".into()))?;
        if info.dtype != dtype || info.shape != shape {
            let problem = format!("is {:?} of {:?}; expected {dtype:?} of {shape:?}", info.dtype, info.shape);
            return Err(wrong(problem));
        }
        Ok(info)
    }

    /// That all parameters are there, in the shapes that follow from the layers.
    fn check_parameters(&self, of: &str, specs: &LayerSpecs, data: &DataSummary) -> Result<()> {
        let mut width = data.features;
        for (position, out_features) in specs.linears() {
            self.info(&format!("{of}.{position}.weight"), Dtype::F32, &[out_features, width])?;
            self.info(&format!("{of}.{position}.bias"), Dtype::F32, &[out_features])?;
            width = out_features;
        }
        Ok(())
    }

    fn parameters(
        &mut self,
        of: &str,
        model: &Sequential,
        specs: &LayerSpecs,
        data: &DataSummary,
        buffer: &mut [f32],
    ) -> Result<()> {
        self.check_parameters(of, specs, data)?;
        for entry in model.entries() {
            let info = self.info(&format!("{of}.{}", entry.name), Dtype::F32, &entry.shape)?;
            entry.write_rows(&self.file.read_f32(info)?, buffer);
            self.used += 1;
        }
        Ok(())
    }

    fn column(&mut self, name: &str, records: usize) -> Result<Vec<f64>> {
        let info = self.info(name, Dtype::F64, &[records])?;
        self.used += 1;
        let values = self.file.read_f64(info)?;
        match values.iter().find(|value| !(0.0..f64::INFINITY).contains(*value)) {
            None => Ok(values),
            Some(value) => {
                let problem = format!("has the value {value}; expected numbers of at least 0");
                Err(self.refuse.because(format!("tensor {name}"), problem))
            }
        }
    }

    fn epochs(&mut self, epochs: usize) -> Result<Vec<EpochRecord>> {
        let mut records = Vec::new();
        for (name, _, set) in EPOCH_COLUMNS {
            let values = self.column(&format!("history.epochs.{name}"), epochs)?;
            records.resize(values.len(), NO_EPOCH);
            records.iter_mut().zip(values).for_each(|(record, value)| set(record, value));
        }
        let possible = |record: &EpochRecord| {
            record.train_accuracy <= 1.0
                && record.val_accuracy <= 1.0
                && record.train_seconds <= MAX_SECONDS
                && record.val_seconds <= MAX_SECONDS
        };
        if !records.iter().all(possible) {
            return Err(self.refuse.because("tensors history.epochs", "have a figure that no epoch can have"));
        }
        const WATCHED: &str = "history.epochs.watch";
        let lines = self.bytes(WATCHED)?;
        let mut lines = lines.split(|byte| *byte == b'\n');
        for record in &mut records {
            let line = lines.next().unwrap_or_default();
            record.watch = serde_json::from_slice(line).map_err(|error| {
                self.refuse.because(format!("tensor {WATCHED}"), format!("cannot be read: {error}"))
            })?;
        }
        Ok(records)
    }

    fn batches(&mut self, phase: &str, records: Option<usize>) -> Result<Vec<BatchRecord>> {
        let too_many = || self.refuse.because("metadata epoch", "is more than any run has");
        let records = records.ok_or_else(too_many)?;
        let name = |figure: &str| format!("history.{phase}_batches.{figure}");
        let (loss_sums, weights) = (self.column(&name("loss_sum"), records)?, self.column(&name("weight"), records)?);
        let mut counts = |figure: &str| -> Result<Vec<u32>> {
            let info = self.info(&name(figure), Dtype::U32, &[records])?;
            self.used += 1;
            self.file.read_u32(info)
        };
        let (correct, samples) = (counts("correct")?, counts("samples")?);
        if correct.iter().zip(&samples).any(|(correct, samples)| correct > samples || *samples == 0) {
            return Err(self.refuse.because(format!("tensor {}", name("correct")), "has more than there are samples"));
        }
        let all = loss_sums.into_iter().zip(weights).zip(correct.into_iter().zip(samples));
        Ok(all
            .map(|((loss_sum, weight), (correct, samples))| BatchRecord { loss_sum, weight, correct, samples })
            .collect())
    }

    fn rows(&mut self, expected: bool) -> Result<Option<Vec<u8>>> {
        if expected { self.bytes("history.rows").map(Some) } else { Ok(None) }
    }

    /// As many as there are.
    fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let count = self.infos.get(name).map_or(0, |info| info.shape.iter().product());
        let info = self.info(name, Dtype::U8, &[count])?;
        self.used += 1;
        self.file.read_u8(info)
    }
}
