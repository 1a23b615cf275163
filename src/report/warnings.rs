//! What is plainly wrong with a training and the network that came of it, and what to do: one paragraph each. It knows figures
//! and predictions, not how they are shown.

use super::classification::ClassificationReport;
use super::findings::{Findings, LabelReport, ValueFinding, ValueReport};
use super::guessing;
use super::names::shown_name;
use super::words::{grouped, no_better, overfits};
use crate::metrics::LabelCounts;
use crate::nn::{LayerSpecs, ReluGrad};
use crate::run::Summary;
use crate::train::{History, shown_loss};

/// A class of fewer samples may be missed by chance.
const ENOUGH_SAMPLES: u64 = 20;
/// So many classes are named, in so many columns each.
const MAX_NAMED: usize = 5;
const NAME_COLUMNS: usize = 20;

/// One text for each thing that is plainly wrong: classes without training samples, one answer for all, classes or labels that
/// are never predicted, units that no longer learn, a loss no better than that of guessing, overfitting. `findings` are of the
/// validation samples; without them less is seen.
pub fn warnings(summary: &Summary, history: &History, findings: Option<&Findings>) -> Vec<String> {
    let classification = match findings {
        Some(Findings::Classes(found)) => Some(found),
        _ => None,
    };
    let (sample, samples) = (summary.data.kind.one(), summary.data.kind.several());
    let lost = classes_without_samples(summary);
    let mut told = Vec::new();
    if !lost.is_empty() {
        told.push(format!(
            "Warning: {} of {} classes have no training {sample}, so that they cannot be learned: {}; train on more {samples}, or \
             on some of those classes.",
            lost.len(),
            summary.data.classes,
            named(&lost, &summary.data.class_names)
        ));
    }
    told.extend(one_answer(summary, history, classification));
    told.extend(classification.and_then(|classification| never_predicted(classification, &lost)));
    match findings {
        Some(Findings::Labels(found)) => told.extend(never_found(found)),
        Some(Findings::Values(found)) => told.extend(one_value(found, samples)),
        Some(Findings::Classes(_)) | None => {}
    }
    told.extend(dead_units(summary, history, classification));
    if let Some((now, guess)) = no_better(history, guessing::loss(summary)) {
        told.push(format!(
            "Warning: training loss {} is no better than that of guessing ({}): try another learning rate, other initial \
             weights, or look whether {samples} and {} belong together.",
            shown_loss(now),
            shown_loss(guess),
            if summary.data.classes > 0 { "labels" } else { "targets" },
        ));
    }
    if let Some((epoch, rise)) = overfits(history) {
        told.push(format!(
            "Warning: overfitting: validation loss has risen by {:.0} % since epoch {epoch} while training loss fell; train for \
             about {epoch} epochs, on more {samples}, or with dropout or weight decay.",
            100.0 * rise
        ));
    }
    told
}

fn classes_without_samples(summary: &Summary) -> Vec<usize> {
    let counts = summary.data.class_samples.iter().flatten().enumerate();
    counts.filter(|(_, count)| **count == 0).map(|(class, _)| class).collect()
}

fn named(classes: &[usize], names: &[String]) -> String {
    let name =
        |class: &usize| names.get(*class).map_or_else(|| class.to_string(), |name| shown_name(name, NAME_COLUMNS));
    let mut names: Vec<String> = classes.iter().take(MAX_NAMED).map(name).collect();
    if classes.len() > MAX_NAMED {
        names.push("...".into());
    }
    names.join(", ")
}

/// Of the validation samples, which see the trained network; else of the last epoch's training.
fn one_answer(summary: &Summary, history: &History, classification: Option<&ClassificationReport>) -> Option<String> {
    const ADVICE: &str = "nothing was learned; try a lower learning rate or other initial weights.";
    match classification {
        Some(found) => {
            let confusion = &found.confusion;
            let there = (0..confusion.classes()).filter(|class| confusion.support(*class) > 0).count();
            let mut given = (0..confusion.classes()).filter(|class| confusion.predicted(*class) > 0);
            let (class, None) = (given.next()?, given.next()) else { return None };
            let samples = grouped(confusion.samples() as usize);
            let (kind, class) = (summary.data.kind.several(), named(&[class], &found.class_names));
            (there > 1).then(|| format!("Warning: all {samples} validation {kind} get one class, {class}: {ADVICE}"))
        }
        None => {
            let of_class = summary.data.class_samples.as_ref();
            let there =
                of_class.map_or(summary.data.classes, |counts| counts.iter().filter(|count| **count > 0).count());
            let share = history.last()?.watch?.largest_class_share?;
            let (samples, kind) = (grouped(summary.data.train_samples), summary.data.kind.several());
            (there > 1 && share == 1.0)
                .then(|| format!("Warning: all {samples} training {kind} get one class: {ADVICE}"))
        }
    }
}

/// Beside those that cannot be.
fn never_predicted(classification: &ClassificationReport, lost: &[usize]) -> Option<String> {
    let confusion = &classification.confusion;
    let classes = confusion.classes();
    let predicted = |class: usize| confusion.predicted(class) > 0;
    let is_missed =
        |class: &usize| confusion.support(*class) >= ENOUGH_SAMPLES && !predicted(*class) && !lost.contains(class);
    let missed: Vec<usize> = (0..classes).filter(is_missed).collect();
    // One answer for all is told as that.
    let several = (0..classes).filter(|class| predicted(*class)).count() > 1;
    (several && !missed.is_empty()).then(|| {
        let names = named(&missed, &classification.class_names);
        format!("Warning: {} of {classes} classes are never predicted: {names}.", missed.len())
    })
}

/// Labels that many samples have and none is said to have.
fn never_found(report: &LabelReport) -> Option<String> {
    let counts = report.found.labels();
    let is_missed = |counts: &LabelCounts| counts.support >= ENOUGH_SAMPLES && counts.predicted == 0;
    let missed: Vec<usize> = (0..counts.len()).filter(|label| is_missed(&counts[*label])).collect();
    let (count, names) = (missed.len(), named(&missed, &report.names));
    let of = counts.len();
    (count > 0).then(|| {
        format!(
            "Warning: {count} of {of} labels are never predicted: {names}; they may be too rare, or take more epochs to learn."
        )
    })
}

/// Values of which every sample gets the same, though they differ.
fn one_value(report: &ValueReport, samples: &str) -> Option<String> {
    let is_stuck = |value: &ValueFinding| {
        are_one(value.pairs.iter().map(|pair| pair.1)) && !are_one(value.pairs.iter().map(|pair| pair.0))
    };
    let stuck: Vec<usize> = (0..report.columns.len()).filter(|value| is_stuck(&report.columns[*value])).collect();
    let names: Vec<String> = report.columns.iter().map(|column| column.name.clone()).collect();
    (!stuck.is_empty()).then(|| {
        let (count, names) = (grouped(report.figures.samples() as usize), named(&stuck, &names));
        format!(
            "Warning: all {count} validation {samples} get one value of {names}: nothing was learned; try a lower learning rate \
             or other initial weights."
        )
    })
}

fn are_one(mut values: impl Iterator<Item = f32>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}

/// Of the last epoch's training, where it was watched; else of the validation samples.
fn dead_units(summary: &Summary, history: &History, classification: Option<&ClassificationReport>) -> Option<String> {
    const LOST: &str = "so that their weights no longer learn";
    const OUTPUTS: &str = "leave out the last activation, or lower the learning rate.";
    let specs: LayerSpecs = summary.recipe.layers.parse().ok()?;
    let (relu_grad, sample) = (summary.recipe.relu_grad, summary.data.kind.one());
    match history.last().and_then(|epoch| epoch.watch) {
        Some(watch) => {
            let dead = watch.dead_that_matter(&specs, relu_grad)?;
            let (count, of, layer) = (dead.dead, dead.units, dead.layer);
            Some(if layer + 1 == specs.0.len() {
                format!("Warning: {count} of {of} outputs are dead: 0 for every training {sample}, {LOST}; {OUTPUTS}")
            } else {
                let spec = &specs.0[layer];
                format!(
                    "Warning: {count} of {of} units of layer {layer} ({spec}) are dead: 0 for every training {sample}, {LOST}; \
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
    use crate::run::SampleKind;
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
        let (source, kind, class_names) = ("s".into(), SampleKind::Images, Vec::new());
        let image_size = (1, 1);
        ClassificationReport { source, kind, image_size, class_names, confusion, figures, mistakes, never_positive }
    }

    /// The warnings where this is what is found.
    fn of_classes(summary: &Summary, history: &History, found: Option<&ClassificationReport>) -> Vec<String> {
        warnings(summary, history, found.cloned().map(Findings::Classes).as_ref())
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
        let texts = of_classes(summary, history, found);
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
        assert!(of_classes(&run, &none, Some(&all))[0].contains("images get one class, 1: nothing was learned; try"));
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
        assert_eq!(named(&many, &[]), "0, 1, 2, 3, 4, ...");
    }

    #[test]
    fn classes_of_a_table_are_told_by_name_and_samples_are_rows() {
        let (mut run, none) = (summary("linear:3", "exact", Some([30, 60, 0])), history(&[], None));
        run.data.kind = SampleKind::Rows;
        run.data.class_names = vec!["a".into(), "b\u{1b}[2J".into(), "a name of more than twenty columns".into()];
        let text = &warnings(&run, &none, None)[0];
        assert!(
            text.contains("no training row, ") && text.contains("a name of more than\u{2026}; train on more rows"),
            "{text}"
        );
        let mut all = found(vec![0, 30, 0, 0, 30, 0, 0, 30, 0], 0);
        all.class_names = run.data.class_names.clone();
        let text = &of_classes(&run, &none, Some(&all))[1];
        assert!(text.contains("all 90 validation rows get one class, b\u{fffd}[2J: nothing was learned"), "{text}");
    }

    #[test]
    fn labels_and_values_that_were_not_learned_are_told() {
        let (mut run, none) = (summary("linear:2", "exact", None), history(&[(1.0, 1.0); 5], None));
        (run.data.classes, run.data.kind) = (0, SampleKind::Rows);
        let labels = |logit: f32, rows: usize| {
            let mut found = crate::metrics::MultiLabel::new(2).unwrap();
            found.add(&[1.0, logit].repeat(rows), &[1.0, 1.0].repeat(rows)).unwrap();
            Findings::Labels(LabelReport { source: "s".into(), names: vec!["wet".into(), "cold".into()], found })
        };
        let text = &warnings(&run, &none, Some(&labels(-1.0, 20)))[0];
        assert!(text.contains("1 of 2 labels are never predicted: cold; they"), "{text}");
        assert_eq!(warnings(&run, &none, Some(&labels(-1.0, 19))), [""; 0]);
        assert_eq!(warnings(&run, &none, Some(&labels(1.0, 20))), [""; 0]);
        let values = |pairs: &[(f32, f32)]| {
            let mut figures = crate::metrics::Regression::new(1).unwrap();
            pairs.iter().for_each(|pair| figures.add(&[pair.1], &[pair.0]).unwrap());
            let columns = vec![ValueFinding { name: "price".into(), figures: figures.clone(), pairs: pairs.to_vec() }];
            Findings::Values(ValueReport { source: "s".into(), figures, columns })
        };
        let text = &warnings(&run, &none, Some(&values(&[(1.0, 2.0), (3.0, 2.0)])))[0];
        assert!(text.contains("all 2 validation rows get one value of price: nothing was learned"), "{text}");
        assert_eq!(warnings(&run, &none, Some(&values(&[(1.0, 2.0), (1.0, 2.0)]))), [""; 0]);
        assert_eq!(warnings(&run, &none, Some(&values(&[(1.0, 2.0), (3.0, 2.1)]))), [""; 0]);
        // What guessing costs, the run itself says.
        run.guessing_loss = Some(1.0);
        let text = &warnings(&run, &none, None)[0];
        assert!(
            text.contains("no better than that of guessing (1.0000)") && text.contains("rows and targets"),
            "{text}"
        );
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
