//! Elementary functions on lanes, and how one of them is applied to slices. The same operations in the same order on
//! every SIMD level, whatever its width; NaN stays NaN. ULP below is the distance of neighbouring f32 at the exact result.

use fearless_simd::{Simd, f32x4, prelude::*};

/// Lanes of the level's own vectors: 16, 8 or 4.
#[inline(always)]
pub(crate) const fn width<S: Simd>() -> usize {
    size_of::<S::f32s>() / size_of::<f32>()
}

/// `y = f(z)` elementwise, a vector of the level's own width at a time; the last few go through the same lanes, so that an
/// element's bits do not depend on its place. `z`, read, and `y`, overwritten: any shape. `f` must be `#[inline(always)]`.
#[inline(always)]
pub(crate) fn map<S: Simd>(simd: S, z: &[f32], y: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    debug_assert_eq!(z.len(), y.len());
    for (z, y) in z.chunks(width::<S>()).zip(y.chunks_mut(width::<S>())) {
        store::<S>(f(load(simd, z)), y);
    }
}

/// `y = f(a, b)` elementwise, like [`map`]. `a`, `b`, read, and `y`, overwritten: any shape.
#[inline(always)]
pub(crate) fn map2<S: Simd>(simd: S, a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(S::f32s, S::f32s) -> S::f32s) {
    debug_assert!(a.len() == y.len() && b.len() == y.len());
    let read = a.chunks(width::<S>()).zip(b.chunks(width::<S>()));
    for ((a, b), y) in read.zip(y.chunks_mut(width::<S>())) {
        store::<S>(f(load(simd, a), load(simd, b)), y);
    }
}

/// At most a vector's width of numbers, filled up with zeros.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, block: &[f32]) -> S::f32s {
    if block.len() == width::<S>() {
        return S::f32s::from_slice(simd, block);
    }
    let mut lanes = S::f32s::splat(simd, 0.0);
    copy_few(block, lanes.as_mut_slice());
    lanes
}

/// The first of the lanes, as many as `block`, overwritten, has room for.
#[inline(always)]
pub(crate) fn store<S: Simd>(lanes: S::f32s, block: &mut [f32]) {
    if block.len() == width::<S>() {
        lanes.store_slice(block);
    } else {
        copy_few(lanes.as_slice(), block);
    }
}

/// The first of `from` to `to`, as many as the shorter one has, fewer than 16: in pieces of sizes that are known, which need no
/// call of `memcpy`.
#[inline(always)]
fn copy_few(mut from: &[f32], mut to: &mut [f32]) {
    #[inline(always)]
    fn copy<'f, 't, const N: usize>(from: &'f [f32], to: &'t mut [f32]) -> (&'f [f32], &'t mut [f32]) {
        let count = from.len().min(to.len());
        if count & N == 0 {
            return (from, to);
        }
        let ((piece, from), (place, to)) = (from.split_at(N), to.split_at_mut(N));
        place.copy_from_slice(piece);
        (from, to)
    }
    let count = from.len().min(to.len());
    (from, to) = (&from[..count], &mut to[..count]);
    (from, to) = copy::<8>(from, to);
    (from, to) = copy::<4>(from, to);
    (from, to) = copy::<2>(from, to);
    copy::<1>(from, to);
}

/// Rows and columns of a square that is transposed in registers.
pub(crate) const SIDE: usize = 4;

/// Row `i`, column `j` of the result is row `j`, column `i` of `rows`.
#[inline(always)]
pub(crate) fn transposed<S: Simd>([a, b, c, d]: [f32x4<S>; SIDE]) -> [f32x4<S>; SIDE] {
    let (even_low, odd_low) = (a.zip_low(c), b.zip_low(d));
    let (even_high, odd_high) = (a.zip_high(c), b.zip_high(d));
    [even_low.zip_low(odd_low), even_low.zip_high(odd_low), even_high.zip_low(odd_high), even_high.zip_high(odd_high)]
}

/// `e^x` within 1 ULP; infinity above 88.73, gradual underflow, 0 below -103.98.
#[cfg_attr(not(test), allow(dead_code, reason = "no activation's exponent is positive; a loss's may be"))]
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (low, high) = (S::f32s::splat(simd, -105.0), S::f32s::splat(simd, 90.0));
    let x = x.simd_lt(low).select(low, x);
    let x = x.simd_gt(high).select(high, x);
    let (e_to_r, n) = exp_parts(simd, x);
    // 2^n may lie outside the normal numbers where the product does not: two factors, the second of which rounds.
    let half = n >> 1;
    e_to_r * power_of_two::<S>(half) * power_of_two::<S>(n - half)
}

/// `e^x` for `x <= 0` within 1 ULP; 0 below -87, where the result would leave the normal numbers.
#[inline(always)]
pub(crate) fn exp_nonpositive<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = S::f32s::splat(simd, 0.0);
    let vanishes = x.simd_lt(S::f32s::splat(simd, -87.0));
    let (e_to_r, n) = exp_parts(simd, vanishes.select(zero, x));
    vanishes.select(zero, e_to_r * power_of_two::<S>(n))
}

/// `e^r` and `n`, where `x = n ln 2 + r` with `|r| <= ln(2)/2` (ln 2 in two parts, so that `r` loses no bits); `e^r` by the
/// polynomial of Cephes' `expf` (Moshier).
#[inline(always)]
fn exp_parts<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::i32s) {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let r = n.mul_add_precise(-LN_2_HIGH, x);
    let r = n.mul_add_precise(-LN_2_LOW, r);
    let p = polynomial(simd, r, COEFFICIENTS);
    (p.mul_add_precise(r * r, r) + 1.0, n.to_int())
}

/// `2^n` for `-126 <= n <= 127`, put together from its bits.
#[inline(always)]
fn power_of_two<S: Simd>(n: S::i32s) -> S::f32s {
    ((n + 127) << 23).bitcast()
}

/// Horner's rule, the highest power's coefficient first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut p = S::f32s::splat(simd, coefficients[0]);
    for coefficient in &coefficients[1..] {
        p = p.mul_add_precise(x, *coefficient);
    }
    p
}

/// `ln(s)` for normal `s > 0` within 1 ULP; not finite where `s` is not.
///
/// `s = m 2^e` with `m` in `[sqrt(1/2), sqrt(2))`; `ln(m)` by the polynomial of Cephes' `logf` (Moshier).
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, s: S::f32s) -> S::f32s {
    const COEFFICIENTS: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // Taking the bits of sqrt(1/2) from those of s leaves in the exponent field how many doublings part the two.
    const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
    let bits: S::i32s = s.bitcast();
    let e = (bits - SQRT_HALF_BITS) >> 23;
    let m: S::f32s = (bits - (e << 23)).bitcast();
    let e: S::f32s = S::f32s::float_from(e);
    let t = m - 1.0;
    let p = polynomial(simd, t, COEFFICIENTS);
    let t2 = t * t;
    let correction = e.mul_add_precise(-2.121_944_4e-4, p * t * t2);
    let correction = t2.mul_add_precise(-0.5, correction);
    let ln = e.mul_add_precise(0.693_359_4, t + correction);
    // 0 s is 0 for every finite s and NaN for the others, whose bits the lines above have taken for a number.
    s.mul_add_precise(0.0, ln)
}

/// `ln(1 + e)` for `e` in `[0, 1]`, to about 3 units in the last place.
///
/// What rounding takes from `1 + e` is given back to first order: `ln(u + c) = ln(u) + c / u`, with `1 - e / 2` for `1 / u`,
/// which is at most 0.09 off where `c`, at most `2^-24`, is not 0 beside `ln(u)`, and exact where `ln(u)` vanishes.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(simd: S, e: S::f32s) -> S::f32s {
    let u = e + 1.0;
    let lost = e - (u - 1.0);
    let per_u = e.mul_add_precise(-0.5, S::f32s::splat(simd, 1.0));
    lost.mul_add_precise(per_u, ln(simd, u))
}

/// `1 / (1 + e^-x)` and `1 / (1 + e^x)`, which add up to 1, each within 3 ULP; 0 where `|x| > 87` and the exact result is
/// below 1.7e-38.
///
/// From `e^-|x|`, which cannot overflow: the larger of the two is `1 / (1 + e^-|x|)`, the smaller `e^-|x|` times it.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let e = exp_nonpositive(simd, -x.abs());
    let larger = S::f32s::splat(simd, 1.0) / (e + 1.0);
    let smaller = e * larger;
    let negative = x.simd_lt(S::f32s::splat(simd, 0.0));
    (negative.select(smaller, larger), negative.select(larger, smaller))
}

/// `tanh(x)` within 2 ULP, also near 0, where it is `x`.
///
/// Below 0.625 by the polynomial of Cephes' `tanhf` (Moshier), above by `1 - 2 e^-2|x| / (1 + e^-2|x|)`.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const COEFFICIENTS: [f32; 5] = [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
    let a = x.abs();
    let e = exp_nonpositive(simd, a * -2.0);
    let large = -((e + e) / (e + 1.0)) + 1.0;
    let square = a * a;
    let small = (polynomial(simd, square, COEFFICIENTS) * square).mul_add_precise(a, a);
    a.simd_lt(S::f32s::splat(simd, 0.625)).select(small, large).copysign(x)
}

/// Of the standard normal distribution: `P(Z <= z) = erfc(-z / sqrt(2)) / 2`, within 10 ULP also far below 0, and `|z|`
/// times the density at `z`, within 5 ULP; both as if 0 where `z^2 / 2 > 87`.
///
/// With `t = |z|`: `P(Z > t) = exp(-t^2/2) v p(2v - 1)`, `v = 1 / (1 + 5t/16)`, where `p`, of degree 9, was fitted to
/// `erfc(t/sqrt(2)) exp(t^2/2) / (2v)` on `0 <= t <= 13.5` by least squares, reweighted until the largest relative error
/// was as small as possible: 1e-8, and 3.3e-8 with coefficients rounded to f32. (The form is that of Shepherd and
/// Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", 1981.) What rounding takes from `t^2` is given back
/// to the exponential: at `t = 13` it would be 40 ULP.
///
/// The relative error is largest just below `z = 0`, at most 9.5 of 2^-24: the exponential 1.5; `v` 1.5, which counts 2.5
/// times, as `p` is steep there; `p` 2.2 with its coefficients; two products 1 each. 5.8 ULP is the most that was found.
#[inline(always)]
pub(crate) fn normal<S: Simd>(simd: S, z: S::f32s) -> (S::f32s, S::f32s) {
    const COEFFICIENTS: [f32; 10] = [
        -3.629_210_6e-5,
        2.104_941_8e-5,
        3.394_706_6e-4,
        -2.215_524e-4,
        -2.583_947e-3,
        -5.078_544_5e-4,
        2.313_503_8e-2,
        8.307_528_5e-2,
        1.668_138_4e-1,
        2.299_649_6e-1,
    ];
    const ONE_OVER_SQRT_2_PI: f32 = 0.398_942_3;
    let t = limit(simd, z, 13.5).abs();
    let square = t * t;
    let lost = t.mul_add_precise(t, -square);
    let e = exp_nonpositive(simd, square * -0.5);
    let e = (lost * -0.5).mul_add_precise(e, e);
    let v = S::f32s::splat(simd, 1.0) / t.mul_add_precise(0.3125, 1.0);
    let p = polynomial(simd, v.mul_add_precise(2.0, -1.0), COEFFICIENTS);
    let tail = e * (p * v);
    let cdf = z.simd_lt(S::f32s::splat(simd, 0.0)).select(tail, -tail + 1.0);
    (cdf, e * (t * ONE_OVER_SQRT_2_PI))
}

/// `x`, or `bound` with its sign where it lies beyond; NaN stays.
#[inline(always)]
pub(crate) fn limit<S: Simd>(simd: S, x: S::f32s, bound: f32) -> S::f32s {
    let bound = S::f32s::splat(simd, bound);
    x.abs().simd_gt(bound).select(bound.copysign(x), x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{levels, sweep, ulps};
    use crate::kernels::{SimdLevel, dispatch, erf};

    /// A function of lanes over a slice, on some level.
    macro_rules! lanes {
        (|$simd:ident, $x:ident| $f:expr) => {
            |level: SimdLevel, x: &[f32]| {
                let mut y = vec![f32::NAN; x.len()];
                dispatch!(level, $simd => map($simd, x, &mut y, #[inline(always)] |$x| $f));
                y
            }
        };
    }

    /// Demands `bound` ULP of `f` wherever `domain` holds, but for `floor`, and the same bits of every level everywhere.
    fn check(
        what: &str,
        f: impl Fn(SimdLevel, &[f32]) -> Vec<f32>,
        oracle: impl Fn(f64) -> f64,
        domain: impl Fn(f32) -> bool,
        (bound, floor): (f64, f64),
    ) {
        let x: Vec<f32> = sweep().into_iter().filter(|x| x.is_nan() || domain(*x)).collect();
        let first = f(SimdLevel::detect(), &x);
        let mut worst = (0.0, 0.0);
        for (x, y) in x.iter().zip(&first) {
            if x.is_nan() {
                assert!(y.is_nan(), "{what}({x}) = {y}");
                continue;
            }
            let expected = oracle(f64::from(*x));
            let error = ulps(*y, expected, floor);
            assert!(error <= bound, "{what}({x:e}) = {y:e}, expected {expected:e}: {error} ULP");
            worst = if error > worst.0 { (error, f64::from(*x)) } else { worst };
        }
        println!("{what}: at most {:.3} ULP, at {:e}", worst.0, worst.1);
        for level in levels() {
            let bits =
                |y: &[f32]| y.iter().map(|y| if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() }).collect::<Vec<_>>();
            assert!(bits(&f(level, &x)) == bits(&first), "{what} on {}", level.name());
        }
    }

    /// Below what `exp_nonpositive` gives up.
    const VANISHES: f64 = 1.7e-38;

    #[test]
    fn exponentials() {
        check("exp", lanes!(|simd, x| exp(simd, x)), f64::exp, |_| true, (1.0, 0.0));
        check("exp of x <= 0", lanes!(|simd, x| exp_nonpositive(simd, x)), f64::exp, |x| x <= 0.0, (1.0, VANISHES));
        let at = [f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 88.722_83, 88.722_84, -103.97, -103.98];
        let y = lanes!(|simd, x| exp(simd, x))(SimdLevel::detect(), &at);
        assert_eq!(y[..4], [f32::INFINITY, 0.0, 1.0, 1.0]);
        assert!(y[4].is_finite() && y[5] == f32::INFINITY && y[6] == f32::from_bits(1) && y[7] == 0.0, "{y:?}");
    }

    #[test]
    fn the_two_exponentials_have_the_same_bits() {
        let x: Vec<f32> = sweep().into_iter().filter(|x| (-87.0..=0.0).contains(x)).collect();
        let level = SimdLevel::detect();
        assert_eq!(lanes!(|simd, x| exp(simd, x))(level, &x), lanes!(|simd, x| exp_nonpositive(simd, x))(level, &x));
    }

    #[test]
    fn logarithms() {
        let normal = |x: f32| x.is_normal() && x > 0.0;
        check("ln", lanes!(|simd, x| ln(simd, x)), f64::ln, normal, (1.0, 0.0));
    }

    #[test]
    fn sigmoids() {
        let oracle = |x: f64| 1.0 / (1.0 + (-x).exp());
        check("sigmoid", lanes!(|simd, x| sigmoid(simd, x).0), oracle, |_| true, (3.0, VANISHES));
        check("1 - sigmoid", lanes!(|simd, x| sigmoid(simd, x).1), |x| oracle(-x), |_| true, (3.0, VANISHES));
    }

    #[test]
    fn hyperbolic_tangents() {
        check("tanh", lanes!(|simd, x| tanh(simd, x)), f64::tanh, |_| true, (2.0, 0.0));
        let y = lanes!(|simd, x| tanh(simd, x))(SimdLevel::detect(), &[-0.0, f32::from_bits(1), f32::INFINITY, -1e30]);
        assert_eq!(y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), [0x8000_0000, 1, 0x3f80_0000, 0xbf80_0000]);
    }

    #[test]
    fn normal_distributions() {
        check("cdf", lanes!(|simd, x| normal(simd, x).0), erf::normal_cdf, |_| true, (10.0, VANISHES));
        let oracle = |z: f64| if z.is_infinite() { 0.0 } else { z.abs() * erf::normal_pdf(z) };
        // The density is left out below 1.7e-38 / sqrt(2 pi), and up to 13.5 of it are.
        check("|z| pdf", lanes!(|simd, x| normal(simd, x).1), oracle, |_| true, (5.0, 6.0 * VANISHES));
    }

    #[test]
    fn a_limit_keeps_signs_and_nan() {
        let x = [2.0, -2.0, 3.5, -3.5, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::NAN];
        for level in levels() {
            let y = lanes!(|simd, x| limit(simd, x, 3.0))(level, &x);
            assert_eq!(y[..7], [2.0, -2.0, 3.0, -3.0, 3.0, -3.0, -0.0]);
            assert!(y[7].is_nan() && y[6].is_sign_negative(), "{}", level.name());
        }
    }
}
