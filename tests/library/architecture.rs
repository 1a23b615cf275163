//! The house rules of `src/`, read from its lines: a room imports only from rooms above it, and threads, SIMD, GEMM and
//! `unsafe` each stay in one place. It knows names and paths, not what the code does.
//!
//! `MAP` is the list in `lib.rs`; a test holds the two together. A change to both is fine when the house becomes simpler.

use std::fs;
use std::path::{Path, PathBuf};

/// Every room, from the ground up. A room is a folder or a file of `src/`.
const MAP: [&str; 24] = [
    "error",
    "names",
    "regular_file",
    "whole_file",
    "tensor_file",
    "rng",
    "shards",
    "kernels",
    "kernels/reference",
    "parallel",
    "picture",
    "data",
    "metrics",
    "nn",
    "loss",
    "optim",
    "train",
    "model_file",
    "export",
    "run",
    "report",
    "lib",
    "cli",
    "main",
];

/// What a room must not know although it stands above it.
const STRANGERS: [(&str, &str); 4] =
    [("kernels/reference", "kernels"), ("data", "parallel"), ("run", "report"), ("report", "optim")];

/// A word, and the one place below `src/` (a file, or a folder with its slash) where it may stand.
const WORDS: [(&str, &str); 5] = [
    ("rayon", "parallel/"),
    ("unsafe {", "kernels/gemm.rs"),
    ("matrixmultiply", "kernels/gemm.rs"),
    ("fearless_simd", "kernels/"),
    ("allow(unsafe_code)", "kernels/gemm.rs"),
];

const MAX_MAIN_LINES: usize = 59;

/// The code of a line: what stands before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// What follows each `crate::` of `source`, up to two names deep, with its line; a list in braces name by name.
fn imports(source: &str) -> Vec<(usize, String)> {
    let text: String = source.lines().map(|line| format!("{}\n", code(line))).collect();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        let names: Vec<String> = match rest.strip_prefix('{') {
            Some(list) => top_names(list),
            None => vec![path(rest)],
        };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The first two names of a path.
fn path(text: &str) -> String {
    let end = text.find(|c: char| !(c == '_' || c == ':' || c.is_alphanumeric())).unwrap_or(text.len());
    text[..end].split("::").filter(|name| !name.is_empty()).take(2).collect::<Vec<_>>().join("/")
}

/// The paths of a list in braces, whose first brace is open already.
fn top_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            names.push(path(list[start..at].trim()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// The place in `MAP` of what a path such as `kernels/reference` leads to; that of the front door, if it is no room.
fn place(path: &str) -> usize {
    let place_of = |room: &str| MAP.iter().position(|known| *known == room);
    let one = path.split('/').next().unwrap_or_default();
    place_of(path).or(place_of(one)).or(place_of("lib")).unwrap_or(MAP.len())
}

/// Every rule that `source` breaks, being the file `file` below `src/`; one line each, the place first.
fn faults(file: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        for (word, home) in WORDS {
            let at_home = if home.ends_with('/') { file.starts_with(home) } else { file == home };
            if code(line).contains(word) && !at_home {
                faults.push(format!("src/{file}:{number}: `{word}` belongs to src/{home} alone"));
            }
        }
    }
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let room = module.split('/').next().unwrap_or_default();
    if !MAP.contains(&room) {
        faults.push(format!("src/{file}: a room that is not on the map: give it a place in MAP and in lib.rs"));
        return faults;
    }
    // The program's crate is another one: what it names of the library, it names as `flatnet`.
    let here = place(module);
    let tests_from = source.find("#[cfg(test)]").map_or(usize::MAX, |at| source[..at].matches('\n').count() + 1);
    for (line, path) in imports(source).into_iter().filter(|_| !matches!(room, "cli" | "main" | "lib")) {
        let (here, there) = (MAP[here], place(&path));
        // The oracle stands beside the kernels and below them: their tests alone look down to it.
        let in_test = line > tests_from || file.ends_with("tests.rs");
        let oracle_in_test = (here, MAP[there]) == ("kernels", "kernels/reference") && in_test;
        if place(here) < there && !oracle_in_test {
            faults.push(format!("src/{file}:{line}: {here} imports `{path}` from {}, which is below it", MAP[there]));
        } else if STRANGERS.contains(&(here, MAP[there])) {
            faults.push(format!("src/{file}:{line}: {here} imports `{path}`, but must not know {}", MAP[there]));
        }
    }
    if file == "lib.rs" && source.lines().any(|line| code(line).trim_start().starts_with("fn ")) {
        faults.push("src/lib.rs: the front door holds no logic: move the function into a room".into());
    }
    if file == "main.rs" && source.lines().count() > MAX_MAIN_LINES {
        faults.push(format!("src/main.rs: {} lines, expected at most {MAX_MAIN_LINES}", source.lines().count()));
    }
    faults
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below `src/`: its path there, with `/`, and its text.
fn sources() -> Vec<(String, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![src()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let names: Vec<_> =
                    path.strip_prefix(src()).unwrap().iter().map(|name| name.to_str().unwrap()).collect();
                files.push((names.join("/"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_house_keeps_its_rules() {
    let faults: Vec<String> = sources().iter().flat_map(|(file, source)| faults(file, source)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// A checker that reads nothing finds nothing wrong.
#[test]
fn the_imports_of_the_house_are_seen() {
    let sources = sources();
    let source_of = |file: &str| &sources.iter().find(|(name, _)| name == file).unwrap().1;
    let named: Vec<&str> = imports(source_of("train/trainer.rs")).iter().map(|(_, path)| MAP[place(path)]).collect();
    for room in ["error", "parallel", "kernels", "data", "nn", "loss", "optim", "train"] {
        assert!(named.contains(&room), "{room} is not among {named:?}");
    }
    for (word, home) in WORDS {
        let stands = |(file, source): &(String, String)| {
            file.starts_with(home) && source.lines().any(|line| code(line).contains(word))
        };
        assert!(sources.iter().any(stands), "{word} is nowhere in src/{home}: is its rule still needed?");
    }
    assert!(source_of("lib.rs").contains("#![deny(missing_docs, unsafe_code)]"));
    assert!(source_of("main.rs").contains("#![deny(unsafe_code)]"));
}

/// The map in `lib.rs` is the first column of its only table.
#[test]
fn the_map_in_the_front_door_is_this_one() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let shown: Vec<&str> = (lib.lines())
        .filter_map(|line| {
            line.strip_prefix("//! | ")?.split(" | ").next()?.trim().strip_prefix('`')?.strip_suffix('`')
        })
        .collect();
    assert_eq!(shown, MAP);
}

/// Each rule, on a small wrong source and on a right one.
#[test]
fn every_rule_can_fail() {
    for (file, source, expected) in [
        ("data/batch.rs", "use crate::nn::Linear;", "from nn, which is below it"),
        ("data/batch.rs", "use crate::{error::Error, nn::{self, Linear}, rng};", "from nn, which is below it"),
        ("data/batch.rs", "use crate::{\n    error::Error,\n    nn,\n};", "from nn, which is below it"),
        ("data/source/idx.rs", "fn f() { crate::train::evaluate() }", "from train, which is below it"),
        ("data/batch.rs", "#[cfg(test)]\nmod tests { use crate::nn; }", "from nn, which is below it"),
        ("data/batch.rs", "use crate::Result;", "from lib, which is below it"),
        ("data/batch.rs", "use crate::parallel::Team;", "must not know parallel"),
        ("kernels/gemm.rs", "use crate::kernels::reference;", "from kernels/reference, which is below it"),
        ("kernels/reference.rs", "use crate::kernels::gemm;", "must not know kernels"),
        ("nn/linear.rs", "use rayon::prelude::*;", "`rayon` belongs to src/parallel/ alone"),
        ("nn/linear.rs", "fn f() { unsafe { g() } }", "`unsafe {` belongs to src/kernels/gemm.rs alone"),
        ("nn/linear.rs", "#![allow(unsafe_code)]", "belongs to src/kernels/gemm.rs alone"),
        ("attic.rs", "", "not on the map"),
        ("lib.rs", "fn f() {}", "holds no logic"),
    ] {
        let found = faults(file, source);
        assert!(found.len() == 1 && found[0].contains(expected), "{file}: {source}\nfound {found:?}");
    }
    assert!(faults("main.rs", &"\n".repeat(60))[0].contains("60 lines"));
    for (file, source) in [
        ("nn/linear.rs", "use crate::{error::Result, kernels::{gemm, narrow}, rng};"),
        ("nn/linear.rs", "// use crate::train::Trainer;\n//! rayon"),
        ("kernels/gemm.rs", "#[cfg(test)]\nmod tests { use crate::kernels::reference; }"),
        ("parallel/team.rs", "use rayon::ThreadPool;"),
        ("kernels/gemm.rs", "fn f() { unsafe { matrixmultiply::sgemm() } }"),
    ] {
        assert_eq!(faults(file, source), [""; 0], "{file}: {source}");
    }
}
