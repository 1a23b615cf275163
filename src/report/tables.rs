//! Figures as HTML: cards, tables, the confusion matrix, mistakes. It knows which figures belong together, not where on a
//! page they stand.

use std::fmt::Write;

use super::classification::ClassificationReport;
use super::markup::{self, escape};
use super::names::shown_name;
use super::pictures;
use super::words::{grouped, percent};
use crate::run::{SampleKind, Summary};
use crate::train::{History, shown_loss};

/// A matrix of more classes fits no screen.
const MAX_MATRIX_CLASSES: usize = 64;
/// Of all mistakes drawn, so that a page stays small enough to open.
const MAX_MISTAKE_PIXELS: usize = 40_000;
/// Of the table by epoch.
const MAX_EPOCH_ROWS: usize = 250;

/// The figures that one looks for first.
pub(super) fn cards(summary: &Summary) -> String {
    let mut cards = Vec::new();
    let mut card = |name: &str, figure: &str, unit: &str, note: &str| {
        let figure = format!("{figure} <span class=\"unit\">{unit}</span>");
        cards.push((name.to_string(), figure, note.to_string()));
    };
    if let (Some(last), Some(best)) = (&summary.last, &summary.best) {
        let (accuracy, unit) = (summary.recipe.accuracy_name(), summary.recipe.loss_unit().unwrap_or(""));
        let samples = |count: usize| format!("of {} {}, last epoch", grouped(count), summary.data.kind.several());
        let validated = !last.val_loss.is_nan();
        if let Some(name) = accuracy {
            let note = samples(summary.data.val_samples);
            if validated {
                card(&format!("Validation {name}"), &percent(last.val_accuracy), "%", &note);
            }
            card(&format!("Training {name}"), &percent(last.train_accuracy), "%", &samples(summary.data.train_samples));
        } else if let Some(r2) = summary.metrics.get("r2").copied().flatten().filter(|_| validated) {
            card("Validation R2", &format!("{r2:.4}"), "", &samples(summary.data.val_samples));
        }
        if validated {
            card("Validation loss", &shown_loss(last.val_loss), unit, "mean over samples, last epoch");
        }
        card("Training loss", &shown_loss(last.train_loss), unit, "mean over samples, last epoch");
        let mut note = format!("of {}, {} {unit}", grouped(summary.epochs), shown_loss(best.val_loss));
        if let Some(name) = accuracy {
            let _ = write!(note, ", {} % {name}", percent(best.val_accuracy));
        }
        let note = note.replace(" ,", ",");
        if validated {
            card("Lowest validation loss", &format!("epoch {}", grouped(best.epoch)), "", &note);
        }
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
    markup::cards(cards)
}

/// A table of every epoch, or of as many as fit, first and last among them.
pub(super) fn epochs(summary: &Summary, history: &History) -> String {
    let count = history.epochs.len();
    if count == 0 {
        return String::new();
    }
    let step = count.div_ceil(MAX_EPOCH_ROWS);
    let every = if step > 1 { format!(", every {}th", grouped(step)) } else { String::new() };
    let (accuracy, unit) = (summary.recipe.accuracy_name(), summary.recipe.loss_unit());
    let unit = unit.map_or(String::new(), |unit| format!(", {unit}"));
    let mut html = format!(
        "<details><summary>Figures by epoch{every}</summary><div class=\"panel\"><table><thead><tr>\
         <th scope=\"col\">epoch</th>"
    );
    let validated = history.is_validated();
    for phase in ["training", "validation"].into_iter().take(if validated { 2 } else { 1 }) {
        let _ = write!(html, "<th scope=\"col\">{phase} loss{unit}</th>");
        if let Some(name) = accuracy {
            let _ = write!(html, "<th scope=\"col\">{phase} {name}, %</th>");
        }
    }
    let seconds = if validated { "<th scope=\"col\">validation, s</th>" } else { "" };
    let _ = write!(html, "<th scope=\"col\">training, s</th>{seconds}</tr></thead><tbody>");
    let share = |share: f64| accuracy.map_or(String::new(), |_| format!("<td>{}</td>", percent(share)));
    for (index, epoch) in history.epochs.iter().enumerate() {
        if index % step == 0 || index + 1 == count {
            let phase = |loss, accuracy| format!("<td>{}</td>{}", shown_loss(loss), share(accuracy));
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th>{}{}<td>{:.3}</td>{}</tr>",
                grouped(index + 1),
                phase(epoch.train_loss, epoch.train_accuracy),
                if validated { phase(epoch.val_loss, epoch.val_accuracy) } else { String::new() },
                epoch.train_seconds,
                if validated { format!("<td>{:.3}</td>", epoch.val_seconds) } else { String::new() },
            );
        }
    }
    html + "</tbody></table></div></details>"
}

/// The figures of all classes together that say most beside the accuracy.
pub(super) fn figures(classification: &ClassificationReport) -> String {
    let of = |name: &str| classification.figure(name);
    let macro_f1 = classification.confusion.macro_average().f1;
    markup::cards([
        ("Macro F1", shown_share(macro_f1), "mean F1 of the classes"),
        ("Balanced accuracy", shown_share(of("balanced_accuracy")), "mean recall of the classes"),
        ("Cohen\u{2019}s kappa", shown(of("kappa"), 4), "0: as by chance, 1: all right"),
        ("Calibration error", shown_share(of("calibration_error")), "confidence against accuracy, 15 bins"),
    ])
}

/// A share, 0 to 1, in percent with its unit, or a dash where it is not defined.
pub(super) fn shown_share(share: Option<f64>) -> String {
    shown(share.map(|share| 100.0 * share), 2) + " <span class=\"unit\">%</span>"
}

/// A figure with so many decimals, or a dash where it is not defined.
pub(super) fn shown(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or("\u{2013}".into(), |figure| format!("{figure:.decimals$}"))
}

/// The confusion matrix as a heat map, and precision, recall and F1 beside it.
pub(super) fn confusion(found: &ClassificationReport) -> String {
    let confusion = &found.confusion;
    let mut html = String::from("<div class=\"two\"><div class=\"panel\">");
    if confusion.classes() <= MAX_MATRIX_CLASSES {
        html.push_str(&matrix(found));
    } else {
        let _ = write!(html, "<p>A matrix of {} classes would fit no screen.</p>", confusion.classes());
    }
    let pairs = confusion.most_confused(5);
    if !pairs.is_empty() {
        let pair = |(label, prediction, times): &(usize, usize, u64)| {
            let times = if *times == 1 { "once".into() } else { format!("{} times", grouped(*times as usize)) };
            let (label, prediction) = (found.name(*label), found.name(*prediction));
            format!("{} taken for {} ({times})", escape(&label), escape(&prediction))
        };
        let pairs: Vec<String> = pairs.iter().map(pair).collect();
        let _ = write!(html, "<p class=\"small soft\">Most often: {}.</p>", pairs.join(", "));
    }
    html.push_str("</div><div class=\"panel\">");
    html.push_str(&by_class(found));
    html + "</div></div>"
}

/// A class as the head of a row or a column of the matrix: short, and in full on pointing at it.
fn head(found: &ClassificationReport, class: usize, scope: &str) -> String {
    /// Names of many classes stand side by side.
    const COLUMNS: usize = 12;
    match found.class_names.get(class) {
        None => format!("<th scope=\"{scope}\">{class}</th>"),
        Some(name) => {
            let (full, short) = (found.name(class), shown_name(name, COLUMNS));
            format!("<th scope=\"{scope}\" title=\"{}\">{}</th>", escape(&full), escape(&short))
        }
    }
}

fn matrix(found: &ClassificationReport) -> String {
    let confusion = &found.confusion;
    let classes = confusion.classes();
    let mut samples = found.kind.several().to_string();
    samples[..1].make_ascii_uppercase();
    let mut html = format!(
        "<table class=\"confusion\"><caption>{samples} by class (row) and prediction (column). Blue: right, by the share of \
         the class. Orange: wrong, by how often.</caption><thead><tr><th></th>{}</tr></thead><tbody>",
        (0..classes).map(|class| head(found, class, "col")).collect::<String>()
    );
    let most_wrong = confusion.most_confused(1).first().map_or(1, |(.., times)| *times);
    for class in 0..classes {
        let row = confusion.row(class);
        let images = confusion.support(class);
        let _ = write!(html, "<tr>{}", head(found, class, "row"));
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

fn by_class(found: &ClassificationReport) -> String {
    let samples = found.kind.several();
    let mut html = format!(
        "<table><caption>By class, in %. Precision: of the {samples} predicted so, those that are. Recall: of the {samples} of \
         the class, those predicted so. F1: the harmonic mean of both.</caption><thead><tr><th scope=\"col\">class</th>\
         <th scope=\"col\">{samples}</th><th scope=\"col\">precision</th><th scope=\"col\">recall</th>\
         <th scope=\"col\">F1</th></tr></thead><tbody>",
    );
    let figures = found.confusion.by_class();
    let shown = |share: Option<f64>| shown(share.map(|share| 100.0 * share), 1);
    for (class, figures) in figures.iter().enumerate() {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&found.name(class)),
            grouped(figures.support as usize),
            shown(figures.precision),
            shown(figures.recall),
            shown(figures.f1)
        );
    }
    html + "</tbody></table>"
}

/// The most confident mistakes, as pictures or by the numbers of their rows.
pub(super) fn mistakes(classification: &ClassificationReport) -> String {
    let (rows, columns) = classification.image_size;
    let shown = classification.mistakes.len().min(MAX_MISTAKE_PIXELS / (rows * columns).max(1));
    let wrong = (classification.confusion.samples() - classification.confusion.correct()) as usize;
    if wrong == 0 {
        return "<h2>Mistakes</h2><p class=\"soft\">There is none.</p>".into();
    }
    if classification.kind == SampleKind::Rows {
        return wrong_rows(classification, wrong);
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
        let name = |class: u16| escape(&classification.name(class.into())).into_owned();
        let (label, prediction) = (name(mistake.label), name(mistake.prediction));
        let plain = |class: u16| classification.name(class.into());
        let words = &format!("an image of class {}, predicted as {}", plain(mistake.label), plain(mistake.prediction));
        let _ = write!(
            html,
            "<figure>{}<figcaption><b>{label}</b> taken for <b>{prediction}</b><br>{:.1} %</figcaption></figure>",
            pictures::image(&mistake.pixels, classification.image_size, words),
            100.0 * mistake.probability,
        );
    }
    html + "</div></div>"
}

/// A row for each mistake: its number, as `sample.csv` has it.
fn wrong_rows(found: &ClassificationReport, wrong: usize) -> String {
    let mut html = format!(
        "<h2>The most confident mistakes</h2><p class=\"soft\">{} of {}. Rows are numbered as in the file, from 0, without its \
         head; <code>flatnet evaluate --predictions FILE</code> writes all of them.</p><div class=\"panel\"><table><thead><tr>\
         <th scope=\"col\">row</th><th scope=\"col\" class=\"text\">class</th><th scope=\"col\" class=\"text\">predicted as</th>\
         <th scope=\"col\">probability, %</th></tr></thead><tbody>",
        grouped(found.mistakes.len()),
        grouped(wrong)
    );
    for mistake in &found.mistakes {
        let name = |class: u16| escape(&found.name(class.into())).into_owned();
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{:.1}</td></tr>",
            grouped(mistake.row),
            name(mistake.label),
            name(mistake.prediction),
            100.0 * mistake.probability,
        );
    }
    html + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::super::classification::Mistake;
    use super::*;
    use crate::metrics::{Confusion, Figure};

    /// `classes` classes of one image each; the image of class 0 is taken for class 1.
    fn classification(classes: usize, image_size: (usize, usize)) -> ClassificationReport {
        let mut counts = vec![0; classes * classes];
        counts[1] = 1;
        (1..classes).for_each(|class| counts[class * classes + class] = 1);
        let confusion = Confusion::from_counts(classes, counts).unwrap();
        let pixels = vec![9; image_size.0 * image_size.1];
        let mistakes = vec![Mistake { row: 1234, label: 0, prediction: 1, probability: 0.75, pixels }];
        let figures = vec![Figure { name: "kappa", title: "", value: Some(0.875), says_something: true }];
        ClassificationReport {
            source: "images".into(),
            kind: SampleKind::Images,
            image_size,
            class_names: vec![],
            confusion,
            figures,
            mistakes,
            never_positive: 0,
        }
    }

    #[test]
    fn what_would_fit_no_screen_is_told_in_words() {
        let (few, many) = (confusion(&classification(10, (2, 2))), confusion(&classification(100, (2, 2))));
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
    fn classes_of_a_table_have_their_names_and_mistakes_their_rows() {
        let class_names = vec!["<script>alert(1)</script> and more".into(), "b".into(), "c".into()];
        let kind = SampleKind::Rows;
        let found = ClassificationReport { class_names, kind, ..classification(3, (1, 4)) };
        let (matrix, rows) = (confusion(&found), mistakes(&found));
        for part in [
            "&lt;script&gt;alert(1)&lt;/scrip\u{2026} taken for b (once)",
            "<th scope=\"row\" title=\"&lt;script&gt;alert(1)&lt;/scrip\u{2026}\">&lt;script&gt;ale\u{2026}</th>",
            "Rows by class (row)",
            "<th scope=\"col\">rows</th>",
        ] {
            assert!(matrix.contains(part), "{part}: {matrix}");
        }
        let row = "<th scope=\"row\">1,234</th><td class=\"text\">&lt;script&gt;alert(1)&lt;/scrip\u{2026}</td>";
        assert!(rows.contains(row) && rows.contains("<td class=\"text\">b</td><td>75.0</td>"), "{rows}");
        assert!(!matrix.contains("<script") && !rows.contains("<script") && !rows.contains("<svg"));
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
