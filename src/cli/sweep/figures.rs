//! What a sweep came to: mean and spread over the runs of each setting, as a table, as CSV and as JSON. It knows figures, not how
//! they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use flatnet::report::{csv_cell, significant};
use flatnet::run::Summary;
use flatnet::train::shown_loss;
use serde::Serialize;

use super::grid::REPEATED;
use super::plan::Run;

/// Everything `sweep --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The sweep's folder.
    pub out: String,
    /// All of the sweep, in its order.
    pub runs: Vec<OfRun>,
    /// One for each combination of the grid, in its order.
    pub settings: Vec<OfSetting>,
    /// Runs that ended in this sweep, or had ended before it.
    pub done: usize,
    pub failed: usize,
    /// Of this sweep alone, in all.
    pub seconds: f64,
    pub jobs: usize,
    pub threads: usize,
}

#[derive(Debug, Serialize)]
pub struct OfRun {
    pub name: String,
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub status: Status,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// As in its `summary.json`.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub last: Option<flatnet::run::Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<flatnet::run::BestFigures>,
    /// Of labels and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Done,
    Failed,
    /// Not yet run, broken off, or another shard's and not there yet.
    Open,
}

/// Over the runs of a setting that are done.
#[derive(Debug, Serialize)]
pub struct OfSetting {
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub runs: usize,
    #[serde(rename = "final")]
    pub last: Pair,
    pub best: Pair,
    /// Of labels and values: each figure that one of the runs has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Spread>,
    pub seconds: Spread,
}

#[derive(Debug, Serialize)]
pub struct Pair {
    /// Of runs that have one: where values are predicted, there is none.
    pub val_accuracy: Spread,
    pub val_loss: Spread,
}

/// `None` where there are too few: no run, or, for the deviation, one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub mean: Option<f64>,
    /// Of a sample: divided by one less than there are.
    pub std: Option<f64>,
}

impl Spread {
    const NONE: Spread = Spread { mean: None, std: None };

    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let values: Vec<f64> = values.collect();
        let count = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / count);
        let std = mean.filter(|_| values.len() > 1).map(|mean| {
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (count - 1.0)).sqrt()
        });
        Spread { mean, std }
    }

    /// The two columns of CSV; what there is none of is left empty.
    fn columns(self) -> String {
        let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        format!("{},{}", text(self.mean), text(self.std))
    }

    fn shown(self, number: impl Fn(f64) -> String) -> String {
        match (self.mean, self.std) {
            (Some(mean), Some(std)) => format!("{} ± {}", number(mean), number(std)),
            (Some(mean), None) => number(mean),
            _ => "-".into(),
        }
    }
}

/// A row for each setting; `summaries` are those of `runs`, `None` where one is not done.
pub fn settings(runs: &[Run], summaries: &[Option<Summary>]) -> Vec<OfSetting> {
    let count = runs.iter().map(|run| run.planned.setting + 1).max().unwrap_or(0);
    let of_setting = |setting: usize| {
        let own = || runs.iter().zip(summaries).filter(move |(run, _)| run.planned.setting == setting);
        let done: Vec<&Summary> = own().filter_map(|(_, summary)| summary.as_ref()).collect();
        let last = |figure: fn(&flatnet::run::Figures) -> f64| {
            Spread::of(done.iter().filter_map(|summary| summary.last.as_ref()).map(figure))
        };
        let best = |figure: fn(&flatnet::run::BestFigures) -> f64| {
            Spread::of(done.iter().filter_map(|summary| summary.best.as_ref()).map(figure))
        };
        let has_accuracy = |summary: &&&Summary| summary.recipe.accuracy_name().is_some();
        let right = |figure: fn(&Summary) -> Option<f64>| {
            Spread::of(done.iter().filter(has_accuracy).filter_map(|summary| figure(summary)))
        };
        let metrics = done.iter().flat_map(|summary| summary.metrics.keys()).map(|name| {
            let spread = Spread::of(done.iter().filter_map(|summary| summary.metrics.get(name).copied().flatten()));
            (name.clone(), spread)
        });
        let mut settings = own().next().map(|(run, _)| values(run)).unwrap_or_default();
        REPEATED.iter().for_each(|id| drop(settings.remove(*id)));
        OfSetting {
            settings,
            runs: done.len(),
            last: Pair {
                val_accuracy: right(|summary| Some(summary.last.as_ref()?.val_accuracy)),
                val_loss: last(|last| last.val_loss),
            },
            best: Pair {
                val_accuracy: right(|summary| Some(summary.best.as_ref()?.val_accuracy)),
                val_loss: best(|best| best.val_loss),
            },
            metrics: metrics.collect(),
            seconds: Spread::of(done.iter().map(|summary| summary.seconds.total)),
        }
    };
    (0..count).map(of_setting).collect()
}

pub fn values(run: &Run) -> serde_json::Map<String, serde_json::Value> {
    run.planned.values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

/// `sweep.csv`: a row for each setting, accuracies as fractions; then what labels and values have, if some run has. Every number
/// reads back as the same value.
pub fn csv(axes: &[String], settings: &[OfSetting]) -> String {
    let mut text = String::new();
    for name in axes {
        let _ = write!(text, "{},", csv_cell(name));
    }
    text.push_str("runs");
    for figure in ["final_val_accuracy", "final_val_loss", "best_val_accuracy", "best_val_loss", "seconds"] {
        // Writing into a String cannot fail.
        let _ = write!(text, ",{figure}_mean,{figure}_std");
    }
    let metrics = metric_names(settings);
    for name in &metrics {
        let _ = write!(text, ",{},{}", csv_cell(&format!("final_{name}_mean")), csv_cell(&format!("final_{name}_std")));
    }
    text.push('\n');
    for row in settings {
        for name in axes {
            let value = row.settings.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            let _ = write!(text, "{},", csv_cell(value));
        }
        let spreads = [row.last.val_accuracy, row.last.val_loss, row.best.val_accuracy, row.best.val_loss, row.seconds];
        let more = metrics.iter().map(|name| row.metrics.get(*name).copied().unwrap_or(Spread::NONE));
        let columns: Vec<String> = spreads.into_iter().chain(more).map(Spread::columns).collect();
        let _ = writeln!(text, "{},{}", row.runs, columns.join(","));
    }
    text
}

/// The figures beside losses and accuracies, by name.
fn metric_names(settings: &[OfSetting]) -> BTreeSet<&str> {
    settings.iter().flat_map(|row| row.metrics.keys().map(String::as_str)).collect()
}

/// A line for each setting, its values in the order of `axes`, and one of its figures. Where no run has an accuracy, R2 and the
/// mean absolute error stand in its place.
pub fn table(axes: &[String], settings: &[OfSetting]) -> String {
    let has_accuracy = settings.iter().any(|row| row.last.val_accuracy.mean.is_some());
    let of_values = !has_accuracy && settings.iter().any(|row| row.metrics.contains_key("r2"));
    let [first, second] = if of_values { ["final R2", "final MAE"] } else { ["final acc. %", "best acc. %"] };
    let mut text = format!("\n{:>5}{first:>16}{:>18}{second:>16}{:>18}{:>7}\n", "runs", "final loss", "best loss", "s");
    for row in settings {
        let value = |name: &String| row.settings.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let names: Vec<String> = axes.iter().map(|name| format!("{name}={}", value(name))).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "{}", names.join("  "));
        }
        let accuracy = |spread: Spread| spread.shown(|share| format!("{:.2}", 100.0 * share));
        let loss = |spread: Spread| spread.shown(shown_loss);
        let metric = |name: &str| row.metrics.get(name).copied().unwrap_or(Spread::NONE);
        let (first, second) = match of_values {
            true => (
                metric("r2").shown(|figure| format!("{figure:.4}")),
                metric("mae").shown(|figure| significant(figure, 3)),
            ),
            false => (accuracy(row.last.val_accuracy), accuracy(row.best.val_accuracy)),
        };
        let seconds = row.seconds.mean.map_or("-".into(), |seconds| format!("{seconds:.1}"));
        let _ = writeln!(
            text,
            "{:>5} {:>15} {:>17} {:>15} {:>17} {:>6}",
            row.runs,
            first,
            loss(row.last.val_loss),
            second,
            loss(row.best.val_loss),
            seconds,
        );
    }
    text.push_str("\nValidation; mean ± sample standard deviation over the runs that are done.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        // statistics.stdev([2, 4, 4, 4, 5, 5, 7, 9]) in Python: 2.138089935299395
        let known = spread(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!(known.mean, Some(5.0));
        assert!((known.std.unwrap() - 2.138_089_935_299_395).abs() < 1e-14);
        assert_eq!(spread(&[0.5]), Spread { mean: Some(0.5), std: None });
        assert_eq!(spread(&[]), Spread { mean: None, std: None });
        assert_eq!(spread(&[]).columns() + "|" + &spread(&[0.5]).columns(), ",|0.5,");
    }
}
