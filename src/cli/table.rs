//! Results as a short text of at most 80 columns. It knows figures and words, not where they are printed.

use std::fmt::Write;
use std::path::Path;

use flatnet::nn::ReluGrad;
pub use flatnet::report::grouped;
use flatnet::report::overfitting;
use flatnet::run::{Summary, folder};
use flatnet::train::{Evaluation, History};

/// What a run came to: final and best figures, speed, seconds, files, whether it overfitted, and `warnings`.
pub fn of_run(summary: &Summary, history: &History, folder: &Path, warnings: &[String]) -> String {
    let mut text = format!(
        "\n{} ({} parameters), {} training and {} validation samples\n\n",
        summary.recipe.layers,
        grouped(summary.model.parameters),
        grouped(summary.data.train_samples),
        grouped(summary.data.val_samples),
    );
    // Writing into a String cannot fail.
    let _ = figures(&mut text, history).and_then(|()| speed(&mut text, summary));
    let _ = write!(text, "\nFiles in {}:\n  {}\n", folder.display(), folder::FILES.join(", "));
    if !summary.recipe.no_report {
        let _ = writeln!(text, "To look at: {}", folder.join(folder::REPORT).display());
    }
    let _ = writeln!(text, "{}", overfitting(history));
    for warning in warnings {
        let _ = writeln!(text, "{warning}");
    }
    if summary.recipe.relu_grad == ReluGrad::StraightThrough && summary.recipe.layers.contains("relu") {
        text.push_str("ReLU passes every gradient on (--relu-grad straight-through); README.md says why.\n");
    }
    text
}

fn figures(text: &mut String, history: &History) -> std::fmt::Result {
    let (Some(last), Some(best)) = (history.last(), history.best()) else { return Ok(()) };
    writeln!(text, "          epoch   train loss   train acc.     val loss     val acc.")?;
    let best_record = &history.epochs[best.epoch - 1];
    for (name, epoch, record) in [("final", history.epochs.len(), last), ("best", best.epoch, best_record)] {
        writeln!(
            text,
            "  {name:<6}{epoch:>7}   {:>10.4}   {:>8.2} %   {:>10.4}   {:>8.2} %",
            record.train_loss,
            100.0 * record.train_accuracy,
            record.val_loss,
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

/// What an evaluation came to. `model` and `data` are names to show.
pub fn of_evaluation(model: &str, data: &str, what: &str, evaluation: &Evaluation, seconds: f64) -> String {
    format!(
        "{model} on {data}, {what}\n  accuracy {:.2} % ({} of {})\n  loss     {:.4}\n  seconds  {seconds:.2}\n",
        100.0 * evaluation.accuracy,
        grouped(evaluation.correct),
        grouped(evaluation.samples),
        evaluation.loss,
    )
}
