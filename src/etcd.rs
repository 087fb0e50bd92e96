//! A [`Probe`](crate::Probe) for etcd, and components for a service whose nodes share work by it
//! (feature `etcd`).
//!
//! - [`EtcdProbe`] sees each way in which etcd fails; the rest of this page is about it.
//! - [`Membership`] makes the node a member of its cluster, under a lease, and feeds the
//!   [fence](crate::Fence).
//! - [`Shards`] spreads work over the members, each shard at one of them at a time.
//!
//! All three take an [`EtcdConfig`]. Membership and shards write below a prefix of yours, and nowhere
//! else; the probe writes nothing:
//!
//! | key | value | there as long as |
//! | --- | --- | --- |
//! | `{prefix}members/{id}` | the metadata | the node is a member |
//! | `{prefix}work/{work}/on/{id}/{lease}` | which list of shards the node has: how many they are, and for named jobs a hash | the node takes part in this work |
//! | `{prefix}work/{work}/list/{hash}` | a list of named jobs: 8 bytes for each name, a hash of it | some node with that list takes part |
//! | `{prefix}work/{work}/shard/{shard}` | the id of who has claimed it; empty when that one has released it and nobody has claimed it since | the lease of who wrote it lives |
//!
//! Every key is bound to the lease of its writer. What else is found there is left alone.
//!
//! # What the probe asks
//!
//! A watch that reports no error proves nothing: it stays quiet when the server hangs, when packets
//! vanish, when the quorum is lost, when the disk stalls and when the store is full. So [`EtcdProbe`]
//! asks for positive evidence, in three layers:
//!
//! | layer | asks | by default every | an answer proves |
//! | --- | --- | --- | --- |
//! | progress | `request_progress` on a watch of its own, with require-leader | 20 s | the connection works, the member serves watches and has a leader |
//! | read | a linearizable get of the sentinel key | 1.4 s | a quorum confirms the leader; and, by its revision and term, that the store is still the same |
//! | write | the list of alarms, of the members in turn | 8 s | a proposal was committed: leader, quorum and disk work; and no alarm is raised |
//!
//! Asking for the alarms goes through raft like a write, and changes nothing: no key, no revision.
//! Nothing is ever written. All in all that is one request a second for a whole cluster.
//!
//! Each member has a client of its own: one client over several endpoints spreads its calls over
//! the dead ones too. One member is asked as long as it answers; when it owes an answer for longer than
//! the latency budget, or its connection breaks, another one is asked at once. An open watch on every
//! member tells when one dies. [`EtcdProbe::endpoints`] and the log say which can be used.
//!
//! # When it is failing
//!
//! Each failure has a class, [`Fault`], and each class a [`Verdict`] that
//! [`EtcdConfig::with_verdict`] changes. The reason begins with the class in words, and ends with what to
//! do.
//!
//! - **At once**, when every endpoint fails beyond doubt (the connection broke and a new one is
//!   refused, credentials are wrong, something else listens there), when an alarm is raised, and when
//!   the store's revision or term goes backwards or its cluster changes: it was wiped, or restored
//!   from a backup, and leases and data are not those of before. The last is told once.
//! - **After the patience** (3.35 s by default), counted from the first question of a layer that is
//!   not answered. A leader election takes two or three seconds, and is no false alarm.
//! - **After three slow answers** in a row, each asked for when the one before had come.
//!
//! It is alive again when every layer has given a good answer. How long etcd must have been alive is
//! for the supervisor to say. While a start depends on it, no patience is shown once it was alive: a
//! question of any layer that fails, or is not answered within the latency budget, is a failure, so
//! that each layer succeeds for the whole window. (Of several members a second one has its turn first,
//! or one that is slow would keep the service down.) And at the end of the window the supervisor asks
//! for one more observation, for which every layer is asked again.
//!
//! # One cluster
//!
//! Every answer of etcd names its cluster. All that is built from clones of one [`EtcdConfig`] tells each other
//! which cluster each endpoint has shown, since each client picks its server by itself, and one URL may lead to
//! several. While any endpoint shows another cluster than the others, or one of them shows two, the probe is failing
//! (`misdirected`, with the ids of both), and no membership takes a lease. What the probe has seen counts as long as
//! its connection is open; what others have seen, for 10 s and twice the shortest `every`.
//!
//! - **The cluster belongs to the lease.** What etcd says to a renewal, a registration, a claim or a release, and
//!   every copy of its keys, is believed only if it comes from the cluster that granted the lease.
//! - **Before a lease is taken** each endpoint that has not answered lately is asked which cluster it is of, for a
//!   second at most.
//! - **After an outage** another cluster in the place of the known one is accepted when all endpoints that answer
//!   agree on it for the whole window. The first time is a `store_reset`, and that it is accepted is logged. At boot
//!   there is no window; if the endpoints have shown two clusters then, the probe waits for one by itself.
//! - [`EtcdConfig::with_expected_cluster`] names the one that is meant, and nothing else is taken for it.
//!
//! The windows are the probe's: give the probe a clone of the configuration that the membership has. A membership
//! without such a probe asks around before it takes a lease, and not again.
//!
//! What stays possible:
//!
//! - One node reaches only the endpoints of one cluster, from the beginning or for a whole window, and another node
//!   only those of the other. Each of them sees one cluster, and both do the work. So name the cluster, and do not put
//!   two clusters behind one name.
//! - Two clusters have the same id, as those have that were started with the same `--initial-cluster` and
//!   `--initial-cluster-token`; with all defaults they are the same. Nothing tells them apart, so give each etcd a
//!   token of its own.
//!
//! # A user with few rights
//!
//! The user needs to read the sentinel key, no more; choose one below a prefix that it may read. Where
//! etcd wants more rights for the list of alarms, that is logged once, and the write path, the space
//! and corruption are not checked: the evidence then says so.
//!
//! # What it does not see
//!
//! - A store that was wiped and has already grown to the revision last seen, or beyond, in the same
//!   term.
//! - That it was led to another cluster than other nodes, if all that it reaches is of that one: see above.
//! - A write that is refused for its own sake: for a key, by a quota of yours, by rights.
//! - What is slow within the latency budget.
//!
//! # What a member costs
//!
//! Five renewals in the life of a lease: for each a stream with two messages, and a linearizable read.
//! A watch of the members, and one for each work; each is checked as often as the lease is renewed, and
//! every 2 s at least, by a read for which etcd looks at all keys of that work. Each change of who runs
//! what is one transaction for up to 100 shards. A start asks each endpoint that nobody has heard of lately for its
//! status, on a connection of its own. A list of named jobs is one record of 8 bytes for each name, which the nodes
//! that have it share.
//!
//! # Threads
//!
//! Where the run has a [thread of its own](crate::Builder::control_thread), the clients share no thread with
//! the service either. Two threads serve all probes, memberships and shards of the process; they are started
//! when they are first needed and end with the process. There are two, because a copy of many keys takes
//! long to read, and no renewal is to wait for it:
//!
//! | thread | what runs there |
//! | --- | --- |
//! | `overwatch-etcd` | the probe; leases: grants, renewals, registration, revocation |
//! | `overwatch-keys` | copies of the members and the claims; claims and releases |
//!
//! So a lease is renewed and etcd is observed in time while the service's tasks keep all workers busy,
//! or block them. What users write is never called, polled or dropped there: the functions of shards run
//! on the service's runtime, as components do, and so does the planning of who runs what. A log
//! subscriber is the user's code as well: what the clients log is written by the log's thread of the run.
//! What the libraries below tell `tracing` on these threads is lost where there is a subscriber. (tracing
//! then knows of two, yours and one that listens to nothing: it asks yours event by event whether it is
//! enabled, and may call its `register_callsite` on these threads, so that must not block.) What they tell
//! the crate `log` (as rustls does at debug level) goes to its logger, which must not block either.
//!
//! In place the clients' tasks are tasks of the runtime that awaits the run, and one that blocks its thread
//! blocks them too; names are looked up by that runtime's blocking threads, and its drop waits for a
//! resolver that hangs.
//!
//! An endpoint's name is looked up on a thread of its own (`overwatch-name`), one for each name at most
//! and 32 for the process, before a client is made. A resolver that never answers holds up nothing: a
//! look-up ends for its caller with the connect timeout (for leases and claims: with half of the time
//! between two renewals, 3 s at most), and neither the end of a run nor that of the process waits for it.
//! The library looks a name up again when it connects, on 8 threads (`overwatch-etcd-b`,
//! `overwatch-keys-b`) at most.
//!
//! # Building
//!
//! etcd-client compiles etcd's protocol files, so this feature needs `protoc` and protobuf's own
//! include files (`protobuf-compiler` and `libprotobuf-dev` on Debian).

#![cfg_attr(
    not(feature = "etcd"),
    allow(
        dead_code,
        unused_imports,
        reason = "what decides is tested without the client, which uses all of it"
    )
)]

mod basics;
mod client;
mod health;
#[cfg(feature = "etcd")]
mod host;
mod membership;
mod probe;
mod records;
mod shards;

pub use basics::{EtcdConfigError, Fault, Verdict};
#[cfg(all(feature = "etcd", feature = "test-util"))]
#[doc(hidden)]
pub use client::{Access, Dial};
#[cfg(feature = "etcd")]
pub use {
    client::{EtcdConfig, Tls},
    membership::{Member, Members, Membership, MembershipBuilder},
    probe::{EndpointStatus, EtcdProbe},
    shards::{Owner, Owners, Shard, ShardLost, Shards},
};
