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
    ThreeInARow,
    Redistribution,
}

impl Fault {
    const ALL: [Self; 12] = [
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
        Self::ThreeInARow,
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
            Self::ThreeInARow => "three in a row",
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
            Self::QuorumLost | Self::LeaderKilled => 3,
            _ => 1,
        }
    }

    /// How long nobody may work on a shard whose node the fault has struck, and on any other.
    pub(crate) fn allowed(self, ttl: Duration) -> Allowed {
        let (struck, other) = match self {
            Self::NodeLeaves | Self::LeaderKilled => (Some(SECOND), Some(SECOND)),
            Self::NodeKilled | Self::NodeBack | Self::NodeHung | Self::NodeCutOff => {
                (Some(ttl + SECOND), Some(SECOND))
            }
            Self::Redistribution => (Some(ttl + 3 * SECOND), Some(SECOND)),
            Self::LeaseRevoked
            | Self::EtcdKilled
            | Self::EtcdHung
            | Self::QuorumLost
            | Self::ThreeInARow => (None, None),
        };
        Allowed { struck, other }
    }
}
