//! The house rules of `src/`, read from its tokens: a room imports only from rooms above it, and threads, SIMD, GEMM and
//! `unsafe` each stay in one place. It knows names and paths, not what the code does.
//!
//! `MAP` is the list in `lib.rs`; a test holds the two together. A change to both is fine when the house becomes simpler.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room, from the ground up. A room is a folder or a file of `src/`.
const MAP: [&str; 18] = [
    "error",
    "names",
    "whole_file",
    "rng",
    "parallel",
    "kernels",
    "kernels/reference",
    "data",
    "picture",
    "nn",
    "optim",
    "train",
    "model_file",
    "run",
    "report",
    "lib",
    "cli",
    "main",
];

/// What a room must not know although it stands above it.
const STRANGERS: [(&str, &str); 4] =
    [("kernels", "parallel"), ("kernels/reference", "parallel"), ("kernels/reference", "kernels"), ("nn", "parallel")];

/// A word, and the one place below `src/` (a file, or a folder with its slash) where it may stand.
const WORDS: [(&str, &str); 5] = [
    ("rayon", "parallel.rs"),
    ("unsafe", "kernels/gemm.rs"),
    ("matrixmultiply", "kernels/gemm.rs"),
    ("fearless_simd", "kernels/"),
    ("dispatch", "kernels/"),
];

const MAX_MAIN_LINES: usize = 59;

// --- what a source file says ---

#[derive(Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// Words and punctuation (`::` as one) of a Rust source, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        let mut text = String::new();
        match (at(i), at(i + 1)) {
            ('/', '/') => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            ('/', '*') => i = end_of_block_comment(&chars, i),
            ('"', _) => i = end_of_quoted(&chars, i),
            // A character, or else a lifetime, whose name is left out as well.
            ('\'', '\\') => i = end_of_quoted(&chars, i),
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            ('\'', _) => i += 1 + chars[i + 1..].iter().take_while(|c| is_word(**c)).count(),
            (':', ':') => (text, i) = ("::".into(), i + 2),
            (c, _) if is_word(c) => {
                text = chars[i..].iter().take_while(|c| is_word(**c)).collect();
                i += text.chars().count();
                let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
                let quoted = at(i + hashes) == '"';
                match &*text {
                    "r" | "br" | "cr" if quoted => (text, i) = (String::new(), end_of_raw(&chars, i + hashes, hashes)),
                    "b" | "c" if quoted && hashes == 0 => text.clear(),
                    // `r#type` is the word `type`, read next.
                    "r" if hashes == 1 && is_word(at(i + 1)) => (text, i) = (String::new(), i + 1),
                    _ => {}
                }
            }
            (c, _) => {
                i += 1;
                if !c.is_whitespace() {
                    text.push(c);
                }
            }
        }
        if !text.is_empty() {
            found.push(Token { text, line });
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// The index after the quote that ends what the quote at `start` begins.
fn end_of_quoted(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != chars[start] {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The same for a raw string of so many hashes.
fn end_of_raw(chars: &[char], start: usize, hashes: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

/// A path of this crate that some code names, from the crate's root down: `["nn", "Linear"]`.
#[derive(Debug, PartialEq)]
struct Named {
    path: Vec<String>,
    line: usize,
    in_test: bool,
}

/// All paths from `crate`, `self` and `super` in a file that is the module `module`.
fn named_paths(module: &[String], tokens: &[Token]) -> Vec<Named> {
    struct Scope {
        module: Option<String>,
        in_test: bool,
    }
    let text = |i: usize| tokens.get(i).map_or("", |token| &*token.text);
    let (mut found, mut scopes, mut test_item) = (Vec::new(), Vec::<Scope>::new(), false);
    for i in 0..tokens.len() {
        let before = if i > 0 { text(i - 1) } else { "" };
        let in_test = test_item || scopes.last().is_some_and(|scope| scope.in_test);
        match text(i) {
            "#" if (1..=6).map(|k| text(i + k)).eq(["[", "cfg", "(", "test", ")", "]"]) => test_item = true,
            ";" => test_item = false,
            "{" => {
                let module = (i >= 2 && text(i - 2) == "mod").then(|| text(i - 1).to_string());
                scopes.push(Scope { module, in_test });
                test_item = false;
            }
            "}" => drop(scopes.pop()),
            // Visibility is no import.
            "crate" if matches!(before, "(" | "extern") && text(i + 1) != "::" => {}
            start @ ("crate" | "self" | "super") if before != "::" => {
                if start == "self" && text(i + 1) != "::" {
                    continue;
                }
                let mut ends = Vec::new();
                read_path(tokens, i, &[], &mut ends);
                let mut here = module.to_vec();
                here.extend(scopes.iter().filter_map(|scope| scope.module.clone()));
                for segments in ends {
                    found.push(Named { path: absolute(&here, &segments), line: tokens[i].line, in_test });
                }
            }
            _ => {}
        }
    }
    found
}

/// Reads the path or group at `i` and adds every path it stands for, each begun by `prefix`; returns the index after it.
fn read_path(tokens: &[Token], mut i: usize, prefix: &[String], ends: &mut Vec<Vec<String>>) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |token| &*token.text);
    let mut path = prefix.to_vec();
    loop {
        if text(i) == "{" {
            i += 1;
            while !matches!(text(i), "}" | "") {
                i = read_path(tokens, i, &path, ends);
                // What may follow within a group: a comma, or `as` and a name.
                while !matches!(text(i), "," | "}" | "") {
                    i += 1;
                }
                if text(i) == "," {
                    i += 1;
                }
            }
            return i + 1;
        }
        path.push(text(i).to_string());
        i += 1;
        if text(i) != "::" {
            ends.push(path);
            return i;
        }
        i += 1;
    }
}

/// What `segments`, which begin with `crate`, `self` or `super`, mean in the module `here`.
fn absolute(here: &[String], segments: &[String]) -> Vec<String> {
    let mut path = if segments[0] == "crate" { Vec::new() } else { here.to_vec() };
    for (index, segment) in segments.iter().enumerate() {
        match &**segment {
            "super" => drop(path.pop()),
            "crate" | "self" if index == 0 => {}
            // `use a::{self}` names `a`.
            "self" => {}
            _ => path.push(segment.clone()),
        }
    }
    path
}

// --- the rules ---

/// The module that a file below `src/` is: none for a crate's root.
fn module_of(file: &str) -> Vec<String> {
    let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_string).collect();
    if matches!(file, "lib.rs" | "main.rs") || path.last().is_some_and(|name| name == "mod") {
        path.pop();
    }
    path
}

/// The place in `MAP` of what `path` leads to, in the crate whose root is the room `root`. What stands in the root
/// itself, re-exports included, belongs to the root.
fn place(path: &[String], root: &str) -> usize {
    let place_of = |room: &str| MAP.iter().position(|known| *known == room);
    let two = path.get(..2).and_then(|two| place_of(&two.join("/")));
    let one = path.first().and_then(|one| place_of(one)).filter(|place| !matches!(MAP[*place], "lib" | "main"));
    two.or(one).or(place_of(root)).unwrap_or(MAP.len())
}

/// Every rule that `source` breaks, being the file `file` below `src/`; one line each, the place first.
fn faults(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut faults = Vec::new();
    for token in &tokens {
        for (word, home) in WORDS {
            let at_home = if home.ends_with('/') { file.starts_with(home) } else { file == home };
            if token.text == word && !at_home {
                faults.push(format!("src/{file}:{}: `{word}` belongs to src/{home} alone", token.line));
            }
        }
    }
    for (i, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "unsafe_code") {
        let list = tokens[..i].iter().rposition(|before| before.text == "(").unwrap_or(0);
        let level = tokens[..list].last().map_or("", |before| &before.text);
        if !matches!(level, "deny" | "forbid") && file != "kernels/gemm.rs" {
            faults.push(format!(
                "src/{file}:{}: `{level}(unsafe_code)` belongs to src/kernels/gemm.rs alone",
                token.line
            ));
        }
    }

    let module = module_of(file);
    let root = if file == "main.rs" || file.starts_with("cli/") { "main" } else { "lib" };
    if module.first().is_some_and(|name| !MAP.contains(&&**name)) {
        faults.push(format!("src/{file}: a room that is not on the map: give it a place in MAP and in lib.rs"));
        return faults;
    }
    let here = place(&module, root);
    for named in named_paths(&module, &tokens) {
        let there = place(&named.path, root);
        let (here, line, path) = (MAP[here], named.line, named.path.join("::"));
        // The oracle stands beside the kernels and below them: their tests alone look down to it.
        let oracle_in_test = (here, MAP[there]) == ("kernels", "kernels/reference") && named.in_test;
        if MAP.iter().position(|room| *room == here) < Some(there) && !oracle_in_test {
            let there = MAP[there];
            faults.push(format!("src/{file}:{line}: {here} imports `{path}` from {there}, which is below it"));
        } else if STRANGERS.contains(&(here, MAP[there])) {
            faults.push(format!("src/{file}:{line}: {here} imports `{path}`, but must not know {}", MAP[there]));
        }
    }
    match file {
        "lib.rs" => {
            faults.extend(tokens.iter().filter(|token| token.text == "fn").map(|token| {
                format!("src/lib.rs:{}: the front door holds no logic: move the function into a room", token.line)
            }));
        }
        "main.rs" if source.lines().count() > MAX_MAIN_LINES => {
            faults.push(format!("src/main.rs: {} lines, expected at most {MAX_MAIN_LINES}", source.lines().count()));
        }
        _ => {}
    }
    faults
}

// --- the house ---

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
    let rooms_named_by = |file: &str| -> BTreeSet<&str> {
        let source = &sources.iter().find(|(name, _)| name == file).unwrap().1;
        named_paths(&module_of(file), &tokens(source)).iter().map(|named| MAP[place(&named.path, "lib")]).collect()
    };
    let trainer = rooms_named_by("train/trainer.rs");
    for room in ["error", "parallel", "kernels", "data", "nn", "optim", "train"] {
        assert!(trainer.contains(room), "{room} is not among {trainer:?}");
    }
    assert!(rooms_named_by("kernels/softmax.rs").contains("kernels/reference"));
    assert!(rooms_named_by("data/loader.rs").contains("data"), "imports by super");
    for (word, home) in WORDS {
        let here = |(file, source): &(String, String)| {
            file.starts_with(home) && tokens(source).iter().any(|token| token.text == word)
        };
        assert!(sources.iter().any(here), "{word} is nowhere in src/{home}: is its rule still needed?");
    }
    let lib: Vec<String> = tokens(&sources.iter().find(|(file, _)| file == "lib.rs").unwrap().1)
        .into_iter()
        .map(|token| token.text)
        .collect();
    assert!(lib.windows(4).any(|four| four == ["deny", "(", "unsafe_code", ")"]));
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
    let places: Vec<_> = shown.iter().map(|room| MAP.iter().position(|known| known == room).ok_or(room)).collect();
    assert!(places.iter().all(Result::is_ok), "rooms of lib.rs that are not on the map: {places:?}");
    assert!(places.windows(2).all(|two| two[0] < two[1]), "another order than the map's: {shown:?}");
    for (file, _) in sources() {
        let top = file.split('/').next().unwrap().trim_end_matches(".rs").to_string();
        assert!(shown.contains(&&*top), "src/{file}: its room is not on the map in lib.rs");
    }
    assert!(shown.contains(&"kernels/reference"));
}

// --- the checker itself, on small wrong and small right sources ---

fn assert_fault(file: &str, source: &str, expected: &str) {
    let faults = faults(file, source);
    assert!(
        faults.len() == 1 && faults[0].contains(expected),
        "{file}: {source}\nfound {faults:?}\nexpected {expected}"
    );
}

fn assert_right(file: &str, source: &str) {
    assert_eq!(faults(file, source), [""; 0], "{file}: {source}");
}

#[test]
fn an_import_from_below_is_found_however_it_is_written() {
    for source in [
        "use crate::nn::Linear;",
        "use crate::{error::Error, nn::Linear, rng};",
        "use {crate::nn as layers, crate::rng};",
        "pub(crate) use crate::nn;",
        "use crate::{nn::{self}, rng::{self}};",
        "use super::super::nn::Linear;",
        "use self::super::super::nn::Linear;",
        "mod inner { use super::super::super::nn::Linear; }",
        "mod inner {} use super::super::nn::Linear;",
        "fn f() { crate::nn::train() }",
        "fn f() { use crate\n    ::\n    nn; }",
        "fn f(x: &'static crate::nn::Linear) {}",
        "type L<'a> = Vec<crate::nn::Linear<'a>>;",
        "macro_rules! m { () => { $crate::nn::Linear } }",
        "const QUOTE: char = '\"'; use crate::nn::Linear; const OTHER: char = '\"';",
        "const QUOTE: char = '\\''; use crate::nn::Linear;",
        "const RAW: &str = r#\"a \" b\"#; use crate::nn::Linear;",
        "const RAW: &[u8] = br\"\\\"; use crate::nn::Linear;",
        "/* a /* nested */ comment */ use crate::nn::Linear;",
        "// a comment\nuse crate::nn::Linear;",
        "#[cfg(test)]\nmod tests { use super::*; use crate::nn::Linear; }",
    ] {
        assert_fault("data/idx.rs", source, "data imports `nn");
    }
    assert_fault("rng.rs", "\n\nuse crate::data::Dataset;", "src/rng.rs:3: rng imports `data::Dataset` from data");
    assert_fault("nn/linear.rs", "use crate::optim::Sgd;", "from optim");
    assert_fault("kernels/gemm.rs", "use super::super::nn::Linear;", "from nn");
    assert_fault("run/mod.rs", "use crate::report::page;", "from report");
    assert_eq!(faults("rng.rs", "use crate::{data, nn::Linear, error, train};").len(), 3);
}

#[test]
fn an_import_through_the_front_door_is_an_import_from_below() {
    for source in
        ["use crate::Error;", "use crate::*;", "use crate as c;", "use super::*;", "fn f() -> crate::Result<()> {}"]
    {
        assert_fault("rng.rs", source, "from lib, which is below it");
    }
    assert_fault("cli/mod.rs", "use crate::main;", "from main, which is below it");
}

#[test]
fn a_room_does_not_know_its_strangers() {
    assert_fault("kernels/softmax.rs", "use crate::parallel::Team;", "must not know parallel");
    assert_fault("nn/linear.rs", "use crate::parallel::Team;", "must not know parallel");
    assert_fault("kernels/reference.rs", "use crate::kernels::LANES;", "must not know kernels");
    assert_fault("kernels/reference.rs", "use super::pointwise;", "must not know kernels");
    assert_fault("kernels/softmax.rs", "use super::reference;", "from kernels/reference");
    assert_fault("kernels/softmax.rs", "#[cfg(test)] mod tests {}\nuse super::reference;", "from kernels/reference");
    assert_right("kernels/softmax.rs", "#[cfg(test)]\nmod tests { use super::super::reference; }");
    assert_right("kernels/softmax.rs", "#[cfg(test)]\nuse crate::kernels::reference;");
    assert_right("kernels/reference.rs", "#[cfg(test)] mod tests { use super::*; use super::linear_forward; }");
}

#[test]
fn words_stay_at_home() {
    assert_fault(
        "train/trainer.rs",
        "\nuse rayon::prelude::*;",
        "src/train/trainer.rs:2: `rayon` belongs to src/parallel.rs",
    );
    assert_fault("cli/mod.rs", "fn f() { rayon::join(a, b); }", "`rayon`");
    assert_fault("nn/linear.rs", "fn f() { unsafe { g() } }", "`unsafe` belongs to src/kernels/gemm.rs");
    assert_fault("nn/linear.rs", "#[unsafe(no_mangle)] fn f() {}", "`unsafe`");
    assert_fault("kernels/narrow.rs", "use matrixmultiply::sgemm;", "`matrixmultiply` belongs to src/kernels/gemm.rs");
    assert_fault("nn/relu.rs", "use fearless_simd::Level;", "`fearless_simd` belongs to src/kernels/");
    assert_fault("nn/linear.rs", "fn f() { dispatch!(level, simd => g(simd)) }", "`dispatch` belongs to src/kernels/");
    assert_fault("nn/relu.rs", "#![allow(clippy::all, unsafe_code)]", "`allow(unsafe_code)`");
    assert_fault("nn/relu.rs", "#[expect(unsafe_code)] fn f() {}", "`expect(unsafe_code)`");
    assert_right("kernels/gemm.rs", "#![allow(unsafe_code)] fn f() { unsafe { matrixmultiply::sgemm() } }");
    assert_right("kernels/narrow.rs", "use fearless_simd::Level;");
    assert_right("kernels/narrow.rs", "fn f() { dispatch!(level, simd => g(simd)) }");
    assert_right("parallel.rs", "use rayon::prelude::*;");
    assert_right("lib.rs", "#![deny(unsafe_code)]");
    assert_right("nn/relu.rs", "fn rayon_like(unsafety: Unsafe) {}");
}

#[test]
fn front_doors_stay_small_and_rooms_are_on_the_map() {
    assert_fault("lib.rs", "pub mod nn;\nfn helper() {}", "src/lib.rs:2: the front door holds no logic");
    assert_fault("main.rs", &"// a line\n".repeat(60), "src/main.rs: 60 lines");
    assert_fault("helpers.rs", "use crate::nn::Linear;", "src/helpers.rs: a room that is not on the map");
    assert_fault("helpers/mod.rs", "", "not on the map");
    assert_right("main.rs", &"// a line\n".repeat(59));
    assert_right("lib.rs", "pub mod nn;\npub use nn::Linear;\npub use crate::error::Error;");
}

#[test]
fn comments_strings_and_lifetimes_say_nothing() {
    for source in [
        "//! use crate::nn::Linear; rayon unsafe",
        "/// ```\n/// use crate::nn::Linear;\n/// unsafe { rayon::join() }\n/// ```\nfn f() {}",
        "/* use crate::nn::Linear; /* unsafe */ rayon */",
        "const A: &str = \"use crate::nn::Linear; unsafe { rayon }\";",
        "const A: &str = \"\\\"; use crate::nn; unsafe\";",
        "const A: &str = r##\"\"# use crate::nn; unsafe\"##;",
        "const A: &[u8] = b\"unsafe \\\" rayon\"; const B: &CStr = cr#\"unsafe\"#; const C: u8 = b'\\'';",
        "fn f<'unsafe_>(x: &'rayon str) {}",
        "const A: char = '\"'; const B: char = '\"';",
        "use crate::error::Error; pub(crate) fn f() {} pub(in crate::data) fn g(self: Self) { self.nn() }",
        "#[cfg(test)] mod tests { use super::*; use super::super::Dataset; use crate::rng::{self, Stream}; }",
    ] {
        assert_right("data/idx.rs", source);
    }
}

#[test]
fn tokens_know_their_lines() {
    let source = "// one\n\"two\nthree\" four /* five\n*/ six::r#seven 'a' 'x b'\\n'";
    let found: Vec<(String, usize)> = tokens(source).into_iter().map(|token| (token.text, token.line)).collect();
    let expected = [("four", 3), ("six", 4), ("::", 4), ("seven", 4), ("b", 4)];
    assert_eq!(found, expected.map(|(text, line)| (text.to_string(), line)));
}
