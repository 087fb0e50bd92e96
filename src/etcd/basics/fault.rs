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

    /// All that is known of a class. A new one needs a line here, in [`ALL`](Self::ALL), and a row in the table above.
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

    /// What an operator can do about it.
    pub fn advice(self) -> &'static str {
        self.facts().advice
    }

    /// How the class is taken, unless [`EtcdConfig::with_verdict`](crate::etcd::EtcdConfig::with_verdict) says
    /// otherwise.
    pub fn default_verdict(self) -> Verdict {
        self.facts().verdict
    }

    /// Of two classes that are as frequent among the endpoints, the one with the higher number is reported.
    pub(crate) fn gravity(self) -> u8 {
        self.facts().gravity
    }

    /// Whether it is about the whole cluster, whichever member said it.
    pub(crate) fn of_cluster(self) -> bool {
        self.facts().of_cluster
    }

    /// Whether every member would say the same.
    pub(crate) fn of_every_member(self) -> bool {
        self.facts().of_every_member
    }

    /// Whether a later try may succeed, though etcd was sure of it.
    pub(crate) fn passes(self) -> bool {
        self.facts().passes
    }

    /// Whether a new connection is needed.
    pub(crate) fn ends_connection(self) -> bool {
        self.facts().ends_connection
    }
}

/// What is known of a class.
struct Facts {
    name: &'static str,
    /// In words, for an operator.
    words: &'static str,
    advice: &'static str,
    verdict: Verdict,
    /// What a server said is graver than silence. The order of the variants means nothing.
    gravity: u8,
    of_cluster: bool,
    of_every_member: bool,
    passes: bool,
    ends_connection: bool,
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
        f.write_str(self.facts().words)
    }
}

#[cfg(test)]
mod tests;
