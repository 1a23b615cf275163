//! From a table to a data set: which columns are targets, which rows are whole, and how both become numbers. It is fitted on the
//! training rows and saved with the model, so that other tables go the same way. It knows neither files nor networks.

use serde::{Deserialize, Serialize};

use super::feature_fit::Pixels;
use super::features::{Features, Missing, Transform};
use super::messages::refusal;
use super::outputs::Outputs;
use super::rows::Rows;
use super::task::{self, Task};
use super::{Dataset, Table, TargetColumns};
use crate::error::Result;

/// What is asked of a table.
#[derive(Debug, Clone, Default)]
pub struct TableSettings {
    /// Columns to predict, by name or number; empty: the one whose name is a usual one for a target.
    pub targets: Vec<String>,
    /// `None`: what the targets call for.
    pub task: Option<Task>,
    /// `None`: one factor for columns of pixels, else [`Transform::Standard`].
    pub transform: Option<Transform>,
    /// What becomes of cells in which nothing is given.
    pub missing: Missing,
    /// Whether values are learned as they are, not in units of their standard deviation.
    pub raw_targets: bool,
}

/// What is known of a table before it is split.
///
/// ```
/// use flatnet::data::{Source, SourceOptions, TablePlan, TableSettings, open, split};
/// use flatnet::model_file::{self, ModelMeta};
/// use flatnet::optim::Adam;
/// use flatnet::{Sequential, Trainer};
/// # let folder = std::env::temp_dir().join(format!("flatnet-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let (rows, file) = (folder.join("rows.csv"), folder.join("prices.safetensors"));
/// # let lines: String = (0..40).map(|i| format!("{i},{},{}\n", ["Ulm", "Bonn"][i % 2], 3.5 * i as f32)).collect();
/// # std::fs::write(&rows, format!("size,town,price\n{lines}")).unwrap();
///
/// let Source::Table { train: table, .. } = open(&rows, &SourceOptions::default())? else { panic!("no table") };
/// let plan = TablePlan::new(&table, &TableSettings { targets: vec!["price".into()], ..TableSettings::default() })?;
/// let rows = split::hold_out(&plan.rows, plan.classes(&table).as_deref(), 0.2, 0)?;
/// let preparation = plan.fit(&table, &rows.train)?;
/// let (train, val) = (preparation.dataset(&table, &rows.train)?, preparation.dataset(&table, &rows.val)?);
///
/// let mut model = Sequential::new(train.features()).linear(16).relu().linear(train.outputs()).build(0)?;
/// Trainer::new(Adam::new(0.01)).epochs(20).fit(&mut model, &train, &val)?;
/// // With all that `flatnet predict` needs to know.
/// let meta = ModelMeta { preparation: Some(preparation), ..ModelMeta::of(&model) };
/// model_file::save(&file, &model, &meta)?;
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TablePlan {
    /// Columns to predict.
    pub targets: Vec<usize>,
    /// What is predicted.
    pub task: Task,
    /// Rows that take part, in their order.
    pub rows: Vec<u32>,
    transform: Option<Transform>,
    missing: Missing,
    raw_targets: bool,
}

/// How the rows of tables become inputs and targets of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Columns of the table that it was fitted on.
    pub table_width: usize,
    /// How columns become inputs.
    pub features: Features,
    /// What outputs stand for.
    pub outputs: Outputs,
}

impl TablePlan {
    /// Finds the targets of `table`, what they call for, and the rows that take part: all, or with [`Missing::Drop`] those that
    /// are whole.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where there is no such target, or no row to learn from.
    pub fn new(table: &Table, settings: &TableSettings) -> Result<Self> {
        let targets = task::target_columns(table, &settings.targets)?;
        let has_gap = |row: u32| table.row(row as usize).iter().any(|cell| cell.is_nan());
        let rows = taking_part(table.source(), u32::try_from(table.len()).unwrap_or(u32::MAX), settings, has_gap)?;
        Self::of_targets(targets.clone(), table, &targets, rows, settings)
    }

    /// Finds what the targets call for. `table` may have other columns than the one in which `targets` stand: in it, they
    /// stand at `places`.
    pub(super) fn of_targets(
        targets: Vec<usize>,
        table: &Table,
        places: &[usize],
        rows: Vec<u32>,
        settings: &TableSettings,
    ) -> Result<Self> {
        let task = match settings.task {
            Some(task) => task,
            None => Task::of(table, places, &rows)?,
        };
        let TableSettings { transform, missing, raw_targets, .. } = *settings;
        Ok(Self { targets, task, rows, transform, missing, raw_targets })
    }

    /// Of each of the rows that take part a number that rows of one class share; `None` where there are no classes.
    pub fn classes(&self, table: &Table) -> Option<Vec<u32>> {
        self.classes_at(table, &self.targets)
    }

    /// The same where the targets stand at `places`.
    pub(super) fn classes_at(&self, table: &Table, places: &[usize]) -> Option<Vec<u32>> {
        let [target] = *places else { return None };
        if self.task != Task::Classify {
            return None;
        }
        let cell = |row: &u32| table.row(*row as usize)[target];
        let mut known: Vec<f32> = self.rows.iter().map(cell).collect();
        known.sort_unstable_by(f32::total_cmp);
        known.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let number = |row: &u32| known.binary_search_by(|known| known.total_cmp(&cell(row))).unwrap_or(0) as u32;
        Some(self.rows.iter().map(number).collect())
    }

    /// Fits inputs and targets on `rows`, the training rows.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a row cannot be used.
    pub fn fit(&self, table: &Table, rows: &[u32]) -> Result<Preparation> {
        let features = match self.transform_unless_pixels(|| self.holds_pixels(table)) {
            None => Features::pixels(table.columns(), &self.targets),
            Some(transform) => Features::fit(table, &self.targets, rows, transform, self.missing)?,
        };
        let outputs = Outputs::fit(table, &self.targets, rows, self.task, self.scales_targets())?;
        Ok(Preparation { table_width: table.columns().len(), features, outputs })
    }

    /// How numbers become inputs; `None` where they are pixels, which is asked where nothing was said.
    pub(super) fn transform_unless_pixels(&self, are_pixels: impl FnOnce() -> bool) -> Option<Transform> {
        match self.transform {
            None if are_pixels() => None,
            transform => Some(transform.unwrap_or(Transform::Standard)),
        }
    }

    /// What becomes of cells in which nothing is given.
    pub(super) fn missing(&self) -> Missing {
        self.missing
    }

    /// Whether values are learned in units of their standard deviation.
    pub(super) fn scales_targets(&self) -> bool {
        !self.raw_targets
    }

    /// Whether all that is predicted from are pixels: bytes, as many as a small image has, bright ones among them.
    fn holds_pixels(&self, table: &Table) -> bool {
        let mut pixels = Pixels::new(table.columns(), &self.targets);
        self.rows.iter().all(|row| pixels.add(table.row(*row as usize))) && pixels.are_there()
    }
}

/// The rows of a table of `len` that take part: all, or with [`Missing::Drop`] those without a gap.
pub(super) fn taking_part(
    source: &str,
    len: u32,
    settings: &TableSettings,
    has_gap: impl Fn(u32) -> bool,
) -> Result<Vec<u32>> {
    let rows: Vec<u32> = match settings.missing {
        Missing::Drop => (0..len).filter(|row| !has_gap(*row)).collect(),
        Missing::Error | Missing::Mean => (0..len).collect(),
    };
    if rows.is_empty() {
        let found = if len == 0 { "none" } else { "none in which nothing is missing" };
        return Err(refusal(source, "rows", "one at least".into(), found.into()));
    }
    Ok(rows)
}

impl Preparation {
    /// The samples `rows` of `table`, with their targets.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a column is missing, or a row cannot be used.
    pub fn dataset(&self, table: &Table, rows: &[u32]) -> Result<Dataset> {
        let targets = self.targets(table, rows)?;
        self.dataset_of(table, rows, targets)
    }

    /// The targets of `rows` of `table`.
    pub(super) fn targets(&self, table: &Table, rows: &[u32]) -> Result<TargetColumns> {
        self.outputs.targets(table, &self.target_places(table)?, rows)
    }

    /// The samples `rows` of `table`, whose targets are known.
    pub(super) fn dataset_of(&self, table: &Table, rows: &[u32], targets: TargetColumns) -> Result<Dataset> {
        let source = table.source().to_string();
        let set = if self.features.are_pixels() {
            let places = self.features.places(table, self.table_width)?;
            let mut packed = Rows::new(places.len());
            let mut pixels = vec![0; places.len()];
            for row in rows {
                for ((place, pixel), column) in places.iter().zip(&mut pixels).zip(&self.features.columns) {
                    let cell = table.row(*row as usize)[*place];
                    if !(cell.fract() == 0.0 && (0.0..=255.0).contains(&cell)) {
                        let found = table.told(*row as usize, *place);
                        return Err(table.refuse(
                            *row as usize,
                            &column.name,
                            "a pixel, 0 to 255",
                            format!("'{found}'"),
                        ));
                    }
                    *pixel = cell as u8;
                }
                packed.extend(&pixels);
            }
            packed.shrink();
            Dataset::from_rows(packed, targets, self.image_size(), source)?
        } else {
            Dataset::from_values(self.inputs(table, rows)?, self.features.width(), targets, source)?
        };
        Ok(match &self.outputs {
            Outputs::Classify { classes, .. } => set.with_class_names(classes.clone())?,
            _ => set,
        })
    }

    /// What a network takes for `rows` of `table`, whose targets need not be there: `[rows, inputs]`, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a column is missing, or a row cannot be used.
    pub fn inputs(&self, table: &Table, rows: &[u32]) -> Result<Vec<f32>> {
        let places = self.features.places(table, self.table_width)?;
        self.features.apply(table, &places, rows)
    }

    /// Rows of `table` that take part: with [`Missing::Drop`], those in which nothing that is needed is missing.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a column is missing.
    pub fn rows(&self, table: &Table) -> Result<Vec<u32>> {
        let needed = self.needed(table)?;
        let is_whole = |row: &u32| !needed.iter().any(|place| table.row(*row as usize)[*place].is_nan());
        let all = 0..u32::try_from(table.len()).unwrap_or(u32::MAX);
        Ok(if self.features.missing == Missing::Drop { all.filter(is_whole).collect() } else { all.collect() })
    }

    /// Where inputs and targets stand in `table`.
    pub(super) fn needed(&self, table: &Table) -> Result<Vec<usize>> {
        let mut needed = self.features.places(table, self.table_width)?;
        needed.extend(self.target_places(table)?);
        Ok(needed)
    }

    /// Rows and columns of a sample as a picture: a square, where pixels can be one; else one row.
    pub fn image_size(&self) -> (usize, usize) {
        let (width, side) = (self.features.width(), self.features.width().isqrt());
        if self.features.are_pixels() && side * side == width { (side, side) } else { (1, width) }
    }

    /// Where the targets stand in `table`; in a table without names, where they stood in the one that this was fitted on.
    fn target_places(&self, table: &Table) -> Result<Vec<usize>> {
        let names: Vec<String> = self.outputs.columns().iter().map(ToString::to_string).collect();
        task::target_columns(table, &names)
    }

    /// What must hold of a preparation from a file.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> std::result::Result<(), String> {
        self.features.check()?;
        self.outputs.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Scale, TableColumn};

    fn table(names: &[&str], cells: Vec<f32>) -> Table {
        let columns = names.iter().map(|name| TableColumn::number(*name)).collect();
        Table::new(columns, cells, vec![], "t".into()).unwrap()
    }

    fn plan(table: &Table, targets: &[&str], missing: Missing) -> Result<TablePlan> {
        let targets = targets.iter().map(ToString::to_string).collect();
        TablePlan::new(table, &TableSettings { targets, missing, ..TableSettings::default() })
    }

    #[test]
    fn a_table_becomes_a_data_set_and_another_one_goes_the_same_way() {
        let trained = table(&["a", "y"], vec![1.0, 0.0, 3.0, 1.0, 100.0, 1.0]);
        let plan = plan(&trained, &["y"], Missing::Error).unwrap();
        assert_eq!((plan.task, plan.classes(&trained)), (Task::Classify, Some(vec![0, 1, 1])));
        let preparation = plan.fit(&trained, &[0, 1]).unwrap();
        let set = preparation.dataset(&trained, &[1, 0, 2]).unwrap();
        assert_eq!(
            (set.labels(), set.classes(), set.class_names()),
            (&[1, 0, 1][..], 2, &["0".into(), "1".into()][..])
        );
        assert_eq!(preparation.inputs(&trained, &[0, 1, 2]).unwrap(), [-1.0, 1.0, 98.0]);
        // Without its target a table can be predicted for, and not learned from.
        let other = table(&["b", "a"], vec![9.0, 2.0]);
        assert_eq!(preparation.inputs(&other, &[0]).unwrap(), [0.0]);
        assert!(preparation.dataset(&other, &[0]).is_err());
    }

    #[test]
    fn rows_in_which_something_is_missing_are_left_out_where_that_is_asked() {
        let gaps = table(&["a", "y"], vec![1.0, 0.5, f32::NAN, 0.5, 2.0, f32::NAN, 4.0, 1.5]);
        let dropped = plan(&gaps, &["y"], Missing::Drop).unwrap();
        assert_eq!((&*dropped.rows, dropped.task), (&[0, 3][..], Task::Regress));
        let preparation = dropped.fit(&gaps, &dropped.rows).unwrap();
        assert_eq!(preparation.rows(&gaps).unwrap(), [0, 3]);
        assert_eq!(plan(&gaps, &["y"], Missing::Mean).unwrap().rows.len(), 4);
        let nothing = table(&["a", "y"], vec![f32::NAN, 0.5]);
        let error = plan(&nothing, &["y"], Missing::Drop).unwrap_err().to_string();
        assert_eq!(error, "t: rows: expected one at least, found none in which nothing is missing");
        let error = plan(&table(&["a", "y"], vec![]), &["y"], Missing::Error).unwrap_err().to_string();
        assert_eq!(error, "t: rows: expected one at least, found none");
    }

    #[test]
    fn columns_of_pixels_stay_bytes_and_are_pictures() {
        let names: Vec<String> = (0..64).map(|at| format!("p{at}")).chain(["label".into()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = |bright: f32| {
            let row = |label: f32| (0..64).map(move |at| if at == 9 { bright } else { 0.0 }).chain([label]);
            table(&names, row(0.0).chain(row(1.0)).collect())
        };
        let pixels = rows(200.0);
        let fitted = plan(&pixels, &[], Missing::Error).unwrap().fit(&pixels, &[0, 1]).unwrap();
        let set = fitted.dataset(&pixels, &[1]).unwrap();
        assert_eq!(
            (set.image_size(), set.scale(), set.row(0)[9], set.labels()),
            ((8, 8), Some(Scale::Unit), 200, &[1][..])
        );
        // As inputs they are what the set's scale makes of them, to the bit.
        assert_eq!(fitted.inputs(&pixels, &[0]).unwrap()[9].to_bits(), Scale::Unit.apply(200).to_bits());
        let error = fitted.dataset(&rows(200.5), &[0]).unwrap_err().to_string();
        assert_eq!(error, "t: row 1, column 'p9': expected a pixel, 0 to 255, found '200.5'");
        // Digits of 17 greys are numbers like others.
        for bright in [16.0, 200.5, -3.0] {
            let other = rows(bright);
            let fitted = plan(&other, &[], Missing::Error).unwrap().fit(&other, &[0, 1]).unwrap();
            assert_eq!((fitted.dataset(&other, &[0]).unwrap().scale(), fitted.image_size()), (None, (1, 64)));
        }
    }

    #[test]
    fn several_targets_are_labels_or_values() {
        let set = table(&["a", "x", "y"], vec![1.0, 0.0, 1.0, 2.0, 1.0, 1.0]);
        let labels = plan(&set, &["x", "y"], Missing::Error).unwrap();
        assert_eq!((labels.task, labels.classes(&set)), (Task::MultiLabel, None));
        let labels = labels.fit(&set, &[0, 1]).unwrap().dataset(&set, &[0]).unwrap();
        assert_eq!(*labels.targets(), TargetColumns::Values { values: vec![0.0, 1.0], width: 2 });
    }

    #[test]
    fn a_preparation_comes_back_from_json() {
        let set = table(&["a", "y"], vec![0.1, 0.25, 3.0, 1.5]);
        let preparation = plan(&set, &["y"], Missing::Mean).unwrap().fit(&set, &[0, 1]).unwrap();
        let text = serde_json::to_string(&preparation).unwrap();
        let back: Preparation = serde_json::from_str(&text).unwrap();
        assert_eq!((&back, back.check()), (&preparation, Ok(())));
        assert!(serde_json::from_str::<Preparation>("{}").is_err());
    }
}
