//! What is plainly wrong with a training and the network that came of it, and what to do: one paragraph each. It knows figures
//! and predictions, not how they are shown.

use super::classification::ClassificationReport;
use super::guessing;
use super::words::{grouped, no_better, overfits};
use crate::nn::{LayerSpecs, ReluGrad};
use crate::run::Summary;
use crate::train::{History, shown_loss};

/// A class of fewer images may be missed by chance.
const ENOUGH_IMAGES: u64 = 20;
/// So many classes are named.
const MAX_NAMED: usize = 5;

/// One text for each thing that is plainly wrong: classes without training images, one answer for all, classes that are never
/// predicted, units that no longer learn, a loss no better than that of guessing, overfitting. `classification` is of the
/// validation images; without it less is seen.
pub fn warnings(summary: &Summary, history: &History, classification: Option<&ClassificationReport>) -> Vec<String> {
    let lost = classes_without_samples(summary);
    let mut told = Vec::new();
    if !lost.is_empty() {
        told.push(format!(
            "Warning: {} of {} classes have no training image, so that they cannot be learned: {}; train on more images, or \
             on some of those classes.",
            lost.len(),
            summary.data.classes,
            named(&lost)
        ));
    }
    told.extend(one_answer(summary, history, classification));
    told.extend(classification.and_then(|classification| never_predicted(classification, &lost)));
    told.extend(dead_units(summary, history, classification));
    if let Some((now, guess)) = no_better(history, guessing::loss(summary)) {
        told.push(format!(
            "Warning: training loss {} is no better than that of guessing ({}): try another learning rate, other initial \
             weights, or look whether images and labels belong together.",
            shown_loss(now),
            shown_loss(guess)
        ));
    }
    if let Some((epoch, rise)) = overfits(history) {
        told.push(format!(
            "Warning: overfitting: validation loss has risen by {:.0} % since epoch {epoch} while training loss fell; train for \
             about {epoch} epochs, on more images, or with dropout or weight decay.",
            100.0 * rise
        ));
    }
    told
}

fn classes_without_samples(summary: &Summary) -> Vec<usize> {
    let counts = summary.data.class_samples.iter().flatten().enumerate();
    counts.filter(|(_, count)| **count == 0).map(|(class, _)| class).collect()
}

fn named(classes: &[usize]) -> String {
    let mut names: Vec<String> = classes.iter().take(MAX_NAMED).map(usize::to_string).collect();
    if classes.len() > MAX_NAMED {
        names.push("...".into());
    }
    names.join(", ")
}

/// Of the validation images, which see the trained network; else of the last epoch's training.
fn one_answer(summary: &Summary, history: &History, classification: Option<&ClassificationReport>) -> Option<String> {
    const ADVICE: &str = "nothing was learned; try a lower learning rate or other initial weights.";
    match classification {
        Some(ClassificationReport { confusion, .. }) => {
            let there = (0..confusion.classes()).filter(|class| confusion.support(*class) > 0).count();
            let mut given = (0..confusion.classes()).filter(|class| confusion.predicted(*class) > 0);
            let (class, None) = (given.next()?, given.next()) else { return None };
            let samples = grouped(confusion.samples() as usize);
            (there > 1).then(|| format!("Warning: all {samples} validation images get one class, {class}: {ADVICE}"))
        }
        None => {
            let of_class = summary.data.class_samples.as_ref();
            let there =
                of_class.map_or(summary.data.classes, |counts| counts.iter().filter(|count| **count > 0).count());
            let share = history.last()?.watch?.largest_class_share?;
            let samples = grouped(summary.data.train_samples);
            (there > 1 && share == 1.0)
                .then(|| format!("Warning: all {samples} training images get one class: {ADVICE}"))
        }
    }
}

/// Beside those that cannot be.
fn never_predicted(classification: &ClassificationReport, lost: &[usize]) -> Option<String> {
    let confusion = &classification.confusion;
    let classes = confusion.classes();
    let predicted = |class: usize| confusion.predicted(class) > 0;
    let is_missed =
        |class: &usize| confusion.support(*class) >= ENOUGH_IMAGES && !predicted(*class) && !lost.contains(class);
    let missed: Vec<usize> = (0..classes).filter(is_missed).collect();
    // One answer for all is told as that.
    let several = (0..classes).filter(|class| predicted(*class)).count() > 1;
    (several && !missed.is_empty())
        .then(|| format!("Warning: {} of {classes} classes are never predicted: {}.", missed.len(), named(&missed)))
}

/// Of the last epoch's training, where it was watched; else of the validation images.
fn dead_units(summary: &Summary, history: &History, classification: Option<&ClassificationReport>) -> Option<String> {
    const LOST: &str = "so that their weights no longer learn";
    const OUTPUTS: &str = "leave out the last activation, or lower the learning rate.";
    let specs: LayerSpecs = summary.recipe.layers.parse().ok()?;
    let relu_grad = summary.recipe.relu_grad;
    match history.last().and_then(|epoch| epoch.watch) {
        Some(watch) => {
            let dead = watch.dead_that_matter(&specs, relu_grad)?;
            let (count, of, layer) = (dead.dead, dead.units, dead.layer);
            Some(if layer + 1 == specs.0.len() {
                format!("Warning: {count} of {of} outputs are dead: 0 for every training image, {LOST}; {OUTPUTS}")
            } else {
                let spec = &specs.0[layer];
                format!(
                    "Warning: {count} of {of} units of layer {layer} ({spec}) are dead: 0 for every training image, {LOST}; \
                     lower the learning rate, or use leaky-relu or gelu."
                )
            })
        }
        None => {
            let (dead, classes) = (classification?.never_positive, classification?.confusion.classes());
            let is_lost = specs.0.last().is_some_and(|last| last.is_relu()) && relu_grad == ReluGrad::Exact;
            (dead > 0 && is_lost)
                .then(|| format!("Warning: {dead} of {classes} outputs are never positive, {LOST}; {OUTPUTS}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::Confusion;
    use crate::train::{DeadUnits, EpochRecord, Watch};

    /// A run of three classes with these training images.
    fn summary(layers: &str, relu_grad: &str, class_samples: Option<[usize; 3]>) -> Summary {
        let train_samples = class_samples.map_or(90, |counts| counts.iter().sum::<usize>());
        let mut summary = json!({
            "data": {"source": "s", "train_samples": train_samples, "val_samples": 90, "features": 4, "classes": 3},
            "recipe": {
                "data": "s", "train_samples": train_samples, "val_samples": 90, "epochs": 1, "batch_size": 32, "lr": 0.01,
                "seed": 0, "shuffle": "never", "layers": layers, "init": "unit-norm", "relu_grad": relu_grad,
                "scale": "unit", "threads": 1, "simd": "auto", "kernel": "auto", "out": "", "overwrite": false,
                "json": false, "quiet": false
            },
            "model": {"layers": [], "parameters": 0},
            "epochs": 1, "train_batches": 1, "val_batches": 1, "final": null, "best": null,
            "seconds": {"load": 0.0, "train": 0.0, "validate": 0.0, "total": 0.0},
            "batches_per_second": null, "threads": 1, "simd": "auto", "kernel": "narrow", "weights_sha256": ""
        });
        if let Some(counts) = class_samples {
            summary["data"]["class_samples"] = counts.to_vec().into();
        }
        serde_json::from_value(summary).unwrap()
    }

    fn found(confusion: Vec<u64>, never_positive: usize) -> ClassificationReport {
        let confusion = Confusion::from_counts(3, confusion).unwrap();
        let (mistakes, figures) = (Vec::new(), Vec::new());
        ClassificationReport { source: "s".into(), image_size: (1, 1), confusion, figures, mistakes, never_positive }
    }

    /// Epochs with these losses, the last of which showed this.
    fn history(losses: &[(f64, f64)], watch: Option<Watch>) -> History {
        let epoch = |&(train_loss, val_loss): &(f64, f64)| EpochRecord {
            train_loss,
            train_accuracy: 0.5,
            val_loss,
            val_accuracy: 0.5,
            train_seconds: 1.0,
            val_seconds: 1.0,
            watch,
        };
        History { epochs: losses.iter().map(epoch).collect(), ..History::default() }
    }

    fn watch(share: f64, dead: &[(usize, usize, usize)]) -> Option<Watch> {
        let dead = dead.iter().map(|(layer, dead, units)| DeadUnits { layer: *layer, dead: *dead, units: *units });
        Some(Watch::new(Some(share), Some(1.0), 0.01, 1.0, dead))
    }

    const RELU: &str = "linear:3,relu";
    const EVEN: Option<[usize; 3]> = Some([30; 3]);

    /// The beginning of each warning, up to its first colon behind the first word.
    fn told(summary: &Summary, history: &History, found: Option<&ClassificationReport>) -> Vec<String> {
        let texts = warnings(summary, history, found);
        assert!(texts.iter().all(|text| text.starts_with("Warning: ") && text.ends_with('.') && !text.contains('\n')));
        texts.iter().map(|text| text["Warning: ".len()..].chars().take(24).collect()).collect()
    }

    #[test]
    fn a_sound_run_has_none() {
        let sound = found(vec![30, 0, 0, 1, 29, 0, 0, 2, 28], 0);
        let falling = history(&[(1.0, 1.0), (0.8, 0.8), (0.6, 0.7), (0.5, 0.6), (0.4, 0.6)], watch(0.4, &[(1, 0, 3)]));
        assert_eq!(told(&summary(RELU, "exact", EVEN), &falling, Some(&sound)), [""; 0]);
        assert_eq!(told(&summary(RELU, "exact", None), &history(&[], None), None), [""; 0]);
    }

    #[test]
    fn one_answer_for_all_is_told_of_validation_or_else_of_training() {
        let all = found(vec![0, 30, 0, 0, 30, 0, 0, 30, 0], 0);
        let (run, none) = (summary("linear:3", "exact", EVEN), history(&[(1.0, 1.0)], watch(1.0, &[])));
        assert_eq!(told(&run, &none, Some(&all)), ["all 90 validation images"]);
        assert_eq!(told(&run, &none, None), ["all 90 training images g"]);
        assert!(warnings(&run, &none, Some(&all))[0].contains("images get one class, 1: nothing was learned; try"));
        // The training may have ended well after an epoch that did not, and 99 % is not all.
        let right = found(vec![30, 0, 0, 0, 30, 0, 0, 0, 30], 0);
        assert_eq!(told(&run, &none, Some(&right)), [""; 0]);
        assert_eq!(told(&run, &history(&[(1.0, 1.0)], watch(0.99, &[])), None), [""; 0]);
        // There is but one class.
        let one = summary("linear:3", "exact", Some([0, 90, 0]));
        assert!(!told(&one, &none, None).iter().any(|text| text.starts_with("all")));
        let images_of_one = found(vec![0, 0, 0, 0, 9, 0, 0, 0, 0], 0);
        assert!(!told(&one, &none, Some(&images_of_one)).iter().any(|text| text.starts_with("all")));
    }

    #[test]
    fn a_class_that_is_not_there_is_told_once() {
        let missed = found(vec![30, 0, 0, 0, 30, 0, 5, 25, 0], 0);
        let none = history(&[], None);
        assert_eq!(told(&summary("linear:3", "exact", EVEN), &none, Some(&missed)), ["1 of 3 classes are never"]);
        let without = summary("linear:3", "exact", Some([30, 60, 0]));
        assert_eq!(told(&without, &none, Some(&missed)), ["1 of 3 classes have no t"]);
        assert!(warnings(&without, &none, None)[0].contains("cannot be learned: 2; train on"));
        // Too few images to tell.
        assert_eq!(
            told(&summary("linear:3", "exact", EVEN), &none, Some(&found(vec![9, 0, 0, 0, 9, 0, 0, 1, 0], 0))),
            [""; 0]
        );
        let many = (0..9).collect::<Vec<usize>>();
        assert_eq!(named(&many), "0, 1, 2, 3, 4, ...");
    }

    #[test]
    fn dead_units_are_told_where_they_learn_no_longer() {
        let sound = found(vec![30, 0, 0, 0, 30, 0, 0, 0, 30], 1);
        let dead = history(&[(1.0, 1.0)], watch(0.4, &[(1, 1, 3)]));
        let exact = summary(RELU, "exact", EVEN);
        assert_eq!(told(&exact, &dead, Some(&sound)), ["1 of 3 outputs are dead:"]);
        assert_eq!(told(&summary(RELU, "straight-through", EVEN), &dead, Some(&sound)), [""; 0]);
        // What was watched counts; of an older run, what the validation images show.
        assert_eq!(told(&exact, &history(&[(1.0, 1.0)], watch(0.4, &[(1, 0, 3)])), Some(&sound)), [""; 0]);
        let old = history(&[(1.0, 1.0)], None);
        assert_eq!(told(&exact, &old, Some(&sound)), ["1 of 3 outputs are never"]);
        assert_eq!(told(&summary(RELU, "straight-through", EVEN), &old, Some(&sound)), [""; 0]);
        assert_eq!(told(&summary("linear:3", "exact", EVEN), &old, Some(&sound)), [""; 0]);
        let hidden = summary("linear:8,relu,linear:3", "exact", EVEN);
        assert_eq!(
            told(&hidden, &history(&[(1.0, 1.0)], watch(0.4, &[(1, 4, 8)])), None),
            ["4 of 8 units of layer 1 "]
        );
        assert_eq!(told(&hidden, &history(&[(1.0, 1.0)], watch(0.4, &[(1, 3, 8)])), None), [""; 0]);
    }

    #[test]
    fn losses_that_do_not_fall_or_rise_again_are_told() {
        let (run, seen) = (summary("linear:3", "exact", EVEN), watch(0.4, &[]));
        let guessing = 3_f64.ln();
        assert_eq!(told(&run, &history(&[(guessing, guessing); 5], seen), None), ["training loss 1.0986 is "]);
        // Mostly of one class: the loss is low, and no better than that of guessing.
        let uneven = summary("linear:3", "exact", Some([98, 1, 1]));
        assert_eq!(told(&uneven, &history(&[(0.112, 0.112); 5], seen), None), ["training loss 0.1120 is "]);
        assert_eq!(told(&run, &history(&[(0.112, 0.112); 5], seen), None), [""; 0]);
        let rising: Vec<_> =
            (0..20).map(|epoch| (0.9 - 0.04 * f64::from(epoch), 0.5 + 0.02 * f64::from(epoch))).collect();
        assert_eq!(told(&run, &history(&rising, seen), None), ["overfitting: validation "]);
        assert!(warnings(&run, &history(&rising, seen), None)[0].contains("has risen by 68 % since epoch 1 while"));
    }
}
