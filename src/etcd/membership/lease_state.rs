//! What a lease allows, until when, and what an answer about it amounts to. Pure.
//!
//! A lease counts from when it was asked for, since etcd may have begun it then; work under it ends a margin before it
//! can run out. It counts by a clock that runs on while the machine is suspended.

use core::time::Duration;

use super::times::Times;
use crate::etcd::basics::{EtcdError, Moment, RETRY_AFTER};
use crate::etcd::client::ExpectedCluster;

/// A lease, and who granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    /// The id of the cluster: no other is believed in what is done under the lease.
    pub(crate) cluster: u64,
}

impl Lease {
    pub(crate) fn of(self) -> ExpectedCluster {
        ExpectedCluster::Cluster(self.cluster)
    }

    /// Whether a node that was registered under this lease is not any more, in a state of the store that shows all up
    /// to `revision`: there the registration is of `owner`.
    pub(crate) fn is_unregistered(
        self,
        registered_at: Option<i64>,
        revision: i64,
        owner: Option<i64>,
    ) -> bool {
        registered_at.is_some_and(|registered| registered <= revision) && owner != Some(self.id)
    }

    /// Of the registration that a renewal read.
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
            // The lease may be in the backup, but what was done since is not.
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

/// The leases of this process that were not given back yet: the present one, and those of earlier epochs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Vec<Lease>);

impl Leases {
    pub(crate) fn remember(&mut self, lease: Lease) {
        // Those that are dropped run out by themselves, at last.
        if self.0.len() == MOST_LEASES {
            self.0.remove(0);
        }
        self.0.push(lease);
    }

    pub(crate) fn forget(&mut self, lease: Lease) {
        self.0.retain(|&other| other != lease);
    }

    /// The oldest other than the present one that is to be given back. Those of other clusters that are older are
    /// forgotten: they run out where they were taken, and nothing here is bound to them.
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

/// Until when work is allowed under one lease, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Since the lease was asked for, by the clock that runs on.
    pub(crate) until: Duration,
    /// How long the machine had been suspended when the newest renewal was sent.
    pub(crate) suspended: Duration,
}

impl Allowance {
    /// Under a lease that was asked for when it `begun`, work is allowed for this long after `sent`.
    pub(crate) fn after(begun: Moment, sent: Moment, time: Duration) -> Self {
        Self {
            until: sent.since(begun) + time,
            suspended: sent.suspended,
        }
    }

    /// With what is known besides: never shorter than it was.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            until: self.until.max(other.until),
            suspended: self.suspended.max(other.suspended),
        }
    }

    /// For how long work is allowed yet.
    pub(crate) fn left(self, begun: Moment, now: Moment) -> Duration {
        self.until.saturating_sub(now.since(begun))
    }

    /// Whether work is allowed at this moment, under a lease that is over or not.
    pub(crate) fn allows(self, over: bool, begun: Moment, now: Moment) -> bool {
        !over && !self.left(begun, now).is_zero()
    }

    /// Why all work under a lease ends at this moment, if it does. The lease is over or not.
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

    /// For how long the machine was suspended since the lease was renewed, if it was.
    fn suspended_for(self, now: Moment) -> Option<Duration> {
        let renewed = Moment {
            suspended: self.suspended,
            ..now
        };
        now.suspended_since(renewed)
    }
}

/// What is known when a renewal was answered, and a quorum was asked to confirm it after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// The highest revision that was seen before the question.
    pub(crate) seen: i64,
    pub(crate) revision: i64,
    /// From when on the node was registered, if it was.
    pub(crate) registered_at: Option<i64>,
    /// Whose lease the registration is bound to, if there is one.
    pub(crate) owner: Option<i64>,
    /// The term of who renewed the lease, and that of who confirmed it.
    pub(crate) renewed_in: u64,
    pub(crate) confirmed_in: u64,
}

/// What came of one renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Confirmed,
    /// In words: how it is known.
    Gone(String),
    /// Another leader meanwhile: who knows which of them renewed it.
    Unsure,
}

/// When a lease is renewed next, and what is to be said of it.
pub(crate) struct Renewals {
    every: Duration,
    at: Duration,
    /// Whether the last one failed, and that was logged.
    failing: bool,
}

/// What follows from a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// The lease counts anew, from when the renewal was sent.
    Confirmed,
    Lost(String),
    /// It is tried again.
    Again,
    /// The same, and that it failed is news.
    Failed(EtcdError),
}

impl Renewals {
    pub(crate) fn new(times: &Times, now: Duration) -> Self {
        Self {
            every: times.renew_every,
            at: now + times.renew_every,
            failing: false,
        }
    }

    /// When it is renewed next.
    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    /// One that was sent at `sent` is over now.
    pub(crate) fn came(
        &mut self,
        renewal: Result<Renewal, EtcdError>,
        sent: Duration,
        now: Duration,
    ) -> Renewed {
        match renewal {
            Ok(Renewal::Confirmed) => {
                self.at = sent + self.every;
                self.failing = false;
                Renewed::Confirmed
            }
            Ok(Renewal::Gone(why)) => Renewed::Lost(why),
            Ok(Renewal::Unsure) => {
                self.at = now + RETRY_AFTER;
                Renewed::Again
            }
            Err(cause) => {
                self.at = now + RETRY_AFTER;
                match core::mem::replace(&mut self.failing, true) {
                    true => Renewed::Again,
                    false => Renewed::Failed(cause),
                }
            }
        }
    }
}

/// What suspensions of the machine cost a lease.
///
/// What waits for the end of the lease does so by the clock that stood still. So after a suspension it is ended by this,
/// in time.
#[derive(Debug, Default)]
pub(crate) struct Suspensions {
    /// Whether the lease was not renewed since the last one, as far as is known.
    open: bool,
}

/// What follows from a suspension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterSuspension {
    Lost(String),
    /// The lease is to be renewed at once. The fence is told that it runs out so long after now.
    Renew {
        runs_out_in: Duration,
    },
}

impl Suspensions {
    /// Whether the end of the lease is to be waited for.
    pub(crate) fn end_counts(&self) -> bool {
        self.open
    }

    /// The machine was suspended for so long, and so much is left of what the lease allows.
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

    /// The time has come at which the lease would have run out, and so much is left now. Why it is lost, if it is.
    pub(crate) fn end_came(&mut self, left: Duration) -> Option<&'static str> {
        if left.is_zero() {
            return Some("it was not renewed in time after the machine was suspended");
        }
        // It was renewed meanwhile.
        self.open = false;
        None
    }
}

pub(crate) const UNREGISTERED: &str = "the registration was removed, or is another's";
pub(crate) const UNKNOWN: &str = "etcd does not know it any more";
const MOST_LEASES: usize = 8;

#[cfg(test)]
mod tests;
