//! The driver, explored alone: against a view of the machine that moves freely, and arrivals at any
//! moment.
//!
//! The machine keeps its laws under any order, so whatever the driver picks is safe. What recovery and
//! the end rest on is that it picks fairly and invents nothing: see [`laws`].

mod agrees;
mod alone;
mod decider;
mod dry_run;
mod explored;
mod gallery;
mod last_words;
mod laws;
mod pace;
mod product;
mod reference;
pub(crate) mod whole;
mod world;
