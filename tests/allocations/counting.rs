//! An allocator that counts allocations, by thread and in all. It knows nothing of what is counted.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hands everything on to the system's allocator.
struct Counting;

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

static ALL: AtomicU64 = AtomicU64::new(0);

/// How often this thread has asked for memory.
pub fn calls_of_this_thread() -> u64 {
    OWN.get()
}

/// How often any thread has.
pub fn calls_of_all_threads() -> u64 {
    ALL.load(Ordering::SeqCst)
}

/// How often this thread allocates in `work`, and what that returns.
pub fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = calls_of_this_thread();
    let value = work();
    (calls_of_this_thread() - before, value)
}

fn count() {
    ALL.fetch_add(1, Ordering::SeqCst);
    // A thread that is being torn down has no counter of its own any more, and no test waits for its count.
    let _ = OWN.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed on unchanged; counting touches an atomic and a thread-local `Cell` that never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
