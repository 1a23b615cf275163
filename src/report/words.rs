//! Numbers and observations as words, shared by pages and the program's own table. It knows no markup.

use crate::train::{History, shown_loss};

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

/// A share, 0 to 1, in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// The shortest text that gives `digits` significant digits of `value`: 0.24, 12000, 3e-9.
pub(super) fn significant(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    if rounded == 0.0 || (1e-5..1e15).contains(&rounded.abs()) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// One line on what came of the training of a network that tells `classes` classes apart: whether it diverged, else when
/// validation loss was lowest, and no more than the figures allow to say.
pub fn verdict(history: &History, classes: usize) -> String {
    no_progress(history, classes).unwrap_or_else(|| overfitting(history))
}

/// Why the network is of no use, if the training loss shows it.
fn no_progress(history: &History, classes: usize) -> Option<String> {
    /// Losses of an epoch are means over its steps, so a first epoch that began well may lie a little below a level one.
    const WELL_ABOVE: f64 = 1.5;
    /// A loss that far above guessing comes of weights that have run away; one that begins badly is not.
    const FAR_ABOVE: f64 = 2.0;
    /// Closer to guessing than this is no better, and a loss that has fallen less stays where it is,
    const CLOSE: f64 = 0.01;
    /// which fewer epochs cannot show.
    const ENOUGH_EPOCHS: usize = 5;
    let (first, last) = (history.epochs.first()?.train_loss, history.last()?.train_loss);
    let guessing = (classes.max(1) as f64).ln();
    let stays = history.epochs.len() >= ENOUGH_EPOCHS && last > (1.0 - CLOSE) * first;
    let (began, now, guess) = (shown_loss(first), shown_loss(last), shown_loss(guessing));
    if last > WELL_ABOVE * first && last > 0.1 {
        Some(format!("Diverged: training loss rose from {began} to {now}; lower the learning rate."))
    } else if classes > 1 && last > FAR_ABOVE * guessing {
        Some(format!("Diverged: training loss {now} (guessing: {guess}); lower the learning rate."))
    } else if classes > 1 && stays && last > (1.0 - CLOSE) * guessing {
        Some(format!("No better than guessing: training loss {now}, that of guessing is {guess}."))
    } else {
        None
    }
}

/// One line on when validation loss was lowest.
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
    let (lowest, now) = (shown_loss(best.val_loss), shown_loss(last.val_loss));
    if lowest == now {
        format!("Overfitting: not seen; validation loss has been level since epoch {} ({now}).", best.epoch)
    } else if last.train_loss < history.epochs[best.epoch - 1].train_loss {
        format!("Overfitting: validation loss no better since epoch {} ({lowest}, now {now}).", best.epoch)
    } else {
        format!("Overfitting: unclear; since epoch {} neither loss has improved.", best.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EpochRecord;

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
    fn digits_that_say_nothing_are_left_out() {
        for (value, text) in [
            (0.0, "0"),
            (0.238_412_9, "0.2384"),
            (0.5, "0.5"),
            (12_345.678, "12350"),
            (99.996, "100"),
            (-0.042_111, "-0.04211"),
            (3.0e-9, "3e-9"),
            (1.5e300, "1.5e300"),
        ] {
            assert_eq!(significant(value, 4), text);
        }
    }

    #[test]
    fn a_network_of_no_use_is_told_as_such() {
        for (losses, expected) in [
            (&[(0.5, 0.5), (2.0, 0.4), (3084.0, 2900.0)][..], "Diverged: training loss rose from 0.5000 to 3084.0000"),
            (&[(0.5, 0.5), (1e30, 1e30)], "rose from 0.5000 to 1.0000e30; lower the learning rate."),
            (&[(90.0, 80.0), (70.0, 60.0)], "Diverged: training loss 70.0000 (guessing: 2.3026)"),
            (&[(1e38, 1e38)], "Diverged: training loss 1.0000e38 (guessing: 2.3026)"),
            (&[(std::f64::consts::LN_10, std::f64::consts::LN_10); 5], "No better than guessing: training loss 2.3026"),
            // One that learns, one that has learned all of it, and one whose loss rises a little.
            (&[(2.2, 2.1), (1.9, 1.8)], "Overfitting: not seen"),
            (&[(0.001, 0.1), (0.002, 0.11)], "Overfitting: unclear"),
            (&[(std::f64::consts::LN_10, std::f64::consts::LN_10); 4], "Overfitting: not seen"),
            // One that begins badly and gets better.
            (&[(2.5, 2.4)], "one epoch cannot show it"),
            (&[(3.5, 3.4), (2.4, 2.4)], "Overfitting: not seen"),
            (&[(0.5, 0.4), (0.6, 0.5)], "Overfitting: unclear"),
        ] {
            let text = verdict(&history(losses), 10);
            assert!(text.contains(expected), "{text}");
            assert!(text.len() <= 80 && !text.contains('\n'), "{text}");
        }
        assert!(verdict(&history(&[]), 10).contains("No epoch ran"));
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
