//! What the probe is told.

use std::fmt;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::EtcdConfigError;
use super::tls::Tls;

/// Where etcd is, how to get in, and how patient to be.
///
/// | knob | default | bounds |
/// | --- | --- | --- |
/// | [`interval`](Self::interval) | 1 s | 100 ms to 30 s |
/// | [`request_timeout`](Self::request_timeout) | 2 s | 100 ms to 30 s |
/// | [`connect_timeout`](Self::connect_timeout) | 2 s | 100 ms to 30 s |
/// | [`grace`](Self::grace) | 4 s | at least interval + request timeout, and the connect timeout; at most 10 min |
///
/// Endpoints are checked when they are given, everything else when the probe is built. `Debug`
/// shows neither password nor keys.
///
/// ```no_run
/// use overwatch::etcd::{EtcdConfig, EtcdProbe};
///
/// # fn main() -> Result<(), overwatch::etcd::EtcdConfigError> {
/// let config = EtcdConfig::new(["http://10.0.0.1:2379", "http://10.0.0.2:2379"])?
///     .user("checker", "secret");
/// let probe = EtcdProbe::new(config)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EtcdConfig {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) user: Option<(String, String)>,
    pub(super) tls: Option<Tls>,
    pub(super) sentinel_key: String,
    pub(super) interval: Duration,
    pub(super) request_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) grace: Duration,
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
        Ok(Self {
            endpoints: checked,
            user: None,
            tls: None,
            sentinel_key: SENTINEL_KEY.to_owned(),
            interval: Duration::from_secs(1),
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            grace: Duration::from_secs(4),
        })
    }

    /// Authenticates with a name and a password. On a cluster whose authentication is not enabled
    /// they are not used, as in etcd's own Go client.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Certificates; needed for endpoints with `https://` and for no others.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The key that the probe watches and reads; `overwatch/probe/never-written` by default. Nothing
    /// may ever write it, and the user must be allowed to read it.
    #[must_use]
    pub fn sentinel_key(mut self, key: impl Into<String>) -> Self {
        self.sentinel_key = key.into();
        self
    }

    /// How often each member is asked; 1 s by default.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a member may take for an answer on an open connection before the connection is
    /// given up; 2 s by default.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long opening a connection may take in all: TCP, TLS, authentication and the watch; 2 s by
    /// default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long etcd may go without giving evidence before it counts as failing; 4 s by default.
    /// Longer than a leader election (two to three seconds with etcd's default timing), or each
    /// election is an outage. The supervisor's own silence limit belongs above it.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// All checks that need the whole.
    pub(super) fn check(&self) -> Result<(), EtcdConfigError> {
        self.check_access()?;
        self.check_numbers()
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
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        for endpoint in &self.endpoints {
            if endpoint.tls() && self.tls.is_none() {
                return bad(
                    "tls",
                    format!("is missing, but {endpoint} needs it: set EtcdConfig::tls"),
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

    fn check_numbers(&self) -> Result<(), EtcdConfigError> {
        for (knob, value) in [
            ("interval", self.interval),
            ("request_timeout", self.request_timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            at_least(knob, value, SHORTEST, String::new)?;
            at_most(knob, value, LONGEST)?;
        }
        let (interval, request) = (self.interval, self.request_timeout);
        at_least("grace", self.grace, interval + request, || {
            format!(
                " (interval {interval:?} + request_timeout {request:?}), or one slow answer is an \
                 outage"
            )
        })?;
        at_least("grace", self.grace, self.connect_timeout, || {
            " (connect_timeout), or one slow connection is an outage".to_owned()
        })?;
        at_most("grace", self.grace, LONGEST_GRACE)
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
            .field("interval", &self.interval)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("grace", &self.grace)
            .finish()
    }
}

fn at_least(
    knob: &'static str,
    value: Duration,
    least: Duration,
    why: impl FnOnce() -> String,
) -> Result<(), EtcdConfigError> {
    if value >= least {
        return Ok(());
    }
    Err(EtcdConfigError::OutOfBounds {
        knob,
        value,
        bound: format!("at least {least:?}{}", why()),
    })
}

fn at_most(knob: &'static str, value: Duration, most: Duration) -> Result<(), EtcdConfigError> {
    if value <= most {
        return Ok(());
    }
    Err(EtcdConfigError::OutOfBounds {
        knob,
        value,
        bound: format!("at most {most:?}"),
    })
}

const SENTINEL_KEY: &str = "overwatch/probe/never-written";
/// Members beyond that are no quorum of etcd's any more, but a list gone wrong.
const MAX_ENDPOINTS: usize = 32;
/// More often than that only burdens the servers.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
const LONGEST_GRACE: Duration = Duration::from_secs(600);
