//! The rectifier and its two backwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::{SimdLevel, pointwise};
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
        names::parse("relu-grad", text, "straight-through or exact")
    }
}

/// `y = max(z, 0)`, elementwise.
#[derive(Debug, Clone)]
pub struct Relu {
    grad: ReluGrad,
    level: SimdLevel,
}

impl Relu {
    pub fn new(grad: ReluGrad) -> Self {
        Relu { grad, level: SimdLevel::detect() }
    }

    /// Which gradient it passes back.
    pub fn grad(&self) -> ReluGrad {
        self.grad
    }

    pub(crate) fn set_level(&mut self, level: SimdLevel) {
        self.level = level;
    }

    /// `z`, read, and `y`, overwritten: any shape, the same for both.
    pub fn forward(&self, z: &[f32], y: &mut [f32]) {
        pointwise::relu_forward(self.level, z, y);
    }

    /// From `dy`, the loss's derivative by the outputs, to `dz`, by the inputs. `z` is the input of [`Relu::forward`].
    /// `z`, `dy`, read, and `dz`, overwritten: any shape, the same for all.
    pub fn backward(&self, z: &[f32], dy: &[f32], dz: &mut [f32]) {
        match self.grad {
            ReluGrad::StraightThrough => dz.copy_from_slice(dy),
            ReluGrad::Exact => pointwise::relu_backward_exact(self.level, z, dy, dz),
        }
    }
}
