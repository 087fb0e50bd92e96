//! The one integration crate.

mod laws;
mod policy;
mod purity;
mod table;
mod world;
