//! The processes that train one network together: who they are, and what they can tell each other. It knows bytes and
//! numbers, not what they mean. What carries them is a [`Transport`]: none for a process alone, MPI behind the feature `mpi`.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// What carries bytes and numbers between ranks. Every rank calls the same functions in the same order, from the thread
/// that began the training.
pub trait Transport: fmt::Debug + Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// The machine that this process runs on.
    fn host(&self) -> String;

    /// The bytes of all ranks, by rank; each knows the length of its own only.
    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>>;

    /// The same of numbers: `own.len()` is `counts[rank]`, and `all: [sum of counts]` is overwritten by rank.
    fn all_gather_floats(&self, own: &[f32], counts: &[usize], all: &mut [f32]);

    /// `values`, cut into runs of `counts`, goes to the ranks run by run. `received: [size, counts[rank]]`, overwritten: this
    /// rank's run of each rank, by rank. Of a rank in whose place `sends` says no, what is received has no meaning.
    fn exchange(&self, values: &[f32], counts: &[usize], sends: &[bool], received: &mut [f32]);

    /// Overwrites `values` with their sum over all ranks, in whatever order is fastest: on all ranks the same bits, but others
    /// for another number of them.
    fn sum_in_any_order(&self, values: &mut [f32]);

    /// Ends all ranks at once.
    fn abort(&self, code: i32) -> !;
}

/// The processes that train one network together.
#[derive(Debug, Clone)]
pub struct World(Arc<dyn Transport>);

impl World {
    /// This process and no other.
    pub fn alone() -> Self {
        World(Arc::new(Alone))
    }

    /// Those that `transport` reaches.
    pub fn new(transport: impl Transport + 'static) -> Self {
        World(Arc::new(transport))
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.0.rank()
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Whether there are others.
    pub fn is_shared(&self) -> bool {
        self.size() > 1
    }

    /// The machine that this process runs on.
    pub fn host(&self) -> String {
        self.0.host()
    }

    /// This rank as messages name it.
    pub fn name(&self) -> String {
        format!("rank {} on {}", self.rank(), self.host())
    }

    /// The bytes of all ranks, by rank.
    pub fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.0.all_gather(own)
    }

    /// The largest of the numbers of all ranks, on each of them.
    pub fn largest(&self, own: u8) -> u8 {
        if !self.is_shared() {
            return own;
        }
        self.all_gather(&[own]).into_iter().flatten().max().unwrap_or(own)
    }

    /// The bytes of rank 0, on each.
    pub fn of_first(&self, own: &[u8]) -> Vec<u8> {
        let own = if self.rank() == 0 { own } else { &[] };
        self.all_gather(own).swap_remove(0)
    }

    /// Nothing, unless something has failed on one of the processes, all of which ask: then the failure, which names the rank
    /// and its host where there are several. Where it `is_asked` by none, none is asked.
    pub(crate) fn share_failure(&self, is_asked: bool, own: impl FnOnce() -> Option<Error>) -> Result<()> {
        if !is_asked {
            return Ok(());
        }
        let own = own();
        if !self.is_shared() {
            return own.map_or(Ok(()), Err);
        }
        let told = own.map_or(String::new(), |error| format!("{}: {error}", self.name()));
        match self.all_gather(told.as_bytes()).into_iter().find(|told| !told.is_empty()) {
            Some(told) => Err(Error::Ranks { problem: String::from_utf8_lossy(&told).into_owned() }),
            None => Ok(()),
        }
    }

    /// What carries the numbers.
    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.0
    }

    /// Ends all ranks at once.
    pub fn abort(&self, code: i32) -> ! {
        self.0.abort(code)
    }
}

/// A process without others.
#[derive(Debug)]
struct Alone;

impl Transport for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn host(&self) -> String {
        "this machine".into()
    }

    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        vec![own.to_vec()]
    }

    fn all_gather_floats(&self, own: &[f32], _: &[usize], all: &mut [f32]) {
        all.copy_from_slice(own);
    }

    fn exchange(&self, values: &[f32], _: &[usize], _: &[bool], received: &mut [f32]) {
        received.copy_from_slice(values);
    }

    fn sum_in_any_order(&self, _: &mut [f32]) {}

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

/// Where run `rank` of runs of these lengths begins and ends.
pub(crate) fn run_of(counts: &[usize], rank: usize) -> std::ops::Range<usize> {
    let start = counts[..rank].iter().sum();
    start..start + counts[rank]
}

/// `len` numbers in as many runs as there are ranks, as equal as can be.
pub(crate) fn even_runs(len: usize, size: usize) -> Vec<usize> {
    (0..size).map(|rank| len * (rank + 1) / size - len * rank / size).collect()
}

/// Ranks that are threads of one process: what the tests run on, where there is no MPI.
#[cfg(test)]
pub(crate) mod threads {
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;

    #[derive(Debug)]
    struct Thread {
        rank: usize,
        /// What each rank has left for the others.
        left: Arc<Vec<Mutex<Vec<u8>>>>,
        barrier: Arc<Barrier>,
    }

    /// Runs `work` on `size` ranks at the same time; what each returned, by rank.
    pub fn run<T: Send>(size: usize, work: impl Fn(World) -> T + Sync) -> Vec<T> {
        let left: Arc<Vec<_>> = Arc::new((0..size).map(|_| Mutex::default()).collect());
        let barrier = Arc::new(Barrier::new(size));
        std::thread::scope(|scope| {
            let rank = |rank| Thread { rank, left: Arc::clone(&left), barrier: Arc::clone(&barrier) };
            let work = &work;
            let ranks: Vec<_> = (0..size).map(rank).map(|rank| scope.spawn(move || work(World::new(rank)))).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    impl Transport for Thread {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.left.len()
        }

        fn host(&self) -> String {
            "test".into()
        }

        fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
            *self.left[self.rank].lock().unwrap() = own.to_vec();
            self.barrier.wait();
            let all = self.left.iter().map(|left| left.lock().unwrap().clone()).collect();
            self.barrier.wait();
            all
        }

        fn all_gather_floats(&self, own: &[f32], counts: &[usize], all: &mut [f32]) {
            assert_eq!(own.len(), counts[self.rank]);
            let gathered = self.all_gather(&bytes(own)).concat();
            assert_eq!(gathered.len(), 4 * all.len());
            all.iter_mut().zip(floats(&gathered)).for_each(|(all, value)| *all = value);
        }

        fn exchange(&self, values: &[f32], counts: &[usize], sends: &[bool], received: &mut [f32]) {
            let own = if sends[self.rank] { bytes(values) } else { Vec::new() };
            let run = run_of(counts, self.rank);
            for (rank, values) in self.all_gather(&own).into_iter().enumerate() {
                let into = &mut received[rank * run.len()..][..run.len()];
                into.fill(f32::NAN);
                let of_rank = floats(&values).skip(run.start);
                into.iter_mut().zip(of_rank).for_each(|(into, value)| *into = value);
            }
        }

        fn sum_in_any_order(&self, values: &mut [f32]) {
            let all = self.all_gather(&bytes(values));
            values.fill(0.0);
            for of_rank in all {
                values.iter_mut().zip(floats(&of_rank)).for_each(|(sum, value)| *sum += value);
            }
        }

        fn abort(&self, code: i32) -> ! {
            panic!("rank {} ends all with {code}", self.rank)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_hear_of_each_other() {
        assert_eq!(World::alone().all_gather(b"a"), [b"a"]);
        for size in [1, 2, 5] {
            let told = threads::run(size, |world| {
                let all = world.all_gather(&vec![7; world.rank()]);
                (all, world.largest(world.rank() as u8), world.of_first(&[world.rank() as u8]), world.name())
            });
            for (rank, (all, largest, of_first, name)) in told.into_iter().enumerate() {
                assert_eq!(all, (0..size).map(|rank| vec![7; rank]).collect::<Vec<_>>());
                assert_eq!((largest, of_first, name), (size as u8 - 1, vec![0], format!("rank {rank} on test")));
            }
        }
    }

    #[test]
    fn runs_are_as_equal_as_can_be() {
        assert_eq!(even_runs(10, 3), [3, 3, 4]);
        assert_eq!(even_runs(1, 2), [0, 1]);
        assert_eq!([run_of(&[3, 3, 4], 0), run_of(&[3, 3, 4], 2)], [0..3, 6..10]);
    }
}
