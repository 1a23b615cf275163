//! What became of predicted labels, as HTML: figures of all together, and a table by label. It knows findings, not where on a
//! page they stand.

use std::fmt::Write;

use super::findings::LabelReport;
use super::markup::{self, escape};
use super::names::{MAX_NAME_COLUMNS, shown_name};
use super::tables::{shown, shown_share};
use super::words::grouped;

/// Cards and the table.
pub(super) fn section(report: &LabelReport) -> String {
    let LabelReport { names, found, .. } = report;
    let mut html = markup::cards([
        ("Micro F1", shown_share(found.micro_average().f1), "of the counts of all labels added up"),
        ("Macro F1", shown_share(found.macro_average().f1), "mean F1 of the labels"),
        ("Subset accuracy", shown_share(found.subset_accuracy()), "rows of which every label is right"),
        ("Hamming loss", shown_share(found.hamming_loss()), "labels that are told wrongly"),
    ]);
    html.push_str(
        "<div class=\"panel\"><table class=\"names\"><caption>By label, in %. Precision: of the rows that are said to have \
         it, those that do. Recall: of the rows that have it, those that are found. F1: the harmonic mean of both.</caption>\
         <thead><tr><th scope=\"col\">label</th><th scope=\"col\">rows with it</th><th scope=\"col\">found</th>\
         <th scope=\"col\">missed</th><th scope=\"col\">wrongly found</th><th scope=\"col\">precision</th>\
         <th scope=\"col\">recall</th><th scope=\"col\">F1</th></tr></thead><tbody>",
    );
    for (name, counts) in names.iter().zip(found.labels()) {
        let (figures, count) = (counts.figures(), |count: u64| grouped(count as usize));
        let share = |share: Option<f64>| shown(share.map(|share| 100.0 * share), 1);
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&shown_name(name, MAX_NAME_COLUMNS)),
            count(counts.support),
            count(counts.right),
            count(counts.support - counts.right),
            count(counts.predicted - counts.right),
            share(figures.precision),
            share(figures.recall),
            share(figures.f1),
        );
    }
    html + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MultiLabel;

    #[test]
    fn every_label_has_its_counts_and_a_dash_where_nothing_is_defined() {
        let mut found = MultiLabel::new(2).unwrap();
        let logits = [1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0];
        found.add(&logits, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap();
        let names = vec!["<i>wet".into(), "cold".into()];
        let html = section(&LabelReport { source: "t".into(), names, found });
        let row = |name: &str, cells: &str| format!("<tr><th scope=\"row\">{name}</th><td>{cells}</td></tr>");
        let [wet, cold] = ["3|1|2|1|50.0|33.3|40.0", "0|0|0|0|\u{2013}|\u{2013}|\u{2013}"];
        assert!(html.contains(&row("&lt;i&gt;wet", &wet.replace('|', "</td><td>"))), "{html}");
        assert!(html.contains(&row("cold", &cold.replace('|', "</td><td>"))), "{html}");
        assert!(html.contains("<dt>Subset accuracy</dt><dd>25.00 "), "{html}");
    }
}
