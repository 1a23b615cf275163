//! Figures as HTML: cards, tables, the confusion matrix, mistakes. It knows which figures belong together, not where on a
//! page they stand.

use std::fmt::Write;

use super::classification::ClassificationReport;
use super::markup::escape;
use super::pictures;
use super::words::{grouped, percent};
use crate::metrics::Confusion;
use crate::run::Summary;
use crate::train::{History, shown_loss};

/// A matrix of more classes fits no screen.
const MAX_MATRIX_CLASSES: usize = 64;
/// Of all mistakes drawn, so that a page stays small enough to open.
const MAX_MISTAKE_PIXELS: usize = 40_000;
/// Of the table by epoch.
const MAX_EPOCH_ROWS: usize = 250;

/// The figures that one looks for first.
pub(super) fn cards(summary: &Summary) -> String {
    let mut html = String::from("<dl class=\"cards\">");
    let mut card = |name: &str, figure: &str, unit: &str, note: &str| {
        let _ = write!(
            html,
            "<div class=\"card\"><dt>{name}</dt><dd>{figure} <span class=\"unit\">{unit}</span><small>{note}</small></dd></div>"
        );
    };
    if let (Some(last), Some(best)) = (&summary.last, &summary.best) {
        let images = |count: usize| format!("of {} images, last epoch", grouped(count));
        card("Validation accuracy", &percent(last.val_accuracy), "%", &images(summary.data.val_samples));
        card("Training accuracy", &percent(last.train_accuracy), "%", &images(summary.data.train_samples));
        card("Validation loss", &shown_loss(last.val_loss), "nats", "mean over samples, last epoch");
        card("Training loss", &shown_loss(last.train_loss), "nats", "mean over samples, last epoch");
        let note = format!(
            "of {}, {} nats, {} % accuracy",
            grouped(summary.epochs),
            shown_loss(best.val_loss),
            percent(best.val_accuracy)
        );
        card("Lowest validation loss", &format!("epoch {}", grouped(best.epoch)), "", &note);
    }
    let seconds = &summary.seconds;
    let note = format!(
        "load {:.2}, train {:.2}, validate {:.2}; {}{}, {}, {}",
        seconds.load,
        seconds.train,
        seconds.validate,
        summary
            .batches_per_second
            .map_or(String::new(), |rate| format!("{} batches per second, ", grouped(rate.round() as usize))),
        if summary.threads == 1 { "1 thread".into() } else { format!("{} threads", summary.threads) },
        escape(&summary.simd),
        escape(&summary.kernel),
    );
    card("Total time", &format!("{:.2}", seconds.total), "s", &note);
    html + "</dl>"
}

/// A table of every epoch, or of as many as fit, first and last among them.
pub(super) fn epochs(history: &History) -> String {
    let count = history.epochs.len();
    if count == 0 {
        return String::new();
    }
    let step = count.div_ceil(MAX_EPOCH_ROWS);
    let every = if step > 1 { format!(", every {}th", grouped(step)) } else { String::new() };
    let mut html = format!(
        "<details><summary>Figures by epoch{every}</summary><div class=\"panel\"><table><thead><tr>\
         <th scope=\"col\">epoch</th><th scope=\"col\">training loss, nats</th><th scope=\"col\">training accuracy, %</th>\
         <th scope=\"col\">validation loss, nats</th><th scope=\"col\">validation accuracy, %</th>\
         <th scope=\"col\">training, s</th><th scope=\"col\">validation, s</th></tr></thead><tbody>"
    );
    for (index, epoch) in history.epochs.iter().enumerate() {
        if index % step == 0 || index + 1 == count {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.3}</td><td>{:.3}</td></tr>",
                grouped(index + 1),
                shown_loss(epoch.train_loss),
                percent(epoch.train_accuracy),
                shown_loss(epoch.val_loss),
                percent(epoch.val_accuracy),
                epoch.train_seconds,
                epoch.val_seconds,
            );
        }
    }
    html + "</tbody></table></div></details>"
}

/// The figures of all classes together that say most beside the accuracy.
pub(super) fn figures(classification: &ClassificationReport) -> String {
    let percent = |share: Option<f64>| shown(share.map(|share| 100.0 * share), 2) + " <span class=\"unit\">%</span>";
    let of = |name: &str| classification.figure(name);
    let macro_f1 = classification.confusion.macro_average().f1;
    let mut html = String::from("<dl class=\"cards\">");
    for (name, figure, note) in [
        ("Macro F1", percent(macro_f1), "mean F1 of the classes"),
        ("Balanced accuracy", percent(of("balanced_accuracy")), "mean recall of the classes"),
        ("Cohen\u{2019}s kappa", shown(of("kappa"), 4), "0: as by chance, 1: all right"),
        ("Calibration error", percent(of("calibration_error")), "confidence against accuracy, 15 bins"),
    ] {
        let _ = write!(html, "<div class=\"card\"><dt>{name}</dt><dd>{figure}<small>{note}</small></dd></div>");
    }
    html + "</dl>"
}

/// A figure with so many decimals, or a dash where it is not defined.
fn shown(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or("\u{2013}".into(), |figure| format!("{figure:.decimals$}"))
}

/// The confusion matrix as a heat map, and precision, recall and F1 beside it.
pub(super) fn confusion(confusion: &Confusion) -> String {
    let mut html = String::from("<div class=\"two\"><div class=\"panel\">");
    if confusion.classes() <= MAX_MATRIX_CLASSES {
        html.push_str(&matrix(confusion));
    } else {
        let _ = write!(html, "<p>A matrix of {} classes would fit no screen.</p>", confusion.classes());
    }
    let pairs = confusion.most_confused(5);
    if !pairs.is_empty() {
        let pair = |(label, prediction, times): &(usize, usize, u64)| {
            format!("{label} taken for {prediction} ({} times)", grouped(*times as usize))
        };
        let pairs: Vec<String> = pairs.iter().map(pair).collect();
        let _ = write!(
            html,
            "<p class=\"small soft\">Most often: {}.</p>",
            pairs.join(", ").replace("(1 times)", "(once)")
        );
    }
    html.push_str("</div><div class=\"panel\">");
    html.push_str(&by_class(confusion));
    html + "</div></div>"
}

fn matrix(confusion: &Confusion) -> String {
    let classes = confusion.classes();
    let mut html = format!(
        "<table class=\"confusion\"><caption>Images by class (row) and prediction (column). Blue: right, by the share of \
         the class. Orange: wrong, by how often.</caption><thead><tr><th></th>{}</tr></thead><tbody>",
        (0..classes).map(|class| format!("<th scope=\"col\">{class}</th>")).collect::<String>()
    );
    let most_wrong = confusion.most_confused(1).first().map_or(1, |(.., times)| *times);
    for class in 0..classes {
        let row = confusion.row(class);
        let images = confusion.support(class);
        let _ = write!(html, "<tr><th scope=\"row\">{class}</th>");
        for (prediction, &count) in row.iter().enumerate() {
            let right = prediction == class;
            let whole = if right { images } else { most_wrong };
            let share = count as f64 / whole.max(1) as f64;
            // Even a single image should show; squares make the rare and the frequent easier to tell apart.
            let shade = if right { 0.15 + 0.75 * share * share } else { 0.12 + 0.73 * share };
            let kind = if right { "right" } else { "wrong" };
            let _ = match count {
                0 => write!(html, "<td class=\"none\">0</td>"),
                _ => write!(
                    html,
                    "<td class=\"{kind}{}\" style=\"--share:{shade:.2}\">{}</td>",
                    if shade > 0.62 && right { " full" } else { "" },
                    grouped(count as usize)
                ),
            };
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table>"
}

fn by_class(confusion: &Confusion) -> String {
    let mut html = String::from(
        "<table><caption>By class, in %. Precision: of the images predicted so, those that are. Recall: of the images of \
         the class, those predicted so. F1: the harmonic mean of both.</caption><thead><tr><th scope=\"col\">class</th>\
         <th scope=\"col\">images</th><th scope=\"col\">precision</th><th scope=\"col\">recall</th>\
         <th scope=\"col\">F1</th></tr></thead><tbody>",
    );
    let figures = confusion.by_class();
    let shown = |share: Option<f64>| shown(share.map(|share| 100.0 * share), 1);
    for (class, figures) in figures.iter().enumerate() {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{class}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            grouped(figures.support as usize),
            shown(figures.precision),
            shown(figures.recall),
            shown(figures.f1)
        );
    }
    html + "</tbody></table>"
}

/// The most confident mistakes as pictures.
pub(super) fn mistakes(classification: &ClassificationReport) -> String {
    let (rows, columns) = classification.image_size;
    let shown = classification.mistakes.len().min(MAX_MISTAKE_PIXELS / (rows * columns).max(1));
    let wrong = (classification.confusion.samples() - classification.confusion.correct()) as usize;
    if wrong == 0 {
        return "<h2>Mistakes</h2><p class=\"soft\">There is none.</p>".into();
    }
    if shown == 0 {
        return format!("<h2>Mistakes</h2><p class=\"soft\">Images of {rows} x {columns} are too large to show.</p>");
    }
    let mut html = format!(
        "<h2>The most confident mistakes</h2><p class=\"soft\">{} of {}, with the class, the prediction and its \
         probability.</p><div class=\"panel\"><div class=\"pictures mistakes\">",
        grouped(shown),
        grouped(wrong)
    );
    for mistake in &classification.mistakes[..shown] {
        let (label, prediction) = (mistake.label, mistake.prediction);
        let words = format!("an image of class {label}, predicted as {prediction}");
        let _ = write!(
            html,
            "<figure>{}<figcaption><b>{label}</b> taken for <b>{prediction}</b><br>{:.1} %</figcaption></figure>",
            pictures::image(&mistake.pixels, classification.image_size, &words),
            100.0 * mistake.probability,
        );
    }
    html + "</div></div>"
}

#[cfg(test)]
mod tests {
    use super::super::classification::Mistake;
    use super::*;
    use crate::metrics::Figure;

    /// `classes` classes of one image each; the image of class 0 is taken for class 1.
    fn classification(classes: usize, image_size: (usize, usize)) -> ClassificationReport {
        let mut counts = vec![0; classes * classes];
        counts[1] = 1;
        (1..classes).for_each(|class| counts[class * classes + class] = 1);
        let confusion = Confusion::from_counts(classes, counts).unwrap();
        let pixels = vec![9; image_size.0 * image_size.1];
        let mistakes = vec![Mistake { label: 0, prediction: 1, probability: 0.75, pixels }];
        let figures = vec![Figure { name: "kappa", title: "", value: Some(0.875), says_something: true }];
        ClassificationReport { source: "images".into(), image_size, confusion, figures, mistakes, never_positive: 0 }
    }

    #[test]
    fn what_would_fit_no_screen_is_told_in_words() {
        let (few, many) =
            (confusion(&classification(10, (2, 2)).confusion), confusion(&classification(100, (2, 2)).confusion));
        assert!(few.contains("class=\"confusion\"") && few.contains("0 taken for 1 (once)"), "{few}");
        assert!(!many.contains("class=\"confusion\"") && many.contains("matrix of 100 classes"), "{many}");
        assert!(many.contains("0 taken for 1 (once)"));
        assert_eq!(many.matches("<tr>").count(), 101, "precision and recall are there all the same");
        let (small, large) = (mistakes(&classification(10, (28, 28))), mistakes(&classification(10, (300, 300))));
        assert!(small.contains("1 of 1") && small.contains("75.0 %"), "{small}");
        assert!(large.contains("300 x 300 are too large"), "{large}");
        let confusion = Confusion::from_counts(2, vec![1, 0, 0, 1]).unwrap();
        let right = ClassificationReport { confusion, mistakes: vec![], ..classification(2, (1, 1)) };
        assert!(mistakes(&right).contains("There is none"));
    }

    #[test]
    fn figures_of_all_classes_are_shown_or_a_dash() {
        // F1 of 0, 2/3 and 1.
        let html = figures(&classification(3, (1, 1)));
        for (name, figure) in [
            ("Macro F1", "55.56 <span class=\"unit\">%</span>"),
            ("Balanced accuracy", "\u{2013} <span"),
            ("Cohen\u{2019}s kappa", "0.8750<"),
            ("Calibration error", "\u{2013} <span"),
        ] {
            assert!(html.contains(&format!("<dt>{name}</dt><dd>{figure}")), "{name}: {html}");
        }
    }
}
