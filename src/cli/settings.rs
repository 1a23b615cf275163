//! The settings of `train` by name: from a name and a value, as files and grids give them, to words of a command line. All of
//! it is read from the definition of the flags, so that a new flag is a setting at once. It knows no file and no grid.

use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use flatnet::Error;

use super::{Arguments, MAX_VALUE, shortened};

/// Flags that say what to do with a run once, not what the run is.
pub const NOT_SETTINGS: [&str; 6] = ["help", "version", "config", "resume", "json", "folds"];

/// Names that are less alike are no slip of the finger.
const ALIKE: f64 = 0.75;

/// A value as it stands in a file or in a grid.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    /// As it is written, so that no digit is lost.
    Number(String),
    Switch(bool),
    List(Vec<Value>),
}

/// All settings.
#[derive(Debug)]
pub struct Settings(Vec<Arg>);

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a>(&'a Arg);

impl Settings {
    pub fn of_train() -> Settings {
        let command = Arguments::command();
        let flags = command.find_subcommand("train").map(Command::get_arguments);
        Settings(flags.into_iter().flatten().cloned().collect())
    }

    /// The setting of this name, with `-` or `_` between words. Else what is wrong with the name, and the nearest one.
    pub fn find(&self, name: &str) -> Result<Setting<'_>, String> {
        let written = name.replace('_', "-");
        if NOT_SETTINGS.contains(&written.as_str()) {
            return Err("is no setting of a run; give it on the command line".into());
        }
        let found = self.0.iter().find(|flag| flag.get_long() == Some(written.as_str()));
        found.map(Setting).ok_or_else(|| match self.nearest(&written) {
            Some(nearest) => format!("no such setting; did you mean {nearest}?"),
            None => "no such setting; flatnet train --help lists them".into(),
        })
    }

    /// The name that was meant: `lr` by the initials of `learning-rate`, others by how they are written.
    fn nearest(&self, written: &str) -> Option<&str> {
        let written = written.to_lowercase();
        let initials: String = written.split('-').filter_map(|word| word.chars().next()).collect();
        let names = || self.0.iter().filter_map(Arg::get_long).filter(|name| !NOT_SETTINGS.contains(name));
        if let Some(name) = names().find(|name| *name == initials) {
            return Some(name);
        }
        let likeness = |name: &str| strsim::jaro_winkler(&written, name);
        let nearest = names().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
        (likeness(nearest) > ALIKE).then_some(nearest)
    }
}

impl Setting<'_> {
    /// What clap knows it by.
    pub fn id(&self) -> &str {
        self.0.get_id().as_str()
    }

    /// Its flag without the dashes.
    pub fn name(&self) -> &str {
        self.0.get_long().unwrap_or_else(|| self.id())
    }

    /// Whether it is a flag without a value.
    pub fn is_switch(&self) -> bool {
        !self.0.get_action().takes_values()
    }

    fn is_path(&self) -> bool {
        self.0.get_value_parser().type_id() == TypeId::of::<PathBuf>()
    }

    /// Whether commas stand within its values: the default has one, or a list of values is among those that help names.
    pub fn has_commas(&self) -> bool {
        let defaults = self.0.get_default_values().iter().any(|value| value.to_string_lossy().contains(','));
        let names = self.0.get_value_names().into_iter().flatten().any(|name| name.contains(','));
        defaults || names
    }

    /// The words that give it this value; none for a switch that is off. A path is one from the folder `base`.
    pub fn words(&self, value: &Value, base: &Path) -> Result<Vec<OsString>, String> {
        let named = |text: OsString| {
            let mut word = OsString::from(format!("--{}=", self.name()));
            word.push(text);
            word
        };
        let words = match value {
            Value::Switch(on) if self.is_switch() => {
                on.then(|| format!("--{}", self.name()).into()).into_iter().collect()
            }
            Value::List(values) if matches!(self.0.get_action(), ArgAction::Append) => {
                let each = values.iter().map(|value| Ok(named(self.text(value, base)?)));
                each.collect::<Result<_, String>>()?
            }
            // A switch that may have a value too.
            Value::Switch(true) if self.0.get_num_args().is_some_and(|values| values.min_values() == 0) => {
                vec![format!("--{}", self.name()).into()]
            }
            _ if self.is_switch() => return Err(format!("{} is not valid: expected true or false", shown(value))),
            value => vec![named(self.text(value, base)?)],
        };
        self.check(&words)?;
        Ok(words)
    }

    fn text(&self, value: &Value, base: &Path) -> Result<OsString, String> {
        match value {
            Value::Text(text) if self.is_path() && !self.is_literal(text) => Ok(base.join(text).into_os_string()),
            Value::Number(text) if self.is_path() => {
                Err(format!("{text} is not valid: expected a path in quotes, such as \"{text}\""))
            }
            Value::Text(text) | Value::Number(text) => Ok(text.into()),
            Value::Switch(_) => {
                let expected = if self.is_path() { "a path in quotes" } else { "a value as the flag takes it" };
                Err(format!("{} is not valid: expected {expected}", shown(value)))
            }
            Value::List(values) => {
                let is_flat = |value: &Value| matches!(value, Value::Text(_) | Value::Number(_));
                if values.is_empty() || !values.iter().all(is_flat) {
                    return Err(format!("{} is not valid: expected texts or numbers in the list", shown(value)));
                }
                let texts = values.iter().map(|value| match value {
                    Value::Text(text) | Value::Number(text) => text.as_str(),
                    _ => "",
                });
                // As flags take several: separated by commas.
                Ok(texts.collect::<Vec<_>>().join(",").into())
            }
        }
    }

    /// Whether help names this very text as one that may stand for a path, such as `balanced`, or a list of numbers, and this is one.
    fn is_literal(&self, text: &str) -> bool {
        let names = self.0.get_value_names().into_iter().flatten();
        let is_list = text.contains(',') && text.split(',').all(|number| number.parse::<f64>().is_ok());
        names
            .flat_map(|name| name.split('|'))
            .any(|name| if name.contains(',') { is_list } else { name == text && name.chars().all(char::is_lowercase) })
    }

    /// What is wrong with its value, as far as the flag alone can tell.
    fn check(&self, words: &[OsString]) -> Result<(), String> {
        let command = ["flatnet".into(), "train".into()].into_iter().chain(words.iter().cloned());
        let Err(stop) = Arguments::try_parse_from(command) else { return Ok(()) };
        // What else it needs or excludes is seen once all flags are known.
        if matches!(stop.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) {
            return Ok(());
        }
        let context = |kind| stop.get(kind).map(ToString::to_string).unwrap_or_default();
        let found = format!("'{}' is not valid", shortened(&context(ContextKind::InvalidValue), MAX_VALUE));
        if let Some(source) = stop.source() {
            return Err(match source.downcast_ref() {
                Some(Error::Setting { found, expected, .. }) => format!("{found} is not valid: expected {expected}"),
                _ => format!("{found}: {source}"),
            });
        }
        Err(match stop.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(choices)) if !choices.is_empty() => {
                format!("{found}: expected one of {}", choices.join(", "))
            }
            _ => format!("{found}: expected a value as the flag takes it"),
        })
    }
}

/// A value as its file has it, in one line and not too long.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Number(text) => shortened(text, MAX_VALUE),
        Value::Switch(on) => on.to_string(),
        Value::List(values) => {
            shortened(&format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")), MAX_VALUE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_train_is_a_setting_or_says_what_to_do_with_a_run_once() {
        let settings = Settings::of_train();
        assert!(settings.0.len() > 30);
        for flag in &settings.0 {
            let name = flag.get_long().unwrap();
            if !NOT_SETTINGS.contains(&name) {
                assert_eq!(settings.find(name).unwrap().id(), flag.get_id().as_str());
                assert_eq!(settings.find(&name.replace('-', "_")).unwrap().name(), name);
                // A default may be written down.
                if let Some(default) = flag.get_default_values().first() {
                    let value = Value::Text(default.to_string_lossy().into_owned());
                    let words = settings.find(name).unwrap().words(&value, Path::new("")).unwrap();
                    assert_eq!(words, [format!("--{name}={}", default.to_string_lossy()).as_str()]);
                }
            }
        }
    }

    #[test]
    fn a_wrong_name_leads_to_the_right_one() {
        let settings = Settings::of_train();
        for (written, nearest) in [
            ("learning-rate", Some("lr")),
            ("learning_rate", Some("lr")),
            ("Lr", Some("lr")),
            ("batchsize", Some("batch-size")),
            ("layer", Some("layers")),
            ("weight-dekay", Some("weight-decay")),
            ("sched", Some("lr-schedule")),
            ("", None),
            ("xyzzy", None),
        ] {
            let told = settings.find(written).unwrap_err();
            match nearest {
                Some(name) => assert_eq!(told, format!("no such setting; did you mean {name}?"), "{written}"),
                None => assert!(told.ends_with("--help lists them"), "{written}: {told}"),
            }
        }
    }

    #[test]
    fn paths_start_at_the_folder_of_their_file_and_words_that_stand_for_one_stay() {
        let settings = Settings::of_train();
        let word = |name: &str, text: &str| {
            let words = settings.find(name).unwrap().words(&Value::Text(text.into()), Path::new("/conf")).unwrap();
            words[0].to_str().unwrap().to_string()
        };
        assert_eq!(word("data", "set"), "--data=/conf/set");
        assert_eq!(word("data", "/set"), "--data=/set");
        assert_eq!(word("class-weights", "balanced"), "--class-weights=balanced");
        assert_eq!(word("class-weights", "1,0.5"), "--class-weights=1,0.5");
        assert_eq!(word("class-weights", "file"), "--class-weights=/conf/file");
        assert!(settings.find("layers").unwrap().has_commas() && !settings.find("lr").unwrap().has_commas());
    }
}
