//! Results as a short text of at most 80 columns, or as many as the terminal has. It knows figures and words, not where they are printed.

use std::fmt::Write;
use std::io;
use std::path::Path;

use flatnet::metrics::MULTI_LABEL_METRICS;
use flatnet::nn::ReluGrad;
pub use flatnet::report::grouped;
use flatnet::report::{
    Findings, LabelReport, MAX_NAME_COLUMNS, ValueReport, name_columns, shown_name, significant, verdict,
};
use flatnet::run::{Summary, folder};
use flatnet::train::{History, shown_loss};

/// Of the table of figures.
const TABLE_COLUMNS: usize = 67;

/// Columns of the terminal that results go to; where they go elsewhere, what COLUMNS says, else 80.
pub fn columns() -> usize {
    let said = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    terminal.or_else(said).unwrap_or(80)
}

/// What a run came to: final and best figures, what became of the validation samples, speed, seconds.
pub fn of_run(summary: &Summary, history: &History, found: Option<&Findings>) -> String {
    run_in(summary, history, found, columns())
}

fn run_in(summary: &Summary, history: &History, found: Option<&Findings>, columns: usize) -> String {
    let mut text = format!(
        "\n{} ({} parameters), {} training and {} validation samples\n\n",
        summary.recipe.layers,
        grouped(summary.model.parameters),
        grouped(summary.data.train_samples),
        grouped(summary.data.val_samples),
    );
    // Writing into a String cannot fail.
    let _ = figures(&mut text, history, summary.recipe.accuracy_name(), columns)
        .and_then(|()| found.map_or(Ok(()), |found| of_validation(&mut text, found, columns)))
        .and_then(|()| speed(&mut text, summary));
    wrapped(&text, columns)
}

/// Where the run is kept, and what its losses say.
pub fn of_files(summary: &Summary, history: &History, folder: &Path) -> String {
    let mut text = format!("\nFiles in {}:\n  {}\n", folder.display(), folder::FILES.join(", "));
    // Writing into a String cannot fail.
    if !summary.recipe.no_report {
        let _ = writeln!(text, "To look at: {}", folder.join(folder::REPORT).display());
    }
    let _ = writeln!(text, "{}", verdict(summary, history));
    if summary.recipe.relu_grad == ReluGrad::StraightThrough && summary.recipe.layers.contains("relu") {
        text.push_str("ReLU passes every gradient on (--relu-grad straight-through); README.md says why.\n");
    }
    wrapped(&text, columns())
}

/// Breaks lines that are too long before a word; a single word, such as a path, stays whole.
pub fn wrapped(text: &str, columns: usize) -> String {
    let mut broken = String::with_capacity(text.len());
    for line in text.lines() {
        if line.chars().count() <= columns {
            broken.push_str(line);
            broken.push('\n');
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut width = 0;
        for word in line.split_whitespace() {
            let letters = word.chars().count();
            if width == 0 || width + 1 + letters > columns {
                if width > 0 {
                    broken.push('\n');
                }
                let indent = if width == 0 { indent } else { indent + 2 };
                broken.push_str(&" ".repeat(indent));
                width = indent + letters;
            } else {
                broken.push(' ');
                width += 1 + letters;
            }
            broken.push_str(word);
        }
        broken.push('\n');
    }
    broken
}

/// As a table, or as a list where that is too wide; without accuracies where they have no name.
fn figures(text: &mut String, history: &History, accuracy_name: Option<&str>, columns: usize) -> std::fmt::Result {
    let (Some(last), Some(best)) = (history.last(), history.best()) else { return Ok(()) };
    let best_record = &history.epochs[best.epoch - 1];
    let rows = [("final", history.epochs.len(), last), ("best", best.epoch, best_record)];
    if columns < TABLE_COLUMNS {
        for (name, epoch, record) in rows {
            writeln!(text, "{name}: epoch {}", grouped(epoch))?;
            for (phase, loss, accuracy) in [
                ("training", record.train_loss, record.train_accuracy),
                ("validation", record.val_loss, record.val_accuracy),
            ] {
                write!(text, "  {phase:<10} {:>10}", shown_loss(loss))?;
                accuracy_name.map_or(Ok(()), |_| write!(text, " {:>8.2} %", 100.0 * accuracy))?;
                text.push('\n');
            }
        }
        text.push('\n');
        return Ok(());
    }
    let head = |loss: &str, accuracy: &str| match accuracy_name {
        Some(_) => format!("   {loss:>10}   {accuracy:>10}"),
        None => format!("   {loss:>10}"),
    };
    let cells = |loss: f64, accuracy: f64| match accuracy_name {
        Some(_) => format!("   {:>10}   {:>8.2} %", shown_loss(loss), 100.0 * accuracy),
        None => format!("   {:>10}", shown_loss(loss)),
    };
    writeln!(text, "          epoch{}{}", head("train loss", "train acc."), head("val loss", "val acc."))?;
    for (name, epoch, record) in rows {
        let (train, val) =
            (cells(record.train_loss, record.train_accuracy), cells(record.val_loss, record.val_accuracy));
        writeln!(text, "  {name:<6}{epoch:>7}{train}{val}")?;
    }
    if let Some(name) = accuracy_name.filter(|name| *name != "accuracy") {
        writeln!(text, "  acc.: {name}, of the rows of which every label is right")?;
    }
    text.push('\n');
    Ok(())
}

/// So many values are told one by one.
const MAX_VALUES: usize = 8;

/// What the last epoch's model makes of the validation samples, beside losses and accuracies.
fn of_validation(text: &mut String, found: &Findings, columns: usize) -> std::fmt::Result {
    let six = |figure: Option<f64>| figure.map_or("-".into(), |figure| significant(figure, 6));
    match found {
        Findings::Classes(_) => return Ok(()),
        Findings::Labels(LabelReport { found, .. }) => {
            let figures = MULTI_LABEL_METRICS.iter().map(|metric| {
                let figure = (metric.of)(found).map_or("-".into(), |figure| format!("{figure:.4}"));
                format!("{} {figure}", metric.title)
            });
            writeln!(text, "Validation: {}", figures.collect::<Vec<_>>().join(", "))?;
        }
        Findings::Values(ValueReport { columns: values, .. }) => {
            let room = columns.saturating_sub("  R2 -123.456  MAE -1.23456e-10".len()).clamp(6, MAX_NAME_COLUMNS);
            let names: Vec<String> =
                values.iter().take(MAX_VALUES).map(|value| shown_name(&value.name, room)).collect();
            let width = names.iter().map(|name| name_columns(name)).max().unwrap_or(0);
            writeln!(text, "Validation, in the units of the column:")?;
            for (name, value) in names.iter().zip(values) {
                let pad = " ".repeat(width - name_columns(name));
                let (r2, mae) = (value.figures.r2(), six(value.figures.mae()));
                let r2 = r2.map_or("-".into(), |r2| format!("{r2:.4}"));
                writeln!(text, "  {name}{pad}  R2 {r2:>8}  MAE {mae}")?;
            }
            if values.len() > MAX_VALUES {
                writeln!(text, "  and {} more (flatnet evaluate)", values.len() - MAX_VALUES)?;
            }
        }
    }
    text.push('\n');
    Ok(())
}

fn speed(text: &mut String, summary: &Summary) -> std::fmt::Result {
    let threads = if summary.threads == 1 { "1 thread".into() } else { format!("{} threads", summary.threads) };
    if let Some(per_second) = summary.batches_per_second {
        writeln!(
            text,
            "{} batches, {} per second ({}, {}, {threads})",
            grouped(summary.train_batches),
            grouped(per_second.round() as usize),
            summary.kernel,
            summary.simd,
        )?;
    }
    let seconds = &summary.seconds;
    writeln!(
        text,
        "Seconds: load {:.2}, train {:.2}, validate {:.2}, total {:.2}",
        seconds.load, seconds.train, seconds.validate, seconds.total
    )
}

#[cfg(test)]
mod tests {
    use flatnet::metrics::Regression;
    use flatnet::report::ValueFinding;
    use flatnet::train::EpochRecord;

    use super::*;

    #[test]
    fn figures_fit_the_terminal() {
        let epoch = EpochRecord {
            train_loss: 1e30,
            train_accuracy: 1.0,
            val_loss: 12_345.678_9,
            val_accuracy: 1.0,
            train_seconds: 1.0,
            val_seconds: 0.5,
            watch: None,
        };
        let history = History { epochs: vec![epoch; 1_000], ..History::default() };
        for columns in [40, 66, 67, 80, 200] {
            let mut text = String::new();
            figures(&mut text, &history, Some("accuracy"), columns).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            assert_eq!(text.contains("train acc."), columns >= TABLE_COLUMNS);
            assert!(text.contains("1.0000e30") && text.contains("12345.6789"), "{text}");
            assert!(text.contains("100.00 %"), "{text}");
            // Values are not right or wrong.
            let mut text = String::new();
            figures(&mut text, &history, None, columns).unwrap();
            assert!(text.contains("12345.6789") && !text.contains('%') && !text.contains("acc."), "{text}");
            let mut text = String::new();
            figures(&mut text, &history, Some("subset accuracy"), columns).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            assert_eq!(text.contains("subset accuracy"), columns >= TABLE_COLUMNS);
        }
    }

    #[test]
    fn values_are_told_in_their_own_units() {
        let value = |name: &str, pairs: &[(f32, f32)]| {
            let mut figures = Regression::new(1).unwrap();
            let (wanted, predicted): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            figures.add(&predicted, &wanted).unwrap();
            ValueFinding { name: name.into(), figures, pairs: pairs.to_vec() }
        };
        let columns = vec![
            value("price \u{732b}\u{1b}", &[(1e6, 1.5e6), (3e6, 2.5e6)]),
            value("a name that would fill a line of a terminal on its own", &[(1.0, 1.0)]),
        ];
        let found = Findings::Values(ValueReport { source: "t".into(), figures: Regression::new(2).unwrap(), columns });
        for columns in [36, 60, 80] {
            let mut text = String::new();
            of_validation(&mut text, &found, columns).unwrap();
            assert!(text.lines().skip(1).all(|line| name_columns(line) <= columns.max(40)), "{columns}: {text}");
            assert!(text.contains("R2   0.7500  MAE 500000\n") && text.contains("R2        -  MAE 0\n"), "{text}");
            assert!(!text.contains('\u{1b}'));
        }
        let many = (0..20).map(|at| value(&at.to_string(), &[(1.0, 2.0)])).collect();
        let found =
            Findings::Values(ValueReport { source: "t".into(), figures: Regression::new(1).unwrap(), columns: many });
        let mut text = String::new();
        of_validation(&mut text, &found, 80).unwrap();
        assert!(text.contains("and 12 more") && text.lines().count() == 11, "{text}");
    }

    #[test]
    fn lines_are_broken_before_words() {
        let text = "short\n\n  one two three four\n/a/path/that/is/too/long\n";
        assert_eq!(wrapped(text, 10), "short\n\n  one two\n    three\n    four\n/a/path/that/is/too/long\n");
        assert_eq!(wrapped(text, 80), text);
    }
}
