//! From a table in its file to samples that are read piece by piece: the plan, the fit and the data set of a table in memory,
//! in passes over the file, to the bit. In memory are the targets, and of the rest what a piece holds. It knows neither
//! formats nor networks.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::columns::Columns;
use super::feature_fit::{self, Constant, FeatureFit, Pixels};
use super::features::Features;
use super::on_disk::{Gathered, OnDisk, RowFile, ascending_ranges};
use super::outputs::Outputs;
use super::preparation::{self, Preparation, TablePlan, TableSettings};
use super::source::{PIECE_CELLS, TableFile};
use super::task;
use super::together::{Reading, other_data, whole_numbers};
use super::{Dataset, Missing, Scale, Table, TableColumn, TargetColumns, Task};
use crate::error::{Error, Result};

/// What is known of a table in its file before it is split: a [`TablePlan`], and the targets.
#[derive(Debug)]
pub(crate) struct FilePlan {
    file: Arc<TableFile>,
    plan: TablePlan,
    /// Of all rows, the target columns alone.
    targets: Table,
    /// Whether all that is predicted from are pixels; unknown, and `false`, where a transform was asked for.
    are_pixels: bool,
}

impl FilePlan {
    /// As [`TablePlan::new`], in one pass over the file.
    ///
    /// # Errors
    /// As [`TablePlan::new`] and [`TableFile::read`].
    pub fn new(file: Arc<TableFile>, settings: &TableSettings) -> Result<Self> {
        let places = task::target_columns(file.schema(), &settings.targets)?;
        let rows = preparation::taking_part(file.source(), file.len() as u32, settings, |row| file.has_gap(row))?;
        let (part, reading) = file.part();
        let mut cells = Vec::new();
        let room = cells.try_reserve_exact(part.len().saturating_mul(places.len()));
        room.map_err(|_| Error::out_of_memory(Path::new(file.source())))?;
        let mut pixels = Pixels::new(file.columns(), &places);
        let (mut number, mut may_be_pixels) = (part.start, settings.transform.is_none());
        file.read(&[part], &mut |piece| {
            for row in piece.rows() {
                cells.extend(places.iter().map(|place| row[*place]));
                if may_be_pixels && !(settings.missing == Missing::Drop && file.has_gap(number)) {
                    may_be_pixels = pixels.add(row);
                }
                number += 1;
            }
            Ok(())
        })?;
        let mut are_pixels = may_be_pixels && pixels.are_there();
        if let Some(reading) = reading {
            cells = reading.gather_numbers("the targets", &cells)?;
            if cells.len() != file.len() * places.len() {
                return Err(other_data("targets"));
            }
            let told = reading.gather("what may be pixels", &pixels.told())?;
            are_pixels = settings.transform.is_none() && Pixels::are_told(&told);
        }
        let columns: Arc<[TableColumn]> = places.iter().map(|place| file.columns()[*place].clone()).collect();
        let targets = Table::piece(&columns, cells, Vec::new(), Vec::new(), file.source());
        let all: Vec<usize> = (0..places.len()).collect();
        let plan = TablePlan::of_targets(places, &targets, &all, rows, settings)?;
        Ok(Self { are_pixels, file, plan, targets })
    }

    /// The targets, what they call for, and the rows that take part.
    pub fn plan(&self) -> &TablePlan {
        &self.plan
    }

    /// The file that it is a plan for.
    pub fn file(&self) -> &Arc<TableFile> {
        &self.file
    }

    /// As [`TablePlan::classes`].
    pub fn classes(&self) -> Option<Vec<u32>> {
        self.plan.classes_at(&self.targets, &self.places())
    }

    /// As [`TablePlan::fit`] on `rows`, which ascend, and the names of columns that are the same in all of them, as
    /// [`Features::constant`] has them. It takes a pass over the rows, or two to find standard deviations.
    ///
    /// # Errors
    /// As [`TablePlan::fit`] and [`TableFile::read`].
    pub fn fit(&self, rows: &[u32]) -> Result<(Preparation, Vec<String>)> {
        let outputs =
            Outputs::unchecked(&self.targets, &self.places(), rows, self.plan.task, self.plan.scales_targets())?;
        self.targets_of(&outputs, rows)?;
        let (columns, targets) = (self.file.columns(), &self.plan.targets);
        let mut fit = self
            .plan
            .transform_unless_pixels(|| self.are_pixels)
            .map(|transform| FeatureFit::new(columns, targets, transform, self.plan.missing()));
        let (rows, reading) = self.blocks_of_part(rows);
        let ranges = ascending_ranges(rows.iter().copied());
        let mut constant = Constant::new((0..columns.len()).filter(|place| !targets.contains(place)));
        let share = |fit: &mut FeatureFit| {
            let Some(reading) = &reading else { return Ok(()) };
            let told = fit.told();
            let all = reading.gather("sums of columns", &told)?;
            if fit.take(&all) { Ok(()) } else { Err(other_data("sums of columns")) }
        };
        self.file.read(&ranges, &mut |piece| {
            for row in piece.rows() {
                constant.add(row);
                if let Some(fit) = &mut fit {
                    fit.add(row);
                }
            }
            Ok(())
        })?;
        if let Some(reading) = &reading
            && !constant.take(&reading.gather("columns that are the same in all rows", &constant.told())?)
        {
            return Err(other_data("columns"));
        }
        fit.as_mut().map_or(Ok(()), share)?;
        let features = match fit {
            None => Features::pixels(columns, targets),
            Some(mut fit) => {
                while fit.needs_another_pass() {
                    self.file.read(&ranges, &mut |piece| {
                        piece.rows().for_each(|row| fit.add(row));
                        Ok(())
                    })?;
                    share(&mut fit)?;
                }
                fit.finish()
            }
        };
        let constant = constant.left().map(|at| features.columns[at].name.clone()).collect();
        Ok((Preparation { table_width: columns.len(), features, outputs }, constant))
    }

    /// Of `rows`, which ascend, those of whole blocks that begin in this process's part of the file.
    fn blocks_of_part<'a>(&self, rows: &'a [u32]) -> (&'a [u32], Option<Arc<Reading>>) {
        let (part, reading) = self.file.part();
        if reading.is_none() {
            return (rows, None);
        }
        let block = |row: u32| {
            rows.partition_point(|other| *other < row).next_multiple_of(feature_fit::BLOCK_ROWS).min(rows.len())
        };
        (&rows[block(part.start)..block(part.end)], reading)
    }

    /// The samples `rows`, which ascend, by a `preparation` that was fitted by this plan.
    ///
    /// # Errors
    /// As [`Preparation::dataset`] for a target.
    pub fn prepare(&self, preparation: Arc<Preparation>, rows: Vec<u32>) -> Result<PreparedFile> {
        let targets = self.targets_of(&preparation.outputs, &rows)?;
        Ok(PreparedFile { file: Arc::clone(&self.file), preparation, rows, targets })
    }

    /// Where the targets stand in `targets`.
    fn places(&self) -> Vec<usize> {
        (0..self.plan.targets.len()).collect()
    }

    fn targets_of(&self, outputs: &Outputs, rows: &[u32]) -> Result<TargetColumns> {
        outputs.targets(&self.targets, &self.places(), rows).or_else(|error| {
            // The same is wrong with the file, and there it has a line.
            self.file.read(&ascending_ranges(rows.iter().copied()), &mut |piece| {
                outputs.targets(&piece, &self.plan.targets, &all_rows(&piece)).map(|_| ())
            })?;
            Err(error)
        })
    }
}

/// Samples that stay in their file: some rows of a table, and how they become inputs and targets.
#[derive(Debug)]
pub(crate) struct PreparedFile {
    file: Arc<TableFile>,
    preparation: Arc<Preparation>,
    /// In ascending order.
    rows: Vec<u32>,
    targets: TargetColumns,
}

impl PreparedFile {
    /// The samples `rows`, which ascend, of a file that need not be the one that `preparation` was fitted on. One pass reads
    /// the targets.
    ///
    /// # Errors
    /// As [`Preparation::dataset`] for columns and targets, and [`TableFile::read`].
    pub fn new(file: Arc<TableFile>, preparation: Arc<Preparation>, rows: Vec<u32>) -> Result<Self> {
        let mut targets = preparation.targets(file.schema(), &[])?;
        preparation.needed(file.schema())?;
        let (part, reading) = file.part();
        let own = rows_within(&rows, &part);
        file.read(&ascending_ranges(own.iter().copied()), &mut |piece| {
            targets.append(preparation.targets(&piece, &all_rows(&piece))?);
            Ok(())
        })?;
        if let Some(reading) = reading {
            let all = reading.gather("targets", &targets.to_bytes())?;
            targets = targets.of_bytes(&all.concat());
            if targets.len() != rows.len() {
                return Err(other_data("targets"));
            }
        }
        Ok(Self { file, preparation, rows, targets })
    }

    /// As [`Preparation::rows`], the rows of a file that take part, which ascend; in a pass over it where gaps may be in
    /// columns that are not needed.
    ///
    /// # Errors
    /// As [`Preparation::rows`] and [`TableFile::read`].
    pub fn taking_part(file: &TableFile, preparation: &Preparation) -> Result<Vec<u32>> {
        let needed = preparation.needed(file.schema())?;
        let all = 0..file.len() as u32;
        if preparation.features.missing != Missing::Drop || !all.clone().any(|row| file.has_gap(row)) {
            return Ok(all.collect());
        }
        if (0..file.columns().len()).all(|place| needed.contains(&place)) {
            return Ok(all.filter(|row| !file.has_gap(*row)).collect());
        }
        let (part, reading) = file.part();
        let (mut rows, mut number) = (Vec::new(), part.start);
        file.read(&[part], &mut |piece| {
            for row in piece.rows() {
                if !needed.iter().any(|place| row[*place].is_nan()) {
                    rows.push(number);
                }
                number += 1;
            }
            Ok(())
        })?;
        match reading {
            None => Ok(rows),
            Some(reading) => {
                let own: Vec<u8> = rows.iter().flat_map(|row| row.to_le_bytes()).collect();
                let all = reading.gather("rows without gaps", &own)?.concat();
                Ok(whole_numbers(&all).collect())
            }
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether columns are pixels, a byte each.
    pub fn are_pixels(&self) -> bool {
        self.preparation.features.are_pixels()
    }

    /// Columns of a sample.
    pub fn features(&self) -> usize {
        self.preparation.features.width()
    }

    /// Rows and columns of a sample as a picture.
    pub fn image_size(&self) -> (usize, usize) {
        self.preparation.image_size()
    }

    /// The names of the classes, in the order of their numbers; empty where targets are values.
    pub fn class_names(&self) -> Vec<String> {
        match self.preparation.outputs.task() {
            Task::Classify => self.preparation.outputs.names().into_iter().map(String::from).collect(),
            Task::MultiLabel | Task::Regress => Vec::new(),
        }
    }

    /// Where the data come from.
    pub fn source(&self) -> &str {
        self.file.source()
    }

    /// Gives the samples at `positions` among these, which ascend, do not overlap and lie below `len`, to `each`: in their
    /// order, as data sets of a bounded size, each as [`Preparation::dataset`] makes it of its rows.
    ///
    /// # Errors
    /// Those of `each`; as [`Preparation::dataset`] for a row that cannot be used; as [`TableFile::read`].
    ///
    /// # Panics
    /// If a position is not below `len`.
    pub fn read(&self, positions: &[Range<u32>], each: &mut dyn FnMut(Dataset) -> Result<()>) -> Result<()> {
        let mut left = positions.iter().cloned().flatten();
        let rows = ascending_ranges(left.clone().map(|position| self.rows[position as usize]));
        let most_rows = (PIECE_CELLS / self.features().max(1)).max(1);
        self.file.read_at_most(most_rows, &rows, &mut |piece| {
            let chosen: Vec<u32> = left.by_ref().take(piece.len()).collect();
            let targets = self.targets.select(&chosen);
            each(self.preparation.dataset_of(&piece, &all_rows(&piece), targets)?)
        })
    }
}

impl PreparedFile {
    /// A data set of these samples, whose features are in memory where processes that read the file together keep rows: each
    /// prepares those of its part.
    ///
    /// # Errors
    /// As [`into_set`](Self::into_set) and [`read`](Self::read); [`Error::Ranks`] where another process fails.
    pub fn into_set_of_all(self) -> Result<Dataset> {
        let (part, Some(reading)) = self.file.part() else { return self.into_set() };
        if !reading.keeps_rows() {
            return self.into_set();
        }
        let position = |row: u32| self.rows.partition_point(|other| *other < row) as u32;
        let own = [position(part.start), position(part.end)].map(u32::to_le_bytes).concat();
        let ranges = reading.gather("whose samples are where", &own)?;
        let scale = self.are_pixels().then_some(Scale::Unit);
        let at_once = (PIECE_CELLS / self.features().max(1)).max(1) as u32;
        let (mut gathered, mut next) = (Gathered::default(), 0);
        for (rank, range) in ranges.iter().enumerate() {
            let ends: Vec<u32> = whole_numbers(range).collect();
            let Some(&end) = ends.get(1).filter(|_| ends[0] == next) else { return Err(other_data("samples")) };
            // A piece after the other, so that little more is in memory than what comes of it.
            while next < end {
                let piece = next..end.min(next + at_once);
                next = piece.end;
                let own = if rank == reading.rank() { self.gathered(piece)?.to_bytes() } else { Vec::new() };
                let all = reading.gather("samples to validate on", &own)?;
                gathered.add(&Gathered::of_bytes(&all[rank], self.features(), scale.is_some()).columns_in(scale), None);
            }
        }
        let set = self.into_set()?;
        if next as usize != set.len() {
            return Err(other_data("samples"));
        }
        Ok(set.with_columns(gathered.columns_in(scale)))
    }

    fn gathered(&self, positions: Range<u32>) -> Result<Gathered> {
        let mut gathered = Gathered::default();
        self.read(&[positions], &mut |piece| {
            gathered.add(piece.columns(), None);
            Ok(())
        })?;
        Ok(gathered)
    }

    /// A data set of these samples, whose features stay in the file.
    ///
    /// # Errors
    /// As [`Dataset::from_values`] for targets, and [`Dataset::with_class_names`].
    pub fn into_set(self) -> Result<Dataset> {
        let (targets, image_size) = (self.targets.clone(), self.image_size());
        let (class_names, source) = (self.class_names(), self.source().to_string());
        let (len, scale) = (self.len(), self.are_pixels().then_some(Scale::Unit));
        let columns = OnDisk::new(Arc::new(self), len, scale);
        Dataset::from_file(columns, targets, image_size, source)?.with_class_names(class_names)
    }
}

impl RowFile for PreparedFile {
    fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()> {
        self.read(ranges, &mut |piece| each(piece.into_columns()))
    }

    fn can_seek(&self) -> bool {
        self.file.is_seekable()
    }
}

/// Of `rows`, which ascend, those of a part.
fn rows_within<'a>(rows: &'a [u32], part: &Range<u32>) -> &'a [u32] {
    &rows[rows.partition_point(|row| *row < part.start)..rows.partition_point(|row| *row < part.end)]
}

fn all_rows(table: &Table) -> Vec<u32> {
    (0..table.len() as u32).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::columns::Columns;
    use crate::data::source::testing::npy_with;
    use crate::data::together;
    use crate::data::{Source, SourceOptions, Transform, open};

    fn told<T>(result: Result<T>) -> std::result::Result<T, String> {
        result.map_err(|error| error.to_string())
    }

    /// Of four in five, as a split draws them.
    fn some(rows: &[u32]) -> Vec<u32> {
        rows.iter().copied().filter(|row| (row * 7 + 3) % 5 != 1).collect()
    }

    /// The bits of numbers, which are compared beside the numbers: 0 and -0 are equal.
    fn bits(set: &Dataset) -> Vec<u32> {
        match set.columns() {
            Columns::Values { values, .. } => values.iter().map(|value| value.to_bits()).collect(),
            Columns::Bytes { .. } | Columns::Compressed(_) | Columns::Bits(_) | Columns::OnDisk(_) => Vec::new(),
        }
    }

    /// Panics unless the file gives at every step what the table in memory gives, or the same error, to one process and to
    /// several that read it together; says how far it came.
    fn check(path: &Path, options: &SourceOptions, settings: &TableSettings) -> &'static str {
        let alone = check_in(None, path, options, settings);
        for (size, keeps_rows) in [(2, true), (3, false), (5, true)] {
            let each =
                together::testing::run(size, keeps_rows, |reading| check_in(Some(&reading), path, options, settings));
            assert!(each.iter().all(|said| *said == alone), "{each:?}");
        }
        alone
    }

    fn check_in(
        reading: Option<&Arc<Reading>>,
        path: &Path,
        options: &SourceOptions,
        settings: &TableSettings,
    ) -> &'static str {
        let Source::Table { train: table, targets, .. } = open(path, options).unwrap() else { panic!("no table") };
        let file = Arc::new(TableFile::open(reading, path, options, None).unwrap().unwrap());
        let mut settings = settings.clone();
        if settings.targets.is_empty() {
            settings.targets = targets;
        }
        let (of_table, of_file) =
            (told(TablePlan::new(&table, &settings)), told(FilePlan::new(Arc::clone(&file), &settings)));
        assert_eq!(of_file.as_ref().map(|plan| plan.plan()), of_table.as_ref(), "{settings:?}");
        let (Ok(plan), Ok(file_plan)) = (of_table, of_file) else { return "no plan" };
        assert_eq!(file_plan.classes(), plan.classes(&table));
        let rows = some(&plan.rows);
        let (of_table, of_file) = (told(plan.fit(&table, &rows)), told(file_plan.fit(&rows)));
        assert_eq!(of_file.as_ref().map(|(preparation, _)| preparation), of_table.as_ref(), "{settings:?}");
        let (Ok(preparation), Ok((same, constant))) = (of_table, of_file) else { return "no fit" };
        // -0 beside 0 is another text.
        assert_eq!(format!("{same:?}"), format!("{preparation:?}"));
        assert_eq!(constant, preparation.features.constant(&table, &rows).collect::<Vec<_>>());
        let same = Arc::new(same);
        assert_eq!(PreparedFile::taking_part(&file, &same).unwrap(), preparation.rows(&table).unwrap());
        let set = told(preparation.dataset(&table, &rows));
        let of_plan = told(file_plan.prepare(Arc::clone(&same), rows.clone())).unwrap();
        let of_file = told(PreparedFile::new(Arc::clone(&file), Arc::clone(&same), rows.clone())).unwrap();
        assert_eq!(of_file.targets, of_plan.targets);
        let mut pieces = Vec::new();
        let read = told(of_plan.read(&[0..of_plan.len() as u32], &mut |piece| {
            pieces.push(piece);
            Ok(())
        }));
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                assert_eq!(read.unwrap_err(), error);
                return "no set";
            }
        };
        read.unwrap();
        assert_eq!(of_plan.targets, *set.targets());
        assert_eq!(
            (of_plan.features(), of_plan.image_size(), of_plan.source()),
            (set.features(), set.image_size(), set.source())
        );
        assert_eq!(
            (of_plan.class_names().as_slice(), of_plan.are_pixels()),
            (set.class_names(), set.scale().is_some())
        );
        let compare = |positions: Vec<u32>, pieces: Vec<Dataset>| {
            let mut first = 0;
            for piece in pieces {
                assert!(piece.len() * piece.features() <= PIECE_CELLS.max(piece.features()));
                let expected = set.select(&positions[first..first + piece.len()]);
                assert_eq!((&piece, bits(&piece)), (&expected, bits(&expected)));
                first += piece.len();
            }
            assert_eq!(first, positions.len());
        };
        compare((0..set.len() as u32).collect(), pieces);
        let of_all = told(PreparedFile::new(file, same, rows)).unwrap().into_set_of_all().unwrap();
        assert_eq!(of_all.is_on_disk(), !reading.is_some_and(|reading| reading.keeps_rows()));
        let of_all = of_all.in_memory().unwrap();
        assert_eq!((of_all.len(), bits(&of_all)), (set.len(), bits(&set)));
        let len = set.len() as u32;
        let positions = [len / 3..len / 2, len / 2..len / 2, len - 1..len];
        let mut pieces = Vec::new();
        of_plan
            .read(&positions, &mut |piece| {
                pieces.push(piece);
                Ok(())
            })
            .unwrap();
        compare(positions.into_iter().flatten().collect(), pieces);
        "all"
    }

    /// All transforms, and what becomes of gaps: what `check` says of each.
    fn check_all(path: &Path, options: &SourceOptions, targets: &[&str]) -> Vec<&'static str> {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let mut said = Vec::new();
        for missing in [Missing::Error, Missing::Mean, Missing::Drop] {
            for transform in [
                None,
                Some(Transform::MinMax),
                Some(Transform::Robust),
                Some(Transform::None),
                Some(Transform::Standard),
            ] {
                let raw_targets = transform == Some(Transform::None);
                let targets = targets.clone();
                let settings = TableSettings { targets, transform, missing, raw_targets, ..TableSettings::default() };
                said.push(check(path, options, &settings));
            }
        }
        said.dedup();
        said
    }

    fn random(seed: u32) -> impl FnMut(u32) -> u32 {
        let mut state = u64::from(seed);
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % u64::from(below)) as u32
        }
    }

    /// A table of numbers, words that are met late, and classes; with gaps, if it is so asked.
    fn text(rows: u32, gaps: bool) -> String {
        let mut random = random(7);
        let mut text = String::from("a;w;\"b\";constant;label;value\r\n");
        for row in 0..rows {
            let gap = gaps && random(9) == 0;
            let a = if gap { String::new() } else { format!("{},{}", random(90), random(1000)) };
            let word = if gap && random(2) == 0 { "NA".into() } else { format!("\"w\r\n{}\"", random(2 + row / 50)) };
            text += &format!("{a};{word};-{}e-{};7;k{};{},5\r\n", random(1 << 20), random(30), random(4), random(50));
        }
        text
    }

    #[test]
    fn a_text_in_its_file_becomes_what_it_becomes_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        for (rows, gaps) in [(40, false), (2_000, true), (900, false)] {
            fs::write(&path, text(rows, gaps)).unwrap();
            let options = SourceOptions::default();
            let expected: &[&str] = if gaps { &["no set", "all"] } else { &["all"] };
            assert_eq!(check_all(&path, &options, &[]), expected);
            assert_eq!(check_all(&path, &options, &["value"]), expected);
            assert_eq!(check_all(&path, &options, &["value", "constant"]), expected);
            // Words among several targets, and a target with gaps.
            assert_eq!(check_all(&path, &options, &["value", "w"]), ["no plan"]);
            assert_eq!(check_all(&path, &options, &["a"]), if gaps { &["no fit", "all"][..] } else { &["all"] });
        }
    }

    /// Each process has some of the rows in memory; where nobody has one, there is no digest.
    #[test]
    fn a_digest_of_rows_on_several_processes_is_that_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, text(300, false)).unwrap();
        let set = |reading: Option<&Arc<Reading>>| {
            let file = Arc::new(TableFile::open(reading, &path, &SourceOptions::default(), None).unwrap().unwrap());
            let plan = FilePlan::new(file, &TableSettings::default()).unwrap();
            let rows = plan.plan().rows.clone();
            let (preparation, _) = plan.fit(&rows).unwrap();
            plan.prepare(Arc::new(preparation), rows).unwrap().into_set().unwrap()
        };
        let alone = set(None).sha256_and_share_not_zero().unwrap();
        assert!(alone.1 > 0.1 && alone.1 < 1.0);
        let own: [[&[Range<u32>]; 3]; 3] = [
            [&[0..100], &[100..290], &[290..300]],
            [&[0..7, 20..31], &[7..20, 31..40, 200..300], &[35..210]],
            [&[], &[0..150], &[151..300]],
        ];
        for (ranges, is_whole) in own.into_iter().zip([true, true, false]) {
            let each = together::testing::run(3, true, |reading| {
                let set = set(Some(&reading)).hold(ranges[reading.rank()].to_vec()).unwrap();
                set.sha256_and_share_not_zero_in(&reading).unwrap()
            });
            assert!(each.iter().all(|told| *told == is_whole.then(|| alone.clone())), "{each:?}");
        }
    }

    #[test]
    fn pixels_in_their_file_stay_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, options) = (folder.path().join("t.csv"), SourceOptions::default());
        let mut random = random(3);
        let names: String = (0..64).map(|at| format!(",p{at}")).collect();
        for (bright, expected) in [(255, "all"), (16, "all")] {
            let mut row = |label: u32| {
                let pixel = |random: &mut dyn FnMut(u32) -> u32| if random(3) == 0 { random(bright + 1) } else { 0 };
                (0..64).fold(format!("{label}"), |row, _| format!("{row},{}", pixel(&mut random))) + "\n"
            };
            let rows: String = (0..500).map(|at| row(at % 3)).collect();
            fs::write(&path, format!("label{names}\n{rows}")).unwrap();
            assert_eq!(check_all(&path, &options, &[]), [expected]);
            let file = Arc::new(TableFile::open(None, &path, &options, None).unwrap().unwrap());
            let plan = FilePlan::new(Arc::clone(&file), &TableSettings::default()).unwrap();
            let (preparation, _) = plan.fit(&plan.plan().rows).unwrap();
            assert_eq!(preparation.features.are_pixels(), bright == 255);
        }
    }

    #[test]
    fn arrays_in_their_files_become_what_they_become_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (path, targets) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        let npy = |descr: &str, shape: &str, values: Vec<u8>| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
            npy_with(&header, &values)
        };
        let mut random = random(5);
        let mut numbers = |gaps: bool, count: u32| -> Vec<f64> {
            let mut number = || if gaps && random(50) == 0 { f64::NAN } else { f64::from(random(9_000)) / 7.0 - 300.0 };
            (0..count).map(|_| number()).collect()
        };
        let f8 = |numbers: &[f64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let f4 =
            |numbers: &[f64]| numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect::<Vec<u8>>();
        let labels: Vec<u8> = (0..700_i64).flat_map(|at| (at % 5 - 2).to_le_bytes()).collect();
        let bytes: Vec<u8> = (0..700 * 64_u32).map(|at| (at * at % 251) as u8).collect();
        let (whole, gaps, two) = (numbers(false, 700 * 9), numbers(true, 700 * 9), numbers(false, 700 * 2));
        for (x, y, expected) in [
            (npy("<f8", "700, 3, 3", f8(&whole)), npy("<f4", "700, 2", f4(&two)), &["all"][..]),
            (npy("<f4", "700, 9", f4(&gaps)), npy("<i8", "700,", labels.clone()), &["no set", "all"]),
            (npy("<f4", "700, 9", f4(&gaps)), npy("<f8", "700, 9", f8(&gaps)), &["no fit", "all"]),
            (npy("|u1", "700, 64", bytes.clone()), npy("<i8", "700", labels.clone()), &["all"]),
            (npy("|u1", "700, 64", bytes), npy("<f4", "700, 2", f4(&two)), &["all"]),
        ] {
            fs::write(&path, x).unwrap();
            fs::write(&targets, y).unwrap();
            let options = SourceOptions { targets: Some(targets.clone()), ..SourceOptions::default() };
            assert_eq!(check_all(&path, &options, &[]), expected);
        }
    }

    /// A table to validate on has its columns in another order, and one more; its gaps there are of no account.
    #[test]
    fn another_file_goes_the_same_way() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one.csv"), folder.path().join("other.csv"));
        fs::write(&one, "a,w,y\n1,u,0\n2,v,1\n4,u,1\n".to_string() + &"3,v,0\n".repeat(30)).unwrap();
        fs::write(&other, "y,more,w,a\n1,,u,5\n0,2,v,\n1,,,3\n0,1,v,9\n").unwrap();
        let options = SourceOptions::default();
        let settings = TableSettings { missing: Missing::Drop, ..TableSettings::default() };
        let file = Arc::new(TableFile::open(None, &one, &options, None).unwrap().unwrap());
        let plan = FilePlan::new(Arc::clone(&file), &settings).unwrap();
        let (preparation, _) = plan.fit(&plan.plan().rows).unwrap();
        let preparation = Arc::new(preparation);
        let val = Arc::new(TableFile::open(None, &other, &options, Some(file.columns())).unwrap().unwrap());
        let rows = PreparedFile::taking_part(&val, &preparation).unwrap();
        assert_eq!(rows, [0, 3]);
        let Source::Table { train: table, .. } = open(&other, &options).unwrap() else { panic!("no table") };
        let expected = preparation.dataset(&table, &rows).unwrap();
        let set = PreparedFile::new(val, Arc::clone(&preparation), rows).unwrap();
        set.read(&[0..1, 1..2], &mut |piece| {
            assert_eq!(piece, expected);
            Ok(())
        })
        .unwrap();
        let error = |text: &str| {
            fs::write(&other, text).unwrap();
            let file = Arc::new(TableFile::open(None, &other, &options, None).unwrap().unwrap());
            PreparedFile::new(file, Arc::clone(&preparation), vec![0, 1]).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error("y,w\n0,u\n1,u\n").contains("columns: expected 'a' among the 2"));
        assert!(
            error("y,w,a\n0,u,1\n\n7,u,1\n").contains("line 4, column 'y': expected a class that the training rows")
        );
    }
}
