//! Results as a short text of at most 80 columns. It knows figures and words, not where they are printed.

use std::fmt::Write;
use std::path::Path;

use flatnet::nn::ReluGrad;
use flatnet::run::{Summary, folder};
use flatnet::train::{Evaluation, History};

/// What a run came to: final and best figures, speed, seconds, files, and whether it overfitted.
pub fn of_run(summary: &Summary, history: &History, folder: &Path) -> String {
    let mut text = format!(
        "\n{} ({} parameters), {} training and {} validation samples\n\n",
        summary.recipe.layers,
        grouped(summary.model.parameters),
        grouped(summary.data.train_samples),
        grouped(summary.data.val_samples),
    );
    // Writing into a String cannot fail.
    let _ = figures(&mut text, history).and_then(|()| speed(&mut text, summary));
    let _ = write!(text, "\nFiles in {}: {}\n", folder.display(), folder::FILES.join(", "));
    let _ = writeln!(text, "{}", overfitting(history));
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

/// One line on when validation loss was lowest, and no more than the figures allow to say.
fn overfitting(history: &History) -> String {
    let (Some(last), Some(best)) = (history.last(), history.best()) else {
        return "No epoch ran: the model is the initial one.".into();
    };
    let epochs = history.epochs.len();
    if epochs == 1 {
        return "Overfitting: one epoch cannot show it.".into();
    }
    if best.epoch == epochs {
        return format!("Overfitting: not seen; validation loss was lowest in the last epoch, {epochs}.");
    }
    let (lowest, now) = (format!("{:.4}", best.val_loss), format!("{:.4}", last.val_loss));
    if lowest == now {
        format!("Overfitting: not seen; validation loss has been level since epoch {} ({now}).", best.epoch)
    } else if last.train_loss < history.epochs[best.epoch - 1].train_loss {
        format!("Overfitting: validation loss no better since epoch {} ({lowest}, now {now}).", best.epoch)
    } else {
        format!("Overfitting: unclear; since epoch {} neither loss has improved.", best.epoch)
    }
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

/// 187600 as 187,600.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use flatnet::train::EpochRecord;

    use super::*;

    fn history(losses: &[(f64, f64)]) -> History {
        let epoch = |&(train_loss, val_loss): &(f64, f64)| EpochRecord {
            train_loss,
            train_accuracy: 0.9,
            val_loss,
            val_accuracy: 0.8,
            train_seconds: 1.0,
            val_seconds: 0.5,
        };
        History { epochs: losses.iter().map(epoch).collect(), ..History::default() }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (187_600, "187,600"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn overfitting_is_told_as_far_as_the_figures_show_it() {
        for (losses, expected) in [
            (&[][..], "No epoch ran"),
            (&[(0.5, 0.5)], "one epoch cannot show it"),
            (&[(0.5, 0.5), (0.4, 0.4)], "lowest in the last epoch, 2"),
            (&[(0.5, 0.5), (0.4, 0.4), (0.3, 0.45)], "no better since epoch 2 (0.4000, now 0.4500)"),
            (&[(0.5, 0.4), (0.6, 0.5)], "unclear; since epoch 1"),
            (&[(0.5, 0.4), (0.4, 0.40001)], "not seen; validation loss has been level since epoch 1 (0.4000)"),
        ] {
            let text = overfitting(&history(losses));
            assert!(text.contains(expected), "{text}");
            assert!(text.len() <= 80 && !text.contains('\n'), "{text}");
        }
    }
}
