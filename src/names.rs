//! The names of a setting's choices. They are those that serde derives, so that text and JSON cannot differ: `Display` of
//! such an enum is `serialize`, which writes a variant's name into a formatter, and `FromStr` is here. It knows no choice.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchName;

use crate::error::{Error, Result};

/// The choice that `text` names; `expected` lists them all.
///
/// # Errors
/// [`Error::Setting`] under `setting` if it names none.
pub(crate) fn parse<'a, T: Deserialize<'a>>(setting: &'static str, text: &'a str, expected: &str) -> Result<T> {
    T::deserialize(text.into_deserializer()).map_err(|_: NoSuchName| Error::Setting {
        name: setting,
        found: format!("'{text}'"),
        expected: expected.into(),
    })
}
