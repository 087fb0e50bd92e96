//! The answers of members, as data.

/// The state of the store that a linearizable read shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) cluster_id: u64,
    pub(crate) revision: i64,
    /// The term of what the member has applied. At one member it never goes back, unless data is lost.
    pub(crate) term: u64,
    /// The member that answered.
    pub(crate) member_id: u64,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The watch answers: the connection works and, because of require-leader, the member has a leader.
    Progress,
    /// A quorum confirmed the leader.
    Read(Store),
    /// A proposal was committed, and no alarm is raised.
    Write,
    /// The member itself answers, and knows a leader or not. This proves nothing about the cluster.
    Status { leader: bool },
}
