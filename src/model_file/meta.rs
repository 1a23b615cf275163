//! What a model file says beside its tensors, as strings: how they are written, read and held to one another. It knows no
//! tensor.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::data::{Preparation, Prepare, Scale};
use crate::error::Result;
use crate::nn::{LayerSpecs, ReluGrad, Sequential};
use crate::tensor_file::Refuse;

/// What a model file says beside the weights. In the file each field is a string under its own name.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelMeta {
    /// As `--layers` writes them.
    pub layers: LayerSpecs,
    /// Which gradient its ReLUs pass back.
    pub relu_grad: ReluGrad,
    /// How pixels become inputs.
    pub scale: Scale,
    /// How many classes the model tells apart; of one that predicts labels or values, how many of those.
    pub classes: usize,
    /// Rows and columns of an image; their product is the number of inputs.
    pub image_size: (usize, usize),
    /// How pictures are made to look like its training images; `None` where nobody measured: as digits.
    pub prepare: Option<Prepare>,
    /// How the rows of a table become inputs, and what outputs stand for; `None` of a model for pictures.
    pub preparation: Option<Preparation>,
    /// What classes are called, where they have names beside their numbers.
    pub class_names: Vec<String>,
    /// The settings of the run that made the model, if one did.
    pub recipe: Option<serde_json::Value>,
    /// The version of flatnet that wrote the file; `None` for a file that another program wrote.
    pub version: Option<String>,
}

/// The fields without which a file that has any of them cannot be used.
pub(super) const FIELDS: [&str; 5] = ["layers", "relu_grad", "scale", "classes", "image_size"];

pub(super) fn meta_strings(meta: &ModelMeta) -> io::Result<BTreeMap<&'static str, String>> {
    let mut strings = BTreeMap::from([
        ("layers", meta.layers.to_string()),
        ("relu_grad", meta.relu_grad.to_string()),
        ("scale", serde_json::to_string(&meta.scale)?),
        ("classes", meta.classes.to_string()),
        ("image_size", format!("{}x{}", meta.image_size.0, meta.image_size.1)),
    ]);
    strings.extend(meta.prepare.map(|prepare| ("prepare", prepare.to_string())));
    if let Some(preparation) = &meta.preparation {
        strings.insert("preparation", serde_json::to_string(preparation)?);
    }
    if !meta.class_names.is_empty() {
        strings.insert("class_names", serde_json::to_string(&meta.class_names)?);
    }
    strings.extend(meta.recipe.as_ref().map(|recipe| ("recipe", recipe.to_string())));
    strings.extend(meta.version.as_ref().map(|version| ("version", version.clone())));
    Ok(strings)
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
            preparation: None,
            class_names: Vec::new(),
            recipe: None,
            version: Some(env!("CARGO_PKG_VERSION").into()),
        }
    }
}

impl ModelMeta {
    /// What must hold whatever the tensors are. The recipe says again how the model came to be: where it says something
    /// else, one of the two is of another model.
    pub(super) fn check(&self, refuse: &Refuse) -> Result<()> {
        if let Err(error) = self.layers.check_depth() {
            return Err(refuse.because("layers", error.to_string()));
        }
        if let Err(error) = self.scale.checked() {
            return Err(refuse.because("metadata scale", error.to_string()));
        }
        if let Some(preparation) = &self.preparation {
            let bad = |problem| Err(refuse.because("metadata preparation", problem));
            if let Err(problem) = preparation.check() {
                return bad(format!("is of no use: {problem}"));
            }
            if Some(preparation.features.width()) != self.image_size.0.checked_mul(self.image_size.1) {
                return bad(format!("makes {} inputs, but the model has others", preparation.features.width()));
            }
            if preparation.outputs.width() != self.classes {
                return bad(format!("has {} outputs, but the model {}", preparation.outputs.width(), self.classes));
            }
        }
        if !(self.class_names.is_empty() || self.class_names.len() == self.classes) {
            let problem = format!("has {} names for {} classes", self.class_names.len(), self.classes);
            return Err(refuse.because("metadata class_names", problem));
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
pub(super) fn square(pixels: usize) -> (usize, usize) {
    let side = pixels.isqrt();
    if side * side == pixels { (side, side) } else { (1, pixels) }
}

pub(super) fn parse_meta(strings: &HashMap<String, String>, refuse: &Refuse) -> Result<ModelMeta> {
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
    fn optional<T: serde::de::DeserializeOwned>(
        strings: &HashMap<String, String>,
        refuse: &Refuse,
        field: &str,
    ) -> Result<Option<T>> {
        let json = |text: &str| serde_json::from_str(text).ok();
        let present = strings.contains_key(field);
        present.then(|| parse(strings, refuse, field, "JSON as flatnet writes it", json)).transpose()
    }
    let read = |_| parse(strings, refuse, "prepare", "digit or plain", |text| text.parse().ok());
    let prepare = strings.get("prepare").map(read).transpose()?;
    let preparation = optional(strings, refuse, "preparation")?;
    let class_names = optional(strings, refuse, "class_names")?.unwrap_or_default();
    let recipe = optional(strings, refuse, "recipe")?;
    let version = strings.get("version").cloned();
    Ok(ModelMeta { layers, relu_grad, scale, classes, image_size, prepare, preparation, class_names, recipe, version })
}
