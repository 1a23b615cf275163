//! What the kernels' tests share: portable pseudo-random numbers, a comparison that NaN cannot pass, and the SIMD levels to test.

use crate::kernels::SimdLevel;

/// Numbers in `[-1, 1)`, the same on every machine (an LCG's high bits).
pub fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Fails, naming the first place, unless every `found` is within its bound of `expected`.
pub fn assert_close(what: &str, found: &[f32], expected: &[f64], bound: &[f64]) {
    if let Some(message) = first_difference(found, expected, bound) {
        panic!("{what}: {message}");
    }
}

fn first_difference(found: &[f32], expected: &[f64], bound: &[f64]) -> Option<String> {
    if found.len() != expected.len() || found.len() != bound.len() {
        return Some(format!("lengths {}, {}, {}", found.len(), expected.len(), bound.len()));
    }
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN on either side has to fail")]
    let differs = |i: &usize| !((f64::from(found[*i]) - expected[*i]).abs() <= bound[*i]);
    (0..found.len())
        .find(differs)
        .map(|i| format!("at {i}: found {}, expected {} within {:e}", found[i], expected[i], bound[i]))
}

/// Every 1009th bit pattern of an f32 (of all exponents and signs, subnormal numbers and NaNs among them), and the special ones.
pub fn sweep() -> Vec<f32> {
    let special = [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, f32::MAX, f32::MIN];
    let infinite = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(1), -f32::from_bits(1)];
    let patterns = (0..=u32::MAX).step_by(1009).map(f32::from_bits);
    special.into_iter().chain(infinite).chain(patterns).collect()
}

/// How far `found` is from `expected`, in units in the last place of an f32 there, beyond an absolute error of `floor`. Where
/// `expected` rounds to infinity, only infinity is near it; NaN is near nothing.
pub fn ulps(found: f32, expected: f64, floor: f64) -> f64 {
    if found.is_infinite() || (expected as f32).is_infinite() {
        return if found == expected as f32 { 0.0 } else { f64::INFINITY };
    }
    let error = (f64::from(found) - expected).abs();
    let exponent = (expected.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
    let ulp = 2f64.powi(exponent - 23);
    if error.is_nan() { f64::INFINITY } else { (error - floor).max(0.0) / ulp }
}

#[test]
fn units_in_the_last_place_are_counted() {
    assert_eq!(ulps(1.0, 1.0 + 2f64.powi(-23), 0.0), 1.0);
    assert_eq!(ulps(f32::from_bits(3), 0.0, 0.0), 3.0);
    assert_eq!(ulps(0.0, 1e-3, 1e-3), 0.0);
    assert_eq!(ulps(f32::INFINITY, 1e39, 0.0), 0.0);
    for (found, expected) in [(f32::NAN, 0.0), (0.0, f64::NAN), (f32::INFINITY, 1.0), (1.0, f64::INFINITY)] {
        assert_eq!(ulps(found, expected, 1.0), f64::INFINITY, "{found} {expected}");
    }
}

/// Every level that can run here. Where the environment variable `FLATNET_REQUIRE_SIMD` names levels, with commas between them,
/// one that is missing fails the test: else a machine that shows fewer than it has would pass for tested.
pub fn levels() -> Vec<SimdLevel> {
    let levels = SimdLevel::all();
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    let required = std::env::var("FLATNET_REQUIRE_SIMD").unwrap_or_default();
    let missing = missing(&required, &names);
    assert!(missing.is_empty(), "FLATNET_REQUIRE_SIMD={required}: no {} among {names:?}", missing.join(", "));
    levels
}

fn missing<'a>(required: &'a str, names: &[&str]) -> Vec<&'a str> {
    required.split(',').map(str::trim).filter(|name| !name.is_empty() && !names.contains(name)).collect()
}

#[test]
fn a_level_that_is_required_and_missing_is_named() {
    assert_eq!(missing("", &["fallback"]), [""; 0]);
    assert_eq!(missing("avx2,fallback", &["avx2", "fallback"]), [""; 0]);
    assert_eq!(missing("avx512, avx2,fallback", &["avx2", "fallback"]), ["avx512"]);
    assert_eq!(missing("sse9", &["avx2", "fallback"]), ["sse9"]);
}

/// The scalar code is never missing, and twice the same level would compare it with itself.
#[test]
fn levels_are_different_and_the_fallback_is_one() {
    let names: Vec<_> = levels().iter().map(|level| level.name()).collect();
    assert!(names.contains(&"fallback"));
    assert!(names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)), "{names:?}");
}

#[test]
fn the_comparison_itself_can_fail() {
    let expected = [0.0, 1.0, 2.0];
    let bound = [1e-6; 3];
    assert_eq!(first_difference(&[0.0, 1.0, 2.0], &expected, &bound), None);
    assert_eq!(first_difference(&[0.0, 1.0, 2.0], &expected, &[0.0; 3]), None);
    for wrong in [[f32::NAN, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.000_002, 2.0], [f32::INFINITY, 1.0, 2.0]] {
        assert!(first_difference(&wrong, &expected, &bound).is_some(), "{wrong:?}");
    }
    assert!(first_difference(&[0.0, 1.0], &expected, &bound).is_some(), "a missing value");
    assert!(first_difference(&[0.0; 3], &[0.0, 0.0, f64::NAN], &bound).is_some(), "a NaN in the oracle");
    assert!(first_difference(&[0.0; 3], &[0.0; 3], &[0.0, 0.0, f64::NAN]).is_some(), "a NaN in the bound");
}
