//! The loss of a network that looks at no sample: what a better one must fall below. It knows how often classes come and what
//! they weigh, and what labels and values are, not what was trained.

use crate::data::{TargetColumns, Targets};
use crate::loss::Loss;
use crate::run::Summary;

/// The least mean loss of one answer for all training samples: each class's probability is its share of what the loss asks
/// for, by frequencies, weights of classes and label smoothing. Where the frequencies are not known, all classes are as
/// frequent. Of labels and values, what the run says. `None` where there is nothing to guess.
pub(super) fn loss(summary: &Summary) -> Option<f64> {
    if summary.data.classes == 0 {
        return summary.guessing_loss.filter(|loss| *loss > 0.0);
    }
    let alike = vec![1; summary.data.classes];
    let counts = summary.data.class_samples.as_deref().unwrap_or(&alike);
    of(counts, summary.recipe.class_weights.as_deref(), f64::from(summary.recipe.label_smoothing))
}

/// The mean of `loss` over samples of labels or values where all get one answer: of binary cross entropy the share of each
/// label, which no other answer beats; of any other loss the mean of each value, which is the best by squared error. `None`
/// where there is no sample, or there are classes, whose counts say more.
pub fn loss_of_one_answer(loss: &dyn Loss, targets: &TargetColumns) -> Option<f64> {
    let TargetColumns::Values { values, width } = targets else { return None };
    let samples = targets.len() as f64;
    let mut means = vec![0.0; *width];
    for row in values.chunks_exact(*width) {
        means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / samples);
    }
    let mean = if loss.spec() == "binary-cross-entropy" {
        let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        means.iter().map(|share| entropy(*share) + entropy(1.0 - share)).sum::<f64>() / *width as f64
    } else {
        let rows = values.chunks_exact(*width).map(|row| loss.oracle(&means, Targets::Values(row)));
        let (sum, counted) = rows.fold((0.0, 0.0), |(sum, counted), (loss, counts)| (sum + loss, counted + counts));
        sum / counted
    };
    Some(mean).filter(|mean| mean.is_finite() && samples > 0.0)
}

/// `counts: [classes]`; `weights: [classes]`, or all 1.
fn of(counts: &[usize], weights: Option<&[f32]>, smoothing: f64) -> Option<f64> {
    let samples = counts.iter().fold(0.0, |sum, count| sum + *count as f64);
    if samples == 0.0 {
        return None;
    }
    let weight = |class: usize| weights.and_then(|weights| weights.get(class)).map_or(1.0, |weight| f64::from(*weight));
    let (mut asked, mut counted) = (Vec::with_capacity(counts.len()), 0.0);
    for (class, count) in counts.iter().enumerate() {
        let share = *count as f64 / samples;
        asked.push(weight(class) * ((1.0 - smoothing) * share + smoothing / counts.len() as f64));
        counted += weight(class) * share;
    }
    let all: f64 = asked.iter().sum();
    // The cross entropy is least where the probabilities are the shares of what is asked for.
    let least = asked.iter().filter(|share| **share > 0.0).fold(0.0, |sum, share| sum - share * (share / all).ln());
    Some(least / counted).filter(|loss| loss.is_finite() && *loss > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() <= 1e-12 * expected, "{found}, expected {expected}");
    }

    #[test]
    fn guessing_costs_the_entropy_of_the_classes() {
        close(of(&[7; 10], None, 0.0), 10_f64.ln());
        // A quarter and three quarters, and a class that never comes.
        close(of(&[1, 0, 3], None, 0.0), 0.25 * 4_f64.ln() + 0.75 * (4.0 / 3.0_f64).ln());
        // Weights make both as frequent: half of the weight each, whatever the counts.
        close(of(&[1, 3], Some(&[3.0, 1.0]), 0.0), 2_f64.ln());
        // Smoothing asks for something of every class: shares of 0.9 and 0.1.
        close(of(&[5, 0], None, 0.2), -(0.9 * 0.9_f64.ln() + 0.1 * 0.1_f64.ln()));
        for (counts, weights) in [(&[9, 0][..], None), (&[], None), (&[0, 0], None), (&[1, 0], Some(&[0.0, 1.0][..]))] {
            assert_eq!(of(counts, weights, 0.0), None, "{counts:?}");
        }
    }

    /// Against the loss itself, as it is trained: of one output for every answer near the best one, and as golden figures.
    #[test]
    fn one_answer_for_all_costs_what_the_loss_says() {
        let of = |loss: &str, values: &[f32], width: usize| {
            let targets = TargetColumns::Values { values: values.to_vec(), width };
            loss_of_one_answer(&*crate::loss::parse(loss).unwrap(), &targets)
        };
        // Mean 3, squared differences 4, 1, 0 and 9, and of the second output 0.
        let two = [1.0, 7.0, 2.0, 7.0, 3.0, 7.0, 6.0, 7.0];
        close(of("squared-error", &two, 2), 14.0 / 4.0 / 2.0);
        close(of("absolute-error", &two, 2), 6.0 / 4.0 / 2.0);
        // A quarter has the first label, all have the second.
        let labels = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        close(of("binary-cross-entropy", &labels, 2), (0.25 * 4_f64.ln() + 0.75 * (4.0 / 3.0_f64).ln()) / 2.0);
        let loss = crate::loss::parse("binary-cross-entropy").unwrap();
        let mean = |logit: f64| [1.0, 0.0, 0.0, 0.0].map(|label| loss.oracle(&[logit], Targets::Values(&[label])).0);
        let least = of("binary-cross-entropy", &[1.0, 0.0, 0.0, 0.0], 1).unwrap();
        let found = (-400..400).map(|step| mean(f64::from(step) / 100.0).iter().sum::<f64>() / 4.0);
        let found = found.fold(f64::INFINITY, f64::min);
        assert!(found >= least - 1e-12 && found < least + 1e-4, "{found}, expected {least} at least");
        assert_eq!((of("squared-error", &[], 1), of("squared-error", &[5.0; 3], 1)), (None, Some(0.0)));
    }

    /// No other answer does better: a check of the formula against the loss itself, weights and smoothing included.
    #[test]
    fn no_single_answer_has_a_lower_loss() {
        let (counts, weights, smoothing) = ([5, 1, 14], [0.5_f32, 4.0, 1.0], 0.1);
        let least = of(&counts, Some(&weights), smoothing).unwrap();
        let mean = |logits: [f64; 3]| {
            let ln_sum = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
            let of_class = |class: usize| f64::from(weights[class]) * (ln_sum - logits[class]);
            let (mut loss, mut weight) = (0.0, 0.0);
            for (class, count) in counts.iter().enumerate() {
                let spread = (0..3).map(of_class).sum::<f64>() / 3.0;
                loss += *count as f64 * ((1.0 - smoothing) * of_class(class) + smoothing * spread);
                weight += *count as f64 * f64::from(weights[class]);
            }
            loss / weight
        };
        let mut found = f64::INFINITY;
        for first in -40..=40 {
            for second in -40..=40 {
                found = found.min(mean([f64::from(first) / 20.0, f64::from(second) / 20.0, 0.0]));
            }
        }
        assert!(found >= least - 1e-12 && found < least + 1e-3, "{found}, expected {least} at least");
    }
}
