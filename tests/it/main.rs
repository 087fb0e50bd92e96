//! The one integration crate.

mod checked;
mod coverage;
mod documents;
mod driver;
mod explored;
mod falsified_runs;
mod fuzzed;
mod gallery;
mod laws;
#[cfg(feature = "shell")]
mod messages;
mod normalization;
mod policy;
mod purity;
mod reference_agrees;
mod rooms;
#[cfg(all(feature = "shell", feature = "test-util"))]
mod shell;
mod snapshot;
mod state_diagram;
mod state_table;
mod stories;
mod surface;
mod undecided;
mod world;
