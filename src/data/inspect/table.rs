//! What a table holds: what stands in its columns, how they go with a target, which rows stand in it twice, and what looks
//! wrong. It must not know flags, or how a report is shown.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use crate::data::messages::{listed, shown};
use crate::data::task::number_classes;
use crate::data::{Table, TableColumn};
use crate::error::{Error, Result};

/// Means by class are kept for so many pairs of a column and a class.
const MAX_GROUPS: usize = 1 << 21;
/// From here on a column says all of the target.
const TELLS_ALL: f64 = 0.999;

/// A table, told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableReport {
    /// Where it comes from.
    pub file: String,
    /// How many rows it has.
    pub rows: usize,
    /// Its columns, from left to right.
    pub columns: Vec<ColumnReport>,
    /// Cells in which nothing is given.
    pub missing: u64,
    /// Rows that stand further up already, cell by cell.
    pub duplicates: u64,
    /// The column that is to be predicted, if one was named.
    pub target: Option<TargetReport>,
    /// What looks wrong, a sentence each.
    pub suspicious: Vec<String>,
}

/// A column, told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// `numbers` or `words`.
    pub kind: &'static str,
    /// Rows in which it is not given.
    pub missing: u64,
    /// The least number.
    pub least: Option<f32>,
    /// Mean of the numbers.
    pub mean: Option<f64>,
    /// Their standard deviation, over all of them.
    pub std: Option<f64>,
    /// The largest number.
    pub largest: Option<f32>,
    /// How many different words there are.
    pub words: Option<usize>,
    /// The word that is met most often.
    pub most_frequent: Option<String>,
    /// Whether it is the same in all rows in which it is given, or given in none.
    pub constant: bool,
    /// How it goes with the target, over the rows in which both are given: of two columns of numbers Pearson's r, -1 to 1; of
    /// numbers and classes the correlation ratio eta, 0 to 1. `None` for two columns of classes, or where one is constant.
    pub correlation: Option<f64>,
}

/// A target, told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetReport {
    /// Its column.
    pub column: String,
    /// `classes` or `numbers`: what training takes it for where no task is named.
    pub kind: &'static str,
    /// The classes, the most frequent one first; none of numbers.
    pub classes: Vec<ClassCount>,
}

/// How often a class is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// As it stands in the file.
    pub class: String,
    /// Rows of it.
    pub rows: u64,
}

/// Tells what `table` holds, and how its columns go with the one called `target`.
///
/// # Errors
/// [`Error::Setting`] if there is no such column.
pub fn inspect(table: &Table, target: Option<&str>) -> Result<TableReport> {
    let target = target.map(|name| find(table, name)).transpose()?;
    let groups = target.and_then(|target| classes(table, target));
    let columns: Vec<ColumnReport> =
        (0..table.columns().len()).map(|column| of_column(table, column, target, groups.as_ref())).collect();
    let duplicates = duplicates(table);
    let told = target.map(|target| {
        let mut classes: Vec<ClassCount> = groups.iter().flat_map(|groups| groups.counts.clone()).collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.rows));
        let kind = if groups.is_some() { "classes" } else { "numbers" };
        TargetReport { column: table.columns()[target].name.clone(), kind, classes }
    });
    let missing = columns.iter().map(|column| column.missing).sum();
    let mut report = TableReport {
        file: table.source().to_string(),
        rows: table.len(),
        columns,
        missing,
        duplicates,
        target: told,
        suspicious: Vec::new(),
    };
    report.suspicious = suspicions(table, &report, target);
    Ok(report)
}

/// How many rows of `test` stand in `train` too, in all columns that both have but the `target`; `None` if there is no such
/// column.
pub fn shared_rows(train: &Table, test: &Table, target: Option<&str>) -> Option<u64> {
    let target = target.and_then(|target| train.find(target));
    let pairs: Vec<(usize, usize)> = (train.columns().iter().enumerate())
        .filter(|(at, _)| Some(*at) != target)
        .filter_map(|(at, column)| Some((at, test.columns().iter().position(|other| other.name == column.name)?)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    // Words of the test table by their numbers in the training table.
    let numbers: Vec<Option<Vec<f32>>> = pairs.iter().map(|(at, other)| renumbered(train, *at, test, *other)).collect();
    let of_train = |row: usize| pairs.iter().map(move |(at, _)| train.row(row)[*at]);
    let of_test = |row: usize| {
        pairs.iter().zip(&numbers).map(move |((_, other), numbers)| {
            let cell = test.row(row)[*other];
            match numbers {
                Some(numbers) if !cell.is_nan() => numbers[cell as usize],
                _ => cell,
            }
        })
    };
    let mut rows: HashMap<u64, u32> = HashMap::new();
    (0..train.len()).for_each(|row| {
        rows.entry(digest(of_train(row))).or_insert(row as u32);
    });
    let stands = |row: &usize| {
        let found = rows.get(&digest(of_test(*row)));
        found.is_some_and(|found| of_train(*found as usize).map(bits).eq(of_test(*row).map(bits)))
    };
    Some((0..test.len()).filter(stands).count() as u64)
}

/// For each word of a column of `test` its number in that of `train`, or one that no word has there; `None` for numbers.
fn renumbered(train: &Table, column: usize, test: &Table, other: usize) -> Option<Vec<f32>> {
    let words = test.columns()[other].words.as_ref()?;
    let known: HashMap<&str, usize> = match &train.columns()[column].words {
        Some(words) => words.iter().enumerate().map(|(number, word)| (word.as_str(), number)).collect(),
        None => HashMap::new(),
    };
    Some(words.iter().map(|word| known.get(word.as_str()).map_or(-1.0, |number| *number as f32)).collect())
}

fn find(table: &Table, name: &str) -> Result<usize> {
    table.find(name).ok_or_else(|| {
        let names = listed(table.columns().iter().map(|column| shown(&column.name)), 10);
        let expected = format!("a column of {}: {names}", table.source());
        Error::Setting { name: "target", found: name.to_string(), expected }
    })
}

/// The same for what counts as the same: one NaN, one zero.
fn bits(cell: f32) -> u32 {
    if cell.is_nan() { u32::MAX } else { (cell + 0.0).to_bits() }
}

fn digest(cells: impl Iterator<Item = f32>) -> u64 {
    let mut hasher = DefaultHasher::new();
    cells.for_each(|cell| bits(cell).hash(&mut hasher));
    hasher.finish()
}

fn duplicates(table: &Table) -> u64 {
    let mut rows: HashMap<u64, u32> = HashMap::new();
    let mut found = 0;
    for row in 0..table.len() {
        let first = *rows.entry(digest(table.row(row).iter().copied())).or_insert(row as u32) as usize;
        let same = || table.row(first).iter().copied().map(bits).eq(table.row(row).iter().copied().map(bits));
        found += u64::from(first != row && same());
    }
    found
}

/// The class of each row of a target that has classes.
struct Groups {
    /// `[rows]`: `None` where the target is not given.
    of_row: Vec<Option<u32>>,
    counts: Vec<ClassCount>,
}

fn classes(table: &Table, target: usize) -> Option<Groups> {
    let cells = || table.rows().map(|row| row[target]);
    let (names, of_row): (Vec<String>, Vec<Option<u32>>) = match &table.columns()[target].words {
        Some(words) => (words.clone(), cells().map(|cell| (!cell.is_nan()).then_some(cell as u32)).collect()),
        None => {
            let given: Vec<u32> = (0..).zip(cells()).filter(|(_, cell)| !cell.is_nan()).map(|(row, _)| row).collect();
            let values = number_classes(table, target, &given)?;
            let class_of = |cell: f32| values.binary_search_by(|value| value.total_cmp(&cell)).ok();
            let of_row = cells().map(|cell| class_of(cell).map(|class| class as u32)).collect();
            (values.iter().map(f32::to_string).collect(), of_row)
        }
    };
    let mut counts: Vec<ClassCount> = names.into_iter().map(|class| ClassCount { class, rows: 0 }).collect();
    of_row.iter().flatten().for_each(|class| counts[*class as usize].rows += 1);
    Some(Groups { of_row, counts })
}

/// Welford's sums: as exact for numbers far from 0 as for others.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }
}

fn of_column(table: &Table, column: usize, target: Option<usize>, groups: Option<&Groups>) -> ColumnReport {
    let TableColumn { name, words } = &table.columns()[column];
    let words = words.as_ref();
    let given = || table.rows().map(|row| row[column]).filter(|cell| !cell.is_nan());
    let mut moments = Moments::default();
    given().for_each(|cell| moments.add(f64::from(cell)));
    let (least, largest) = (given().reduce(f32::min), given().reduce(f32::max));
    let numbers = words.is_none();
    let most_frequent = words.map(|words| {
        let mut counts = vec![0_u64; words.len()];
        given().for_each(|cell| counts[cell as usize] += 1);
        let most = (0..counts.len()).max_by_key(|word| (counts[*word], std::cmp::Reverse(*word)));
        most.map(|word| words[word].clone())
    });
    let correlation = target.filter(|target| *target != column).and_then(|target| match (numbers, groups) {
        (true, None) => pearson(table, column, target),
        (true, Some(groups)) => {
            let number = |row: usize| groups.of_row[row].map(|class| class as usize);
            eta(table, column, groups.counts.len(), number)
        }
        (false, None) => {
            let word =
                |row: usize| Some(table.row(row)[column]).filter(|cell| !cell.is_nan()).map(|cell| cell as usize);
            eta(table, target, words.map_or(0, Vec::len), word)
        }
        (false, Some(_)) => None,
    });
    ColumnReport {
        name: name.clone(),
        kind: if numbers { "numbers" } else { "words" },
        missing: table.len() as u64 - moments.count as u64,
        least: least.filter(|_| numbers),
        mean: Some(moments.mean).filter(|_| numbers && moments.count > 0.0),
        std: Some((moments.squares / moments.count).sqrt()).filter(|_| numbers && moments.count > 0.0),
        largest: largest.filter(|_| numbers),
        words: words.map(Vec::len),
        most_frequent: most_frequent.flatten(),
        constant: least == largest,
        correlation,
    }
}

/// Pearson's r of two columns of numbers.
fn pearson(table: &Table, one: usize, other: usize) -> Option<f64> {
    let both =
        || table.rows().map(|row| (row[one], row[other])).filter(|(one, other)| !one.is_nan() && !other.is_nan());
    let (mut x, mut y) = (Moments::default(), Moments::default());
    both().for_each(|(one, other)| {
        x.add(f64::from(one));
        y.add(f64::from(other));
    });
    let products: f64 = both().map(|(one, other)| (f64::from(one) - x.mean) * (f64::from(other) - y.mean)).sum();
    let scale = (x.squares * y.squares).sqrt();
    (scale > 0.0).then(|| (products / scale).clamp(-1.0, 1.0))
}

/// The correlation ratio of a column of numbers and classes: the root of the share of its variance that lies between the
/// classes' means.
fn eta(table: &Table, column: usize, classes: usize, class_of: impl Fn(usize) -> Option<usize>) -> Option<f64> {
    if classes.saturating_mul(table.columns().len()) > MAX_GROUPS {
        return None;
    }
    let (mut all, mut by_class) = (Moments::default(), vec![Moments::default(); classes]);
    for row in 0..table.len() {
        let number = f64::from(table.row(row)[column]);
        if let Some(class) = class_of(row).filter(|_| !number.is_nan()) {
            all.add(number);
            by_class[class].add(number);
        }
    }
    let between: f64 = by_class.iter().map(|class| class.count * (class.mean - all.mean).powi(2)).sum();
    let within: f64 = by_class.iter().map(|class| class.squares).sum();
    (between + within > 0.0).then(|| (between / (between + within)).sqrt())
}

fn suspicions(table: &Table, report: &TableReport, target: Option<usize>) -> Vec<String> {
    let mut found = Vec::new();
    let mut columns = |what: &str, is_so: &dyn Fn(usize, &ColumnReport) -> bool| {
        let names: Vec<String> = (report.columns.iter().enumerate())
            .filter(|(at, column)| is_so(*at, column))
            .map(|(_, column)| column.name.clone())
            .collect();
        if !names.is_empty() {
            found.push(format!("{what}: {}", listed(names.into_iter(), 10)));
        }
    };
    let rows = table.len() as u64;
    columns("columns that are never given", &|_, column| column.missing == rows);
    columns("columns that are the same in all rows", &|_, column| column.constant && column.missing < rows && rows > 1);
    columns("columns that count the rows, and say nothing else", &|at, column| {
        Some(at) != target && column.kind == "numbers" && rows > 2 && {
            table.rows().map(|row| row[at]).is_sorted_by(|one, other| *other == one + 1.0)
        }
    });
    columns("columns of words that are different in all rows", &|at, column| {
        Some(at) != target && rows > 2 && column.words.is_some_and(|words| words as u64 == rows)
    });
    columns("columns that say all of the target (does it stand in them?)", &|_, column| {
        // Where each row is a class of its own, any column says all.
        let classes = column.words.unwrap_or(report.target.as_ref().map_or(0, |target| target.classes.len())) as u64;
        rows > 2 * classes.max(1) && column.correlation.is_some_and(|correlation| correlation.abs() > TELLS_ALL)
    });
    if report.duplicates > 0 {
        found.push(format!("{} rows stand in the table more than once", report.duplicates));
    }
    if let Some(target) = &report.target {
        let missing = report.columns.iter().find(|column| column.name == target.column).map_or(0, |own| own.missing);
        if missing > 0 {
            found.push(format!("{missing} rows have no target"));
        }
        if target.kind == "classes" && target.classes.len() < 2 {
            found.push("the target is the same in all rows; there is nothing to learn".into());
        }
        let rare: Vec<String> =
            (target.classes.iter()).filter(|class| class.rows == 1).map(|class| format!("'{}'", class.class)).collect();
        if !rare.is_empty() && rare.len() < target.classes.len() {
            found.push(format!("classes with a single row: {}", listed(rare.iter().cloned(), 10)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, words: &[&str]) -> TableColumn {
        TableColumn { name: name.into(), words: Some(words.iter().map(|word| word.to_string()).collect()) }
    }

    fn numbers(name: &str) -> TableColumn {
        TableColumn::number(name)
    }

    const NONE: f32 = f32::NAN;

    fn small() -> Table {
        let columns = vec![numbers("x"), words("kind", &["a", "b"]), numbers("y"), numbers("same")];
        let cells = vec![
            1.0, 0.0, 2.0, 7.0, //
            2.0, 0.0, 1.0, 7.0, //
            NONE, 1.0, 9.0, 7.0, //
            3.0, 1.0, 4.0, 7.0, //
            6.0, NONE, 5.0, NONE, //
            3.0, 1.0, 4.0, 7.0,
        ];
        Table::new(columns, cells, vec![], "t".into()).unwrap()
    }

    #[test]
    fn columns_are_told_as_they_are() {
        let report = inspect(&small(), None).unwrap();
        let x = &report.columns[0];
        assert_eq!((x.kind, x.missing, x.least, x.mean, x.largest), ("numbers", 1, Some(1.0), Some(3.0), Some(6.0)));
        assert!((x.std.unwrap() - (14.0_f64 / 5.0).sqrt()).abs() < 1e-12);
        let kind = &report.columns[1];
        assert_eq!((kind.kind, kind.missing, kind.words, kind.least), ("words", 1, Some(2), None));
        assert_eq!((kind.most_frequent.as_deref(), kind.constant), (Some("b"), false));
        assert_eq!((report.rows, report.missing, report.duplicates, report.columns[3].constant), (6, 3, 1, true));
        assert_eq!(
            report.suspicious,
            ["columns that are the same in all rows: same", "1 rows stand in the table more than once"]
        );
    }

    #[test]
    fn correlations_are_those_worked_out_by_hand() {
        let table = Table::new(
            vec![numbers("x"), words("kind", &["a", "b"]), numbers("y")],
            vec![1.0, 0.0, 2.5, 2.0, 0.0, 1.5, NONE, 1.0, 9.5, 3.0, 1.0, 4.5, 6.0, NONE, 5.5],
            vec![],
            "t".into(),
        )
        .unwrap();
        // Of numbers: over four rows the means are 3 and 3.5, the squares 14 and 10, the products 10.
        let report = inspect(&table, Some("y")).unwrap();
        assert!((report.columns[0].correlation.unwrap() - 10.0 / 140.0_f64.sqrt()).abs() < 1e-12, "{report:?}");
        // y by kind: 2.5, 1.5 and 9.5, 4.5; means 2, 7 and 4.5; 25 of 25 + 0.5 + 12.5 lie between.
        assert!((report.columns[1].correlation.unwrap() - (25.0_f64 / 38.0).sqrt()).abs() < 1e-12);
        assert_eq!((report.target.unwrap().kind, report.columns[2].correlation), ("numbers", None));
    }

    #[test]
    fn a_target_has_classes_or_numbers() {
        let report = inspect(&small(), Some("kind")).unwrap();
        let target = report.target.unwrap();
        let classes: Vec<(&str, u64)> = target.classes.iter().map(|class| (class.class.as_str(), class.rows)).collect();
        assert_eq!((target.kind, classes), ("classes", vec![("b", 3), ("a", 2)]));
        // x by kind: 1, 2 and 3, 3; means 1.5, 3 and 2.25; 2.25 of 2.25 + 0.5 lie between.
        assert!((report.columns[0].correlation.unwrap() - (2.25_f64 / 2.75).sqrt()).abs() < 1e-12);
        assert!(report.suspicious.contains(&"1 rows have no target".to_string()));
        // Whole numbers are what training takes them for: classes where each has several rows, and else numbers.
        for (rows, kind, classes) in [(25_u8, "classes", 5), (24, "numbers", 0)] {
            let table =
                Table::new(vec![numbers("y")], (0..rows).map(|row| f32::from(row % 5)).collect(), vec![], "t".into());
            let target = inspect(&table.unwrap(), Some("y")).unwrap().target.unwrap();
            assert_eq!((target.kind, target.classes.len()), (kind, classes));
        }
        let error = inspect(&small(), Some("z")).unwrap_err().to_string();
        assert_eq!(error, "target: z is not valid: expected a column of t: x, kind, y, same");
    }

    #[test]
    fn rows_of_both_tables_are_counted_by_what_their_words_are() {
        let train = Table::new(
            vec![numbers("x"), words("w", &["a", "b"]), numbers("y")],
            vec![1.0, 0.0, 0.0, 2.0, 1.0, 1.0, NONE, NONE, 0.0],
            vec![],
            "train".into(),
        )
        .unwrap();
        // Columns in another order, words with other numbers, and a word that training does not have.
        let test = Table::new(
            vec![words("w", &["b", "c", "a"]), numbers("x")],
            vec![0.0, 2.0, 1.0, 1.0, 2.0, -0.0, NONE, NONE, 2.0, 1.0],
            vec![],
            "test".into(),
        )
        .unwrap();
        assert_eq!(shared_rows(&train, &test, Some("y")), Some(3));
        let other = Table::new(vec![numbers("z")], vec![1.0], vec![], "other".into()).unwrap();
        assert_eq!(shared_rows(&train, &other, None), None);
    }

    #[test]
    fn what_looks_wrong_with_columns_is_listed() {
        let table = Table::new(
            vec![numbers("id"), words("name", &["p", "q", "r"]), numbers("twice"), numbers("y"), numbers("none")],
            vec![0.0, 0.0, 1.5, 3.0, NONE, 1.0, 1.0, 2.25, 4.5, NONE, 2.0, 2.0, 0.5, 1.0, NONE],
            vec![],
            "t".into(),
        )
        .unwrap();
        assert_eq!(
            inspect(&table, Some("y")).unwrap().suspicious,
            [
                "columns that are never given: none",
                "columns that count the rows, and say nothing else: id",
                "columns of words that are different in all rows: name",
                "columns that say all of the target (does it stand in them?): twice",
            ]
        );
    }
}
