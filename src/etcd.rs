//! A [`Probe`](crate::Probe) for etcd, and components for services whose nodes share work (feature `etcd`).
//!
//! - [`EtcdProbe`] detects each way in which etcd fails. Most of this page is about it.
//! - [`Membership`] makes the node a member of its cluster, under a lease, and feeds the
//!   [fence](crate::Fence).
//! - [`Shards`] spreads work over the members, each shard at one member at a time.
//! - [`PrefixWatch`] keeps the values below a prefix, e.g. a configuration, current in this process.
//!
//! All but the shards, which take a membership, take an [`EtcdConfig`]. Membership and shards write only below a prefix of your choice. The probe
//! and the watch write nothing.
//!
//! | key | value | exists as long as |
//! | --- | --- | --- |
//! | `{prefix}members/{id}` | the metadata | the node is a member |
//! | `{prefix}work/{work}/on/{id}/{lease}` | the list of shards that the node has: their number and, for named jobs, a hash | the node takes part in this work |
//! | `{prefix}work/{work}/list/{hash}` | a list of named jobs: 8 bytes for each name, a hash of it | some node with that list takes part |
//! | `{prefix}work/{work}/shard/{shard}` | the id of the node that has claimed it; empty after a release, until the next claim | the lease of its writer lives |
//!
//! Every key is bound to the lease of its writer. Other keys below the prefix are left alone.
//!
//! # What the probe asks
//!
//! A watch that reports no error proves nothing: it stays quiet when the server hangs, when packets are lost, when
//! the quorum is lost, when the disk stalls and when the store is full. So [`EtcdProbe`] asks for positive
//! evidence, in three checks:
//!
//! | check | request | default interval | an answer proves |
//! | --- | --- | --- | --- |
//! | progress | `request_progress` on a separate watch, with require-leader | 20 s | the connection works, the member serves watches and has a leader |
//! | read | a linearizable get of the sentinel key | 1.4 s | a quorum confirms the leader; its revision and term show that the store is still the same |
//! | write | the list of alarms, from the members in turn | 8 s | a proposal was committed: leader, quorum and disk work; and no alarm is raised |
//!
//! The request for the alarms goes through raft like a write, but it changes no key and no revision. So the probe
//! never writes anything. In total this is one request per second for a whole cluster.
//!
//! Each member has its own client, because one client over several endpoints also sends calls to the dead ones. The
//! probe asks one member as long as that member answers. When an answer takes longer than the latency budget, or
//! the connection breaks, it asks another member at once. A watch is open on every member, so the probe notices
//! when one dies. [`EtcdProbe::endpoints`] and the log show which members can be used.
//!
//! # When it is failing
//!
//! Each failure has a class, [`Fault`], and each class has a [`Verdict`], which [`EtcdConfig::with_verdict`]
//! changes. The reason of a failure begins with the class in words, and ends with advice.
//!
//! - **At once**, when every endpoint fails beyond doubt (the connection broke and a new one is refused, the
//!   credentials are wrong, something other than etcd listens there); when an alarm is raised; and when the store's
//!   revision or term goes backwards or its cluster changes. In that last case the store was wiped or restored from
//!   a backup, and its leases and data are not those of before. This is reported once.
//! - **After the grace period** (3.35 s by default), counted from the first unanswered request of a check. A leader
//!   election takes two or three seconds, so it causes no false alarm.
//! - **After three slow answers** in a row, each to a request that was sent after the previous answer.
//!
//! etcd is alive again when every check has given a good answer. The supervisor decides how long etcd must have been
//! alive before the service starts. Until then no grace period applies once etcd was alive: a request of any check
//! that fails, or is not answered within the latency budget, is a failure. So each check succeeds for the whole
//! window. (If there are several members, a second one is asked first; otherwise one slow member would keep the
//! service down.) At the end of the window the supervisor asks for one more observation, for which the probe asks
//! every check again.
//!
//! # One cluster
//!
//! Every answer of etcd contains the id of its cluster. Each client picks its server by itself, and one URL may lead
//! to several servers. So everything that is built from clones of one [`EtcdConfig`] shares which cluster each
//! endpoint has shown. While one endpoint shows another cluster than the others, or one endpoint shows two clusters,
//! the probe is failing (`misdirected`, with the ids of both), and no membership takes a lease. What the probe has
//! seen counts as long as its connection is open. What others have seen counts for 10 s plus twice the shortest
//! interval.
//!
//! - **A lease is bound to its cluster.** Answers to a renewal, a registration, a claim or a release, and every copy
//!   of etcd's keys, are accepted only from the cluster that granted the lease.
//! - **Before a lease is taken**, each endpoint that has not answered lately is asked for its cluster, for a second
//!   at most.
//! - **After an outage** another cluster in place of the known one is accepted when all endpoints that answer agree
//!   on it for the whole window. When it is first seen, `store_reset` is reported; when it is accepted, that is
//!   logged. At boot the supervisor requires no window. If the endpoints have shown two clusters at boot, the probe
//!   itself waits until they have agreed for one window.
//! - [`EtcdConfig::with_expected_cluster`] sets the id of the intended cluster. No other cluster is accepted then.
//!
//! The probe enforces these windows: give the probe and the membership clones of the same configuration. A
//! membership without such a probe asks the endpoints before it takes a lease, and not again.
//!
//! Two problems remain possible:
//!
//! - One node reaches only the endpoints of one cluster, from the beginning or for a whole window, and another node
//!   reaches only those of another cluster. Each node sees one cluster, and both do the work. So set the expected
//!   cluster, and do not put two clusters behind one name.
//! - Two clusters have the same id. This happens if they were started with the same `--initial-cluster` and
//!   `--initial-cluster-token`, e.g. with all defaults. Nothing distinguishes them, so give each etcd its own token.
//!
//! # A user with few rights
//!
//! The user only needs to read the sentinel key; choose one below a prefix that the user may read. If etcd demands
//! more rights for the list of alarms, this is logged once, and the write path, the space and corruption are not
//! checked. The evidence then says so.
//!
//! # What it does not see
//!
//! - A store that was wiped and has already grown to the last seen revision, or beyond, in the same term.
//! - That its endpoints lead to another cluster than those of other nodes, if all endpoints that it reaches agree:
//!   see above.
//! - A write that is refused for a reason of its own: its key, a quota that you set, or missing rights.
//! - Answers that are slow but within the latency budget.
//!
//! # What a member costs
//!
//! - Five renewals in the lifetime of a lease. Each is a stream with two messages, and a linearizable read.
//! - A watch of the members, and one for each work. Each is checked as often as the lease is renewed, and at least
//!   every 2 s, by a read for which etcd looks at all keys of that work.
//! - One transaction for up to 100 shards when their owners change.
//! - At a start, one status request to each endpoint that has not answered lately, on a separate connection.
//! - For a list of named jobs one record of 8 bytes per name, which all nodes with that list share.
//!
//! # Threads
//!
//! If the run has a [separate thread](crate::Builder::control_thread), the clients share no thread with the service
//! either. Two threads serve everything of this module in the process. They are started when they are first
//! needed, and end with the process. There are two because a copy of many keys takes long to read, and must not
//! delay a renewal:
//!
//! | thread | what runs there |
//! | --- | --- |
//! | `overwatch-etcd` | the probe; leases: grants, renewals, registration, revocation |
//! | `overwatch-keys` | copies of the members, the claims and watched prefixes; claims and releases |
//!
//! So a lease is renewed and etcd is observed in time even while the service's tasks keep all workers busy, or block
//! them. User code is never called, polled or dropped on these threads: the functions of shards, and those that parse
//! values, run on the service's runtime, as components do, and so does the planning of which node runs which shard. A log
//! subscriber is user code too: the log thread of the run writes what the clients log.
//!
//! If there is a subscriber, `tracing` events that the libraries below emit on these threads are lost. (`tracing`
//! then knows two subscribers: yours, and one that ignores everything. It asks yours for each event whether the event
//! is enabled, and may call its `register_callsite` on these threads, so this method must not block.) Events that
//! the libraries send to the crate `log` (e.g. rustls at debug level) go to its logger, which must not block either.
//!
//! If the run is supervised in place, the clients' tasks belong to the runtime that awaits the run. A task that
//! blocks its thread then blocks them too. Names are looked up on that runtime's blocking threads, and the drop of
//! the runtime waits for a resolver that hangs.
//!
//! Before a client is made, the name of its endpoint is looked up on a separate thread (`overwatch-name`): at most
//! one thread for each name, and 32 for the process. A resolver that never answers delays nothing else. For its
//! caller a look-up ends with the connect timeout (for leases and claims: after half of the time between two
//! renewals, at most 3 s). Neither the end of a run nor the end of the process waits for it. The library looks up
//! the name again when it connects, on at most 8 threads (`overwatch-etcd-b`, `overwatch-keys-b`).
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
mod prefix_watch;
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
    prefix_watch::{PrefixSnapshot, PrefixView, PrefixWatch},
    probe::{EndpointStatus, EtcdProbe},
    shards::{Owner, Owners, Shard, ShardHold, ShardLost, Shards},
};
