//! The system's allocator, and what is asked of it while that is counted.

#![allow(
    unsafe_code,
    reason = "a global allocator that counts is unsafe to implement"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Off while time is measured: it is one load then, for all alike.
static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes asked for and not given back since the begin of the count.
static HELD: AtomicI64 = AtomicI64::new(0);
/// The most that was held at once.
static PEAK: AtomicI64 = AtomicI64::new(0);

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) allocations: u64,
    pub(crate) held: i64,
    pub(crate) peak: i64,
}

/// Counts from now on, from zero.
pub(crate) fn begin() {
    for count in [&HELD, &PEAK] {
        count.store(0, Relaxed);
    }
    ALLOCATIONS.store(0, Relaxed);
    ON.store(true, Relaxed);
}

/// Counts no more.
pub(crate) fn end() -> Counted {
    ON.store(false, Relaxed);
    so_far()
}

pub(crate) fn so_far() -> Counted {
    Counted {
        allocations: ALLOCATIONS.load(Relaxed),
        held: HELD.load(Relaxed),
        peak: PEAK.load(Relaxed),
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

fn took(bytes: usize) {
    if ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        let held = HELD.fetch_add(bytes as i64, Relaxed) + bytes as i64;
        PEAK.fetch_max(held, Relaxed);
    }
}

fn gave_back(bytes: usize) {
    if ON.load(Relaxed) {
        HELD.fetch_sub(bytes as i64, Relaxed);
    }
}

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave_back(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        gave_back(layout.size());
        took(size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}
