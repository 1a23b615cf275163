//! A trained model as one safetensors file, written whole or not at all and read without trust.
//! It knows the file's layout; it does not know what a run is, or how a model is trained.
//!
//! Tensors are named by layer index (`0.weight` as `[out_features, in_features]`, `0.bias` as `[out_features]`, all F32),
//! so that `torch.nn.Sequential` loads them as they are. The metadata says what the tensors cannot.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use crate::data::{Prepare, Scale};
use crate::error::{Error, Result};
use crate::kernels::KernelChoice;
use crate::nn::{DataSpec, LayerSpec, LayerSpecs, ReluGrad, Sequential};
use crate::tensor_file::{self, Refuse, TensorFile};
use crate::whole_file::Staged;

/// What a model file says beside the weights. In the file each field is a string under its own name.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMeta {
    /// As `--layers` writes them.
    pub layers: LayerSpecs,
    /// Which gradient its ReLUs pass back.
    pub relu_grad: ReluGrad,
    /// How pixels become inputs.
    pub scale: Scale,
    /// How many classes the model tells apart.
    pub classes: usize,
    /// Rows and columns of an image; their product is the number of inputs.
    pub image_size: (usize, usize),
    /// How pictures are made to look like its training images; `None` where nobody measured: as digits.
    pub prepare: Option<Prepare>,
    /// The settings of the run that made the model, if one did.
    pub recipe: Option<serde_json::Value>,
    /// The version of flatnet that wrote the file; `None` for a file that another program wrote.
    pub version: Option<String>,
}

/// Room for the names of thousands of layers; a longer header is no model of ours, and would cost memory to read.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// The fields without which a file that has any of them cannot be used.
const FIELDS: [&str; 5] = ["layers", "relu_grad", "scale", "classes", "image_size"];

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

fn meta_strings(meta: &ModelMeta) -> io::Result<BTreeMap<&'static str, String>> {
    let mut strings = BTreeMap::from([
        ("layers", meta.layers.to_string()),
        ("relu_grad", meta.relu_grad.to_string()),
        ("scale", serde_json::to_string(&meta.scale)?),
        ("classes", meta.classes.to_string()),
        ("image_size", format!("{}x{}", meta.image_size.0, meta.image_size.1)),
    ]);
    strings.extend(meta.prepare.map(|prepare| ("prepare", prepare.to_string())));
    strings.extend(meta.recipe.as_ref().map(|recipe| ("recipe", recipe.to_string())));
    strings.extend(meta.version.as_ref().map(|version| ("version", version.clone())));
    Ok(strings)
}

/// Reads a model. Every tensor must be there with its dtype and shape, none beside them, and every value finite; sizes
/// are compared with the file's own length before anything is allocated.
///
/// A file without flatnet's metadata, such as one saved from `torch.nn.Sequential`, is taken as well when it holds
/// nothing but `N.weight` and `N.bias`: one free number between two linear layers is a ReLU, a free number 0 before the
/// first is `Flatten`, images are square if they can be, pixels are scaled as x / 255, and the ReLU gradient is exact.
pub fn load(path: &Path) -> Result<(Sequential, ModelMeta)> {
    let refuse = Refuse { path };
    let (mut file, metadata) = TensorFile::open(path, "model", MAX_HEADER_BYTES)?;
    let strings = metadata.metadata().clone().unwrap_or_default();
    let ours = FIELDS.iter().any(|field| strings.contains_key(*field));

    let infos = metadata.tensors();
    let outline = Outline::of(&infos, &refuse)?;
    let (first_index, meta) = if ours { (0, parse_meta(&strings, &refuse)?) } else { infer_meta(&outline, &refuse)? };
    outline.check(first_index, &meta, &refuse)?;
    meta.check(&refuse)?;

    // `check` has seen that the product is the width of the first layer.
    let in_features = meta.image_size.0 * meta.image_size.1;
    let mut model = Sequential::zeros(in_features, meta.layers.clone(), meta.relu_grad, KernelChoice::Auto)?;
    for (position, _) in meta.layers.linears() {
        for tensor in ["weight", "bias"] {
            let name = format!("{}.{tensor}", position + first_index);
            let info = infos.get(&name).ok_or_else(|| missing(&refuse, &name))?;
            let values = file.read_f32(info)?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(refuse.not_finite(&name, at, values[at]));
            }
            model.set_parameter(&format!("{position}.{tensor}"), &values)?;
        }
    }
    model.set_data(DataSpec { scale: Some(meta.scale), image_size: meta.image_size, prepare: meta.prepare });
    Ok((model, meta))
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

impl ModelMeta {
    /// What `model` knows of itself and of the data that it was trained on. Of other data it is taken that inputs are not
    /// scaled, and that they are square images where they can be.
    pub fn of(model: &Sequential) -> Self {
        let data = model.data();
        ModelMeta {
            layers: model.specs().clone(),
            relu_grad: model.relu_grad(),
            scale: data.and_then(|data| data.scale).unwrap_or(Scale::Unit),
            classes: model.out_features(),
            image_size: data.map_or_else(|| square(model.in_features()), |data| data.image_size),
            prepare: data.and_then(|data| data.prepare),
            recipe: None,
            version: Some(env!("CARGO_PKG_VERSION").into()),
        }
    }
}

impl ModelMeta {
    /// What must hold whatever the tensors are. The recipe says again how the model came to be: where it says something
    /// else, one of the two is of another model.
    fn check(&self, refuse: &Refuse) -> Result<()> {
        if let Err(error) = self.layers.check_depth() {
            return Err(refuse.because("layers", error.to_string()));
        }
        if let Err(error) = self.scale.checked() {
            return Err(refuse.because("metadata scale", error.to_string()));
        }
        let Some(recipe) = &self.recipe else { return Ok(()) };
        let Some(recipe) = recipe.as_object() else {
            return Err(refuse.because("metadata recipe", "is no JSON object; expected a run's settings"));
        };
        let text = |field: &str| recipe.get(field).map(|value| value.as_str().unwrap_or_default());
        let scale = match self.scale {
            Scale::Unit => "unit",
            Scale::Standard { .. } => "standard",
        };
        let agrees = [
            (
                "layers",
                text("layers").is_none_or(|layers| layers.parse().is_ok_and(|specs: LayerSpecs| specs == self.layers)),
            ),
            ("relu_grad", text("relu_grad").is_none_or(|grad| grad == self.relu_grad.to_string())),
            ("scale", text("scale").is_none_or(|kind| kind == scale)),
        ];
        match agrees.iter().find(|(_, agrees)| !agrees) {
            None => Ok(()),
            Some((field, _)) => {
                let start: String =
                    recipe.get(*field).map(ToString::to_string).unwrap_or_default().chars().take(60).collect();
                Err(refuse
                    .because("metadata recipe", format!("has {field} {start}, but the model is of another {field}")))
            }
        }
    }
}

/// Rows and columns of an image of so many pixels: a square where it can be one.
fn square(pixels: usize) -> (usize, usize) {
    let side = pixels.isqrt();
    if side * side == pixels { (side, side) } else { (1, pixels) }
}

fn missing(refuse: &Refuse<'_>, tensor: &str) -> Error {
    refuse.because(format!("tensor {tensor}"), "is missing; every linear layer needs N.weight and N.bias")
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

    /// The tensors are those of `meta.layers`, no more and no fewer, and their widths follow from one another.
    fn check(&self, first_index: usize, meta: &ModelMeta, refuse: &Refuse) -> Result<()> {
        let pixels = meta.image_size.0.checked_mul(meta.image_size.1);
        let mut width = pixels.ok_or_else(|| refuse.because("metadata image_size", "is too large"))?;
        let mut expected = 0;
        for (position, out_features) in meta.layers.linears() {
            let name = format!("{}.weight", position + first_index);
            let &(rows, columns) = self.linears.get(&(position + first_index)).ok_or_else(|| missing(refuse, &name))?;
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

fn parse_meta(strings: &HashMap<String, String>, refuse: &Refuse) -> Result<ModelMeta> {
    fn parse<T>(
        strings: &HashMap<String, String>,
        refuse: &Refuse,
        field: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let text = strings
            .get(field)
            .ok_or_else(|| refuse.because(format!("metadata {field}"), format!("is missing; expected {expected}")))?;
        // A hostile file may hold a megabyte here.
        let start: String = text.chars().take(60).collect();
        parse(text)
            .ok_or_else(|| refuse.because(format!("metadata {field}"), format!("is {start:?}; expected {expected}")))
    }
    let layers = parse(
        strings,
        refuse,
        "layers",
        "a list such as linear:10,relu, of at most 1000 layers and 16 between two linear ones",
        |text| text.parse().ok(),
    )?;
    let relu_grad = parse(strings, refuse, "relu_grad", "straight-through or exact", |text| text.parse().ok())?;
    let scale =
        parse(strings, refuse, "scale", "a scale as flatnet writes it", |text| serde_json::from_str(text).ok())?;
    let classes = parse(strings, refuse, "classes", "a number", |text| text.parse().ok())?;
    let image_size = parse(strings, refuse, "image_size", "rows x columns, such as 28x28", |text| {
        let (rows, columns) = text.split_once('x')?;
        Some((rows.parse().ok()?, columns.parse().ok()?))
    })?;
    let read = |_| parse(strings, refuse, "prepare", "digit or plain", |text| text.parse().ok());
    let prepare = strings.get("prepare").map(read).transpose()?;
    let recipe = match strings.get("recipe") {
        None => None,
        Some(_) => Some(parse(strings, refuse, "recipe", "JSON", |text| serde_json::from_str(text).ok())?),
    };
    let version = strings.get("version").cloned();
    Ok(ModelMeta { layers, relu_grad, scale, classes, image_size, prepare, recipe, version })
}

/// What the shapes alone tell, see [`load`]. Also gives the number of the first layer in the file.
fn infer_meta(outline: &Outline, refuse: &Refuse) -> Result<(usize, ModelMeta)> {
    let no_layers = || refuse.because("tensors", "none of a linear layer; expected 0.weight and 0.bias at least");
    let (&first, &(_, inputs)) = outline.linears.first_key_value().ok_or_else(no_layers)?;
    if first > 1 {
        let problem = "is the first linear layer; without metadata the first must be 0, or 1 after Flatten";
        return Err(refuse.because(format!("tensor {first}.weight"), problem));
    }
    let mut layers = Vec::new();
    let (mut next, mut classes) = (first, 0);
    for (&index, &(out_features, _)) in &outline.linears {
        match index - next {
            0 => {}
            1 => layers.push(LayerSpec::Activation { spec: "relu".into() }),
            _ => {
                let problem = format!(
                    "follows layer {}; without metadata only one layer, a ReLU, may stand between two linear ones",
                    next - 1
                );
                return Err(refuse.because(format!("tensor {index}.weight"), problem));
            }
        }
        layers.push(LayerSpec::Linear { out_features });
        (next, classes) = (index + 1, out_features);
    }
    let meta = ModelMeta {
        layers: LayerSpecs(layers),
        relu_grad: ReluGrad::Exact,
        scale: Scale::Unit,
        classes,
        image_size: square(inputs),
        prepare: None,
        recipe: None,
        version: None,
    };
    Ok((first, meta))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use safetensors::SafeTensors;
    use safetensors::tensor::{TensorView, serialize_to_file};

    use super::*;
    use crate::nn::Init;

    fn model() -> Sequential {
        let specs = "linear:5,relu,linear:3".parse().unwrap();
        let builder = Sequential::new(12).layers(&specs).init(Init::UnitNorm);
        builder.relu_grad(ReluGrad::StraightThrough).build(7).unwrap()
    }

    fn meta() -> ModelMeta {
        ModelMeta {
            layers: "linear:5,relu,linear:3".parse().unwrap(),
            relu_grad: ReluGrad::StraightThrough,
            scale: Scale::Standard { mean: 0.130_660_5, std: 0.308_107_8 },
            classes: 3,
            image_size: (4, 3),
            prepare: Some(Prepare::Plain),
            recipe: Some(serde_json::json!({ "lr": 0.01, "out": "runs/\"quoted\"" })),
            version: Some("0.1.0".into()),
        }
    }

    /// Not checked, as [`save`] checks.
    fn bytes_of(model: &Sequential, meta: &ModelMeta) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &header(model, meta).unwrap(), model).unwrap();
        bytes
    }

    fn load_bytes(bytes: &[u8]) -> Result<(Sequential, ModelMeta)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        load(&path)
    }

    /// A file with these tensors of zeros, as another program would write it.
    fn foreign(
        tensors: &[(&str, &[usize])],
        dtype: Dtype,
        metadata: &[(&str, &str)],
    ) -> Result<(Sequential, ModelMeta)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foreign.safetensors");
        let zeros = vec![0; 1 << 16];
        let views = tensors.iter().map(|(name, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (*name, TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).unwrap())
        });
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        serialize_to_file(views, (!metadata.is_empty()).then_some(metadata), &path).unwrap();
        load(&path)
    }

    #[test]
    fn what_is_saved_is_loaded_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, "an older file").unwrap();
        save(&path, &model(), &meta()).unwrap();
        let (loaded, loaded_meta) = load(&path).unwrap();
        assert_eq!(loaded_meta, meta());
        assert_eq!(*loaded.specs(), meta().layers);
        for (loaded, saved) in loaded.parameters().zip(model().parameters()) {
            assert_eq!((loaded.name(), loaded.values()), (saved.name(), saved.values()));
        }
        assert_eq!(loaded.relu_grad(), ReluGrad::StraightThrough);
        assert_eq!(fs::read(&path).unwrap(), bytes_of(&loaded, &loaded_meta));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_programs_read_the_file() {
        let bytes = bytes_of(&model(), &meta());
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = tensors.names();
        names.sort();
        assert_eq!(names, ["0.bias", "0.weight", "2.bias", "2.weight"]);
        let weight = tensors.tensor("2.weight").unwrap();
        assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, &[3, 5][..]));
        let model = model();
        let expected: Vec<u8> =
            model.parameter("2.weight").unwrap().values().iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(weight.data(), expected);
    }

    #[test]
    fn a_file_from_pytorch_needs_no_metadata() {
        let hidden: &[(&str, &[usize])] =
            &[("0.weight", &[16, 784]), ("0.bias", &[16]), ("2.weight", &[10, 16]), ("2.bias", &[10])];
        let (model, meta) = foreign(hidden, Dtype::F32, &[("format", "pt")]).unwrap();
        assert_eq!(model.specs().to_string(), "linear:16,relu,linear:10");
        assert_eq!((meta.classes, meta.image_size, meta.scale), (10, (28, 28), Scale::Unit));
        assert_eq!((meta.relu_grad, meta.recipe, meta.version), (ReluGrad::Exact, None, None));

        let flattened: &[(&str, &[usize])] =
            &[("1.weight", &[6, 7]), ("1.bias", &[6]), ("2.weight", &[4, 6]), ("2.bias", &[4])];
        let (model, meta) = foreign(flattened, Dtype::F32, &[]).unwrap();
        assert_eq!((model.specs().to_string().as_str(), meta.image_size), ("linear:6,linear:4", (1, 7)));
    }

    #[track_caller]
    fn refused(tensors: &[(&str, &[usize])], dtype: Dtype, metadata: &[(&str, &str)], expected: &str) {
        let message = foreign(tensors, dtype, metadata).unwrap_err().to_string();
        assert!(message.contains("foreign.safetensors: ") && message.contains(expected), "{message}");
    }

    #[test]
    fn every_fault_has_its_own_message() {
        let f32 = Dtype::F32;
        refused(&[], f32, &[], "none of a linear layer");
        refused(&[("0.weight", &[2, 3])], f32, &[], "tensor 0.bias: is missing");
        refused(&[("0.bias", &[2])], f32, &[], "tensor 0.weight: is missing");
        refused(&[("0.weight", &[2, 3]), ("0.bias", &[3])], f32, &[], "tensor 0.bias: has shape [3]");
        refused(&[("0.weight", &[2, 3, 1]), ("0.bias", &[2])], f32, &[], "has shape [2, 3, 1]");
        refused(&[("0.weight", &[2, 0]), ("0.bias", &[2])], f32, &[], "has shape [2, 0]");
        refused(&[("0.weight", &[2, 3]), ("0.bias", &[2])], Dtype::F64, &[], "has dtype F64; expected F32");
        refused(&[("fc1.weight", &[2, 3])], f32, &[], "tensor fc1.weight: is unknown");
        refused(&[("00.weight", &[2, 3])], f32, &[], "tensor 00.weight: is unknown");
        refused(&[("0.running_mean", &[2])], f32, &[], "tensor 0.running_mean: is unknown");
        refused(&[("2.weight", &[2, 3]), ("2.bias", &[2])], f32, &[], "tensor 2.weight: is the first linear layer");

        let two = |second: [(&'static str, &'static [usize]); 2], expected: &str| {
            let tensors: [(&str, &[usize]); 4] = [("0.weight", &[2, 3]), ("0.bias", &[2]), second[0], second[1]];
            refused(&tensors, f32, &[], expected);
        };
        two([("3.weight", &[2, 2]), ("3.bias", &[2])], "tensor 3.weight: follows layer 0");
        two([("18446744073709551615.weight", &[2, 2]), ("18446744073709551615.bias", &[2])], "follows layer 0");
        two([("1.weight", &[4, 3]), ("1.bias", &[4])], "tensor 1.weight: has shape [4, 3]; expected [4, 2]");

        // Any of flatnet's own fields makes the file one of flatnet's, which must then have them all.
        let fields = [
            ("layers", "linear:2"),
            ("relu_grad", "exact"),
            ("scale", r#"{"kind":"unit"}"#),
            ("classes", "2"),
            ("image_size", "1x3"),
        ];
        let tensors: [(&str, &[usize]); 2] = [("0.weight", &[2, 3]), ("0.bias", &[2])];
        foreign(&tensors, f32, &fields).unwrap();
        for absent in 0..fields.len() {
            let mut rest = fields.to_vec();
            let (name, _) = rest.remove(absent);
            refused(&tensors, f32, &rest, &format!("metadata {name}: is missing; expected "));
            rest.push((name, "?"));
            refused(&tensors, f32, &rest, &format!("metadata {name}: is \"?\"; expected "));
        }
        refused(&tensors, f32, &[&fields[..], &[("recipe", "{")]].concat(), "metadata recipe: is \"{\"");
    }

    #[test]
    fn metadata_that_contradicts_the_tensors_is_refused() {
        let refused = |changed: ModelMeta, expected: &str| {
            let message = load_bytes(&bytes_of(&model(), &changed)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let layers = |text: &str| ModelMeta { layers: text.parse().unwrap(), ..meta() };
        refused(layers("linear:5,linear:3"), "tensor 1.weight: is missing");
        refused(layers("linear:5"), "tensors: 2 linear layers, but");
        refused(layers("linear:6,relu,linear:3"), "has shape [5, 12]; expected [6, 12]");
        refused(ModelMeta { classes: 4, ..meta() }, "metadata classes: is 4, but the last linear layer has 3 outputs");
        refused(ModelMeta { image_size: (4, 4), ..meta() }, "has shape [5, 12]; expected [5, 16]");
        refused(ModelMeta { image_size: (usize::MAX, 2), ..meta() }, "metadata image_size: is too large");
    }

    /// Neither loaded nor written.
    #[track_caller]
    fn is_no_model(model: &Sequential, meta: &ModelMeta, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for error in [load_bytes(&bytes_of(model, meta)).unwrap_err(), save(&path, model, meta).unwrap_err()] {
            let message = error.to_string();
            assert!(message.contains("model.safetensors: ") && message.contains(expected), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_scale_gives_numbers_that_differ() {
        for (mean, std) in [
            (0.0, f32::INFINITY),
            (f32::INFINITY, 1.0),
            (0.0, 0.0),
            (0.0, -1.0),
            (f32::NAN, 1.0),
            (0.0, f32::NAN),
            (0.0, 1e-39),
            // Black and white are one number.
            (1e9, 1.0),
            (3e38, 3e38),
        ] {
            let changed = ModelMeta { scale: Scale::Standard { mean, std }, recipe: None, ..meta() };
            let message = save(Path::new("m"), &model(), &changed).unwrap_err().to_string();
            assert!(message.contains("metadata scale: standard scale: expected a finite mean"), "{message}");
        }
        for scale in [r#"{"kind":"standard","mean":0,"std":1e308}"#, r#"{"kind":"standard","mean":1e9,"std":1}"#] {
            let fields = [
                ("layers", "linear:2"),
                ("relu_grad", "exact"),
                ("scale", scale),
                ("classes", "2"),
                ("image_size", "1x3"),
            ];
            refused(&[("0.weight", &[2, 3]), ("0.bias", &[2])], Dtype::F32, &fields, "metadata scale: is ");
        }
    }

    #[test]
    fn a_recipe_is_that_of_the_model() {
        let with = |recipe: serde_json::Value| ModelMeta { recipe: Some(recipe), ..meta() };
        let agrees = serde_json::json!({
            "layers": " linear:5, relu,linear:3", "relu_grad": "straight-through", "scale": "standard", "lr": 1e-3,
        });
        let (_, loaded) = load_bytes(&bytes_of(&model(), &with(agrees.clone()))).unwrap();
        assert_eq!(loaded.recipe, Some(agrees));
        for (recipe, expected) in [
            (
                serde_json::json!({ "layers": "linear:5,tanh,linear:3" }),
                "recipe: has layers \"linear:5,tanh,linear:3\", but",
            ),
            (serde_json::json!({ "layers": "?" }), "recipe: has layers"),
            (serde_json::json!({ "layers": 7 }), "recipe: has layers 7, but"),
            (serde_json::json!({ "relu_grad": "exact" }), "recipe: has relu_grad"),
            (serde_json::json!({ "scale": "unit" }), "recipe: has scale"),
            (serde_json::json!([1, 2]), "metadata recipe: is no JSON object"),
            (serde_json::Value::Null, "metadata recipe: is no JSON object"),
        ] {
            is_no_model(&model(), &with(recipe), expected);
        }
    }

    #[test]
    fn what_would_not_load_is_not_saved() {
        let not_saved = |model: &Sequential, meta: &ModelMeta, expected: &str| {
            let message = save(Path::new("m"), model, meta).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        not_saved(&model(), &ModelMeta { classes: 4, ..meta() }, "metadata classes: is not that of the network");
        not_saved(&model(), &ModelMeta { image_size: (4, 4), ..meta() }, "metadata image_size: is not");
        not_saved(&model(), &ModelMeta { layers: "linear:3".parse().unwrap(), ..meta() }, "metadata layers: is not");
        not_saved(&model(), &ModelMeta { relu_grad: ReluGrad::Exact, ..meta() }, "metadata relu_grad: is not");
        let long = serde_json::json!({ "data": "x".repeat(1 << 20) });
        not_saved(&model(), &ModelMeta { recipe: Some(long), ..meta() }, "header: would have");
        let mut broken = model();
        broken.set_parameter("2.bias", &[0.0, f32::NAN, 0.0]).unwrap();
        not_saved(&broken, &meta(), "tensor 2.bias: value 1 is NaN; expected finite numbers");
    }

    /// Each layer keeps its output: a megabyte of text would take gigabytes.
    #[test]
    fn a_model_of_too_many_layers_is_refused() {
        for (layers, most) in
            [("relu,".repeat(200_000), false), ("relu,".repeat(17), false), ("relu,".repeat(16), true)]
        {
            let layers = format!("{layers}linear:2");
            let weight = format!("{}.weight", layers.matches(',').count());
            let bias = format!("{}.bias", layers.matches(',').count());
            let tensors: [(&str, &[usize]); 2] = [(&weight, &[2, 3]), (&bias, &[2])];
            let fields = [
                ("layers", &*layers),
                ("relu_grad", "exact"),
                ("scale", r#"{"kind":"unit"}"#),
                ("classes", "2"),
                ("image_size", "1x3"),
            ];
            match most {
                true => drop(foreign(&tensors, Dtype::F32, &fields).unwrap()),
                false => refused(&tensors, Dtype::F32, &fields, "of at most 1000 layers"),
            }
        }
        let names: Vec<(String, String)> = (0..1001).map(|at| (format!("{at}.weight"), format!("{at}.bias"))).collect();
        let tensors: Vec<(&str, &[usize])> =
            names.iter().flat_map(|(weight, bias)| [(&**weight, &[1, 1][..]), (&**bias, &[1][..])]).collect();
        refused(&tensors, Dtype::F32, &[], "at most 1000 layers");
        foreign(&tensors[..2000], Dtype::F32, &[]).unwrap();
        // Nor is it built.
        let mut builder = Sequential::new(1);
        for _ in 0..1001 {
            builder = builder.linear(1);
        }
        assert!(builder.build(0).unwrap_err().to_string().contains("at most 1000 layers"));
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let bytes = bytes_of(&model(), &meta());
        for value in [f32::NAN, f32::INFINITY] {
            let mut bytes = bytes.clone();
            let at = bytes.len() - 8;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let message = load_bytes(&bytes).unwrap_err().to_string();
            assert!(message.contains("tensor 2.bias: value 1 is") && message.contains("finite"), "{message}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let bytes = bytes_of(&model(), &meta());
        for (changed, expected) in [
            (&bytes[..bytes.len() - 1], "tensors: the header describes"),
            (&[&bytes[..], &[0]].concat(), "tensors: the header describes"),
            (&bytes[..100], "cut short"),
            (&bytes[..7], "the file has 7 bytes"),
            (&[][..], "the file has 0 bytes"),
            (&[0xff; 64], "at most 56 can be"),
            (b"\x02\0\0\0\0\0\0\0[]", "is not that of a safetensors file"),
        ] {
            let message = load_bytes(changed).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn sizes_are_refused_before_they_are_allocated() {
        // 288 PB of weights in a file of some hundred bytes, and a header of 2 GB.
        let header =
            br#"{"0.weight":{"dtype":"F32","shape":[268435456,268435456],"data_offsets":[0,288230376151711744]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        assert!(load_bytes(&bytes).unwrap_err().to_string().contains("the header describes a file of"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse.safetensors");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&(1u64 << 31).to_le_bytes()).unwrap();
        file.set_len(1 << 33).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("at most 1048576 can be"));
    }

    #[test]
    fn a_folder_or_nothing_is_no_model() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("is not a regular file"));
        assert!(load(&folder.path().join("absent")).unwrap_err().to_string().contains("cannot read"));
    }

    proptest! {
        /// Whatever happens to a file on its way, loading it gives a model or an error, never a panic.
        #[test]
        fn a_mutated_file_is_loaded_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            keep in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = bytes_of(&model(), &meta());
            for (index, value) in changes {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            if cut {
                bytes.truncate(keep.index(bytes.len()));
            }
            if let Ok((model, meta)) = load_bytes(&bytes) {
                prop_assert_eq!(model.specs(), &meta.layers);
                prop_assert!(model.parameters().all(|tensor| tensor.values().iter().all(|v| v.is_finite())));
            }
        }
    }
}
