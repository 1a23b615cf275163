//! `flatnet inspect` as a user types it: the bundled set, sets with something wrong, models, and files that are neither.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use flatnet::data::idx::{self, IdxArray};
use flatnet::data::{inspect, known};
use flatnet::picture;
use serde_json::Value;

use crate::common::stdout;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist");

fn run(words: &[&str]) -> Output {
    Command::cargo_bin("flatnet").unwrap().arg("inspect").args(words).output().unwrap()
}

#[track_caller]
fn json(words: &[&str]) -> Value {
    let output = run(&[words, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(words: &[&str], told: &str) {
    let output = run(words);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), line.lines().count(), output.stdout.len()), (Some(1), 1, 0), "{line}");
    assert!(line.starts_with("error: ") && line.contains(told), "{line}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes images of `rows` x `columns` as IDX under this name.
fn write_images(path: &Path, images: &[Vec<u8>], rows: usize, columns: usize) {
    idx::write(path, &IdxArray { dims: vec![images.len(), rows, columns], bytes: images.concat() }).unwrap();
}

fn write_labels(path: &Path, labels: &[u8]) {
    idx::write(path, &IdxArray { dims: vec![labels.len()], bytes: labels.to_vec() }).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_bundled_set_is_known_and_nothing_looks_wrong() {
    let report = json(&[DATA]);
    assert_eq!((&report["kind"], &report["suspicious"]), (&"folder".into(), &Value::Array(vec![])));
    let files = report["files"].as_array().unwrap();
    assert_eq!(files.len(), 4);
    // data/README.md states the digests; `known.rs` has its own.
    let readme = fs::read_to_string(Path::new(DATA).join("../README.md")).unwrap();
    for file in files {
        assert_eq!((&file["known"]["set"], &file["known"]["checked"]), (&"MNIST".into(), &true.into()), "{file}");
        assert!(readme.contains(file["unpacked_sha256"].as_str().unwrap()), "{file}");
        assert_eq!(file["suspicious"], Value::Array(vec![]), "{file}");
    }
    let (images, labels) = (&files[0], &files[1]);
    assert!(images["file"].as_str().unwrap().ends_with("train-images-idx3-ubyte.gz"));
    assert_eq!(images["shape"], serde_json::json!([60_000, 28, 28]));
    assert_eq!((&images["gzip"], &images["unpacked_bytes"]), (&true.into(), &47_040_016.into()));
    // Known of the set: 67 pixels are zero in every training image; published class counts.
    assert_eq!((&images["images"]["constant_pixels"], &images["images"]["zero_pixels"]), (&67.into(), &67.into()));
    assert_eq!(
        labels["labels"]["histogram"],
        serde_json::json!([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    );
    let packed = fs::read(Path::new(DATA).join("train-labels-idx1-ubyte.gz")).unwrap();
    assert_eq!(labels["bytes"], packed.len());
}

#[test]
fn the_text_is_plain_and_fits_and_the_png_is_a_sheet() {
    let folder = tempfile::tempdir().unwrap();
    let png = folder.path().join("sheet.png");
    let output = run(&[DATA, "--png", text(&png)]);
    let told = stdout(&output);
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(told.is_ascii(), "piped output is plain");
    let lines = || told.lines().filter(|line| !line.contains(DATA));
    assert!(lines().all(|line| line.len() <= 80), "{told}");
    for part in ["60,000 images of 28 x 28", "known as  MNIST, t10k-labels", "5,923 ####", "Nothing looks wrong."] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    // Ten classes, five to a row, each 14 columns wide and 7 lines high.
    assert!(told.contains("\n0              1              2              3              4\n"), "{told}");

    // Ten rows of twenty, 28 pixels and a gap of 2; in row 3, all of a class, ink is seen.
    let sheet = picture::open(&png).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (20 * 30 + 2, 10 * 30 + 2));
    let image = |row: usize, column: usize| -> Vec<u8> {
        let rows = sheet.pixels().chunks(sheet.width()).skip(30 * row + 2).take(28);
        rows.flat_map(|line| line[30 * column + 2..][..28].to_vec()).collect()
    };
    let (labels, images) = (
        idx::read(&Path::new(DATA).join("train-labels-idx1-ubyte.gz")).unwrap().bytes,
        idx::read(&Path::new(DATA).join("train-images-idx3-ubyte.gz")).unwrap().bytes,
    );
    let second_three = labels.iter().enumerate().filter(|(_, label)| **label == 3).nth(1).unwrap().0;
    assert_eq!(image(3, 1), images[784 * second_three..][..784]);

    let before = fs::read(&png).unwrap();
    refused(&[DATA, "--png", text(&png)], "exists already");
    assert_eq!(fs::read(&png).unwrap(), before);
    assert_eq!(names(folder.path()), ["sheet.png"]);
}

#[test]
fn a_transposed_set_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let upright = idx::read(&Path::new(DATA).join("t10k-images-idx3-ubyte.gz")).unwrap().bytes;
    let images: Vec<Vec<u8>> = (upright.chunks(784).take(2000))
        .map(|image| (0..784).map(|at| image[at % 28 * 28 + at / 28]).collect())
        .collect();
    let path = folder.path().join("lying-images-idx3-ubyte");
    write_images(&path, &images, 28, 28);
    let report = json(&[text(&path)]);
    assert!(report["suspicious"][0].as_str().unwrap().contains("look transposed, as in EMNIST"), "{report}");
    assert!(report["known"].is_null());

    let share = |path: &Path| inspect::inspect(path, |_, _, _| ()).unwrap().images.unwrap().wider_than_tall;
    let (lying, standing) = (share(&path), share(&Path::new(DATA).join("t10k-images-idx3-ubyte.gz")));
    println!("wider than tall: {standing:.3} of MNIST's test images, {lying:.3} of 2,000 of them transposed");
    assert!(standing < 0.3 && lying > 0.7, "{standing}, {lying}");
}

#[test]
fn what_is_wrong_with_a_set_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let image = |seed: usize| (0..12).map(|at| if at == 5 { 200 } else { (at * seed * 37 % 90) as u8 }).collect();
    let mut images: Vec<Vec<u8>> = (1..=6).map(image).collect();
    images[4] = vec![0; 12];
    write_images(&file("train-images-idx3-ubyte"), &images, 4, 3);
    write_labels(&file("train-labels-idx1-ubyte"), &[1, 2, 4, 1, 2]);
    write_images(&file("t10k-images-idx3-ubyte"), &images[..2], 3, 4);
    write_labels(&file("t10k-labels-idx1-ubyte"), &[1, 9]);
    write_images(&file("other-images-idx3-ubyte"), &images[..3], 3, 4);
    let report = json(&[text(folder.path())]);
    let all = report.to_string();
    for fault in [
        "5 labels in",
        "but 6 images in",
        "labels that never occur: 0, 3",
        "labels up to 9, but those in",
        "end at 4",
        "1 blank images, of one grey all over; the first is row 4",
        "hold images of different sizes",
        "other-images-idx3-ubyte: no labels of unsigned bytes beside it",
    ] {
        assert!(all.contains(fault), "{fault} is missing in {report:#}");
    }
    let told = run(&[text(folder.path())]);
    assert!(told.status.success() && stdout(&told).contains("Suspicious:\n"));

    // Letters of EMNIST count from 1; a frame is the same in all images.
    write_labels(&file("letters-idx1-ubyte"), &[1, 2, 3]);
    assert!(json(&[text(&file("letters-idx1-ubyte"))]).to_string().contains("no label 0: labels begin at 1"));
    write_images(&file("framed"), &(1..=3).map(image).collect::<Vec<_>>(), 4, 3);
    assert!(json(&[text(&file("framed"))]).to_string().contains("1 pixels are the same in all images and not 0"));
}

/// Types that flatnet does not train on are told all the same: QMNIST's labels are 32-bit integers.
#[test]
fn other_types_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qmnist-labels-idx2-int");
    fs::write(&path, [&[0, 0, 0x0c, 2, 0, 0, 0, 3, 0, 0, 0, 2][..], &[0; 24]].concat()).unwrap();
    let report = json(&[text(&path)]);
    assert_eq!((&report["element"], &report["shape"]), (&"32-bit integer".into(), &serde_json::json!([3, 2])));
    assert!(report["suspicious"][0].as_str().unwrap().contains("flatnet trains on unsigned bytes"));
    assert!(stdout(&run(&[text(&path)])).contains("shape     3 x 2"));
}

#[test]
fn damaged_and_foreign_files_are_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = [&[0, 0, 8, 1, 0, 0, 0, 4][..], &[1, 2, 3, 4]].concat();
    for (name, bytes, told) in [
        ("empty", &b""[..], "is empty"),
        ("text", b"hello, world", "it holds one line of names and no rows under it"),
        ("short", &whole[..10], "cut short: expected 12 bytes, the file ends after 10"),
        ("long", &[&whole[..], &[9]].concat(), "more bytes follow"),
        ("type", &[0, 0, 7, 1, 0, 0, 0, 1, 1], "element type 0x07"),
        ("hole", &[0, 0, 8, 1, 0, 0, 0, 0], "dimension 1 has size 0"),
        ("huge", &[0, 0, 14, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0], "the sizes promise"),
        ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], "gzip"),
        ("model", b"\x10\0\0\0\0\0\0\0{\"a\":1}         ", "is not that of a safetensors file"),
    ] {
        refused(&[text(&file(name, bytes))], told);
    }
    refused(&[text(&folder.path().join("missing"))], "cannot open");
    let nothing = tempfile::tempdir().unwrap();
    refused(&[text(nothing.path())], "holds neither IDX files");
    let labels = file("labels", &whole);
    refused(&[text(&labels), "--data", DATA], "--data");
    let png = folder.path().join("x.png");
    refused(&[text(&labels), "--png", text(&png)], "holds no images");
    assert!(!png.exists());
}

#[test]
fn a_model_is_told_with_its_recipe_and_its_dead_units() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // At this rate the exact gradient kills hidden units in a short run; which ones, the network itself says.
    let recipe = "train --layers linear:16,relu,linear:10 --relu-grad exact --lr 4 --epochs 1 --train-samples 640 \
                  --val-samples 100 --quiet --json";
    let output =
        Command::cargo_bin("flatnet").unwrap().args(recipe.split_whitespace()).arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();

    // The run's folder stands for its model.
    let report = json(&[text(&out), "--data", DATA]);
    assert_eq!(report["kind"], "model");
    assert_eq!(report["weights_sha256"], summary["weights_sha256"]);
    assert_eq!(report["parameters"], summary["model"]["parameters"]);
    assert_eq!(report["recipe"]["lr"], summary["recipe"]["lr"]);
    let layers = report["layers"].as_array().unwrap();
    let (model, meta) = flatnet::model_file::load(&out.join("model.safetensors")).unwrap();
    let weights = model.parameters().step_by(2);
    for (layer, weight) in [&layers[0], &layers[2]].into_iter().zip(weights) {
        let norm = weight.values().iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
        assert!((layer["weight_norm"].as_f64().unwrap() / norm - 1.0).abs() < 1e-9, "{layer}");
        assert_eq!(layer["shape"], serde_json::json!(weight.shape()));
    }

    // Dead units by hand: 0 for all 60,000 training images.
    let set = flatnet::data::load_split(Path::new(DATA), flatnet::data::Split::Train).unwrap();
    let first_bias = model.parameter("0.bias").unwrap().values();
    let (first_weight, pixels, table) =
        (model.parameter("0.weight").unwrap().values(), set.pixels(), meta.scale.table());
    let dead: Vec<usize> = (0..16)
        .filter(|unit| {
            let weights = &first_weight[784 * unit..][..784];
            pixels.chunks(784).all(|image| {
                let sum: f32 =
                    image.iter().zip(weights).map(|(pixel, weight)| table[usize::from(*pixel)] * weight).sum();
                sum + first_bias[*unit] <= 0.0
            })
        })
        .collect();
    assert_eq!(layers[1]["dead_on_data"], serde_json::json!(dead));
    assert!(!dead.is_empty(), "this run shows nothing: choose one that kills units");

    let png = folder.path().join("weights.png");
    let told = run(&[text(&out.join("model.safetensors")), "--png", text(&png)]);
    let told = stdout(&told);
    for part in
        ["0 linear:16", "12,560", "recipe", "that no image can wake", "relu_grad      exact", "Weights of the first"]
    {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(told.lines().filter(|line| !line.contains(text(folder.path()))).all(|line| line.len() <= 80), "{told}");
    assert_eq!(picture::open(&png).unwrap().width(), 16 * 30 + 2);
}

/// The table is data: no digest stands twice, all are well formed, and MNIST's are those of the bundled files.
#[test]
fn the_table_of_known_files_is_sound() {
    let mut digests: Vec<&str> =
        known::files().iter().flat_map(|file| [Some(file.packed_md5), file.unpacked_md5]).flatten().collect();
    assert!(
        digests
            .iter()
            .all(|md5| md5.len() == 32 && md5.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    );
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!((digests.len(), known::files().len()), (count, 40));
    let readme = fs::read_to_string(Path::new(DATA).join("../README.md")).unwrap();
    for file in known::files().iter().filter(|file| file.set == "MNIST") {
        let row = readme.lines().find(|line| line.contains(&format!("| {} |", file.name))).unwrap();
        assert!(row.contains(file.unpacked_md5.unwrap()), "{file:?}");
        let bytes: String = row.split('|').nth(2).unwrap().chars().filter(char::is_ascii_digit).collect();
        assert_eq!(bytes, file.unpacked_bytes.to_string());
    }
}

/// Writes `text` under a name in `folder`.
fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, contents).unwrap();
    path
}

#[test]
fn a_table_is_told_column_by_column() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..60)
        .map(|row| {
            let kind = ["cat", "dog", "eel"][row % 3];
            let x = if row == 7 { String::new() } else { (row % 3 * 10 + row % 2).to_string() };
            format!("{x};{},5;{kind};1\n", row * 7 % 11)
        })
        .collect();
    let path = write(folder.path(), "pets.csv", format!("x;y;kind;same\n{rows}"));
    let report = json(&[text(&path), "--target", "kind"]);
    assert_eq!((&report["kind"], &report["rows"], &report["missing"]), (&"table".into(), &60.into(), &1.into()));
    let columns = report["columns"].as_array().unwrap();
    assert_eq!((&columns[0]["kind"], &columns[0]["missing"]), (&"numbers".into(), &1.into()));
    assert_eq!((&columns[1]["least"], &columns[1]["largest"]), (&0.5.into(), &10.5.into()));
    assert_eq!((&columns[2]["kind"], &columns[2]["words"]), (&"words".into(), &3.into()));
    assert!(columns[0]["correlation"].as_f64().unwrap() > 0.99 && columns[1]["correlation"].as_f64().unwrap() < 0.5);
    assert_eq!(report["target"]["classes"][0], serde_json::json!({"class": "cat", "rows": 20}));
    assert!(report["suspicious"].to_string().contains("the same in all rows: same"));

    // Words where numbers stand, if that is asked for; and the other way round it is an error.
    let forced = json(&[text(&path), "--text-columns", "x,4", "--header", "true"]);
    assert_eq!((&forced["columns"][0]["words"], &forced["columns"][3]["words"]), (&6.into(), &1.into()));
    refused(&[text(&path), "--target", "z"], "--target: z is not valid: expected a column of ");
    refused(
        &[text(&path), "--header", "false", "--text-columns", "5"],
        "--text-columns: 5 is not valid: expected columns of ",
    );
    let mixed = write(folder.path(), "mixed.csv", "a,b\n1,2\nx,3\n");
    refused(
        &[text(&mixed)],
        "line 3, column 'a': the column holds numbers, but here is 'x'; name it in --text-columns if",
    );
    refused(&[text(&path), "--png", "x.png"], "--png: x.png is not valid");
}

#[test]
fn a_long_table_is_cut_and_fits() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..785).map(|pixel| format!("a rather long name of pixel {pixel}")).collect();
    let rows: String = (0..90_u64)
        .map(|row| (0..785).map(|at| (row * at * 1_000_003 % 4096).to_string()).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    let path = write(folder.path(), "wide.csv", format!("{}\n{rows}", names.join(",")));
    let told = run(&[text(&path), "--target", "2"]);
    let told = stdout(&told);
    assert!(told.contains("  table     90 rows of 785 columns\n") && told.contains("  and 745 columns more"), "{told}");
    assert!(told.lines().filter(|line| !line.contains(text(folder.path()))).all(|line| line.len() <= 80), "{told}");
    assert_eq!(json(&[text(&path)])["columns"].as_array().unwrap().len(), 785);
}

#[test]
fn rows_that_training_and_test_share_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train.csv", "w,x,y\na,1,0\nb,2,1\na,1,0\n");
    write(folder.path(), "test.csv", "w,x\nb,2\nc,1\na,1\n");
    let report = json(&[text(folder.path()), "--target", "y"]);
    assert_eq!(
        (&report["duplicates"], &report["shared_rows"], &report["test"]["rows"]),
        (&1.into(), &2.into(), &3.into())
    );
    let told = run(&[text(folder.path()), "--target", "y"]);
    assert!(stdout(&told).contains("2 of the 3 test rows stand among the training rows too"), "{}", stdout(&told));
}

#[test]
fn arrays_and_folders_of_pictures_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let array = |descr: &str, shape: &str, values: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape},), }}\n");
        let mut file = b"\x93NUMPY\x01\0".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(values);
        file
    };
    let x = write(folder.path(), "x.npy", array("|u1", "3, 2, 2", &[1; 12]));
    let y = write(folder.path(), "y.npy", array("|u1", "3", &[0, 1, 1]));
    let report = json(&[text(&x), "--targets", text(&y)]);
    assert_eq!(
        (&report["kind"], &report["train"]["count"], &report["train"]["rows"]),
        (&"images".into(), &3.into(), &2.into())
    );
    assert_eq!(report["train"]["classes"][1], serde_json::json!({"class": "1", "images": 2}));
    assert_eq!(json(&[text(&x)])["kind"], "table");
    refused(&[text(&write(folder.path(), "object.npy", array("|O", "3", &[0; 24])))], "Python objects");

    let gray = |value: u8| flatnet::picture::Gray::new(9, 9, vec![value; 81]).unwrap();
    for (class, value) in [("dog", 9), ("cat", 90)] {
        fs::create_dir_all(folder.path().join("pets").join(class)).unwrap();
        picture::write_png(&folder.path().join("pets").join(class).join("1.png"), &gray(value)).unwrap();
    }
    let pets = folder.path().join("pets");
    let report = json(&[text(&pets), "--image-size", "8x12"]);
    assert_eq!((&report["train"]["columns"], &report["train"]["classes"][0]["class"]), (&12.into(), &"cat".into()));
    let told = run(&[text(&pets)]);
    assert!(stdout(&told).contains("2 images of 28 x 28, 2 classes"), "{}", stdout(&told));
    refused(&[text(&pets), "--image-size", "4x4"], "--image-size: 4 x 4 is not valid");

    let lines = write(folder.path(), "t.svm", "+1 1:0.5\n-1 3:2\n");
    let report = json(&[text(&lines)]);
    assert_eq!((&report["target"]["column"], &report["columns"][2]["name"]), (&"target".into(), &"3".into()));
}
