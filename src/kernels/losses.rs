//! What the losses compute beside the softmax: functions of `output - target`, binary cross entropy, class and sample
//! weights. Each element is computed alone and each row in one order, so that a sample's bits are the same on every SIMD
//! level and in every batch. Products that feed a sum are rounded once.

use fearless_simd::{Simd, prelude::*};

use crate::kernels::lanes::{Lanes, Native};
use crate::kernels::math::{exp_nonpositive as exp, ln_1p, load, map2, store, width};
use crate::kernels::{LANES, SimdLevel, dispatch};

/// A loss of one output that depends on `d = output - target` alone. NaN gives NaN.
pub trait OfDifference: Copy {
    /// The loss. To be written `#[inline(always)]`.
    fn value<V: Lanes>(self, d: V) -> V;
    /// Its derivative with respect to `d`; at a kink, PyTorch's choice. To be written `#[inline(always)]`.
    fn slope<V: Lanes>(self, d: V) -> V;
}

/// `losses = value(output - target)`, elementwise. All `[m, outputs]`; `losses` is overwritten.
pub fn difference_forward(
    level: SimdLevel,
    loss: impl OfDifference,
    output: &[f32],
    targets: &[f32],
    losses: &mut [f32],
) {
    dispatch!(level, simd => map2(simd, output, targets, losses,
        #[inline(always)] |output, target| loss.value(native(simd, output - target)).0));
}

/// `grad = factor * slope(output - target)`, elementwise. All `[m, outputs]`; `grad` is overwritten.
pub fn difference_backward(
    level: SimdLevel,
    loss: impl OfDifference,
    output: &[f32],
    targets: &[f32],
    factor: f32,
    grad: &mut [f32],
) {
    dispatch!(level, simd => map2(simd, output, targets, grad,
        #[inline(always)] |output, target| loss.slope(native(simd, output - target)).0 * factor));
}

#[inline(always)]
fn native<S: Simd>(_: S, d: S::f32s) -> Native<S> {
    Native(d)
}

/// `losses = max(z, 0) - z t + ln(1 + exp(-|z|))` and `probabilities = 1 / (1 + exp(-z))`, elementwise: the binary cross
/// entropy of a logit, in the form that neither overflows nor cancels (that of PyTorch's `BCEWithLogitsLoss`).
///
/// `logits`, `targets: [m, outputs]`, read; `losses`, `probabilities: [m, outputs]`, overwritten. A logit that is not finite
/// gives a loss that is not.
pub fn binary_cross_entropy_forward(
    level: SimdLevel,
    logits: &[f32],
    targets: &[f32],
    losses: &mut [f32],
    probabilities: &mut [f32],
) {
    debug_assert!(logits.len() == targets.len() && logits.len() == losses.len() && logits.len() == probabilities.len());
    dispatch!(level, simd => binary_at(simd, logits, targets, losses, probabilities));
}

/// `grad = factor * (p - t)`, elementwise: the derivative with respect to the logit. All `[m, outputs]`; `grad` is overwritten.
pub fn binary_cross_entropy_backward(
    level: SimdLevel,
    probabilities: &[f32],
    targets: &[f32],
    factor: f32,
    grad: &mut [f32],
) {
    dispatch!(level, simd => map2(simd, probabilities, targets, grad,
        #[inline(always)] |p, target| (p - target) * factor));
}

/// How many rows have every output on the target's side: `z > 0` where `t > 1/2`, else `z <= 0`. NaN is on no side.
/// `logits`, `targets: [m, width]`, read.
pub fn binary_correct(level: SimdLevel, width: usize, logits: &[f32], targets: &[f32]) -> u32 {
    level.run(
        #[inline(always)]
        || {
            let mut correct = 0;
            for (logits, targets) in logits.chunks_exact(width).zip(targets.chunks_exact(width)) {
                let mut right = true;
                for (z, t) in logits.iter().zip(targets) {
                    right &= if *t > 0.5 { *z > 0.0 } else { *z <= 0.0 };
                }
                correct += u32::from(right);
            }
            correct
        },
    )
}

/// `means = mean over a row`, summed in f64. `elements: [m, width]`, read; `means: [m]`, overwritten.
pub fn row_means(level: SimdLevel, width: usize, elements: &[f32], means: &mut [f32]) {
    debug_assert_eq!(elements.len(), means.len() * width);
    level.run(
        #[inline(always)]
        || {
            for (row, mean) in elements.chunks_exact(width).zip(means) {
                let sum = sum_of(width, |i| f64::from(row[i]));
                *mean = (sum / width as f64) as f32;
            }
        },
    );
}

/// `rows *= scale * weight`, each by its own. `weights: [m]`, read; `rows: [m, width]`.
pub fn scale_rows(level: SimdLevel, width: usize, scale: f64, weights: &[f32], rows: &mut [f32]) {
    debug_assert_eq!(rows.len(), weights.len() * width);
    level.run(
        #[inline(always)]
        || {
            for (row, weight) in rows.chunks_exact_mut(width).zip(weights) {
                let factor = (scale * f64::from(*weight)) as f32;
                for value in row {
                    *value *= factor;
                }
            }
        },
    );
}

/// What turns a cross entropy into one with class weights and a smoothed label; the formula is that of
/// [`loss::CrossEntropy`](crate::loss::CrossEntropy).
#[derive(Debug, Clone, Copy)]
pub struct Smoothing<'a> {
    /// `1 - label_smoothing`: what is left of the label's own term.
    pub label_share: f64,
    /// `[classes]`; `None` where all are 1.
    pub class_weights: Option<&'a [f32]>,
    /// `[classes]`: `label_smoothing / classes` times the class's weight; empty without smoothing.
    pub class_shares: &'a [f32],
}

impl Smoothing<'_> {
    /// What the label's own term weighs.
    #[inline(always)]
    fn own(&self, label: u32) -> f64 {
        self.label_share * self.class_weights.map_or(1.0, |weights| f64::from(weights[label as usize]))
    }
}

/// Turns plain cross entropies into `own ce + sum over classes of share (-ln p)`, in f64.
///
/// `logits: [m, classes]` and `labels: [m]`, read; `losses: [m]`, plain cross entropies before.
pub fn smooth_losses(level: SimdLevel, logits: &[f32], labels: &[u32], smoothing: Smoothing<'_>, losses: &mut [f32]) {
    level.run(
        #[inline(always)]
        || {
            let shares = smoothing.class_shares;
            for (sample, (loss, label)) in losses.iter_mut().zip(labels).enumerate() {
                let mut smoothed = smoothing.own(*label) * f64::from(*loss);
                if !shares.is_empty() {
                    let row = &logits[sample * shares.len()..][..shares.len()];
                    // ln of the sum of exponentials: that minus a logit is the logit's -ln(p).
                    let ln_sum = f64::from(*loss) + f64::from(row[*label as usize]);
                    smoothed += sum_of(shares.len(), |i| f64::from(shares[i]) * (ln_sum - f64::from(row[i])));
                }
                *loss = smoothed as f32;
            }
        },
    );
}

/// The derivative of those losses by the logits, times `scale` and the sample's weight:
/// `(own + sum of shares) p_j - share_j - own [j is the label]`.
///
/// `probabilities: [m, classes]`, `labels: [m]`, `weights: [m]` (or `None`, where all are 1), read; `grad: [m, classes]`,
/// overwritten.
pub fn smooth_backward(
    level: SimdLevel,
    probabilities: &[f32],
    labels: &[u32],
    smoothing: Smoothing<'_>,
    (scale, weights): (f64, Option<&[f32]>),
    grad: &mut [f32],
) {
    debug_assert_eq!(probabilities.len(), grad.len());
    let classes = grad.len() / labels.len();
    level.run(
        #[inline(always)]
        || {
            let shares = smoothing.class_shares;
            let all_shares = sum_of(shares.len(), |i| f64::from(shares[i]));
            let rows = grad.chunks_exact_mut(classes).zip(probabilities.chunks_exact(classes));
            for (sample, ((grad, p), label)) in rows.zip(labels).enumerate() {
                let factor = scale * weights.map_or(1.0, |weights| f64::from(weights[sample]));
                let own = smoothing.own(*label);
                let total = own + all_shares;
                if shares.is_empty() {
                    let factor = (total * factor) as f32;
                    for (grad, p) in grad.iter_mut().zip(p) {
                        *grad = factor * p;
                    }
                } else {
                    let (total, factor) = (total as f32, factor as f32);
                    for ((grad, p), share) in grad.iter_mut().zip(p).zip(shares) {
                        *grad = total.mul_add(*p, -share) * factor;
                    }
                }
                let label = *label as usize;
                let share = shares.get(label).map_or(0.0, |share| f64::from(*share));
                grad[label] = ((total * f64::from(p[label]) - share - own) * factor) as f32;
            }
        },
    );
}

/// `term(0) + .. + term(len - 1)`: sixteen sums side by side, so that a vector can hold them, then those in order.
#[inline(always)]
fn sum_of(len: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let whole = len - len % LANES;
    for block in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(block + lane);
        }
    }
    for (lane, sum) in sums.iter_mut().enumerate().take(len - whole) {
        *sum += term(whole + lane);
    }
    sums[..len.min(LANES)].iter().sum()
}

#[inline(always)]
fn binary_at<S: Simd>(simd: S, logits: &[f32], targets: &[f32], losses: &mut [f32], probabilities: &mut [f32]) {
    let read = logits.chunks(width::<S>()).zip(targets.chunks(width::<S>()));
    let written = losses.chunks_mut(width::<S>()).zip(probabilities.chunks_mut(width::<S>()));
    for ((z, t), (loss, p)) in read.zip(written) {
        let found = binary(simd, load(simd, z), load(simd, t));
        store::<S>(found.0, loss);
        store::<S>(found.1, p);
    }
}

/// The loss and the probability.
#[inline(always)]
fn binary<S: Simd>(simd: S, z: S::f32s, t: S::f32s) -> (S::f32s, S::f32s) {
    let (zero, one) = (S::f32s::splat(simd, 0.0), S::f32s::splat(simd, 1.0));
    let positive = z.simd_gt(zero);
    let e = exp(simd, -z.abs());
    let loss = (-z).mul_add_precise(t, positive.select(z, zero)) + ln_1p(simd, e);
    let p = positive.select(one, e) / (e + 1.0);
    (loss, p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, levels, random};

    const UNIT: f64 = f32::EPSILON as f64 / 2.0;

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(*value)).collect()
    }

    /// A loss that is nearly 0 has to be right in its leading digits as well: `ln(1 + e)`, not `ln` of what is left of it.
    #[test]
    fn binary_cross_entropy_is_right_to_a_few_units_wherever_it_is_a_normal_number() {
        let z: Vec<f32> = (-34_400..=34_400).map(|i| i as f32 / 400.0).collect();
        for label in [0.0, 1.0, 0.3] {
            let t = vec![label; z.len()];
            let expected: Vec<f64> = (z.iter())
                .map(|z| f64::from(*z))
                .map(|z| z.max(0.0) - z * f64::from(label) + (-z.abs()).exp().ln_1p())
                .collect();
            let sigmoid: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + f64::from(-z).exp())).collect();
            // exp and ln to 1 ulp (2 units) each, ln_1p to 2 more, the product and the sum to one unit each.
            let bound: Vec<f64> = expected.iter().map(|loss| 8.0 * UNIT * loss).collect();
            // exp to 1 ulp, the sum and the quotient to one unit each.
            let p_bound: Vec<f64> = sigmoid.iter().map(|p| 6.0 * UNIT * p).collect();
            for level in levels() {
                let (mut losses, mut p) = (vec![f32::NAN; z.len()], vec![f32::NAN; z.len()]);
                binary_cross_entropy_forward(level, &z, &t, &mut losses, &mut p);
                assert_close("loss", &losses, &expected, &bound);
                assert_close("probability", &p, &sigmoid, &p_bound);
            }
        }
    }

    /// A use of what losses are made of; no loss.
    #[derive(Debug, Clone, Copy)]
    struct Cut;

    impl OfDifference for Cut {
        #[inline(always)]
        fn value<V: Lanes>(self, d: V) -> V {
            d.abs().limited(0.5) * d.abs()
        }

        #[inline(always)]
        fn slope<V: Lanes>(self, d: V) -> V {
            d.sign() * d.limited(0.5)
        }
    }

    #[test]
    fn formulas_of_a_difference_are_applied_to_every_element() {
        fn check(loss: impl OfDifference + std::fmt::Debug, value: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) {
            for len in [0, 1, 15, 16, 17, 100] {
                let (output, targets) = (random(len, 1), random(len, 2));
                let d: Vec<f64> = wide(&output).iter().zip(wide(&targets)).map(|(output, t)| output - t).collect();
                let values: Vec<f64> = d.iter().map(|d| value(*d)).collect();
                let slopes: Vec<f64> = d.iter().map(|d| slope(*d) * 0.25).collect();
                // The difference, the cut and the product are rounded once each; a square doubles the first.
                let bound = |of: &[f64]| of.iter().map(|x| 5.0 * UNIT * x.abs()).collect::<Vec<_>>();
                for level in levels() {
                    let (mut losses, mut grad) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                    difference_forward(level, loss, &output, &targets, &mut losses);
                    difference_backward(level, loss, &output, &targets, 0.25, &mut grad);
                    assert_close(&format!("{loss:?}"), &losses, &values, &bound(&values));
                    assert_close(&format!("{loss:?}"), &grad, &slopes, &bound(&slopes));
                }
            }
        }
        check(Cut, |d| d.abs().min(0.5) * d.abs(), |d| d.signum() * d.clamp(-0.5, 0.5));
    }

    #[test]
    fn rows_are_summed_whole_and_scaled_by_their_own_weight() {
        for width in [1, 2, 15, 16, 17, 33, 784] {
            // Small whole numbers: every order of summation gives the same sum.
            let rows: Vec<f32> = (0..3 * width).map(|i| (i * 7 % 32) as f32).collect();
            let expected: Vec<f32> = rows.chunks(width).map(|row| row.iter().sum::<f32>() / width as f32).collect();
            let weights = [0.5, 3.0, 0.0];
            let scaled: Vec<f32> = rows.iter().enumerate().map(|(i, x)| x * 0.25 * weights[i / width]).collect();
            for level in levels() {
                let (mut means, mut found) = ([f32::NAN; 3], rows.clone());
                row_means(level, width, &rows, &mut means);
                scale_rows(level, width, 0.25, &weights, &mut found);
                assert_eq!(means, *expected, "rows of {width}");
                assert_eq!(found, scaled, "rows of {width}");
            }
        }
    }

    #[test]
    fn a_row_is_right_only_where_every_output_is() {
        let z = [1.0, -1.0, /**/ 1.0, 1.0, /**/ 0.0, 0.0, /**/ f32::NAN, -1.0, /**/ 3.0, -2.0];
        let t = [1.0, 0.0, /**/ 1.0, 0.0, /**/ 0.5, 0.0, /**/ 0.0, 0.0, /**/ 0.6, 0.4];
        for level in levels() {
            assert_eq!(binary_correct(level, 2, &z, &t), 3);
        }
    }
}
