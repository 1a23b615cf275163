//! `flatnet fetch`: a known set from the web to a folder. It knows the order of the steps and what is printed, not how
//! files are asked for.

#[cfg(feature = "fetch")]
mod archive;
#[cfg(feature = "fetch")]
mod check;
#[cfg(feature = "fetch")]
mod download;
#[cfg(feature = "fetch")]
mod http;
#[cfg(feature = "fetch")]
mod progress;
#[cfg(feature = "fetch")]
mod run;
#[cfg(feature = "fetch")]
mod sets;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[cfg(feature = "fetch")]
pub use run::run;

pub const EXAMPLES: &str = "\
Examples:
  flatnet fetch fashion-mnist
  flatnet fetch kmnist --to sets/kmnist && flatnet --data sets/kmnist
  flatnet fetch mnist --to sets/mnist --mirror http://localhost:8000/mnist/

Mirrors are asked in turn. A file gets its name once its digest is the one that
was published (SHA-256, or MD5 where that is all there is); until then it is
NAME.part, and the same command goes on where it stopped. A right file that is
there already is kept. Proxies come from the
environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).

The sets of EMNIST lie in one archive of 562 MB, gzip.zip: it is fetched once
for a folder, and the files of the set that was asked for are unpacked from it.";

#[derive(Debug, Args)]
pub struct FetchArguments {
    /// Which set: mnist, fashion-mnist, kmnist, qmnist; emnist-balanced, -byclass,
    /// -bymerge, -digits, -letters, -mnist; the tables iris, wine-quality-red,
    /// wine-quality-white, breast-cancer
    #[arg(value_enum, value_name = "SET", hide_possible_values = true)]
    pub set: SetName,
    /// Folder for the set's files [default: data/SET, and data/emnist for EMNIST]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// A folder of the web that holds the files, asked instead of the known
    /// ones; may be given several times [default: the known ones]
    #[arg(long, value_name = "URL", value_parser = mirror)]
    pub mirror: Vec<String>,
    /// Give up after so many seconds in all
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    pub time_limit: u64,
    /// Leave a mirror that sends nothing, or next to nothing, for so long
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    #[arg(allow_negative_numbers = true)]
    pub stall_limit: u64,
    /// Replace files that are there and are not the published ones
    #[arg(long)]
    pub overwrite: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SetName {
    Mnist,
    FashionMnist,
    Kmnist,
    Qmnist,
    EmnistBalanced,
    EmnistByclass,
    EmnistBymerge,
    EmnistDigits,
    EmnistLetters,
    EmnistMnist,
    Iris,
    WineQualityRed,
    WineQualityWhite,
    BreastCancer,
}

#[cfg(not(feature = "fetch"))]
pub fn run(_: &FetchArguments) -> flatnet::Result<()> {
    Err(flatnet::Error::NotBuiltIn { what: "downloads", feature: "fetch" })
}

/// Always with a slash at its end, so that a file's name can follow.
fn mirror(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') && !text.contains(['?', '#', ' ']) => {
            Ok(format!("{}/", text.trim_end_matches('/')))
        }
        _ => Err("expected the address of a folder, such as https://example.org/mnist/".into()),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    const A_DAY: u64 = 86_400;
    text.parse().ok().filter(|n| (1..=A_DAY).contains(n)).ok_or_else(|| format!("expected 1 to {A_DAY}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_the_address_of_a_folder() {
        for text in ["http://a", "http://a/", "http://a//"] {
            assert_eq!(mirror(text).unwrap(), "http://a/");
        }
        for text in ["", "a", "ftp://a/", "file:///a", "http://", "https:///a", "http://a/?b", "http://a b"] {
            assert!(mirror(text).is_err(), "{text}");
        }
    }
}
