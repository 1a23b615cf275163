//! Which SIMD level runs: found at run time, or forced. It knows instruction sets, not arithmetic.

use std::fmt;
use std::str::FromStr;

use fearless_simd::{Level, Simd};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;

/// What `--simd` asks for. All kernels but GEMM give the same bits on every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum SimdChoice {
    /// The widest level this machine has.
    #[default]
    Auto,
    /// 512-bit vectors (x86-64, Ice Lake or Zen 4 and later).
    Avx512,
    /// 256-bit vectors with fused multiply-add (x86-64, Haswell and later).
    Avx2,
    /// Plain scalar code: slow, and the same bits.
    Fallback,
}

impl fmt::Display for SimdChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for SimdChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("simd", text, "auto, avx512, avx2 or fallback")
    }
}

/// A level that this machine has; the only way to get one is to ask, so a kernel never meets an instruction it lacks.
#[derive(Debug, Clone, Copy)]
pub struct SimdLevel(Level);

impl SimdLevel {
    /// The widest level of this machine that multiplies and adds in one rounding; scalar code where there is none.
    pub fn detect() -> Self {
        let level = Level::new();
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if level.as_avx2().is_none() {
            // SSE has no fused multiply-add, and emulating it by vectors is slower than the C library's fmaf.
            return SimdLevel(Level::fallback());
        }
        SimdLevel(level)
    }

    /// The level that `choice` asks for; an error where this machine lacks it.
    pub fn resolve(choice: SimdChoice) -> Result<Self> {
        let detected = Self::detect();
        let missing = || Error::Setting {
            name: "simd",
            found: choice.to_string(),
            expected: format!("a level of this machine: auto, {} or fallback", detected.name()),
        };
        match choice {
            SimdChoice::Auto => Ok(detected),
            SimdChoice::Fallback => Ok(SimdLevel(Level::fallback())),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            SimdChoice::Avx512 => {
                detected.0.as_avx512().map(|token| SimdLevel(Level::Avx512(token))).ok_or_else(missing)
            }
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            SimdChoice::Avx2 => detected.0.as_avx2().map(|token| SimdLevel(Level::Avx2(token))).ok_or_else(missing),
            #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
            SimdChoice::Avx512 | SimdChoice::Avx2 => Err(missing()),
        }
    }

    /// Every level that can run here, widest first.
    pub fn all() -> Vec<Self> {
        let mut levels = vec![Self::detect()];
        for choice in [SimdChoice::Avx512, SimdChoice::Avx2, SimdChoice::Fallback] {
            if let Ok(level) = Self::resolve(choice)
                && levels.iter().all(|known| known.name() != level.name())
            {
                levels.push(level);
            }
        }
        levels
    }

    /// The level's name as `--simd` writes it; `neon` and `wasm` stand for what `auto` finds elsewhere.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Avx512(_) => "avx512",
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
            _ => "fallback",
        }
    }

    /// Runs plain loops compiled for this level's vectors. `f` must be `#[inline(always)]`, and so must be what it calls.
    pub(crate) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        dispatch!(self, simd => simd.vectorize(f))
    }

    /// What [`dispatch!`] takes.
    pub(crate) fn token(self) -> Level {
        self.0
    }
}

/// `dispatch!(level, simd => expression)`: the expression, compiled for each level and run at `level`, with that level's
/// token in `simd`; what it calls must be `#[inline(always)]`.
///
/// `fearless_simd::dispatch!` with fewer arms: it compiles every kernel for SSE2 and SSE4.2 too, which no [`SimdLevel`] is,
/// and that was more code than the other three levels together.
macro_rules! dispatch {
    ($level:expr, $simd:ident => $op:expr) => {
        match $crate::kernels::level::SimdLevel::token($level) {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            ::fearless_simd::Level::Avx512(token) => $crate::kernels::level::vectorize!(token, $simd => $op),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            ::fearless_simd::Level::Avx2(token) => $crate::kernels::level::vectorize!(token, $simd => $op),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            ::fearless_simd::Level::Fallback(token) => $crate::kernels::level::vectorize!(token, $simd => $op),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            _ => unreachable!("no SimdLevel is SSE alone"),
            #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
            level => ::fearless_simd::dispatch!(level, $simd => $op),
        }
    };
}

/// One arm of [`dispatch!`].
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
macro_rules! vectorize {
    ($token:ident, $simd:ident => $op:expr) => {{
        // Each arm sees a type of which it knows only that it is `Simd`, so that all arms are written alike.
        #[inline(always)]
        fn any_simd<S: ::fearless_simd::Simd>(token: S) -> impl ::fearless_simd::Simd {
            token
        }
        let $simd = any_simd($token);
        ::fearless_simd::Simd::vectorize(
            $token,
            #[inline(always)]
            || $op,
        )
    }};
}

pub(crate) use dispatch;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub(crate) use vectorize;

impl Default for SimdLevel {
    fn default() -> Self {
        Self::detect()
    }
}

impl PartialEq for SimdLevel {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in ["auto", "avx512", "avx2", "fallback"] {
            assert_eq!(name.parse::<SimdChoice>().unwrap().to_string(), name);
        }
        assert!("sse9".parse::<SimdChoice>().unwrap_err().to_string().contains("'sse9'"));
    }

    #[test]
    fn a_forced_level_is_the_level_that_runs() {
        assert_eq!(SimdLevel::resolve(SimdChoice::Fallback).unwrap().name(), "fallback");
        for (choice, name) in [(SimdChoice::Avx512, "avx512"), (SimdChoice::Avx2, "avx2")] {
            match SimdLevel::resolve(choice) {
                Ok(level) => assert_eq!(level.name(), name),
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
    }
}
