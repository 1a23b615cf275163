//! What settings may be, in the words of their errors, and the arithmetic on them that has to be the same everywhere.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// An error that names the setting, unless `valid`.
pub(super) fn require(valid: bool, name: &'static str, found: impl ToString, expected: &str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Setting { name, found: found.to_string(), expected: expected.into() }) }
}

/// An f32 above 0, for what is divided by: a value that f32 takes for 0 or for a subnormal number is none.
pub(super) fn positive(name: &'static str, value: f64) -> Result<()> {
    let valid = value.is_finite() && value as f32 >= f32::MIN_POSITIVE && (value as f32).is_finite();
    require(valid, name, value, "a positive finite number")
}

/// An f32 of 0 or more.
pub(super) fn not_negative(name: &'static str, value: f64) -> Result<()> {
    require(value >= 0.0 && (value as f32).is_finite(), name, value, "a finite number, at least 0")
}

/// The share that an average keeps of itself. At 1 nothing new would enter it.
pub(super) fn share(name: &'static str, value: f64) -> Result<()> {
    require((0.0..1.0).contains(&value), name, value, "at least 0 and below 1")
}

/// `base^exponent` by multiplications alone: `f64::powf` may differ between platforms.
pub(super) fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

/// The fields of an optimizer under their names.
pub(super) fn fields(optimizer: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(optimizer) {
        Ok(Value::Object(map)) => map,
        other => unreachable!("an optimizer is a struct of numbers and flags, not {other:?}"),
    }
}

/// Writes an f32 as its shortest decimal number: 0.1, not the 0.10000000149011612 that it is as an f64.
pub(super) fn shortest<S: Serializer>(value: &f32, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    value.to_string().parse::<f64>().unwrap_or(f64::from(*value)).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_repeated_multiplication() {
        for (base, exponent, expected) in
            [(0.9, 0, 1.0), (0.5, 3, 0.125), (3.0, 5, 243.0), (0.0, 1, 0.0), (1.0, u64::MAX, 1.0)]
        {
            assert_eq!(power(base, exponent), expected);
        }
        assert!((power(0.999, 1000) - 0.367_695_424_770_964_05).abs() < 1e-13);
        assert_eq!(power(0.9, u64::MAX), 0.0);
    }

    #[test]
    fn a_divisor_that_f32_does_not_know_is_refused() {
        for value in [0.0, -1.0, 1e-40, 1e-300, 1e39, f64::INFINITY, f64::NAN] {
            assert!(positive("eps", value).is_err(), "{value}");
        }
        positive("eps", 1e-10).unwrap();
    }
}
