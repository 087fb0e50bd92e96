//! How long a lease allows work, and the meaning of answers about it. Pure.
//!
//! A lease counts from when it was requested, because etcd may have begun it then. Work under it ends a margin before
//! it can run out. It counts by a clock that continues while the machine is suspended.

use core::time::Duration;

use super::times::Times;
use crate::etcd::basics::{EtcdError, FailureLog, Loudness, Moment, RETRY_AFTER};
use crate::etcd::client::ExpectedCluster;

/// A lease, and the cluster that granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    /// The id of the cluster. Under the lease, answers of other clusters are not accepted.
    pub(crate) cluster: u64,
}

impl Lease {
    pub(crate) fn of(self) -> ExpectedCluster {
        ExpectedCluster::Cluster(self.cluster)
    }

    /// Whether a node that was registered under this lease no longer is.
    ///
    /// In the state of the store at `revision`, the registration is bound to the lease `owner`.
    pub(crate) fn is_unregistered(
        self,
        registered_at: Option<i64>,
        revision: i64,
        owner: Option<i64>,
    ) -> bool {
        registered_at.is_some_and(|registered| registered <= revision) && owner != Some(self.id)
    }

    /// The result of a renewal, from the read that followed it.
    pub(crate) fn renewal(self, answer: &Confirmation) -> Renewal {
        let &Confirmation {
            seen,
            revision,
            registered_at,
            owner,
            renewed_in,
            confirmed_in,
        } = answer;
        if revision < seen {
            // The lease may be in the backup, but later changes are not.
            return Renewal::Gone(format!(
                "etcd's revision went back from {seen} to {revision}, so it was wiped, or restored from a backup"
            ));
        }
        if self.is_unregistered(registered_at, revision, owner) {
            return Renewal::Gone(UNREGISTERED.to_owned());
        }
        match renewed_in == confirmed_in {
            true => Renewal::Confirmed,
            false => Renewal::Unsure,
        }
    }
}

/// The leases of this process that were not revoked yet: the current one, and those of earlier epochs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Vec<Lease>);

impl Leases {
    pub(crate) fn remember(&mut self, lease: Lease) {
        // Forgotten leases run out by themselves.
        if self.0.len() == MOST_LEASES {
            self.0.remove(0);
        }
        self.0.push(lease);
    }

    pub(crate) fn forget(&mut self, lease: Lease) {
        self.0.retain(|&other| other != lease);
    }

    /// The oldest lease before the current one that must be revoked.
    ///
    /// Older leases of other clusters are forgotten: they run out in their cluster, and no key here is bound to them.
    pub(crate) fn earlier(&mut self, present: Lease) -> Option<Lease> {
        loop {
            let oldest = self.0.iter().copied().find(|&lease| lease != present)?;
            if oldest.cluster == present.cluster {
                return Some(oldest);
            }
            self.forget(oldest);
        }
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Lease> + use<> {
        self.0.clone().into_iter().rev()
    }
}

/// How long work is allowed under one lease, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// The time since the lease was requested, by the clock that continues during a suspension.
    pub(crate) until: Duration,
    /// How long the machine had been suspended when the newest renewal was sent.
    pub(crate) suspended: Duration,
}

impl Allowance {
    /// Allows work for this long after `sent`, under a lease that was requested at `begun`.
    pub(crate) fn after(begun: Moment, sent: Moment, time: Duration) -> Self {
        Self {
            until: sent.since(begun) + time,
            suspended: sent.suspended,
        }
    }

    /// Combines two allowances: the longer one counts.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            until: self.until.max(other.until),
            suspended: self.suspended.max(other.suspended),
        }
    }

    /// How long work is still allowed.
    pub(crate) fn left(self, begun: Moment, now: Moment) -> Duration {
        self.until.saturating_sub(now.since(begun))
    }

    /// Whether work is allowed now. `over` if the lease is over.
    pub(crate) fn allows(self, over: bool, begun: Moment, now: Moment) -> bool {
        !over && !self.left(begun, now).is_zero()
    }

    /// Why all work under the lease must end now, if it must. `over` if the lease is over.
    pub(crate) fn ends(self, over: bool, begun: Moment, now: Moment) -> Option<String> {
        if self.allows(over, begun, now) {
            return None;
        }
        let mut why = "the lease is lost, or was not renewed in time: all work under it is dropped"
            .to_owned();
        if let Some(time) = self.suspended_for(now) {
            why += &format!(" (the machine was suspended for {time:.1?})");
        }
        Some(why)
    }

    /// How long the machine was suspended since the lease was renewed, if it was.
    fn suspended_for(self, now: Moment) -> Option<Duration> {
        let renewed = Moment {
            suspended: self.suspended,
            ..now
        };
        now.suspended_since(renewed)
    }
}

/// What is known after a renewal and the linearizable read that confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The highest revision that was seen before the request.
    pub(crate) seen: i64,
    pub(crate) revision: i64,
    /// The revision of the registration, if there was one.
    pub(crate) registered_at: Option<i64>,
    /// The lease that the registration is bound to, if there is a registration.
    pub(crate) owner: Option<i64>,
    /// The term of the answer to the renewal, and that of the read.
    pub(crate) renewed_in: u64,
    pub(crate) confirmed_in: u64,
}

/// The result of one renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Confirmed,
    /// The lease is gone, for this reason.
    Gone(String),
    /// The leader changed in between, so it is unknown which one renewed the lease.
    Unsure,
}

/// When a lease is renewed next, and which failures were logged.
pub(crate) struct Renewals {
    every: Duration,
    at: Duration,
    log: FailureLog,
}

/// The consequence of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// The lease counts from when the renewal was sent.
    Confirmed,
    Lost(String),
    /// The renewal is tried again.
    Again,
    /// The same, and the failure must be logged as a warning.
    Failed(EtcdError),
    /// The same, and the failure is worth a line only for debugging: the token has expired.
    Expired(EtcdError),
}

impl Renewals {
    pub(crate) fn new(times: &Times, now: Duration) -> Self {
        Self {
            every: times.renew_every,
            at: now + times.renew_every,
            log: FailureLog::default(),
        }
    }

    /// When the lease is renewed next.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// Handles the result of a renewal that was sent at `sent`.
    pub(crate) fn came(
        &mut self,
        renewal: Result<Renewal, EtcdError>,
        sent: Duration,
        now: Duration,
    ) -> Renewed {
        match renewal {
            Ok(Renewal::Confirmed) => {
                self.at = sent + self.every;
                self.log.succeeded();
                Renewed::Confirmed
            }
            Ok(Renewal::Gone(why)) => Renewed::Lost(why),
            Ok(Renewal::Unsure) => {
                self.at = now + RETRY_AFTER;
                Renewed::Again
            }
            Err(cause) => {
                self.at = now + RETRY_AFTER;
                match self.log.failed(&cause) {
                    Loudness::Warn => Renewed::Failed(cause),
                    Loudness::Debug => Renewed::Expired(cause),
                    Loudness::Silent => Renewed::Again,
                }
            }
        }
    }
}

/// Handles suspensions of the machine.
///
/// All timers use the clock that stops during a suspension. So after a suspension they would end the lease too late,
/// and this ends it in time.
#[derive(Debug, Default)]
pub(crate) struct Suspensions {
    /// Whether the lease was not renewed since the last suspension, as far as this process knows.
    open: bool,
}

/// The consequence of a suspension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterSuspension {
    Lost(String),
    /// The lease must be renewed at once. The fence must be set to this time from now.
    Renew {
        runs_out_in: Duration,
    },
}

impl Suspensions {
    /// Whether to wait for the end of the lease.
    pub(crate) fn end_counts(&self) -> bool {
        self.open
    }

    /// Handles a suspension of this length, after which work is allowed for the time `left`.
    pub(crate) fn suspended(
        &mut self,
        time: Duration,
        left: Duration,
        margin: Duration,
    ) -> AfterSuspension {
        self.open = true;
        if left.is_zero() {
            return AfterSuspension::Lost(format!("the machine was suspended for {time:.1?}"));
        }
        AfterSuspension::Renew {
            runs_out_in: left + margin,
        }
    }

    /// Handles the expected end of the lease. Returns why the lease is lost, if nothing is left.
    pub(crate) fn end_came(&mut self, left: Duration) -> Option<&'static str> {
        if left.is_zero() {
            return Some("it was not renewed in time after the machine was suspended");
        }
        // The lease was renewed in the meantime.
        self.open = false;
        None
    }
}

pub(crate) const UNREGISTERED: &str = "the registration was removed, or is another's";
pub(crate) const UNKNOWN: &str = "etcd does not know it any more";
const MOST_LEASES: usize = 8;

#[cfg(test)]
mod tests;
