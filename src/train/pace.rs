//! One thread or all of them? Sharing a step pays when the step is long and the cores are free; with a busy neighbour, one
//! thread that has to wait for another can be a hundred times slower. The results are the same bits either way, so the
//! choice is made by the clock. It knows epochs' batches and durations, not what a step computes.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::data::Loader;
use crate::error::Result;
use crate::nn::Sequential;
use crate::nn::reduce::Alone;
use crate::optim::Sgd;
use crate::parallel::{self, Team};
use crate::train::crew::{Budget, Crew};
use crate::train::history::BatchRecord;
use crate::train::pass::{Pass, not_finite};

/// Whether a training step is shared among threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Where it is measured to be faster, and never among more threads than there are cores.
    #[default]
    Measured,
    /// Always, as far as the network's shapes allow: to test and to measure the sharing itself.
    Always,
}

/// Trains epochs, alone or in a crew.
pub(super) struct Pace {
    optimizer: Sgd,
    solo: Pass,
    alone: Alone,
    crew: Option<Crew>,
    sharing: Sharing,
    solo_pace: SoloPace,
    account: Account,
}

/// What a batch takes alone. A neighbour's time slice makes a stretch of batches look three times slower, and the crew would
/// seem to win: so the fastest of the last few stretches counts, and none of them is believed for long.
#[derive(Debug, Clone, Copy)]
struct SoloPace {
    /// Seconds per batch.
    stretches: [f64; 4],
    /// Until when the last one is believed; `None` before the first.
    fresh_until: Option<Instant>,
}

impl SoloPace {
    /// Long enough to time, and a small part of the shortest run.
    const STRETCH: Duration = Duration::from_millis(1);
    /// A stretch is believed for so many times its length: measuring again costs a crew at most that part of what it wins.
    const FRESH: u32 = 100;

    fn new() -> Self {
        SoloPace { stretches: [f64::INFINITY; 4], fresh_until: None }
    }

    fn measure(&mut self, elapsed: Duration, batches: usize) {
        self.stretches.rotate_right(1);
        self.stretches[0] = elapsed.as_secs_f64() / batches as f64;
        self.fresh_until = Instant::now().checked_add(elapsed.saturating_mul(Self::FRESH));
    }

    fn is_fresh(&self) -> bool {
        self.fresh_until.is_some_and(|until| Instant::now() < until)
    }

    fn seconds_per_batch(&self) -> f64 {
        self.stretches.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// What the crew may still lose, in seconds: what it has won so far, and a share of the time spent alone, less what it has
/// lost. So its attempts together cost at most that share of a run, the first one's allowance, and what the last batches
/// before giving up overran; and a crew that has proved faster may be interrupted without being sent to rest.
#[derive(Debug, Clone, Copy)]
struct Account {
    seconds: f64,
    /// Since when the crew rests.
    resting: Instant,
}

impl Account {
    /// Threads that were woken onto one core are parted at a tick of the system's clock, every 1 to 4 ms: an attempt that lasts
    /// half of that often sees one. Little enough that a run of 50 ms hardly feels it.
    const FIRST: f64 = 2e-3;
    /// An attempt with less would say nothing: waking the threads and warming their caches takes 0.1 ms, a short
    /// interruption as long again.
    const LEAST: f64 = 0.5e-3;
    /// More is not saved up, so that a neighbour who comes costs no more. An interruption takes a time slice or two of the
    /// system's, of 3 to 4 ms.
    const MOST: f64 = 10e-3;
    /// Of the time spent alone. With [`Self::LEAST`], an attempt every 20 ms at the most.
    const SHARE: f64 = 1.0 / 40.0;
    /// Short enough that a run of two seconds gets its second core back when a neighbour leaves it.
    const LONGEST_REST: f64 = 0.25;
    /// But at least so many times as long as what was lost: an attempt of a crew whose batches are long loses more.
    const REST_PER_LOSS: f64 = 10.0;

    fn new() -> Self {
        Account { seconds: Self::FIRST, resting: Instant::now() }
    }

    /// What an attempt that starts now may lose; `None` while that is too little.
    fn allowance(&self) -> Option<f64> {
        let seconds = self.seconds + Self::SHARE * self.resting.elapsed().as_secs_f64();
        (seconds >= Self::LEAST).then(|| seconds.min(Self::MOST))
    }

    /// After an attempt that was given `allowance` and lost so much of it; less than nothing is a gain.
    fn settle(&mut self, allowance: f64, lost: f64) {
        let deepest = Self::LEAST - Self::SHARE * Self::LONGEST_REST.max(Self::REST_PER_LOSS * lost);
        self.seconds = (allowance - lost).clamp(deepest, Self::MOST);
        self.resting = Instant::now();
    }
}

impl Pace {
    pub fn new(model: &Sequential, team: &Team, batch_size: usize, optimizer: Sgd, sharing: Sharing) -> Self {
        let cores = match sharing {
            Sharing::Measured => parallel::available_cores(),
            Sharing::Always => usize::MAX,
        };
        let holders = team.threads().min(cores).min(model.max_holders());
        Pace {
            optimizer,
            solo: Pass::new(model),
            alone: Alone::default(),
            crew: (holders > 1).then(|| Crew::new(model, holders, batch_size, optimizer)),
            sharing,
            solo_pace: SoloPace::new(),
            account: Account::new(),
        }
    }

    /// Trains on all batches of `loader` in order and appends their records. `epoch`, from 1, is for the error that a loss
    /// gives which is not a finite number.
    pub fn epoch(
        &mut self,
        model: &mut Sequential,
        team: &Team,
        loader: &Loader<'_>,
        epoch: usize,
        records: &mut Vec<BatchRecord>,
    ) -> Result<()> {
        let first = records.len();
        loop {
            let batches = records.len() - first..loader.batches();
            if batches.is_empty() {
                return Ok(());
            }
            let crew_ran = self.crew_is_fit() && self.run_crew(model, team, loader, batches.clone(), records);
            if !crew_ran {
                self.run_solo(model, loader, batches, records);
            }
            if let Some(record) = records.last()
                && !record.loss.is_finite()
            {
                let batch = records.len() - first - 1;
                let layer = match &self.crew {
                    Some(crew) if crew_ran => crew.first_not_finite(),
                    _ => self.solo.first_not_finite(),
                };
                return Err(not_finite(layer, model, epoch, batch));
            }
        }
    }

    fn crew_is_fit(&self) -> bool {
        match self.sharing {
            Sharing::Always => true,
            Sharing::Measured => self.solo_pace.is_fresh() && self.account.allowance().is_some(),
        }
    }

    /// Runs batches alone: all of them where there is no crew; else until the crew is due, timing them.
    fn run_solo(
        &mut self,
        model: &mut Sequential,
        loader: &Loader<'_>,
        batches: Range<usize>,
        records: &mut Vec<BatchRecord>,
    ) {
        /// Batches that find caches cold and buffers too small; of long batches, the first one.
        const WARM_UP: usize = 4;
        // `first` is how many batches were done when the stretch at hand began; `None` while warming up.
        let (mut started, mut first) = (Instant::now(), None);
        for (done, batch) in (1..).zip(batches) {
            let columns = 0..model.in_features();
            let record = self.solo.train(model, self.optimizer, loader, batch, columns, &mut self.alone);
            records.push(record);
            if !record.loss.is_finite() {
                return;
            }
            if self.crew.is_none() {
                continue;
            }
            let elapsed = started.elapsed();
            let timed = first.map(|first| done - first);
            if elapsed > SoloPace::STRETCH || (timed.is_none() && done == WARM_UP) {
                if let Some(batches) = timed {
                    self.solo_pace.measure(elapsed, batches);
                    if self.crew_is_fit() {
                        return;
                    }
                }
                (started, first) = (Instant::now(), Some(done));
            }
        }
    }

    /// Runs batches in the crew, until it turns out to be slower than one thread. False where there is none.
    fn run_crew(
        &mut self,
        model: &mut Sequential,
        team: &Team,
        loader: &Loader<'_>,
        batches: Range<usize>,
        records: &mut Vec<BatchRecord>,
    ) -> bool {
        let Some(crew) = &mut self.crew else { return false };
        let Sharing::Measured = self.sharing else {
            // However slow, it is never given up: entering the team again would only cost more.
            let budget = Budget { fixed: Duration::MAX, per_batch: Duration::ZERO };
            crew.run(team, model, loader, batches, budget, records);
            return true;
        };
        let Some(allowance) = self.account.allowance() else { return false };
        let solo_seconds = self.solo_pace.seconds_per_batch();
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let budget = Budget { fixed: duration(allowance), per_batch: duration(solo_seconds) };
        let (started, first) = (Instant::now(), records.len());
        crew.run(team, model, loader, batches, budget, records);
        let solo = solo_seconds * (records.len() - first) as f64;
        self.account.settle(allowance, started.elapsed().as_secs_f64() - solo);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_that_was_interrupted_does_not_count() {
        let mut pace = SoloPace::new();
        assert!(!pace.is_fresh());
        for milliseconds in [40, 10, 30, 20] {
            pace.measure(Duration::from_millis(milliseconds), 1000);
        }
        assert!(pace.is_fresh());
        assert_eq!(pace.seconds_per_batch(), 10e-6);
        // The machine has become slower: what was measured before it did is forgotten.
        for _ in 0..3 {
            pace.measure(Duration::from_millis(20), 1000);
        }
        assert_eq!(pace.seconds_per_batch(), 20e-6);
    }

    /// The account as it stands after so many seconds of rest.
    fn rested(account: Account, seconds: f64) -> Account {
        Account { resting: account.resting.checked_sub(Duration::from_secs_f64(seconds)).unwrap(), ..account }
    }

    #[test]
    fn attempts_that_fail_cost_a_share_of_the_time_and_no_more() {
        let mut account = Account::new();
        let (mut alone, mut lost) = (0.0, 0.0);
        while alone < 10.0 {
            if let Some(allowance) = account.allowance() {
                // Given up as soon as the allowance is used up, and a little late.
                account.settle(allowance, allowance + 0.1e-3);
                lost += allowance + 0.1e-3;
            }
            alone += 1e-3;
            account = rested(account, 1e-3);
        }
        assert!(lost <= Account::FIRST + Account::SHARE * alone * 1.01, "{lost}");
    }

    #[test]
    fn a_crew_that_has_won_may_be_interrupted() {
        let mut account = Account::new();
        for _ in 0..5 {
            let allowance = account.allowance().unwrap();
            account.settle(allowance, -3e-3);
        }
        let allowance = account.allowance().unwrap();
        account.settle(allowance, 4e-3);
        assert!(account.allowance().is_some());
    }

    #[test]
    fn a_defeat_is_forgiven_in_time_and_costs_a_tenth_of_it_at_most() {
        for (lost, rest) in [(0.02, 0.25), (0.2, 2.0), (2.0, 20.0)] {
            let mut account = Account::new();
            account.settle(account.allowance().unwrap(), lost);
            assert!(rested(account, rest * 0.99).allowance().is_none(), "{lost}");
            assert!(rested(account, rest * 1.01).allowance().is_some(), "{lost}");
        }
    }
}
