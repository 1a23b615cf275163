//! Softmax with cross entropy: for samples of one class each.

use crate::data::Targets;
use crate::error::Result;
use crate::kernels::losses::{self, Smoothing};
use crate::kernels::softmax::{self, SoftmaxOutput};
use crate::kernels::{LANES, SimdLevel};
use crate::loss::{ALL_ALIKE, Loss, LossBuffers, LossSums, setting, shape};
use crate::metrics;

/// With `p = exp(z) / sum of exp(z)`, the label `y` and `K` classes of weights `w`: a sample's loss is
/// `(1 - e) w_y (-ln p_y) + e / K sum over classes of w_c (-ln p_c)`, where `e` is the label smoothing, and it counts `w_y`,
/// smoothed or not. So the mean is PyTorch's `CrossEntropyLoss` with `weight` and `label_smoothing`. (Smoothing: Szegedy et
/// al., "Rethinking the Inception architecture for computer vision", 2016.)
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CrossEntropy {
    label_smoothing: f32,
    class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// Neither smoothed nor weighted.
    pub fn new() -> Self {
        Self::default()
    }

    /// `smoothing` of the label, 0 to below 1, is shared out among all classes.
    pub fn label_smoothing(self, smoothing: f32) -> Self {
        CrossEntropy { label_smoothing: smoothing, ..self }
    }

    /// `weights: [classes]`: what a sample of each class counts; finite, none below 0, not all 0.
    pub fn class_weights(self, weights: Vec<f32>) -> Self {
        CrossEntropy { class_weights: Some(weights), ..self }
    }

    /// The loss of the softmax's own kernel, whose bits do not pass through any other.
    fn is_plain(&self) -> bool {
        self.label_smoothing == 0.0 && self.class_weights.is_none()
    }

    /// `buffers.scratch: [classes]`, filled by the forward pass.
    fn smoothing<'a>(&'a self, shares: &'a [f32]) -> Smoothing<'a> {
        Smoothing {
            label_share: 1.0 - f64::from(self.label_smoothing),
            class_weights: self.class_weights.as_deref(),
            class_shares: shares,
        }
    }

    fn fill_shares(&self, classes: usize, shares: &mut Vec<f32>) {
        shares.clear();
        if self.label_smoothing == 0.0 {
            return;
        }
        let share = f64::from(self.label_smoothing) / classes as f64;
        match &self.class_weights {
            None => shares.resize(classes, share as f32),
            Some(weights) => shares.extend(weights.iter().map(|weight| (share * f64::from(*weight)) as f32)),
        }
    }
}

/// Weights of classes for data that have more of one class than of another: `n / (k count)`, where `n` samples have `k`
/// classes, as scikit-learn's `class_weight="balanced"`; over the samples their mean is 1. A class without samples weighs 0
/// and is not among the `k`.
pub fn balanced_class_weights(counts: &[usize]) -> Vec<f32> {
    let samples: usize = counts.iter().sum();
    let present = counts.iter().filter(|count| **count > 0).count();
    let weight = |count: &usize| match *count {
        0 => 0.0,
        count => (samples as f64 / (present as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

impl Loss for CrossEntropy {
    fn spec(&self) -> String {
        "cross-entropy".into()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(setting("label_smoothing", self.label_smoothing.to_string(), "a number from 0 to below 1"));
        }
        if let Some(weights) = &self.class_weights {
            if weights.len() != outputs {
                let expected = format!("{outputs}, one for each output");
                return Err(shape("the class weights of cross-entropy", expected, weights.len().to_string()));
            }
            let valid = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            if !valid || weights.iter().all(|weight| *weight == 0.0) {
                let expected = "finite numbers, none below 0, not all 0";
                return Err(shape("the class weights of cross-entropy", expected, format!("{weights:?}")));
            }
        }
        let place = "the targets of cross-entropy";
        let Targets::Classes(labels) = targets else {
            return Err(shape(place, "class numbers", "values".into()));
        };
        // Labels are 32 bits wide, in this machine's words as well.
        match labels.iter().max() {
            Some(largest) if *largest as usize >= outputs => {
                let sample = labels.iter().position(|label| label == largest).unwrap_or_default();
                let expected = format!("class numbers below {outputs}, the number of outputs");
                Err(shape(place, expected, format!("{largest} (sample {sample})")))
            }
            _ => Ok(()),
        }
    }

    fn forward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &mut LossBuffers,
    ) -> LossSums {
        let labels = classes(targets);
        let LossBuffers { probabilities, losses, predictions, lanes, scratch, .. } = buffers;
        probabilities.resize(output.len(), 0.0);
        losses.resize(labels.len(), 0.0);
        predictions.resize(labels.len(), 0);
        lanes.resize(outputs, [0.0; LANES]);
        let results = SoftmaxOutput { probabilities, cross_entropy: losses, predictions };
        softmax::softmax_cross_entropy_forward(level, output, labels, lanes, results);
        if !self.is_plain() {
            self.fill_shares(outputs, scratch);
            losses::smooth_losses(level, output, labels, self.smoothing(scratch), losses);
        }
        let correct = metrics::correct(predictions, labels);
        match &self.class_weights {
            None => buffers.sum_up(weights, correct, ALL_ALIKE),
            Some(of_class) => buffers.sum_up(weights, correct, Some(|sample: usize| of_class[labels[sample] as usize])),
        }
    }

    fn backward(
        &self,
        level: SimdLevel,
        _outputs: usize,
        _output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &LossBuffers,
        grad: &mut [f32],
    ) {
        let (p, labels) = (&buffers.probabilities, classes(targets));
        if labels.is_empty() {
        } else if self.is_plain() && weights.is_none() {
            softmax::softmax_cross_entropy_backward(level, p, labels, buffers.sums.weight as f32, grad);
        } else {
            let shares = if self.is_plain() { &[] } else { &*buffers.scratch };
            let scale = (buffers.sums.per_weight(), weights);
            losses::smooth_backward(level, p, labels, self.smoothing(shares), scale, grad);
        }
    }

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        let label = classes(target)[0] as usize;
        let max = output.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let ln_sum = max + output.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        let weight = |class: usize| self.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[class]));
        let smoothing = f64::from(self.label_smoothing);
        let own = weight(label) * (ln_sum - output[label]);
        if smoothing == 0.0 {
            return (own, weight(label));
        }
        let all: f64 = output.iter().enumerate().map(|(class, z)| weight(class) * (ln_sum - z)).sum();
        ((1.0 - smoothing) * own + smoothing / output.len() as f64 * all, weight(label))
    }
}

/// What [`Loss::validate`] has seen to: cross entropy never meets values.
fn classes(targets: Targets<'_>) -> &[u32] {
    match targets {
        Targets::Classes(labels) => labels,
        Targets::Values(_) => panic!("cross-entropy takes class numbers as targets, found values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_at_the_door() {
        let labels = Targets::Classes(&[0, 2, 1]);
        let new = CrossEntropy::new;
        assert!(new().validate(3, labels).is_ok());
        for (loss, outputs, targets, expected) in [
            (new(), 2, labels, "class numbers below 2, the number of outputs, found 2 (sample 1)"),
            (new(), 0, labels, "below 0"),
            (new(), 3, Targets::Values(&[0.0; 3]), "expected class numbers, found values"),
            (new().label_smoothing(1.0), 3, labels, "label_smoothing: 1 is not valid"),
            (new().label_smoothing(f32::NAN), 3, labels, "label_smoothing: NaN"),
            (new().label_smoothing(-0.1), 3, labels, "label_smoothing: -0.1"),
            (new().class_weights(vec![1.0; 2]), 3, labels, "expected 3, one for each output, found 2"),
            (new().class_weights(vec![1.0, -1.0, 1.0]), 3, labels, "none below 0"),
            (new().class_weights(vec![1.0, f32::INFINITY, 1.0]), 3, labels, "finite"),
            (new().class_weights(vec![0.0; 3]), 3, labels, "not all 0"),
        ] {
            let error = loss.validate(outputs, targets).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// The first is scikit-learn's for `y = [0, 0, 0, 1, 2, 2]`.
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        assert_eq!(balanced_class_weights(&[3, 1, 2]), [6.0 / 9.0, 2.0, 1.0]);
        assert_eq!(balanced_class_weights(&[3, 0, 1]), [4.0 / 6.0, 0.0, 2.0]);
        assert_eq!(balanced_class_weights(&[0, 0]), [0.0, 0.0]);
    }

    /// The softmax's own kernel goes a way of its own; the way of the weights has to lead to the same place.
    #[test]
    fn the_plain_way_has_the_kernels_bits() {
        let (m, classes) = (37, 10);
        let logits: Vec<f32> = crate::kernels::testing::random(m * classes, 3).iter().map(|z| z * 6.0).collect();
        let labels: Vec<u32> = (0..m).map(|row| (row * 7 % classes) as u32).collect();
        let (mut p, mut ce, mut predictions) = (vec![0.0; m * classes], vec![0.0; m], vec![0; m]);
        let mut dz = vec![0.0; m * classes];
        for level in crate::kernels::testing::levels() {
            let output = SoftmaxOutput { probabilities: &mut p, cross_entropy: &mut ce, predictions: &mut predictions };
            softmax::softmax_cross_entropy_forward(level, &logits, &labels, &mut vec![[0.0; LANES]; classes], output);
            softmax::softmax_cross_entropy_backward(level, &p, &labels, m as f32, &mut dz);
            let (mut buffers, mut grad) = (LossBuffers::default(), vec![f32::NAN; m * classes]);
            let loss = CrossEntropy::new();
            let sums = loss.forward(level, classes, &logits, Targets::Classes(&labels), None, &mut buffers);
            loss.backward(level, classes, &logits, Targets::Classes(&labels), None, &buffers, &mut grad);
            assert_eq!((&buffers.probabilities, &buffers.losses, &grad), (&p, &ce, &dz));
            assert_eq!(sums.loss, ce.iter().map(|loss| f64::from(*loss)).sum::<f64>());
            assert_eq!(sums.weight, m as f64);
        }
    }
}
