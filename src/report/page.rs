//! The page around what is shown: one HTML file that needs nothing beside itself. It knows the order of the parts of a
//! run's page and of a comparison, not how each is drawn.

use std::fmt::Write;

use super::classification::ClassificationReport;
use super::curves;
use super::findings::{Findings, LabelReport, ValueReport};
use super::graph::{self, Drawing};
use super::markup::escape;
use super::names::{MAX_NAME_COLUMNS, shown_name};
use super::words::{grouped, significant, told};
use super::{Run, hover, labels, settings, tables, values, warnings, weights};
use crate::data::Task;
use crate::run::SampleKind;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded from anywhere, and no script runs but the page's own, whatever the page's texts may hold.
/// The digest is that of `page.js`; a test holds the two together.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
     script-src 'sha256-+bNpjWXOATizLUbzfwykehIu3ONYLIsTfr3PLCag3Rk='";

/// The head of what the validation samples show, and what stands there without them.
struct Part {
    head: &'static str,
    left_out: &'static str,
}

const CLASSES: Part = Part {
    head: "<h2>Which class is taken for which</h2>",
    left_out: "The confusion matrix, the figures by class and the mistakes are left out",
};
const LABELS: Part = Part { head: "<h2>Which labels are found</h2>", left_out: "The figures by label are left out" };
const VALUES: Part = Part {
    head: "<h2>Predicted and true values</h2>",
    left_out: "The drawings of predictions and residuals are left out",
};
const PARTS: [Part; 3] = [CLASSES, LABELS, VALUES];

impl Part {
    fn of(task: Option<Task>) -> Part {
        match task {
            Some(Task::MultiLabel) => LABELS,
            Some(Task::Regress) => VALUES,
            Some(Task::Classify) | None => CLASSES,
        }
    }
}

/// Whether a page of [`of_run`] shows what became of the validation samples. Other texts of a page hold no markup.
pub(super) fn shows_samples(page: &str) -> bool {
    PARTS
        .iter()
        .any(|part| page.contains(part.head) && !page.contains(&format!("{}<p class=\"panel told\">", part.head)))
}

/// What the outputs of a run's model are called; empty where that is not known.
pub(super) fn output_names(run: &Run<'_>) -> Vec<String> {
    let known = run.summary.data.class_names.iter().map(|name| shown_name(name, MAX_NAME_COLUMNS)).collect();
    run.findings.as_ref().map_or(known, Findings::output_names)
}

/// The page of one run. `graphs` are its own, as [`figure`] makes them.
pub(super) fn of_run(run: &Run<'_>, graphs: &str) -> String {
    let summary = run.summary;
    let mut page = open(&format!("{}: flatnet", run.name));
    let _ = write!(
        page,
        "<header><h1>{}</h1><p class=\"soft\"><code>{}</code> on {}: {} training {}{}, {} parameters</p></header><main>",
        escape(run.name),
        escape(&summary.recipe.layers),
        escape(&summary.data.source),
        grouped(summary.data.train_samples),
        match summary.data.val_samples {
            0 => String::new(),
            samples => format!("and {} validation ", grouped(samples)),
        },
        summary.data.kind.several(),
        grouped(summary.model.parameters),
    );
    page.push_str(&tables::cards(summary));
    for warning in warnings::warnings(summary, run.history, run.findings.as_ref().ok()) {
        let _ = write!(page, "<p class=\"panel told warned\">{}</p>", escape(&warning));
    }
    let (told, is_bad) = told(summary, run.history);
    let class = if is_bad { "panel told warned" } else { "panel told" };
    let _ = write!(page, "<p class=\"{class}\">{}</p>", escape(&told));
    page.push_str(graphs_head([run]));
    let _ = write!(page, "<div class=\"graphs\">{graphs}</div>");
    page.push_str(&tables::epochs(summary, run.history));
    write_watched(&mut page, run);
    if let Some(best) = summary.best_model {
        let _ = write!(
            page,
            "<p class=\"soft small\">What follows is of the parameters after epoch {}, the last (<code>model.safetensors</code>); \
             <code>best.safetensors</code> has those after epoch {}, the best by {}.</p>",
            grouped(summary.epochs),
            grouped(best.epoch),
            best.monitor,
        );
    }
    write_findings(&mut page, run);
    page.push_str(&weights::section(run.model, run.image_size, &output_names(run)));
    page.push_str("<h2>Recipe</h2>");
    page.push_str(&settings::recipe(&summary.recipe));
    page.push_str("</main>");
    close(&mut page);
    page
}

/// The page that lays several runs over one another. `graphs` are those of all of them, as [`figure`] makes them.
pub(super) fn of_runs(runs: &[Run<'_>], graphs: &str) -> String {
    let mut page = open(&format!("{} runs compared: flatnet", runs.len()));
    let _ = write!(page, "<header><h1>{} runs compared</h1></header><main>", runs.len());
    page.push_str(&settings::comparison(runs));
    page.push_str(graphs_head(runs));
    page.push_str(&settings::legend(runs));
    let _ = write!(page, "<div class=\"graphs\">{graphs}</div>");
    page.push_str("</main>");
    close(&mut page);
    page
}

fn graphs_head<'a>(runs: impl IntoIterator<Item = &'a Run<'a>>) -> &'static str {
    match runs.into_iter().any(|run| run.summary.recipe.accuracy_name().is_some()) {
        true => "<h2>Loss, accuracy and error</h2>",
        false => "<h2>Loss</h2>",
    }
}

fn open(title: &str) -> String {
    let mut page = String::with_capacity(1 << 18);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"generator\" content=\"flatnet {}\"><title>{}</title>\n<style>\n{STYLE}{}</style></head>\n<body>",
        env!("CARGO_PKG_VERSION"),
        escape(title),
        graph::STYLE,
    );
    page
}

fn close(page: &mut String) {
    let _ = write!(
        page,
        "<footer>Made by flatnet {}.</footer>\n<script>{SCRIPT}</script></body></html>\n",
        env!("CARGO_PKG_VERSION")
    );
}

/// A graph of a page, with what its script tells on pointing at it. `file` is the name of the same graph as a file.
pub(super) fn figure(file: &str, drawing: &Drawing<'_>) -> String {
    format!(
        "<figure class=\"panel curve\" id=\"{}\">{}<figcaption>{}</figcaption><script type=\"application/json\">{}</script></figure>\n",
        file.trim_end_matches(".svg"),
        drawing.inline(),
        drawing.caption(),
        hover::data(drawing),
    )
}

/// What was watched, epoch by epoch, as small graphs; nothing of a run that was not.
fn write_watched(page: &mut String, run: &Run<'_>) {
    let graphs = curves::watched(run.history);
    if graphs.is_empty() {
        return;
    }
    page.push_str("<h2>What each epoch showed of the network</h2><div class=\"watched\">");
    for watched in graphs {
        let svg = watched.graph.draw().inline();
        let _ = write!(page, "<figure class=\"panel\">{svg}<figcaption>{}</figcaption></figure>", watched.caption);
    }
    page.push_str("</div>");
}

fn write_findings(page: &mut String, run: &Run<'_>) {
    match run.findings {
        Ok(Findings::Classes(found)) => {
            page.push_str(CLASSES.head);
            page.push_str(&told_of_classes(found, run));
            page.push_str(&tables::figures(found));
            page.push_str(&tables::confusion(found));
            page.push_str(&tables::mistakes(found));
        }
        Ok(Findings::Labels(found)) => {
            page.push_str(LABELS.head);
            page.push_str(&told_of_labels(found, run));
            page.push_str(&labels::section(found));
        }
        Ok(Findings::Values(found)) => {
            page.push_str(VALUES.head);
            page.push_str(&told_of_values(found, run));
            page.push_str(&values::section(found));
        }
        Err(reason) => {
            let Part { head, left_out } = Part::of(run.summary.recipe.task);
            let _ =
                write!(page, "{head}<p class=\"panel told\">{left_out}: {}.</p>", escape(reason.trim_end_matches('.')));
        }
    }
}

/// Of which samples the tables speak, and whether they are those that the run saw.
fn told_of_classes(found: &ClassificationReport, run: &Run<'_>) -> String {
    let (samples, correct) = (found.confusion.samples(), found.confusion.correct());
    told_of_right(found.kind, &found.source, (samples, correct), "right", run)
}

fn told_of_labels(report: &LabelReport, run: &Run<'_>) -> String {
    let LabelReport { source, found, .. } = report;
    let what = "right in every label";
    told_of_right(run.summary.data.kind, source, (found.samples(), found.exact()), what, run)
}

fn told_of_right(kind: SampleKind, source: &str, (samples, correct): (u64, u64), what: &str, run: &Run<'_>) -> String {
    let kind = kind.several();
    let mut text = format!(
        "<p class=\"soft\">{} {}{kind} of {}, {} of them {what}.",
        grouped(samples as usize),
        if run.history.is_validated() { "validation " } else { "" },
        escape(source),
        grouped(correct as usize)
    );
    let said = run
        .summary
        .last
        .filter(|_| run.history.is_validated())
        .map(|last| (last.val_accuracy * run.summary.data.val_samples as f64).round() as u64);
    let is_counted = run.summary.recipe.accuracy_name().is_some();
    if let Some(said) = said.filter(|said| *said != correct && is_counted) {
        let _ = write!(
            text,
            " <b>The run counted {} at its end: these are other {kind} than it saw, or another kind of processor.</b>",
            grouped(said as usize)
        );
    }
    text + "</p>"
}

fn told_of_values(found: &ValueReport, run: &Run<'_>) -> String {
    /// Sums of rounded numbers are not told apart.
    const CLOSE: f64 = 1e-6;
    let kind = run.summary.data.kind.several();
    let samples = grouped(found.figures.samples() as usize);
    let validation = if run.history.is_validated() { "validation " } else { "" };
    let mut text = format!("<p class=\"soft\">{samples} {validation}{kind} of {}.", escape(&found.source));
    let said = run.summary.metrics.get("mse").copied().flatten();
    if let (Some(said), Some(now)) = (said, found.figures.mse())
        && (said - now).abs() > CLOSE * now.abs().max(said.abs())
    {
        let (said, now) = (significant(said, 6), significant(now, 6));
        let _ = write!(
            text,
            " <b>The run measured a mean squared error of {said} at its end, here it is {now}: these are other {kind} than it \
             saw, or another kind of processor.</b>"
        );
    }
    text + "</p>"
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let bits =
                three.iter().enumerate().fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
            for digit in 0..=three.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
            }
        }
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        text
    }

    #[test]
    fn a_page_says_itself_whether_it_shows_samples() {
        for part in PARTS {
            assert!(shows_samples(&format!("a{}<p class=\"soft\">20 rows", part.head)));
            assert!(!shows_samples(&format!("a{}<p class=\"panel told\">{}: gone", part.head, part.left_out)));
        }
        assert!(!shows_samples(""));
    }

    #[test]
    fn the_policy_lets_the_pages_own_script_run() {
        assert_eq!((&*base64(b"Man"), &*base64(b"Ma"), &*base64(b"M")), ("TWFu", "TWE=", "TQ=="));
        let digest = base64(&Sha256::digest(SCRIPT.as_bytes()));
        assert!(
            POLICY.contains(&format!("script-src 'sha256-{digest}'")),
            "page.js has changed: its digest is {digest}"
        );
    }
}
