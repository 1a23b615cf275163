//! The rectifier and its two backwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Activation, ErrorBound, Formula, without_parameter};
use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::names;

/// Which gradient a [`Relu`] passes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ReluGrad {
    /// The gradient passes unchanged, as the reference's code acts: its mask is all ones, since it writes 0 over the
    /// negative inputs before it writes 1 over everything that is not negative. A unit can therefore always recover.
    #[default]
    StraightThrough,
    /// The derivative: the gradient passes where the input was positive. An output unit that is negative for every
    /// sample gets no gradient any more; it is dead.
    Exact,
}

impl fmt::Display for ReluGrad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for ReluGrad {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("relu_grad", text, "straight-through or exact")
    }
}

/// `y = max(z, 0)`; with the exact gradient `f' = 1` where `z > 0`, else 0, as in PyTorch also at 0.
#[derive(Debug, Clone, Copy)]
pub struct Relu {
    /// Which gradient it passes back.
    pub grad: ReluGrad,
}

pub(super) fn parse(parameter: Option<&str>, grad: ReluGrad) -> std::result::Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Relu { grad })
}

impl Activation for Relu {
    fn spec(&self) -> String {
        "relu".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        debug_assert_eq!(z.len(), y.len());
        level.run(
            #[inline(always)]
            || {
                for (y, z) in y.iter_mut().zip(z) {
                    *y = if *z < 0.0 { 0.0 } else { *z };
                }
            },
        );
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        debug_assert!(z.len() == dy.len() && dy.len() == dz.len());
        match self.grad {
            ReluGrad::StraightThrough => dz.copy_from_slice(dy),
            ReluGrad::Exact => level.run(
                #[inline(always)]
                || {
                    for ((dz, dy), z) in dz.iter_mut().zip(dy).zip(z) {
                        *dz = if *z > 0.0 { *dy } else { 0.0 };
                    }
                },
            ),
        }
    }

    fn reference(&self, z: f64) -> f64 {
        if z < 0.0 { 0.0 } else { z }
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        match self.grad {
            ReluGrad::StraightThrough => 1.0,
            ReluGrad::Exact => f64::from(u8::from(z > 0.0)),
        }
    }

    fn error(&self) -> ErrorBound {
        ErrorBound::EXACT
    }

    fn derivative_error(&self) -> ErrorBound {
        ErrorBound::EXACT
    }

    fn formula(&self) -> Formula {
        Formula::at_least(0.0)
    }

    fn torch(&self) -> String {
        "nn.ReLU()".into()
    }
}
