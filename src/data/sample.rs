//! Which rows of a set take part in a run. It knows row numbers, not what the rows hold.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Dataset;
use crate::error::{Error, Result};
use crate::rng::{self, Stream};

/// How many rows to draw. As text and in JSON: `all`, or a whole number of at least 1.
///
/// ```
/// use flatnet::data::SampleSize;
/// assert_eq!("5000".parse(), Ok(SampleSize::Count(5000)));
/// assert_eq!(SampleSize::All.to_string(), "all");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSize {
    /// Every row, in the order of the file.
    All,
    /// So many different rows, in the order drawn.
    Count(usize),
}

/// Numbers of rows in the order in which they take part. All of a file, in its order, take no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNumbers {
    /// So many from the first on.
    First(u32),
    /// These.
    Listed(Vec<u32>),
}

impl RowNumbers {
    /// The numbers in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (first, listed) = match self {
            RowNumbers::First(count) => (*count, &[][..]),
            RowNumbers::Listed(rows) => (0, &rows[..]),
        };
        (0..first).chain(listed.iter().copied())
    }
}

impl From<Vec<u32>> for RowNumbers {
    fn from(rows: Vec<u32>) -> Self {
        if rows.iter().copied().eq(0..rows.len() as u32) { Self::First(rows.len() as u32) } else { Self::Listed(rows) }
    }
}

/// A text that is no [`SampleSize`]. It names no flag, because several flags take one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number of at least 1, or all")]
pub struct NotASampleSize;

/// The numbers of the rows that take part, out of `population`. [`SampleSize::All`] is every row in file order;
/// a count draws without replacement, and `seed` and `stream` alone decide which rows and in which order.
///
/// # Errors
/// [`Error::Setting`] under `flag_name` if more rows are asked for than there are, or none.
pub fn draw(
    size: SampleSize,
    population: usize,
    seed: u64,
    stream: Stream,
    flag_name: &'static str,
) -> Result<Vec<u32>> {
    let refuse = |found: String, expected: String| Err(Error::Setting { name: flag_name, found, expected });
    let Ok(rows) = u32::try_from(population) else {
        return refuse(format!("a set of {population} rows"), format!("at most {} rows", u32::MAX));
    };
    match size {
        SampleSize::All if population == 0 => refuse("all of an empty set".into(), "a set with rows".into()),
        SampleSize::All => Ok((0..rows).collect()),
        SampleSize::Count(count) if (1..=population).contains(&count) => {
            Ok(rng::sample_without_replacement(&mut rng::stream(seed, stream), population, count))
        }
        SampleSize::Count(count) => {
            refuse(count.to_string(), format!("1 to {population}, the rows of the set, or all"))
        }
    }
}

/// The `rows` that [`draw`] drew, as a set of their own. All of a set is the set itself: a large one is not copied.
pub fn take(set: Dataset, size: SampleSize, rows: &[u32]) -> Dataset {
    match size {
        SampleSize::All => set,
        SampleSize::Count(_) => set.select(rows),
    }
}

impl FromStr for SampleSize {
    type Err = NotASampleSize;

    fn from_str(text: &str) -> std::result::Result<Self, NotASampleSize> {
        match text.trim() {
            "all" => Ok(SampleSize::All),
            number => match number.parse() {
                Ok(count) if count > 0 => Ok(SampleSize::Count(count)),
                _ => Err(NotASampleSize),
            },
        }
    }
}

impl fmt::Display for SampleSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SampleSize::All => f.pad("all"),
            SampleSize::Count(count) => count.fmt(f),
        }
    }
}

impl Serialize for SampleSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            SampleSize::All => serializer.serialize_str("all"),
            SampleSize::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SampleSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(usize),
            Text(String),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Number(count)) if count > 0 => Ok(SampleSize::Count(count)),
            Ok(Either::Text(text)) if text == "all" => Ok(SampleSize::All),
            _ => Err(D::Error::custom(NotASampleSize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_set_is_the_set_itself_and_a_count_is_what_was_drawn() {
        let set = || Dataset::images((0..40).collect(), vec![0; 40], (1, 1), 2, "test".into()).unwrap();
        let whole = set();
        let place = whole.labels().as_ptr();
        let every = draw(SampleSize::All, 40, 0, Stream::TrainSample, "train_samples").unwrap();
        let taken = take(whole, SampleSize::All, &every);
        assert_eq!((taken.len(), taken.labels().as_ptr()), (40, place), "not copied");
        let rows = draw(SampleSize::Count(7), 40, 3, Stream::TrainSample, "train_samples").unwrap();
        let taken = take(set(), SampleSize::Count(7), &rows);
        assert_eq!(taken.pixels().iter().map(|pixel| u32::from(*pixel)).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn numbers_of_rows_come_back_in_their_order() {
        for (rows, takes_memory) in [(vec![], false), (vec![0, 1, 2], false), (vec![1, 2], true), (vec![0, 2, 1], true)]
        {
            let numbers = RowNumbers::from(rows.clone());
            assert_eq!(matches!(numbers, RowNumbers::Listed(_)), takes_memory, "{rows:?}");
            assert_eq!(numbers.iter().collect::<Vec<u32>>(), rows);
        }
    }

    #[test]
    fn the_reference_sample_has_no_row_twice() {
        let mut rows = draw(SampleSize::Count(30_000), 60_000, 0, Stream::TrainSample, "train_samples").unwrap();
        assert_eq!(rows.len(), 30_000);
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 30_000);
        assert!(rows.iter().all(|&row| row < 60_000));
    }

    #[test]
    fn seed_and_stream_decide() {
        let drawn = |seed, stream| draw(SampleSize::Count(100), 10_000, seed, stream, "sample").unwrap();
        let rows = drawn(3, Stream::ValSample);
        assert_eq!(rows, drawn(3, Stream::ValSample));
        assert_ne!(rows, drawn(4, Stream::ValSample));
        assert_ne!(rows, drawn(3, Stream::TrainSample));
    }

    #[test]
    fn all_is_every_row_in_file_order_but_a_count_of_all_is_drawn() {
        let in_order = draw(SampleSize::All, 50, 0, Stream::TrainSample, "sample").unwrap();
        assert_eq!(in_order, (0..50).collect::<Vec<u32>>());
        let mut drawn = draw(SampleSize::Count(50), 50, 0, Stream::TrainSample, "sample").unwrap();
        assert_ne!(drawn, in_order);
        drawn.sort_unstable();
        assert_eq!(drawn, in_order);
    }

    #[test]
    fn impossible_sizes_are_refused_under_the_flag_that_asked() {
        for (size, population, wanted) in [
            (
                SampleSize::Count(60_001),
                60_000,
                "val_samples: 60001 is not valid: expected 1 to 60000, the rows of the set, or all",
            ),
            (SampleSize::Count(0), 10, "val_samples: 0 is not valid: expected 1 to 10, the rows of the set, or all"),
            (SampleSize::All, 0, "val_samples: all of an empty set is not valid: expected a set with rows"),
        ] {
            let error = draw(size, population, 0, Stream::ValSample, "val_samples").unwrap_err();
            assert_eq!(error.to_string(), wanted);
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn row_numbers_fit_in_32_bits_or_are_refused() {
        let error = draw(SampleSize::Count(1), 1 << 32, 0, Stream::ValSample, "sample").unwrap_err();
        assert!(error.to_string().contains("4294967295"), "{error}");
    }

    #[test]
    fn text_and_json_come_back() {
        for (size, text, json) in [(SampleSize::All, "all", "\"all\""), (SampleSize::Count(30_000), "30000", "30000")] {
            assert_eq!(text.parse(), Ok(size));
            assert_eq!(size.to_string(), text);
            assert_eq!(serde_json::to_string(&size).unwrap(), json);
            assert_eq!(serde_json::from_str::<SampleSize>(json).unwrap(), size);
        }
        for text in ["0", "-1", "ALL", "", "1.5", "99999999999999999999"] {
            assert_eq!(text.parse::<SampleSize>(), Err(NotASampleSize), "{text}");
        }
        for json in ["0", "-1", "\"none\"", "1.5", "null"] {
            let error = serde_json::from_str::<SampleSize>(json).unwrap_err();
            assert!(error.to_string().contains("expected a whole number"), "{json}: {error}");
        }
    }
}
