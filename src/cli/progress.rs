//! How far a run has come, on stderr: a bar on a terminal, some plain lines elsewhere, or an object per epoch for other
//! programs. It knows no files and no results.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use flatnet::train::{EpochRecord, shown_loss};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::LogFormat;

/// Where stderr is no terminal, a line at most so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// On a terminal, a drawing at most so often.
const DRAW_EVERY: Duration = Duration::from_millis(50);
/// Characters of the bar.
const BAR: usize = 14;

/// What is told of a run while it trains.
pub struct Progress {
    kind: Kind,
    epochs: usize,
    /// Training batches of an epoch.
    batches: usize,
    started: Instant,
    /// What part of the run was done then.
    start: f64,
    /// When something was told last.
    told: Option<Instant>,
    /// The clock is read every so many batches, which is some hundred times a second,
    stride: usize,
    /// next after so many,
    until: usize,
    /// and was read last then.
    looked: Instant,
    /// Of the last epoch; empty before its end.
    figures: Option<EpochRecord>,
}

enum Kind {
    Silent,
    Bar(ProgressBar),
    Lines,
    Objects,
}

/// An epoch as `--log-format jsonl` tells it, under the names of `epochs.csv`.
#[derive(Serialize)]
struct EpochObject {
    epoch: usize,
    /// How many there will be.
    epochs: usize,
    train_loss: f64,
    train_accuracy: f64,
    val_loss: f64,
    val_accuracy: f64,
    train_seconds: f64,
    val_seconds: f64,
    /// Since the training began.
    seconds: f64,
}

impl Progress {
    /// For a run of `epochs` epochs of `batches` training batches. Objects are written for other programs, so that `quiet` does
    /// not silence them.
    pub fn new(epochs: usize, batches: usize, quiet: bool, format: LogFormat) -> Progress {
        let kind = if epochs == 0 {
            Kind::Silent
        } else if format == LogFormat::Jsonl {
            Kind::Objects
        } else if quiet {
            Kind::Silent
        } else if io::stderr().is_terminal() {
            // The template is a constant that the tests draw; the default style is the way out if it were wrong.
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            Kind::Bar(ProgressBar::new_spinner().with_style(style))
        } else {
            Kind::Lines
        };
        let now = Instant::now();
        let mut progress = Progress {
            kind,
            epochs,
            batches: batches.max(1),
            started: now,
            start: 0.0,
            told: None,
            stride: 1,
            until: 1,
            looked: now,
            figures: None,
        };
        progress.draw(now, 1, 0);
        progress
    }

    /// Of the run, `batch` batches of `epoch` have been done before.
    pub fn goes_on_at(&mut self, epoch: usize, batch: usize) {
        self.start = if self.epochs == 0 { 0.0 } else { self.share(epoch, batch) };
        self.draw(Instant::now(), epoch, batch);
    }

    /// Tells of a training batch that has ended; epochs and batches count from 1. Where it has looked at the clock, says what it
    /// saw.
    pub fn batch(&mut self, epoch: usize, batch: usize) -> Option<Instant> {
        /// Between two looks at the clock.
        const LOOK: Duration = Duration::from_millis(5);
        self.until -= 1;
        if self.until > 0 {
            return None;
        }
        let now = Instant::now();
        let since = now - self.looked;
        self.stride = if since < LOOK { (self.stride * 2).min(1 << 12) } else { (self.stride / 2).max(1) };
        (self.until, self.looked) = (self.stride, now);
        match self.kind {
            Kind::Bar(_) if self.is_due(now, DRAW_EVERY) => self.draw(now, epoch, batch),
            Kind::Lines if now - self.told.unwrap_or(self.started) >= LINE_EVERY => {
                let left = self.left(now - self.started, self.share(epoch, batch));
                let percent = 100 * batch / self.batches;
                self.line(now, &format!("epoch {}  {percent} % of its batches{left}", self.of_all(epoch)));
            }
            _ => {}
        }
        Some(now)
    }

    /// Tells of an epoch that has ended; epochs count from 1.
    pub fn epoch(&mut self, epoch: usize, record: &EpochRecord) {
        let now = Instant::now();
        self.figures = Some(*record);
        match self.kind {
            Kind::Silent => {}
            Kind::Bar(_) => {
                if self.is_due(now, DRAW_EVERY) || epoch == self.epochs {
                    self.draw(now, epoch + 1, 0);
                }
            }
            Kind::Lines => {
                if epoch == 1 || epoch == self.epochs || self.is_due(now, LINE_EVERY) {
                    let left = self.left(now - self.started, self.share(epoch + 1, 0));
                    self.line(now, &format!("epoch {}  {}{left}", self.of_all(epoch), figures(record)));
                }
            }
            Kind::Objects => {
                // A closed stderr is no reason to lose the run.
                let _ = writeln!(io::stderr(), "{}", object(epoch, self.epochs, record, now - self.started));
            }
        }
    }

    /// Makes room for the results.
    pub fn finish(&self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    fn is_due(&self, now: Instant, every: Duration) -> bool {
        self.told.is_none_or(|told| now - told >= every)
    }

    fn line(&mut self, now: Instant, text: &str) {
        self.told = Some(now);
        // A closed stderr is no reason to lose the run.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn draw(&mut self, now: Instant, epoch: usize, batch: usize) {
        if let Kind::Bar(bar) = &self.kind {
            let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
            bar.set_message(self.drawn(now - self.started, epoch, batch, columns));
            self.told = Some(now);
        }
    }

    /// As much as fits into so many columns. `batch` batches of `epoch` are done.
    fn drawn(&self, elapsed: Duration, epoch: usize, batch: usize, columns: usize) -> String {
        let share = self.share(epoch, batch);
        let filled = (share * BAR as f64) as usize;
        let bar = format!("{}{}", "\u{2588}".repeat(filled), "\u{2591}".repeat(BAR.saturating_sub(filled)));
        let position = format!("{}/{}", epoch - 1, self.epochs);
        let left = self.left(elapsed, share);
        let variants = match &self.figures {
            None => {
                let percent = 100 * batch / self.batches;
                let first = format!("{position} first epoch {percent} %");
                [format!("{bar} {first}{left}"), format!("{first}{left}"), first, position]
            }
            Some(record) => [
                format!("{bar} {position} {}{left}", figures(record)),
                format!("{position} {}{left}", figures(record)),
                format!("{position} {}{left}", val_figures(record)),
                format!("{position}{left}"),
            ],
        };
        // The last column stays free: some terminals break a line that fills it.
        let fits = |text: &&String| text.chars().count() < columns;
        let [.., shortest] = &variants;
        variants.iter().find(fits).unwrap_or(shortest).chars().take(columns.saturating_sub(1)).collect()
    }

    /// What part of the run is done when `batch` batches of `epoch` are.
    fn share(&self, epoch: usize, batch: usize) -> f64 {
        ((epoch - 1) as f64 + batch as f64 / self.batches as f64) / self.epochs as f64
    }

    /// How long the rest will take, judged by what this process has done.
    fn left(&self, elapsed: Duration, share: f64) -> String {
        left(elapsed, (share - self.start) / (1.0 - self.start))
    }

    fn of_all(&self, epoch: usize) -> String {
        let width = self.epochs.to_string().len();
        format!("{epoch:>width$}/{}", self.epochs)
    }
}

/// How long the rest will take, if it goes on like this; nothing where there is no rest, or nothing to judge by.
fn left(elapsed: Duration, share: f64) -> String {
    if share <= 0.0 || share >= 1.0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * (1.0 - share) / share;
    // More than fits has no end that matters.
    Duration::try_from_secs_f64(seconds).map_or(String::new(), |left| format!("  {:#} left", HumanDuration(left)))
}

fn object(epoch: usize, epochs: usize, record: &EpochRecord, elapsed: Duration) -> String {
    let EpochRecord { train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds } = *record;
    let seconds = elapsed.as_secs_f64();
    let object = EpochObject {
        epoch,
        epochs,
        train_loss,
        train_accuracy,
        val_loss,
        val_accuracy,
        train_seconds,
        val_seconds,
        seconds,
    };
    // Numbers alone cannot fail to be written.
    serde_json::to_string(&object).unwrap_or_default()
}

fn figures(record: &EpochRecord) -> String {
    let train = shown_loss(record.train_loss);
    format!("train {train} {:.2} %  {}", 100.0 * record.train_accuracy, val_figures(record))
}

fn val_figures(record: &EpochRecord) -> String {
    format!("val {} {:.2} %", shown_loss(record.val_loss), 100.0 * record.val_accuracy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EpochRecord {
        EpochRecord {
            train_loss: 0.23841,
            train_accuracy: 0.93348,
            val_loss: 0.27739,
            val_accuracy: 0.9246,
            train_seconds: 1.0,
            val_seconds: 0.1,
        }
    }

    fn progress(epochs: usize, figures: Option<EpochRecord>) -> Progress {
        let progress = Progress::new(epochs, 1000, true, LogFormat::Plain);
        Progress { figures, ..progress }
    }

    #[test]
    fn the_time_left_follows_from_the_batches_done() {
        let progress = progress(2, None);
        // A tenth of the first of two epochs took 3 s, so the other nineteen take 57 s.
        assert_eq!(left(Duration::from_secs(3), progress.share(1, 100)), "  57s left");
        assert_eq!(left(Duration::from_secs(3), progress.share(1, 0)), "");
        assert_eq!(left(Duration::from_secs(3), progress.share(3, 0)), "");
        assert!(!left(Duration::from_secs(1 << 40), 1e-300).contains("0s"));
    }

    #[test]
    fn an_object_gives_every_figure_in_full() {
        assert_eq!(
            object(50, 200, &record(), Duration::from_millis(4500)),
            r#"{"epoch":50,"epochs":200,"train_loss":0.23841,"train_accuracy":0.93348,"val_loss":0.27739,"#.to_string()
                + r#""val_accuracy":0.9246,"train_seconds":1.0,"val_seconds":0.1,"seconds":4.5}"#
        );
    }

    #[test]
    fn a_drawing_fits_terminals_of_any_width() {
        let large = EpochRecord { train_loss: 1e300, val_loss: 1e300, ..record() };
        for columns in 0..200 {
            for figures in [None, Some(record()), Some(large)] {
                for epochs in [1, 200, 1_000_000] {
                    let text = progress(epochs, figures).drawn(Duration::from_secs(9_999), epochs, 500, columns);
                    assert!(text.chars().count() < columns.max(1), "{columns}: {text}");
                }
            }
        }
        let drawn = |columns| progress(200, Some(record())).drawn(Duration::from_secs(40), 101, 0, columns);
        assert_eq!(drawn(80), "███████░░░░░░░ 100/200 train 0.2384 93.35 %  val 0.2774 92.46 %  40s left");
        assert_eq!(drawn(70), "100/200 train 0.2384 93.35 %  val 0.2774 92.46 %  40s left");
        assert_eq!(drawn(40), "100/200 val 0.2774 92.46 %  40s left");
        let first = progress(3, None).drawn(Duration::from_secs(30), 1, 500, 40);
        assert_eq!(first, "0/3 first epoch 50 %  3m left");
    }

    /// The clock is read often enough whatever a batch takes, and rarely where batches are short.
    #[test]
    fn the_clock_is_read_by_time() {
        let mut progress = progress(1, None);
        for batch in 0..100_000 {
            progress.batch(1, batch);
        }
        assert!(progress.stride >= 1 << 8, "{}", progress.stride);
        while progress.stride > 1 {
            progress.looked -= Duration::from_secs(1);
            progress.batch(1, 1);
        }
    }
}
