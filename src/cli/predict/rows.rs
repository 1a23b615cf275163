//! `flatnet predict` for tables: a row of answers for each row, as CSV or JSON. It knows files and answers, not how a row
//! becomes a sample.

use std::fmt::Write;
use std::path::Path;

use flatnet::data::source::{self, Source};
use flatnet::data::{Outputs, Table, Targets};
use flatnet::loss::{BinaryCrossEntropy, Criterion, CrossEntropy};
use flatnet::model_file::ModelMeta;
use flatnet::nn::{Context, Sequential, Workspace};
use flatnet::report::{CsvNumber, csv_cell};
use flatnet::run::Recipe;
use flatnet::{Error, Result};
use serde_json::{Map, Value, json};

use super::{PredictArguments, Report, candidates, not_finite};
use crate::cli::{Parameters, print, print_json};

/// Names of files that hold rows, whatever the model was trained on.
const ENDINGS: [&str; 9] = [".csv", ".tsv", ".txt", ".data", ".npy", ".npz", ".svm", ".libsvm", ".idx"];

/// Whether the files hold rows for this model, and not a picture each.
pub fn are_rows(meta: &ModelMeta, files: &[std::path::PathBuf]) -> bool {
    let name = |file: &Path| file.to_string_lossy().to_lowercase().trim_end_matches(".gz").to_string();
    let of_rows = |file: &std::path::PathBuf| ENDINGS.iter().any(|ending| name(file).ends_with(ending));
    // A model for a table of pixels takes pictures too.
    let takes_rows_alone = || meta.preparation.is_some() && meta.image_size.0 == 1;
    takes_rows_alone() || files.iter().any(of_rows)
}

/// Answers for every row of every file. All rows are read before the first answer is printed, so that a row that cannot be
/// used costs no half of a file.
pub fn run(arguments: &PredictArguments, path: &Path, model: &Sequential, meta: &ModelMeta) -> Result<()> {
    let mut files = Vec::with_capacity(arguments.images.len());
    for file in &arguments.images {
        files.push((file.display().to_string(), inputs(file, model, meta)?));
    }
    let answers = Answers::of(meta, model.out_features());
    let several = files.len() > 1;
    let mut predictions = Vec::new();
    if !arguments.json {
        print(&answers.head(several))?;
    }
    for (name, x) in &files {
        let mut first = 0;
        let mut network = Network { path, model, workspace: Workspace::new(), answers: &answers };
        /// Rows at a time, few enough for caches.
        const ROWS: usize = 64;
        for x in x.chunks(ROWS * model.in_features()) {
            let found = network.answer(x, name)?;
            if arguments.json {
                predictions.extend(answers.objects(name, first, &found));
            } else {
                print(&answers.lines(several.then_some(name), first, &found))?;
            }
            first += x.len() / model.in_features();
        }
    }
    if !arguments.json {
        return Ok(());
    }
    let parameters = Parameters::of(meta);
    print_json(&Report { model: path.display().to_string(), parameters, prepare: None, predictions })
}

/// What the network takes for the rows of a file: `[rows, in_features]`.
fn inputs(file: &Path, model: &Sequential, meta: &ModelMeta) -> Result<Vec<f32>> {
    if file == Path::new(super::STDIN) {
        let problem = "rows are read from files, not from standard input; name a file".into();
        return Err(Error::DataFile { path: "standard input".into(), problem });
    }
    let recipe = meta.recipe.clone().and_then(|recipe| serde_json::from_value::<Recipe>(recipe).ok());
    let mut options = recipe.and_then(|recipe| recipe.data_settings().ok()).unwrap_or_default().source;
    options.targets = None;
    let fits = |found: usize| match found == model.in_features() {
        true => Ok(()),
        false => Err(Error::Shape {
            place: file.display().to_string(),
            expected: format!("{} columns, as many as the model takes", model.in_features()),
            found: found.to_string(),
        }),
    };
    match (source::open(file, &options)?, &meta.preparation) {
        (Source::Table { train: table, .. }, Some(preparation)) => {
            let rows: Vec<u32> = (0..u32::try_from(table.len()).unwrap_or(u32::MAX)).collect();
            preparation.inputs(&table, &rows)
        }
        (Source::Table { train: table, targets, .. }, None) => {
            let usual = table.usual_target();
            let is_target = |column: &usize| usual == Some(*column) || targets.contains(&table.columns()[*column].name);
            let columns: Vec<usize> = (0..table.columns().len()).filter(|column| !is_target(column)).collect();
            fits(columns.len())?;
            pixels(&table, &columns, meta)
        }
        (Source::Images { train: images, .. }, _) => {
            fits(images.features())?;
            Ok(images.pixels().iter().map(|pixel| meta.scale.apply(*pixel)).collect())
        }
    }
}

/// The columns of a table as pixels of pictures.
fn pixels(table: &Table, columns: &[usize], meta: &ModelMeta) -> Result<Vec<f32>> {
    let mut x = Vec::with_capacity(table.len() * columns.len());
    for (row, cells) in table.rows().enumerate() {
        for column in columns {
            let cell = cells[*column];
            let is_pixel =
                table.columns()[*column].words.is_none() && cell.fract() == 0.0 && (0.0..=255.0).contains(&cell);
            if !is_pixel {
                let (name, found) = (&table.columns()[*column].name, table.told(row, *column));
                return Err(table.refuse(row, name, "a pixel, 0 to 255", format!("'{found}'")));
            }
            x.push(meta.scale.apply(cell as u8));
        }
    }
    Ok(x)
}

struct Network<'a> {
    path: &'a Path,
    model: &'a Sequential,
    workspace: Workspace,
    answers: &'a Answers<'a>,
}

/// What the network makes of some rows.
struct Found {
    /// `[rows, outputs]`, in the units of the targets.
    outputs: Vec<f32>,
    /// `[rows, outputs]`, where outputs are logits; else empty.
    probabilities: Vec<f32>,
    /// `[rows]`, where outputs are those of classes.
    classes: Vec<u32>,
}

impl Network<'_> {
    fn answer(&mut self, x: &[f32], name: &str) -> Result<Found> {
        let context = Context::evaluate();
        let width = self.model.out_features();
        let mut outputs = self.model.forward(x, &context, &mut self.workspace).to_vec();
        let (mut probabilities, mut classes) = (Vec::new(), Vec::new());
        match self.answers {
            Answers::Values { outputs: columns } => columns.restore(&mut outputs),
            // Targets only decide a loss that nobody asks for.
            Answers::Labels { .. } => {
                let mut sigmoid = Criterion::new(BinaryCrossEntropy, width);
                sigmoid.forward(context.simd, &outputs, Targets::Values(&vec![0.0; outputs.len()]), None);
                probabilities.extend_from_slice(sigmoid.probabilities());
            }
            Answers::Classes { .. } => {
                let mut softmax = Criterion::new(CrossEntropy::new(), width);
                softmax.forward(context.simd, &outputs, Targets::Classes(&vec![0; outputs.len() / width]), None);
                probabilities.extend_from_slice(softmax.probabilities());
                classes.extend_from_slice(softmax.predictions());
            }
        }
        if outputs.iter().chain(&probabilities).any(|value| !value.is_finite()) {
            return Err(not_finite(self.path, name));
        }
        Ok(Found { outputs, probabilities, classes })
    }
}

/// What outputs stand for, and how that is written.
enum Answers<'a> {
    Classes { names: Vec<String> },
    Labels { names: Vec<&'a str> },
    Values { outputs: &'a Outputs },
}

impl<'a> Answers<'a> {
    fn of(meta: &'a ModelMeta, classes: usize) -> Self {
        match meta.preparation.as_ref().map(|preparation| &preparation.outputs) {
            Some(outputs @ Outputs::Regress { .. }) => Answers::Values { outputs },
            Some(outputs @ Outputs::MultiLabel { .. }) => Answers::Labels { names: outputs.names() },
            _ if !meta.class_names.is_empty() => Answers::Classes { names: meta.class_names.clone() },
            _ => Answers::Classes { names: (0..classes).map(|class| class.to_string()).collect() },
        }
    }

    /// The names of the columns. `row` counts from 0, as in the file that `evaluate --predictions` writes.
    fn head(&self, several: bool) -> String {
        let mut columns: Vec<String> = if several { vec!["file".into()] } else { vec![] };
        columns.push("row".into());
        match self {
            Answers::Classes { names } => {
                columns.extend(["prediction".into(), "probability".into()]);
                columns.extend(names.iter().map(|name| format!("p_{name}")));
            }
            Answers::Labels { names } => {
                columns.extend(names.iter().map(ToString::to_string));
                columns.extend(names.iter().map(|name| format!("p_{name}")));
            }
            Answers::Values { outputs } => columns.extend(outputs.names().iter().map(ToString::to_string)),
        }
        let columns: Vec<_> = columns.iter().map(|column| csv_cell(column)).collect();
        columns.join(",") + "\n"
    }

    /// A line for each row, of which the first is number `first`, from 0.
    fn lines(&self, file: Option<&String>, first: usize, found: &Found) -> String {
        let mut text = String::new();
        let width = self.width(&found.outputs);
        for (row, outputs) in found.outputs.chunks_exact(width).enumerate() {
            let probabilities = found.probabilities.get(row * width..(row + 1) * width).unwrap_or_default();
            if let Some(file) = file {
                text.push_str(&csv_cell(file));
                text.push(',');
            }
            // Writing into a String cannot fail.
            let _ = write!(text, "{}", first + row);
            match self {
                Answers::Classes { names } => {
                    let class = found.classes[row] as usize;
                    let _ = write!(text, ",{},{}", csv_cell(&names[class]), CsvNumber(probabilities[class]));
                }
                Answers::Labels { .. } => probabilities.iter().for_each(|p| {
                    let _ = write!(text, ",{}", u8::from(*p > 0.5));
                }),
                Answers::Values { .. } => outputs.iter().for_each(|value| {
                    let _ = write!(text, ",{value}");
                }),
            }
            probabilities.iter().for_each(|p| {
                let _ = write!(text, ",{}", CsvNumber(*p));
            });
            text.push('\n');
        }
        text
    }

    /// The same as JSON.
    fn objects(&self, file: &str, first: usize, found: &Found) -> Vec<Value> {
        let Found { outputs, probabilities, classes } = found;
        let width = self.width(outputs);
        let number = |value: f32| json!(value.to_string().parse::<f64>().unwrap_or_default());
        let named = |names: &[&str], values: &[f32]| -> Map<String, Value> {
            names.iter().zip(values).map(|(name, value)| (name.to_string(), number(*value))).collect()
        };
        let of_row = |(row, outputs): (usize, &[f32])| {
            let own = row * width..(row + 1) * width;
            let mut object = json!({ "file": file, "row": first + row });
            match self {
                Answers::Classes { names } => {
                    let class = classes[row] as usize;
                    object["class"] = json!(class);
                    object["name"] = json!(names[class]);
                    object["top"] = json!(candidates(&probabilities[own], class, names));
                }
                Answers::Labels { names } => {
                    let probabilities = &probabilities[own];
                    let is_there = |p: &f32| u8::from(*p > 0.5);
                    let labels: Map<String, Value> = names
                        .iter()
                        .zip(probabilities)
                        .map(|(name, p)| (name.to_string(), json!(is_there(p))))
                        .collect();
                    object["labels"] = labels.into();
                    object["probabilities"] = named(names, probabilities).into();
                }
                Answers::Values { outputs: columns } => object["values"] = named(&columns.names(), outputs).into(),
            }
            object
        };
        outputs.chunks_exact(width).enumerate().map(of_row).collect()
    }

    fn width(&self, outputs: &[f32]) -> usize {
        let width = match self {
            Answers::Classes { names } => names.len(),
            Answers::Labels { names } => names.len(),
            Answers::Values { outputs } => outputs.width(),
        };
        debug_assert!(outputs.len().is_multiple_of(width));
        width
    }
}
