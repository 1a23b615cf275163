//! `flatnet predict`: what a saved model makes of pictures, and of the rows of tables. It knows files and answers, not how a picture
//! becomes an image.

mod rows;

use std::io::{IsTerminal, stderr, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flatnet::data::{Prepare, Targets};
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::model_file::{Loaded, ModelMeta};
use flatnet::nn::{Context, Sequential, Workspace};
use flatnet::picture::{self, Gray};
use flatnet::{Error, Result};
use serde::Serialize;

use super::hints::HintArguments;
use super::tiles::{self, Style};
use super::{Parameters, complain, model_path, print, print_json, printable, tell};

pub const EXAMPLES: &str = "\
Examples:
  flatnet predict --model runs/1/model.safetensors seven.png
  flatnet predict --model runs/1/model.safetensors --json scans/*.jpg > answers.json
  curl -s https://example.org/digit.png | flatnet predict --model m.safetensors -
  flatnet predict --model runs/2 rows.csv > answers.csv

A picture shows one character, dark on light or light on dark, of any size up to
64 megapixels. A file that cannot be read is told on stderr; the others still get
their answers, and the exit code is 1.

For a table, standard output is CSV: a row for each row, which counts from 0, with
its class and the probabilities of all classes, its labels, or its values. One row
that cannot be used (an unknown word, a cell without a value) ends it with a line
that says where, and nothing is printed.

Models of PyTorch, Keras and scikit-learn are read from safetensors files too:
  flatnet predict --model torch.safetensors --normalize 0.1307,0.3081 seven.png";

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A model.safetensors, or the folder of a run
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Pictures, each of one character (PNG, JPEG, BMP, GIF, PGM, PBM, PPM), or
    /// tables of rows to predict for (CSV, .npy and others that train takes);
    /// - reads a picture from standard input
    #[arg(value_name = "FILE", required = true)]
    pub images: Vec<PathBuf>,
    /// What is made of a picture: the character alone, cropped and centred as in
    /// MNIST, or the whole picture, made smaller, as for Fashion-MNIST
    #[arg(long, value_enum, value_name = "WAY", default_value = "auto", hide_possible_values = true)]
    pub prepare: PrepareChoice,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub hints: HintArguments,
}

/// The choice of `--prepare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrepareChoice {
    /// As the model's training images were; as digits where its file does not say it
    Auto,
    /// The character alone, as MNIST was made
    Digit,
    /// The whole picture, made smaller
    Plain,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<E> {
    model: String,
    #[serde(flatten)]
    parameters: Parameters,
    /// Of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    prepare: Option<Prepare>,
    predictions: Vec<E>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Answer { file: String, class: usize, top: Vec<Candidate> },
    Failure { file: String, error: String },
}

#[derive(Serialize)]
struct Candidate {
    class: usize,
    /// Of a class that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// 0 to 1.
    probability: f32,
}

/// How many candidates an answer names.
const TOP: usize = 3;
const STDIN: &str = "-";

pub fn run(arguments: &PredictArguments) -> Result<()> {
    let path = model_path(&arguments.model);
    let Loaded { model, meta, .. } = arguments.hints.load(&path)?;
    if rows::are_rows(&meta, &arguments.images) {
        return rows::run(arguments, &path, &model, &meta);
    }
    check_input(&path, meta.image_size)?;
    let prepare = match arguments.prepare {
        PrepareChoice::Auto => meta.prepare.unwrap_or(Prepare::Digit),
        PrepareChoice::Digit => Prepare::Digit,
        PrepareChoice::Plain => Prepare::Plain,
    };
    let mut network = Network { path: &path, model, meta, prepare, workspace: Workspace::new() };
    let (style, columns) = (Style::of_stdout(), tiles::columns());
    let parameters = Parameters::of(&network.meta);
    // Answers are for whoever reads standard output; this is for somebody who looks on.
    if !arguments.json && stderr().is_terminal() && !parameters.told().is_empty() {
        tell("note", &format!("{}{}", path.display(), parameters.told()));
    }

    let mut predictions = Vec::with_capacity(arguments.images.len());
    // Whoever called this program tells the last failure, so each waits for the next one.
    let mut failure: Option<Error> = None;
    let mut stdin_was_read = false;
    for path in &arguments.images {
        let file = path.display().to_string();
        let answer = open(path, &mut stdin_was_read).and_then(|picture| network.answer(&picture, path));
        match answer {
            Ok((image, top)) => {
                if !arguments.json {
                    print(&told(&file, &top, &image, style, columns)?)?;
                }
                let class = top.first().map_or(0, |first| first.class);
                predictions.push(Entry::Answer { file, class, top });
            }
            Err(error) => {
                predictions.push(Entry::Failure { file, error: error.to_string() });
                if let Some(earlier) = failure.replace(error) {
                    complain(&super::told(&earlier));
                }
            }
        }
    }
    if arguments.json {
        print_json(&Report { model: path.display().to_string(), parameters, prepare: Some(prepare), predictions })?;
    }
    failure.map_or(Ok(()), Err)
}

fn check_input(path: &Path, image_size: (usize, usize)) -> Result<()> {
    if picture::fits(image_size) {
        return Ok(());
    }
    Err(Error::Model {
        path: path.to_path_buf(),
        place: "image size".into(),
        problem: format!(
            "takes inputs of {} x {}; expected both sides from {} to {}, to fit pictures into",
            image_size.0,
            image_size.1,
            picture::MIN_SIDE,
            picture::MAX_SIDE
        ),
    })
}

fn open(path: &Path, stdin_was_read: &mut bool) -> Result<Gray> {
    if path != Path::new(STDIN) {
        return picture::open(path);
    }
    let refuse = |problem: &str| Error::Picture { path: "standard input".into(), problem: problem.into() };
    if std::mem::replace(stdin_was_read, true) {
        return Err(refuse("was read already; give - once"));
    }
    if stdin().is_terminal() {
        return Err(refuse("is a terminal; pipe a picture into it, or name a file"));
    }
    picture::read(Path::new("standard input"), stdin().lock())
}

struct Network<'a> {
    path: &'a Path,
    model: Sequential,
    meta: ModelMeta,
    prepare: Prepare,
    workspace: Workspace,
}

impl Network<'_> {
    /// What the network saw, and its best candidates, the likeliest first.
    fn answer(&mut self, picture: &Gray, path: &Path) -> Result<(Gray, Vec<Candidate>)> {
        let (rows, columns) = self.meta.image_size;
        let name = if path == Path::new(STDIN) { Path::new("standard input") } else { path };
        let image = match self.prepare {
            Prepare::Digit => picture::prepare(picture, name, (rows, columns))?,
            Prepare::Plain => picture::prepare_plain(picture, name, (rows, columns))?,
        };
        let x: Vec<f32> = image.iter().map(|pixel| self.meta.scale.apply(*pixel)).collect();
        let context = Context::evaluate();
        let logits = self.model.forward(&x[..], &context, &mut self.workspace);
        let mut softmax = Criterion::new(CrossEntropy::new(), logits.len());
        // The label only decides a loss that nobody asks for.
        softmax.forward(context.simd, logits, Targets::Classes(&[0]), None);
        if softmax.probabilities().iter().any(|p| !p.is_finite()) {
            return Err(not_finite(self.path, &name.display().to_string()));
        }
        let top = candidates(softmax.probabilities(), softmax.predictions()[0] as usize, &self.meta.class_names);
        Ok((Gray::new(columns, rows, image)?, top))
    }
}

/// The likeliest classes, of which the network predicts `prediction`. `names` are theirs, or empty.
fn candidates(probabilities: &[f32], prediction: usize, names: &[String]) -> Vec<Candidate> {
    let candidate = |(class, &probability)| Candidate { class, name: names.get(class).cloned(), probability };
    let mut candidates: Vec<Candidate> = probabilities.iter().enumerate().map(candidate).collect();
    // A stable sort: of equals the prediction stays first, then the first of them.
    candidates[..=prediction].rotate_right(1);
    candidates.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    candidates.truncate(TOP);
    candidates
}

fn not_finite(model: &Path, file: &str) -> Error {
    Error::Model {
        path: model.to_path_buf(),
        place: format!("its output for {file}"),
        problem: "is not finite; its weights are too large to be of use".into(),
    }
}

fn told(file: &str, top: &[Candidate], image: &Gray, style: Style, columns: usize) -> Result<String> {
    let told: Vec<String> =
        (top.iter()).map(|candidate| format!("{candidate} ({:.1} %)", 100.0 * candidate.probability)).collect();
    let mut text = format!("{}: {}\n", printable(file), told.join(", "));
    for line in tiles::lines(image, style, columns)? {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text)
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => f.write_str(&printable(name)),
            None => self.class.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prediction_stands_before_classes_that_are_as_likely() {
        let classes = |prediction| -> Vec<usize> {
            candidates(&[0.125, 0.25, 0.25, 0.25, 0.125], prediction, &[]).iter().map(|one| one.class).collect()
        };
        assert_eq!((classes(1), classes(3)), (vec![1, 2, 3], vec![3, 1, 2]));
    }
}
