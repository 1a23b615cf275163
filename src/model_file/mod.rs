//! A trained model as one safetensors file, written whole or not at all and read without trust.
//! It knows the file's layout; it does not know what a run is, or how a model is trained.
//!
//! Tensors are named by layer index (`0.weight` as `[out_features, in_features]`, `0.bias` as `[out_features]`, all F32),
//! so that `torch.nn.Sequential` loads them as they are. The metadata says what the tensors cannot. Files of other programs
//! are read as well, as far as they hold such a network.

mod foreign;
#[cfg(test)]
mod foreign_tests;
mod meta;
mod names;
mod order;
mod outline;
#[cfg(test)]
mod tests;

pub use foreign::{Assumed, Between, Foreign, ForeignTensor, Hints};
pub use meta::ModelMeta;

use std::io::{self, Write};
use std::path::Path;

use safetensors::Dtype;

use crate::error::Result;
use crate::kernels::KernelChoice;
use crate::nn::{DataSpec, Sequential};
use crate::tensor_file::{self, Refuse, TensorFile};
use crate::whole_file::Staged;
use foreign::Source;
use meta::{FIELDS, meta_strings, parse_meta};

/// Room for the names of thousands of layers; a longer header is no model of ours, and would cost memory to read.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Writes the model to `path`. A file that stands there is replaced once the new one is complete.
pub fn save(path: &Path, model: &Sequential, meta: &ModelMeta) -> Result<()> {
    stage(path, model, meta)?.publish()
}

/// The complete file beside `path`, to be put in place together with others.
///
/// What [`load`] would refuse is not written: a model that cannot be loaded again is lost.
pub(crate) fn stage(path: &Path, model: &Sequential, meta: &ModelMeta) -> Result<Staged> {
    let refuse = Refuse { path };
    meta.check(&refuse)?;
    let said = [
        ("layers", meta.layers == *model.specs()),
        ("relu_grad", meta.relu_grad == model.relu_grad()),
        ("classes", meta.classes == model.out_features()),
        ("image_size", meta.image_size.0.checked_mul(meta.image_size.1) == Some(model.in_features())),
    ];
    if let Some((field, _)) = said.iter().find(|(_, agrees)| !agrees) {
        return Err(refuse.because(format!("metadata {field}"), "is not that of the network"));
    }
    for tensor in model.parameters() {
        if let Some((at, value)) = tensor.values().iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(refuse.not_finite(tensor.name(), at, *value));
        }
    }
    let header = header(model, meta).map_err(|source| refuse.io(source))?;
    let header_bytes = header.len() as u64 - tensor_file::LENGTH_BYTES;
    if header_bytes > MAX_HEADER_BYTES {
        let problem = format!("would have {header_bytes} bytes; expected at most {MAX_HEADER_BYTES}: a shorter recipe");
        return Err(refuse.because("header", problem));
    }
    Staged::write(path, |out| write(out, &header, model))
}

/// Tensors in one order, so that the same model and metadata always give the same bytes.
fn header(model: &Sequential, meta: &ModelMeta) -> io::Result<Vec<u8>> {
    let outline = model.parameters().map(|tensor| (tensor.name().to_string(), Dtype::F32, tensor.shape().to_vec()));
    tensor_file::header(meta_strings(meta)?, outline)
}

fn write(out: &mut dyn Write, header: &[u8], model: &Sequential) -> io::Result<()> {
    out.write_all(header)?;
    model.parameters().try_for_each(|tensor| tensor_file::write_f32(out, &tensor.values()))
}

/// Reads a model: [`load_with`] without any [`Hints`].
///
/// # Errors
/// Where the file cannot be read, or holds no network.
pub fn load(path: &Path) -> Result<(Sequential, ModelMeta)> {
    load_with(path, &Hints::default()).map(|loaded| (loaded.model, loaded.meta))
}

/// A model as it was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The network.
    pub model: Sequential,
    /// What its file says of it, or what was understood.
    pub meta: ModelMeta,
    /// Of a file that another program wrote.
    pub foreign: Option<Foreign>,
}

/// Reads a model. Sizes are compared with the file's own length before anything is allocated, and every value is finite.
///
/// In a file of flatnet every tensor must be there with its dtype and shape, none beside them, and `hints` must say nothing.
///
/// A file without flatnet's metadata is taken as well when it holds nothing but the weights and biases of linear layers, as
/// PyTorch (`fc1.weight`), Keras (`dense/kernel`) or scikit-learn (`coefs_.0`) name them, in F32, F16, BF16 or F64. A layer
/// without a bias has one of zeros. Layers stand in the order of the numbers in their names, and otherwise in the one order
/// in which their widths follow from one another. A `weight` is `[out_features, in_features]` and a `kernel` the other way
/// round, unless widths show that all of them are turned. Images are square if they can be, and the gradient of ReLUs is exact.
///
/// # Errors
/// Where the file cannot be read, holds no network, can be understood in two ways, or says itself what `hints` say.
pub fn load_with(path: &Path, hints: &Hints) -> Result<Loaded> {
    let refuse = Refuse { path };
    let (mut file, metadata) = TensorFile::open(path, "model", MAX_HEADER_BYTES)?;
    let strings = metadata.metadata().clone().unwrap_or_default();
    let infos = metadata.tensors();
    let (meta, sources, assumed) = if FIELDS.iter().any(|field| strings.contains_key(*field)) {
        let meta = parse_meta(&strings, &refuse)?;
        outline::check(&infos, &meta, &refuse)?;
        refuse_hints(hints, &meta, &refuse)?;
        let sources = meta.layers.linears().map(|(position, _)| Source {
            weight: format!("{position}.weight"),
            bias: Some(format!("{position}.bias")),
            transposed: false,
        });
        let sources = sources.collect::<Vec<_>>();
        (meta, sources, None)
    } else {
        let (meta, sources, assumed) = foreign::infer(&infos, hints, &refuse)?;
        (meta, sources, Some(assumed))
    };
    meta.check(&refuse)?;

    let in_features = meta.image_size.0.checked_mul(meta.image_size.1);
    let in_features = in_features.ok_or_else(|| refuse.because("metadata image_size", "is too large"))?;
    let mut model = Sequential::zeros(in_features, meta.layers.clone(), meta.relu_grad, KernelChoice::Auto)?;
    let mut tensors = Vec::new();
    for ((position, out_features), source) in meta.layers.linears().zip(&sources) {
        for (kind, name) in [("weight", Some(&source.weight)), ("bias", source.bias.as_ref())] {
            let Some((name, info)) = name.and_then(|name| Some((name, *infos.get(name)?))) else { continue };
            let parameter = format!("{position}.{kind}");
            let transposed = kind == "weight" && source.transposed;
            let values = file.read_as_f32(name, info)?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(refuse.not_finite(name, at, values[at]));
            }
            let values = if transposed { columns_as_rows(&values, out_features) } else { values };
            model.set_parameter(&parameter, &values)?;
            let (name, dtype) = (name.clone(), format!("{:?}", info.dtype));
            tensors.push(ForeignTensor { name, dtype, shape: info.shape.clone(), parameter, transposed });
        }
    }
    model.set_data(DataSpec { scale: Some(meta.scale), image_size: meta.image_size, prepare: meta.prepare });
    let foreign = assumed.map(|assumed| Foreign { tensors, assumed });
    Ok(Loaded { model, meta, foreign })
}

/// What a file says of itself, nobody says otherwise.
fn refuse_hints(hints: &Hints, meta: &ModelMeta, refuse: &Refuse) -> Result<()> {
    let (field, says) = match (&hints.activation, &hints.scale) {
        (None, None) => return Ok(()),
        (Some(_), _) => ("layers", meta.layers.to_string()),
        (None, Some(_)) => ("scale", meta.scale.to_string()),
    };
    Err(refuse.because(format!("metadata {field}"), format!("says {says} itself, so that no other can be given")))
}

/// `values: [rows, columns]`, read; gives `[columns, rows]`.
fn columns_as_rows(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

impl Sequential {
    /// Writes the network to a safetensors file, with what is known of its data; a file that stands there is replaced. See
    /// [`load`](Self::load) and [`mod@crate::model_file`].
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path.as_ref(), self, &ModelMeta::of(self))
    }

    /// Reads a network from a safetensors file, as [`load`] does.
    ///
    /// # Errors
    /// Where the file cannot be read, or holds no network.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(load(path.as_ref())?.0)
    }
}
