//! The fault matrix: every way in which etcd fails, against a real service that watches it.
//!
//! [`FAULTS`] must be seen and recovered from in time; [`CALM`] must pass unnoticed.

mod calm;
mod cluster;
mod fault;
mod service;
mod stall;

pub use calm::{CALM, Calm};
pub use fault::{FAULTS, Row, Try};

use overwatch_test_support::etcd::Version;

/// The etcd versions by name: `3.4` is the one on the path, which is of that version on Debian 12;
/// `3.5` is the one that a script fetches. What is printed is what they say of themselves.
pub const VERSIONS: [&str; 2] = ["3.4", "3.5"];

/// The heading of what [`Seen`] prints.
pub const HEADING: &str = "\
| etcd | members | fault | class | not ready after, s | allowed | ready after healing, s | allowed | false trips |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// One line of the matrix.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The line, as a row of a table.
    pub line: String,
    /// What is not as it must be; empty if all is well.
    pub wrong: Vec<String>,
}

fn version(name: &str) -> Version {
    let versions = [Version::V34, Version::V35];
    let found = versions.into_iter().find(|version| version.name() == name);
    found.unwrap_or_else(|| panic!("there is no etcd {name} here, but {VERSIONS:?}"))
}
