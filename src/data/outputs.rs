//! How target columns become what a network should give, and how its outputs become answers: classes by name, labels, or
//! values in their own units. Fitted on the training rows and saved with the model.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::messages::{refusal, twice};
use super::{Table, TargetColumns, Task};
use crate::error::Result;

/// What a network's outputs stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outputs {
    /// A class for each output.
    Classify {
        /// The column, as its table calls it.
        column: String,
        /// Of the classes in their order: numbers by size, words by the alphabet.
        classes: Vec<String>,
    },
    /// A label for each output, which is there or not.
    MultiLabel {
        /// The columns.
        columns: Vec<String>,
    },
    /// A value for each output.
    Regress {
        /// The columns, and the scale of each.
        columns: Vec<ValueColumn>,
    },
}

/// A column of values, of which a network learns `(v - center) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueColumn {
    /// As its table calls it.
    pub name: String,
    /// An f32.
    pub center: f64,
    /// An f32 above 0.
    pub scale: f64,
}

impl Outputs {
    /// Of the columns `targets` of `table`, fitted on `rows`, the training rows. With `scaled`, values are learned from their
    /// mean in units of their standard deviation; else as they are.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where a target is missing, or is none of the task's.
    pub fn fit(table: &Table, targets: &[usize], rows: &[u32], task: Task, scaled: bool) -> Result<Self> {
        let outputs = Self::unchecked(table, targets, rows, task, scaled)?;
        // What is wrong with a target of the training rows is told by them, before anything is made of it.
        outputs.targets(table, targets, rows)?;
        Ok(outputs)
    }

    /// The same where targets may be missing, or be none of the task's.
    pub(super) fn unchecked(table: &Table, targets: &[usize], rows: &[u32], task: Task, scaled: bool) -> Result<Self> {
        let name = |target: &usize| table.columns()[*target].name.clone();
        Ok(match (task, targets) {
            (Task::Classify, [target]) => {
                Outputs::Classify { column: name(target), classes: classes(table, *target, rows) }
            }
            (Task::Classify, _) => {
                let expected = "one target column to tell classes by (several of 0 and 1 are labels: task multi-label)";
                return Err(refusal(table.source(), "target", expected.into(), format!("{} of them", targets.len())));
            }
            (Task::MultiLabel, _) => Outputs::MultiLabel { columns: targets.iter().map(name).collect() },
            (Task::Regress, _) => {
                let column = |target: &usize| {
                    let cells = || rows.iter().map(|row| f64::from(table.row(*row as usize)[*target]));
                    let count = rows.len().max(1) as f64;
                    let mean = cells().sum::<f64>() / count;
                    let std = (cells().map(|cell| (cell - mean).powi(2)).sum::<f64>() / count).sqrt();
                    let usable = scaled && std as f32 > f32::MIN_POSITIVE && std.is_finite();
                    let (center, scale) = if usable { (mean, std) } else { (0.0, 1.0) };
                    ValueColumn { name: name(target), center: f64::from(center as f32), scale: f64::from(scale as f32) }
                };
                Outputs::Regress { columns: targets.iter().map(column).collect() }
            }
        })
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        match self {
            Outputs::Classify { .. } => Task::Classify,
            Outputs::MultiLabel { .. } => Task::MultiLabel,
            Outputs::Regress { .. } => Task::Regress,
        }
    }

    /// How many outputs a network for it has.
    pub fn width(&self) -> usize {
        match self {
            Outputs::Classify { classes, .. } => classes.len(),
            Outputs::MultiLabel { columns } => columns.len(),
            Outputs::Regress { columns } => columns.len(),
        }
    }

    /// The names of the outputs: classes, or columns.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Outputs::Classify { classes, .. } => classes.iter().map(String::as_str).collect(),
            Outputs::MultiLabel { columns } => columns.iter().map(String::as_str).collect(),
            Outputs::Regress { columns } => columns.iter().map(|column| column.name.as_str()).collect(),
        }
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Outputs::Classify { column, .. } => vec![column],
            _ => self.names(),
        }
    }

    /// The targets of `rows` of `table`, whose columns `targets` are those that this was fitted on.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for the first that is missing, or a class or a label that there is none of.
    pub fn targets(&self, table: &Table, targets: &[usize], rows: &[u32]) -> Result<TargetColumns> {
        let refuse = |row: u32, target: usize, expected: &str| {
            let found = match table.told(row as usize, target) {
                nothing if nothing.is_empty() => "nothing".into(),
                told => format!("'{told}'"),
            };
            Err(table.refuse(row as usize, &table.columns()[target].name, expected, found))
        };
        if let Outputs::Classify { classes, .. } = self {
            let [target] = targets else {
                return Ok(TargetColumns::Classes { labels: vec![], classes: classes.len() });
            };
            let numbers: HashMap<&str, u16> =
                classes.iter().zip(0..=u16::MAX).map(|(class, number)| (class.as_str(), number)).collect();
            // Cells are compared as texts once for each that is different.
            let mut known: HashMap<u32, Option<u16>> = HashMap::new();
            let mut labels = Vec::with_capacity(rows.len());
            for row in rows {
                let cell = table.row(*row as usize)[*target];
                if cell.is_nan() {
                    return refuse(*row, *target, "a class");
                }
                let by_name = || numbers.get(table.told(*row as usize, *target).as_str()).copied();
                match *known.entry(cell.to_bits()).or_insert_with(by_name) {
                    Some(label) => labels.push(label),
                    None => return refuse(*row, *target, "a class that the training rows have"),
                }
            }
            return Ok(TargetColumns::Classes { labels, classes: classes.len() });
        }
        let mut values = Vec::with_capacity(rows.len() * targets.len());
        for row in rows {
            let cells = table.row(*row as usize);
            for (output, target) in targets.iter().enumerate() {
                let cell = cells[*target];
                if cell.is_nan() {
                    return refuse(*row, *target, "a value to predict");
                }
                if table.columns()[*target].words.is_some() {
                    return refuse(*row, *target, "a number to predict");
                }
                match self {
                    Outputs::Regress { columns } => {
                        let ValueColumn { center, scale, .. } = columns[output];
                        values.push((cell - center as f32) / scale as f32);
                    }
                    _ if cell == 0.0 || cell == 1.0 => values.push(cell),
                    _ => return refuse(*row, *target, "0 or 1, as a label is there or not"),
                }
            }
        }
        Ok(TargetColumns::Values { values, width: targets.len() })
    }

    /// A network's outputs, `[m, width]`, in the units of the columns.
    pub fn restore(&self, outputs: &mut [f32]) {
        if let Outputs::Regress { columns } = self {
            for row in outputs.chunks_exact_mut(columns.len()) {
                for (value, column) in row.iter_mut().zip(columns) {
                    *value = *value * column.scale as f32 + column.center as f32;
                }
            }
        }
    }

    /// What must hold of outputs from a file.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if let Some(name) = twice(self.names().into_iter()) {
            return Err(format!("'{name}' twice among the outputs"));
        }
        if let Outputs::Regress { columns } = self {
            for column in columns {
                let (center, scale) = (column.center as f32, column.scale as f32);
                if !(center.is_finite() && scale.is_finite() && scale > 0.0) {
                    return Err(format!("'{}' has a center or a scale that is of no use", column.name));
                }
            }
        }
        if self.names().is_empty() { Err("no output".into()) } else { Ok(()) }
    }
}

/// The names of the classes that stand in `rows`.
fn classes(table: &Table, target: usize, rows: &[u32]) -> Vec<String> {
    let mut cells: Vec<f32> =
        rows.iter().map(|row| table.row(*row as usize)[target]).filter(|cell| !cell.is_nan()).collect();
    cells.sort_unstable_by(f32::total_cmp);
    cells.dedup();
    match &table.columns()[target].words {
        None => cells.iter().map(ToString::to_string).collect(),
        Some(words) => {
            let mut names: Vec<String> = cells.iter().map(|cell| words[*cell as usize].clone()).collect();
            names.sort_unstable();
            names
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TableColumn;

    fn table(columns: &[(&str, Option<&[&str]>)], cells: &[f32]) -> Table {
        let column = |(name, words): &(&str, Option<&[&str]>)| TableColumn {
            name: name.to_string(),
            words: words.map(|words| words.iter().map(ToString::to_string).collect()),
        };
        Table::new(columns.iter().map(column).collect(), cells.to_vec(), vec![], "t".into()).unwrap()
    }

    fn all(table: &Table) -> Vec<u32> {
        (0..table.len() as u32).collect()
    }

    fn told<T>(result: Result<T>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn classes_are_the_words_or_the_numbers_of_the_training_rows() {
        let words = table(&[("k", Some(&["dog", "cat", "owl"]))], &[0.0, 1.0, 0.0, 2.0]);
        let outputs = Outputs::fit(&words, &[0], &[0, 1, 2], Task::Classify, true).unwrap();
        assert_eq!((outputs.names(), outputs.columns(), outputs.width()), (vec!["cat", "dog"], vec!["k"], 2));
        let labels = |labels: &[u16], classes| TargetColumns::Classes { labels: labels.to_vec(), classes };
        assert_eq!(outputs.targets(&words, &[0], &[1, 0]).unwrap(), labels(&[0, 1], 2));
        let error = told(outputs.targets(&words, &[0], &all(&words)));
        assert_eq!(error, "t: row 4, column 'k': expected a class that the training rows have, found 'owl'");
        let numbers = table(&[("k", None)], &[10.0, -1.0, 2.5, 10.0]);
        let outputs = Outputs::fit(&numbers, &[0], &all(&numbers), Task::Classify, true).unwrap();
        assert_eq!(outputs.names(), ["-1", "2.5", "10"]);
        assert_eq!(outputs.targets(&numbers, &[0], &all(&numbers)).unwrap(), labels(&[2, 0, 1, 2], 3));
    }

    #[test]
    fn values_are_learned_in_units_of_their_spread_and_come_back() {
        let two = table(&[("a", None), ("b", None)], &[1.0, 5.0, 3.0, 5.0]);
        let outputs = Outputs::fit(&two, &[1, 0], &all(&two), Task::Regress, true).unwrap();
        let TargetColumns::Values { values, width } = outputs.targets(&two, &[1, 0], &all(&two)).unwrap() else {
            panic!("values expected")
        };
        // The second column does not vary: it stays as it is.
        assert_eq!((values.clone(), width), (vec![5.0, -1.0, 5.0, 1.0], 2));
        let mut back = values;
        outputs.restore(&mut back);
        assert_eq!(back, [5.0, 1.0, 5.0, 3.0]);
        let raw = Outputs::fit(&two, &[0], &all(&two), Task::Regress, false).unwrap();
        let wanted = TargetColumns::Values { values: vec![1.0, 3.0], width: 1 };
        assert_eq!(raw.targets(&two, &[0], &all(&two)).unwrap(), wanted);
    }

    #[test]
    fn labels_are_there_or_not() {
        let two = table(&[("a", None), ("b", None)], &[1.0, 0.0, 0.0, 1.0]);
        let outputs = Outputs::fit(&two, &[0, 1], &all(&two), Task::MultiLabel, true).unwrap();
        let wanted = TargetColumns::Values { values: vec![1.0, 0.0, 0.0, 1.0], width: 2 };
        assert_eq!((outputs.targets(&two, &[0, 1], &all(&two)).unwrap(), outputs.names()), (wanted, vec!["a", "b"]));
        let three = table(&[("a", None), ("b", None)], &[1.0, 0.5]);
        let error = told(Outputs::fit(&three, &[0, 1], &[0], Task::MultiLabel, true));
        assert_eq!(error, "t: row 1, column 'b': expected 0 or 1, as a label is there or not, found '0.5'");
    }

    #[test]
    fn targets_that_are_no_targets_are_refused_with_their_place() {
        let gap = table(&[("k", None), ("w", Some(&["x"]))], &[1.0, 0.0, f32::NAN, f32::NAN]);
        let fit = |target: usize, task| told(Outputs::fit(&gap, &[target], &[0, 1], task, true));
        assert_eq!(fit(0, Task::Classify), "t: row 2, column 'k': expected a class, found nothing");
        assert_eq!(fit(1, Task::Classify), "t: row 2, column 'w': expected a class, found nothing");
        assert_eq!(fit(0, Task::Regress), "t: row 2, column 'k': expected a value to predict, found nothing");
        assert_eq!(fit(1, Task::Regress), "t: row 1, column 'w': expected a number to predict, found 'x'");
        let error = told(Outputs::fit(&gap, &[0, 1], &[0], Task::Classify, true));
        assert!(error.starts_with("t: target: expected one target column"), "{error}");
    }

    #[test]
    fn outputs_come_back_from_json_and_hostile_ones_are_refused() {
        let value = |center, scale| Outputs::Regress { columns: vec![ValueColumn { name: "v".into(), center, scale }] };
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (outputs, good) in [
            (value(0.5, 2.0), true),
            (value(0.5, 0.0), false),
            (value(1e60, 1.0), false),
            (Outputs::MultiLabel { columns: names(&["a", "b"]) }, true),
            (Outputs::MultiLabel { columns: names(&[]) }, false),
            (Outputs::Classify { column: "k".into(), classes: names(&["a", "a"]) }, false),
        ] {
            let text = serde_json::to_string(&outputs).unwrap();
            assert_eq!(serde_json::from_str::<Outputs>(&text).unwrap(), outputs);
            assert_eq!(outputs.check().is_ok(), good, "{text}");
        }
    }
}
