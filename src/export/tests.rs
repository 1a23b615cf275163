//! What is written is read back by a small reader of its own, or compiled, and computes what the network does.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::data::{
    Encoding, Outputs, Scale, Split, Table, TableColumn, TablePlan, TableSettings, Task, Transform, load_split,
};
use crate::kernels::activations::{self, ACTIVATIONS};
use crate::kernels::erf::erfc;
use crate::model_file::{Between, Hints, load_with};
use crate::nn::{Context, LayerSpec, LayerSpecs, ReluGrad, Workspace};

const STANDARD: Scale = Scale::Standard { mean: 0.1307, std: 0.3081 };

/// Networks that have every activation between them, layers before the first linear one and after the last, and what training
/// alone uses.
fn networks(features: usize) -> Vec<(Sequential, ModelMeta)> {
    let mut layers: Vec<String> = ACTIVATIONS.iter().map(|(name, _)| format!("linear:9,{name},linear:5")).collect();
    layers.extend(
        [
            "linear:10,relu",
            "linear:3",
            "linear:40,leaky-relu:-0.3,dropout:0.5,linear:20,relu,linear:33,leaky-relu:2,linear:4,dropout:0.1",
            "tanh,dropout:0.2,linear:6,gelu,gelu,linear:6,silu,linear:2,softplus,sigmoid",
        ]
        .map(String::from),
    );
    let network = |(at, layers): (usize, &String)| {
        let specs: LayerSpecs = layers.parse().unwrap();
        let model = Sequential::new(features).layers(&specs).relu_grad(ReluGrad::Exact).build(at as u64).unwrap();
        let scale = if at % 2 == 0 { Scale::Unit } else { STANDARD };
        let meta = ModelMeta { scale, ..ModelMeta::of(&model) };
        (model, meta)
    };
    layers.iter().enumerate().map(network).collect()
}

/// The most that rounding to f32 changes a number, as a part of it.
const U: f64 = 1.0 / (1 << 24) as f64;

/// What the network makes of pixels, in f64, and how far f32 may be from it, each operation rounded in whatever order.
fn exactly(model: &Sequential, scale: Scale, pixels: &[u8]) -> (Vec<f64>, Vec<f64>) {
    let (mean, std) = match scale {
        Scale::Unit => (0.0, 1.0),
        Scale::Standard { mean, std } => (f64::from(mean), f64::from(std)),
    };
    let x = pixels.iter().map(|pixel| (f64::from(*pixel) / 255.0 - mean) / std).collect();
    // The pixel, the mean, the deviation and two results are each rounded once.
    let error = pixels.iter().map(|p| 5.0 * U * (f64::from(*p) / 255.0 + mean.abs()) / std).collect();
    through(model, x, error)
}

/// The same of inputs that f32 has with these errors.
fn through(model: &Sequential, mut x: Vec<f64>, mut error: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    for (at, layer) in model.specs().0.iter().enumerate() {
        match layer {
            LayerSpec::Linear { .. } => {
                let values = |kind: &str| model.parameter(&format!("{at}.{kind}")).unwrap().values();
                let (weight, bias) = (values("weight"), values("bias"));
                let of_unit = |(row, bias): (&[f32], &f32)| {
                    let (mut sum, mut of_sum, mut passed) = (f64::from(*bias), f64::from(*bias).abs(), 0.0);
                    for ((weight, x), error) in row.iter().zip(&x).zip(&error) {
                        let product = f64::from(*weight) * x;
                        (sum, of_sum) = (sum + product, of_sum + product.abs());
                        passed += f64::from(*weight).abs() * error;
                    }
                    (sum, passed + (row.len() + 2) as f64 * U * of_sum)
                };
                let units = weight.chunks(x.len()).zip(&bias).map(of_unit);
                (x, error) = units.unzip();
            }
            LayerSpec::Activation { spec } => {
                let activation = activations::parse(spec, ReluGrad::Exact).unwrap();
                for (x, error) in x.iter_mut().zip(&mut error) {
                    let z = *x;
                    // The steepest of those that are tested is leaky-relu:2; a formula takes some roundings of 1 and of z.
                    (*x, *error) = (activation.reference(z), 2.0 * *error + 10.0 * U * (1.0 + z.abs()));
                }
            }
            LayerSpec::Dropout { .. } => {}
        }
    }
    (x, error)
}

fn close(what: &str, found: &[f64], exact: &[f64], bound: &[f64]) {
    assert_eq!(found.len(), exact.len(), "{what}");
    for ((found, exact), bound) in found.iter().zip(exact).zip(bound) {
        let error = (found - exact).abs();
        assert!(error <= *bound, "{what}: {found}, expected {exact} within {bound:e}");
    }
}

fn flatnets_own(model: &Sequential, scale: Scale, pixels: &[u8]) -> Vec<f64> {
    let x: Vec<f32> = pixels.iter().map(|pixel| scale.apply(*pixel)).collect();
    let mut workspace = Workspace::new();
    model.forward(&x[..], &Context::evaluate(), &mut workspace).iter().map(|value| f64::from(*value)).collect()
}

/// A field of a message: its number, and a whole number or bytes.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// A reader of protocol buffers as small as it can be.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        found.push((
            key >> 3,
            match key & 7 {
                0 => Value::Number(varint(&mut bytes)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    Value::Bytes(value)
                }
                other => panic!("wire type {other}"),
            },
        ));
    }
    found
}

fn numbers(message: &[u8], field: u64) -> Vec<u64> {
    let number = |(at, value): (u64, Value<'_>)| match value {
        Value::Number(value) if at == field => Some(value),
        _ => None,
    };
    fields(message).into_iter().filter_map(number).collect()
}

fn parts(message: &[u8], field: u64) -> Vec<&[u8]> {
    let part = |(at, value)| match value {
        Value::Bytes(value) if at == field => Some(value),
        _ => None,
    };
    fields(message).into_iter().filter_map(part).collect()
}

fn texts(message: &[u8], field: u64) -> Vec<&str> {
    parts(message, field).into_iter().map(|text| std::str::from_utf8(text).unwrap()).collect()
}

/// Name and sides of a `ValueInfoProto` of floats, the batch as 0.
fn value_info(message: &[u8]) -> (&str, Vec<u64>) {
    let tensor = parts(parts(message, 2)[0], 1)[0];
    assert_eq!(numbers(tensor, 1), [1], "FLOAT");
    let sides = parts(parts(tensor, 2)[0], 1);
    let side =
        |side: &&[u8]| numbers(side, 1).first().copied().unwrap_or_else(|| u64::from(texts(side, 2) != ["batch"]));
    (texts(message, 1)[0], sides.iter().map(side).collect())
}

/// Computes an ONNX graph for one row, in f64, by the operators' own definitions.
fn compute(graph: &[u8], x: &[f64]) -> HashMap<String, Vec<f64>> {
    // Values by name, and for a matrix its columns.
    let mut known: HashMap<String, (Vec<f64>, usize)> = HashMap::from([("x".to_string(), (x.to_vec(), x.len()))]);
    for tensor in parts(graph, 5) {
        assert_eq!(numbers(tensor, 2), [1], "FLOAT");
        let values: Vec<f64> =
            parts(tensor, 9)[0].as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
        let sides = numbers(tensor, 1);
        assert_eq!(sides.iter().product::<u64>() as usize, values.len());
        let name = texts(tensor, 8)[0].to_string();
        assert!(known.insert(name, (values, sides.last().map_or(1, |side| *side as usize))).is_none());
    }
    for node in parts(graph, 1) {
        let inputs: Vec<&(Vec<f64>, usize)> = texts(node, 1).iter().map(|name| &known[*name]).collect();
        let one = |f: fn(f64) -> f64| inputs[0].0.iter().map(|value| f(*value)).collect::<Vec<f64>>();
        let two = |f: fn(f64, f64) -> f64| {
            let (a, b) = (&inputs[0].0, &inputs[1].0);
            let at = |values: &Vec<f64>, i: usize| values[if values.len() == 1 { 0 } else { i }];
            (0..a.len().max(b.len())).map(|i| f(at(a, i), at(b, i))).collect::<Vec<f64>>()
        };
        let attribute = |name: &str| -> Option<i64> {
            let found = parts(node, 5).into_iter().find(|attribute| texts(attribute, 1) == [name])?;
            assert_eq!(numbers(found, 20), [2], "INT");
            Some(numbers(found, 3)[0] as i64)
        };
        let values = match texts(node, 4)[0] {
            "Sub" => two(|a, b| a - b),
            "Div" => two(|a, b| a / b),
            "Add" => two(|a, b| a + b),
            "Mul" => two(|a, b| a * b),
            "Max" => two(f64::max),
            "Min" => two(f64::min),
            "Relu" => one(|a| a.max(0.0)),
            "Abs" => one(f64::abs),
            "Exp" => one(f64::exp),
            "Log" => one(f64::ln),
            "Tanh" => one(f64::tanh),
            "Sigmoid" => one(|a| 1.0 / (1.0 + (-a).exp())),
            "Erf" => one(|a| 1.0 - erfc(a)),
            "Gemm" => {
                assert_eq!(attribute("transB"), Some(1));
                let (a, (weight, columns), bias) = (&inputs[0].0, inputs[1], &inputs[2].0);
                assert_eq!((a.len(), weight.len()), (*columns, columns * bias.len()));
                let dot = |row: &[f64]| a.iter().zip(row).map(|(a, w)| a * w).sum::<f64>();
                weight.chunks(*columns).zip(bias).map(|(row, bias)| dot(row) + bias).collect()
            }
            "Softmax" => {
                assert_eq!(attribute("axis"), Some(-1));
                let sum: f64 = inputs[0].0.iter().map(|value| value.exp()).sum();
                inputs[0].0.iter().map(|value| value.exp() / sum).collect()
            }
            other => panic!("{other} is no operator that this test knows"),
        };
        let output = texts(node, 2)[0].to_string();
        let columns = values.len();
        assert!(known.insert(output.clone(), (values, columns)).is_none(), "{output} is computed twice");
    }
    known.into_iter().map(|(name, (values, _))| (name, values)).collect()
}

#[test]
fn onnx_computes_what_the_network_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let pixels: Vec<u8> = (0..12).map(|i| (i * 53 % 256) as u8).collect();
    for (model, meta) in networks(12) {
        write(&path, Format::Onnx, &model, &meta).unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!((numbers(&file, 1), texts(&file, 2)), (vec![8], vec!["flatnet"]));
        let opset = parts(&file, 8)[0];
        assert_eq!((texts(opset, 1), numbers(opset, 2)), (vec![""], vec![17]));
        let graph = parts(&file, 7)[0];
        let about = texts(graph, 10)[0];
        assert!(about.contains(&model.specs().to_string()) && about.contains("12 pixels from 0 to 255"), "{about}");
        assert_eq!(parts(graph, 11).into_iter().map(value_info).collect::<Vec<_>>(), [("x", vec![0, 12])]);
        let outputs: Vec<_> = parts(graph, 12).into_iter().map(value_info).collect();
        let width = model.out_features() as u64;
        assert_eq!(outputs, [("logits", vec![0, width]), ("probabilities", vec![0, width])]);

        let x: Vec<f64> = pixels.iter().map(|pixel| f64::from(*pixel)).collect();
        let found = compute(graph, &x);
        let (exact, bound) = exactly(&model, meta.scale, &pixels);
        close(&format!("{} as ONNX", model.specs()), &found["logits"], &exact, &bound);
        close(&format!("{} itself", model.specs()), &flatnets_own(&model, meta.scale, &pixels), &exact, &bound);
        assert!((found["probabilities"].iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Dropout is not there.
        let ops: Vec<&str> = parts(graph, 1).iter().map(|node| texts(node, 4)[0]).collect();
        assert_eq!(ops.iter().filter(|op| **op == "Gemm").count(), model.specs().linears().count());
        assert_eq!(ops.contains(&"Sub"), meta.scale != Scale::Unit);
    }
}

/// A program around the header: it reads images from standard input, and prints logits and the class of each.
const MAIN: &str = r#"
#include <stdio.h>
#include "digits.h"

int main(void)
{
    unsigned char pixels[DIGITS_INPUTS];
    float x[DIGITS_INPUTS], out[DIGITS_OUTPUTS];
    int i;

    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        for (i = 0; i < DIGITS_INPUTS; i++) {
            x[i] = pixels[i];
        }
        digits_predict(x, out);
        for (i = 0; i < DIGITS_OUTPUTS; i++) {
            printf("%.9g ", (double)out[i]);
        }
        printf("%ld\n", (long)digits_class(x));
    }
    return 0;
}
"#;

/// Compiles `main` in the folder of a header with everything that a compiler warns of as an error; gives the program.
fn compiled(folder: &Path, main: &str) -> PathBuf {
    fs::write(folder.join("main.c"), main).unwrap();
    let program = folder.join("main");
    let mut compiler = Command::new("cc");
    compiler.args("-std=c99 -Wall -Wextra -Werror -pedantic -O1 main.c -lm -o main".split(' '));
    let output = compiler.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn c_computes_what_the_network_does() {
    if Command::new("cc").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no cc, so the C header was not compiled");
        return;
    }
    const IMAGES: usize = 300;
    let set = load_split(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")), Split::Test).unwrap();
    let images = &set.pixels()[..IMAGES * 784];
    let folder = tempfile::tempdir().unwrap();
    let header = folder.path().join("digits.h");
    fs::write(folder.path().join("images"), images).unwrap();
    for (model, meta) in networks(784) {
        let name = model.specs().to_string();
        write(&header, Format::C, &model, &meta).unwrap();
        let program = compiled(folder.path(), MAIN);
        let input = fs::File::open(folder.path().join("images")).unwrap();
        let output = Command::new(program).stdin(input).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), IMAGES, "{name}");
        for (line, pixels) in text.lines().zip(images.chunks(784)) {
            let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let (class, found) = numbers.split_last().unwrap();
            let (exact, bound) = exactly(&model, meta.scale, pixels);
            let own = flatnets_own(&model, meta.scale, pixels);
            close(&format!("{name} in C"), found, &exact, &bound);
            close(&format!("{name} itself"), &own, &exact, &bound);
            let largest = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(found.iter().position(|value| *value == largest).unwrap() as f64, *class);
        }
    }
}

#[test]
fn c_needs_math_only_where_an_activation_does() {
    let folder = tempfile::tempdir().unwrap();
    for (layers, file, name, math) in [
        ("linear:4,relu,linear:2", "small-net.v2.h", "small_net_v2_predict", false),
        ("linear:4,leaky-relu,linear:2", "7.h", "model_7_predict", false),
        ("linear:4,tanh,linear:2", "_x.h", "model__x_predict", true),
        ("linear:4,softplus,linear:2", "größe.h", "gr__e_predict", true),
    ] {
        let specs: LayerSpecs = layers.parse().unwrap();
        let model = Sequential::new(6).layers(&specs).build(0).unwrap();
        let path = folder.path().join(file);
        write(&path, Format::C, &model, &ModelMeta::of(&model)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("static inline void {name}(const float *x, float *out)")), "{text}");
        assert_eq!(text.contains("#include <math.h>"), math, "{layers}");
        assert_eq!(text.matches("#include").count(), usize::from(math));
    }
}

#[test]
fn the_file_for_pytorch_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's \"quoted\".safetensors");
    let specs: LayerSpecs = "linear:6,leaky-relu:0.5,dropout:0.25,linear:4,gelu-tanh,linear:3".parse().unwrap();
    let model = Sequential::new(9).layers(&specs).build(2).unwrap();
    let meta = ModelMeta { scale: STANDARD, ..ModelMeta::of(&model) };
    write(&path, Format::Torch, &model, &meta).unwrap();
    let hints = Hints { activation: Some(Between::Nothing), scale: Some(STANDARD) };
    let loaded = load_with(&path, &hints).unwrap();
    let names: Vec<String> = loaded.foreign.unwrap().tensors.into_iter().map(|tensor| tensor.name).collect();
    assert_eq!(names, ["1.weight", "1.bias", "4.weight", "4.bias", "6.weight", "6.bias"]);
    for (own, back) in model.parameters().zip(loaded.model.parameters()) {
        assert_eq!(own.values(), back.values());
    }
    let python = torch_code(&path, &model, &meta).unwrap();
    let network = "model = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.LeakyReLU(0.5), nn.Dropout(0.25), \
                   nn.Linear(6, 4), nn.GELU(approximate='tanh'), nn.Linear(4, 3))\n";
    assert!(python.contains(network), "{python}");
    assert!(python.contains(r#"it's \"quoted\".safetensors"))"#), "{python}");
    assert!(
        python.contains(
            "(x / 255.0 - center) * scale, where x is 9 pixels from 0 to 255, row by row, of an image of 3 x 3"
        ) && python.contains("# center = 0.1307\n# scale = 3.2456")
            && python.contains("logits of 3 classes"),
        "{python}"
    );
}

#[test]
fn flatnets_own_file_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for (model, meta) in networks(12) {
        // As a file of another program is understood.
        write(&path, Format::Safetensors, &model, &ModelMeta { version: None, ..meta.clone() }).unwrap();
        let (again, again_meta) = model_file::load(&path).unwrap();
        assert_eq!(again_meta, ModelMeta { version: Some(env!("CARGO_PKG_VERSION").into()), ..meta });
        assert!(model.parameters().zip(again.parameters()).all(|(a, b)| a.values() == b.values()));
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut model = Sequential::new(4).linear(2).build(0).unwrap();
    model.set_parameter("0.bias", &[0.0, f32::NAN]).unwrap();
    for format in [Format::Safetensors, Format::Torch, Format::Onnx, Format::C] {
        let told = write(&path, format, &model, &ModelMeta::of(&model)).unwrap_err().to_string();
        assert!(told.contains("tensor 0.bias: value 1 is NaN"), "{told}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A table of a column of numbers and one of words, the network for its targets, and what that makes of each row: logits, and
/// values in the units of the targets.
fn of_a_table(task: Task) -> (Table, Sequential, ModelMeta, Vec<Vec<f64>>) {
    let word = TableColumn { name: "town */".into(), words: Some(vec!["B".into(), "A".into()]) };
    let columns = vec![TableColumn::number("size"), word, TableColumn::number("t"), TableColumn::number("u")];
    let cells = [[20.0, 0.0, 0.0, 1.0], [35.5, 1.0, 1.0, 1.0], [80.25, 1.0, 1.0, 0.0], [41.0, 0.0, 0.0, 0.0]];
    let table = Table::new(columns, cells.concat(), vec![], "t".into()).unwrap();
    let targets = if task == Task::Classify { vec!["t".into()] } else { vec!["t".into(), "u".into()] };
    let settings =
        TableSettings { targets, task: Some(task), transform: Some(Transform::Robust), ..TableSettings::default() };
    let plan = TablePlan::new(&table, &settings).unwrap();
    let preparation = plan.fit(&table, &plan.rows).unwrap();
    let features = preparation.features.width();
    let model = Sequential::new(features).linear(5).relu().linear(preparation.outputs.width()).build(3).unwrap();
    let x = preparation.inputs(&table, &plan.rows).unwrap();
    let meta = ModelMeta {
        image_size: (1, features),
        class_names: if task == Task::Classify { vec!["no".into(), "yes".into()] } else { vec![] },
        preparation: Some(preparation.clone()),
        ..ModelMeta::of(&model)
    };
    let own = x.chunks(features).map(|x| {
        let mut outputs = model.forward(x, &Context::evaluate(), &mut Workspace::new()).to_vec();
        preparation.outputs.restore(&mut outputs);
        outputs.into_iter().map(f64::from).collect()
    });
    let own = own.collect();
    (table, model, meta, own)
}

/// What the network makes of such a row in f64, and how far f32 may be from it.
fn exactly_of_a_table(model: &Sequential, meta: &ModelMeta, given: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let preparation = meta.preparation.as_ref().unwrap();
    let (center, scale) = preparation.features.affine();
    let affine = || center.iter().zip(&scale).map(|(center, scale)| (f64::from(*center), f64::from(*scale)));
    let x: Vec<f64> = given.iter().zip(affine()).map(|(given, (center, scale))| (given - center) / scale).collect();
    // What is given, the center and the scale are numbers of f32; the difference and the quotient are each rounded once.
    let error = x.iter().map(|x| 2.0 * U * x.abs()).collect();
    let (mut exact, mut bound) = through(model, x, error);
    if let Outputs::Regress { columns } = &preparation.outputs {
        for ((exact, bound), column) in exact.iter_mut().zip(&mut bound).zip(columns) {
            let product = *exact * column.scale;
            *exact = product + column.center;
            *bound = *bound * column.scale + U * (product.abs() + exact.abs());
        }
    }
    (exact, bound)
}

/// The row as who uses an export gives it: numbers as they are, a number for each word.
fn given(table: &Table, meta: &ModelMeta, row: usize) -> Vec<f64> {
    let cells = table.row(row);
    let mut given = Vec::new();
    for column in &meta.preparation.as_ref().unwrap().features.columns {
        match &column.encoding {
            Encoding::Number { .. } => given.push(f64::from(cells[column.place])),
            Encoding::Words { words } => {
                let own = table.told(row, column.place);
                given.extend(words.iter().map(|word| f64::from(u8::from(*word == own))));
            }
        }
    }
    given
}

#[test]
fn what_stands_around_a_network_for_a_table_is_inside() {
    let folder = tempfile::tempdir().unwrap();
    for task in [Task::Classify, Task::MultiLabel, Task::Regress] {
        let (table, model, meta, own) = of_a_table(task);
        let path = folder.path().join("m.onnx");
        write(&path, Format::Onnx, &model, &meta).unwrap();
        let file = fs::read(&path).unwrap();
        let graph = parts(&file, 7)[0];
        let result = if task == Task::Regress { "values" } else { "logits" };
        for (row, own) in own.iter().enumerate() {
            let given = given(&table, &meta, row);
            let (exact, bound) = exactly_of_a_table(&model, &meta, &given);
            let found = compute(graph, &given);
            close(&format!("{task} as ONNX"), &found[result], &exact, &bound);
            close(&format!("{task} itself"), own, &exact, &bound);
            let probabilities: Vec<f64> = match task {
                Task::Classify => {
                    let sum: f64 = exact.iter().map(|z| z.exp()).sum();
                    exact.iter().map(|z| z.exp() / sum).collect()
                }
                Task::MultiLabel => exact.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect(),
                Task::Regress => continue,
            };
            // A probability changes by at most half of what the logits do.
            let widest = bound.iter().copied().fold(0.0, f64::max) / 2.0;
            close(&format!("{task} as ONNX"), &found["probabilities"], &probabilities, &vec![widest; exact.len()]);
        }
        let python = torch_code(&path, &model, &meta).unwrap();
        assert!(python.contains("(x / 1.0 - center) / scale") && python.contains("size, town * / (1 for"), "{python}");
        if Command::new("cc").arg("--version").output().is_err() {
            eprintln!("SKIPPED: there is no cc, so the C header was not compiled");
            continue;
        }
        let header = folder.path().join("rows.h");
        write(&header, Format::C, &model, &meta).unwrap();
        let row: Vec<String> = given(&table, &meta, 1).iter().map(|value| format!("{value:?}f")).collect();
        let main = format!(
            "#include <stdio.h>\n#include \"rows.h\"\nint main(void)\n{{\n    float x[ROWS_INPUTS] = {{{}}}, out[ROWS_OUTPUTS];\n    \
             int i;\n    rows_predict(x, out);\n    for (i = 0; i < ROWS_OUTPUTS; i++) {{\n        printf(\"%.9g \", (double)out[i]);\n    \
             }}\n    return 0;\n}}\n",
            row.join(", ")
        );
        let output = Command::new(compiled(folder.path(), &main)).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let (exact, bound) = exactly_of_a_table(&model, &meta, &given(&table, &meta, 1));
        close(&format!("{task} in C"), &found, &exact, &bound);
    }
}
