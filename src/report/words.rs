//! Numbers and observations as words, shared by pages and the program's own table. It knows no markup.

use crate::train::History;

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

/// One line on when validation loss was lowest, and no more than the figures allow to say.
pub fn overfitting(history: &History) -> String {
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
