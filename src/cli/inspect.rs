//! `flatnet inspect`: what a file or folder is, of those that flatnet reads. It finds out which kind it is and leaves the
//! rest to a file per kind.

mod data;
mod model;
mod sheet;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use flatnet::run::folder;
use flatnet::{Error, Result, regular_file};

use super::hints::HintArguments;

pub const EXAMPLES: &str = "\
Examples:
  flatnet inspect data/mnist                     both splits, and how they fit
  flatnet inspect data/mnist/t10k-images-idx3-ubyte.gz --png sheet.png
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
    /// An IDX file, a folder with a set or a run, or a model.safetensors
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
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub hints: HintArguments,
}

pub fn run(arguments: &InspectArguments) -> Result<()> {
    let (kind, path) = kind(&arguments.file)?;
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
    }
}

enum Kind {
    Idx,
    Folder,
    Model,
}

/// What `path` is, by its first bytes or what it holds, and where that is: a run's folder stands for its model.
fn kind(path: &Path) -> Result<(Kind, PathBuf)> {
    let fail = |action| move |source| Error::Io { path: path.to_path_buf(), action, source };
    if path.is_dir() {
        let model = path.join(folder::MODEL);
        return Ok(if model.is_file() { (Kind::Model, model) } else { (Kind::Folder, path.to_path_buf()) });
    }
    let refuse =
        |problem: &str| Err(Error::Model { path: path.to_path_buf(), place: "file".into(), problem: problem.into() });
    let Some((file, _)) = regular_file::open(path).map_err(fail("open"))? else {
        return refuse("is not a regular file");
    };
    let mut start = Vec::new();
    file.take(9).read_to_end(&mut start).map_err(fail("read"))?;
    match start[..] {
        // A safetensors file starts with a length below 2^20, whose fourth byte is 0.
        [0, 0, _, 1..=u8::MAX, ..] | [0x1f, 0x8b, ..] => Ok((Kind::Idx, path.to_path_buf())),
        [_, _, _, 0, 0, 0, 0, 0, b'{'] => Ok((Kind::Model, path.to_path_buf())),
        [] => refuse("is empty; expected an IDX file or a safetensors model"),
        _ => refuse("is neither an IDX file (raw or gzip) nor a safetensors model"),
    }
}
