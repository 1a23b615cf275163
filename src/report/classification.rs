//! What a model makes of its validation samples by class: which class it takes for which, and its most confident mistakes.
//! It knows a network and data, not how they are shown.

use super::names::{MAX_NAME_COLUMNS, shown_name};
use super::predictions::Predictions;
use crate::data::Dataset;
use crate::error::Result;
use crate::metrics::{Classification, Confusion, Figure};
use crate::nn::Sequential;
use crate::run::SampleKind;

/// So many mistakes are kept, the most confident first.
pub const MAX_MISTAKES: usize = 24;

/// What a model predicts for a set of samples by class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationReport {
    /// Where the samples come from.
    pub source: String,
    /// What they are.
    pub kind: SampleKind,
    /// Rows and columns of an image.
    pub image_size: (usize, usize),
    /// What the classes are called; empty where they are their numbers.
    pub class_names: Vec<String>,
    /// Which class is taken for which.
    pub confusion: Confusion,
    /// How good that is: the figures of [`METRICS`](crate::metrics::METRICS).
    pub figures: Vec<Figure>,
    /// At most [`MAX_MISTAKES`], by falling probability.
    pub mistakes: Vec<Mistake>,
    /// How many of the network's outputs are above 0 for no image.
    pub never_positive: usize,
}

/// A sample of one class that is predicted as another.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Number of the sample in its set, or where that is known in its file, from 0.
    pub row: usize,
    /// Class number of the sample.
    pub label: u16,
    /// Class number of the network's answer.
    pub prediction: u16,
    /// Of the prediction, 0 to 1.
    pub probability: f32,
    /// Of an image: row by row, a byte each; of a row of a table nothing.
    pub pixels: Vec<u8>,
}

impl ClassificationReport {
    /// One pass of `model` over all of `data`, in batches of `batch_size`, on the calling thread.
    ///
    /// # Errors
    /// Where the data does not fit the network, its targets are not classes, or `batch_size` is 0.
    pub fn of(model: &Sequential, data: &Dataset, batch_size: usize) -> Result<Self> {
        let predictions = Predictions::of(model, data, batch_size, 1)?;
        let classes = data.classes();
        let mut classification = Classification::new(classes)?;
        let mut mistakes: Vec<(f32, usize, u16)> = Vec::new();
        let mut was_positive = vec![false; classes];
        predictions.for_each(|batch| {
            for outputs in batch.outputs.chunks_exact(classes) {
                was_positive.iter_mut().zip(outputs).for_each(|(was, output)| *was |= *output > 0.0);
            }
            for (row, sample) in (batch.first..).zip(batch.classified().samples()) {
                if sample.prediction != sample.label {
                    let probability = sample.probabilities[sample.prediction as usize];
                    mistakes.push((probability, row, sample.prediction as u16));
                }
            }
            classification.add(&batch.classified())
        })?;
        mistakes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        mistakes.truncate(MAX_MISTAKES);
        let keep = |(probability, row, prediction): (f32, usize, u16)| Mistake {
            row,
            label: data.labels()[row],
            prediction,
            probability,
            pixels: data.row(row),
        };
        Ok(ClassificationReport {
            source: data.source().to_string(),
            kind: SampleKind::of(data),
            image_size: data.image_size(),
            class_names: data.class_names().to_vec(),
            confusion: classification.confusion().clone(),
            figures: classification.figures().collect(),
            mistakes: mistakes.into_iter().map(keep).collect(),
            never_positive: was_positive.iter().filter(|was| !**was).count(),
        })
    }

    /// What a class is called: its name, as far as it fits, or its number.
    pub fn name(&self, class: usize) -> String {
        self.class_names.get(class).map_or_else(|| class.to_string(), |name| shown_name(name, MAX_NAME_COLUMNS))
    }

    /// The figure of that name; `None` where it is not defined, or there is none.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name)?.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predicts class 0 for a bright pixel, class 1 for a dark one, never class 2. The brighter, the surer.
    fn model() -> Sequential {
        let mut model = Sequential::new(1).linear(3).build(0).unwrap();
        model.set_parameter("0.weight", &[4.0, -4.0, 0.0]).unwrap();
        model.set_parameter("0.bias", &[0.0, 3.0, -9.0]).unwrap();
        model
    }

    fn report(pixels: Vec<u8>, labels: Vec<u8>, batch_size: usize) -> ClassificationReport {
        let data = Dataset::images(pixels, labels, (1, 1), 3, "pixels".into()).unwrap();
        ClassificationReport::of(&model(), &data, batch_size).unwrap()
    }

    #[test]
    fn every_image_is_counted_and_mistakes_come_by_confidence() {
        for batch_size in [1, 2, 100] {
            let found = report(vec![255, 0, 255, 200, 10, 0], vec![0, 1, 1, 2, 2, 1], batch_size);
            let rows: Vec<&[u64]> = found.confusion.rows().collect();
            assert_eq!(rows, [[1, 0, 0], [1, 2, 0], [1, 1, 0]]);
            assert_eq!((found.confusion.correct(), found.never_positive), (3, 1));
            assert_eq!((found.figure("accuracy"), found.figure("absent")), (Some(0.5), None));
            let mistakes: Vec<_> = found.mistakes.iter().map(|m| (m.label, m.prediction, m.pixels[0])).collect();
            assert_eq!(mistakes, [(1, 0, 255), (2, 0, 200), (2, 1, 10)]);
            assert_eq!(found.mistakes.iter().map(|mistake| mistake.row).collect::<Vec<_>>(), [2, 3, 4]);
            assert!(found.mistakes.windows(2).all(|two| two[0].probability >= two[1].probability));
            // exp(4) of exp(4) + exp(-1) + exp(-9)
            assert!((found.mistakes[0].probability - 0.993_305).abs() < 1e-5, "{}", found.mistakes[0].probability);
        }
    }

    #[test]
    fn no_more_mistakes_are_kept_than_are_shown() {
        let found = report(vec![255; 1000], vec![1; 1000], 32);
        assert_eq!((found.mistakes.len(), found.confusion.correct()), (MAX_MISTAKES, 0));
        let none = report(vec![255], vec![0], 32);
        assert_eq!((none.mistakes.len(), none.confusion.by_class()[1].recall), (0, None));
    }

    #[test]
    fn data_that_does_not_fit_is_refused() {
        let data = Dataset::images(vec![0, 0], vec![0], (1, 2), 3, "two pixels".into()).unwrap();
        let message = ClassificationReport::of(&model(), &data, 32).unwrap_err().to_string();
        assert!(message.contains("two pixels") && message.contains('1'), "{message}");
    }
}
