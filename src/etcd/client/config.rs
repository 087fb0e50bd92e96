//! How the crate reaches etcd, and the numbers of the probe.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error};
use tracing::Level;

use super::cluster_map::meant;
use super::clusters::Clusters;
#[cfg(feature = "test-util")]
use super::connect::Dial;
use super::connect::{Access, Way, over_the_network};
use super::endpoint::Endpoint;
use super::exposure::{ExposedPassword, exposed_password};
use super::timing::Timing;
use super::tls::Tls;
use crate::etcd::basics::{EtcdConfigError, Fault, TARGET, Verdict, Verdicts};
use crate::etcd::host::{Suspended, Uncompared, by_the_system};
use crate::policy::{Policy, PolicyError};
use crate::shell::log::log;

/// The configuration for etcd: endpoints, access and timing.
///
/// 1. [`new`](Self::new) with the endpoints of one cluster;
/// 2. access: [`with_user`](Self::with_user), [`with_tls`](Self::with_tls), [`with_expected_cluster`](Self::with_expected_cluster);
/// 3. a preset, [`fast`](Self::fast) or [`gentle`](Self::gentle), which sets all numbers, and after it single numbers.
///
/// Give clones of one configuration to the probe and to the membership: clones share what was seen of the
/// endpoints.
///
/// | knob | default | [`fast`](Self::fast) | [`gentle`](Self::gentle) | bounds |
/// | --- | --- | --- | --- | --- |
/// | [`progress_interval`](Self::with_progress_interval) | 20 s | 250 ms | 60 s | 100 ms to 10 min |
/// | [`progress_grace_period`](Self::with_progress_grace_period) | 3.35 s | 1 s | 6 s | at least twice the latency budget |
/// | [`read_interval`](Self::with_read_interval) | 1.4 s | 1 s | 10 s | 100 ms to 10 min |
/// | [`read_grace_period`](Self::with_read_grace_period) | 3.35 s | 3.35 s | 6 s | at least three election timeouts, the request timeout and the connect timeout |
/// | [`write_interval`](Self::with_write_interval) | 8 s | 3 s | 30 s | 1 s to 10 min |
/// | [`write_grace_period`](Self::with_write_grace_period) | 3.35 s | 3.35 s | 6 s | as `read_grace_period` |
/// | [`recheck_interval`](Self::with_recheck_interval) | 500 ms | 250 ms | 2 s | at least 100 ms, at most half of each grace period |
/// | [`latency_budget`](Self::with_latency_budget) | 1 s | 500 ms | 1 s | at least 50 ms, at most half the request timeout |
/// | [`slow_answers`](Self::with_slow_answers) | 3 | 3 | 3 | 1 to 100 |
/// | [`request_timeout`](Self::with_request_timeout) | 3 s | 2 s | 3 s | 100 ms to 30 s |
/// | [`connect_timeout`](Self::with_connect_timeout) | 2 s | 1 s | 3 s | 100 ms to 30 s |
/// | [`election_timeout`](Self::with_election_timeout) | 1 s | 1 s | 1 s | 50 ms to 50 s, as etcd's own |
/// | [`reconnect_interval`](Self::with_reconnect_interval) | 300 ms | 250 ms | 300 ms | 100 ms to 30 s |
/// | [`spare_reconnect_interval`](Self::with_spare_reconnect_interval) | 5 s | 5 s | 5 s | at least `reconnect_interval`, at most 10 min |
/// | [`refused_interval`](Self::with_refused_interval) | 60 s | 60 s | 60 s | 1 s to 10 min |
/// | [`keepalive_interval`](Self::with_keepalive_interval) | 10 s | 10 s | 10 s | 5 s to 10 min |
/// | [`keepalive_timeout`](Self::with_keepalive_timeout) | 5 s | 5 s | 5 s | 100 ms to 30 s |
///
/// A grace period is at most 10 minutes. It counts from the first unanswered request, so it may be shorter than the
/// interval. Each check reports silence after its interval plus its grace period at the latest. An election, or a
/// member that dies while others live, is not reported if it is over within the grace period. So a hang is seen
/// within 4.75 s with the default, within 1.25 s with `fast`, and within 16 s with `gentle`. A failure that is
/// certain, e.g. a refused connection or an alarm, is reported as soon as it is seen.
///
/// The policy's silence limit must be longer than the shortest interval and the longest grace period
/// together: 4.75 s with the default, 3.6 s with `fast`, 16 s with `gentle`.
///
/// [`new`](Self::new) checks the endpoints. All other values are checked when the probe is built. `Debug` shows
/// neither the password nor keys.
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
    /// Whether it was logged that the password is exposed.
    warned: Uncompared<Arc<AtomicBool>>,
    pub(crate) tls: Option<Tls>,
    pub(crate) sentinel_key: String,
    pub(crate) timing: Timing,
    pub(crate) jitter_seed: Option<u64>,
    way: Way,
    /// The id of the expected cluster, if it was set.
    expected: Option<u64>,
    /// Returns how long the machine was suspended in total.
    pub(crate) suspended: Suspended,
    /// What was seen of the endpoints by everything that is built from this or a clone of it.
    pub(crate) clusters: Uncompared<Arc<Clusters>>,
    /// The verdicts that differ from the defaults.
    pub(crate) verdicts: Verdicts,
}

impl EtcdConfig {
    /// A configuration with the client URLs of the members of *one* cluster, e.g. `http://127.0.0.1:2379`.
    ///
    /// If a URL has no port, port 2379 is used, etcd's own default.
    ///
    /// # Errors
    ///
    /// If there is no endpoint, or more than 32; if one is not a URL, has another scheme than `http` or `https`, or
    /// contains a user, a path or a query; if one is given twice.
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
            warned: Uncompared(Arc::default()),
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

    /// Sets the id of the expected cluster.
    ///
    /// An answer from another cluster is [`misdirected`](Fault::Misdirected), even if all endpoints agree on that
    /// cluster.
    ///
    /// The id does not change during the life of a cluster. It is made from the parameters with which the cluster was
    /// started, so a cluster that is built anew, or restored from a backup, may have another id. Each member's log, and
    /// the failures that [`EtcdProbe`](crate::etcd::EtcdProbe) reports when clusters do not agree, show the id in
    /// hexadecimal; `etcdctl endpoint status -w json` shows it as the number `cluster_id`.
    ///
    /// Two clusters that were started with the same `--initial-cluster` and `--initial-cluster-token`, e.g. with all
    /// defaults, have the same id, and nothing distinguishes them. Give each cluster its own token.
    ///
    /// If no id is set, any cluster is accepted on which the endpoints agree. The [module](crate::etcd) describes which
    /// problems then remain possible.
    #[must_use]
    pub fn with_expected_cluster(mut self, id: u64) -> Self {
        self.expected = Some(id);
        self
    }

    /// Authenticates with a name and a password.
    ///
    /// If authentication is not enabled on the cluster, they are not used, as in etcd's own Go client.
    ///
    /// Without [TLS](Self::with_tls) everybody on the way to etcd can read the password. A warning is then logged when
    /// the first probe, membership or prefix watch is built with this configuration or a clone of it.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        // Clones with other users get their own warning.
        self.warned = Uncompared(Arc::default());
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Sets the certificates. They are required for endpoints with `https://`, and refused for others.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the key that the probe watches and reads; `overwatch/probe/never-written` by default.
    ///
    /// Nothing may ever write this key, and the user must be allowed to read it.
    #[must_use]
    pub fn with_sentinel_key(mut self, key: impl Into<String>) -> Self {
        self.sentinel_key = key.into();
        self
    }

    /// Sets all numbers so that a hang is seen within 1.25 s, with up to 5.5 requests per second.
    ///
    /// Elections are tolerated as with the default. A pause of etcd or of the network for longer than a second is not
    /// tolerated.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.timing = Timing::FAST;
        self
    }

    /// Sets all numbers so that etcd gets fewer than 0.2 requests per second.
    ///
    /// The policy's silence limit must then be set as well: 20 s is enough.
    #[must_use]
    pub fn gentle(mut self) -> Self {
        self.timing = Timing::GENTLE;
        self
    }

    /// Sets how often the probe requests the progress of one watch.
    #[must_use]
    pub fn with_progress_interval(mut self, time: Duration) -> Self {
        self.timing.progress.every = time;
        self
    }

    /// Sets how long a progress request may stay unanswered before etcd counts as unreachable.
    #[must_use]
    pub fn with_progress_grace_period(mut self, time: Duration) -> Self {
        self.timing.progress.grace_period = time;
        self
    }

    /// Sets how often the probe asks one member for a linearizable read.
    #[must_use]
    pub fn with_read_interval(mut self, time: Duration) -> Self {
        self.timing.read.every = time;
        self
    }

    /// Sets how long reads may stay unanswered before etcd counts as failing.
    ///
    /// This must be longer than an election, which takes one to three election timeouts. Otherwise each election is an
    /// outage.
    #[must_use]
    pub fn with_read_grace_period(mut self, time: Duration) -> Self {
        self.timing.read.grace_period = time;
        self
    }

    /// Sets how often the probe makes a proposal, at the members in turn.
    ///
    /// Each interval is shortened at random by up to an eighth, so that many nodes do not ask at the same time. Each
    /// proposal costs a sync of etcd's disks.
    #[must_use]
    pub fn with_write_interval(mut self, time: Duration) -> Self {
        self.timing.write.every = time;
        self
    }

    /// Sets how long proposals may stay uncommitted before etcd counts as failing.
    #[must_use]
    pub fn with_write_grace_period(mut self, time: Duration) -> Self {
        self.timing.write.grace_period = time;
        self
    }

    /// Sets how often an unanswered request is repeated, at another member if there is one.
    ///
    /// This applies while the state of etcd is in doubt, and while etcd fails. So it is also how soon a recovery is
    /// seen. A client whose password is refused tries again at the same interval, which costs the server about 50 ms of
    /// CPU each time.
    #[must_use]
    pub fn with_recheck_interval(mut self, time: Duration) -> Self {
        self.timing.recheck = time;
        self
    }

    /// Sets the longest time that a good answer may take.
    ///
    /// A slower answer proves that etcd lives. But [`slow_answers`](Self::with_slow_answers) slow answers in a row are
    /// a failure, and a slow answer does not end a failure.
    #[must_use]
    pub fn with_latency_budget(mut self, time: Duration) -> Self {
        self.timing.latency_budget = time;
        self
    }

    /// Sets how many slow answers of one check in a row are a failure.
    #[must_use]
    pub fn with_slow_answers(mut self, value: u32) -> Self {
        self.timing.slow_answers = value;
        self
    }

    /// Sets how long the probe waits for an answer.
    ///
    /// After that it gives up the connection, unless the member has sent something on the connection in the meantime.
    #[must_use]
    pub fn with_request_timeout(mut self, time: Duration) -> Self {
        self.timing.request_timeout = time;
        self
    }

    /// Sets how long opening a connection may take in total: TCP, TLS, authentication and the watch.
    #[must_use]
    pub fn with_connect_timeout(mut self, time: Duration) -> Self {
        self.timing.connect_timeout = time;
        self
    }

    /// Sets the value of etcd's `--election-timeout`. It is only used to check other numbers.
    ///
    /// These are the grace periods, and the [fence](crate::Fence) of the service: an election may take three times this,
    /// and a lease cannot be renewed meanwhile.
    #[must_use]
    pub fn with_election_timeout(mut self, time: Duration) -> Self {
        self.timing.election_timeout = time;
        self
    }

    /// Sets the longest pause before a new connection attempt while etcd is not alive.
    ///
    /// The first pauses are shorter.
    #[must_use]
    pub fn with_reconnect_interval(mut self, time: Duration) -> Self {
        self.timing.reconnect = time;
        self
    }

    /// Sets the longest pause before a new connection attempt to one member while other members answer.
    #[must_use]
    pub fn with_spare_reconnect_interval(mut self, time: Duration) -> Self {
        self.timing.spare_reconnect = time;
        self
    }

    /// Sets how often a proposal is tried again if every member refuses it to this user: rights change seldom.
    #[must_use]
    pub fn with_refused_interval(mut self, time: Duration) -> Self {
        self.timing.refused = time;
        self
    }

    /// Sets how often an idle connection is pinged (HTTP/2).
    ///
    /// etcd closes a connection that is pinged more often than its `--grpc-keepalive-min-time` allows, which is every
    /// 5 s by default.
    #[must_use]
    pub fn with_keepalive_interval(mut self, time: Duration) -> Self {
        self.timing.keepalive = time;
        self
    }

    /// Sets how long a ping may stay unanswered before the connection is closed.
    #[must_use]
    pub fn with_keepalive_timeout(mut self, time: Duration) -> Self {
        self.timing.keepalive_timeout = time;
        self
    }

    /// Sets how a class of failure is treated. [`Fault`] lists the default of each class.
    #[must_use]
    pub fn with_verdict(mut self, fault: Fault, verdict: Verdict) -> Self {
        self.verdicts.set(fault, verdict);
        self
    }

    /// Sets the seed of the random times at which proposals are made, for simulations.
    ///
    /// By default each probe has its own seed.
    #[must_use]
    pub fn with_jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Replaces the network of the operating system, for tests on a simulated network.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn dialing(mut self, dial: Arc<dyn Dial>) -> Self {
        self.way = Uncompared(dial);
        self
    }

    /// Replaces the clock that measures how long the machine was suspended in total, for tests.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn suspended_by(mut self, suspended: Arc<dyn Fn() -> Duration + Send + Sync>) -> Self {
        self.suspended = Uncompared(suspended);
        self
    }

    /// Makes a client for the member at this URL. The caller must bound the time that this takes.
    pub(crate) async fn dial(&self, url: &str) -> Result<Client, Error> {
        let access = Access {
            user: self.user.as_ref(),
            tls: self.tls.as_ref(),
            timing: &self.timing,
        };
        self.way.dial(url, access).await
    }

    /// The id of the expected cluster, if it was set.
    pub(crate) fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// A description of the problem if the endpoints show several clusters, or not the expected one.
    pub(crate) fn split(&self, now: Duration) -> Option<String> {
        let lately = self.lately();
        self.clusters
            .split(&self.endpoints, self.expected, lately, now)
    }

    /// As [`split`](Self::split), if this cluster is the expected one.
    pub(crate) fn split_from(&self, cluster: u64, now: Duration) -> Option<String> {
        match meant(cluster, self.expected) {
            Ok(meant) if meant.is_empty() => self.split(now),
            Ok(meant) => self
                .clusters
                .split(&self.endpoints, meant, self.lately(), now),
            Err(why) => Some(why),
        }
    }

    /// For how long the cluster that an endpoint has shown is compared with those of the others.
    pub(crate) fn lately(&self) -> Duration {
        self.timing.lately()
    }

    /// Whether a probe with this configuration can work under the policy.
    pub(crate) fn fits(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.timing.fits(policy, &self.verdicts)
    }

    /// Checks what can be checked only when the configuration is complete.
    pub(crate) fn check(&self) -> Result<(), EtcdConfigError> {
        self.check_access()?;
        self.timing.check()?;
        self.warn_of_exposed_password();
        Ok(())
    }

    /// Logs once for all clones if the password is sent without encryption.
    fn warn_of_exposed_password(&self) {
        let user = self.user.as_ref().map(|(name, _)| &**name);
        let endpoints = self.endpoints.iter().map(|it| (it.url(), it.tls()));
        let Some(exposed) = exposed_password(user, endpoints) else {
            return;
        };
        if self.warned.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let ExposedPassword {
            user,
            endpoint,
            other_endpoints,
        } = exposed;
        log(Level::WARN, move |at_ms| {
            tracing::warn!(target: TARGET, at_ms, user, endpoint, other_endpoints,
                "the password of this user, and the tokens that etcd returns for it, are sent without encryption: \
                 everybody on the way can read them. Let etcd serve TLS, write https:// and set EtcdConfig::with_tls"
            );
        });
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
/// A list with more endpoints than this is a mistake: no etcd cluster has so many members.
const MAX_ENDPOINTS: usize = 32;
