//! `flatnet report`: the page and the graphs of runs, made again from their files, and several runs in one page. It knows
//! where a run's parts lie, not how a page is made of them.

use std::path::{Path, PathBuf};

use clap::Args;
use flatnet::model_file;
use flatnet::nn::Sequential;
use flatnet::report::{self, Findings};
use flatnet::run::{self, Claim, Summary, folder, weights_sha256};
use flatnet::train::History;
use flatnet::{Error, Result};

use super::own_data::{Given, OwnData};
use super::{complain, print, tell};

const EXAMPLES: &str = "\
Examples:
  flatnet report runs/1                   makes runs/1/report.html again
  flatnet report runs/1 runs/2 --out both.html
  flatnet report runs/* --out all.html --overwrite

report.html and graphs/*.svg are made from a run's other files. They are
replaced; nothing else in the folder is touched. Several runs get a page each,
and one in which they share the graphs. A page that shows validation samples
is not replaced by one without: if they are not found, name them with --data.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReportArguments {
    /// Folders of runs, such as runs/1
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Where the run's data lie [default: where each run says]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The page in which several runs are compared [default: comparison.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
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
    findings: std::result::Result<Findings, String>,
}

/// Every run that can be read gets its page. Each failure is one line: the last is returned, those before it told here.
pub fn run(arguments: &ReportArguments) -> Result<()> {
    let out = comparison(arguments)?;
    let (mut kept, mut failures) = (Vec::new(), Vec::new());
    for folder in &arguments.runs {
        match remake(folder, arguments.data.as_deref()) {
            Ok(run) => kept.push(run),
            Err(error) => failures.push(error),
        }
    }
    if let (Some(out), 2..) = (out, kept.len()) {
        let runs: Vec<_> = kept.iter().map(Kept::view).collect();
        failures.extend(compare(out, &runs).err());
    }
    let last = failures.pop();
    failures.iter().for_each(|error| complain(&super::told(error)));
    last.map_or(Ok(()), Err)
}

fn compare(out: &Path, runs: &[report::Run<'_>]) -> Result<()> {
    report::compare(out, runs)?;
    print(&format!("{}\n", out.display()))
}

/// Where the page goes in which several runs are compared; `None` for a single run, which has only its own.
///
/// It is nobody's derived file: it replaces another file only if asked to, and never one of a run.
fn comparison(arguments: &ReportArguments) -> Result<Option<&Path>> {
    let count = arguments.runs.len();
    let refuse = |name, found: String, expected: String| Err(Error::Setting { name, found, expected });
    if count == 1 {
        let only = "only with several runs; a single one's page is report.html in its folder";
        return match &arguments.out {
            Some(out) => refuse("out", format!("'{}'", out.display()), only.into()),
            None if arguments.overwrite => refuse("overwrite", "this flag".into(), only.into()),
            None => Ok(None),
        };
    }
    if count > report::MAX_COMPARED {
        return refuse(
            "out",
            format!("a comparison of {count} runs"),
            format!("at most {}, so that lines can be told apart", report::MAX_COMPARED),
        );
    }
    let out = arguments.out.as_deref().unwrap_or(Path::new("comparison.html"));
    let named = |what: &str| format!("'{}', {what},", out.display());
    if belongs_to_a_run(out) {
        let expected = "a page of its own, outside the folder of a run or of another name".into();
        return refuse("out", named("which is a file of a run"), expected);
    }
    match out.symlink_metadata() {
        Err(_) => Ok(Some(out)),
        Ok(_) if !arguments.overwrite => {
            refuse("out", named("which exists"), "a new file, or --overwrite to replace this one".into())
        }
        Ok(about) if !about.is_file() => {
            refuse("out", named("which is no plain file"), "a new file, or a plain one to replace".into())
        }
        Ok(_) => Ok(Some(out)),
    }
}

/// Whether the folder of a run, or that of its graphs, keeps a file of this name, which would be lost.
pub(super) fn belongs_to_a_run(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let here = if folder == Path::new("") { Path::new(".") } else { folder };
    let is_run = |folder: &Path| folder::FILES.iter().any(|name| folder.join(name).exists());
    let mut files = folder::FILES.into_iter().chain([folder::REPORT, folder::UNFINISHED]);
    let is_graph = here.file_name().is_some_and(|name| name == folder::GRAPHS) && is_run(&here.join(".."));
    is_run(here) && files.any(|file| name == file) || is_graph && folder::GRAPH_FILES.iter().any(|file| name == *file)
}

fn remake(folder: &Path, data: Option<&Path>) -> Result<Kept> {
    // So that no run is put in place meanwhile, and one that was put in place half-way is completed first.
    let _claim = if folder.is_dir() { Some(Claim::of_existing(folder)?) } else { None };
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
    let own = OwnData {
        recipe: &summary.recipe,
        reading: None,
        run_folder: Some(folder),
        summary: Some(&summary.data),
        train_sha256: summary.data.train_sha256.as_deref(),
        val_sha256: summary.data.val_sha256.as_deref(),
    };
    let samples = own.load(&Given { data, ..Given::default() });
    let outputs = meta.preparation.as_ref().map(|preparation| &preparation.outputs);
    let samples = samples.and_then(|(samples, _)| Ok((samples.val.with_scale(meta.scale)?, samples.rows.val)));
    let findings = match samples {
        Ok((val, rows)) => Findings::of(&model, &val, outputs, &rows, summary.recipe.batch_size),
        // Asked for by name, they are needed.
        Err(error) if data.is_some() => return Err(error),
        Err(error) => Err(error),
    };
    let kind = summary.data.kind.several();
    let findings = findings.map_err(|error| super::told(&error));
    if let Err(reason) = &findings {
        keep_a_full_page(folder, kind, reason)?;
    }
    let kept =
        Kept { name: folder.display().to_string(), summary, history, model, image_size: meta.image_size, findings };
    report::write(folder, &kept.view())?;
    print(&format!("{}\n", folder.join(folder::REPORT).display()))?;
    if let Err(reason) = &kept.findings {
        tell("note", &format!("{}: made without its validation {kind}: {reason}", folder.display()));
    }
    Ok(kept)
}

impl Kept {
    fn view(&self) -> report::Run<'_> {
        let Kept { name, summary, history, model, image_size, findings } = self;
        report::Run { name, summary, history, model, image_size: *image_size, findings }
    }
}

/// An error if the run has a page that shows its validation samples: one without them would show less.
fn keep_a_full_page(folder: &Path, kind: &str, reason: &str) -> Result<()> {
    let page = folder.join(folder::REPORT);
    let shows_samples = std::fs::read_to_string(&page).is_ok_and(|page| report::shows_samples(&page));
    if shows_samples {
        let problem = format!("shows the validation {kind}, so it stays as it is: they are not found now ({reason})");
        return Err(Error::RunFolder { path: page, problem });
    }
    Ok(())
}
