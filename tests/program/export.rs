//! Models of other programs as a user has them, and `flatnet export`: what is assumed, said, refused and written.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use flatnet::Sequential;
use flatnet::model_file;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{entries, flatnet, stderr, stdout};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");

/// A run on pixels less their mean, trained once for all tests of this file.
fn run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let recipe = "train --layers linear:16,tanh,linear:10 --scale standard --lr 0.1 --epochs 2 --train-samples 2000 \
                      --val-samples 200 --out run --quiet --json --data";
        let output = flatnet(folder.path()).args(recipe.split_whitespace()).arg(DATA).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let run = folder.path().join("run");
        (folder, run)
    });
    path
}

/// The figures of its scale, as a flag takes them.
fn normalize() -> String {
    match model_file::load(&run().join("model.safetensors")).unwrap().1.scale {
        flatnet::data::Scale::Standard { mean, std } => format!("{mean},{std}"),
        flatnet::data::Scale::Unit => panic!("the run is not on standard scale"),
    }
}

/// The run's network as another program would save it: tensors under these names, `[in, out]` if `turned`, without metadata.
fn foreign(path: &Path, names: [&str; 4], dtype: Dtype, turned: bool) {
    let (model, _) = model_file::load(&run().join("model.safetensors")).unwrap();
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = (model.parameters().zip(names))
        .map(|(tensor, name)| {
            let (mut shape, mut values) = (tensor.shape().to_vec(), tensor.values());
            if let (true, &[rows, columns]) = (turned, &shape[..]) {
                values = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
                shape.reverse();
            }
            let bytes = values.iter().flat_map(|value| match dtype {
                Dtype::F16 => half::f16::from_f32(*value).to_le_bytes().to_vec(),
                Dtype::F64 => f64::from(*value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            });
            (name, shape, bytes.collect())
        })
        .collect();
    let views =
        tensors.iter().map(|(name, shape, bytes)| (*name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None::<HashMap<String, String>>, path).unwrap();
}

const TORCH: [&str; 4] = ["module.fc1.weight", "module.fc1.bias", "module.fc2.weight", "module.fc2.bias"];
const KERAS: [&str; 4] = ["dense/kernel:0", "dense/bias:0", "dense_1/kernel:0", "dense_1/bias:0"];

fn evaluate(cwd: &Path, model: &Path, more: &[&str]) -> (Output, Option<Value>) {
    let mut command = flatnet(cwd);
    command.args(["evaluate", "--data", DATA, "--json", "--model"]).arg(model).args(more);
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).ok();
    (output, json)
}

/// Exit code 1 and one line that says so.
#[track_caller]
fn refused(output: &Output, told: &str) {
    let line = stderr(output);
    assert_eq!((output.status.code(), line.lines().count(), stdout(output)), (Some(1), 1, ""), "{line}");
    assert!(line.starts_with("error: ") && line.contains(told), "{line}");
}

#[test]
fn a_model_of_another_program_is_right_once_its_inputs_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let (own, expected) = evaluate(folder.path(), run(), &[]);
    let expected = expected.unwrap();
    assert_eq!(stderr(&own), "");
    let said = ["--activation", "tanh", "--normalize", &normalize()];
    for (file, names, dtype, turned) in [
        ("torch", TORCH, Dtype::F32, false),
        ("keras", KERAS, Dtype::F64, true),
        ("sklearn", ["coefs_.0", "intercepts_.0", "coefs_.1", "intercepts_.1"], Dtype::F32, true),
    ] {
        let path = folder.path().join(file);
        foreign(&path, names, dtype, turned);
        let (output, found) = evaluate(folder.path(), &path, &said);
        let found = found.unwrap_or_else(|| panic!("{}", stderr(&output)));
        assert_eq!(stderr(&output), "", "nothing was assumed");
        assert_eq!((&found["correct"], &found["loss"]), (&expected["correct"], &expected["loss"]), "{file}");

        // Unsaid, it is told once what was assumed, and how to say otherwise.
        let (output, found) = evaluate(folder.path(), &path, &[]);
        let note = stderr(&output);
        assert_eq!((output.status.code(), note.lines().count()), (Some(0), 1), "{note}");
        for part in
            ["note: ", "linear:16,relu,linear:10", "--activation", "pixels / 255", "--normalize", "--input-scale"]
        {
            assert!(note.contains(part), "{part} is missing in {note}");
        }
        assert_ne!(found.unwrap()["loss"], expected["loss"]);
        let (output, _) = evaluate(folder.path(), &path, &["--activation", "tanh"]);
        assert!(
            stderr(&output).starts_with("note: ") && !stderr(&output).contains("--activation"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn pixels_can_be_taken_as_they_are() {
    // Twice the pixel for class 1, a constant for class 0: which is larger says what the input was.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let bytes: Vec<u8> =
        [[0.0_f32; 64], [2.0 / 64.0; 64]].as_flattened().iter().flat_map(|w| w.to_le_bytes()).collect();
    let bias: Vec<u8> = [1.0_f32, 0.0].iter().flat_map(|b| b.to_le_bytes()).collect();
    let views = [
        ("weight", TensorView::new(Dtype::F32, vec![2, 64], &bytes).unwrap()),
        ("bias", TensorView::new(Dtype::F32, vec![2], &bias).unwrap()),
    ];
    serialize_to_file(views, None, &path).unwrap();
    let scaled = |words: &[&str]| {
        let output = flatnet(folder.path()).args(["inspect", "--json", "m"]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["scale"].clone()
    };
    assert_eq!(scaled(&[])["kind"], "unit");
    assert_eq!(scaled(&["--input-scale", "1/255"])["kind"], "unit");
    assert_eq!(scaled(&["--scale", "unit"])["kind"], "unit");
    let raw = scaled(&["--input-scale", "2"]);
    assert_eq!((&raw["kind"], &raw["mean"]), (&"standard".into(), &0.0.into()));
    assert!((raw["std"].as_f64().unwrap() * 510.0 - 1.0).abs() < 1e-7, "{raw}");
}

#[test]
fn what_a_file_says_itself_is_not_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = run().join("model.safetensors");
    for (words, told) in [
        (["--activation", "relu"], "metadata layers: says linear:16,tanh,linear:10 itself"),
        (["--normalize", "0.1,0.3"], "metadata scale: says (pixels / 255 - 0.1"),
        (["--input-scale", "1"], "leave out --activation, --input-scale and --normalize"),
    ] {
        refused(&evaluate(folder.path(), &model, &words).0, told);
        for command in
            [&["inspect"][..], &["predict", "x.png", "--model"], &["export", "--to", "c", "--out", "x.h", "--model"]]
        {
            let output = flatnet(folder.path()).args(command).arg(&model).args(words).output().unwrap();
            refused(&output, told);
        }
    }
    for words in [
        &["--normalize", "0.5"][..],
        &["--normalize", "0.5,0"],
        &["--input-scale", "-1"],
        &["--activation", "swish"],
        &["--input-scale", "1", "--normalize", "0,1"],
    ] {
        let output = evaluate(folder.path(), &model, words).0;
        assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1), "{}", stderr(&output));
    }
    let idx = Path::new(DATA).join("t10k-labels-idx1-ubyte.gz");
    refused(
        &flatnet(folder.path()).arg("inspect").arg(idx).args(["--scale", "1"]).output().unwrap(),
        "is no model; leave out",
    );
}

#[test]
fn inspect_tells_what_was_understood_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    foreign(&folder.path().join("keras"), KERAS, Dtype::F16, true);
    let inspect = |words: &[&str]| flatnet(folder.path()).args(["inspect", "keras"]).args(words).output().unwrap();
    let report: Value = serde_json::from_slice(&inspect(&["--json"]).stdout).unwrap();
    let tensors = report["tensors"].as_array().unwrap();
    let first = serde_json::json!({
        "name": "dense/kernel:0", "dtype": "F16", "shape": [784, 16], "parameter": "0.weight", "transposed": true,
    });
    assert_eq!((tensors.len(), &tensors[0]), (4, &first));
    assert_eq!(
        (&report["version"], &report["classes"], &tensors[3]["parameter"]),
        (&Value::Null, &10.into(), &"2.bias".into())
    );
    let told = inspect(&["--activation", "tanh", "--normalize", "0.5,0.25"]);
    for part in [
        "another program",
        "dense/kernel:0",
        "F16",
        "[784, 16]",
        "0.weight, transposed",
        "1 tanh",
        "(pixels / 255 - 0.5) / 0.25",
    ] {
        assert!(stdout(&told).contains(part), "{part} is missing in {}", stdout(&told));
    }
    assert_eq!(stderr(&told), "");
    // Of flatnet's own there is nothing to understand.
    let own = flatnet(folder.path()).args(["inspect", "--json"]).arg(run()).output().unwrap();
    assert!(serde_json::from_slice::<Value>(&own.stdout).unwrap().get("tensors").is_none());
}

fn export(cwd: &Path, model: &Path, to: &str, out: &str, more: &[&str]) -> Output {
    flatnet(cwd).args(["export", "--to", to, "--out", out, "--model"]).arg(model).args(more).output().unwrap()
}

#[test]
fn every_form_is_written_whole_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    for (to, starts) in [
        ("onnx", &b"\x08\x08\x12\x07flatnet"[..]),
        ("c", b"/* Written by flatnet"),
        ("torch", b""),
        ("safetensors", b""),
    ] {
        let output = export(cwd, run(), to, "model.out", &[]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{to}");
        let written = fs::read(cwd.join("model.out")).unwrap();
        assert!(written.starts_with(starts) && written.len() > 12_730 * 4, "{to}");
        refused(
            &export(cwd, run(), to, "model.out", &[]),
            "--out: 'model.out' is not valid: expected a new file, or --overwrite",
        );
        // The same again, to the byte.
        assert!(export(cwd, run(), to, "model.out", &["--overwrite"]).status.success());
        assert!(fs::read(cwd.join("model.out")).unwrap() == written, "{to}");
        assert_eq!(entries(cwd), ["model.out"]);
        fs::remove_file(cwd.join("model.out")).unwrap();
        let report: Value = serde_json::from_slice(&export(cwd, run(), to, "again", &["--json"]).stdout).unwrap();
        assert_eq!(
            (&report["format"], &report["parameters"], &report["bytes"]),
            (&to.into(), &12_730.into(), &written.len().into())
        );
        assert_eq!(report.get("python").is_some(), to == "torch");
        fs::remove_file(cwd.join("again")).unwrap();
    }
    let model = run().join("model.safetensors");
    for (out, told) in [
        (model.to_str().unwrap(), "none of a run and not the model"),
        (run().join("summary.json").to_str().unwrap(), "none of a run and not the model"),
        ("absent/model.onnx", "a folder that is there"),
        ("-", "expected a file"),
    ] {
        let before = fs::read(&model).unwrap();
        refused(&export(cwd, run(), "onnx", out, &["--overwrite"]), told);
        assert!(fs::read(&model).unwrap() == before);
    }
    let missing = export(cwd, &cwd.join("nothing"), "c", "x.h", &[]);
    refused(&missing, "nothing: cannot");
    assert_eq!(export(cwd, run(), "tflite", "x", &[]).status.code(), Some(2));
    assert_eq!(entries(cwd), [""; 0]);
}

#[test]
fn what_is_printed_for_pytorch_is_python() {
    let folder = tempfile::tempdir().unwrap();
    let output = export(folder.path(), run(), "torch", "m.safetensors", &[]);
    let python = stdout(&output);
    let network = "model = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.Tanh(), nn.Linear(16, 10))";
    assert!(python.lines().any(|line| line == network), "{python}");
    assert!(python.lines().any(|line| line == "model.load_state_dict(load_file(\"m.safetensors\"))"), "{python}");
}

/// A model of Keras in half precision becomes one of flatnet's, which says everything itself.
#[test]
fn a_foreign_model_becomes_flatnets_own() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let keras = cwd.join("keras");
    foreign(&keras, KERAS, Dtype::F16, true);
    let said = ["--activation", "tanh", "--normalize", &normalize()];
    assert!(export(cwd, &keras, "safetensors", "own.safetensors", &said).status.success());
    let (output, found) = evaluate(cwd, &cwd.join("own.safetensors"), &[]);
    assert_eq!(stderr(&output), "");
    let (_, expected) = evaluate(cwd, &keras, &said);
    let (found, expected) = (found.unwrap(), expected.unwrap());
    assert_eq!((&found["correct"], &found["loss"]), (&expected["correct"], &expected["loss"]));
    let model = Sequential::load(cwd.join("own.safetensors")).unwrap();
    assert_eq!(model.specs().to_string(), "linear:16,tanh,linear:10");
    // A note where nothing was said, beside the result.
    let output = export(cwd, &keras, "onnx", "m.onnx", &[]);
    assert!(
        stderr(&output).starts_with("note: ") && stdout(&output).starts_with("m.onnx: onnx, "),
        "{}",
        stderr(&output)
    );
}
