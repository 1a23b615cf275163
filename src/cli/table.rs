//! Results as a short text of at most 80 columns, or as many as the terminal has. It knows figures and words, not where they are printed.

use std::fmt::Write;
use std::io;
use std::path::Path;

use flatnet::nn::ReluGrad;
pub use flatnet::report::grouped;
use flatnet::report::verdict;
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

/// What a run came to: final and best figures, speed, seconds.
pub fn of_run(summary: &Summary, history: &History) -> String {
    run_in(summary, history, columns())
}

fn run_in(summary: &Summary, history: &History, columns: usize) -> String {
    let mut text = format!(
        "\n{} ({} parameters), {} training and {} validation samples\n\n",
        summary.recipe.layers,
        grouped(summary.model.parameters),
        grouped(summary.data.train_samples),
        grouped(summary.data.val_samples),
    );
    // Writing into a String cannot fail.
    let _ = figures(&mut text, history, columns).and_then(|()| speed(&mut text, summary));
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

/// As a table, or as a list where that is too wide.
fn figures(text: &mut String, history: &History, columns: usize) -> std::fmt::Result {
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
                writeln!(text, "  {phase:<10} {:>10} {:>8.2} %", shown_loss(loss), 100.0 * accuracy)?;
            }
        }
        text.push('\n');
        return Ok(());
    }
    writeln!(text, "          epoch   train loss   train acc.     val loss     val acc.")?;
    for (name, epoch, record) in rows {
        writeln!(
            text,
            "  {name:<6}{epoch:>7}   {:>10}   {:>8.2} %   {:>10}   {:>8.2} %",
            shown_loss(record.train_loss),
            100.0 * record.train_accuracy,
            shown_loss(record.val_loss),
            100.0 * record.val_accuracy,
        )?;
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
            figures(&mut text, &history, columns).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            assert_eq!(text.contains("train acc."), columns >= TABLE_COLUMNS);
            assert!(text.contains("1.0000e30") && text.contains("12345.6789"), "{text}");
        }
    }

    #[test]
    fn lines_are_broken_before_words() {
        let text = "short\n\n  one two three four\n/a/path/that/is/too/long\n";
        assert_eq!(wrapped(text, 10), "short\n\n  one two\n    three\n    four\n/a/path/that/is/too/long\n");
        assert_eq!(wrapped(text, 80), text);
    }
}
