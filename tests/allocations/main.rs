//! What calls the allocator, counted by thread: one program, because it has an allocator of its own. Calls of all threads are
//! counted in `tests/allocations_of_a_team.rs`, where nothing may run beside.

mod counting;
mod losses;
mod of_a_thread;
