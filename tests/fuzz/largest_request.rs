//! An allocator that remembers the largest request of each thread. It knows nothing of what asks.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Remembering;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Bytes of the largest request since [`forget`].
pub fn of_this_thread() -> usize {
    LARGEST.get()
}

pub fn forget() {
    LARGEST.set(0);
}

fn remember(bytes: usize) {
    // A thread that is being torn down has no memory any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call is handed on unchanged; remembering touches a thread-local `Cell` that never allocates.
unsafe impl GlobalAlloc for Remembering {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        remember(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        remember(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        remember(new_size);
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Remembering = Remembering;

#[test]
fn the_largest_request_is_remembered() {
    forget();
    drop(vec![0_u8; 70_000]);
    drop(vec![0_u8; 100]);
    assert!((70_000..80_000).contains(&of_this_thread()), "{}", of_this_thread());
    forget();
    assert_eq!(of_this_thread(), 0);
}
