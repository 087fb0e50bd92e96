//! Derives the health of etcd from the answers of its members. Pure: the time is a parameter, and there is no I/O.

pub(crate) mod alarms;
mod answer;
mod check;
mod endpoint_state;
mod model;
mod probe_loop;
mod store_identity;
mod verdict;

pub(crate) use answer::{Answer, Store};
pub(crate) use check::CheckKind;
pub(crate) use endpoint_state::EndpointState;
pub(crate) use model::{CheckRequest, Conclusion, HealthModel, HealthWarning};
pub(crate) use probe_loop::{Order, ProbeLoop, SubchannelEvent, SubchannelState, may_be_told};
#[cfg(test)]
pub(crate) use store_identity::Baseline;
