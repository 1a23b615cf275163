//! What a model makes of its validation images: which class it takes for which, and its most confident mistakes.
//! It knows a network and data, not how they are shown.

use crate::data::{Batch, Dataset, Loader, Shuffle};
use crate::error::Result;
use crate::loss::{Criterion, CrossEntropy};
use crate::nn::{Context, Sequential, Workspace};
use crate::train;

/// So many mistakes are kept, the most confident first.
pub const MAX_MISTAKES: usize = 24;

/// What a model predicts for a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassificationReport {
    /// Where the images come from.
    pub source: String,
    /// Number of classes.
    pub classes: usize,
    /// Rows and columns of an image.
    pub image_size: (usize, usize),
    /// `[classes, classes]`: images of the class of the row that are predicted as the class of the column.
    pub confusion: Vec<u32>,
    /// At most [`MAX_MISTAKES`], by falling probability.
    pub mistakes: Vec<Mistake>,
    /// How many of the network's outputs are above 0 for no image.
    pub never_positive: usize,
}

/// An image of one class that is predicted as another.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// Class number of the image.
    pub label: u16,
    /// Class number of the network's answer.
    pub prediction: u16,
    /// Of the prediction, 0 to 1.
    pub probability: f32,
    /// Row by row, a byte each.
    pub pixels: Vec<u8>,
}

/// How well one class is told from the others. A figure is `None` where it would divide by zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigures {
    /// Images of this class.
    pub images: u32,
    /// Of the images predicted as this class, the share that is of it.
    pub precision: Option<f64>,
    /// Of the images of this class, the share that is predicted so.
    pub recall: Option<f64>,
    /// The harmonic mean of both.
    pub f1: Option<f64>,
}

impl ClassificationReport {
    /// One pass of `model` over all of `data`, in batches of `batch_size`, on the calling thread.
    ///
    /// # Errors
    /// Where the data does not fit the network, its targets are not classes, or `batch_size` is 0.
    pub fn of(model: &Sequential, data: &Dataset, batch_size: usize) -> Result<Self> {
        let loss = CrossEntropy::new();
        train::check_fit(&loss, model, data)?;
        let loader = Loader::new(data, batch_size, Shuffle::Never, 0)?;
        let (classes, context) = (data.classes(), Context::evaluate());
        let (mut batch, mut workspace) = (Batch::new(), Workspace::new());
        let mut criterion = Criterion::new(loss, classes);
        let mut confusion = vec![0u32; classes * classes];
        let mut mistakes: Vec<(f32, usize, u16)> = Vec::new();
        let mut was_positive = vec![false; classes];
        for index in 0..loader.batches() {
            loader.load(index, context.simd, &mut batch);
            let logits = model.forward(&batch, &context, &mut workspace);
            for outputs in logits.chunks_exact(classes) {
                was_positive.iter_mut().zip(outputs).for_each(|(was, output)| *was |= *output > 0.0);
            }
            criterion.forward(context.simd, logits, batch.targets(), None);
            let predictions = criterion.predictions().iter().zip(criterion.probabilities().chunks_exact(classes));
            for (offset, (&prediction, probabilities)) in predictions.enumerate() {
                let row = index * batch_size + offset;
                let (label, prediction) = (data.labels()[row], prediction as u16);
                confusion[usize::from(label) * classes + usize::from(prediction)] += 1;
                if prediction != label {
                    mistakes.push((probabilities[usize::from(prediction)], row, prediction));
                }
            }
        }
        mistakes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        mistakes.truncate(MAX_MISTAKES);
        let keep = |(probability, row, prediction): (f32, usize, u16)| Mistake {
            label: data.labels()[row],
            prediction,
            probability,
            pixels: data.row(row),
        };
        Ok(ClassificationReport {
            source: data.source().to_string(),
            classes,
            image_size: data.image_size(),
            confusion,
            mistakes: mistakes.into_iter().map(keep).collect(),
            never_positive: was_positive.iter().filter(|was| !**was).count(),
        })
    }

    /// Images in all.
    pub fn samples(&self) -> u64 {
        self.confusion.iter().map(|count| u64::from(*count)).sum()
    }

    /// Images whose prediction is their label.
    pub fn correct(&self) -> u64 {
        self.confusion.iter().step_by(self.classes + 1).map(|count| u64::from(*count)).sum()
    }

    /// A row of the confusion matrix: the images of one class by their prediction.
    pub fn row(&self, class: usize) -> &[u32] {
        &self.confusion[class * self.classes..][..self.classes]
    }

    /// Precision, recall and F1 of every class, in order.
    pub fn by_class(&self) -> Vec<ClassFigures> {
        let share = |part: u32, whole: u32| (whole > 0).then(|| f64::from(part) / f64::from(whole));
        (0..self.classes)
            .map(|class| {
                let right = self.row(class)[class];
                let images: u32 = self.row(class).iter().sum();
                let predicted: u32 = (0..self.classes).map(|label| self.row(label)[class]).sum();
                ClassFigures {
                    images,
                    precision: share(right, predicted),
                    recall: share(right, images),
                    f1: share(2 * right, images + predicted),
                }
            })
            .collect()
    }

    /// The pairs of classes most often confused: label, prediction, how often; at most `count` of them, most often first.
    pub fn most_confused(&self, count: usize) -> Vec<(usize, usize, u32)> {
        let mut pairs: Vec<_> = (0..self.confusion.len())
            .map(|at| (at / self.classes, at % self.classes, self.confusion[at]))
            .filter(|(label, prediction, times)| label != prediction && *times > 0)
            .collect();
        pairs.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        pairs.truncate(count);
        pairs
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
            assert_eq!(found.confusion, [1, 0, 0, 1, 2, 0, 1, 1, 0]);
            assert_eq!((found.samples(), found.correct(), found.never_positive), (6, 3, 1));
            let mistakes: Vec<_> = found.mistakes.iter().map(|m| (m.label, m.prediction, m.pixels[0])).collect();
            assert_eq!(mistakes, [(1, 0, 255), (2, 0, 200), (2, 1, 10)]);
            assert!(found.mistakes.windows(2).all(|two| two[0].probability >= two[1].probability));
            // exp(4) of exp(4) + exp(-1) + exp(-9)
            assert!((found.mistakes[0].probability - 0.993_305).abs() < 1e-5, "{}", found.mistakes[0].probability);
        }
    }

    #[test]
    fn figures_by_class_are_those_of_the_matrix() {
        let found = report(vec![255, 0, 255, 200, 10, 0], vec![0, 1, 1, 2, 2, 1], 4);
        let figures = found.by_class();
        assert_eq!((figures[0].precision, figures[0].recall, figures[0].f1), (Some(1.0 / 3.0), Some(1.0), Some(0.5)));
        assert_eq!(figures[1].recall, Some(2.0 / 3.0));
        // Class 2 is never predicted: its precision is unknown, its recall 0.
        assert_eq!((figures[2].precision, figures[2].recall, figures[2].f1), (None, Some(0.0), Some(0.0)));
        assert_eq!(found.most_confused(2), [(1, 0, 1), (2, 0, 1)]);
    }

    #[test]
    fn no_more_mistakes_are_kept_than_are_shown() {
        let found = report(vec![255; 1000], vec![1; 1000], 32);
        assert_eq!((found.mistakes.len(), found.correct()), (MAX_MISTAKES, 0));
        let none = report(vec![255], vec![0], 32);
        assert_eq!((none.mistakes.len(), none.by_class()[1].recall), (0, None));
    }

    #[test]
    fn data_that_does_not_fit_is_refused() {
        let data = Dataset::images(vec![0, 0], vec![0], (1, 2), 3, "two pixels".into()).unwrap();
        let message = ClassificationReport::of(&model(), &data, 32).unwrap_err().to_string();
        assert!(message.contains("two pixels") && message.contains('1'), "{message}");
    }
}
