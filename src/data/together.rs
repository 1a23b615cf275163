//! Processes that read one set of files together, each a part of every file, and tell each other what they found. It knows
//! neither what carries their words nor what is in the files.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Error, Result};

/// What carries what one process has found to the others.
pub trait Together: fmt::Debug + Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// What each of them has found, by rank. `what` it is has to be the same on all.
    ///
    /// # Errors
    /// Where another has failed, or has come to something else.
    fn gather(&self, what: &'static str, own: &[u8]) -> Result<Vec<Vec<u8>>>;
}

/// One reading of a set of files, from the first to the last of its samples. What has been read for it stays in memory as
/// long as the reading does.
#[derive(Debug)]
pub struct Reading {
    together: Box<dyn Together>,
    /// The cells of this process's parts; `None` where they are to be read again whenever they are needed.
    kept: Option<Mutex<Vec<Arc<Kept>>>>,
}

/// Rows of a table that follow one another, and their lines in the file.
#[derive(Debug)]
pub(super) struct Kept {
    pub cells: Vec<f32>,
    pub lines: Vec<u32>,
}

impl Reading {
    /// By those who are `together`; with their parts of tables in memory until it ends, or without.
    pub fn new(together: impl Together + 'static, keeps_rows: bool) -> Arc<Reading> {
        Arc::new(Reading { together: Box::new(together), kept: keeps_rows.then(Mutex::default) })
    }

    pub(super) fn keeps_rows(&self) -> bool {
        self.kept.is_some()
    }

    /// Has the rows in memory until the reading ends.
    pub(super) fn keep(&self, rows: Kept) -> Weak<Kept> {
        let rows = Arc::new(rows);
        if let Some(kept) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&rows));
        }
        Arc::downgrade(&rows)
    }

    /// This process's number, from 0.
    pub(super) fn rank(&self) -> usize {
        self.together.rank()
    }

    /// How many there are.
    pub(super) fn size(&self) -> usize {
        self.together.size()
    }

    /// What each process has found, by rank.
    pub(super) fn gather(&self, what: &'static str, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.together.gather(what, own)
    }

    /// The same of numbers: one rank's after the other's.
    pub(super) fn gather_numbers(&self, what: &'static str, own: &[f32]) -> Result<Vec<f32>> {
        Ok(self.gather(what, &to_bytes(own))?.iter().flat_map(|of_rank| numbers(of_rank)).collect())
    }
}

/// Numbers as they are told.
pub(super) fn to_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Numbers that were told; what is no whole number at the end is left out.
pub(super) fn numbers(told: &[u8]) -> impl Iterator<Item = f32> {
    told.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// The same of whole numbers.
pub(super) fn whole_numbers(told: &[u8]) -> impl Iterator<Item = u32> {
    told.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The error that another process has told what fits nothing here.
pub(super) fn other_data(what: &str) -> Error {
    let problem = format!("the ranks have found different data ({what}); give all ranks the same files");
    Error::Ranks { problem }
}

/// Processes that are threads of the tests.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::{Arc, Barrier, Mutex};

    use super::{Reading, Together};
    use crate::error::Result;

    /// What a thread has told, and what it is.
    type Told = Mutex<(&'static str, Vec<u8>)>;

    #[derive(Debug)]
    struct Thread {
        rank: usize,
        told: Arc<Vec<Told>>,
        all_are_here: Arc<Barrier>,
    }

    impl Together for Thread {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.told.len()
        }

        fn gather(&self, what: &'static str, own: &[u8]) -> Result<Vec<Vec<u8>>> {
            *self.told[self.rank].lock().unwrap() = (what, own.to_vec());
            self.all_are_here.wait();
            let all: Vec<_> = self.told.iter().map(|told| told.lock().unwrap().clone()).collect();
            assert!(all.iter().all(|(told, _)| *told == what), "{what} is not told at the same time");
            self.all_are_here.wait();
            Ok(all.into_iter().map(|(_, bytes)| bytes).collect())
        }
    }

    /// What each of `size` processes makes of a reading. All must fail or none, as none hears that another has.
    pub fn run<T: Send>(size: usize, keeps_rows: bool, work: impl Fn(Arc<Reading>) -> T + Sync) -> Vec<T> {
        let told = Arc::new((0..size).map(|_| Told::default()).collect::<Vec<_>>());
        let all_are_here = Arc::new(Barrier::new(size));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|rank| {
                    let thread = Thread { rank, told: Arc::clone(&told), all_are_here: Arc::clone(&all_are_here) };
                    let work = &work;
                    scope.spawn(move || work(Reading::new(thread, keeps_rows)))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}
