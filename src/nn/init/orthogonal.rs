//! Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
//! (2013), as PyTorch's `orthogonal_`.

use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A (semi-)orthogonal weight: `W W^T = I`, or `W^T W = I` where there are more outputs than inputs; bias 0.
/// `weight`, `bias`: as for [`super::Init::draw`].
///
/// The Q of a QR factorization of normal draws, with signs that make R's diagonal positive, which makes Q uniform among
/// orthogonal matrices (Mezzadri, "How to generate random matrices from the classical compact groups", 2007). That Q is
/// what Gram and Schmidt's method gives; done twice, it is orthogonal to rounding in f64 ("twice is enough": Giraud,
/// Langou, Rozložník and van den Eshof, 2005). It takes 4 n^2 times the longer side operations, n the shorter side.
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    let (in_features, out_features) = (weight.len() / bias.len(), bias.len());
    bias.fill(0.0);
    if in_features >= out_features {
        let q = orthonormal_rows(rng, out_features, in_features);
        weight.iter_mut().zip(&q).for_each(|(weight, q)| *weight = *q as f32);
    } else {
        let q = orthonormal_rows(rng, in_features, out_features);
        for (row, weight) in weight.chunks_exact_mut(in_features).enumerate() {
            let column = q[row..].iter().step_by(out_features);
            weight.iter_mut().zip(column).for_each(|(weight, q)| *weight = *q as f32);
        }
    }
}

/// `[count, len]` with `count <= len`.
fn orthonormal_rows(rng: &mut ChaCha8Rng, count: usize, len: usize) -> Vec<f64> {
    let mut q: Vec<f64> = (0..count * len).map(|_| StandardNormal.sample(rng)).collect();
    for index in 0..count {
        let (before, rest) = q.split_at_mut(index * len);
        let row = &mut rest[..len];
        for _ in 0..2 {
            for other in before.chunks_exact(len) {
                let projection = dot(row, other);
                row.iter_mut().zip(other).for_each(|(value, other)| *value -= projection * other);
            }
        }
        let norm = dot(row, row).sqrt();
        row.iter_mut().for_each(|value| *value /= norm);
    }
    q
}

/// In eight sums, side by side, which a compiler may not make of one.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_blocks, a_tail) = a.as_chunks::<8>();
    let (b_blocks, b_tail) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Stream, stream};

    #[test]
    fn the_shorter_sides_vectors_are_orthogonal_and_of_length_one() {
        for (out_features, in_features) in [(1, 1), (1, 5), (5, 1), (10, 784), (128, 10), (64, 64), (33, 32)] {
            let (mut weight, mut bias) = (vec![f32::NAN; out_features * in_features], vec![f32::NAN; out_features]);
            draw(&mut stream(3, Stream::Init), &mut weight, &mut bias);
            assert!(bias.iter().all(|b| *b == 0.0));
            let at = |row: usize, column: usize| f64::from(weight[row * in_features + column]);
            let count = out_features.min(in_features);
            let product = |i: usize, j: usize| -> f64 {
                if in_features >= out_features {
                    (0..in_features).map(|k| at(i, k) * at(j, k)).sum()
                } else {
                    (0..out_features).map(|k| at(k, i) * at(k, j)).sum()
                }
            };
            for i in 0..count {
                for j in 0..count {
                    // Each element is rounded by at most 2^-24 of itself, and |a|.|b| <= 1 (Cauchy and Schwarz): so 2^-23.
                    let found = product(i, j) - f64::from(u8::from(i == j));
                    assert!(found.abs() <= 2f64.powi(-23), "{out_features} x {in_features}: {i}, {j}: {found}");
                }
            }
        }
    }

    /// R = Q^T A has to have a positive diagonal, or Q is not the one that is uniform.
    #[test]
    fn signs_are_those_of_the_draws() {
        let (count, len) = (6, 9);
        let q = orthonormal_rows(&mut stream(4, Stream::Init), count, len);
        let mut rng = stream(4, Stream::Init);
        let draws: Vec<f64> = (0..count * len).map(|_| StandardNormal.sample(&mut rng)).collect();
        for i in 0..count {
            for j in 0..count {
                let r = dot(&q[i * len..][..len], &draws[j * len..][..len]);
                assert!(if i == j { r > 0.0 } else { i < j || r.abs() < 1e-14 }, "R at {i}, {j}: {r}");
            }
        }
    }
}
