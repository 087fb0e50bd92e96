//! What can be wrong with a cluster.

use std::time::Duration;

/// How a cluster is. Its members share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) leader: bool,
    /// Whether proposals are committed.
    pub(crate) commits: bool,
    /// Whether anybody says anything.
    pub(crate) speaks: bool,
    /// Every reply is so much later.
    pub(crate) slower: Duration,
    /// Every reply is later by anything below this, so that replies overtake each other.
    pub(crate) spread: Duration,
    /// 1 is NOSPACE, 2 is CORRUPT.
    pub(crate) alarm: i32,
    pub(crate) permits: bool,
    /// Whether the list of alarms is for this user.
    pub(crate) shows_alarms: bool,
    /// Who accepts connections and closes them: all at once, one of several soon.
    pub(crate) hangs_up: Whom,
    /// Who is far, and sends half of its replies so late that they arrive after their time.
    pub(crate) late: Whom,
    /// Whose watches stay open and tell no changes. What changes meanwhile they never tell.
    pub(crate) deaf: Whom,
    /// Who was the leader, and does not know yet that there is another one since this began.
    pub(crate) deposed: Whom,
}

/// Whom something happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    Nobody,
    One(usize),
    All,
}

impl Whom {
    pub(super) fn is(self, index: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(one) => one == index,
            Self::All => true,
        }
    }
}

impl Condition {
    pub(crate) const GOOD: Self = Self {
        leader: true,
        commits: true,
        speaks: true,
        slower: Duration::ZERO,
        spread: Duration::ZERO,
        alarm: 0,
        permits: true,
        shows_alarms: true,
        hangs_up: Whom::Nobody,
        late: Whom::Nobody,
        deaf: Whom::Nobody,
        deposed: Whom::Nobody,
    };

    /// Whether a member can have a quorum confirm what it says.
    pub(super) fn leads(&self, index: usize) -> bool {
        self.leader && !self.deposed.is(index)
    }

    /// Whether writes are refused for want of space.
    pub(super) fn is_full(&self) -> bool {
        self.alarm == NO_SPACE
    }

    /// Whether writes are refused because members disagree on what is stored.
    pub(super) fn is_corrupt(&self) -> bool {
        self.alarm == CORRUPT
    }
}

const NO_SPACE: i32 = 1;
const CORRUPT: i32 = 2;

/// How long anything takes to a member that is far, and back from it. A reply that comes at once is a
/// good one all the same, so that the member is still asked.
pub(crate) const LATE_WAY: Duration = Duration::from_millis(400);
/// So much later is a late reply. With both ways that is more than the request timeout; but it is sent
/// before the member can hear that nobody waits any more.
pub(super) const LATE: Duration = Duration::from_millis(2_800);
/// One that hangs up does so within this time.
pub(super) const SOON: Duration = Duration::from_millis(1_500);
/// The probe's, by default.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
