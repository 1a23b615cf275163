//! `flatnet inspect`: what a file or folder is, of those that flatnet reads. It finds out which kind it is and leaves the
//! rest to a file per kind.

mod data;
mod model;
mod sheet;
mod source;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use flatnet::run::folder;
use flatnet::{Error, Result, regular_file};

use super::hints::HintArguments;
use super::source::SourceArguments;

pub const EXAMPLES: &str = "\
Examples:
  flatnet inspect data/mnist                     both splits, and how they fit
  flatnet inspect data/mnist/t10k-images-idx3-ubyte.gz --png sheet.png
  flatnet inspect titanic/train.csv --target Survived
  flatnet inspect runs/1                         the model of a run
  flatnet inspect runs/1/model.safetensors --data data/mnist
  flatnet inspect torch.safetensors --normalize 0.1307,0.3081

Known files are recognized by digest: MNIST, Fashion-MNIST, KMNIST, EMNIST,
QMNIST. A unit is dead if the ReLU after it gives 0 for every image: the weights
alone can prove it, and --data counts it on a set's training images. Of a model
that another program wrote, the names, types and shapes of its tensors are told,
and what they were taken for.";

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A table (CSV, TSV, LIBSVM), arrays (IDX, .npy, .npz), a folder with a set or a
    /// run, or a model.safetensors
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write a larger contact sheet to a new PNG file: images by class, or the
    /// weights of a model's first layer [default: no file]
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// For a model: count its dead units on the training images of this folder
    /// [default: units are judged by the weights alone]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// For a table: how its columns go with this one, by name or number (Pearson's r
    /// for numbers, the correlation ratio for classes) [default: none]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    #[command(flatten)]
    pub source: SourceArguments,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub hints: HintArguments,
}

pub fn run(arguments: &InspectArguments) -> Result<()> {
    let (kind, path) = kind(&arguments.file, arguments.source.targets.is_some())?;
    if let (Some(data), false) = (&arguments.data, matches!(kind, Kind::Model)) {
        return Err(Error::Setting {
            name: "data",
            found: data.display().to_string(),
            expected: format!("only with a model, and {} is none", path.display()),
        });
    }
    if arguments.hints.are_given() && !matches!(kind, Kind::Model) {
        return Err(Error::Model {
            path,
            place: "file".into(),
            problem: "is no model; leave out --activation, --input-scale and --normalize".into(),
        });
    }
    if let Some(png) = &arguments.png {
        // Before the work, and once more when it is written.
        sheet::refuse_existing(png)?;
    }
    match kind {
        Kind::Model => model::inspect(arguments, &path),
        Kind::Idx => data::inspect_file(arguments, &path),
        Kind::Folder => data::inspect_folder(arguments, &path),
        Kind::Source => source::inspect(arguments, &path),
    }
}

enum Kind {
    Idx,
    /// Of IDX files, or of nothing that is known.
    Folder,
    Model,
    /// What [`flatnet::data::open`] reads and has no report of its own.
    Source,
}

/// What `path` is, by its first bytes or what it holds, and where that is: a run's folder stands for its model. `targets` says
/// whether a file of targets goes with it.
fn kind(path: &Path, targets: bool) -> Result<(Kind, PathBuf)> {
    let fail = |action| move |source| Error::Io { path: path.to_path_buf(), action, source };
    if path.is_dir() {
        let model = path.join(folder::MODEL);
        if model.is_file() {
            return Ok((Kind::Model, model));
        }
        let kind = if flatnet::data::holds_tables_or_pictures(path)? { Kind::Source } else { Kind::Folder };
        return Ok((kind, path.to_path_buf()));
    }
    let refuse =
        |problem: &str| Err(Error::Model { path: path.to_path_buf(), place: "file".into(), problem: problem.into() });
    let Some((file, _)) = regular_file::open(path).map_err(fail("open"))? else {
        return refuse("is not a regular file");
    };
    let mut start = Vec::new();
    file.take(9).read_to_end(&mut start).map_err(fail("read"))?;
    let kind = match start[..] {
        // An array of features with its targets is more than an IDX file.
        [0, 0, _, 1..=u8::MAX, ..] if targets => Kind::Source,
        // A safetensors file starts with a length below 2^20, whose fourth byte is 0.
        [0, 0, _, 1..=u8::MAX, ..] => Kind::Idx,
        [_, _, _, 0, 0, 0, 0, 0, b'{'] => Kind::Model,
        [] => return refuse("is empty; expected data or a safetensors model"),
        [0x1f, 0x8b, ..] if !targets && !flatnet::data::is_packed_text(path) => Kind::Idx,
        _ => Kind::Source,
    };
    Ok((kind, path.to_path_buf()))
}
