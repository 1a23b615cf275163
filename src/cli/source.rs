//! The flags that say what data leave open, for all commands that read data. It knows no command.

use std::path::PathBuf;

use clap::Args;
use flatnet::data::SourceOptions;
use flatnet::run;

use super::args::without_name;

#[derive(Debug, Clone, Default, Args)]
pub struct SourceArguments {
    /// Whether the first row of a table holds names: true or false
    /// [default: found out]
    #[arg(long, value_name = "BOOL", hide_possible_values = true)]
    pub header: Option<bool>,
    /// Columns of a table that hold words, by name or number, although their first
    /// cell is a number [default: those whose first cell is none]
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub text_columns: Vec<String>,
    /// The file of the targets, where features are an array in a file of their own:
    /// .npy, .npz or IDX [default: none]
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Rows and columns to which pictures in folders are brought [default: 28x28]
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = image_size)]
    pub image_size: Option<(usize, usize)>,
}

impl SourceArguments {
    pub fn options(&self) -> SourceOptions {
        SourceOptions {
            header: self.header,
            text_columns: self.text_columns.clone(),
            targets: self.targets.clone(),
            image_size: self.image_size,
        }
    }
}

fn image_size(text: &str) -> Result<(usize, usize), String> {
    run::image_size(text).map_err(without_name)
}
