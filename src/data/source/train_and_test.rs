//! Which files of a folder are a training and a test table, by their names. It knows names, not what the files hold.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TEST, TRAIN};
use crate::data::messages::listed;
use crate::error::{Error, Result};

/// Endings of tables, before `.gz`.
const ENDINGS: [&str; 2] = [".csv", ".tsv"];

/// The tables of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tables {
    pub train: PathBuf,
    pub test: Option<PathBuf>,
}

/// What a name says: `fashion-mnist_train.csv.gz` has the prefix `fashion-mnist_` and the split `train`.
#[derive(PartialEq, Eq)]
struct Named {
    prefix: String,
    split: String,
    packed: bool,
}

fn parse(name: &str) -> Option<Named> {
    let name = name.to_lowercase();
    let (stem, packed) = name.strip_suffix(".gz").map_or((name.as_str(), false), |stem| (stem, true));
    let stem = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending))?;
    let start = stem.rfind(['-', '_', '.', ' ']).map_or(0, |at| at + 1);
    let (prefix, split) = stem.split_at(start);
    Some(Named { prefix: prefix.into(), split: split.into(), packed })
}

/// The tables of `folder`, if one of its files has the name of a training table.
///
/// # Errors
/// [`Error::DataFolder`] if there are several to choose from, or only tables of other names; [`Error::Io`].
pub(super) fn find(folder: &Path) -> Result<Option<Tables>> {
    let failed = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'));
        if let Some(named) = name.and_then(parse)
            && path.is_file()
        {
            files.push((named, path));
        }
    }
    // Of two files of the same content, the one that need not be unpacked.
    files.sort_by(|one, other| (one.0.packed, &one.1).cmp(&(other.0.packed, &other.1)));
    let problem = |problem: String| Error::DataFolder { path: folder.to_path_buf(), problem };
    let mut prefixes: Vec<&str> = Vec::new();
    let of_training = || files.iter().filter(|(named, _)| TRAIN.contains(&named.split.as_str()));
    for (named, _) in of_training() {
        if !prefixes.contains(&named.prefix.as_str()) {
            prefixes.push(&named.prefix);
        }
    }
    let prefix = match prefixes[..] {
        [] if files.is_empty() => return Ok(None),
        [] => {
            return Err(problem(format!(
                "holds tables, but no train.csv; name one of its files instead: {}",
                some(files.iter().map(|(_, path)| path))
            )));
        }
        [one] => one,
        _ if prefixes.contains(&"") => "",
        _ => {
            let train = some(of_training().map(|(_, path)| path));
            return Err(problem(format!("holds several training tables; name one of its files: {train}")));
        }
    };
    let find = |splits: &[&str]| {
        let found = |split: &&str| files.iter().find(|(named, _)| named.prefix == prefix && named.split == **split);
        splits.iter().find_map(found).map(|(_, path)| path.clone())
    };
    Ok(find(&TRAIN).map(|train| Tables { train, test: find(&TEST) }))
}

fn some<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> String {
    listed(paths.map(|path| path.display().to_string()), 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Result<Option<(String, Option<String>)>> {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(folder.path().join(name), "a\n1\n").unwrap());
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
        Ok(find(folder.path())?.map(|tables| (name(tables.train), tables.test.map(name))))
    }

    #[test]
    fn tables_are_found_by_their_names() {
        for (names, train, test) in [
            (&["train.csv", "test.csv", "gender_submission.csv"][..], "train.csv", Some("test.csv")),
            (&["Train.TSV.gz", ".train.csv", "readme.txt"], "Train.TSV.gz", None),
            (&["train.csv", "train.csv.gz", "val.csv.gz"], "train.csv", Some("val.csv.gz")),
            (&["mnist_train.csv", "mnist_test.csv"], "mnist_train.csv", Some("mnist_test.csv")),
            (&["digits-training.csv", "digits-testing.csv"], "digits-training.csv", Some("digits-testing.csv")),
            (&["training.csv", "train.csv"], "train.csv", None),
            (&["a-train.csv", "train.csv", "a-test.csv"], "train.csv", None),
        ] {
            assert_eq!(found(names).unwrap(), Some((train.into(), test.map(String::from))), "{names:?}");
        }
        assert_eq!(found(&["readme.txt", "train.txt"]).unwrap(), None);
    }

    #[test]
    fn what_is_left_open_is_asked_for() {
        let error = found(&["iris.csv", "wine.csv"]).unwrap_err().to_string();
        assert!(
            error.contains("no train.csv; name one of its files instead: ") && error.contains("iris.csv, "),
            "{error}"
        );
        let error = found(&["a_train.csv", "b_train.csv"]).unwrap_err().to_string();
        assert!(error.contains("several training tables; name one of its files: "), "{error}");
    }
}
