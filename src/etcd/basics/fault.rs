//! The ways in which etcd fails, and what follows from each.

use std::collections::BTreeMap;
use std::fmt;

/// The class of a failure. [`as_str`](Self::as_str) is what status and trace show.
///
/// | class | seen as | default verdict | what to do |
/// | --- | --- | --- | --- |
/// | `unreachable` | no member answers: refused, closed, or silent for the patience | certain | see that etcd runs, and that nothing is in between |
/// | `no_leader` | a member answers, and there is no leader or no quorum for the patience | transient | bring back a majority of the members |
/// | `write_path` | reads are answered, and nothing is committed for the patience; or the leader does not get on | transient | look at the leader's disk |
/// | `no_space` | the NOSPACE alarm is raised | certain | compact, defragment, disarm the alarm |
/// | `corrupt` | the CORRUPT alarm is raised | certain | replace the corrupt member |
/// | `store_reset` | the store's revision or term goes back, or its cluster changes; told once, so it wants a trip threshold of 1 | certain | find out who wiped or restored it: leases and data are not those of before |
/// | `unauthenticated` | no member takes the name and password | certain | mend the user or its password |
/// | `permission` | the sentinel key may not be read | certain | let the user read it, or name another |
/// | `too_slow` | so many answers in a row took longer than the latency budget | transient | look at network, disk and load |
/// | `tls` | no TLS: an authority that is not trusted, a certificate that has expired, none of one's own | certain | mend the certificates |
/// | `misdirected` | something else than etcd answers; or the endpoints are of more than one cluster, or not of the expected one | certain | mend the endpoints, or name the cluster with [`EtcdConfig::with_expected_cluster`](crate::etcd::EtcdConfig::with_expected_cluster) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// No member answers.
    Unreachable,
    /// There is no leader, or no quorum.
    NoLeader,
    /// Nothing is committed.
    WritePath,
    /// The NOSPACE alarm: etcd refuses writes.
    NoSpace,
    /// The CORRUPT alarm: members disagree on the data.
    Corrupt,
    /// The store was wiped, or restored from a backup.
    StoreReset,
    /// Name or password is not taken.
    Unauthenticated,
    /// The user may not read the sentinel key.
    Permission,
    /// Answers come, but too late.
    TooSlow,
    /// No TLS connection.
    Tls,
    /// It is not the etcd that was meant.
    Misdirected,
}

/// How a class of failure is taken. The default of each class stands at [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It may pass by itself: failing only once it has lasted for the patience. A store reset, which
    /// is over when it is seen, is logged and never counts.
    Transient,
    /// Failing as soon as it is beyond doubt. For `no_leader`, `write_path` and `too_slow` that is when
    /// the patience is over, so that this and [`Transient`](Self::Transient) are the same.
    Certain,
    /// As certain, and no restart could mend it: the run ends after an ordered stop, so that an
    /// orchestrator or an operator takes over.
    Fatal,
}

impl Fault {
    /// All classes.
    pub const ALL: [Self; 11] = [
        Self::Unreachable,
        Self::NoLeader,
        Self::WritePath,
        Self::NoSpace,
        Self::Corrupt,
        Self::StoreReset,
        Self::Unauthenticated,
        Self::Permission,
        Self::TooSlow,
        Self::Tls,
        Self::Misdirected,
    ];

    /// The stable name used in status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoLeader => "no_leader",
            Self::WritePath => "write_path",
            Self::NoSpace => "no_space",
            Self::Corrupt => "corrupt",
            Self::StoreReset => "store_reset",
            Self::Unauthenticated => "unauthenticated",
            Self::Permission => "permission",
            Self::TooSlow => "too_slow",
            Self::Tls => "tls",
            Self::Misdirected => "misdirected",
        }
    }

    /// What an operator can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "see that etcd runs and that nothing stands in between",
            Self::NoLeader => "bring back a majority of etcd's members",
            Self::WritePath => "look at the disk of etcd's leader, and at its quorum",
            Self::NoSpace => "compact and defragment etcd, then disarm the alarm",
            Self::Corrupt => "find the member that is corrupt by its log and replace it",
            Self::StoreReset => "find out who wiped or restored it: its data is not that of before",
            Self::Unauthenticated => "mend the name or the password of EtcdConfig::with_user",
            Self::Permission => {
                "let the user read the sentinel key, or name one that it may read with \
                 EtcdConfig::with_sentinel_key"
            }
            Self::TooSlow => "look at etcd's network, disk and load",
            Self::Tls => "mend the certificates of EtcdConfig::with_tls or of the servers",
            Self::Misdirected => {
                "mend the endpoints, so that each leads to a member of one and the same etcd; \
                 EtcdConfig::with_expected_cluster names the one that is meant"
            }
        }
    }

    /// How the class is taken, unless [`EtcdConfig::with_verdict`](crate::etcd::EtcdConfig::with_verdict) says
    /// otherwise.
    pub fn default_verdict(self) -> Verdict {
        match self {
            Self::NoLeader | Self::WritePath | Self::TooSlow => Verdict::Transient,
            Self::Unreachable
            | Self::NoSpace
            | Self::Corrupt
            | Self::StoreReset
            | Self::Unauthenticated
            | Self::Permission
            | Self::Tls
            | Self::Misdirected => Verdict::Certain,
        }
    }
}

/// How each class of failure is taken: what was decided otherwise than by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Verdicts(pub(crate) BTreeMap<Fault, Verdict>);

impl Verdicts {
    pub(crate) fn set(&mut self, fault: Fault, verdict: Verdict) {
        self.0.insert(fault, verdict);
    }

    pub(crate) fn of(&self, fault: Fault) -> Verdict {
        let decided = self.0.get(&fault).copied();
        decided.unwrap_or(fault.default_verdict())
    }
}

impl fmt::Display for Fault {
    /// In words, for an operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "etcd is unreachable",
            Self::NoLeader => "etcd has no leader or no quorum",
            Self::WritePath => "etcd's write path is stuck",
            Self::NoSpace => "etcd is out of space",
            Self::Corrupt => "etcd's data is corrupt",
            Self::StoreReset => "etcd's store was reset",
            Self::Unauthenticated => "etcd refuses the user",
            Self::Permission => "etcd denies permission",
            Self::TooSlow => "etcd is too slow",
            Self::Tls => "no TLS connection with etcd",
            Self::Misdirected => "this is not the etcd that is meant",
        })
    }
}

#[cfg(test)]
mod tests;
