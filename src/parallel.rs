//! Threads: the one room that names rayon. It knows how work is shared out, not what the work is.

use std::sync::Mutex;

use rayon::prelude::*;

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

/// A fixed number of threads of its own, so that two teams never wait for each other's.
#[derive(Debug)]
pub struct Team {
    threads: usize,
    /// None for one thread: everything runs on the caller's.
    pool: Option<rayon::ThreadPool>,
}

impl Team {
    /// Starts `threads` threads; an error where there are none or the system gives no more.
    pub fn new(threads: usize) -> Result<Self> {
        /// More is a slip: no machine has as many cores, and each thread costs memory.
        const MAX_THREADS: usize = 4096;
        if threads == 0 || threads > MAX_THREADS {
            let expected = format!("a number from 1 to {MAX_THREADS}");
            return Err(Error::Setting { name: "threads", found: threads.to_string(), expected });
        }
        let build = || rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = (threads > 1).then(build).transpose();
        let pool = pool.map_err(|error| Error::Threads { threads, problem: error.to_string() })?;
        Ok(Team { threads, pool })
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
        let Some(pool) = &self.pool else {
            for (index, chunk) in items.chunks_mut(chunk_len).enumerate() {
                work(&mut states[0], index * chunk_len, chunk);
            }
            return;
        };
        // Never contended: a thread takes its own state only.
        let states: Vec<Mutex<&mut S>> = states.iter_mut().map(Mutex::new).collect();
        pool.install(|| {
            items.par_chunks_mut(chunk_len).enumerate().for_each(|(index, chunk)| {
                let thread = rayon::current_thread_index().unwrap_or(0);
                let mut state = states[thread].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                work(&mut state, index * chunk_len, chunk);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(Team::new(0).unwrap_err().to_string().contains("--threads"));
        assert!(Team::new(1_000_000).unwrap_err().to_string().contains("1000000"));
    }
}
