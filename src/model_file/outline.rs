//! The tensors that flatnet writes, as a file's header gives them: shapes, before anything is read. It knows nothing of other
//! programs' names.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::ModelMeta;
use crate::error::{Error, Result};
use crate::tensor_file::Refuse;

fn missing(refuse: &Refuse<'_>, tensor: &str) -> Error {
    refuse.because(format!("tensor {tensor}"), "is missing; every linear layer needs N.weight and N.bias")
}

/// The tensors are those of `meta.layers`, no more and no fewer, all F32, and their widths follow from one another.
pub(super) fn check(infos: &HashMap<String, &TensorInfo>, meta: &ModelMeta, refuse: &Refuse) -> Result<()> {
    Outline::of(infos, refuse)?.check(meta, refuse)
}

/// Shapes of the linear layers by index, as the header gives them; nothing has been read yet.
struct Outline {
    /// Index to `[out_features, in_features]`.
    linears: BTreeMap<usize, (usize, usize)>,
}

impl Outline {
    fn of(infos: &HashMap<String, &TensorInfo>, refuse: &Refuse) -> Result<Outline> {
        let mut linears = BTreeMap::new();
        let mut biases = BTreeMap::new();
        // Sorted, so that the same file always gives the same error.
        for (name, info) in infos.iter().collect::<BTreeMap<_, _>>() {
            let bad = |problem: String| refuse.because(format!("tensor {name}"), problem);
            // Numbers have one spelling: 00.weight and +0.weight are not 0.weight.
            let index = name.split_once('.').and_then(|(index, _)| index.parse::<usize>().ok());
            let (index, is_weight) = match index {
                Some(index) if *name == format!("{index}.weight") => (index, true),
                Some(index) if *name == format!("{index}.bias") => (index, false),
                _ => return Err(bad("is unknown; expected only N.weight and N.bias".into())),
            };
            if info.dtype != Dtype::F32 {
                return Err(bad(format!("has dtype {:?}; expected F32", info.dtype)));
            }
            match info.shape[..] {
                [rows, columns] if is_weight && rows > 0 && columns > 0 => {
                    linears.insert(index, (rows, columns));
                }
                [rows] if !is_weight => {
                    biases.insert(index, rows);
                }
                _ => {
                    let expected = if is_weight { "[out_features, in_features]" } else { "[out_features]" };
                    return Err(bad(format!("has shape {:?}; expected {expected}", info.shape)));
                }
            }
        }
        if let Some(index) = biases.keys().find(|index| !linears.contains_key(index)) {
            return Err(missing(refuse, &format!("{index}.weight")));
        }
        for (index, (rows, _)) in &linears {
            let name = format!("{index}.bias");
            let found = biases.get(index).ok_or_else(|| missing(refuse, &name))?;
            if found != rows {
                let problem = format!("has shape [{found}], but {index}.weight has {rows} rows");
                return Err(refuse.because(format!("tensor {name}"), problem));
            }
        }
        Ok(Outline { linears })
    }

    fn check(&self, meta: &ModelMeta, refuse: &Refuse) -> Result<()> {
        let pixels = meta.image_size.0.checked_mul(meta.image_size.1);
        let mut width = pixels.ok_or_else(|| refuse.because("metadata image_size", "is too large"))?;
        let mut expected = 0;
        for (position, out_features) in meta.layers.linears() {
            let name = format!("{position}.weight");
            let &(rows, columns) = self.linears.get(&position).ok_or_else(|| missing(refuse, &name))?;
            if (rows, columns) != (out_features, width) {
                let problem = format!("has shape [{rows}, {columns}]; expected [{out_features}, {width}]");
                return Err(refuse.because(format!("tensor {name}"), problem));
            }
            (width, expected) = (out_features, expected + 1);
        }
        if self.linears.len() != expected {
            let problem =
                format!("{} linear layers, but the metadata's layers are {}", self.linears.len(), meta.layers);
            return Err(refuse.because("tensors", problem));
        }
        if width != meta.classes {
            let problem = format!("is {}, but the last linear layer has {width} outputs", meta.classes);
            return Err(refuse.because("metadata classes", problem));
        }
        Ok(())
    }
}
