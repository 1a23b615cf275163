//! `train` over the ranks of MPI: who the others are, whether all were started alike, who says what, and how all end
//! together. It knows processes, not networks.
//!
//! Rank 0 leads: it alone writes files and to the terminal. The others hold the same data and the same network, and wait for a
//! call: to train, or to end.

use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use flatnet::data::{Reading, Together};
use flatnet::run::Recipe;
use flatnet::train::{BatchEnd, Callback, EpochEnd, Thinning, World};
use flatnet::{Error, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::threads::Threads;
use super::{complain, interrupt, sweep, told as told_of};

/// What a launcher tells of how many ranks there are: OpenMPI's, MPICH's and Slurm's PMI, Intel's.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"];
/// What Slurm's PMIx tells, which names a rank only.
const RANK: &str = "PMIX_RANK";

/// What rank 0 has the others do.
pub enum Call {
    /// To train, for so many seconds at most where that is said.
    Train(Option<f64>),
    /// To end with this code.
    End(u8),
}

impl Call {
    const TRAIN: u8 = 0;
    const TRAIN_FOR: u8 = 1;
    const END: u8 = 2;

    fn tell(self, world: &World) {
        let told = match self {
            Call::Train(None) => vec![Self::TRAIN],
            Call::Train(Some(seconds)) => [&[Self::TRAIN_FOR][..], &seconds.to_le_bytes()].concat(),
            Call::End(code) => vec![Self::END, code],
        };
        world.of_first(&told);
    }

    /// What rank 0 tells next.
    pub fn hear(world: &World) -> Call {
        match *world.of_first(&[]) {
            [Self::TRAIN] => Call::Train(None),
            [Self::TRAIN_FOR, ref seconds @ ..] => Call::Train(seconds.try_into().ok().map(f64::from_le_bytes)),
            [Self::END, code] => Call::End(code),
            _ => Call::End(1),
        }
    }
}

/// The ranks that this process was started with; itself alone where no launcher of MPI started it.
///
/// # Errors
/// Where there are several and this program is built without MPI.
pub fn world() -> Result<World> {
    let size = launched();
    // A run of a sweep has no others, whoever started the sweep.
    if sweep::is_run() || (size.is_none() && std::env::var_os(RANK).is_none()) {
        return Ok(World::alone());
    }
    world_of_mpi(size.is_some_and(|size| size > 1))
}

/// How many ranks a launcher of MPI says that it has started; `None` where it says nothing, or there is none.
fn launched() -> Option<usize> {
    SIZES.iter().find_map(|name| std::env::var(name).ok()?.trim().parse().ok())
}

/// For commands that several ranks would do several times, in each other's way.
///
/// # Errors
/// Where a launcher has started several.
pub fn refuse(command: &str) -> Result<()> {
    match launched() {
        Some(size) if size > 1 => Err(Error::Ranks {
            problem: format!(
                "flatnet {command} is not for {size} ranks, which share single trainings only; start it by itself"
            ),
        }),
        _ => Ok(()),
    }
}

#[cfg(feature = "mpi")]
fn world_of_mpi(_: bool) -> Result<World> {
    let world = flatnet::parallel::mpi::world()?;
    if world.is_shared() {
        // A rank that panics would leave the others waiting for it.
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            told(panic);
            flatnet::parallel::mpi::abort(1);
        }));
    }
    Ok(world)
}

#[cfg(not(feature = "mpi"))]
fn world_of_mpi(is_shared: bool) -> Result<World> {
    if is_shared {
        return Err(Error::NotBuiltIn { what: "MPI, whose launcher has started it", feature: "mpi" });
    }
    Ok(World::alone())
}

/// What ranks tell each other: a byte for what it is, and the rest.
const MEETING: u8 = 0;
const READING: u8 = 1;

/// Ranks that read files together. One that fails goes on to the next meeting, where the others join it.
#[derive(Debug)]
struct Readers(World);

impl Together for Readers {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn gather(&self, what: &'static str, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        let before = [&[READING], what.as_bytes(), &[0]].concat();
        let mut all = self.0.all_gather(&[&before, own].concat());
        for told in &mut all {
            if !told.starts_with(&before) {
                // Why another has failed is its own to say.
                let has_failed = told.first() == Some(&MEETING) && told.len() > 1;
                let problem =
                    if has_failed { "" } else { "the ranks have found different data; give all ranks the same files" };
                return Err(Error::Ranks { problem: problem.into() });
            }
            told.drain(..before.len());
        }
        Ok(all)
    }
}

/// A reading by all ranks, with their rows in memory until it ends, or without; `None` where there is one rank.
pub fn reading(world: &World, keeps_rows: bool) -> Option<Arc<Reading>> {
    world.is_shared().then(|| Reading::new(Readers(world.clone()), keeps_rows))
}

/// `outcome` where all ranks have one. Where one has failed all fail, and rank 0 tells why: by the name of the first rank that
/// failed, unless all have failed alike.
pub fn agree<T>(world: &World, outcome: Result<T>) -> Result<T> {
    if !world.is_shared() {
        return outcome;
    }
    let own = outcome.as_ref().err().map_or(String::new(), |error| format!("{}\0{}", world.name(), told_of(error)));
    let own = [&[MEETING], own.as_bytes()].concat();
    // Whoever still reads with the others learns by this that one has failed, and comes to meet them.
    let all = loop {
        let all = world.all_gather(&own);
        if all.iter().all(|told| told.first() == Some(&MEETING)) {
            break all;
        }
    };
    let all: Vec<_> = all.iter().map(|told| String::from_utf8_lossy(&told[1..])).collect();
    let all: Vec<_> = all.iter().map(|told| told.split_once('\0').unwrap_or_default()).collect();
    let Some(&(name, problem)) = all.iter().find(|(_, problem)| !problem.is_empty()) else { return outcome };
    let is_of_all = all.iter().all(|(_, other)| *other == problem);
    let problem = if is_of_all { problem.to_string() } else { format!("{name}: {problem}") };
    if world.rank() == 0 {
        complain(&problem);
    }
    // Where one rank has gone with a failure, its launcher may end the others before they have told.
    world.of_first(&[]);
    Err(outcome.err().unwrap_or(Error::Ranks { problem }))
}

/// What has to be the same on all ranks: names and values.
pub type Identity = Vec<(String, String)>;

/// Where a run's files go and what it prints is rank 0's alone. Data may lie in another place on every machine: what they hold
/// is compared.
const MAY_DIFFER: [&str; 10] =
    ["out", "overwrite", "json", "quiet", "no_report", "threads", "data", "val_data", "targets", "stream"];

/// What a rank trains by but for the data, to be compared with the others'.
pub fn identity(recipe: &Recipe, checkpoint: Option<String>, simd: &str) -> Result<Identity> {
    let failed = |source| Error::Io { path: "the program".into(), action: "read", source };
    let mut identity = vec![("program".to_string(), program().map_err(failed)?)];
    identity.extend(settings(recipe));
    identity.extend([
        ("checkpoint".into(), checkpoint.unwrap_or_default()),
        ("vector instructions (--simd)".into(), simd.into()),
    ]);
    Ok(identity)
}

/// The same of the data, training and validation, and of what they have decided.
pub fn identity_with_data(recipe: &Recipe, [train, val]: [String; 2]) -> Identity {
    let mut identity = vec![("training data".to_string(), train), ("validation data".into(), val)];
    identity.extend(settings(recipe));
    identity
}

fn settings(recipe: &Recipe) -> Identity {
    let Ok(Value::Object(settings)) = serde_json::to_value(recipe) else { return Identity::new() };
    let settings = settings.into_iter().filter(|(name, _)| !MAY_DIFFER.contains(&name.as_str()));
    settings.map(|(name, value)| (format!("--{}", name.replace('_', "-")), value.to_string())).collect()
}

/// Which build this is.
fn program() -> io::Result<String> {
    let bytes = Sha256::digest(std::fs::read(std::env::current_exe()?)?);
    Ok(bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Whether this rank was started as rank 0 was.
pub fn alike(world: &World, own: &Identity) -> Result<()> {
    let bytes = serde_json::to_vec(own).map_err(|error| Error::Ranks { problem: error.to_string() })?;
    let first: Identity = serde_json::from_slice(&world.of_first(&bytes)).unwrap_or_default();
    let value = |identity: &Identity, name: &str| {
        identity.iter().find(|(of, _)| of == name).map_or("nothing".into(), |(_, value)| value.clone())
    };
    let mut names = first.iter().chain(own).map(|(name, _)| name);
    let Some(name) = names.find(|name| value(own, name) != value(&first, name)) else { return Ok(()) };
    let problem = match name.as_str() {
        "program" => "is another build of flatnet than rank 0's; start the same program on all ranks".into(),
        "training data" | "validation data" => format!("has other {name} than rank 0; give all ranks the same files"),
        name => format!(
            "has another {name} than rank 0, {} and not {}; start all ranks with the same settings",
            super::shortened(&value(own, name), super::MAX_VALUE),
            super::shortened(&value(&first, name), super::MAX_VALUE)
        ),
    };
    Err(Error::Ranks { problem })
}

/// How many ranks have the cores of this one. All ranks ask, however each was started.
pub fn on_these_cores(world: &World) -> usize {
    let own = format!("{} {}", world.host(), cores());
    world.all_gather(own.as_bytes()).iter().filter(|other| **other == own.as_bytes()).count()
}

/// Of the cores that so many ranks have in common, one's share, unless a number was asked for.
pub fn threads(threads: Threads, on_these_cores: usize, is_asked: bool) -> Threads {
    if on_these_cores < 2 || is_asked || std::env::var_os("RAYON_NUM_THREADS").is_some() {
        return threads;
    }
    let used = (threads.used / on_these_cores).max(1);
    Threads { asked: used, used, ..threads }
}

/// Which cores the launcher has bound this process to, as Linux tells.
fn cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim().to_string()
}

/// What is told of the ranks at the beginning.
pub fn told(world: &World, threads: usize) -> String {
    let threads = if threads == 1 { "1 thread".into() } else { format!("{threads} threads") };
    format!("{} ranks, {threads} each; this is {}", world.size(), world.name())
}

/// Rank 0's part: `work` calls what it is given before each training; whatever comes of it, the others end with it. What goes
/// wrong has been told.
pub fn lead(world: &World, work: impl FnOnce(&dyn Fn(Option<f64>)) -> Result<ExitCode>) -> Result<ExitCode> {
    if !world.is_shared() {
        return work(&|_| ());
    }
    let outcome = work(&|seconds| Call::Train(seconds).tell(world));
    match &outcome {
        // These come to all ranks alike, or have a name already; the rest is this rank's alone, which writes the files.
        Err(error @ (Error::NonFinite { .. } | Error::Ranks { .. })) => complain(&told_of(error)),
        Err(error) => complain(&format!("{}: {}", world.name(), told_of(error))),
        Ok(_) => {}
    }
    let code = match outcome {
        Ok(ExitCode::SUCCESS) => 0,
        _ => interrupt::code_if_asked().max(1),
    };
    Call::End(code).tell(world);
    outcome
}

/// Whether a signal came to any rank is known to all.
pub fn signal(world: &World) {
    let came = world.largest(interrupt::came());
    if came > 0 {
        interrupt::ask_by(came);
    }
}

/// What the others do while they train.
pub struct Follower {
    /// As rank 0 does it, so that memory does not grow with the run.
    pub thinning: Thinning,
    /// Of an epoch: of training, of validation.
    pub batches: [usize; 2],
}

impl Callback for Follower {
    fn within_batch(&mut self) -> ControlFlow<()> {
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn after_batch(&mut self, _: &BatchEnd) -> ControlFlow<()> {
        self.within_batch()
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        let [train, val] = self.batches;
        self.thinning.after_epoch(&mut end.state.history, train, val);
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
