//! Ranks that MPI has started: what carries their numbers. The one room that names the crate `mpi`.

use std::fmt;

use mpi::collective::SystemOperation;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};
use mpi::{Count, Threading};

use super::world::{Transport, World, run_of};
use crate::error::{Error, Result};

/// All ranks that this process was started with, once for a process. The last that goes of what is returned ends MPI, which
/// waits for the other ranks to do the same.
///
/// # Errors
/// Where MPI has been started already, or cannot be used from a process with threads.
pub fn world() -> Result<World> {
    let refuse = |problem: &str| Error::Ranks { problem: problem.into() };
    let (universe, threading) =
        mpi::initialize_with_threading(Threading::Funneled).ok_or_else(|| refuse("MPI has been started already"))?;
    if threading < Threading::Funneled {
        return Err(refuse("this MPI takes no process with threads (MPI_THREAD_FUNNELED)"));
    }
    let communicator = SimpleCommunicator::world();
    let (rank, size) = (communicator.rank() as usize, communicator.size() as usize);
    Ok(World::new(Mpi { rank, size, _universe: universe }))
}

/// Ends all ranks at once, whatever they do; for a process that cannot go on.
pub fn abort(code: i32) -> ! {
    world_communicator().abort(code)
}

/// MPI's world communicator. It is called by the thread that started MPI.
struct Mpi {
    rank: usize,
    size: usize,
    /// Ends MPI, in order with the other ranks, when it is dropped.
    _universe: Universe,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MPI's rank {} of {}", self.rank, self.size)
    }
}

static NOTHING: [u8; 1] = [0];

/// MPI counts in `int`: ranks tell each other less than this at a time.
const MOST: usize = 1 << 30;

fn world_communicator() -> SimpleCommunicator {
    SimpleCommunicator::world()
}

fn counts_and_places(counts: &[usize]) -> (Vec<Count>, Vec<Count>) {
    let places = (0..counts.len()).map(|rank| run_of(counts, rank).start as Count).collect();
    (counts.iter().map(|count| *count as Count).collect(), places)
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn host(&self) -> String {
        mpi::environment::processor_name().unwrap_or_else(|_| "a machine without a name".into())
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let communicator = world_communicator();
        let mut lengths = vec![0_u64; self.size];
        communicator.all_gather_into(&(own.len() as u64), &mut lengths[..]);
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        let mut told: Vec<Vec<u8>> = lengths.iter().map(|length| Vec::with_capacity(*length)).collect();
        let (longest, most) = (lengths.iter().copied().max().unwrap_or(0), MOST / self.size);
        for start in (0..longest).step_by(most) {
            let lengths: Vec<usize> = lengths.iter().map(|length| length.saturating_sub(start).min(most)).collect();
            let (counts, places) = counts_and_places(&lengths);
            let mut all = vec![0_u8; lengths.iter().sum()];
            let own = own.get(start..).map_or(&NOTHING[..0], |own| &own[..lengths[self.rank]]);
            // Where a vector of no bytes points to is OpenMPI's word for something else (MPI_IN_PLACE).
            let own = if own.is_empty() { &NOTHING[..0] } else { own };
            communicator.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], counts, places));
            told.iter_mut().enumerate().for_each(|(rank, told)| told.extend_from_slice(&all[run_of(&lengths, rank)]));
        }
        told
    }

    fn all_gather_floats(&self, own: &[f32], counts: &[usize], all: &mut [f32]) {
        assert!(all.len() < MOST, "ranks tell each other less than {MOST} numbers at a time");
        let (counts, places) = counts_and_places(counts);
        world_communicator().all_gather_varcount_into(own, &mut PartitionMut::new(all, counts, places));
    }

    fn exchange(&self, values: &[f32], counts: &[usize], sends: &[bool], received: &mut [f32]) {
        assert!(
            values.len() < MOST && received.len() < MOST,
            "ranks send each other less than {MOST} numbers at a time"
        );
        let own = run_of(counts, self.rank);
        let count_if = |sends: bool, count: usize| if sends { count as Count } else { 0 };
        let (_, places) = counts_and_places(counts);
        let to: Vec<Count> = counts.iter().map(|count| count_if(sends[self.rank], *count)).collect();
        let from: Vec<Count> = sends.iter().map(|sends| count_if(*sends, own.len())).collect();
        let into: Vec<Count> = (0..self.size).map(|rank| (rank * own.len()) as Count).collect();
        world_communicator().all_to_all_varcount_into(
            &Partition::new(values, to, places),
            &mut PartitionMut::new(received, from, into),
        );
    }

    fn sum_in_any_order(&self, values: &mut [f32]) {
        let mut sum = vec![0.0; values.len()];
        world_communicator().all_reduce_into(values, &mut sum[..], SystemOperation::sum());
        values.copy_from_slice(&sum);
    }

    fn abort(&self, code: i32) -> ! {
        abort(code)
    }
}
