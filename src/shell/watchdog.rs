//! The fence watchdog: a thread that does without the runtime.
//!
//! A blocked runtime freezes supervisor, health endpoint and timers alike, and then nobody stops
//! work before its lease runs out. A thread of its own does not depend on the runtime.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::lock;
use super::shared::Shared;

/// Aborts the process when the deadline passes and components are still alive.
pub(super) struct Watchdog(Arc<Watched>);

struct Watched {
    shared: Arc<Shared>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    deadline: Option<Instant>,
    /// The run is over: nobody will move the deadline any more.
    over: bool,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The operating system gave no thread.
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let watched = Arc::new(Watched {
            shared,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&watched);
        thread::Builder::new()
            .name("overwatch-fence".into())
            .spawn(move || own.watch())?;
        Ok(Self(watched))
    }

    /// By when all components must be gone; `None` when they are, and no lease is held.
    pub(super) fn set(&self, deadline: Option<Instant>) {
        lock(&self.0.state).deadline = deadline;
        self.0.changed.notify_one();
    }
}

impl Drop for Watchdog {
    /// The thread ends, at once or, if components may still be alive, after its deadline.
    fn drop(&mut self) {
        lock(&self.0.state).over = true;
        self.0.changed.notify_one();
    }
}

impl Watched {
    fn watch(&self) {
        let mut state = lock(&self.state);
        loop {
            let alive = self.shared.any_alive();
            let now = Instant::now();
            match state.deadline {
                Some(deadline) if alive && deadline <= now => abort(),
                Some(deadline) if deadline > now && (alive || !state.over) => {
                    let left = deadline - now;
                    state = self
                        .changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
                _ if state.over => return,
                // Nothing is alive, or no lease was ever taken: wait to be told of the next one.
                _ => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

fn abort() -> ! {
    // Written without the logger, which may be what is blocked.
    let _ = std::io::stderr().write_all(
        b"overwatch: the fence has passed and components are still alive: aborting the process\n",
    );
    std::process::abort()
}
