//! The library as its callers use it, and the rules of its sources. One program, because each is linked on its own.

mod architecture;
mod at_the_door;
mod by_hand;
mod determinism;
mod golden;
mod golden_metrics;
mod gradients;
mod idx_faults;
mod make_synthetic;
mod resume;
mod training;
mod watching;
