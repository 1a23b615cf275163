//! A roll call before threads work together: the first goes on with work of its own until all others are seen to run at the
//! same time as it does. It knows who answers, not what they come for.
//!
//! A thread that is woken may come late, be put onto the core of the one that woke it until the next tick of the system's
//! clock, or find its core taken by another process. Whoever waits for it meanwhile loses as long; whoever works loses nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// Calls are numbered from 1; these two end them.
const START: u64 = u64::MAX;
const OFF: u64 = u64::MAX - 1;
/// The answer of a thread that has left.
const LEFT: u64 = u64::MAX;

/// Alone in its pair of cache lines, which hardware fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Word(AtomicU64);

/// What the caller says, and what each of the others has answered.
#[derive(Debug)]
pub(crate) struct RollCall {
    called: Word,
    answers: Vec<Word>,
}

impl RollCall {
    /// For so many threads, the caller included.
    pub fn new(threads: usize) -> Self {
        RollCall { called: Word::default(), answers: (1..threads).map(|_| Word::default()).collect() }
    }

    /// The first thread's side. Should it panic, the others are sent home.
    pub fn caller(&self) -> Caller<'_> {
        Caller { roll: self, number: 0 }
    }

    /// The side of the member `index`, from 1 on: answers until the caller has decided. Returns whether they start.
    pub fn answer(&self, index: usize) -> bool {
        /// Some tenths of a millisecond, longer than most steps: between two calls a member that runs keeps its core, which others
        /// would not give back before the caller has lost patience.
        const SPINS: u32 = 10_000;
        let answer = &self.answers[index - 1].0;
        let (mut answered, mut spins) = (0, 0);
        loop {
            match self.called.0.load(Ordering::Acquire) {
                START => return true,
                OFF => {
                    answer.store(LEFT, Ordering::Release);
                    return false;
                }
                called if called != answered => {
                    answer.store(called, Ordering::Release);
                    (answered, spins) = (called, 0);
                }
                _ if spins < SPINS => {
                    spins += 1;
                    std::hint::spin_loop();
                }
                _ => std::thread::yield_now(),
            }
        }
    }

    fn all_answered(&self, word: u64) -> bool {
        self.answers.iter().all(|answer| answer.0.load(Ordering::Acquire) == word)
    }
}

/// Whoever calls.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    roll: &'a RollCall,
    number: u64,
}

impl Caller<'_> {
    /// Calls once more; to be done between two pieces of the caller's own work. Returns whether all others run at this moment.
    ///
    /// Who has answered the last call has run since, but perhaps on the core of the caller, while that had to wait. So two
    /// more calls have to be answered at once, under the eyes of the caller.
    pub fn all_run(&mut self) -> bool {
        let at_once = |caller: &mut Self| {
            /// A few microseconds: an answer takes less than one.
            const SPINS: u32 = 300;
            caller.call();
            (0..SPINS).any(|_| {
                std::hint::spin_loop();
                caller.roll.all_answered(caller.number)
            })
        };
        if self.number > 0 && self.roll.all_answered(self.number) {
            return at_once(self) && at_once(self);
        }
        self.call();
        false
    }

    fn call(&mut self) {
        self.number += 1;
        self.roll.called.0.store(self.number, Ordering::Release);
    }

    /// All start. What the caller wrote before is seen by them.
    pub fn start(self) {
        self.roll.called.0.store(START, Ordering::Release);
    }

    /// Sends the others home.
    pub fn call_off(&self) {
        self.roll.called.0.store(OFF, Ordering::Release);
    }

    /// Whether all others have heard that they are sent home.
    pub fn all_left(&self) -> bool {
        self.roll.all_answered(LEFT)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if self.roll.called.0.load(Ordering::Relaxed) != START {
            self.call_off();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::parallel::Team;

    /// Every member says whether it started; the caller calls until `decide` is done with it.
    fn outcomes(threads: usize, decide: impl Fn(Caller<'_>) + Sync) -> Vec<bool> {
        let (team, roll) = (Team::new(threads).unwrap(), RollCall::new(threads));
        let mut started = vec![false; threads];
        team.run(&mut started, |member, started| match member.index() {
            0 => decide(roll.caller()),
            index => *started = roll.answer(index),
        });
        started.split_off(1)
    }

    #[test]
    fn those_who_answer_start_together() {
        let started = outcomes(2, |mut caller| {
            assert!(!caller.all_run(), "nobody has been called yet");
            // Where there is one core, or others have all but one, the other one does not run while this one does.
            let deadline = Instant::now() + Duration::from_secs(2);
            while !caller.all_run() && Instant::now() < deadline {
                (0..1_000).for_each(|_| std::hint::spin_loop());
            }
            caller.start();
        });
        assert_eq!(started, [true]);
    }

    #[test]
    fn those_who_are_sent_home_leave_and_say_so() {
        let started = outcomes(3, |mut caller| {
            caller.all_run();
            assert!(!caller.all_left(), "nobody has been sent home yet");
            caller.call_off();
            while !caller.all_left() {
                std::thread::yield_now();
            }
        });
        assert_eq!(started, [false; 2]);
    }

    #[test]
    fn a_caller_that_is_gone_leaves_nobody_waiting() {
        assert_eq!(outcomes(3, |_caller| ()), [false; 2]);
    }

    /// A call that nobody has answered is no sign of life, however often it is made.
    #[test]
    fn without_an_answer_nobody_runs() {
        let roll = RollCall::new(2);
        let mut caller = roll.caller();
        assert!((0..1_000).all(|_| !caller.all_run()));
        // An answer says that the call was heard, not that the other one still runs: that takes more answers, at once.
        roll.answers[0].0.store(caller.number, Ordering::Release);
        assert!(!caller.all_run());
    }
}
