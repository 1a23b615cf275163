//! `flatnet predict` on pictures as people take them: how many of each kind are read, and what is refused.
//!
//! `cargo test --release --test program predict_kinds -- --nocapture` trains the network of `predict.rs` and prints the
//! figures.

use std::path::PathBuf;

use flatnet::picture::{Gray, write_png};

use crate::common::stderr;
use crate::kinds::{Draws, KINDS, Kind, draw};
use crate::predict::{json, predict, test_images};

/// Pictures of each kind.
const COUNT: usize = 200;
/// Each a little under what is measured, with room for a CPU that rounds the training differently.
fn floor(kind: Kind) -> usize {
    match kind {
        Kind::Plain | Kind::UnevenLight | Kind::DarkCorner | Kind::Frame | Kind::RowOfCells | Kind::WhiteOnBlack => 190,
        Kind::SoftShadow | Kind::LinedPaper | Kind::Noise | Kind::ThinPen | Kind::Pencil => 186,
        Kind::HardShadow | Kind::DarkBands | Kind::SquaredPaper => 182,
        Kind::RoundShadow => 180,
        Kind::TightCrop => 176,
        Kind::ChalkInHalfLight | Kind::Combined => 145,
    }
}

#[test]
fn digits_are_read_in_any_light_and_on_any_paper() {
    let (folder, set) = (tempfile::tempdir().unwrap(), test_images());
    let mut below = Vec::new();
    for kind in KINDS {
        let files: Vec<PathBuf> = (0..COUNT).map(|index| folder.path().join(format!("{kind:?}-{index}.png"))).collect();
        for (index, file) in files.iter().enumerate() {
            let drawn = draw(kind, &set.row(index), index);
            write_png(file, &Gray::new(drawn.width, drawn.height, drawn.pixels).unwrap()).unwrap();
        }
        let (report, _) = json(&mut predict(&files));
        let entries = report["predictions"].as_array().unwrap();
        let right = (0..COUNT).filter(|i| entries[*i]["class"] == u64::from(set.labels()[*i])).count();
        let refused = entries.iter().filter(|entry| entry.get("error").is_some()).count();
        println!(
            "{:20} right {right}, wrong {}, refused {refused}, of {COUNT}",
            format!("{kind:?}"),
            COUNT - right - refused
        );
        if right < floor(kind) {
            below.push((kind, right));
        }
    }
    assert!(below.is_empty(), "fewer are read than should be: {below:?}");
}

/// The side of a picture without strokes, in pixels.
const SIDE: usize = 240;

/// A picture that shows no strokes gets a line that says why, not an answer.
#[test]
fn what_shows_no_strokes_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut draws = Draws::new(5);
    let mut noise = |deviation: f32| -> Vec<f32> { (0..SIDE * SIDE).map(|_| deviation * draws.normal()).collect() };
    let by_place = |level: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..SIDE * SIDE).map(|i| level(i % SIDE, i / SIDE)).collect()
    };
    let grain = noise(2.0);
    let with_grain = |levels: Vec<f32>| -> Vec<f32> { levels.iter().zip(&grain).map(|(a, b)| a + b).collect() };
    let in_square = |x: usize, y: usize| (80..160).contains(&x) && (80..160).contains(&y);
    let in_disc = |x: usize, y: usize| (x as f32 - 120.0).powi(2) + (y as f32 - 120.0).powi(2) < 3000.0;
    let grey = |levels: Vec<f32>| -> Vec<f32> { levels.iter().map(|level| 128.0 + level).collect() };
    let cases = [
        ("noise", grey(noise(40.0)), "nothing stands out of its noise"),
        ("faint-noise", grey(noise(8.0)), "nothing stands out of its noise"),
        ("square", by_place(&|x, y| if in_square(x, y) { 0.0 } else { 255.0 }), "one solid area"),
        ("disc", by_place(&|x, y| if in_disc(x, y) { 0.0 } else { 255.0 }), "one solid area"),
        ("white-square", by_place(&|x, y| if in_square(x, y) { 255.0 } else { 0.0 }), "one solid area"),
        ("blank", by_place(&|_, _| 255.0), "all nearly of one brightness"),
        ("corner", with_grain(by_place(&|x, y| if x + y > 400 { 45.0 } else { 215.0 })), "its edge cuts off"),
        ("shadow", with_grain(by_place(&|x, y| if 5 * x + 2 * y > 850 { 120.0 } else { 200.0 })), "its edge cuts off"),
        ("lines", with_grain(by_place(&|_, y| if y % 30 < 2 { 140.0 } else { 210.0 })), "all nearly of one brightness"),
    ];
    let mut files = Vec::new();
    for (name, levels, _) in &cases {
        files.push(folder.path().join(format!("{name}.png")));
        let pixels = levels.iter().map(|level| level.round().clamp(0.0, 255.0) as u8).collect();
        write_png(files.last().unwrap(), &Gray::new(SIDE, SIDE, pixels).unwrap()).unwrap();
    }
    let (report, output) = json(&mut predict(&files));
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(1), cases.len()), "{}", stderr(&output));
    for ((name, _, reason), entry) in cases.iter().zip(report["predictions"].as_array().unwrap()) {
        let error = entry["error"].as_str().unwrap_or_else(|| panic!("{name}: {entry}"));
        assert!(error.contains(reason), "{name}: {error}");
    }
}
