//! One file in and out: bit for bit, and every fault with its own message.

use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize_to_file};

use super::*;
use crate::data::Prepare;
use crate::data::Scale;
use crate::nn::{Init, ReluGrad};

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
        preparation: None,
        class_names: Vec::new(),
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
fn foreign(tensors: &[(&str, &[usize])], dtype: Dtype, metadata: &[(&str, &str)]) -> Result<(Sequential, ModelMeta)> {
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

/// The five fields, for a network of one layer of three inputs and two outputs.
const OWN: [(&str, &str); 5] = [
    ("layers", "linear:2"),
    ("relu_grad", "exact"),
    ("scale", r#"{"kind":"unit"}"#),
    ("classes", "2"),
    ("image_size", "1x3"),
];

#[track_caller]
fn refused(tensors: &[(&str, &[usize])], dtype: Dtype, metadata: &[(&str, &str)], expected: &str) {
    let message = foreign(tensors, dtype, metadata).unwrap_err().to_string();
    assert!(message.contains("foreign.safetensors: ") && message.contains(expected), "{message}");
}

#[test]
fn every_fault_has_its_own_message() {
    let f32 = Dtype::F32;
    let own = |tensors: &[(&str, &[usize])], dtype: Dtype, expected: &str| refused(tensors, dtype, &OWN, expected);
    own(&[], f32, "tensor 0.weight: is missing");
    own(&[("0.weight", &[2, 3])], f32, "tensor 0.bias: is missing");
    own(&[("0.bias", &[2])], f32, "tensor 0.weight: is missing");
    own(&[("0.weight", &[2, 3]), ("0.bias", &[3])], f32, "tensor 0.bias: has shape [3]");
    own(&[("0.weight", &[3, 2]), ("0.bias", &[3])], f32, "tensor 0.weight: has shape [3, 2]; expected [2, 3]");
    own(&[("0.weight", &[2, 3, 1]), ("0.bias", &[2])], f32, "has shape [2, 3, 1]");
    own(&[("0.weight", &[2, 0]), ("0.bias", &[2])], f32, "has shape [2, 0]");
    own(&[("0.weight", &[2, 3]), ("0.bias", &[2])], Dtype::F64, "has dtype F64; expected F32");
    own(&[("fc1.weight", &[2, 3])], f32, "tensor fc1.weight: is unknown");
    own(&[("00.weight", &[2, 3])], f32, "tensor 00.weight: is unknown");
    own(&[("0.running_mean", &[2])], f32, "tensor 0.running_mean: is unknown");
    // Any of flatnet's own fields makes the file one of flatnet's, which must then have them all.
    let fields = OWN;
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
        let fields =
            [("layers", "linear:2"), ("relu_grad", "exact"), ("scale", scale), ("classes", "2"), ("image_size", "1x3")];
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
    for (layers, most) in [("relu,".repeat(200_000), false), ("relu,".repeat(17), false), ("relu,".repeat(16), true)] {
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
        (b"PK\x03\x04\x14\0\0\0 and more", "looks like a file of torch.save or Keras: load it there"),
        (b"\x89HDF\r\n\x1a\n and more", "looks like an HDF5 file of Keras"),
        (b"\x80\x04\x95\0\0\0\0\x01 and more", "looks like a pickle of Python"),
        (b"\x02\0\0\0\0\0\0\0[]", "is not that of a safetensors file"),
    ] {
        let message = load_bytes(changed).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn sizes_are_refused_before_they_are_allocated() {
    // 288 PB of weights in a file of some hundred bytes, and a header of 2 GB.
    let header = br#"{"0.weight":{"dtype":"F32","shape":[268435456,268435456],"data_offsets":[0,288230376151711744]}}"#;
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
