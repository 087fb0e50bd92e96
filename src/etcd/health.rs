//! What the answers of etcd's members amount to. Pure: it is told the time, and does no I/O.

pub(crate) mod alarms;
mod answer;
mod judge;
mod layer;
mod memory;
mod probe_loop;
mod seat;
mod verdict;

pub(crate) use answer::{Answer, Store};
pub(crate) use judge::{Asked, Judge, Notice, Said};
pub(crate) use layer::Kind;
#[cfg(test)]
pub(crate) use memory::Mark;
pub(crate) use probe_loop::{Event, Order, ProbeLoop, SubchannelState, may_be_told};
pub(crate) use seat::Seat;
