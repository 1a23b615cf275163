//! One thread or all of them? Sharing a step pays when the step is long and the cores are free; with a busy neighbour, one
//! thread that has to wait for another can be a hundred times slower. The results are the same bits either way, so the
//! choice is made by trial. It knows batches and durations, not what a step computes.

use std::time::{Duration, Instant};

/// Whether a training step is shared among threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Where it is measured to be faster, and never among more threads than there are cores.
    #[default]
    Measured,
    /// Always, as far as the network's shapes allow: to test and to measure the sharing itself.
    Always,
}

/// How long all threads may take for some batches before they are given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub fixed: Duration,
    pub per_batch: Duration,
}

impl Budget {
    /// However long it takes.
    pub const UNLIMITED: Budget = Budget { fixed: Duration::MAX, per_batch: Duration::ZERO };

    /// Whether all threads work together at any price.
    pub fn is_unlimited(&self) -> bool {
        self.fixed == Duration::MAX
    }

    /// After so many batches.
    pub fn after(&self, batches: usize) -> Duration {
        self.per_batch.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).saturating_add(self.fixed)
    }
}

/// What is known of both ways, and what all threads may still lose against one.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// Seconds per batch on one thread in the last few stretches. A neighbour's time slice makes a stretch look three times
    /// slower, so the fastest counts, and none is believed for long.
    one_thread: [f64; 4],
    /// Until when the last stretch is believed; `None` before the first.
    fresh_until: Option<Instant>,
    /// Seconds that all threads may lose: an advance, and what they have won since.
    balance: f64,
    /// Before that, no other attempt.
    rest_until: Instant,
}

impl Trial {
    /// A stretch of batches on one thread that is long enough to time, and a small part of the shortest epoch: the recipe's takes
    /// 6 ms.
    pub const STRETCH: Duration = Duration::from_micros(250);
    /// So long the others may take to come, while the first thread goes on. Threads that were woken onto one core are parted at a
    /// tick of the system's clock, every 1 to 4 ms.
    pub const PATIENCE: Duration = Duration::from_millis(6);
    /// A stretch is believed for so many times its length: measuring again costs at most that part of what is won.
    const FRESH: u32 = 100;
    /// Threads that all run when they start lose nothing unless they are interrupted, or sharing does not pay: half a time slice of
    /// the system's is enough to see either. Little enough that a run of 50 ms hardly feels it.
    const ADVANCE: f64 = 2e-3;
    /// With less an attempt would say nothing: waking the threads and warming their caches takes 0.1 ms, a short
    /// interruption as long again.
    const LEAST: f64 = 0.5e-3;
    /// More is not saved up, so that a neighbour who comes costs no more; an interruption takes a time slice or two of the
    /// system's, of 3 to 4 ms, and threads that have proved faster are not given up for one.
    const MOST: f64 = 10e-3;
    /// An attempt that failed is followed by a rest of so many times what the next one may lose, and what the last one overran:
    /// so attempts cost 1/40 of a run at most, and the advance.
    const REST_PER_LOSS: f64 = 40.0;
    /// Where the others did not come, another process has their cores. The rest is so many times what they were waited for: they
    /// take time from that process meanwhile.
    const REST_PER_WAIT: u32 = 8;

    pub fn new() -> Self {
        Trial { one_thread: [f64::INFINITY; 4], fresh_until: None, balance: Self::ADVANCE, rest_until: Instant::now() }
    }

    /// A stretch on one thread has ended.
    pub fn one_thread_took(&mut self, elapsed: Duration, batches: usize) {
        self.one_thread.rotate_right(1);
        self.one_thread[0] = elapsed.as_secs_f64() / batches as f64;
        self.fresh_until = Instant::now().checked_add(elapsed.saturating_mul(Self::FRESH));
    }

    fn one_thread_seconds(&self) -> f64 {
        self.one_thread.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// What all threads may take, if now is the time to let them try.
    pub fn budget(&self) -> Option<Budget> {
        let now = Instant::now();
        let due = self.fresh_until.is_some_and(|until| now < until) && now >= self.rest_until;
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        due.then(|| Budget { fixed: duration(self.balance), per_batch: duration(self.one_thread_seconds()) })
    }

    /// An attempt has ended, because the batches were done, the budget was used up or the others did not come. Of its batches the
    /// last `shared` were on all threads.
    pub fn all_threads_took(&mut self, elapsed: Duration, batches: usize, shared: usize) {
        let lost = elapsed.as_secs_f64() - self.one_thread_seconds() * batches as f64;
        self.balance = (self.balance - lost).min(Self::MOST);
        if self.balance < Self::LEAST {
            let missing = Self::LEAST - self.balance;
            self.balance = Self::LEAST;
            let rest = Duration::try_from_secs_f64(Self::REST_PER_LOSS * missing);
            // So long that the clock cannot say when it ends: until the end of the run, as good as.
            let rest = rest.unwrap_or(Duration::MAX).min(Duration::from_secs(3600));
            self.rest_until = Instant::now() + rest;
        }
        if shared == 0 {
            self.rest_until = self.rest_until.max(Instant::now() + elapsed * Self::REST_PER_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn measured() -> Trial {
        let mut trial = Trial::new();
        trial.one_thread_took(100 * MS, 10_000);
        trial
    }

    #[test]
    fn a_stretch_that_was_interrupted_does_not_count() {
        let mut trial = Trial::new();
        assert!(trial.budget().is_none());
        for milliseconds in [40, 10, 30, 20] {
            trial.one_thread_took(milliseconds * MS, 1000);
        }
        assert_eq!(trial.budget().unwrap().per_batch, Duration::from_micros(10));
        // The machine has become slower: what was measured before it did is forgotten.
        for _ in 0..3 {
            trial.one_thread_took(20 * MS, 1000);
        }
        assert_eq!(trial.budget().unwrap().per_batch, Duration::from_micros(20));
    }

    /// Attempts that fail, each as soon as its budget is used up and a little late, cost a fortieth of the time between them.
    #[test]
    fn an_attempt_that_fails_is_followed_by_a_rest_of_forty_times_what_it_costs() {
        for late in [Duration::from_micros(100), 20 * MS, 2_000 * MS] {
            let mut trial = measured();
            let budget = trial.budget().unwrap();
            let before = Instant::now();
            trial.all_threads_took(budget.after(5) + late, 5, 5);
            assert!(trial.budget().is_none());
            let cost = Duration::from_micros(500) + late;
            assert!(trial.rest_until >= before + 40 * cost - MS, "{late:?}");
            assert!(trial.rest_until <= Instant::now() + 40 * cost + MS, "{late:?}");
        }
    }

    #[test]
    fn threads_that_have_won_may_be_interrupted_and_those_that_lose_a_little_every_time_are_given_up() {
        let mut trial = measured();
        for _ in 0..3 {
            trial.all_threads_took(6 * MS, 1000, 1000);
        }
        assert_eq!(trial.budget().unwrap().fixed, 10 * MS);
        trial.all_threads_took(14 * MS, 1000, 1000);
        assert_eq!(trial.budget().unwrap().fixed, 6 * MS);
        for _ in 0..6 {
            assert!(trial.budget().is_some());
            trial.all_threads_took(11 * MS, 1000, 1000);
        }
        assert!(trial.budget().is_none());
    }

    /// One thread went on at its own pace meanwhile, so nothing is lost; but the next attempt would end alike.
    #[test]
    fn threads_that_do_not_come_are_left_alone_for_a_while() {
        let mut trial = measured();
        let before = Instant::now();
        trial.all_threads_took(6 * MS, 600, 0);
        assert!(trial.budget().is_none());
        assert!(trial.rest_until >= before + 48 * MS && trial.rest_until <= Instant::now() + 48 * MS);
        // Had they come for the last of the batches, there would be no rest.
        let mut trial = measured();
        trial.all_threads_took(6 * MS, 600, 1);
        assert!(trial.budget().is_some());
    }
}
