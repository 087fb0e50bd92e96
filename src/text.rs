//! Texts of errors, observations and notes, as they are shown: in one line, of limited length, without secrets, and
//! nothing said twice.
//!
//! These texts are made by code of the user, and of libraries. They end up in logs, on status pages and in panic
//! messages. So each of them passes [`redact`] once, before it is kept.

mod chain;
mod redact;

pub(crate) use chain::{add_source, say_once};
pub(crate) use redact::{MOST_READ, redact};
