//! `flatnet inspect` for models: layers, norms, dead units, recipe, digests. It reads a model and trains none.

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::Path;

use flatnet::data::{self, Batch, Loader, Scale, Shuffle, Split};
use flatnet::model_file::{Foreign, ForeignTensor, Loaded, ModelMeta};
use flatnet::nn::{Context, LayerSpec, Sequential, Workspace};
use flatnet::picture;
use flatnet::run::weights_sha256;
use flatnet::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::InspectArguments;
use super::sheet::Sheet;
use crate::cli::table::grouped;
use crate::cli::{print, print_json, printable};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    model: String,
    bytes: u64,
    sha256: String,
    /// As in `summary.json`.
    weights_sha256: String,
    /// The version of flatnet that wrote it; null for a file of another program.
    version: Option<String>,
    image_size: [usize; 2],
    classes: usize,
    scale: Scale,
    relu_grad: String,
    parameters: usize,
    layers: Vec<LayerReport>,
    /// Where dead units were counted; null if the weights alone were judged.
    data: Option<String>,
    recipe: Option<serde_json::Value>,
    /// What the file of another program holds, and what was made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorReport>>,
}

#[derive(Serialize)]
struct TensorReport {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    /// Which of the network's it became, such as `0.weight`.
    parameter: String,
    /// Whether it is `[in_features, out_features]`.
    transposed: bool,
}

#[derive(Serialize)]
struct LayerReport {
    layer: String,
    /// Only of linear layers, as all that follows but the last two.
    shape: Option<[usize; 2]>,
    parameters: usize,
    weight_norm: Option<f64>,
    bias_norm: Option<f64>,
    weight_min: Option<f32>,
    weight_max: Option<f32>,
    /// Only of ReLUs: units that give 0 for every possible image, and those that did for every image of `data`.
    never_active: Option<Vec<usize>>,
    dead_on_data: Option<Vec<usize>>,
}

/// Images that run through the network at a time.
const BATCH_SIZE: usize = 256;

pub fn inspect(arguments: &InspectArguments, path: &Path) -> Result<()> {
    let Loaded { model, meta, foreign, .. } = arguments.hints.load(path)?;
    let (bytes, sha256) = digest(path)?;
    let mut layers: Vec<LayerReport> = (0..model.specs().0.len()).map(|at| of_layer(&model, at)).collect();
    for (at, units) in never_active(&model, meta.scale) {
        layers[at].never_active = Some(units);
    }
    if let Some(folder) = &arguments.data {
        for (at, units) in dead_on_data(&model, &meta, folder)? {
            layers[at].dead_on_data = Some(units);
        }
    }
    let sheet = weights(&model, meta.image_size)?;
    if let Some(png) = &arguments.png {
        let sheet = sheet.as_ref().ok_or_else(|| Error::Model {
            path: path.to_path_buf(),
            place: "image size".into(),
            problem: "is not that of a picture, so its weights cannot be drawn; leave out --png".into(),
        })?;
        sheet.write(png)?;
    }
    let report = Report {
        kind: "model",
        model: path.display().to_string(),
        bytes,
        sha256,
        weights_sha256: weights_sha256(&model),
        version: meta.version,
        image_size: [meta.image_size.0, meta.image_size.1],
        classes: meta.classes,
        scale: meta.scale,
        relu_grad: meta.relu_grad.to_string(),
        parameters: model.parameter_count(),
        layers,
        data: arguments.data.as_ref().map(|folder| folder.display().to_string()),
        recipe: meta.recipe,
        tensors: foreign.map(tensors),
    };
    if arguments.json {
        return print_json(&report);
    }
    let mut text = told(&report);
    if let Some(sheet) = sheet {
        text.push_str("\nWeights of the first layer, a picture per unit (mid grey is 0)\n");
        text.push_str(&sheet.text()?);
    }
    print(&text)
}

fn tensors(foreign: Foreign) -> Vec<TensorReport> {
    let report = |tensor: ForeignTensor| TensorReport {
        name: tensor.name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        parameter: tensor.parameter,
        transposed: tensor.transposed,
    };
    foreign.tensors.into_iter().map(report).collect()
}

fn of_layer(model: &Sequential, at: usize) -> LayerReport {
    let tensor = |name: &str| model.parameter(&format!("{at}.{name}")).map(|tensor| tensor.values());
    let (weight, bias) = (tensor("weight"), tensor("bias"));
    let norm = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let extreme = |pick: fn(f32, f32) -> f32| weight.as_ref().and_then(|w| w.iter().copied().reduce(pick));
    LayerReport {
        layer: model.specs().0[at].to_string(),
        shape: weight.as_ref().zip(bias.as_ref()).map(|(weight, bias)| [bias.len(), weight.len() / bias.len()]),
        parameters: [&weight, &bias].into_iter().flatten().map(Vec::len).sum(),
        weight_norm: weight.as_deref().map(norm),
        bias_norm: bias.as_deref().map(norm),
        weight_min: extreme(f32::min),
        weight_max: extreme(f32::max),
        never_active: None,
        dead_on_data: None,
    }
}

/// For each ReLU, by its position, the units that give 0 whatever the image: bounds of every unit, layer by layer, from
/// the least and the largest pixel. It ends at the first activation of another kind, whose bounds are not worked out.
fn never_active(model: &Sequential, scale: Scale) -> Vec<(usize, Vec<usize>)> {
    let mut bounds = vec![(f64::from(scale.apply(0)), f64::from(scale.apply(u8::MAX))); model.in_features()];
    let mut found = Vec::new();
    for (at, layer) in model.specs().0.iter().enumerate() {
        match layer {
            LayerSpec::Linear { .. } => bounds = through(model, at, &bounds),
            // Not used but in training.
            LayerSpec::Dropout { .. } => {}
            relu if relu.is_relu() => {
                let dead = bounds.iter().enumerate().filter(|(_, (_, most))| *most <= 0.0);
                found.push((at, dead.map(|(unit, _)| unit).collect()));
                bounds.iter_mut().for_each(|(least, most)| (*least, *most) = (least.max(0.0), most.max(0.0)));
            }
            _ => break,
        }
    }
    found
}

fn through(model: &Sequential, at: usize, bounds: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let tensor = |name: &str| model.parameter(&format!("{at}.{name}")).map_or(Vec::new(), |tensor| tensor.values());
    let of_unit = |(weights, bias): (&[f32], &f32)| {
        let start = (f64::from(*bias), f64::from(*bias));
        weights.iter().zip(bounds).fold(start, |(least, most), (weight, (low, high))| {
            let (a, b) = (f64::from(*weight) * low, f64::from(*weight) * high);
            (least + a.min(b), most + a.max(b))
        })
    };
    tensor("weight").chunks_exact(bounds.len()).zip(&tensor("bias")).map(of_unit).collect()
}

/// For each ReLU, by its position, the units that give 0 for all training images of `folder`.
fn dead_on_data(model: &Sequential, meta: &ModelMeta, folder: &Path) -> Result<Vec<(usize, Vec<usize>)>> {
    let set = data::load_split(folder, Split::Train)?;
    if set.features() != model.in_features() {
        return Err(Error::Shape {
            place: folder.display().to_string(),
            expected: format!("images of {} x {} as the model takes", meta.image_size.0, meta.image_size.1),
            found: format!("{} x {}", set.image_size().0, set.image_size().1),
        });
    }
    let set = set.with_scale(meta.scale)?;
    let loader = Loader::new(&set, BATCH_SIZE, Shuffle::Never, 0)?;
    let (context, mut batch, mut workspace) = (Context::evaluate(), Batch::new(), Workspace::new());
    let first_linear = model.specs().linears().next().map_or(0, |(at, _)| at);
    // Before the first linear layer there are pixels, and no units.
    let relus = model.specs().0.iter().enumerate().filter(|(at, layer)| layer.is_relu() && *at > first_linear);
    let mut alive: Vec<(usize, Vec<bool>)> = relus.map(|(at, _)| (at, Vec::new())).collect();
    for index in 0..loader.batches() {
        loader.load(index, context.simd, &mut batch);
        model.forward(&batch, &context, &mut workspace);
        for (at, alive) in &mut alive {
            let output = workspace.layer_output(*at).unwrap_or_default();
            let units = output.len() / batch.len();
            alive.resize(units, false);
            for row in output.chunks_exact(units) {
                alive.iter_mut().zip(row).for_each(|(alive, value)| *alive |= *value > 0.0);
            }
        }
    }
    let dead = |alive: Vec<bool>| (0..alive.len()).filter(|unit| !alive[*unit]).collect();
    Ok(alive.into_iter().map(|(at, alive)| (at, dead(alive))).collect())
}

/// The weights of each unit of the first linear layer as a picture, all on one scale; `None` if an image is no picture.
fn weights(model: &Sequential, (rows, columns): (usize, usize)) -> Result<Option<Sheet>> {
    let Some(first) = model.parameters().next().filter(|_| picture::fits((rows, columns))) else { return Ok(None) };
    let first = first.values();
    let largest = first.iter().fold(f32::MIN_POSITIVE, |largest, weight| largest.max(weight.abs()));
    let mut sheet = Sheet::new(false);
    for unit in first.chunks_exact(rows * columns) {
        let pixels: Vec<u8> = unit.iter().map(|weight| (127.5 + 127.5 * weight / largest).round() as u8).collect();
        sheet.offer(None, columns, &pixels)?;
    }
    Ok(Some(sheet))
}

fn digest(path: &Path) -> Result<(u64, String)> {
    let fail = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
    let mut hasher = HashingSink(Sha256::new());
    let bytes = File::open(path).and_then(|mut file| io::copy(&mut file, &mut hasher)).map_err(fail)?;
    Ok((bytes, data::hex(&hasher.0.finalize())))
}

struct HashingSink(Sha256);

impl io::Write for HashingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told(report: &Report) -> String {
    let mut text = format!("{}\n", report.model);
    // Writing into a String cannot fail.
    let _ = describe(&mut text, report);
    text
}

fn describe(text: &mut String, report: &Report) -> std::fmt::Result {
    let [rows, columns] = report.image_size;
    let origin = report.version.as_ref().map_or("another program".to_string(), |version| format!("flatnet {version}"));
    writeln!(text, "  written by {origin}; {} bytes", grouped(report.bytes as usize))?;
    writeln!(text, "  input      images of {rows} x {columns}, {}", report.scale)?;
    writeln!(text, "  output     {} classes", report.classes)?;
    writeln!(text, "  ReLU       {} gradient in training", report.relu_grad)?;
    writeln!(text, "  parameters {}", grouped(report.parameters))?;
    writeln!(text, "  sha256     {}", report.sha256)?;
    writeln!(text, "  of weights {}", report.weights_sha256)?;
    writeln!(text, "\n  layer                parameters  weight L2    bias L2       least     largest")?;
    for (at, layer) in report.layers.iter().enumerate() {
        let name = format!("{at} {}", layer.layer);
        match (layer.weight_norm, layer.bias_norm, layer.weight_min, layer.weight_max) {
            (Some(weight), Some(bias), Some(least), Some(largest)) => writeln!(
                text,
                "  {name:<17} {:>13} {weight:>10.4} {bias:>10.4} {least:>11.4} {largest:>11.4}",
                grouped(layer.parameters)
            )?,
            _ => writeln!(text, "  {name}")?,
        }
    }
    for (at, layer) in report.layers.iter().enumerate() {
        if let Some(never) = &layer.never_active {
            writeln!(text, "\n  units of layer {at} ({}) that no image can wake: {}", layer.layer, units(never))?;
        }
        if let (Some(dead), Some(data)) = (&layer.dead_on_data, &report.data) {
            writeln!(text, "  units of it dead on the training images of {data}: {}", units(dead))?;
        }
    }
    if let Some(tensors) = &report.tensors {
        writeln!(text, "\n  tensor of the file           type  shape           taken as")?;
        for tensor in tensors {
            let name = printable(&tensor.name);
            let shape = format!("{:?}", tensor.shape);
            let turned = if tensor.transposed { ", transposed" } else { "" };
            writeln!(text, "  {name:<28} {:<5} {shape:<15} {}{turned}", tensor.dtype, tensor.parameter)?;
        }
        for (at, layer) in report.layers.iter().enumerate().filter(|(_, layer)| layer.shape.is_some()) {
            if !tensors.iter().any(|tensor| tensor.parameter == format!("{at}.bias")) {
                writeln!(text, "  layer {at} ({}) has no bias in the file; it is taken as 0", layer.layer)?;
            }
        }
    }
    match report.recipe.as_ref().and_then(serde_json::Value::as_object) {
        None => writeln!(text, "\n  recipe     not in the file"),
        Some(recipe) => {
            writeln!(text, "\n  recipe")?;
            recipe.iter().try_for_each(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let shown: String = printable(&value).chars().take(60).collect();
                writeln!(text, "    {name:<14} {shown}")
            })
        }
    }
}

/// `none`, `1 (unit 3)`, `12 (units 0, 1, 2, ...)`.
fn units(numbers: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if numbers.len() > SHOWN { ", ..." } else { "" };
    match numbers.len() {
        0 => "none".into(),
        1 => format!("1 (unit {})", shown.join(", ")),
        count => format!("{count} (units {}{more})", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_never_active_if_no_image_can_make_it_so() {
        // Pixels are 0 to 1. Unit 0 reaches 0 at most, unit 1 reaches 0.5, unit 2 is at most -1 + 0.9.
        let mut model = Sequential::new(2).linear(3).relu().linear(2).relu().build(0).unwrap();
        model.set_parameter("0.weight", &[-1.0, -2.0, 1.0, 0.5, 0.4, 0.5]).unwrap();
        model.set_parameter("0.bias", &[0.0, -1.0, -1.0]).unwrap();
        // Unit 0 and 2 of the layer before are 0, so this one is at most 0.5 - 0.5 = 0.
        model.set_parameter("2.weight", &[9.0, 1.0, 9.0, 9.0, 1.1, 9.0]).unwrap();
        model.set_parameter("2.bias", &[-0.5, -0.5]).unwrap();
        assert_eq!(never_active(&model, Scale::Unit), [(1, vec![0, 2]), (3, vec![0])]);
        // Pixels from -1 to 1 wake all but the last.
        let standard = Scale::standard(0.5, 0.5).unwrap();
        assert_eq!(never_active(&model, standard), [(1, vec![2]), (3, vec![])]);
    }

    #[test]
    fn units_are_counted_in_words() {
        assert_eq!(units(&[]), "none");
        assert_eq!(units(&[3]), "1 (unit 3)");
        assert_eq!(units(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), "9 (units 0, 1, 2, 3, 4, 5, 6, 7, ...)");
    }
}
