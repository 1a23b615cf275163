//! The samples of a run: from what a recipe says to the rows that are trained on and those that are held out. It knows
//! sources, splits and samples, not networks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::SampledRows;
use crate::data::source::{self, Source, SourceOptions, TableFile};
use crate::data::split::{self, Fold, SplitRows};
use crate::data::{
    Dataset, FilePlan, Preparation, PreparedFile, Reading, SampleSize, Split, Table, TablePlan, TableSettings, hex,
    sample,
};
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
    /// Others with whom tables that stay in their files are read, each a part.
    pub reading: Option<Arc<Reading>>,
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
    if settings.on_disk
        && let Some(tables) = Tables::in_files(path, settings)?
    {
        return tables.load(settings);
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
            let (train, val) = (Rows::InMemory(train), test.map(Rows::InMemory));
            Tables { train, val, is_asked: false, targets }.load(settings)
        }
        (Source::Table { train, targets, .. }, Some(Source::Table { train: val, .. })) => {
            let (train, val) = (Rows::InMemory(train), Some(Rows::InMemory(val)));
            Tables { train, val, is_asked: true, targets }.load(settings)
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

/// A table, wherever its rows are.
enum Rows {
    InMemory(Table),
    InFile(Arc<TableFile>),
}

impl Rows {
    /// Which can be samples by `preparation`.
    fn taking_part(&self, preparation: &Preparation) -> Result<Vec<u32>> {
        match self {
            Rows::InMemory(table) => preparation.rows(table),
            Rows::InFile(file) => PreparedFile::taking_part(file, preparation),
        }
    }

    /// The samples `rows`, which ascend where they stay in a file.
    fn samples(&self, preparation: &Preparation, rows: &[u32]) -> Result<Dataset> {
        match self {
            Rows::InMemory(table) => preparation.dataset(table, rows),
            Rows::InFile(file) => {
                PreparedFile::new(Arc::clone(file), Arc::new(preparation.clone()), rows.to_vec())?.into_set_of_all()
            }
        }
    }

    fn has_column(&self, name: &str) -> bool {
        match self {
            Rows::InMemory(table) => table.find_named(name).is_some(),
            Rows::InFile(file) => file.columns().iter().any(|column| column.name == name),
        }
    }
}

/// What is known of a table before it is split.
enum Plan<'a> {
    InMemory(TablePlan, &'a Table),
    InFile(FilePlan),
}

impl Plan<'_> {
    fn of<'a>(rows: &'a Rows, asked: &TableSettings) -> Result<Plan<'a>> {
        match rows {
            Rows::InMemory(table) => Ok(Plan::InMemory(TablePlan::new(table, asked)?, table)),
            Rows::InFile(file) => Ok(Plan::InFile(FilePlan::new(Arc::clone(file), asked)?)),
        }
    }

    fn plan(&self) -> &TablePlan {
        match self {
            Plan::InMemory(plan, _) => plan,
            Plan::InFile(plan) => plan.plan(),
        }
    }

    fn classes(&self) -> Option<Vec<u32>> {
        match self {
            Plan::InMemory(plan, table) => plan.classes(table),
            Plan::InFile(plan) => plan.classes(),
        }
    }

    /// Fitted on `rows`, and the columns that are the same in all of them.
    fn fit(&self, rows: &[u32]) -> Result<(Preparation, Vec<String>)> {
        match self {
            Plan::InFile(plan) => plan.fit(rows),
            Plan::InMemory(plan, table) => {
                let preparation = plan.fit(table, rows)?;
                let constant = preparation.features.constant(table, rows).map(str::to_string).collect();
                Ok((preparation, constant))
            }
        }
    }

    /// The samples `rows` of the table.
    fn samples(&self, preparation: &Preparation, rows: &[u32]) -> Result<Dataset> {
        match self {
            Plan::InMemory(_, table) => preparation.dataset(table, rows),
            Plan::InFile(plan) => plan.prepare(Arc::new(preparation.clone()), rows.to_vec())?.into_set(),
        }
    }

    /// The same of samples that every process has.
    fn samples_of_all(&self, preparation: &Preparation, rows: &[u32]) -> Result<Dataset> {
        match self {
            Plan::InMemory(..) => self.samples(preparation, rows),
            Plan::InFile(plan) => plan.prepare(Arc::new(preparation.clone()), rows.to_vec())?.into_set_of_all(),
        }
    }

    /// The rows of the table, and the names of its targets.
    fn table(&self) -> (usize, Vec<&str>) {
        let (len, columns) = match self {
            Plan::InMemory(_, table) => (table.len(), table.columns()),
            Plan::InFile(plan) => (plan.file().len(), plan.file().columns()),
        };
        (len, self.plan().targets.iter().map(|target| columns[*target].name.as_str()).collect())
    }
}

struct Tables {
    train: Rows,
    val: Option<Rows>,
    /// Whether `val` was asked for, and did not only lie beside.
    is_asked: bool,
    /// What the source says are the targets.
    targets: Vec<String>,
}

impl Tables {
    /// Tables whose rows stay in their files; `None` where they cannot, or would be asked for in another order than the files'.
    fn in_files(path: &Path, settings: &DataSettings) -> Result<Option<Self>> {
        if !settings.in_file_order {
            return Ok(None);
        }
        let (options, reading) = (&settings.source, settings.reading.as_ref());
        let own_split = settings.val_split.is_some() || settings.fold.is_some();
        let Some((train, test)) = source::tables_at(path)? else { return Ok(None) };
        let Some(train) = TableFile::open(reading, &train, options, None)? else { return Ok(None) };
        let val = match (&settings.val_data, test.filter(|_| !own_split)) {
            (Some(val), _) => Some(TableFile::open(reading, val, options, None)?),
            (None, Some(test)) => Some(TableFile::open(reading, &test, options, Some(train.columns()))?),
            (None, None) => None,
        };
        let (is_asked, targets) = (settings.val_data.is_some(), train.targets().to_vec());
        let val = match val {
            None => None,
            Some(Some(val)) => Some(Rows::InFile(Arc::new(val))),
            Some(None) => return Ok(None),
        };
        Ok(Some(Tables { train: Rows::InFile(Arc::new(train)), val, is_asked, targets }))
    }

    fn load(self, settings: &DataSettings) -> Result<RunData> {
        let mut asked = settings.table.clone();
        if asked.targets.is_empty() {
            asked.targets = self.targets;
        }
        let plan = Plan::of(&self.train, &asked)?;
        let taking_part = &plan.plan().rows;
        let (len, targets) = plan.table();
        let size = |asked: Option<SampleSize>| asked.unwrap_or(SampleSize::All);
        let (train_samples, val_samples) = (size(settings.train_samples), size(settings.val_samples));
        // Rows without their targets are for predictions, not for validation.
        let has_targets = |val: &Rows| targets.iter().all(|target| val.has_column(target));
        let val = self.val.as_ref().filter(|val| self.is_asked || has_targets(val));
        let (rows, held_out, (preparation, constant), val_set) = match val {
            None => {
                let (rows, held_out) = divide(taking_part, plan.classes().as_deref(), settings)?;
                let rows = first(rows, train_samples, val_samples, settings)?;
                let fitted = plan.fit(&rows.train)?;
                let val = plan.samples_of_all(&fitted.0, &rows.val)?;
                (rows, held_out, fitted, val)
            }
            Some(val) => {
                let drawn = draw(Split::Train, train_samples, taking_part.len(), settings)?;
                let train: Vec<u32> = drawn.iter().map(|row| taking_part[*row as usize]).collect();
                let fitted = plan.fit(&train)?;
                let whole = val.taking_part(&fitted.0)?;
                let drawn = draw(Split::Test, val_samples, whole.len(), settings)?;
                let rows = SplitRows { train, val: drawn.iter().map(|row| whole[*row as usize]).collect() };
                let val = val.samples(&fitted.0, &rows.val)?;
                (rows, HeldOut::Files, fitted, val)
            }
        };
        Ok(RunData {
            train: plan.samples(&preparation, &rows.train)?,
            val: val_set,
            train_samples,
            val_samples,
            held_out,
            left_out: len - taking_part.len(),
            constant,
            preparation: Some(preparation),
            is_of_the_recipe: false,
            rows: rows.into(),
        })
    }
}
