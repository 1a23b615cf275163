//! The complementary error function in f64, for the oracles: `std` has none. Slow and plain; no kernel calls it.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `erfc(x) = 2/sqrt(pi) * integral of exp(-t^2) from x to infinity`, to about 1e-14 of the result.
///
/// Below 1 from the series of `erf` with terms of one sign (Abramowitz and Stegun, 7.1.6), above from the continued
/// fraction (7.1.14), whose first 200 levels leave 2e-16 of the result at 1 and less beyond.
pub(crate) fn erfc(x: f64) -> f64 {
    const LEVELS: u32 = 200;
    if x.is_nan() {
        x
    } else if x < 0.0 {
        2.0 - erfc(-x)
    } else if x < 1.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        1.0 - 2.0 / PI.sqrt() * (-x * x).exp() * sum
    } else {
        let fraction = (1..=LEVELS).rev().fold(x, |fraction, k| x + f64::from(k) / 2.0 / fraction);
        (-x * x).exp() / PI.sqrt() / fraction
    }
}

/// `P(Z <= z)` of a standard normal `Z`.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// The density of the standard normal distribution.
pub(crate) fn normal_pdf(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of 18 digits, computed with 25 by another program (mpmath 1.2.1).
    #[test]
    fn known_values() {
        for (x, expected) in [
            (0.0, 1.0),
            (0.1, 0.887_537_083_981_715),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (1.5, 0.033_894_853_524_689_27),
            (2.0, 4.677_734_981_047_266e-3),
            (3.0, 2.209_049_699_858_544e-5),
            (5.0, 1.537_459_794_428_035e-12),
            (10.0, 2.088_487_583_762_545e-45),
        ] {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-14, "erfc({x}) = {:e}", erfc(x));
            assert!((erfc(-x) - (2.0 - expected)).abs() < 1e-15, "erfc(-{x}) = {}", erfc(-x));
        }
        assert_eq!((erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (0.0, 2.0));
        assert!(erfc(f64::NAN).is_nan());
        assert!((normal_cdf(-1.0) - 0.158_655_253_931_457_05).abs() < 1e-16);
        assert!((normal_pdf(0.0) - 0.398_942_280_401_432_7).abs() < 1e-16);
    }

    /// Where the two ways meet, and that the density is the derivative of the distribution.
    #[test]
    fn both_ways_are_one_function() {
        assert!((erfc(1.0 - 1e-12) / erfc(1.0) - 1.0).abs() < 5e-12);
        for i in -60..=60 {
            let (z, h) = (f64::from(i) / 10.0, 1e-4);
            let slope = (normal_cdf(z + h) - normal_cdf(z - h)) / (2.0 * h);
            // h^2/6 of the third derivative, at most 0.4, and 1e-16 of rounding over 2h.
            assert!((slope - normal_pdf(z)).abs() < 1e-8, "{z}");
        }
    }
}
