//! How far a run has come, on stderr: a bar on a terminal, some plain lines elsewhere, or an object per epoch for other
//! programs. It knows no files and no results.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use flatnet::train::EpochRecord;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::args::LogFormat;

/// Where stderr is no terminal, about this many lines tell the whole run.
const LINES: usize = 20;
/// Fits 80 columns with the figures of [`figures`] and up to 9,999 epochs.
const BAR: &str = "{bar:14} {pos}/{len} {msg}  {eta} left";

pub enum Progress {
    Silent,
    Bar(ProgressBar),
    Lines { epochs: usize, started: Instant },
    Objects { epochs: usize, started: Instant },
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
    pub fn new(epochs: usize, quiet: bool, format: LogFormat) -> Progress {
        if quiet || epochs == 0 {
            Progress::Silent
        } else if format == LogFormat::Jsonl {
            Progress::Objects { epochs, started: Instant::now() }
        } else if io::stderr().is_terminal() {
            // The template is a constant that the tests draw; the default style is the way out if it were wrong.
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(epochs as u64).with_style(style).with_message("first epoch");
            bar.tick();
            Progress::Bar(bar)
        } else {
            Progress::Lines { epochs, started: Instant::now() }
        }
    }

    /// Tells of an epoch that has ended; epochs count from 1.
    pub fn epoch(&self, epoch: usize, record: &EpochRecord) {
        match self {
            Progress::Silent => {}
            Progress::Bar(bar) => {
                bar.set_message(figures(record));
                bar.set_position(epoch as u64);
            }
            Progress::Lines { epochs, started } => {
                if is_told(epoch, *epochs) {
                    // A closed stderr is no reason to lose the run.
                    let _ = writeln!(io::stderr(), "{}", line(epoch, *epochs, record, started.elapsed()));
                }
            }
            Progress::Objects { epochs, started } => {
                let _ = writeln!(io::stderr(), "{}", object(epoch, *epochs, record, started.elapsed()));
            }
        }
    }

    /// Makes room for the results.
    pub fn finish(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn is_told(epoch: usize, epochs: usize) -> bool {
    epoch.is_multiple_of(epochs.div_ceil(LINES)) || epoch == epochs
}

fn line(epoch: usize, epochs: usize, record: &EpochRecord, elapsed: Duration) -> String {
    let width = epochs.to_string().len();
    let left = elapsed.mul_f64((epochs - epoch) as f64 / epoch as f64);
    let left = if epoch == epochs { String::new() } else { format!("  {} left", HumanDuration(left)) };
    format!("epoch {epoch:>width$}/{epochs}  {}{left}", figures(record))
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
    format!(
        "train {:.4} {:.2} %  val {:.4} {:.2} %",
        record.train_loss,
        100.0 * record.train_accuracy,
        record.val_loss,
        100.0 * record.val_accuracy
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal that keeps every line drawn on it.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_string());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

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

    #[test]
    fn a_line_gives_the_figures_and_the_time_left() {
        assert_eq!(
            line(50, 200, &record(), Duration::from_secs(4)),
            "epoch  50/200  train 0.2384 93.35 %  val 0.2774 92.46 %  12 seconds left"
        );
        assert_eq!(
            line(200, 200, &record(), Duration::from_secs(4)),
            "epoch 200/200  train 0.2384 93.35 %  val 0.2774 92.46 %"
        );
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
    fn about_twenty_lines_tell_a_run_of_any_length() {
        for epochs in [1, 2, 19, 20, 21, 39, 41, 200, 201, 1_000_000] {
            let told = (1..=epochs).filter(|epoch| is_told(*epoch, epochs)).count();
            assert!(told <= LINES + 1 && told >= epochs.min(LINES / 2), "{epochs} epochs, {told} lines");
            assert!(is_told(epochs, epochs));
        }
    }

    #[test]
    fn the_bar_fits_80_columns() {
        let screen = Screen::default();
        let bar = ProgressBar::with_draw_target(Some(9_999), ProgressDrawTarget::term_like(Box::new(screen.clone())))
            .with_style(ProgressStyle::with_template(BAR).unwrap());
        Progress::Bar(bar.clone()).epoch(9_998, &record());
        bar.tick();
        let drawn = screen.0.lock().unwrap().clone();
        let whole = |line: &&String| line.contains(" 9998/9999 train 0.2384 93.35 %  val 0.2774 92.46 %");
        let line = drawn.iter().rfind(whole).unwrap();
        assert!(line.ends_with(" left") && line.chars().count() <= 80, "{line}");
    }
}
