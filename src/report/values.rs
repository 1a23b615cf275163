//! What became of predicted values, as HTML: figures of each, predictions against the truth, and what they miss it by. It
//! knows findings, not where on a page they stand.

use std::fmt::Write;

use super::findings::{ValueFinding, ValueReport};
use super::markup::{self, escape};
use super::names::{MAX_NAME_COLUMNS, shown_name};
use super::plane::{self, MAX_DOTS, Mark, Titles};
use super::words::{grouped, significant};

/// So many values are drawn; the figures are of all.
const MAX_DRAWN: usize = 6;
/// Of a name in the title of a drawing, which has room for 46 columns at the size it has on a phone.
const TITLE_COLUMNS: usize = 18;

/// Cards of a single value, or a table of several; and three drawings of each.
pub(super) fn section(found: &ValueReport) -> String {
    let mut html = match &found.columns[..] {
        [one] => cards(one),
        several => table(several),
    };
    for value in found.columns.iter().take(MAX_DRAWN) {
        html.push_str(&drawings(value));
    }
    if found.columns.len() > MAX_DRAWN {
        let more = grouped(found.columns.len() - MAX_DRAWN);
        let _ = write!(html, "<p class=\"soft small\">{more} more values are not drawn.</p>");
    }
    html
}

fn cards(value: &ValueFinding) -> String {
    let name = escape(&shown_name(&value.name, MAX_NAME_COLUMNS)).into_owned();
    let rmse = value.figures.mse().map(f64::sqrt);
    markup::cards([
        ("R2", fixed(value.figures.r2()), "0: as good as the mean, 1: all right".to_string()),
        ("Mean absolute error", four(value.figures.mae()), format!("in units of {name}")),
        ("Root mean squared error", four(rmse), format!("in units of {name}")),
        ("Mean squared error", four(value.figures.mse()), "in their square".to_string()),
    ])
}

fn table(values: &[ValueFinding]) -> String {
    let mut html = String::from(
        "<div class=\"panel\"><table class=\"names\"><caption>By value, errors in its own units.</caption><thead><tr>\
         <th scope=\"col\">value</th><th scope=\"col\">R2</th><th scope=\"col\">mean absolute error</th>\
         <th scope=\"col\">root mean squared error</th><th scope=\"col\">mean squared error</th></tr></thead><tbody>",
    );
    for value in values {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&shown_name(&value.name, MAX_NAME_COLUMNS)),
            fixed(value.figures.r2()),
            four(value.figures.mae()),
            four(value.figures.mse().map(f64::sqrt)),
            four(value.figures.mse()),
        );
    }
    html + "</tbody></table></div>"
}

fn drawings(value: &ValueFinding) -> String {
    let name = shown_name(&value.name, TITLE_COLUMNS);
    let titles = |title: &str| format!("{name}: {title}");
    let residual = |(wanted, predicted): &(f32, f32)| predicted - wanted;
    let against: Vec<(f32, f32)> = value.pairs.iter().map(|pair| (pair.1, residual(pair))).collect();
    let (first, second, third) =
        (titles("predicted against true"), titles("residuals"), titles("residual against prediction"));
    let thinned = if value.pairs.len() > MAX_DOTS {
        format!(" {} of {} rows, evenly spaced.", grouped(MAX_DOTS), grouped(value.pairs.len()))
    } else {
        String::new()
    };
    let mut html = String::from("<div class=\"graphs\">");
    for (svg, caption) in [
        (
            plane::dots(Titles { title: &first, x: "true", y: "predicted" }, &value.pairs, Mark::Diagonal),
            format!("A prediction that is right lies on the dashed line.{thinned}"),
        ),
        (
            plane::dots(Titles { title: &third, x: "predicted", y: "residual" }, &against, Mark::Zero),
            format!("Prediction less truth. A slope or a bend is what the network has not learned.{thinned}"),
        ),
        (
            plane::histogram(
                Titles { title: &second, x: "residual: predicted less true", y: "rows" },
                value.pairs.iter().map(residual),
            ),
            "How many rows are missed by how much; what lies beyond the axis is counted at its ends.".to_string(),
        ),
    ] {
        let _ = write!(html, "<figure class=\"panel plot\">{svg}<figcaption>{caption}</figcaption></figure>");
    }
    html + "</div>"
}

fn four(figure: Option<f64>) -> String {
    figure.map_or("\u{2013}".into(), |figure| significant(figure, 4).replace('-', "\u{2212}"))
}

fn fixed(figure: Option<f64>) -> String {
    figure.map_or("\u{2013}".into(), |figure| format!("{figure:.4}").replace('-', "\u{2212}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Regression;

    fn found(names: &[&str], pairs: &[(f32, f32)]) -> ValueReport {
        let mut figures = Regression::new(1).unwrap();
        let (wanted, predicted): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
        figures.add(&predicted, &wanted).unwrap();
        let column =
            |name: &&str| ValueFinding { name: name.to_string(), figures: figures.clone(), pairs: pairs.to_vec() };
        ValueReport { source: "t".into(), columns: names.iter().map(column).collect(), figures: figures.clone() }
    }

    #[test]
    fn one_value_has_cards_and_several_a_table() {
        let pairs = [(1.0, 2.0), (3.0, 3.0), (5.0, 4.0)];
        let one = section(&found(&["<price>"], &pairs));
        for part in ["<dt>R2</dt><dd>0.7500<", "<dd>0.6667<small>in units of &lt;price&gt;", "<dd>0.8165<"] {
            assert!(one.contains(part), "{part}: {one}");
        }
        assert!(!one.contains("<table") && one.matches("<svg").count() == 3 && !one.contains("<price"));
        let two = section(&found(&["a", "b"], &pairs));
        assert!(two.contains("<th scope=\"row\">b</th><td>0.7500</td>") && two.matches("<svg").count() == 6, "{two}");
        let names: Vec<String> = (0..40).map(|at| at.to_string()).collect();
        let many = section(&found(&names.iter().map(String::as_str).collect::<Vec<_>>(), &pairs));
        assert_eq!(many.matches("<tr><th scope=\"row\">").count(), 40);
        assert!(many.matches("<svg").count() == 18 && many.contains("34 more values are not drawn"));
    }
}
