//! How far predictions and labels agree beyond what classes of such sizes would by chance: 1 where always, 0 where no further.

use super::{Confusion, share};

/// Cohen's kappa, without weights: `(p_o - p_e) / (1 - p_e)`, where `p_o` is the accuracy and `p_e` that of drawing labels
/// and predictions apart, as often as there are (J. Cohen, "A coefficient of agreement for nominal scales", 1960). `None`
/// where all labels and all predictions are one class.
pub fn kappa(confusion: &Confusion) -> Option<f64> {
    let samples = confusion.samples();
    let by_chance = products(confusion, Confusion::support, Confusion::predicted) / (samples as f64 * samples as f64);
    let agreed = share(confusion.correct(), samples)?;
    (by_chance < 1.0).then(|| (agreed - by_chance) / (1.0 - by_chance))
}

/// Matthews' correlation coefficient of any number of classes, the correlation of predictions and labels as indicators
/// (J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004). `None` where all
/// labels, or all predictions, are one class; scikit-learn says 0 there.
pub fn matthews(confusion: &Confusion) -> Option<f64> {
    let samples = confusion.samples() as f64;
    let covariance =
        confusion.correct() as f64 * samples - products(confusion, Confusion::support, Confusion::predicted);
    let of_labels = samples * samples - products(confusion, Confusion::support, Confusion::support);
    let of_predictions = samples * samples - products(confusion, Confusion::predicted, Confusion::predicted);
    let variance = of_labels * of_predictions;
    (variance > 0.0).then(|| covariance / variance.sqrt())
}

/// The sum over classes of one count times the other.
fn products(confusion: &Confusion, one: fn(&Confusion, usize) -> u64, other: fn(&Confusion, usize) -> u64) -> f64 {
    (0..confusion.classes()).map(|class| one(confusion, class) as f64 * other(confusion, class) as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[u64]]) -> Confusion {
        Confusion::from_counts(rows.len(), rows.concat()).unwrap()
    }

    #[test]
    fn agreement_is_more_than_chance() {
        // Two raters of 50 grant proposals, the usual example: p_o = 0.7, p_e = 0.5.
        let raters = of(&[&[20, 5], &[10, 15]]);
        assert!((kappa(&raters).unwrap() - 0.4).abs() < 1e-15);
        // Two classes: (tp tn - fp fn) over the root of the four margins.
        let expected = (20.0 * 15.0 - 5.0 * 10.0) / (25.0 * 25.0 * 30.0 * 20.0_f64).sqrt();
        assert!((matthews(&raters).unwrap() - expected).abs() < 1e-15);
        let (perfect, reversed) = (of(&[&[3, 0, 0], &[0, 4, 0], &[0, 0, 5]]), of(&[&[0, 4], &[4, 0]]));
        assert_eq!((kappa(&perfect), matthews(&perfect)), (Some(1.0), Some(1.0)));
        assert_eq!((kappa(&reversed), matthews(&reversed)), (Some(-1.0), Some(-1.0)));
    }

    #[test]
    fn of_one_class_there_is_no_agreement_to_speak_of() {
        let one_answer = of(&[&[3, 0], &[2, 0]]);
        assert_eq!((kappa(&one_answer), matthews(&one_answer)), (Some(0.0), None));
        let one_class = of(&[&[3, 0], &[0, 0]]);
        assert_eq!((kappa(&one_class), matthews(&one_class)), (None, None));
        let nothing = of(&[&[0, 0], &[0, 0]]);
        assert_eq!((kappa(&nothing), matthews(&nothing)), (None, None));
    }
}
