//! A [`Probe`](crate::Probe) for etcd (feature `etcd`).
//!
//! A watch that reports no error proves nothing: it stays quiet when the server hangs, when packets
//! vanish and when the quorum is lost. So [`EtcdProbe`] asks for positive evidence about once a
//! second, and calls etcd alive only when *one* member has answered both of:
//!
//! | layer | asks | an answer proves |
//! | --- | --- | --- |
//! | progress | `request_progress` on a watch of its own, with require-leader | the connection works, the member serves watches and has a leader |
//! | read | a linearizable get of the sentinel key | a quorum confirms the leader, so reads are current |
//!
//! Each member has a client of its own: one client over several endpoints spreads its calls over
//! the dead ones too. One member that gives full evidence is enough.
//!
//! # When it is failing
//!
//! - **At once**, when every endpoint fails beyond doubt: the connection broke and a new one is
//!   refused, credentials are wrong, something else listens there.
//! - **After the grace** (4 s by default), when no endpoint has given full evidence for that long.
//!   Silence and slowness are tolerated until then, so that a leader election, which takes two or
//!   three seconds, is no false alarm.
//! - **Once**, when the store's revision goes backwards or its cluster changes: the store was wiped,
//!   leases and data are gone. Afterwards it is judged anew.
//!
//! It is alive again at the first full evidence; how long that must last before components are
//! started is for the supervisor to say.
//!
//! # What it does not see
//!
//! - The write path. A member whose disk stalls, and a store that is out of space, still answer both
//!   layers.
//! - A store that was wiped and has already grown beyond the revision last seen.
//!
//! # Building
//!
//! etcd-client compiles etcd's protocol files, so this feature needs `protoc` and protobuf's own
//! include files (`protobuf-compiler` and `libprotobuf-dev` on Debian).

mod backoff;
mod cause;
mod config;
mod connection;
mod dial;
mod endpoint;
mod error;
mod fault;
mod judge;
mod lane;
mod layer;
mod memory;
mod probe;
mod seat;
mod sight;
mod tls;

pub use config::EtcdConfig;
pub use error::EtcdConfigError;
pub use fault::{Fault, Verdict};
pub use probe::EtcdProbe;
pub use sight::EndpointSight;
pub use tls::Tls;
