//! The fault matrix: every way in which etcd fails, against a real service that watches it.
//!
//! [`FAULTS`] must be seen and recovered from in time; [`CALM`] must pass unnoticed.

mod calm;
mod cluster;
mod fault;
mod service;
mod stall;

use std::path::Path;

pub use calm::{CALM, Calm};
pub use fault::{FAULTS, Row, Try};

use overwatch_marked::Marked;
use overwatch_test_support::etcd::Version;

/// The etcd versions by name: `3.4` is the one on the path, which is of that version on Debian 12;
/// `3.5` is the one that a script fetches. What is printed is what they say of themselves.
pub const VERSIONS: [&str; 2] = ["3.4", "3.5"];

/// One of the two tables of the matrix.
#[derive(Clone, Copy, Debug)]
pub enum Table {
    /// Of [`FAULTS`].
    Faults,
    /// Of [`CALM`].
    Calm,
}

impl Table {
    /// The two lines above its rows.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Faults => {
                "\
| etcd | members | fault | class | not ready after, s | allowed | ready after healing, s | allowed | false trips | kept |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            }
            Self::Calm => {
                "\
| etcd | members | what | times | trips | failures reported | kept |
| --- | --- | --- | --- | --- | --- | --- |"
            }
        }
    }

    /// Puts rows that were measured on a version into a document, in the place of those about the same.
    ///
    /// # Errors
    ///
    /// If the document cannot be read or written, or has no such table.
    pub fn write(self, document: &Path, version: &str, rows: &[String]) -> Result<(), String> {
        let what = match self {
            Self::Faults => "faults",
            Self::Calm => "calm",
        };
        let table = Marked {
            name: &format!("{what} on etcd {version}"),
            heading: self.heading(),
            // How many members, and what: the first cell has the exact version.
            key: 1..3,
        };
        table.write(document, rows)
    }
}

/// One line of the matrix.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The line, as a row of a table.
    pub line: String,
    /// What is not as it must be; empty if all is well.
    pub wrong: Vec<String>,
}

impl Seen {
    /// With a last cell that says whether all is as it must be.
    fn new(line: String, wrong: Vec<String>) -> Self {
        let kept = if wrong.is_empty() { "yes" } else { "**no**" };
        let line = format!("{line} {kept} |");
        Self { line, wrong }
    }
}

fn version(name: &str) -> Version {
    let versions = [Version::V34, Version::V35];
    let found = versions.into_iter().find(|version| version.name() == name);
    found.unwrap_or_else(|| panic!("there is no etcd {name} here, but {VERSIONS:?}"))
}
