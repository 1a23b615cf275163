//! The loss of a network that looks at no image: what a better one must fall below. It knows how often classes come and what
//! they weigh, not what was trained.

use crate::run::Summary;

/// The least mean loss of one answer for all training samples: each class's probability is its share of what the loss asks
/// for, by frequencies, weights of classes and label smoothing. Where the frequencies are not known, all classes are as
/// frequent. `None` where there is nothing to guess.
pub(super) fn loss(summary: &Summary) -> Option<f64> {
    let alike = vec![1; summary.data.classes];
    let counts = summary.data.class_samples.as_deref().unwrap_or(&alike);
    of(counts, summary.recipe.class_weights.as_deref(), f64::from(summary.recipe.label_smoothing))
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
