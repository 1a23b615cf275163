//! The program as tests start it, and what it leaves behind. It knows no command and no file of its own.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// In a folder of its own, so that no test sees another's `runs`.
pub fn flatnet(cwd: &Path) -> Command {
    let mut command = Command::cargo_bin("flatnet").unwrap();
    command.current_dir(cwd).env_remove("RAYON_NUM_THREADS");
    command
}

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The names in `folder`, sorted.
pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The keys of a JSON object, sorted.
pub fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort();
    keys
}
