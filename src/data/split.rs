//! Rows held out for validation, drawn by the seed so that every class keeps its share. It knows row numbers and classes, not
//! what rows hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rng::{self, Stream};

/// One of the parts of a cross-validation: the part `index` of `of` is held out. As text, such as `2/5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fold {
    /// Counted from 1.
    pub index: usize,
    /// At least 2.
    pub of: usize,
}

/// Which rows are trained on, and which are held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRows {
    /// In the order in which they take part.
    pub train: Vec<u32>,
    /// In the order in which they take part.
    pub val: Vec<u32>,
}

/// Holds out the share `val_split` of `rows`, rounded, at least one row and not all of them; of every class the same share
/// as nearly as whole rows allow, but never all of its rows. `classes`: of each of `rows` a number that rows of one class
/// share; `None` where all are alike. The seed alone decides which rows, and in which order they take part.
///
/// # Errors
/// [`Error::Setting`] where `val_split` is not between 0 and 1, or there are fewer than 2 rows.
pub fn hold_out(rows: &[u32], classes: Option<&[u32]>, val_split: f64, seed: u64) -> Result<SplitRows> {
    if !(val_split > 0.0 && val_split < 1.0) {
        let expected = "a number above 0 and below 1".into();
        return Err(Error::Setting { name: "val_split", found: val_split.to_string(), expected });
    }
    check_rows("val_split", rows, 2)?;
    let groups = groups(rows, classes, seed);
    let wanted = ((rows.len() as f64 * val_split).round() as usize).clamp(1, rows.len() - 1);
    // What each group gives in whole rows; then those that are left go to the groups that lack most of their share.
    let share = |group: &Vec<u32>| group.len() as f64 * wanted as f64 / rows.len() as f64;
    let mut counts: Vec<usize> = groups.iter().map(|group| share(group) as usize).collect();
    let mut by_lack: Vec<usize> = (0..groups.len()).collect();
    let lack = |group: usize| share(&groups[group]).fract();
    by_lack.sort_by(|a, b| lack(*b).total_cmp(&lack(*a)).then(a.cmp(b)));
    let mut left = wanted - counts.iter().sum::<usize>();
    for group in by_lack {
        if left > 0 && counts[group] + 1 < groups[group].len() {
            counts[group] += 1;
            left -= 1;
        }
    }
    // Classes of one row each have nothing to give.
    if counts.iter().all(|count| *count == 0) {
        counts[0] = 1;
    }
    let held_out = |group: usize, place: usize| place < counts[group];
    Ok(divide(&groups, held_out, seed))
}

/// Holds out one part of a cross-validation: the rows of every class are dealt out to the parts in turn, so that each row is
/// held out once over all parts, and every part has its share of every class. `rows` and `classes` as for [`hold_out`].
///
/// # Errors
/// [`Error::Setting`] where there are fewer rows than parts.
pub fn fold(rows: &[u32], classes: Option<&[u32]>, fold: Fold, seed: u64) -> Result<SplitRows> {
    check_rows("folds", rows, fold.of)?;
    let groups = groups(rows, classes, seed);
    // Dealing goes on where the class before ended, so that parts differ by one row at most.
    let starts: Vec<usize> = groups
        .iter()
        .scan(0, |start, group| {
            let own = *start;
            *start += group.len();
            Some(own)
        })
        .collect();
    Ok(divide(&groups, |group, place| (starts[group] + place) % fold.of == fold.index - 1, seed))
}

fn check_rows(name: &'static str, rows: &[u32], least: usize) -> Result<()> {
    if rows.len() < least {
        let expected = format!("{least} rows at least, some to train on and some to hold out");
        return Err(Error::Setting { name, found: format!("a set of {}", rows.len()), expected });
    }
    Ok(())
}

/// The rows of each class, classes by number, in an order of their own.
fn groups(rows: &[u32], classes: Option<&[u32]>, seed: u64) -> Vec<Vec<u32>> {
    let count = classes.and_then(|classes| classes.iter().max()).map_or(1, |largest| *largest as usize + 1);
    let mut groups = vec![Vec::new(); count];
    for (at, row) in rows.iter().enumerate() {
        groups[classes.map_or(0, |classes| classes[at] as usize)].push(*row);
    }
    groups.retain(|group| !group.is_empty());
    let mut random = rng::stream(seed, Stream::Split);
    groups.iter_mut().for_each(|group| rng::shuffle(&mut random, group));
    groups
}

/// Puts together what is held out and what is not, and mixes the classes of each.
fn divide(groups: &[Vec<u32>], held_out: impl Fn(usize, usize) -> bool, seed: u64) -> SplitRows {
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (group, rows) in groups.iter().enumerate() {
        for (place, row) in rows.iter().enumerate() {
            if held_out(group, place) { val.push(*row) } else { train.push(*row) }
        }
    }
    rng::shuffle(&mut rng::stream(seed, Stream::TrainSample), &mut train);
    rng::shuffle(&mut rng::stream(seed, Stream::ValSample), &mut val);
    SplitRows { train, val }
}

impl FromStr for Fold {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = || {
            let (index, of) = text.trim().split_once('/')?;
            Some(Fold { index: index.parse().ok()?, of: of.parse().ok()? })
        };
        numbers().filter(|fold| fold.of >= 2 && (1..=fold.of).contains(&fold.index)).ok_or_else(|| Error::Setting {
            name: "fold",
            found: format!("'{text}'"),
            expected: "one of several parts, such as 2/5".into(),
        })
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> String {
        fold.to_string()
    }
}

impl TryFrom<String> for Fold {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class `c` has `counts[c]` rows, one class after the other, and rows are numbered from 100.
    fn set(counts: &[usize]) -> (Vec<u32>, Vec<u32>) {
        let classes: Vec<u32> = (0..).zip(counts).flat_map(|(class, count)| vec![class; *count]).collect();
        ((100..100 + classes.len() as u32).collect(), classes)
    }

    fn of_class(rows: &[u32], classes: &[u32], class: u32) -> usize {
        rows.iter().filter(|row| classes[**row as usize - 100] == class).count()
    }

    fn is_whole(split: &SplitRows, rows: &[u32]) {
        let mut all = [&split.train[..], &split.val[..]].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
    }

    #[test]
    fn every_class_gives_its_share_and_no_class_all_of_it() {
        for (counts, val_split, wanted) in [
            (&[50, 50, 50][..], 0.2, vec![10, 10, 10]),
            (&[10, 20, 70], 0.1, vec![1, 2, 7]),
            (&[1, 9], 0.2, vec![0, 2]),
            (&[1, 1, 8], 0.9, vec![0, 0, 7]),
            (&[3, 0, 3], 0.5, vec![2, 0, 1]),
            (&[1, 1], 0.5, vec![1, 0]),
        ] {
            let (rows, classes) = set(counts);
            let split = hold_out(&rows, Some(&classes), val_split, 3).unwrap();
            is_whole(&split, &rows);
            let found: Vec<usize> =
                (0..counts.len() as u32).map(|class| of_class(&split.val, &classes, class)).collect();
            assert_eq!(found, wanted, "{counts:?} {val_split}");
        }
        let (rows, _) = set(&[10]);
        assert_eq!(hold_out(&rows, None, 0.25, 0).unwrap().val.len(), 3);
        assert_eq!(hold_out(&rows, None, 0.001, 0).unwrap().val.len(), 1);
        assert_eq!(hold_out(&rows, None, 0.999, 0).unwrap().train.len(), 1);
    }

    #[test]
    fn the_seed_decides_and_classes_are_mixed() {
        let (rows, classes) = set(&[50, 50]);
        let split = |seed| hold_out(&rows, Some(&classes), 0.2, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
        let first: Vec<u32> = split(1).train[..20].to_vec();
        assert!((4..17).contains(&of_class(&first, &classes, 0)), "{first:?}");
    }

    #[test]
    fn each_row_is_held_out_once() {
        let (rows, classes) = set(&[17, 5, 31]);
        let mut held_out = Vec::new();
        for index in 1..=5 {
            let split = fold(&rows, Some(&classes), Fold { index, of: 5 }, 8).unwrap();
            is_whole(&split, &rows);
            assert!((10..=11).contains(&split.val.len()));
            for (class, count) in [(0, 17), (1, 5), (2, 31)] {
                let found = of_class(&split.val, &classes, class);
                assert!(found == count / 5 || found == count / 5 + 1, "class {class}: {found} of {count}");
            }
            held_out.extend(split.val);
        }
        held_out.sort_unstable();
        assert_eq!(held_out, rows);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let (rows, _) = set(&[3]);
        for val_split in [0.0, 1.0, -0.5, f64::NAN] {
            let error = hold_out(&rows, None, val_split, 0).unwrap_err().to_string();
            assert!(error.ends_with("is not valid: expected a number above 0 and below 1"), "{error}");
        }
        let error = hold_out(&rows[..1], None, 0.5, 0).unwrap_err().to_string();
        assert!(error.starts_with("val_split: a set of 1 is not valid: expected 2 rows at least"), "{error}");
        let error = fold(&rows, None, Fold { index: 1, of: 4 }, 0).unwrap_err().to_string();
        assert!(error.starts_with("folds: a set of 3 is not valid: expected 4 rows at least"), "{error}");
        for text in ["", "1", "0/2", "3/2", "1/1", "a/b", "1/2/3"] {
            assert!(text.parse::<Fold>().is_err(), "{text}");
        }
        assert_eq!("2/5".parse::<Fold>().unwrap().to_string(), "2/5");
    }
}
