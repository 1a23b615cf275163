//! The figures of `flatnet bench`, as JSON and as a text of at most 80 columns. It knows figures and words, not how they were
//! measured.

use std::fmt::Write;

use serde::Serialize;

use crate::cli::table::grouped;

/// What `--json` prints.
#[derive(Serialize)]
pub struct Report {
    pub cpu: String,
    pub cores: usize,
    pub simd: &'static str,
    /// Of one core, in f32 fused multiply-adds.
    pub fma_peak_gflops: f64,
    pub rows: Vec<Row>,
    /// The images that were trained on and evaluated.
    pub data: String,
    pub evaluation: Vec<EvaluationRow>,
}

/// Training steps of one network, batch size, kernel and number of threads.
#[derive(Serialize)]
pub struct Row {
    pub net: &'static str,
    pub optimizer: &'static str,
    pub batch_size: usize,
    pub kernel: &'static str,
    pub threads: usize,
    /// Share of the steps that all threads shared, 0 to 1; the others ran on one.
    pub shared: f64,
    pub us_per_batch: f64,
    pub batches_per_second: f64,
    /// Nominal operations per second over the FMA peak of as many cores as threads, but no more than there are.
    pub share_of_peak: f64,
}

impl Row {
    /// What a person calls it: SGD goes without saying.
    fn name(&self) -> String {
        match self.optimizer {
            "sgd" => self.net.into(),
            "adam" => format!("{} Adam", self.net),
            other => format!("{} {other}", self.net),
        }
    }
}

/// Evaluating all test images.
#[derive(Serialize)]
pub struct EvaluationRow {
    pub net: &'static str,
    pub images: usize,
    pub threads: usize,
    pub ms: f64,
}

impl Report {
    /// For people. Every figure is the median of `rounds`.
    pub fn to_text(&self, rounds: usize) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, rounds);
        text
    }

    fn write(&self, text: &mut String, rounds: usize) -> std::fmt::Result {
        let cores = if self.cores == 1 { "1 core".into() } else { format!("{} cores", self.cores) };
        writeln!(text, "Images: {}", shortened(&self.data, 72))?;
        writeln!(text, "{}", shortened(&self.cpu, 80))?;
        writeln!(text, "{cores}, {}; FMA peak of one core {:.1} GFLOP/s (f32)\n", self.simd, self.fma_peak_gflops)?;
        writeln!(text, "Training steps, medians of {rounds} rounds in turn")?;
        writeln!(text, "net             batch kernel           threads  shared us/batch batches/s  share")?;
        let mut before = None;
        for row in &self.rows {
            let group = (row.net, row.optimizer, row.batch_size);
            if before.replace(group).is_some_and(|before| before != group) {
                text.push('\n');
            }
            writeln!(
                text,
                "{:<15}{:>6} {:<16}{:>8}{:>6.0} %{:>9}{:>10}{:>5.0} %",
                row.name(),
                row.batch_size,
                row.kernel,
                row.threads,
                100.0 * row.shared,
                with_decimals(row.us_per_batch),
                grouped(row.batches_per_second.round() as usize),
                100.0 * row.share_of_peak,
            )?;
        }
        text.push_str(LEGEND);
        if let Some(first) = self.evaluation.first() {
            writeln!(text, "\nEvaluation of {} images, {}", grouped(first.images), first.net)?;
        }
        for row in &self.evaluation {
            let threads = if row.threads == 1 { "thread: " } else { "threads:" };
            writeln!(text, "{:>4} {threads} {:>8.2} ms", row.threads, row.ms)?;
        }
        Ok(())
    }
}

const LEGEND: &str = "
kernel: gemm, or what --kernel auto picks (narrow for up to 16 outputs, wide for
a first layer of more).
threads: as allowed; shared: the steps that all of them shared, as far as that
was measured to be faster. share: of the FMA peak of as many cores as threads.
Operations are nominal, 6 x batch x inputs x outputs for a linear layer (4 for
the first), so blocks of zero pixels count although they are skipped.
";

/// The first `columns` characters, with dots where more follow.
fn shortened(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.into();
    }
    text.chars().take(columns - 3).chain("...".chars()).collect()
}

/// Three digits or more: 0.412, 4.12, 41.2, 4,120.
fn with_decimals(number: f64) -> String {
    match number {
        n if n < 1.0 => format!("{n:.3}"),
        n if n < 10.0 => format!("{n:.2}"),
        n if n < 1000.0 => format!("{n:.1}"),
        n => grouped(n.round() as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = |net, batch_size, kernel, threads, us_per_batch: f64| Row {
            net,
            optimizer: "sgd",
            batch_size,
            kernel,
            threads,
            shared: 0.5,
            us_per_batch,
            batches_per_second: 1e6 / us_per_batch,
            share_of_peak: 0.4567,
        };
        let evaluation = |threads, ms| EvaluationRow { net: "784-10", images: 10_000, threads, ms };
        Report {
            cpu: "A processor of a name that goes on and on, longer than what a line has room for, and on".into(),
            cores: 128,
            simd: "avx512",
            fma_peak_gflops: 117.8,
            rows: vec![
                row("784-10", 1, "narrow", 1, 0.4123),
                row("784-10", 1024, "gemm", 256, 99_999.4),
                row("784-512-256-10", 32, "narrow+wide+gemm", 256, 4.1),
                Row { optimizer: "adam", ..row("784-128-10", 32, "narrow+wide", 1, 41.0) },
            ],
            data: "a/very/long/path".repeat(9),
            evaluation: vec![evaluation(1, 2.345), evaluation(128, 0.05)],
        }
    }

    #[test]
    fn the_text_has_a_line_for_each_row_and_fits_80_columns() {
        let text = report().to_text(5);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(lines[0].starts_with("Images: a/very/long/path") && lines[0].ends_with("..."), "{text}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("784-")).count(), 4, "{text}");
        for whole in [
            "784-10              1 narrow                 1    50 %    0.412 2,425,418   46 %",
            "784-10           1024 gemm                 256    50 %   99,999        10   46 %",
            "784-512-256-10     32 narrow+wide+gemm     256    50 %     4.10   243,902   46 %",
            "784-128-10 Adam    32 narrow+wide            1    50 %     41.0    24,390   46 %",
            "   1 thread:      2.35 ms",
            " 128 threads:     0.05 ms",
        ] {
            assert!(lines.contains(&whole), "{whole}\nis missing in\n{text}");
        }
        let header = lines.iter().find(|line| line.starts_with("net ")).unwrap();
        assert_eq!(header.len(), lines.iter().find(|line| line.starts_with("784-")).unwrap().len(), "{text}");
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (number, text) in
            [(0.0123, "0.012"), (0.4123, "0.412"), (4.123, "4.12"), (41.23, "41.2"), (4123.4, "4,123")]
        {
            assert_eq!(with_decimals(number), text);
        }
    }
}
