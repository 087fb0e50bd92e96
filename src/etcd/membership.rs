//! The membership of this node: its lease, its registration, and the list of members.

#[cfg(feature = "etcd")]
mod builder;
#[cfg(feature = "etcd")]
mod census;
#[cfg(feature = "etcd")]
mod component;
#[cfg(feature = "etcd")]
mod lease;
mod lease_answer;
#[cfg(feature = "etcd")]
mod lease_session;
mod lease_state;
#[cfg(feature = "etcd")]
mod members;
#[cfg(feature = "etcd")]
mod node;
#[cfg(feature = "etcd")]
mod register;
mod registration;
mod times;
mod wiring;

#[cfg(all(test, feature = "etcd"))]
pub(crate) use lease_state::Lease;
#[cfg(feature = "etcd")]
pub use {
    builder::MembershipBuilder,
    component::Membership,
    members::{Member, Members},
};
#[cfg(feature = "etcd")]
pub(crate) use {
    lease_session::LeaseSession,
    node::{Node, failure},
};
