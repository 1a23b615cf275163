//! Numbers and observations as words, shared by pages and the program's own table. It knows no markup.

use super::guessing;
use crate::run::Summary;
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
pub fn significant(value: f64, digits: usize) -> String {
    let rounded: f64 = format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    if rounded == 0.0 || (1e-5..1e15).contains(&rounded.abs()) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// One line on what came of a training: whether it diverged, else when validation loss was lowest, and no more than the
/// figures allow to say.
pub fn verdict(summary: &Summary, history: &History) -> String {
    told(summary, history).0
}

/// The same, and whether it is bad news.
pub(super) fn told(summary: &Summary, history: &History) -> (String, bool) {
    of(history, summary.data.classes, guessing::loss(summary))
}

fn of(history: &History, classes: usize, guessing: Option<f64>) -> (String, bool) {
    if let Some(told) = diverged(history, classes, guessing) {
        return (told, true);
    }
    match no_better(history, guessing) {
        Some((now, guess)) => {
            let (now, guess) = (shown_loss(now), shown_loss(guess));
            (format!("No better than guessing: training loss {now}, that of guessing is {guess}."), true)
        }
        None => overfitting(history),
    }
}

/// Why the network is of no use, if the training loss shows that its weights have run away.
fn diverged(history: &History, classes: usize, guessing: Option<f64>) -> Option<String> {
    /// Losses of an epoch are means over its steps, so a first epoch that began well may lie a little below a level one.
    const WELL_ABOVE: f64 = 1.5;
    /// A loss that far above guessing comes of weights that have run away; one that begins badly is not.
    const FAR_ABOVE: f64 = 2.0;
    /// Values and labels have no loss of their own to begin with: a sound network may begin some times above guessing.
    const FAR_ABOVE_VALUES: f64 = 10.0;
    let (first, last) = (history.epochs.first()?.train_loss, history.last()?.train_loss);
    let (guessing, most) = match classes {
        0 => guessing.map_or((0.0, f64::INFINITY), |guessing| (guessing, FAR_ABOVE_VALUES * guessing)),
        1 => (0.0, f64::INFINITY),
        classes => ((classes as f64).ln(), FAR_ABOVE * (classes as f64).ln()),
    };
    let (began, now, guess) = (shown_loss(first), shown_loss(last), shown_loss(guessing));
    if last > WELL_ABOVE * first && last > 0.1 {
        Some(format!("Diverged: training loss rose from {began} to {now}; lower the learning rate."))
    } else if last > most {
        Some(format!("Diverged: training loss {now} (guessing: {guess}); lower the learning rate."))
    } else {
        None
    }
}

/// The training loss and that of guessing, where the network has learned nothing that guessing does not know.
pub(super) fn no_better(history: &History, guessing: Option<f64>) -> Option<(f64, f64)> {
    /// Closer to guessing than this is no better, and a loss that has fallen less stays where it is,
    const CLOSE: f64 = 0.01;
    /// which fewer epochs cannot show.
    const ENOUGH_EPOCHS: usize = 5;
    let (first, last, guessing) = (history.epochs.first()?.train_loss, history.last()?.train_loss, guessing?);
    let stays = history.epochs.len() >= ENOUGH_EPOCHS && last > (1.0 - CLOSE) * first;
    (stays && last > (1.0 - CLOSE) * guessing).then_some((last, guessing))
}

/// The epoch of the lowest validation loss and the share by which it has risen since, where it has done so for long while
/// training loss fell: the network learns its training samples by heart.
pub(super) fn overfits(history: &History) -> Option<(usize, f64)> {
    /// Less is no loss to anyone,
    const LEAST_RISE: f64 = 0.1;
    /// and a shorter rise may end by itself: epochs, and one part of so many of them all.
    const LEAST_EPOCHS: usize = 5;
    const SHARE: usize = 10;
    let (last, best) = (history.last()?, history.best()?);
    let epochs = history.epochs.len();
    // The mean of the last few, since a single epoch may be a bad one.
    let tail = &history.epochs[epochs.saturating_sub(LEAST_EPOCHS)..];
    let now = tail.iter().map(|epoch| epoch.val_loss).sum::<f64>() / tail.len() as f64;
    let rise = (now - best.val_loss) / best.val_loss;
    let is_long = epochs - best.epoch >= LEAST_EPOCHS.max(epochs / SHARE);
    let learns = last.train_loss < history.epochs[best.epoch - 1].train_loss;
    (is_long && learns && rise > LEAST_RISE && now - best.val_loss > 3.0 * noise(history)).then_some((best.epoch, rise))
}

/// One line on when validation loss was lowest, and whether it has risen since while training loss fell.
fn overfitting(history: &History) -> (String, bool) {
    let (Some(last), Some(best)) = (history.last(), history.best()) else {
        return ("No epoch ran: the model is the initial one.".into(), false);
    };
    let epochs = history.epochs.len();
    if !history.is_validated() {
        return ("Overfitting: no samples were held out that could show it.".into(), false);
    }
    if epochs == 1 {
        return ("Overfitting: one epoch cannot show it.".into(), false);
    }
    let noise = noise(history);
    let since = level_since(history, noise);
    if epochs - since >= LEAST_LEVEL.max(epochs / 20) || (best.epoch < epochs && last.val_loss - best.val_loss <= noise)
    {
        let now = last.val_loss;
        return (
            format!("Overfitting: not seen; validation loss has been level since epoch {since} ({}).", shown_loss(now)),
            false,
        );
    }
    if best.epoch == epochs {
        let told = format!("Overfitting: not seen; validation loss was lowest in the last epoch, {epochs}.");
        return (told, false);
    }
    let (lowest, now) = (shown_loss(best.val_loss), shown_loss(last.val_loss));
    let is_seen = last.train_loss < history.epochs[best.epoch - 1].train_loss;
    let told = if is_seen {
        format!("Overfitting: validation loss no better since epoch {} ({lowest}, now {now}).", best.epoch)
    } else {
        format!("Overfitting: unclear; since epoch {} neither loss has improved.", best.epoch)
    };
    (told, is_seen)
}

/// A loss is called level if it has been so for this many epochs.
const LEAST_LEVEL: usize = 5;
/// A change of less than this share of the loss is none that anyone would train on for.
const SMALL_SHARE: f64 = 0.001;

/// How far validation loss moves without a meaning: a thousandth of itself, or twice what it jumps from one epoch to the
/// next, taken from its second differences, in which a steady rise or fall is nothing.
fn noise(history: &History) -> f64 {
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.val_loss).collect();
    let tail = &losses[losses.len() / 2..];
    let mut jumps: Vec<f64> = tail.windows(3).map(|three| (three[0] - 2.0 * three[1] + three[2]).abs()).collect();
    jumps.sort_by(f64::total_cmp);
    // The second difference of independent noise has sqrt(6) times its deviation; few epochs tell nothing of it.
    let jump = if jumps.len() < LEAST_LEVEL { 0.0 } else { 1.4826 * jumps[jumps.len() / 2] / 6_f64.sqrt() };
    (2.0 * jump).max(SMALL_SHARE * losses.last().map_or(0.0, |loss| loss.abs()))
}

/// The first epoch from which on no loss is further than `noise` from the last few's mean.
fn level_since(history: &History, noise: f64) -> usize {
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.val_loss).collect();
    let last = &losses[losses.len().saturating_sub(LEAST_LEVEL)..];
    let level = last.iter().sum::<f64>() / last.len().max(1) as f64;
    losses.iter().rposition(|loss| (loss - level).abs() > 1.5 * noise).map_or(1, |before| before + 2).min(losses.len())
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
            watch: None,
        };
        History { epochs: losses.iter().map(epoch).collect(), ..History::default() }
    }

    /// A page of a fit of which nothing was held out.
    #[test]
    fn without_validation_nothing_is_said_of_it() {
        let epoch = EpochRecord {
            train_loss: 0.5,
            train_accuracy: 0.8,
            val_loss: f64::NAN,
            val_accuracy: f64::NAN,
            train_seconds: 1.0,
            val_seconds: 0.0,
            watch: None,
        };
        let history = History { epochs: vec![epoch; 30], ..History::default() };
        assert_eq!(of(&history, 10, None), ("Overfitting: no samples were held out that could show it.".into(), false));
        assert_eq!((overfits(&history), history.is_validated()), (None, false));
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
            let text = of(&history(losses), 10, Some(10_f64.ln())).0;
            assert!(text.contains(expected), "{text}");
            assert!(text.len() <= 80 && !text.contains('\n'), "{text}");
        }
        assert!(of(&history(&[]), 10, None).0.contains("No epoch ran"));
    }

    #[test]
    fn values_have_run_away_where_their_mean_is_ten_times_better() {
        let text = |losses: &[(f64, f64)]| of(&history(losses), 0, Some(1.0)).0;
        assert!(text(&[(90.0, 80.0), (70.0, 60.0)]).starts_with("Diverged: training loss 70.0000 (guessing: 1.0000)"));
        assert!(text(&[(4.0, 3.0), (3.0, 2.0)]).starts_with("Overfitting: not seen"));
        assert!(text(&[(1.0, 1.0); 5]).starts_with("No better than guessing: training loss 1.0000"));
        assert!(of(&history(&[(90.0, 80.0), (70.0, 60.0)]), 0, None).0.starts_with("Overfitting: not seen"));
    }

    /// Of two classes, one nine times as frequent: 0.3251 is no better than guessing, though far below ln 2.
    #[test]
    fn frequent_classes_make_guessing_better() {
        let guessing = Some(-(0.9 * 0.9_f64.ln() + 0.1 * 0.1_f64.ln()));
        let text = |loss| of(&history(&[(loss, loss); 5]), 2, guessing).0;
        assert_eq!(text(0.3251), "No better than guessing: training loss 0.3251, that of guessing is 0.3251.");
        assert!(text(0.32).starts_with("Overfitting: not seen"), "{}", text(0.32));
        assert_eq!(no_better(&history(&[(0.3251, 0.3); 5]), None), None);
        // It may still fall: four epochs do not tell, nor does one that has fallen.
        assert_eq!(no_better(&history(&[(0.3251, 0.3); 4]), guessing), None);
        assert_eq!(
            no_better(&history(&[(0.6, 0.3), (0.5, 0.3), (0.4, 0.3), (0.35, 0.3), (0.33, 0.3)]), guessing),
            None
        );
    }

    #[test]
    fn a_long_rise_of_validation_loss_is_overfitting_and_a_short_or_small_one_is_not() {
        let run = |epochs: usize, val_loss: &dyn Fn(usize) -> f64, falls: f64| {
            let losses: Vec<_> = (0..epochs).map(|epoch| (1.0 - falls * epoch as f64, val_loss(epoch))).collect();
            overfits(&history(&losses)).map(|(epoch, rise)| (epoch, (100.0 * rise).round()))
        };
        let after_10 = |slope: f64| move |epoch: usize| 0.4 + slope * (epoch as f64 - 10.0).abs();
        // The mean of the last five epochs is 18 of them behind the lowest.
        assert_eq!(run(31, &after_10(0.01), 0.01), Some((11, 45.0)));
        assert_eq!(run(31, &after_10(0.001), 0.01), None, "4 % more");
        assert_eq!(run(13, &after_10(0.1), 0.01), None, "for three epochs");
        assert_eq!(run(31, &after_10(0.01), -0.01), None, "training loss rises as well");
        assert_eq!(run(31, &|epoch| 1.0 / (epoch + 1) as f64, 0.01), None);
        // Up and down by a quarter from epoch to epoch, for ever.
        assert_eq!(run(60, &|epoch| 0.4 + 0.1 * (epoch as f64 * 7.0 % 5.0 / 5.0), 0.01), None);
        assert_eq!(overfits(&history(&[])), None);
    }

    #[test]
    fn a_change_below_the_noise_is_no_improvement() {
        // Level from about epoch 60 on, with a least value by chance in epoch 96.
        let loss = |epoch: usize| 0.3 + 0.5 * (-(epoch as f64) / 8.0).exp() + 1e-5 * ((epoch * 7919 % 13) as f64 - 6.0);
        let mut losses: Vec<(f64, f64)> = (1..=100).map(|epoch| (0.3, loss(epoch))).collect();
        losses[95].1 = 0.299_93;
        let since = |losses: &[(f64, f64)]| {
            let text = overfitting(&history(losses)).0;
            text.split("level since epoch ")
                .nth(1)
                .map(|rest| rest.split(' ').next().unwrap().parse::<usize>().unwrap())
        };
        let found = since(&losses);
        assert!(found.is_some_and(|epoch| (40..70).contains(&epoch)), "{found:?}");
        // Falling steadily, however slowly, is not level, and rising is overfitting.
        let falling: Vec<(f64, f64)> = (0..100).map(|epoch| (0.3, 0.5 - 0.001 * f64::from(epoch))).collect();
        assert_eq!(since(&falling), None);
        let rising: Vec<(f64, f64)> =
            (0..100).map(|epoch| (0.5 - 0.001 * f64::from(epoch), 0.3 + 0.001 * f64::from(epoch))).collect();
        assert!(overfitting(&history(&rising)).1 && !overfitting(&history(&losses)).1);
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
            let text = overfitting(&history(losses)).0;
            assert!(text.contains(expected), "{text}");
            assert!(text.len() <= 80 && !text.contains('\n'), "{text}");
        }
    }
}
