//! The state of each endpoint, for operators.

use std::fmt::Write;
use std::sync::Mutex;

use tracing::Level;

use crate::etcd::basics::{Fault, TARGET};
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
        let summary = Summary::of(&statuses, &usable);
        let level = match summary {
            Summary::AllUsable | Summary::SomeWaitForToken => Level::INFO,
            Summary::NotAllUsable => Level::WARN,
        };
        let endpoints = describe(&statuses, &usable);
        log(level, move |at_ms| match summary {
            Summary::AllUsable => {
                tracing::info!(target: TARGET, at_ms, endpoints, "every endpoint is usable");
            }
            Summary::SomeWaitForToken => {
                tracing::info!(target: TARGET, at_ms, endpoints, "every endpoint is usable, or waits for a new token");
            }
            Summary::NotAllUsable => {
                tracing::warn!(target: TARGET, at_ms, endpoints, "not every endpoint is usable");
            }
        });
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

/// What is logged of all endpoints together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summary {
    AllUsable,
    /// The token of some has expired, and the next request gets a new one.
    SomeWaitForToken,
    NotAllUsable,
}

impl Summary {
    /// `fine` is whether each endpoint is worth no warning.
    fn of(statuses: &[EndpointStatus], fine: &[bool]) -> Self {
        if statuses.iter().all(|status| status.usable) {
            Self::AllUsable
        } else if fine.iter().all(|&fine| fine) {
            Self::SomeWaitForToken
        } else {
            Self::NotAllUsable
        }
    }
}

/// Each endpoint with its state, in words.
fn describe(statuses: &[EndpointStatus], fine: &[bool]) -> String {
    let mut text = String::new();
    for (status, fine) in statuses.iter().zip(fine) {
        let separator = if text.is_empty() { "" } else { "; " };
        let is = match (status.usable, fine, &status.problem) {
            (true, ..) => "usable",
            (false, true, _) => "waits for a new token",
            (false, false, Some((_, why))) => why,
            (false, false, None) => "not answered yet",
        };
        let _ = write!(text, "{separator}{}: {is}", status.url);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_waits_for_a_token_is_no_warning_and_is_not_called_usable() {
        let status = |url: &str, problem: Option<(Fault, &str)>| EndpointStatus {
            url: url.to_owned(),
            usable: problem.is_none(),
            member_id: None,
            problem: problem.map(|(fault, why)| (fault, why.to_owned())),
        };
        let usable = status("http://a", None);
        let expired = status(
            "http://b",
            Some((Fault::Unauthenticated, "invalid auth token")),
        );
        let gone = status("http://c", Some((Fault::Unreachable, "connection refused")));
        let all = [usable.clone(), usable.clone()];
        assert_eq!(Summary::of(&all, &[true, true]), Summary::AllUsable);
        let waiting = [usable, expired];
        assert_eq!(
            Summary::of(&waiting, &[true, true]),
            Summary::SomeWaitForToken
        );
        assert_eq!(
            describe(&waiting, &[true, true]),
            "http://a: usable; http://b: waits for a new token"
        );
        let [usable, expired] = waiting;
        let all = [usable, expired, gone];
        let fine = [true, true, false];
        assert_eq!(Summary::of(&all, &fine), Summary::NotAllUsable);
        assert!(describe(&all, &fine).ends_with("; http://c: connection refused"));
    }
}
