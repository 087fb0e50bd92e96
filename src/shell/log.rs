//! What is logged, and by whom: never by the thread that decides.

mod queue;
mod run_log;
mod scope;

pub(crate) use run_log::{LOGGED_WITHIN, Log, current, discard, drop_safely, log};
