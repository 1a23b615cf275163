//! Inverted dropout: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent neural
//! networks from overfitting" (2014), with the division by `1 - p` in training, as in PyTorch.
//!
//! Whether a unit is kept depends on the key, the layer, the row of the batch and the unit's number in the whole layer only,
//! so a shard of a layer draws what the whole layer would, and the backward pass draws the mask again in place of storing it.
//!
//! Per row, units go in blocks of 32. Unit `32 b + l` and unit `32 b + 16 + l`, where `l < 16`, have the first and the second
//! word of [`threefry2x32`](crate::rng::threefry2x32) of the counter `(16 b + l, row)` under [`DrawKey::layer_key`].

use fearless_simd::{Simd, f32x16, prelude::*, u32x16};

use crate::kernels::{LANES, SimdLevel, dispatch};
use crate::rng::{DrawKey, THREEFRY_PARITY, THREEFRY_ROTATIONS, THREEFRY_ROUNDS};

/// Units that one draw of sixteen counters serves.
const BLOCK: usize = 2 * LANES;

/// `y = x keep / (1 - p)`, where `keep` is 1 with probability `1 - p`, else 0; a NaN stays a NaN.
///
/// `x: [m, width_held]`, read, and `y`, overwritten, of the same shape, hold units `first_unit..first_unit + width_held` of
/// layer `layer`. `p` is in `[0, 1)` and taken to 32 bits after the point; with 0, `y = x`.
#[expect(clippy::too_many_arguments, reason = "a shard of a layer of a batch has as many coordinates")]
pub fn forward(
    level: SimdLevel,
    p: f32,
    key: DrawKey,
    layer: u32,
    first_unit: usize,
    width_held: usize,
    x: &[f32],
    y: &mut [f32],
) {
    debug_assert!((0.0..1.0).contains(&p), "a probability of dropping below 1, not {p}");
    debug_assert_eq!(x.len(), y.len());
    if p == 0.0 || width_held == 0 {
        y.copy_from_slice(x);
        return;
    }
    debug_assert_eq!(x.len() % width_held, 0);
    let mask =
        Mask { key: key.layer_key(layer), first_row: key.first_sample, threshold: threshold(p), scale: scale(p) };
    dispatch!(level, simd => apply(simd, mask, first_unit, width_held, x, y));
}

/// `dx = dy keep / (1 - p)`, with the mask of [`forward`] drawn again. `dy`, read, and `dx`, overwritten: as `x` and `y` there.
#[expect(clippy::too_many_arguments, reason = "as for forward")]
pub fn backward(
    level: SimdLevel,
    p: f32,
    key: DrawKey,
    layer: u32,
    first_unit: usize,
    width_held: usize,
    dy: &[f32],
    dx: &mut [f32],
) {
    forward(level, p, key, layer, first_unit, width_held, dy, dx);
}

#[derive(Clone, Copy)]
struct Mask {
    key: [u32; 2],
    /// Of the whole batch.
    first_row: u32,
    /// Draws from here on are kept.
    threshold: u32,
    /// What is kept is multiplied by this.
    scale: f32,
}

/// `p 2^32`, which has no fraction where p has no bits below 2^-32; else the nearest.
fn threshold(p: f32) -> u32 {
    (f64::from(p) * 2f64.powi(32)).round() as u32
}

/// `1 / (1 - p)`, rounded once.
fn scale(p: f32) -> f32 {
    (1.0 / (1.0 - f64::from(p))) as f32
}

#[inline(always)]
fn apply<S: Simd>(simd: S, mask: Mask, first_unit: usize, width: usize, x: &[f32], y: &mut [f32]) {
    let end = first_unit + width;
    for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
        for block in first_unit / BLOCK..end.div_ceil(BLOCK) {
            let factors = factors(simd, mask, block, row);
            let start = block * BLOCK;
            if first_unit <= start && start + BLOCK <= end {
                for (half, factor) in factors.into_iter().enumerate() {
                    let place = start - first_unit + half * LANES;
                    let kept = f32x16::from_slice(simd, &x[place..place + LANES]) * factor;
                    kept.store_slice(&mut y[place..place + LANES]);
                }
            } else {
                let mut lanes = [0.0; BLOCK];
                for (factor, lanes) in factors.iter().zip(lanes.as_chunks_mut().0) {
                    factor.store_array(lanes);
                }
                let own = start.max(first_unit)..(start + BLOCK).min(end);
                let lanes = &lanes[own.start - start..own.end - start];
                let place = own.start - first_unit..own.end - first_unit;
                for ((y, x), factor) in y[place.clone()].iter_mut().zip(&x[place]).zip(lanes) {
                    *y = x * factor;
                }
            }
        }
    }
}

/// What each unit of a block is multiplied by.
#[inline(always)]
fn factors<S: Simd>(simd: S, mask: Mask, block: usize, row: usize) -> [f32x16<S>; 2] {
    const NUMBERS: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let counter = u32x16::load_array(simd, NUMBERS) + (block * LANES) as u32;
    let (zero, scale) = (f32x16::splat(simd, 0.0), f32x16::splat(simd, mask.scale));
    let threshold = u32x16::splat(simd, mask.threshold);
    let [first, second] = threefry(mask.key, [counter, u32x16::splat(simd, mask.first_row.wrapping_add(row as u32))]);
    [first.simd_ge(threshold).select(scale, zero), second.simd_ge(threshold).select(scale, zero)]
}

/// [`crate::rng::threefry2x32`] of sixteen counters.
#[inline(always)]
fn threefry<S: Simd>(key: [u32; 2], counter: [u32x16<S>; 2]) -> [u32x16<S>; 2] {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ THREEFRY_PARITY];
    let [mut a, mut b] = [counter[0] + keys[0], counter[1] + keys[1]];
    for round in 0..THREEFRY_ROUNDS {
        let by = THREEFRY_ROTATIONS[round % 8];
        a += b;
        b = ((b << by) | (b >> (32 - by))) ^ a;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            a += keys[injection % 3];
            b += keys[(injection + 1) % 3].wrapping_add(injection as u32);
        }
    }
    [a, b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{levels, random};
    use crate::rng::{chi_square_excess, threefry2x32};

    const KEY: DrawKey = DrawKey { seed: 7, epoch: 3, batch: 11, first_sample: 0 };

    /// One unit at a time.
    fn plain(p: f32, key: DrawKey, layer: u32, first_unit: usize, width: usize, x: &[f32]) -> Vec<f32> {
        let key = key.layer_key(layer);
        let unit_of = |i: usize| first_unit + i % width;
        let draw = |i: usize| {
            let (unit, row) = (unit_of(i), i / width);
            threefry2x32(key, [(unit / 32 * 16 + unit % 16) as u32, row as u32])[unit / 16 % 2]
        };
        let keeps = |i: usize| f64::from(draw(i)) >= f64::from(p) * 2f64.powi(32);
        let factor = |i: usize| if keeps(i) { (1.0 / (1.0 - f64::from(p))) as f32 } else { 0.0 };
        x.iter().enumerate().map(|(i, x)| x * factor(i)).collect()
    }

    fn run(level: SimdLevel, p: f32, key: DrawKey, layer: u32, first: usize, width: usize, x: &[f32]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        forward(level, p, key, layer, first, width, x, &mut y);
        y
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Which units of `[rows, width]` are dropped.
    fn dropped(p: f32, key: DrawKey, layer: u32, rows: usize, width: usize) -> Vec<bool> {
        let y = run(SimdLevel::detect(), p, key, layer, 0, width, &vec![1.0; rows * width]);
        y.iter().map(|y| *y == 0.0).collect()
    }

    #[test]
    fn every_level_does_what_the_plain_twin_does() {
        for width in [1, 7, 16, 31, 32, 33, 64, 100] {
            for (first, p, layer) in [(0, 0.5, 0), (5, 0.1, 1), (16, 0.999, 2), (32, 0.5, 3), (1000, 1e-3, 4)] {
                let x = random(3 * width, 1);
                let expected = bits(&plain(p, KEY, layer, first, width, &x));
                for level in levels() {
                    let place = format!("{} units from {first}, p {p}, {}", width, level.name());
                    assert_eq!(bits(&run(level, p, KEY, layer, first, width, &x)), expected, "{place}");
                    let mut dx = vec![f32::NAN; x.len()];
                    backward(level, p, KEY, layer, first, width, &x, &mut dx);
                    assert_eq!(bits(&dx), expected, "backward, {place}");
                }
            }
        }
    }

    #[test]
    fn a_shard_draws_what_the_whole_layer_does() {
        const WIDTH: usize = 100;
        let x = random(4 * WIDTH, 2);
        let whole = run(SimdLevel::detect(), 0.4, KEY, 0, 0, WIDTH, &x);
        for (first, end) in [(0, 50), (50, 100), (0, 1), (31, 33), (32, 64), (99, 100), (17, 90), (40, 40)] {
            let part = |rows: &[f32]| rows.chunks(WIDTH).flat_map(|row| row[first..end].to_vec()).collect::<Vec<_>>();
            let found = run(SimdLevel::detect(), 0.4, KEY, 0, first, end - first, &part(&x));
            assert_eq!(bits(&found), bits(&part(&whole)), "{first}..{end}");
        }
    }

    #[test]
    fn without_dropping_nothing_changes_and_nan_is_not_hidden() {
        let x = [f32::NAN, -0.0, f32::INFINITY, 1.5, 1e-40].repeat(9);
        for level in levels() {
            assert_eq!(bits(&run(level, 0.0, KEY, 0, 3, 15, &x)), bits(&x));
            let y = run(level, 0.9, KEY, 0, 3, 15, &x);
            assert!(x.iter().zip(&y).all(|(x, y)| x.is_nan() <= y.is_nan()), "{y:?}");
        }
    }

    #[test]
    fn thresholds_are_exact() {
        assert_eq!(threshold(0.5), 1 << 31);
        assert_eq!(threshold(0.1), (f64::from(0.1f32) * 4_294_967_296.0) as u32);
        // The largest f32 below 1 leaves 2^8 draws that are kept.
        assert_eq!(threshold(1.0 - f32::EPSILON / 2.0), u32::MAX - 255);
        assert_eq!((threshold(2f32.powi(-32)), threshold(2f32.powi(-40))), (1, 0));
        assert_eq!((scale(0.5), scale(0.75)), (2.0, 4.0));
    }

    #[test]
    fn draws_are_dropped_at_their_rate_for_every_unit_and_every_row() {
        const WIDTH: usize = 96;
        const ROWS: usize = 40;
        const BATCHES: u64 = 250;
        for p in [0.1f32, 0.5, 0.8] {
            let (mut by_unit, mut by_row, mut total) = ([0; WIDTH], [0; ROWS], 0u64);
            for batch in 0..BATCHES {
                for (i, dropped) in dropped(p, DrawKey { batch, ..KEY }, 0, ROWS, WIDTH).into_iter().enumerate() {
                    by_unit[i % WIDTH] += u64::from(dropped);
                    by_row[i / WIDTH] += u64::from(dropped);
                    total += u64::from(dropped);
                }
            }
            let (draws, p) = ((WIDTH * ROWS) as f64 * BATCHES as f64, f64::from(p));
            // The total is binomial: five standard deviations.
            assert!(
                (total as f64 - draws * p).abs() <= 5.0 * (draws * p * (1.0 - p)).sqrt(),
                "{total} of {draws} at {p}"
            );
            // Binomial counts vary less than the statistic takes them to by the factor 1 - p, so it is the stricter for
            // counts of what is rare; it is small also where counts are too even, which 5 below would show.
            for counts in [&by_unit[..], &by_row[..]] {
                let cells = counts.len() as f64;
                let statistic = chi_square_excess(counts) * (2.0 * (cells - 1.0)).sqrt() + cells - 1.0;
                let excess = (statistic / (1.0 - p) - (cells - 1.0)) / (2.0 * (cells - 1.0)).sqrt();
                assert!(excess.abs() < 5.0, "{excess} at {p}: {counts:?}");
            }
        }
    }

    /// Of two draws at p = 1/2, the four outcomes are equally likely if neither tells anything of the other.
    #[test]
    fn neighbours_of_every_kind_are_independent() {
        const WIDTH: usize = 128;
        const ROWS: usize = 64;
        let batches: Vec<u64> = (0..20).collect();
        let draw = |key: DrawKey, layer: u32| dropped(0.5, key, layer, ROWS, WIDTH);
        let mut pairs =
            [("units", 1), ("words", 16), ("blocks", 32), ("rows", WIDTH)].map(|(name, step)| (name, step, [0; 4]));
        let mut others = ["batch", "epoch", "seed", "layer"].map(|name| (name, [0; 4]));
        for batch in batches {
            let key = DrawKey { batch, ..KEY };
            let own = draw(key, 0);
            for (_, step, counts) in &mut pairs {
                for (a, b) in own.iter().zip(&own[*step..]) {
                    counts[usize::from(*a) * 2 + usize::from(*b)] += 1;
                }
            }
            let next = [
                draw(DrawKey { batch: batch + 1, ..key }, 0),
                draw(DrawKey { epoch: key.epoch + 1, ..key }, 0),
                draw(DrawKey { seed: key.seed + 1, ..key }, 0),
                draw(key, 1),
            ];
            for ((_, counts), next) in others.iter_mut().zip(next) {
                for (a, b) in own.iter().zip(next) {
                    counts[usize::from(*a) * 2 + usize::from(b)] += 1;
                }
            }
        }
        for (name, counts) in pairs.map(|(name, _, counts)| (name, counts)).into_iter().chain(others) {
            // Overlapping pairs (a draw is the second of one and the first of the next) are uncorrelated all the same.
            assert!(chi_square_excess(&counts) < 5.0, "neighbours by {name}: {counts:?}");
        }
    }

    #[test]
    fn the_mean_is_kept() {
        const WIDTH: usize = 1000;
        const ROWS: usize = 1000;
        for p in [0.2f32, 0.5, 0.9] {
            let y = run(SimdLevel::detect(), p, KEY, 5, 0, WIDTH, &vec![1.0; ROWS * WIDTH]);
            let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / y.len() as f64;
            // A kept 1 is 1/(1 - p): its variance is p / (1 - p); five standard errors, and the rounding of the factor.
            let bound = 5.0 * f64::from(p / (1.0 - p)).sqrt() / (y.len() as f64).sqrt() + f64::from(f32::EPSILON);
            assert!((mean - 1.0).abs() <= bound, "{mean} at {p}");
        }
    }

    /// Another result means that published figures no longer come from their seeds.
    #[test]
    fn golden_draws() {
        let kept: String = dropped(0.5, KEY, 0, 2, 40).iter().map(|dropped| if *dropped { '.' } else { '#' }).collect();
        assert_eq!(kept, GOLDEN);
    }

    const GOLDEN: &str = "...###.#.####.....#.####..##..#..###....##....##.....#..##.#.###.###..##..#...#.";
}
