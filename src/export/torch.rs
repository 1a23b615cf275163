//! The network as `torch.nn.Sequential` names it, and that Sequential as Python. It knows modules of `torch.nn`, not what
//! inputs are made of.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;

use super::stages::{InputStage, OutputStage, all_equal};
use crate::error::{Error, Result};
use crate::kernels::activations;
use crate::model_file::ModelMeta;
use crate::nn::{LayerSpec, Sequential};
use crate::tensor_file;
use crate::whole_file::Staged;

/// Layers that stand before the network's own: `nn.Flatten()`, so that images can be given as they are.
const BEFORE: usize = 1;

/// Writes the tensors under the Sequential's names. Their only metadata is what PyTorch's own files have.
pub(super) fn write(path: &Path, model: &Sequential) -> Result<()> {
    let name = |own: &str| match own.split_once('.').and_then(|(at, kind)| Some((at.parse::<usize>().ok()?, kind))) {
        Some((at, kind)) => format!("{}.{kind}", at + BEFORE),
        None => own.to_string(),
    };
    let outline = model.parameters().map(|tensor| (name(tensor.name()), Dtype::F32, tensor.shape().to_vec()));
    let header = tensor_file::header(BTreeMap::from([("format", "pt".to_string())]), outline)
        .map_err(|source| Error::Io { path: path.to_path_buf(), action: "write", source })?;
    let staged = Staged::write(path, |out| {
        out.write_all(&header)?;
        model.parameters().try_for_each(|tensor| tensor_file::write_f32(out, &tensor.values()))
    })?;
    staged.publish()
}

/// Python that makes the network of a file that [`write`](super::write) wrote for PyTorch: the Sequential, its parameters, and
/// in a comment what its inputs and outputs are.
///
/// # Errors
/// None that the network itself has not been held to.
pub fn sequential(path: &Path, model: &Sequential, meta: &ModelMeta) -> Result<String> {
    let mut modules = vec!["nn.Flatten()".to_string()];
    let mut width = model.in_features();
    for layer in &model.specs().0 {
        modules.push(match layer {
            LayerSpec::Linear { out_features } => format!("nn.Linear({width}, {out_features})"),
            LayerSpec::Activation { spec } => activations::parse(spec, model.relu_grad())?.torch(),
            LayerSpec::Dropout { p } => format!("nn.Dropout({p:?})"),
        });
        width = layer.out_features(width);
    }
    let file = python_string(&path.display().to_string());
    let (input, output) = (InputStage::of(meta), OutputStage::of(meta));
    let list = |values: &[f32]| match all_equal(values) {
        Some(one) => format!("{one:?}"),
        None => format!("{values:?}"),
    };
    let by = if input.divides { '/' } else { '*' };
    let inputs = format!(
        "# Inputs: (x / {:?} - center) {by} scale, where x is {}.\n# center = {}\n# scale = {}\n",
        input.unit,
        input.about,
        list(&input.center),
        list(&input.scale)
    );
    let outputs = match &output {
        OutputStage::Classes { about } => format!("# Outputs: logits of {about}.\n"),
        OutputStage::Labels { about } => format!("# Outputs: logits of the labels {about}.\n"),
        OutputStage::Values { center, scale, about } => {
            format!("# Outputs: y, of which y * {} + {} is {about}.\n", list(scale), list(center))
        }
    };
    Ok(format!(
        "from safetensors.torch import load_file\nfrom torch import nn\n\nmodel = nn.Sequential({})\n\
         model.load_state_dict(load_file({file}))\nmodel.eval()\n{inputs}{outputs}",
        modules.join(", "),
    ))
}

/// A string literal of Python.
fn python_string(text: &str) -> String {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            c if c.is_control() => literal.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal + "\""
}
