//! Which files of a folder are a set's: the names under which MNIST and its relatives are published. It knows names, not what
//! the files hold.
//!
//! | set | names |
//! |---|---|
//! | MNIST, Fashion-MNIST, Kuzushiji-MNIST | `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, ... |
//! | EMNIST (six sets) | `emnist-letters-train-images-idx3-ubyte`, `emnist-letters-test-labels-idx1-ubyte`, ... |
//! | QMNIST | `qmnist-train-images-idx3-ubyte`, `qmnist-test-labels-idx2-int`, ... |
//!
//! Each may end in `.gz`, and may have a dot before `idx`, as unpacked downloads do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::mnist::Split;
use crate::error::{Error, Result};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Images,
    Labels,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Images => "images",
            Kind::Labels => "labels",
        }
    }
}

/// A set in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    folder: PathBuf,
    /// Before the split's name: empty, or such as `emnist-letters-`.
    prefix: String,
}

/// What a file's name says.
struct Parsed<'a> {
    prefix: &'a str,
    split: Split,
    kind: Kind,
    /// Of two files of the same content, the one with the lower number is read: bytes and whole numbers
    /// first, then raw before packed, then MNIST's own spelling.
    rank: u8,
}

fn parse(name: &str) -> Option<Parsed<'_>> {
    let (stem, packed) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (name, false),
    };
    [Kind::Images, Kind::Labels].into_iter().find_map(|kind| {
        let at = stem.rfind(kind.name())?;
        let (head, tail) = (stem[..at].strip_suffix('-')?, &stem[at + kind.name().len()..]);
        let dimensions = tail.strip_prefix(['-', '.'])?.strip_prefix("idx")?;
        let element = dimensions.strip_prefix(|digit: char| digit.is_ascii_digit())?;
        let other = match element {
            "-ubyte" | "-int" => 0,
            "-byte" | "-short" | "-float" | "-double" => 1,
            _ => return None,
        };
        let start = head.rfind('-').map_or(0, |dash| dash + 1);
        let split = match &head[start..] {
            "train" => Split::Train,
            "t10k" | "test" => Split::Test,
            _ => return None,
        };
        let odd = u8::from(tail.starts_with('.')) + 2 * u8::from(head.ends_with("test"));
        Some(Parsed { prefix: &head[..start], split, kind, rank: 8 * other + 4 * u8::from(packed) + odd })
    })
}

impl Named {
    /// The set at `path`: a folder that holds one, or below which torchvision put one (`MNIST/raw`), or a folder that holds
    /// several and the name of one of them (`data/emnist/emnist-letters`). A folder in which there is none counts as one
    /// of MNIST's, whose files [`Self::find`] will not find.
    ///
    /// # Errors
    /// [`Error::DataFolder`] where there are several to choose from; [`Error::Io`] where a folder cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let none = Named { folder: path.to_path_buf(), prefix: String::new() };
        if !path.is_dir() {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
                return Ok(none);
            };
            let prefix = format!("{name}-");
            let known = prefixes(folder)?.contains(&prefix);
            return Ok(if known { Named { folder: folder.to_path_buf(), prefix } } else { none });
        }
        let mut sets = sets_in(path)?;
        if sets.is_empty() {
            for below in folders_below(path)? {
                sets.append(&mut sets_in(&below)?);
            }
        }
        // MNIST's own names need no choice, whatever lies beside them.
        if let Some(plain) = sets.iter().position(|set| set.prefix.is_empty() && set.folder == path) {
            return Ok(sets.swap_remove(plain));
        }
        if sets.len() > 1 {
            let names: Vec<String> = sets.iter().map(|set| set.path().display().to_string()).collect();
            let problem = format!("holds {} sets; name one of them: {}", sets.len(), names.join(", "));
            return Err(Error::DataFolder { path: path.to_path_buf(), problem });
        }
        Ok(sets.pop().unwrap_or(none))
    }

    /// The path by which [`Self::at`] finds it.
    fn path(&self) -> PathBuf {
        match self.prefix.strip_suffix('-') {
            Some(name) => self.folder.join(name),
            None => self.folder.clone(),
        }
    }

    /// Whether its images are published with rows and columns exchanged.
    pub fn is_transposed(&self) -> bool {
        self.prefix.starts_with("emnist-")
    }

    /// Its file of `kind` for `split`.
    ///
    /// # Errors
    /// [`Error::DataFolder`] where there is none, [`Error::Io`] where the folder cannot be read.
    pub fn find(&self, split: Split, kind: Kind) -> Result<PathBuf> {
        let mut found: Option<(u8, PathBuf)> = None;
        for_each_name(&self.folder, |name, parsed| {
            let wanted = parsed.prefix == self.prefix && (parsed.split, parsed.kind) == (split, kind);
            if wanted && found.as_ref().is_none_or(|(rank, _)| parsed.rank < *rank) {
                found = Some((parsed.rank, self.folder.join(name)));
            }
        })?;
        match found {
            Some((_, path)) => Ok(path),
            None => Err(self.missing(split, kind)),
        }
    }

    fn missing(&self, split: Split, kind: Kind) -> Error {
        let split_name = match split {
            Split::Train => "train",
            Split::Test if self.prefix.is_empty() => "t10k",
            Split::Test => "test",
        };
        let dimensions = match kind {
            Kind::Images => "idx3-ubyte",
            Kind::Labels if self.prefix.starts_with("qmnist") => "idx2-int",
            Kind::Labels => "idx1-ubyte",
        };
        let spellings = ["", ".gz"].into_iter().flat_map(|ending| {
            ['-', '.'].map(|dash| format!("{}{split_name}-{}{dash}{dimensions}{ending}", self.prefix, kind.name()))
        });
        let names: Vec<String> = spellings.collect();
        let problem = match fs::metadata(&self.folder) {
            Ok(metadata) if metadata.is_dir() => {
                let wanted_for = match (split, kind) {
                    (Split::Train, Kind::Labels) => " (it also says how many classes the test split has)",
                    _ => "",
                };
                format!(
                    "no file of {split_name} {}{wanted_for}: looked for {}; put it there, or name another folder",
                    kind.name(),
                    names.join(", ")
                )
            }
            Ok(_) => "not a folder; name the folder that holds the data".into(),
            Err(_) => {
                format!(
                    "no such folder; looked there for {} and its like; name the folder that holds the data",
                    names[0]
                )
            }
        };
        Error::DataFolder { path: self.folder.clone(), problem }
    }
}

/// Calls `visit` for every regular file of `folder` under a name that is one of a set's. Of a folder that is none, for none.
fn for_each_name(folder: &Path, mut visit: impl FnMut(&str, Parsed<'_>)) -> Result<()> {
    let failed = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    for entry in entries(folder)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        // A folder under a file's name, as some downloads unpack to, is passed over; a link to a file is a file.
        if let Some(name) = name.to_str()
            && let Some(parsed) = parse(name)
            && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file())
        {
            visit(name, parsed);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None.into_iter().flatten())
        }
        Err(source) => Err(Error::Io { path: folder.to_path_buf(), action: "read", source }),
    }
}

/// The prefixes of the sets in `folder`, sorted.
fn prefixes(folder: &Path) -> Result<Vec<String>> {
    let mut prefixes = Vec::new();
    for_each_name(folder, |_, parsed| {
        if !prefixes.iter().any(|known| known == parsed.prefix) {
            prefixes.push(parsed.prefix.to_string());
        }
    })?;
    prefixes.sort();
    Ok(prefixes)
}

fn sets_in(folder: &Path) -> Result<Vec<Named>> {
    let named = |prefix| Named { folder: folder.to_path_buf(), prefix };
    Ok(prefixes(folder)?.into_iter().map(named).collect())
}

/// Where torchvision keeps the files of its sets: `raw`, and `NAME/raw`.
fn folders_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    let mut below = vec![folder.join("raw")];
    for entry in entries(folder)? {
        below.push(entry.map_err(failed)?.path().join("raw"));
    }
    below.sort();
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        folder
    }

    #[test]
    fn published_names_are_known() {
        for (name, expected) in [
            ("train-images-idx3-ubyte", Some(("", Split::Train, Kind::Images, 0))),
            ("t10k-labels.idx1-ubyte.gz", Some(("", Split::Test, Kind::Labels, 5))),
            ("test-labels-idx1-ubyte", Some(("", Split::Test, Kind::Labels, 2))),
            ("emnist-byclass-train-images-idx3-ubyte.gz", Some(("emnist-byclass-", Split::Train, Kind::Images, 4))),
            ("qmnist-test-labels-idx2-int", Some(("qmnist-", Split::Test, Kind::Labels, 2))),
            ("train-images-idx3-float", Some(("", Split::Train, Kind::Images, 8))),
            ("t10k-labels-idx1-double.gz", Some(("", Split::Test, Kind::Labels, 12))),
            ("train-images-idx3-half", None),
            ("train-images", None),
            ("images-idx3-ubyte", None),
            ("xtrain-images-idx3-ubyte", None),
            ("train-images-idx3-ubyte.zip", None),
            ("emnist-letters-mapping.txt", None),
        ] {
            let found = parse(name).map(|parsed| (parsed.prefix, parsed.split, parsed.kind, parsed.rank));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_set_is_found_where_it_lies() {
        let found = |names: &[&str], path: &str| {
            let folder = folder(names);
            let named = Named::at(&folder.path().join(path)).unwrap();
            let images = named.find(Split::Train, Kind::Images).unwrap();
            images.strip_prefix(folder.path()).unwrap().display().to_string()
        };
        let letters = "emnist-letters-train-images-idx3-ubyte.gz";
        assert_eq!(found(&["train-images-idx3-ubyte", letters], ""), "train-images-idx3-ubyte");
        assert_eq!(found(&[letters], ""), letters);
        assert_eq!(found(&[letters, "emnist-digits-train-images-idx3-ubyte"], "emnist-letters"), letters);
        for path in ["", "MNIST", "MNIST/raw"] {
            assert_eq!(found(&["MNIST/raw/train-images-idx3-ubyte"], path), "MNIST/raw/train-images-idx3-ubyte");
        }
    }

    #[test]
    fn of_several_sets_one_has_to_be_named() {
        let emnist = folder(&["emnist-letters-train-images-idx3-ubyte", "emnist-digits-train-images-idx3-ubyte"]);
        let error = Named::at(emnist.path()).unwrap_err().to_string();
        let path = emnist.path().display();
        assert!(error.ends_with(&format!("name one of them: {path}/emnist-digits, {path}/emnist-letters")), "{error}");
        let root = folder(&["MNIST/raw/train-images-idx3-ubyte", "KMNIST/raw/train-images-idx3-ubyte"]);
        let error = Named::at(root.path()).unwrap_err().to_string();
        assert!(error.contains("KMNIST/raw, ") && error.ends_with("MNIST/raw"), "{error}");
    }

    #[test]
    fn what_a_set_lacks_is_named_under_its_own_names() {
        let folder = folder(&["qmnist-train-images-idx3-ubyte"]);
        let named = Named::at(folder.path()).unwrap();
        let error = named.find(Split::Test, Kind::Labels).unwrap_err().to_string();
        assert!(error.contains("looked for qmnist-test-labels-idx2-int, "), "{error}");
    }
}
