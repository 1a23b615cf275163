//! Predictions as CSV, a row per sample, in a file that appears whole or not at all. It knows the columns, not what predicts.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::names::csv_cell;
use crate::data::ValueColumn;
use crate::error::Result;
use crate::metrics::Classified;
use crate::whole_file::Draft;

/// What the columns of a file are, behind `row`, the sample's number in its set, counted from 0.
#[derive(Debug, Clone, Copy)]
pub enum PredictedColumns<'a> {
    /// `label,prediction,probability,p_0,p_1,...`: the class number, that of the prediction, the prediction's probability, and
    /// the probability of every class. Where classes have names, `label_name,prediction_name` follow.
    Classes {
        /// How many there are.
        classes: usize,
        /// What they are called; empty where they are their numbers.
        names: &'a [String],
    },
    /// `label_x,p_x,...`: of each label whether it is there, 0 or 1, and how likely it was held to be.
    Labels(&'a [String]),
    /// `x,predicted_x,...`: of each value the true one and the predicted one, in its own units. What was learned in units of a
    /// standard deviation has seven digits, as rounding took the last bits.
    Values(&'a [ValueColumn]),
}

/// A number as a cell of CSV: text that reads back as the same f32.
#[derive(Debug, Clone, Copy)]
pub struct CsvNumber(pub f32);

impl fmt::Display for CsvNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without an exponent, a small number is some forty zeros, and a large one as many digits that say nothing.
        let is_plain = self.0 == 0.0 || (1e-4..1e15).contains(&self.0.abs());
        if is_plain { write!(f, "{}", self.0) } else { write!(f, "{:e}", self.0) }
    }
}

/// The rows of [`PredictedColumns`]. Every number is the shortest text that reads back as the same f32.
#[derive(Debug)]
pub struct PredictionsCsv<'a> {
    draft: Draft,
    text: String,
    columns: PredictedColumns<'a>,
}

impl<'a> PredictionsCsv<'a> {
    /// Begins the file beside `path` with the names of its columns.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where none can be written there, or what stands there is no plain file.
    pub fn start(path: &Path, columns: PredictedColumns<'a>) -> Result<Self> {
        let mut csv = PredictionsCsv { draft: Draft::start(path)?, text: "row".into(), columns };
        let mut name = |name: String| {
            csv.text.push(',');
            csv.text.push_str(&csv_cell(&name));
        };
        match columns {
            PredictedColumns::Classes { classes, names } => {
                ["label", "prediction", "probability"].into_iter().for_each(|column| name(column.into()));
                (0..classes).for_each(|class| name(format!("p_{class}")));
                if !names.is_empty() {
                    ["label_name", "prediction_name"].into_iter().for_each(|column| name(column.into()));
                }
            }
            PredictedColumns::Labels(labels) => labels.iter().for_each(|label| {
                name(format!("label_{label}"));
                name(format!("p_{label}"));
            }),
            PredictedColumns::Values(values) => values.iter().for_each(|value| {
                name(value.name.clone());
                name(format!("predicted_{}", value.name));
            }),
        }
        csv.text.push('\n');
        csv.hand_on()?;
        Ok(csv)
    }

    /// Adds a row for each of some samples by class, of which `rows` gives the numbers.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the file cannot be written.
    pub fn add(&mut self, rows: impl IntoIterator<Item = usize>, samples: &Classified<'_>) -> Result<()> {
        for (row, sample) in rows.into_iter().zip(samples.samples()) {
            // Writing into a String cannot fail.
            let _ = write!(self.text, "{row},{},{}", sample.label, sample.prediction);
            let its = &sample.probabilities[sample.prediction as usize];
            for p in std::iter::once(its).chain(sample.probabilities) {
                let _ = write!(self.text, ",{}", CsvNumber(*p));
            }
            if let PredictedColumns::Classes { names, .. } = self.columns {
                for name in [sample.label, sample.prediction].iter().filter_map(|class| names.get(*class as usize)) {
                    self.text.push(',');
                    self.text.push_str(&csv_cell(name));
                }
            }
            self.text.push('\n');
        }
        self.hand_on()
    }

    /// Adds a row for each of some samples of labels or values: `[m, width]` of both, what is true and what is predicted, a
    /// probability or a value in its own units.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the file cannot be written.
    pub fn add_pairs(
        &mut self,
        rows: impl IntoIterator<Item = usize>,
        wanted: &[f32],
        predicted: &[f32],
    ) -> Result<()> {
        let width = match self.columns {
            PredictedColumns::Classes { classes, .. } => classes,
            PredictedColumns::Labels(labels) => labels.len(),
            PredictedColumns::Values(values) => values.len(),
        };
        let width = width.max(1);
        for (row, (wanted, predicted)) in rows.into_iter().zip(wanted.chunks(width).zip(predicted.chunks(width))) {
            let _ = write!(self.text, "{row}");
            for (column, (wanted, predicted)) in wanted.iter().zip(predicted).enumerate() {
                let is_rounded =
                    matches!(self.columns, PredictedColumns::Values(values) if values[column].scale != 1.0);
                for value in [*wanted, *predicted] {
                    let seven_digits = || format!("{value:.6e}").parse().unwrap_or(value);
                    let _ = write!(self.text, ",{}", CsvNumber(if is_rounded { seven_digits() } else { value }));
                }
            }
            self.text.push('\n');
        }
        self.hand_on()
    }

    /// Puts the file in its place; one that stood there before is replaced.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where that cannot be done; then nothing has changed there.
    pub fn publish(self) -> Result<()> {
        self.draft.complete()?.publish()
    }

    fn hand_on(&mut self) -> Result<()> {
        let text = &self.text;
        self.draft.add(|out| out.write_all(text.as_bytes()))?;
        self.text.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_per_sample_reads_back_as_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        let probabilities = &[0.1, 0.9, 0.0, 0.25, 1.0e-30, 0.75];
        let columns = PredictedColumns::Classes { classes: 3, names: &[] };
        let mut csv = PredictionsCsv::start(&path, columns).unwrap();
        csv.add([7, 4], &Classified { labels: &[0, 2], predictions: &[1, 2], probabilities }).unwrap();
        assert!(!path.exists(), "there before it is complete");
        csv.publish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "row,label,prediction,probability,p_0,p_1,p_2\n7,0,1,0.9,0.1,0.9,0\n4,2,2,0.75,0.25,1e-30,0.75\n"
        );
        let read: Vec<f32> =
            (text.lines().skip(1)).flat_map(|line| line.split(',').skip(4)).map(|p| p.parse().unwrap()).collect();
        assert_eq!(read, probabilities);
    }

    #[test]
    fn names_follow_what_has_always_been_there_and_labels_and_values_stand_in_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        let text = |columns: PredictedColumns<'_>, fill: &dyn Fn(&mut PredictionsCsv<'_>) -> Result<()>| {
            let mut csv = PredictionsCsv::start(&path, columns).unwrap();
            fill(&mut csv).unwrap();
            csv.publish().unwrap();
            std::fs::read_to_string(&path).unwrap()
        };
        let names = ["a,b".to_string(), "c".to_string()];
        let classes = PredictedColumns::Classes { classes: 2, names: &names };
        let found = text(classes, &|csv| {
            csv.add([3], &Classified { labels: &[0], predictions: &[1], probabilities: &[0.25, 0.75] })
        });
        let head = "row,label,prediction,probability,p_0,p_1,label_name,prediction_name\n";
        assert_eq!(found, format!("{head}3,0,1,0.75,0.25,0.75,\"a,b\",c\n"));
        let labels = text(PredictedColumns::Labels(&names), &|csv| {
            csv.add_pairs([0, 9], &[1.0, 0.0, 0.0, 1.0], &[0.5, 1e-9, 0.25, 1.0])
        });
        assert_eq!(labels, "row,\"label_a,b\",\"p_a,b\",label_c,p_c\n0,1,0.5,0,1e-9\n9,0,0.25,1,1\n");
        // A value of 3 that came back from units of a deviation with another last bit is 3; one that was never scaled keeps its bits.
        let column = |name: &str, scale| ValueColumn { name: name.into(), center: 0.0, scale };
        let values = [column("price", 2.0), column("raw", 1.0)];
        let values =
            text(PredictedColumns::Values(&values), &|csv| csv.add_pairs([1], &[2.9999998, 2.9999998], &[1e30, -0.5]));
        assert_eq!(values, "row,price,predicted_price,raw,predicted_raw\n1,3,1e30,2.9999998,-0.5\n");
    }

    #[test]
    fn what_is_never_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let columns = PredictedColumns::Classes { classes: 2, names: &[] };
        drop(PredictionsCsv::start(&folder.path().join("predictions.csv"), columns).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(PredictionsCsv::start(&folder.path().join("absent/predictions.csv"), columns).is_err());
    }
}
