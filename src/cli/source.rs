//! The flags that say what data leave open, for all commands that read data. It knows no command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flatnet::data::SourceOptions;

#[derive(Debug, Clone, Default, Args)]
pub struct SourceArguments {
    /// Whether the first row of a table holds the names of its columns: auto, yes or
    /// no
    #[arg(long, value_name = "WHETHER", value_enum, hide_possible_values = true, default_value_t)]
    pub header: Header,
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

/// Whether the first row holds names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Header {
    #[default]
    Auto,
    Yes,
    No,
}

impl SourceArguments {
    pub fn options(&self) -> SourceOptions {
        SourceOptions {
            header: match self.header {
                Header::Auto => None,
                Header::Yes => Some(true),
                Header::No => Some(false),
            },
            text_columns: self.text_columns.clone(),
            targets: self.targets.clone(),
            image_size: self.image_size,
        }
    }
}

fn image_size(text: &str) -> Result<(usize, usize), String> {
    let side = |text: &str| text.parse().ok().filter(|side| *side > 0);
    let sides = text.split_once(['x', 'X']).and_then(|(rows, columns)| Some((side(rows)?, side(columns)?)));
    sides.ok_or_else(|| "expected rows and columns, such as 28x28".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_sizes_are_two_numbers() {
        assert_eq!(image_size("28x32"), Ok((28, 32)));
        for text in ["28", "28x", "x", "0x5", "-1x5", "2x3x4", "a x b"] {
            assert!(image_size(text).is_err(), "{text}");
        }
    }
}
