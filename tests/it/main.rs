//! The one integration crate.

mod bite;
mod laws;
mod policy;
mod purity;
mod reach;
#[cfg(all(feature = "shell", feature = "test-util"))]
mod shell;
mod stories;
mod table;
mod world;
