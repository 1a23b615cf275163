//! A run's files as they come: batches while it trains, the model and all others at its end. It knows the order in which
//! they are written, and what is kept if one of them cannot be.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Claim, SampledRows, Summary, csv, folder, resolved};
use crate::data::Preparation;
use crate::error::{Error, Result};
use crate::model_file::{self, ModelMeta};
use crate::nn::Sequential;
use crate::train::{BatchRecord, History};
use crate::whole_file::Staged;

/// Writes a run into the folder that it has claimed.
#[derive(Debug)]
pub struct Writer {
    claim: Claim,
    staging: PathBuf,
    batches: csv::Batches<BufWriter<File>>,
    /// Why `batches.csv` ends early. The training goes on: its model matters more.
    failure: Option<Error>,
}

/// What a run's files say beside its figures.
#[derive(Debug)]
pub struct Saved<'a> {
    /// What was trained.
    pub model: &'a Sequential,
    /// What the best epoch left.
    pub best: &'a Sequential,
    /// Every epoch. Its batches have been written.
    pub history: &'a History,
    /// Which rows took part.
    pub rows: &'a SampledRows,
    /// All figures.
    pub summary: &'a Summary,
    /// Of a table: how its rows become samples.
    pub preparation: Option<&'a Preparation>,
    /// What classes are called, where they have names.
    pub class_names: &'a [String],
}

impl Writer {
    /// Begins the files of a run.
    ///
    /// # Errors
    /// [`Error::RunFolder`] or [`Error::Io`] where the folder cannot be written.
    pub fn new(claim: Claim) -> Result<Writer> {
        let staging = claim.staging()?;
        let batches = begin_batches(&claim, &staging)?;
        Ok(Writer { claim, staging, batches, failure: None })
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// The claim on the folder.
    pub fn claim(&mut self) -> &mut Claim {
        &mut self.claim
    }

    /// Goes on where a run had stopped: `history` has a record of each batch of its whole epochs, else `rows` are all rows.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn resume(&mut self, history: &History, rows: Option<&[u8]>, batches: [usize; 2]) -> Result<()> {
        let failed = |claim: &Claim, source| written_as(claim, folder::BATCHES, source);
        if let Some(rows) = rows {
            return self.batches.replace(rows).map_err(|source| failed(&self.claim, source));
        }
        let [train, val] = batches;
        for epoch in 0..history.epochs.len() {
            let (train, val) = (epoch * train..(epoch + 1) * train, epoch * val..(epoch + 1) * val);
            let added = self.batches.add(epoch + 1, &history.train_batches[train], &history.val_batches[val]);
            added.map_err(|source| failed(&self.claim, source))?;
        }
        Ok(())
    }

    /// All rows of batches so far, as a file that stays as it is until the next epoch is added.
    ///
    /// # Errors
    /// Where they could not be written.
    pub fn rows(&mut self) -> Result<PathBuf> {
        let flushed =
            if self.failure.is_some() { Err(std::io::ErrorKind::Other.into()) } else { self.batches.finish() };
        flushed.map_err(|source| written_as(&self.claim, folder::BATCHES, source))?;
        Ok(self.staging.join(folder::BATCHES))
    }

    /// Adds the batches of an epoch, counted from 1, in the order they ran. A failure is told by [`save`](Self::save).
    pub fn epoch(&mut self, epoch: usize, train: &[BatchRecord], val: &[BatchRecord]) {
        if self.failure.is_none()
            && let Err(source) = self.batches.add(epoch, train, val)
        {
            self.failure = Some(written_as(&self.claim, folder::BATCHES, source));
            // On a full disk this makes room for the model.
            self.give_up_batches();
        }
    }

    /// Writes the model, then all others, and makes them the folder's run. The folder stays claimed until the returned value
    /// is dropped, so that the run's page can be added.
    ///
    /// # Errors
    /// Where a file cannot be written; then the model is kept, if it could be, and the error says where.
    pub fn save(mut self, run: &Saved<'_>) -> Result<Claim> {
        if !self.staging.is_dir() {
            self.begin_again(run)?;
        }
        let model = self.staging.join(folder::MODEL);
        let meta = model_meta(run, Parameters::Last)?;
        if model_file::save(&model, run.model, &meta).is_err() {
            // The rows of batches may be what fills the disk.
            self.give_up_batches();
            model_file::save(&model, run.model, &meta)
                .map_err(|error| at_its_place(&self.claim, folder::MODEL, error))?;
        }
        let ended = self.failure.take().map_or(Ok(()), Err).and_then(|()| self.others(run));
        match ended.and_then(|()| self.claim.publish()) {
            Ok(()) => Ok(self.claim),
            Err(error) => match self.claim.rescue(folder::MODEL, folder::UNFINISHED) {
                Ok(model) => Err(Error::RunFolder {
                    path: self.claim.folder().to_path_buf(),
                    problem: format!("the model is kept ({}), but the run is not ({error})", model.display()),
                }),
                Err(_) => Err(error),
            },
        }
    }

    /// Makes the folder again that somebody removed while the run was under way, and its rows of batches from the history, if
    /// that has them all.
    fn begin_again(&mut self, run: &Saved<'_>) -> Result<()> {
        let Saved { history, summary, .. } = run;
        self.staging = self.claim.staging()?;
        self.batches = begin_batches(&self.claim, &self.staging)?;
        self.failure = None;
        let has_all = history.train_batches.len() == summary.train_batches;
        match summary.train_batches.checked_div(summary.epochs).zip(summary.val_batches.checked_div(summary.epochs)) {
            Some((train, val)) if has_all => return self.resume(history, None, [train, val]),
            None => {}
            Some(_) => {
                let gone = std::io::Error::other("its rows went with the folder, which was removed meanwhile");
                self.failure = Some(written_as(&self.claim, folder::BATCHES, gone));
            }
        }
        Ok(())
    }

    /// Removes the rows of batches. The file is still open, so that its room is free only once it is empty.
    fn give_up_batches(&self) {
        let path = self.staging.join(folder::BATCHES);
        let _ = File::options().write(true).open(&path).and_then(|file| file.set_len(0));
        let _ = fs::remove_file(path);
    }

    fn others(&mut self, run: &Saved<'_>) -> Result<()> {
        self.batches.finish().map_err(|source| written_as(&self.claim, folder::BATCHES, source))?;
        let meta = model_meta(run, Parameters::Best)?;
        model_file::save(&self.staging.join(folder::BEST), run.best, &meta)
            .map_err(|error| at_its_place(&self.claim, folder::BEST, error))?;
        let (claim, staging) = (&self.claim, &self.staging);
        let write = |name: &str, fill: &dyn Fn(&mut dyn Write) -> std::io::Result<()>| {
            let staged = Staged::write(&staging.join(name), |out| fill(out));
            staged.and_then(Staged::publish).map_err(|error| at_its_place(claim, name, error))
        };
        write(folder::EPOCHS, &|out| csv::write_epochs(out, run.history))?;
        write(folder::SAMPLE, &|out| csv::write_sample(out, &run.rows.train, &run.rows.val))?;
        write(folder::RECIPE, &|out| {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(
                out,
                "# A run of flatnet {version}. The same again: flatnet train --config recipe.toml --out NEW"
            )?;
            let data = &run.summary.data;
            let from_here = |way: &Option<String>, typed: &Option<String>| {
                let found = way.as_ref().map(|way| resolved(Path::new(""), way).to_string_lossy().into_owned());
                found.or_else(|| typed.clone())
            };
            let recipe = &run.summary.recipe;
            let (val_data, targets) =
                (from_here(&data.val_data, &recipe.val_data), from_here(&data.targets, &recipe.targets));
            let text = recipe.to_toml(data.folder.as_deref(), val_data, targets)?;
            out.write_all(text.as_bytes())
        })?;
        write(folder::SUMMARY, &|out| {
            serde_json::to_writer_pretty(&mut *out, run.summary)?;
            out.write_all(b"\n")
        })
    }
}

/// Which of a run's parameters a model file holds.
#[derive(Clone, Copy, PartialEq)]
enum Parameters {
    Last,
    Best,
}

/// What the model file says of the run that made it. The file is made to be given away, so it holds no folder's name: the rows
/// of the run are known by their digests.
fn model_meta(run: &Saved<'_>, which: Parameters) -> Result<ModelMeta> {
    let (summary, recipe) = (run.summary, &run.summary.recipe);
    let failed =
        |source: serde_json::Error| Error::Io { path: folder::MODEL.into(), action: "write", source: source.into() };
    // By way of text, where 0.01 stays 0.01 and does not become the f64 next to an f32.
    let text = serde_json::to_string(&recipe.without_places()).map_err(failed)?;
    let mut kept: serde_json::Value = serde_json::from_str(&text).map_err(failed)?;
    for (name, digest) in [("train_sha256", &summary.data.train_sha256), ("val_sha256", &summary.data.val_sha256)] {
        if let Some(digest) = digest {
            kept[name] = digest.as_str().into();
        }
    }
    let best = summary.best_model.map(|best| best.epoch);
    let (parameters, epoch) = match which {
        Parameters::Last => ("last", Some(summary.epochs)),
        Parameters::Best => ("best", best),
    };
    kept["parameters"] = parameters.into();
    kept["epoch"] = epoch.unwrap_or(0).into();
    let model = if which == Parameters::Last { run.model } else { run.best };
    Ok(ModelMeta {
        preparation: run.preparation.cloned(),
        class_names: run.class_names.to_vec(),
        recipe: Some(kept),
        ..ModelMeta::of(model)
    })
}

fn begin_batches(claim: &Claim, staging: &Path) -> Result<csv::Batches<BufWriter<File>>> {
    let file = File::create(staging.join(folder::BATCHES));
    let begun = file.and_then(|file| csv::Batches::new(BufWriter::with_capacity(1 << 16, file)));
    begun.map_err(|source| written_as(claim, folder::BATCHES, source))
}

fn written_as(claim: &Claim, name: &str, source: std::io::Error) -> Error {
    Error::Io { path: claim.folder().join(name), action: "write", source }
}

/// Names the file where people will look for it, not where it is made.
fn at_its_place(claim: &Claim, name: &str, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => written_as(claim, name, source),
        other => other,
    }
}
