//! How good predicted values are.

use super::{defined, mean_of_defined};
use crate::error::{Error, Result};

/// Gathers what [`REGRESSION_METRICS`] need, output by output.
///
/// ```
/// use flatnet::metrics::Regression;
///
/// let mut found = Regression::new(1)?;
/// found.add(&[2.5, 0.0, 2.0, 8.0], &[3.0, -0.5, 2.0, 7.0])?;
/// assert_eq!((found.mse(), found.mae()), (Some(0.375), Some(0.5)));
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Regression {
    samples: u64,
    outputs: Vec<OutputSums>,
}

#[derive(Debug, Clone, Copy, Default)]
struct OutputSums {
    squared: f64,
    absolute: f64,
    /// Of the targets so far, and the sum of their squared differences to it: by Welford's update, so that targets far from 0
    /// keep their digits ("Note on a method for calculating corrected sums of squares and products", 1962).
    target_mean: f64,
    target_squares: f64,
}

/// One figure of values.
#[derive(Debug)]
pub struct RegressionMetric {
    /// In JSON.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// `None` where it is not defined.
    pub of: fn(&Regression) -> Option<f64>,
}

/// Every figure of values, in the order shown. A new one is a line here and a function beside [`Regression::mse`].
pub const REGRESSION_METRICS: &[RegressionMetric] = &[
    RegressionMetric { name: "mse", title: "mean squared error", of: Regression::mse },
    RegressionMetric { name: "mae", title: "mean absolute error", of: Regression::mae },
    RegressionMetric { name: "r2", title: "R2", of: Regression::r2 },
];

impl Regression {
    /// Of no samples yet, with `outputs` values each.
    ///
    /// # Errors
    /// [`Error::Shape`] where that is 0.
    pub fn new(outputs: usize) -> Result<Self> {
        if outputs == 0 {
            return Err(shape("at least 1 value of a sample".into(), "0".into()));
        }
        Ok(Regression { samples: 0, outputs: vec![OutputSums::default(); outputs] })
    }

    /// Takes some samples more. `predictions: [m, outputs]` and `targets: [m, outputs]`, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`], and nothing is taken, where the lengths do not fit.
    pub fn add(&mut self, predictions: &[f32], targets: &[f32]) -> Result<()> {
        let width = self.outputs.len();
        if predictions.len() != targets.len() || !targets.len().is_multiple_of(width) {
            let expected = format!("as many predictions as targets, whole rows of {width}");
            return Err(shape(expected, format!("{} and {}", predictions.len(), targets.len())));
        }
        for (predictions, targets) in predictions.chunks_exact(width).zip(targets.chunks_exact(width)) {
            self.samples += 1;
            for (sums, (prediction, target)) in self.outputs.iter_mut().zip(predictions.iter().zip(targets)) {
                let (prediction, target) = (f64::from(*prediction), f64::from(*target));
                sums.squared += (prediction - target).powi(2);
                sums.absolute += (prediction - target).abs();
                let from_mean = target - sums.target_mean;
                sums.target_mean += from_mean / self.samples as f64;
                sums.target_squares += from_mean * (target - sums.target_mean);
            }
        }
        Ok(())
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The figures of each output alone, in order.
    pub fn by_output(&self) -> impl Iterator<Item = Regression> {
        self.outputs.iter().map(|output| Regression { samples: self.samples, outputs: vec![*output] })
    }

    /// The mean squared difference of prediction and target, over samples and outputs.
    pub fn mse(&self) -> Option<f64> {
        self.mean(|sums| Some(sums.squared / self.samples as f64))
    }

    /// The mean absolute difference, over samples and outputs.
    pub fn mae(&self) -> Option<f64> {
        self.mean(|sums| Some(sums.absolute / self.samples as f64))
    }

    /// The coefficient of determination, 1 minus the squared error over that of the targets' own mean; of several outputs the
    /// mean of theirs, each counting the same. An output whose targets are all alike has none.
    pub fn r2(&self) -> Option<f64> {
        self.mean(|sums| (sums.target_squares > 0.0).then(|| 1.0 - sums.squared / sums.target_squares))
    }

    fn mean(&self, of_output: impl Fn(&OutputSums) -> Option<f64>) -> Option<f64> {
        if self.samples == 0 {
            return None;
        }
        mean_of_defined(self.outputs.iter().map(|sums| (of_output(sums), 1.0))).and_then(defined)
    }
}

fn shape(expected: String, found: String) -> Error {
    Error::Shape { place: "values to compare with targets".into(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(outputs: usize, predictions: &[f32], targets: &[f32]) -> [Option<f64>; 3] {
        let mut found = Regression::new(outputs).unwrap();
        for (predictions, targets) in predictions.chunks(3 * outputs).zip(targets.chunks(3 * outputs)) {
            found.add(predictions, targets).unwrap();
        }
        [found.mse(), found.mae(), found.r2()]
    }

    #[test]
    fn figures_are_those_by_hand() {
        // Targets 1, 2, 3, 6 have mean 3 and squares 4 + 1 + 0 + 9.
        let [mse, mae, r2] = figures(1, &[2.0, 2.0, 2.0, 8.0], &[1.0, 2.0, 3.0, 6.0]);
        assert_eq!((mse, mae), (Some(6.0 / 4.0), Some(4.0 / 4.0)));
        assert!((r2.unwrap() - (1.0 - 6.0 / 14.0)).abs() < 1e-15);
        // The second output's targets are alike, so R2 is that of the first.
        let [mse, mae, r2] = figures(2, &[2.0, 5.0, 2.0, 6.0], &[1.0, 5.0, 3.0, 5.0]);
        assert_eq!((mse, mae, r2), (Some(0.75), Some(0.75), Some(0.0)));
        let mut found = Regression::new(2).unwrap();
        found.add(&[2.0, 5.0, 2.0, 6.0], &[1.0, 5.0, 3.0, 5.0]).unwrap();
        let by_output: Vec<_> = found.by_output().map(|of| (of.samples(), of.mse(), of.r2())).collect();
        assert_eq!(by_output, [(2, Some(1.0), Some(0.0)), (2, Some(0.5), None)]);
    }

    #[test]
    fn what_divides_by_nothing_is_not_defined() {
        assert_eq!(figures(2, &[], &[]), [None; 3]);
        assert_eq!(figures(1, &[2.0], &[1.0]), [Some(1.0), Some(1.0), None]);
        assert_eq!(figures(1, &[f32::NAN, 1.0], &[1.0, 2.0]), [None; 3]);
        assert_eq!(figures(1, &[1.0, 2.0], &[1.0, 2.0]), [Some(0.0), Some(0.0), Some(1.0)]);
    }

    #[test]
    fn targets_far_from_zero_keep_their_digits() {
        // 16,777,216 is 2^24: in a sum of squares less the square of the sum nothing of the difference is left.
        let targets: Vec<f32> = (0..1000).map(|at| 16_777_216.0 - f32::from(at as u16 % 2)).collect();
        let predictions = vec![16_777_216.0; 1000];
        let [_, _, r2] = figures(1, &predictions, &targets);
        assert!((r2.unwrap() + 1.0).abs() < 1e-9, "{r2:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_taken() {
        assert!(Regression::new(0).is_err());
        let mut found = Regression::new(2).unwrap();
        for (predictions, targets) in [(&[1.0; 2][..], &[1.0; 4][..]), (&[1.0; 3], &[1.0; 3])] {
            let message = found.add(predictions, targets).unwrap_err().to_string();
            assert!(message.contains("whole rows of 2"), "{message}");
        }
        assert_eq!(found.samples(), 0);
    }
}
