//! What is to be predicted: a class, several labels, or values. It knows target columns of a table, not networks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Table;
use super::messages::{listed, refusal, shown};
use crate::error::{Error, Result};
use crate::names;

/// The choice of `--task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One of several classes
    Classify,
    /// Several labels, each of them 0 or 1
    MultiLabel,
    /// One or more numbers
    Regress,
}

impl Table {
    /// The number of the column whose name is a usual one for a target.
    pub fn usual_target(&self) -> Option<usize> {
        const USUAL: [&str; 5] = ["target", "label", "class", "y", "labels"];
        let named = |usual: &&str| self.columns().iter().position(|column| column.name.eq_ignore_ascii_case(usual));
        USUAL.iter().find_map(named)
    }
}

/// The numbers of the columns that `names` name, by name or by number; without names, of the one column whose name is a
/// usual one for a target.
///
/// # Errors
/// [`Error::Shape`] where there is no such column, it is named twice, or no column is left to predict from.
pub(super) fn target_columns(table: &Table, names: &[String]) -> Result<Vec<usize>> {
    let refuse = |expected: String, found: String| Err(refusal(table.source(), "target", expected, found));
    let listed = || listed(table.columns().iter().map(|column| shown(&column.name)), 12);
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match table.find(name) {
            None => return refuse(format!("one of the columns {}", listed()), format!("'{name}'")),
            Some(column) if found.contains(&column) => {
                return refuse("each column once".into(), format!("'{name}' twice"));
            }
            Some(column) => found.push(column),
        }
    }
    if names.is_empty() {
        match table.usual_target() {
            Some(column) => found.push(column),
            None => return refuse(format!("the name of one of the columns {}", listed()), "none".into()),
        }
    }
    if found.len() == table.columns().len() {
        return refuse("a column beside it, to predict from".into(), "targets alone".into());
    }
    Ok(found)
}

impl Task {
    /// What the columns `targets` of `rows` call for: words are classes, and so are whole numbers of which each stands for
    /// several rows; several columns of 0 and 1 are labels; all else is values.
    ///
    /// # Errors
    /// [`Error::Shape`] for several columns of which one is of words.
    pub(super) fn of(table: &Table, targets: &[usize], rows: &[u32]) -> Result<Task> {
        let of_words = |column: &&usize| table.columns()[**column].words.is_some();
        if let [target] = targets {
            let is_class = of_words(&target) || number_classes(table, *target, rows).is_some();
            return Ok(if is_class { Task::Classify } else { Task::Regress });
        }
        if let Some(column) = targets.iter().find(of_words) {
            let what = format!("target '{}'", table.columns()[*column].name);
            let expected = "numbers, or 0 and 1, where there are several targets".into();
            return Err(refusal(table.source(), &what, expected, "words".into()));
        }
        let is_label = |row: &u32| targets.iter().all(|column| matches!(table.row(*row as usize)[*column], 0.0 | 1.0));
        Ok(if rows.iter().all(is_label) { Task::MultiLabel } else { Task::Regress })
    }
}

/// The different numbers that `rows` have in a column of numbers, in order, if they name classes: all are whole, at most so
/// many different ones, and each stands for several rows on average.
pub(super) fn number_classes(table: &Table, column: usize, rows: &[u32]) -> Option<Vec<f32>> {
    const MOST: usize = 100;
    const ROWS_EACH: usize = 5;
    let mut seen: Vec<f32> = Vec::new();
    for row in rows {
        let value = table.row(*row as usize)[column];
        if value.fract() != 0.0 {
            return None;
        }
        if let Err(place) = seen.binary_search_by(|seen| seen.total_cmp(&value)) {
            if seen.len() == MOST {
                return None;
            }
            seen.insert(place, value);
        }
    }
    (seen.len() == 2 || seen.len() * ROWS_EACH <= rows.len()).then_some(seen)
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("task", text.trim(), "classify, multi-label or regress")
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TableColumn;

    fn table(names: &[&str], rows: Vec<Vec<f32>>) -> Table {
        let columns = names
            .iter()
            .map(|name| match name.strip_prefix('w') {
                Some(_) => TableColumn { name: name.to_string(), words: Some(vec!["a".into(), "b".into()]) },
                None => TableColumn::number(*name),
            })
            .collect();
        Table::new(columns, rows.concat(), vec![], "t".into()).unwrap()
    }

    #[test]
    fn targets_are_found_by_name_by_number_and_where_their_name_is_a_usual_one() {
        let found = |names: &[&str], asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            target_columns(&table(names, vec![]), &asked).map_err(|error| error.to_string())
        };
        assert_eq!(found(&["a", "b", "c"], &["c", "1"]), Ok(vec![2, 0]));
        assert_eq!(found(&["Label", "b"], &[]), Ok(vec![0]));
        assert_eq!(found(&["label", "target"], &[]), Ok(vec![1]));
        for (names, asked, wanted) in [
            (&["a", "b"][..], &["d"][..], "t: target: expected one of the columns a, b, found 'd'"),
            (&["a", "b"], &["a", "1"], "t: target: expected each column once, found '1' twice"),
            (&["a", "b"], &[], "t: target: expected the name of one of the columns a, b, found none"),
            (&["a"], &["a"], "t: target: expected a column beside it, to predict from, found targets alone"),
        ] {
            assert_eq!(found(names, asked).unwrap_err(), wanted);
        }
        let many: Vec<String> = (0..20).map(|at| format!("c{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(found(&many, &[]).unwrap_err().contains("c11 and 8 more"));
    }

    #[test]
    fn the_task_follows_from_the_targets() {
        let of = |names: &[&str], rows: &[&[f32]], targets: &[usize]| {
            let table = table(names, rows.iter().map(|row| row.to_vec()).collect());
            let rows: Vec<u32> = (0..table.len() as u32).collect();
            Task::of(&table, targets, &rows).map_err(|error| error.to_string())
        };
        let column = |values: &[f32]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
        let single = |values: &[f32]| {
            let rows = column(values);
            of(&["t"], &rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &[0]).unwrap()
        };
        assert_eq!(of(&["w"], &[&[0.0], &[1.0]], &[0]), Ok(Task::Classify));
        assert_eq!(single(&[0.0, 1.0]), Task::Classify);
        assert_eq!(single(&[-1.0, 1.0, -1.0]), Task::Classify);
        assert_eq!(single(&[0.5, 1.5]), Task::Regress);
        assert_eq!(single(&[3.0, 4.0, 5.0, 3.0]), Task::Regress);
        assert_eq!(single(&[3.0, 4.0, 5.0].repeat(5)), Task::Classify);
        assert_eq!(single(&(0..101).map(|at| at as f32).collect::<Vec<_>>().repeat(9)), Task::Regress);
        assert_eq!(of(&["a", "b"], &[&[0.0, 1.0], &[1.0, 1.0]], &[0, 1]), Ok(Task::MultiLabel));
        assert_eq!(of(&["a", "b"], &[&[0.0, 1.0], &[2.0, 1.0]], &[0, 1]), Ok(Task::Regress));
        let error = of(&["a", "w"], &[&[0.0, 1.0]], &[0, 1]).unwrap_err();
        assert_eq!(error, "t: target 'w': expected numbers, or 0 and 1, where there are several targets, found words");
    }

    #[test]
    fn the_kind_has_one_spelling_everywhere() {
        for (task, text) in
            [(Task::Classify, "classify"), (Task::MultiLabel, "multi-label"), (Task::Regress, "regress")]
        {
            assert_eq!((task.to_string().as_str(), text.parse::<Task>().unwrap()), (text, task));
            #[cfg(feature = "cli")]
            assert_eq!(<Task as clap::ValueEnum>::from_str(text, false), Ok(task));
        }
        let message = "other".parse::<Task>().unwrap_err().to_string();
        assert_eq!(message, "task: 'other' is not valid: expected classify, multi-label or regress");
    }
}
