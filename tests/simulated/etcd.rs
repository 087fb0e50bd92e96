//! Simulated clusters of etcd, whose members do as they are told.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `store` | keys, revisions, transactions, leases: what raft would have committed; no async code |
//! | `faults` | what can be wrong with a cluster or a member |
//! | `gate` | questions that a test holds up, one by one |
//! | `cluster` | what the members of one cluster share: the store, its faults, the leader's work |
//! | `member` | one member: where it listens, what it counts, when it answers |
//! | `kv`, `lease`, `watch`, `maintenance` | etcd's services on it |

mod cluster;
mod faults;
mod gate;
mod kv;
mod lease;
mod maintenance;
mod member;
mod store;
mod watch;

#[cfg(test)]
pub(crate) use cluster::Stored;
pub(crate) use cluster::{Cluster, Settings};
pub(crate) use faults::{Condition, LATE_WAY, Whom};
#[cfg(test)]
pub(crate) use gate::{Hold, Question, Side};
pub(crate) use member::{Member, PORT};
