//! Model files: one that loads is saved, and loads as the same.

use std::fs;

use flatnet::Sequential;
use flatnet::data::Scale;
use flatnet::model_file::{self, Between, Hints, ModelMeta};
use flatnet::nn::{Context, LayerSpec, ReluGrad, Workspace};
use serde_json::{Value, json};

use crate::mutate::Random;
use crate::{one_line, try_all};

/// Of flatnet, with and without a recipe, and as other programs' come: every habit of names, every type, kernels, no biases.
fn originals() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let mut files = Vec::new();
    for (layers, scale) in [
        ("linear:5,relu,linear:3", Scale::Standard { mean: 0.13, std: 0.3 }),
        ("tanh,linear:4,dropout:0.2,leaky-relu:0.1,linear:2,silu", Scale::Unit),
        ("linear:2", Scale::Unit),
    ] {
        let specs = layers.parse().unwrap();
        let model = Sequential::new(12).layers(&specs).relu_grad(ReluGrad::Exact).build(3).unwrap();
        let scale_name = if scale == Scale::Unit { "unit" } else { "standard" };
        let recipe = json!({ "layers": layers, "lr": 0.01, "relu_grad": "exact", "scale": scale_name, "seed": 7 });
        for recipe in [None, Some(recipe)] {
            let meta = ModelMeta { scale, recipe, image_size: (4, 3), ..ModelMeta::of(&model) };
            model_file::save(&path, &model, &meta).unwrap();
            files.push(fs::read(&path).unwrap());
        }
    }
    let (header, tensors) = parts(&files[0]);
    let mut foreign: Value = serde_json::from_str(&header).unwrap();
    foreign.as_object_mut().unwrap().remove("__metadata__");
    files.push(joined(&foreign.to_string(), &tensors));
    for names in FOREIGN_NAMES {
        for dtype in ["F16", "BF16", "F32", "F64"] {
            files.push(of_another_program(names, dtype));
        }
    }
    files
}

/// Weights and biases of two layers; what begins with a space is left out.
const FOREIGN_NAMES: [[&str; 4]; 5] = [
    ["module.fc1.weight", "module.fc1.bias", "module.fc2.weight", "module.fc2.bias"],
    ["dense/kernel:0", "dense/bias:0", "dense_1/kernel:0", "dense_1/bias:0"],
    ["coefs_.0", "intercepts_.0", "coefs_.1", "intercepts_.1"],
    ["hidden.weight", " ", "output.weight", "output.bias"],
    ["W1", "b1", "W2", " "],
];

/// A network of twelve inputs, five units and three outputs.
fn of_another_program(names: [&str; 4], dtype: &str) -> Vec<u8> {
    let width = match dtype {
        "F64" => 8,
        "F32" => 4,
        _ => 2,
    };
    let turned = names[0].contains("kernel") || names[0].contains("coefs");
    let shapes =
        if turned { [vec![12, 5], vec![5], vec![5, 3], vec![3]] } else { [vec![5, 12], vec![5], vec![3, 5], vec![3]] };
    let (mut header, mut tensors) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in names.iter().zip(shapes).filter(|(name, _)| !name.starts_with(' ')) {
        let start = tensors.len();
        for value in 0..shape.iter().product::<usize>() {
            // A byte that is finite in every type, and differs.
            tensors.extend(std::iter::repeat_n(0, width - 2).chain([value as u8, 0x38 + (value % 5) as u8]));
        }
        header
            .insert((*name).into(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, tensors.len()] }));
    }
    joined(&Value::Object(header).to_string(), &tensors)
}

const NAMES: [&str; 18] = [
    "0.weight",
    "1.weight",
    "0.bias",
    "00.weight",
    "18446744073709551615.weight",
    "99999999999999999999999999999999999999999.weight",
    "fc1.weight",
    "fc_1.bias",
    "dense/kernel",
    "dense_2/bias:0",
    "coefs_.0",
    "coefs_",
    "W",
    "weight",
    ".weight",
    "bn.running_mean",
    "é.weight",
    "",
];
const DTYPES: [&str; 8] = ["F16", "BF16", "F32", "F64", "I64", "U8", "F8_E4M3", "BOOL"];

/// A tensor of another name or type, or with its sides the other way round.
fn changed_tensor(random: &mut Random, header: &str) -> String {
    let Ok(Value::Object(mut header)) = serde_json::from_str(header) else { return header.into() };
    let names: Vec<String> = header.keys().filter(|name| *name != "__metadata__").cloned().collect();
    if names.is_empty() {
        return Value::Object(header).to_string();
    }
    let name = random.pick(&names).clone();
    let Some(mut about) = header.remove(&name) else { return Value::Object(header).to_string() };
    let mut new = name.clone();
    match random.below(4) {
        0 => new = (*random.pick(&NAMES)).into(),
        1 => new = random.changed_numbers(&name),
        2 => about["dtype"] = (*random.pick(&DTYPES)).into(),
        _ => {
            if let Some(shape) = about["shape"].as_array_mut() {
                shape.reverse();
            }
        }
    }
    header.insert(new, about);
    Value::Object(header).to_string()
}

/// Header and tensors.
fn parts(file: &[u8]) -> (String, Vec<u8>) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    (String::from_utf8(file[8..8 + length].to_vec()).unwrap(), file[8 + length..].to_vec())
}

fn joined(header: &str, tensors: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), tensors].concat()
}

const LAYERS: [&str; 12] = [
    "relu",
    "tanh",
    "sigmoid",
    "gelu",
    "leaky-relu:0.01",
    "leaky-relu:1e38",
    "leaky-relu:-0",
    "dropout:0",
    "dropout:0.999",
    "linear:5",
    "linear:1048576",
    "silu",
];
const SCALES: [&str; 7] = [
    r#"{"kind":"unit"}"#,
    r#"{"kind":"standard","mean":0,"std":1e308}"#,
    r#"{"kind":"standard","mean":1e9,"std":1}"#,
    r#"{"kind":"standard","mean":-0.0,"std":1e-37}"#,
    r#"{"kind":"standard","mean":0.3,"std":0.1}"#,
    r#"{"kind":"standard","mean":3e38,"std":3e38}"#,
    r#"{"kind":"standard","mean":16777216,"std":1}"#,
];

fn changed_metadata(random: &mut Random, header: &str) -> String {
    let Ok(mut header) = serde_json::from_str::<Value>(header) else { return header.into() };
    let Some(metadata) = header.get_mut("__metadata__").and_then(Value::as_object_mut) else {
        return header.to_string();
    };
    let fields = ["layers", "relu_grad", "scale", "classes", "image_size", "recipe", "version"];
    let field = *random.pick(&fields);
    let old = metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_string();
    let new = match (field, random.below(3)) {
        (_, 0) => random.changed_numbers(&old),
        ("layers", 1) => (0..random.below(30)).map(|_| format!("{},", random.pick(&LAYERS))).collect::<String>() + &old,
        ("scale", _) => (*random.pick(&SCALES)).into(),
        ("relu_grad", _) => (*random.pick(&["exact", "straight-through", ""])).into(),
        ("recipe", _) => json!({ "layers": old, "scale": "unit", "relu_grad": "exact" }).to_string(),
        _ => String::from_utf8_lossy(&random.changed(old.as_bytes(), &[])).into(),
    };
    metadata.insert(field.into(), new.into());
    header.to_string()
}

fn make(originals: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let original = random.pick(originals);
    let (header, mut tensors) = parts(original);
    match random.below(7) {
        0 => random.changed(original, originals),
        5 => joined(&changed_tensor(random, &header), &tensors),
        6 => {
            // The names of one over the tensors of another.
            let other = random.pick(originals);
            let (_, others) = parts(other);
            joined(&changed_tensor(random, &header), &others)
        }
        1 => {
            let header = random.changed(header.as_bytes(), &[]);
            joined(&String::from_utf8_lossy(&header), &tensors)
        }
        2 => joined(&random.changed_numbers(&header), &tensors),
        3 => {
            let at = random.below(tensors.len() / 8) * 8;
            let value = *random.pick(&[f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0, f32::NAN, f32::INFINITY, 1e30]);
            tensors[at..at + 4].copy_from_slice(&value.to_le_bytes());
            joined(&changed_metadata(random, &header), &tensors)
        }
        _ => joined(&changed_metadata(random, &header), &tensors),
    }
}

#[test]
fn models() {
    let originals = originals();
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("model"), folder.path().join("again"));
    try_all(
        "model",
        |random| make(&originals, random),
        |bytes| {
            fs::write(&path, bytes).unwrap();
            let hints = Hints { activation: Some(Between::Nothing), scale: None };
            // The same tensors, whatever stands between them; a file of flatnet takes no hints.
            let said = model_file::load_with(&path, &hints);
            let (model, meta) = match model_file::load(&path) {
                Ok(loaded) => {
                    if let Ok(said) = said {
                        let linears =
                            said.meta.layers.0.iter().filter(|layer| matches!(layer, LayerSpec::Linear { .. }));
                        assert_eq!(linears.count(), said.meta.layers.0.len());
                        assert!(
                            said.foreign.is_some_and(|foreign| foreign.tensors.len() >= said.model.linears().count())
                        );
                    }
                    loaded
                }
                Err(error) => {
                    one_line(&error);
                    return 0;
                }
            };
            model_file::save(&again, &model, &meta).unwrap();
            let saved = fs::read(&again).unwrap();
            let (same, same_meta) = model_file::load(&again).unwrap();
            assert_eq!(same_meta, meta);
            assert_eq!(same.specs(), model.specs());
            let bits = |model: &Sequential| -> Vec<Vec<u32>> {
                model.parameters().map(|tensor| tensor.values().iter().map(|value| value.to_bits()).collect()).collect()
            };
            assert_eq!(bits(&same), bits(&model));
            model_file::save(&again, &same, &same_meta).unwrap();
            assert!(fs::read(&again).unwrap() == saved);
            // What its owner would do next.
            model.save(&again).unwrap();
            Sequential::load(&again).unwrap();
            assert!(meta.scale.apply(0) < meta.scale.apply(255));
            let x: Vec<f32> = (0..model.in_features()).map(|i| meta.scale.apply(i as u8)).collect();
            let outputs = model.forward(&x[..], &Context::evaluate(), &mut Workspace::new()).len();
            assert_eq!(outputs, meta.classes);
            0
        },
    );
}
