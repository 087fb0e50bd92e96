//! The one integration crate.

mod bite;
mod laws;
mod policy;
mod purity;
mod reach;
mod stories;
mod table;
mod world;
