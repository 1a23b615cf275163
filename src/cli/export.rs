//! `flatnet export`: a saved model in the form of another program. It knows flags and lines, not forms.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use flatnet::export::{self, Format};
use flatnet::model_file::Loaded;
use flatnet::{Error, Result};
use serde::Serialize;

use super::hints::HintArguments;
use super::table::grouped;
use super::{model_path, new_file, print, print_json};

pub const EXAMPLES: &str = "\
Examples:
  flatnet export --model runs/1 --to onnx --out digits.onnx
  flatnet export --model runs/1 --to c --out digits.h
  flatnet export --model runs/1 --to torch --out digits.safetensors > digits.py
  flatnet export --model keras.safetensors --activation tanh --to safetensors \\
                 --out digits.safetensors

  safetensors  flatnet's own file, of a model of any program
  torch        tensors named as a torch.nn.Sequential has them, for
               safetensors.torch.load_file; the Sequential is printed as Python
  onnx         one graph of float32, operators of opset 17: input x, outputs
               logits and probabilities, [batch, ...]; pixels are scaled inside
  c            one C99 header without dependencies: NAME_predict(x, out), with
               NAME that of the file; math.h where an activation needs it";

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A model.safetensors, or the folder of a run
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Which form: safetensors, torch, onnx or c
    #[arg(long, value_enum, value_name = "FORM", hide_possible_values = true)]
    pub to: Format,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file at --out
    #[arg(long)]
    pub overwrite: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub hints: HintArguments,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    model: String,
    file: String,
    format: Format,
    bytes: u64,
    parameters: usize,
    layers: String,
    /// The input stage, for people.
    inputs: String,
    /// Only for PyTorch: the network as Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<String>,
}

pub fn run(arguments: &ExportArguments) -> Result<()> {
    let path = model_path(&arguments.model);
    let ExportArguments { out, to, .. } = arguments;
    new_file::check("out", out, arguments.overwrite, &path)?;
    let Loaded { model, meta, .. } = arguments.hints.load(&path)?;
    export::write(out, *to, &model, &meta)?;
    let python = match to {
        Format::Torch => Some(export::torch_code(out, &model, &meta)?),
        _ => None,
    };
    let about = fs::metadata(out).map_err(|source| Error::Io { path: out.clone(), action: "read", source })?;
    let report = Report {
        model: path.display().to_string(),
        file: out.display().to_string(),
        format: *to,
        bytes: about.len(),
        parameters: model.parameter_count(),
        layers: model.specs().to_string(),
        inputs: if meta.preparation.is_some() { export::about(&meta) } else { meta.scale.to_string() },
        python,
    };
    if arguments.json {
        return print_json(&report);
    }
    let Report { file, format, parameters, layers, inputs, python, .. } = &report;
    match python {
        // Nothing but Python, so that it can be kept as a file.
        Some(python) => print(python),
        None => print(&format!(
            "{file}: {format}, {} bytes\n  {layers} on {inputs}, {} parameters\n",
            grouped(report.bytes as usize),
            grouped(*parameters)
        )),
    }
}
