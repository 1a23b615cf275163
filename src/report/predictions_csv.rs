//! Predictions as CSV, a row per sample, in a file that appears whole or not at all. It knows the columns, not what predicts.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::Result;
use crate::metrics::Classified;
use crate::whole_file::Draft;

/// The rows of `row,label,prediction,probability,p_0,p_1,...`: the sample's number in its set, counted from 0, its class
/// number, that of the prediction, the prediction's probability, and the probability of every class. Every number is the
/// shortest text that reads back as the same f32.
#[derive(Debug)]
pub struct PredictionsCsv {
    draft: Draft,
    text: String,
}

impl PredictionsCsv {
    /// Begins the file beside `path` with the names of its columns.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where none can be written there, or what stands there is no plain file.
    pub fn start(path: &Path, classes: usize) -> Result<Self> {
        let mut csv = PredictionsCsv { draft: Draft::start(path)?, text: "row,label,prediction,probability".into() };
        for class in 0..classes {
            // Writing into a String cannot fail.
            let _ = write!(csv.text, ",p_{class}");
        }
        csv.text.push('\n');
        csv.hand_on()?;
        Ok(csv)
    }

    /// Adds a row for each of some samples, of which `rows` gives the numbers.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the file cannot be written.
    pub fn add(&mut self, rows: impl IntoIterator<Item = usize>, samples: &Classified<'_>) -> Result<()> {
        for (row, sample) in rows.into_iter().zip(samples.samples()) {
            let _ = write!(self.text, "{row},{},{}", sample.label, sample.prediction);
            let its = &sample.probabilities[sample.prediction as usize];
            for p in std::iter::once(its).chain(sample.probabilities) {
                self.text.push(',');
                // Without an exponent, a small number is some forty zeros.
                let _ = if *p == 0.0 || *p >= 1e-4 { write!(self.text, "{p}") } else { write!(self.text, "{p:e}") };
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
        let mut csv = PredictionsCsv::start(&path, 3).unwrap();
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
    fn what_is_never_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(PredictionsCsv::start(&folder.path().join("predictions.csv"), 2).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(PredictionsCsv::start(&folder.path().join("absent/predictions.csv"), 2).is_err());
    }
}
