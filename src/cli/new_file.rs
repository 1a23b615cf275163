//! Where a command may write a file that the user named: a new one, or one that may be replaced and is nobody's but the user's.
//! It knows paths, not what is written.

use std::path::Path;

use flatnet::{Error, Result};

use super::report::belongs_to_a_run;

/// An error unless `file`, which the flag `flag` names, may be written. `model`: the file that the command reads.
pub fn check(flag: &'static str, file: &Path, overwrite: bool, model: &Path) -> Result<()> {
    let refuse = |expected: &str| {
        let (found, expected) = (format!("'{}'", file.display()), expected.to_string());
        Err(Error::Setting { name: flag, found, expected })
    };
    let is_model = || file.canonicalize().is_ok_and(|file| model.canonicalize().is_ok_and(|model| file == model));
    if file.as_os_str() == "-" {
        // Results go there, and with --json nothing else may.
        return refuse("a file, as standard output is for the results; ./- for one of that name");
    }
    if belongs_to_a_run(file) || is_model() {
        return refuse("a file of its own, none of a run and not the model");
    }
    if !overwrite && file.symlink_metadata().is_ok() {
        return refuse("a new file, or --overwrite to replace the one that is there");
    }
    match file.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => {
            refuse("a file in a folder that is there; make the folder first")
        }
        _ => Ok(()),
    }
}
