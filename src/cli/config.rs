//! `train --config`: a file of settings as if its lines were flags that stand before all others. It knows the file's form and
//! its place, not the settings.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use flatnet::{Error, regular_file};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Settings, Value};
use super::{Arguments, MAX_VALUE, shortened};

/// A file of settings has some hundred bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A command line in which the file's settings are flags.
#[derive(Debug)]
pub struct Expanded {
    pub words: Vec<OsString>,
    pub origins: Origins,
}

/// Which settings come from a file, and from which line of it.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    file: PathBuf,
    /// The setting's name in the library.
    lines: Vec<(String, u64)>,
}

impl Origins {
    /// The error with its place, where it is one of a setting that comes from the file.
    pub fn place(&self, error: Error) -> Error {
        let Error::Setting { name, found, expected } = &error else { return error };
        match self.lines.iter().find(|(id, _)| id == name) {
            Some((_, line)) => Error::RunFile {
                path: self.file.clone(),
                line: *line,
                problem: format!("{}: {found} is not valid: expected {expected}", name.replace('_', "-")),
            },
            None => error,
        }
    }
}

/// Puts the settings of the file that `--config` names behind the command; those that flags give, and those in `without`, stay
/// out. Without `--config`, the words stay as they are. `Err` is one line: which file, which line, what to do.
pub fn expand(words: Vec<OsString>, without: &[&str]) -> Result<Expanded, String> {
    // What else is wrong is told by who parses the words afterwards.
    let found = Arguments::command().ignore_errors(true).try_get_matches_from(&words);
    let config = found.as_ref().ok().and_then(|found| {
        let (flags, at) = match found.subcommand() {
            Some(("train", flags)) => (flags, 2),
            Some(_) => return None,
            None => (found, 1),
        };
        Some((flags, at, flags.try_get_one::<PathBuf>("config").ok()??))
    });
    let Some((flags, at, path)) = config else { return Ok(Expanded { words, origins: Origins::default() }) };
    let is_flag = |id: &str| is_given(flags, id) || without.contains(&id);
    let (mut lines, mut added) = (Vec::new(), Vec::new());
    for setting in read(path)?.into_iter().filter(|setting| !is_flag(&setting.id)) {
        lines.push((setting.id, setting.line));
        added.extend(setting.words);
    }
    let mut expanded = words;
    expanded.splice(at.min(expanded.len())..at.min(expanded.len()), added);
    Ok(Expanded { words: expanded, origins: Origins { file: path.clone(), lines } })
}

/// Whether the flag stands on the command line itself.
pub fn is_given(flags: &ArgMatches, id: &str) -> bool {
    flags.try_contains_id(id).is_ok() && flags.value_source(id) == Some(ValueSource::CommandLine)
}

/// A line of the file.
#[derive(Debug)]
struct Line {
    id: String,
    line: u64,
    words: Vec<OsString>,
}

/// The file's settings, in its order.
fn read(path: &Path) -> Result<Vec<Line>, String> {
    let name = path.display();
    let text = read_text(path).map_err(|problem| format!("{name}: {problem} (--config FILE)"))?;
    let line_at = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count() as u64;
    let table = DeTable::parse(&text).map_err(|error| {
        let line = line_at(error.span().map_or(0, |span| span.start));
        format!("{name}: line {line}: {}; is it TOML?", error.message().replace('\n', ", "))
    })?;
    let settings = Settings::of_train();
    let base = path.parent().unwrap_or(Path::new(""));
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut lines: Vec<Line> = Vec::new();
    for (key, value) in entries {
        let line = line_at(key.span().start);
        let problem =
            |problem: String| format!("{name}: line {line}: {}: {problem}", shortened(key.get_ref(), MAX_VALUE));
        let setting = settings.find(key.get_ref()).map_err(&problem)?;
        if let Some(first) = lines.iter().find(|earlier| earlier.id == setting.id()) {
            return Err(problem(format!("stands in line {} already", first.line)));
        }
        let words = value_of(value).and_then(|value| setting.words(&value, base)).map_err(&problem)?;
        lines.push(Line { id: setting.id().into(), line, words });
    }
    Ok(lines)
}

fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read: {error}");
    let (file, _) = regular_file::open(path).map_err(cannot)?.ok_or_else(|| {
        let such_as = if path.is_dir() { ", such as recipe.toml of a run" } else { "" };
        format!("is no plain file; name a file of settings{such_as}")
    })?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes; this is no file of settings"));
    }
    String::from_utf8(bytes).map_err(|_| "is no text in UTF-8; this is no file of settings".into())
}

fn value_of(value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    match value.get_ref() {
        DeValue::String(text) if text.contains('\0') => Err("expected a text without a zero byte".into()),
        DeValue::String(text) => Ok(Value::Text(text.to_string())),
        DeValue::Integer(number) if number.radix() == 10 => Ok(Value::Number(number.as_str().into())),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Ok(Value::Number(number.to_string())),
            Err(_) => Err(format!("{number} is not valid: expected a number that is not so large")),
        },
        DeValue::Float(number) => Ok(Value::Number(number.as_str().into())),
        DeValue::Boolean(on) => Ok(Value::Switch(*on)),
        DeValue::Array(values) => Ok(Value::List(values.iter().map(value_of).collect::<Result<_, _>>()?)),
        DeValue::Datetime(date) => Err(format!("{date} is not valid: expected a text, a number, true or false")),
        DeValue::Table(_) => Err("expected a value, not a table: all settings stand in one, without a heading".into()),
    }
}
