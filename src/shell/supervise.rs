//! The supervisor: the loop that collects arrivals, asks the decider, and carries out its decisions.

mod executor;
mod held;
mod hold_off_log;
mod inbox;
mod lease_log;
mod notice;
mod publisher;
mod recorded;
mod service_guard;
mod service_watch;
mod step_text;
mod stop_failures;
mod stop_log;
mod supervisor;
mod watchdog;

pub(crate) use supervisor::{Parts, Supervisor};
pub(crate) use watchdog::Watchdog;
