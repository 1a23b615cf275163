//! The arithmetic of every kernel as plain loops over f64, one operation after another: the oracle of the tests.
//! It calls no kernel, so that it can convict any of them.
//!
//! Legend: `m` batch size, `K` in_features, `N` out_features (or classes); `x: [m, K]`, `w: [N, K]`, `b: [N]`,
//! `z: [m, N]`, `dz`, `dw`, `db`, `dx`: the derivative of the mean loss by each of them.

/// `z = x w^T + b`, the reference's `LinearLayer_t.forward` with the weight transposed to `[N, K]`. `z` is overwritten.
pub fn linear_forward(x: &[f64], w: &[f64], b: &[f64], z: &mut [f64]) {
    let n = b.len();
    let k = w.len() / n;
    for (x_row, z_row) in x.chunks_exact(k).zip(z.chunks_exact_mut(n)) {
        for j in 0..n {
            let mut sum = b[j];
            for i in 0..k {
                sum += x_row[i] * w[j * k + i];
            }
            z_row[j] = sum;
        }
    }
}

/// `dw = dz^T x`, `db = sum over samples of dz`; both overwritten. (The reference divides by `m` here; as in PyTorch,
/// flatnet divides where the mean is taken, in the loss, so that gradients add up over batches.)
pub fn linear_backward_parameters(x: &[f64], dz: &[f64], dw: &mut [f64], db: &mut [f64]) {
    let n = db.len();
    let k = dw.len() / n;
    dw.fill(0.0);
    db.fill(0.0);
    for (x_row, dz_row) in x.chunks_exact(k).zip(dz.chunks_exact(n)) {
        for j in 0..n {
            db[j] += dz_row[j];
            for i in 0..k {
                dw[j * k + i] += dz_row[j] * x_row[i];
            }
        }
    }
}

/// `dx = dz w`; overwritten. `n` is the number of outputs.
pub fn linear_backward_input(dz: &[f64], w: &[f64], n: usize, dx: &mut [f64]) {
    let k = w.len() / n;
    for (dz_row, dx_row) in dz.chunks_exact(n).zip(dx.chunks_exact_mut(k)) {
        for i in 0..k {
            let mut sum = 0.0;
            for j in 0..n {
                sum += dz_row[j] * w[j * k + i];
            }
            dx_row[i] = sum;
        }
    }
}

/// `y = max(z, 0)`.
pub fn relu_forward(z: &[f64], y: &mut [f64]) {
    for (z, y) in z.iter().zip(y) {
        *y = if *z > 0.0 { *z } else { 0.0 };
    }
}

/// `dz = dy` where `z > 0`, else 0: the derivative, with PyTorch's choice at 0.
pub fn relu_backward_exact(z: &[f64], dy: &[f64], dz: &mut [f64]) {
    for ((z, dy), dz) in z.iter().zip(dy).zip(dz) {
        *dz = if *z > 0.0 { *dy } else { 0.0 };
    }
}

/// What the reference's `Relu_t.backward` does: it writes 0 over the negative inputs, then 1 over everything that is
/// now `>= 0`, which is everything; so its mask is all ones and `dz = dy`.
pub fn relu_backward_straight_through(z: &[f64], dy: &[f64], dz: &mut [f64]) {
    let mut mask = z.to_vec();
    mask.iter_mut().filter(|value| **value < 0.0).for_each(|value| *value = 0.0);
    mask.iter_mut().filter(|value| **value >= 0.0).for_each(|value| *value = 1.0);
    for ((mask, dy), dz) in mask.iter().zip(dy).zip(dz) {
        *dz = mask * dy;
    }
}

/// `p_j = exp(z_j) / sum of exp(z)` per row and `cross_entropy = -sum of targets_j ln(p_j)`, both overwritten; returns
/// the mean of the cross entropies. `targets: [m, N]`, one-hot. `ln(p)` is taken before the division, as
/// `z_j - max - ln(sum)`, so that a probability that rounds to 0 still has its loss.
pub fn softmax_cross_entropy_forward(
    z: &[f64],
    targets: &[f64],
    n: usize,
    probabilities: &mut [f64],
    cross_entropy: &mut [f64],
) -> f64 {
    for (row, loss) in cross_entropy.iter_mut().enumerate() {
        let z = &z[row * n..][..n];
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - max).exp()).sum();
        *loss = 0.0;
        for j in 0..n {
            probabilities[row * n + j] = (z[j] - max).exp() / sum;
            if targets[row * n + j] != 0.0 {
                *loss -= targets[row * n + j] * (z[j] - max - sum.ln());
            }
        }
    }
    cross_entropy.iter().sum::<f64>() / cross_entropy.len() as f64
}

/// `dz = (p - targets) / m`: the derivative of the mean cross entropy by the logits.
pub fn softmax_cross_entropy_backward(probabilities: &[f64], targets: &[f64], m: usize, dz: &mut [f64]) {
    for ((p, target), dz) in probabilities.iter().zip(targets).zip(dz) {
        *dz = (p - target) / m as f64;
    }
}

/// `parameters -= lr * gradient`.
pub fn sgd_step(parameters: &mut [f64], gradient: &[f64], lr: f64) {
    for (parameter, gradient) in parameters.iter_mut().zip(gradient) {
        *parameter -= lr * gradient;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples by hand: the oracle itself has to be checked against something that is not code.
    #[test]
    fn the_oracle_agrees_with_a_sum_done_by_hand() {
        let (x, w, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 0.5, 2.0, 0.0, 1.0], [0.5, -0.5, 0.0]);
        let mut z = [0.0; 6];
        linear_forward(&x, &w, &b, &mut z);
        assert_eq!(z, [-0.5, 4.0, 2.0, -0.5, 9.0, 4.0]);

        let dz = [1.0, 0.0, -1.0, 0.0, 2.0, 0.5];
        let (mut dw, mut db, mut dx) = ([9.0; 6], [9.0; 3], [9.0; 4]);
        linear_backward_parameters(&x, &dz, &mut dw, &mut db);
        linear_backward_input(&dz, &w, 3, &mut dx);
        assert_eq!(dw, [1.0, 2.0, 6.0, 8.0, 0.5, 0.0]);
        assert_eq!(db, [1.0, 2.0, -0.5]);
        assert_eq!(dx, [1.0, -2.0, 1.0, 4.5]);
    }

    #[test]
    fn two_equal_logits_share_the_probability() {
        let (mut p, mut loss) = ([0.0; 2], [0.0; 1]);
        let mean = softmax_cross_entropy_forward(&[3.0, 3.0], &[0.0, 1.0], 2, &mut p, &mut loss);
        assert_eq!(p, [0.5, 0.5]);
        assert_eq!(mean, 2f64.ln());
        let mut dz = [0.0; 2];
        softmax_cross_entropy_backward(&p, &[0.0, 1.0], 1, &mut dz);
        assert_eq!(dz, [0.5, -0.5]);
    }

    #[test]
    fn the_two_backwards_differ_only_where_the_input_is_not_positive() {
        let (z, dy) = ([-1.0, 0.0, 2.0], [5.0, 6.0, 7.0]);
        let mut dz = [0.0; 3];
        relu_backward_straight_through(&z, &dy, &mut dz);
        assert_eq!(dz, dy);
        relu_backward_exact(&z, &dy, &mut dz);
        assert_eq!(dz, [0.0, 0.0, 7.0]);
    }
}
