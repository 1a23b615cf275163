//! How far a download has come, on stderr: a bar on a terminal, a line per event elsewhere. It knows no mirrors' ways.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::printable;

/// Fits 80 columns with the longest file name.
const BAR: &str = "{msg} {bar:16} {bytes}/{total_bytes} {bytes_per_sec}";

pub enum Progress {
    Silent,
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    pub fn new(quiet: bool) -> Progress {
        if quiet {
            Progress::Silent
        } else if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            Progress::Bar(ProgressBar::no_length().with_style(style))
        } else {
            Progress::Lines
        }
    }

    /// A mirror has begun to send a file of which `have` of `total` bytes are there.
    pub fn start(&self, name: &str, host: &str, have: u64, total: u64) {
        match self {
            Progress::Silent => {}
            Progress::Bar(bar) => {
                bar.set_message(name.trim_end_matches("-ubyte.gz").to_string());
                bar.set_length(total);
                bar.set_position(have);
                bar.reset_eta();
            }
            Progress::Lines => {
                let from = if have > 0 { format!(", from byte {have} on") } else { String::new() };
                self.note(&format!("{name}: {host} sends it{from}"));
            }
        }
    }

    pub fn advance(&self, have: u64) {
        if let Progress::Bar(bar) = self {
            bar.set_position(have);
        }
    }

    /// Tells of something that went wrong and is being mended.
    pub fn note(&self, text: &str) {
        // What a server sends may hold control characters.
        let line = printable(text);
        match self {
            Progress::Silent => {}
            Progress::Bar(bar) => bar.println(line),
            Progress::Lines => {
                // A closed stderr is no reason to give up.
                let _ = writeln!(io::stderr(), "{line}");
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
