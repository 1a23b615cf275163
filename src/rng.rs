//! The seeded, portable generator: the same seed gives the same draws on every platform and with every release of this
//! crate's dependencies. It knows nothing of data sets or layers.

pub use rand::rngs::ChaCha8Rng;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// What draws are for. Each purpose has a ChaCha stream of its own, so that more draws for one (a larger training
/// sample, say) leave those of the others (the initial weights) as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Which rows are trained on.
    TrainSample,
    /// Which rows are validated on.
    ValSample,
    /// Initial weights and biases.
    Init,
    /// The order of the training rows, see [`epoch_stream`].
    Shuffle,
    /// Which rows of a table are held out for validation.
    Split,
    /// The order of the training rows within the lanes of a set, see [`lane_stream`].
    Lanes,
}

/// Epochs count below 2^48; the bits above name the purpose.
const PURPOSE_SHIFT: u32 = 48;

impl Stream {
    /// These numbers decide what a seed means: a change here changes every published figure.
    fn number(self) -> u64 {
        let purpose: u64 = match self {
            Stream::TrainSample => 0,
            Stream::ValSample => 1,
            Stream::Init => 2,
            Stream::Shuffle => 3,
            Stream::Split => 4,
            Stream::Lanes => 5,
        };
        purpose << PURPOSE_SHIFT
    }
}

/// The generator of one purpose of one run, at its start.
///
/// ```
/// use flatnet::rng::{sample_without_replacement, stream, Stream};
/// let rows = sample_without_replacement(&mut stream(0, Stream::TrainSample), 60_000, 3);
/// assert_eq!(rows, sample_without_replacement(&mut stream(0, Stream::TrainSample), 60_000, 3));
/// ```
pub fn stream(seed: u64, stream: Stream) -> ChaCha8Rng {
    numbered_stream(seed, stream.number())
}

/// The generator that orders the rows of one epoch; it depends on `seed` and `epoch` only, not on the epochs before.
pub fn epoch_stream(seed: u64, epoch: usize) -> ChaCha8Rng {
    let epoch_bits = (1 << PURPOSE_SHIFT) - 1;
    numbered_stream(seed, Stream::Shuffle.number() | (epoch as u64 & epoch_bits))
}

/// The generator that orders the rows of one lane (below 4,096; see `Shuffle::Blocks`) in one epoch; it depends on nothing else.
pub fn lane_stream(seed: u64, epoch: usize, lane: usize) -> ChaCha8Rng {
    /// Epochs count below 2^36 here, lanes above them.
    const LANE_SHIFT: u32 = 36;
    let epoch_bits = (1 << LANE_SHIFT) - 1;
    let lane_bits = (lane as u64) << LANE_SHIFT & ((1 << PURPOSE_SHIFT) - 1);
    numbered_stream(seed, Stream::Lanes.number() | lane_bits | (epoch as u64 & epoch_bits))
}

fn numbered_stream(seed: u64, number: u64) -> ChaCha8Rng {
    // The key is written out here: `seed_from_u64` expands the seed by an algorithm that a release may change.
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(number);
    rng
}

/// Names the draws of one batch of one run, for generators that count instead of remembering: [`threefry2x32`] under
/// [`Self::layer_key`] gives any of them without those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey {
    /// The run's.
    pub seed: u64,
    /// Counted from 1.
    pub epoch: u64,
    /// Counted from 0 in every epoch.
    pub batch: u64,
    /// The first of the batch's samples that a pass is over: 0 unless the batch is cut.
    pub first_sample: u32,
}

impl DrawKey {
    /// The key of one layer's draws: seed, epoch, batch and layer folded in one after the other, each as a counter under the
    /// key of what came before, as `jax.random.fold_in` does.
    pub fn layer_key(self, layer: u32) -> [u32; 2] {
        let words = |number: u64| [number as u32, (number >> 32) as u32];
        [words(self.epoch), words(self.batch), [layer, 0]].into_iter().fold(words(self.seed), threefry2x32)
    }
}

/// How far each round of Threefry-2x32 rotates.
pub(crate) const THREEFRY_ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
/// Its number of rounds: the default of its authors' library, and JAX's.
pub(crate) const THREEFRY_ROUNDS: usize = 20;
/// The key's third word, so that keys of zeros do something (Skein's key schedule).
pub(crate) const THREEFRY_PARITY: u32 = 0x1bd1_1bda;

/// Threefry-2x32 with 20 rounds: a block cipher cut down to a generator, `counter` in, two random words out. Salmon, Moraes,
/// Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let keys = [key[0], key[1], key[0] ^ key[1] ^ THREEFRY_PARITY];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..THREEFRY_ROUNDS {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(THREEFRY_ROTATIONS[round % 8]) ^ x[0];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x[0] = x[0].wrapping_add(keys[injection % 3]);
            x[1] = x[1].wrapping_add(keys[(injection + 1) % 3]).wrapping_add(injection as u32);
        }
    }
    x
}

/// Fills `out` with draws from N(`mean`, `std_dev`^2), made in f64 and rounded once to f32.
pub fn normal(rng: &mut ChaCha8Rng, mean: f64, std_dev: f64, out: &mut [f32]) {
    for value in out {
        let z: f64 = StandardNormal.sample(rng);
        *value = (mean + std_dev * z) as f32;
    }
}

/// Fills `out` with draws from the uniform distribution over `low..high`, made in f64 and rounded once to f32
/// (which may round up to `high` itself).
pub fn uniform(rng: &mut ChaCha8Rng, low: f32, high: f32, out: &mut [f32]) {
    const STEP: f64 = 1.0 / (1_u64 << 32) as f64;
    let (low, width) = (f64::from(low), f64::from(high) - f64::from(low));
    for value in out {
        *value = (low + width * (f64::from(rng.next_u32()) * STEP)) as f32;
    }
}

/// `count` different numbers below `population`, each ordered choice equally likely, in the order drawn.
///
/// # Panics
/// If `count` exceeds `population`, or `population` does not fit in u32. `data::sample::draw` checks both and gives an error.
pub fn sample_without_replacement(rng: &mut ChaCha8Rng, population: usize, count: usize) -> Vec<u32> {
    assert!(count <= population && u32::try_from(population).is_ok(), "cannot draw {count} of {population}");
    let mut numbers: Vec<u32> = (0..population as u32).collect();
    shuffle_front(rng, &mut numbers, count);
    numbers.truncate(count);
    numbers
}

/// Puts `items` (fewer than 2^32) into a random order, each order equally likely.
pub fn shuffle(rng: &mut ChaCha8Rng, items: &mut [u32]) {
    shuffle_front(rng, items, items.len());
}

/// Fisher and Yates, stopped after the first `count` places. Written here, because the bits of a library's version
/// are not promised to stay.
fn shuffle_front(rng: &mut ChaCha8Rng, items: &mut [u32], count: usize) {
    for place in 0..count {
        let rest = (items.len() - place) as u32;
        items.swap(place, place + below(rng, rest) as usize);
    }
}

/// A number below `bound` (at least 1), each equally likely.
fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    // Lemire, "Fast random integer generation in an interval" (2019): the high half of a product, where those low
    // halves are drawn again that would make some results more frequent than others.
    let rejected = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= rejected {
            return (product >> 32) as u32;
        }
    }
}

/// Pearson's statistic of `counts` against equal frequencies, in standard deviations above its mean. With k cells
/// it has mean k - 1 and variance 2 (k - 1); 5 is passed by chance less than once in ten thousand draws.
#[cfg(test)]
pub(crate) fn chi_square_excess(counts: &[u64]) -> f64 {
    let (cells, total) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
    let expected = total / cells;
    let statistic: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    (statistic - (cells - 1.0)) / (2.0 * (cells - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [Stream; 5] = [Stream::TrainSample, Stream::ValSample, Stream::Init, Stream::Shuffle, Stream::Split];

    #[test]
    fn the_key_and_the_stream_are_as_documented() {
        let rng = stream(0x0102_0304_0506_0708, Stream::Init);
        assert_eq!(rng.get_seed()[..9], [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(rng.get_seed()[8..], [0; 24]);
        assert_eq!(rng.get_stream(), 2 << 48);
        assert_eq!(epoch_stream(5, 7).get_stream(), (3 << 48) + 7);
        assert_eq!(rng.get_word_pos(), 0);
    }

    #[test]
    fn the_first_words_are_those_of_chacha8() {
        // draft-strombergson-chacha-test-vectors, TC1: key and nonce of zeros, 256 bits, 8 rounds.
        let mut rng = stream(0, Stream::TrainSample);
        let words: Vec<u32> = (0..4).map(|_| rng.next_u32()).collect();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected = [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09, 0xa5, 0xa1];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn threefry_is_that_of_its_authors() {
        // Known answers of the authors' Random123, kat_vectors, "threefry2x32 20": counter, key, result.
        for (counter, key, expected) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            assert_eq!(threefry2x32(key, counter), expected);
        }
    }

    #[test]
    fn a_layers_key_depends_on_every_part_of_its_name() {
        let key = |seed, epoch, batch, layer| DrawKey { seed, epoch, batch, first_sample: 0 }.layer_key(layer);
        let high = 1 << 32;
        let mut keys = vec![key(0, 0, 0, 0)];
        for other in [1, high] {
            keys.extend([key(other, 0, 0, 0), key(0, other, 0, 0), key(0, 0, other, 0)]);
        }
        keys.extend([key(0, 0, 0, 1), key(1, 1, 0, 0), key(0, 1, 1, 0)]);
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn no_two_streams_are_alike() {
        let mut starts: Vec<u64> = STREAMS.map(|purpose| stream(1, purpose).next_u64()).to_vec();
        starts.extend((1..100).map(|epoch| epoch_stream(1, epoch).next_u64()));
        starts.push(stream(2, Stream::Init).next_u64());
        let count = starts.len();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), count);
    }

    #[test]
    fn golden_draws() {
        // Another result means that published figures no longer come from their seeds. All but the normal draws were
        // found by a second program, written from the definition of ChaCha8.
        assert_eq!(
            sample_without_replacement(&mut stream(0, Stream::TrainSample), 60_000, 8),
            [11234, 50215, 54543, 37886, 45717, 13948, 32083, 7061]
        );
        assert_eq!(
            sample_without_replacement(&mut stream(0, Stream::ValSample), 10_000, 8),
            [6214, 315, 1656, 5489, 3309, 2643, 3635, 7263]
        );
        let mut order: Vec<u32> = (0..8).collect();
        shuffle(&mut epoch_stream(0, 1), &mut order);
        assert_eq!(order, [3, 2, 4, 0, 1, 7, 5, 6]);
        let mut values = [0.0; 4];
        normal(&mut stream(0, Stream::Init), 0.0, 0.1, &mut values);
        assert_eq!(values.map(f32::to_bits), [0xbdf41f80, 0xbdc3e02d, 0xbd80d162, 0x3e298d82]);
        uniform(&mut stream(0, Stream::Init), -1.0, 1.0, &mut values);
        assert_eq!(values.map(f32::to_bits), [0xbeb99562, 0xbf5cf5cf, 0x3e24888c, 0xbf219bc7]);
    }

    #[test]
    fn a_full_sample_is_a_permutation() {
        for population in [0, 1, 2, 1000] {
            let mut numbers = sample_without_replacement(&mut stream(9, Stream::TrainSample), population, population);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..population as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_smaller_sample_is_the_front_of_a_larger_one() {
        let draw = |count| sample_without_replacement(&mut stream(4, Stream::TrainSample), 60_000, count);
        let large = draw(30_000);
        assert_eq!(draw(100), large[..100]);
        let mut sorted = large;
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 30_000);
    }

    #[test]
    fn the_statistic_tells_biased_from_equal() {
        assert!(chi_square_excess(&[1000; 24]) < 0.0);
        let mut biased = [1000; 24];
        (biased[0], biased[1]) = (1200, 800);
        assert!(chi_square_excess(&biased) > 5.0);
    }

    #[test]
    fn every_ordered_choice_is_equally_likely() {
        // 3 of 4 in order: 24 outcomes.
        let mut rng = stream(1, Stream::TrainSample);
        let mut counts = [0; 64];
        for _ in 0..240_000 {
            let drawn = sample_without_replacement(&mut rng, 4, 3);
            counts[drawn.iter().fold(0, |code, &number| 4 * code + number as usize)] += 1;
        }
        let seen: Vec<u64> = counts.into_iter().filter(|&count| count > 0).collect();
        assert_eq!(seen.len(), 24);
        assert!(chi_square_excess(&seen) < 5.0, "{seen:?}");
    }

    #[test]
    fn bounded_numbers_have_no_modulo_bias() {
        // With a bound of 3 * 2^30, plain `% bound` or the bare product would favour a third of the results twofold.
        let bound = 3 << 30;
        let mut rng = stream(2, Stream::TrainSample);
        let mut by_residue = [0; 3];
        let mut by_third = [0; 3];
        for _ in 0..90_000 {
            let number = below(&mut rng, bound);
            assert!(number < bound);
            by_residue[number as usize % 3] += 1;
            by_third[(number >> 30) as usize] += 1;
        }
        assert!(chi_square_excess(&by_residue) < 5.0, "{by_residue:?}");
        assert!(chi_square_excess(&by_third) < 5.0, "{by_third:?}");
    }

    #[test]
    fn normal_draws_have_their_moments_and_tails() {
        let mut z = vec![0.0; 1_000_000];
        normal(&mut stream(3, Stream::Init), 0.0, 1.0, &mut z);
        let count = z.len() as f64;
        let moment = |power| z.iter().map(|&z| f64::from(z).powi(power)).sum::<f64>() / count;
        // Five standard errors of each: the variance of z^k is E z^2k - (E z^k)^2.
        for (power, expected, variance) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let error = (moment(power) - expected).abs();
            assert!(error <= 5.0 * (variance / count).sqrt(), "moment {power} is off by {error}");
        }
        // P(|z| > 4) = 6.334e-5: about 63 of a million, from the generator's separate path for tails.
        let tail = z.iter().filter(|z| z.abs() > 4.0).count() as f64;
        assert!((tail - 63.34).abs() <= 5.0 * 63.34_f64.sqrt(), "{tail} beyond 4");

        let mut scaled = vec![0.0; 1000];
        normal(&mut stream(3, Stream::Init), 0.5, 0.1, &mut scaled);
        // One more rounding to f32 lies in z, of half an ulp of at most 8.
        assert!(scaled.iter().zip(&z).all(|(x, z)| (x - (0.5 + 0.1 * z)).abs() <= 4.0 * f32::EPSILON));
    }

    #[test]
    fn uniform_draws_fill_their_range_evenly() {
        let mut values = vec![0.0; 100_000];
        uniform(&mut stream(3, Stream::Init), -0.5, 1.5, &mut values);
        let mut counts = [0; 20];
        for value in values {
            assert!((-0.5..=1.5).contains(&value));
            counts[(((value + 0.5) * 10.0) as usize).min(19)] += 1;
        }
        assert!(chi_square_excess(&counts) < 5.0, "{counts:?}");
    }
}
