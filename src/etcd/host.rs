//! What depends on the machine: clocks, threads and name look-ups; and small containers for shared values.

pub(crate) mod clock;
mod home;
mod latest;
mod names;
mod suspension;
mod uncompared;

pub(crate) use home::{CLIENTS, KEYS};
pub(crate) use latest::Latest;
pub(crate) use names::{NAMES, name_of};
pub(crate) use suspension::{Suspended, by_the_system, moment, suspended_since};
pub(crate) use uncompared::Uncompared;
