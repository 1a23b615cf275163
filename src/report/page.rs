//! The page around what is shown: one HTML file that needs nothing beside itself. It knows the order of the parts of a
//! run's page and of a comparison, not how each is drawn.

use std::fmt::Write;

use super::classification::ClassificationReport;
use super::curves;
use super::graph::{self, Drawing};
use super::markup::escape;
use super::words::{grouped, told};
use super::{Run, hover, settings, tables, warnings, weights};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded from anywhere, and no script runs but the page's own, whatever the page's texts may hold.
/// The digest is that of `page.js`; a test holds the two together.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
     script-src 'sha256-+bNpjWXOATizLUbzfwykehIu3ONYLIsTfr3PLCag3Rk='";

/// The head of what the validation images show,
const CLASSES: &str = "<h2>Which class is taken for which</h2>";
/// and what stands there without them.
const LEFT_OUT: &str = "The confusion matrix, the figures by class and the mistakes are left out";

/// Whether a page of [`of_run`] shows what became of the validation images.
pub(super) fn shows_images(page: &str) -> bool {
    page.contains(CLASSES) && !page.contains(LEFT_OUT)
}

/// The page of one run. `graphs` are its six, as [`figure`] makes them.
pub(super) fn of_run(run: &Run<'_>, graphs: &str) -> String {
    let summary = run.summary;
    let mut page = open(&format!("{}: flatnet", run.name));
    let _ = write!(
        page,
        "<header><h1>{}</h1><p class=\"soft\"><code>{}</code> on {}: {} training and {} validation images, {} \
         parameters</p></header><main>",
        escape(run.name),
        escape(&summary.recipe.layers),
        escape(&summary.data.source),
        grouped(summary.data.train_samples),
        grouped(summary.data.val_samples),
        grouped(summary.model.parameters),
    );
    page.push_str(&tables::cards(summary));
    for warning in warnings::warnings(summary, run.history, run.classification.as_ref().ok()) {
        let _ = write!(page, "<p class=\"panel told warned\">{}</p>", escape(&warning));
    }
    let (told, is_bad) = told(summary, run.history);
    let class = if is_bad { "panel told warned" } else { "panel told" };
    let _ = write!(page, "<p class=\"{class}\">{}</p>", escape(&told));
    page.push_str("<h2>Loss, accuracy and error</h2>");
    let _ = write!(page, "<div class=\"graphs\">{graphs}</div>");
    page.push_str(&tables::epochs(run.history));
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
    write_classification(&mut page, run);
    page.push_str(&weights::section(run.model, run.image_size));
    page.push_str("<h2>Recipe</h2>");
    page.push_str(&settings::recipe(&summary.recipe));
    page.push_str("</main>");
    close(&mut page);
    page
}

/// The page that lays several runs over one another. `graphs` are the six of all of them, as [`figure`] makes them.
pub(super) fn of_runs(runs: &[Run<'_>], graphs: &str) -> String {
    let mut page = open(&format!("{} runs compared: flatnet", runs.len()));
    let _ = write!(page, "<header><h1>{} runs compared</h1></header><main>", runs.len());
    page.push_str(&settings::comparison(runs));
    page.push_str("<h2>Loss, accuracy and error</h2>");
    page.push_str(&settings::legend(runs));
    let _ = write!(page, "<div class=\"graphs\">{graphs}</div>");
    page.push_str("</main>");
    close(&mut page);
    page
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

fn write_classification(page: &mut String, run: &Run<'_>) {
    match &run.classification {
        Ok(classification) => {
            page.push_str(CLASSES);
            page.push_str(&told_of(classification, run));
            page.push_str(&tables::figures(classification));
            page.push_str(&tables::confusion(&classification.confusion));
            page.push_str(&tables::mistakes(classification));
        }
        Err(reason) => {
            let _ = write!(
                page,
                "{CLASSES}<p class=\"panel told\">{LEFT_OUT}: {}.</p>",
                escape(reason.trim_end_matches('.'))
            );
        }
    }
}

/// Of which images the tables speak, and whether they are those that the run saw.
fn told_of(classification: &ClassificationReport, run: &Run<'_>) -> String {
    let (samples, correct) = (classification.confusion.samples(), classification.confusion.correct());
    let mut text = format!(
        "<p class=\"soft\">{} validation images of {}, {} of them right.",
        grouped(samples as usize),
        escape(&classification.source),
        grouped(correct as usize)
    );
    let said = run.summary.last.map(|last| (last.val_accuracy * run.summary.data.val_samples as f64).round() as u64);
    if let Some(said) = said.filter(|said| *said != correct) {
        let _ = write!(
            text,
            " <b>The run counted {} at its end: these are other images than it saw, or another kind of processor.</b>",
            grouped(said as usize)
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
    fn the_policy_lets_the_pages_own_script_run() {
        assert_eq!((&*base64(b"Man"), &*base64(b"Ma"), &*base64(b"M")), ("TWFu", "TWE=", "TQ=="));
        let digest = base64(&Sha256::digest(SCRIPT.as_bytes()));
        assert!(
            POLICY.contains(&format!("script-src 'sha256-{digest}'")),
            "page.js has changed: its digest is {digest}"
        );
    }
}
