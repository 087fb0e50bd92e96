//! The system's allocator, and what is asked of it while that is counted.

#![allow(
    unsafe_code,
    reason = "a global allocator that counts is unsafe to implement"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Whose allocations are counted: nobody's, everybody's, or those of the thread with this number. Off
/// while time is measured: it is one load then, for all alike.
static COUNTED: AtomicI32 = AtomicI32::new(OFF);
const OFF: i32 = 0;
const ALL: i32 = -1;
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
    COUNTED.store(ALL, Relaxed);
}

/// Counts no more.
pub(crate) fn end() -> Counted {
    COUNTED.store(OFF, Relaxed);
    so_far()
}

pub(crate) fn so_far() -> Counted {
    Counted {
        allocations: ALLOCATIONS.load(Relaxed),
        held: HELD.load(Relaxed),
        peak: PEAK.load(Relaxed),
    }
}

/// How many traces are kept of where one thread allocates.
const TRACES: usize = 64;
static TRACED: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// The number that the system gave to this thread, once it was asked for.
    static NUMBER: Cell<i32> = const { Cell::new(OFF) };
    /// Whether this thread takes a trace, for which it allocates.
    static TRACES_NOW: Cell<bool> = const { Cell::new(false) };
}

/// Counts the allocations of one thread from now on, from zero, by the number that the system gave to it.
pub(crate) fn begin_of(thread: i32) {
    assert!(thread > 0, "no thread has this number");
    ALLOCATIONS.store(0, Relaxed);
    COUNTED.store(thread, Relaxed);
}

/// Whether the allocations of the present thread are the ones that are counted.
pub(crate) fn is_counted() -> bool {
    COUNTED.load(Relaxed) == number()
}

/// Counts no more, and says where that thread allocated.
pub(crate) fn end_of() -> (u64, Vec<Backtrace>) {
    COUNTED.store(OFF, Relaxed);
    let traces = mem::take(&mut *TRACED.lock().expect("it does not panic"));
    (ALLOCATIONS.load(Relaxed), traces)
}

fn number() -> i32 {
    NUMBER.with(|number| {
        if number.get() == OFF {
            number.set(rustix::thread::gettid().as_raw_nonzero().get());
        }
        number.get()
    })
}

/// One more allocation of the thread that is counted.
fn trace() {
    if TRACES_NOW.replace(true) {
        return;
    }
    ALLOCATIONS.fetch_add(1, Relaxed);
    if let Ok(mut traced) = TRACED.lock()
        && traced.len() < TRACES
    {
        traced.push(Backtrace::force_capture());
    }
    TRACES_NOW.set(false);
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

fn took(bytes: usize) {
    match COUNTED.load(Relaxed) {
        OFF => {}
        ALL => {
            ALLOCATIONS.fetch_add(1, Relaxed);
            let held = HELD.fetch_add(bytes as i64, Relaxed) + bytes as i64;
            PEAK.fetch_max(held, Relaxed);
        }
        thread if thread == number() => trace(),
        _ => {}
    }
}

fn gave_back(bytes: usize) {
    if COUNTED.load(Relaxed) == ALL {
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
