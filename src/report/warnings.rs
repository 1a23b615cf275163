//! What is plainly wrong with a trained network, in one line each. It knows what a network predicts, not how it is shown.

use super::classification::ClassificationReport;
use super::words::grouped;
use crate::nn::ReluGrad;
use crate::run::Recipe;

/// A class of fewer images may be missed by chance.
const ENOUGH_IMAGES: u64 = 20;
/// So many classes are named.
const MAX_NAMED: usize = 5;

/// One line for each thing that is plainly wrong: one answer for all images, outputs that no longer learn, classes that are
/// never predicted.
pub fn warnings(classification: &ClassificationReport, recipe: &Recipe) -> Vec<String> {
    of(classification, &recipe.layers, recipe.relu_grad)
}

fn of(classification: &ClassificationReport, layers: &str, relu_grad: ReluGrad) -> Vec<String> {
    let mut lines = Vec::new();
    let confusion = &classification.confusion;
    let classes = confusion.classes();
    let images = |class: usize| confusion.support(class);
    let predicted = |class: usize| confusion.predicted(class) > 0;
    let given: Vec<usize> = (0..classes).filter(|class| predicted(*class)).collect();
    let there = (0..classes).filter(|class| images(*class) > 0).count();
    let missed: Vec<usize> =
        (0..classes).filter(|class| images(*class) >= ENOUGH_IMAGES && !predicted(*class)).collect();
    if let ([class], true) = (&given[..], there > 1) {
        let samples = grouped(confusion.samples() as usize);
        lines.push(format!("Warning: all {samples} validation images get one class, {class}: nothing was learned."));
    } else if !missed.is_empty() {
        let mut names: Vec<String> = missed.iter().take(MAX_NAMED).map(usize::to_string).collect();
        if missed.len() > MAX_NAMED {
            names.push("...".into());
        }
        let count = missed.len();
        lines.push(format!("Warning: {count} of {classes} classes are never predicted: {}.", names.join(", ")));
    }
    let dead = classification.never_positive;
    if dead > 0 && layers.ends_with("relu") && relu_grad == ReluGrad::Exact {
        lines.push(format!("Warning: {dead} of {classes} outputs are never positive: their weights no longer learn."));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Confusion;

    fn found(confusion: Vec<u64>, never_positive: usize) -> ClassificationReport {
        let confusion = Confusion::from_counts(3, confusion).unwrap();
        let (mistakes, figures) = (Vec::new(), Vec::new());
        ClassificationReport { source: "s".into(), image_size: (1, 1), confusion, figures, mistakes, never_positive }
    }

    #[test]
    fn each_fault_is_told_in_a_line_and_a_sound_network_in_none() {
        let exact = |found: &ClassificationReport| of(found, "linear:3,relu", ReluGrad::Exact);
        let one = found(vec![0, 30, 0, 0, 30, 0, 0, 1200, 0], 0);
        assert_eq!(exact(&one), ["Warning: all 1,260 validation images get one class, 1: nothing was learned."]);
        let dead = found(vec![30, 0, 0, 0, 30, 0, 5, 25, 0], 1);
        assert_eq!(
            exact(&dead),
            [
                "Warning: 1 of 3 classes are never predicted: 2.",
                "Warning: 1 of 3 outputs are never positive: their weights no longer learn."
            ]
        );
        // There the gradient passes all the same, and without a ReLU at the end a logit may well be negative.
        assert_eq!(of(&dead, "linear:3,relu", ReluGrad::StraightThrough).len(), 1);
        assert_eq!(of(&dead, "linear:3", ReluGrad::Exact).len(), 1);
        assert!(exact(&found(vec![9, 1, 0, 0, 9, 0, 0, 1, 9], 0)).is_empty());
        // All images are of one class, or a class has too few to tell.
        assert!(exact(&found(vec![0, 0, 0, 0, 9, 0, 0, 0, 0], 0)).is_empty());
        assert!(exact(&found(vec![9, 1, 0, 0, 9, 0, 0, 1, 0], 0)).is_empty());
        assert!(exact(&one).iter().chain(&exact(&dead)).all(|line| line.len() <= 80));
    }
}
