//! The signals that stop the process: SIGTERM and SIGINT; ctrl-c on other systems than Unix.
//!
//! The first signal requests an ordered stop of all runs that listen. The next one ends the process, and so
//! does one that comes after the end of the last run that listened. On Unix the signal handler itself does that,
//! so it works while every thread is blocked.

use std::convert::Infallible;
use std::io;

use crate::shell::failure::StopSignal;

/// The signals that a run listens to. It listens until this is dropped, which must be after the end of the run.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    listening: unix::Listening,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen, on the current runtime.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a signal handler, or the runtime has no I/O.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        unix::handle()?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // Last: before this a signal ends the process, and after it both streams above receive it.
            listening: unix::Listening::begin(),
        })
    }

    /// Completes when the run is to stop, with the signal that asks for it.
    pub(crate) async fn next(&mut self) -> StopSignal {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
        };
        self.listening.told();
        signal
    }

    /// Ends the process at the second signal, if the signal handler does not. Await it together with the
    /// rest of the run, after [`next`](Self::next).
    pub(crate) async fn second(&mut self) -> Infallible {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen. Never fails.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Completes when the run is to stop.
    pub(crate) async fn next(&mut self) -> StopSignal {
        if tokio::signal::ctrl_c().await.is_err() {
            // No signal will come: only the handle can stop the run.
            std::future::pending::<()>().await;
        }
        StopSignal::Interrupt
    }

    /// Ends the process at the second ctrl-c. Await it together with the rest of the run, after
    /// [`next`](Self::next).
    pub(crate) async fn second(&mut self) -> Infallible {
        /// As on Unix: 128 + SIGINT.
        const INTERRUPTED: i32 = 130;
        self.next().await;
        crate::shell::process::exit(INTERRUPTED, "told to stop twice: leaving at once")
    }
}

#[cfg(unix)]
mod unix {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, OnceLock};

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    use crate::shell::sync::lock;

    /// Whether the next signal ends the process. The signal handler reads it, and then sets it.
    ///
    /// Two signals that are handled at the same moment, on two threads, count as one, as two pending signals of
    /// one kind do.
    static ENDS: AtomicBool = AtomicBool::new(true);

    static RUNS: Mutex<Runs> = Mutex::new(Runs {
        told: BTreeMap::new(),
        begun: 0,
    });

    /// Installs the signal handlers, once in the life of the process. They are never removed, because nothing could
    /// restore the handlers from before.
    ///
    /// # Errors
    ///
    /// The same error for all calls: an installation that failed half-way must not be repeated.
    pub(crate) fn handle() -> io::Result<()> {
        static HANDLED: OnceLock<io::Result<()>> = OnceLock::new();
        let handled = HANDLED.get_or_init(|| {
            for signal in [SIGTERM, SIGINT] {
                // In this order, so that a signal does not see the flag that it sets itself.
                flag::register_conditional_shutdown(signal, 128 + signal, &ENDS)?;
                flag::register(signal, &ENDS)?;
            }
            Ok(())
        });
        let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        handled.as_ref().map_err(copy).copied()
    }

    /// The runs that listen.
    struct Runs {
        /// For each run, whether a signal has asked it to stop.
        told: BTreeMap<u64, bool>,
        /// How many runs there were in total.
        begun: u64,
    }

    impl Runs {
        /// Whether the next signal ends the process: a run was asked to stop before, or none listens.
        fn ends(&self) -> bool {
            self.told.is_empty() || self.told.values().any(|&told| told)
        }

        /// Changes the runs, and updates the flag that the signal handler reads.
        fn change<T>(
            &mut self,
            flag: &AtomicBool,
            change: impl FnOnce(&mut BTreeMap<u64, bool>) -> T,
        ) -> T {
            // Only a signal can have set the flag since, and it asked all runs to stop.
            if !self.ends() && flag.load(Ordering::SeqCst) {
                self.told.values_mut().for_each(|told| *told = true);
            }
            let ended = self.ends();
            let changed = change(&mut self.told);
            // Written only on a change, because a signal may set the flag at any moment.
            if ended != self.ends() {
                flag.store(!ended, Ordering::SeqCst);
            }
            changed
        }

        fn begin(&mut self, flag: &AtomicBool) -> u64 {
            let number = self.begun;
            self.begun += 1;
            self.change(flag, |runs| runs.insert(number, false));
            number
        }
    }

    /// A run listens until this is dropped.
    pub(crate) struct Listening(u64);

    impl Listening {
        pub(crate) fn begin() -> Self {
            Self(lock(&RUNS).begin(&ENDS))
        }

        /// Notes that a signal has asked the run to stop.
        pub(crate) fn told(&self) {
            lock(&RUNS).change(&ENDS, |runs| runs.insert(self.0, true));
        }
    }

    impl Drop for Listening {
        fn drop(&mut self) {
            lock(&RUNS).change(&ENDS, |runs| runs.remove(&self.0));
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// The same without a process that ends.
        struct Process {
            flag: AtomicBool,
            runs: Runs,
        }

        impl Process {
            fn new() -> Self {
                let (told, begun) = (BTreeMap::new(), 0);
                Self {
                    flag: AtomicBool::new(true),
                    runs: Runs { told, begun },
                }
            }

            /// What the signal handler does. `true` if that ends the process.
            fn signal(&self) -> bool {
                self.flag.swap(true, Ordering::SeqCst)
            }

            fn begin(&mut self) -> u64 {
                self.runs.begin(&self.flag)
            }

            fn end(&mut self, run: u64) {
                self.runs.change(&self.flag, |runs| runs.remove(&run));
            }
        }

        #[test]
        fn the_second_signal_ends_it_and_so_does_one_without_a_run() {
            let mut process = Process::new();
            assert!(process.signal());
            for _ in 0..3 {
                let run = process.begin();
                assert!(!process.signal());
                assert!(process.signal());
                process.end(run);
                assert!(process.signal());
            }
            let run = process.begin();
            process.end(run);
            assert!(process.signal());
        }

        #[test]
        fn while_one_listens_the_end_of_another_ends_nothing() {
            let mut process = Process::new();
            let (one, other) = (process.begin(), process.begin());
            process.end(one);
            assert!(!process.signal(), "the other has heard none");
            assert!(process.signal());
            process.end(other);
            assert!(process.signal());
        }

        #[test]
        fn a_run_that_begins_while_another_stops_hears_its_own_first_signal() {
            let mut process = Process::new();
            let one = process.begin();
            assert!(!process.signal());
            let other = process.begin();
            assert!(process.signal(), "the second for the first run");
            process.end(one);
            assert!(!process.signal(), "the first for the other one");
            process.end(other);
            assert!(process.signal());
        }

        /// It heard the signal that another run had caught before it began.
        #[test]
        fn a_run_that_was_told_is_not_told_twice() {
            let mut process = Process::new();
            let one = process.begin();
            assert!(!process.signal());
            let other = process.begin();
            process.runs.change(&process.flag, |runs| {
                runs.insert(other, true);
            });
            process.end(one);
            assert!(process.signal());
        }
    }
}
