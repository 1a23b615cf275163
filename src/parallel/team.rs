//! A fixed set of threads that start, meet and end together. It knows how work is given out, not what the work is.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Threads that a program gets when its user names no number: `RAYON_NUM_THREADS` where it is a positive number, else
/// the cores that this process may use.
pub fn default_threads() -> usize {
    let wished = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.trim().parse().ok());
    wished.filter(|threads| *threads > 0).unwrap_or_else(available_cores)
}

/// The cores that this process may use.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// A fixed number of threads: the caller's and others of the team's own, so that two teams never wait for each other's.
#[derive(Debug)]
pub struct Team {
    threads: usize,
    /// The cores there were when it started.
    cores: usize,
    /// All threads but the caller's; none for a team of one.
    others: Option<rayon::ThreadPool>,
}

impl Team {
    /// Starts a team of `threads` threads; an error where there are none or the system gives no more.
    pub fn new(threads: usize) -> Result<Self> {
        /// More is a slip: no machine has as many cores, and each thread costs memory.
        const MAX_THREADS: usize = 4096;
        if threads == 0 || threads > MAX_THREADS {
            let expected = format!("a number from 1 to {MAX_THREADS}");
            return Err(Error::Setting { name: "threads", found: threads.to_string(), expected });
        }
        let build = || rayon::ThreadPoolBuilder::new().num_threads(threads - 1).build();
        let others = (threads > 1).then(build).transpose();
        let others = others.map_err(|error| Error::Threads { threads, problem: error.to_string() })?;
        Ok(Team { threads, cores: available_cores(), others })
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work(state, first, chunk)` for every run of `chunk_len` items, `first` being the index of its first one.
    ///
    /// Which thread gets which chunk is not fixed, so `work` must not let its result depend on `state`, which is the
    /// thread's own scratch. `states` holds one for each thread.
    ///
    /// # Panics
    /// If there are fewer states than threads.
    pub fn for_each_chunk<S: Send, T: Send>(
        &self,
        states: &mut [S],
        items: &mut [T],
        chunk_len: usize,
        work: impl Fn(&mut S, usize, &mut [T]) + Sync,
    ) {
        assert!(states.len() >= self.threads, "{} states for {} threads", states.len(), self.threads);
        let chunks = items.chunks_mut(chunk_len).enumerate();
        if self.threads == 1 {
            chunks.for_each(|(index, chunk)| work(&mut states[0], index * chunk_len, chunk));
            return;
        }
        let chunks = Mutex::new(chunks);
        let next = || chunks.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
        self.run(&mut states[..self.threads], |_, state| {
            while let Some((index, chunk)) = next() {
                work(state, index * chunk_len, chunk);
            }
        });
    }

    /// Runs `work(member, state)` at the same time for every state, each on a thread of its own, and returns when all are
    /// done. Members can meet at [`Member::wait`].
    ///
    /// The caller's thread is the first member. If it slept meanwhile, the system, having woken the others in a row, would
    /// often leave two of them on one core and the caller's idle, until the next tick of its clock: for longer than an
    /// epoch.
    ///
    /// # Panics
    /// If there are more states than threads, or if `work` panics.
    pub fn run<S: Send>(&self, states: &mut [S], work: impl Fn(&Member<'_>, &mut S) + Sync) {
        assert!(states.len() <= self.threads, "{} states for {} threads", states.len(), self.threads);
        let barrier = Barrier::new(states.len(), self.cores);
        let member = |index: usize| Member { index, barrier: &barrier, round: Cell::new(0) };
        let Some((first, states)) = states.split_first_mut() else { return };
        match &self.others {
            Some(others) if !states.is_empty() => {
                // Never contended: a thread takes its own state only.
                let states: Vec<Mutex<&mut S>> = states.iter_mut().map(Mutex::new).collect();
                others.in_place_scope(|scope| {
                    scope.spawn_broadcast(|_, thread| {
                        if let Some(state) = states.get(thread.index()) {
                            let mut state = state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                            work(&member(thread.index() + 1), &mut state);
                        }
                    });
                    work(&member(0), first);
                });
            }
            _ => work(&member(0), first),
        }
    }
}

/// One of the threads of a [`Team::run`].
#[derive(Debug)]
pub struct Member<'a> {
    index: usize,
    barrier: &'a Barrier,
    round: Cell<u64>,
}

impl Member<'_> {
    /// Its place among the members, from 0: that of its state.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Waits until every member has called this as often. What any of them wrote before is then seen by all.
    ///
    /// # Panics
    /// If another member has panicked and will never come.
    pub fn wait(&self) {
        let round = self.round.get() + 1;
        self.round.set(round);
        self.barrier.wait(self.index, round);
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.barrier.broken.store(true, Ordering::Relaxed);
        }
    }
}

/// How often each member has arrived. A member writes its own count and reads the others', so that meeting costs each
/// of two members one cache line to send and one to receive.
#[derive(Debug)]
struct Barrier {
    arrivals: Vec<Arrivals>,
    /// How often a member looks for another one before it lets others have its processor.
    spins: u32,
    broken: AtomicBool,
}

/// Alone in its pair of cache lines, which hardware fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Arrivals(AtomicU64);

impl Barrier {
    fn new(members: usize, cores: usize) -> Self {
        /// Some tens of microseconds: members that run are never this far apart, so one that is not running is given
        /// the processor.
        const SPINS: u32 = 2_000;
        // Of more members than cores some cannot run before others stop.
        let spins = if members > cores { 0 } else { SPINS };
        let arrivals = (0..members).map(|_| Arrivals::default()).collect();
        Barrier { arrivals, spins, broken: AtomicBool::new(false) }
    }

    fn wait(&self, index: usize, round: u64) {
        self.arrivals[index].0.store(round, Ordering::Release);
        for other in &self.arrivals {
            let mut spins = 0;
            while other.0.load(Ordering::Acquire) < round {
                if spins < self.spins {
                    spins += 1;
                    std::hint::spin_loop();
                } else {
                    assert!(!self.broken.load(Ordering::Relaxed), "another thread of this team has panicked");
                    std::thread::yield_now();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_meet_and_see_what_the_others_wrote() {
        for members in [1, 2, 3, 8] {
            let team = Team::new(members).unwrap();
            let cells: Vec<AtomicU64> = (0..members).map(|_| AtomicU64::new(0)).collect();
            let mut sums = vec![0; members];
            team.run(&mut sums, |member, sum| {
                for round in 1..=100 {
                    cells[member.index()].store(round, Ordering::Relaxed);
                    member.wait();
                    *sum += cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum::<u64>();
                    member.wait();
                }
            });
            assert_eq!(sums, vec![5050 * members as u64; members]);
        }
    }

    #[test]
    fn a_member_that_panics_does_not_leave_the_others_waiting() {
        let team = Team::new(2).unwrap();
        let run = || {
            team.run(&mut [0, 1], |member, state| {
                assert!(*state == 0, "on purpose");
                member.wait();
            });
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }

    #[test]
    fn every_item_is_visited_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let team = Team::new(threads).unwrap();
            for len in [0, 1, 7, 100] {
                let mut items = vec![0; len];
                let mut visits = vec![0; threads];
                team.for_each_chunk(&mut visits, &mut items, 3, |visits, first, chunk| {
                    *visits += chunk.len();
                    for (offset, item) in chunk.iter_mut().enumerate() {
                        *item += first + offset + 1;
                    }
                });
                assert_eq!(items, (1..=len).collect::<Vec<_>>());
                assert_eq!(visits.iter().sum::<usize>(), len);
            }
        }
    }

    #[test]
    fn no_threads_are_refused() {
        assert!(Team::new(0).unwrap_err().to_string().contains("threads: "));
        assert!(Team::new(1_000_000).unwrap_err().to_string().contains("1000000"));
    }
}
