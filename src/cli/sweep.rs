//! `flatnet sweep`: every combination of settings and seeds as a run of its own, side by side. It knows the order of the steps,
//! not the steps.

mod figures;
mod grid;
mod plan;
mod pool;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use flatnet::parallel::available_cores;
use flatnet::run::{Summary, folder};
use flatnet::train::shown_loss;
use flatnet::{Error, Result, whole_file};

use self::figures::{OfRun, Report, Status};
use self::grid::{Seeds, Shard};
use self::plan::{Common, Run, State};
use self::pool::Ended;
use super::args::TrainArguments;
use super::{complain, interrupt, print, print_json, table};

pub use self::pool::{follow, is_run};

pub const EXAMPLES: &str = "\
Examples:
  flatnet sweep --seeds 0..9 --out runs/seeds
  flatnet sweep --grid lr=0.01,0.1 --grid batch-size=8,32 --out runs/grid
  flatnet sweep --grid layers='linear:10,relu;linear:64,relu,linear:10' \\
                --seeds 0..2 --out runs/nets -- --epochs 20 --no-report
  flatnet sweep --grid lr=0.01,0.1 --out runs/lr -- --config base.toml
  flatnet sweep --folds 5 --grid lr=0.01,0.1 --out runs/cv -- --data rows.csv
  flatnet sweep --seeds 0..99 --out shared/seeds --shard 3/8   on machine 3 of 8

Values are separated by ; where there is one, else by commas. Those of layers
and class-weights hold commas, so only ; separates them. A flag without a value
takes true and false: --grid nesterov=true,false.

Each run has a folder in --out, such as lr=0.1_seed=3. The same command again
runs what is missing: complete runs stay, one that was broken off is made anew,
and a folder that holds a run of other settings is refused. sweep.csv in --out
has a row for each setting: mean and sample standard deviation over its seeds.
docs/slurm-sweep.sh is a sweep as an array of jobs.";

/// Table of all settings, beside the folders of the runs.
const CSV: &str = "sweep.csv";

/// What runs of one sweep do not differ in, or what it decides itself, as clap knows it.
const RUNS_OWN: [&str; 7] = ["out", "overwrite", "tensorboard", "quiet", "log_format", "no_report", "threads"];

#[derive(Debug, Args)]
pub struct SweepArguments {
    /// A setting of train and the values it takes, such as lr=0.01,0.1; may be
    /// given several times, for every combination [default: none]
    #[arg(long, value_name = "KEY=VALUES")]
    pub grid: Vec<String>,
    /// Each setting with these seeds: 0..9 is 0 to 9, both ends included; or
    /// 1,5,7 [default: the one of train]
    #[arg(long, value_name = "A..B")]
    pub seeds: Option<Seeds>,
    /// Each setting K times, each time with another K-th of the rows held out:
    /// a cross-validation [default: none]
    #[arg(long, value_name = "K", value_parser = super::args::folds, allow_negative_numbers = true)]
    pub folds: Option<usize>,
    /// Folder for the runs' folders and for sweep.csv
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Runs at a time; each has its share of the cores, for a small network
    /// trains best alone on one [default: as many as cores]
    #[arg(long, value_name = "N", value_parser = super::args::threads, allow_negative_numbers = true)]
    pub jobs: Option<usize>,
    /// Only the I-th of N parts, for N machines with one --out; I counts from 1
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub shard: Shard,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// No line on stderr for each run that ends
    #[arg(long)]
    pub quiet: bool,
    /// Options of train for all runs, behind --
    /// [default: those of the reference recipe]
    #[arg(last = true, value_name = "TRAIN OPTIONS")]
    pub options: Vec<OsString>,
}

/// `train --folds`: the sweep over the folds of the words of `train`.
pub fn cross_validate(arguments: &TrainArguments, folds: usize) -> Result<ExitCode> {
    let next_free = || {
        let runs = Path::new(folder::RUNS);
        (1_u64..).map(|number| runs.join(number.to_string())).find(|folder| folder.symlink_metadata().is_err())
    };
    run(&SweepArguments {
        grid: Vec::new(),
        seeds: None,
        folds: Some(folds),
        out: arguments.out.clone().or_else(next_free).unwrap_or_default(),
        jobs: None,
        shard: Shard::ALL,
        json: arguments.json,
        quiet: arguments.quiet,
        options: without(&arguments.words, &["--folds", "--out"], &["--json", "--quiet"]),
    })
}

/// Words without flags that have a value, and without switches.
fn without(words: &[OsString], flags: &[&str], switches: &[&str]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let is_assigned = |flag: &&str| text.strip_prefix(*flag).is_some_and(|rest| rest.starts_with('='));
        if flags.contains(&&*text) {
            words.next();
        } else if !(flags.iter().any(is_assigned) || switches.contains(&&*text)) {
            kept.push(word.clone());
        }
    }
    kept
}

pub fn run(arguments: &SweepArguments) -> Result<ExitCode> {
    let started = Instant::now();
    interrupt::listen();
    let wrong_usage = |problem: String| {
        let is_led_on = problem.contains("--help");
        complain(&if is_led_on { problem } else { format!("{problem}; see flatnet sweep --help") });
        Ok(ExitCode::from(2))
    };
    let axes = match grid::axes(&arguments.grid, arguments.folds, arguments.seeds.as_ref()) {
        Ok(axes) => axes,
        Err(problem) => return wrong_usage(problem),
    };
    let planned = grid::runs(&axes).and_then(|planned| Ok((Common::read(&arguments.options, &axes)?, planned)));
    let (common, planned) = match planned {
        Ok(planned) => planned,
        Err(problem) => return wrong_usage(problem),
    };
    let runs = match plan::recipes(&common, planned, &arguments.out) {
        Ok(runs) => runs,
        Err(problem) => {
            complain(&format!("{problem}; nothing was run"));
            return Ok(ExitCode::FAILURE);
        }
    };

    let own: Vec<&Run> =
        (0..).zip(&runs).filter(|(number, _)| arguments.shard.has(*number)).map(|(_, run)| run).collect();
    let mut open = Vec::new();
    for run in &own {
        match run.state()? {
            State::Done(_) => {}
            State::New => open.push((*run, false)),
            State::Unfinished => open.push((*run, true)),
        }
    }
    if !open.is_empty() {
        make_folder(arguments)?;
    }
    let (jobs, threads) = shares(open.len(), available_cores(), arguments.jobs, common.threads);
    let say = |line: String| {
        if !arguments.quiet {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "{line}");
        }
    };
    say(format!(
        "{} of {} runs to do, {jobs} at a time with {} each{}",
        open.len(),
        runs.len(),
        if threads == 1 { "1 thread".into() } else { format!("{threads} threads") },
        if own.len() < runs.len() {
            format!("; {} are of other shards", runs.len() - own.len())
        } else {
            String::new()
        },
    ));
    let words: Vec<Vec<OsString>> = open.iter().map(|(run, again)| words(&common, run, *again, threads)).collect();
    let program =
        std::env::current_exe().map_err(|source| Error::Io { path: "flatnet".into(), action: "find", source })?;
    let (mut ended, mut failures) = (0, Vec::new());
    pool::run_all(&program, &words, jobs, |number, end| {
        let (run, _) = open[number];
        ended += 1;
        let name = &run.planned.name;
        let left = open.len() - ended;
        match end {
            Ended::Interrupted => {}
            Ended::Done => say(format!("[{ended}/{}] {name}: {}; {left} left", open.len(), outcome(run.summary()))),
            Ended::Failed(problem) => {
                say(format!("[{ended}/{}] {name}: failed: {problem}; {left} left", open.len()));
                failures.push((name.clone(), problem));
            }
        }
    });

    let summaries: Vec<Option<Summary>> = runs.iter().map(Run::summary).collect();
    let settings = figures::settings(&runs, &summaries);
    let names: Vec<String> =
        axes.iter().filter(|axis| !grid::REPEATED.contains(&axis.id.as_str())).map(|axis| axis.name.clone()).collect();
    write_csv(arguments, &figures::csv(&names, &settings))?;
    let missing = own.iter().filter(|run| run.summary().is_none()).count();
    let report = Report {
        out: arguments.out.display().to_string(),
        done: summaries.iter().flatten().count(),
        failed: failures.len(),
        runs: runs.iter().zip(summaries).map(|(run, summary)| of_run(run, summary, &failures)).collect(),
        settings,
        seconds: started.elapsed().as_secs_f64(),
        jobs,
        threads,
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        let csv = arguments.out.join(CSV);
        let text = format!("{}{:.1} s; {}\n", figures::table(&names, &report.settings), report.seconds, csv.display());
        print(&table::wrapped(&text, table::columns().max(80)))?;
    }
    if interrupt::is_asked() && missing > failures.len() {
        complain(&format!("interrupted with {missing} runs to do; the same command goes on"));
        return Ok(ExitCode::from(interrupt::exit_code()));
    }
    if let Some((name, problem)) = failures.first() {
        complain(&format!("{} of {} runs failed, first {name}: {problem}", failures.len(), open.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// How many runs at a time, and how many threads each of them has: one while there are more runs than cores, and all cores in
/// use where there are fewer.
fn shares(runs: usize, cores: usize, jobs: Option<usize>, threads: Option<usize>) -> (usize, usize) {
    let jobs = jobs.unwrap_or(cores / threads.unwrap_or(1)).min(runs).max(1);
    (jobs, threads.unwrap_or(cores / jobs).max(1))
}

fn words(common: &Common, run: &Run, again: bool, threads: usize) -> Vec<OsString> {
    let mut words = common.words(&run.planned);
    // A run that was broken off goes on where it left checkpoints, in its own folder; else it is done again.
    let goes_on = again && run.has_checkpoints();
    let mut folder = OsString::from(if goes_on { "--resume=" } else { "--out=" });
    folder.push(&run.folder);
    words.push(folder);
    if common.threads.is_none() {
        words.push(format!("--threads={threads}").into());
    }
    if again && !goes_on {
        words.push("--overwrite".into());
    }
    words
}

fn outcome(summary: Option<Summary>) -> String {
    let Some(summary) = summary else { return "done".into() };
    let seconds = summary.seconds.total;
    let figures = match (summary.last, summary.recipe.accuracy_name()) {
        (Some(last), Some("accuracy")) => format!("val acc. {:.2} %, ", 100.0 * last.val_accuracy),
        (Some(last), Some(name)) => format!("val {name} {:.2} %, ", 100.0 * last.val_accuracy),
        (Some(last), None) => {
            let r2 = summary.metrics.get("r2").copied().flatten();
            let r2 = r2.map_or(String::new(), |r2| format!("R2 {r2:.4}, "));
            format!("val loss {}, {r2}", shown_loss(last.val_loss))
        }
        (None, _) => String::new(),
    };
    format!("{figures}{seconds:.1} s")
}

fn of_run(run: &Run, summary: Option<Summary>, failures: &[(String, String)]) -> OfRun {
    let problem = failures.iter().find(|(name, _)| *name == run.planned.name).map(|(_, problem)| problem.clone());
    let status = match (&summary, &problem) {
        (Some(_), _) => Status::Done,
        (None, Some(_)) => Status::Failed,
        (None, None) => Status::Open,
    };
    OfRun {
        name: run.planned.name.clone(),
        settings: figures::values(run),
        status,
        problem,
        last: summary.as_ref().and_then(|summary| summary.last),
        best: summary.as_ref().and_then(|summary| summary.best),
        metrics: summary.as_ref().map(|summary| summary.metrics.clone()).unwrap_or_default(),
        seconds: summary.as_ref().map(|summary| summary.seconds.total),
        weights_sha256: summary.map(|summary| summary.weights_sha256),
    }
}

/// Shards that end at the same time write the same rows or fewer; the last one has them all.
fn write_csv(arguments: &SweepArguments, text: &str) -> Result<()> {
    make_folder(arguments)?;
    whole_file::write(&arguments.out.join(CSV), text.as_bytes())
}

/// Before any run, so that a folder that cannot be made is told once.
fn make_folder(arguments: &SweepArguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.out).map_err(|source| Error::RunFolder {
        path: arguments.out.clone(),
        problem: format!("cannot make this folder ({source}); choose another one (--out DIR)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_cross_validation_are_those_of_its_runs() {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let all = words("--data a.csv --folds 5 --quiet --out=x --out y --outer --folds=3 --json --lr 0.1");
        assert_eq!(
            without(&all, &["--folds", "--out"], &["--json", "--quiet"]),
            words("--data a.csv --outer --lr 0.1")
        );
    }

    #[test]
    fn runs_have_one_thread_while_there_are_more_of_them_than_cores() {
        for (runs, cores, jobs, threads, expected) in [
            (10, 2, None, None, (2, 1)),
            (10, 16, None, None, (10, 1)),
            (3, 16, None, None, (3, 5)),
            (1, 16, None, None, (1, 16)),
            (0, 16, None, None, (1, 16)),
            (10, 16, Some(4), None, (4, 4)),
            (10, 2, Some(4), None, (4, 1)),
            (10, 16, None, Some(4), (4, 4)),
            (10, 2, None, Some(4), (1, 4)),
        ] {
            assert_eq!(shares(runs, cores, jobs, threads), expected, "{runs} {cores} {jobs:?} {threads:?}");
        }
    }
}
