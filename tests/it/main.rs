//! The one integration crate.

mod bite;
mod laws;
mod policy;
mod purity;
mod stories;
mod table;
mod world;
