//! Softmax with cross entropy. Of many samples, a lane is a sample, sixteen at a time; of few, a lane is a class. Sums run
//! over classes in their order and are never added across lanes, so a sample's bits are the same on every SIMD level, and
//! in a batch of any size.

use std::ops::Range;

use fearless_simd::{Simd, f32x4, f32x8, f32x16, prelude::*, u32x16};

use crate::kernels::math::{SIDE, exp_nonpositive, ln, map, transposed, width};
use crate::kernels::{LANES, SimdLevel, dispatch};

/// One class (or one result) of sixteen samples.
pub type Lanes = [f32; LANES];

/// The most samples that go one by one. Measured at 8 to 16 classes: the two ways take the same time at 14 to 16 samples
/// with AVX-512, at 8 to 10 with AVX2 and in scalar code; one sample takes half the time.
const FEW: usize = 8;

/// Classes in half a vector. One by one, a row is read and written in two such pieces, which overlap unless it has 16.
const HALF: usize = LANES / 2;

/// What the forward pass leaves behind, row-major over samples; all overwritten.
#[derive(Debug)]
pub struct SoftmaxOutput<'a> {
    /// `[m, classes]`: `exp(z_j) / sum of exp(z)`.
    pub probabilities: &'a mut [f32],
    /// `[m]`: `-ln(p of the label)`.
    pub cross_entropy: &'a mut [f32],
    /// `[m]`: the class of the largest logit, the first of equals.
    pub predictions: &'a mut [u32],
}

impl SoftmaxOutput<'_> {
    /// That of the first `samples`, and that of the others.
    fn split_at(self, samples: usize, classes: usize) -> (Self, Self) {
        let (probabilities, other_probabilities) = self.probabilities.split_at_mut(samples * classes);
        let (cross_entropy, other_cross_entropy) = self.cross_entropy.split_at_mut(samples);
        let (predictions, other_predictions) = self.predictions.split_at_mut(samples);
        (
            SoftmaxOutput { probabilities, cross_entropy, predictions },
            SoftmaxOutput {
                probabilities: other_probabilities,
                cross_entropy: other_cross_entropy,
                predictions: other_predictions,
            },
        )
    }
}

/// Probabilities, cross entropies and predictions of a batch.
///
/// `logits: [m, classes]`, read; `labels: [m]`, each below `classes`; `scratch: [classes]`, its contents before and after
/// mean nothing. The row maximum is subtracted first, so logits of any finite size are safe; a logit that is NaN or
/// infinite gives a cross entropy that is not finite.
pub fn softmax_cross_entropy_forward(
    level: SimdLevel,
    logits: &[f32],
    labels: &[u32],
    scratch: &mut [Lanes],
    output: SoftmaxOutput<'_>,
) {
    debug_assert_eq!(logits.len(), labels.len() * scratch.len());
    let (samples, classes) = (labels.len(), scratch.len());
    let last = samples % LANES;
    let many = if last <= FEW && (HALF..=LANES).contains(&classes) { samples - last } else { samples };
    let (many_logits, few_logits) = logits.split_at(many * classes);
    let (many_labels, few_labels) = labels.split_at(many);
    let (many_output, few_output) = output.split_at(many, classes);
    // Two calls, so that neither way pays for the other's set-up.
    if !many_labels.is_empty() {
        dispatch!(level, simd => side_by_side(simd, many_logits, many_labels, scratch, many_output));
    }
    if !few_labels.is_empty() {
        dispatch!(level, simd => one_by_one(simd, few_logits, few_labels, classes, few_output));
    }
}

/// `dz = (p - one_hot(label)) / divisor`: with `m` as the divisor, the derivative of the mean cross entropy by the logits.
///
/// `probabilities: [m, classes]` and `labels: [m]`, at least one, read; `dz: [m, classes]`, overwritten.
pub fn softmax_cross_entropy_backward(
    level: SimdLevel,
    probabilities: &[f32],
    labels: &[u32],
    divisor: f32,
    dz: &mut [f32],
) {
    debug_assert_eq!(probabilities.len(), dz.len());
    level.run(
        #[inline(always)]
        || {
            for (dz, p) in dz.iter_mut().zip(probabilities) {
                *dz = p / divisor;
            }
        },
    );
    let classes = dz.len() / labels.len();
    for (sample, label) in labels.iter().enumerate() {
        let place = sample * classes + *label as usize;
        dz[place] = (probabilities[place] - 1.0) / divisor;
    }
}

/// A lane is a sample.
#[inline(always)]
fn side_by_side<S: Simd>(simd: S, logits: &[f32], labels: &[u32], scratch: &mut [Lanes], output: SoftmaxOutput<'_>) {
    let classes = scratch.len();
    let groups = logits.chunks(LANES * classes).zip(labels.chunks(LANES));
    let outputs = (output.probabilities.chunks_mut(LANES * classes))
        .zip(output.cross_entropy.chunks_mut(LANES))
        .zip(output.predictions.chunks_mut(LANES));
    for ((logits, labels), ((probabilities, cross_entropy), predictions)) in groups.zip(outputs) {
        let mut label_logit = [0.0; LANES];
        for (logit, (row, label)) in label_logit.iter_mut().zip(logits.chunks_exact(classes).zip(labels)) {
            *logit = row[*label as usize];
        }
        samples_to_lanes(simd, logits, scratch);

        let (mut losses, mut first_classes) = ([0.0; LANES], [0; LANES]);
        for start in (0..LANES).step_by(width::<S>()) {
            let lanes = start..start + width::<S>();
            let (max, argmax) = max_and_argmax(simd, scratch, lanes.clone());
            argmax.store_slice(&mut first_classes[lanes.clone()]);
            let mut sum = S::f32s::splat(simd, 0.0);
            for class in scratch.iter_mut() {
                let exponential = exp_nonpositive(simd, S::f32s::from_slice(simd, &class[lanes.clone()]) - max);
                exponential.store_slice(&mut class[lanes.clone()]);
                sum += exponential;
            }
            let loss = max + ln(simd, sum) - S::f32s::from_slice(simd, &label_logit[lanes.clone()]);
            loss.store_slice(&mut losses[lanes.clone()]);
            for class in scratch.iter_mut() {
                let p = S::f32s::from_slice(simd, &class[lanes.clone()]) / sum;
                p.store_slice(&mut class[lanes.clone()]);
            }
        }
        cross_entropy.copy_from_slice(&losses[..cross_entropy.len()]);
        predictions.copy_from_slice(&first_classes[..predictions.len()]);
        lanes_to_samples(simd, scratch, probabilities);
    }
}

/// `lanes[class][sample] = rows[sample][class]`, in squares of four by four: one number at a time is twice as slow, and the
/// compiler may make gathers of it, which are slower still. `rows: [samples, classes]`, at most sixteen samples.
#[inline(always)]
fn samples_to_lanes<S: Simd>(simd: S, rows: &[f32], lanes: &mut [Lanes]) {
    let classes = lanes.len();
    let samples = rows.len() / classes;
    let turned = if classes < SIDE { 0 } else { samples - samples % SIDE };
    for sample in (0..turned).step_by(SIDE) {
        for class in (0..classes).step_by(SIDE) {
            // The last square overlaps the one before and writes what stands there already.
            let class = class.min(classes - SIDE);
            let square = std::array::from_fn(
                #[inline(always)]
                |row| f32x4::from_slice(simd, &rows[(sample + row) * classes + class..][..SIDE]),
            );
            for (lanes, column) in lanes[class..][..SIDE].iter_mut().zip(transposed(square)) {
                column.store_slice(&mut lanes[sample..][..SIDE]);
            }
        }
    }
    for sample in turned..samples {
        for (lanes, logit) in lanes.iter_mut().zip(&rows[sample * classes..][..classes]) {
            lanes[sample] = *logit;
        }
    }
}

/// The way back: `rows[sample][class] = lanes[class][sample]`.
#[inline(always)]
fn lanes_to_samples<S: Simd>(simd: S, lanes: &[Lanes], rows: &mut [f32]) {
    let classes = lanes.len();
    let samples = rows.len() / classes;
    let turned = if classes < SIDE { 0 } else { samples - samples % SIDE };
    for sample in (0..turned).step_by(SIDE) {
        for class in (0..classes).step_by(SIDE) {
            let class = class.min(classes - SIDE);
            let square = std::array::from_fn(
                #[inline(always)]
                |row| f32x4::from_slice(simd, &lanes[class + row][sample..][..SIDE]),
            );
            for (row, column) in transposed(square).into_iter().enumerate() {
                column.store_slice(&mut rows[(sample + row) * classes + class..][..SIDE]);
            }
        }
    }
    for sample in turned..samples {
        for (lanes, p) in lanes.iter().zip(&mut rows[sample * classes..][..classes]) {
            *p = lanes[sample];
        }
    }
}

/// At most sixteen samples of 8 to 16 classes; a lane is a class.
#[inline(always)]
fn one_by_one<S: Simd>(simd: S, logits: &[f32], labels: &[u32], classes: usize, output: SoftmaxOutput<'_>) {
    const NUMBERS: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let zero = f32x16::splat(simd, 0.0);
    let (mut maxima, mut sums, mut label_logits) = (zero, zero, zero);
    let SoftmaxOutput { probabilities, cross_entropy, predictions } = output;
    for (sample, label) in labels.iter().enumerate() {
        let row = &logits[sample * classes..][..classes];
        let p = &mut probabilities[sample * classes..][..classes];
        let z = load_row(simd, row);
        let largest = f32x16::splat(simd, z.reduce_max_precise());
        // The first lane that has it is its first class, though a class may stand in two lanes.
        let lane = z.simd_eq(largest).to_bitmask().trailing_zeros() as usize;
        let class = if lane < HALF { lane } else { lane + classes - LANES };
        // As when one class is compared after the other: a first logit that is NaN stays, as nothing is larger than it.
        let best = if row[0].is_nan() { 0 } else { class };
        let max = row[best];
        let mut exponentials = f32x16::splat(simd, 0.0);
        map(
            simd,
            (z - max).as_slice(),
            exponentials.as_mut_slice(),
            #[inline(always)]
            |z| exp_nonpositive(simd, z),
        );
        store_row(exponentials, p);
        let mut sum = 0.0;
        for exponential in &*p {
            sum += exponential;
        }
        store_row(exponentials / sum, p);
        predictions[sample] = best as u32;
        // What is left to do is done for all samples at once, each in its lane.
        let own = u32x16::load_array(simd, NUMBERS).simd_eq(u32x16::splat(simd, sample as u32));
        maxima = own.select(f32x16::splat(simd, max), maxima);
        sums = own.select(f32x16::splat(simd, sum), sums);
        label_logits = own.select(f32x16::splat(simd, row[*label as usize]), label_logits);
    }
    let mut logarithms = f32x16::splat(simd, 0.0);
    map(
        simd,
        sums.as_slice(),
        logarithms.as_mut_slice(),
        #[inline(always)]
        |sum| ln(simd, sum),
    );
    let losses = maxima + logarithms - label_logits;
    for (cross_entropy, loss) in cross_entropy.iter_mut().zip(losses.as_array()) {
        *cross_entropy = *loss;
    }
}

/// Its first eight classes, then its last eight.
#[inline(always)]
fn load_row<S: Simd>(simd: S, row: &[f32]) -> f32x16<S> {
    f32x8::from_slice(simd, &row[..HALF]).combine(f32x8::from_slice(simd, &row[row.len() - HALF..]))
}

/// The way back.
#[inline(always)]
fn store_row<S: Simd>(lanes: f32x16<S>, row: &mut [f32]) {
    let (first, last) = lanes.split();
    let last_start = row.len() - HALF;
    first.store_slice(&mut row[..HALF]);
    last.store_slice(&mut row[last_start..]);
}

/// Largest value over classes and the first class that has it, of some of the lanes.
#[inline(always)]
fn max_and_argmax<S: Simd>(simd: S, classes: &[Lanes], lanes: Range<usize>) -> (S::f32s, S::u32s) {
    let mut max = S::f32s::from_slice(simd, &classes[0][lanes.clone()]);
    let mut argmax = S::u32s::splat(simd, 0);
    for (class, logits) in classes.iter().enumerate().skip(1) {
        let logits = S::f32s::from_slice(simd, &logits[lanes.clone()]);
        let larger = logits.simd_gt(max);
        max = larger.select(logits, max);
        argmax = larger.select(S::u32s::splat(simd, class as u32), argmax);
    }
    (max, argmax)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::testing::{assert_close, random};

    fn one_hot(labels: &[u32], classes: usize) -> Vec<f64> {
        labels
            .iter()
            .flat_map(|label| (0..classes).map(|class| f64::from(u8::from(class == *label as usize))))
            .collect()
    }

    struct Case {
        probabilities: Vec<f32>,
        cross_entropy: Vec<f32>,
        predictions: Vec<u32>,
        dz: Vec<f32>,
    }

    fn run(level: SimdLevel, logits: &[f32], labels: &[u32], poison: u8) -> Case {
        let classes = logits.len() / labels.len();
        let poison_f32 = f32::from_bits(u32::from_ne_bytes([poison; 4]));
        let mut case = Case {
            probabilities: vec![poison_f32; logits.len()],
            cross_entropy: vec![poison_f32; labels.len()],
            predictions: vec![u32::from_ne_bytes([poison; 4]); labels.len()],
            dz: vec![poison_f32; logits.len()],
        };
        let output = SoftmaxOutput {
            probabilities: &mut case.probabilities,
            cross_entropy: &mut case.cross_entropy,
            predictions: &mut case.predictions,
        };
        softmax_cross_entropy_forward(level, logits, labels, &mut vec![[poison_f32; LANES]; classes], output);
        let divisor = labels.len() as f32;
        softmax_cross_entropy_backward(level, &case.probabilities, labels, divisor, &mut case.dz);
        case
    }

    #[test]
    fn every_level_agrees_with_the_reference_and_with_every_other_bit_by_bit() {
        const CASES: [(usize, usize, f32); 9] = [
            (1, 2, 1.0),
            (1, 10, 4.0),
            (8, 16, 4.0),
            (16, 10, 4.0),
            (32, 10, 30.0),
            (35, 8, 8.0),
            (37, 26, 8.0),
            (5, 256, 3.0),
            (3, 300, 3.0),
        ];
        for (m, classes, spread) in CASES {
            let logits: Vec<f32> = random(m * classes, 7).iter().map(|z| z * spread).collect();
            let labels: Vec<u32> = (0..m).map(|row| ((row * 7) % classes) as u32).collect();
            let z: Vec<f64> = logits.iter().map(|z| f64::from(*z)).collect();
            let targets = one_hot(&labels, classes);
            let (mut p, mut ce, mut dz) = (vec![0.0; m * classes], vec![0.0; m], vec![0.0; m * classes]);
            reference::softmax_cross_entropy_forward(&z, &targets, classes, &mut p, &mut ce);
            reference::softmax_cross_entropy_backward(&p, &targets, m, &mut dz);
            let first = run(SimdLevel::detect(), &logits, &labels, 0);
            // e^x and ln to 2 ulp each, the sum of `classes` positive terms to classes/2 ulp, one division.
            let relative = (5.0 + classes as f64) * f64::from(f32::EPSILON);
            // x - max is rounded once: an absolute error in the exponent, of up to half an ulp of the spread.
            let exponent = 2.0 * f64::from(spread) * f64::from(f32::EPSILON);
            let p_bound: Vec<f64> = p.iter().map(|p| p * (relative + exponent) + 1.2e-38).collect();
            let ce_bound: Vec<f64> = ce.iter().map(|_| relative + 4.0 * exponent).collect();
            let dz_bound: Vec<f64> = p_bound.iter().map(|b| (b + f64::from(f32::EPSILON)) / m as f64).collect();
            assert_close("probabilities", &first.probabilities, &p, &p_bound);
            assert_close("cross entropy", &first.cross_entropy, &ce, &ce_bound);
            assert_close("dz", &first.dz, &dz, &dz_bound);
            for level in SimdLevel::all() {
                for poison in [0x00, 0xff] {
                    let other = run(level, &logits, &labels, poison);
                    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&first.probabilities), bits(&other.probabilities), "{}", level.name());
                    assert_eq!(bits(&first.cross_entropy), bits(&other.cross_entropy), "{}", level.name());
                    assert_eq!(bits(&first.dz), bits(&other.dz), "{}", level.name());
                    assert_eq!(first.predictions, other.predictions, "{}", level.name());
                }
            }
        }
    }

    /// Few samples go another way than many: both have to give the same bits, in every lane, and where logits are equal,
    /// zeros of both signs, or not numbers at all.
    #[test]
    fn a_samples_bits_do_not_depend_on_the_batch_it_is_in() {
        const MANY: usize = 64;
        for classes in [7, 8, 9, 10, 15, 16, 17] {
            let mut logits: Vec<f32> = random(MANY * classes, 3).iter().map(|z| z * 9.0).collect();
            for (sample, row) in logits.chunks_exact_mut(classes).enumerate() {
                let odd = [0.0, -0.0, 20.0, -200.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN];
                match sample % 4 {
                    0 => row[sample / 4 % classes] = odd[sample / 4 % odd.len()],
                    1 => row.iter_mut().for_each(|z| *z = z.round() / 4.0),
                    2 => row.iter_mut().enumerate().for_each(|(class, z)| *z = odd[(class + sample) / 4 % odd.len()]),
                    _ => {}
                }
            }
            let labels: Vec<u32> = (0..MANY).map(|sample| ((sample * 5) % classes) as u32).collect();
            // Which of its many bit patterns a NaN has is not laid down.
            let bits = |values: &[f32]| {
                values.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>()
            };
            for level in SimdLevel::all() {
                let many = run(level, &logits, &labels, 0xff);
                for m in 1..=2 * LANES + FEW + 1 {
                    for first in [0, 1, 21] {
                        let (own, own_labels) =
                            (&logits[first * classes..(first + m) * classes], &labels[first..first + m]);
                        let few = run(level, own, own_labels, 0xff);
                        let place = format!("{}, {m} samples of {classes} classes from {first}", level.name());
                        let expected = bits(&many.probabilities[first * classes..(first + m) * classes]);
                        assert_eq!(bits(&few.probabilities), expected, "{place}");
                        assert_eq!(bits(&few.cross_entropy), bits(&many.cross_entropy[first..first + m]), "{place}");
                        assert_eq!(few.predictions, many.predictions[first..first + m], "{place}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_gradient_is_the_quotient_bit_by_bit() {
        for m in 1..=40 {
            let p: Vec<f32> = random(m * 3, 9).iter().map(|p| p.abs() * f32::MIN_POSITIVE.powf(p.abs())).collect();
            for level in SimdLevel::all() {
                let mut dz = vec![f32::NAN; p.len()];
                softmax_cross_entropy_backward(level, &p, &vec![2; m], m as f32, &mut dz);
                for (i, (dz, p)) in dz.iter().zip(&p).enumerate() {
                    let expected = if i % 3 == 2 { p - 1.0 } else { *p } / m as f32;
                    assert_eq!(dz.to_bits(), expected.to_bits(), "{} of {m}, {}", i, level.name());
                }
            }
        }
    }

    #[test]
    fn logits_of_ten_thousand_are_safe() {
        let logits = [1e4, -1e4, 0.0, /**/ -1e4, -1e4, -1e4, /**/ 1e4, 1e4, -1e4];
        for level in SimdLevel::all() {
            let case = run(level, &logits, &[1, 0, 0], 0xff);
            assert_eq!(case.probabilities[..3], [1.0, 0.0, 0.0]);
            assert_eq!(case.cross_entropy[0], 2e4);
            assert_eq!(case.predictions, [0, 0, 0]);
            assert!((case.cross_entropy[1] - 3f32.ln()).abs() < 1e-3, "half an ulp of 1e4 is 5e-4");
            assert_eq!(case.probabilities[6..], [0.5, 0.5, 0.0]);
        }
    }

    #[test]
    fn values_that_are_not_numbers_are_never_hidden() {
        for level in SimdLevel::all() {
            for bad in [f32::NAN, f32::INFINITY] {
                for place in 0..3 {
                    for label in 0..3 {
                        let mut logits = [1.0, 2.0, 3.0];
                        logits[place] = bad;
                        let case = run(level, &logits, &[label], 0);
                        assert!(!case.cross_entropy[0].is_finite(), "{bad} at {place}, label {label}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_of_equal_logits_is_predicted() {
        let case = run(SimdLevel::detect(), &[0.5, 2.0, 2.0, 1.0, 1.0, 1.0, -3.0, -0.0, 0.0], &[0, 0, 0], 0xff);
        assert_eq!(case.predictions, [1, 0, 1]);
    }

    #[test]
    fn as_many_classes_as_two_bytes_tell_apart_are_told_apart() {
        const CLASSES: usize = 1 << 16;
        let mut logits = vec![0.0; 2 * CLASSES];
        (logits[CLASSES - 1], logits[CLASSES + 300]) = (20.0, 20.0);
        let labels = [CLASSES as u32 - 1, 299];
        for level in SimdLevel::all() {
            let case = run(level, &logits, &labels, 0xff);
            assert_eq!(case.predictions, [CLASSES as u32 - 1, 300]);
            let sum = 20f64.exp() + (CLASSES - 1) as f64;
            // The sum of 65,536 terms strays by CLASSES / 2 ulp at worst, and that is all that the logarithm sees.
            let relative = (5.0 + CLASSES as f64) * f64::from(f32::EPSILON);
            assert_close("loss", &case.cross_entropy, &[sum.ln() - 20.0, sum.ln()], &[relative; 2]);
            let dz = [case.dz[CLASSES - 1], case.dz[CLASSES + 299]];
            let expected = [(20f64.exp() / sum - 1.0) / 2.0, (1.0 / sum - 1.0) / 2.0];
            assert_close("dz", &dz, &expected, &[relative; 2]);
        }
    }
}
