//! The times of the probe, and the checks that they can work together.

use core::time::Duration;

use crate::etcd::basics::{EtcdConfigError, Fault, Verdict, Verdicts};
use crate::policy::{Policy, PolicyError};

/// The intervals, grace periods and timeouts of the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timing {
    pub(crate) progress: CheckTiming,
    pub(crate) read: CheckTiming,
    pub(crate) write: CheckTiming,
    pub(crate) recheck: Duration,
    pub(crate) latency_budget: Duration,
    pub(crate) slow_answers: u32,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) election_timeout: Duration,
    pub(crate) reconnect: Duration,
    pub(crate) spare_reconnect: Duration,
    pub(crate) refused: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) keepalive_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CheckTiming {
    pub(crate) every: Duration,
    pub(crate) grace_period: Duration,
}

impl CheckTiming {
    const fn new(every_ms: u64, grace_ms: u64) -> Self {
        Self {
            every: Duration::from_millis(every_ms),
            grace_period: Duration::from_millis(grace_ms),
        }
    }
}

impl Timing {
    /// One request a second in total, and a hang or a lost quorum is reported within 5 s: the two numbers of the read
    /// leave a quarter of a second to spare.
    pub(crate) const DEFAULT: Self = Self {
        progress: CheckTiming::new(20_000, 3_350),
        read: CheckTiming::new(1_400, 3_350),
        write: CheckTiming::new(8_000, 3_350),
        recheck: Duration::from_millis(500),
        latency_budget: Duration::from_secs(1),
        slow_answers: 3,
        request_timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(2),
        election_timeout: Duration::from_secs(1),
        reconnect: Duration::from_millis(300),
        spare_reconnect: Duration::from_secs(5),
        refused: Duration::from_secs(60),
        keepalive: Duration::from_secs(10),
        keepalive_timeout: Duration::from_secs(5),
    };

    /// The cheapest check detects a hang. An election does not disturb it.
    pub(crate) const FAST: Self = Self {
        progress: CheckTiming::new(250, 1_000),
        read: CheckTiming::new(1_000, 3_350),
        write: CheckTiming::new(3_000, 3_350),
        recheck: Duration::from_millis(250),
        latency_budget: Duration::from_millis(500),
        request_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        reconnect: Duration::from_millis(250),
        ..Self::DEFAULT
    };

    pub(crate) const GENTLE: Self = Self {
        progress: CheckTiming::new(60_000, 6_000),
        read: CheckTiming::new(10_000, 6_000),
        write: CheckTiming::new(30_000, 6_000),
        recheck: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(3),
        ..Self::DEFAULT
    };

    /// The shortest time between two observations that etcd is alive or still fails.
    pub(crate) fn shortest_every(&self) -> Duration {
        self.checks()
            .map(|(_, _, check)| check.every)
            .into_iter()
            .min()
            .unwrap_or_default()
    }

    /// The longest time between two observations.
    pub(crate) fn longest_gap(&self) -> Duration {
        let grace_period = self.checks().map(|(_, _, check)| check.grace_period);
        self.shortest_every() + grace_period.into_iter().max().unwrap_or_default()
    }

    /// For how long the cluster that an endpoint has shown is compared with those of the others.
    ///
    /// A probe shows again what it knows more often than that.
    pub(crate) fn lately(&self) -> Duration {
        LATELY + 2 * self.shortest_every()
    }

    /// How long an election may take.
    ///
    /// The probe reports none of this length: the grace periods of reads and writes are at least as long, and a
    /// request for progress is answered during an election.
    pub(crate) fn longest_election(&self) -> Duration {
        3 * self.election_timeout
    }

    pub(crate) fn check(&self) -> Result<(), EtcdConfigError> {
        for (
            every_knob,
            grace_knob,
            CheckTiming {
                every,
                grace_period,
            },
        ) in self.checks()
        {
            // A proposal is expensive.
            let most_often = if every_knob == "write_interval" {
                DEAR
            } else {
                SHORTEST
            };
            at_least(every_knob, every, most_often, "")?;
            at_most(every_knob, every, LONGEST, "")?;
            at_most(grace_knob, grace_period, LONGEST, "")?;
        }
        for (knob, value) in [
            ("request_timeout", self.request_timeout),
            ("connect_timeout", self.connect_timeout),
            ("reconnect_interval", self.reconnect),
            ("keepalive_timeout", self.keepalive_timeout),
        ] {
            at_least(knob, value, SHORTEST, "")?;
            at_most(knob, value, LONGEST_TIMEOUT, "")?;
        }
        at_least(
            "keepalive_interval",
            self.keepalive,
            KEEPALIVE_SHORTEST,
            ", or etcd closes the connection",
        )?;
        at_least(
            "spare_reconnect_interval",
            self.spare_reconnect,
            self.reconnect,
            " (reconnect_interval), or a spare member is sought harder than one in need",
        )?;
        at_least("refused_interval", self.refused, DEAR, "")?;
        for (knob, value) in [
            ("keepalive_interval", self.keepalive),
            ("spare_reconnect_interval", self.spare_reconnect),
            ("refused_interval", self.refused),
        ] {
            at_most(knob, value, LONGEST, "")?;
        }
        let election = self.election_timeout;
        at_least("election_timeout", election, Duration::from_millis(50), "")?;
        at_most("election_timeout", election, Duration::from_secs(50), "")?;
        at_least(
            "latency_budget",
            self.latency_budget,
            Duration::from_millis(50),
            "",
        )?;
        at_most(
            "latency_budget",
            self.latency_budget,
            self.request_timeout / 2,
            " (half the request_timeout), or no answer is slow and each is lost",
        )?;
        if !(1..=100).contains(&self.slow_answers) {
            return Err(EtcdConfigError::BadSetting {
                knob: "slow_answers",
                problem: format!("is {}, but must be from 1 to 100", self.slow_answers),
            });
        }
        self.check_grace_periods()
    }

    /// Checks that the policy works with a probe of this timing.
    ///
    /// A store reset, which is reported once, must trip, and a tolerated silence of the probe must not be an outage.
    pub(crate) fn fits(&self, policy: &Policy, verdicts: &Verdicts) -> Result<(), PolicyError> {
        let threshold = policy.trip_threshold();
        if threshold > 1 && verdicts.of(Fault::StoreReset) == Verdict::Certain {
            return Err(PolicyError::new(
                "trip_threshold",
                threshold.to_string(),
                "it must be 1, because a reset of etcd's store is told once: or set \
                 EtcdConfig::with_verdict for Fault::StoreReset to Transient, if it is to be logged only, \
                 or to Fatal",
            ));
        }
        let (gap, limit) = (self.longest_gap(), policy.silence_limit());
        if gap < limit {
            return Ok(());
        }
        Err(PolicyError::new(
            "silence_limit",
            format!("{limit:?}"),
            format!(
                "it must be longer than {gap:?}, the shortest period and the longest grace period of the \
                 probe: an election that the probe tolerates would count as silence"
            ),
        ))
    }

    /// Checks each grace period against the times that it must be longer than.
    fn check_grace_periods(&self) -> Result<(), EtcdConfigError> {
        at_least("recheck_interval", self.recheck, SHORTEST, "")?;
        for (
            every_knob,
            grace_knob,
            CheckTiming {
                every,
                grace_period,
            },
        ) in self.checks()
        {
            at_most(
                "recheck_interval",
                self.recheck,
                grace_period / 2,
                &format!(" (half of {grace_knob}), or nothing is asked twice before it fails"),
            )?;
            at_most(
                "recheck_interval",
                self.recheck,
                every,
                &format!(" ({every_knob}), or doubt is looked into later than health"),
            )?;
            at_least(
                grace_knob,
                grace_period,
                2 * self.latency_budget,
                " (twice the latency_budget), or nobody else is asked before it fails",
            )?;
        }
        for (knob, grace_period) in [
            ("read_grace_period", self.read.grace_period),
            ("write_grace_period", self.write.grace_period),
        ] {
            at_least(
                knob,
                grace_period,
                self.longest_election(),
                " (three times the election_timeout), or an election is an outage",
            )?;
            at_least(
                knob,
                grace_period,
                self.request_timeout,
                " (request_timeout), or one lost answer is an outage",
            )?;
            at_least(
                knob,
                grace_period,
                self.connect_timeout,
                " (connect_timeout), or one slow connection is an outage",
            )?;
        }
        Ok(())
    }

    /// The checks, with the names of their settings.
    fn checks(&self) -> [(&'static str, &'static str, CheckTiming); 3] {
        [
            ("progress_interval", "progress_grace_period", self.progress),
            ("read_interval", "read_grace_period", self.read),
            ("write_interval", "write_grace_period", self.write),
        ]
    }
}

fn at_least(
    knob: &'static str,
    value: Duration,
    least: Duration,
    why: &str,
) -> Result<(), EtcdConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(EtcdConfigError::OutOfBounds {
        knob,
        value,
        bound: format!("at least {least:?}{why}"),
    })
}

fn at_most(
    knob: &'static str,
    value: Duration,
    most: Duration,
    why: &str,
) -> Result<(), EtcdConfigError> {
    if value <= most {
        return Ok(());
    }
    Err(EtcdConfigError::OutOfBounds {
        knob,
        value,
        bound: format!("at most {most:?}{why}"),
    })
}

/// Shorter intervals only add load to the servers.
const SHORTEST: Duration = Duration::from_millis(100);
const DEAR: Duration = Duration::from_secs(1);
/// etcd closes connections that ping more often (its `--grpc-keepalive-min-time`).
const KEEPALIVE_SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than it takes to make a new connection.
const LATELY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
