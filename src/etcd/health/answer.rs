//! What a member answers, as data.

/// What a linearizable read tells of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) cluster_id: u64,
    pub(crate) revision: i64,
    /// The term of what the member has applied. At one and the same member it never goes back, unless
    /// data is lost.
    pub(crate) term: u64,
    /// Who answered.
    pub(crate) member_id: u64,
}

/// An answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The watch answers: the connection works, and by require-leader the member has a leader.
    Progress,
    /// A quorum confirmed the leader.
    Read(Store),
    /// A proposal was committed, and no alarm is raised.
    Write,
    /// The member itself answers, and knows a leader or not. Proves nothing of the cluster.
    Status { leader: bool },
}
