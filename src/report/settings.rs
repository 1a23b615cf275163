//! The settings of runs as HTML: one recipe, and what several differ in beside what came of it. It knows flags' names
//! from the recipes themselves, not what a flag does.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::Run;
use super::curves::same;
use super::graph::COLOURS;
use super::markup::escape;
use super::words::{grouped, percent, significant};
use crate::run::{Figures, Recipe, Summary};
use crate::train::shown_loss;

/// Settings in the order of `train --help`; others follow by name. Where a run was kept and what it printed says nothing
/// about it.
const ORDER: [&str; 18] = [
    "data",
    "train_samples",
    "val_samples",
    "scale",
    "layers",
    "init",
    "relu_grad",
    "epochs",
    "batch_size",
    "lr",
    "seed",
    "shuffle",
    "stream",
    "parallel",
    "reduce",
    "threads",
    "simd",
    "kernel",
];
const UNSAID: [&str; 5] = ["out", "overwrite", "no_report", "json", "quiet"];

/// The settings of a run under their flags' names.
pub(super) fn recipe(recipe: &Recipe) -> String {
    let mut html = String::from("<dl class=\"panel recipe\">");
    for (name, value) in settings(recipe) {
        let _ = write!(html, "<div><dt><code>{}</code></dt><dd>{}</dd></div>", flag(&name), breakable(&value));
    }
    html + "</dl>"
}

/// A column of what came of a run, and its text; `None` where a run has no such figure.
type Figure = (String, fn(&Summary) -> Option<String>);

/// What came of the runs, in the order of the columns: accuracies, or figures of labels and values, where one of them has them.
fn figures(runs: &[Run<'_>]) -> Vec<Figure> {
    let names: Vec<_> = runs.iter().map(|run| run.summary.recipe.accuracy_name()).collect();
    let units: Vec<_> = runs.iter().map(|run| run.summary.recipe.loss_unit()).collect();
    let mut figures: Vec<Figure> = Vec::new();
    if names.iter().any(Option::is_some) {
        let is_subset = names.iter().flatten().all(|name| *name == "subset accuracy");
        let name = if is_subset { "subset accuracy" } else { "accuracy" };
        figures.push((format!("validation {name}, %"), |it| Some(percent(right(it)?.val_accuracy))));
        figures.push((format!("training {name}, %"), |it| Some(percent(right(it)?.train_accuracy))));
    }
    let metrics: [Figure; 4] = [
        ("validation R2".into(), |it| four(it, "r2")),
        ("validation mean absolute error".into(), |it| four(it, "mae")),
        ("validation micro F1".into(), |it| four(it, "f1_micro")),
        ("validation macro F1".into(), |it| four(it, "f1_macro")),
    ];
    figures.extend(metrics.into_iter().filter(|(_, text)| runs.iter().any(|run| text(run.summary).is_some())));
    // Losses of several kinds have no unit in common.
    let unit = match units.first() {
        Some(Some(unit)) if units.iter().all(|other| *other == Some(*unit)) => format!(", {unit}"),
        _ => String::new(),
    };
    let others: [Figure; 6] = [
        (format!("validation loss{unit}"), |it| Some(shown_loss(it.last?.val_loss))),
        (format!("training loss{unit}"), |it| Some(shown_loss(it.last?.train_loss))),
        (format!("lowest validation loss{unit}"), |it| Some(shown_loss(it.best?.val_loss))),
        ("at epoch".into(), |it| Some(grouped(it.best?.epoch))),
        ("batches per second".into(), |it| Some(grouped(it.batches_per_second?.round() as usize))),
        ("total, s".into(), |it| Some(format!("{:.2}", it.seconds.total))),
    ];
    figures.extend(others);
    figures
}

/// The last epoch of a run whose predictions are right or wrong.
fn right(summary: &Summary) -> Option<Figures> {
    summary.last.filter(|_| summary.recipe.accuracy_name().is_some())
}

/// Four digits of what labels or values have.
fn four(summary: &Summary, name: &str) -> Option<String> {
    summary.metrics.get(name).copied().flatten().map(|figure| significant(figure, 4))
}

/// So many settings stand beside them on a wide screen.
const MAX_SETTING_COLUMNS: usize = 4;

/// Several runs in a table: what their recipes differ in, and what came of it.
pub(super) fn comparison(runs: &[Run<'_>]) -> String {
    let recipes: Vec<BTreeMap<String, String>> =
        runs.iter().map(|run| settings(&run.summary.recipe).into_iter().collect()).collect();
    let first = runs.first().map(|run| settings(&run.summary.recipe)).unwrap_or_default();
    let (same, different): (Vec<_>, Vec<_>) =
        first.iter().partition(|(name, value)| recipes.iter().all(|recipe| recipe.get(name) == Some(value)));

    let mut html = String::from("<div class=\"panel\">");
    // More columns than these fit no screen: then each run is a block of figures with their names, as on a phone.
    let stacked = if different.len() > MAX_SETTING_COLUMNS { " stacked" } else { "" };
    let _ = write!(html, "<table class=\"names runs{stacked}\"><thead><tr><th scope=\"col\">run</th>");
    for (name, _) in &different {
        let _ = write!(html, "<th scope=\"col\" class=\"text\"><code>{}</code></th>", flag(name));
    }
    let figures = figures(runs);
    for (name, _) in &figures {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for (index, (run, recipe)) in runs.iter().zip(&recipes).enumerate() {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", named_colour(index, run.name));
        for (name, _) in &different {
            let _ = write!(
                html,
                "<td class=\"wrap\" data-name=\"{}\">{}</td>",
                flag(name),
                breakable(recipe.get(name).map_or("", |value| value))
            );
        }
        for (name, figure) in &figures {
            let figure = figure(run.summary).unwrap_or_else(|| "\u{2013}".into());
            let _ = write!(html, "<td data-name=\"{name}\">{figure}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    if different.is_empty() {
        html.push_str("<p class=\"soft\">All settings are the same.</p>");
    }
    let same: Vec<String> =
        same.iter().map(|(name, value)| format!("<code>{} {}</code>", flag(name), escape(value))).collect();
    let _ = write!(html, "<p class=\"soft small all\">The same for all: {}.</p>", same.join(", "));
    html
}

/// Which colour is which run's.
pub(super) fn legend(runs: &[Run<'_>]) -> String {
    let names: String =
        runs.iter().enumerate().map(|(index, run)| format!("<span>{}</span>", named_colour(index, run.name))).collect();
    let mut twins = String::new();
    for (index, run) in runs.iter().enumerate() {
        if let Some(first) = runs[..index].iter().find(|other| same(other.history, run.history)) {
            let (run, first) = (escape(run.name), escape(first.name));
            let _ =
                write!(twins, "<span class=\"soft\">{run} and {first} measured the same: their lines alternate</span>");
        }
    }
    format!("<p class=\"legend\">{names}<span class=\"soft\">full: validation, dashed: training</span>{twins}</p>")
}

fn named_colour(index: usize, name: &str) -> String {
    format!(
        "<svg class=\"graph swatch\" viewBox=\"0 0 22 10\" aria-hidden=\"true\">\
         <path class=\"line c{}\" d=\"M1 5h20\"/></svg>{}",
        index % COLOURS,
        escape(name)
    )
}

/// A recipe's settings and their values as text, in [`ORDER`].
fn settings(recipe: &Recipe) -> Vec<(String, String)> {
    // By way of text, where 0.01 stays 0.01.
    let text = serde_json::to_string(recipe).unwrap_or_default();
    let mut found: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    for name in UNSAID {
        found.remove(name);
    }
    let shown = |value: Value| match value {
        Value::String(text) => text,
        Value::Number(number) => number
            .as_f64()
            .filter(|n| n.fract() != 0.0)
            .map_or_else(|| number.to_string(), |number| significant(number, 9)),
        Value::Null => "none".into(),
        other => other.to_string(),
    };
    let mut settings: Vec<(String, String)> = Vec::with_capacity(found.len());
    for name in ORDER {
        settings.extend(found.remove_entry(name).map(|(name, value)| (name, shown(value))));
    }
    settings.extend(found.into_iter().map(|(name, value)| (name, shown(value))));
    settings
}

/// A value as text that may be broken after each comma.
fn breakable(value: &str) -> String {
    escape(value).replace(',', ",<wbr>")
}

/// A setting's name as its flag.
fn flag(name: &str) -> String {
    format!("--{}", escape(&name.replace('_', "-")))
}
