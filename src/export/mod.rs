//! A trained network in the forms of other programs, one file of this room each. It knows layers and what inputs are; it does
//! not know how a network was trained, or flags.

mod c;
mod onnx;
mod protobuf;
mod stages;
#[cfg(test)]
mod tests;
mod torch;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model_file::{self, ModelMeta};
use crate::names;
use crate::nn::Sequential;
use crate::tensor_file::Refuse;
use crate::whole_file;

pub use torch::sequential as torch_code;

/// What a model takes and gives in the forms of this room, for people.
pub fn about(meta: &ModelMeta) -> String {
    stages::InputStage::of(meta).about
}

/// What a network is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Format {
    /// flatnet's own file, with its metadata
    Safetensors,
    /// A safetensors file with the names of a torch.nn.Sequential
    Torch,
    /// An ONNX model, with all that stands before and behind the network inside
    Onnx,
    /// A C99 header of constants and one function
    C,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("to", text, "safetensors, torch, onnx or c")
    }
}

/// Writes `model`, of which `meta` says what its inputs are, to `path`: whole or not at all. A file that stands there is
/// replaced.
///
/// # Errors
/// Where the file cannot be written, or `meta` is not that of the model, or a value is not finite; for ONNX, where the model
/// is larger than the 2 GB that such a file can have.
pub fn write(path: &Path, format: Format, model: &Sequential, meta: &ModelMeta) -> Result<()> {
    let refuse = Refuse { path };
    for tensor in model.parameters() {
        if let Some((at, value)) = tensor.values().iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(refuse.not_finite(tensor.name(), at, *value));
        }
    }
    match format {
        Format::Safetensors => {
            let version = meta.version.clone().or_else(|| Some(env!("CARGO_PKG_VERSION").into()));
            model_file::save(path, model, &ModelMeta { version, ..meta.clone() })
        }
        Format::Torch => torch::write(path, model),
        Format::Onnx => whole_file::write(path, &onnx::model(model, meta, &refuse)?),
        Format::C => whole_file::write(path, c::header(path, model, meta)?.as_bytes()),
    }
}
