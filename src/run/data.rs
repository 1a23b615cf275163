//! The samples of a run: from what a recipe says to the rows that are trained on and those that are held out. It knows
//! sources, splits and samples, not networks.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::SampledRows;
use crate::data::source::{self, Source, SourceOptions};
use crate::data::split::{self, Fold, SplitRows};
use crate::data::{Dataset, Preparation, SampleSize, Split, Table, TablePlan, TableSettings, hex, sample};
use crate::error::{Error, Result};
use crate::rng::Stream;

/// What a recipe says of data.
#[derive(Debug, Clone, Default)]
pub struct DataSettings {
    /// How files are read.
    pub source: SourceOptions,
    /// What of a table is what.
    pub table: TableSettings,
    /// Rows to validate on, in a file or folder of their own.
    pub val_data: Option<PathBuf>,
    /// The share of the rows that is held out; `None`: what the data call for.
    pub val_split: Option<f64>,
    /// The part of a cross-validation that is held out.
    pub fold: Option<Fold>,
    /// `None`: the recipe's number for the recipe's set, else all.
    pub train_samples: Option<SampleSize>,
    /// Likewise.
    pub val_samples: Option<SampleSize>,
    /// Decides which rows.
    pub seed: u64,
    /// Whether rows are taken in the order of their file, whatever order they were drawn in.
    pub in_file_order: bool,
    /// Whether rows stay in their files until they are needed, where those are such that single rows are found in them.
    pub on_disk: bool,
}

/// Where the rows to validate on come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeldOut {
    /// Files of their own.
    Files,
    /// This share of the rows was held out.
    Share(f64),
    /// This part of a cross-validation.
    Part(Fold),
}

/// The samples of a run.
#[derive(Debug)]
pub struct RunData {
    /// Samples to train on.
    pub train: Dataset,
    /// Samples to validate on.
    pub val: Dataset,
    /// Their rows in the files.
    pub rows: SampledRows,
    /// How many were asked for, or taken.
    pub train_samples: SampleSize,
    /// Likewise.
    pub val_samples: SampleSize,
    /// Where the samples to validate on come from.
    pub held_out: HeldOut,
    /// Of a table: how its rows become samples.
    pub preparation: Option<Preparation>,
    /// Rows of a table that were left out, as something is missing in them.
    pub left_out: usize,
    /// Columns of a table that are the same in all rows trained on.
    pub constant: Vec<String>,
    /// Whether it is the set that the reference recipe is for.
    pub is_of_the_recipe: bool,
}

/// The share that is held out where nothing is said.
const VAL_SPLIT: f64 = 0.2;

/// The reference recipe's numbers of samples, and the training labels of the set that it is for.
const RECIPE_SAMPLES: (usize, usize) = (30_000, 5_000);
const RECIPE_LABELS: &str = "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13";

/// The samples that `settings` say, of the data at `path`.
///
/// # Errors
/// What is wrong with the data, or with a setting.
pub fn load(path: &Path, settings: &DataSettings) -> Result<RunData> {
    let options = &settings.source;
    let own_split = settings.val_split.is_some() || settings.fold.is_some();
    if own_split && settings.val_data.is_some() {
        let (name, found) = match settings.fold {
            Some(fold) => ("fold", fold.to_string()),
            None => ("val_split", settings.val_split.unwrap_or_default().to_string()),
        };
        let expected = "no rows held out, as val_data names those to validate on".into();
        return Err(Error::Setting { name, found, expected });
    }
    let open = |path: &Path| match settings.on_disk {
        true => source::open_on_disk(path, options),
        false => source::open(path, options),
    };
    let val_data = settings.val_data.as_deref().map(open).transpose()?;
    match (open(path)?, val_data) {
        (Source::Images { train, test }, None) => of_images(train, test.filter(|_| !own_split), settings),
        (Source::Images { train, .. }, Some(Source::Images { train: val, .. })) => {
            of_images(train, Some(val), settings)
        }
        (Source::Table { train, test, targets }, None) => {
            let test = test.filter(|_| !own_split);
            Tables { train, val: test, is_asked: false, targets }.load(settings)
        }
        (Source::Table { train, targets, .. }, Some(Source::Table { train: val, .. })) => {
            Tables { train, val: Some(val), is_asked: true, targets }.load(settings)
        }
        (Source::Images { .. }, Some(_)) => Err(other_kind(settings, "pictures", "a table")),
        (Source::Table { .. }, Some(_)) => Err(other_kind(settings, "a table", "pictures")),
    }
}

fn other_kind(settings: &DataSettings, expected: &str, found: &str) -> Error {
    let path = settings.val_data.as_deref().unwrap_or(Path::new(""));
    let (found, expected) = (format!("{} ({found})", path.display()), format!("{expected}, as the data are"));
    Error::Setting { name: "val_data", found, expected }
}

fn of_images(train: Dataset, test: Option<Dataset>, settings: &DataSettings) -> Result<RunData> {
    let of_recipe = is_of_the_recipe(&train);
    let size = |asked: Option<SampleSize>, of_the_recipe: usize| match asked {
        Some(size) => size,
        None if of_recipe && test.is_some() => SampleSize::Count(of_the_recipe),
        None => SampleSize::All,
    };
    let (train_samples, val_samples) =
        (size(settings.train_samples, RECIPE_SAMPLES.0), size(settings.val_samples, RECIPE_SAMPLES.1));
    let (train, val, rows, held_out) = match test {
        Some(test) => {
            let rows = SplitRows {
                train: draw(Split::Train, train_samples, train.len(), settings)?,
                val: draw(Split::Test, val_samples, test.len(), settings)?,
            };
            let train = sample::take(train, train_samples, &rows.train);
            (train, sample::take(test, val_samples, &rows.val), rows, HeldOut::Files)
        }
        None => {
            let all: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
            let labels: Vec<u32> = train.labels().iter().map(|label| u32::from(*label)).collect();
            let labels = (!labels.is_empty()).then_some(&*labels);
            let (rows, held_out) = divide(&all, labels, settings)?;
            let rows = first(rows, train_samples, val_samples, settings)?;
            (train.select(&rows.train), train.select(&rows.val), rows, held_out)
        }
    };
    Ok(RunData {
        train,
        val,
        rows: rows.into(),
        train_samples,
        val_samples,
        held_out,
        preparation: None,
        left_out: 0,
        constant: Vec::new(),
        is_of_the_recipe: of_recipe,
    })
}

impl From<SplitRows> for SampledRows {
    fn from(rows: SplitRows) -> Self {
        SampledRows { train: rows.train.into(), val: rows.val }
    }
}

/// Whether it is the set that the reference recipe is for, wherever it lies.
fn is_of_the_recipe(train: &Dataset) -> bool {
    let digest = || {
        let labels: Vec<u8> = train.labels().iter().map(|label| *label as u8).collect();
        hex(&Sha256::digest(labels))
    };
    train.len() == 60_000 && train.image_size() == (28, 28) && digest() == RECIPE_LABELS
}

fn draw(split: Split, size: SampleSize, population: usize, settings: &DataSettings) -> Result<Vec<u32>> {
    let (stream, name) = match split {
        Split::Train => (Stream::TrainSample, "train_samples"),
        Split::Test => (Stream::ValSample, "val_samples"),
    };
    let mut rows = sample::draw(size, population, settings.seed, stream, name)?;
    if settings.in_file_order {
        rows.sort_unstable();
    }
    Ok(rows)
}

/// Which of `rows` are held out. `classes` as for [`split::hold_out`].
fn divide(rows: &[u32], classes: Option<&[u32]>, settings: &DataSettings) -> Result<(SplitRows, HeldOut)> {
    match (settings.fold, settings.val_split) {
        (Some(fold), None) => Ok((split::fold(rows, classes, fold, settings.seed)?, HeldOut::Part(fold))),
        (Some(fold), Some(_)) => {
            let expected = "no val_split beside it, which holds out other rows".into();
            Err(Error::Setting { name: "fold", found: fold.to_string(), expected })
        }
        (None, share) => {
            let share = share.unwrap_or(VAL_SPLIT);
            Ok((split::hold_out(rows, classes, share, settings.seed)?, HeldOut::Share(share)))
        }
    }
}

/// The first of the rows on either side, which stand in an order that was drawn.
fn first(rows: SplitRows, train: SampleSize, val: SampleSize, settings: &DataSettings) -> Result<SplitRows> {
    let first = |mut rows: Vec<u32>, size: SampleSize, name| {
        match size {
            SampleSize::Count(count) if count > rows.len() => {
                let expected = format!("1 to {}, the rows that are left by the split, or all", rows.len());
                return Err(Error::Setting { name, found: count.to_string(), expected });
            }
            SampleSize::Count(count) => rows.truncate(count),
            SampleSize::All => {}
        }
        if settings.in_file_order {
            rows.sort_unstable();
        }
        Ok(rows)
    };
    Ok(SplitRows { train: first(rows.train, train, "train_samples")?, val: first(rows.val, val, "val_samples")? })
}

struct Tables {
    train: Table,
    val: Option<Table>,
    /// Whether `val` was asked for, and did not only lie beside.
    is_asked: bool,
    /// What the source says are the targets.
    targets: Vec<String>,
}

impl Tables {
    fn load(self, settings: &DataSettings) -> Result<RunData> {
        let mut asked = settings.table.clone();
        if asked.targets.is_empty() {
            asked.targets = self.targets;
        }
        let (table, plan) = (&self.train, TablePlan::new(&self.train, &asked)?);
        let size = |asked: Option<SampleSize>| asked.unwrap_or(SampleSize::All);
        let (train_samples, val_samples) = (size(settings.train_samples), size(settings.val_samples));
        // Rows without their targets are for predictions, not for validation.
        let has_targets =
            |val: &Table| plan.targets.iter().all(|target| val.find_named(&table.columns()[*target].name).is_some());
        let val = self.val.as_ref().filter(|val| self.is_asked || has_targets(val));
        let (rows, held_out, preparation, val_set) = match val {
            None => {
                let (rows, held_out) = divide(&plan.rows, plan.classes(table).as_deref(), settings)?;
                let rows = first(rows, train_samples, val_samples, settings)?;
                let preparation = plan.fit(table, &rows.train)?;
                let val = preparation.dataset(table, &rows.val)?;
                (rows, held_out, preparation, val)
            }
            Some(val) => {
                let drawn = draw(Split::Train, train_samples, plan.rows.len(), settings)?;
                let train: Vec<u32> = drawn.iter().map(|row| plan.rows[*row as usize]).collect();
                let preparation = plan.fit(table, &train)?;
                let whole = preparation.rows(val)?;
                let drawn = draw(Split::Test, val_samples, whole.len(), settings)?;
                let rows = SplitRows { train, val: drawn.iter().map(|row| whole[*row as usize]).collect() };
                let val = preparation.dataset(val, &rows.val)?;
                (rows, HeldOut::Files, preparation, val)
            }
        };
        Ok(RunData {
            train: preparation.dataset(table, &rows.train)?,
            val: val_set,
            train_samples,
            val_samples,
            held_out,
            left_out: table.len() - plan.rows.len(),
            constant: preparation.features.constant(table, &rows.train).map(str::to_string).collect(),
            preparation: Some(preparation),
            is_of_the_recipe: false,
            rows: rows.into(),
        })
    }
}
