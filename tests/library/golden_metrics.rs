//! flatnet's metrics against scikit-learn's: the values of `tests/golden/metrics`, which `make_metrics.py` computes in float64.

use std::collections::BTreeSet;
use std::path::Path;

use flatnet::metrics::{
    Averages, ClassFigures, Classification, Classified, LabelCounts, METRICS, MULTI_LABEL_METRICS, MultiLabel,
    REGRESSION_METRICS, Regression, wilson,
};
use serde_json::Value;

/// Both sides add up the same numbers in float64, some hundreds of them, in another order.
const TOLERANCE: f64 = 1e-12;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics/metrics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A number, or `None` for null; anything else is no golden value.
fn number(value: &Value) -> Option<f64> {
    assert!(value.is_number() || value.is_null(), "{value}");
    value.as_f64()
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn close(found: Option<f64>, expected: Option<f64>) -> bool {
    match (found, expected) {
        // A NaN anywhere is not <= and fails.
        (Some(found), Some(expected)) => (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
        (found, expected) => found.is_none() && expected.is_none(),
    }
}

fn assert_close(what: &str, found: Option<f64>, expected: Option<f64>) {
    assert!(close(found, expected), "{what}: {found:?}, not {expected:?}");
}

fn f32s(rows: &Value) -> Vec<f32> {
    rows.as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|x| x.as_f64().unwrap() as f32)
        .collect()
}

/// A case of classes in batches of `batch` samples, the predictions being the first largest as flatnet takes them.
fn classified(case: &Value, whole: f32, batch: usize) -> Classification {
    let classes = case["classes"].as_u64().unwrap() as usize;
    let labels: Vec<u32> = case["labels"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect();
    // Powers of two divide without rounding.
    let probabilities: Vec<f32> = f32s(&case["parts"]).iter().map(|part| part / whole).collect();
    let first_largest = |row: &[f32]| (0..classes).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32;
    let predictions: Vec<u32> = probabilities.chunks_exact(classes).map(first_largest).collect();
    let mut found = Classification::new(classes).unwrap();
    let batches = labels.chunks(batch).zip(predictions.chunks(batch)).zip(probabilities.chunks(batch * classes));
    for ((labels, predictions), probabilities) in batches {
        found.add(&Classified { labels, predictions, probabilities }).unwrap();
    }
    found
}

#[test]
fn every_figure_of_classes_is_scikit_learns() {
    let golden = golden();
    let whole = golden["whole"].as_f64().unwrap() as f32;
    let mut undefined = BTreeSet::new();
    for (name, case) in golden["cases"].as_object().unwrap().iter().filter(|(_, case)| case.get("labels").is_some()) {
        let expected = &case["expected"];
        for batch in [1, 7, 1000] {
            let found = classified(case, whole, batch);
            let confusion = found.confusion();
            for figure in found.figures() {
                let value = number(&expected[figure.name]);
                assert_close(&format!("{name}: {}", figure.name), figure.value, value);
                if value.is_none() {
                    undefined.insert(figure.name);
                }
            }
            let counts: Vec<u64> = confusion.rows().flatten().copied().collect();
            let expected_counts: Vec<u64> = (expected["confusion"].as_array().unwrap().iter())
                .flat_map(|row| row.as_array().unwrap())
                .map(|count| count.as_u64().unwrap())
                .collect();
            assert_eq!(counts, expected_counts, "{name}");
            let (low, high) = wilson(confusion.correct(), confusion.samples()).unwrap();
            let interval = numbers(&expected["accuracy_interval"]);
            assert_close(&format!("{name}: the interval's lower end"), Some(low), interval[0]);
            assert_close(&format!("{name}: the interval's upper end"), Some(high), interval[1]);

            let by_class = confusion.by_class();
            let (plain, weighted) = (confusion.macro_average(), confusion.weighted_average());
            let of_class = |figure: fn(&ClassFigures) -> Option<f64>| by_class.iter().map(figure).collect::<Vec<_>>();
            for (figure, each, plain, weighted) in [
                ("precision", of_class(|class| class.precision), plain.precision, weighted.precision),
                ("recall", of_class(|class| class.recall), plain.recall, weighted.recall),
                ("f1", of_class(|class| class.f1), plain.f1, weighted.f1),
            ] {
                let kinds = [("per_class", each), ("macro_avg", vec![plain]), ("weighted_avg", vec![weighted])];
                for (kind, found) in kinds {
                    let expected = numbers(&expected[format!("{kind}.{figure}")]);
                    assert_eq!(found.len(), expected.len(), "{name}: {kind} {figure}");
                    for (class, (found, expected)) in found.iter().zip(expected).enumerate() {
                        assert_close(&format!("{name}: {kind} {figure} {class}"), *found, expected);
                    }
                }
            }
        }
    }
    // Whatever can be undefined is so in one of the cases, and every figure is defined in one.
    assert!(["kappa", "matthews", "roc_auc", "top_3_accuracy"].iter().all(|name| undefined.contains(name)));
    for metric in METRICS {
        let defined = |case: &Value| case["expected"][metric.name].is_number();
        assert!(golden["cases"].as_object().unwrap().values().any(defined), "{}", metric.name);
    }
}

#[test]
fn every_figure_of_values_is_scikit_learns() {
    let golden = golden();
    let cases = golden["cases"].as_object().unwrap().iter().filter(|(_, case)| case.get("targets").is_some());
    let mut widths = Vec::new();
    for (name, case) in cases {
        let width = case["targets"][0].as_array().unwrap().len();
        widths.push(width);
        let (predictions, targets) = (f32s(&case["predictions"]), f32s(&case["targets"]));
        for batch in [1, 9, 1000] {
            let mut found = Regression::new(width).unwrap();
            for (predictions, targets) in predictions.chunks(batch * width).zip(targets.chunks(batch * width)) {
                found.add(predictions, targets).unwrap();
            }
            for metric in REGRESSION_METRICS {
                let expected = number(&case["expected"][metric.name]);
                assert!(expected.is_some(), "{name}: {}", metric.name);
                assert_close(&format!("{name}: {}", metric.name), (metric.of)(&found), expected);
            }
        }
    }
    widths.sort();
    assert_eq!(widths, [1, 3]);
}

#[test]
fn every_figure_of_labels_is_scikit_learns() {
    let golden = golden();
    let cases = golden["cases"].as_object().unwrap().iter().filter(|(_, case)| case.get("truth").is_some());
    let (mut seen, mut undefined) = (0, 0);
    for (name, case) in cases {
        seen += 1;
        let width = case["truth"][0].as_array().unwrap().len();
        let (logits, truth, expected) = (f32s(&case["logits"]), f32s(&case["truth"]), &case["expected"]);
        for batch in [1, 7, 1000] {
            let mut found = MultiLabel::new(width).unwrap();
            for (logits, truth) in logits.chunks(batch * width).zip(truth.chunks(batch * width)) {
                found.add(logits, truth).unwrap();
            }
            for metric in MULTI_LABEL_METRICS {
                assert_close(&format!("{name}: {}", metric.name), (metric.of)(&found), number(&expected[metric.name]));
            }
            let by_label: Vec<ClassFigures> = found.labels().iter().map(LabelCounts::figures).collect();
            let (micro, plain) = (found.micro_average(), found.macro_average());
            let of_label = |figure: fn(&ClassFigures) -> Option<f64>| by_label.iter().map(figure).collect::<Vec<_>>();
            let average = |figure: fn(&Averages) -> Option<f64>| [vec![figure(&micro)], vec![figure(&plain)]];
            for (figure, each, averages) in [
                ("precision", of_label(|of| of.precision), average(|of| of.precision)),
                ("recall", of_label(|of| of.recall), average(|of| of.recall)),
                ("f1", of_label(|of| of.f1), average(|of| of.f1)),
            ] {
                let kinds =
                    ["per_label", "micro_avg", "macro_avg"].into_iter().zip([vec![each], averages.to_vec()].concat());
                for (kind, found) in kinds {
                    let expected = numbers(&expected[format!("{kind}.{figure}")]);
                    assert_eq!(found.len(), expected.len(), "{name}: {kind} {figure}");
                    for (label, (found, expected)) in found.iter().zip(expected).enumerate() {
                        assert_close(&format!("{name}: {kind} {figure} {label}"), *found, expected);
                        undefined += usize::from(expected.is_none());
                    }
                }
            }
        }
    }
    assert!(seen == 4 && undefined > 0, "{seen} cases, {undefined} figures that are not defined");
}

/// A comparison that cannot fail would hold anything to anything.
#[test]
fn the_comparison_can_fail() {
    assert!(close(Some(0.0), Some(0.0)) && close(None, None) && close(Some(1e3), Some(1e3 + 1e-10)));
    for (found, expected) in [
        (Some(0.5), Some(0.5 + 2e-12)),
        (Some(f64::NAN), Some(0.5)),
        (Some(0.5), Some(f64::NAN)),
        (Some(f64::NAN), None),
        (Some(0.0), None),
        (None, Some(0.0)),
    ] {
        assert!(!close(found, expected), "{found:?} {expected:?}");
    }
}
