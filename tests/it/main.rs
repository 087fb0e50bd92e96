//! The one integration crate.

mod laws;
mod policy;
mod purity;
#[cfg(all(feature = "shell", feature = "test-util"))]
mod shell;
mod table;
mod world;
