//! How the columns of a table become inputs of a network, fitted on the training rows and saved with the model. It knows
//! columns, not what is predicted from them.
//!
//! A column of numbers is one input, `x = (v - center) / scale`, in f32. A column of words is an input for each of its words,
//! 1 for the word that stands there and 0 for the others (one-hot).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::feature_fit::{Constant, FeatureFit};
use super::messages::refusal;
use super::{Table, TableColumn};
use crate::error::{Error, Result};
use crate::names;

/// The choice of `--transform`: what is taken as the center and the scale of a column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    /// Mean and standard deviation
    Standard,
    /// Least value, and from there to the largest: inputs from 0 to 1
    MinMax,
    /// Median, and from the first quartile to the third: single values far away change little
    Robust,
    /// 0 and 1: numbers stay as they are
    None,
}

/// The choice of `--missing`: what becomes of a cell in which nothing is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// An error that says where
    #[default]
    Error,
    /// The column's mean; in columns of words, none of them
    Mean,
    /// The row is left out
    Drop,
}

/// All columns that a network predicts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// What becomes of cells in which nothing is given.
    pub missing: Missing,
    /// In the order of the inputs.
    pub columns: Vec<FeatureColumn>,
}

/// One column, and its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureColumn {
    /// As the table calls it.
    pub name: String,
    /// Its place among all columns of the table that it was fitted on, from 0; tables without names are read by it.
    pub place: usize,
    /// How it becomes inputs.
    #[serde(flatten)]
    pub encoding: Encoding,
}

/// How a column becomes inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Encoding {
    /// One input, `(v - center) / scale`.
    Number {
        /// An f32.
        center: f64,
        /// An f32 above 0.
        scale: f64,
        /// An f32, the mean of what is given: the value of cells in which nothing is.
        mean: f64,
    },
    /// An input for each word.
    Words {
        /// In alphabetical order.
        words: Vec<String>,
    },
}

impl Encoding {
    fn width(&self) -> usize {
        match self {
            Encoding::Number { .. } => 1,
            Encoding::Words { words } => words.len(),
        }
    }
}

impl Features {
    /// Fits the columns of `table` but for those of `targets`: numbers on `rows`, the training rows, alone. Words are all that
    /// the table has in that column, so that one which only a row held out has is no stranger.
    ///
    /// # Errors
    /// [`Error::Shape`] where a row has no value in some column and `missing` does not allow that.
    pub fn fit(table: &Table, targets: &[usize], rows: &[u32], transform: Transform, missing: Missing) -> Result<Self> {
        let mut fit = FeatureFit::new(table.columns(), targets, transform, missing);
        loop {
            for row in rows {
                fit.add(table.row(*row as usize));
            }
            if !fit.needs_another_pass() {
                return Ok(fit.finish());
            }
        }
    }

    /// Columns of pixels, whole numbers from 0 to 255, which are inputs from 0 to 1 by one factor for all: `x = v / 255`.
    pub(super) fn pixels(columns: &[TableColumn], targets: &[usize]) -> Self {
        let places = (0..columns.len()).filter(|place| !targets.contains(place));
        let encoding = Encoding::Number { center: 0.0, scale: 255.0, mean: 0.0 };
        let column =
            |place: usize| FeatureColumn { name: columns[place].name.clone(), place, encoding: encoding.clone() };
        Self { missing: Missing::Error, columns: places.map(column).collect() }
    }

    /// Whether all are pixels, whole numbers from 0 to 255 that become `x = v / 255`, so that a byte each says it all.
    pub fn are_pixels(&self) -> bool {
        let pixel = |column: &FeatureColumn| {
            matches!(column.encoding, Encoding::Number { center: 0.0, scale: 255.0, mean: 0.0 })
        };
        self.missing == Missing::Error && self.columns.iter().all(pixel)
    }

    /// How many inputs they make.
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.encoding.width()).sum()
    }

    /// The center and the scale of every input, `x = (v - center) / scale`: 0 and 1 of words. `[width]` each.
    pub fn affine(&self) -> (Vec<f32>, Vec<f32>) {
        let mut pair = (Vec::new(), Vec::new());
        for column in &self.columns {
            let (center, scale) = match column.encoding {
                Encoding::Number { center, scale, .. } => (center as f32, scale as f32),
                Encoding::Words { .. } => (0.0, 1.0),
            };
            pair.0.resize(pair.0.len() + column.encoding.width(), center);
            pair.1.resize(pair.1.len() + column.encoding.width(), scale);
        }
        pair
    }

    /// Names of columns that are the same number in every row they were fitted on.
    pub fn constant<'a>(&'a self, table: &'a Table, rows: &'a [u32]) -> impl Iterator<Item = &'a str> {
        let mut constant = Constant::new(self.columns.iter().map(|column| column.place));
        for row in rows {
            constant.add(table.row(*row as usize));
        }
        constant.left().map(|at| self.columns[at].name.as_str())
    }

    /// Where each column stands in `table`: by its name; else, in a table that is as wide as the one it was fitted on, by its
    /// place; else, in one that has these columns alone, in their order.
    ///
    /// # Errors
    /// [`Error::Shape`] where a column is missing.
    pub(super) fn places(&self, table: &Table, width: usize) -> Result<Vec<usize>> {
        let by_name: HashMap<&str, usize> = names_of(table.columns());
        let named: Option<Vec<usize>> =
            self.columns.iter().map(|column| by_name.get(column.name.as_str()).copied()).collect();
        match named {
            Some(places) => Ok(places),
            None if is_unnamed(table.columns()) && table.columns().len() == width => {
                Ok(self.columns.iter().map(|column| column.place).collect())
            }
            None if is_unnamed(table.columns()) && table.columns().len() == self.columns.len() => {
                Ok((0..self.columns.len()).collect())
            }
            None => {
                let missing = self.columns.iter().find(|column| !by_name.contains_key(column.name.as_str()));
                let missing = missing.map_or("", |column| &column.name);
                let expected = format!("'{missing}' among the {} that the model predicts from", self.columns.len());
                Err(refusal(table.source(), "columns", expected, format!("{} others", table.columns().len())))
            }
        }
    }

    /// The inputs of `rows` of `table`: `[rows, width]`, row-major. `places` as [`places`](Self::places) gives them.
    ///
    /// # Errors
    /// [`Error::Shape`] for the first cell in which nothing is given although `missing` does not allow that, a text where
    /// numbers were, or a word that was not there when the model was trained.
    pub(super) fn apply(&self, table: &Table, places: &[usize], rows: &[u32]) -> Result<Vec<f32>> {
        let mut readers: Vec<Reader> =
            self.columns.iter().zip(places).map(|(column, place)| Reader::new(column, table, *place)).collect();
        let width = self.width();
        let mut x = vec![0.0; rows.len() * width];
        for (row, x) in rows.iter().zip(x.chunks_exact_mut(width)) {
            let mut first = 0;
            for reader in &mut readers {
                let end = first + reader.column.encoding.width();
                reader.read(table, *row as usize, self.missing, &mut x[first..end])?;
                first = end;
            }
        }
        Ok(x)
    }

    /// What must hold of features from a file.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        for column in &self.columns {
            let bad = |problem: &str| Err(format!("column '{}' {problem}", column.name));
            match &column.encoding {
                Encoding::Number { center, scale, mean } => {
                    let scale = *scale as f32;
                    if ![*center as f32, *mean as f32].iter().all(|number| number.is_finite()) {
                        return bad("has a center or a mean that is no finite number");
                    }
                    if !(scale > 0.0 && scale.is_finite()) {
                        return bad("has a scale that is not above 0");
                    }
                }
                Encoding::Words { words } if !words.windows(2).all(|two| two[0] < two[1]) => {
                    return bad("has words in another order than the alphabet's, or one twice");
                }
                Encoding::Words { .. } => {}
            }
        }
        if self.width() == 0 { Err("no column gives an input".into()) } else { Ok(()) }
    }
}

/// Reads the cells of one column of a table.
struct Reader<'a> {
    column: &'a FeatureColumn,
    place: usize,
    /// Of the table's words, by their numbers there, which of the model's each is; of numbers that stand for words, by their
    /// bits.
    found: HashMap<u32, Option<usize>>,
}

impl<'a> Reader<'a> {
    fn new(column: &'a FeatureColumn, table: &Table, place: usize) -> Self {
        let mut found = HashMap::new();
        if let (Encoding::Words { words }, Some(there)) = (&column.encoding, &table.columns()[place].words) {
            let own = |word: &String| words.binary_search(word).ok();
            found = (0_u32..).zip(there).map(|(number, word)| ((number as f32).to_bits(), own(word))).collect();
        }
        Self { column, place, found }
    }

    /// `x`: the inputs of this column, zeros before.
    fn read(&mut self, table: &Table, row: usize, missing: Missing, x: &mut [f32]) -> Result<()> {
        let cell = table.row(row)[self.place];
        let refuse = |expected: &str, found: String| Err(table.refuse(row, &self.column.name, expected, found));
        if cell.is_nan() && missing != Missing::Mean {
            return refuse("a value (missing cells are allowed with missing = mean or drop)", "nothing".into());
        }
        match &self.column.encoding {
            Encoding::Number { .. } if table.columns()[self.place].words.is_some() && !cell.is_nan() => {
                refuse("a number, as the model was trained on", format!("'{}'", table.told(row, self.place)))
            }
            Encoding::Number { center, scale, mean } => {
                let value = if cell.is_nan() { *mean as f32 } else { cell };
                x[0] = (value - *center as f32) / *scale as f32;
                Ok(())
            }
            Encoding::Words { .. } if cell.is_nan() => Ok(()),
            Encoding::Words { words } => {
                let by_text = || words.binary_search(&cell.to_string()).ok();
                match *self.found.entry(cell.to_bits()).or_insert_with(by_text) {
                    Some(word) => {
                        x[word] = 1.0;
                        Ok(())
                    }
                    None => refuse(
                        "one of the words that the model was trained on",
                        format!("'{}'", table.told(row, self.place)),
                    ),
                }
            }
        }
    }
}

fn names_of(columns: &[TableColumn]) -> HashMap<&str, usize> {
    columns.iter().enumerate().map(|(place, column)| (column.name.as_str(), place)).collect()
}

/// Whether columns are numbered, as those of a file without a header are.
fn is_unnamed(columns: &[TableColumn]) -> bool {
    (1_usize..).zip(columns).all(|(number, column)| column.name == number.to_string())
}

impl FromStr for Transform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("transform", text.trim(), "standard, min-max, robust or none")
    }
}

impl FromStr for Missing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("missing", text.trim(), "error, mean or drop")
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: f32 = f32::NAN;

    fn words(name: &str, words: &[&str]) -> TableColumn {
        TableColumn { name: name.into(), words: Some(words.iter().map(ToString::to_string).collect()) }
    }

    fn table(columns: Vec<TableColumn>, cells: &[f32]) -> Table {
        let rows = cells.len() / columns.len();
        Table::new(columns, cells.to_vec(), (2..).take(rows).collect(), "t.csv".into()).unwrap()
    }

    fn numbers(cells: &[f32]) -> Table {
        table(vec![TableColumn::number("v")], cells)
    }

    fn all(table: &Table) -> Vec<u32> {
        (0..table.len() as u32).collect()
    }

    fn inputs(features: &Features, table: &Table) -> Result<Vec<f32>> {
        features.apply(table, &features.places(table, table.columns().len())?, &all(table))
    }

    /// The column 1, 2, 3, 4, 10 by hand; the last row is not fitted on.
    #[test]
    fn each_transform_is_the_one_by_hand() {
        let table = numbers(&[1.0, 2.0, 3.0, 4.0, 10.0, 100.0]);
        let std = ((9.0 + 4.0 + 1.0 + 0.0 + 36.0) / 5.0_f64).sqrt();
        for (transform, center, scale) in [
            (Transform::Standard, 4.0, f64::from(std as f32)),
            (Transform::MinMax, 1.0, 9.0),
            (Transform::Robust, 3.0, 2.0),
            (Transform::None, 0.0, 1.0),
        ] {
            let features = Features::fit(&table, &[], &[0, 1, 2, 3, 4], transform, Missing::Error).unwrap();
            assert_eq!(features.columns[0].encoding, Encoding::Number { center, scale, mean: 4.0 }, "{transform}");
            let wanted = (100.0 - center as f32) / scale as f32;
            assert_eq!(inputs(&features, &table).unwrap()[5].to_bits(), wanted.to_bits());
            assert_eq!(features.affine(), (vec![center as f32], vec![scale as f32]));
        }
    }

    #[test]
    fn columns_that_do_not_vary_are_harmless_and_told() {
        for cell in [0.0, 7.5, -1e30, 16_777_217.0] {
            let table = numbers(&[cell; 4]);
            for transform in [Transform::Standard, Transform::MinMax, Transform::Robust] {
                let features = Features::fit(&table, &[], &all(&table), transform, Missing::Error).unwrap();
                assert_eq!(inputs(&features, &table).unwrap(), [0.0; 4], "{cell} {transform}");
                assert_eq!(features.constant(&table, &all(&table)).collect::<Vec<_>>(), ["v"]);
            }
        }
        let varies = numbers(&[1.0, 2.0]);
        let features = Features::fit(&varies, &[], &all(&varies), Transform::Standard, Missing::Error).unwrap();
        assert_eq!(features.constant(&varies, &all(&varies)).count(), 0);
    }

    #[test]
    fn words_are_one_input_each_in_the_order_of_the_alphabet() {
        let trained = table(vec![words("w", &["b", "a"]), TableColumn::number("v")], &[0.0, 5.0, 1.0, 5.0]);
        let features = Features::fit(&trained, &[1], &all(&trained), Transform::Standard, Missing::Error).unwrap();
        assert_eq!((features.width(), inputs(&features, &trained).unwrap()), (2, vec![0.0, 1.0, 1.0, 0.0]));
        // Another table has met them in another order, and more of them.
        let other = table(vec![TableColumn::number("z"), words("w", &["c", "a", "b"])], &[0.0, 1.0, 0.0, 2.0]);
        assert_eq!(inputs(&features, &other).unwrap(), [1.0, 0.0, 0.0, 1.0]);
        let stranger = table(vec![words("w", &["a", "c"])], &[0.0, 1.0]);
        let error = inputs(&features, &stranger).unwrap_err().to_string();
        assert_eq!(
            error,
            "t.csv: line 3, column 'w': expected one of the words that the model was trained on, found 'c'"
        );
        // Words that look like numbers are read as numbers where a table has no others.
        let digits = table(vec![words("w", &["7", "x"])], &[0.0, 1.0]);
        let features = Features::fit(&digits, &[], &all(&digits), Transform::Standard, Missing::Error).unwrap();
        assert_eq!(inputs(&features, &table(vec![TableColumn::number("w")], &[7.0])).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn what_is_missing_is_refused_or_the_mean() {
        let trained = table(vec![TableColumn::number("v"), words("w", &["a", "b"])], &[1.0, 0.0, 3.0, 1.0, NONE, NONE]);
        let fit = |missing| Features::fit(&trained, &[], &all(&trained), Transform::None, missing).unwrap();
        let error = inputs(&fit(Missing::Error), &trained).unwrap_err().to_string();
        assert!(error.starts_with("t.csv: line 4, column 'v': expected a value"), "{error}");
        assert_eq!(inputs(&fit(Missing::Mean), &trained).unwrap()[6..], [2.0, 0.0, 0.0]);
        let nothing = numbers(&[NONE; 2]);
        for transform in [Transform::Standard, Transform::MinMax, Transform::Robust] {
            let features = Features::fit(&nothing, &[], &[0, 1], transform, Missing::Mean).unwrap();
            assert_eq!(inputs(&features, &nothing).unwrap(), [0.0; 2]);
        }
    }

    #[test]
    fn columns_are_found_by_name_by_place_and_by_order() {
        let cells: Vec<f32> = (0..6).map(|cell| cell as f32).collect();
        let named = |names: &[&str]| {
            table(names.iter().map(|name| TableColumn::number(*name)).collect(), &cells[..names.len()])
        };
        let features = Features::fit(&named(&["a", "t", "b"]), &[1], &[0], Transform::None, Missing::Error).unwrap();
        let found = |names: &[&str]| features.places(&named(names), 3).map_err(|error| error.to_string());
        assert_eq!(found(&["b", "a"]), Ok(vec![1, 0]));
        assert_eq!(found(&["1", "2", "3"]), Ok(vec![0, 2]));
        assert_eq!(found(&["1", "2"]), Ok(vec![0, 1]));
        let wanted = "t.csv: columns: expected 'b' among the 2 that the model predicts from, found 2 others";
        assert_eq!(found(&["a", "c"]).unwrap_err(), wanted);
        assert!(found(&["1", "2", "3", "4"]).is_err() && found(&["x", "y", "z"]).is_err());
    }

    #[test]
    fn a_text_where_numbers_were_is_told_with_its_place() {
        let trained = numbers(&[1.0, 2.0]);
        let features = Features::fit(&trained, &[], &all(&trained), Transform::None, Missing::Error).unwrap();
        let error = inputs(&features, &table(vec![words("v", &["abc"])], &[0.0])).unwrap_err().to_string();
        assert_eq!(error, "t.csv: line 2, column 'v': expected a number, as the model was trained on, found 'abc'");
    }

    #[test]
    fn features_come_back_from_json_and_hostile_ones_are_refused() {
        let trained = table(vec![TableColumn::number("v"), words("w", &["b", "a"])], &[0.1, 0.0, 1e-20, 1.0]);
        let features = Features::fit(&trained, &[], &all(&trained), Transform::Standard, Missing::Mean).unwrap();
        let text = serde_json::to_string(&features).unwrap();
        assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), features);
        assert_eq!(features.check(), Ok(()));
        let number = |center, scale, mean| FeatureColumn {
            name: "v".into(),
            place: 0,
            encoding: Encoding::Number { center, scale, mean },
        };
        let word = |words: &[&str]| FeatureColumn {
            name: "w".into(),
            place: 0,
            encoding: Encoding::Words { words: words.iter().map(ToString::to_string).collect() },
        };
        for column in [
            number(0.0, 0.0, 0.0),
            number(0.0, -1.0, 0.0),
            number(0.0, 1e-60, 0.0),
            number(1e60, 1.0, 0.0),
            number(0.0, 1.0, f64::NAN),
            number(0.0, f64::INFINITY, 0.0),
            word(&["b", "a"]),
            word(&["a", "a"]),
            word(&[]),
        ] {
            let hostile = Features { missing: Missing::Error, columns: vec![column] };
            assert!(hostile.check().is_err(), "{hostile:?}");
        }
    }
}
