//! What the probe is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error};

use super::cluster_map::meant;
use super::clusters::Clusters;
#[cfg(feature = "test-util")]
use super::connect::Dial;
use super::connect::{Access, Way, over_the_network};
use super::endpoint::Endpoint;
use super::timing::Timing;
use super::tls::Tls;
use crate::etcd::basics::{EtcdConfigError, Fault, Verdict, Verdicts};
use crate::etcd::host::{Suspended, Uncompared, by_the_system};
use crate::policy::{Policy, PolicyError};

/// Where etcd is, how to get in, and how patient to be.
///
/// 1. [`new`](Self::new) with the endpoints of one cluster;
/// 2. access: [`with_user`](Self::with_user), [`with_tls`](Self::with_tls), [`with_expected_cluster`](Self::with_expected_cluster);
/// 3. a preset, [`fast`](Self::fast) or [`gentle`](Self::gentle), which sets all numbers, and after it single numbers.
///
/// Give clones of one configuration to the probe and to the membership: they share what they have seen of the
/// endpoints.
///
/// | knob | default | [`fast`](Self::fast) | [`gentle`](Self::gentle) | bounds |
/// | --- | --- | --- | --- | --- |
/// | [`progress_interval`](Self::with_progress_interval) | 20 s | 250 ms | 60 s | 100 ms to 10 min |
/// | [`progress_grace_period`](Self::with_progress_grace_period) | 3.35 s | 1 s | 6 s | twice the latency budget at least |
/// | [`read_interval`](Self::with_read_interval) | 1.4 s | 1 s | 10 s | 100 ms to 10 min |
/// | [`read_grace_period`](Self::with_read_grace_period) | 3.35 s | 3.35 s | 6 s | three election timeouts, the request timeout and the connect timeout at least |
/// | [`write_interval`](Self::with_write_interval) | 8 s | 3 s | 30 s | 1 s to 10 min |
/// | [`write_grace_period`](Self::with_write_grace_period) | 3.35 s | 3.35 s | 6 s | as `read_grace_period` |
/// | [`recheck_interval`](Self::with_recheck_interval) | 500 ms | 250 ms | 2 s | 100 ms at least, half of each patience at most |
/// | [`latency_budget`](Self::with_latency_budget) | 1 s | 500 ms | 1 s | 50 ms at least, half the request timeout at most |
/// | [`slow_answers`](Self::with_slow_answers) | 3 | 3 | 3 | 1 to 100 |
/// | [`request_timeout`](Self::with_request_timeout) | 3 s | 2 s | 3 s | 100 ms to 30 s |
/// | [`connect_timeout`](Self::with_connect_timeout) | 2 s | 1 s | 3 s | 100 ms to 30 s |
/// | [`election_timeout`](Self::with_election_timeout) | 1 s | 1 s | 1 s | 50 ms to 50 s, as etcd's own |
/// | [`reconnect_interval`](Self::with_reconnect_interval) | 300 ms | 250 ms | 300 ms | 100 ms to 30 s |
/// | [`spare_reconnect_interval`](Self::with_spare_reconnect_interval) | 5 s | 5 s | 5 s | `reconnect_interval` at least, 10 min at most |
/// | [`refused_interval`](Self::with_refused_interval) | 60 s | 60 s | 60 s | 1 s to 10 min |
/// | [`keepalive_interval`](Self::with_keepalive_interval) | 10 s | 10 s | 10 s | 5 s to 10 min |
/// | [`keepalive_timeout`](Self::with_keepalive_timeout) | 5 s | 5 s | 5 s | 100 ms to 30 s |
///
/// A patience is at most 10 minutes. It counts from the first question that is not answered, so it may
/// be shorter than the `every`. What follows from the numbers, for each check: silence is told at the
/// latest after its `every` and its patience, and an election, or a member that dies while others
/// live, is not told if it is over within the patience. So with the default a hang is seen within
/// 4.75 s, with `fast` within 1.25 s, with `gentle` within 16 s. What is certain, such as a refused
/// connection or an alarm, is told as soon as it is seen.
///
/// The policy's silence limit must be longer than the shortest `every` and the longest patience
/// together: 4.75 s with the default, 3.6 s with `fast`, 16 s with `gentle`.
///
/// Endpoints are checked when they are given, everything else when the probe is built. `Debug`
/// shows neither password nor keys.
///
/// ```no_run
/// use overwatch::etcd::{EtcdConfig, EtcdProbe};
///
/// # fn main() -> Result<(), overwatch::etcd::EtcdConfigError> {
/// let config = EtcdConfig::new(["http://10.0.0.1:2379", "http://10.0.0.2:2379"])?
///     .with_user("checker", "secret");
/// let probe = EtcdProbe::new(config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EtcdConfig {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) user: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) sentinel_key: String,
    pub(crate) timing: Timing,
    pub(crate) jitter_seed: Option<u64>,
    way: Way,
    /// The cluster that is meant, if that was said.
    expected: Option<u64>,
    /// How long the machine was suspended.
    pub(crate) suspended: Suspended,
    /// What was seen of the endpoints by whoever is built from this or a clone of it.
    pub(crate) clusters: Uncompared<Arc<Clusters>>,
    /// What was decided otherwise than by default.
    pub(crate) verdicts: Verdicts,
}

impl EtcdConfig {
    /// The client URLs of the members of *one* cluster, like `http://127.0.0.1:2379`. A URL without
    /// a port means 2379, etcd's own default.
    ///
    /// # Errors
    ///
    /// When there is no endpoint, or more than 32; when one is no URL, has another scheme than
    /// `http` or `https`, or carries a user, a path or a query; when one is given twice.
    pub fn new<I>(endpoints: I) -> Result<Self, EtcdConfigError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut checked: Vec<Endpoint> = Vec::new();
        for given in endpoints {
            let endpoint = Endpoint::parse(given.as_ref())?;
            if checked.contains(&endpoint) {
                return Err(EtcdConfigError::DuplicateEndpoint {
                    endpoint: endpoint.to_string(),
                });
            }
            if checked.len() == MAX_ENDPOINTS {
                return Err(EtcdConfigError::TooManyEndpoints { max: MAX_ENDPOINTS });
            }
            checked.push(endpoint);
        }
        if checked.is_empty() {
            return Err(EtcdConfigError::NoEndpoints);
        }
        let clusters = Uncompared(Arc::new(Clusters::new(checked.len())));
        Ok(Self {
            endpoints: checked,
            user: None,
            tls: None,
            sentinel_key: SENTINEL_KEY.to_owned(),
            timing: Timing::DEFAULT,
            jitter_seed: None,
            way: over_the_network(),
            expected: None,
            suspended: by_the_system(),
            clusters,
            verdicts: Verdicts::default(),
        })
    }

    /// The id of the cluster that is meant. Whatever answers for another one is
    /// [`misdirected`](Fault::Misdirected), also if all endpoints agree on it.
    ///
    /// The id is the same as long as the cluster is: it is made of what the cluster was started with, so one
    /// that is built anew, or restored from a backup, may have another. In hexadecimal it is in each
    /// member's log, and in what [`EtcdProbe`](crate::etcd::EtcdProbe) tells of clusters that do not agree; as a
    /// number it is what `etcdctl endpoint status -w json` calls `cluster_id`.
    ///
    /// Two clusters that were started with the same `--initial-cluster` and `--initial-cluster-token`, as with all
    /// defaults, have the same id, and nothing tells them apart. Give each a token of its own.
    ///
    /// Without it the cluster is whichever the endpoints are of, if they agree. See the
    /// [module](crate::etcd) for what that leaves open.
    #[must_use]
    pub fn with_expected_cluster(mut self, id: u64) -> Self {
        self.expected = Some(id);
        self
    }

    /// Authenticates with a name and a password. On a cluster whose authentication is not enabled
    /// they are not used, as in etcd's own Go client.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Certificates; needed for endpoints with `https://` and for no others.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The key that the probe watches and reads; `overwatch/probe/never-written` by default. Nothing
    /// may ever write it, and the user must be allowed to read it.
    #[must_use]
    pub fn with_sentinel_key(mut self, key: impl Into<String>) -> Self {
        self.sentinel_key = key.into();
        self
    }

    /// All numbers such that a hang is seen within 1.5 s, for some 5 requests a second. Elections are
    /// tolerated as by default; a pause of etcd or of the network for longer than a second is not.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.timing = Timing::FAST;
        self
    }

    /// All numbers such that etcd is asked less than 0.2 times a second. The policy's silence limit
    /// must be set as well: 20 s is enough.
    #[must_use]
    pub fn gentle(mut self) -> Self {
        self.timing = Timing::GENTLE;
        self
    }

    /// How often one watch is asked for its progress.
    #[must_use]
    pub fn with_progress_interval(mut self, time: Duration) -> Self {
        self.timing.progress.every = time;
        self
    }

    /// How long the watch may owe its progress before etcd counts as unreachable.
    #[must_use]
    pub fn with_progress_grace_period(mut self, time: Duration) -> Self {
        self.timing.progress.patience = time;
        self
    }

    /// How often one member is asked for a linearizable read.
    #[must_use]
    pub fn with_read_interval(mut self, time: Duration) -> Self {
        self.timing.read.every = time;
        self
    }

    /// How long reads may go unanswered before etcd counts as failing. Longer than an election, which
    /// takes one to three election timeouts, or each election is an outage.
    #[must_use]
    pub fn with_read_grace_period(mut self, time: Duration) -> Self {
        self.timing.read.patience = time;
        self
    }

    /// How often a proposal is made, by the members in turn. Up to an eighth of it is taken off at
    /// random, so that many nodes do not ask together. Each costs a sync of etcd's disks.
    #[must_use]
    pub fn with_write_interval(mut self, time: Duration) -> Self {
        self.timing.write.every = time;
        self
    }

    /// How long nothing may be committed before etcd counts as failing.
    #[must_use]
    pub fn with_write_grace_period(mut self, time: Duration) -> Self {
        self.timing.write.patience = time;
        self
    }

    /// How often what was not answered is asked again, of another member if there is one: in doubt,
    /// and while etcd fails. A recovery is seen so soon. A client whose password is refused
    /// tries again as often, and that costs the server some 50 ms of CPU each time.
    #[must_use]
    pub fn with_recheck_interval(mut self, time: Duration) -> Self {
        self.timing.recheck = time;
        self
    }

    /// How long a good answer takes at most. A slower one proves that etcd lives, but
    /// [`slow_answers`](Self::with_slow_answers) of them in a row are a failure, and none of them ends one.
    #[must_use]
    pub fn with_latency_budget(mut self, time: Duration) -> Self {
        self.timing.latency_budget = time;
        self
    }

    /// So many slow answers in a row of one check are a failure.
    #[must_use]
    pub fn with_slow_answers(mut self, value: u32) -> Self {
        self.timing.slow_answers = value;
        self
    }

    /// How long an answer is waited for. Then the connection is given up, unless the member was heard
    /// on it meanwhile.
    #[must_use]
    pub fn with_request_timeout(mut self, time: Duration) -> Self {
        self.timing.request_timeout = time;
        self
    }

    /// How long opening a connection may take in all: TCP, TLS, authentication and the watch.
    #[must_use]
    pub fn with_connect_timeout(mut self, time: Duration) -> Self {
        self.timing.connect_timeout = time;
        self
    }

    /// What etcd's `--election-timeout` is set to. The probe does not use it, but holds the other
    /// numbers against it.
    #[must_use]
    pub fn with_election_timeout(mut self, time: Duration) -> Self {
        self.timing.election_timeout = time;
        self
    }

    /// The longest pause before a connection is tried again while etcd is not alive. The first pauses
    /// are shorter.
    #[must_use]
    pub fn with_reconnect_interval(mut self, time: Duration) -> Self {
        self.timing.reconnect = time;
        self
    }

    /// The same for a member that is lost while others answer.
    #[must_use]
    pub fn with_spare_reconnect_interval(mut self, time: Duration) -> Self {
        self.timing.spare_reconnect = time;
        self
    }

    /// How often a proposal is tried again that no member lets this user make: rights change seldom.
    #[must_use]
    pub fn with_refused_interval(mut self, time: Duration) -> Self {
        self.timing.refused = time;
        self
    }

    /// How often an idle connection is pinged (HTTP/2). etcd closes connections on which that happens
    /// more often than its `--grpc-keepalive-min-time` allows, every 5 s by default.
    #[must_use]
    pub fn with_keepalive_interval(mut self, time: Duration) -> Self {
        self.timing.keepalive = time;
        self
    }

    /// How long a ping may go unanswered before the connection is closed.
    #[must_use]
    pub fn with_keepalive_timeout(mut self, time: Duration) -> Self {
        self.timing.keepalive_timeout = time;
        self
    }

    /// Takes a class of failure otherwise than by default: see [`Fault`] for the table.
    #[must_use]
    pub fn with_verdict(mut self, fault: Fault, verdict: Verdict) -> Self {
        self.verdicts.set(fault, verdict);
        self
    }

    /// Makes the times at which proposals are made those of this seed; by default each probe has a
    /// seed of its own. For simulations.
    #[must_use]
    pub fn with_jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Makes everything that is built from this connect in this way, and not over the network of the
    /// operating system. For tests on a simulated network.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn dialing(mut self, dial: Arc<dyn Dial>) -> Self {
        self.way = Uncompared(dial);
        self
    }

    /// Makes memberships that are built from this take the machine to have been suspended for as long as this
    /// tells, in all. For tests: a machine that runs them is not to be suspended.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn suspended_by(mut self, suspended: Arc<dyn Fn() -> Duration + Send + Sync>) -> Self {
        self.suspended = Uncompared(suspended);
        self
    }

    /// A client for the member at this URL. The caller limits the time of it.
    pub(crate) async fn dial(&self, url: &str) -> Result<Client, Error> {
        let access = Access {
            user: self.user.as_ref(),
            tls: self.tls.as_ref(),
            timing: &self.timing,
        };
        self.way.dial(url, access).await
    }

    /// The cluster that is meant, if it is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// In words, if what answers at the endpoints is not one cluster, or not the one that is meant.
    pub(crate) fn split(&self, now: Duration) -> Option<String> {
        let lately = self.lately();
        self.clusters
            .split(&self.endpoints, self.expected, lately, now)
    }

    /// The same, if this cluster is meant.
    pub(crate) fn split_from(&self, cluster: u64, now: Duration) -> Option<String> {
        match meant(cluster, self.expected) {
            Ok(meant) if meant.is_empty() => self.split(now),
            Ok(meant) => self
                .clusters
                .split(&self.endpoints, meant, self.lately(), now),
            Err(why) => Some(why),
        }
    }

    /// For how long what an endpoint has shown is held against the others.
    pub(crate) fn lately(&self) -> Duration {
        self.timing.lately()
    }

    /// Whether a probe of this fits to a policy.
    pub(crate) fn fits(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.timing.fits(policy, &self.verdicts)
    }

    /// All checks that need the whole.
    pub(crate) fn check(&self) -> Result<(), EtcdConfigError> {
        self.check_access()?;
        self.timing.check()
    }

    fn check_access(&self) -> Result<(), EtcdConfigError> {
        let bad = |knob, problem: String| Err(EtcdConfigError::BadSetting { knob, problem });
        if self.user.as_ref().is_some_and(|(name, _)| name.is_empty()) {
            return bad("user", "the name is empty: leave user out instead".into());
        }
        if self.sentinel_key.is_empty() {
            return bad(
                "sentinel_key",
                "is empty: etcd has no such key; leave it out to use the default".into(),
            );
        }
        if self.expected == Some(0) {
            return bad(
                "with_expected_cluster",
                "is 0, which no cluster has: leave it out if it is not known".into(),
            );
        }
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        for endpoint in &self.endpoints {
            if endpoint.tls() && self.tls.is_none() {
                return bad(
                    "tls",
                    format!("is missing, but {endpoint} needs it: set EtcdConfig::with_tls"),
                );
            }
            if !endpoint.tls() && self.tls.is_some() {
                return bad(
                    "tls",
                    format!("is set, but {endpoint} does not use it: write https://"),
                );
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| (name, "<hidden>"));
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("user", &user)
            .field("tls", &self.tls)
            .field("sentinel_key", &self.sentinel_key)
            .field("timing", &self.timing)
            .field("expected", &self.expected)
            .field("verdicts", &self.verdicts.0)
            .finish()
    }
}

const SENTINEL_KEY: &str = "overwatch/probe/never-written";
/// Members beyond that are no quorum of etcd's any more, but a list gone wrong.
const MAX_ENDPOINTS: usize = 32;
