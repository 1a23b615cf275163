//! flatnet's losses against PyTorch's: the values of `tests/golden/losses.safetensors`, which `make_losses.py` computes in
//! float64. And what a loop by hand pays for a loss: no call for memory after the largest batch.

use std::path::Path;

use crate::counting::counted;
use flatnet::data::Targets;
use flatnet::kernels::SimdLevel;
use flatnet::loss::{self, Criterion, CrossEntropy};
use safetensors::{Dtype, SafeTensors};

/// Half an ulp of 1: the relative error of one f32 rounding.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// No class weighs more.
const MAX_CLASS_WEIGHT: f64 = 3.0;

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    match tensor.dtype() {
        Dtype::F32 => tensor.data().chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        Dtype::F64 => tensor.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::U8 => tensor.data().iter().map(|b| f64::from(*b)).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let (error, bound) = ((f64::from(*found) - expected).abs(), bound(i));
        // A NaN anywhere is not <= and fails.
        assert!(error <= bound, "{what} at {i}: {found}, not {expected}: {error:e} > {bound:e}");
    }
}

#[test]
fn every_loss_has_pytorchs_value_and_gradient() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/losses.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let f32s = |name: &str| tensor(&file, name).iter().map(|value| *value as f32).collect::<Vec<f32>>();
    let (logits, values, sample_weights) = (f32s("logits"), f32s("values"), f32s("sample_weights"));
    let (targets, shares) = (f32s("targets"), f32s("shares"));
    let labels: Vec<u32> = tensor(&file, "labels").iter().map(|label| *label as u32).collect();
    let of_classes = || CrossEntropy::new().class_weights(f32s("class_weights"));
    let named = |spec| Criterion::shared(loss::parse(spec).unwrap(), 3);

    let classes = Targets::Classes(&labels);
    let cases = [
        ("cross_entropy", Criterion::new(CrossEntropy::new(), 5), &logits, classes),
        ("cross_entropy.smoothing", Criterion::new(CrossEntropy::new().label_smoothing(0.1), 5), &logits, classes),
        ("cross_entropy.class_weights", Criterion::new(of_classes(), 5), &logits, classes),
        (
            "cross_entropy.smoothing.class_weights",
            Criterion::new(of_classes().label_smoothing(0.1), 5),
            &logits,
            classes,
        ),
        ("binary_cross_entropy", named("binary-cross-entropy"), &values, Targets::Values(&shares)),
        ("squared_error", named("squared-error"), &values, Targets::Values(&targets)),
        ("absolute_error", named("absolute-error"), &values, Targets::Values(&targets)),
        ("huber.1.0", named("huber:1"), &values, Targets::Values(&targets)),
        ("huber.0.3", named("huber:0.3"), &values, Targets::Values(&targets)),
    ];
    for (case, criterion, output, targets) in cases {
        let width = output.len() / labels.len();
        // Some thirty roundings of numbers of about 1 (exp, ln, a quotient, sums), or of the loss, or of the largest output:
        // the last stands in an exponent and is taken from others, a few times each, as settings of 0.1 are rounded as well.
        let largest =
            |row: usize| output[row * width..][..width].iter().fold(0f64, |max, z| max.max(f64::from(z.abs())));
        let roundings = |row: usize| MAX_CLASS_WEIGHT * UNIT * (32.0 + 8.0 * largest(row));
        let all = (0..labels.len()).map(roundings).fold(0.0, f64::max);
        for level in SimdLevel::all() {
            let mut criterion = criterion.clone();
            for (kind, weights) in [("", None), (".sample_weights", Some(&*sample_weights))] {
                let what = format!("{case}{kind} at {}", level.name());
                let mean = criterion.forward(level, output, targets, weights);
                let expected = tensor(&file, &format!("{case}.losses"));
                assert_close(&what, criterion.losses(), &expected, |i| roundings(i) + 8.0 * UNIT * expected[i]);
                let expected = tensor(&file, &format!("{case}{kind}.mean"));
                assert_close(&what, &[mean], &expected, |_| all + 8.0 * UNIT * expected[0]);
                let expected = tensor(&file, &format!("{case}{kind}.grad"));
                // No sample's share of the mean is above a half.
                assert_close(&what, criterion.backward(), &expected, |i| {
                    roundings(i / width) / 2.0 + 8.0 * UNIT * expected[i].abs()
                });
            }
        }
    }
}

#[test]
fn a_loss_asks_for_no_memory_after_the_largest_batch() {
    let output: Vec<f32> = (0..40 * 6).map(|i| (i * 37 % 101) as f32 / 25.0 - 2.0).collect();
    let (labels, values, weights) = ([3; 40], [0.5; 40 * 6], [1.5; 40]);
    let smoothed = CrossEntropy::new().label_smoothing(0.1).class_weights(vec![1.0, 2.0, 0.5, 1.0, 1.0, 3.0]);
    let named = loss::LOSSES.iter().map(|(form, _)| loss::parse(form.split('[').next().unwrap()).unwrap());
    for loss in named.into_iter().chain([Box::new(smoothed) as Box<dyn loss::Loss>]) {
        let takes_classes = loss.validate(6, Targets::Classes(&labels)).is_ok();
        let name = format!("{loss:?}");
        let mut criterion = Criterion::shared(loss, 6);
        let mut step = |m: usize, weighted: bool| {
            let targets =
                if takes_classes { Targets::Classes(&labels[..m]) } else { Targets::Values(&values[..m * 6]) };
            criterion.forward(SimdLevel::detect(), &output[..m * 6], targets, weighted.then_some(&weights[..m]));
            criterion.backward();
        };
        assert!(counted(|| step(40, true)).0 > 0, "the first batch has buffers to make");
        for (m, weighted) in [(40, true), (40, false), (7, true), (40, true), (0, false), (40, false)] {
            assert_eq!(counted(|| step(m, weighted)).0, 0, "{name}: {m} samples");
        }
    }
}
