//! Models as files: flatnet's own, read and written, and ONNX. Inputs are a table's columns as they are; what another model's
//! file makes of its columns first is taken into the first layer, and what it makes of its outputs into the last.

use std::path::PathBuf;

use flatnet::data::{Encoding, FeatureColumn, Features, Missing, Outputs, Preparation, Scale, ValueColumn};
use flatnet::export::{self, Format};
use flatnet::model_file::{self, ModelMeta};
use flatnet::nn::LayerSpec;
use flatnet::{Error, Result, Sequential};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raised;
use crate::network::{Arrays, Weights, arrays, network, values};

/// What a network is for, beside its weights.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct About {
    /// The names of its inputs.
    features: Vec<String>,
    /// `classify`, `multi-label` or `regress`.
    task: String,
    /// The names of its outputs.
    outputs: Vec<String>,
}

impl About {
    fn named_outputs(&self) -> PyResult<Outputs> {
        let names = self.outputs.clone();
        match self.task.as_str() {
            "classify" => Ok(Outputs::Classify { column: "class".into(), classes: names }),
            "multi-label" => Ok(Outputs::MultiLabel { columns: names }),
            "regress" => {
                let column = |name| ValueColumn { name, center: 0.0, scale: 1.0 };
                Ok(Outputs::Regress { columns: names.into_iter().map(column).collect() })
            }
            other => Err(PyValueError::new_err(format!("task: '{other}' is none"))),
        }
    }

    pub fn meta(&self, model: &Sequential) -> PyResult<ModelMeta> {
        let outputs = self.named_outputs()?;
        let targets = if matches!(outputs, Outputs::Classify { .. }) { 1 } else { self.outputs.len() };
        let column = |(place, name): (usize, &String)| FeatureColumn {
            name: name.clone(),
            place,
            encoding: Encoding::Number { center: 0.0, scale: 1.0, mean: 0.0 },
        };
        let columns = self.features.iter().enumerate().map(column).collect();
        let class_names = if self.task == "classify" { self.outputs.clone() } else { Vec::new() };
        let preparation = Preparation {
            table_width: self.features.len() + targets,
            features: Features { missing: Missing::Error, columns },
            outputs,
        };
        let image_size = (1, self.features.len());
        Ok(ModelMeta { image_size, preparation: Some(preparation), class_names, ..ModelMeta::of(model) })
    }
}

/// Writes a model to `path`, as `safetensors` (flatnet's own), `onnx`, `c` or `torch`.
#[pyfunction]
pub fn write(
    py: Python<'_>,
    path: PathBuf,
    to: &str,
    layers: &str,
    weights: Weights<'_>,
    about: About,
) -> PyResult<()> {
    let format: Format = to.parse().map_err(raised)?;
    let model = network(about.features.len(), layers, &weights)?;
    let meta = about.meta(&model)?;
    py.detach(|| export::write(&path, format, &model, &meta)).map_err(raised)
}

/// What [`read`] gives: layers, weights, the task, the names of the outputs, and of the inputs where there are any.
type Read<'py> = (String, Arrays<'py>, &'static str, Vec<String>, Option<Vec<String>>);

/// Reads flatnet's model file, or a state dict that another program saved as safetensors.
#[pyfunction]
pub fn read<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Read<'py>> {
    let (model, meta) = py
        .detach(|| {
            let (mut model, meta) = model_file::load(&path)?;
            take_in(&mut model, &meta)?;
            Ok((model, meta))
        })
        .map_err(raised)?;
    let numbered = || (0..model.out_features()).map(|output| output.to_string()).collect();
    let (task, outputs) = match meta.preparation.as_ref().map(|preparation| &preparation.outputs) {
        None if meta.class_names.is_empty() => ("classify", numbered()),
        None => ("classify", meta.class_names.clone()),
        Some(outputs) => {
            let names = outputs.names().into_iter().map(String::from).collect();
            let task = match outputs {
                Outputs::Classify { .. } => "classify",
                Outputs::MultiLabel { .. } => "multi-label",
                Outputs::Regress { .. } => "regress",
            };
            (task, names)
        }
    };
    let inputs = meta.preparation.as_ref().map(|preparation| {
        let of_column = |column: &FeatureColumn| match &column.encoding {
            Encoding::Number { .. } => vec![column.name.clone()],
            Encoding::Words { words } => words.iter().map(|word| format!("{}={word}", column.name)).collect(),
        };
        preparation.features.columns.iter().flat_map(of_column).collect()
    });
    let weights = arrays(py, &model, &values(&model))?;
    Ok((model.specs().to_string(), weights, task, outputs, inputs))
}

/// Takes what stands before and behind the network into its first and last layer: of `(x - center) / scale` and
/// `z * scale + center`.
fn take_in(model: &mut Sequential, meta: &ModelMeta) -> Result<()> {
    if !matches!(model.specs().0.first(), Some(LayerSpec::Linear { .. }))
        || !matches!(model.specs().0.last(), Some(LayerSpec::Linear { .. }))
    {
        return Err(Error::Setting {
            name: "layers",
            found: model.specs().to_string(),
            expected: "a linear layer first and last, as scikit-learn's networks have them".into(),
        });
    }
    let (center, scale) = match &meta.preparation {
        Some(preparation) => preparation.features.affine(),
        None => {
            // Of pixels from 0 to 255.
            let (mean, std) = match meta.scale {
                Scale::Unit => (0.0, 1.0),
                Scale::Standard { mean, std } => (mean, std),
            };
            (vec![255.0 * mean; model.in_features()], vec![255.0 * std; model.in_features()])
        }
    };
    let names: Vec<String> = model.parameters().map(|parameter| parameter.name().into()).collect();
    let mut parameters = values(model);
    let (width, last) = (model.in_features(), names.len() - 2);
    let (first_weight, rest) = parameters.split_at_mut(1);
    for (row, bias) in first_weight[0].chunks_exact_mut(width).zip(&mut rest[0]) {
        let mut moved = 0.0;
        for ((w, center), scale) in row.iter_mut().zip(&center).zip(&scale) {
            *w /= scale;
            moved += f64::from(*w) * f64::from(*center);
        }
        *bias = (f64::from(*bias) - moved) as f32;
    }
    if let Some(Outputs::Regress { columns }) = meta.preparation.as_ref().map(|preparation| &preparation.outputs) {
        let inputs = parameters[last].len() / columns.len();
        for (output, column) in columns.iter().enumerate() {
            let scale = column.scale as f32;
            parameters[last][output * inputs..][..inputs].iter_mut().for_each(|w| *w *= scale);
            parameters[last + 1][output] = parameters[last + 1][output] * scale + column.center as f32;
        }
    }
    for (name, values) in names.iter().zip(&parameters) {
        model.set_parameter(name, values)?;
    }
    Ok(())
}
