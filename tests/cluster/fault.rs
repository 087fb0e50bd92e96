//! Which faults there are, and what is promised of each.

use std::time::Duration;

use crate::verdict::Allowed;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NodeLeaves,
    NodeKilled,
    NodeBack,
    NodeHung,
    NodeCutOff,
    LeaseRevoked,
    EtcdKilled,
    EtcdHung,
    QuorumLost,
    LeaderKilled,
    LeaderHung,
    ThreeInARow,
    ClaimsRemoved,
    BlockedCutOff,
    BlockedLeaves,
    EtcdRestored,
    EtcdRestoredInUse,
    TwoLists,
    TwoClusters,
    Redistribution,
}

impl Fault {
    const ALL: [Self; 20] = [
        Self::NodeLeaves,
        Self::NodeKilled,
        Self::NodeBack,
        Self::NodeHung,
        Self::NodeCutOff,
        Self::LeaseRevoked,
        Self::EtcdKilled,
        Self::EtcdHung,
        Self::QuorumLost,
        Self::LeaderKilled,
        Self::LeaderHung,
        Self::ThreeInARow,
        Self::ClaimsRemoved,
        Self::BlockedCutOff,
        Self::BlockedLeaves,
        Self::EtcdRestored,
        Self::EtcdRestoredInUse,
        Self::TwoLists,
        Self::TwoClusters,
        Self::Redistribution,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NodeLeaves => "node leaves",
            Self::NodeKilled => "node killed",
            Self::NodeBack => "node back within ttl",
            Self::NodeHung => "node hung",
            Self::NodeCutOff => "node cut off",
            Self::LeaseRevoked => "lease revoked",
            Self::EtcdKilled => "etcd killed",
            Self::EtcdHung => "etcd hung",
            Self::QuorumLost => "quorum lost",
            Self::LeaderKilled => "etcd leader killed",
            Self::LeaderHung => "etcd leader hung",
            Self::ThreeInARow => "three in a row",
            Self::ClaimsRemoved => "claims removed",
            Self::BlockedCutOff => "blocked and cut off",
            Self::BlockedLeaves => "blocked and leaves",
            Self::EtcdRestored => "etcd restored",
            Self::EtcdRestoredInUse => "etcd restored in use",
            Self::TwoLists => "two lists",
            Self::TwoClusters => "two clusters",
            Self::Redistribution => "redistribution",
        }
    }

    /// By its name, with spaces or hyphens.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', " ");
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// What is played where no fault is named.
    pub(crate) fn script(members: u32) -> Vec<Self> {
        let played =
            |fault: &Self| *fault != Self::Redistribution && fault.needs_members() <= members;
        Self::ALL.into_iter().filter(played).collect()
    }

    /// How many members of etcd it needs.
    pub(crate) fn needs_members(self) -> u32 {
        match self {
            Self::QuorumLost | Self::LeaderKilled | Self::LeaderHung => 3,
            _ => 1,
        }
    }

    /// How long nobody may work on a shard whose node the fault has struck, and on any other.
    pub(crate) fn allowed(self, ttl: Duration) -> Allowed {
        let (struck, other) = match self {
            Self::NodeLeaves | Self::LeaderKilled => (Some(SECOND), Some(SECOND)),
            Self::NodeKilled
            | Self::NodeBack
            | Self::NodeHung
            | Self::NodeCutOff
            | Self::BlockedCutOff
            | Self::BlockedLeaves => (Some(ttl + SECOND), Some(SECOND)),
            // A claim that has vanished is left alone for a second.
            Self::ClaimsRemoved => (Some(2 * SECOND), Some(SECOND)),
            Self::Redistribution => (Some(ttl + 3 * SECOND), Some(SECOND)),
            Self::LeaseRevoked
            | Self::EtcdKilled
            | Self::EtcdHung
            | Self::QuorumLost
            | Self::LeaderHung
            | Self::ThreeInARow
            | Self::EtcdRestored
            | Self::EtcdRestoredInUse
            | Self::TwoLists
            | Self::TwoClusters => (None, None),
        };
        Allowed { struck, other }
    }
}
