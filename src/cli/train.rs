//! `flatnet train`: settings to a trained model and a run's files, which rank 0 writes where there are several. It knows the
//! order of the steps, not the steps.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use flatnet::data::{Dataset, Preparation, Reading, SampleSize, Scale, Shuffle};
use flatnet::kernels::SimdLevel;
use flatnet::nn::{Init, LayerSpecs, ReluGrad, Sequential};
use flatnet::optim::Settings;
use flatnet::report::{self, Findings};
use flatnet::run::{
    self, Checkpoints, DataSummary, Destination, Ended, Environment, Existing, Moment, Recipe, RunData, SampleKind,
    Saved, Summary, Writer, folder,
};
use flatnet::train::{BatchEnd, BatchRecord, Callback, EpochEnd, Stopped, Thinning, TrainState, World};
use flatnet::{Error, Result, Trainer};

use super::args::TrainArguments;
use super::progress::Progress;
use super::ranks::Call;
use super::resume::Resumed;
use super::tensorboard::EventFiles;
use super::threads::{Threads, threads};
use super::{chosen, complain, interrupt, print, print_json, progress, ranks, sweep, table, tell, told};

pub fn run(arguments: &TrainArguments) -> Result<ExitCode> {
    let world = ranks::world()?;
    let outcome = on_rank(arguments, &world);
    // What goes wrong on one of several ranks has been told.
    if world.is_shared() { Ok(outcome.unwrap_or(ExitCode::FAILURE)) } else { outcome }
}

fn on_rank(arguments: &TrainArguments, world: &World) -> Result<ExitCode> {
    if let Some(folds) = arguments.folds.filter(|_| !world.is_shared()) {
        return sweep::cross_validate(arguments, folds);
    }
    let started = Instant::now();
    let on_these_cores = ranks::on_these_cores(world);
    // Of one process, whoever called tells where in a file of settings a wrong one stands.
    let placed = |error| if world.is_shared() { arguments.origins.place(error) } else { error };
    let asked = ranks::agree(world, Asked::new(arguments, on_these_cores).map_err(placed))?;
    if world.is_shared() {
        // Before they read files together: of a part each.
        let identity = ranks::agree(world, asked.identity())?;
        ranks::agree(world, ranks::alike(world, &identity))?;
    }
    let reading = asked.reading(world);
    let prepared = ranks::agree(world, Prepared::new(arguments, asked, reading.clone(), world).map_err(placed))?;
    let mut digest = None;
    if world.is_shared() {
        let identity = ranks::agree(world, prepared.identity())?;
        ranks::agree(world, ranks::alike(world, &identity))?;
        if let Some(reading) = reading {
            digest = ranks::agree(world, prepared.train.sha256_and_share_not_zero_in(&reading))?;
        }
    }
    if world.rank() > 0 {
        return prepared.follow(world);
    }
    prepared.tell_of_ranks(world);
    ranks::lead(world, |call| prepared.lead(arguments, started, digest, world, call))
}

/// What is asked for, before any data are read.
struct Asked {
    recipe: Recipe,
    resumed: Option<Resumed>,
    threads: Threads,
}

/// So many values are read and digested within a second.
const SOON_READ: usize = 1 << 30;

/// All that is known before the first step, and nothing written yet: the same on every rank.
struct Prepared {
    recipe: Recipe,
    resumed: Option<Resumed>,
    trainer: Trainer,
    train: Dataset,
    val: Dataset,
    rows: run::SampledRows,
    preparation: Option<Preparation>,
    /// Where the data lie.
    place: PathBuf,
}

impl Asked {
    fn new(arguments: &TrainArguments, on_these_cores: usize) -> Result<Asked> {
        if arguments.folds.is_some() {
            let problem = "--folds is many trainings, of which ranks share none; train one --fold I/K after another";
            return Err(Error::Ranks { problem: problem.into() });
        }
        let threads = ranks::threads(threads(arguments.threads)?, on_these_cores, arguments.threads.is_some());
        let resumed = arguments.resume.as_deref().map(Resumed::open).transpose()?;
        let mut recipe = recipe(arguments, &threads);
        if let Some(resumed) = &resumed {
            // What was typed as auto is what suits the network of the run.
            let layers = arguments.layers.clone().map_or_else(|| resumed.checkpoint.recipe.layers.parse(), Ok)?;
            chosen::settle_layers(&mut recipe, arguments, &layers);
            recipe = resumed.recipe(arguments, &recipe)?;
        }
        // What is wrong with a setting is told before the data are read.
        recipe.trainer()?;
        if recipe.stream && recipe.shuffle == Shuffle::Epoch {
            let expected =
                "blocks or never, as samples are read from their files in the order in which they lie (--stream)";
            return Err(Error::Setting { name: "shuffle", found: "epoch".into(), expected: expected.into() });
        }
        Ok(Asked { recipe, resumed, threads })
    }

    /// What has to be the same on all ranks, by name.
    fn identity(&self) -> Result<ranks::Identity> {
        let checkpoint = self.resumed.as_ref().map(|resumed| {
            let state = &resumed.checkpoint.state;
            format!("{} at epoch {}, batch {}", resumed.file.display(), state.epoch, state.batch)
        });
        let simd = SimdLevel::resolve(self.recipe.simd)?.name();
        ranks::identity(&self.recipe, checkpoint, simd)
    }

    /// Of ranks that share each batch, each reads its own samples, and for the others what all need to know.
    fn reading(&self, world: &World) -> Option<Arc<Reading>> {
        let Recipe { parallel, batch_size, shuffle, stream, .. } = &self.recipe;
        let may_read_alone = parallel.may_cut_samples(*batch_size) && *shuffle != Shuffle::Epoch;
        if may_read_alone { ranks::reading(world, !stream) } else { None }
    }
}

impl Prepared {
    /// In a `reading` with others, if there is one. Where a rank fails, the others go on to the next meeting.
    fn new(arguments: &TrainArguments, asked: Asked, reading: Option<Arc<Reading>>, world: &World) -> Result<Prepared> {
        let Asked { mut recipe, resumed, threads } = asked;
        let (samples, place) = match &resumed {
            Some(resumed) => resumed.load(arguments, reading)?,
            None => chosen::load(arguments, &recipe, reading)?,
        };
        if recipe.stream && !(samples.train.can_seek() && samples.train.is_on_disk()) {
            let (name, found) = ("stream", place.display().to_string());
            let expected = "files in which single samples are found: IDX or .npy that is not packed (gzip -d), or, with \
                            --shuffle blocks, a table as text or .npy";
            return Err(Error::Setting { name, found, expected: expected.into() });
        }
        if resumed.is_none() {
            chosen::settle(&mut recipe, arguments, &samples)?;
            if world.rank() == 0 {
                chosen::tell_of(&recipe, arguments, &samples);
            }
        }
        if arguments.data.is_some() {
            recipe.data = place.display().to_string();
        }
        let RunData { train, val, rows, preparation, .. } = samples;
        if let Some(from) = arguments.class_weights.as_deref() {
            let weights = Some(chosen::class_weights(from, &train)?);
            if resumed.is_some() && weights != recipe.class_weights {
                let (found, expected) = (format!("'{}'", from.display()), "the weights of the run that goes on".into());
                return Err(Error::Setting { name: "class_weights", found, expected });
            }
            recipe.class_weights = weights;
        }
        let scale = Scale::fit(recipe.scale, &train)?;
        let (mut train, mut val) = (train.with_scale(scale)?, val.with_scale(scale)?);
        let trainer = recipe.trainer()?.threads(threads.used).sharing(threads.sharing).world(world.clone());
        if !recipe.stream {
            let rows = if train.is_on_disk() {
                trainer.rows_of_rank(&recipe.network(train.features())?, train.len())
            } else {
                None
            };
            train = match rows {
                Some(rows) => train.hold(rows)?,
                None => train.in_memory()?,
            };
            val = val.in_memory()?;
        }
        Ok(Prepared { recipe, resumed, trainer, train, val, rows, preparation, place })
    }

    /// The data, and what they have decided, which has to be the same on all ranks.
    fn identity(&self) -> Result<ranks::Identity> {
        Ok(ranks::identity_with_data(&self.recipe, [self.train.fingerprint()?, self.val.fingerprint()?]))
    }

    /// The network where training begins, and the state of it.
    fn begin(&self) -> Result<(Sequential, TrainState)> {
        match &self.resumed {
            None => {
                let model = self.recipe.network(self.train.features())?;
                let state = TrainState::new(&model, self.trainer.optimizer());
                Ok((model, state))
            }
            Some(Resumed { checkpoint, .. }) => Ok((checkpoint.model.clone(), checkpoint.state.clone())),
        }
    }

    /// Trains whenever rank 0 says so, and ends as it does.
    fn follow(self, world: &World) -> Result<ExitCode> {
        let (mut model, mut state) = ranks::agree(world, self.begin())?;
        let thinning = self.resumed.map_or_else(Thinning::default, |resumed| resumed.checkpoint.thinning);
        let batches = [&self.train, &self.val].map(|set| set.len().div_ceil(self.recipe.batch_size));
        // Who took part is rank 0's to write.
        drop(self.rows);
        let mut follower = ranks::Follower { thinning, batches };
        interrupt::listen();
        loop {
            let seconds = match Call::hear(world) {
                Call::End(code) => return Ok(ExitCode::from(code)),
                Call::Train(seconds) => seconds,
            };
            let trainer = seconds.map_or(self.trainer.clone(), |seconds| self.trainer.clone().max_seconds(seconds));
            // What goes wrong goes wrong on all ranks, and rank 0 tells of it.
            let _ = trainer.fit_from(&mut model, &mut state, &self.train, &self.val, &mut follower);
            ranks::signal(world);
        }
    }

    fn tell_of_ranks(&self, world: &World) {
        if world.is_shared() && !self.recipe.quiet {
            tell("note", &ranks::told(world, self.trainer.threads_used()));
        }
    }

    /// Trains, and writes the run's files. `call` is called before each training, with the seconds that are left of
    /// `--max-seconds`; the other ranks train then as well.
    fn lead(
        self,
        arguments: &TrainArguments,
        started: Instant,
        digest: Option<(String, f64)>,
        world: &World,
        call: &dyn Fn(Option<f64>),
    ) -> Result<ExitCode> {
        let begun = ranks::agree(world, self.begin())?;
        let Prepared { mut recipe, resumed, trainer, train, val, rows, preparation, place } = self;
        let load_seconds = started.elapsed().as_secs_f64();
        let batches = [train.len(), val.len()].map(|samples| samples.div_ceil(recipe.batch_size));

        // From here on the folder is this run's alone.
        let (out, goes_on_there) = match &resumed {
            Some(resumed) => resumed.destination(arguments)?,
            None => (destination(arguments), false),
        };
        let mut writer = Writer::new(out.claim()?)?;
        if goes_on_there && resumed.as_ref().is_some_and(Resumed::was_to_replace) {
            writer.claim().go_on_replacing();
        }
        let folder = writer.folder().to_path_buf();
        recipe.out = folder.display().to_string();
        let (train_sha256, share_not_zero) = match digest {
            Some(digest) => digest,
            None => {
                if train.is_on_disk() && train.len() * train.features() > SOON_READ && !recipe.quiet {
                    tell("note", "reading all training samples once, for their digest in summary.json");
                }
                train.sha256_and_share_not_zero()?
            }
        };
        let data = DataSummary {
            source: train.source().to_string(),
            train_samples: train.len(),
            val_samples: val.len(),
            features: train.features(),
            classes: train.classes(),
            kind: SampleKind::of(&train),
            class_samples: (train.classes() > 0).then(|| chosen::class_samples(&train)),
            folder: run::relative(&folder, &place),
            val_data: recipe.val_data.as_ref().and_then(|path| run::relative(&folder, Path::new(path))),
            targets: recipe.targets.as_ref().and_then(|path| run::relative(&folder, Path::new(path))),
            outputs: Some(train.outputs()),
            class_names: train.class_names().to_vec(),
            share_not_zero: Some(share_not_zero),
            train_sha256: Some(train_sha256),
            val_sha256: Some(val.sha256()?),
        };
        let mut event_files = arguments.tensorboard.as_deref().map(EventFiles::create).transpose()?;
        let mut progress = Progress::new(recipe.epochs, batches[0], recipe.quiet, arguments.log_format);
        if recipe.accuracy_name().is_none() {
            progress = progress.without_accuracy();
            event_files = event_files.map(EventFiles::without_accuracy);
        }
        let keep = recipe.keep_checkpoints.unwrap_or(KEEP_CHECKPOINTS);
        let (checkpoint_folder, mut thinning) = (writer.claim().checkpoints(), Thinning::default());
        let mut checkpoints = Checkpoints::new(checkpoint_folder.clone(), keep);
        let (mut model, mut state) = begun;
        match resumed {
            None => {}
            Some(Resumed { file, checkpoint, .. }) => {
                thinning = checkpoint.thinning;
                if goes_on_there {
                    checkpoints = Checkpoints::resumed(checkpoint_folder, keep, &state);
                }
                writer.resume(&state.history, checkpoint.rows.as_deref(), batches)?;
                for (epoch, record) in (1..).zip(&state.history.epochs) {
                    event_files.iter_mut().for_each(|files| files.epoch(epoch, record));
                }
                progress.goes_on_at(state.epoch + 1, state.batch);
                if !recipe.quiet {
                    tell("note", &format!("going on from {}: {} epochs are done", file.display(), state.epoch));
                }
            }
        }
        let pace = Pace::of(&recipe);
        let keeper = Keeper { checkpoints, recipe: &recipe, data: &data, is_told: false };
        let mut watch = Watch { progress, event_files, writer, thinning, batches, keeper, pace, is_due: false };
        interrupt::listen();
        let training = Instant::now();
        let trained = loop {
            // Of the time that is allowed, what is left.
            let left = |seconds: f64| (seconds - training.elapsed().as_secs_f64()).max(f64::MIN_POSITIVE);
            let trainer =
                recipe.max_seconds.map_or(trainer.clone(), |seconds| trainer.clone().max_seconds(left(seconds)));
            watch.is_due = false;
            call(recipe.max_seconds.map(left));
            let trained = trainer.fit_from(&mut model, &mut state, &train, &val, &mut watch);
            ranks::signal(world);
            if !(watch.is_due && matches!(trained, Ok(Stopped::Callback))) {
                break trained;
            }
            // Broken off for a checkpoint within a long epoch, which goes on.
            watch.checkpoint(&model, &state);
        };
        watch.progress.finish();
        let (stopped, failure) = match trained {
            Ok(Stopped::Patience) => (Ended::Patience, None),
            Ok(Stopped::MaxSeconds) => (Ended::MaxSeconds, None),
            Ok(Stopped::Callback) => (Ended::Interrupted, None),
            Ok(_) => (Ended::Epochs, None),
            Err(error) if state.epoch == 0 => return Err(error),
            Err(error @ Error::NonFinite { .. }) => (Ended::NonFinite, Some(error)),
            Err(error) => {
                // The data fail, not the training, which goes on once they are there again.
                let checkpoint = watch.checkpoint(&model, &state);
                let newest = || watch.keeper.checkpoints.newest().map(Path::to_path_buf);
                let Some(path) = checkpoint.or_else(newest) else { return Err(error) };
                let how = format!("go on with: flatnet train --resume {}", quoted(resume_by(&path, &folder)));
                let problem = format!("the run has ended ({}); {how}", told(&error));
                return Err(Error::RunFolder { path: folder, problem });
            }
        };
        // Training could go on from here, or the run has kept such places before.
        let goes_on = matches!(stopped, Ended::MaxSeconds | Ended::Interrupted);
        let checkpoint =
            if goes_on || failure.is_some() || watch.pace.is_asked() || watch.keeper.checkpoints.newest().is_some() {
                watch.checkpoint(&model, &state)
            } else {
                None
            };
        let Watch { event_files, mut writer, thinning, keeper, .. } = watch;
        // Of this moment, or where none could be written, of an earlier one.
        let checkpoint = checkpoint.or_else(|| keeper.checkpoints.newest().map(Path::to_path_buf));
        if let Some(error) = &failure
            && writer.claim().replaces_a_run()
        {
            let kept = checkpoint.map_or(String::new(), |path| format!("; its last good epoch is {}", path.display()));
            complain(&format!("{}; the run in {} stays{kept}", told(error), folder.display()));
            return Ok(ExitCode::FAILURE);
        }

        // The figures are those of whole epochs, and so is the model. What an epoch that was broken off did is in the checkpoint.
        let (best, last) = (state.best_model(&model), state.whole_model(&model));
        let (model, best_epoch, within) = (last, state.best.as_ref().map(|best| best.epoch), state.batch);
        let mut history = state.history;
        history.train_batches.truncate(history.train_batches.len() - within);
        let environment = Environment {
            load_seconds,
            total_seconds: started.elapsed().as_secs_f64(),
            threads: trainer.threads_used(),
            simd: SimdLevel::resolve(recipe.simd)?.name(),
            kernel: model.kernel_name(),
            stopped,
            best_epoch,
        };
        // Validates once more, for whoever reads of it; the summary itself has figures of labels and values from there.
        let is_read = !(arguments.json && arguments.no_report) || train.classes() == 0;
        let outputs = preparation.as_ref().map(|preparation| &preparation.outputs);
        let found = is_read.then(|| Findings::of(&model, &val, outputs, &rows.val, recipe.batch_size));
        let summary = Summary {
            metrics: found.as_ref().and_then(|found| Some(found.as_ref().ok()?.metrics())).unwrap_or_default(),
            guessing_loss: report::loss_of_one_answer(&*recipe.loss()?, train.targets()),
            ..Summary::new(data.clone(), recipe.clone(), &model, &history, environment)
        };
        // First of all, so that a disk that is full costs no figures; and whoever reads them costs no file.
        let printed = if arguments.json {
            print_json(&summary)
        } else {
            print(&table::of_run(&summary, &history, found_of(&found)))
        };
        let (preparation, class_names) = (preparation.as_ref(), train.class_names());
        let saved = Saved {
            model: &model,
            best: &best,
            history: &history,
            rows: &rows,
            summary: &summary,
            preparation,
            class_names,
        };
        let claim = writer.save(&saved).map_err(|error| match &checkpoint {
            Some(path) => Error::RunFolder {
                path: folder.clone(),
                problem: format!("the run is not written ({error}); it can go on from {}", path.display()),
            },
            None => error,
        })?;
        let warnings = report::warnings(&summary, &history, found_of(&found));
        let mut reported = Ok(());
        if let Some(found) = found {
            reported = report_on(
                arguments,
                &folder,
                &report::Run {
                    name: &folder.display().to_string(),
                    summary: &summary,
                    history: &history,
                    model: &model,
                    image_size: val.image_size(),
                    findings: &found.map_err(|error| error.to_string()),
                },
            );
        }
        drop(claim);
        let listed = if arguments.json { Ok(()) } else { print(&table::of_files(&summary, &history, &folder)) };
        progress::warn(&warnings, arguments.log_format);
        // Last, since a failure here must not cost the run.
        let told_elsewhere = event_files.map_or(Ok(()), |files| files.finish(&history, &thinning, batches));
        let outcome = printed.and(listed).and(reported).and(told_elsewhere);
        let epochs = summary.epochs;
        if let Some(error) = failure {
            warn(&outcome);
            complain(&format!("{}; the {epochs} epochs before it are kept in {}", told(&error), folder.display()));
            return Ok(ExitCode::FAILURE);
        }
        if goes_on {
            warn(&outcome);
            let why = if stopped == Ended::Interrupted { "interrupted" } else { "time was over" };
            let batches = if within == 0 { String::new() } else { format!(" and {within} batches of the next") };
            let how = match &checkpoint {
                Some(path) => format!("go on with: flatnet train --resume {}", quoted(resume_by(path, &folder))),
                None => "there is no checkpoint to go on from".into(),
            };
            let line =
                format!("{why} after epoch {epochs} of {}{batches}, which is kept; {how}", summary.recipe.epochs);
            if stopped == Ended::Interrupted {
                complain(&line);
                return Ok(ExitCode::from(interrupt::exit_code()));
            }
            tell("note", &line);
        }
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

fn found_of(found: &Option<Result<Findings>>) -> Option<&Findings> {
    found.as_ref()?.as_ref().ok()
}

/// Tells of a failure that is not the last word.
fn warn(outcome: &Result<()>) {
    if let Err(error) = outcome {
        tell("warning", &told(error));
    }
}

/// What to give to `--resume`: the run, of which the checkpoint is the newest.
fn resume_by<'a>(checkpoint: &'a Path, folder: &'a Path) -> &'a Path {
    if checkpoint.starts_with(folder) { folder } else { checkpoint }
}

/// As a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,:@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// How many checkpoints are kept unless told otherwise.
const KEEP_CHECKPOINTS: usize = 3;

/// When the next checkpoint is due.
struct Pace {
    every: Option<usize>,
    seconds: Option<f64>,
    /// Of a time that nobody asked for, checkpoints take at most this share.
    most: Option<f64>,
    last: Instant,
}

impl Pace {
    const SECONDS: f64 = 60.0;
    const SHARE: f64 = 0.01;

    fn of(recipe: &Recipe) -> Pace {
        let (every, seconds) = (recipe.checkpoint_every, recipe.checkpoint_seconds);
        let by_default = every.is_none() && seconds.is_none();
        Pace {
            every,
            seconds: if by_default { Some(Self::SECONDS) } else { seconds },
            most: by_default.then_some(Self::SHARE),
            last: Instant::now(),
        }
    }

    /// Whether somebody asked for checkpoints.
    fn is_asked(&self) -> bool {
        self.most.is_none()
    }

    fn is_due_after(&self, epoch: usize) -> bool {
        self.every.is_some_and(|every| epoch.is_multiple_of(every))
            || self.seconds.is_some_and(|seconds| self.last.elapsed().as_secs_f64() >= seconds)
    }

    /// Within an epoch only where the end of one does not come in time.
    fn is_due_within(&self, now: Instant) -> bool {
        self.seconds.is_some_and(|seconds| now.saturating_duration_since(self.last).as_secs_f64() >= 2.0 * seconds)
    }

    /// One has been written, or could not be, which took as long as since `begun`.
    fn done(&mut self, begun: Instant) {
        self.last = Instant::now();
        if let (Some(seconds), Some(share)) = (&mut self.seconds, self.most) {
            *seconds = (begun.elapsed().as_secs_f64() / share).max(Self::SECONDS);
        }
    }
}

/// Writes checkpoints. One that cannot be written is told once, and costs nothing else.
struct Keeper<'a> {
    checkpoints: Checkpoints,
    recipe: &'a Recipe,
    data: &'a DataSummary,
    is_told: bool,
}

impl Keeper<'_> {
    fn write(
        &mut self,
        model: &Sequential,
        state: &TrainState,
        thinning: &Thinning,
        writer: &mut Writer,
    ) -> Option<PathBuf> {
        let Keeper { recipe, data, .. } = *self;
        let rows = if thinning.merged() > 1 { writer.rows().map(Some) } else { Ok(None) };
        let written = rows.and_then(|rows| {
            let rows = rows.as_deref();
            self.checkpoints.write(&Moment { recipe, data, model, state, thinning, rows })
        });
        match written {
            Ok(path) => {
                self.is_told = false;
                Some(path)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tell("warning", &format!("{error}; this checkpoint is left out, those before it stay"));
                }
                None
            }
        }
    }
}

/// What happens while the run trains.
struct Watch<'a> {
    progress: Progress,
    event_files: Option<EventFiles>,
    writer: Writer,
    thinning: Thinning,
    /// Of an epoch: of training, of validation.
    batches: [usize; 2],
    keeper: Keeper<'a>,
    pace: Pace,
    /// Broke for a checkpoint within an epoch.
    is_due: bool,
}

impl Watch<'_> {
    fn checkpoint(&mut self, model: &Sequential, state: &TrainState) -> Option<PathBuf> {
        let begun = Instant::now();
        let written = self.keeper.write(model, state, &self.thinning, &mut self.writer);
        self.pace.done(begun);
        written
    }
}

impl Callback for Watch<'_> {
    fn within_batch(&mut self) -> ControlFlow<()> {
        if interrupt::is_asked() {
            self.is_due = false;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        let now = self.progress.batch(end.epoch, end.batch + 1);
        self.within_batch()?;
        if now.is_some_and(|now| self.pace.is_due_within(now)) {
            self.is_due = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        self.progress.epoch(end.epoch, &end.record, end.model);
        if let Some(files) = &mut self.event_files {
            files.epoch(end.epoch, &end.record);
        }
        let [train, val] = self.batches;
        let history = &mut end.state.history;
        let last = |records: &[BatchRecord], batches: usize| records.len() - batches..records.len();
        let (of_train, of_val) = (last(&history.train_batches, train), last(&history.val_batches, val));
        self.writer.epoch(end.epoch, &history.train_batches[of_train], &history.val_batches[of_val]);
        // All of them are in the file now, so memory need not grow with the run.
        self.thinning.after_epoch(history, train, val);
        if interrupt::is_asked() {
            return ControlFlow::Break(());
        }
        if self.pace.is_due_after(end.epoch) {
            self.checkpoint(end.model, end.state);
        }
        ControlFlow::Continue(())
    }
}

/// The settings as they are known before the data are.
pub(super) fn recipe(arguments: &TrainArguments, threads: &Threads) -> Recipe {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let layers = arguments.layers.as_ref().map_or_else(|| chosen::REFERENCE_LAYERS.into(), LayerSpecs::to_string);
    Recipe {
        data: arguments.data().display().to_string(),
        train_samples: arguments.train_samples.unwrap_or(SampleSize::All),
        val_samples: arguments.val_samples.unwrap_or(SampleSize::All),
        target: arguments.target.clone(),
        task: arguments.task,
        transform: arguments.transform,
        missing: arguments.missing,
        raw_targets: arguments.raw_targets,
        text_columns: arguments.text_columns.clone(),
        header: arguments.header,
        targets: path(&arguments.targets),
        image_size: arguments.image_size.clone(),
        val_split: arguments.val_split,
        val_data: path(&arguments.val_data),
        fold: arguments.fold,
        loss: arguments.loss.clone(),
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        lr: arguments.lr,
        optimizer: arguments.optimizer.clone(),
        optimizer_settings: Settings {
            momentum: arguments.momentum,
            nesterov: arguments.nesterov.then_some(true),
            weight_decay: arguments.weight_decay,
            decay_biases: arguments.no_bias_decay.then_some(false),
            beta1: arguments.beta1,
            beta2: arguments.beta2,
            eps: arguments.eps,
            ..Settings::default()
        },
        clip_norm: arguments.clip_norm,
        lr_schedule: arguments.lr_schedule.clone(),
        warmup_epochs: arguments.warmup_epochs,
        label_smoothing: arguments.label_smoothing,
        class_weights: None,
        seed: arguments.seed,
        shuffle: arguments.shuffle,
        stream: arguments.stream,
        layers,
        init: arguments.init.0.unwrap_or(Init::UnitNorm),
        relu_grad: arguments.relu_grad.0.unwrap_or(ReluGrad::StraightThrough),
        scale: arguments.scale,
        parallel: arguments.parallel,
        reduce: arguments.reduce,
        threads: threads.asked,
        simd: arguments.simd,
        kernel: arguments.kernel,
        out: String::new(),
        overwrite: arguments.overwrite,
        json: arguments.json,
        quiet: arguments.quiet,
        no_report: arguments.no_report,
        patience: arguments.patience,
        min_delta: arguments.min_delta,
        monitor: arguments.monitor,
        max_seconds: arguments.max_seconds,
        checkpoint_every: arguments.checkpoint_every,
        checkpoint_seconds: arguments.checkpoint_seconds,
        keep_checkpoints: arguments.keep_checkpoints,
    }
}

/// Writes the run's page. That of a run before went with it. The run itself is complete and stays.
fn report_on(arguments: &TrainArguments, folder: &Path, run: &report::Run<'_>) -> Result<()> {
    if arguments.no_report {
        return Ok(());
    }
    let written = report::write(folder, run);
    written.map_err(|error| Error::RunFolder {
        path: folder.to_path_buf(),
        problem: format!("the run is complete, but its report is not ({error}); flatnet report tries again"),
    })
}

fn destination(arguments: &TrainArguments) -> Destination {
    match &arguments.out {
        None => Destination::NextBelow(PathBuf::from(folder::RUNS)),
        Some(folder) if arguments.overwrite => Destination::At(folder.clone(), Existing::Replace),
        Some(folder) => Destination::At(folder.clone(), Existing::Refuse),
    }
}
