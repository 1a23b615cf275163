//! The rows that a run drew, found again: where its files say that its data lie, or where data usually lie. What is found is the
//! run's own if its digest is. It knows places and digests, not what the rows are for.

use std::path::{Path, PathBuf};

use flatnet::data::{self, Dataset, Split};
use flatnet::run::{self, Recipe};
use flatnet::{Error, Result};

use super::args::{DEFAULT_DATA, default_data};

/// What is known of the data of a run.
pub struct OwnData<'a> {
    pub recipe: &'a Recipe,
    /// The folder of the run, if the model lies in one.
    pub run_folder: Option<&'a Path>,
    /// The way from there to the data.
    pub way: Option<&'a str>,
    /// Of the rows, if the run kept it.
    pub train_sha256: Option<&'a str>,
    pub val_sha256: Option<&'a str>,
}

/// The rows of a run.
pub struct OwnRows {
    pub data: Dataset,
    /// Their numbers in the files of the split, from 0.
    pub numbers: Vec<u32>,
    /// The folder that holds them.
    pub folder: PathBuf,
}

impl OwnData<'_> {
    /// The rows that the run drew from `split`: from the folder `given`, or else from the first place that holds them.
    ///
    /// # Errors
    /// What is wrong with the folder given; else which places were tried.
    pub fn load(&self, split: Split, given: Option<&Path>) -> Result<OwnRows> {
        if let Some(folder) = given {
            return self.load_from(split, folder);
        }
        let places = self.places();
        let mut failure: Option<Error> = None;
        for place in places.iter().filter(|place| place.exists()) {
            match self.load_from(split, place) {
                Ok(rows) => return Ok(rows),
                // The first place is the likeliest, so its error says most.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Error::DataFolder {
                path: places.first().cloned().unwrap_or_default(),
                problem: format!("the data of the run are not found (tried: {}); name their folder", tried.join(", ")),
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
        if let Some((folder, way)) = self.run_folder.zip(self.way) {
            let way = run::resolved(folder, way);
            let way = way.canonicalize().unwrap_or(way);
            let same = places.iter().position(|place| place.canonicalize().is_ok_and(|place| place == way));
            let first = same.map_or(way, |same| places.remove(same));
            places.insert(0, first);
        }
        places
    }

    fn load_from(&self, split: Split, folder: &Path) -> Result<OwnRows> {
        let all = data::load_split(folder, split)?;
        let numbers = self.recipe.rows(split, all.len())?;
        let data = all.select(&numbers);
        let expected = match split {
            Split::Train => self.train_sha256,
            Split::Test => self.val_sha256,
        };
        if expected.is_some_and(|expected| expected != data.sha256()) {
            return Err(Error::DataFolder {
                path: folder.to_path_buf(),
                problem: "holds other data than those of the run (their SHA-256 differs); name the folder of its own"
                    .into(),
            });
        }
        Ok(OwnRows { data, numbers, folder: folder.to_path_buf() })
    }
}
