//! The different words of a column, numbered as they are met. It knows no columns.

use std::collections::HashMap;
use std::sync::Arc;

use crate::data::Table;

/// Words and their numbers, from 0. A copy shares them; then no new one is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    numbers: Arc<HashMap<Box<str>, u32>>,
}

impl Words {
    /// These, which differ, by their numbers.
    pub fn of(words: &[String]) -> Self {
        let numbers = (0..).zip(words).map(|(number, word)| (word.as_str().into(), number));
        Words { numbers: Arc::new(numbers.collect()) }
    }

    /// The number of a word, if it has one.
    pub fn known(&self, word: &str) -> Option<f32> {
        self.numbers.get(word).map(|number| *number as f32)
    }

    /// The number of a word, which gets the next one if it is new; or what is wrong with it.
    pub fn number(&mut self, word: &[u8]) -> Result<f32, String> {
        let word = std::str::from_utf8(word).map_err(|_| {
            format!("{} is not UTF-8; store the file so: iconv -f LATIN1 -t UTF-8 FILE > NEW", super::shown(word))
        })?;
        if let Some(number) = self.numbers.get(word) {
            return Ok(*number as f32);
        }
        if self.numbers.len() == Table::MAX_WORDS {
            return Err(format!("more than {} different words; leave the column out", Table::MAX_WORDS));
        }
        let number = self.numbers.len() as u32;
        let Some(numbers) = Arc::get_mut(&mut self.numbers) else {
            return Err(format!(
                "{} is a word that was not there before; the file has changed",
                super::shown(word.as_bytes())
            ));
        };
        numbers.insert(word.into(), number);
        Ok(number as f32)
    }

    /// All of them, by their numbers.
    pub fn list(&self) -> Vec<String> {
        let mut words: Vec<(u32, &str)> = self.numbers.iter().map(|(word, number)| (*number, &**word)).collect();
        words.sort_unstable_by_key(|(number, _)| *number);
        words.into_iter().map(|(_, word)| word.to_string()).collect()
    }
}
