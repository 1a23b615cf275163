//! Files of other programs, in every habit that is understood, and what is refused of them.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

use super::*;
use crate::data::Scale;

/// What a test puts into a file: name, type, shape, and values, which are rounded to the type.
struct Tensor<'a>(&'a str, Dtype, Vec<usize>, Vec<f64>);

fn bytes(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    let of = |value: &f64| -> Vec<u8> {
        match dtype {
            Dtype::F16 => half::f16::from_f64(*value).to_le_bytes().into(),
            Dtype::BF16 => half::bf16::from_f64(*value).to_le_bytes().into(),
            Dtype::F32 => (*value as f32).to_le_bytes().into(),
            Dtype::F64 => value.to_le_bytes().into(),
            Dtype::I64 => (*value as i64).to_le_bytes().into(),
            other => panic!("{other:?}"),
        }
    };
    values.iter().flat_map(of).collect()
}

fn load_tensors(tensors: &[Tensor], hints: &Hints) -> Result<Loaded> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("foreign.safetensors");
    let data: Vec<Vec<u8>> = tensors.iter().map(|tensor| bytes(tensor.1, &tensor.3)).collect();
    let views = tensors.iter().zip(&data);
    let views = views
        .map(|(Tensor(name, dtype, shape, _), data)| (*name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    serialize_to_file(views, None, &path).unwrap();
    load_with(&path, hints)
}

/// Different numbers that every type holds exactly.
fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|i| (i % 97) as f64 / 64.0 - 0.5).collect()
}

/// A matrix by rows, which the tests' names and shapes go with.
fn tensors<'a>(shapes: &[(&'a str, &[usize])], dtype: Dtype) -> Vec<Tensor<'a>> {
    shapes.iter().map(|(name, shape)| Tensor(name, dtype, shape.to_vec(), numbers(shape.iter().product()))).collect()
}

/// What is made of a file of such shapes: layers, inputs, and which tensor became which parameter.
#[track_caller]
fn taken(shapes: &[(&str, &[usize])]) -> (String, usize, Vec<String>) {
    let loaded =
        load_tensors(&tensors(shapes, Dtype::F32), &Hints::default()).unwrap_or_else(|error| panic!("{error}"));
    let foreign = loaded.foreign.unwrap();
    let taken = foreign.tensors.iter().map(|tensor| format!("{} {}", tensor.parameter, tensor.name));
    (loaded.meta.layers.to_string(), loaded.model.in_features(), taken.collect())
}

#[track_caller]
fn refused(shapes: &[(&str, &[usize])], expected: &str) {
    refused_tensors(&tensors(shapes, Dtype::F32), expected);
}

#[track_caller]
fn refused_tensors(tensors: &[Tensor], expected: &str) {
    let message = load_tensors(tensors, &Hints::default()).unwrap_err().to_string();
    assert!(message.contains("foreign.safetensors: ") && message.contains(expected), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn names_of_pytorch_are_layers() {
    for [first, second] in [
        ["0", "2"],
        ["1", "4"],
        ["fc1", "fc2"],
        ["fc2", "fc10"],
        ["net.0", "net.2"],
        ["net.0", "net.1"],
        ["module.0", "module.2"],
        ["module.layers.0.linear", "module.layers.3.linear"],
        ["linear_relu_stack.0", "linear_relu_stack.2"],
        ["hidden", "output"],
        ["output", "hidden"],
        ["fc1", "out"],
        ["00", "01"],
    ] {
        let named = |layer: &str, kind: &str| format!("{layer}.{kind}");
        let names = [named(first, "weight"), named(first, "bias"), named(second, "weight"), named(second, "bias")];
        let shapes: [&[usize]; 4] = [&[16, 784], &[16], &[10, 16], &[10]];
        let shapes: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(shapes).collect();
        let (layers, inputs, taken) = taken(&shapes);
        assert_eq!((layers.as_str(), inputs), ("linear:16,relu,linear:10", 784), "{first}, {second}");
        let parameters = ["0.weight", "0.bias", "2.weight", "2.bias"];
        let expected: Vec<String> =
            parameters.iter().zip(&names).map(|(ours, theirs)| format!("{ours} {theirs}")).collect();
        assert_eq!(taken, expected);
    }
    // A Sequential numbers all its layers: here is nothing between the two, and Flatten before them.
    let bare: &[(&str, &[usize])] = &[("1.weight", &[6, 7]), ("1.bias", &[6]), ("2.weight", &[4, 6]), ("2.bias", &[4])];
    assert_eq!(taken(bare).0, "linear:6,linear:4");
    let far: &[(&str, &[usize])] = &[
        ("0.weight", &[6, 7]),
        ("0.bias", &[6]),
        ("18446744073709551615.weight", &[4, 6]),
        ("18446744073709551615.bias", &[4]),
    ];
    assert_eq!(taken(far).0, "linear:6,relu,linear:4");
}

#[test]
fn values_reach_their_places_whatever_the_order_in_the_file() {
    let hints = Hints::default();
    let shapes: &[(&str, &[usize])] =
        &[("out.weight", &[2, 3]), ("fc1.bias", &[3]), ("fc1.weight", &[3, 4]), ("out.bias", &[2])];
    let Loaded { model, meta, foreign, .. } = load_tensors(&tensors(shapes, Dtype::F32), &hints).unwrap();
    assert_eq!((meta.classes, meta.image_size, meta.scale), (2, (2, 2), Scale::Unit));
    assert_eq!((meta.relu_grad, meta.recipe, meta.version), (crate::nn::ReluGrad::Exact, None, None));
    assert_eq!(foreign.unwrap().assumed, [Assumed::Activation, Assumed::Scale]);
    let single: Vec<f32> = numbers(12).iter().map(|value| *value as f32).collect();
    assert_eq!(model.parameter("0.weight").unwrap().values(), single);
    assert_eq!(model.parameter("2.weight").unwrap().values(), single[..6]);

    // A kernel is the other way round: [inputs, outputs].
    for (weight, bias) in [("dense/kernel:0", "dense/bias:0"), ("coefs_.0", "intercepts_.0"), ("0.weight", "0.bias")] {
        let shapes: &[(&str, &[usize])] = &[(weight, &[4, 3]), (bias, &[3])];
        let Loaded { model, foreign, .. } = load_tensors(&tensors(shapes, Dtype::F32), &hints).unwrap();
        assert_eq!((model.in_features(), model.out_features()), (4, 3), "{weight}");
        let expected: Vec<f32> = (0..12).map(|i| single[i % 4 * 3 + i / 4]).collect();
        assert_eq!(model.parameter("0.weight").unwrap().values(), expected, "{weight}");
        let foreign = foreign.unwrap();
        assert!(foreign.tensors[0].transposed && !foreign.tensors[1].transposed);
        assert_eq!(foreign.assumed, [Assumed::Scale]);
    }
}

#[test]
fn other_programs_turn_their_weights() {
    for (shapes, inputs, layers) in [
        (&[("dense/kernel", &[9, 5][..]), ("dense_1/kernel", &[5, 2])][..], 9, "linear:5,relu,linear:2"),
        (
            &[("coefs_.0", &[9, 5]), ("coefs_.1", &[5, 2]), ("intercepts_.0", &[5]), ("intercepts_.1", &[2])],
            9,
            "linear:5,relu,linear:2",
        ),
        // Names say it where shapes do not.
        (&[("dense/kernel", &[5, 5]), ("dense_1/kernel", &[5, 5])], 5, "linear:5,relu,linear:5"),
        (&[("fc1.weight", &[5, 5]), ("fc2.weight", &[5, 5])], 5, "linear:5,relu,linear:5"),
        // Shapes say it where names do not, or say otherwise.
        (&[("W1", &[9, 5]), ("W2", &[5, 2])], 9, "linear:5,relu,linear:2"),
        (&[("W1", &[5, 9]), ("W2", &[2, 5])], 9, "linear:5,relu,linear:2"),
        (&[("W1", &[9, 5]), ("b1", &[5])], 9, "linear:5"),
        (&[("0.weight", &[9, 5]), ("2.weight", &[5, 2])], 9, "linear:5,relu,linear:2"),
        (&[("0.weight", &[9, 5]), ("0.bias", &[5])], 9, "linear:5"),
        (&[("coef_", &[3, 4]), ("intercept_", &[3])], 4, "linear:3"),
        (&[("weight", &[3, 4]), ("bias", &[3])], 4, "linear:3"),
    ] {
        let (found, found_inputs, _) = taken(shapes);
        assert_eq!((found.as_str(), found_inputs), (layers, inputs), "{shapes:?}");
    }
    // All of a file are turned alike: the square one is, because the others are.
    let shapes: &[(&str, &[usize])] = &[("0.weight", &[3, 3]), ("2.weight", &[3, 2]), ("2.bias", &[2])];
    let Loaded { model, .. } = load_tensors(&tensors(shapes, Dtype::F32), &Hints::default()).unwrap();
    let first = model.parameter("0.weight").unwrap().values();
    let expected: Vec<f32> = (0..9).map(|i| numbers(9)[i % 3 * 3 + i / 3] as f32).collect();
    assert_eq!(first, expected);
}

#[test]
fn a_layer_without_a_bias_has_one_of_zeros() {
    let shapes: &[(&str, &[usize])] = &[("fc1.weight", &[3, 4]), ("fc2.weight", &[2, 3]), ("fc2.bias", &[2])];
    let Loaded { model, foreign, .. } = load_tensors(&tensors(shapes, Dtype::F32), &Hints::default()).unwrap();
    assert_eq!(model.parameter("0.bias").unwrap().values(), [0.0; 3]);
    assert_eq!(model.parameter("2.bias").unwrap().values(), [-0.5, 1.0 / 64.0 - 0.5]);
    assert_eq!(foreign.unwrap().tensors.len(), 3);
}

#[test]
fn every_type_of_floating_point_is_read() {
    let shapes: &[(&str, &[usize])] = &[("fc.weight", &[7, 12]), ("fc.bias", &[7])];
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        let Loaded { model, foreign, .. } = load_tensors(&tensors(shapes, dtype), &Hints::default()).unwrap();
        let expected: Vec<f32> = numbers(84).iter().map(|value| *value as f32).collect();
        assert_eq!(model.parameter("0.weight").unwrap().values(), expected, "{dtype:?}");
        assert_eq!(foreign.unwrap().tensors[0].dtype, format!("{dtype:?}"));
    }
    let one = |dtype, value: f64| [Tensor("fc.weight", dtype, vec![1, 2], vec![0.25, value])];
    let weight = |dtype, value| {
        let loaded = load_tensors(&one(dtype, value), &Hints::default()).unwrap();
        f64::from(loaded.model.parameter("0.weight").unwrap().values()[1])
    };
    // The largest and the least of half precision, and what f64 has more digits for.
    assert_eq!((weight(Dtype::F16, 65504.0), weight(Dtype::F16, 2f64.powi(-24))), (65504.0, 2f64.powi(-24)));
    assert_eq!((weight(Dtype::F64, 0.1), weight(Dtype::F64, 1e-300)), (f64::from(0.1_f32), 0.0));
    assert_eq!(weight(Dtype::F64, f64::from(f32::MAX)), f64::from(f32::MAX));
    for beyond in [3.5e38, -1e300] {
        refused_tensors(&one(Dtype::F64, beyond), "expected numbers within 3.4028235e38");
    }
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
        refused_tensors(&one(dtype, f64::NAN), "tensor fc.weight: value 1 is NaN; expected finite");
        refused_tensors(&one(dtype, f64::INFINITY), "tensor fc.weight: value 1 is inf; expected finite");
    }
    refused_tensors(&one(Dtype::I64, 3.0), "tensor fc.weight: has dtype I64; expected F32, F16, BF16 or F64");
}

#[test]
fn hints_say_what_the_file_does_not() {
    let shapes: &[(&str, &[usize])] = &[("1.weight", &[6, 7]), ("2.weight", &[4, 6]), ("4.weight", &[4, 4])];
    let scale = Scale::Standard { mean: 0.1307, std: 0.3081 };
    for (activation, layers) in [
        ("tanh", "linear:6,tanh,linear:4,tanh,linear:4"),
        ("leaky-relu:0.2", "linear:6,leaky-relu:0.2,linear:4,leaky-relu:0.2,linear:4"),
        ("none", "linear:6,linear:4,linear:4"),
    ] {
        let hints = Hints { activation: Some(activation.parse().unwrap()), scale: Some(scale) };
        let loaded = load_tensors(&tensors(shapes, Dtype::F32), &hints).unwrap();
        assert_eq!((loaded.meta.layers.to_string().as_str(), loaded.meta.scale), (layers, scale));
        assert_eq!(loaded.model.data().unwrap().scale, Some(scale));
        assert_eq!(loaded.foreign.unwrap().assumed, []);
    }
    assert_eq!(taken(shapes).0, "linear:6,linear:4,relu,linear:4");
    for text in ["linear:5", "dropout:0.5", "swish", ""] {
        let message = text.parse::<Between>().unwrap_err().to_string();
        assert!(message.starts_with("activation: '") && message.ends_with(", or none"), "{message}");
    }
}

#[test]
fn a_file_of_flatnet_takes_no_hints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    Sequential::new(4).linear(3).relu().linear(2).build(1).unwrap().save(&path).unwrap();
    let activation = Hints { activation: Some(Between::Nothing), scale: None };
    let scale = Hints { activation: None, scale: Some(Scale::Unit) };
    let told = |hints: &Hints, path: &Path| load_with(path, hints).unwrap_err().to_string();
    assert!(told(&activation, &path).contains("metadata layers: says linear:3,relu,linear:2 itself"));
    assert!(told(&scale, &path).contains("metadata scale: says pixels / 255 itself"));
    assert!(load_with(&path, &Hints::default()).unwrap().foreign.is_none());
    fs::remove_file(path).unwrap();
}

#[test]
fn what_is_no_network_of_linear_layers_is_refused_by_name() {
    refused(&[], "none of a linear layer");
    refused(&[("0.bias", &[2])], "tensor 0.bias: has no weight beside it");
    refused(&[("0.weight", &[2, 3]), ("1.bias", &[2])], "tensor 1.bias: has no weight beside it");
    refused(&[("0.weight", &[2, 3]), ("0.bias", &[7])], "tensor 0.bias: has shape [7]");
    refused(&[("0.weight", &[2, 3]), ("0.bias", &[2, 1])], "tensor 0.bias: has shape [2, 1]; expected [out_features]");
    refused(&[("0.weight", &[2, 3, 1, 1]), ("0.bias", &[2])], "it looks like a convolution");
    refused(&[("0.weight", &[2, 0]), ("0.bias", &[2])], "tensor 0.weight: has shape [2, 0]");
    refused(
        &[("fc.weight", &[2, 3]), ("bn.weight", &[2]), ("bn.bias", &[2])],
        "tensor bn.weight: has shape [2]; expected a matrix",
    );
    let norm: &[(&str, &[usize])] =
        &[("bn.bias", &[2]), ("bn.weight", &[2]), ("bn.running_mean", &[2]), ("fc.weight", &[2, 3])];
    refused(norm, "tensor bn.running_mean: is of a layer of normalization");
    refused(&[("fc.weight_g", &[2, 1]), ("fc.weight_v", &[2, 3])], "tensor fc.weight_g: is of a weight norm");
    refused(&[("fc.weight", &[2, 3]), ("scale", &[1])], "tensor scale: is unknown");
    refused(&[("fc.weight", &[2, 3]), ("fc.kernel", &[3, 2])], "is of the same layer as fc.kernel");
    refused(&[("fc/weight", &[2, 3]), ("fc.weight", &[2, 3])], "is of the same layer as fc.weight");
}

#[test]
fn what_can_be_understood_in_two_ways_is_refused_with_what_to_do() {
    refused(
        &[("fc1.weight", &[2, 3]), ("fc2.weight", &[4, 9])],
        "tensor fc2.weight [4, 9]: takes 9 inputs, but fc1.weight [2, 3], which is before it, gives 2",
    );
    refused(&[("a.weight", &[2, 3]), ("b.weight", &[4, 9])], "do not follow from one another in any order");
    // An encoder and its decoder close either way; so do square ones.
    refused(&[("left.weight", &[3, 9]), ("right.weight", &[9, 3])], "number the names in that order");
    refused(&[("left.weight", &[3, 3]), ("right.weight", &[3, 3])], "number the names in that order");
    refused(&[("fc1.weight", &[3, 3]), ("fc_1.weight", &[3, 3])], "number the names in that order");
    refused(&[("W1", &[3, 3]), ("W2", &[3, 3])], "tensor W1: can be [out_features, in_features] or");
    refused(&[("W", &[3, 4])], "name it weight if it is the first, as PyTorch has it, or kernel");
    let names: Vec<String> = (0..1001).map(|at| format!("{at}.weight")).collect();
    let many: Vec<(&str, &[usize])> = names.iter().map(|name| (&**name, &[1, 1][..])).collect();
    refused(&many, "at most 1000 layers");
}
