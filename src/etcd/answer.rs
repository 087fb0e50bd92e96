//! What a member answers, as data.

/// What a linearizable read tells of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Store {
    pub(super) cluster_id: u64,
    pub(super) revision: i64,
    /// The term of what the member has applied. At one and the same member it never goes back, unless
    /// data is lost.
    pub(super) term: u64,
    /// Who answered.
    pub(super) member_id: u64,
}

/// An answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The watch answers: the connection works, and by require-leader the member has a leader.
    Progress,
    /// A quorum confirmed the leader.
    Read(Store),
    /// A proposal was committed, and no alarm is raised.
    Write,
    /// The member itself answers, and knows a leader or not. Proves nothing of the cluster.
    Status { leader: bool },
}
