//! The state of each endpoint, for operators.

use std::fmt::Write;
use std::sync::Mutex;

use tracing::Level;

use crate::etcd::basics::Fault;
use crate::etcd::client::{Endpoint, EtcdConfig};
use crate::etcd::health::EndpointState;
use crate::shell::log::log;
use crate::shell::probe::Observation;
use crate::shell::sync::lock;

/// The last known state of one endpoint. From [`EtcdProbe::endpoints`](crate::etcd::EtcdProbe::endpoints).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The endpoint, in its normal form.
    pub url: String,
    /// Whether the endpoint can be used: a connection is open, and reads on it are answered.
    pub usable: bool,
    /// The id of the member behind the endpoint, once the member has answered.
    pub member_id: Option<u64>,
    /// Why the endpoint cannot be used, if that is known.
    pub problem: Option<(Fault, String)>,
}

/// The latest statuses, and which of them were logged.
pub(crate) struct EndpointStatuses(Mutex<Known>);

struct Known {
    statuses: Vec<EndpointStatus>,
    /// Which endpoints were usable, or will be with a new token, when this was last logged.
    logged: Vec<bool>,
}

impl EndpointStatuses {
    pub(crate) fn new(config: &EtcdConfig) -> Self {
        let unseen = |endpoint: &Endpoint| EndpointStatus {
            url: endpoint.url().to_owned(),
            usable: false,
            member_id: None,
            problem: None,
        };
        let statuses: Vec<_> = config.endpoints.iter().map(unseen).collect();
        let logged = vec![false; statuses.len()];
        Self(Mutex::new(Known { statuses, logged }))
    }

    pub(crate) fn get(&self) -> Vec<EndpointStatus> {
        lock(&self.0).statuses.clone()
    }

    /// Notes that all connections are closed.
    pub(crate) fn closed(&self) {
        for status in &mut lock(&self.0).statuses {
            status.usable = false;
        }
    }

    /// Publishes the statuses, and logs them if other endpoints are usable than before.
    ///
    /// While etcd fails nothing is logged here: the failure itself says what is wrong with each endpoint.
    pub(crate) fn publish(&self, endpoints: &[EndpointState], observation: &Observation) {
        let statuses: Vec<EndpointStatus> = endpoints.iter().map(status).collect();
        let usable = endpoints.iter().map(EndpointState::is_worth_no_warning);
        let usable: Vec<bool> = usable.collect();
        let mut known = lock(&self.0);
        known.statuses.clone_from(&statuses);
        let alive = matches!(observation, Observation::Alive { .. });
        if !alive || known.logged == usable {
            return;
        }
        known.logged.clone_from(&usable);
        drop(known);
        let all = usable.iter().all(|&usable| usable);
        let level = if all { Level::INFO } else { Level::WARN };
        log(level, move |at_ms| describe(&statuses, all, at_ms));
    }
}

fn status(endpoint: &EndpointState) -> EndpointStatus {
    EndpointStatus {
        url: endpoint.url().to_owned(),
        usable: endpoint.usable(),
        member_id: endpoint.member_id(),
        problem: endpoint
            .problem()
            .map(|cause| (cause.fault, cause.text.clone())),
    }
}

fn describe(statuses: &[EndpointStatus], all: bool, at_ms: u64) {
    let mut text = String::new();
    for EndpointStatus {
        url,
        usable,
        problem,
        ..
    } in statuses
    {
        let separator = if text.is_empty() { "" } else { "; " };
        let is = match (usable, problem) {
            (true, _) => "usable",
            (false, Some((_, why))) => why,
            (false, None) => "not answered yet",
        };
        let _ = write!(text, "{separator}{url}: {is}");
    }
    if all {
        tracing::info!(target: "overwatch::etcd", at_ms, endpoints = text, "every endpoint is usable");
    } else {
        tracing::warn!(target: "overwatch::etcd", at_ms, endpoints = text, "not every endpoint is usable");
    }
}
