//! A run's files as they come: batches while it trains, the model and all others at its end. It knows the order in which
//! they are written, and what is kept if one of them cannot be.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Claim, Recipe, SampledRows, Summary, csv, folder};
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
    /// Every epoch. Its batches have been written.
    pub history: &'a History,
    /// Which rows took part.
    pub rows: &'a SampledRows,
    /// All figures.
    pub summary: &'a Summary,
}

impl Writer {
    /// Begins the files of a run.
    ///
    /// # Errors
    /// [`Error::RunFolder`] or [`Error::Io`] where the folder cannot be written.
    pub fn new(claim: Claim) -> Result<Writer> {
        let staging = claim.staging()?;
        let path = staging.join(folder::BATCHES);
        let begin = || csv::Batches::new(BufWriter::with_capacity(1 << 16, File::create(&path)?));
        let batches = begin().map_err(|source| written_as(&claim, folder::BATCHES, source))?;
        Ok(Writer { claim, staging, batches, failure: None })
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// Adds the batches of an epoch, counted from 1, in the order they ran. A failure is told by [`save`](Self::save).
    pub fn epoch(&mut self, epoch: usize, train: &[BatchRecord], val: &[BatchRecord]) {
        if self.failure.is_none()
            && let Err(source) = self.batches.add(epoch, train, val)
        {
            self.failure = Some(written_as(&self.claim, folder::BATCHES, source));
            // On a full disk this makes room for the model.
            let _ = fs::remove_file(self.staging.join(folder::BATCHES));
        }
    }

    /// Writes the model, then all others, and makes them the folder's run. The folder stays claimed until the returned value
    /// is dropped, so that the run's page can be added.
    ///
    /// # Errors
    /// Where a file cannot be written; then the model is kept, if it could be, and the error says where.
    pub fn save(mut self, run: &Saved<'_>) -> Result<Claim> {
        let (recipe, model) = (&run.summary.recipe, self.staging.join(folder::MODEL));
        let meta = model_meta(run.model, recipe, run.summary)?;
        if model_file::save(&model, run.model, &meta).is_err() {
            // The rows of batches may be what fills the disk.
            let _ = fs::remove_file(self.staging.join(folder::BATCHES));
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

    fn others(&mut self, run: &Saved<'_>) -> Result<()> {
        self.batches.finish().map_err(|source| written_as(&self.claim, folder::BATCHES, source))?;
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
            out.write_all(run.summary.recipe.to_toml(run.summary.data.folder.as_deref())?.as_bytes())
        })?;
        write(folder::SUMMARY, &|out| {
            serde_json::to_writer_pretty(&mut *out, run.summary)?;
            out.write_all(b"\n")
        })
    }
}

/// What the model file says of the run that made it. The file is made to be given away, so it holds no folder's name: the rows
/// of the run are known by their digests.
fn model_meta(model: &Sequential, recipe: &Recipe, summary: &Summary) -> Result<ModelMeta> {
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
    let mut meta = ModelMeta::of(model);
    meta.recipe = Some(kept);
    Ok(meta)
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
