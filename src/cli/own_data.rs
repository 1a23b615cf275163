//! The samples of a run, found again: where its files say that its data lie, or where data usually lie. What is found is the
//! run's own if its digests are. It knows places and digests, not what the samples are for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatnet::data::Reading;
use flatnet::run::{self, DataSummary, Recipe, RunData};
use flatnet::{Error, Result};

use super::args::{DEFAULT_DATA, default_data};

/// What is known of the data of a run.
pub struct OwnData<'a> {
    pub recipe: &'a Recipe,
    /// Others with whom the files are read: then samples stay there where they can.
    pub reading: Option<Arc<Reading>>,
    /// The folder of the run, if the model lies in one.
    pub run_folder: Option<&'a Path>,
    /// What the run says of its data, if it is there to be asked.
    pub summary: Option<&'a DataSummary>,
    /// Of the samples, if the run kept it.
    pub train_sha256: Option<&'a str>,
    pub val_sha256: Option<&'a str>,
}

/// Places that the user gives for this run's data.
#[derive(Default)]
pub struct Given<'a> {
    pub data: Option<&'a Path>,
    pub val_data: Option<&'a Path>,
    pub targets: Option<&'a Path>,
}

impl OwnData<'_> {
    /// The samples of the run and the place of its data: the one given, or else the first that holds them.
    ///
    /// # Errors
    /// What is wrong with the place given; else which places were tried.
    pub fn load(&self, given: &Given<'_>) -> Result<(RunData, PathBuf)> {
        if let Some(place) = given.data {
            return self.load_from(place, given);
        }
        let places = self.places();
        let mut failure: Option<Error> = None;
        for place in places.iter().filter(|place| place.exists()) {
            match self.load_from(place, given) {
                Ok(found) => return Ok(found),
                // The first place is the likeliest, so its error says most.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Error::DataFolder {
                path: places.first().cloned().unwrap_or_default(),
                problem: format!("the data of the run are not found (tried: {}); name their place", tried.join(", ")),
            }
        }))
    }

    /// Where the data may lie, the likeliest first: from the run's folder, as its user typed it, where such data usually lie. A
    /// place is named as people know it.
    fn places(&self) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if !self.recipe.data.is_empty() && self.recipe.data != DEFAULT_DATA {
            places.push(PathBuf::from(&self.recipe.data));
        }
        places.push(default_data());
        if let Some(way) = self.resolved(self.summary.and_then(|summary| summary.folder.as_deref())) {
            let way = way.canonicalize().unwrap_or(way);
            let same = places.iter().position(|place| place.canonicalize().is_ok_and(|place| place == way));
            let first = same.map_or(way, |same| places.remove(same));
            places.insert(0, first);
        }
        places
    }

    fn resolved(&self, way: Option<&str>) -> Option<PathBuf> {
        self.run_folder.zip(way).map(|(folder, way)| run::resolved(folder, way))
    }

    /// Another file of the run: the one given, the one that lies where the run says, or the one that was typed.
    fn file(&self, given: Option<&Path>, way: Option<&str>, typed: &Option<String>) -> Option<PathBuf> {
        typed.as_ref()?;
        let there = || self.resolved(way).filter(|path| path.exists());
        given.map(Path::to_path_buf).or_else(there).or_else(|| typed.as_ref().map(PathBuf::from))
    }

    fn load_from(&self, place: &Path, given: &Given<'_>) -> Result<(RunData, PathBuf)> {
        let (recipe, summary) = (self.recipe, self.summary);
        let mut settings = recipe.data_settings()?;
        settings.on_disk |= self.reading.is_some();
        settings.reading.clone_from(&self.reading);
        let way = summary.and_then(|summary| summary.val_data.as_deref());
        settings.val_data = self.file(given.val_data, way, &recipe.val_data);
        let way = summary.and_then(|summary| summary.targets.as_deref());
        settings.source.targets = self.file(given.targets, way, &recipe.targets);
        let samples = run::load(place, &settings)?;
        let differs = |expected: Option<&str>, found: &flatnet::Dataset| {
            expected.map_or(Ok(false), |expected| Ok::<bool, Error>(expected != found.sha256()?))
        };
        if differs(self.train_sha256, &samples.train)? || differs(self.val_sha256, &samples.val)? {
            return Err(Error::DataFolder {
                path: place.to_path_buf(),
                problem: "holds other data than those of the run (their SHA-256 differs); name the place of its own"
                    .into(),
            });
        }
        Ok((samples, place.to_path_buf()))
    }
}
