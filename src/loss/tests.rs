//! Every loss of the list, held to its own f64 oracle: a new one in the list is tested without a new test. A loss says by
//! `validate` which of the targets below it takes.

use super::*;
use crate::kernels::testing::{assert_close, levels, random};

const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Outputs a sample: around eight and sixteen lanes.
const OUTPUTS: [usize; 8] = [1, 2, 7, 10, 15, 16, 17, 33];

/// Every loss of the list, and those with settings that no name has.
fn all_losses(outputs: usize) -> Vec<Box<dyn Loss>> {
    let named = LOSSES.iter().map(|(form, _)| parse(form.split('[').next().unwrap()).unwrap());
    let class_weights = || (0..outputs).map(|class| [1.0, 0.25, 2.0][class % 3]).collect::<Vec<f32>>();
    let mut losses: Vec<Box<dyn Loss>> = named.collect();
    losses.push(parse("huber:0.3").unwrap());
    losses.push(Box::new(CrossEntropy::new().label_smoothing(0.1)));
    losses.push(Box::new(CrossEntropy::new().class_weights(class_weights())));
    losses.push(Box::new(CrossEntropy::new().label_smoothing(0.3).class_weights(class_weights())));
    losses
}

/// Targets of every kind for one batch.
struct Batch {
    outputs: usize,
    output: Vec<f32>,
    values: Vec<f32>,
    shares: Vec<f32>,
    labels: Vec<u32>,
    weights: Vec<f32>,
}

impl Batch {
    /// Outputs in `[-spread, spread)`. Values are whole 64ths and outputs half a 64th off, so that no difference is nearer
    /// than that to where a loss has a kink. Weights are small multiples of 1/4: every sum of them is exact.
    fn new(samples: usize, outputs: usize, spread: f32) -> Self {
        let on_grid =
            |seed, scale: f32| random(samples * outputs, seed).into_iter().map(move |x| (x * scale * 64.0).round());
        Batch {
            outputs,
            output: on_grid(1, spread).map(|x| (x + 0.5) / 64.0).collect(),
            values: on_grid(2, 2.0).map(|x| x / 64.0).collect(),
            shares: random(samples * outputs, 3)
                .iter()
                .map(|x| if *x < 0.0 { (x * 4.0).floor() / -4.0 } else { 0.0 })
                .collect(),
            labels: (0..samples).map(|sample| ((sample * 7 + 1) % outputs) as u32).collect(),
            weights: (0..samples).map(|sample| (sample * 5 % 8) as f32 / 4.0).collect(),
        }
    }

    fn samples(&self) -> usize {
        self.labels.len()
    }

    /// The first of the three that `loss` takes.
    fn targets(&self, loss: &dyn Loss) -> Targets<'_> {
        let kinds = [Targets::Values(&self.values), Targets::Values(&self.shares), Targets::Classes(&self.labels)];
        let taken = kinds.into_iter().find(|targets| loss.validate(self.outputs, *targets).is_ok());
        taken.unwrap_or_else(|| panic!("{}: none of the targets of {} outputs", loss.spec(), self.outputs))
    }

    /// The samples `order` of this batch, as a batch.
    fn select(&self, order: &[usize]) -> Self {
        let rows = |all: &[f32]| order.iter().flat_map(|i| &all[i * self.outputs..][..self.outputs]).copied().collect();
        Batch {
            outputs: self.outputs,
            output: rows(&self.output),
            values: rows(&self.values),
            shares: rows(&self.shares),
            labels: order.iter().map(|i| self.labels[*i]).collect(),
            weights: order.iter().map(|i| self.weights[*i]).collect(),
        }
    }

    fn weights(&self, weighted: bool) -> Option<&[f32]> {
        weighted.then_some(&*self.weights)
    }

    /// Both ways on `level`, in buffers that hold something else before.
    fn run(&self, loss: &dyn Loss, level: SimdLevel, weighted: bool) -> Found {
        let (targets, weights, dirt) = (self.targets(loss), self.weights(weighted), [f32::NAN; 7]);
        let mut buffers = LossBuffers {
            probabilities: dirt.into(),
            losses: dirt.into(),
            predictions: vec![u32::MAX; 7],
            sums: LossSums { loss: f64::NAN, weight: f64::NAN, samples: 9, correct: 9 },
            lanes: vec![[f32::NAN; crate::kernels::LANES]; 7],
            scratch: dirt.into(),
        };
        let sums = loss.forward(level, self.outputs, &self.output, targets, weights, &mut buffers);
        assert!(same(&[sums.loss as f32, sums.weight as f32], &[buffers.sums.loss as f32, buffers.sums.weight as f32]));
        let mut grad = vec![f32::NAN; self.output.len()];
        loss.backward(level, self.outputs, &self.output, targets, weights, &buffers, &mut grad);
        Found { buffers, sums, grad }
    }
}

struct Found {
    buffers: LossBuffers,
    sums: LossSums,
    grad: Vec<f32>,
}

fn target_of<'a>(targets: Targets<'a>, sample: usize, outputs: usize) -> Targets<'a> {
    match targets {
        Targets::Classes(labels) => Targets::Classes(&labels[sample..=sample]),
        Targets::Values(values) => Targets::Values(&values[sample * outputs..][..outputs]),
    }
}

/// Equal bits; which of its many bit patterns a NaN has is not laid down.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
}

#[test]
fn every_loss_is_its_oracle_and_every_gradient_the_oracles_rise() {
    for (samples, spread) in [(1, 1.0), (5, 4.0), (20, 30.0), (37, 4.0)] {
        for outputs in OUTPUTS {
            let batch = Batch::new(samples, outputs, spread);
            for loss in all_losses(outputs) {
                for weighted in [false, true] {
                    check(&batch, &*loss, spread.into(), weighted);
                }
            }
        }
    }
}

fn check(batch: &Batch, loss: &dyn Loss, spread: f64, weighted: bool) {
    let (m, outputs, targets) = (batch.samples(), batch.outputs, batch.targets(loss));
    let output: Vec<f64> = batch.output.iter().map(|z| f64::from(*z)).collect();
    let row = |sample: usize| output[sample * outputs..][..outputs].to_vec();
    let weight = |sample: usize| if weighted { f64::from(batch.weights[sample]) } else { 1.0 };
    let expected: Vec<(f64, f64)> =
        (0..m).map(|sample| loss.oracle(&row(sample), target_of(targets, sample, outputs))).collect();
    let all_weight: f64 = (0..m).map(|sample| weight(sample) * expected[sample].1).sum();
    let all_loss: f64 = (0..m).map(|sample| weight(sample) * expected[sample].0).sum();
    let per_weight = if all_weight == 0.0 { 0.0 } else { 1.0 / all_weight };

    // exp, ln and a quotient to 2 ulp (4 units) each, a sum of `outputs` terms to as many units, a few single roundings; each
    // of the size of the loss or of 1. A difference from the row's largest logit is rounded to a unit of twice the spread,
    // which stands in the exponent of every term and beside the logarithm. Weights of classes are 2 at most.
    let relative = (16.0 + outputs as f64) * UNIT;
    let exponent = 2.0 * 2.0 * spread * UNIT;
    let losses: Vec<f64> = expected.iter().map(|(loss, _)| *loss).collect();
    let loss_bound: Vec<f64> = losses.iter().map(|loss| relative * (loss + 2.0) + 2.0 * exponent).collect();
    let mean_bound = loss_bound.iter().copied().fold(0.0, f64::max)
        * if all_weight == 0.0 { 0.0 } else { 1.0 }
        * ((0..m).map(weight).sum::<f64>() * per_weight).max(1.0);

    // The oracle's rise over a step of `h` to either side. It differs from the derivative by h^2 / 6 of the third one, which
    // is at most 2 (in a mean over outputs or in probabilities), and by what the oracle's own roundings give over 2 h.
    const H: f64 = 1e-4;
    let mut grad = Vec::new();
    let mut grad_bound = Vec::new();
    for (sample, own_loss) in losses.iter().enumerate() {
        let factor = weight(sample) * per_weight;
        for place in 0..outputs {
            let at = |step: f64| {
                let mut row = row(sample);
                row[place] += step;
                loss.oracle(&row, target_of(targets, sample, outputs)).0
            };
            let slope = (at(H) - at(-H)) / (2.0 * H);
            let of_the_rise = H * H / 3.0 + 8.0 * f64::EPSILON * (own_loss + 1.0) * outputs as f64 / H;
            grad.push(factor * slope);
            grad_bound.push(
                factor * ((relative + exponent) * (slope.abs() + 2.0) + of_the_rise) + f64::from(f32::MIN_POSITIVE),
            );
        }
    }

    let first = batch.run(loss, SimdLevel::detect(), weighted);
    let place = format!("{} of {m} samples of {outputs}, weighted: {weighted}", loss.spec());
    assert_close(&format!("losses, {place}"), &first.buffers.losses, &losses, &loss_bound);
    assert_close(&format!("gradient, {place}"), &first.grad, &grad, &grad_bound);
    assert!((first.sums.weight - all_weight).abs() <= 1e-12 * all_weight, "weight, {place}");
    assert!((first.sums.mean() - all_loss * per_weight).abs() <= mean_bound, "mean, {place}: {}", first.sums.mean());
    assert_eq!(first.sums.samples as usize, m);
    for level in levels() {
        let other = batch.run(loss, level, weighted);
        let place = format!("{place} at {}", level.name());
        assert!(same(&first.buffers.losses, &other.buffers.losses), "losses, {place}");
        assert!(same(&first.buffers.probabilities, &other.buffers.probabilities), "probabilities, {place}");
        assert!(same(&first.grad, &other.grad), "gradient, {place}");
        assert_eq!((first.sums, &first.buffers.predictions), (other.sums, &other.buffers.predictions), "{place}");
    }
}

/// A batch turned round is the same batch: each sample's figures move along with it. And a part of it is a batch as well.
#[test]
fn a_samples_bits_do_not_depend_on_the_batch_it_is_in() {
    const M: usize = 41;
    for outputs in OUTPUTS {
        let batch = Batch::new(M, outputs, 9.0);
        for loss in all_losses(outputs) {
            for level in levels() {
                let place = format!("{} of {outputs} at {}", loss.spec(), level.name());
                for weighted in [false, true] {
                    let whole = batch.run(&*loss, level, weighted);
                    for first in [1, 7, 16, 33] {
                        let order: Vec<usize> = (0..M).map(|i| (i + first) % M).collect();
                        let turned = batch.select(&order).run(&*loss, level, weighted);
                        assert_eq!(turned.sums.weight, whole.sums.weight, "{place}");
                        compare(&place, &turned, &whole, &order, outputs, true);
                    }
                }
                let whole = batch.run(&*loss, level, false);
                for samples in 1..=20 {
                    let order: Vec<usize> = (M - samples..M).collect();
                    let part = batch.select(&order).run(&*loss, level, false);
                    compare(&place, &part, &whole, &order, outputs, false);
                }
            }
        }
    }
}

fn compare(place: &str, part: &Found, whole: &Found, order: &[usize], outputs: usize, with_gradient: bool) {
    for (sample, from) in order.iter().enumerate() {
        let (own, other) = (&part.buffers, &whole.buffers);
        assert!(same(&own.losses[sample..=sample], &other.losses[*from..=*from]), "loss of {from}, {place}");
        if !own.predictions.is_empty() {
            assert_eq!(own.predictions[sample], other.predictions[*from], "prediction of {from}, {place}");
        }
        let row = |all: &[f32], sample: usize| all.get(sample * outputs..(sample + 1) * outputs).map(<[f32]>::to_vec);
        let (own, other) = (row(&own.probabilities, sample), row(&other.probabilities, *from));
        assert!(same(&own.unwrap_or_default(), &other.unwrap_or_default()), "probabilities of {from}, {place}");
        if with_gradient {
            let (own, other) = (row(&part.grad, sample).unwrap(), row(&whole.grad, *from).unwrap());
            assert!(same(&own, &other), "gradient of {from}, {place}");
        }
    }
}

/// Whatever the outputs are, no figure is a finite number where the oracle's is not.
#[test]
fn what_is_not_a_number_is_never_hidden() {
    for outputs in [1, 3, 10, 17] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (sample, place) in [(0, 0), (17, outputs / 2), (36, outputs - 1)] {
                let mut batch = Batch::new(37, outputs, 3.0);
                batch.output[sample * outputs + place] = bad;
                // Not even by a weight of nothing.
                batch.weights[sample] = 0.0;
                for loss in all_losses(outputs) {
                    let row: Vec<f64> =
                        batch.output[sample * outputs..][..outputs].iter().map(|z| f64::from(*z)).collect();
                    let oracle = loss.oracle(&row, target_of(batch.targets(&*loss), sample, outputs)).0;
                    assert!(!bad.is_nan() || oracle.is_nan());
                    for level in levels() {
                        for weighted in [false, true] {
                            let found = batch.run(&*loss, level, weighted);
                            let place = format!("{} of {outputs}, {bad} at {place}, {}", loss.spec(), level.name());
                            if !oracle.is_finite() {
                                assert!(!found.buffers.losses[sample].is_finite(), "{place}");
                                assert!(!found.sums.mean().is_finite(), "{place}");
                            }
                            if bad.is_nan() {
                                let grad = &found.grad[sample * outputs..][..outputs];
                                assert!(grad.iter().any(|grad| grad.is_nan()), "gradient, {place}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn outputs_of_ten_thousand_are_safe() {
    for outputs in [1, 2, 10, 17] {
        let mut batch = Batch::new(19, outputs, 3.0);
        batch.output.iter_mut().enumerate().for_each(|(i, z)| *z = [1e4, -1e4, 0.0, 9999.0, -9.0][i * 3 % 5]);
        for loss in all_losses(outputs) {
            for level in levels() {
                let found = batch.run(&*loss, level, true);
                assert!(found.sums.mean().is_finite() && found.grad.iter().all(|grad| grad.is_finite()));
                for (sample, loss_found) in found.buffers.losses.iter().enumerate() {
                    let row: Vec<f64> =
                        batch.output[sample * outputs..][..outputs].iter().map(|z| f64::from(*z)).collect();
                    let oracle = loss.oracle(&row, target_of(batch.targets(&*loss), sample, outputs)).0;
                    // A unit of 2e4, the largest difference, in each of two terms of at most twice their weight; then
                    // roundings of the loss itself, as above.
                    let bound = 8.0 * 2e4 * UNIT + (16.0 + outputs as f64) * UNIT * oracle;
                    assert_close(&loss.spec(), &[*loss_found], &[oracle], &[bound]);
                }
            }
        }
    }
}

/// Weights of nothing but ones are no weights; one of two counts a sample twice.
#[test]
fn a_weight_is_how_often_a_sample_counts() {
    for outputs in [1, 10, 17] {
        let mut batch = Batch::new(6, outputs, 3.0);
        batch.weights = vec![1.0, 2.0, 1.0, 0.0, 3.0, 1.0];
        let repeated = batch.select(&[0, 1, 1, 2, 4, 4, 4, 5]);
        for loss in all_losses(outputs) {
            let level = SimdLevel::detect();
            let (weighted, repeated) = (batch.run(&*loss, level, true), repeated.run(&*loss, level, false));
            assert_eq!(weighted.sums.loss, repeated.sums.loss, "{}", loss.spec());
            assert_eq!(weighted.sums.weight, repeated.sums.weight, "{}", loss.spec());
            // The last sample's weight is 1 on both sides. What the two ways round apart: a factor, a product, a difference
            // from a label, each once to a unit of at most 2 before the division.
            let last = |grad: &[f32]| grad[grad.len() - outputs..].to_vec();
            let expected: Vec<f64> = last(&repeated.grad).iter().map(|grad| f64::from(*grad)).collect();
            let bound: Vec<f64> =
                expected.iter().map(|g| 4.0 * UNIT * (g.abs() + 2.0 / repeated.sums.weight)).collect();
            assert_close(&loss.spec(), &last(&weighted.grad), &expected, &bound);
        }
    }
}

/// No weight at all is no quotient of two zeros; nor does it turn a loss that is none into a number.
#[test]
fn a_batch_without_weight_has_a_loss_of_0_unless_a_sample_has_none() {
    let mut batch = Batch::new(3, 4, 3.0);
    batch.weights.fill(0.0);
    let all = all_losses(4);
    for loss in &all {
        let found = batch.run(&**loss, SimdLevel::detect(), true);
        assert_eq!((found.sums.mean(), found.grad), (0.0, vec![0.0; 12]), "{}", loss.spec());
    }
    batch.output[5] = f32::NAN;
    for loss in &all {
        let found = batch.run(&**loss, SimdLevel::detect(), true);
        assert!(found.sums.mean().is_nan() && found.grad.iter().any(|grad| grad.is_nan()), "{}", loss.spec());
    }
}

#[test]
fn batches_add_up() {
    let batch = Batch::new(12, 3, 3.0);
    for loss in all_losses(3) {
        let whole = batch.run(&*loss, SimdLevel::detect(), true).sums;
        let mut sums = LossSums::default();
        assert_eq!(sums.mean(), 0.0);
        for part in [0..5, 5..12] {
            sums += batch.select(&part.collect::<Vec<_>>()).run(&*loss, SimdLevel::detect(), true).sums;
        }
        assert_eq!((sums.samples, sums.correct, sums.weight), (whole.samples, whole.correct, whole.weight));
        assert!((sums.mean() - whole.mean()).abs() <= 1e-14 * whole.mean());
    }
}

#[test]
fn every_name_is_read_back_and_no_other_is() {
    for (form, _) in LOSSES {
        let name = form.split('[').next().unwrap();
        let spec = parse(name).unwrap().spec();
        assert_eq!(spec.split(':').next(), Some(name));
        assert_eq!(parse(&format!(" {spec} ")).unwrap().spec(), spec);
        assert!(parse("focal").unwrap_err().to_string().contains(form), "{form} is not offered");
        let error = parse(&format!("{name}:x")).unwrap_err().to_string();
        assert!(error.contains(&format!("'{name}:x'")), "{error}");
    }
    assert_eq!(parse("huber:0.25").unwrap().spec(), "huber:0.25");
    for wrong in ["huber:0", "huber:-1", "huber:inf", "huber:", "", "cross_entropy", "squared-error:1"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let takes_values = |loss: &dyn Loss| loss.validate(1, Targets::Values(&[0.5])).is_ok();
    for loss in all_losses(2).iter().filter(|loss| takes_values(&***loss)) {
        for (outputs, targets, expected) in [
            (
                2,
                Targets::Values(&[0.0, 1.0, 0.5][..]),
                "whole rows of 2 values, one for each output (at least 1), found 3",
            ),
            (2, Targets::Values(&[0.0, 1.0, 0.5, f32::NAN]), "found NaN (sample 1, output 1)"),
            (1, Targets::Values(&[f32::INFINITY]), "found inf (sample 0, output 0)"),
            (0, Targets::Values(&[1.0]), "at least 1"),
            (1, Targets::Classes(&[0]), "found class numbers"),
        ] {
            let error = loss.validate(outputs, targets).unwrap_err().to_string();
            assert!(error.contains(expected), "{}: {error}", loss.spec());
        }
    }
    let error = BinaryCrossEntropy.validate(2, Targets::Values(&[0.0, 1.5])).unwrap_err().to_string();
    assert_eq!(
        error,
        "the targets of binary-cross-entropy: expected values from 0 to 1, found 1.5 (sample 0, output 1)"
    );
}
