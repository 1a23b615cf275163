//! How far a run has come, on stderr: a bar on a terminal, some plain lines elsewhere, or an object per epoch for other
//! programs. It knows no files and no results.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use flatnet::Sequential;
use flatnet::train::{EpochRecord, Watch, shown_loss};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::LogFormat;
use super::table::wrapped;
use super::tell;

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
    /// The last epoch; empty before the end of the first,
    last: Option<EpochRecord>,
    /// as are the epoch of the lowest validation loss, and that loss.
    best: Option<(usize, f64)>,
    /// What to say of units of the last epoch that no longer learn.
    dead: Option<String>,
    /// Whether predictions are right or wrong.
    has_accuracy: bool,
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
    #[serde(flatten)]
    watch: Option<WatchObject>,
}

/// What was watched of it.
#[derive(Serialize)]
struct WatchObject {
    largest_class_share: Option<f64>,
    grad_norm: Option<f64>,
    lr: f32,
    largest_weight: f32,
    /// `dead_1` and the like, by layer.
    #[serde(flatten)]
    dead: BTreeMap<String, usize>,
}

impl From<Watch> for WatchObject {
    fn from(watch: Watch) -> Self {
        let Watch { largest_class_share, grad_norm, lr, largest_weight, .. } = watch;
        let dead = watch.dead_units().iter().map(|dead| (format!("dead_{}", dead.layer), dead.dead)).collect();
        WatchObject { largest_class_share, grad_norm, lr, largest_weight, dead }
    }
}

/// Tells what is wrong with a run that has ended, whether progress was quiet or not: in lines of a terminal's width, or as
/// objects.
pub fn warn(warnings: &[String], format: LogFormat) {
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
    for warning in warnings {
        let text = match format {
            LogFormat::Plain => wrapped(warning, columns),
            LogFormat::Jsonl => {
                format!("{}\n", serde_json::json!({ "warning": warning.trim_start_matches("Warning: ") }))
            }
        };
        // A closed stderr is no reason to lose the run.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Tells of something that was decided before a run begins, likewise.
pub fn note(note: &str, format: LogFormat) {
    match format {
        LogFormat::Plain => tell("note", note),
        // A closed stderr is no reason to lose the run.
        LogFormat::Jsonl => drop(writeln!(io::stderr(), "{}", serde_json::json!({ "note": note }))),
    }
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
            last: None,
            best: None,
            dead: None,
            has_accuracy: true,
        };
        progress.draw(now, 1, 0);
        progress
    }

    /// Of the run, `batch` batches of `epoch` have been done before.
    pub fn goes_on_at(&mut self, epoch: usize, batch: usize) {
        self.start = if self.epochs == 0 { 0.0 } else { self.share(epoch, batch) };
        self.draw(Instant::now(), epoch, batch);
    }

    /// The same for a run that predicts values, which are not right or wrong: lines for people have losses alone.
    pub fn without_accuracy(self) -> Progress {
        Progress { has_accuracy: false, ..self }
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
                let percent = 100 * batch / self.batches;
                let place = format!("epoch {} {percent} %", self.of_all(epoch));
                self.line(now, &self.one_line(place, now - self.started, epoch, batch));
            }
            _ => {}
        }
        Some(now)
    }

    /// Tells of an epoch of training `model` that has ended; epochs count from 1.
    pub fn epoch(&mut self, epoch: usize, record: &EpochRecord, model: &Sequential) {
        let now = Instant::now();
        self.last = Some(*record);
        if self.best.is_none_or(|(_, lowest)| record.val_loss < lowest) {
            self.best = Some((epoch, record.val_loss));
        }
        self.dead = dead(model, record);
        match self.kind {
            Kind::Silent => {}
            Kind::Bar(_) => {
                if self.is_due(now, DRAW_EVERY) || epoch == self.epochs {
                    self.draw(now, epoch + 1, 0);
                }
            }
            Kind::Lines => {
                if epoch == self.epochs || self.is_due(now, LINE_EVERY) {
                    let place = format!("epoch {}", self.of_all(epoch));
                    self.line(now, &self.one_line(place, now - self.started, epoch + 1, 0));
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

    /// Two lines, each as much as fits into so many columns: how far the run is, and what it came to so far. `batch` batches
    /// of `epoch` are done.
    fn drawn(&self, elapsed: Duration, epoch: usize, batch: usize, columns: usize) -> String {
        let share = self.share(epoch, batch);
        let filled = (share * BAR as f64) as usize;
        let bar = format!("{}{}  ", "\u{2588}".repeat(filled), "\u{2591}".repeat(BAR.saturating_sub(filled)));
        let mut first = vec![(9, bar), (0, format!("{}/{}", epoch - 1, self.epochs))];
        if self.best.is_none() {
            first.push((1, format!("  first epoch {} %", 100 * batch / self.batches)));
        }
        first.extend(self.rate(elapsed, batch));
        first.push((1, self.left(elapsed, share)));
        let second = fitted(&self.figures(), columns);
        let first = fitted(&first, columns);
        if second.is_empty() { first } else { format!("{first}\n{second}") }
    }

    /// The same as one line for a file or another program, in the columns of most terminals. `place`: what is done.
    fn one_line(&self, place: String, elapsed: Duration, epoch: usize, batch: usize) -> String {
        let figures = self.figures();
        let gap = if figures.is_empty() { "" } else { "  " };
        let mut parts = vec![(0, place + gap)];
        parts.extend(figures);
        parts.extend(self.rate(elapsed, batch));
        parts.push((1, self.left(elapsed, self.share(epoch, batch))));
        fitted(&parts, 81)
    }

    /// The last epoch's figures and the best ones; empty before the first epoch's end.
    fn figures(&self) -> Vec<(u8, String)> {
        let Some((record, best)) = self.last.as_ref().zip(self.best) else { return Vec::new() };
        let mut parts = vec![
            (6, format!("train {}", shown_loss(record.train_loss))),
            (7, format!(" {:.2} %", 100.0 * record.train_accuracy)),
            (6, "  ".into()),
            (0, format!("val {}", shown_loss(record.val_loss))),
            (3, format!(" {:.2} %", 100.0 * record.val_accuracy)),
            (4, format!("  best {}", shown_loss(best.1))),
            (8, format!(" in {}", best.0)),
        ];
        if !self.has_accuracy {
            parts.retain(|(_, part)| !part.ends_with('%'));
        }
        if let Some(dead) = &self.dead {
            parts.push((2, format!("  {dead}")));
        }
        parts
    }

    /// Training batches per second: of the last epoch, or so far in the first.
    fn rate(&self, elapsed: Duration, batch: usize) -> [(u8, String); 3] {
        let (batches, seconds) = match &self.last {
            Some(record) => (self.batches, record.train_seconds),
            None => (batch, elapsed.as_secs_f64()),
        };
        let rate = batches as f64 / seconds;
        if !rate.is_finite() || rate == 0.0 {
            return Default::default();
        }
        let rate = match rate {
            10_000.0.. => format!("{:.0}k", rate / 1000.0),
            10.0.. => format!("{rate:.0}"),
            _ => format!("{rate:.1}"),
        };
        [(5, format!("  {rate}")), (8, " batches".into()), (5, "/s".into())]
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
    let EpochRecord { train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds, watch } = *record;
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
        watch: watch.map(WatchObject::from),
    };
    // Numbers alone cannot fail to be written.
    serde_json::to_string(&object).unwrap_or_default()
}

/// What of these parts, one after another, takes fewer than `columns`: the last column stays free, since some terminals break a
/// line that fills it. Parts of the largest number are left out first, all of them together; those of 0 stay and are cut.
fn fitted(parts: &[(u8, String)], columns: usize) -> String {
    let mut parts: Vec<&(u8, String)> = parts.iter().collect();
    loop {
        let line: String = parts.iter().map(|(_, text)| &**text).collect();
        let most = parts.iter().map(|(order, _)| *order).max().unwrap_or(0);
        if most == 0 || line.trim().chars().count() < columns {
            return line.trim().chars().take(columns.saturating_sub(1)).collect();
        }
        parts.retain(|(order, _)| *order < most);
    }
}

/// Of a network whose units have stopped learning, how many.
fn dead(model: &Sequential, record: &EpochRecord) -> Option<String> {
    let dead = record.watch?.dead_that_matter(model.specs(), model.relu_grad())?;
    let what = if dead.layer + 1 == model.specs().0.len() { "outputs" } else { "units" };
    Some(format!("{} of {} {what} dead", dead.dead, dead.units))
}

#[cfg(test)]
mod tests {
    use flatnet::nn::ReluGrad;
    use flatnet::train::DeadUnits;

    use super::*;

    fn record() -> EpochRecord {
        EpochRecord {
            train_loss: 0.23841,
            train_accuracy: 0.93348,
            val_loss: 0.27739,
            val_accuracy: 0.9246,
            train_seconds: 1.0,
            val_seconds: 0.1,
            watch: None,
        }
    }

    /// After an epoch that measured this, or before the end of the first.
    fn progress(epochs: usize, last: Option<EpochRecord>) -> Progress {
        let progress = Progress::new(epochs, 1000, true, LogFormat::Plain);
        Progress { best: last.map(|record| (7, record.val_loss)), last, ..progress }
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
        let large = EpochRecord { train_loss: 1e300, val_loss: 1e300, train_seconds: 1e-9, ..record() };
        for columns in 0..200 {
            for figures in [None, Some(record()), Some(large)] {
                for (epochs, dead) in [(1, None), (200, Some("128 of 128 outputs dead".into())), (1_000_000, None)] {
                    let progress = Progress { dead, ..progress(epochs, figures) };
                    let text = progress.drawn(Duration::from_secs(9_999), epochs, 500, columns);
                    assert!(text.lines().count() <= 2);
                    assert!(text.lines().all(|line| line.chars().count() < columns.max(1)), "{columns}: {text}");
                }
            }
        }
        let drawn = |columns| progress(200, Some(record())).drawn(Duration::from_secs(40), 101, 0, columns);
        let of_80 = "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}░░░░░░░  100/200  1000 batches/s  40s left\n\
                     train 0.2384 93.35 %  val 0.2774 92.46 %  best 0.2774 in 7";
        assert_eq!(drawn(80), of_80);
        assert_eq!(drawn(40), "100/200  1000 batches/s  40s left\nval 0.2774 92.46 %  best 0.2774");
        assert_eq!(drawn(12), "100/200\nval 0.2774");
        let dead = Progress { dead: Some("7 of 10 outputs dead".into()), ..progress(200, Some(record())) };
        assert_eq!(
            dead.drawn(Duration::from_secs(40), 101, 0, 40).lines().nth(1),
            Some("val 0.2774  7 of 10 outputs dead")
        );
        let values = progress(200, Some(record())).without_accuracy();
        let line = values.drawn(Duration::from_secs(40), 101, 0, 80);
        assert_eq!(line.lines().nth(1), Some("train 0.2384  val 0.2774  best 0.2774 in 7"));
        let first = progress(3, None).drawn(Duration::from_secs(30), 1, 500, 40);
        assert_eq!(first, "0/3  first epoch 50 %  17/s  3m left");
    }

    #[test]
    fn a_line_tells_of_the_last_and_the_best_epoch_in_80_columns() {
        let line = |record, dead: Option<&str>| {
            let progress = Progress { dead: dead.map(String::from), ..progress(200, Some(record)) };
            progress.one_line("epoch 100/200".into(), Duration::from_secs(40), 101, 0)
        };
        assert_eq!(
            line(record(), None),
            "epoch 100/200  train 0.2384  val 0.2774 92.46 %  best 0.2774  1000/s  40s left"
        );
        let with_dead = line(record(), Some("7 of 10 outputs dead"));
        assert_eq!(with_dead, "epoch 100/200  val 0.2774 92.46 %  best 0.2774  7 of 10 outputs dead  40s left");
        let large = EpochRecord { train_loss: 1e300, val_loss: 1e300, train_seconds: 1e-9, ..record() };
        assert!(line(large, None).chars().count() <= 80, "{}", line(large, None));
        let first = progress(3, None).one_line("epoch 1/3 50 %".into(), Duration::from_secs(30), 1, 500);
        assert_eq!(first, "epoch 1/3 50 %  17 batches/s  3m left");
    }

    #[test]
    fn dead_outputs_are_told_where_the_gradient_ends_at_them() {
        let watch = Watch::new(Some(0.5), Some(1.0), 0.1, 2.0, [DeadUnits { layer: 1, dead: 7, units: 10 }]);
        let record = EpochRecord { watch: Some(watch), ..record() };
        let told = |relu_grad| {
            let model = Sequential::new(4).linear(10).relu().relu_grad(relu_grad).build(0).unwrap();
            dead(&model, &record)
        };
        assert_eq!(told(ReluGrad::Exact).as_deref(), Some("7 of 10 outputs dead"));
        assert_eq!(told(ReluGrad::StraightThrough), None);
        let object = object(1, 2, &record, Duration::ZERO);
        let parts = [r#""largest_class_share":0.5,"grad_norm":1.0,"lr":0.1,"largest_weight":2.0"#, r#""dead_1":7"#];
        assert!(parts.iter().all(|part| object.contains(part)), "{object}");
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
