//! What the fuzz targets check, and how the inputs that are kept are replayed without a fuzzer.
//!
//! | module | checks |
//! | --- | --- |
//! | [`machine`] | any life of the machine, under the laws and beside the reference |
//! | [`policy`] | any number for any knob of a policy |
//! | [`snapshot`] | any snapshot, and the life of a machine that goes on from it |
//! | `endpoints` | any endpoints, user, certificates and numbers for etcd (feature `etcd`) |
//!
//! [`reference`](mod@reference) is the machine a second time, as an oracle. [`replay()`] runs a check on each file of
//! `fuzz/corpus` and `fuzz/regressions`.

#[cfg(feature = "etcd")]
pub mod endpoints;
pub mod machine;
mod plans;
pub mod policy;
pub mod reference;
mod replay;
pub mod snapshot;
mod wild;

pub use replay::{demand, replay};
