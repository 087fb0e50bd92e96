//! The log of a run. The thread that decides never writes it itself.

mod queue;
mod run_log;
mod scope;

pub(crate) use run_log::{LOGGED_WITHIN, Log, current, discard, drop_safely, log};
