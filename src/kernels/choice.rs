//! Which kernel runs a linear layer: by its shape, so that results never depend on timing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;

/// What `--kernel` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum KernelChoice {
    /// The narrow kernels for layers of at most 16 outputs, the wide ones for the others.
    #[default]
    Auto,
    /// matrixmultiply's GEMM for every layer.
    Gemm,
    /// The narrow kernels for every layer of at most 16 outputs, GEMM for the others.
    Narrow,
}

impl fmt::Display for KernelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for KernelChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("kernel", text, "auto, gemm or narrow")
    }
}
