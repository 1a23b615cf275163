//! How fast one core multiplies and adds at best: the yardstick of every share of peak. It knows registers and a clock, no
//! memory and no kernel.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::kernels::{LANES, SimdLevel, dispatch};

/// One core's peak of f32 fused multiply-adds on a SIMD level, in GFLOP/s (1e9 operations per second, a multiply-add being
/// two). Takes about 0.1 s.
///
/// The best of many rounds: a neighbour, an interrupt or a core that has yet to raise its clock can only make one slower.
/// The fallback's figure is that of fused multiply-adds too, as the kernels do them there: in the C library.
///
/// ```
/// use flatnet::kernels::{SimdLevel, fma_peak_gflops};
/// assert!(fma_peak_gflops(SimdLevel::detect()) > 0.0);
/// ```
pub fn fma_peak_gflops(level: SimdLevel) -> f64 {
    /// Long enough that reading the clock costs nothing, short enough that most rounds are not interrupted.
    const ROUND: Duration = Duration::from_millis(2);
    const ROUNDS: usize = 50;
    let round = || {
        let (started, mut operations) = (Instant::now(), 0);
        loop {
            operations += multiply_add(level);
            let elapsed = started.elapsed();
            if elapsed >= ROUND {
                return operations as f64 / elapsed.as_secs_f64() / 1e9;
            }
        }
    };
    (0..ROUNDS).map(|_| round()).fold(0.0, f64::max)
}

/// Fills the core's multiply-add units for some microseconds; returns how many operations that took.
fn multiply_add(level: SimdLevel) -> usize {
    // A core takes up to two multiply-adds of full width per cycle and gives their results four or five cycles later, so
    // it is busy only if ten are under way. Twelve vectors are enough where a vector is one register; where it takes two
    // (or four), six are, and they leave registers to spare.
    dispatch!(level, simd => {
        if size_of_native(simd) == LANES * size_of::<f32>() { chains::<_, 12>(simd) } else { chains::<_, 6>(simd) }
    })
}

#[inline(always)]
fn size_of_native<S: Simd>(_: S) -> usize {
    size_of::<S::f32s>()
}

/// `CHAINS` vectors, each step of one waiting for its last step only.
#[inline(always)]
fn chains<S: Simd, const CHAINS: usize>(simd: S) -> usize {
    const STEPS: usize = 2_000;
    simd.vectorize(
        #[inline(always)]
        || {
            // x = x / 2 + 1/2 goes to 1 from wherever it starts: nothing grows, and nothing becomes subnormal.
            let half = f32x16::splat(simd, black_box(0.5));
            let mut x: [f32x16<S>; CHAINS] = std::array::from_fn(
                #[inline(always)]
                |chain| f32x16::splat(simd, black_box(chain as f32)),
            );
            for _ in 0..STEPS {
                for x in &mut x {
                    *x = x.mul_add_precise(half, half);
                }
            }
            for x in x {
                black_box(*x.as_array());
            }
        },
    );
    2 * LANES * CHAINS * STEPS
}
