//! The ways in which etcd fails, and how each of them is treated.

use std::collections::BTreeMap;
use std::fmt;

/// The class of a failure. Status and trace show [`as_str`](Self::as_str).
///
/// | class | seen as | default verdict | what to do |
/// | --- | --- | --- | --- |
/// | `unreachable` | no member answers: refused, closed, or silent for the grace period | certain | check that etcd runs, and that nothing blocks the connection |
/// | `no_leader` | a member answers, but there is no leader or no quorum for the grace period | transient | bring back a majority of the members |
/// | `write_path` | reads are answered, but nothing is committed for the grace period; or the leader makes no progress | transient | look at the leader's disk |
/// | `no_space` | the NOSPACE alarm is raised | certain | compact, defragment, disarm the alarm |
/// | `corrupt` | the CORRUPT alarm is raised | certain | replace the corrupt member |
/// | `store_reset` | the store's revision or term goes back, or its cluster changes; reported once, so it needs a trip threshold of 1 | certain | find out who wiped or restored it: leases and data are not those of before |
/// | `unauthenticated` | no member accepts the name and password | certain | correct the user or its password |
/// | `permission` | the user may not read the sentinel key | certain | let the user read it, or set another key |
/// | `too_slow` | several answers in a row took longer than the latency budget | transient | look at network, disk and load |
/// | `tls` | no TLS connection: an untrusted authority, an expired certificate, or a missing client certificate | certain | correct the certificates |
/// | `misdirected` | something other than etcd answers; or the endpoints belong to more than one cluster, or not to the expected one | certain | correct the endpoints, or set the cluster with [`EtcdConfig::with_expected_cluster`](crate::etcd::EtcdConfig::with_expected_cluster) |
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
    /// The name or the password is refused.
    Unauthenticated,
    /// The user may not read the sentinel key.
    Permission,
    /// Answers come, but too late.
    TooSlow,
    /// A TLS connection is not possible.
    Tls,
    /// An endpoint does not lead to the intended etcd cluster.
    Misdirected,
}

/// How a class of failure is treated. [`Fault`] lists the default of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The failure may pass by itself. It is reported only after it has lasted for the grace period.
    ///
    /// A store reset, which is over when it is seen, is only logged.
    Transient,
    /// The failure is reported as soon as it is beyond doubt.
    ///
    /// For `no_leader`, `write_path` and `too_slow` this is when the grace period is over, so it is the same as
    /// [`Transient`](Self::Transient).
    Certain,
    /// As [`Certain`](Self::Certain), and no restart can repair it.
    ///
    /// The run ends after an ordered stop, so that an orchestrator or an operator can take over.
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

    /// The facts about a class. A new class needs an entry here and in [`ALL`](Self::ALL), and a row in the table.
    fn facts(self) -> Facts {
        match self {
            Self::Unreachable => Facts {
                name: "unreachable",
                words: "etcd is unreachable",
                advice: "see that etcd runs and that nothing stands in between",
                verdict: Verdict::Certain,
                gravity: 10,
                of_cluster: false,
                of_every_member: false,
                passes: true,
                ends_connection: true,
            },
            Self::NoLeader => Facts {
                name: "no_leader",
                words: "etcd has no leader or no quorum",
                advice: "bring back a majority of etcd's members",
                verdict: Verdict::Transient,
                gravity: 20,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: false,
            },
            Self::WritePath => Facts {
                name: "write_path",
                words: "etcd's write path is stuck",
                advice: "look at the disk of etcd's leader, and at its quorum",
                verdict: Verdict::Transient,
                gravity: 30,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: false,
            },
            Self::NoSpace => Facts {
                name: "no_space",
                words: "etcd is out of space",
                advice: "compact and defragment etcd, then disarm the alarm",
                verdict: Verdict::Certain,
                gravity: 40,
                of_cluster: true,
                of_every_member: true,
                passes: false,
                ends_connection: false,
            },
            Self::Corrupt => Facts {
                name: "corrupt",
                words: "etcd's data is corrupt",
                advice: "find the member that is corrupt by its log and replace it",
                verdict: Verdict::Certain,
                gravity: 50,
                of_cluster: true,
                of_every_member: true,
                passes: false,
                ends_connection: false,
            },
            Self::StoreReset => Facts {
                name: "store_reset",
                words: "etcd's store was reset",
                advice: "find out who wiped or restored it: its data is not that of before",
                verdict: Verdict::Certain,
                gravity: 60,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: false,
            },
            Self::Unauthenticated => Facts {
                name: "unauthenticated",
                words: "etcd refuses the user",
                advice: "mend the name or the password of EtcdConfig::with_user",
                verdict: Verdict::Certain,
                gravity: 70,
                of_cluster: false,
                of_every_member: false,
                passes: true,
                ends_connection: true,
            },
            Self::Permission => Facts {
                name: "permission",
                words: "etcd denies permission",
                advice: "let the user read the sentinel key, or name one that it may read with \
                         EtcdConfig::with_sentinel_key",
                verdict: Verdict::Certain,
                gravity: 80,
                of_cluster: false,
                of_every_member: true,
                passes: false,
                ends_connection: false,
            },
            Self::TooSlow => Facts {
                name: "too_slow",
                words: "etcd is too slow",
                advice: "look at etcd's network, disk and load",
                verdict: Verdict::Transient,
                gravity: 90,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: false,
            },
            Self::Tls => Facts {
                name: "tls",
                words: "no TLS connection with etcd",
                advice: "mend the certificates of EtcdConfig::with_tls or of the servers",
                verdict: Verdict::Certain,
                gravity: 100,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: true,
            },
            Self::Misdirected => Facts {
                name: "misdirected",
                words: "this is not the etcd that is meant",
                advice: "mend the endpoints, so that each leads to a member of one and the same etcd; \
                         EtcdConfig::with_expected_cluster names the one that is meant",
                verdict: Verdict::Certain,
                gravity: 110,
                of_cluster: false,
                of_every_member: false,
                passes: false,
                ends_connection: true,
            },
        }
    }

    /// The stable name used in status and logs.
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// What an operator can do about the failure.
    pub fn advice(self) -> &'static str {
        self.facts().advice
    }

    /// The verdict, unless [`EtcdConfig::with_verdict`](crate::etcd::EtcdConfig::with_verdict) sets another one.
    pub fn default_verdict(self) -> Verdict {
        self.facts().verdict
    }

    /// Of two classes that are as frequent among the endpoints, the one with the higher number is reported.
    pub(crate) fn gravity(self) -> u8 {
        self.facts().gravity
    }

    /// Whether the failure concerns the whole cluster, whichever member reported it.
    pub(crate) fn of_cluster(self) -> bool {
        self.facts().of_cluster
    }

    /// Whether every member would report the same failure.
    pub(crate) fn of_every_member(self) -> bool {
        self.facts().of_every_member
    }

    /// Whether a later attempt may succeed even if the failure was certain.
    pub(crate) fn passes(self) -> bool {
        self.facts().passes
    }

    /// Whether a new connection is needed.
    pub(crate) fn ends_connection(self) -> bool {
        self.facts().ends_connection
    }
}

/// The facts about a class.
struct Facts {
    name: &'static str,
    /// In words, for an operator.
    words: &'static str,
    advice: &'static str,
    verdict: Verdict,
    /// A failure that a server reported is graver than silence. The order of the variants means nothing.
    gravity: u8,
    of_cluster: bool,
    of_every_member: bool,
    passes: bool,
    ends_connection: bool,
}

/// The verdicts that differ from the defaults.
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
        f.write_str(self.facts().words)
    }
}

#[cfg(test)]
mod tests;
