//! `flatnet report`: the page and the graphs of runs, made again from their files, and several runs in one page. It knows
//! where a run's parts lie, not how a page is made of them.

use std::path::{Path, PathBuf};

use clap::Args;
use flatnet::data::{self, Dataset, Split, sample};
use flatnet::model_file;
use flatnet::nn::Sequential;
use flatnet::report::{self, ClassificationReport};
use flatnet::run::{self, Recipe, Summary, folder, weights_sha256};
use flatnet::train::History;
use flatnet::{Error, Result};

use super::args::{DEFAULT_DATA, default_data};
use super::{complain, print, tell};

const EXAMPLES: &str = "\
Examples:
  flatnet report runs/1                   makes runs/1/report.html again
  flatnet report runs/1 runs/2 --out both.html
  flatnet report runs/* --out all.html --overwrite

report.html and graphs/*.svg are made from a run's other files. They are
replaced; nothing else in the folder is touched. Several runs get a page each,
and one in which they share the graphs.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArguments {
    /// Folders of runs, such as runs/1
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder with the set's four IDX files [default: that of each run]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The page in which several runs are compared
    #[arg(long, value_name = "FILE", default_value = "comparison.html")]
    pub out: PathBuf,
    /// Replace the file at --out
    #[arg(long)]
    pub overwrite: bool,
}

/// What the files of a run hold.
struct Kept {
    name: String,
    summary: Summary,
    history: History,
    model: Sequential,
    image_size: (usize, usize),
    classification: std::result::Result<ClassificationReport, String>,
}

/// Every run that can be read gets its page. Each failure is one line: the last is returned, those before it told here.
pub fn run(arguments: &ReportArguments) -> Result<()> {
    let several = arguments.runs.len() > 1;
    if several {
        check_out(arguments)?;
    }
    let (mut kept, mut failures) = (Vec::new(), Vec::new());
    for folder in &arguments.runs {
        match remake(folder, arguments.data.as_deref()) {
            Ok(run) => kept.push(run),
            Err(error) => failures.push(error),
        }
    }
    if several && kept.len() > 1 {
        let runs: Vec<_> = kept.iter().map(Kept::view).collect();
        failures.extend(compare(&arguments.out, &runs).err());
    }
    let last = failures.pop();
    failures.iter().for_each(|error| complain(&super::told(error)));
    last.map_or(Ok(()), Err)
}

fn compare(out: &Path, runs: &[report::Run<'_>]) -> Result<()> {
    report::compare(out, runs)?;
    print(&format!("{}\n", out.display()))
}

/// A comparison is nobody's derived file: it replaces another file only if asked to.
fn check_out(arguments: &ReportArguments) -> Result<()> {
    let (out, count) = (&arguments.out, arguments.runs.len());
    if count > report::MAX_COMPARED {
        return Err(Error::Setting {
            name: "out",
            found: format!("a comparison of {count} runs"),
            expected: format!("at most {}, so that lines can be told apart", report::MAX_COMPARED),
        });
    }
    if !arguments.overwrite && out.symlink_metadata().is_ok() {
        return Err(Error::Setting {
            name: "out",
            found: format!("'{}', which exists,", out.display()),
            expected: "a new file, or --overwrite to replace this one".into(),
        });
    }
    Ok(())
}

fn remake(folder: &Path, data: Option<&Path>) -> Result<Kept> {
    let (summary, history) = run::read(folder)?;
    let path = folder.join(folder::MODEL);
    let (model, meta) = model_file::load(&path)?;
    if weights_sha256(&model) != summary.weights_sha256 {
        return Err(Error::Model {
            path,
            place: "tensors".into(),
            problem: "are not those of summary.json (weights_sha256); the files are of two runs".into(),
        });
    }
    // As the run did, so that the figures are its own to the bit.
    let model = model.with_kernel(summary.recipe.kernel)?;
    let classification = validation_images(&summary.recipe, data)
        .and_then(|images| images.with_scale(meta.scale))
        .and_then(|images| ClassificationReport::of(&model, &images, summary.recipe.batch_size))
        .map_err(|error| error.to_string());
    let kept = Kept {
        name: folder.display().to_string(),
        summary,
        history,
        model,
        image_size: meta.image_size,
        classification,
    };
    report::write(folder, &kept.view())?;
    print(&format!("{}\n", folder.join(folder::REPORT).display()))?;
    if let Err(reason) = &kept.classification {
        tell("note", &format!("{}: made without its validation images: {reason}", folder.display()));
    }
    Ok(kept)
}

impl Kept {
    fn view(&self) -> report::Run<'_> {
        let Kept { name, summary, history, model, image_size, classification } = self;
        report::Run { name, summary, history, model, image_size: *image_size, classification: classification.clone() }
    }
}

/// The images that the run was validated on.
fn validation_images(recipe: &Recipe, data: Option<&Path>) -> Result<Dataset> {
    let folder = match data {
        Some(folder) => folder.to_path_buf(),
        None if recipe.data == DEFAULT_DATA => default_data(),
        None => PathBuf::from(&recipe.data),
    };
    let test = data::load_split(&folder, Split::Test)?;
    let rows = recipe.rows(Split::Test, test.len())?;
    Ok(sample::take(test, recipe.val_samples, &rows))
}
