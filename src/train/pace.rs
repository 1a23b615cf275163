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
    /// Seconds that a batch takes alone, as last measured.
    solo_seconds: Option<f64>,
    /// The crew was slower so many times in a row.
    defeats: u32,
    /// Until then it is not tried again.
    rest_until: Option<Instant>,
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
            solo_seconds: None,
            defeats: 0,
            rest_until: None,
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
            Sharing::Measured => {
                self.solo_seconds.is_some() && self.rest_until.is_none_or(|until| Instant::now() >= until)
            }
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
        /// Long enough to time, and a small part of what a defeat of the crew costs.
        const STRETCH: Duration = Duration::from_millis(1);
        const WARM_UP: usize = 4;
        let mut started = Instant::now();
        for (done, batch) in batches.enumerate() {
            if done == WARM_UP {
                started = Instant::now();
            }
            let columns = 0..model.in_features();
            let record = self.solo.train(model, self.optimizer, loader, batch, columns, &mut self.alone);
            records.push(record);
            if !record.loss.is_finite() {
                return;
            }
            if self.crew.is_some() && done > WARM_UP && started.elapsed() > STRETCH {
                self.solo_seconds = Some(started.elapsed().as_secs_f64() / (done + 1 - WARM_UP) as f64);
                if self.crew_is_fit() {
                    return;
                }
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
        /// What waking the threads and one short interruption may cost before the batches are counted.
        const FIXED: Duration = Duration::from_micros(300);
        let (solo_seconds, budget) = match self.sharing {
            Sharing::Measured => {
                let solo_seconds = self.solo_seconds.unwrap_or(f64::MAX);
                let per_batch = Duration::try_from_secs_f64(solo_seconds * 1.25).unwrap_or(Duration::MAX);
                (solo_seconds, Budget { fixed: FIXED, per_batch })
            }
            // However slow, it is never given up: entering the team again would only cost more.
            Sharing::Always => (f64::MAX, Budget { fixed: Duration::MAX, per_batch: Duration::ZERO }),
        };
        let (started, first) = (Instant::now(), records.len());
        crew.run(team, model, loader, batches, budget, records);
        let elapsed = started.elapsed();
        let lost = elapsed.as_secs_f64() - solo_seconds * (records.len() - first) as f64;
        if lost > 0.0 {
            /// A defeat costs at most this share of the time until the next attempt; defeats in a row, ever less.
            const SHARE: f64 = 1.0 / 20.0;
            /// Seconds. Short enough that a run of two seconds gets its second core back when a neighbour leaves it.
            const LONGEST_REST: f64 = 0.25;
            let rest = lost / SHARE * f64::from(1 << self.defeats.min(10));
            self.defeats += 1;
            self.rest_until = Some(Instant::now() + Duration::from_secs_f64(rest.min(LONGEST_REST)));
        } else {
            self.defeats = 0;
        }
        true
    }
}
